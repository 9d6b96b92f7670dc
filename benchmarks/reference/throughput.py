"""How fast `dft reference build` is beside tokenization alone, and how its memory grows with the corpus.

    python benchmarks/reference/throughput.py CORPUS... --tokenizer NAME [--workers 2] [--repeat 3]

Three things are timed in turn, `--repeat` times, on the same chunks with the same number of worker processes:
tokenization by the call everybody makes, `tokenizer(texts)`; tokenization as the build does it (without offsets);
and the build. Start-up (imports, loading the tokenizer) is left out of all three. Then one process reads, counts and
adds the first corpus 1, 2 and 4 times over, and its peak memory is read from the system.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dft_plugin.config import DFTConfig
from dft_plugin.reference.build import Request, make_job
from dft_plugin.reference.corpus import chunks, sources
from dft_plugin.reference.count import NO_LIMITS, Limits
from dft_plugin.reference.mapping import Job, worker
from dft_plugin.reference.rows import Chunk, ReadOptions, parse
from dft_plugin.reference.tokenized import tokenize

RESULTS = Path(__file__).parent / "results"


def by_call(job: Job, chunk: Chunk, limits: Limits) -> tuple[int, Any]:
    texts = [row.text for row in parse(chunk, job.options).rows]
    ids = worker(job).tokenizer(texts, return_attention_mask=False)["input_ids"] if texts else []
    return sum(map(len, ids)), None


def by_build(job: Job, chunk: Chunk, limits: Limits) -> tuple[int, Any]:
    texts = tokenize(parse(chunk, job.options).rows, worker(job).tokenizer, chunk.source)
    return sum(len(text.document.tokens) for text in texts), None


def build(job: Job, chunk: Chunk, limits: Limits) -> tuple[int, Any]:
    counted = worker(job).map(chunk, limits)
    return int(counted.count.lengths.sum()), counted.count


Stage = Callable[[Job, Chunk, Limits], tuple[int, Any]]


def start(job: Job) -> int:
    worker(job)
    time.sleep(1.0)  # so that every process of the pool gets one of these
    return 0


def timed(stage: Stage, job: Job, pool: ProcessPoolExecutor, given: list[Chunk], workers: int) -> float:
    """Seconds for all chunks, at most 2 per worker under way, results added as the build adds them."""
    began = time.perf_counter()
    count, waiting = None, []

    def take() -> None:
        nonlocal count
        _, found = waiting.pop(0).result()
        count = found if count is None or found is None else count + found

    for chunk in given:
        limits = NO_LIMITS if count is None else count.limits
        waiting.append(pool.submit(stage, job, chunk, limits))
        if len(waiting) >= 2 * workers:
            take()
    while waiting:
        take()
    return time.perf_counter() - began


def memory(_: int = 0) -> float:
    """Peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rates(arguments: argparse.Namespace, job: Job) -> dict[str, Any]:
    given = list(chunks(sources(arguments.corpus, ReadOptions()), ReadOptions()))
    stages: dict[str, Stage] = {"tokenizer(texts)": by_call, "tokenization of the build": by_build, "build": build}
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("forkserver")) as pool:
        list(pool.map(start, [job] * arguments.workers))
        tokens = sum(pool.map(partial(_tokens, job), given))
        for _ in range(arguments.repeat):
            for name, stage in stages.items():
                seconds[name].append(timed(stage, job, pool, given, arguments.workers))
    ratios = {
        name: [own / whole for own, whole in zip(seconds[name], seconds["build"], strict=True)] for name in stages
    }
    return {
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": {name: tokens / statistics.median(each) for name, each in seconds.items()},
        "throughput_of_build_over": {name: statistics.median(each) for name, each in ratios.items() if name != "build"},
    }


def _tokens(job: Job, chunk: Chunk) -> int:
    return by_build(job, chunk, NO_LIMITS)[0]


def memories(arguments: argparse.Namespace, job: Job) -> Iterator[dict[str, Any]]:
    for times in (1, 2, 4):
        with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
            yield pool.submit(_memory, arguments.corpus[:1] * times, job).result()


def _memory(corpus: list[str], job: Job) -> dict[str, Any]:
    """One process that reads, counts and adds: the most that any process of a build holds."""
    before, count, characters = memory(), None, 0
    for path in corpus:  # the same file again is another file to the reader
        for chunk in chunks(sources([path], ReadOptions()), ReadOptions()):
            characters += sum(map(len, chunk.lines or []))
            found = worker(job).map(chunk, NO_LIMITS if count is None else count.limits).count
            count = found if count is None else count + found
    return {"megabytes_of_text": characters / 1e6, "peak_mb": memory(), "before_mb": before}


def text(found: dict[str, Any]) -> str:
    """The README's paragraph."""
    rate, ratio = found["tokens_per_second"], found["throughput_of_build_over"]
    memory = ", ".join(f"{each['peak_mb']:.0f} MB for {each['megabytes_of_text']:.0f} MB" for each in found["memory"])
    return (
        f"`python benchmarks/reference/throughput.py` on {found['tokens'] / 1e6:.1f} million tokens, a vocabulary of "
        f"{found['vocabulary']:,}, {found['workers']} worker(s) on a shared machine, median of "
        f"{len(found['seconds']['build'])}: {rate['build']:,.0f} tokens a second, {ratio['tokenizer(texts)']:.2f} of "
        f"what `tokenizer(texts)` alone reaches with as many workers ({ratio['tokenization of the build']:.2f} of the "
        f"faster call that the build itself uses). One process peaks at {memory} of text: memory does not follow the "
        "corpus.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    job = make_job(Request(arguments.corpus, Path("unused.safetensors"), arguments.tokenizer, DFTConfig()))
    found = {
        "workers": arguments.workers,
        "vocabulary": worker(job).vocabulary.size,
        **rates(arguments, job),
        "memory": list(memories(arguments, job)),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "throughput.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "throughput.md").write_text(text(found))
    print(text(found))


if __name__ == "__main__":
    main()
