"""The human side of statistics that are measured under the model: of the model the term acts on, of all its windows."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor

from dft_plugin.assembly import Setting, assemble
from dft_plugin.config import parse
from dft_plugin.documents import Document
from dft_plugin.human_under_model import CARRIED_OVER
from dft_plugin.objective import floor_ratios
from dft_plugin.reference.human_side import of_rows
from dft_plugin.rollout import continued
from dft_plugin.sharing import Processes
from dft_plugin.term import DistributionTerm
from dft_plugin.texts import Texts, Window
from tests import tiny
from tests.training import term_options

UNDER_MODEL: list[Any] = ["entropy", {"hidden_state": {"features": 16}}]
LENGTH = 16


def pieces() -> list[tuple[int, ...]]:
    """Human text in pieces as long as a rollout, in random order."""
    tokens = tiny.tokenizer()(" ".join(tiny.paragraphs()))["input_ids"]
    found = [tuple(tokens[start : start + LENGTH]) for start in range(0, len(tokens) - LENGTH, LENGTH)]
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0)).tolist()
    return [found[index] for index in order]


def made(windows: int, statistics: list[Any] = UNDER_MODEL, **options: Any) -> DistributionTerm:
    """A term whose human windows are answers of one length to prompts of one token."""
    documents = [Document((9, *piece), 1, 1 + LENGTH, True) for piece in pieces()[:windows]]
    config = parse(
        {**term_options(**options), "statistics": statistics, "weight": 0, "reference_windows": windows},
    )
    return assemble(config, Setting(tiny.model("llama"), tiny.tokenizer(), None, Processes(), documents=documents))


def evaluated(term: DistributionTerm, step: int, count: int = 6) -> dict[str, float]:
    """The floor ratios of human text that no window holds, in the place of rollouts."""
    texts = pieces()[1024 + step * count : 1024 + (step + 1) * count]
    evaluation = term.evaluate(continued([Window((9,), 1, 1, True)] * count, texts), step)
    raw = evaluation.distances.raw
    return {name: ratio for name in raw for ratio in floor_ratios(raw[name], evaluation.floors[name]).values()}


def trained_on(term: DistributionTerm, seed: int) -> None:
    """Another model in the place of the live one, as training leaves it."""
    term.live.module.load_state_dict(tiny.model("llama", seed=seed).state_dict())


def part(term: DistributionTerm, human: Tensor) -> Tensor:
    return torch.cat([human[term.objective.accumulation.part(entry.statistic)] for entry in term.objective.matched])


def test_the_first_acting_step_measures_the_model_it_acts_on() -> None:
    """Human side, floors, what hidden states are standardised by: nothing is left of the model training began with."""
    term, other = made(64), made(64)
    for each in (term, other):
        trained_on(each, seed=1)
    evaluated(term, 0)
    rows = other.human_text.begin()
    torch.testing.assert_close(part(term, term.human), rows.mean(0))
    expected = of_rows(rows).floors(other.human_text.measured, other.objective.matched)
    for name, curves in expected.items():
        for component, curve in curves.items():
            assert term.curves[name][component].at(64) == pytest.approx(curve.at(64), rel=1e-6)
            assert other.curves[name][component].at(64) != pytest.approx(curve.at(64), rel=0.05)


def test_windows_are_read_again_in_turn() -> None:
    """Two windows a step (8 texts), those of longest ago; the others are moved by a part of how these have changed, and
    the mean is over all of them."""
    term = made(33, rollout={"batch_size": 8})
    evaluated(term, 0, 8)
    assert term.human_text.rows is not None
    for step, turn in enumerate([*([2 * step, 2 * step + 1] for step in range(16)), [32, 0]], start=1):
        before = term.human_text.rows
        trained_on(term, seed=step)
        evaluated(term, step, 8)
        rows = term.human_text.rows
        torch.testing.assert_close(rows[turn], term.human_text._read([term.human_text.scored[index] for index in turn]))
        rest = [index for index in range(33) if index not in turn]
        moved = CARRIED_OVER * (rows[turn] - before[turn]).mean(0)
        torch.testing.assert_close(rows[rest], before[rest] + moved)
        torch.testing.assert_close(part(term, term.human), rows.mean(0))


def test_what_learns_reads_windows_that_are_never_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """And others at each step."""
    text = made(64, [{"hidden_state": {"form": "critic"}}]).human_text
    original, read = text.hidden_of, []

    def hidden_of(texts: Texts) -> Tensor:
        read.extend(map(tuple, texts.tokens.tolist()))
        return original(texts)

    monkeypatch.setattr(text, "hidden_of", hidden_of)
    for step in range(4):
        text.learn(step, [torch.zeros(4, tiny.model("llama").config.hidden_size)])
    assert len(read) == 4 * text.each
    assert len(set(read)) > text.each
    assert set(read) <= {window.tokens for window in text.studied}
    assert not set(read) & {window.tokens for window in text.scored}


def test_the_human_side_follows_a_model_that_learns() -> None:
    """Its weights move on evenly: long before all 64 windows are read again their mean is near what it is."""
    term = made(64, rollout={"batch_size": 8})
    begin, end = (tiny.model("llama", seed=seed).state_dict() for seed in (0, 1))
    start = None
    for step in range(9):
        mixed = {name: begin[name] + 0.02 * step * (end[name] - begin[name]) for name in begin}
        term.live.module.load_state_dict(mixed)
        evaluated(term, step, 8)
        start = part(term, term.human) if start is None else start
    now = term.human_text._read(term.human_text.scored).mean(0)
    assert start is not None
    assert float((part(term, term.human) - now).norm()) < 0.6 * float((start - now).norm())


def test_a_step_that_is_not_finite_leaves_the_human_side_as_it_was() -> None:
    term = made(64)
    evaluated(term, 0)
    rows, human, turn = term.human_text.rows, term.human, term.human_text.turn
    assert rows is not None
    weight = next(term.live.module.parameters())
    kept = weight.detach().clone()
    weight.data.fill_(float("nan"))
    evaluated(term, 1)
    assert term.human_text.rows is rows
    assert term.human is human
    assert term.human_text.turn == turn
    weight.data.copy_(kept)
    evaluated(term, 2)
    assert bool(term.human.isfinite().all())


def test_a_first_step_that_is_not_finite_is_taken_again() -> None:
    term, other = made(64), made(64)
    weight = next(term.live.module.parameters())
    kept, curves = weight.detach().clone(), term.curves
    weight.data.fill_(float("nan"))
    evaluated(term, 0)
    assert term.human_text.rows is None
    assert term.curves == curves
    weight.data.copy_(kept)
    assert evaluated(term, 1) == evaluated(other, 1)


def test_human_text_is_at_its_floor() -> None:
    """What is compared is of as many windows as its floors are: human text by construction has a ratio of about 1.

    Of hidden states: entropy is surprisal, which a random model's is not.
    """
    term = made(256, rollout={"batch_size": 16})
    found = [evaluated(term, step, 16)["hidden_state"] for step in range(32)]
    assert 0.4 < fmean(found[16:]) < 1.6, found


def test_another_number_of_windows_than_the_checkpoints() -> None:
    term = made(64)
    evaluated(term, 0)
    with pytest.raises(
        ValueError, match=r"read 64 human windows, this run has 48: resume with the `reference_windows`"
    ):
        made(48).load_state_dict(term.state_dict())


def test_other_findings_than_the_checkpoints() -> None:
    term = made(64)
    late = {**term.state_dict(), "entropy/late": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"other things \(entropy/late\): resume with the `statistics`"):
        term.load_state_dict(late)
