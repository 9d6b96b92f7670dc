"""The report at the end of a run: before and after, in the output directory and the model card."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from dft_plugin import DFTCallback
from dft_plugin.evaluation.result import Result
from dft_plugin.host import UnsupportedRunError
from dft_plugin.run_report import RunReport
from tests import tiny
from tests.training import term_options


def train(folder: Path, *, evaluate: bool = False, steps: int = 3, resume: bool = False, **options: Any) -> SFTTrainer:
    rows = tiny.plain_rows(60, characters=600)
    arguments = SFTConfig(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=2, logging_steps=1, report_to=[],
        save_strategy="steps", save_steps=2, use_cpu=True, disable_tqdm=True, max_length=128, seed=3,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=tiny.model(), args=arguments, train_dataset=Dataset.from_list(rows[:40]),
        eval_dataset=Dataset.from_list(rows[40:]) if evaluate else None,
        processing_class=tiny.tokenizer(), callbacks=[DFTCallback(**term_options(weight=0.5, **options))],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume or None)
    return trainer


@pytest.mark.parametrize("evaluate", [False, True])
def test_files_of_a_run(tmp_path: Path, evaluate: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = {"temperature": 0.7} if evaluate else {}
    plain = RunReport._row
    # What Python takes for line ends, and JSON does not.
    monkeypatch.setattr(
        RunReport, "_row", lambda self, *tokens: {**plain(self, *tokens), "prompt": "a\u2028b\u2029c\x85d"}
    )
    trainer = train(tmp_path, evaluate=evaluate, report=True, report_texts=40, rollout=sampler)
    earlier, result = (Result.load(tmp_path / f"dft-result{name}.json") for name in ("-before", ""))
    assert (earlier.name, result.name) == ("before training", "after training")
    assert (earlier.provenance.model, result.provenance.model) == (None, str(tmp_path))  # the tiny model has no name
    assert result.provenance.sampling is not None
    assert result.provenance.sampling.temperature == sampler.get("temperature", 1.0)
    before = [json.loads(line) for line in (tmp_path / "dft-before.jsonl").read_text().rstrip("\n").split("\n")]
    assert result.provenance.texts.texts == len(before) <= 40
    said = " ".join(result.notes)
    assert ("no evaluation set was given" in said) != evaluate
    page = (tmp_path / "dft-report.html").read_text()
    assert "before training" in page
    assert "after training" in page
    assert ("training, at temperature 0.74" in page) == evaluate  # the loss that calibration has logged
    card = (tmp_path / "README.md").read_text()
    assert "dft-plugin" in card
    assert card.count("## Distribution Fine-Tuning") == 1
    trainer.create_model_card()  # as a push to the hub does
    card = (tmp_path / "README.md").read_text()
    assert card.count("## Distribution Fine-Tuning") == 1


def test_without_a_report(tmp_path: Path) -> None:
    train(tmp_path, report=False)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("dft-")]


def test_a_report_without_its_packages_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "jinja2" else found(name, *rest)
    )
    with pytest.raises(UnsupportedRunError, match=r"jinja2, .*: `pip install 'dft-plugin\[report\]'`"):
        train(tmp_path, report=True, report_texts=40)
    assert not (tmp_path / "dft-before.jsonl").exists()
    train(tmp_path, report="auto", report_texts=40)
    assert not (tmp_path / "dft-before.jsonl").exists()


def test_a_resumed_run_keeps_what_was_written_at_its_beginning(tmp_path: Path) -> None:
    train(tmp_path, report=True, report_texts=40, steps=2)
    before = (tmp_path / "dft-before.jsonl").read_bytes()
    train(tmp_path, report=True, report_texts=40, steps=4, resume=True)
    assert (tmp_path / "dft-before.jsonl").read_bytes() == before


def test_a_report_changes_nothing_of_the_run(tmp_path: Path) -> None:
    losses = []
    for report in (True, False):
        trainer = train(tmp_path / str(report), report=report, report_texts=40)
        losses.append([line["loss"] for line in trainer.state.log_history if "loss" in line])
    assert losses[0] == losses[1]


def test_what_cannot_be_kept_at_the_start_costs_the_report_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "dft-before.jsonl").mkdir()
    trainer = train(tmp_path, report=True, report_texts=32)
    assert trainer.state.global_step == 3
    assert "dft: no report: what the model writes before training could not be kept" in caplog.text
    assert not (tmp_path / "dft-report.html").exists()


def test_a_report_that_fails_leaves_the_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: RunReport, trainer_state: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(RunReport, "after", broken)
    trainer = train(tmp_path, report=True, report_texts=40)
    assert trainer.state.global_step == 3
    assert "the report could not be written" in caplog.text
