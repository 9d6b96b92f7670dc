"""Reference files: complete, unaltered, ours, of this tokenizer; and the floors that come from the folds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dft_plugin import plugins
from dft_plugin.config import parse
from dft_plugin.distances import default_options
from dft_plugin.law import observed_law
from dft_plugin.objective import Accumulation, Matched
from dft_plugin.reference import Reference, ReferenceError, build, floors
from dft_plugin.reference.accumulated import FOLDS, LEAST_WINDOWS, describe
from dft_plugin.reference.human_floor import FloorCurve
from dft_plugin.statistics.base import Statistic
from dft_plugin.texts import Texts, Window, stack
from tests.chain import TOKENS, Chain, vocabulary

NAMES = ("token_frequency", "ngram_frequency", "sentence_length", "punctuation_rhythm", "novelty", "sentence_opening")
OPTIONS: dict[str, dict[str, Any]] = {
    "ngram_frequency": {"n": (2,), "size": 64},
    "sentence_length": {"longest": 8},
    "punctuation_rhythm": {"longest": 8},
    "novelty": {"n": (1, 2)},
}
METADATA = {"tokenizer": "chain" * 4, "sampling": {"max_new_tokens": 12, "context_tokens": 1}}


def statistics(names: Sequence[str] = NAMES, **changed: Any) -> list[Statistic]:
    made = []
    for name in names:
        kind = plugins.statistic(name)
        options = {**OPTIONS.get(name, {}), **changed.get(name, {})}
        made.append(kind(vocabulary(), kind.Options.model_validate(options)))
    return made


def match(made: Sequence[Statistic], distance: str | None = None) -> list[Matched]:
    matched = []
    for statistic in made:
        chosen = plugins.distance(distance or statistic.distance)
        options = default_options(chosen.name, statistic.support)
        matched.append(Matched(statistic, partial(chosen.function, **options)))
    return matched


@cache
def human(count: int, seed: int = 0) -> tuple[Window, ...]:
    """Windows as a person would have written them: texts of a chain."""
    generator = torch.Generator().manual_seed(seed)
    cut = windows(Chain.random(11, horizon=12).sample(count, generator))
    # The chain takes its contexts in turn, and so would the folds.
    return tuple(cut[index] for index in torch.randperm(count, generator=generator).tolist())


def windows(texts: Texts) -> tuple[Window, ...]:
    return tuple(
        Window(
            tuple(texts.tokens[row, : int(texts.end[row])].tolist()),
            int(texts.begin[row]),
            int(texts.first[row]),
            bool(texts.starts_at_begin[row]),
        )
        for row in range(len(texts))
    )


def made_reference(count: int = 64, names: Sequence[str] = NAMES) -> Reference:
    return build(Accumulation(statistics(names), len(TOKENS)), human(count), metadata=METADATA)


def accumulated(accumulation: Accumulation, given: Sequence[Window]) -> Tensor:
    plan = accumulation.plan(stack(given))
    return accumulation.accumulate(plan, observed_law(plan.texts, plan.request))


# Files.


def test_save_and_load(tmp_path: Path) -> None:
    made = made_reference()
    made.save(tmp_path / "a.safetensors")
    loaded = Reference.load(tmp_path / "a.safetensors")
    assert torch.equal(loaded.windows, made.windows)
    assert loaded.metadata == json.loads(json.dumps(made.metadata))
    assert set(loaded.folds) == set(NAMES)
    for name, folds in made.folds.items():
        assert torch.equal(loaded.folds[name], folds)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]  # nothing half-written is left


def test_files_are_stable_byte_by_byte(tmp_path: Path) -> None:
    """The same text gives the same file, and what was loaded is written as it was."""
    for name, reference in (("a", made_reference()), ("b", made_reference())):
        reference.save(tmp_path / name)
    Reference.load(tmp_path / "a").save(tmp_path / "c")
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1
    other = build(Accumulation(statistics(), len(TOKENS)), human(64, seed=1), metadata=METADATA)
    other.save(tmp_path / "d")
    assert (tmp_path / "d").read_bytes() not in contents


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "human.safetensors"
    made_reference().save(path)
    return path


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ReferenceError, match="no such file"):
        Reference.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(ReferenceError, match="no such file"):
        Reference.load(tmp_path)  # a folder


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "human.safetensors"
    path.write_bytes(b"")
    with pytest.raises(ReferenceError, match=r"0 bytes.*dft reference build"):
        Reference.load(path)


@pytest.mark.parametrize("kept", [1, 7, 8, 100, -1])
def test_truncated(tmp_path: Path, kept: int) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ReferenceError, match="truncated"):
        Reference.load(path)


def test_no_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "human.safetensors"
    path.write_text("It is a text, not a reference.\n" * 20)
    with pytest.raises(ReferenceError, match="no safetensors file"):
        Reference.load(path)


@pytest.mark.parametrize("what", ["number", "metadata"])
def test_altered(tmp_path: Path, what: str) -> None:
    path = saved(tmp_path)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        record = file.metadata()
    if what == "number":
        tensors["token_frequency"][3, 1] += 1
    else:
        record["reference"] = record["reference"].replace("chainchain", "otherother")
    save_file(tensors, path, metadata=record)
    with pytest.raises(ReferenceError, match="altered"):
        Reference.load(path)


def test_every_byte_is_under_guard(tmp_path: Path) -> None:
    """A flipped bit anywhere in the numbers is found."""
    path = saved(tmp_path)
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    for at in range(begin, len(content), (len(content) - begin) // 20):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ReferenceError, match="altered"):
            Reference.load(path)


def test_somebody_elses_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"lm_head.weight": torch.zeros(4, 4)}, path)
    with pytest.raises(ReferenceError, match="no reference of dft-plugin"):
        Reference.load(path)
    save_file({"lm_head.weight": torch.zeros(4, 4)}, path, metadata={"format": "pt"})  # transformers writes this
    with pytest.raises(ReferenceError, match="no reference of dft-plugin"):
        Reference.load(path)


def test_of_another_format_version(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with safe_open(path, framework="pt") as file:
        record = file.metadata()
    save_file(load_file(path), path, metadata={**record, "format_version": "99"})
    with pytest.raises(ReferenceError, match="format version 99"):
        Reference.load(path)


# Whether a file fits the run.


def check(made: Sequence[Statistic], reference: Reference | None = None, **changed: Any) -> None:
    given = {"fingerprint": METADATA["tokenizer"], "sampling": METADATA["sampling"], **changed}
    (reference or made_reference()).check("human.safetensors", made, given["fingerprint"], given["sampling"])


def test_a_fitting_file_is_taken(tmp_path: Path) -> None:
    check(statistics())
    check(statistics(NAMES[:2]))  # a run may use fewer
    check([*statistics(), *statistics(["entropy"])])  # measured under the model, in no file
    check(statistics(), Reference.load(saved(tmp_path)))


def test_of_another_tokenizer() -> None:
    with pytest.raises(ReferenceError, match=r"another tokenizer.*dft reference build"):
        check(statistics(), fingerprint="something else")


@pytest.mark.parametrize("key", ["max_new_tokens", "context_tokens"])
def test_of_other_windows(key: str) -> None:
    sampling = {**METADATA["sampling"], key: 77}  # type: ignore[dict-item]
    with pytest.raises(ReferenceError, match=f"rollout.{key} 77"):
        check(statistics(), sampling=sampling)


def test_without_a_statistic() -> None:
    with pytest.raises(ReferenceError, match=r"holds no novelty; it holds token_frequency, ngram_frequency"):
        check(statistics(), made_reference(names=NAMES[:2] + NAMES[2:4]))


def test_of_other_options() -> None:
    with pytest.raises(ReferenceError, match=r"sentence_length.*'longest': 8.*'longest': 9"):
        check(statistics(sentence_length={"longest": 9}))


def test_of_an_older_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = made_reference()
    monkeypatch.setattr(plugins.statistic("novelty"), "version", 2)
    with pytest.raises(ReferenceError, match="novelty"):
        check(statistics(), reference)


def test_options_of_a_file_survive_it(tmp_path: Path) -> None:
    """Tuples and numbers come back from JSON as what a run's own options are compared with."""
    loaded = Reference.load(saved(tmp_path))
    for statistic in statistics():
        assert loaded.metadata["statistics"][statistic.name] == describe(statistic)


# Building.


@pytest.mark.parametrize("count", [0, 1, LEAST_WINDOWS - 1])
def test_too_few_windows(count: int) -> None:
    accumulation = Accumulation(statistics(["token_frequency"]), len(TOKENS))
    given = [Window((3,) * 41, 0, 1, True)] * count
    with pytest.raises(ReferenceError, match=f"{count} windows") as caught:
        build(accumulation, given, metadata={})
    assert f"about {LEAST_WINDOWS * (40 if count else 1):,} tokens" in str(caught.value)


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
@pytest.mark.parametrize("count", [32, 33, 71])
def test_folds_hold_every_window_once(count: int, batch_size: int) -> None:
    accumulation = Accumulation(statistics(), len(TOKENS))
    done: list[int] = []
    reference = build(accumulation, human(count), metadata={}, batch_size=batch_size, progress=done.append)
    assert reference.windows.tolist() == [len(range(fold, count, FOLDS)) for fold in range(FOLDS)]
    assert done[-1] == count
    own = accumulated(accumulation, human(count))
    folds = reference.joined(accumulation)
    torch.testing.assert_close(folds.sum(0), own.sum(0))
    torch.testing.assert_close(folds[3], own[3::FOLDS].sum(0))
    assert reference.metadata["windows"] == count


def test_statistics_the_file_lacks_are_joined_as_zeros() -> None:
    reference = made_reference(names=["token_frequency"])
    accumulation = Accumulation(statistics(["entropy", "token_frequency"]), len(TOKENS))
    accumulation.plan(stack(human(2)))
    joined = reference.joined(accumulation)
    assert joined.shape == (FOLDS, 2 + len(TOKENS))
    assert float(joined[:, :2].abs().sum()) == 0
    assert torch.equal(joined[:, 2:], reference.folds["token_frequency"])


def test_the_run_says_how_many_tokens_are_needed(tmp_path: Path) -> None:
    from dft_plugin.assembly import cut_windows
    from dft_plugin.documents import Document

    config = parse({"rollout": {"max_new_tokens": 50}})
    short = [Document(tuple([3] * 120), 0, 120, False)]
    with pytest.raises(ReferenceError, match=r"my text has 120 tokens.*2 windows of 50.*about 1,600 tokens"):
        cut_windows(config, short, from_start=False, name="my text")


# Floors.


def test_floor_curve() -> None:
    curve = FloorCurve(log_scale=0.0, exponent=1.0, reference=1000.0)
    assert curve.at(10) == pytest.approx(0.1 + 0.001)
    assert curve.at(1000) == pytest.approx(0.002)


# A sample's distance from another falls as 1/n where it is a square, as its root where it is a difference.
CASES = [
    ("token_frequency", "jensen_shannon", 1.0),
    ("token_frequency", "l2", 1.0),
    ("ngram_frequency", "l2", 1.0),
    ("sentence_length", "energy", 1.0),
    ("sentence_length", "wasserstein", 0.5),
    ("punctuation_rhythm", "energy", 1.0),
    ("novelty", "energy", 1.0),
    ("sentence_opening", "jensen_shannon", 1.0),
]


@pytest.mark.parametrize(("name", "distance", "exponent"), CASES, ids=[f"{name}-{how}" for name, how, _ in CASES])
def test_floors_agree_with_two_disjoint_human_samples(name: str, distance: str, exponent: float) -> None:
    """Measured from 2048 windows in folds, against drawing small and large human samples that do not overlap.

    The floor is that of a sample against the whole reference; here against one of 20,000 windows.
    """
    made = statistics([name])
    accumulation, matched = Accumulation(made, len(TOKENS)), match(made, distance)
    measured = []
    for seed in range(12):  # floors of a single rate are noisy: each may be off by a factor of 3, their mean not
        reference = build(accumulation, human(2048, seed), metadata={}, batch_size=2048)
        measured.append(floors(accumulation, matched, reference.joined(accumulation), reference.windows)[name])
    large = accumulated(accumulation, human(20_000, seed=15)).sum(0)
    fresh = accumulated(accumulation, human(40_000, seed=16))
    components = set(accumulation.summarize(made[0], large))
    for component in components:
        curves = [replace(curves[component], reference=20_000.0) for curves in measured]
        target = accumulation.summarize(made[0], large)[component]
        for size in (64, 256):
            samples = fresh[: len(fresh) // size * size].view(-1, size, fresh.shape[1]).sum(1)
            values = matched[0].distance(accumulation.summarize(made[0], samples)[component], target)
            ratios = [curve.at(size) / float(values.mean()) for curve in curves]
            assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.3), (component, size, ratios)
            assert all(1 / 3 < ratio < 3 for ratio in ratios), (component, size, ratios)
        for curve in curves:
            assert curve.at(64) > curve.at(128) > curve.at(1024)
        assert sum(curve.exponent for curve in curves) / len(curves) == pytest.approx(exponent, abs=0.2)


def test_a_component_that_never_varies_has_no_floor() -> None:
    """No parentheses in the human text: nothing to compare with, and the statistic goes on with its commas."""
    tables = vocabulary((None, b".", b" a b", b" c", b"(", b",\n"))
    kind = plugins.statistic("punctuation_rhythm")
    rhythm = kind(tables, kind.Options(longest=8))  # type: ignore[call-arg]
    given = [
        replace(window, tokens=tuple(3 if token == 4 else token for token in window.tokens)) for window in human(256)
    ]
    accumulation = Accumulation([rhythm], len(TOKENS))
    reference = build(accumulation, given, metadata={})
    curves = floors(accumulation, match([rhythm]), reference.joined(accumulation), reference.windows)
    assert set(curves["punctuation_rhythm"]) == {"comma"}


def test_a_statistic_of_which_human_text_shows_nothing() -> None:
    accumulation = Accumulation(statistics(["sentence_length"]), len(TOKENS))
    given = [Window((3,) * 12, 0, 1, True)] * 64  # one long sentence, never ended
    reference = build(accumulation, given, metadata={})
    with pytest.raises(ReferenceError, match="human text shows nothing of sentence_length"):
        floors(accumulation, match(accumulation.statistics), reference.joined(accumulation), reference.windows)
