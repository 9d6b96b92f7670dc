"""In what two bodies of text differ most, in words a writer understands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dft_plugin.log_likelihood import log_likelihood_ratio, smoothed_ratio
from dft_plugin.reference.description import LENGTHS, MARKS, Description, IntervalLaw
from dft_plugin.reference.show import percent

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 12
"""Words and phrases that are listed."""
SURE = 24.0
"""Least G2, chi-squared with one degree of freedom by chance: reached once in a million comparisons."""
LEAST_COUNT, LEAST_DOCUMENTS, LEAST_SHARE = 10, 5, 0.01
"""Occurrences, documents, and share of the documents from which on a phrase counts as over-used: not a name that one
story is full of."""
LEAST_RATIO = 1.5
NOTICEABLE = math.log(1.1)
"""Logarithm of the ratio from which on a difference is spoken of."""
OPENINGS = 5


@dataclass(frozen=True)
class Difference:
    """One difference, as a sentence.

    Attributes:
        size: |log ratio|, by which differences are sorted.
        said: the sentence.
    """

    size: float
    said: str


@dataclass(frozen=True)
class Use:
    """A phrase that one side uses more.

    Attributes:
        phrase: case-folded.
        ratio: of the rates, each count with a half added, so that it is finite.
        log_likelihood: G2 (Dunning 1993).
        count, other: occurrences on the side that uses it more, and on the other.
        documents: on the side that uses it more.
    """

    phrase: str
    ratio: float
    log_likelihood: float
    count: int
    other: int
    documents: int


def differences(a: Description, b: Description) -> list[Difference]:
    """In what a differs from b: sentences, paragraphs, marks, openings, repetition; the greatest first."""
    found = [*_lengths(a, b), *_marks(a, b), *_openings(a, b), *_repetition(a, b), *_zipf(a, b)]
    return sorted((entry for entry in found if entry.size >= NOTICEABLE), key=lambda entry: -entry.size)


def over_used(a: Description, b: Description, n: int) -> list[Use]:
    """Phrases of n words that a uses more than b, the surest first.

    Each must occur in several documents of a. Where counts are estimates, a's is taken two standard errors lower
    and b's two higher.
    """
    listed = {
        phrase: (count, documents)
        for phrase, (count, documents) in a.phrases[n].items()
        if count >= LEAST_COUNT and documents >= max(LEAST_DOCUMENTS, LEAST_SHARE * a.documents)
    }
    if not listed or not b.words:
        return []
    phrases = list(listed)
    count, documents = np.array([listed[phrase] for phrase in phrases]).T
    found, error = map(np.asarray, a.find(phrases, n))
    other, other_error = map(np.asarray, b.find(phrases, n))
    # Of words, the documents that were counted are the evidence, not the whole.
    own, others = (side.share if n == 1 else 1.0 for side in (a, b))
    words, other_words = round(a.words * own), round(b.words * others)
    count, low = _whole(count * own), _whole((found - 2 * error) * own)
    other, high = _whole(other * others), _whole((other + 2 * other_error) * others)
    sure = log_likelihood_ratio(low, words, high, other_words)
    ratio = smoothed_ratio(count, words, other, other_words)
    kept = np.flatnonzero((sure >= SURE) & (ratio >= LEAST_RATIO) & (low * other_words > high * words))
    uses = [
        Use(phrases[i], float(ratio[i]), float(sure[i]), int(count[i]), int(other[i]), int(documents[i]))
        for i in kept.tolist()
    ]
    return sorted(uses, key=lambda use: -use.log_likelihood)


def _whole(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.rint(np.maximum(values, 0)).astype(np.int64)


def diff(a: Description, b: Description) -> RenderableType:
    """What `dft reference diff a b` prints: a seen from b."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    lines: list[RenderableType] = [Text(f"{a.name} against {b.name}", style="bold"), Text()]
    said = differences(a, b)
    lines += [Padding(Text(f"- {entry.said}"), (0, 0, 0, 1)) for entry in said]
    used = [
        (what, n, over_used(one, other, n)) for what, one, other in (("over", a, b), ("under", b, a)) for n in LENGTHS
    ]
    for what, n, uses in used:
        if uses:
            kind = "words" if n == 1 else f"phrases of {n} words"
            lines += [Text(), Text.assemble((f"{what}-used {kind}: ", "bold"), summary(uses))]
    if not said and not any(uses for _, _, uses in used):
        lines.append(Text(" no difference found" if a.words and b.words else " one of them holds no words"))
    for left in not_compared(a, b):
        lines += [Text(), Text(left)]
    return Group(*lines)


def times(ratio: float) -> str:
    """A ratio as 1.8x, 34x."""
    if ratio >= 1000:
        return ">1,000x"
    return f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:,.0f}x"


def _size(one: float, other: float) -> float:
    return abs(math.log(one / other)) if one > 0 and other > 0 else 0.0


def not_compared(a: Description, b: Description) -> Iterator[str]:
    """What was counted otherwise on the two sides, so that a difference would tell of the counting."""
    for what, one, other in _laws(a, b):
        if not _alike(one, other):
            told = " and ".join(f"up to {law.longest} {'words' if law is one else ''}".strip() for law in (one, other))
            apart = "" if one.width == other.width else f", in steps of {one.width} and {other.width}"
            why = [f"windows of {law.window} tokens hold no longer ones" for law in (one, other) if law.window]
            yield f"not compared are the lengths of {what}, told apart {told}{apart}" + "".join(f"; {w}" for w in why)
    if a.repetition and b.repetition and a.tokenizer == b.tokenizer and a.sampling != b.sampling:
        yield "not compared are repetitions, counted in windows that were cut otherwise"
    if None not in (a.tokenizer, b.tokenizer) and a.tokenizer != b.tokenizer:
        yield "the tokenizers differ: marks that one of them joins to others or to words are counted otherwise"


def _laws(a: Description, b: Description) -> Iterator[tuple[str, IntervalLaw, IntervalLaw]]:
    for what, one, other in (("sentences", a.sentence, b.sentence), ("paragraphs", a.paragraph, b.paragraph)):
        if one is not None and other is not None:
            yield what, one, other


def _alike(one: IntervalLaw, other: IntervalLaw) -> bool:
    """Whether laws tell the same lengths apart: then, and only then, their means are of the same thing."""
    return (one.longest, one.width) == (other.longest, other.width)


def _lengths(a: Description, b: Description) -> Iterator[Difference]:
    for what, one, other in _laws(a, b):
        if _alike(one, other):
            size = max(_size(one.mean, other.mean), _size(one.deviation, other.deviation))
            said = f"{what} of {_both(one.mean, other.mean, 'words on average')}"
            yield Difference(size, f"{said} ({_spread(one, other)})")


def _spread(one: IntervalLaw, other: IntervalLaw) -> str:
    """Standard deviations, and which is greater where it is so relative to its mean as well."""
    deviations = f"standard deviation {_both(one.deviation, other.deviation, '').replace('  ', ' ')}"
    relative = math.log((one.deviation / one.mean or 1e-9) / (other.deviation / other.mean or 1e-9))
    greater = one.deviation > other.deviation
    word = ""
    if abs(relative) > NOTICEABLE and greater == (relative > 0):
        word = "more varied" if greater else "more uniform"
    return f"{word}: {deviations}" if word else deviations


def _marks(a: Description, b: Description) -> Iterator[Difference]:
    for event, name in MARKS.items():
        one, other = (
            round(side.counted_words / side.marks[event].words_between) if event in side.marks else 0 for side in (a, b)
        )
        counts = np.array([one]), a.counted_words, np.array([other]), b.counted_words
        if log_likelihood_ratio(*counts)[0] < SURE:
            continue
        if one and other:
            said = f"{name} every {_both(a.counted_words / one, b.counted_words / other, 'words')}"
        elif one:
            said = f"{name} every {a.counted_words / one:,.0f} words instead of none"
        else:
            said = f"no {name} instead of one every {b.counted_words / other:,.0f} words"
        yield Difference(abs(math.log(smoothed_ratio(*counts)[0])), said)


def _both(one: float, other: float, unit: str) -> str:
    """ "9 words instead of 14", with as many digits as tell them apart."""
    digits = 0 if round(one) != round(other) and min(one, other) >= 2 else 1
    return f"{one:,.{digits}f} {unit} instead of {other:,.{digits}f}"


def _openings(a: Description, b: Description) -> Iterator[Difference]:
    words = [*dict.fromkeys([*list(a.openings)[:50], *list(b.openings)[:50]])]
    if a.sentences and b.sentences:
        one, other = (np.array([side.openings.get(word, 0) for word in words]) for side in (a, b))
        sure = log_likelihood_ratio(one, a.sentences, other, b.sentences)
        ratio = smoothed_ratio(one, a.sentences, other, b.sentences)
        order = [i for i in np.argsort(-sure).tolist() if sure[i] >= SURE and abs(math.log(ratio[i])) >= NOTICEABLE]
        for i in order[:OPENINGS]:
            share, instead = _share(int(one[i]), a.sentences), _share(int(other[i]), b.sentences)
            said = f'sentences that open with "{words[i]}": {share} instead of {instead}'
            yield Difference(abs(math.log(ratio[i])), said)
    if a.repeated_opening and b.repeated_opening:
        said = f"{percent(a.repeated_opening)} of the sentences open as the one before did, instead of "
        yield Difference(_size(a.repeated_opening, b.repeated_opening), said + percent(b.repeated_opening))


def _share(count: int, total: int) -> str:
    if not count:
        return "none"
    return f"one in {total / count:,.0f}" if total >= 2 * count else percent(count / total)


def _repetition(a: Description, b: Description) -> Iterator[Difference]:
    """The n-gram whose rate of repetition differs most; rates depend on the tokenizer and on how long windows are, so
    these must be the same."""
    if a.tokenizer is None or (a.tokenizer, a.sampling) != (b.tokenizer, b.sampling):
        return
    rates = [(name, rate, b.repetition.get(name, 0.0)) for name, rate in a.repetition.items()]
    both = [(name, one, other) for name, one, other in rates if one and other]
    if both:
        name, one, other = max(both, key=lambda entry: _size(*entry[1:]))
        n = name.removeprefix("rep-")
        what = "tokens" if n == "1" else f"runs of {n} tokens"
        yield Difference(_size(one, other), f"{percent(one)} of the {what} are repetitions instead of {percent(other)}")


def _zipf(a: Description, b: Description) -> Iterator[Difference]:
    if a.zipf_slope is not None and b.zipf_slope is not None:
        what = "more" if a.zipf_slope < b.zipf_slope else "less"
        said = (
            f"frequent words make up {what} of the text (Zipf slope {a.zipf_slope:.2f} instead of {b.zipf_slope:.2f})"
        )
        yield Difference(_size(a.zipf_slope, b.zipf_slope), said)


def summary(uses: Sequence[Use]) -> str:
    """ "delve (34x), tapestry (12x)"."""
    return ", ".join(f"{use.phrase} ({times(use.ratio)})" for use in uses[:ROWS])
