"""What a `dft:` block cannot mean: options that contradict each other, each valid by itself, and empty paths."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from dft_plugin import statistic_config

if TYPE_CHECKING:
    from dft_plugin.config import DFTConfig


FOR_AUTO = ("gradient_fraction", "fade", "balance", "lead")


def check(config: DFTConfig) -> None:
    """Refuses a block in which something would be silent.

    Raises:
        ValueError: naming what was given and the mend.
    """
    for entry in config.statistics:
        statistic_config.check(entry)
    rules = (_of_files, _of_sampler, _of_statistics, _without_statistics, _of_balance, _of_steps)
    found = chain.from_iterable(rule(config) for rule in rules)
    if (contradiction := next(found, None)) is not None:
        raise ValueError(contradiction)


def _of_files(config: DFTConfig) -> Iterator[str]:
    # An empty path is the working directory.
    if not config.reference:
        yield "reference is empty: give `train`, a file or folder of human text, or a shipped domain"
    if "" in config.rollout.kinds:
        yield "rollout.prompts has an empty entry: give `train` or a file of prompts or texts"


def _of_sampler(config: DFTConfig) -> Iterator[str]:
    if config.rollout.top_k == 1 and config.weight != 0 and config.statistics:
        yield (
            "rollout.top_k is 1: the one token that greedy decoding takes has probability 1 whatever the model, so "
            "that the term has no gradient; match the text of a sampler that draws, or only measure with weight: 0"
        )


def _of_statistics(config: DFTConfig) -> Iterator[str]:
    from dft_plugin import plugins

    names = [entry.name for entry in config.statistics]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        yield f"statistics lists {', '.join(repeated)} more than once: give each one entry"
    for name in names:
        if config.credit == 0 and config.weight != 0 and plugins.statistic(name).needs_credit:
            yield (
                f"statistics: {name}: it acts through reward-to-go alone, and credit is 0, so it would have no "
                "gradient; set credit above 0, such as credit: 0.9 (1 is unbiased)"
            )


def _without_statistics(config: DFTConfig) -> Iterator[str]:
    if config.statistics:
        return
    if config.prediction_temperature == 1:
        yield (
            "statistics is empty, so that nothing is matched, and next-token prediction stays at temperature 1 "
            f"(rollout.temperature {config.rollout.temperature:g}, calibration {config.calibration:g}, weight "
            f"{config.weight}): the run would be plain SFT. Set rollout.temperature to the one you deploy with, or "
            "name what to match"
        )
    if when := [name for name in _changed(config, "start_step", "end_step", "warmup_steps") if getattr(config, name)]:
        yield (
            f"{', '.join(when)} is given and statistics is empty: calibration acts from the first step to the last; "
            f"leave {', '.join(when)} out, or name what to match"
        )
    for name, wanted in {"kl_weight": config.kl_weight > 0, "report": config.report is True}.items():
        if wanted:
            yield (
                f"{name} is {getattr(config, name)} and statistics is empty: it is measured on rollouts, and there are "
                f"none; leave {name} out, or name what to match"
            )


def _of_balance(config: DFTConfig) -> Iterator[str]:
    unread = [name for name in _changed(config, *FOR_AUTO) if getattr(config, name) is not None]
    if unread and config.weight not in ("auto", 0):
        yield (f"weight is {config.weight:g}, and {', '.join(unread)} is for weight: auto alone; leave one of them out")
    latest = config.derivative_window
    if _changed(config, "lead") and config.lead and (latest is None or latest >= config.window):
        yield (
            f"lead is {config.lead:g}, and the derivative is taken at as many texts as distances run over "
            f"(derivative_window {latest}, window {config.window}), so that none are ahead; lower derivative_window or "
            "leave lead out"
        )


def _changed(config: DFTConfig, *names: str) -> list[str]:
    """Which of these options are not at their default: a dumped block names them all."""
    return [name for name in names if getattr(config, name) != type(config).model_fields[name].default]


def _of_steps(config: DFTConfig) -> Iterator[str]:
    start, end = config.start_step, config.end_step
    # A share and a number of steps can only be compared once the run's length is known (schedule.never_acts).
    if end is not None and (end < 1) == (start < 1) and end <= start:
        yield f"end_step is {end} and start_step {start}: the term would never act; raise end_step or leave it out"
