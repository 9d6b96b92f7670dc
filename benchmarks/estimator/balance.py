"""Where a statistic's gradient has to be measured so that the balance of `weight: auto` holds in the parameters.

    python benchmarks/estimator/balance.py

A model of `examples/base_model` (trained on fiction) writes 64 texts, which are to become like Python's reference
documentation. For each default statistic, with its derivative as it is: the norm of its gradient at the hidden states,
that of a linear map which gives them (`dft_plugin/gradient_size.py`), and in all parameters of the model.
Writes results/balance.json and results/balance.md beside this file.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "examples/demo")]

from pages import pages  # noqa: E402

from dft_plugin.assembly import Setting, assemble  # noqa: E402
from dft_plugin.config import parse  # noqa: E402
from dft_plugin.documents import Document  # noqa: E402
from dft_plugin.gradient_size import of_linear_map  # noqa: E402
from dft_plugin.objective import surrogate  # noqa: E402
from dft_plugin.sharing import Processes  # noqa: E402
from dft_plugin.term import DistributionTerm, Evaluation  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results"
BASE_MODEL = ROOT / "examples/base_model"
COLUMNS = ("at the hidden states", "of a linear map", "in the parameters")


def norms(term: DistributionTerm, evaluation: Evaluation, part: slice) -> tuple[float, float, float]:
    """The norm of one statistic's gradient, in the three ways of COLUMNS."""
    derivative = torch.zeros_like(evaluation.derivative)
    derivative[:, part] = evaluation.derivative[:, part]
    (plan,) = evaluation.plans
    leaf = term.live.hidden(plan.texts).detach().requires_grad_()
    loss = surrogate(plan, term.live.law(plan, leaf, derivative), derivative, None, len(evaluation.texts))
    (gradient,) = torch.autograd.grad(loss, leaf)
    for whole in term.surrogates(replace(evaluation, derivative=derivative)):
        whole.backward()
    found = [parameter.grad for parameter in term.live.module.parameters() if parameter.grad is not None]
    squares = sum(float(one.double().square().sum()) for one in found)
    term.live.module.zero_grad()
    return float(gradient.norm()), float(of_linear_map(gradient, leaf).norm()), squares**0.5


def measured(texts: int = 64, **options: Any) -> dict[str, tuple[float, float, float]]:
    """statistic -> the norm of its gradient, in the three ways of COLUMNS, from so many texts."""
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    documents = [tuple(tokenizer(page)["input_ids"]) for page in pages()[0]]
    rollout = {"batch_size": texts, "micro_batch_size": texts, "steps_per_generation": 1}
    config = parse({"weight": 1.0, "rollout": rollout, **options}, "balance")
    setting = Setting(
        AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32),
        tokenizer,
        None,
        Processes(),
        documents=[Document(tokens, 0, len(tokens), False) for tokens in documents],
    )
    term = assemble(config, setting)
    evaluation = term.evaluate(term.rollout(0), 0)
    part = term.objective.accumulation.part
    return {entry.name: norms(term, evaluation, part(entry.statistic)) for entry in term.objective.matched}


def relative(found: dict[str, tuple[float, float, float]]) -> dict[str, list[float]]:
    """statistic -> how many times the norm in the parameters the other two are, relative to token_frequency's."""
    of_tokens = found["token_frequency"]
    return {
        name: [value / values[2] / (one / of_tokens[2]) for value, one in zip(values[:2], of_tokens[:2], strict=True)]
        for name, values in found.items()
    }


def main() -> None:
    found = measured()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "balance.json").write_text(json.dumps({"columns": COLUMNS, "norms": found}, indent=1) + "\n")
    (RESULTS / "balance.md").write_text(table(found))
    print(table(found))


def table(found: dict[str, tuple[float, float, float]]) -> str:
    """Each norm, and how many times the parameters' the other two are, relative to token_frequency's."""
    lines = [
        "Norms of each statistic's gradient; in brackets how many times the norm in the parameters it is, relative to "
        "token_frequency's: 1 is a fair measure.",
        "",
        "| statistic | " + " | ".join(COLUMNS) + " |",
        "| --- | --- | --- | --- |",
    ]
    for name, ratios in relative(found).items():
        values = found[name]
        shown = [f"{value:.3g} ({ratio:.2f})" for value, ratio in zip(values[:2], ratios, strict=True)]
        lines.append(f"| {name} | {shown[0]} | {shown[1]} | {values[2]:.3g} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
