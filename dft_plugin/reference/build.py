"""`dft reference build`: corpora in, one reference file out; workers, progress and going on after an interruption."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dft_plugin.config import DFTConfig
from dft_plugin.reference import engines
from dft_plugin.reference.accumulated import Reference, count_of, count_tensors, numbers_of
from dft_plugin.reference.bad_lines import BadLines
from dft_plugin.reference.container import Kind, read, write
from dft_plugin.reference.corpus import Source, chunks, sources
from dft_plugin.reference.count import Count, Cutting
from dft_plugin.reference.description import Description, describe
from dft_plugin.reference.errors import ReferenceError
from dft_plugin.reference.finish import finished
from dft_plugin.reference.mapping import Counted, Job, entries_of, worker
from dft_plugin.reference.rows import Chunk, ReadOptions
from dft_plugin.reference.scripts import letters_by_script, script_of_tokens
from dft_plugin.reference.tokenizer import end_of_text_of, load_tokenizer, rows_of_head
from dft_plugin.vocabulary import token_texts

INTERRUPTED = Kind("interrupted build of a dft-plugin reference", 1, "delete it and start again without --resume")
SAVE_EVERY = 30.0
"""Seconds between notes of how far a build has come."""
LEAST_SHARED = 8 << 20
"""Bytes of a corpus that are worth starting other processes for."""
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Request:
    """What is to be built.

    Attributes:
        corpora: files, folders, globs, data set names.
        output: the .safetensors file to write.
        tokenizer: folder or hub name of the model that will be trained.
        config: whose statistics, window lengths and seed count.
        options: how the corpora are read.
        vocabulary_size: rows of the model's lm_head; default: what its config.json says, else the tokenizer's.
        from_start: for training data with prompts: texts count from their first token, like answers.
        workers: processes; None: one for each core, or this one alone for a few megabytes.
        engine: one of `ENGINES`.
        overwrite: whether an existing file is replaced.
        resume: whether to go on with an interrupted build.
    """

    corpora: Sequence[str]
    output: Path
    tokenizer: str
    config: DFTConfig
    options: ReadOptions = field(default_factory=ReadOptions)
    vocabulary_size: int | None = None
    from_start: bool = False
    workers: int | None = 1
    engine: str = "local"
    overwrite: bool = False
    resume: bool = False

    @property
    def notes(self) -> Path:
        """Where a build notes how far it has come."""
        return self.output.with_name(self.output.name + ".resume")


@dataclass
class Progress:
    """What a build has done so far.

    Attributes:
        bytes: read of the corpora's files, and how many there are; 0 where that is not known.
        documents, tokens: counted.
    """

    bytes: int = 0
    total_bytes: int = 0
    documents: int = 0
    tokens: int = 0


def build_file(
    request: Request, progress: Callable[[Progress], None] = lambda done: None
) -> tuple[Reference, BadLines]:
    """Builds a reference and writes it.

    Args:
        request: what to build.
        progress: called after each chunk.

    Returns:
        The reference, and the bad lines that were skipped.

    Raises:
        ReferenceError: when a corpus cannot serve, or the output exists or has another suffix.
        ValueError: when the tokenizer lacks what a statistic needs.
    """
    check_output(request.output, request.overwrite)
    _check_resume(request)
    job = make_job(request)
    given = sources(request.corpora, request.options)
    vocabulary = worker(job).vocabulary
    state = _State.start(request, job, given)
    try:
        with contextlib.closing(_results(request, job, given, state)) as results:
            for counted in results:
                state.add(counted)
                progress(state.progress)
    except KeyboardInterrupt:
        state.save()
        raise
    state.lines.finish()
    if not state.count.documents:
        raise ReferenceError(f"{', '.join(request.corpora)}: no text in it")
    letters = script_of_tokens(token_texts(worker(job).tokenizer)[: vocabulary.size])
    record = {
        "tokenizer_name": Path(request.tokenizer).name,
        "sampling": {
            "max_new_tokens": job.cutting.max_new_tokens,
            "context_tokens": job.cutting.context_tokens,
        },
        "from_start": request.from_start,
        "seed": request.config.seed,
        "corpus": sorted({Path(source.name).name for source in given}),
        "letters": dict(sorted(letters_by_script(state.count.tokens, letters).items())),
    }
    reference = finished(state.count, vocabulary, entries_of(job), record)
    reference.save(request.output)
    request.notes.unlink(missing_ok=True)
    return reference, state.lines


def describe_corpus(corpus: str, tokenizer: str | None, progress: Callable[[Progress], None]) -> Description:
    """What the reference of a corpus would say, without keeping it.

    Raises:
        ReferenceError: as `build_file`, and without a tokenizer.
    """
    if tokenizer is None:
        raise ReferenceError(
            f"{corpus} is no reference file but a corpus, and its statistics are counted in a model's tokens: add "
            "--tokenizer, or build a reference of it first with `dft reference build`"
        )
    with tempfile.TemporaryDirectory() as folder:
        request = Request([corpus], Path(folder) / "audited.safetensors", tokenizer, DFTConfig(), workers=None)
        reference, _ = build_file(request, progress)
    return describe(reference, corpus)


def check_output(output: Path, overwrite: bool) -> None:
    """Whether a reference can be written there.

    Raises:
        ReferenceError: when not, with the mend.
    """
    if output.suffix != ".safetensors":
        raise ReferenceError(f"{output}: a reference file ends in .safetensors, by which `reference:` knows it")
    if output.exists() and not overwrite:
        raise ReferenceError(f"{output} exists: give another name, or --overwrite")
    if not output.parent.is_dir():
        raise ReferenceError(f"{output}: there is no folder {output.parent}")


def _check_resume(request: Request) -> None:
    if request.resume and request.engine != "local":
        raise ReferenceError("--resume goes on with a build on this machine: leave out --engine")
    if request.resume and not request.notes.is_file():
        raise ReferenceError(f"{request.output}: no interrupted build of it ({request.notes.name}): leave out --resume")


def make_job(request: Request) -> Job:
    """What workers need.

    Raises:
        ReferenceError: when no statistic can be counted without a model.
    """
    from dft_plugin import plugins

    config = request.config
    # Statistics measured under the model have no human side without one; a run measures it at its beginning.
    entries = [entry for entry in config.statistics if not plugins.statistic(entry.name).needs_model]
    if not entries:
        raise ReferenceError("every statistic is measured under the model: there is nothing to build")
    for entry in entries:
        if entry.own_options.get("weighting", "none") != "none":
            raise ReferenceError(
                f"statistics: {entry.name}: a weighting by frequency needs the frequencies before the first count: "
                "give the corpus itself as `reference:`, or leave `weighting` out"
            )
    tokenizer = load_tokenizer(request.tokenizer)
    rollout = config.rollout
    return Job(
        request.tokenizer,
        request.vocabulary_size or rows_of_head(request.tokenizer),
        end_of_text_of(tokenizer, request.tokenizer),
        tuple(entry.model_dump_json() for entry in entries),
        Cutting(rollout.context_tokens, rollout.max_new_tokens, request.from_start, config.seed),
        request.options,
    )


def _results(request: Request, job: Job, given: Sequence[Source], state: _State) -> Generator[Counted]:
    workers = request.workers
    if workers is None:
        small = 0 < state.progress.total_bytes < LEAST_SHARED
        workers = 1 if small and request.engine == "local" else len(os.sched_getaffinity(0))
    if request.engine == "ray":
        return engines.ray(job, given, workers)
    waiting = islice(state.reading(chunks(given, request.options)), state.chunks, None)
    return engines.local(job, waiting, workers, lambda: state.count.limits)


@dataclass
class _State:
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
    def start(cls, request: Request, job: Job, given: Sequence[Source]) -> _State:
        """A build's beginning, or where the last one stopped."""
        sizes = {source.name: Path(source.name).stat().st_size for source in given if Path(source.name).is_file()}
        signature = json.dumps([asdict(job), [asdict(source) for source in given], sizes], sort_keys=True, default=str)
        empty = worker(job).counter.count([])
        total = sum(sizes.values()) if len(sizes) == len(given) else 0
        state = cls(request.notes, signature, empty, BadLines(job.options.max_bad), Progress(total_bytes=total), sizes)
        if request.resume:
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
            ReferenceError: when too many lines are bad.
        """
        self.count = self.count + counted.count
        self.lines.count(counted.good, counted.bad, counted.empty)
        self.chunks += 1
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
            estimate = read_ // 3 if name.endswith((".gz", ".zst")) else read_
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
        from dft_plugin.reference.rows import BadLine

        tensors, metadata = read(self.notes, INTERRUPTED)
        if metadata["signature"] != self.signature:
            raise ReferenceError(
                f"{self.notes} is of a build with other corpora, options or tokenizer, or a corpus file has changed "
                "since: use the same ones, or delete it and build from the start"
            )
        self.count = count_of(tensors, metadata)
        self.chunks = metadata["chunks"]
        self.lines.good, self.lines.bad, self.lines.empty = metadata["lines"]
        self.lines.kept = [BadLine(**line) for line in metadata["kept"]]


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar with documents, tokens a second and the time left, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns: list[Any] = [
        SpinnerColumn(),
        TextColumn("{task.fields[documents]:,} documents  {task.fields[rate]:,.0f} tokens/s"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, documents=0, rate=0.0)
        started = time.monotonic()
        before: list[int] = []

        def show(done: Progress) -> None:
            before.append(done.tokens) if not before else None
            rate = (done.tokens - before[0]) / max(1e-9, time.monotonic() - started)
            total = done.total_bytes or None
            bar.update(task, total=total, completed=done.bytes, documents=done.documents, rate=rate)

        yield show
