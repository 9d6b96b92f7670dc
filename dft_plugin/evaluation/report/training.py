"""The curves of a training run, from transformers' trainer_state.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dft_plugin.evaluation.report.charts import Axis, Series, line_chart
from dft_plugin.evaluation.report.numbers import figure, finite
from dft_plugin.evaluation.report.scale import scale_over

STATE = "trainer_state.json"
RATIO = "dft/floor_ratio/"
CALLBACK = "DFTCallback"
"""The name under which the state keeps the run's `dft:` block."""
WIDE = 12.0
"""Highest value over lowest beyond which an axis is logarithmic."""


class TrainerStateError(ValueError):
    """A trainer state that cannot be read; the message says why and how to mend it."""


def read_trainer_state(path: str | Path) -> Mapping[str, Any]:
    """A run's state: the file, or that of an output folder or of the newest checkpoint in it.

    Raises:
        TrainerStateError: when there is none, or it is damaged.
    """
    path = file_of(path)
    if not path.is_file():
        raise TrainerStateError(f"{path}: there is no such file; transformers writes {STATE} into each checkpoint")
    try:
        state = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TrainerStateError(
            f"{path} is no JSON ({error}); transformers writes {STATE} into each checkpoint"
        ) from error
    _log_of(state, str(path))
    return state  # type: ignore[no-any-return]


def file_of(path: str | Path) -> Path:
    """The file that holds a run's state.

    Raises:
        TrainerStateError: for a folder without one.
    """
    folder = Path(path)
    if not folder.is_dir():
        return folder

    def step(path: Path) -> int:
        found = re.fullmatch(r"checkpoint-(\d+)", path.parent.name)
        return int(found[1]) if found else -1

    if (folder / STATE).is_file():
        return folder / STATE
    checkpoints = sorted(folder.glob(f"checkpoint-*/{STATE}"), key=step)
    if not checkpoints:
        raise TrainerStateError(f"{folder} holds no {STATE}, and no checkpoint in it does")
    return checkpoints[-1]


def _log_of(state: Any, name: str) -> Sequence[Mapping[str, Any]]:
    log = state.get("log_history") if isinstance(state, Mapping) else None
    if not isinstance(log, list) or not all(isinstance(entry, Mapping) for entry in log):
        raise TrainerStateError(f"{name} holds no log_history, which transformers writes")
    return log


def training_charts(state: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Cross-entropy, the distribution term's loss, and each statistic's distance in floors, over optimizer steps, each
    with what it is called.

    Raises:
        TrainerStateError: when the state has no log.
    """
    log = _log_of(state, "the trainer state")
    charts = []
    losses = [_series(log, "loss", _training(state), "s1"), _series(log, "eval_loss", "evaluation", "s2")]
    charts.append(_chart("Loss", losses, "cross-entropy"))
    charts.append(_chart("Distribution term", [_series(log, "dft/loss", "dft/loss", "s1")], "loss"))
    for key in dict.fromkeys(key for entry in log for key in entry if key.startswith(RATIO)):
        name = key.removeprefix(RATIO)
        charts.append(
            _chart(
                name.replace("_", " ").capitalize(), [_series(log, key, name, "s1")], "distance in floors", level=1.0
            )
        )
    return [chart for chart in charts if chart is not None]


def _training(state: Mapping[str, Any]) -> str:
    """What the training loss is called: under `calibration` it is at a temperature of its own."""
    temperature = _temperature(state)
    return "training" if temperature == 1 else f"training, at temperature {temperature:.2g}"


def _temperature(state: Mapping[str, Any]) -> float:
    """The temperature next-token prediction was trained at; 1 where the state does not tell."""
    found: Any = state.get("stateful_callbacks")
    for key in (CALLBACK, "attributes", "prediction_temperature"):
        found = found[-1] if isinstance(found, list) and found else found  # a trainer may have two of a kind
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else 1.0


def _series(log: Sequence[Mapping[str, Any]], key: str, name: str, style: str) -> Series:
    """What the log holds under a key; what is no finite number breaks the line."""
    found = [
        (step, finite(entry[key])) for entry in log if key in entry and (step := finite(entry.get("step"))) is not None
    ]
    return Series(name, style, [step for step, _ in found], [value for _, value in found])


def _chart(title: str, series: Sequence[Series], y_label: str, level: float | None = None) -> tuple[str, Markup] | None:
    drawn = [one for one in series if any(value is not None for value in one.y)]
    if not drawn:
        return None
    values = [value for one in drawn for value in one.y if value is not None]
    seen = [*values, *([] if level is None else [level])]
    log = min(seen) > 0 and max(seen) > WIDE * min(seen)
    x = Axis(scale_over([step for one in drawn for step in one.x], zero=True), "step")
    y = Axis(scale_over(seen, log=log, zero=level is not None), y_label)
    said = "; ".join(f"{one.name} from {_first(one.y)} to {_first(one.y[::-1])}" for one in drawn)
    floor = None if level is None else (level, "human floor")
    description = f"{title}, {y_label}, over steps: {said}."
    return title, line_chart(title, description, drawn, x, y, height=140, level=floor, last=True)


def _first(values: Sequence[float | None]) -> str:
    return figure(next(value for value in values if value is not None))
