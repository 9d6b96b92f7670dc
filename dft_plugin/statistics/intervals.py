"""Times until the next event, in words or tokens: the differentiable Kaplan-Meier law.

Sentence length, gaps between commas or quotes, paragraph and text length are all the age at which an
interval ends. At a prefix of age w the hazard is the probability mass of the event's tokens; with
H(w) = (expected events at age w) / (intervals that reached age w), the law is P(w) = H(w) prod_{u<w} (1 - H(u))
(Kaplan & Meier 1958). Texts cut off (censoring) and windows that begin mid-interval (left truncation) are
handled without bias, and no text is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from dft_plugin.block import Block
from dft_plugin.statistics.base import Counted, Statistic, ratio
from dft_plugin.statistics.interval_counts import count_intervals
from dft_plugin.terms import Counts, Placed, Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import MARKS, Vocabulary, word_starts
from dft_plugin.written import Integers, Written


def inside_text(texts: Texts) -> Tensor:
    """(B, T) bool: the positions of a text, context included, prompt and padding not."""
    index = torch.arange(texts.tokens.shape[1], device=texts.tokens.device)
    return (index >= texts.begin[:, None]) & (index < texts.end[:, None])


@dataclass(frozen=True)
class Ages:
    """Time since the last event at every position, given the tokens before it.

    Attributes:
        age: (B, T) long, units of time since the last event, or since the text's start.
        known: (B, T) bool, whether the interval's start was seen.
        fresh: (B, T) bool, whether an event, or the text's start, came immediately before.
    """

    age: Tensor
    known: Tensor
    fresh: Tensor


def ages(texts: Texts, event: Tensor, units: Tensor) -> Ages:
    """Ages from events (B, T) bool and units of time (B, T) long carried by each token.

    Units of an event's own token belong to the interval after it: where a mark and a word share a token, the
    mark comes first ('"Hello' is one in Llama 3's vocabulary).
    """
    event = event & inside_text(texts)
    before = torch.zeros_like(units)
    before[:, 1:] = units.cumsum(1)[:, :-1]  # units among tokens[:t]
    index = torch.arange(event.shape[1], device=event.device)
    last = torch.where(event, index + 1, torch.zeros_like(index)).cummax(1).values
    # The interval at t starts after the last event among tokens[:t], or at the text's beginning.
    start = torch.zeros_like(last)
    start[:, 1:] = last[:, :-1]
    seen = start > 0
    start = torch.maximum(start, texts.begin[:, None])
    # Counted from the event's token on, or from the text's first.
    age = before - before.gather(1, (start - seen.long()).clamp(max=event.shape[1] - 1))
    known = (seen | texts.starts_at_begin[:, None]) & (index >= texts.begin[:, None])
    return Ages(age.clamp(min=0), known, start == index)


def interval_terms(
    texts: Texts, column: Tensor, event: Tensor, units: Tensor, *, bins: int, width: int, minimum: int
) -> list[Term]:
    """Expected events by age, and intervals at risk by age, `bins` each.

    Args:
        texts: the texts.
        column: (V,) 1 for tokens that carry the event.
        event: (B, T) bool, the same looked up for each token.
        units: (B, T) long, units of time (words) each token begins.
        bins: number of ages told apart; bin i holds ages minimum + i * width and the width - 1 after.
        width: units of time per bin.
        minimum: age below which an event ends nothing (two marks in a row are one).
    """
    state = ages(texts, event, units)
    bin_at = torch.div(state.age - minimum, width, rounding_mode="floor").clamp(min=-1, max=bins)
    previous = torch.full_like(bin_at, -1)
    previous[:, 1:] = bin_at[:, :-1]
    # A text continued from its first token alone was exposed to nothing before: that token was given.
    index = torch.arange(bin_at.shape[1], device=bin_at.device)
    second = (index == texts.first[:, None]) & (texts.first == texts.begin + 1)[:, None]
    fresh = state.fresh | (second & texts.starts_at_begin[:, None])
    previous = torch.where(fresh, -1, previous)
    entered = (bin_at > previous) | fresh
    # An interval under way at the first counted position was exposed to part of its present age before it:
    # it joins the intervals at risk when it enters its next age (delayed entry).
    joined = (entered & texts.counted).cummax(1).values
    observed = texts.at_rows(joined & state.known)
    bin_at, previous = texts.at_rows(bin_at), texts.at_rows(previous)
    at_risk = observed & (bin_at >= 0) & (bin_at < bins)
    slot = torch.where(at_risk, bin_at, -1)
    # A token of several words passes several ages at once; the interval was at risk at each.
    rows, slots = [], []
    step = (bin_at - previous).clamp(min=0)
    for skipped in range(int(step.max()) if step.numel() else 0):
        reached = bin_at - skipped
        row = (observed & (skipped < step) & (reached >= 0) & (reached < bins)).nonzero().squeeze(1)
        rows.append(row)
        slots.append(reached[row])
    none = torch.zeros(0, dtype=torch.long, device=units.device)
    return [Placed(column, slot, bins), Counts(torch.cat([none, *rows]), torch.cat([none, *slots]), bins)]


def kaplan_meier(events: Tensor, at_risk: Tensor) -> Tensor:
    """The law of interval lengths from hazards: (..., bins) and (..., bins) to (..., bins + 1).

    H = events / at_risk (0 where nothing is at risk, at most 1), P(w) = H(w) prod_{u<w} (1 - H(u)); the last
    entry is the mass beyond the last bin.
    """
    hazard = ratio(events, at_risk).clamp(max=1.0)
    survival = torch.cumprod(1 - hazard, dim=-1)
    reached = torch.cat([torch.ones_like(survival[..., :1]), survival], dim=-1)
    return torch.cat([hazard * reached[..., :-1], reached[..., -1:]], dim=-1)


class IntervalOptions(Block):
    """Options shared by the interval statistics."""

    model_config = ConfigDict(extra="forbid")
    longest: int = Field(default=64, ge=2, le=4096, description="longest interval told apart, in words")
    width: int = Field(default=1, ge=1, le=256, description="words per bin")


class _WordIntervals(Statistic[IntervalOptions]):
    """Laws of the number of words between events of one or more kinds."""

    support = "ordered"
    distance = "energy"
    Options = IntervalOptions
    kinds: tuple[str, ...]

    def __init__(self, vocabulary: Vocabulary, options: IntervalOptions) -> None:
        super().__init__(vocabulary, options)
        present = [kind for kind in self.kinds if bool(vocabulary.events[kind].any())]
        if not present:
            vocabulary.require(self.kinds[0], self.name)
        self.present = present
        self.columns = {kind: vocabulary.events[kind].float() for kind in present}

    def terms(self, texts: Texts) -> Sequence[Term]:
        units = word_starts(self.vocabulary, texts.tokens, texts.begin)
        bins = -(-self.options.longest // self.options.width)
        terms: list[Term] = []
        for kind in self.present:
            event = self.vocabulary.events[kind][texts.tokens]
            terms += interval_terms(
                texts, self.columns[kind], event, units, bins=bins, width=self.options.width, minimum=1
            )
        return terms

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        elapsed = written.words(self.vocabulary).before
        bins, width = -(-self.options.longest // self.options.width), self.options.width
        counted: list[Counted] = []
        for kind in self.present:
            event = self.vocabulary.events[kind].cpu().numpy()[written.tokens]
            counted += count_intervals(written, event, elapsed, group, groups, bins=bins, width=width, minimum=1)
        return counted

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        return {
            kind: kaplan_meier(accumulators[2 * number], accumulators[2 * number + 1])
            for number, kind in enumerate(self.present)
        }


class SentenceLength(_WordIntervals):
    """Words per sentence."""

    name = "sentence_length"
    kinds = ("sentence_end",)


class PunctuationRhythm(_WordIntervals):
    """Words between marks of the same kind: comma, dash, colon/semicolon, quote, question/exclamation,
    ellipsis, parenthesis."""

    name = "punctuation_rhythm"
    kinds = MARKS


class ParagraphOptions(IntervalOptions):
    """Options of `paragraph_length`."""

    longest: int = Field(default=256, ge=2, le=4096, description="longest paragraph told apart, in words")
    width: int = Field(default=8, ge=1, le=256, description="words per bin")


class ParagraphLength(_WordIntervals):
    """Words per paragraph: between line breaks that have words between them."""

    name = "paragraph_length"
    kinds = ("newline",)
    Options = ParagraphOptions


class TextLengthOptions(Block):
    """Options of `text_length`."""

    model_config = ConfigDict(extra="forbid")
    longest: int = Field(default=1024, ge=2, le=65536, description="longest text told apart, in tokens")
    width: int = Field(default=16, ge=1, le=1024, description="tokens per bin")


class TextLength(Statistic[TextLengthOptions]):
    """Tokens until the end-of-text token, from the text's start."""

    name = "text_length"
    support = "ordered"
    distance = "energy"
    Options = TextLengthOptions

    def __init__(self, vocabulary: Vocabulary, options: TextLengthOptions) -> None:
        super().__init__(vocabulary, options)
        vocabulary.require("end_of_text", self.name)
        self.column = vocabulary.events["end_of_text"].float()

    def terms(self, texts: Texts) -> Sequence[Term]:
        width = self.options.width
        event = self.vocabulary.events["end_of_text"][texts.tokens]
        units = (inside_text(texts) & ~event).long()
        bins = -(-self.options.longest // width)
        return interval_terms(texts, self.column, event, units, bins=bins, width=width, minimum=0)

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        event = self.vocabulary.events["end_of_text"].cpu().numpy()[written.tokens]
        elapsed = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(~event)])
        bins, width = -(-self.options.longest // self.options.width), self.options.width
        return count_intervals(
            written, event, lambda _, position: elapsed[position], group, groups, bins=bins, width=width, minimum=0
        )

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        return {"text": kaplan_meier(*accumulators)}
