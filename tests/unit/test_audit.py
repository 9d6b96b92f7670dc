"""What an audit finds: what was planted, side by side and without judgement."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from dft_plugin.reference.audit import BIASES, FINE, NOTE, PROBLEM, Audit, Finding, audit
from dft_plugin.reference.description import Description, describe
from dft_plugin.reference.group_words import GROUPS, PRONOUNS, STOP_WORDS
from dft_plugin.reference.human_floor import FloorCurve
from dft_plugin.reference.named import described as referred
from dft_plugin.reference.named import nearest_domain
from tests import described, tiny

PLAIN = described.bare(described.texts_in_the_style_of(described.PLAIN, 200), "plain")


def found(description: Description, title: str, background: Description | None = None) -> Finding:
    (finding,) = [entry for entry in audit(description, background).findings if entry.title == title]
    return finding


def printed(made: Audit, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(made.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("share", "severity"), [(0.0, FINE), (0.05, NOTE), (0.3, PROBLEM)])
def test_duplicates(share: float, severity: str) -> None:
    finding = found(replace(PLAIN, windows=5000, repeated_windows=share), "duplicates")
    assert finding.severity == severity
    assert ("twice" in finding.said[0]) == (share == 0)
    assert "prompt included" in finding.said[0]  # answers may come again


def test_a_formula_in_all_documents_is_a_problem() -> None:
    notice = "all rights reserved by the publisher"
    real = tiny.paragraphs()[:60]
    assert found(described.bare(real), "formulas").severity != PROBLEM
    planted = described.bare([f"{notice}. {text}" for text in real])
    finding = found(planted, "formulas")
    assert finding.severity == PROBLEM
    rows = {row[0]: row for row in finding.rows[1:]}
    count, documents = planted.phrases[4]["all rights reserved by"]
    assert rows["all rights reserved by"][1:] == [f"{count}", "100 %", f"{count / documents:.1f} times"]
    assert audit(planted).problems


def test_a_refrain_is_noted() -> None:
    real = list(tiny.paragraphs()[:60])
    finding = found(described.bare([*real, *["round and round we go " * 20] * 6]), "formulas")
    assert any(row[0] == "round and round we" and row[3] == "20.0 times" for row in finding.rows)


def test_scripts_beside_the_main_one() -> None:
    assert found(replace(PLAIN, scripts={"Latin": 0.99, "Han": 0.01}), "scripts").severity == FINE
    finding = found(replace(PLAIN, scripts={"Latin": 0.7, "Cyrillic": 0.3}), "scripts")
    assert (finding.severity, finding.said[0]) == (PROBLEM, "70 % of the letters are Latin; Cyrillic 30 %.")


GERMAN = "Der Hund und die Katze sind nicht im Haus, denn das Haus ist mit dem Garten auf der Karte bei Köln. "
RUSSIAN = "Это был дом, и он стоял у моря, но мы его не видели, как и она, из окна, что было от нас. "


def test_languages_by_their_stop_words() -> None:
    words = Counter(word for listed in STOP_WORDS.values() for word in listed.split())
    assert max(words.values()) == 1
    assert found(described.bare([GERMAN * 20]), "languages").said == ["By stop words the text is German."]
    assert found(described.bare([RUSSIAN * 20]), "languages").said == ["By stop words the text is Russian."]
    english = described.texts_in_the_style_of(described.PLAIN, 100)
    assert found(described.bare(english), "languages").severity == FINE
    mixed = found(described.bare([*english, *[GERMAN * 10] * 20]), "languages")
    assert mixed.severity == PROBLEM
    assert mixed.said[0].startswith("By stop words the text is ")
    assert "German" in mixed.said[0]
    assert "English" in mixed.said[0]
    assert found(described.bare(["xyzzy plugh"]), "languages").severity == NOTE


def test_pronouns_and_groups_are_counted() -> None:
    text = "He said that she and he saw them. His dog, a German dog. She's Muslim; he is a Christian and German. "
    finding = found(described.bare([text * 10]), "pronouns")
    assert [row[:2] for row in finding.rows[1:]] == [
        ["he, him, his", "40"],
        ["she, her, hers", "20"],
        ["they, them, their", "10"],
    ]
    groups = found(described.bare([text * 10]), "groups of people")
    assert [row[:3] for row in groups.rows[1:]] == [
        ["german (nationalities)", "20", "1"],
        ["christian (religions)", "10", "1"],
        ["muslim (religions)", "10", "1"],
    ]
    assert finding.severity == groups.severity == FINE
    listed = [word for words in (*PRONOUNS.values(), *GROUPS.values()) for word in words.split()]
    assert len(set(listed)) == len(listed)
    assert all(word == word.casefold() for word in listed)


@pytest.mark.parametrize(("windows", "severity"), [(500, PROBLEM), (1000, NOTE), (2560, FINE)])
def test_whether_it_is_large_enough(windows: int, severity: str) -> None:
    curve = FloorCurve(0.0, 0.5, windows)
    finding = found(replace(PLAIN, windows=windows, floors={"novelty": {"rep-1": curve}}), "size")
    assert finding.severity == severity
    raised = curve.at(64) / FloorCurve(0.0, 0.5, 1e12).at(64) - 1  # beside a reference without error
    shown = {row[0]: row[1] for row in finding.rows[1:]}
    if windows < 2560:
        assert float(shown["novelty, rep-1"].removesuffix(" %")) == pytest.approx(100 * raised, abs=0.5)


def test_marks_that_are_rare_or_missing() -> None:
    texts = ["word " * 100] * 1000
    many = described.bare(texts, marks={"comma": 10_000, "dash": 100}, windows=1000)
    said = found(many, "marks").said
    assert said[0] == "Too rare to match in batches of 64 texts: dashes (6 in a batch)."
    assert said[1].startswith("The text has no colons or semicolons and no quotation marks")


def test_marks_in_a_batch_are_of_the_words_that_are_counted() -> None:
    """Of long documents only some words are in a window: 100 commas in 1,000 windows are 6.4 in a batch of 64."""
    many = described.bare(["word " * 1000] * 1000, marks={"comma": 100}, windows=1000, counted_words=20_000)
    assert found(many, "marks").said[0] == "Too rare to match in batches of 64 texts: commas (6 in a batch)."


def test_document_lengths_are_a_histogram() -> None:
    finding = found(replace(PLAIN, document_tokens=(0, 0, 0, 5, 0, 20, 0)), "document lengths")
    assert [row[:2] for row in finding.rows[1:]] == [["8 to 15", "5"], ["16 to 31", "0"], ["32 to 63", "20"]]


def test_topics_against_a_background() -> None:
    ornate = described.bare(described.texts_in_the_style_of(described.ORNATE, 200), "ornate")
    finding = found(ornate, "topics", PLAIN)
    assert finding.severity == NOTE
    assert "moreover (" in finding.said[0]
    assert "beside plain" in finding.said[0]
    assert found(PLAIN, "topics", PLAIN).severity == FINE


def test_few_documents_and_skipped_lines_are_noted() -> None:
    said = replace(described.bare(["a word"]), skipped={"bad lines": 3})
    assert found(said, "documents").severity == NOTE
    assert found(said, "left out").said == ["3 bad lines were left out."]


def test_problems_come_first_and_biases_are_said_to_be_reproduced() -> None:
    made = audit(replace(PLAIN, windows=100, repeated_windows=0.5, scripts={"Latin": 1.0}))
    text = printed(made)
    assert made.problems
    severities = [
        line.split()[0] for line in text.splitlines() if line.split()[:1] and line.split()[0] in (FINE, NOTE, PROBLEM)
    ]
    assert severities == sorted(severities, key=(PROBLEM, NOTE, FINE).index)
    assert BIASES.split(":")[0] in " ".join(text.split())
    assert not audit(described.bare(tiny.paragraphs())).problems


def test_an_almost_empty_reference_is_audited(tmp_path: Path) -> None:
    made = audit(describe(described.build(tmp_path, ["no mark and no end " * 80]), "bare"))
    assert made.problems  # far too small
    assert "1 documents" in printed(made)
    for texts in ([], [""], ["..."]):
        printed(audit(described.bare(texts), PLAIN), width=30)


def test_a_domain_is_not_compared_with_itself() -> None:
    nearest = nearest_domain(referred("fiction"))
    assert nearest is not None
    assert nearest.name != "fiction"
