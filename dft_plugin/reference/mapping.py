"""The map of the map-reduce: a chunk of a corpus in, its count out, in a process of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from dft_plugin.accumulation import Accumulation
from dft_plugin.matched import make_statistics
from dft_plugin.reference.count import NO_LIMITS, Count, Counter, Cutting, Limits
from dft_plugin.reference.rows import BadLine, Chunk, ReadOptions, parse
from dft_plugin.reference.tokenized import tokenize
from dft_plugin.statistic_config import DFTStatisticConfig
from dft_plugin.vocabulary import Vocabulary


@dataclass(frozen=True)
class Job:
    """What every worker needs to know: plain values, so that it can be sent to another machine.

    Attributes:
        tokenizer: folder or hub name.
        vocabulary_size: rows of the lm_head; None: the tokenizer's size.
        entries: the statistics' entries, as JSON values.
        cutting: how documents become windows.
        options: how rows are read.
    """

    tokenizer: str
    vocabulary_size: int | None
    entries: tuple[str, ...]
    cutting: Cutting
    options: ReadOptions


@dataclass(frozen=True)
class Counted:
    """A chunk's count, how many of its rows are good, and what was skipped on the way."""

    count: Count
    good: int
    bad: list[BadLine]
    empty: int

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.count + other.count, self.good + other.good, self.bad + other.bad, self.empty + other.empty)


@dataclass(frozen=True)
class Worker:
    """A job with the tokenizer loaded and the tables made."""

    job: Job
    tokenizer: Any
    vocabulary: Vocabulary
    counter: Counter

    def map(self, chunk: Chunk, limits: Limits = NO_LIMITS) -> Counted:
        """Parses, tokenizes and counts a chunk; `limits` as for `Counter.count`."""
        parsed = parse(chunk, self.job.options)
        texts = tokenize(parsed.rows, self.tokenizer, chunk.source, self.vocabulary.end_of_text)
        left_out = max(0, len(parsed.rows) - len(texts))
        count = self.counter.count(
            texts, bad_lines=len(parsed.bad), empty_documents=parsed.empty + left_out, limits=limits
        )
        return Counted(count, parsed.good, parsed.bad, parsed.empty)


@cache
def worker(job: Job) -> Worker:
    """The worker of a job; made once in each process."""
    from dft_plugin.reference.tokenizer import end_of_text_of, load_tokenizer

    # Workers are processes; threads of the tokenizer's beside them would only wait for each other.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = load_tokenizer(job.tokenizer)
    vocabulary = Vocabulary.from_tokenizer(tokenizer, job.vocabulary_size, end_of_text_of(tokenizer, job.tokenizer))
    statistics = make_statistics(entries_of(job), vocabulary)
    return Worker(job, tokenizer, vocabulary, Counter(Accumulation(statistics, vocabulary.size), job.cutting))


def entries_of(job: Job) -> list[DFTStatisticConfig]:
    """The configured statistics of a job."""
    return [DFTStatisticConfig.model_validate_json(entry) for entry in job.entries]
