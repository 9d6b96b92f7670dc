"""What sentences open with, and how often two in a row open alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dft_plugin.statistics.base import Counted, NoOptions, Statistic, ratio
from dft_plugin.statistics.interval_counts import intervals
from dft_plugin.statistics.intervals import ages, inside_text
from dft_plugin.terms import Marginal, Pairs, Placed, Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary, word_starts
from dft_plugin.written import Booleans, Integers, Words, Written, expand, size_of, tally


class SentenceOpening(Statistic[NoOptions]):
    """The law of the first word token of a sentence, and the rate at which it repeats the previous one.

    At the rows where no word has come since the last sentence end, P(v) is proportional to
    sum_n p_n(v) over the tokens v that begin a word; the repetition rate is the share of that mass on the
    token that opened the sentence before.
    """

    name = "sentence_opening"
    support = "unordered"
    distance = "jensen_shannon"

    def __init__(self, vocabulary: Vocabulary, options: NoOptions) -> None:
        super().__init__(vocabulary, options)
        vocabulary.require("sentence_end", self.name)
        self.begins_word = (vocabulary.words_outside > 0).float()

    def terms(self, texts: Texts) -> Sequence[Term]:
        tokens = texts.tokens
        event = self.vocabulary.events["sentence_end"][tokens]
        # What a sentence end shares a token with ("etc.") opens no sentence.
        units = word_starts(self.vocabulary, tokens, texts.begin).masked_fill(event, 0)
        state = ages(texts, event, units)
        opens = state.known & (state.age == 0)
        # The latest token before t that opened a sentence, if there is one.
        opener = opens & (self.begins_word[tokens] > 0) & inside_text(texts)
        index = torch.arange(tokens.shape[1], device=tokens.device)
        latest = torch.where(opener, index + 1, torch.zeros_like(index)).cummax(1).values
        previous = torch.zeros_like(latest)
        previous[:, 1:] = latest[:, :-1]
        previous = texts.at_rows(previous)
        at_opening = texts.at_rows(opens)
        row = (at_opening & (previous > 0)).nonzero().squeeze(1)
        repeated = tokens[texts.text[row], previous[row] - 1]
        slot = torch.where(at_opening & (previous > 0), 0, -1)
        return [
            Marginal(at_opening.float(), self.vocabulary.size),
            Pairs(row, repeated),
            Placed(self.begins_word, slot, 1),
        ]

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        tokens = written.tokens
        event = self.vocabulary.events["sentence_end"].cpu().numpy()[tokens]
        words = Words.of(self.vocabulary, written, silent=event)
        found = intervals(written, event)
        known = found.seen | written.starts_at_begin[found.window]
        start, last = found.start[known], found.last[known]
        # Each sentence opens at the positions up to its first word.
        stop = np.minimum(words.next(found.window[known], start), last) + 1
        window = np.repeat(found.window[known], stop - start)
        position = expand(start, stop)
        begins_word = self.begins_word.cpu().numpy() > 0
        opener = begins_word[tokens[position]]
        previous = _latest(opener, window)
        counted = position >= written.first[window]
        after = counted & (previous >= 0)
        of, drawn = group[window], tokens[position]
        repeated = after & (drawn == drawn[previous])
        return [
            tally(of[counted], drawn[counted], groups, self.vocabulary.size),
            size_of(of[repeated], groups),
            size_of(of[after & opener], groups),
        ]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        frequency, repeated, opened = accumulators
        frequency = frequency * self.begins_word.to(frequency)
        rate = ratio(repeated, opened)
        return {
            "opening": ratio(frequency, frequency.sum(-1, keepdim=True)),
            "repeated": torch.cat([rate, 1 - rate], dim=-1),
        }


def _latest(marked: Booleans, window: Integers) -> Integers:
    """The latest earlier marked entry of the same window; -1 where there is none."""
    index = np.arange(len(marked))
    latest = np.maximum.accumulate(np.where(marked, index, -1))
    earlier = np.concatenate([[-1], latest])[: len(marked)]
    return np.where((earlier >= 0) & (window[earlier] == window), earlier, -1)
