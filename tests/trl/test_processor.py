"""A model of several kinds of input is fine-tuned with a processor; its tokenizer is what texts are read by."""

from __future__ import annotations

from transformers import CLIPImageProcessor, LlavaProcessor

from dft_plugin import DFTCallback
from tests import tiny
from tests.training import term_options, trainer_of


def test_a_processor_serves_as_its_tokenizer_does() -> None:
    def last_distances(processor: bool) -> dict[str, float]:
        callbacks = [DFTCallback(**term_options())]
        trainer = trainer_of(tiny.model("llama"), tiny.plain_rows(64), callbacks, max_steps=2)
        if processor:
            own = LlavaProcessor(CLIPImageProcessor(), trainer.processing_class, patch_size=14)
            trainer.processing_class = trainer.callback_handler.processing_class = own
        trainer.train()
        lines = trainer.state.log_history
        return {key: value for line in lines for key, value in line.items() if key.startswith("dft/distance")}

    assert last_distances(True) == last_distances(False) != {}
