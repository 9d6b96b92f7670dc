"""DPO from the SFT model: human continuation chosen, the SFT model's own rejected (the first round of SPIN, Chen et
al. 2024), by TRL's DPOTrainer.

As many optimizer steps as SFT, on top of SFT's own: DPO has twice the steps of the other arms. A step holds as many
pairs as make up SFT's tokens (both continuations and their context counted).
"""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, set_seed
from trl import DPOConfig, DPOTrainer

from benchmarks.effect.arms.own_texts import own_texts
from benchmarks.effect.cost_meter import CostMeter
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, common_arguments, load_model, lora, merged, sft_model, short_log


class TokenizedPairs(DPOTrainer):
    """DPOTrainer on tokens: texts cut at a number of tokens have no end to be taught."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    scenario = task.scenario
    options = {"learning_rate": 1e-4, "beta": 0.1, "texts": 2048, **scenario.options.get("dpo", {})}
    windows, own = own_texts(task, seed, sampler, int(options["texts"]))
    pairs = {
        "prompt_ids": [list(window.tokens[: window.first]) for window in windows],
        "chosen_ids": [list(window.tokens[window.first :]) for window in windows],
        "rejected_ids": own,
    }
    pair_tokens = 2 * (scenario.rollouts.context_tokens + scenario.rollouts.max_new_tokens)
    batch = max(1, round(scenario.batch_size * scenario.max_length / pair_tokens))
    sft = sft_model(task, seed)
    set_seed(seed)
    meter = CostMeter()
    trainer = TokenizedPairs(
        model=sft.model,
        ref_model=None if scenario.lora_rank else load_model(sft.model.config._name_or_path),
        args=DPOConfig(
            **common_arguments(task, seed, task.folder / "trainer"),
            max_steps=scenario.steps,
            per_device_train_batch_size=batch,
            max_length=pair_tokens // 2,
            learning_rate=options["learning_rate"],
            beta=options["beta"],
        ),
        train_dataset=Dataset.from_dict(pairs),
        processing_class=task.tokenizer,
        callbacks=[meter],
        peft_config=lora(task),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    cost = meter.figures(batch * pair_tokens)
    cost["sft_seconds"] = sft.cost["train_seconds"]
    return Trained(merged(trainer.model), cost, {**options, "log": short_log(trainer.state.log_history)})
