"""Several kinds of contexts: acting steps take them in turn, each is matched by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dft_plugin.assembly import Setting, assemble
from dft_plugin.config import ConfigError, parse
from dft_plugin.documents import Document
from dft_plugin.sharing import Processes, share, share_in_turn
from dft_plugin.term import DistributionTerm
from dft_plugin.texts import Window
from tests import tiny
from tests.training import term_options

EACH = 3


def windows(first: int, count: int) -> list[Window]:
    return [Window((first + token, 1), 0, 1, True) for token in range(count)]


@pytest.mark.parametrize("first", [0, 1, 5])
def test_one_kind_is_drawn_as_ever(first: int) -> None:
    kind = windows(0, 40)
    assert share_in_turn([kind], EACH, Processes(), 7, first, 4) == share(kind, EACH, Processes(), 7, 4)


@pytest.mark.parametrize("first", [0, 1, 5])
def test_each_step_is_of_one_kind_and_the_next_of_the_next(first: int) -> None:
    kinds = [windows(100 * kind, 40) for kind in range(3)]
    drawn = share_in_turn(kinds, EACH, Processes(), 7, first, 5)
    found = [[window.tokens[0] // 100 for window in drawn[EACH * step : EACH * (step + 1)]] for step in range(5)]
    assert found == [[(first + step) % 3] * EACH for step in range(5)]
    assert len({window.tokens for window in drawn}) == len(drawn), "none twice before all are taken"


def test_two_processes_share_each_steps_kind_as_one_has_it() -> None:
    kinds = [windows(100 * kind, 40) for kind in range(2)]
    alone = share_in_turn(kinds, 2 * EACH, Processes(), 7, 1, 4)
    shares = [share_in_turn(kinds, EACH, Processes(rank, 2), 7, 1, 4) for rank in range(2)]
    for step in range(4):
        own = [window for part in shares for window in part[step * EACH : (step + 1) * EACH]]
        assert own == alone[2 * step * EACH : 2 * (step + 1) * EACH]


def term_of(folder: Path, prompts: str | list[str]) -> DistributionTerm:
    """A term whose training texts are the first 40 paragraphs; the others lie in others.jsonl."""
    tokenizer = tiny.tokenizer()
    tokenized = [tuple(tokenizer(paragraph)["input_ids"]) for paragraph in tiny.paragraphs()[:40]]
    documents = [Document(tokens, 0, len(tokens), False) for tokens in tokenized]
    rows = [json.dumps({"text": paragraph}) for paragraph in tiny.paragraphs()[40:80]]
    (folder / "others.jsonl").write_text("\n".join(rows), encoding="utf-8")
    options = term_options(weight="auto", statistics=["token_frequency", "sentence_length"], window_growth=0.5)
    options["rollout"] = {**options["rollout"], "prompts": prompts, "steps_per_generation": 3}
    setting = Setting(tiny.model("llama"), tokenizer, None, Processes(), documents=documents)
    return assemble(parse(options), setting)


def step(term: DistributionTerm, number: int) -> Any:
    return term.evaluate(term.rollout(number), number)


def test_each_kind_has_windows_of_its_own(tmp_path: Path) -> None:
    """The second kind's first distances are those of a term that saw nothing before, the first's go on."""
    both, alone = (term_of(tmp_path, prompts) for prompts in (["train", str(tmp_path / "others.jsonl")], "train"))
    first = both.rollout(0)
    both.evaluate(first, 0)
    texts = both.rollout(1)
    second, fresh = both.evaluate(texts, 1), alone.evaluate(texts, 1)
    assert [objective.window.growth for objective in both.objectives] == [0.5, 0.5]
    assert [objective.window.seen for objective in both.objectives] == [len(first), len(texts)]
    assert torch.equal(second.distances.loss, fresh.distances.loss)
    assert torch.equal(second.derivative, fresh.derivative)
    assert second.floors == fresh.floors
    texts = both.rollout(2)
    third = both.evaluate(texts, 2)
    alone = term_of(tmp_path, "train")
    alone.evaluate(first, 0)
    assert torch.equal(third.distances.loss, alone.evaluate(texts, 2).distances.loss)


def test_texts_continue_the_kinds_in_turn(tmp_path: Path) -> None:
    term = term_of(tmp_path, ["train", str(tmp_path / "others.jsonl")])
    heads = [{window.tokens[: window.first] for window in kind} for kind in term.contexts]
    assert not heads[0] & heads[1]
    for number in range(5):
        texts = term.rollout(number)
        for begin, first, tokens in zip(texts.begin, texts.first, texts.tokens, strict=True):
            assert tuple(tokens[int(begin) : int(first)].tolist()) in heads[number % 2]


def test_a_checkpoint_goes_on_with_the_kind_whose_turn_it_is(tmp_path: Path) -> None:
    prompts = ["train", str(tmp_path / "others.jsonl")]
    whole, before, after = (term_of(tmp_path, prompts) for _ in range(3))
    expected = [step(whole, number) for number in range(5)]
    for number in range(2):
        step(before, number)
    after.load_state_dict({name: tensor.clone() for name, tensor in before.state_dict().items()})
    for number in range(2, 5):
        found = step(after, number)
        assert torch.equal(found.derivative, expected[number].derivative)
        assert torch.equal(found.distances.loss, expected[number].distances.loss)


def test_a_checkpoint_of_other_kinds_is_refused(tmp_path: Path) -> None:
    one, two = (term_of(tmp_path, prompts) for prompts in ("train", ["train", str(tmp_path / "others.jsonl")]))
    for state, term in ((one, two), (two, one)):
        with pytest.raises(ValueError, match=r"resume with the `rollout\.prompts`"):
            term.load_state_dict(state.state_dict())


@pytest.mark.parametrize("prompts", [[], 3, [3], None])
def test_prompts_that_are_none(prompts: Any) -> None:
    with pytest.raises(ConfigError, match=r"rollout\.prompts"):
        parse({"rollout": {"prompts": prompts}})
