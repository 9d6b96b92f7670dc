"""How many kernels one generated token takes in a model of LLaMA-3-8B's depth, with and without LoRA.

python benchmarks/effect/kernels_per_token.py        # on a CPU, in seconds

Operations are counted with torch's profiler, in DFT's engine under bf16 autocast: those that compute or copy, of which
each is a kernel to launch on a GPU; not views and allocations. The count does not depend on the width.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, LlamaConfig

from dft_plugin.rollout import TransformersEngine
from dft_plugin.sampling import Sampler

LAYERS, VOCABULARY = 32, 1000
FEW, MANY = 4, 12
"""Tokens generated: what the prompt and the set-up take is in both."""
WITHOUT_KERNEL = {
    "as_strided", "detach", "empty", "empty_like", "empty_strided", "expand", "is_nonzero", "lift_fresh", "permute",
    "resolve_conj", "resolve_neg", "result_type", "select", "slice", "t", "to", "transpose", "unsqueeze", "view",
    "_reshape_alias", "_unsafe_view",
}  # fmt: skip
PRODUCTS = {"mm", "addmm", "bmm", "_scaled_dot_product_flash_attention_for_cpu"}
"""One kernel each, though they have operations inside."""


def operations(model: Any, tokens: int) -> Counter[str]:
    """name -> how often, over the generation of so many tokens."""
    prompts = torch.arange(8 * 16).view(8, 16).tolist()
    with profile(activities=[ProfilerActivity.CPU]) as found, torch.autocast("cpu", torch.bfloat16):
        TransformersEngine().generate(model, prompts, Sampler(), tokens, [], seed=0)
    names: Counter[str] = Counter()
    for event in found.events() or []:
        name = event.name.removeprefix("aten::")
        if event.name.startswith("aten::") and (name in PRODUCTS or not event.cpu_children):
            names[name] += 1
    return names


def main() -> None:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    )  # fmt: skip
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    print("without LoRA:", per_token(plain))
    lora = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    print("with LoRA:", per_token(get_peft_model(plain, lora).eval()))


def per_token(model: Any) -> str:
    """The count for one token, and what it is mostly made of."""
    few, many = operations(model, FEW), operations(model, MANY)
    counts = {name: (many[name] - few[name]) / (MANY - FEW) for name in many if name not in WITHOUT_KERNEL}
    largest = sorted(counts.items(), key=lambda entry: -entry[1])[:8]
    return f"{sum(counts.values()):.0f} ({', '.join(f'{name} {count:.0f}' for name, count in largest)})"


if __name__ == "__main__":
    main()
