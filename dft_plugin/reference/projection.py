"""From a domain to the accumulators of a tokenizer's statistics: what counting its texts' tokens would have given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dft_plugin.layout import TableCache, accumulate_written
from dft_plugin.reference.domain import Domain, binned
from dft_plugin.reference.marks import CONTEXTS, LONGEST, WIDTHS, WINDOWS
from dft_plugin.reference.piece_tokens import PieceTokens
from dft_plugin.reference.pieces import START
from dft_plugin.reference.repetition import LONGEST as LONGEST_NGRAM
from dft_plugin.reference.repetition import probe, within
from dft_plugin.reference.token_runs import token_runs
from dft_plugin.reference.tokenized_domain import Floats, TokenizedDomain
from dft_plugin.statistics.base import Statistic
from dft_plugin.statistics.frequency import NgramFrequency, PunctuationFrequency, TokenFrequency
from dft_plugin.statistics.intervals import ParagraphLength, PunctuationRhythm, SentenceLength
from dft_plugin.statistics.novelty import Novelty
from dft_plugin.statistics.opening import SentenceOpening
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Integers, Written

AT_A_TIME = 4096
"""n-grams whose sketches are held at once."""
DENSE = 1.1
"""Words in the windows that have most of them, as a multiple of the mean."""


class NotHeld(ValueError):
    """What a domain cannot say; the message says why."""


@dataclass(frozen=True)
class Projection:
    """A domain on a vocabulary.

    Attributes:
        totals: statistic -> (A_k,) float64 accumulators over all of the domain's text, the terms side by side.
        windows: how many windows of the run's length that is.
        left_out: statistic -> why the domain does not say it.
    """

    totals: dict[str, Tensor]
    windows: float
    left_out: dict[str, str]


def project(
    domain: Domain,
    tokenizer: Any,
    vocabulary: Vocabulary,
    statistics: Sequence[Statistic],
    sampling: Mapping[str, int],
) -> Projection:
    """Projects a domain onto a tokenizer.

    Args:
        domain: of human text.
        tokenizer: a fast one of transformers.
        vocabulary: its tables.
        statistics: those wanted, on that vocabulary, with their options.
        sampling: `max_new_tokens` and `context_tokens` of the run's windows.

    Raises:
        HumanReferenceError: when the tokenizer is not a fast one.
    """
    tokens = TokenizedDomain(domain, tokenizer, vocabulary, sampling["context_tokens"], sampling["max_new_tokens"])
    totals: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    for statistic in statistics:
        counted = next((count for kind, count in _COUNTS.items() if type(statistic) is kind), None)
        if counted is None:
            left_out[statistic.name] = "a domain holds counts of words, from which it cannot be told"
            continue
        try:
            totals[statistic.name] = torch.from_numpy(np.concatenate(counted(tokens, statistic)))
        except NotHeld as reason:
            left_out[statistic.name] = str(reason)
    return Projection(totals, tokens.histories.windows, left_out)


def _token_frequency(tokens: TokenizedDomain, statistic: Any) -> list[Floats]:
    return [tokens.frequency]


def _punctuation_frequency(tokens: TokenizedDomain, statistic: Any) -> list[Floats]:
    return [tokens.frequency @ statistic.carries.cpu().double().numpy()]


def _ngram_frequency(tokens: TokenizedDomain, statistic: Any) -> list[Floats]:
    counted: list[Floats] = []
    for number, n in enumerate(statistic.options.n):
        runs, count = token_runs(tokens.domain, tokens.pieces, n)
        if statistic.options.weighting == "none":
            begin = np.arange(len(runs)) * n
            last = Written(runs.ravel(), begin, begin + n - 1, begin + n, np.zeros(len(runs), dtype=bool))
            sketch = _weighted(statistic, last, count)[2 * number]
        else:
            only = NgramFrequency(statistic.vocabulary, statistic.options.model_copy(update={"n": (n,)}))
            sketch = _through_terms(only, runs, count)
        # Runs that are too rare to be stored count as n-grams, and their signs cancel.
        there = tokens.frequency.sum() - (n - 1) * tokens.domain.metadata["documents"]
        counted += [sketch, np.array([there])]
    return counted


def _through_terms(statistic: Statistic, runs: Integers, weight: Integers) -> Floats:
    """The first accumulator of texts (N, n) whose last token alone is counted, each standing for `weight` texts."""
    n, total = runs.shape[1], np.zeros(1)
    for start in range(0, len(runs), AT_A_TIME):
        tokens = torch.from_numpy(runs[start : start + AT_A_TIME])
        last = torch.full((len(tokens),), n - 1)
        texts = Texts(tokens, torch.zeros_like(last), last, last + 1, torch.zeros(len(tokens), dtype=torch.bool))
        listed = list(statistic.terms(texts))
        gained = accumulate_written(listed, texts, statistic.vocabulary.size, TableCache()).numpy()
        total = total + weight[start : start + AT_A_TIME] @ gained[:, : listed[0].size]
    return total


def _weighted(statistic: Statistic, written: Written, weight: Integers) -> list[Floats]:
    """The accumulators of windows that stand for `weight` (W,) windows each: one count for each binary digit."""
    parts = []
    for bit in range(max(1, int(weight.max(initial=0)).bit_length())):
        some = written.select(np.flatnonzero(weight >> bit & 1))
        counted = statistic.count(some, np.zeros(len(some), dtype=np.int64), 1)
        parts.append([2.0**bit * part[0] for part in counted])
    return [np.sum(found, axis=0) for found in zip(*parts, strict=True)]


def _intervals(tokens: TokenizedDomain, statistic: Any) -> list[Floats]:
    longest, width = statistic.options.longest, statistic.options.width
    if longest > LONGEST:
        raise NotHeld(f"longest is {longest}, and a domain tells intervals of up to {LONGEST} words apart")
    unit = tokens.frequency.sum() / tokens.domain.metadata["words_and_marks"]
    window = tokens.max_new_tokens / unit
    row = _between(-1 / np.array(WINDOWS), -1 / window)
    column = _between(np.log(CONTEXTS), np.log(max(tokens.context_tokens, 1) / tokens.max_new_tokens))
    ages = max(held for held in WIDTHS if width % held == 0)
    # No window shows an interval longer than itself; those of the fewest tokens a word show the longest.
    words = tokens.domain.metadata["words"] / tokens.domain.metadata["words_and_marks"]
    reach = DENSE * (window + tokens.context_tokens / unit) * words
    counted: list[Floats] = []
    for kind in statistic.present:
        counts = np.einsum("w,c,wcka->ka", row, column, tokens.domain.intervals[ages][kind].astype(np.float64))
        counted += binned(counts * (1 + np.arange(counts.shape[1]) * ages < reach), ages, longest, width)
    return counted


def _between(points: Floats, at: float) -> Floats:
    """(N,) weights of the points (N,) on a line that meet at `at`; outside, the outermost has all."""
    weights: Floats = np.stack([np.interp(at, points, row) for row in np.eye(len(points))])
    return weights


def _novelty(tokens: TokenizedDomain, statistic: Any) -> list[Floats]:
    repetition, longest = tokens.domain.repetition, max(statistic.options.n)
    if repetition is None or longest > LONGEST_NGRAM:
        raise NotHeld(
            "how n-grams of tokens come again was not measured for it"
            if repetition is None
            else f"it was measured how n-grams of up to {LONGEST_NGRAM} tokens come again"
        )
    tokenizer = tokens.tokenizer
    kind = probe(lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]))
    shares = repetition.of(kind, tokens.fertility)
    rows = tokens.histories.rows
    counted: list[Floats] = []
    for n in statistic.options.n:
        history = np.arange(len(rows))
        distance = np.minimum(history - (n - 1), statistic.options.reach)
        inside = rows * (history >= n)
        counted += [np.array([inside @ within(shares[n - 1], distance)]), np.array([inside.sum()])]
    return counted


def _sentence_opening(tokens: TokenizedDomain, statistic: Any) -> list[Floats]:
    pieces, openings = tokens.domain.pieces, tokens.domain.openings
    # Hardly any window begins where its document does.
    later = np.array([name[0] != START for name in pieces.names], dtype=bool)
    # What comes after a sentence end inside a piece opens one wherever the piece stands.
    inside = _weighted(statistic, _apart(tokens.pieces, known=False), pieces.count)[0]
    whole = _weighted(statistic, _apart(tokens.pieces, known=True), pieces.opening * later)[0]
    twice = _weighted(statistic, _apart(tokens.pieces, known=False), pieces.opening * later)[0]
    frequency = inside + whole - twice
    law = frequency * statistic.begins_word.cpu().numpy()
    # Words that differ may share their first token.
    alike = float(np.square(law / max(law.sum(), 1e-12)).sum())
    shared = max(0.0, (alike - openings.alike) / max(1 - openings.alike, 1e-12))
    repeated = openings.repeated + (openings.after - openings.repeated) * shared
    return [frequency, np.array([repeated]), np.array([float(openings.after)])]


def _apart(tokens: PieceTokens, *, known: bool) -> Written:
    """Each piece a window of its own; `known`: begun where a sentence begins."""
    begin, end = tokens.start[:-1], tokens.start[1:]
    return Written(tokens.tokens, begin, begin, end, np.full(len(begin), known))


_COUNTS: dict[type[Statistic], Callable[[TokenizedDomain, Any], list[Floats]]] = {
    TokenFrequency: _token_frequency,
    NgramFrequency: _ngram_frequency,
    PunctuationFrequency: _punctuation_frequency,
    SentenceLength: _intervals,
    PunctuationRhythm: _intervals,
    ParagraphLength: _intervals,
    Novelty: _novelty,
    SentenceOpening: _sentence_opening,
}
