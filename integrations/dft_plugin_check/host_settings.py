"""Settings of TRL and Axolotl themselves that the term cannot go with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dft_plugin.config import DFTConfig
from dft_plugin.trainer_arguments import labels_taken_away
from dft_plugin_check.launch_settings import WITH_DEEPSPEED, launch_problems

AXOLOTL, TRL = "Axolotl", "TRL"
PLUGIN = "dft_plugin_axolotl.DFTPlugin"
_OTHER_TRAINERS = ("rl", "reward_model", "process_reward_model", "kd_trainer")
_OTHER_LOSSES = {
    "use_eaft": "cross-entropy is then weighted by entropy (EAFT), and the term is defined beside the plain one",
    "qat": "logits are then computed with quantized weights, and the term reads them as they are",
}
_ONE_AT_MOST = {
    "context_parallel_size": "context parallelism",
    "sequence_parallel_degree": "sequence parallelism",
    "tensor_parallel_size": "tensor parallelism",
    "dp_shard_size": "FSDP",
    "parallelism_config_cp_size": "context parallelism",
    "parallelism_config_sp_size": "sequence parallelism",
    "parallelism_config_tp_size": "tensor parallelism",
}
_FULLY_SHARDED = ("fsdp", "fsdp_config", "use_fsdp")


def unsupported_settings(config: Mapping[str, Any], host: str, parsed: DFTConfig | None) -> Iterator[str]:
    """Settings with which the term would be inactive or its gradient not exact.

    Args:
        config: without its `dft:` block, or with it.
        host: "Axolotl" or "TRL".
        parsed: the block, or None where it is not valid.
    """
    for key in _OTHER_TRAINERS if host == AXOLOTL else ():
        if config.get(key):
            yield (
                f"{key} is {config[key]!r}: the term is defined beside supervised fine-tuning's cross-entropy; "
                f"remove {key}, or the dft block and plugin"
            )
    for key, what in _OTHER_LOSSES.items() if host == AXOLOTL else ():
        if config.get(key):
            yield f"{key} is set: {what}; remove {key}, or the dft block and plugin"
    for entry in plugins_listed(config) if host == AXOLOTL else ():
        if entry.endswith("DiffusionPlugin"):
            yield f"plugins lists {entry}, whose model is not trained by cross-entropy: remove it, or {PLUGIN}"
    for key, what in _ONE_AT_MOST.items():
        if number(config.get(key)) > 1:
            yield (
                f"{key} is {config[key]}: with {what} no process holds whole texts and weights; set it to 1 and "
                f"use data parallelism or {WITH_DEEPSPEED}"
            )
    for key in _FULLY_SHARDED:
        if config.get(key) and str(config[key]).lower() not in ("false", "0"):
            yield f"{key} is set: the term was not shown exact with FSDP; use data parallelism or {WITH_DEEPSPEED}"
    yield from launch_problems(config, parsed)
    if number(config.get("label_smoothing_factor")) > 0:
        yield str(labels_taken_away(config["label_smoothing_factor"]))


def plugins_listed(config: Mapping[str, Any]) -> list[str]:
    """The entries of Axolotl's `plugins:`, also where one is given without a list."""
    listed = config.get("plugins") or []
    return [listed] if isinstance(listed, str) else list(map(str, listed))


def never_evaluated(config: Mapping[str, Any], host: str) -> str | None:
    """Why held-out loss is never measured in this run, with the mend; None where it is."""
    never = config.get("eval_strategy") in ("no", False)  # YAML reads a bare no as false
    if host == TRL and (never or not config.get("eval_strategy")):
        return "eval_strategy is no; set it to steps or epoch"
    held_out = number(config.get("val_set_size")) or config.get("test_datasets")
    if host == AXOLOTL and (not held_out or never):
        return "nothing is held out and evaluated; set val_set_size and eval_strategy"
    return None


def number(value: Any) -> float:
    """Of a setting; 0 where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


__all__ = ["AXOLOTL", "PLUGIN", "TRL", "never_evaluated", "number", "plugins_listed", "unsupported_settings"]
