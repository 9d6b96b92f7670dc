"""What `dft compare` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dft_plugin.evaluation.compare import Compared, compare, unique_names
from dft_plugin.evaluation.evaluate import evaluate_together
from dft_plugin.evaluation.measuring import Options
from dft_plugin.evaluation.result import FORMAT, Result
from dft_plugin.evaluation.run import drawn, human_side
from dft_plugin.evaluation.texts import TextsError, name_of, read_texts


def is_result(path: str) -> bool:
    """Whether a file is a result of `dft evaluate` rather than texts."""
    if not Path(path).is_file():
        return False
    with open(path, encoding="utf-8", errors="replace") as file:
        return f'"format":"{FORMAT}"' in file.read(200).replace(" ", "")


def compare_files(
    human: str, others: Sequence[str], column: str | None, options: Options
) -> tuple[Compared, list[Result]]:
    """Results side by side, texts among them measured against the human texts first.

    Raises:
        TextsError, ResultError, HumanReferenceError: when a file cannot be used.
    """
    names = unique_names([name_of(other) for other in others])
    results = {name: Result.load(path) for name, path in zip(names, others, strict=True) if is_result(path)}
    texts = {
        name: drawn(read_texts(path, column), None)
        for name, path in zip(names, others, strict=True)
        if name not in results
    }
    if is_result(human):
        raise TextsError(
            f"{human} is a result; the first argument is the human text: dft compare human.jsonl base.json"
        )
    people = human_side(human, column)
    if texts:
        first = next(iter(results.values()), None)
        if first is not None and options.words is None:
            options = replace(options, words=first.basis.words)  # as the results beside them were measured
        results |= evaluate_together(texts, people, options)
    ordered = [results[name] for name in names]
    return compare(ordered), ordered
