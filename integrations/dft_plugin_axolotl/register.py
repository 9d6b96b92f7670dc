"""What happens when Axolotl registers the plugin; apart from it so that a failed import can be told."""

from __future__ import annotations

import os
import sys
from typing import Any

# Imported here so that an installation that lacks something fails now, not after the model is loaded.
import dft_plugin.callback
from dft_plugin import check as checks
from dft_plugin.config import ConfigError, DFTConfig, parse
from dft_plugin.host import UnsupportedRunError


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
    unsupported = list(checks.unsupported_settings(cfg, checks.AXOLOTL, configuration(cfg)))
    if unsupported:
        raise UnsupportedRunError("; ".join(unsupported))


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
