"""What the log line says of the term: means over the acting steps since the last line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dft_plugin.objective import Matched, mean_distance, mean_floor_ratio
from dft_plugin.term import Evaluation


class Metrics:
    """Collects numbers between log lines."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}
        self._last: dict[str, Any] = {}

    def add(self, key: str, value: float) -> None:
        """A number whose mean over acting steps is logged."""
        self._sums.setdefault(key, []).append(value)

    def set(self, key: str, value: Any) -> None:
        """A value that is logged as it is, once."""
        self._last[key] = value

    def evaluated(self, evaluation: Evaluation, matched: Sequence[Matched], weight: float) -> None:
        """The distances of one acting step."""
        self.add("dft/loss", float(evaluation.distances.loss.detach()))
        self.add("dft/weight", weight)
        self.add("dft/strength", evaluation.strength)
        self.add("dft/excess_surprisal", evaluation.excess_surprisal)
        for entry in matched:
            raw = evaluation.distances.raw[entry.name]
            self.add(f"dft/distance/{entry.name}", mean_distance(raw))
            self.add(f"dft/floor_ratio/{entry.name}", mean_floor_ratio(raw, evaluation.floors[entry.name]))

    def sample(self, index: int, text: str) -> None:
        """A sample text for the next log line."""
        self.set(f"dft/sample_{index + 1}", text)

    def drain(self) -> dict[str, Any]:
        """Everything since the last call."""
        logs: dict[str, Any] = {key: sum(values) / len(values) for key, values in self._sums.items()}
        logs.update(self._last)
        self._sums, self._last = {}, {}
        return logs
