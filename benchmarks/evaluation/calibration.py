"""How often human text is called different from human text, and how often intervals hold what they should.

    python benchmarks/evaluation/calibration.py ../shared/data/corpora/academic.jsonl.gz

Draws disjoint samples of one corpus many times, measures one beside the other, and writes results/calibration.json and
.md: for every measure how often it was called different, its mean floor ratio (1 if floors are right), and how often
its 95 % interval holds its mean over all draws. That is fair for measures whose value does not depend on the draw of
the human sample, and too strict for rare things, which many draws do not show at all.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np

from dft_plugin.evaluation.measuring import Options, measure, prepare
from dft_plugin.evaluation.result import Measure
from dft_plugin.evaluation.texts import read_texts

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", help="human texts, each independent of the others")
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("-n", type=int, default=300, help="texts measured")
    parser.add_argument("--human", type=int, default=600, help="human texts beside them")
    arguments = parser.parse_args()
    texts = read_texts(arguments.corpus).texts
    found: dict[str, list[Measure]] = {}
    for draw in range(arguments.draws):
        drawn = random.Random(draw).sample(list(texts), arguments.n + arguments.human)
        options = Options(words=100, resamples=60, seed=draw)
        pool = prepare(drawn[: arguments.n], drawn[arguments.n :], options)
        for name, one in measure(pool, options).items():
            found.setdefault(name, []).append(one)
    rows = {name: row(measures) for name, measures in found.items()}
    called = sum(one["called_different"] for one in rows.values())
    head = (
        f"{arguments.draws} draws of {arguments.n} texts beside {arguments.human} others of "
        f"`{Path(arguments.corpus).name}`: {called} of {len(rows) * arguments.draws:,} comparisons of human text with "
        "human text were called different.\n\n"
        "| measure | called different | mean floor ratio | interval holds the mean |\n| --- | --- | --- | --- |\n"
    )
    lines = [
        f"| {found[name][0].label} | {one['called_different']} | {shown(one['floor_ratio'], '.2f')} | "
        f"{shown(one['coverage'], '.0%')} |"
        for name, one in rows.items()
    ]
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "calibration.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "results" / "calibration.md").write_text(head + "\n".join(lines) + "\n")
    print(head + "\n".join(lines))


def row(measures: list[Measure]) -> dict[str, float | int | None]:
    """One measure over all draws."""
    ratios = [one.floor_ratio for one in measures if one.floor_ratio is not None]
    known = [(one.value, one.interval) for one in measures if one.value is not None and one.interval is not None]
    mean = float(np.mean([value for value, _ in known])) if known else 0.0
    return {
        "called_different": sum(one.verdict == "differs" for one in measures),
        "floor_ratio": float(np.mean(ratios)) if ratios else None,
        "coverage": float(np.mean([low <= mean <= high for _, (low, high) in known])) if known else None,
    }


def shown(value: float | int | None, form: str) -> str:
    """A number, or a dash."""
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    main()
