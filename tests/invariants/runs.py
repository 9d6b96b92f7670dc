"""The same short trainings on one process and on several; as a script, what each process of torchrun runs.

torchrun --nproc_per_node 2 tests/invariants/runs.py OUTPUT.pt
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import nn

from dft_plugin import DFTCallback
from dft_plugin.rollout import RolloutEngine
from dft_plugin.sampling import Sampler
from tests import tiny
from tests.training import registered, term_options, train, trainer_of

TEXTS, ROWS_PER_STEP = 8, 4  # over all processes
EVERYTHING = [
    "token_frequency",
    {"ngram_frequency": {"size": 64}},
    "sentence_length",
    "punctuation_frequency",
    "punctuation_rhythm",
    {"text_length": {"longest": 64, "width": 4}},
    "novelty",
    "sentence_opening",
    "entropy",
]


class Hashed(RolloutEngine):
    """Continues a context by tokens that depend on nothing but the context, of different lengths."""

    name = "hashed"

    def generate(
        self,
        model: nn.Module,
        contexts: Sequence[Sequence[int]],
        sampler: Sampler,
        max_new_tokens: int,
        end_of_text: Sequence[int],
        seed: int,
    ) -> list[list[int]]:
        generated = []
        human = tiny.tokenizer()(" ".join(tiny.paragraphs()[:40]))["input_ids"]
        for context in contexts:
            digest = int.from_bytes(hashlib.sha256(str(list(context)).encode()).digest()[:6], "big")
            length, start = 3 + digest % (max_new_tokens - 2), digest % (len(human) - max_new_tokens)
            tokens = human[start : start + length]
            generated.append([*tokens[:-1], end_of_text[0]] if length < max_new_tokens else tokens)
        return generated


CASES: dict[str, dict[str, Any]] = {
    "gamma 0": {"term": {"weight": 0.5}},
    "gamma 1": {"term": {"weight": 0.5, "credit": 1.0}},
    "auto": {"term": {"weight": "auto", "credit": 0.5}, "options": {"gradient_accumulation_steps": 2}},
    "balanced in the parameters": {
        "term": {"weight": "auto", "balance": "parameters"},
        "options": {"gradient_accumulation_steps": 2},
    },
    "hidden state": {
        "term": {"weight": 0.5, "credit": 1.0, "statistics": ["entropy", {"hidden_state": {"features": 16}}]}
    },
    "critic": {"term": {"weight": 0.5, "credit": 1.0, "statistics": ["entropy", {"hidden_state": {"form": "critic"}}]}},
    "kl": {"term": {"weight": 0.5, "kl_weight": 5.0}},
    "sampled for two steps at once": {"term": {"weight": 0.5}, "rollout": {"steps_per_generation": 2}},
    "lora": {
        "term": {"weight": 0.5, "credit": 1.0},
        "options": {
            "peft_config": LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False),
            "gradient_checkpointing": True,
        },
    },
}


def run(
    case: str, world_size: int = 1, *, steps: int = 3, callback: DFTCallback | None = None, **rollout: Any
) -> dict[str, Any]:
    """Gradients, log lines and weights of some steps of one case, its texts and rows shared by the processes."""
    sizes = {"engine": "hashed", "batch_size": TEXTS // world_size, "micro_batch_size": 3}
    sizes |= {**CASES[case].get("rollout", {}), **rollout}
    with registered(engines=[Hashed]):
        settings = {"statistics": EVERYTHING, "reference_windows": 128, **CASES[case]["term"]}
        callback = callback or DFTCallback(**term_options(rollout=sizes, **settings))
        found = train(
            tiny.model("llama", tied=case == "gamma 1"),
            # Of different lengths: the end of some texts, and the start of all, is in sight of a window.
            [{"text": row["text"][: 40 + 25 * (index % 7)]} for index, row in enumerate(tiny.plain_rows(160))],
            callback,
            max_steps=steps,
            per_device_train_batch_size=ROWS_PER_STEP // world_size,
            **CASES[case].get("options", {}),
        )
    return {"gradients": found.gradients, "logs": found.logs, "weights": found.weights}


def stream() -> dict[str, Any]:
    """The human side and the contexts of a run over a stream, of which each process is given its own part."""
    from datasets import Dataset

    callback = DFTCallback(**term_options(weight=0.5, statistics=["token_frequency"], reference_windows=128))
    rows = Dataset.from_list(tiny.plain_rows(160)).to_iterable_dataset(num_shards=2)
    trainer = trainer_of(tiny.model("llama"), rows, [callback], max_steps=1)
    trainer.train()
    assert callback.term is not None
    return {"human": callback.term.human, "contexts": [window.tokens for window in callback.term.contexts[0]]}


class OneBadProcess(DFTCallback):
    """The last process's derivative is not a number at step 1; every process must leave the step out."""

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        super().on_train_begin(*args, **kwargs)
        assert self.term is not None
        objective, processes = self.term.objective, self.term.processes
        original, calls = objective.derivative, []

        def derivative(*given: Any) -> torch.Tensor:
            calls.append(1)
            bad = len(calls) == 2 and processes.rank == processes.count - 1
            return original(*given) * (float("nan") if bad else 1.0)

        objective.derivative = derivative  # type: ignore[method-assign]


OneBadProcess.__name__ = "DFTCallback"  # what the trainer and the checks know it by


def main(output: Path) -> None:
    import os

    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    results = {case: run(case, count) for case in CASES}
    with registered(engines=[Hashed]):
        settings = {"statistics": ["token_frequency"], "weight": 0.5}
        sizes = {"engine": "hashed", "batch_size": TEXTS // count}
        bad = OneBadProcess(**term_options(rollout=sizes, **settings))
    results["stream"] = stream()
    results["one bad process"] = run("gamma 0", count, callback=bad)
    torch.save(results, output.with_name(f"{output.stem}-{rank}.pt"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
