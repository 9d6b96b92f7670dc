"""At which optimizer steps of a run the term acts, and how far it is warmed up there."""

from __future__ import annotations

from dataclasses import dataclass

from dft_plugin.config import DFTConfig


@dataclass(frozen=True)
class Schedule:
    """`start_step`, `end_step` and `warmup_steps` of a run, in optimizer steps.

    Attributes:
        start: the first step at which the term acts.
        end: the step from which it no longer acts; None: never.
        warmup: steps over which it rises linearly after `start`.
        interval: it acts at every interval-th step from `start`.
    """

    start: int
    end: int | None
    warmup: int
    interval: int

    @classmethod
    def of(cls, config: DFTConfig, steps: int) -> Schedule:
        """The schedule of a run of so many optimizer steps."""
        end = None if config.end_step is None else in_steps(config.end_step, steps)
        start, warmup = in_steps(config.start_step, steps), in_steps(config.warmup_steps, steps)
        return cls(start, end, warmup, config.rollout.interval)

    def warmed(self, step: int) -> float | None:
        """The warm-up's share at a step, above 0 and up to 1; None before `start` and from `end` on."""
        if step < self.start or (self.end is not None and step >= self.end):
            return None
        return min(1.0, (step - self.start + 1) / self.warmup) if self.warmup else 1.0

    def acts(self, step: int) -> bool:
        """Whether texts are drawn and matched at a step."""
        return self.warmed(step) is not None and (step - self.start) % self.interval == 0


def in_steps(given: float, steps: int) -> int:
    """Steps as given; below 1 they are a share of the run's, as in transformers (`eval_steps`), rounded down."""
    return int(given * steps + 1e-9) if given < 1 else int(given)


def never_acts(config: DFTConfig, steps: int) -> str | None:
    """Why the term would act at no step of a run of so many, and the mend; None where it acts or nothing is matched."""
    if not config.statistics:
        return None
    schedule = Schedule.of(config, steps)
    if schedule.start >= steps:
        return (
            f"start_step is {config.start_step} and training has {steps} steps: the term would never act; "
            "lower start_step"
        )
    if schedule.end is not None and schedule.end <= schedule.start:
        return (
            f"end_step is {config.end_step} and start_step {config.start_step}, of {steps} steps {schedule.end} and "
            f"{schedule.start}: the term would never act; raise end_step or lower start_step"
        )
    until = steps if schedule.end is None else min(steps, schedule.end)
    if config.weight == "auto" and schedule.start == 0 and schedule.interval >= until:
        return (
            "weight is auto, which only measures cross-entropy's gradient at a run's first step, and at no later one "
            f"of {steps} the term would act (start_step {config.start_step}, end_step {config.end_step}, "
            f"rollout.interval {schedule.interval}): train for more steps, lower the interval, or give weight a number"
        )
    return None
