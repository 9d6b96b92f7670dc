"""What `reference:` names, as the human side of a run: the training set, a corpus, a built file or a shipped domain."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from dft_plugin import plugins
from dft_plugin.accumulation import Accumulation
from dft_plugin.config import DFTConfig
from dft_plugin.documents import Document
from dft_plugin.human_windows import cut_windows, sampling_record, token_frequency
from dft_plugin.matched import make_statistics, match_all
from dft_plugin.objective import Matched
from dft_plugin.reference import HumanReferenceError, Reference, read_documents
from dft_plugin.reference.domain import Domain
from dft_plugin.reference.finish import human_side
from dft_plugin.reference.human_side import HumanSide, of_windows
from dft_plugin.reference.projection import Projection, project
from dft_plugin.repeated_windows import warn_of_repeated_windows
from dft_plugin.statistics.base import Statistic
from dft_plugin.texts import Window
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Written

logger = logging.getLogger("dft_plugin")

LOOKED_UP_WINDOWS = 1 << 16
"""At most so many windows are looked up in, beside those that are counted."""


@dataclass(frozen=True)
class Matching:
    """What a run matches.

    Attributes:
        matched: statistics with their distances.
        accumulation: of exactly these statistics.
        side: the human side; parts of statistics measured under the model are zero.
    """

    matched: list[Matched]
    accumulation: Accumulation
    side: HumanSide


class HumanReference(Protocol):
    """Human text to match."""

    def token_frequency(self, vocabulary_size: int) -> Tensor | None:
        """(V,) float64, or None where it is not known before the statistics are."""

    def text(self) -> Written | None:
        """What statistics may look things up in (`Vocabulary.human_text`); None where no text is there."""

    def matching(self, config: DFTConfig, vocabulary: Vocabulary) -> Matching:
        """The human side of the configured statistics."""


def human_reference(
    config: DFTConfig, tokenizer: Any, trained_on: Sequence[Document], prompted: bool, end_of_text: Collection[int]
) -> tuple[HumanReference, list[Window]]:
    """What `reference:` names, and windows of human text: for statistics measured under the model, and the report.

    Args:
        config: the `dft:` block.
        tokenizer: of the model.
        trained_on: documents of the training set.
        prompted: whether most of them have a prompt.
        end_of_text: ids that end a generated text.

    Raises:
        HumanReferenceError: when it cannot be read or is too short.
    """
    name, shipped = config.reference, plugins.references()
    check_holds_text(config)
    if counted_here(name):
        windows, others = _windows(config, tokenizer, trained_on, prompted, end_of_text)
        return OfWindows(windows, others), windows
    own = cut_windows(config, trained_on, from_start=False, name="the training set")
    if name in shipped:
        warn_of_repeated_windows(config, trained_on, from_start=False, name="the training set")
        return OfDomain(name, Domain.load(shipped[name]), tokenizer, own), own
    reference = Reference.load(name)
    for told in other_texts(name, reference, trained_on, prompted, end_of_text):
        logger.warning("dft: %s", told)
    return OfFile(name, reference), own


def other_texts(
    name: str, reference: Reference, trained_on: Sequence[Document], prompted: bool, end_of_text: Collection[int]
) -> Iterator[str]:
    """What to say of a built file whose texts begin or end otherwise than the training set's."""
    if prompted and not reference.metadata["from_start"]:
        yield (
            f"reference {name} was built without --from-start, and the training set has prompts: plain texts in it are "
            "counted from anywhere, not from their beginning (completions and chats are counted as ever)"
        )
    ends = {document.tokens[document.stop - 1] for document in trained_on} & set(end_of_text)
    counted = {token for token in reference.vocabulary.end_of_text if reference.count.tokens[token] > 0}
    longest = reference.windows * reference.metadata["sampling"]["max_new_tokens"]
    all_cut = reference.count.tokens.sum() == longest  # no end is due in windows that are as long as a rollout can be
    if ends and not all_cut and not ends & counted:
        ending = f"token {sorted(counted)}" if counted else "no end of text"
        yield (
            f"the texts of reference {name} end with {ending}, the training set's with token {sorted(ends)}: build it "
            "with a tokenizer whose eos_token is this run's, or text_length and the frequency of these tokens ask for "
            "an end that the model is not trained to write"
        )


def counted_here(reference: str) -> bool:
    """Whether the run counts the human text itself, so that it is there before the statistics are."""
    return not reference.endswith(".safetensors") and reference not in plugins.references()


def check_holds_text(config: DFTConfig) -> None:
    """Whether there is human text for the model to read, where a statistic is measured under it.

    The training set's would be there in every case, and is what a reference of other text is given to replace.

    Raises:
        HumanReferenceError: naming the statistics and the mend.
    """
    under_model = [entry.name for entry in config.statistics if plugins.statistic(entry.name).needs_model]
    if under_model and not counted_here(config.reference):
        named = ", ".join(under_model)
        raise HumanReferenceError(
            f"statistics: {named}: measured on human text that the model reads, and reference {config.reference} holds "
            f"counts, not texts: give the corpus itself as `reference`, or leave {named} out of `statistics`"
        )


def _windows(
    config: DFTConfig, tokenizer: Any, trained_on: Sequence[Document], prompted: bool, end_of_text: Collection[int]
) -> tuple[list[Window], list[Window]]:
    """The windows to count and, where a statistic looks things up, others for that: at least half of all there are."""
    looked_up = any(plugins.statistic(entry.name).needs_text for entry in config.statistics)
    wanted = config.reference_windows
    more = config.model_copy(update={"reference_windows": wanted + LOOKED_UP_WINDOWS}) if looked_up else config
    if config.reference == "train":
        documents, from_start, name = trained_on, False, "the training set"
    else:
        documents = read_documents(check_path(config.reference), tokenizer, end_of_text=end_of_text)
        from_start, name = prompted, f"reference {config.reference}"
    windows = cut_windows(more, documents, from_start=from_start, name=name)
    warn_of_repeated_windows(config, documents, from_start=from_start, name=name)
    counted = min(wanted, len(windows) // 2) if looked_up else wanted
    return windows[:counted], windows[counted:]


def check_path(reference: str) -> str:
    """The path of a reference that is neither `train`, nor a built file, nor a domain.

    Raises:
        HumanReferenceError: when there is no such file, naming what a reference can be.
    """
    if not Path(reference).exists():
        known = ["train", *plugins.references()]
        raise HumanReferenceError(
            f'reference "{reference}": there is no such file.{plugins.nearest(reference, known)} A reference is '
            f"{', '.join(known)}, a corpus (.txt, .jsonl, .json, .parquet, a folder of these) or a .safetensors file "
            "of `dft reference build`"
        )
    return reference


def not_held(name: str, projected: Projection, config: DFTConfig, statistics: Sequence[Statistic]) -> dict[str, str]:
    """statistic -> why a domain does not hold it, of those on by default.

    Raises:
        HumanReferenceError: when the configuration itself lists one of them.
    """
    left_out = {
        statistic.name: projected.left_out[statistic.name]
        for statistic in statistics
        if statistic.name in projected.left_out
    }
    if left_out and "statistics" in config.model_fields_set:
        statistic, reason = next(iter(left_out.items()))
        raise HumanReferenceError(
            f"reference {name} holds no {statistic} ({reason}); of this block it holds "
            f"{', '.join(projected.totals) or 'nothing'}: leave {statistic} out of `statistics`, or build a reference "
            "of texts with `dft reference build`"
        )
    return left_out


@dataclass(frozen=True)
class OfWindows:
    """Human windows, counted at the beginning of the run; others are looked up in."""

    windows: Sequence[Window]
    others: Sequence[Window] = ()

    def token_frequency(self, vocabulary_size: int) -> Tensor | None:
        return token_frequency(self.windows, vocabulary_size)

    def text(self) -> Written | None:
        return Written.of(self.others)

    def matching(self, config: DFTConfig, vocabulary: Vocabulary) -> Matching:
        statistics = make_statistics(config.statistics, vocabulary)
        accumulation = Accumulation(statistics, vocabulary.size)
        return Matching(match_all(config.statistics, statistics), accumulation, of_windows(accumulation, self.windows))


@dataclass(frozen=True)
class OfFile:
    """A reference that `dft reference build` wrote."""

    path: str
    reference: Reference

    def token_frequency(self, vocabulary_size: int) -> Tensor | None:
        return self.reference.token_frequency if self.reference.vocabulary.size == vocabulary_size else None

    def text(self) -> Written | None:
        return None

    def matching(self, config: DFTConfig, vocabulary: Vocabulary) -> Matching:
        statistics = make_statistics(config.statistics, vocabulary)
        self.reference.check(self.path, statistics, vocabulary, sampling_record(config))
        accumulation = Accumulation(statistics, vocabulary.size)
        return Matching(
            match_all(config.statistics, statistics), accumulation, human_side(self.reference.count, accumulation)
        )


@dataclass(frozen=True)
class OfDomain:
    """A domain's statistics, projected onto the model's vocabulary; its floors are measured on human windows of the
    training set, cut and tokenized as the run's own texts are."""

    name: str
    domain: Domain
    tokenizer: Any
    windows: Sequence[Window]

    def token_frequency(self, vocabulary_size: int) -> Tensor | None:
        return None

    def text(self) -> Written | None:
        return None

    def matching(self, config: DFTConfig, vocabulary: Vocabulary) -> Matching:
        statistics = make_statistics(config.statistics, vocabulary)
        projected = project(self.domain, self.tokenizer, vocabulary, statistics, sampling_record(config))
        left_out = not_held(self.name, projected, config, statistics)
        for name, reason in left_out.items():
            logger.warning("dft: reference %s holds no %s (%s): it is not matched", self.name, name, reason)
        kept = [
            (entry, statistic)
            for entry, statistic in zip(config.statistics, statistics, strict=True)
            if statistic.name not in left_out
        ]
        accumulation = Accumulation([statistic for _, statistic in kept], vocabulary.size)
        own = of_windows(accumulation, self.windows)
        total = own.total.new_zeros(accumulation.size)
        for _, statistic in kept:
            total[accumulation.part(statistic)] = projected.totals[statistic.name]
        side = replace(own, total=total, windows=projected.windows, apart=True)
        return Matching(match_all(*map(list, zip(*kept, strict=True))), accumulation, side)  # type: ignore[arg-type]
