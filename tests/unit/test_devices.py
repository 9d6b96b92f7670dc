"""The term on a device that is not the CPU: nothing of one device meets what is on the other.

Machines without a GPU have a labelled one (`tests/second_device.py`); `tests/gpu` has the numbers of a real one.
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import pytest
import torch

from dft_plugin import plugins
from dft_plugin.assembly import Setting, assemble
from dft_plugin.checkpoints import decode, encode
from dft_plugin.config import DFTConfig
from dft_plugin.documents import Document
from dft_plugin.drift import Drift
from dft_plugin.model_check import check_model
from dft_plugin.sharing import Processes
from dft_plugin.starting_model import starting_model
from dft_plugin.statistic_config import DEFAULT_STATISTICS
from tests import tiny
from tests.second_device import DEVICE, second_device

CRITIC = {"hidden_state": {"form": "critic"}}
CASES: dict[str, dict[str, Any]] = {
    "default": {"statistics": [*DEFAULT_STATISTICS]},
    "others": {
        "statistics": ["novelty", "ngram_rarity", "paragraph_length", "text_length", "entropy", CRITIC],
        "credit": 0.9,
    },
    "domain": {
        "statistics": [*DEFAULT_STATISTICS],
        "reference": "children",
        "credit": 1.0,
        "balance": "parameters",
    },
    "kernel": {
        "statistics": ["token_frequency", {"hidden_state": {"form": "random_fourier", "features": 32}}],
        "credit": 1.0,
        "balance": "parameters",
    },
    "distances": {
        "statistics": [
            {"name": "sentence_length", "distance": "mmd"},
            {"name": "token_frequency", "distance": "hellinger"},
            {"name": "punctuation_rhythm", "distance": "wasserstein"},
            {"name": "punctuation_frequency", "distance": "l2"},
            {"hidden_state": {"form": "linear"}},
        ],
        "credit": 0.5,
    },
}
ROLLOUT = {"batch_size": 6, "micro_batch_size": 4, "max_new_tokens": 48, "context_tokens": 16, "temperature": 0.8}


def test_every_statistic_is_in_a_case() -> None:
    entries = [entry for case in CASES.values() for entry in case["statistics"]]
    named = {entry if isinstance(entry, str) else entry.get("name") or next(iter(entry)) for entry in entries}
    assert named == set(plugins.statistics())


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_one_device_meets_the_other(name: str) -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    texts = [". ".join(text[start : start + 20] for start in (0, 20)) + ".\n\n" for text in tiny.paragraphs()[:400]]
    texts = [first + second for first, second in pairwise(texts)]
    tokenized = [(*tokenizer(text)["input_ids"], tokenizer.eos_token_id) for text in texts]
    documents = [Document(tokens, 0, len(tokens), False) for tokens in tokenized]
    config = DFTConfig.model_validate(
        {"reference_windows": 96, "rollout": {**ROLLOUT, "top_p": 0.95}, "report": False, **CASES[name]}
    )
    with second_device(model):
        term = assemble(config, Setting(model, tokenizer, None, Processes(), nullcontext, documents))
        assert term.device == DEVICE
        check_model(model, torch.tensor([tokenized[0]], device=DEVICE))
        term.drift = Drift(0.1, model, starting_model(model, resumed=False))
        for step in range(2):
            evaluation = term.evaluate(term.rollout(step), step)
            assert evaluation.finite
            for loss in term.surrogates(evaluation):
                loss.backward()
            term.load_state_dict(decode(encode(term.state_dict())))
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert any(bool(gradient.abs().sum() > 0) for gradient in gradients)


def test_the_labelled_device_notices() -> None:
    model = tiny.model("llama")
    with second_device(model):
        weight = next(model.parameters()).detach()
        assert weight.device == DEVICE
        assert (weight * 2).device == (weight + torch.ones((), dtype=weight.dtype)).device == DEVICE
        assert weight.cpu().device == torch.ones(2).device == torch.device("cpu")
        with pytest.raises(RuntimeError, match="on cuda:0 and, of shape"):
            weight * torch.ones(weight.shape[-1])
        with pytest.raises(TypeError, match="numpy"):
            weight.numpy()
