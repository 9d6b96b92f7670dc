"""`dft reference build`: corpora in, one reference file out; workers, progress and going on after an interruption."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from dft_plugin.config import DFTConfig
from dft_plugin.human_windows import sampling_record
from dft_plugin.reference import engines
from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.bad_lines import BadLines
from dft_plugin.reference.build_state import State
from dft_plugin.reference.corpus import Source, chunks, sources
from dft_plugin.reference.count import Cutting
from dft_plugin.reference.description import Description, describe
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.finish import finished
from dft_plugin.reference.mapping import Counted, Job, entries_of, worker
from dft_plugin.reference.progress import Progress
from dft_plugin.reference.rows import ReadOptions
from dft_plugin.reference.scripts import letters_by_script, script_of_tokens
from dft_plugin.reference.tokenizer import check_rows, rows_of_head
from dft_plugin.statistic_config import DEFAULT_STATISTICS
from dft_plugin.vocabulary import token_texts

LEAST_SHARED = 8 << 20
"""Bytes of a corpus that are worth starting other processes for."""
ENGINES = ("local", "ray")
WITHOUT_CONFIG = DFTConfig.model_validate({"statistics": [*DEFAULT_STATISTICS, "novelty"]})
"""What a reference holds when no config says so: what is matched by default, and the repetition that describing and
measuring texts goes by (`dft reference show`, `diff`, `audit`; `dft evaluate`)."""


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
        HumanReferenceError: when a corpus cannot serve, the output exists or has another suffix, or the tokenizer
            cannot be loaded or has more ids than `vocabulary_size`.
        ValueError: when the tokenizer lacks what a statistic needs.
    """
    check_output(request.output, request.overwrite)
    _check_resume(request)
    job = make_job(request)
    given = sources(request.corpora, request.options)
    vocabulary = worker(job).vocabulary
    if request.vocabulary_size is not None:
        check_rows(worker(job).tokenizer, request.vocabulary_size)
    state = State.start(request.notes, job, given, request.resume)
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
        raise HumanReferenceError(f"{', '.join(request.corpora)}: no text in it")
    letters = script_of_tokens(token_texts(worker(job).tokenizer)[: vocabulary.size])
    record = {
        "tokenizer_name": Path(request.tokenizer).name,
        "sampling": sampling_record(request.config),
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
        HumanReferenceError: as `build_file`, and without a tokenizer.
    """
    if tokenizer is None:
        raise HumanReferenceError(
            f"{corpus} is no reference file but a corpus, and its statistics are counted in a model's tokens: add "
            "--tokenizer, or build a reference of it first with `dft reference build`"
        )
    with tempfile.TemporaryDirectory() as folder:
        request = Request([corpus], Path(folder) / "audited.safetensors", tokenizer, WITHOUT_CONFIG, workers=None)
        reference, _ = build_file(request, progress)
    return describe(reference, corpus)


def check_output(output: Path, overwrite: bool) -> None:
    """Whether a reference can be written there.

    Raises:
        HumanReferenceError: when not, with the mend.
    """
    if output.suffix != ".safetensors":
        raise HumanReferenceError(f"{output}: a reference file ends in .safetensors, by which `reference:` knows it")
    if output.exists() and not overwrite:
        raise HumanReferenceError(f"{output} exists: give another name, or --overwrite")
    if not output.parent.is_dir():
        raise HumanReferenceError(f"{output}: there is no folder {output.parent}")


def _check_resume(request: Request) -> None:
    if request.resume and request.engine != "local":
        raise HumanReferenceError("--resume goes on with a build on this machine: leave out --engine")
    if request.resume and not request.notes.is_file():
        raise HumanReferenceError(
            f"{request.output}: no interrupted build of it ({request.notes.name}): leave out --resume"
        )


def make_job(request: Request) -> Job:
    """What workers need.

    Raises:
        HumanReferenceError: when no statistic can be counted without a model.
    """
    from dft_plugin import plugins

    config = request.config
    # Statistics measured under the model have no human side without one, and a run refuses them beside a built file.
    entries = [entry for entry in config.statistics if not plugins.statistic(entry.name).needs_model]
    if not config.statistics:
        raise HumanReferenceError("statistics is empty: there is nothing to build; name what to count")
    if not entries:
        raise HumanReferenceError("every statistic is measured under the model: there is nothing to build")
    for entry in entries:
        if entry.own_options.get("weighting", "none") != "none":
            raise HumanReferenceError(
                f"statistics: {entry.name}: a weighting by frequency needs the frequencies before the first count: "
                "give the corpus itself as `reference:`, or leave `weighting` out"
            )
        if plugins.statistic(entry.name).needs_text:
            raise HumanReferenceError(
                f"statistics: {entry.name}: it looks things up in human text, which a reference does not keep: give "
                f"the corpus itself as `reference:`, or leave {entry.name} out"
            )
    rollout = config.rollout
    return Job(
        request.tokenizer,
        request.vocabulary_size or rows_of_head(request.tokenizer),
        tuple(entry.model_dump_json() for entry in entries),
        Cutting(rollout.context_tokens, rollout.max_new_tokens, request.from_start, config.seed),
        request.options,
    )


def _cores() -> int:
    """Of this machine, or those this process may use where the system says."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _results(request: Request, job: Job, given: Sequence[Source], state: State) -> Generator[Counted]:
    workers = request.workers
    if workers is None:
        small = 0 < state.progress.total_bytes < LEAST_SHARED
        workers = 1 if small and request.engine == "local" else _cores()
    if request.engine == "ray":
        return engines.ray(job, given, workers)
    waiting = islice(state.reading(chunks(given, request.options)), state.chunks, None)
    return engines.local(job, waiting, workers, lambda: state.count.limits)
