"""Tables and the plot: the numbers of the description are in them, whatever it lacks."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console, RenderableType

from dft_plugin.cli import commands
from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.description import Description, IntervalLaw, describe
from dft_plugin.reference.domain_count import count_domain
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.named import described as described_by_name
from dft_plugin.reference.named import load, mergeable
from dft_plugin.reference.plot import _rhythm, plot
from dft_plugin.reference.show import list_references, number, percent, ranges, show
from tests import described, tiny


def printed(renderable: RenderableType, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    folder = tmp_path_factory.mktemp("shown")
    texts = [
        text for passage in (described.ORNATE, described.PLAIN) for text in described.texts_in_the_style_of(passage, 30)
    ]
    return folder, described.build(folder, texts, rollout={"max_new_tokens": 96, "context_tokens": 6})


@pytest.fixture(scope="module")
def ornate(built: tuple[Path, Reference]) -> Description:
    return describe(built[1], "ornate")


EMPTY = described.bare(["...", ""], name="empty")


def test_the_tables_hold_the_numbers(ornate: Description) -> None:
    text = printed(show(ornate))
    assert f"60 documents, {ornate.words:,} words, {ornate.tokens:,} tokens in {ornate.windows:,} windows" in text
    assert ornate.provenance["content"] in text
    comma = ornate.marks["comma"]
    assert f"commas {number(comma.per_thousand_words)} one in {number(comma.words_between)} words" in squeezed(text)
    for statistic, components in ornate.floors.items():
        assert statistic in text
        for component, curve in components.items():
            lines = [line for line in text.splitlines() if component in line.split()]
            assert any(number(curve.at(256)) in line for line in lines), (statistic, component)
    assert ornate.sentence is not None
    assert f"mean {ornate.sentence.mean:.1f} words" in text
    for n in (1, 2, 3, 4):
        phrase, (count, _) = next(iter(ornate.phrases[n].items()))
        assert f"{phrase} {number(1000 * count / ornate.words)}" in text
    word, count = next(iter(ornate.openings.items()))
    assert f"{word} {percent(count / ornate.sentences)}" in text


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_ranges_hold_all_sentences() -> None:
    law = IntervalLaw(tuple(np.arange(1, 66) / np.arange(1, 66).sum()))
    found = dict(ranges(law, (5, 10, 40, 64, 100)))
    assert list(found) == ["1 to 5", "6 to 10", "11 to 40", "41 to 64", "over 64"]
    assert found["1 to 5"] == pytest.approx(15 / 2145)
    assert found["over 64"] == pytest.approx(65 / 2145)
    assert sum(found.values()) == pytest.approx(1)


def test_square_brackets_in_text_are_text() -> None:
    said = replace(described.bare(["a word"], "[red]x[/red]"), provenance={"corpus": "[bold]b"}, notes=["[/] note"])
    text = printed(show(said))
    assert "[bold]b" in text
    assert "[/] note" in text
    assert "[red]x[/red]" in text


def test_numbers_keep_three_digits() -> None:
    assert [number(value) for value in (0, 0.00012345, 0.5, 12.34, 99.96, 1234.5)] == [
        "0",
        "0.000123",
        "0.5",
        "12.3",
        "100",
        "1,234",
    ]
    assert [percent(value) for value in (0, 0.0123, 0.0996, 0.5)] == ["0.0 %", "1.2 %", "10 %", "50 %"]


@pytest.mark.parametrize("width", [40, 200])
def test_an_empty_description_is_shown(width: int) -> None:
    assert "0 words" in squeezed(printed(show(EMPTY), width))


def test_what_little_there_is_is_shown(tmp_path: Path) -> None:
    said = describe(described.build(tmp_path, ["no mark and no end " * 80]), "bare")
    text = printed(show(said))
    assert "1 documents, 400 words" in text
    assert "Punctuation" not in text
    plot(said, tmp_path / "bare.png")
    assert pixels(tmp_path / "bare.png").std() > 0


def pixels(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"), dtype=float)


def test_four_panels_are_drawn(ornate: Description, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(ornate, tmp_path / "ornate.png")
    drawn = pixels(tmp_path / "ornate.png")
    height, width = drawn.shape
    assert width > 1200
    for half in (drawn[: height // 2], drawn[height // 2 :]):
        for panel in (half[:, : width // 2], half[:, width // 2 :]):
            assert (panel < 200).mean() > 0.005  # ink in each
    plot(EMPTY, tmp_path / "made" / "empty.pdf")
    assert (tmp_path / "made" / "empty.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("longest", [5, 32, 64, 1024])
def test_the_axis_of_words_has_few_ticks(ornate: Description, longest: int) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    law = IntervalLaw((1 / (longest + 1),) * (longest + 1))
    short = replace(ornate, marks={event: replace(mark, law=law) for event, mark in ornate.marks.items()})
    _rhythm(axes := figure.subplots(), short)
    assert 4 <= len(axes.get_xticks()) <= 11


def test_a_corpus_is_no_reference_and_a_domain_cannot_be_merged(tmp_path: Path) -> None:
    (tmp_path / "human.jsonl").write_text('{"text": "Once upon a time."}\n')
    with pytest.raises(
        HumanReferenceError, match=r"is no file that.*dft reference build .*human.jsonl --tokenizer MODEL"
    ):
        load(str(tmp_path / "human.jsonl"))
    with pytest.raises(HumanReferenceError, match=r"\"fiction\" is a domain: .* cannot be merged"):
        mergeable("fiction")
    twice = ["reference", "merge", "a.safetensors", "a.safetensors", "-o", str(tmp_path / "m.safetensors")]
    assert "a.safetensors is given 2 times" in CliRunner().invoke(commands, twice).output


def test_a_domain_says_once_what_it_was_built_with() -> None:
    assert described_by_name("fiction").provenance["built with"].count("dft-plugin") == 1


def test_a_plot_of_an_unknown_kind_is_refused(ornate: Description, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(HumanReferenceError, match=r"a plot ends in \.png"):
        plot(ornate, tmp_path / "plot.xlsx")


def test_without_matplotlib_the_mend_is_named(
    ornate: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HumanReferenceError, match=r"pip install 'dft-plugin\[report\]'"):
        plot(ornate, tmp_path / "plot.png")


def test_references_are_listed(built: tuple[Path, Reference], tmp_path: Path) -> None:
    folder, reference = built
    domain = count_domain([text for text in tiny.paragraphs()[:40] for _ in range(5)], {"name": "manual"})
    domain.save(tmp_path / "manual.safetensors")
    (tmp_path / "broken.safetensors").write_bytes((folder / "built.safetensors").read_bytes()[:-1])
    lines = printed(list_references({"manual": tmp_path / "manual.safetensors"}, [folder])).splitlines()
    domain_line = next(line for line in lines if line.strip().startswith("manual"))
    assert domain_line.split()[:4] == ["manual", "any", "200", f"{domain.metadata['words']:,}"]
    built_line = next(line for line in lines if "built.safetensors" in line)
    assert built_line.split()[1:4] == ["model", "60", f"{reference.metadata['words']:,}"]
    assert built_line.endswith("MB ") or built_line.rstrip().endswith("MB")
    with pytest.raises(HumanReferenceError, match="no such folder"):
        list_references({}, [tmp_path / "nowhere"])
    with pytest.raises(HumanReferenceError, match="no reference in it"):
        list_references({}, [tmp_path.parent])


def test_a_file_that_was_altered_is_listed_with_what_is_wrong(built: tuple[Path, Reference], tmp_path: Path) -> None:
    content = bytearray((built[0] / "built.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "altered.safetensors").write_bytes(content)
    assert "altered after it was built" in squeezed(printed(list_references({}, [tmp_path]), 400))


def test_what_no_window_holds_is_said_to_be_unseen() -> None:
    plain = described.bare(described.texts_in_the_style_of(described.PLAIN, 20))
    text = squeezed(printed(show(replace(plain, sentence=IntervalLaw((0.25, 0.25, 0.5), window=24)))))
    assert "mean 1.5 words, median over 2, standard deviation 0.5 of those seen to end" in text
    assert "50 % are longer than 2 words, not seen in windows of 24 tokens" in text
    assert "mean at least 2.2 words, median over 2" in squeezed(
        printed(show(replace(plain, sentence=IntervalLaw((0.25, 0.25, 0.5)))))
    )
