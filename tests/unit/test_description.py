"""What a reference says of itself, against plain counts and closed forms."""

from __future__ import annotations

import random
import re
import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.description import MARKS, SIZES, IntervalLaw, describe
from dft_plugin.reference.domain_count import count_domain
from tests import described, tiny


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    texts = described.texts_in_the_style_of(described.PLAIN, 60)
    return described.build(tmp_path_factory.mktemp("described"), texts)


def lengths_law(lengths: list[int], longest: int) -> IntervalLaw:
    counts = Counter(min(length, longest + 1) for length in lengths)
    return IntervalLaw(tuple(counts[words] / len(lengths) for words in range(1, longest + 2)))


def test_mean_median_and_deviation_are_those_of_the_lengths() -> None:
    generator = random.Random(0)
    lengths = [1 + int(generator.expovariate(0.1)) for _ in range(2001)]
    law = lengths_law(lengths, longest=200)
    assert law.longer == 0
    assert law.mean == pytest.approx(statistics.fmean(lengths))
    assert law.median == statistics.median(lengths)
    assert law.deviation == pytest.approx(statistics.pstdev(lengths))


def test_longer_intervals_count_as_one_more_than_the_longest() -> None:
    law = lengths_law([2, 4, 90, 100], longest=64)
    assert (law.longest, law.longer) == (64, 0.5)
    assert law.mean == pytest.approx((2 + 4 + 65 + 65) / 4)


def test_bins_stand_for_their_middle() -> None:
    law = IntervalLaw((0.5, 0.25, 0.25), width=8)  # 1 to 8, 9 to 16, from 17 on
    assert law.words == (4.5, 12.5, 17.0)
    assert law.longest == 16
    assert law.mean == pytest.approx(0.5 * 4.5 + 0.25 * 12.5 + 0.25 * 17)
    assert law.median == 4.5


def test_a_reference_says_what_its_texts_are(reference: Reference) -> None:
    texts = described.texts_in_the_style_of(described.PLAIN, 60)
    said = describe(reference, "plain")
    words = [word for text in texts for word in re.findall(r"[a-z]+", text.casefold())]
    assert (said.name, said.documents, said.words) == ("plain", 60, len(words))
    assert {word: count for word, (count, _) in said.phrases[1].items()} == Counter(words)
    sentences = [sentence for text in texts for sentence in text.split(". ")]
    assert said.openings == Counter(sentence.split()[0].casefold() for sentence in sentences)
    assert said.sentences == len(sentences)
    assert said.sentence is not None
    lengths = [len(sentence.split()) for sentence in sentences]
    # The law is of windows of 24 tokens, in which long sentences are cut off.
    assert said.sentence.mean == pytest.approx(statistics.fmean(lengths), rel=0.1)
    assert said.marks["comma"].words_between == pytest.approx(len(words) / "".join(texts).count(","), rel=0.1)
    assert said.marks["comma"].per_thousand_words * said.marks["comma"].words_between == pytest.approx(1000)
    assert set(said.marks) == {"comma"}
    assert set(said.repetition) == {"rep-1", "rep-2"}
    assert 1 > said.repetition["rep-1"] > said.repetition["rep-2"] >= 0
    assert said.tokens == reference.metadata["tokens"]
    assert said.provenance["corpus"] == "texts.jsonl"
    assert said.provenance["windows"] == "up to 24 tokens, after 6; seed 0"
    assert said.find(["the dog", "dog the"], 2) == (
        [Counter(pairwise(words))["the", "dog"], 0],
        0.0,
    )


def test_floors_follow_the_measured_distances() -> None:
    windows = 4096

    def distance(size: float, others: float) -> float:
        return 0.7 * (1 / size + 1 / others) ** 0.8

    measured = [[size, distance(size, windows - size)] for size in (32, 64, 128, 256, 512)]
    floors = {
        "sentence_length": {"distance": "energy", "components": {"sentence_end": measured}},
        "novelty": {"distance": "energy", "components": {"rep-1": [[32, 0.1], [64, 0.0]], "rep-2": []}},
    }
    said = described.bare(["some text"], windows=windows, floors=floors)
    assert said.distances == {"sentence_length": "energy", "novelty": "energy"}
    assert set(said.floors) == {"sentence_length"}  # in the other, human samples do not differ
    for size in SIZES:
        assert said.floor("sentence_length", "sentence_end", size) == pytest.approx(distance(size, windows))


def test_a_built_reference_has_floors(reference: Reference) -> None:
    said = describe(reference, "plain")
    assert {"token_frequency", "sentence_length", "novelty"} <= set(said.floors) <= set(reference.metadata["floors"])
    for statistic, components in said.floors.items():
        assert said.distances[statistic] == reference.metadata["floors"][statistic]["distance"]
        for component in components:
            values = [said.floor(statistic, component, size) for size in SIZES]
            assert values == sorted(values, reverse=True)


def test_counted_words_are_what_marks_are_counted_in() -> None:
    said = described.bare(["one two, three four"], marks={"comma": 1}, counted_words=2)
    assert said.marks["comma"].words_between == 2


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    texts = [" ".join(f"w{rank}" for rank in range(1, 400) for _ in range(round(30_000 / rank**0.9)))]
    slope = described.bare(texts).zipf_slope
    assert slope == pytest.approx(-0.9, abs=0.005)
    ranks = np.log(np.arange(10, 400))
    counts = np.log([round(30_000 / rank**0.9) for rank in range(10, 400)])
    expected = ((ranks - ranks.mean()) * (counts - counts.mean())).sum() / ((ranks - ranks.mean()) ** 2).sum()
    assert slope == pytest.approx(expected)


def test_an_almost_empty_reference_is_described(tmp_path: Path) -> None:
    reference = described.build(tmp_path, ["no mark and no end " * 80])
    said = describe(reference, "bare")
    assert (said.documents, said.words, said.zipf_slope) == (1, 400, None)
    assert said.marks == {}
    assert said.sentence is None
    assert said.openings == {"no": 1}


def test_no_words_at_all_are_described() -> None:
    said = described.bare(["...", "!?"], marks={"question_exclamation": 2, "comma": 0})
    assert (said.words, said.sentences, said.marks) == (0, 0, {})
    assert said.phrases == {1: {}, 2: {}, 3: {}, 4: {}}


def test_a_domain_is_described() -> None:
    texts = [text for text in tiny.paragraphs()[:100] for _ in range(5)]
    domain = count_domain(texts, {"name": "manual", "provenance": "Python's help", "terms": "PSF", "corpus": "topics"})
    said = describe(domain, "manual")
    assert said.tokenizer is said.windows is said.tokens is None
    assert said.provenance["tokenizer"] == "any"
    assert said.provenance["terms"] == "PSF"
    assert said.sentence is not None
    assert 5 < said.sentence.mean < 30
    assert set(said.marks) <= set(MARKS)
    assert said.marks["comma"].words_between == pytest.approx(said.words / "".join(texts).count(","), rel=0.05)
    assert next(iter(said.phrases[1])) == "the"
    assert said.floors == {}
    # What a domain does not list may still be there, a little.
    (listed, unlisted), error = said.find(["the", "nowhere-to-be-found"], 1)
    assert listed == said.phrases[1]["the"][0]
    assert error[0] == 0
    assert 0 < error[1] < 5
    assert unlisted < 5


def test_what_no_window_holds_is_in_no_mean(tmp_path: Path) -> None:
    """Half of the sentences have 5 words, half 60; windows of 24 tokens see the short ones end only."""
    text = "one two six ten red. " + "one two six ten red " * 12 + ". "
    law = describe(described.build(tmp_path, [text * 6] * 20), "cut").sentence
    assert law is not None
    assert law.window == 24
    assert 5 <= law.longest <= 24
    assert law.mean == pytest.approx(5, abs=0.01)
    assert law.deviation == pytest.approx(0, abs=0.2)
    assert 0.3 < law.longer < 0.7
    assert sum(law.probability) == pytest.approx(1)


def test_a_law_that_its_options_end_has_longer_ones_in_its_mean(tmp_path: Path) -> None:
    texts = ["one two six ten red. one two six. " * 30] * 20
    options = {"statistics": [{"name": "sentence_length", "longest": 4}]}
    law = describe(described.build(tmp_path, texts, **options), "short").sentence
    assert law is not None
    assert law.window is None
    assert law.mean == pytest.approx(4, abs=0.1)  # of 3 and 5 words, these as 5
