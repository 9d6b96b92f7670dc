"""A data set that can be read only once: the human side comes from the batches as training takes them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

from dft_plugin import DFTCallback
from dft_plugin.callback import DistributionTermError
from dft_plugin.evaluation.result import Result
from dft_plugin.gathering import can_be_read_once
from dft_plugin.training_documents import UsedUpError
from tests import tiny
from tests.training import term_options


class Once(torch.utils.data.IterableDataset):
    """Rows of a stream: its own iterator."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self.rows = rows
        self.taken = 0

    def __iter__(self) -> Once:
        return self

    def __next__(self) -> dict[str, Any]:
        row = next(self.rows)
        self.taken += 1
        return row


def stream(count: int) -> Once:
    tokenizer = tiny.tokenizer()
    rows = itertools.cycle(tiny.plain_rows(count))
    return Once({"input_ids": tokenizer(row["text"])["input_ids"]} for row in rows)


def train(
    folder: Path, data: torch.utils.data.IterableDataset, steps: int, **options: Any
) -> tuple[Trainer, DFTCallback]:
    callback = DFTCallback(**term_options(weight=0.5, **options))
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, logging_steps=1, report_to=[],
        save_strategy="steps", save_steps=2, use_cpu=True, disable_tqdm=True, dataloader_num_workers=0,
    )  # fmt: skip
    collator = DataCollatorForLanguageModeling(tiny.tokenizer(), mlm=False)
    trainer = Trainer(
        tiny.model(), arguments, collator, train_dataset=data,
        processing_class=tiny.tokenizer(), callbacks=[callback],
    )  # fmt: skip
    trainer.train()
    return trainer, callback


def test_the_term_acts_once_enough_has_come_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = stream(60)
    trainer, callback = train(tmp_path, data, steps=10, reference_windows=96)
    assert data.taken < 60  # training alone has read it, a little ahead
    said = capsys.readouterr().err
    assert "the term acts after 96 windows" in said
    assert "Distribution Fine-Tuning is active" in said
    lines = [line for line in trainer.state.log_history if "loss" in line]
    acted = ["dft/loss" in line for line in lines]
    assert not acted[0]  # nothing had come by
    assert acted[-1]
    assert acted == sorted(acted)
    assert callback.progress.acted == sum(acted)
    assert callback.term is not None
    assert len(callback.term.contexts[0]) == 96


def test_the_report_of_a_stream(tmp_path: Path) -> None:
    """Its texts before training are this run's, though an earlier one's lie there, and it says when they were drawn."""
    before = tmp_path / "dft-before.jsonl"
    before.write_text(json.dumps({"prompt": "Another", "text": "run."}) + "\n", encoding="utf-8")
    _, callback = train(tmp_path, stream(60), steps=10, reference_windows=96, report=True, report_texts=40)
    assert len(before.read_text(encoding="utf-8").splitlines()) == 40
    acted = callback.progress.acted
    said = f"what is called before training was written at step {10 - acted}"
    assert said in Result.load(tmp_path / "dft-result.json").notes


def test_a_run_that_ends_before_says_so(tmp_path: Path) -> None:
    with pytest.raises(DistributionTermError, match=r"of 512 human windows had come by"):
        train(tmp_path, stream(60), steps=2, reference_windows=2048)


def test_a_source_that_reading_uses_up_is_refused(tmp_path: Path) -> None:
    """Each iterator is a new one, of the same generator: nothing tells that it can be read once before it was."""

    class Shared(torch.utils.data.IterableDataset):
        source = iter([next(stream(60)) for _ in range(60)])

        def __iter__(self) -> Iterator[dict[str, Any]]:
            yield from self.source

    with pytest.raises(UsedUpError, match=r"no row left after its 60 were read .* Open the source"):
        train(tmp_path, Shared(), steps=2, reference_windows=512)


def test_which_data_sets_are_read_once() -> None:
    from datasets import Dataset

    rows = Dataset.from_list(tiny.plain_rows(4))
    assert can_be_read_once(stream(3))
    assert not can_be_read_once(rows)
    assert not can_be_read_once(rows.to_iterable_dataset())
    assert not can_be_read_once([{"input_ids": [1, 2]}])
