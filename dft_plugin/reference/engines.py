"""Where a corpus is counted: in this process, in processes of this machine, or over a Ray cluster."""

from __future__ import annotations

import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

from dft_plugin.reference.corpus import Source, chunks
from dft_plugin.reference.count import Limits
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.mapping import Counted, Job, worker
from dft_plugin.reference.rows import Chunk

Known = Callable[[], Limits]
"""The limits of what has been counted so far."""


def local(job: Job, given: Iterable[Chunk], workers: int, known: Known) -> Generator[Counted]:
    """Counts chunks in this process, or in `workers` others; results come in the order of the chunks.

    At most 2 chunks per worker are under way, so memory does not grow with the corpus.

    Raises:
        HumanReferenceError: as the reading, and when a worker dies.
    """
    if workers == 1:
        for chunk in given:
            yield worker(job).map(chunk, known())
        return
    # A server that forks clean processes: no threads of this one are copied, and libraries are imported once.
    method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
    context = get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["dft_plugin.reference.mapping", "transformers"])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupts)
    waiting: deque[Future[Counted]] = deque()
    try:
        with _interrupts_later():
            pool.submit(_nothing).result()
        for chunk in given:
            waiting.append(pool.submit(_map, job, chunk, known()))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except (KeyboardInterrupt, GeneratorExit):
        _kill(pool)
        raise
    except BrokenProcessPool as error:
        raise HumanReferenceError(
            f"a worker died, probably for lack of memory ({error}): use fewer --workers than {workers}; --resume goes "
            "on where the build stopped"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _map(job: Job, chunk: Chunk, limits: Limits) -> Counted:
    return worker(job).map(chunk, limits)


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Puts Ctrl-C off while processes are being started: half-started ones would print tracebacks of their own.

    What is started inside inherits the blocked signal, and never hears it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


def _nothing() -> None:
    """Done once a worker is there."""


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal: the main one speaks, and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _kill(pool: ProcessPoolExecutor) -> None:
    """Ends the workers at once, whatever they are doing: their counts are not wanted any more."""
    if hasattr(pool, "kill_workers"):  # Python 3.14
        pool.kill_workers()
        return
    for process in list((pool._processes or {}).values()):
        process.kill()


def ray(job: Job, given: Iterable[Source], workers: int) -> Generator[Counted]:
    """Counts sources over a Ray cluster, one a task; files must be reachable under the same path everywhere.

    Connects to the cluster that RAY_ADDRESS names, else starts one on this machine.

    Raises:
        HumanReferenceError: when Ray is not installed; as the reading.
    """
    try:
        import ray as cluster
        import ray.data
    except ImportError as error:
        raise HumanReferenceError(
            "--engine ray needs Ray Data: pip install 'dft-plugin[ray]', or leave --engine out"
        ) from error
    started = not cluster.is_initialized()
    if started:
        cluster.init(log_to_driver=False, include_dashboard=False, num_cpus=None if _addressed() else workers)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        items = [{"source": pickle.dumps(_everywhere(source)), "job": pickle.dumps(job)} for source in given]
        counted = ray.data.from_items(items, override_num_blocks=len(items)).map(_count_source, concurrency=workers)
        for row in counted.iter_rows():
            result = pickle.loads(row["counted"])
            if isinstance(result, HumanReferenceError):
                raise result
            yield result
    finally:
        if started:
            cluster.shutdown()


def _addressed() -> bool:
    import os

    return bool(os.environ.get("RAY_ADDRESS"))


def _everywhere(source: Source) -> Source:
    """A file by its whole path: workers have working folders of their own."""
    return replace(source, name=str(Path(source.name).resolve())) if Path(source.name).exists() else source


def _count_source(row: dict[str, Any]) -> dict[str, Any]:
    job: Job = pickle.loads(row["job"])
    source: Source = pickle.loads(row["source"])
    try:
        result: Any = Counted(worker(job).counter.count([]), 0, [], 0)
        for chunk in chunks([source], job.options):
            result = result + worker(job).map(chunk, result.count.limits)
    except HumanReferenceError as error:  # Ray would wrap it in a traceback of its own
        result = error
    return {"counted": pickle.dumps(result)}
