"""A run resumed from a checkpoint ends with the weights of the run that was never interrupted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import TrainerState

from dft_plugin import DFTCallback
from dft_plugin.checkpoints import decode, stored
from dft_plugin.term import DistributionTerm
from tests import tiny
from tests.training import Run, term_options, train, trainer_of

STEPS, HALFWAY = 8, 4
TERM = term_options(weight="auto", credit=0.5, window=18, window_growth=0.75)


def run(folder: Path, callbacks: list[Any], *, resume: bool = False, rows: Any = None, **options: Any) -> Run:
    settings = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "save_strategy": "steps",
        "save_steps": HALFWAY,
        "peft_config": LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", lora_dropout=0.1),
        **options,
    }
    trainer = trainer_of(tiny.model("llama"), rows or tiny.plain_rows(64), callbacks, **settings)
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{HALFWAY}") if resume else None)
    return Run(trainer, [], trainer.state.log_history)


def resumed_as_uninterrupted(folder: Path, term: dict[str, Any]) -> DistributionTerm:
    """The term at the end of a run, the same in every number, as the weights are, when it is resumed halfway."""
    before, after = DFTCallback(**term), DFTCallback(**term)
    whole = run(folder, [before])
    resumed = run(folder, [after], resume=True)
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    assert before.term is not None
    assert after.term is not None
    expected, found = before.term.state_dict(), after.term.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    return before.term


LEARNED = {"form": "critic", "critic_units": 4, "critic_learning_rate": 0.05}


@pytest.mark.parametrize("options", [{}, LEARNED], ids=["random Fourier", "critic"])
def test_resumed_hidden_states_are_the_uninterrupted_ones(options: dict[str, Any], tmp_path: Path) -> None:
    """The critic, its optimizer and the standardisation come from the checkpoint, not from the model it holds."""
    term = {**TERM, "statistics": ["token_frequency", {"hidden_state": options}]}
    whole = resumed_as_uninterrupted(tmp_path, term)
    assert whole.objective.window.reach > whole.objective.window.size, "the window has grown"
    expected = whole.state_dict()
    assert any(name.startswith("hidden_state/") for name in expected)
    assert int(expected["scored.turn"]) == STEPS - 1


def test_human_text_is_read_as_ever_where_the_term_first_acts_after_the_checkpoint(tmp_path: Path) -> None:
    term = {**TERM, "statistics": ["entropy", {"hidden_state": LEARNED}], "start_step": HALFWAY + 1}
    resumed_as_uninterrupted(tmp_path, term)


def test_checkpoint_of_another_critic_is_refused(tmp_path: Path) -> None:
    run(tmp_path, [DFTCallback(**{**TERM, "statistics": [{"hidden_state": LEARNED}]})])
    other = DFTCallback(**{**TERM, "statistics": [{"hidden_state": {**LEARNED, "critic_units": 8}}]})
    with pytest.raises(ValueError, match="resume with the `statistics`"):
        run(tmp_path, [other], resume=True)


def test_resumed_texts_are_those_that_waited(tmp_path: Path) -> None:
    """Of three steps' texts, sampled at the step before the checkpoint, two steps' wait in it."""
    term = {**TERM, "rollout": {**TERM["rollout"], "steps_per_generation": 3}}
    whole = run(tmp_path, [DFTCallback(**term)])
    kept = TrainerState.load_from_json(str(tmp_path / f"checkpoint-{HALFWAY}" / "trainer_state.json"))
    saved = decode(stored(kept, "DFTCallback")["saved"])
    assert len(saved["waiting.tokens"]) == 3 * term["rollout"]["batch_size"]
    assert int(saved["waiting.taken"]) == 1
    resumed = run(tmp_path, [DFTCallback(**term)], resume=True)
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)


def test_resumed_kinds_of_contexts_are_the_uninterrupted_ones(tmp_path: Path) -> None:
    """Three steps' texts are sampled at once, so that the checkpoint falls between two kinds."""
    others = tmp_path / "others.txt"
    others.write_text("\n\n".join(tiny.paragraphs()[80:120]), encoding="utf-8")
    rollout = {**TERM["rollout"], "prompts": ["train", str(others)], "steps_per_generation": 3}
    term = {**TERM, "rollout": rollout}
    whole = run(tmp_path, [DFTCallback(**term)])
    resumed = run(tmp_path, [DFTCallback(**term)], resume=True)
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    single = run(tmp_path / "single", [DFTCallback(**{**term, "rollout": {**rollout, "prompts": "train"}})])
    assert any(not torch.equal(whole.weights[name], single.weights[name]) for name in whole.weights)


@pytest.mark.parametrize("restoring", [False, True])
def test_resumed_run_is_the_uninterrupted_one(restoring: bool, tmp_path: Path) -> None:
    options = {"restore_callback_states_from_checkpoint": restoring}
    whole = run(tmp_path, [DFTCallback(**TERM)], **options)
    resumed = run(tmp_path, [DFTCallback(**TERM)], resume=True, **options)
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    keys = ("loss", "dft/loss", "dft/weight", "dft/gradient_ratio", "dft/distance/entropy", "dft/floor_ratio/entropy")
    for key in keys:
        assert [line[key] for line in whole.logs[HALFWAY:STEPS]] == [line[key] for line in resumed.logs[HALFWAY:STEPS]]


def test_the_checkpoint_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what the checkpoint keeps (window, running norm) another run results: the test above can fail."""
    whole = run(tmp_path, [DFTCallback(**TERM)])
    monkeypatch.setattr(DFTCallback, "_restore", lambda self, state: None)
    forgotten = run(tmp_path, [DFTCallback(**TERM)], resume=True, save_strategy="no")
    assert any(not torch.equal(whole.weights[name], forgotten.weights[name]) for name in whole.weights)


def test_checkpoint_written_without_the_term(tmp_path: Path) -> None:
    """The Trainer would raise KeyError at its next save for a callback the checkpoint does not know."""
    run(tmp_path, [])
    callback = DFTCallback(**TERM)
    resumed = run(tmp_path, [callback], resume=True, save_steps=2)
    assert callback.progress.acted == STEPS - HALFWAY - 1  # `auto` measures cross-entropy's norm at the first
    assert "DFTCallback" in resumed.trainer.state.stateful_callbacks


def test_checkpoint_of_other_statistics_is_refused(tmp_path: Path) -> None:
    run(tmp_path, [DFTCallback(**TERM)])
    other = DFTCallback(**{**TERM, "statistics": ["token_frequency", "novelty"]})
    with pytest.raises(ValueError, match="resume with the `statistics`"):
        run(tmp_path, [other], resume=True)


ALONE = {"statistics": [], "rollout": {"temperature": 0.7}}


def test_calibration_alone_goes_on(tmp_path: Path) -> None:
    whole = run(tmp_path, [DFTCallback(**ALONE)])
    resumed = run(tmp_path, [DFTCallback(**ALONE)], resume=True)
    plain = run(tmp_path / "plain", [])
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    assert any(not torch.equal(whole.weights[name], plain.weights[name]) for name in whole.weights)


def test_a_term_is_not_lost_where_a_run_goes_on_without_statistics(tmp_path: Path) -> None:
    run(tmp_path, [DFTCallback(**TERM)])
    with pytest.raises(ValueError, match=r"statistics is empty: resume with the `statistics`"):
        run(tmp_path, [DFTCallback(**ALONE)], resume=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"reference": "{other}"}, "reference 'train', here "),
        ({"rollout": {**TERM["rollout"], "max_new_tokens": 24}}, "rollout.max_new_tokens 16, here 24"),
        ({"rollout": {**TERM["rollout"], "context_tokens": 24}}, "rollout.context_tokens 32, here 24"),
    ],
)
def test_other_human_text_than_the_checkpoints_is_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    """The checkpoint holds it counted: the run would go on with the old one and say nothing."""
    run(tmp_path, [DFTCallback(**TERM)])
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(tiny.paragraphs()[80:160]), encoding="utf-8")
    if "reference" in changed:
        changed = {"reference": str(other)}
    with pytest.raises(ValueError, match=re.escape(said)):
        run(tmp_path, [DFTCallback(**{**TERM, **changed})], resume=True)


COUNTED = ["token_frequency", "sentence_length", {"ngram_frequency": {"n": [2, 3]}}]


@pytest.mark.parametrize(
    ("statistics", "said"),
    [
        (
            ["sentence_length", "token_frequency", {"ngram_frequency": {"n": [2, 3]}}],
            "token_frequency, sentence_length, ngram_frequency, here sentence_length, token_frequency, ngram_frequency",
        ),
        ([*COUNTED[:2], {"ngram_frequency": {"n": [3, 4]}}], "ngram_frequency: n [2, 3], here [3, 4]: resume with"),
        (
            [COUNTED[0], {"name": "sentence_length", "distance": "wasserstein"}, COUNTED[2]],
            "sentence_length: distance 'energy', here 'wasserstein': resume with the `statistics`",
        ),
    ],
    ids=["order", "option", "distance"],
)
def test_other_statistics_of_the_same_size_are_refused(statistics: list[Any], said: str, tmp_path: Path) -> None:
    """All have as many accumulators and components: one's would be taken for another's."""
    run(tmp_path, [DFTCallback(**{**TERM, "statistics": COUNTED})])
    with pytest.raises(ValueError, match=re.escape(said)):
        run(tmp_path, [DFTCallback(**{**TERM, "statistics": statistics})], resume=True)


def test_what_is_not_counted_may_change(tmp_path: Path) -> None:
    run(tmp_path, [DFTCallback(**{**TERM, "statistics": COUNTED})])
    written_out = {"name": "sentence_length", "distance": "energy", "weight": 3, "derivative_clip": 2}
    changed = {
        "statistics": [{"name": "token_frequency", "weight": 0.5}, written_out, COUNTED[2]],
        "calibration": 0.5,
        "window": 12,
        "rollout": {**TERM["rollout"], "temperature": 0.8},
    }
    resumed = DFTCallback(**{**TERM, **changed})
    run(tmp_path, [resumed], resume=True)
    assert resumed.progress.acted == STEPS - 1


def test_a_reference_in_another_folder_is_the_same(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "moved"):
        folder.mkdir(exist_ok=True)
        (folder / "human.txt").write_text("\n\n".join(tiny.paragraphs()[80:160]), encoding="utf-8")
    run(tmp_path, [DFTCallback(**{**TERM, "reference": str(tmp_path / "human.txt")})])
    resumed = DFTCallback(**{**TERM, "reference": str(tmp_path / "moved" / "human.txt")})
    run(tmp_path, [resumed], resume=True)
    assert resumed.progress.acted == STEPS - 1


def test_training_twice_with_one_trainer() -> None:
    """The hooks of the first `train()` are replaced, not doubled."""
    once, twice = DFTCallback(**TERM), DFTCallback(**TERM)
    first = train(tiny.model("llama"), tiny.plain_rows(64), once, max_steps=3)
    trainer = trainer_of(tiny.model("llama"), tiny.plain_rows(64), [twice], max_steps=3)
    trainer.train()
    counted: list[int] = []
    original = twice._on_gradients_ready
    twice._on_gradients_ready = lambda: (counted.append(1), original())[1]  # type: ignore[method-assign]
    trainer.train()
    assert first.logs[1]["dft/gradient_ratio"] > 0
    assert len(counted) == 3


def test_human_text_that_has_changed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    term, said = term_options(weight=0.5), "the human text is not the checkpoint's any more"
    run(tmp_path, [DFTCallback(**term)])
    run(tmp_path, [DFTCallback(**term)], resume=True)
    assert said not in capsys.readouterr().err
    run(tmp_path, [DFTCallback(**term)], resume=True, rows=tiny.plain_rows(96)[32:])
    assert said in capsys.readouterr().err
