"""What a model wrote, measured at once or kept until it is: to write takes an accelerator, to measure only cores."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from benchmarks.effect.measure import Measures
from benchmarks.effect.result_files import run_path, save, written_path
from benchmarks.effect.scenario import SamplerBlock


def contexts_digest(measures: Measures, sampler: SamplerBlock) -> str:
    """Of the held-out contexts: what was written elsewhere belongs to them alone."""
    contexts = [window.tokens[: window.first] for window in measures.contexts(sampler)]
    return hashlib.sha256(str(contexts).encode()).hexdigest()


def written(
    measures: Measures, model: Any, arm: str, seed: int, sampler: SamplerBlock, resamples: int, **more: Any
) -> dict[str, Any]:
    """A run's record with what only the model itself can tell: its continuations and perplexity."""
    return {
        "arm": arm,
        "seed": seed,
        "sampler": sampler.model_dump(),
        "resamples": resamples,
        "contexts": contexts_digest(measures, sampler),
        "written": measures.written(model, sampler, seed),
        "perplexity": measures.perplexity(model, sampler),
        **more,
    }


def finish(measures: Measures, record: dict[str, Any], *, measure: bool) -> None:
    """Measures what was written and saves the run, or keeps the record for `measure_kept`.

    Raises:
        ValueError: for texts that continue other contexts than these.
    """
    folder, sampler = measures.task.folder, SamplerBlock(**record["sampler"])
    if not measure:
        save(written_path(folder, record["arm"], record["seed"], sampler.key), record, indent=None)
        return
    if record["contexts"] != contexts_digest(measures, sampler):
        raise ValueError(
            f"{folder}: the kept texts of {record['arm']}, seed {record['seed']}, continue other contexts than this "
            "scenario's: its sizes, its corpora or its tokenizer changed; delete them and run the arm again"
        )
    passed = {key: value for key, value in record.items() if key not in ("written", "contexts", "resamples")}
    found = measures.of_written(record["written"], sampler, record["resamples"])
    save(run_path(folder, record["arm"], record["seed"], sampler.key), {**passed, **found})


def measure_kept(measures: Measures) -> None:
    """Measures every kept record that has no result yet, and deletes it."""
    for path in sorted((measures.task.folder / "written").glob("*.json")):
        started = time.perf_counter()
        if not (measures.task.folder / path.name).exists():
            finish(measures, json.loads(path.read_text(encoding="utf-8")), measure=True)
        path.unlink()
        print(f"{path.stem}: measured {time.perf_counter() - started:.0f} s", flush=True)
