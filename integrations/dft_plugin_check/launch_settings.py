"""What DeepSpeed and accelerate are told: in a configuration of TRL or Axolotl, or in the files it names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from dft_plugin.config import ConfigError, DFTConfig

LAST_STAGE = 2
WITH_DEEPSPEED = "DeepSpeed (ZeRO-1 or ZeRO-2, and a number as the dft block's weight)"


@dataclass(frozen=True)
class Launch:
    """One place that says how the processes share the work.

    Attributes:
        given: the key and value that say so.
        kind: "DEEPSPEED", "FSDP" or another of accelerate's.
        stage: of DeepSpeed's ZeRO; 0 where it is not on or not known.
    """

    given: str
    kind: str
    stage: int = 0


def launch_problems(config: Mapping[str, Any], parsed: DFTConfig | None) -> Iterator[str]:
    """What of it the term is not exact with.

    Args:
        config: of TRL or Axolotl.
        parsed: the `dft:` block, or None where it is not valid.
    """
    try:
        found = list(launches(config))
    except ConfigError as error:
        yield str(error)
        return
    for launch in found:
        if launch.kind == "FSDP":
            yield f"{launch.given} is FSDP: the term was not shown exact; use data parallelism or {WITH_DEEPSPEED}"
        if launch.kind != "DEEPSPEED":
            continue
        if launch.stage > LAST_STAGE:
            yield (
                f"{launch.given} is DeepSpeed ZeRO stage {launch.stage}: each process then holds a part of every "
                f"weight, and the term reads the language-modelling head's as a whole; use stage {LAST_STAGE}"
            )
        if parsed is not None and parsed.statistics and parsed.weight == "auto":
            yield (
                f"{launch.given} turns DeepSpeed on, and weight is auto, which measures the term's gradient alone: its "
                "engine never shows that; give a number as `weight` in the dft block"
            )


def launches(config: Mapping[str, Any]) -> Iterator[Launch]:
    """Every place in a configuration that says it.

    Raises:
        ConfigError: for a file that is there and cannot be read.
    """
    if config.get("deepspeed"):
        engine = config["deepspeed"]
        given = "deepspeed" if isinstance(engine, Mapping) else f"deepspeed: {engine}"
        yield Launch(given, "DEEPSPEED", _stage(_content(engine)))
    if str(config.get("use_deepspeed")).lower() in ("true", "1"):
        yield Launch("use_deepspeed", "DEEPSPEED", _stage_of_accelerate(config))
    for key in ("accelerate_config", "config_file"):
        if config.get(key):
            told = _content(_shipped_by_trl(str(config[key])) if key == "accelerate_config" else config[key])
            stage = _stage_of_accelerate(told.get("deepspeed_config") or {})
            yield Launch(f"{key}: {config[key]}", str(told.get("distributed_type") or "NO").upper(), stage)


def _shipped_by_trl(name: str) -> str:
    """The file of one of TRL's own configurations of accelerate, or the path that was given."""
    if Path(name).is_file():
        return name
    try:
        shipped = resources.files("trl.accelerate_configs") / f"{name}.yaml"
    except ModuleNotFoundError:
        return name
    return str(shipped) if shipped.is_file() else name


def _content(given: Any) -> Mapping[str, Any]:
    """Of a mapping or a file; nothing where there is no such file, which is found by `missing_paths`."""
    if isinstance(given, Mapping):
        return given
    path = Path(str(given))
    if not path.is_file():
        return {}
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


def _stage(engine: Mapping[str, Any]) -> int:
    zero = engine.get("zero_optimization")
    return _whole(zero.get("stage")) if isinstance(zero, Mapping) else 0


def _stage_of_accelerate(told: Mapping[str, Any]) -> int:
    file = told.get("deepspeed_config_file")
    return _stage(_content(file)) if file else _whole(told.get("zero_stage"))


def _whole(value: Any) -> int:
    return int(value) if str(value).isdigit() else 0


__all__ = ["WITH_DEEPSPEED", "Launch", "launch_problems", "launches"]
