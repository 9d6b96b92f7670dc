"""Which DFTCallback acts in TRL's script, which keeps its trainer to itself."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from dft_plugin.callback import DFTCallback
from dft_plugin.config import DFTConfig
from dft_plugin.host import UnsupportedRunError, find_trainer


class Witness(TrainerCallback):
    """Stands beside a DFTCallback: a Trainer that restores its callbacks from a checkpoint makes another of it.

    Args:
        config: the file's `dft:` block.

    Attributes:
        active: whether a DFTCallback with a term or with calibration has trained to the end.
    """

    def __init__(self, config: DFTConfig) -> None:
        self.config = config
        self.active = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuses to train with other options than the file's.

        Raises:
            UnsupportedRunError: naming those that differ.
        """
        given = _flat(self.config)
        for callback in self._beside():
            restored = _flat(callback.config)
            if differing := [name for name in given if given[name] != restored[name]]:
                raise UnsupportedRunError(
                    "restore_callback_states_from_checkpoint is true, which puts the checkpoint's `dft:` block in the "
                    f"place of the file's, and they differ in {', '.join(differing)}: leave "
                    "restore_callback_states_from_checkpoint out, which the term does not need to be resumed, or give "
                    "the options that the checkpoint was written with"
                )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.active = any(entry.term is not None or entry.calibration is not None for entry in self._beside())

    def _beside(self) -> list[DFTCallback]:
        callbacks = find_trainer(self).callback_handler.callbacks
        return [entry for entry in callbacks if isinstance(entry, DFTCallback)]


def _flat(config: DFTConfig) -> dict[str, Any]:
    block = config.model_dump(mode="json")
    rollout = block.pop("rollout")
    return {**block, **{f"rollout.{name}": value for name, value in rollout.items()}}


__all__ = ["Witness"]
