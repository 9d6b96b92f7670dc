"""Result files, comparisons and tables."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from dft_plugin.evaluation.columns import WORDS
from dft_plugin.evaluation.compare import compare
from dft_plugin.evaluation.evaluate import evaluate, evaluate_together
from dft_plugin.evaluation.measuring import Options
from dft_plugin.evaluation.result import Measure, Result, ResultError
from dft_plugin.evaluation.table import comparison_table, give_away_table, number, result_table
from dft_plugin.evaluation.texts import Text, Texts
from tests.unit.evaluation.samples import made_up

OPTIONS = Options(resamples=30)
HUMAN = Texts("human.jsonl", made_up(120, 1))


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    delving = [text.text for text in made_up(60, 4, favourite="delve")]
    columns = {
        "near": Texts("near", made_up(60, 2)),
        "far": Texts("far", made_up(60, 3, favourite="delve")),
        "farther": Texts("farther", [Text(text.replace(",", "").replace("?", ".")) for text in delving]),
    }
    return evaluate_together(columns, HUMAN, OPTIONS)


def shown(renderable: RenderableType, width: int = 200, terminal: bool = True) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    console.print(renderable, crop=False)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_saved_result_is_the_same_when_loaded(results: dict[str, Result], tmp_path: Path) -> None:
    path = tmp_path / "folder" / "dft-result.json"
    results["far"].save(path)
    assert Result.load(path) == results["far"]
    content = json.loads(path.read_text())
    assert (content["format"], content["version"]) == ("dft-result", 1)
    assert not list(tmp_path.glob("**/*.partial"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("", "no JSON"),
        ("[1, 2]", "no result"),
        ('{"format": "other"}', "no result"),
        ('{"format": "dft-result", "version": 99}', "result version 99.*reads version 1"),
        ('{"format": "dft-result", "version": 1, "name": "x"}', "damaged at provenance"),
    ],
)
def test_files_that_are_no_results(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ResultError, match=message) as caught:
        Result.load(path)
    assert "x.json" in str(caught.value)


def test_human_like_texts_are_near_and_others_far(results: dict[str, Result]) -> None:
    verdicts = {name: {key: one.verdict for key, one in found.measures.items()} for name, found in results.items()}
    assert "differs" not in verdicts["near"].values()
    for name in ("jensen-shannon", "l2-1", "mmd", "auc"):
        assert verdicts["far"][name] == "differs"
    assert verdicts["farther"]["comma"] == verdicts["farther"]["question_exclamation"] == "differs"


def test_comparison_says_nearer_only_where_intervals_are_apart(results: dict[str, Result]) -> None:
    compared = compare([results[name] for name in ("farther", "far", "near")])
    rows = {row.name: row for row in compared.rows}
    assert [cell.comparison for cell in rows["comma"].cells] == ["first", "nearer", "nearer"]
    assert [cell.comparison for cell in rows["jensen-shannon"].cells][2] == "nearer"
    assert rows["jensen-shannon"].cells[2].gap_closed == pytest.approx(1, abs=0.15)
    assert rows["jensen-shannon"].cells[1].comparison == "no difference shown"
    for row in compared.rows:
        for cell in row.cells[1:]:
            first = row.cells[0].measure
            assert first is not None
            assert cell.measure is not None
            if cell.comparison in ("nearer", "farther"):
                one, other = sorted([first.gap_interval, cell.measure.gap_interval])  # type: ignore[type-var]
                assert one[1] < other[0]  # type: ignore[index]
    far, near = compared.headlines
    assert near.gap_closed is not None
    assert near.gap_closed > 0.8
    assert near.nearer > far.nearer > 0
    assert near.farther == far.farther == 0


def test_gap_closed_is_relative_to_the_floor() -> None:
    def measured(gap: float, interval: tuple[float, float]) -> Measure:
        return Measure(
            group="words", label="x", description="x", kind="distance", value=gap, gap=gap, gap_interval=interval,
            floor=0.1, verdict="differs", basis="same",
        )  # fmt: skip

    base = evaluate("base", Texts("a", made_up(8, 1, words=10)), HUMAN, Options(resamples=10))
    first, other, same = (
        base.model_copy(update={"name": name, "measures": {"x": one}})
        for name, one in (
            ("first", measured(0.9, (0.8, 1.0))),
            ("other", measured(0.3, (0.2, 0.4))),
            ("same", measured(0.7, (0.6, 0.85))),
        )
    )
    compared = compare([first, other, same])
    cells = compared.rows[0].cells
    assert cells[1].gap_closed == pytest.approx(0.75)
    assert (cells[1].comparison, cells[2].comparison) == ("nearer", "no difference shown")
    assert [headline.gap_closed for headline in compared.headlines] == [pytest.approx(0.75), 0.0]
    assert "75% closed" in shown(comparison_table(compared))
    assert compare([other, first]).rows[0].cells[1].comparison == "farther"


def test_results_of_other_human_texts_or_sizes_are_not_compared(results: dict[str, Result]) -> None:
    other = evaluate("other", Texts("other", made_up(60, 2)), Texts("else", made_up(120, 9)), OPTIONS)
    score = Measure(group="model", label="perplexity", description="x", kind="score", value=9.0, interval=(8.0, 10.0))
    scored = [
        one.model_copy(update={"measures": {**one.measures, "perplexity": score}}) for one in (results["far"], other)
    ]
    compared = compare(scored)
    assert {row.cells[1].comparison for row in compared.rows} == {"not compared"}
    assert compared.headlines[0].measures == 0
    assert "other is not compared with far" in shown(comparison_table(compared))
    assert compared.notes[0] == "measured against different human texts than far and not compared: other"
    smaller = evaluate("smaller", Texts("smaller", made_up(30, 2)), HUMAN, OPTIONS)
    compared = compare([results["far"], smaller])
    assert {row.cells[1].comparison for row in compared.rows} == {"not compared"}
    assert "different sizes" in " ".join(compared.notes)
    assert "-n and --words" in " ".join(compared.notes)
    finer = evaluate("finer", Texts("finer", made_up(60, 2)), HUMAN, replace(OPTIONS, resamples=40, words=50))
    compared = compare([results["far"], finer])
    assert "different sizes" not in " ".join(compared.notes)
    assert compared.headlines[0].measures == sum(row.cells[1].comparison != "not compared" for row in compared.rows) > 0


def test_tables_hold_every_measure_and_note(results: dict[str, Result]) -> None:
    far = results["far"]
    table = shown(result_table(far), 250)
    for measure in far.measures.values():
        assert measure.label in table
    assert "differs" in table
    assert "First 50 words" in table
    assert "delve" in shown(give_away_table(far))
    compared = compare(list(results.values()))
    side_by_side = shown(comparison_table(compared))
    for row in compared.rows:
        assert row.shown.label in side_by_side
    assert "median gap closed" in side_by_side or "nearer to human in" in side_by_side


def test_numbers_are_whole_on_a_narrow_terminal(results: dict[str, Result]) -> None:
    far = results["far"]
    lines = shown(result_table(far), 80).splitlines()
    assert max(map(len, lines)) <= 80
    for measure in far.measures.values():
        if measure.value is not None:
            assert any(number(measure.value) in line for line in lines), measure.label
    assert "…" not in "".join(lines)
    assert "distinct-1" in "".join(lines)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_name_and_no_verdict_is_cut_off(results: dict[str, Result], width: int, terminal: bool) -> None:
    several = [results[name].model_copy(update={"name": f"{name}-{n}"}) for n in (1, 2) for name in ("farther", "near")]
    compared = compare(several)
    tables = [shown(table, width, terminal) for table in (comparison_table(compared), result_table(several[0]))]
    lines = "".join(tables).splitlines()
    assert "…" not in "".join(lines)
    assert not terminal or max(map(len, lines)) <= width
    side_by_side, alone = tables[0].split("near-1 against")[0], tables[1].split("First")[0]
    cells = [cell for row in compared.rows for cell in row.cells]
    closed = [cell for cell in cells if cell.comparison == "nearer" and cell.gap_closed is not None]
    assert side_by_side.count("closed") == len(closed) > 0
    assert all(name in side_by_side for name in compared.names)
    assert alone.count("differs") == [one.verdict for one in several[0].measures.values()].count("differs")
    words = {word for row in compared.rows for word in row.shown.label.split() if len(word) <= WORDS - 2}
    assert all(word in tables[0] and word in tables[1] for word in words)


def test_markup_in_texts_is_text(results: dict[str, Result]) -> None:
    odd = "[bold red]boo[/bold red] [/]"
    own = Texts("odd", [Text(f"{odd} wow [link=http://x]y[/link] {text.text}") for text in made_up(40, 2)])
    found = evaluate("[red]name[/red]", own, HUMAN, OPTIONS)
    assert "[bold red]" in shown(give_away_table(found))
    assert "[red]name[/red]" in shown(result_table(found))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.12345, "0.123"),
        (12.3456, "12.3"),
        (123.456, "123"),
        (999.6, "1,000"),
        (1234.5, "1,234"),
        (1e-5, "1.0e-05"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_notes_tell_what_limits_the_result() -> None:
    own = made_up(20, 2)
    texts = Texts("t", [*own, *own[:5], HUMAN.texts[0]], ["a note"])
    notes = " / ".join(evaluate("t", texts, Texts("h", HUMAN.texts[:12]), Options(resamples=10)).notes)
    assert "a note" in notes
    assert "fewer human texts (12) than measured ones (26)" in notes
    assert "too few to tell much" in notes
    assert "t: 5 of 26 texts are there more than once" in notes
    assert "1 of the texts are among the human texts" in notes


def test_notes_tell_of_prompts_that_are_used_again_and_of_continuations_beside_whole_texts() -> None:
    human = Texts("h", [Text(text.text) for text in HUMAN.texts])
    own = Texts("t", [Text(text.text, f"prompt {number % 10}") for number, text in enumerate(made_up(40, 2))])
    notes = " / ".join(evaluate("t", own, human, Options(resamples=10)).notes)
    assert "t: 10 prompts, each used up to 4 times" in notes
    assert "most of t go on from a prompt, and most of h are whole texts" in notes
    turned = " / ".join(evaluate("t", human, own, Options(resamples=10)).notes)
    assert "most of t go on from a prompt, and most of h are whole texts" in turned
    alike = " / ".join(evaluate("t", own, own, Options(resamples=10)).notes)
    assert "whole texts" not in alike
    chats = Texts(
        "c", [Text(text.text, f"{i}?", ({"role": "user", "content": f"{i}?"},)) for i, text in enumerate(own.texts)]
    )
    said = " / ".join(evaluate("c", chats, human, Options(resamples=10)).notes)
    assert "whole texts" not in said
    assert "each used up to" not in said


def test_nothing_in_a_result_is_not_a_number(results: dict[str, Result]) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            list(map(walk, value.values()))
        elif isinstance(value, list):
            list(map(walk, value))
        elif isinstance(value, float):
            assert value == value
            assert abs(value) < 1e300

    walk(json.loads(results["far"].model_dump_json()))
