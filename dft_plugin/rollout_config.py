"""The `rollout:` block of the `dft:` block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import ConfigDict, Field

from dft_plugin.block import Block


class DFTRolloutConfig(Block):
    """How the model is sampled, the way it will be deployed."""

    model_config = ConfigDict(extra="forbid")

    engine: str = Field(default="transformers", description="rollout engine; a plugin may add others")
    interval: int = Field(
        default=1,
        ge=1,
        description="the term acts at every interval-th optimizer step, as many times stronger where `weight` is auto: "
        "2 halves what it costs, with about the same effect, in news at temperature 1 with less; 4 is weaker where "
        "gradients are clipped (benchmarks/LOG.md, 21)",
    )
    batch_size: int = Field(
        default=16,
        ge=1,
        description="texts per process and acting step; distances and their derivative run over more, so that twice as "
        "many do no better on the whole (benchmarks/LOG.md, 22)",
    )
    micro_batch_size: int = Field(
        default=16,
        ge=1,
        description="texts per forward and backward pass; lower it when memory runs out, the gradient stays the same",
    )
    steps_per_generation: int = Field(
        default=4,
        ge=1,
        description="acting steps whose texts are sampled in one call, as GRPO's option of this name: a GPU waits for "
        "kernels to be launched at each token, so that a call for four steps should take hardly longer than one for "
        "one (only calls of 64 texts were timed, benchmarks/effect/results/cost.md). The last step's texts are of the "
        "model of three acting steps before, with the same effect within seeds but at temperature 1 in places, where "
        "distances are up to 0.6 floors larger (benchmarks/LOG.md, 19 and 21)",
    )
    max_new_tokens: int = Field(default=128, ge=2, le=8192, description="longest generated text, in tokens")
    context_tokens: int = Field(
        default=32, ge=1, le=8192, description="longest human prefix a plain text is continued from, in tokens"
    )
    temperature: float = Field(default=1.0, gt=0, le=10, description="deployment temperature")
    top_k: int = Field(default=0, ge=0, description="deployment top-k; 0 is off")
    top_p: float = Field(default=1.0, gt=0, le=1, description="deployment top-p; 1 is off")
    min_p: float = Field(default=0.0, ge=0, lt=1, description="deployment min-p; 0 is off")
    prompts: str | Annotated[list[str], Field(min_length=1)] = Field(
        default="train",
        description="where contexts come from: `train` (the training set's prompts, or random prefixes of its plain "
        "text) or a .jsonl, .json or .txt file: rows with a `prompt`, answered or not, chats, or plain "
        "texts, which are prompts as a whole where the training set has prompts (of a .txt file each "
        "line), and otherwise continued from random prefixes. Give such as the deployed model will be "
        "asked: what is matched becomes like people's after contexts like these, after others in part or "
        "too far (benchmarks/LOG.md, 25). Of several in a list, acting steps take one after the other, "
        "and each is matched by itself, given steps enough (27, 29); contexts of two kinds in one file "
        "are matched only on the whole, one too far and the other too little (26)",
    )

    @property
    def kinds(self) -> Sequence[str]:
        """Each kind of contexts: `train` or a file."""
        return [self.prompts] if isinstance(self.prompts, str) else self.prompts
