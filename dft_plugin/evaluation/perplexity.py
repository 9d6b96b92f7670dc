"""How well a model predicts human text: at temperature 1, and under the deployment sampler."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dft_plugin.evaluation.models import Loaded
from dft_plugin.evaluation.pool import Floats
from dft_plugin.evaluation.prompts import Prompt
from dft_plugin.evaluation.resampling import LEAST_TEXTS, interval
from dft_plugin.evaluation.result import Measure
from dft_plugin.evaluation.texts import Text
from dft_plugin.language_model import decoder_of, deterministic, head_of, hidden_rows
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Texts, Window, stack
from dft_plugin.token_ids import opened

TEXTS = 256
"""Human texts it is measured on."""
TOKENS = 512
"""Of each text at most."""
BATCH = 8
ROWS = 256
"""Next-token laws held at once."""


def human_windows(texts: Sequence[Text], tokenizer: Any, longest: int | None) -> list[Window]:
    """The first tokens of texts, after their prompts as generation reads them; a text without anything before it is
    predicted from its second token on."""
    limit = min(TOKENS, longest or TOKENS)
    found = []
    for text in texts:
        tokens, first = _tokens(text, tokenizer)
        left = max(0, first - limit // 2)
        kept, first = tuple(tokens[left : left + limit]), max(1, first - left)
        if len(kept) > first:
            found.append(Window(kept, 0, first, True))
    return found


def _tokens(text: Text, tokenizer: Any) -> tuple[list[int], int]:
    """Of what came before the text and the text, and where the text's begin."""
    if text.prompt or text.messages:
        return Prompt(text.prompt or "", text.messages, text.template).continued(tokenizer, text.text)
    return opened(tokenizer, [text.text])[0], 0


@torch.no_grad()
def surprisals(
    loaded: Loaded, windows: Sequence[Window], sampler: Sampler, progress: Callable[[int], None] = lambda done: None
) -> Floats:
    """(texts, 4): per text the number of tokens, their surprisal at temperature 1 in nats, how many of them the
    sampler can draw at all, and the surprisal of those under the sampler's law."""
    rows = np.zeros((len(windows), 4))
    model = loaded.model
    device = next(model.parameters()).device
    with deterministic(model, recompute=False):
        decoder, head = decoder_of(model), head_of(model)
        for start in range(0, len(windows), BATCH):
            texts = stack(windows[start : start + BATCH]).to(device)
            hidden = hidden_rows(decoder, texts)
            for first in range(0, texts.rows, ROWS):
                chunk = slice(first, first + ROWS)
                linear = torch.nn.functional.linear(hidden[chunk].to(head.weight.dtype), head.weight, head.bias)
                found = _of_rows(head.finish(linear), texts.drawn[chunk], sampler)
                rows[start : start + BATCH] += _by_text(found, texts, chunk)
            progress(min(len(windows), start + BATCH))
    return rows


def _of_rows(logits: Tensor, drawn: Tensor, sampler: Sampler) -> Tensor:
    """(n, 4): 1, surprisal, whether the sampler can draw the token, surprisal under the sampler or 0."""
    plain = torch.nn.functional.cross_entropy(logits, drawn, reduction="none")
    # The sampler keeps the token it is told was drawn; the likeliest one is always kept.
    warped = torch.nn.functional.cross_entropy(sampler(logits, logits.argmax(-1)), drawn, reduction="none")
    covered = warped.isfinite()
    return torch.stack([torch.ones_like(plain), plain, covered.float(), warped.masked_fill(~covered, 0)], dim=1)


def _by_text(found: Tensor, texts: Texts, chunk: slice) -> Floats:
    summed = torch.zeros(len(texts), 4, dtype=torch.float64, device=found.device)
    return np.asarray(summed.index_add_(0, texts.text[chunk], found.double()).cpu().numpy())


def perplexities(
    rows: Floats, resamples: int, seed: int, vocabulary: str = "", sampler: str = ""
) -> dict[str, Measure]:
    """From `surprisals` to measures: exp of the mean surprisal, with intervals over random halves of the texts.

    A truncated sampler gives some human tokens probability 0, and the perplexity of the whole text would be
    infinite: so the share of tokens that it can draw is one measure, the perplexity of those another.

    Args:
        rows: as `surprisals` gives them.
        resamples, seed: of the halves.
        vocabulary: names the tokenizer's: perplexities per token of different ones are not compared.
        sampler: its settings: perplexities under different ones are not compared.
    """
    generator = np.random.default_rng(seed)
    halves = [generator.permutation(len(rows))[: len(rows) // 2] for _ in range(resamples)]
    summed = np.array([rows[half].sum(0) for half in halves]) if len(rows) >= LEAST_TEXTS else np.zeros((0, 4))
    basis = f"{len(rows):,} texts of at most {TOKENS} tokens" + (f" of vocabulary {vocabulary}" if vocabulary else "")
    of_sampler = ", ".join(filter(None, [basis, sampler]))

    def made(
        label: str, description: str, of: Callable[[Floats], Floats], unit: str, better: str, basis: str = basis
    ) -> Measure:
        with np.errstate(invalid="ignore", divide="ignore"):
            value, replicates = float(of(rows.sum(0, keepdims=True))[0]), of(summed)
        shown = {"group": "model", "label": label, "description": description, "kind": "score", "unit": unit}
        if not math.isfinite(value):
            return Measure.model_validate({**shown, "better": better, "note": "no human token can be predicted"})
        return Measure.model_validate(
            {
                **shown,
                "better": better,
                "value": value,
                "interval": interval(replicates, value),
                "basis": basis,
                "verdict": "no human side",
            }
        )

    return {
        "perplexity": made(
            "perplexity", "of human text, at temperature 1", lambda s: np.exp(s[:, 1] / s[:, 0]), "", "lower"
        ),
        "covered": made(
            "human tokens the sampler can draw",
            "tokens of human text that the deployment sampler gives a probability",
            lambda s: 100 * s[:, 2] / s[:, 0],
            "%",
            "higher",
        ),
        "sampler perplexity": made(
            "perplexity under the sampler",
            "of the human tokens that the deployment sampler can draw, under its law",
            lambda s: np.exp(s[:, 3] / s[:, 2]),
            "",
            "lower",
            of_sampler,
        ),
    }
