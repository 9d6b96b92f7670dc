"""A statistic that dft-plugin does not have: how long words are, in tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from dft_plugin import hookimpl
from dft_plugin.statistics.base import Statistic
from dft_plugin.statistics.intervals import inside_text, interval_terms, kaplan_meier
from dft_plugin.terms import Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary


class WordLengthOptions(BaseModel):
    """Options of `word_length`; written beside the statistic's name in the `dft:` block."""

    model_config = ConfigDict(extra="forbid")
    longest: int = Field(default=8, ge=2, le=64, description="longest word told apart, in tokens")


class WordLength(Statistic[WordLengthOptions]):
    """Tokens per word, marks that touch it included: a model that spells words out has many long ones.

    The event is a token that leaves the word before it, with a space for instance, and the time is counted in
    tokens. The law is Kaplan-Meier's, so words cut off by a text's end bias nothing.
    """

    name = "word_length"
    support = "ordered"
    distance = "energy"
    Options = WordLengthOptions

    def __init__(self, vocabulary: Vocabulary, options: WordLengthOptions) -> None:
        super().__init__(vocabulary, options)
        # After a letter, such a token begins another word, or ends outside any.
        self.leaves_word = (vocabulary.words_inside > 0) | (vocabulary.state_after == 0)
        if not bool((vocabulary.words_inside > 0).any()):
            raise ValueError(f"statistic {self.name!r} wants tokens that begin a word; this vocabulary has none")
        self.column = self.leaves_word.float()

    def terms(self, texts: Texts) -> Sequence[Term]:
        event = self.leaves_word[texts.tokens]
        one_per_token = inside_text(texts).long()
        # The token that leaves one word is the first of the next: age 1 and bin 0 are a word of one token.
        return interval_terms(texts, self.column, event, one_per_token, bins=self.options.longest, width=1, minimum=1)

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        return {"word": kaplan_meier(*accumulators)}


@hookimpl
def dft_statistics() -> Sequence[type[Statistic]]:
    return [WordLength]
