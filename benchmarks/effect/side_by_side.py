"""Runs parts of scenarios side by side on one GPU, in order of worth, until the time is over.

python benchmarks/effect/side_by_side.py benchmarks/effect/gpu_jobs.yaml --corpora DIR --models DIR --minutes 9

Small models leave a GPU idle: sampling waits for the CPU between kernels. Models that are not there are pretrained
first. Runs write only (`run.py --write-only`): what they wrote is kept arm by arm, and is measured by `run.py` where
cores are cheap. Each job's output is a file in OUTPUT/logs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

EFFECT = Path(__file__).resolve().parent
REPOSITORY = EFFECT.parents[1]
sys.path.insert(0, str(REPOSITORY))

# ruff: noqa: E402
from benchmarks.effect import scenario as scenarios


@dataclass(frozen=True)
class Job:
    """A command, and the model folder it waits for."""

    name: str
    command: list[str]
    needs: Path | None = None

    @property
    def ready(self) -> bool:
        # The tokenizer's settings are what pretraining writes last.
        return self.needs is None or (self.needs / "tokenizer_config.json").exists()


@dataclass
class Queue:
    """Jobs in order; each worker takes the first one that is ready.

    Attributes:
        left: not begun.
        logs: folder of their output.
        deadline: by `time.monotonic`.
        awaiting: whether a job that is not ready still may become so; a model whose pretraining failed never comes.
    """

    left: list[Job]
    logs: Path
    deadline: float
    awaiting: Callable[[], bool] = lambda: False
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> Job | None:
        with self.lock:
            for job in self.left:
                if job.ready:
                    self.left.remove(job)
                    return job
        return None

    def work(self) -> None:
        while self.left and time.monotonic() < self.deadline:
            awaiting = self.awaiting()
            job = self.take()
            if job is not None:
                self.run(job)
            elif awaiting:
                time.sleep(0.5)
            else:
                return

    def run(self, job: Job) -> None:
        started = time.monotonic()
        with open(self.logs / f"{job.name}.log", "wb") as log:
            process = subprocess.Popen(job.command, stdout=log, stderr=subprocess.STDOUT)
        try:
            code = process.wait(timeout=max(0.0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print(f"{job.name}: stopped, the time is over", flush=True)
            return
        how = f"failed ({code})" if code else "done"
        print(f"{job.name}: {how}, {time.monotonic() - started:.0f} s", flush=True)
        if code:
            self.failed.append(job.name)


def jobs_of(path: Path, corpora: str, models: Path, output: Path) -> tuple[list[Job], list[Job]]:
    """(pretrainings, runs) of a file of jobs."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    common = ["--corpora", corpora, "--models", str(models)]
    pretrainings = [
        Job(f"pretrain-{name}", [sys.executable, str(EFFECT / "pretrain_on_gpu.py"), name, *common])
        for name in content.get("pretrain", [])
        if not Job(name, [], models / name).ready
    ]
    runs = []
    for number, run in enumerate(content["runs"]):
        scenario = EFFECT / "scenarios" / f"{run['scenario']}.yaml"
        command = [sys.executable, str(EFFECT / "run.py"), str(scenario), *common, "--output", str(output)]
        command += ["--arms", run["arms"], "--seeds", run["seeds"], "--write-only"]
        name = f"{number:02d}-{run['scenario']}-{run['arms'].replace(',', '-')}-s{run['seeds'].replace(',', '-')}"
        model = scenarios.load(scenario).model
        made = model in content.get("pretrain", [])
        runs.append(Job(name, command, models / model if made else None))
    return pretrainings, runs


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", type=Path, help="a YAML file: `pretrain`, names of models; `runs`, parts of scenarios")
    parser.add_argument("--corpora", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("runs/effect"))
    parser.add_argument("--workers", type=int, default=8, help="runs at once, beside one pretraining")
    parser.add_argument("--minutes", type=float, default=60.0, help="what still runs then is stopped")
    given = parser.parse_args(arguments)
    logs = given.output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * given.minutes
    queues = [Queue(jobs, logs, deadline) for jobs in jobs_of(given.jobs, given.corpora, given.models, given.output)]
    pretraining, runs = queues
    workers = [threading.Thread(target=queue.work) for queue in (pretraining, *[runs] * given.workers)]
    runs.awaiting = workers[0].is_alive
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:  # which the jobs get as well
        for queue in queues:
            queue.left.clear()
        raise
    left = [job.name for queue in queues for job in queue.left]
    print(f"{len(left)} not begun: {', '.join(left) or 'none'}")
    failed = [name for queue in queues for name in queue.failed]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; their output is in {logs}")


if __name__ == "__main__":
    main()
