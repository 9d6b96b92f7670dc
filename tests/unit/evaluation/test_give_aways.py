"""What gives texts away: planted habits are found, what is alike is not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from dft_plugin.evaluation.constructions import PATTERNS
from dft_plugin.evaluation.give_aways import give_aways, without_parts
from dft_plugin.evaluation.pool import make_pool
from dft_plugin.evaluation.result import GiveAway
from dft_plugin.evaluation.texts import Text
from dft_plugin.log_likelihood import log_likelihood_ratio, smoothed_ratio
from tests.unit.evaluation.samples import made_up


def test_g2_is_scipys_log_likelihood_ratio() -> None:
    first, second = np.array([12, 0, 5, 40, 7]), np.array([3, 9, 5, 0, 70])
    found = log_likelihood_ratio(first, 1000, second, 10_000)
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        table = [[a, 1000 - a], [b, 10_000 - b]]
        expected = chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        assert found[index] == pytest.approx(expected)


def test_ratio_is_that_of_the_rates_and_one_where_neither_has_any() -> None:
    ratio = smoothed_ratio(np.array([0, 2000, 0]), 10_000, np.array([0, 500, 3]), 5_000)
    assert ratio[0] == pytest.approx(1)
    assert ratio[1] == pytest.approx(2, rel=0.01)
    assert 0 < ratio[2] < 0.5


def test_a_planted_word_phrase_and_opening_are_found_with_their_context() -> None:
    own = made_up(60, 1, favourite="tapestry")
    own = [Text(text.text + " Moreover, it was a stark reminder of green rivers.") for text in own]
    human = made_up(80, 2)
    human = [Text(text.text + " Perhaps so.") for text in human]
    found = give_aways(make_pool(own, human, 1000))
    top = {kind: [entry for entry in found if entry.kind == kind] for kind in ("word", "phrase", "opening")}
    names = {kind: [entry.text for entry in entries] for kind, entries in top.items()}
    assert names["word"][0] == "tapestry"
    assert top["word"][0].human_count == 0
    assert top["word"][0].count == sum(text.text.lower().count("tapestry") for text in own)
    assert top["word"][0].ratio > 20
    assert {"moreover", "perhaps"} <= set(names["opening"])
    reminder = [name for name in names["phrase"] if "stark reminder" in name]
    assert len(reminder) == 1  # one phrase of five words, not all its parts as well
    for entries in top.values():
        assert [entry.g2 for entry in entries] == sorted((entry.g2 for entry in entries), reverse=True)
        for entry in entries:
            example = entry.examples[0]
            assert example.source == ("texts" if entry.ratio > 1 else "human")
            assert re.sub(r"[.,!?]", "", example.match).lower() == entry.text
            side = own if example.source == "texts" else human
            joined = (example.before + example.match + example.after).strip("…").strip()
            assert any(joined in text.text for text in side)


def test_samples_of_one_law_give_nothing_away() -> None:
    listed = [
        entry
        for seed in range(8)
        for entry in give_aways(make_pool(made_up(60, 2 * seed), made_up(80, 2 * seed + 1), 1000))
        if entry.kind != "construction"
    ]
    assert len(listed) <= 4  # six lists of each, each with one chance in twenty to hold anything


def test_one_text_that_repeats_a_word_is_no_habit() -> None:
    own = [*made_up(50, 1), Text("Zanzibar " * 60)]
    found = give_aways(make_pool(own, made_up(50, 2), 1000))
    assert "zanzibar" not in {entry.text for entry in found}


def test_phrases_inside_a_stronger_one_are_left_out() -> None:
    def phrase(text: str, count: int, g2: float) -> GiveAway:
        return GiveAway(
            kind="phrase", text=text, count=count, human_count=0, documents=count, human_documents=0, rate=1.0,
            human_rate=0.0, ratio=9.0, g2=g2,
        )  # fmt: skip

    given = [phrase("a testament to", 20, 90), phrase("testament to", 22, 80), phrase("to the", 400, 70)]
    given += [phrase("a testament to the", 15, 60), phrase("attest a", 9, 10)]
    assert [entry.text for entry in without_parts(given)] == ["a testament to", "to the", "attest a"]


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("not X but Y", "It is not the end but the beginning. Not only cats, but also dogs. It was not so.", 2),
        ("it is not X, it is Y", "It's not a bug, it's a feature. This isn’t magic. This is work. It is not here.", 2),
        ("a, b, and c", "red, green, and blue; the old house, the river and the hill; one and two", 2),
        ("em dash", "Yes — no; 1900–1910; well--then; re-do it", 3),
        (", doing", "He sat, smiling, and left, singing songs. Sing, king! A, being", 3),
        ("as if, as though", "as if it were; As though; as iffy", 2),
        ("bold text", "**Title** and **more** text * * *", 2),
        ("list items", "- one\n* two\n  3. three\n* * *\n-4\n2024 was", 3),
        ("headings", "# One\ntext # no\n### Two", 2),
    ],
)
def test_constructions(name: str, text: str, count: int) -> None:
    assert len(PATTERNS[name].findall(text)) == count


def test_constructions_of_both_sides_are_counted() -> None:
    own = [Text("It was not a house but a home — a, b, and c.")] * 3
    human = [Text("A plain sentence. And one with — a dash.")] * 4
    found = {entry.text: entry for entry in give_aways(make_pool(own, human, 100)) if entry.kind == "construction"}
    assert (found["not X but Y"].count, found["not X but Y"].human_count) == (3, 0)
    assert (found["em dash"].count, found["em dash"].human_count) == (3, 4)
    assert found["not X but Y"].documents == 3
    assert "headings" not in found
