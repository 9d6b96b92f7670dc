"""What is drawn: laws of sentence length and punctuation, and word frequency by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dft_plugin.evaluation.intervals import interval_rows, law
from dft_plugin.evaluation.law_measures import cut_law
from dft_plugin.evaluation.pool import Floats, Ints, Pool
from dft_plugin.evaluation.punctuation import LABELS
from dft_plugin.evaluation.result import Curve
from dft_plugin.vocabulary import MARKS

if TYPE_CHECKING:
    from dft_plugin.reference.description import Description

LONGEST = 64
RANKS = 60


def curves(pool: Pool) -> dict[str, Curve]:
    """The curves of both sides: "sentence length", "punctuation: comma" and the other marks, "rank and frequency"."""
    found = {"sentence length": _law(pool, "sentence_end", "Sentence length", "words in a sentence")}
    for kind in MARKS:
        label = f"Words between {LABELS[kind]}"
        found[f"punctuation: {kind}"] = _law(pool, kind, label, "words since the last")
    return {**found, "rank and frequency": _ranks(pool)}


def law_curves(pool: Pool, known: Description) -> dict[str, Curve]:
    """The curves of measured texts beside human laws, where the human texts are not there."""
    found = curves(pool)
    laws = {"sentence length": known.sentence}
    laws |= {f"punctuation: {kind}": mark.law for kind, mark in known.marks.items()}
    for name, human in laws.items():
        if human is not None and human.width == 1:
            longest = len(found[name].x) - 1
            beside = tuple(cut_law(human, longest).tolist())
            found[name] = found[name].model_copy(update={"human": beside})
    counts = np.array(sorted((count for count, _ in known.phrases[1].values()), reverse=True), dtype=np.int64)
    name = "rank and frequency"
    ranks = np.array(found[name].x, dtype=np.int64)
    found[name] = found[name].model_copy(update={"human": _frequencies(counts, ranks, known.words)})
    return found


def _law(pool: Pool, kind: str, label: str, x_label: str) -> Curve:
    longest = min(LONGEST, pool.limit)  # nothing is seen beyond
    rows = interval_rows(pool, kind, longest)
    own, human = (_entries(pool.view(side).total(rows)) for side in (pool.own, pool.human))
    return Curve(
        label=label,
        x_label=x_label,
        y_label="share",
        x=tuple(range(1, longest + 2)),
        texts=own,
        human=human,
        open_end=True,
    )


def _entries(summed: Floats) -> tuple[float | None, ...]:
    if not summed[1].any():  # nothing was ever at risk
        return (None,) * (summed.shape[1] + 1)
    return tuple(float(share) for share in law(summed))


def _ranks(pool: Pool) -> Curve:
    counts = [np.sort(pool.view(side).counts(1))[::-1] for side in (pool.own, pool.human)]
    most = max(int((count > 0).sum()) for count in counts)
    ranks = np.unique(np.geomspace(1, max(1, most), RANKS).astype(np.int64))
    own, human = (_frequencies(count, ranks, int(count.sum())) for count in counts)
    return Curve(
        label="Word frequency by rank",
        x_label="rank",
        y_label="per million words",
        x=tuple(map(float, ranks)),
        texts=own,
        human=human,
        log=True,
    )


def _frequencies(counts: Ints, ranks: Ints, total: int) -> tuple[float | None, ...]:
    found = [int(counts[rank - 1]) if rank <= len(counts) else 0 for rank in ranks]
    return tuple(1e6 * count / total if count else None for count in found)
