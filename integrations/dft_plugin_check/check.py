"""What a configuration of TRL or Axolotl would do in silence: found before a run, each with its mend."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dft_plugin.config import ConfigError, DFTConfig, parse, read_keys
from dft_plugin.schedule import never_acts
from dft_plugin.trainer_arguments import chosen_at_temperature_one, steps_too_early
from dft_plugin_check.findings import Findings
from dft_plugin_check.host_settings import (
    AXOLOTL,
    PLUGIN,
    TRL,
    never_evaluated,
    number,
    plugins_listed,
    unsupported_settings,
)
from dft_plugin_check.missing_paths import missing_paths

_OF_TRL = {"model_name_or_path", "dataset_name", "per_device_train_batch_size"}
_TELLING = {"statistics", "rollout", "reference_windows", "gradient_fraction"}
"""Keys that no block of a host has."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        ConfigError: when it cannot be read as that.
    """
    try:
        return read_keys(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None


def host_of(config: Mapping[str, Any]) -> str:
    """Whose configuration it is, by the key that names the model.

    Raises:
        ConfigError: when it is neither's, nor a `dft:` block by itself.
    """
    if "base_model" in config:
        return AXOLOTL
    if _OF_TRL & set(config):
        return TRL
    if set(config) == {"dft"} or (config and set(config) <= set(DFTConfig.model_fields)):
        return ""
    raise ConfigError(
        "neither `base_model` (Axolotl) nor `model_name_or_path` (TRL) is given, so this is no training "
        f"configuration of either; it has {', '.join(map(str, config)) or 'no keys'}"
    )


def misspelled_blocks(config: Mapping[str, Any]) -> list[str]:
    """Top-level keys that nobody reads and that were meant to be `dft`."""
    return [
        str(key)
        for key, value in config.items()
        if key != "dft"
        and (
            difflib.get_close_matches(str(key).lower(), ["dft"], cutoff=0.6)
            or (isinstance(value, Mapping) and _TELLING & set(value))
        )
    ]


def no_block(config: Mapping[str, Any]) -> str:
    """What to say when there is no `dft` key."""
    for key in misspelled_blocks(config):
        return f'there is no "dft" key. "{key}" is read by nothing: did you mean "dft"? Rename it'
    return "there is no `dft:` block: add one (`dft: {}` takes every default, `dft schema` prints the options)"


def plugin_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """An Axolotl `plugins:` list in which the plugin is missing or misspelled."""
    listed = plugins_listed(config)
    if isinstance(config.get("plugins"), str):
        yield f"plugins is {config['plugins']!r}, and Axolotl takes a list: `plugins: [{config['plugins']}]`"
    silent = "Axolotl then trains without the term and says nothing"
    if PLUGIN in listed:
        if importlib.util.find_spec("dft_plugin_axolotl") is None:
            yield (
                f"plugins lists {PLUGIN}, which cannot be imported in this environment; {silent}. Install it again: "
                "`pip install dft-plugin`"
            )
        return
    for entry in listed:
        if "dft" in entry.lower() or difflib.get_close_matches(entry, [PLUGIN], cutoff=0.6):
            yield f'plugins lists "{entry}", which does not exist; {silent}. Did you mean "{PLUGIN}"?'
            return
    others = [key for key in config if key != "plugins" and difflib.get_close_matches(str(key), ["plugins"])]
    hint = f' ("{others[0]}" is read by nothing: did you mean "plugins"?)' if others else ""
    has = f"plugins lists {', '.join(listed)}" if listed else "there is no `plugins:` list"
    yield f"no plugin reads the dft block: {has}{hint}; {silent}. Add to the file: `plugins: [{PLUGIN}]`"


def check_keys_of_trl(config: Mapping[str, Any], findings: Findings) -> None:
    """Adds the keys that no parser of `trl sft` knows, but those meant to be `dft`, which were named."""
    from dft_plugin_trl.keys import unknown_keys

    try:
        unknown = list(unknown_keys(str(key) for key in config if key not in misspelled_blocks(config)))
    except ImportError as error:
        findings.notes.append(f"not checked are TRL's own keys: TRL cannot be imported here ({error})")
        return
    findings.problems.extend(unknown)
    if not unknown:
        findings.checked.append("every key of TRL's")


def check_settings(config: Mapping[str, Any], parsed: DFTConfig, findings: Findings) -> None:
    """Adds settings that a run refuses, and those that mean another thing than one might think."""
    option = "optimizer" if findings.host == AXOLOTL else "optim"
    early = steps_too_early(str(config.get(option) or ""), option)
    if parsed.statistics and early is not None:
        findings.problems.append(early)
    if parsed.statistics and parsed.rollout.batch_size == 1:
        findings.notes.append(
            "rollout.batch_size is 1: a run on one process refuses it, as a text's derivative is taken at the others "
            "of its step; set it to 2 or more there"
        )
    ways = {
        "early_stopping_patience": findings.host == AXOLOTL and config.get("early_stopping_patience"),
        "load_best_model_at_end": config.get("load_best_model_at_end"),
        "save_strategy: best": config.get("save_strategy") == "best",
    }
    told = chosen_at_temperature_one(ways, config.get("metric_for_best_model"), parsed.prediction_temperature)
    findings.notes.extend([told] if told else [])
    if findings.host == TRL and config.get("loss_type") == "dft":
        findings.notes.append(
            "loss_type: dft is TRL's Dynamic Fine-Tuning, another loss in place of cross-entropy, and no part of "
            "dft-plugin: leave it out unless it is meant"
        )


def check(config: Mapping[str, Any]) -> Findings:
    """Everything that can be told from a configuration, the files it names and the model's tokenizer.

    Raises:
        ConfigError: when it is no configuration of TRL or Axolotl.
    """
    host = host_of(config)
    findings = Findings(host)
    problems = findings.problems
    block = config.get("dft") if host or "dft" in config else config
    for key in misspelled_blocks(config) if "dft" in config and host else ():
        problems.append(f'"{key}" is read by nothing beside "dft": put its keys into `dft:` or remove it')
    if host and "dft" not in config:
        problems.append(no_block(config))
        block = next((config[key] for key in misspelled_blocks(config)), None)
    if host == AXOLOTL:
        problems.extend(plugin_problems(config))
    if host == TRL:
        findings.notes.append("the dft block acts through `dft sft --config FILE`; `trl sft` does not read it")
        check_keys_of_trl(config, findings)
    problems.extend(missing_paths(config, host))
    try:
        parsed = parse(block)
    except ConfigError as error:
        problems += [*unsupported_settings(config, host, None), str(error)]
        return findings
    problems.extend(unsupported_settings(config, host, parsed))
    check_settings(config, parsed, findings)
    findings.checked.append("every key of the dft block")
    steps = number(config.get("max_steps"))
    never = never_acts(parsed, int(steps)) if steps > 0 else None
    if never is not None:
        problems.append(never)
    unmeasured = never_evaluated(config, host)
    if parsed.loss_bound is not None and unmeasured is not None:
        problems.append(f"loss_bound is {parsed.loss_bound} and {unmeasured}, or leave loss_bound out")
    from dft_plugin_check.files import check_files

    check_files(config, parsed, findings)
    return findings


__all__ = [
    "AXOLOTL",
    "PLUGIN",
    "TRL",
    "check",
    "check_keys_of_trl",
    "host_of",
    "misspelled_blocks",
    "never_evaluated",
    "no_block",
    "plugin_problems",
    "read_yaml",
    "unsupported_settings",
]
