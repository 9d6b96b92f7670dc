"""The HTML report: complete in itself, escaped, and what its charts draw is what the results say."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dft_plugin.evaluation.compare import Cell, Comparison, compare
from dft_plugin.evaluation.report import labels, laws
from dft_plugin.evaluation.report.charts import Axis, Distance, Series, Use, distance_row, line_chart, use_chart
from dft_plugin.evaluation.report.comparison import change
from dft_plugin.evaluation.report.habits import CERTAIN
from dft_plugin.evaluation.report.html import render, write_report
from dft_plugin.evaluation.report.numbers import figure, share, tick, times
from dft_plugin.evaluation.report.scale import Scale, scale_over
from dft_plugin.evaluation.report.training import TrainerStateError, read_trainer_state, training_charts
from dft_plugin.evaluation.result import Curve, Measure, Result, ResultError, Sample, Samples
from tests import results

STYLE = Path(laws.__file__).with_name("templates") / "style.css"
VOID = {"meta", "link", "input", "br", "hr", "img"}
STATE = {
    "log_history": [
        {"step": 1, "loss": 4.0, "dft/loss": 1.5, "dft/floor_ratio/novelty": 32.0, "dft/sample_1": "<b>once</b>"},
        {"step": 2, "eval_loss": 3.9},
        {"step": 5, "loss": 3.0, "dft/loss": math.nan, "dft/floor_ratio/novelty": 8.0},
        {"step": 9, "loss": 2.5, "dft/loss": 0.5, "dft/floor_ratio/novelty": 2.0},
        {"step": 9, "train_runtime": 3.2},
    ]
}


class Page(HTMLParser):
    """What a browser would build of a page: elements with their attributes, and the text it shows."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def shown(self) -> str:
        return " ".join(" ".join(self.text).split())

    def elements(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(results.measured(), STATE))


# ---- the page ------------------------------------------------------------------------------------------


def test_it_is_one_file_that_asks_for_nothing(page: Page) -> None:
    assert page.open == []
    assert not {"script", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    links = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert links
    assert all(link is not None and link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import", STYLE.read_text())
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    policy = [meta["content"] for meta in page.elements("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_links_lead_somewhere_and_identifiers_are_unique(page: Page) -> None:
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert {str(link["href"])[1:] for link in page.elements("a")} <= set(identifiers)
    sections = {"distances", "rhythm", "habits", "words", "training", "samples", "measures", "sources"}
    assert sections <= set(identifiers)


def test_every_chart_has_a_text_that_stands_in_for_it(page: Page) -> None:
    page_text = render(results.measured(), STATE)
    charts = [chart for chart in drawings(page_text) if chart.get("aria-hidden") != "true"]
    assert len(charts) > 40
    for chart in charts:
        assert chart.get("role") == "img"
        for name in ("title", "desc"):
            found = chart.find(name)
            assert found is not None
            assert found.text


HOSTILE = "<script>alert(1)</script>\"'&amp;<!-- ]]> \x00\x1b \ud800 \u202e"


def hostile(result: Result) -> Result:
    """The result with a hostile text wherever there is text from outside."""
    aways = [entry.model_copy(update={"text": HOSTILE}) for entry in result.give_aways]
    for entry in aways:
        examples = tuple(
            example.model_copy(update={"before": HOSTILE, "match": HOSTILE, "after": HOSTILE})
            for example in entry.examples
        )
        object.__setattr__(entry, "examples", examples)
    sample = Sample(text=HOSTILE, prompt=HOSTILE)
    texts = result.provenance.texts.model_copy(update={"name": HOSTILE})
    provenance = result.provenance.model_copy(update={"texts": texts, "human": texts, "model": HOSTILE})
    measures = {
        name: measure.model_copy(update={"label": HOSTILE, "note": HOSTILE, "description": HOSTILE})
        for name, measure in result.measures.items()
    }
    curves = {name: curve.model_copy(update={"label": HOSTILE}) for name, curve in result.curves.items()}
    return result.model_copy(
        update={
            "name": HOSTILE,
            "give_aways": tuple(aways),
            "samples": Samples.model_construct(texts=(sample,), human=(sample,)),
            "provenance": provenance,
            "measures": measures,
            "curves": curves,
            "notes": (HOSTILE,),
        }
    )


def test_what_models_and_users_write_is_shown_and_does_nothing(page: Page) -> None:
    first, second, _ = results.measured()
    state = {"log_history": [{"step": 1, f"dft/floor_ratio/{HOSTILE}": 2.0}]}
    written = render([hostile(first), hostile(second)], state)
    found = Page(written)
    assert found.open == []
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in page.tags}
    assert found.shown.count("<script>alert(1)</script>") > 50
    assert "<script" not in written
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", written)
    assert "␀␛ ?" in written
    for chart in drawings(written):  # well-formed, or it could not be parsed
        assert chart.tag == "svg"


def test_measures_that_cannot_be_measured_and_curves_that_are_not_there() -> None:
    first = results.measured()[0]
    nothing = {
        name: Measure(group=one.group, label=one.label, description="", kind=one.kind, note="too few")
        for name, one in first.measures.items()
    }
    unseen = {
        name: curve.model_copy(update={"texts": (None,) * len(curve.x), "human": None})
        for name, curve in first.curves.items()
    }
    bare = first.model_copy(
        update={"measures": nothing, "curves": unseen, "give_aways": (), "samples": Samples(), "notes": ()}
    )
    found = Page(render([bare]))
    assert "not measured" in found.shown
    assert "cannot be measured: too few" in found.shown
    assert "No difference from human text is shown." in found.shown
    assert "nan" not in found.shown.lower().split()
    assert Page(render([bare.model_copy(update={"curves": {}}), first])).open == []


def test_no_result_is_an_error() -> None:
    with pytest.raises(ResultError, match="at least one"):
        render([])


def test_more_results_than_colours_and_names_that_are_taken() -> None:
    first = results.measured()[0]
    many = [first.model_copy(update={"name": name}) for name in ("human", "human", *["x" * 90] * 6)]
    shown = Page(render(many)).shown
    assert "human (2)" in shown
    assert "human (3)" in shown
    assert f"{'x' * 39}… (6)" in shown


def test_writing_leaves_a_whole_file_or_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    assert write_report(path, results.measured()[:1]) == path
    before = path.read_text(encoding="utf-8")
    assert before.rstrip().endswith("</html>")
    with pytest.raises(TrainerStateError):
        write_report(path, results.measured(), tmp_path / "no.json")
    assert path.read_text(encoding="utf-8") == before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


# ---- what is said --------------------------------------------------------------------------------------


def test_better_is_said_only_where_intervals_do_not_overlap() -> None:
    first, people, again = results.measured()
    same = Page(render([first, again]))
    assert "no difference shown all intervals overlap those of mannered" in same.shown
    assert not re.search(r"\d% closed|of the gap to human text closed", same.shown)
    classes = [attributes.get("class") or "" for _, attributes in same.tags]
    assert not any(name in styles.split() for styles in classes for name in ("nearer", "farther"))

    compared = compare([first, people])
    headline = compared.headlines[0]
    assert headline.gap_closed is not None
    other = Page(render([first, people])).shown
    assert f"{min(headline.gap_closed, 1):.0%} of the gap to human text closed" in other
    cells = [row.cells[1] for row in compared.rows]
    nearer = [cell for cell in cells if cell.comparison == "nearer" and cell.gap_closed]
    assert headline.nearer == sum(cell.comparison == "nearer" for cell in cells) > 10
    assert f"nearer to human text in {headline.nearer} of" in other
    assert sum(other.count(f"nearer, {n}% closed") for n in range(101)) == len(nearer)
    # The other way round the same measures are farther, and no gap is said to be closed.
    back = Page(render([people, first])).shown
    assert f"farther in {headline.nearer}" in back
    assert "% closed" not in back


@pytest.mark.parametrize(
    ("comparison", "closed", "said"),
    [
        ("nearer", 0.613, "61%"),
        ("nearer", 1.4, "100%"),
        ("nearer", None, ""),
        ("farther", -1.904, "+190%"),
        ("farther", None, ""),
        ("no difference shown", 0.5, ""),
        ("no difference shown", -0.5, ""),
        ("not compared", 0.5, ""),
        ("first", None, ""),
    ],
)
def test_a_share_of_the_gap_is_told_only_with_a_difference(
    comparison: Comparison, closed: float | None, said: str
) -> None:
    assert change(Cell(None, comparison, closed)) == said


def test_every_measure_is_in_the_table_with_its_human_value_interval_and_floor() -> None:
    first = results.measured()[0]
    shown = Page(render([first])).shown
    table = shown[shown.index("All measures Each value") :]
    for measure in first.measures.values():
        label = measure.label + (f" ({measure.unit})" if measure.unit else "")
        row = table[table.index(f"{label} {measure.description}") :][:600]
        for expected in (measure.human, measure.value, measure.floor, *(measure.interval or ())):
            assert expected is None or figure(expected) in row, (label, expected)


def test_give_aways_are_quoted_and_uncertain_constructions_are_not_charted() -> None:
    first = results.measured()[0]
    assert {entry.kind for entry in first.give_aways} >= {"word", "phrase", "opening", "construction"}
    shown = Page(render([first])).shown
    habits = shown[shown.index("What gives it away") :]
    assert "moreover no human use" in habits  # as the terminal says
    assert not re.search(r"moreover [\d,]+× as often", habits)
    unsure = [entry for entry in first.give_aways if entry.kind == "construction" and entry.g2 < CERTAIN]
    assert unsure
    said = habits[habits.index("No difference shown: ") :]
    assert all(entry.text in said[:400] for entry in unsure)


def test_samples_stand_beside_samples_of_the_same_prompt() -> None:
    first, people, _ = results.measured()
    swapped = people.model_copy(
        update={"samples": Samples(texts=people.samples.texts[::-1], human=people.samples.human[::-1])}
    )
    from dft_plugin.evaluation.report.samples import side_by_side

    rows = side_by_side([first, swapped], ["mannered", "people"], ["s1", "s2"])
    assert len(rows) == len(first.samples.texts) > 3
    for row in rows:
        assert [column.name for column in row.columns] == ["human", "mannered", "people"]
        assert row.columns[1].text == results.mannered(row.columns[2].text)

    strangers = tuple(Sample(text=sample.text, prompt="another") for sample in people.samples.texts)
    other = people.model_copy(update={"samples": Samples(texts=strangers, human=strangers)})
    for row in side_by_side([first, other], ["mannered", "people"], ["s1", "s2"]):
        assert [column.name for column in row.columns] == ["human", "mannered"]


# ---- what is drawn -------------------------------------------------------------------------------------


def drawings(page: str) -> list[ElementTree.Element]:
    """The outermost svg elements."""
    found, depth, start = [], 0, 0
    for match in re.finditer(r"<svg\b[^>]*?(/?)>|</svg>", page):
        if match[0] == "</svg>":
            depth -= 1
            if depth == 0:
                found.append(ElementTree.fromstring(page[start : match.end()]))
        elif not match[1]:
            start = match.start() if depth == 0 else start
            depth += 1
    return found


def share_of(element: ElementTree.Element, key: str) -> float:
    return float(str(element.get(key)).removesuffix("%")) / 100


def value_of(written: str) -> float:
    """A number as an axis writes it."""
    number = written.replace(",", "").replace("−", "-").removesuffix("×")
    if number[-1] in "kM%":
        return float(number[:-1]) * {"k": 1e3, "M": 1e6, "%": 1e-2}[number[-1]]
    return float(number)


def read_axis(chart: ElementTree.Element, key: str, *, log: bool = False) -> Any:
    """From a place on an axis to a value, by two of the values written along it."""
    wanted = "end" if key == "y" else "middle"
    ticks = [one for one in chart.findall("text") if one.get("class") == "tick" and one.get("text-anchor") == wanted]
    # y: the text stands 4 pixels below its line.
    places = [float(str(one.get("y"))) - 4 if key == "y" else share_of(one, "x") for one in ticks]
    values = [value_of(str(one.text)) for one in ticks]
    seen = np.log(values) if log else np.array(values)
    slope = (seen[-1] - seen[0]) / (places[-1] - places[0])

    def value(place: float) -> float:
        found = seen[0] + slope * (place - places[0])
        return float(np.exp(found) if log else found)

    return value


def read_line(chart: ElementTree.Element, style: str) -> list[list[tuple[float, float]]]:
    """The pieces of a line, each of points (share of the width, pixels)."""
    paths = [path for path in chart.iter("path") if path.get("class") == f"line {style}"]
    assert len(paths) == 1
    pieces = str(paths[0].get("d")).split("M")[1:]
    points = [[tuple(map(float, point.split())) for point in piece.split("L")] for piece in pieces]
    return [[(x / 100, y) for x, y in piece] for piece in points]


def charts_of(result: Sequence[Result], state: Mapping[str, Any] | None = None) -> dict[str, ElementTree.Element]:
    return {
        str(chart.findtext("title")): chart
        for chart in drawings(render(result, state))
        if chart.find("title") is not None
    }


def test_the_sentence_lengths_that_are_drawn_are_those_of_the_law() -> None:
    first, people, _ = results.measured()
    chart = charts_of([first, people])["Sentence length"]
    curve = first.curves["sentence length"]
    assert curve.human is not None
    x, y = read_axis(chart, "x"), read_axis(chart, "y")
    for style, law in (("s1", curve.texts), ("human", curve.human), ("s2", people.curves["sentence length"].texts)):
        (points,) = read_line(chart, style)
        assert len(points) > 5
        for index, (across, down) in enumerate(points):
            words = range(3 * index + 1, 3 * index + 4)
            assert x(across) == pytest.approx(words[1], abs=0.05)
            expected = sum(law[length - 1] or 0 for length in words if length < len(law))
            assert y(down) == pytest.approx(expected, abs=2e-3)
    # Sentences of ten words: all in the bin of 10 to 12, or cut short.
    drawn = [y(down) for _, down in read_line(chart, "s1")[0]]
    assert max(drawn) == drawn[3] > 0.8


def test_rank_and_frequency_are_drawn_on_logarithmic_axes() -> None:
    first = results.measured()[0]
    chart = charts_of([first])["Word frequency by rank"]
    curve = first.curves["rank and frequency"]
    x, y = read_axis(chart, "x", log=True), read_axis(chart, "y", log=True)
    points = [point for piece in read_line(chart, "s1") for point in piece]
    known = [(at, value) for at, value in zip(curve.x, curve.texts, strict=True) if value is not None]
    for (across, down), (rank, frequency) in zip(points, known, strict=True):
        assert x(across) == pytest.approx(rank, rel=2e-3)
        assert y(down) == pytest.approx(frequency, rel=2e-3)


def test_words_between_marks_are_drawn_as_shares_up_to_a_length() -> None:
    first = results.measured()[0]
    curve = first.curves["punctuation: comma"]
    chart = charts_of([first])[curve.label]
    assert curve.human is not None
    (points,) = read_line(chart, "human")
    x, y = read_axis(chart, "x"), read_axis(chart, "y")
    assert len(points) == len(curve.human)  # from 0 words; the last entry is everything longer
    for words, (across, down) in enumerate(points):
        assert x(across) == pytest.approx(words, abs=0.02)
        assert y(down) == pytest.approx(sum(value or 0 for value in curve.human[:words]), abs=2e-3)


def test_the_training_run_is_drawn_with_gaps_where_it_logged_no_number() -> None:
    charts = charts_of(results.measured()[:1], STATE)
    loss = charts["Loss"]
    (points,) = read_line(loss, "s1")
    x, y = read_axis(loss, "x"), read_axis(loss, "y")
    assert [round(x(across), 1) for across, _ in points] == [1, 5, 9]
    assert [round(y(down), 2) for _, down in points] == [4.0, 3.0, 2.5]
    assert [len(piece) for piece in read_line(charts["Distribution term"], "s1")] == [1, 1]
    novelty = charts["Novelty"]
    y = read_axis(novelty, "y", log=True)
    assert [y(down) for _, down in read_line(novelty, "s1")[0]] == pytest.approx([32, 8, 2], rel=0.01)
    level = next(line for line in novelty.findall("line") if line.get("class") == "level")
    assert y(float(str(level.get("y1")))) == pytest.approx(1, rel=0.01)


@given(st.lists(st.floats(0.02, 500), min_size=1, max_size=4))
def test_distances_stand_where_the_axis_says(ratios: list[float]) -> None:
    scale = Scale(0.3, 700.0, log=True)
    distances = [Distance(f"d{i}", f"s{i + 1}", ratio, ratio / 2, 2 * ratio) for i, ratio in enumerate(ratios)]
    chart = ElementTree.fromstring(distance_row("rep-1", distances, scale))
    low, high = math.log(0.3), math.log(700)
    for one, whisker, symbol in zip(
        distances,
        [line for line in chart.findall("line") if "whisker" in str(line.get("class"))],
        chart.findall("svg"),
        strict=True,
    ):
        for place, value in (
            (share_of(whisker, "x1"), one.low),
            (share_of(symbol, "x"), one.value),
            (share_of(whisker, "x2"), one.high),
        ):
            expected = (math.log(min(max(value, 0.3), 700)) - low) / (high - low)
            assert place == pytest.approx(expected, abs=1e-4)
    band = chart.find("rect")
    assert band is not None
    assert share_of(band, "width") == pytest.approx(-low / (high - low), abs=1e-4)


def test_bars_of_over_and_under_use_are_as_long_as_their_ratios() -> None:
    uses = [Use("delve", 16.0), Use("said", 1 / 16), Use("tapestry", 4.0), Use("same", 1.0)]
    chart = ElementTree.fromstring(use_chart("Words", "...", uses, Scale(1.0, 16.0, log=True), "s2"))
    bars = chart.findall("rect")
    lengths = [share_of(bar, "width") for bar in bars]
    assert lengths == pytest.approx([lengths[0], lengths[0], lengths[0] / 2, 0], abs=1e-4)
    assert [share_of(bar, "x") for bar in bars] == pytest.approx([0.5, 0.5 - lengths[0], 0.5, 0.5], abs=1e-4)
    assert ["s2" in str(bar.get("class")).split() for bar in bars] == [True, False, True, True]
    assert [text.text for text in chart.findall("text") if text.get("class") == "value"] == ["16×", "1/16", "4×", "1×"]


def test_human_text_is_drawn_once_unless_results_have_human_texts_of_their_own() -> None:
    first, people, _ = results.measured()
    assert [side.name for side in sides([first, people])] == ["human", "a", "b"]
    source = people.provenance.human.model_copy(update={"digest": "another"})
    other = people.model_copy(update={"provenance": people.provenance.model_copy(update={"human": source})})
    found = sides([first, other])
    assert [side.name for side in found] == ["human, beside a", "human, beside b", "a", "b"]


def sides(found: Sequence[Result]) -> list[laws.Named]:
    return list(laws._sides(found, ["a", "b"], ["s1", "s2"], "sentence length"))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=80))
def test_quantiles_are_those_of_the_lengths(lengths: list[int]) -> None:
    shortest = np.sort(lengths)
    counts = np.bincount(np.minimum(lengths, 31), minlength=32)[1:]
    law = tuple((counts / len(lengths)).tolist())
    for part in laws.QUANTILES:
        expected = int(shortest[math.ceil(part * len(lengths) - 1e-6) - 1])
        assert laws.quantile(law, part) == (expected if expected <= 30 else None)


def test_a_broken_line_is_drawn_in_pieces_and_a_level_is_named() -> None:
    axis = Axis(Scale(0.0, 4.0), "step")
    series = [Series("loss", "s1", [0, 1, 2, 3, 4], [1.0, 2.0, None, 3.0, 4.0])]
    drawn = line_chart("Loss", "...", series, axis, axis, level=(1.0, "floor"), last=True)
    chart = ElementTree.fromstring(drawn)
    assert [len(piece) for piece in read_line(chart, "s1")] == [2, 2]
    texts = [text.text for text in chart.iter("text")]
    assert "floor" in texts
    assert "4.00" in texts


# ---- axes, labels, numbers, colours --------------------------------------------------------------------

positive = st.floats(1e-6, 1e9)


@given(positive, st.floats(1.05, 1e6), st.booleans())
def test_axes_are_divided_by_round_numbers_inside_them(low: float, factor: float, log: bool) -> None:
    scale = Scale(low, low * factor, log)
    ticks = scale.ticks()
    assert len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert all(scale.low * (1 - 1e-6) <= value <= scale.high * (1 + 1e-6) for value in ticks)
    assert scale(scale.low) == 0
    assert scale(scale.high) == pytest.approx(1)
    middle = math.sqrt(scale.low * scale.high) if log else (scale.low + scale.high) / 2
    assert scale(middle) == pytest.approx(0.5, abs=1e-6)
    assert scale(-1.0) == 0
    if not log or factor > 20:
        assert ticks
    for value in ticks if log else ():
        assert value / 10 ** math.floor(math.log10(value) + 1e-9) == pytest.approx(
            round(value / 10 ** math.floor(math.log10(value) + 1e-9))
        )


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=9), st.booleans(), st.booleans())
@example([5e-324], True, False)
@example([5e-324, 1e6], True, False)
def test_an_axis_holds_all_values(values: list[float | None], log: bool, zero: bool) -> None:
    scale = scale_over(values, log=log, zero=zero)
    assert scale.low < scale.high
    assert all(scale.low <= value <= scale.high for value in values if value is not None and (value > 0 or not log))


heights = st.lists(st.floats(30, 200), min_size=5, max_size=5)


@given(st.lists(heights, min_size=1, max_size=5), st.sampled_from([labels.NARROW, labels.WIDE]))
def test_names_cross_no_line_and_no_name(lines: list[list[float]], width: float) -> None:
    named = {f"series {i}": [(x / 4, y) for x, y in enumerate(line)] for i, line in enumerate(lines)}
    placed = labels.place(named, 220.0, width)
    boxes = []
    for name, label in placed.items():
        half = len(name) * 6.5 / 2 / width
        boxes.append((label.x - half, label.x + half, label.y - 9, label.y + 2))
        assert label.x - half >= 0
        assert label.x + half <= 1
        near = {}
        for other, line in named.items():
            inside = np.linspace(boxes[-1][0], boxes[-1][1], 50)
            y = np.interp(inside, [point[0] for point in line], [point[1] for point in line])
            assert not ((y > boxes[-1][2]) & (y < boxes[-1][3])).any(), (name, other)
            near[other] = abs(np.interp(label.x, [p[0] for p in line], [p[1] for p in line]) - (label.y - 3.5))
        assert min(near, key=lambda other: near[other]) == name
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert one[0] >= other[1] or other[0] >= one[1] or one[2] >= other[3] or other[2] >= one[3]


def test_a_single_line_among_others_far_away_is_named() -> None:
    lines = {"high": [(0.0, 40.0), (1.0, 40.0)], "low": [(0.0, 150.0), (1.0, 150.0)]}
    assert set(labels.place(lines, 200.0, labels.NARROW)) == {"high", "low"}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"), (0.0, "0"), (0.25, "0.250"), (12.345, "12.3"), (123.4, "123"), (999.6, "1,000"),
        (54321.0, "54,321"), (-0.5, "−0.500"), (0.00065808, "6.6 × 10⁻⁴"), (-5.6e-7, "−5.6 × 10⁻⁷"),
        (2.5e9, "2.5 × 10⁹"),
    ],
)  # fmt: skip
def test_figures_have_three_digits(value: float | None, written: str) -> None:
    assert figure(value) == written


def test_multiples_shares_and_ticks() -> None:
    assert [times(ratio) for ratio in (0.974, 1.0, 6.64, 34.6, 1234.0)] == ["0.97×", "1×", "6.6×", "35×", "1,200×"]
    assert [share(part) for part in (0.005, 0.5, -0.004, -2.87, 1.0)] == ["0%", "50%", "0%", "−287%", "100%"]
    assert [tick(value) for value in (0.0, 0.25, 30.0, 1000.0, 50000.0, 2e6, -0.5)] == [
        "0", "0.25", "30", "1,000", "50k", "2M", "−0.5",
    ]  # fmt: skip


def palette() -> dict[str, tuple[str, str]]:
    """Light and dark value of each colour in the style sheet."""
    return {
        name: (light, dark)
        for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", STYLE.read_text())
    }


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio."""
    low, high = sorted(0.05 + linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (first, second))
    return float(high / low)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_page(theme: int) -> None:
    colours = {name: pair[theme] for name, pair in palette().items()}
    for name in ("ink", "quiet", "nearer", "farther"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    for name in ("human", *(f"s{index}" for index in range(1, 7))):
        assert contrast(colours[name], colours["paper"]) >= 3.9, name


# Machado, Oliveira and Fernandes 2009, severity 1.
SIGHT = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


def oklab(colour: np.ndarray) -> np.ndarray:
    cones = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    mixed = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    return mixed @ np.cbrt(cones @ np.clip(colour, 0, 1))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_the_first_three_results_are_told_apart_by_colour(theme: int, sight: str) -> None:
    seen = [oklab(np.array(SIGHT[sight]) @ linear(palette()[name][theme])) for name in ("s1", "s2", "s3")]
    apart = [float(np.linalg.norm(seen[i] - seen[j])) for i in range(3) for j in range(i)]
    assert min(apart) > 0.1  # 0.02 is just noticeable


# ---- the trainer's state -------------------------------------------------------------------------------


def test_a_state_is_found_in_its_file_its_folder_or_the_newest_checkpoint(tmp_path: Path) -> None:
    for step in (5, 100, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": [{"step": step, "loss": 1.0}]}))
    assert read_trainer_state(tmp_path)["log_history"][0]["step"] == 100
    assert read_trainer_state(tmp_path / "checkpoint-5" / "trainer_state.json")["log_history"][0]["step"] == 5
    (tmp_path / "trainer_state.json").write_text(json.dumps(STATE))  # json writes NaN as transformers does
    assert len(read_trainer_state(tmp_path)["log_history"]) == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        ("{", "is no JSON"),
        ("[1]", "holds no log_history"),
        ('{"log_history": 3}', "holds no log_history"),
        ('{"log_history": ["x"]}', "holds no log_history"),
    ],
)
def test_a_state_that_cannot_be_read_is_an_error_with_its_name(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "trainer_state.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TrainerStateError, match=said) as error:
        read_trainer_state(path)
    assert "trainer_state.json" in str(error.value)


def test_a_folder_without_a_state_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainerStateError, match="no checkpoint in it"):
        read_trainer_state(tmp_path)


def test_a_log_without_numbers_draws_nothing() -> None:
    assert training_charts({"log_history": []}) == []
    assert (
        training_charts({"log_history": [{"step": 1, "loss": "2"}, {"loss": 3.0}, {"step": 2, "loss": math.inf}]}) == []
    )


def test_a_loss_at_a_temperature_of_its_own_says_so() -> None:
    def named(attributes: object) -> str:
        state = {
            "log_history": [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0}, {"step": 2, "eval_loss": 2.2}],
            "stateful_callbacks": {"DFTCallback": {"attributes": attributes}},
        }
        return str(training_charts(state)[0][1])

    assert "training, at temperature 0.74 from" in named({"prediction_temperature": 0.738})
    for other in ({"prediction_temperature": 1.0}, {"of another version": 1}, None):
        assert "training from" in named(other)
        assert "at temperature" not in named(other)


def test_a_curve_of_one_entry_is_drawn() -> None:
    first = results.measured()[0]
    short = Curve(label="Sentence length", x_label="", y_label="", x=(1, 2), texts=(1.0, 0.0), human=(0.4, 0.6))
    found = charts_of([first.model_copy(update={"curves": {"sentence length": short}})])
    assert "Sentence length" in found
