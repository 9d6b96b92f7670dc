"""DFT: SFTTrainer with DFTCallback beside it, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, fine_tune
from dft_plugin import DFTCallback
from dft_plugin.config import DFTConfig

STATISTICS = DFTConfig().model_dump()["statistics"]
"""The default ones, with their weights."""


def at_defaults_but(**changed: Any) -> Callable[[Task, int, SamplerBlock], Trained]:
    """An arm at the default options but these."""

    def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
        return run(task, seed, task.config(sampler, seed, **{**task.scenario.options.get("dft", {}), **changed}))

    return train


train = at_defaults_but()
"""DFT at its default options."""


def on_human_contexts(*others: str, **changed: Any) -> Callable[[Task, int, SamplerBlock], Trained]:
    """The same with rollouts that continue the reference's texts (`rollout.prompts`), in turn with `others`."""

    def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
        prompts = [*others, human_contexts(task, sampler, seed)]
        return run(task, seed, task.config(sampler, seed, rollout={"prompts": prompts}, **changed))

    return train


train_on_human_contexts = on_human_contexts()


def human_contexts(task: Task, sampler: SamplerBlock, seed: int) -> str:
    """`rollout.prompts` for contexts from the reference's held-in texts.

    Raises:
        ValueError: where the reference is no other corpus.
    """
    if task.reference is None:
        raise ValueError(f"{task.scenario.name}: contexts of the reference need a `reference: {{corpus: ...}}`")
    return task.config(sampler, seed).reference


def with_options(name: str, **fixed: Any) -> Callable[[Task, int, SamplerBlock], Trained]:
    """An arm with equal rollouts, what makes the arm, and the scenario's own options for it."""

    def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
        return run(task, seed, task.equal_config(sampler, seed, **{**fixed, **task.scenario.options.get(name, {})}))

    return train


def run(task: Task, seed: int, config: DFTConfig, callback: type[DFTCallback] = DFTCallback, **options: Any) -> Trained:
    trained = fine_tune(task, seed, callbacks=[callback(config)], **options)
    rollout = config.rollout
    if config.statistics:
        trained.cost["rollout_tokens_per_step"] = rollout.batch_size * rollout.max_new_tokens / rollout.interval
    noted = config.model_dump(mode="json", exclude={"reference"})
    noted["rollout"]["prompts"] = [Path(prompts).name for prompts in rollout.kinds]  # the folder is this machine's
    trained.notes["config"] = noted
    return trained


def with_a_quarter_of_the_rollouts(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """A quarter of the texts a step; the statistics run over as many."""
    return _quarter(task, seed, sampler, "dft_quarter")


def with_a_quarter_at_once(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """The same, four steps' texts sampled in one go."""
    return _quarter(task, seed, sampler, "dft_quarter_at_once", steps_per_generation=4)


def _quarter(task: Task, seed: int, sampler: SamplerBlock, name: str, **rollout: int) -> Trained:
    size = max(2, task.scenario.rollouts.equal // 4)
    return with_options(name, rollout={"batch_size": size, **rollout})(task, seed, sampler)


def with_clipped_derivatives(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """Every statistic's derivative clipped at three times its root mean square."""
    entries = [{**entry, "derivative_clip": 3.0} for entry in STATISTICS]
    return run(task, seed, task.equal_config(sampler, seed, statistics=entries))


def with_a_bound_on_loss(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """The weight falls by itself where held-out loss, at temperature 1, rises by more than the bound."""
    options = {"loss_bound": 0.02, **task.scenario.options.get("dft_bound", {})}
    return run(task, seed, task.equal_config(sampler, seed, **options), evaluate_every=10)


def with_hidden_state(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """The default statistics and `hidden_state`, whose options and credit the scenario gives."""
    options = dict(task.scenario.options.get("dft_hidden", {}))
    hidden = {"name": "hidden_state", **options.pop("hidden_state", {"form": "critic"})}
    statistics = options.pop("statistics", STATISTICS)
    options = {"credit": 0.9, **options, "statistics": [*statistics, hidden]}
    return run(task, seed, task.equal_config(sampler, seed, **options))
