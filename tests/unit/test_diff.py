"""What differs between two bodies of text: what was planted is found, what is alike is not."""

from __future__ import annotations

import io
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from rich.console import Console

from dft_plugin.log_likelihood import log_likelihood_ratio
from dft_plugin.reference.description import Description, IntervalLaw, describe
from dft_plugin.reference.diff import SURE, diff, differences, over_used, times
from dft_plugin.reference.domain_count import count_domain
from tests import described, tiny

PLAIN = described.bare(described.texts_in_the_style_of(described.PLAIN, 200), "plain")
ORNATE = described.bare(described.texts_in_the_style_of(described.ORNATE, 200), "ornate")


def printed(a: Description, b: Description) -> str:
    console = Console(file=io.StringIO(), width=10_000)
    console.print(diff(a, b))
    return console.file.getvalue()  # type: ignore[attr-defined]


def mixed(rate: float, seed: int, documents: int = 300) -> Description:
    """Documents of words with the same frequencies, and "delve" at a rate."""
    generator = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, 501)
    words = generator.choice(500, (documents, 200), p=frequency / frequency.sum())
    planted = generator.random((documents, 200)) < rate
    texts = [
        " ".join("delve" if p else f"w{w}" for w, p in zip(*row, strict=True))
        for row in zip(words, planted, strict=True)
    ]
    return described.bare(texts)


def test_the_log_likelihood_ratio_is_scipys() -> None:
    for one, total, other, other_total in ((30, 1000, 10, 2000), (5, 100, 0, 100), (500, 10_000, 400, 9000)):
        table = [[one, total - one], [other, other_total - other]]
        expected = scipy.stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        found = log_likelihood_ratio(np.array([one]), total, np.array([other]), other_total)
        assert found[0] == pytest.approx(expected)
    assert scipy.stats.chi2.sf(SURE, 1) == pytest.approx(1e-6, rel=0.05)


def test_a_planted_word_is_found_and_nothing_else() -> None:
    more, less = mixed(0.01, seed=1), mixed(0.001, seed=2)
    uses = over_used(more, less, 1)
    assert [use.phrase for use in uses] == ["delve"]
    count, documents = more.phrases[1]["delve"]
    other = less.phrases[1]["delve"][0]
    assert (uses[0].count, uses[0].other, uses[0].documents) == (count, other, documents)
    assert uses[0].ratio == pytest.approx((count + 0.5) / (other + 0.5), rel=1e-6)  # as many words on both sides
    assert over_used(less, more, 1) == []


def test_two_samples_of_one_text_do_not_differ() -> None:
    one, other = mixed(0.01, seed=3), mixed(0.01, seed=4)
    assert all(over_used(*pair, n) == [] for pair in ((one, other), (other, one)) for n in (1, 2, 3, 4))
    assert differences(one, other) == []
    assert "no difference found" in printed(one, other)


def test_halves_of_real_text_differ_little() -> None:
    texts = list(tiny.paragraphs())
    random.Random(0).shuffle(texts)
    one, other = described.bare(texts[::2]), described.bare(texts[1::2])
    found = [use for pair in ((one, other), (other, one)) for n in (1, 2) for use in over_used(*pair, n)]
    assert len(found) <= 5


def test_a_word_that_one_document_is_full_of_is_no_difference() -> None:
    texts = described.texts_in_the_style_of(described.PLAIN, 100)
    with_a_name = described.bare([*texts, "Ahab " * 200])
    assert all(use.phrase != "ahab" for use in over_used(with_a_name, PLAIN, 1))


def test_estimated_counts_are_not_taken_for_sure() -> None:
    """What is not listed may still be there: the other side is asked, and its error counts."""
    ornate = dict(ORNATE.phrases[2])
    asked = []

    def find(phrases: list[str], n: int) -> tuple[list[int], float]:
        asked.append(n)
        return [ornate[phrase][0] for phrase in phrases], 3.0

    forgetful = replace(ORNATE, phrases={**ORNATE.phrases, 2: {}}, find=find)
    assert over_used(ORNATE, forgetful, 2) == []
    assert 2 in asked
    assert over_used(ORNATE, PLAIN, 2) != []


def test_a_file_does_not_over_use_the_words_of_a_domain_of_the_same_texts() -> None:
    """Words inside larger pieces, and those of chunks that a domain stores in fragments, are words on both sides."""
    texts = [
        f"The U.S. sold {100 + i},221 tonnes for 2.5 pct of the U.S. wheat, said John's-{i} U.S. agency."
        for i in range(60)
    ]
    one, other = described.bare(texts, "file"), describe(count_domain(texts, {"name": "trade"}), "domain")
    assert [use for n in (1, 2, 3, 4) for pair in ((one, other), (other, one)) for use in over_used(*pair, n)] == []


def test_both_directions_are_told() -> None:
    text = printed(ORNATE, PLAIN)
    over = next(line for line in text.splitlines() if line.startswith("over-used words"))
    under = next(line for line in text.splitlines() if line.startswith("under-used words"))
    assert "moreover (" in over
    assert "moreover (" not in under
    assert "shut (" in under
    assert "over-used phrases of 4 words: " in text
    assert 'sentences that open with "moreover": 100 % instead of none' in text


def law(mean: int, spread: int) -> dict[str, dict[str, list[float]]]:
    probability = scipy.stats.norm.pdf(np.arange(1, 66), mean, spread)
    return {"sentence_length": {"sentence_end": (probability / probability.sum()).tolist()}}


def test_differences_are_sentences_by_size() -> None:
    texts = ["word " * 1000]
    one = described.bare(texts, laws=law(12, 3), marks={"comma": 111, "dash": 30, "ellipsis": 100})
    other = described.bare(texts, laws=law(19, 7), marks={"comma": 71, "dash": 31, "quote": 50})
    said = [entry.said for entry in differences(one, other)]
    assert said == [
        "ellipses every 10 words instead of none",
        "no quotation marks instead of one every 20 words",
        "sentences of 12 words on average instead of 19 (more uniform: standard deviation 3 instead of 7)",
    ]
    many = [described.bare(["word " * 100_000], marks={"comma": count}) for count in (11_111, 7_143)]
    assert [entry.said for entry in differences(*many)] == ["commas every 9 words instead of 14"]
    sizes = [entry.size for entry in differences(one, other)]
    assert sizes == sorted(sizes, reverse=True)


def test_laws_that_end_elsewhere_are_not_compared() -> None:
    whole = replace(PLAIN, sentence=IntervalLaw((0.2, 0.2, 0.2, 0.2, 0.2)))
    for other, why in (
        (IntervalLaw((0.5, 0.5)), "up to 4 words and up to 1"),
        (IntervalLaw((0.5, 0.0, 0.5), 2), "up to 4 words and up to 4, in steps of 1 and 2"),
        (
            IntervalLaw((0.3, 0.3, 0.4), window=24),
            "up to 4 words and up to 2; windows of 24 tokens hold no longer ones",
        ),
    ):
        cut = replace(PLAIN, sentence=other)
        assert differences(whole, cut) == []
        assert f"not compared are the lengths of sentences, told apart {why}" in printed(whole, cut)
    assert "not compared" not in printed(whole, replace(whole, sentence=IntervalLaw((0.4, 0.2, 0.2, 0.1, 0.1))))


def test_marks_are_of_the_words_that_are_counted() -> None:
    texts = ["word " * 1000] * 100
    one, other = (
        described.bare(texts, marks={"comma": c}, counted_words=w) for c, w in ((1000, 10_000), (500, 10_000))
    )
    assert [entry.said for entry in differences(one, other)] == ["commas every 10 words instead of 20"]
    few = [described.bare(texts, marks={"comma": c}, counted_words=c * 10) for c in (10, 5)]
    assert differences(*few) == []


def test_windows_and_tokenizers_that_differ_are_told() -> None:
    laws = [{"novelty": {"rep-1": [rate, 1 - rate]}} for rate in (0.2, 0.1)]
    known = [
        {
            "tokenizer": name * 12,
            "tokenizer_name": name,
            "sampling": {"max_new_tokens": n, "context_tokens": 8},
            "seed": 0,
        }
        for name, n in (("a", 24), ("a", 64), ("b", 24))
    ]
    one, longer, another = (described.bare(["x"], laws=laws[i % 2], **each) for i, each in enumerate(known))
    assert differences(one, longer) == []
    assert "not compared are repetitions" in printed(one, longer)
    assert "the tokenizers differ" in printed(one, another)
    assert "differ" not in printed(one, longer).replace("difference", "")


def test_openings_are_rates_of_sentences() -> None:
    def opened(share: float) -> Description:
        sentences = ["The end came." if number < share * 900 else f"W{number % 90} end came." for number in range(900)]
        return described.bare(sentences)

    said = [entry.said for entry in differences(opened(1 / 3), opened(1 / 9))]
    assert said[0] == 'sentences that open with "the": one in 3 instead of one in 9'


def test_rates_of_repetition_need_the_same_tokenizer() -> None:
    laws = [{"novelty": {"rep-1": [0.3, 0.7], "rep-2": [rate, 1 - rate]}} for rate in (0.2, 0.1)]
    known = [{"tokenizer": name * 12, "tokenizer_name": name} for name in ("a", "a", "b")]
    one, same = (described.bare(["x"], laws=each, **k) for each, k in zip(laws, known[:2], strict=True))
    another = described.bare(["x"], laws=laws[1], **known[2])
    assert [entry.said for entry in differences(one, same)] == [
        "20 % of the runs of 2 tokens are repetitions instead of 10 %"
    ]
    assert differences(one, another) == []


def test_empty_text_is_compared() -> None:
    nothing = described.bare([""], "nothing")
    assert "holds no words" in printed(nothing, nothing)
    assert over_used(PLAIN, nothing, 1) == over_used(nothing, PLAIN, 1) == []
    printed(PLAIN, nothing)


def test_equal_laws_without_spread_are_compared() -> None:
    certain = IntervalLaw((0.0, 1.0, 0.0))
    one, other = replace(PLAIN, sentence=certain), replace(PLAIN, sentence=IntervalLaw((0.5, 0.5, 0.0)))
    assert differences(one, one) == []
    assert "standard deviation 0.0 instead of 0.5" in differences(one, other)[0].said


def test_ratios_are_short() -> None:
    assert [times(ratio) for ratio in (1.84, 9.96, 34.2, 5000)] == ["1.8x", "10x", "34x", ">1,000x"]
    assert math.log(1.1) == pytest.approx(0.0953, abs=1e-4)
