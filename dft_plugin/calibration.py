"""Next-token prediction at the temperature that text is drawn at.

Cross-entropy fits softmax(z), the law at temperature 1. Text deployed at temperature T is drawn from softmax(z / T):
another law, and most of what is wrong with such text is that. Dividing the decoder's output by T wherever the host
trains makes its loss, whatever computes it, cross-entropy of softmax(z / T), whose gradient at the logits is
(softmax(z / T) - 1_y) / T: stationary where the law that is drawn from is that of the data. (GEM with linear h and
beta = T has T times that gradient: Li et al., "Preserving Diversity in Supervised Fine-tuning of LLMs", ICLR 2025.)
"""

from __future__ import annotations

from torch import Tensor, nn

from dft_plugin.config import DFTConfig
from dft_plugin.language_model import DecoderHook, decoder_of, head_layer_of, head_of
from dft_plugin.progress import DistributionTermError


class Calibration(DecoderHook):
    """Divides what the head reads by a temperature, in the host's training passes and nowhere else.

    Evaluation, generation and the term's own passes are as ever: there the head is not in training mode.

    Args:
        model: the causal language model.
        temperature: T, from `prediction_temperature`.

    Attributes:
        share: 0 to 1, how far it is in effect: the divisor is T^share.
        acted: whether it has been in effect in any pass.
    """

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__(decoder_of(model))
        self.temperature = temperature
        self.share = 0.0
        self.acted = False
        self._head = head_layer_of(model)

    def check_acted(self) -> None:
        """At the end of a step.

        Raises:
            DistributionTermError: where it was to be in effect and no training pass went through the decoder.
        """
        if self.share > 0 and not self.acted:
            raise DistributionTermError(
                f"next-token prediction was to be trained at temperature {self.temperature:.3g}, and no training pass "
                "went through the model's decoder: this Trainer's forward pass goes another way; set calibration: 0 "
                "to train without"
            )

    def changed(self, hidden: Tensor) -> Tensor:
        # The decoder itself may be in training mode in the term's passes, for gradient checkpointing.
        if self.share == 0 or not self._head.training:
            return hidden
        self.acted = True
        return hidden * self.temperature**-self.share


def prediction_temperature(config: DFTConfig, model: nn.Module) -> float:
    """The configured one, or 1 where dividing what the head reads would not divide its logits: bias, soft-capping."""
    head = head_of(model)
    linear = head.bias is None and head.soft_cap is None
    return config.prediction_temperature if linear else 1.0
