"""Arguments of a Trainer that the term cannot go with, or not well, whether a run or a file gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def steps_too_early(name: str, option: str = "optim") -> str | None:
    """Why an optimizer cannot serve, with the mend; None where it can.

    Args:
        name: as TRL and Axolotl call it.
        option: the setting that names it.
    """
    if "lomo" in name or name.endswith("layerwise"):
        return (
            f"{option} is {name}, which steps inside the backward pass: the term's gradient and cross-entropy's "
            "would be two steps and not one; use another, such as adamw_torch"
        )
    return None


def labels_taken_away(smoothing: float) -> str | None:
    """Why label smoothing cannot serve, with the mend; None where it is off."""
    if not smoothing:
        return None
    return (
        f"label_smoothing_factor is {smoothing}: the Trainer then takes the labels away before the forward pass; set "
        "it to 0"
    )


def chosen_at_temperature_one(ways: Mapping[str, Any], metric: str | None, temperature: float) -> str | None:
    """What to say where held-out loss chooses the model, though another is trained for; None where it does not.

    Args:
        ways: by which a model may be chosen, or the run end early, and whether each is taken.
        metric: by what; None is the Trainer's default, the loss.
        temperature: that next-token prediction is trained at.
    """
    by, chosen = metric or "loss", next((way for way, taken in ways.items() if taken), None)
    if chosen is None or temperature == 1 or not by.endswith("loss"):
        return None
    return (
        f"{chosen} goes by {by}, which is measured at temperature 1, and next-token prediction is trained at "
        f"{temperature:.3g}, which raises it from the first step on: a checkpoint of before the term acts would be "
        f"taken. Leave {chosen} out, or set calibration: 0"
    )


def answers_run_together(packing: bool, strategy: str, answers: bool) -> str | None:
    """What to say of packed rows in which answers cannot be told from what stands before them; None for others.

    Args:
        packing: whether rows are packed.
        strategy: TRL's `packing_strategy`.
        answers: whether answers to prompts alone are trained on.
    """
    if not (packing and strategy == "wrapped" and answers):
        return None
    return (
        "packing_strategy is wrapped, which leaves no trace of where the texts of a row begin: rollouts go on with a "
        "prompt after all that the row holds before it, other prompts and answers too; set packing_strategy to bfd"
    )
