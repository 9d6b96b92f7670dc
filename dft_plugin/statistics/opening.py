"""What sentences open with, and how often two in a row open alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dft_plugin.statistics.base import NoOptions, Statistic, ratio
from dft_plugin.statistics.intervals import ages, inside_text
from dft_plugin.terms import Marginal, Pairs, Placed, Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary, word_starts


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

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        frequency, repeated, opened = accumulators
        frequency = frequency * self.begins_word.to(frequency.dtype)
        rate = ratio(repeated, opened)
        return {
            "opening": ratio(frequency, frequency.sum(-1, keepdim=True)),
            "repeated": torch.cat([rate, 1 - rate], dim=-1),
        }
