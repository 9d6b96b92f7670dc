"""At how many optimizer steps of a run the term acted, and how many it was left out of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dft_plugin.schedule import Schedule

logger = logging.getLogger("dft_plugin")

MOST_SKIPPED_IN_A_ROW = 10


class DistributionTermError(RuntimeError):
    """A run that cannot go on, or ended, without the term having acted as configured."""


@dataclass
class Progress:
    """Counts of one run.

    Attributes:
        acted: steps at which the term was brought in (at weight 0: measured).
        skipped: steps it was left out of because something was not finite.
        skipped_in_a_row: those since it acted last.
    """

    acted: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0

    def act(self, brought_in: bool) -> None:
        """A step that went well; `brought_in` is false where it only measured cross-entropy's gradient."""
        self.acted += brought_in
        self.skipped_in_a_row = 0

    def skip(self, reason: str, step: int) -> None:
        """A step the term is left out of.

        Raises:
            DistributionTermError: at the `MOST_SKIPPED_IN_A_ROW`-th in a row.
        """
        self.skipped += 1
        self.skipped_in_a_row += 1
        logger.warning("dft: step %d: %s; the term is left out of this step", step, reason)
        if self.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            raise DistributionTermError(
                f"{reason}, {MOST_SKIPPED_IN_A_ROW} steps in a row (last: step {step}): lower the learning rate "
                "or the term's weight, or train in bf16 instead of fp16; where the weights themselves are not finite, "
                "cross-entropy's loss or gradient was not before"
            )

    def ended(self, steps: int, planned: int, schedule: Schedule, waited: str) -> None:
        """At the end of a run; where it was stopped before the term's first step this is only told: its model is whole.

        Args:
            steps: optimizer steps taken.
            planned: those of the whole run.
            schedule: of the term.
            waited: what the term still waited for, if anything.

        Raises:
            DistributionTermError: when it never acted otherwise.
        """
        if self.acted > 0:
            return
        never = (
            f"training ended after {steps} steps without the distribution term having acted (start_step "
            f"{schedule.start}, interval {schedule.interval}, {self.skipped} steps skipped"
            f"{f'; {waited}' if waited else ''})"
        )
        if steps >= planned or steps > schedule.start:
            raise DistributionTermError(never)
        logger.warning("dft: %s: it was stopped before that, at %d of %d", never, steps, planned)

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return asdict(self)

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> Progress:
        """From a mapping that holds what `state` gave, among others."""
        return cls(**{name: kept[name] for name in asdict(cls())})
