"""The arms: how each trains the base model of a task. One file each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.effect.arms import dft, dpo, entropy, mixture, reinforce, sft, unlikelihood
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained

Train = Callable[[Task, int, SamplerBlock], Trained]
"""(task, seed, deployment sampler) -> the trained model."""


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        train: trains one model.
        per_sampler: whether training depends on the law the sampler draws from; otherwise one model serves all.
    """

    train: Train
    per_sampler: bool = True


ARMS: dict[str, Arm] = {
    "base": Arm(sft.untrained, per_sampler=False),
    "sft": Arm(sft.train, per_sampler=False),
    "sft_mixed": Arm(mixture.sft(share=0.5), per_sampler=False),
    "sft_mixed_eighth": Arm(mixture.sft(share=0.125), per_sampler=False),
    "sft_wallclock": Arm(sft.train_for_dfts_seconds),
    "sft_calibrated": Arm(dft.at_defaults_but(statistics=[])),
    "dft": Arm(dft.train),
    "dft_calibration_0": Arm(dft.at_defaults_but(calibration=0.0)),
    "dft_calibration_0.7": Arm(dft.at_defaults_but(calibration=0.7)),
    "dft_calibration_0_fade_0": Arm(dft.at_defaults_but(calibration=0.0, fade=0.0)),
    "dft_calibration_0_fade_1": Arm(dft.at_defaults_but(calibration=0.0, fade=1.0)),
    "dft_fade_0": Arm(dft.at_defaults_but(fade=0.0)),
    "dft_fade_1": Arm(dft.at_defaults_but(fade=1.0)),
    "dft_growing_window": Arm(dft.at_defaults_but(window_growth=0.25)),
    "dft_human_contexts": Arm(dft.train_on_human_contexts),
    "dft_human_contexts_growing_window": Arm(dft.on_human_contexts(window_growth=0.25)),
    "dft_both_contexts": Arm(dft.on_human_contexts("train")),
    "dft_both_contexts_growing_window": Arm(dft.on_human_contexts("train", window_growth=0.25)),
    "dft_mixed": Arm(mixture.with_dft(share=0.5)),
    "dft_mixed_eighth": Arm(mixture.with_dft(share=0.125)),
    "dft_mixed_eighth_both_contexts": Arm(mixture.with_dft(share=0.125, both_contexts=True)),
    "dft_equal_rollouts": Arm(dft.with_options("dft_equal_rollouts")),
    "dft_uncalibrated": Arm(dft.with_options("dft_uncalibrated", calibration=0.0)),
    "dft_calibrated": Arm(dft.with_options("dft_calibrated", calibration=1.0)),
    "dft_calibration_0.6": Arm(dft.with_options("dft_calibration_0.6", calibration=0.6)),
    "dft_strong": Arm(dft.with_options("dft_strong", gradient_fraction=1.0)),
    "dft_parameters": Arm(dft.with_options("dft_parameters", balance="parameters")),
    "dft_parameters_strong": Arm(
        dft.with_options("dft_parameters_strong", balance="parameters", gradient_fraction=1.0)
    ),
    "dft_from_start": Arm(dft.with_options("dft_from_start", start_step=0, gradient_fraction=0.3)),
    "dft_gamma0": Arm(dft.with_options("dft_gamma0", credit=0.0)),
    "dft_gamma1": Arm(dft.with_options("dft_gamma1", credit=1.0)),
    "dft_kl": Arm(dft.with_options("dft_kl", kl_weight=0.5)),
    "dft_clip": Arm(dft.with_clipped_derivatives),
    "dft_novelty": Arm(dft.with_options("dft_novelty", statistics=[*dft.STATISTICS, "novelty"])),
    "dft_rarity": Arm(dft.with_options("dft_rarity", statistics=[*dft.STATISTICS, "ngram_rarity"])),
    "dft_bound": Arm(dft.with_a_bound_on_loss),
    "dft_at_once": Arm(dft.with_options("dft_at_once", rollout={"steps_per_generation": 4})),
    "dft_interval_2": Arm(dft.with_options("dft_interval_2", rollout={"interval": 2})),
    "dft_interval_4": Arm(dft.with_options("dft_interval_4", rollout={"interval": 4})),
    "dft_quarter": Arm(dft.with_a_quarter_of_the_rollouts),
    "dft_quarter_at_once": Arm(dft.with_a_quarter_at_once),
    "dft_hidden": Arm(dft.with_hidden_state),
    "reinforce": Arm(reinforce.train),
    "reinforce_calibrated": Arm(reinforce.train_calibrated),
    "reinforce_default": Arm(reinforce.train_at_defaults),
    "reinforce_default_calibrated": Arm(reinforce.train_at_defaults_calibrated),
    "reinforce_human_contexts": Arm(reinforce.train_on_human_contexts),
    "unlikelihood": Arm(unlikelihood.train),
    "unlikelihood_0.25": Arm(partial(unlikelihood.train, alpha=0.25)),
    "entropy": Arm(entropy.train, per_sampler=False),
    "entropy_dft": Arm(entropy.train_with_dft),
    "dpo": Arm(dpo.train),
}
