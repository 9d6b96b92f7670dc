"""Texts beside human laws without texts: the same figures as beside the texts that the laws are of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dft_plugin.evaluation import intervals, punctuation
from dft_plugin.evaluation.evaluate import evaluate, evaluate_by_laws
from dft_plugin.evaluation.law_measures import cut_law
from dft_plugin.evaluation.measuring import Options
from dft_plugin.evaluation.pool import make_pool
from dft_plugin.evaluation.result import Result
from dft_plugin.evaluation.texts import Text, Texts, TextsError
from dft_plugin.reference.description import Description, IntervalLaw, Mark
from dft_plugin.vocabulary import MARKS
from tests.unit.evaluation.samples import made_up

OPTIONS = Options(resamples=60, words=50)


def phrases(texts: list[Text], n: int) -> dict[str, tuple[int, int]]:
    counts: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for text in texts:
        words = [word.strip(".,!?").lower() for word in text.text.split()]
        found = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts.update(found)
        documents.update(set(found))
    return {name: (count, documents[name]) for name, count in counts.most_common()}


def described(texts: list[Text], longest: int = 64) -> Description:
    """What a reference would know of these texts."""
    pool = make_pool(texts, [], 10_000)
    everything = pool.view(pool.own)

    def law(kind: str) -> IntervalLaw:
        return IntervalLaw(
            tuple(intervals.law(everything.total(intervals.interval_rows(pool, kind, longest))).tolist())
        )

    rates = punctuation.rates(pool).compute(everything)
    marks = {kind: Mark(rates[kind], 1000 / rates[kind], law(kind)) for kind in MARKS if rates[kind]}
    words = int(pool.words.sum())
    openings = Counter(pool.scan.phrases(pool.scan.openings))
    listed = {n: phrases(texts, n) for n in (1, 2, 3, 4)}
    return Description(
        "laws", {"content": "abc"}, len(texts), words, listed, lambda names, n: ([0] * len(names), 0.0), openings,
        sentence=law("sentence_end"), marks=marks,
    )  # fmt: skip


HUMAN = made_up(400, 1)
LAWS = described(HUMAN)


def measured(texts: list[Text], options: Options = OPTIONS) -> Result:
    result = evaluate_by_laws("x", Texts("x", texts), LAWS, options)
    assert Result.model_validate_json(result.model_dump_json()) == result
    return result


def test_human_text_is_at_the_floor_of_laws() -> None:
    ratios: dict[str, list[float]] = {}
    for seed in range(2, 14):
        result = measured(made_up(100, seed))
        for name, one in result.measures.items():
            assert one.verdict != "differs", (name, seed)
            if one.floor_ratio is not None:
                ratios.setdefault(name, []).append(one.floor_ratio)
    for name in (
        "sentence length, mean",
        "sentence length",
        "comma",
        "comma rhythm",
        "jensen-shannon",
        "l2-1",
        "openings",
    ):
        assert np.mean(ratios[name]) == pytest.approx(1, abs=0.35), name


def test_other_text_is_far_from_them() -> None:
    own = [Text(text.text.replace(",", "")) for text in made_up(100, 2, favourite="delve")]
    result = measured(own)
    for name in ("comma", "jensen-shannon", "l2-1"):
        assert result.measures[name].verdict == "differs", name
    assert "comma rhythm" in result.measures
    assert result.measures["comma rhythm"].verdict == "cannot be measured"  # there is none
    top = next(entry for entry in result.give_aways if entry.kind == "word")
    assert (top.text, top.human_count) == ("delve", 0)
    assert top.examples[0].match.lower() == "delve"


def test_distances_are_those_from_the_texts_themselves() -> None:
    own = made_up(80, 3, favourite="delve")
    laws = measured(own).measures
    texts = evaluate(
        "x",
        Texts("x", own),
        Texts("h", [Text(t.text) for t in HUMAN]),
        Options(resamples=60, words=10_000, human_texts=10),
    ).measures
    for name in ("sentence length, mean", "sentence length, variance", "comma", "quote", "dash"):
        if name in laws:
            assert laws[name].human == pytest.approx(texts[name].human, rel=1e-6), name
    # Of half of the texts from all human ones here, from half of them there: the same up to the sampling of these.
    for name in ("jensen-shannon", "l2-1"):
        assert laws[name].value == pytest.approx(texts[name].value, rel=0.15), name


def test_divergence_counts_words_that_only_human_text_has() -> None:
    own = [Text("alpha beta gamma. " * 3)] * 40
    result = evaluate_by_laws("x", Texts("x", own), LAWS, OPTIONS)
    assert result.measures["jensen-shannon"].value == pytest.approx(np.log(2), abs=1e-6)  # nothing in common
    shares = np.array([count for count, _ in LAWS.phrases[1].values()]) / LAWS.words
    assert result.measures["l2-1"].value == pytest.approx(1 / 3 + float((shares**2).sum()), rel=1e-6)
    under = {entry.text for entry in result.give_aways if entry.kind == "word" and entry.count == 0}
    assert {"the", "cat"} <= under


def test_what_never_occurs_in_few_words_is_not_called_rare() -> None:
    few = [Text("The cat sees a dog. The house is old.")] * 8
    assert LAWS.marks["question_exclamation"].per_thousand_words > 10
    assert measured(few).measures["question_exclamation"].verdict == "too small to tell"
    assert measured(few * 60).measures["question_exclamation"].verdict == "differs"


def test_curves_hold_the_human_laws() -> None:
    result = measured(made_up(30, 2))
    curve = result.curves["sentence length"]
    assert curve.human is not None
    assert len(curve.human) == len(curve.x) == 51
    assert sum(share for share in curve.human if share) == pytest.approx(1)
    assert result.curves["rank and frequency"].human is not None
    assert result.provenance.human.kind == "laws"
    assert result.provenance.human.digest == "abc"
    assert "holds laws and no texts" in " ".join(result.notes)
    assert "laws are of whole documents, and the texts are measured on their first 50 words" in " ".join(result.notes)


def test_a_law_is_cut_and_filled_to_a_length() -> None:
    law = IntervalLaw((0.5, 0.2, 0.2, 0.1))
    assert cut_law(law, 2).tolist() == pytest.approx([0.5, 0.2, 0.3])
    assert cut_law(law, 5).tolist() == pytest.approx([0.5, 0.2, 0.2, 0, 0, 0.1])


def test_laws_in_wider_bins_are_said_not_to_be_measured() -> None:
    wide = Description(
        "wide", {}, 1, LAWS.words, LAWS.phrases, LAWS.find, LAWS.openings, sentence=IntervalLaw((0.9, 0.1), width=8)
    )
    result = evaluate_by_laws("x", Texts("x", made_up(20, 2)), wide, OPTIONS)
    assert result.measures["sentence length"].verdict == "cannot be measured"
    assert "word by word" in result.measures["sentence length"].note


def test_one_text_and_none() -> None:
    result = measured([Text("The cat sees the dog.")])
    assert {one.verdict for one in result.measures.values()} <= {"too small to tell", "cannot be measured"}
    with pytest.raises(TextsError, match="holds no text"):
        measured([])
