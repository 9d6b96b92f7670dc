"""A build under way: what has been counted, and the notes from which an interrupted one goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dft_plugin import __version__
from dft_plugin.reference.accumulated import count_of, count_tensors, numbers_of
from dft_plugin.reference.bad_lines import BadLines
from dft_plugin.reference.container import Kind, read, write
from dft_plugin.reference.corpus import Source
from dft_plugin.reference.count import Count
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.mapping import Counted, Job, Worker, worker
from dft_plugin.reference.progress import Progress
from dft_plugin.reference.rows import BadLine, Chunk

INTERRUPTED = Kind("interrupted build of a dft-plugin reference", 1, "delete it and start again without --resume")
SAVE_EVERY = 30.0
"""Seconds between notes of how far a build has come."""


@dataclass
class State:
    """A build under way."""

    notes: Path
    signature: str
    count: Count
    lines: BadLines
    progress: Progress
    sizes: dict[str, int]
    chunks: int = 0
    saved: float = field(default_factory=time.monotonic)
    _read: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, notes: Path, job: Job, given: Sequence[Source], resume: bool) -> State:
        """A build's beginning, or where the one that left these notes stopped."""
        files = {source.name: Path(source.name).stat() for source in given if Path(source.name).is_file()}
        sizes = {name: found.st_size for name, found in files.items()}
        changed = {name: found.st_mtime_ns for name, found in files.items()}
        signature = json.dumps(
            [asdict(job), [asdict(source) for source in given], sizes, changed, _counted_with(worker(job))],
            sort_keys=True,
            default=str,
        )
        empty = worker(job).counter.count([])
        total = sum(sizes.values()) if len(sizes) == len(given) else 0
        state = cls(notes, signature, empty, BadLines(job.options.max_bad), Progress(total_bytes=total), sizes)
        if resume:
            state._restore()
        return state

    def reading(self, given: Iterator[Chunk]) -> Iterator[Chunk]:
        """The chunks, and how much of each file they are."""
        for chunk in given:
            size = sum(map(len, chunk.lines)) if chunk.lines is not None else 0
            self._read[chunk.source] = self._read.get(chunk.source, 0) + size
            yield chunk

    def add(self, counted: Counted) -> None:
        """Takes in a chunk's count.

        Raises:
            HumanReferenceError: when too many lines are bad.
        """
        count, lines = self.count + counted.count, copy(self.lines)
        lines.count(counted.good, counted.bad, counted.empty)
        # Together, and nothing that takes long between: an interruption leaves a chunk counted or not.
        self.count, self.lines, self.chunks = count, lines, self.chunks + 1
        self.progress.documents = self.count.documents
        self.progress.tokens = int(self.count.tokens.sum())
        self.progress.bytes = self._bytes()
        if time.monotonic() - self.saved > SAVE_EVERY:
            self.save()

    def _bytes(self) -> int:
        """Of a compressed file about a third is read at a time; what comes before the latest file is read."""
        done = 0
        for number, (name, read_) in enumerate(self._read.items(), start=1):
            size = self.sizes.get(name, 0)
            estimate = read_ // 3 if name.lower().endswith((".gz", ".zst")) else read_
            done += min(size, estimate) if number == len(self._read) else size
        return done

    def save(self) -> None:
        """Notes how far the build has come."""
        if self.chunks == 0:
            return
        metadata = {
            "signature": self.signature,
            "chunks": self.chunks,
            "lines": [self.lines.good, self.lines.bad, self.lines.empty],
            "kept": [asdict(line) for line in self.lines.kept],
            **numbers_of(self.count),
        }
        write(self.notes, INTERRUPTED, count_tensors(self.count), metadata)
        self.saved = time.monotonic()

    def _restore(self) -> None:
        tensors, metadata = read(self.notes, INTERRUPTED)
        if metadata["signature"] != self.signature:
            raise HumanReferenceError(
                f"{self.notes} is of a build with other corpora, options or tokenizer, or a corpus file has changed "
                "since: use the same ones, or delete it and build from the start"
            )
        self.count = count_of(tensors, metadata)
        self.chunks = metadata["chunks"]
        self.lines.good, self.lines.bad, self.lines.empty = metadata["lines"]
        self.lines.kept = [BadLine(**line) for line in metadata["kept"]]


def _counted_with(it: Worker) -> list[Any]:
    """What counts depend on beside options and texts: a folder of the same name may hold another tokenizer."""
    return [
        __version__,
        it.vocabulary.fingerprint,
        it.vocabulary.end_of_text,
        getattr(it.tokenizer, "chat_template", None),
    ]
