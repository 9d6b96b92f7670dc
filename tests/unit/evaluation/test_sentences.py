"""Sentence length, openings and punctuation against plain-Python definitions and scipy."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import ot
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from dft_plugin.evaluation import intervals, length, punctuation, sentences
from dft_plugin.evaluation.pool import make_pool
from dft_plugin.evaluation.texts import Text
from dft_plugin.evaluation.words import marks, word_starts
from dft_plugin.vocabulary import MARKS
from tests.unit.evaluation.samples import made_up, pool_of

OWN, HUMAN = ([text.text for text in made_up(40, seed)] for seed in (1, 2))
POOL = pool_of(OWN, HUMAN)


def lengths(texts: list[str]) -> list[int]:
    return [len(part.split()) for text in texts for part in re.split(r"[.!?]", text) if part.strip()]


def test_mean_variance_and_law_of_whole_sentences() -> None:
    figures, distances = sentences.lengths(POOL)
    own, human = lengths(OWN), lengths(HUMAN)
    found = figures.compute(POOL.view(POOL.own))
    assert found["sentence length, mean"] == pytest.approx(np.mean(own))
    assert found["sentence length, variance"] == pytest.approx(np.var(own))
    distance = distances.compute(POOL.view(POOL.own), POOL.view(POOL.human))["sentence length"]
    assert distance == pytest.approx(wasserstein_distance(own, human))
    assert distance == pytest.approx(ot.wasserstein_1d(np.array(own, float), np.array(human, float)))


def test_cutting_texts_short_leaves_the_law_of_sentence_length() -> None:
    """Kaplan-Meier: where texts are cut off, the sentences that were cut count as at least so long."""
    texts = [text.text for text in made_up(600, 3, words=80)]
    whole, cut = pool_of(texts), pool_of(texts, limit=17)
    means = []
    for pool in (whole, cut):
        figures, _ = sentences.lengths(pool)
        means.append(figures.compute(pool.view(pool.own))["sentence length, mean"])
    assert means[1] == pytest.approx(means[0], rel=0.03)
    kept = [part for text in cut.clipped for part in re.split(r"[.!?]", text)[:-1]]
    assert np.mean([len(part.split()) for part in kept]) < 0.93 * means[0]  # whole sentences alone are the short ones


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two. Three.", {2: 1, 1: 1}),
        ("One two... Three", {2: 1}),  # marks in a row are one; "Three" is cut off by the text's end
        ("«Qué?» dijo él.", {1: 1, 2: 1}),
        ("我喜歡書。他不。", {4: 1, 2: 1}),
        ("3.5 cats sat.", {1: 1, 2: 1}),  # as the statistics see it: a dot ends a sentence, "5" begins no word
        ("no mark at all", {}),
    ],
)
def test_intervals_of_small_texts(text: str, expected: dict[int, int]) -> None:
    rows = intervals.interval_rows(pool_of([text]), "sentence_end", 10)[0]
    assert {age + 1: int(count) for age, count in enumerate(rows[0]) if count} == expected


def test_at_risk_counts_every_age_that_was_passed() -> None:
    # Sentences of 2 and 3 words, and two words after them that the text's end cuts off: at risk at age 1 only, since
    # nothing is seen after the last word.
    rows = intervals.interval_rows(pool_of(["A b. C d e. F g"]), "sentence_end", 5)[0]
    assert rows[0].tolist() == [0, 1, 1, 0, 0]
    assert rows[1].tolist() == [3, 2, 1, 0, 0]
    # Cut to six words, another word follows the last: it was at risk there, too.
    rows = intervals.interval_rows(pool_of(["A b. C d e. F g"], limit=6), "sentence_end", 5)[0]
    assert rows[1].tolist() == [3, 2, 1, 0, 0]
    rows = intervals.interval_rows(pool_of(["A b. C d e. F g h"], limit=7), "sentence_end", 5)[0]
    assert rows[1].tolist() == [3, 3, 1, 0, 0]


def test_an_interval_that_began_in_the_prompt_is_left_out() -> None:
    def ended(text: Text) -> list[float]:
        return intervals.interval_rows(make_pool([text], [text], 100), "sentence_end", 6)[0, 0].tolist()

    continued = " cat sat. The dog lay there."
    assert ended(Text(continued)) == [0, 1, 0, 1, 0, 0]
    assert ended(Text(continued, prompt="Once the")) == [0, 0, 0, 1, 0, 0]
    assert ended(Text(continued, prompt="Once.")) == [0, 1, 0, 1, 0, 0]
    assert ended(Text(continued, prompt="Tell me", messages=({"role": "user", "content": "Tell me"},))) == ended(
        Text(continued)
    )


def test_openings_alike() -> None:
    texts = ["He ran. He sat. He slept. She ran. She sat.", "Now. Now he. Later.", "One sentence only."]
    pool = pool_of(texts)
    figures, _ = sentences.openings(pool)
    found = figures.compute(pool.view(np.arange(3)))
    # Pairs: (he he) (he he) (he she) (she she), (now now) (now later); threes: (he he he) (he he she) (he she she),
    # (now now later).
    assert found["openings, two alike"] == pytest.approx(100 * 4 / 6)
    assert found["openings, three alike"] == pytest.approx(100 * 1 / 4)
    assert math.isnan(figures.compute(pool.view(np.array([2])))["openings, two alike"])


def test_the_first_words_after_a_prompt_open_no_sentence() -> None:
    text = Text(" ran on. He sat. He slept.", prompt="The dog")
    pool = make_pool([text], [text], 100)
    opened = pool.scan.phrases(sentences.opening_words(pool))
    assert opened[:2] == ["he", "he"]


def test_law_of_opening_words_is_scipys_jensen_shannon() -> None:
    _, distances = sentences.openings(POOL)
    counts = [
        Counter(
            part.split()[0].strip(",").lower() for text in side for part in re.split(r"[.!?]", text) if part.strip()
        )
        for side in (OWN, HUMAN)
    ]
    names = sorted(set(counts[0]) | set(counts[1]))
    expected = jensenshannon(*([count[name] for name in names] for count in counts)) ** 2
    found = distances.compute(POOL.view(POOL.own), POOL.view(POOL.human))["openings"]
    assert found == pytest.approx(expected, abs=1e-9)


def test_marks_per_thousand_words() -> None:
    text = 'He said: "Wait, (please) wait... why?" — no; well - yes!\nA new line, 3-4 words.'
    rates = punctuation.rates(pool_of([text]))
    words = len(word_starts(text))
    found = rates.compute(pool_of([text]).view(np.array([0])))
    expected = {
        "comma": 2,
        "dash": 2,  # the em dash and the hyphen between spaces, not the one inside a word
        "colon_semicolon": 2,
        "quote": 2,
        "question_exclamation": 2,
        "ellipsis": 1,
        "parenthesis": 2,
        "newline": 1,
    }
    assert found == {kind: pytest.approx(1000 * count / words) for kind, count in expected.items()}


def test_rhythm_is_the_mean_wasserstein_distance_weighed_by_human_intervals() -> None:
    def gaps(texts: list[str], kind: str) -> list[int]:
        found = []
        for text in texts:
            before = [len(word_starts(text[:place])) for place in marks(text, kind)]
            found += [b - a for a, b in zip([0, *before], before, strict=False) if b > a]
        return found

    # Texts that end with each mark, so that nothing is cut off and plain counts are the law.
    own, human = ([text + ' end,—:"?…)' for text in side] for side in (OWN, HUMAN))
    pool = pool_of(own, human)
    distance = punctuation.rhythm(pool)
    found = distance.compute(pool.view(pool.own), pool.view(pool.human))["punctuation rhythm"]
    weighed, total = 0.0, 0
    for kind in MARKS:
        mine, theirs = ([min(gap, 65) for gap in gaps(side, kind)] for side in (own, human))
        weighed += wasserstein_distance(mine, theirs) * len([gap for gap in theirs if gap < 65])
        total += len([gap for gap in theirs if gap < 65])
    assert found == pytest.approx(weighed / total)


def test_text_length_is_of_whole_texts_and_scipys_distance() -> None:
    pool = pool_of(OWN, HUMAN, limit=5)
    figures, distances = length.text_length(pool)
    own, human = ([len(text.split()) for text in side] for side in (OWN, HUMAN))
    assert figures.compute(pool.view(pool.own))["text length, mean"] == pytest.approx(np.mean(own))
    found = distances.compute(pool.view(pool.own), pool.view(pool.human))["text length"]
    assert found == pytest.approx(wasserstein_distance(own, human))
