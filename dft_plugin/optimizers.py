"""Optimizers that the term cannot go with."""

from __future__ import annotations


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
