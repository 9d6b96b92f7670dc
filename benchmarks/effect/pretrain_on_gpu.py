"""Pretrains the benchmark's models of 28 to 97 million parameters, on a GPU, in a minute or two each.

python benchmarks/effect/pretrain_on_gpu.py llama28M --corpora DIR --models MODELS

Human text alone, and of it the training side alone: no measure of the benchmark sees it. All models share one
byte-level BPE tokenizer of 8,192 tokens, trained once and kept in MODELS/tokenizer8k.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

# ruff: noqa: E402
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from benchmarks.effect import corpora
from benchmarks.effect.pretrain import recipe, training_texts

CORPORA = ("fiction", "children", "news", "legal", "academic")
VOCABULARY, CONTEXT = 8192, 1024
LENGTH = 512
"""Tokens of a training sequence."""


@dataclass(frozen=True)
class Size:
    """An architecture and how it is trained: heads of 64, half as many for keys and values, tied embeddings."""

    model_type: str
    hidden: int
    intermediate: int
    layers: int
    peak_rate: float
    million_tokens: float

    def config(self, tokenizer: Any) -> Any:
        heads = self.hidden // 64
        return AutoConfig.for_model(
            self.model_type,
            vocab_size=VOCABULARY,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=heads,
            num_key_value_heads=heads // 2,
            head_dim=64,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            sliding_window=None,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )


SIZES = {
    "llama28M": Size("llama", 512, 1408, 8, 2e-3, 48),
    "qwen42M": Size("qwen3", 640, 1792, 8, 1.5e-3, 32),
    "mistral97M": Size("mistral", 896, 2432, 10, 1e-3, 32),
}


def texts_of(folder: Path) -> list[str]:
    """The training texts of all corpora, in an order that depends on the texts alone."""
    return sorted(training_texts(folder, CORPORA), key=corpora.share_of)


def tokenizer_of(folder: Path, texts: list[str], vocabulary: int, context: int) -> Any:
    """A byte-level BPE tokenizer of the texts, trained where the folder has none yet."""
    if not (folder / "tokenizer.json").exists():
        recipe.train_tokenizer(texts, vocabulary, context).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def fit(model: Any, stream: torch.Tensor, size: Size, rows: int, device: torch.device) -> None:
    """AdamW under bf16 autocast (float32 weights), a linear warmup and half a cosine."""
    optimizer = recipe.optimizer_of(model, size.peak_rate, fused=device.type == "cuda")
    steps = -(-round(size.million_tokens * 1e6) // (rows * LENGTH))
    started = time.perf_counter()
    for step, batch in zip(range(steps), recipe.batches(stream, LENGTH, rows, seed=0), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(step, steps, size.peak_rate, warmup=max(1, steps // 25))
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(input_ids=batch, use_cache=False).logits[:, :-1].flatten(0, 1)
            loss = functional.cross_entropy(logits, batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step + 1}/{steps} loss {loss.item():.3f}, {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=SIZES)
    parser.add_argument("--corpora", type=Path, required=True, help="folder of {fiction,children,...}.jsonl.gz")
    parser.add_argument("--models", type=Path, required=True, help="folder of model folders; one is added")
    parser.add_argument("--rows", type=int, default=64, help=f"sequences of {LENGTH} tokens a step")
    parser.add_argument("--compile", action="store_true", help="compile the decoder's layers: worth it from 40M on")
    given = parser.parse_args()
    size, device = SIZES[given.model], torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(0)
    texts = texts_of(given.corpora)
    tokenizer = tokenizer_of(given.models / "tokenizer8k", texts, VOCABULARY, CONTEXT)
    stream = recipe.pack(tokenizer, texts).to(device)
    model = AutoModelForCausalLM.from_config(size.config(tokenizer), dtype=torch.float32).to(device)
    print(f"{given.model}: {model.num_parameters():,} parameters, {len(stream):,} training tokens", flush=True)
    if given.compile:
        for layer in model.get_decoder().layers:
            layer.compile()
    fit(model, stream, size, given.rows, device)
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.generation_config = GenerationConfig(eos_token_id=eos, pad_token_id=pad)
    model.save_pretrained(given.models / given.model)
    tokenizer.save_pretrained(given.models / given.model)


if __name__ == "__main__":
    main()
