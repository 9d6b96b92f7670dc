"""What happens when Axolotl registers the plugin; apart from it so that a failed import can be told."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Imported here so that an installation that lacks something fails now, not after the model is loaded.
import dft_plugin.callback
from dft_plugin.config import ConfigError, DFTConfig, parse
from dft_plugin.host import UnsupportedRunError
from dft_plugin_check import check as checks


def configuration(cfg: Any) -> DFTConfig:
    """The `dft:` block of an Axolotl configuration, in which missing keys read None and None keys are dropped.

    Raises:
        ConfigError: when it is not valid.
    """
    block = cfg["dft"]
    return parse(block.to_dict() if hasattr(block, "to_dict") else block)


def check(cfg: Any) -> None:
    """Refuses what would leave the term inactive or inexact, before anything is loaded.

    Raises:
        ConfigError: when the `dft:` block is missing or not valid.
        UnsupportedRunError: naming the setting and the mend.
    """
    if "dft" not in cfg:
        raise ConfigError(checks.no_block(cfg))
    lost = lost_options(sys.argv)
    if lost:
        raise ConfigError(
            f"{', '.join(lost)} on the command line does not reach the dft block: put it into `dft:` in the file"
        )
    unsupported = list(checks.unsupported_settings(cfg, checks.AXOLOTL, configuration(cfg)))
    if unsupported:
        raise UnsupportedRunError("; ".join(unsupported))


def lost_options(command_line: Sequence[str]) -> list[str]:
    """Options of the block that Axolotl's command line takes and passes on to nobody.

    `python -m axolotl.cli.train` sets `--dft__weight`, as the program that its launchers start.
    """
    lost = ("--dft.", "--dft-") if Path(command_line[0]).stem == "train" else ("--dft.", "--dft-", "--dft__")
    return [given.partition("=")[0] for given in command_line[1:] if given.startswith(lost)]


def announce(cfg: Any) -> None:
    """Prints one line, on the first process only."""
    if int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0:
        config = configuration(cfg)
        names = ", ".join(entry.name for entry in config.statistics)
        matched = f"{names}; reference {config.reference}; weight {config.weight}"
        print(
            f"dft: Distribution Fine-Tuning (dft-plugin {dft_plugin.__version__}) is on: "
            f"{matched if names else 'nothing is matched (statistics: []), calibration alone'}",
            file=sys.stderr,
            flush=True,
        )
