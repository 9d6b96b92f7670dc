"""Texts side by side: human text and each result's, of the same prompt where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dft_plugin.evaluation.result import Result, Sample


@dataclass(frozen=True)
class Column:
    """A text, and whose it is."""

    name: str
    style: str
    text: str


@dataclass(frozen=True)
class Beside:
    """Texts of one prompt; without a prompt, texts that have nothing in common but their place."""

    prompt: str | None
    columns: Sequence[Column]


def side_by_side(results: Sequence[Result], names: Sequence[str], styles: Sequence[str]) -> list[Beside]:
    """The samples of the first result, each beside a human text and the others' texts of the same prompt."""
    rows = [
        Beside(sample.prompt, list(_columns(results, names, styles, i)))
        for i, sample in enumerate(results[0].samples.texts)
    ]
    return [row for row in rows if len(row.columns) > 1]


def _columns(results: Sequence[Result], names: Sequence[str], styles: Sequence[str], index: int) -> Iterator[Column]:
    prompt = results[0].samples.texts[index].prompt
    if (human := _of_prompt(results[0].samples.human, prompt, index)) is not None:
        yield Column("human", "human", human.text)
    for result, name, style in zip(results, names, styles, strict=True):
        if (found := _of_prompt(result.samples.texts, prompt, index)) is not None:
            yield Column(name, style, found.text)


def _of_prompt(samples: Sequence[Sample], prompt: str | None, index: int) -> Sample | None:
    """The sample of a prompt; without one that any sample has, the one in the same place."""
    same = [sample for sample in samples if prompt is not None and sample.prompt == prompt]
    if same:
        return same[0]
    without = [sample for sample in samples if sample.prompt is None or prompt is None]
    return samples[index] if len(without) == len(samples) and index < len(samples) else None
