"""The whole run in GPU-hours, extrapolated to LLaMA-3-8B with LoRA: by arithmetic, and from measured steps.

python benchmarks/effect/cost.py        # writes results/cost.md; what cost_of_8b.py measured is in results/cost

A matrix multiply-add is 2 operations, so a forward pass takes 2 P per token, and so does the backward pass's part for
activations; with LoRA the frozen weights have no gradient of their own. Gradient checkpointing runs the forward pass
once more. Decoding reads every weight and the key-value cache once for each token of all texts at once.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dft_plugin.config import DFTConfig

RESULTS = Path(__file__).resolve().parent / "results"
MEASURED = RESULTS / "cost" / "llama-3-8b.json"

PARAMETERS = 8.03e9
"""LLaMA-3-8B."""
BYTES_PER_WEIGHT = 2
"""bfloat16."""
HEAD = 128_256 * 4096
"""Parameters of its lm_head."""
LAYERS, KEY_VALUE_HEADS, HEAD_SIZE = 32, 8, 128
SUSTAINED = 400e12
"""Operations a second of an H100 SXM in bf16, 40 % of its 989e12."""
BANDWIDTH = 3.35e12
"""Bytes a second of its memory."""
BANDWIDTH_SHARE = 0.3
"""Share of the bandwidth that transformers' `generate` sustains; vLLM reaches twice as much or more."""
STEPS = 1000
SFT_TOKENS = 16 * 2048
"""Trained tokens a step."""
DEFAULT = DFTConfig()
ROLLOUT = DEFAULT.rollout
CONTEXT_TOKENS, NEW_TOKENS = ROLLOUT.context_tokens, ROLLOUT.max_new_tokens
EQUAL = 64
"""Texts a step of what is measured and compared at equal rollouts, drawn at each."""
ACTING = 1 - DEFAULT.start_step
"""Share of the steps at which texts are sampled, by default."""
DRAWN_AT_EACH = f"{EQUAL} texts drawn at each step"
PAIRS_FROM = 2048
"""Contexts that DPO's rejected texts are sampled from, once."""
FORWARD, BACKWARD_OF_LORA, RECOMPUTED = 2, 2, 2
"""Times P operations a token."""
STATISTICS = len(DEFAULT.statistics)
"""Gradients at the hidden states that `weight: auto` takes, one for each statistic: the head, forward and backward."""
TRAINED = FORWARD + BACKWARD_OF_LORA + RECOMPUTED


def compute_seconds(tokens: float, passes: float) -> float:
    """Seconds for `passes` x P operations on so many tokens."""
    return passes * PARAMETERS * tokens / SUSTAINED


def decode_seconds(texts: int, context: int, new: int) -> float:
    """Seconds to generate `texts` continuations at once: `new` passes over the weights and the growing cache."""
    cache_per_token = 2 * LAYERS * KEY_VALUE_HEADS * HEAD_SIZE * BYTES_PER_WEIGHT
    bytes_a_token = PARAMETERS * BYTES_PER_WEIGHT + texts * (context + new / 2) * cache_per_token
    return new * bytes_a_token / (BANDWIDTH * BANDWIDTH_SHARE)


@dataclass(frozen=True)
class Cost:
    """Seconds of one optimizer step, part by part, and of what is done once.

    Attributes:
        parts: of every step.
        sampled: of a step at which texts are sampled and matched.
        once: what is done before.
    """

    arm: str
    parts: dict[str, float]
    sampled: dict[str, float] = field(default_factory=dict)
    once: float = 0.0

    @property
    def step(self) -> float:
        """The mean over all steps."""
        return sum(self.parts.values()) + ACTING * sum(self.sampled.values())

    @property
    def hours(self) -> float:
        return (STEPS * self.step + self.once) / 3600


def costs() -> list[Cost]:
    """SFT, DPO, DFT at its default, REINFORCE on the same rollouts, and both with 64 texts drawn at each step."""
    cross_entropy = compute_seconds(SFT_TOKENS, TRAINED)
    sft_run, plain = STEPS * cross_entropy, {"cross-entropy": cross_entropy}
    own_texts = PAIRS_FROM / EQUAL * decode_seconds(EQUAL, CONTEXT_TOKENS, NEW_TOKENS)

    def on_rollouts(
        forward_passes: int, texts: int = ROLLOUT.batch_size, together: int = ROLLOUT.steps_per_generation
    ) -> dict[str, float]:
        tokens = texts * (CONTEXT_TOKENS + NEW_TOKENS)
        return {
            "rollouts": decode_seconds(together * texts, CONTEXT_TOKENS, NEW_TOKENS) / together,
            "measuring": compute_seconds(tokens, FORWARD * forward_passes),
            "balance": STATISTICS * (FORWARD + BACKWARD_OF_LORA) * HEAD * texts * NEW_TOKENS / SUSTAINED,
            "gradient": compute_seconds(tokens, TRAINED),
        }

    return [
        Cost("SFT", plain),
        # The reference model is the same with adapters off: one more forward pass.
        Cost("DPO, after SFT", {"pairs": compute_seconds(SFT_TOKENS, TRAINED + FORWARD)}, once=sft_run + own_texts),
        # Rewards of realized texts take a second forward pass here; a version of its own would share the first.
        Cost("REINFORCE", plain, on_rollouts(2)),
        Cost("DFT", plain, on_rollouts(1)),
        Cost(f"REINFORCE, {DRAWN_AT_EACH}", plain, on_rollouts(2, EQUAL, 1)),
        Cost(f"DFT, {DRAWN_AT_EACH}", plain, on_rollouts(1, EQUAL, 1)),
    ]


def shown(parts: dict[str, float]) -> str:
    return " + ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())


def seconds_of_a_step(run: dict[str, Any]) -> float:
    """The median step; where one step samples for several, the median of their means."""
    each, seconds = run.get("steps_per_generation", 1), run["seconds"]
    return median(fmean(seconds[start : start + each]) for start in range(0, len(seconds), each))


def measured(found: dict[str, Any]) -> list[str]:
    """What `cost_of_8b.py` found: every step but the first, and the run they add up to."""
    runs = {name: run for name, run in found.items() if isinstance(run, dict)}
    sft = seconds_of_a_step(runs["SFT"])
    rows = []
    for name, run in runs.items():
        mean = sft + ACTING * (seconds_of_a_step(run) - sft)
        log = run["last_log"]
        parts = [f"{log[key]:.2f}" if key in log else "-" for key in ("dft/rollout_seconds", "dft/step_seconds")]
        rows.append(
            f"| {name} | {', '.join(f'{one:.1f}' for one in run['seconds'])} | {' | '.join(parts)} "
            f"| {run['peak_megabytes']:,.0f} | {mean:.1f} | {STEPS * mean / 3600:.1f} | {mean / sft:.1f} |"
        )
    sampled = runs[f"DFT, {DRAWN_AT_EACH}"]
    seconds = sampled["last_log"]["dft/rollout_seconds"]
    return [
        "## Measured",
        "",
        f"`cost_of_8b.py` on one {found['device']} (torch {found['torch']}): random weights in the model's shape, "
        f"bf16, LoRA of rank 16 on every linear layer, gradient checkpointing, {SFT_TOKENS:,} tokens a step.",
        "",
        "| arm | seconds of each step after the first | rollouts, last step | the term, last step | peak MB "
        f"| mean of a run's steps, acting at {ACTING:.0%} | {STEPS:,} steps, GPU-hours | times SFT's |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "The mean takes the median step; why steps differ by so much was not looked into. Rollouts come at "
        f"{EQUAL * NEW_TOKENS / seconds:,.0f} tokens/s, {1000 * seconds / NEW_TOKENS:.0f} ms for each token of all "
        f"{EQUAL} texts, three times what the arithmetic below allows for reading weights and cache: a token takes "
        "some 1,300 kernels, with adapters some 2,600 then and 2,200 since casts that autocast undoes are left out "
        "(`kernels_per_token.py`), and each waits to be launched.",
        *(() if "DFT" in runs else ("", of_the_default(sft, sampled))),
    ]


def of_the_default(sft: float, sampled: dict[str, Any]) -> str:
    """A run at DFT's default, from the seconds of SFT's step and of what 64 texts add to it: rollouts and the rest.

    The rest is known of the last step, by its own clock; of what the median step is made up is not known.
    """
    texts, steps = ROLLOUT.batch_size, ROLLOUT.steps_per_generation
    rollouts, term = (sampled["last_log"][f"dft/{part}_seconds"] for part in ("rollout", "step"))
    rests = (term - rollouts, seconds_of_a_step(sampled) - sft - rollouts)
    shares = (texts / EQUAL, 1.0)
    least, most = (
        1 + ACTING * (rollouts / steps + share * rest) / sft for share, rest in zip(shares, rests, strict=True)
    )
    return (
        f"**DFT at its default** samples {texts} texts a step, those of {steps} steps in one call: the call of "
        f"{texts * steps} texts measured here, once in {steps} acting steps. The rest of an acting step "
        f"({rests[0]:.1f} s in the last step, {rests[1]:.1f} if the median step's rollouts took as long) is of {texts} "
        f"texts and not {EQUAL}: between {shares[0]:.2g} of the former and all of the latter. A run is then "
        f"**{least:.1f} to {most:.1f} times SFT's**: worked out from three steps, for the default has not been timed "
        "on a GPU."
    )


def page() -> str:
    found = costs()
    sft = found[0].hours
    rows = [
        f"| {cost.arm} | {shown(cost.parts)} | {shown(cost.sampled)} | {cost.step:.2f} "
        f"| {cost.once / 3600:.2f} | {cost.hours:.2f} | {cost.hours / sft:.2f} |"
        for cost in found
    ]
    cache = 2 * LAYERS * KEY_VALUE_HEADS * HEAD_SIZE * BYTES_PER_WEIGHT
    decoding = decode_seconds(EQUAL, CONTEXT_TOKENS, NEW_TOKENS)
    tokens = ROLLOUT.batch_size * (CONTEXT_TOKENS + NEW_TOKENS)
    return "\n".join(
        [
            "# Cost of a run of LLaMA-3-8B with LoRA on one GPU",
            "",
            *measured(json.loads(MEASURED.read_text(encoding="utf-8"))),
            "",
            "## By arithmetic, for an H100",
            "",
            f"P = {PARAMETERS:.3g} weights in bf16; {SUSTAINED / 1e12:.0f} TFLOP/s sustained; memory at "
            f"{BANDWIDTH_SHARE:.0%} of {BANDWIDTH / 1e12:.2f} TB/s while decoding; {STEPS:,} steps of {SFT_TOKENS:,} "
            f"tokens; {CONTEXT_TOKENS} tokens of context and {NEW_TOKENS} new ones.",
            "",
            f"- trained tokens: {TRAINED} P operations each (forward {FORWARD}, backward {BACKWARD_OF_LORA}, "
            f"recomputed {RECOMPUTED}): {TRAINED} x {PARAMETERS:.3g} x {SFT_TOKENS:,} / {SUSTAINED:.3g} = "
            f"{compute_seconds(SFT_TOKENS, TRAINED):.2f} s a step;",
            f"- decoding: {NEW_TOKENS} x (2 P + {EQUAL} x {CONTEXT_TOKENS + NEW_TOKENS // 2} x {cache:,}) bytes / "
            f"{BANDWIDTH * BANDWIDTH_SHARE:.3g} = {decoding:.2f} s for {EQUAL} texts at once, "
            f"{EQUAL * NEW_TOKENS / decoding:,.0f} tokens/s;",
            f"- measuring and gradient: {tokens:,} tokens ({ROLLOUT.batch_size} texts), {FORWARD} P for each forward "
            f"pass and {TRAINED} P for the gradient;",
            f"- balance of `weight: auto`: {STATISTICS} statistics x {FORWARD + BACKWARD_OF_LORA} x {HEAD:.3g} weights "
            f"of the head x {ROLLOUT.batch_size * NEW_TOKENS:,} tokens.",
            "",
            f"Texts are sampled at {ACTING:.0%} of the steps (`start_step`).",
            "",
            "| arm | seconds a step | and where texts are sampled | mean of all steps | once, hours "
            "| whole run, GPU-hours | times SFT's |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "Left out: optimizer and data loading (alike in all arms), the statistics themselves, and what weighs most "
            "where it was measured, the latency of kernels.",
            "",
        ]
    )


if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cost.md").write_text(page(), encoding="utf-8")
    print(page())
