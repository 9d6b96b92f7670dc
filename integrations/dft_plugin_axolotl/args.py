"""The `dft:` block as Axolotl reads it: mixed into its configuration class, whose namespace plugins share."""

from __future__ import annotations

from pydantic import BaseModel, Field

from dft_plugin.config import DFTConfig


class DFTArgs(BaseModel):
    """The one key that the plugin adds to an Axolotl configuration."""

    dft: DFTConfig | None = Field(default=None, description="Distribution Fine-Tuning; `dft schema` prints its options")
