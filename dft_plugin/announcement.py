"""The one line that a run says of what acts in it."""

from __future__ import annotations

from collections.abc import Sequence

from dft_plugin.config import DFTConfig


def with_term(
    config: DFTConfig, names: Sequence[str], start: int, steps: int, prediction_temperature: float, backward: str
) -> str:
    """Of a run in which texts are drawn and matched.

    Args:
        config: the `dft:` block.
        names: of the statistics that are matched.
        start: the optimizer step from which on the term acts.
        steps: optimizer steps of the run.
        prediction_temperature: that next-token prediction is trained at.
        backward: how the gradient is brought in.
    """
    rollout = config.rollout
    together = rollout.steps_per_generation
    at_once = "" if together == 1 else f", {together} steps' texts at once"
    kinds = len(rollout.kinds)
    in_turn = "" if kinds == 1 else f", {kinds} kinds of contexts in turn"
    calibrated = "" if prediction_temperature == 1 else f"{_prediction(prediction_temperature)}; "
    return (
        f"dft: Distribution Fine-Tuning is active: {', '.join(names)}; reference {config.reference}; weight "
        f"{config.weight}; {rollout.batch_size} texts of up to {rollout.max_new_tokens} tokens per process every "
        f"{rollout.interval} step(s) from step {start} of {steps} at temperature {rollout.temperature}{at_once}"
        f"{in_turn}; {calibrated}{backward} backward"
    )


def calibration_alone(prediction_temperature: float) -> str:
    """Of a run in which nothing is matched (`statistics: []`)."""
    return f"dft: nothing is matched (statistics: []): {_prediction(prediction_temperature)}, and no rollouts"


def _prediction(temperature: float) -> str:
    return f"next-token prediction at {temperature:.3g}"
