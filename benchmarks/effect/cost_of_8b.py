"""Seconds and memory of an optimizer step of a LLaMA-3-8B with LoRA, measured: SFT alone and with DFT beside it.

python benchmarks/effect/cost_of_8b.py --corpora DIR --models MODELS --output FILE      # one GPU of 80 GB

Random weights in LLaMA-3-8B's shape (no time depends on their values, as long as no text ends early), bf16, LoRA of
rank 16 on every linear layer, gradient checkpointing, steps of 16 x 2,048 tokens; DFT at its defaults, sampling at
every step, as it does from `start_step` on. The first step of each run is left out; of the four after it one samples
for all four by default.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

# ruff: noqa: E402
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, LlamaConfig, PrinterCallback
from trl import SFTConfig, SFTTrainer

from benchmarks.effect.cost import DRAWN_AT_EACH, EQUAL, ROLLOUT
from benchmarks.effect.cost_meter import CostMeter
from benchmarks.effect.pretrain_on_gpu import recipe, texts_of, tokenizer_of
from benchmarks.effect.training import short_log
from dft_plugin import DFTCallback

SHAPE = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rope_theta": 500_000.0,
}
LENGTH, ROWS_AT_ONCE, ACCUMULATED = 2048, 4, 4


def measured(model: Any, tokenizer: Any, rows: list[list[int]], steps: int, **dft: Any) -> dict[str, Any]:
    """Seconds of each step after the first, and peak memory; with DFT where it has options."""
    gc.collect()  # the trainer before and its callbacks hold each other
    torch.cuda.empty_cache()
    meter = CostMeter()
    callbacks = [DFTCallback(report=False, sample_every=0, start_step=0, **dft)] if dft else []
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=tempfile.mkdtemp(),
            max_steps=steps,
            per_device_train_batch_size=ROWS_AT_ONCE,
            gradient_accumulation_steps=ACCUMULATED,
            gradient_checkpointing=True,
            max_length=LENGTH,
            bf16=True,
            learning_rate=1e-4,
            save_strategy="no",
            report_to="none",
            logging_steps=1,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"input_ids": rows}),
        processing_class=tokenizer,
        callbacks=[*callbacks, meter],
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.model.unload()
    return {
        **meter.figures(ROWS_AT_ONCE * ACCUMULATED * LENGTH),
        "seconds": meter.gaps,
        "setting_up": meter.ends[0] - meter.started,
        "last_log": short_log(trainer.state.log_history)[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder where the tokenizer is kept")
    parser.add_argument("--output", type=Path, required=True, help="JSON file; written after each run")
    parser.add_argument("--steps", type=int, default=5)
    given = parser.parse_args()
    texts = texts_of(given.corpora)
    folder = given.models / "tokenizer128k"
    tokenizer = tokenizer_of(folder, texts, SHAPE["vocab_size"], SHAPE["max_position_embeddings"])
    stream = recipe.pack(tokenizer, texts[: len(texts) // 4])
    rows = stream[: len(stream) // LENGTH * LENGTH].view(-1, LENGTH).tolist()
    config = LlamaConfig(**SHAPE, bos_token_id=None, eos_token_id=tokenizer.eos_token_id)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    runs: dict[str, dict[str, Any]] = {
        "SFT": {},
        "DFT": {"weight": "auto"},
        f"DFT, {DRAWN_AT_EACH}": {"rollout": {"batch_size": EQUAL, "steps_per_generation": 1}},
        f"DFT, {ROLLOUT.batch_size} texts drawn at each step": {"rollout": {"steps_per_generation": 1}},
        f"DFT, {EQUAL} texts, four steps' at once": {"rollout": {"batch_size": EQUAL}},
    }
    for name, options in runs.items():
        together = options.get("rollout", {}).get("steps_per_generation", ROLLOUT.steps_per_generation)
        found[name] = {
            **measured(model, tokenizer, rows, given.steps, **options),
            "steps_per_generation": together,
        }
        given.output.write_text(json.dumps(found, indent=1) + "\n")
        print(name, json.dumps(found[name]), flush=True)


if __name__ == "__main__":
    main()
