"""Sampling texts from the live model under the deployment sampler."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from dft_plugin.adapter_casts import without_input_casts
from dft_plugin.language_model import base_model, deterministic, text_config
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Texts, Window, stack


def seed_of(*parts: int) -> int:
    """A seed below 2**63 that depends on every part: (seed, step, rank) and a purpose."""
    digest = hashlib.sha256(",".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def forked_rng(device: torch.device, seed: int) -> Iterator[None]:
    """Seeds torch inside, and leaves its generators, Python's and NumPy's outside as if nothing had been drawn."""
    devices = [device] if device.type == "cuda" else []
    python, numpy = random.getstate(), np.random.get_state()  # data sets and collators draw from these
    try:
        with torch.random.fork_rng(devices=devices):
            # torch.manual_seed would seed every GPU, and only the device's own is restored.
            torch.default_generator.manual_seed(seed)
            if devices and torch.cuda.is_available():
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class RolloutEngine:
    """How text is sampled from the live model. Subclass, name it, register it with `dft_rollout_engines`.

    Attributes:
        name: the name users write in `rollout: {engine: ...}`.
    """

    name: ClassVar[str]

    def generate(
        self,
        model: nn.Module,
        contexts: Sequence[Sequence[int]],
        sampler: Sampler,
        max_new_tokens: int,
        end_of_text: Sequence[int],
        seed: int,
    ) -> list[list[int]]:
        """Continues each context.

        Args:
            model: the live model, its wrappers included.
            contexts: token ids, at least one each.
            sampler: the deployment sampler; the texts must be drawn from exactly this law, as a run finds out
                (`sampled_law`).
            max_new_tokens: longest continuation.
            end_of_text: ids that end a text; the one drawn is part of the result.
            seed: the same seed gives the same texts.

        Returns:
            The new tokens of each context, one at least.
        """
        raise NotImplementedError


class TransformersEngine(RolloutEngine):
    """transformers' own `generate`, left-padded, with its KV cache, in evaluation mode."""

    name = "transformers"

    @torch.no_grad()
    def generate(
        self,
        model: nn.Module,
        contexts: Sequence[Sequence[int]],
        sampler: Sampler,
        max_new_tokens: int,
        end_of_text: Sequence[int],
        seed: int,
    ) -> list[list[int]]:
        from transformers import GenerationConfig

        base = base_model(model)
        device = next(base.parameters()).device
        longest = max(len(context) for context in contexts)
        pad = end_of_text[0] if end_of_text else 0
        tokens = torch.full((len(contexts), longest), pad, dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, context in enumerate(contexts):
            tokens[row, longest - len(context) :] = torch.tensor(context)
            mask[row, longest - len(context) :] = 1
        options = GenerationConfig(
            max_new_tokens=max_new_tokens,
            use_cache=True,
            eos_token_id=list(end_of_text) or None,
            pad_token_id=pad,
            # A NaN would end the run inside `generate`; drawn from uniformly, it shows in the distances instead,
            # and the step is skipped and counted.
            remove_invalid_values=True,
            **sampler.generation_options(),
        )
        # The model's own generation defaults (penalties, suppressed tokens) would change the law.
        original, base.generation_config = base.generation_config, options
        try:
            with (
                deterministic(model, recompute=False),
                without_input_casts(model),
                without_router_logits(model),
                forked_rng(device, seed),
            ):
                output = base.generate(tokens.to(device), attention_mask=mask.to(device), generation_config=options)
        finally:
            base.generation_config = original
        return [until_end(row, end_of_text) for row in output[:, longest:].tolist()]


@contextmanager
def without_router_logits(model: nn.Module) -> Iterator[None]:
    """Experts' routers keep their logits to themselves: transformers' `generate` fails on them, padded to the left.

    TRL turns them on for the load-balancing loss of a mixture of experts, in which rollouts have no part.
    """
    config = text_config(model)
    wanted = getattr(config, "output_router_logits", None)
    if wanted:
        config.output_router_logits = False
    try:
        yield
    finally:
        if wanted:
            config.output_router_logits = wanted


def until_end(tokens: list[int], end_of_text: Sequence[int]) -> list[int]:
    """Tokens up to the first that ends a text, which is one of them."""
    for index, token in enumerate(tokens):
        if token in end_of_text:
            return tokens[: index + 1]
    return tokens


def continued(windows: Sequence[Window], generated: Sequence[Sequence[int]]) -> Texts:
    """The contexts of human windows with generated continuations in place of the human ones."""
    return stack(
        [
            Window(window.tokens[: window.first] + tuple(new), window.begin, window.first, window.starts_at_begin)
            for window, new in zip(windows, generated, strict=True)
        ]
    )


def describe(tokenizer: Any, texts: Texts, index: int) -> str:
    """Context and generated text of one rollout, as a person reads it."""
    first, end = int(texts.first[index]), int(texts.end[index])
    tokens = texts.tokens[index].tolist()
    return f"{tokenizer.decode(tokens[:first])} >>> {tokenizer.decode(tokens[first:end])}"
