"""DFTCallback: when the distribution term acts in a Trainer, not what it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from dft_plugin import announcement, host, run_report
from dft_plugin.assembly import Setting, assemble
from dft_plugin.backward import Attachment, OwnBackward, choose_backward
from dft_plugin.calibration import Calibration, prediction_temperature
from dft_plugin.checkpoints import check_same_term, decode, encode, stored
from dft_plugin.config import DFTConfig, parse
from dft_plugin.ends_of_text import end_of_text_ids
from dft_plugin.gathering import Gathering, can_be_read_once
from dft_plugin.gradients import finite
from dft_plugin.guards import Guards
from dft_plugin.language_model import DecoderHook
from dft_plugin.metrics import Metrics
from dft_plugin.model_check import check_model
from dft_plugin.out_of_memory import told_of_memory
from dft_plugin.progress import DistributionTermError, Progress
from dft_plugin.rollout import describe, forked_rng, seed_of
from dft_plugin.run_report import RunReport
from dft_plugin.schedule import Schedule
from dft_plugin.supported_runs import check_supported
from dft_plugin.term import DistributionTerm, Evaluation

ANY_TOKENS = 32
"""Ids by which it is seen that dividing what the head reads divides its logits; any would do."""


class DFTCallback(TrainerCallback, ExportableState):
    """Adds the distribution term (Distribution Fine-Tuning) to a transformers Trainer.

    `SFTTrainer(..., callbacks=[DFTCallback()])` is enough: the human reference is then what the run
    trains on. Not TRL's `loss_type="dft"` (Dynamic Fine-Tuning).

    Args:
        config: a `DFTConfig`, or None.
        **options: the same options by name, when no config is given (`reference=`, `weight=`,
            `statistics=`, `rollout=`, ...).

    Raises:
        ConfigError: for an unknown or invalid option, naming the nearest that exists.
        TypeError: when both a config and options are given.
    """

    def __init__(self, config: DFTConfig | dict[str, Any] | None = None, **options: Any) -> None:
        if config is not None and options:
            raise TypeError(f"DFTCallback takes a config or options, not both (given: {', '.join(options)})")
        self.config = config if isinstance(config, DFTConfig) else parse(config or options, "DFTCallback")
        self.term: DistributionTerm | None = None
        self.metrics = Metrics()
        self.progress = Progress()
        self.guard = Guards(self.config)
        self.backward: OwnBackward | Attachment | None = None
        self._seen = False
        self._began_at = 0
        self._trainer: Any = None
        self.gathering: Gathering | None = None
        self.report: RunReport | None = None
        self.calibration: Calibration | None = None

    @classmethod
    def from_yaml(cls, path: str | Path) -> DFTCallback:
        """From a YAML file with a `dft:` block, or with its keys at the top."""
        return cls(DFTConfig.from_yaml(path))

    # ---- the run -------------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        trainer = host.find_trainer(self)
        self._forget(trainer)
        check_supported(trainer, state, self.config)
        self.schedule = Schedule.of(self.config, state.max_steps)
        host.add_to_logs(trainer, self, self.metrics.drain)
        host.before_clipping(trainer, self, self._on_gradients_ready)
        host.during_training_steps(trainer, self, self._training_step)
        model = kwargs["model"]
        accelerator = trainer.accelerator
        processes = host.processes(accelerator)
        dataloader = kwargs["train_dataloader"]
        self.setting = Setting(
            model,
            host.tokenizer_of(kwargs),
            dataloader,
            processes,
            accelerator.autocast,
        )
        if self.config.statistics:
            self.backward = choose_backward(accelerator, self.config, model)
        self.calibration = self._calibrated(model)
        self._began_at = state.global_step
        self.guard.begin(model, state.global_step, stored(state, type(self).__name__).get("guards", {}))
        if not self.config.statistics:
            self._begin_without_term(state)
        elif can_be_read_once(dataloader.dataset):
            self.gathering = Gathering(self.config, processes, end_of_text_ids(self.setting.tokenizer, model))
            self._say(f"dft: the data set can be read only once: the term acts after {self.gathering.wanted} windows")
        else:
            self._assemble(state)

    def _forget(self, trainer: Any) -> None:
        """What was of an earlier run; how far a bound on held-out loss has come only where another model is trained."""
        if trainer is not self._trainer or getattr(trainer, "model_init", None) is not None:
            self.guard = Guards(self.config)
        self._trainer = trainer
        self.metrics, self.progress = Metrics(), Progress()
        self.term = self.gathering = self.report = None

    def _calibrated(self, model: Any) -> Calibration | None:
        """None where next-token prediction stays at temperature 1."""
        temperature = prediction_temperature(self.config, model)
        if temperature != self.config.prediction_temperature:
            self._say("dft: calibration is left out: the model's head has a bias or soft-capping")
        if temperature == 1:
            return None
        if getattr(self._trainer.args, "torch_compile", False):
            torch._dynamo.reset()  # what an earlier run compiled has no hook, and none is looked for
        return Calibration(model, temperature)

    @property
    def _hooks(self) -> list[DecoderHook]:
        return [hook for hook in (self.backward, self.calibration) if isinstance(hook, DecoderHook)]

    @contextmanager
    def _training_step(self, inputs: Any) -> Iterator[None]:
        """Around the host's forward and backward pass, where alone the hooks act: Ctrl-C leaves them on the model."""
        if self.gathering is not None:
            self.gathering.take(inputs)
        try:
            if isinstance(self.backward, OwnBackward):
                self.backward.check_kept()
            for hook in self._hooks:
                hook.acting = True
            yield
        finally:
            for hook in self._hooks:
                hook.acting = False

    def _begin_without_term(self, state: Any) -> None:
        """Nothing is matched: calibration acts by itself."""
        if self.calibration is None:
            raise DistributionTermError(
                "statistics is empty, so that nothing is matched, and calibration cannot act: the model's head has a "
                "bias or soft-capping. The run would be plain SFT; name statistics, or leave the callback out"
            )
        device = next(self.setting.model.parameters()).device
        with self.setting.autocast():
            check_model(self.setting.model, torch.arange(ANY_TOKENS, device=device)[None])
        self._restore(state)
        self._say(announcement.calibration_alone(self.calibration.temperature))

    def _assemble(self, state: Any) -> None:
        started = time.perf_counter()
        with forked_rng(next(self.setting.model.parameters()).device, seed_of(self.config.seed)):
            self.term = assemble(self.config, self.setting, self.guard.drift)
        self._restore(state)
        self.report = run_report.begin(self.config, self.setting, self.term, self._trainer, self._began_at)
        names = [entry.name for entry in self.term.objective.matched]
        at = 1.0 if self.calibration is None else self.calibration.temperature
        assert self.backward is not None
        line = announcement.with_term(self.config, names, self.schedule.start, state.max_steps, at, self.backward.name)
        self._say(f"{line} (prepared in {time.perf_counter() - started:.1f} s)")

    def _say(self, line: str) -> None:
        if self.setting.processes.rank == 0:
            print(line, file=sys.stderr, flush=True)

    def _gathered(self, state: Any) -> bool:
        """Whether the term is there; where the data set is read once it is made when enough text has come by."""
        if self.gathering is not None and self.gathering.windows() >= self.gathering.wanted:
            self.setting = replace(self.setting, documents=self.gathering.finished())
            self.gathering = None
            self._assemble(state)
        return self.gathering is None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._seen = False
        if self.backward is not None:
            self.backward.begin_step()
        factor = 1.0 if self.guard.loss_bound is None else self.guard.loss_bound.factor
        if self.calibration is not None:
            self.calibration.share = factor
        if not self.config.statistics:
            return
        host.put_training_weights_back(kwargs.get("optimizer"))
        if not self._gathered(state):
            return
        warm = self.schedule.warmed(state.global_step)
        if warm is not None and self.schedule.acts(state.global_step):
            if self.guard.loss_bound is not None:
                self.metrics.add("dft/weight_factor", factor)
            weight = 1.0 if self.config.weight == "auto" else self.config.weight
            with told_of_memory(self.config.rollout.micro_batch_size):
                self._match(factor * warm * weight, state, **kwargs)

    def _match(self, weight: float, state: Any, **kwargs: Any) -> None:
        """One acting step of the distribution term."""
        assert self.term is not None
        assert self.backward is not None
        started = time.perf_counter()
        device = self.term.device
        with forked_rng(device, seed_of(self.config.seed, state.global_step)):
            texts = self.term.rollout(state.global_step)
            rolled_out = time.perf_counter()
            evaluation = self.term.evaluate(texts, state.global_step)
            if (problem := self.term.sampled_law.problem()) is not None:
                self._say(f"dft: {problem}")
            if not evaluation.finite:
                self._skip("the distance or its derivative is not finite", state.global_step)
                return
            used = self._brought_in(evaluation, weight)
        if used is None:
            self._skip("the term's gradient is not finite", state.global_step)
            return
        self.progress.act(brought_in=not self.backward.measuring)
        self.metrics.evaluated(evaluation, self.term.objective.matched, used)
        self.metrics.add("dft/rollout_seconds", rolled_out - started)
        self.metrics.add("dft/step_seconds", time.perf_counter() - started)
        every = self.config.sample_every
        if every and (self.progress.acted - 1) % every == 0:
            tokenizer = host.tokenizer_of(kwargs)
            for index in range(min(3, len(texts))):
                self.metrics.sample(index, describe(tokenizer, texts, index))

    def _brought_in(self, evaluation: Evaluation, weight: float) -> float | None:
        """The weight the term was brought in at; None where its gradient is not finite."""
        assert self.term is not None
        assert self.backward is not None
        if weight == 0 or self.backward.measuring:
            if self.term.drift is not None:
                with self.term.live.autocast():
                    self.term.drift.measure(evaluation)
            return 0.0
        return self.backward.add(self.term, evaluation, weight, self._loss_scale())

    def _loss_scale(self) -> float:
        return host.loss_scale(self._trainer.accelerator)

    def _on_gradients_ready(self) -> None:
        """Just before clipping: both gradients lie summed in `.grad`."""
        self._seen = True
        ratio = None if self.backward is None else self.backward.ratio(self._loss_scale())
        if ratio is not None:
            self.metrics.add("dft/gradient_ratio", ratio)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._seen:  # transformers 4 does not ask for the norm when max_grad_norm is 0
            self._on_gradients_ready()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.backward is not None:
            self.backward.check_acted()
        if self.calibration is not None:
            self.calibration.check_acted()
        self.guard.log(self.metrics, self.setting.processes)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        self.guard.evaluated(metrics or {}, state)

    def _skip(self, reason: str, step: int) -> None:
        if not finite(parameter.detach() for parameter in self.setting.model.parameters()):
            reason = "the model's own weights are not finite"
        self.progress.skip(reason, step)
        self.metrics.set("dft/skipped", float(self.progress.skipped))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        if self.config.statistics:
            waited = "" if self.gathering is None else self.gathering.waited()
            self.progress.ended(state.global_step, state.max_steps, self.schedule, waited)
        if self.report is not None:
            self.report.finish(self._trainer, state)

    # ---- checkpoints ---------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: JSON only, the accumulators as a compressed safetensors string."""
        return {
            "args": {"config": self.config.model_dump(mode="json")},
            "attributes": {
                "saved": "" if self.term is None else encode(self.term.state_dict()),
                **self.progress.state(),
                "cross_entropy_norm": getattr(self.backward, "cross_entropy_norm", None),
                "guards": self.guard.state(),
                "prediction_temperature": 1.0 if self.calibration is None else self.calibration.temperature,
            },
        }

    def _restore(self, state: Any) -> None:
        name = type(self).__name__
        attributes, before = stored(state, name), stored(state, name, "args").get("config", {})
        # Without an entry the Trainer would raise KeyError at its next checkpoint.
        state.stateful_callbacks[name] = self.state()
        if state.global_step == 0 or not attributes.get("saved"):
            return
        if self.term is None:
            raise host.UnsupportedRunError(
                "the checkpoint holds a term's state, and statistics is empty: resume with the `statistics` it was "
                "written with"
            )
        check_same_term(self.config, before)
        self.progress = Progress.restored(attributes)
        if isinstance(self.backward, OwnBackward):
            self.backward.cross_entropy_norm = attributes["cross_entropy_norm"]
        counted = self.term.counted()
        self.term.load_state_dict(decode(attributes["saved"]))
        read_anew = self.setting.documents is not None  # of a stream it is other text
        if not read_anew and not torch.allclose(counted, self.term.counted()):
            self._say(
                "dft: the human text is not the checkpoint's any more, for the reference or the data set has changed: "
                "what the checkpoint counted is matched; to match what is there now begin a new run from its weights"
            )


__all__ = ["DFTCallback", "DistributionTermError"]
