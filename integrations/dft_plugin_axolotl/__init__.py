"""Distribution Fine-Tuning in Axolotl: `plugins: [dft_plugin_axolotl.DFTPlugin]` and a `dft:` block."""

from __future__ import annotations

from typing import Any

# Axolotl logs an ImportError while it loads a plugin and goes on without it. The one import at the top is of
# the module that loads us; everything that could fail is imported in `register`, whose exceptions stop the run.
from axolotl.integrations.base import BasePlugin


class DFTPlugin(BasePlugin):
    """Adds the distribution term to `axolotl train`. Not Dynamic Fine-Tuning (TRL's `loss_type: dft`)."""

    def register(self, cfg: Any) -> None:
        """Checks the configuration and says that the term is on.

        Raises:
            RuntimeError: when something of dft-plugin cannot be imported.
            ConfigError: when the `dft:` block is missing or not valid.
            UnsupportedRunError: when the run is one in which the term is not exact.
        """
        try:
            from dft_plugin_axolotl import register
        except ImportError as error:
            raise RuntimeError(
                f"dft: dft-plugin cannot be imported ({error}), and training would go on without it: mend the "
                "installation (`pip install dft-plugin`), or take dft_plugin_axolotl.DFTPlugin out of `plugins:`"
            ) from error
        register.check(cfg)
        register.announce(cfg)

    def get_input_args(self) -> str:
        """Where Axolotl finds the pydantic model of the `dft:` block."""
        return "dft_plugin_axolotl.args.DFTArgs"

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """The callback that computes the term."""
        from dft_plugin import DFTCallback
        from dft_plugin_axolotl import register

        return [DFTCallback(register.configuration(cfg))]


__all__ = ["DFTPlugin"]
