"""Bias and variance of gradient estimators on a chain whose gradient is known exactly.

    python benchmarks/estimator/variance.py

A first-order Markov chain of 8 tokens, horizon 24, is moved towards the token frequencies and sentence lengths of
another. Exact expectations come from dynamic programming over (token, words since the last sentence end), the
estimators from sampled batches of 32 texts through the plugin's own primitive, terms and objective.
Writes results/variance.json and results/variance.md beside this file.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dft_plugin.accumulation import Accumulation, Plan  # noqa: E402
from dft_plugin.credit import leave_one_out_baseline, reward_to_go  # noqa: E402
from dft_plugin.distances import energy, jensen_shannon  # noqa: E402
from dft_plugin.expected_features import Head, expected_features  # noqa: E402
from dft_plugin.law import Law, Request, observed_law  # noqa: E402
from dft_plugin.layout import rewards, witnesses  # noqa: E402
from dft_plugin.objective import Matched, Objective, surrogate  # noqa: E402
from dft_plugin.sampling import Sampler  # noqa: E402
from dft_plugin.statistics.base import NoOptions  # noqa: E402
from dft_plugin.statistics.frequency import TokenFrequency  # noqa: E402
from dft_plugin.statistics.intervals import IntervalOptions, SentenceLength  # noqa: E402
from dft_plugin.texts import Texts  # noqa: E402
from tests.chain import END, Chain, context, vocabulary  # noqa: E402

TOKENS = (None, b".", b" a", b" b", b" c", b" d", b" e", b" f")
SENTENCE_END, FIRST_WORD, HORIZON, LONGEST, BATCH, BATCHES, SEEDS = 1, 2, 24, 12, 32, 400, (0, 1, 2)
GAMMAS = (0.0, 0.5, 0.9, 1.0)


def expected_accumulators(logits: Tensor) -> Tensor:
    """(V + 2 * LONGEST,) E[a] by dynamic programming, differentiable: token counts, sentence ends by age, at risk.

    One context, the token FIRST_WORD at the text's start. Every word token is one word, so at each position the
    age, words since the last sentence end, was not met before in its interval.
    """
    law = logits.softmax(-1)
    size, ages = len(logits), HORIZON + 2
    word = torch.ones(size, dtype=torch.bool)
    word[[END, SENTENCE_END]] = False
    state = torch.zeros(size, ages, dtype=logits.dtype)
    state[FIRST_WORD, 1] = 1.0
    counts = torch.zeros(size, dtype=logits.dtype)
    ends, at_risk = torch.zeros(ages, dtype=logits.dtype), torch.zeros(ages, dtype=logits.dtype)
    for _ in range(HORIZON):
        drawn = torch.einsum("ua,uv->va", state, law)  # after `v` was drawn at age a
        counts = counts + drawn.sum(1)
        ends = ends + drawn[SENTENCE_END]
        at_risk = at_risk + state.sum(0)
        later = torch.cat([torch.zeros(size, 1, dtype=logits.dtype), drawn[:, :-1]], dim=1) * word[:, None]
        back = torch.zeros_like(later)
        back[SENTENCE_END, 0] = 1.0
        state = later + back * drawn[SENTENCE_END].sum()
    return torch.cat([counts, ends[1 : LONGEST + 1], at_risk[1 : LONGEST + 1]])


@dataclass(frozen=True)
class Sample:
    """Batches of texts under one chain, with their law differentiable in each row's logits."""

    texts: Texts
    plan: Plan
    row_logits: Tensor

    def law(self, request: Request) -> Law:
        # The identity for a head: gradients come out row by row, so that each text's own can be told.
        identity = torch.eye(self.row_logits.shape[1], dtype=torch.float64)
        return expected_features(self.row_logits, Head(identity), self.texts, request, Sampler())

    def per_batch(self, row_gradient: Tensor) -> Tensor:
        """(batches, V * V): gradients in the chain's logits, averaged over each batch's texts."""
        size = row_gradient.shape[1]
        previous = self.texts.tokens[self.texts.text, self.texts.position - 1]
        cell = torch.div(self.texts.text, BATCH, rounding_mode="floor") * size + previous
        batches = len(self.texts) // BATCH
        return torch.zeros(batches * size, size, dtype=torch.float64).index_add(0, cell, row_gradient).view(batches, -1)


def draw(chain: Chain, accumulation: Accumulation, seed: int) -> Sample:
    texts = chain.sample(BATCH * BATCHES, torch.Generator().manual_seed(seed))
    previous = texts.tokens[texts.text, texts.position - 1]
    return Sample(texts, accumulation.plan(texts), chain.logits[previous].clone().requires_grad_())


def ours(sample: Sample, derivative: Tensor, gamma: float) -> Tensor:
    """Gradient of each batch by the plugin's estimator."""
    texts, plan = sample.texts, sample.plan
    law = sample.law(Request(**{**vars(plan.request), "witness": witnesses(plan.layout, derivative)}))
    advantage = None
    if gamma > 0:
        future = reward_to_go(texts.by_step(rewards(law, plan.layout, texts, derivative).detach()), gamma)
        alive = texts.by_step(torch.ones(texts.rows)) > 0
        baseline = [
            leave_one_out_baseline(future[start : start + BATCH], alive[start : start + BATCH], lambda tensor: tensor)
            for start in range(0, len(texts), BATCH)
        ]
        advantage = texts.from_steps(future - torch.cat(baseline))
    loss = surrogate(plan, law, derivative, advantage, BATCH)
    return sample.per_batch(torch.autograd.grad(loss, sample.row_logits)[0])


def reinforce(sample: Sample, derivative: Tensor, accumulation: Accumulation) -> Tensor:
    """One reward per text, <D', a(x)> of what stands there, less the mean of the batch's other texts."""
    texts, plan = sample.texts, sample.plan
    own = accumulation.accumulate(plan, observed_law(texts, plan.request))
    reward = (own * derivative).sum(1).view(-1, BATCH)
    others = (reward.sum(1, keepdim=True) - reward) / (BATCH - 1)
    advantage = (reward - others).flatten()[texts.text]
    total = (sample.law(plan.request).log_probability * advantage).sum() / BATCH
    return sample.per_batch(torch.autograd.grad(total, sample.row_logits)[0])


def measure(found: Tensor, exact: Tensor) -> dict[str, float]:
    """Of the batches' gradients (batches, P) against the exact one (P,)."""
    mean = found.mean(0)
    return {
        "cosine": float(torch.nn.functional.cosine_similarity(mean, exact, dim=0)),
        "norm_ratio": float(mean.norm() / exact.norm()),
        "relative_variance": float((found - mean).square().sum(1).mean() / exact.square().sum()),
    }


def run(seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """One chain and one target: D' -> estimator -> figures."""
    tables, size = vocabulary(TOKENS), len(TOKENS)
    token = TokenFrequency(tables, NoOptions())
    sentence = SentenceLength(tables, IntervalOptions(longest=LONGEST))
    accumulation = Accumulation([token, sentence], size)
    options = {"horizon": HORIZON, "contexts": (context(FIRST_WORD),)}
    chain, other = (Chain.random(1000 * kind + seed, size, **options) for kind in (1, 2))
    for table in (chain.logits, other.logits):
        table[:, END] -= 3.0  # most texts reach the horizon
    objective = Objective([Matched(token, jensen_shannon), Matched(sentence, energy)], accumulation, window=1)
    human = expected_accumulators(other.logits)
    sample = draw(chain, accumulation, seed)
    floors = {"token_frequency": {"token": 0.01}, "sentence_length": {"sentence_end": 0.01}}

    logits = chain.logits.clone().requires_grad_()
    expected = expected_accumulators(logits)
    own = accumulation.accumulate(sample.plan, sample.law(sample.plan.request)).detach()
    standard_error = own.std(0) / len(own) ** 0.5
    if not bool(((own.mean(0) - expected).abs() <= 5 * standard_error + 1e-9).all()):
        raise AssertionError("sampled accumulators differ from those of the dynamic programming")
    (exact,) = torch.autograd.grad(objective.distances(expected, human, floors).loss, logits)
    at_expectation = objective.derivative(expected.expand(len(own), -1), human, floors)
    grouped = own.view(-1, BATCH, own.shape[1])
    without = ((grouped.sum(1, keepdim=True) - grouped) / (BATCH - 1)).flatten(0, 1)
    left_out = objective.derivative(without, human, floors)
    found = {}
    for where, derivative in (("exact", at_expectation), ("leave-one-out", left_out)):
        estimators = {f"gamma {gamma:g}": partial(ours, gamma=gamma) for gamma in GAMMAS}
        estimators["REINFORCE"] = partial(reinforce, accumulation=accumulation)
        found[where] = {
            name: measure(estimate(sample, derivative), exact.flatten()) for name, estimate in estimators.items()
        }
    return found


def table(runs: Sequence[dict[str, dict[str, dict[str, float]]]]) -> str:
    lines = [
        f"Chain of {len(TOKENS)} tokens, horizon {HORIZON}, token frequency (Jensen-Shannon) and sentence length "
        f"(energy); {BATCHES} batches of {BATCH} texts, {len(runs)} chains (smallest to largest).",
        "",
        "| D' at | estimator | cosine of the mean | norm ratio | relative variance | times gamma 1's |",
        "|---|---|---|---|---|---|",
    ]
    for where, estimators in runs[0].items():
        for name in estimators:
            figures = [found[where][name] for found in runs]
            times = [
                found[where][name]["relative_variance"] / found[where]["gamma 1"]["relative_variance"] for found in runs
            ]
            cells = [
                " to ".join(f"{end:.{digits}f}" for end in (min(values), max(values)))
                for values, digits in (
                    ([figure["cosine"] for figure in figures], 4),
                    ([figure["norm_ratio"] for figure in figures], 3),
                    ([figure["relative_variance"] for figure in figures], 3),
                    (times, 2),
                )
            ]
            lines.append(f"| {where} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    started = time.perf_counter()
    torch.set_num_threads(1)
    runs = [run(seed) for seed in SEEDS]
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    text = table(runs)
    (results / "variance.md").write_text(text)
    (results / "variance.json").write_text(json.dumps(dict(zip(map(str, SEEDS), runs, strict=True)), indent=1) + "\n")
    print(text)
    ratios = [
        found["exact"]["REINFORCE"]["relative_variance"] / found["exact"]["gamma 1"]["relative_variance"]
        for found in runs
    ]
    verdict = "met" if min(ratios) >= 10 else "MISSED"
    print(f"gamma 1's variance at most 1/10 of REINFORCE's: {verdict} (1/{min(ratios):.0f} at worst)")
    print(f"{time.perf_counter() - started:.0f} s")
    sys.exit(verdict == "MISSED")


if __name__ == "__main__":
    main()
