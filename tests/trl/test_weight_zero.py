"""`weight: 0` only measures: the weights are those of plain SFT, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig

from dft_plugin import DFTCallback
from tests import tiny
from tests.training import term_options, train

LORA = {
    "peft_config": LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", lora_dropout=0.1),
}
RUNS: dict[str, dict[str, Any]] = {
    "full": {"gradient_accumulation_steps": 2},
    "lora": {**LORA, "gradient_accumulation_steps": 2},
    "packing": {**LORA, "packing": True, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
    "checkpointing": {**LORA, "gradient_checkpointing": True, "max_grad_norm": 0.1},
    "bf16": {"bf16": True},
}


@pytest.mark.parametrize("run", RUNS)
def test_weights_are_those_of_plain_sft(run: str) -> None:
    options = {"max_steps": 4, **RUNS[run]}
    model, rows = tiny.model("llama", attention_dropout=0.1), tiny.plain_rows(64)
    plain = train(model, rows, **options)
    callback = DFTCallback(**term_options(weight=0, credit=0.5, rollout={"temperature": 0.7}))
    measured = train(model, rows, callback, **options)
    assert callback.progress.acted == 4
    assert all("dft/distance/entropy" in line for line in measured.logs[:4])
    before, after = plain.weights, measured.weights
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [line.get("loss") for line in plain.logs] == [line.get("loss") for line in measured.logs]
    # What would make this test pass for the wrong reason: a run that trains nothing, or a term without effect.
    start = model.state_dict()
    assert any(not torch.equal(after[name], start[name]) for name in after if name in start) or "peft_config" in options
    acting = train(model, rows, DFTCallback(**term_options(weight=0.5)), **options).weights
    assert any(not torch.equal(before[name], acting[name]) for name in before)
