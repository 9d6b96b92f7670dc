"""Before and after: what the model writes at the beginning and the end of a run, measured beside human text."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dft_plugin import host
from dft_plugin.assembly import Setting
from dft_plugin.config import DFTConfig
from dft_plugin.contexts import check_room
from dft_plugin.documents import cut_at_ends
from dft_plugin.human_reference import counted_here
from dft_plugin.human_windows import pieces, window_sampler
from dft_plugin.rollout import forked_rng, seed_of
from dft_plugin.term import DistributionTerm
from dft_plugin.texts import Window
from dft_plugin.training_documents import from_dataloader

if TYPE_CHECKING:
    from dft_plugin.evaluation.result import Result, Sampling
    from dft_plugin.evaluation.texts import Texts

logger = logging.getLogger("dft_plugin")

LEAST_TEXTS = 32
BEFORE = "dft-before.jsonl"
RESULTS = ("dft-result-before.json", "dft-result.json")
REPORT = "dft-report.html"
SEED = 0x5EED


def missing_packages() -> list[str]:
    """What a report is written with and is not installed: of the extra `report`."""
    return [package for package in ("matplotlib", "jinja2") if importlib.util.find_spec(package) is None]


def wanted(config: DFTConfig) -> bool:
    """Whether a run ends with a report: as configured, or where the extra `report` is installed."""
    return not missing_packages() if config.report == "auto" else config.report


@dataclass(frozen=True)
class Contexts:
    """Human windows whose contexts the report continues.

    Attributes:
        windows: their contexts are continued.
        human: a context and the text after it, of the reference or the training set; `windows` themselves where every
            one has that.
        note: what is to be known of them; "" where they come from an evaluation set, which is not trained on.
    """

    windows: Sequence[Window]
    human: Sequence[Window]
    note: str


def contexts(config: DFTConfig, term: DistributionTerm, evaluation: Any) -> Contexts:
    """`report_texts` windows: of the evaluation set if there is one, else those that rollouts go on with.

    Args:
        config: the `dft:` block.
        term: its contexts, and human text for those that no human went on with, as prompts alone.
        evaluation: the trainer's evaluation dataloader, or None.
    """
    note = "the contexts are those of training: no evaluation set was given"
    if evaluation is not None:
        documents = from_dataloader(evaluation, 4 * config.report_texts, term.end_of_text, partial(pieces, config))
        documents = cut_at_ends(documents, term.end_of_text, config.rollout.context_tokens)
        count = min(config.report_texts, pieces(config, documents))
        if count >= LEAST_TEXTS:
            generator = torch.Generator().manual_seed(seed_of(config.seed, SEED))
            windows = window_sampler(config, documents, from_start=False).sample(count, generator)
            return Contexts(windows, windows, note="")
        note = f"the contexts are those of training: the evaluation set has {count} windows, fewer than {LEAST_TEXTS}"
    each = -(-config.report_texts // len(term.contexts))
    windows = [window for kind in term.contexts for window in _spread(kind, each)][: config.report_texts]
    if all(len(window.tokens) > window.first for window in windows):
        return Contexts(windows, windows, note)
    whose = (
        "the reference's" if counted_here(config.reference) and config.reference != "train" else "the training set's"
    )
    return Contexts(windows, term.human_text.scored, f"{note}; the human text is {whose}, after other contexts")


def _spread(windows: Sequence[Window], count: int) -> list[Window]:
    """So many of them at most, at equal distances: the prompts of a file stand in its order."""
    count = min(count, len(windows))
    return [windows[number * len(windows) // count] for number in range(count)]


def begin(config: DFTConfig, setting: Setting, term: DistributionTerm, trainer: Any, began_at: int) -> RunReport | None:
    """The report of a run, with what the model writes before it; None where there is to be none.

    Args:
        config, setting, term: of the run; the first process writes the report.
        trainer: the host's.
        began_at: the step the run began with, above 0 where it goes on from a checkpoint.
    """
    if setting.processes.rank != 0 or not wanted(config):
        return None
    chosen = contexts(config, term, host.evaluation_dataloader(trainer))
    if len(chosen.windows) < LEAST_TEXTS:
        logger.warning("dft: no report: there are %d contexts, and it takes %d", len(chosen.windows), LEAST_TEXTS)
        return None
    check_room(setting.model, chosen.windows, config.rollout.max_new_tokens)
    report = RunReport(config, term, setting.tokenizer, Path(trainer.args.output_dir), chosen)
    try:
        with forked_rng(term.device, config.seed):
            report.before(trainer.state.global_step, resumed=began_at > 0)
    except OSError as error:
        logger.warning("dft: no report: what the model writes before training could not be kept: %s", error)
        return None
    return report


class RunReport:
    """Samples the model before and after training, and writes the report.

    Args:
        config: the `dft:` block.
        term: samples the live model.
        tokenizer: of the model.
        folder: the run's output directory.
        chosen: contexts to continue.
    """

    def __init__(self, config: DFTConfig, term: DistributionTerm, tokenizer: Any, folder: Path, chosen: Contexts):
        self.config, self.term, self.tokenizer, self.folder, self.chosen = config, term, tokenizer, folder, chosen
        self.results: list[Result] = []

    def before(self, step: int, resumed: bool) -> None:
        """Keeps what the model writes now, at a step; a resumed run keeps what it wrote at the beginning."""
        path = self.folder / BEFORE
        if resumed and path.is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [json.dumps({**row, "step": step}, ensure_ascii=False) for row in self._sample()]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")

    def finish(self, trainer: Any, state: Any) -> None:
        """Writes the report at the end of a run, and its section whenever the trainer writes its model card."""
        try:
            with forked_rng(self.term.device, self.config.seed):
                self.after(state)
            if self.results:
                host.after_model_card(trainer, self.add_to_model_card)
            tag: Any = getattr(self.term.live.module, "add_model_tags", None)  # some wrappers have none
            if tag is not None:
                tag(["dft-plugin"])
        except Exception:  # a trained model must not be lost for a report
            logger.exception("dft: the report could not be written; the run itself ended well")

    def after(self, trainer_state: Any) -> None:
        """Measures what the model writes now beside what it wrote before, and writes the files."""
        from dft_plugin.evaluation.report.html import write_report

        if not (self.folder / BEFORE).is_file():
            logger.warning("dft: no report: %s is not there", self.folder / BEFORE)
            return
        self.results = self._results()
        for name, result in zip(RESULTS, self.results, strict=True):
            result.save(self.folder / name)
        history = {
            "log_history": trainer_state.log_history,
            "stateful_callbacks": trainer_state.stateful_callbacks,
        }
        write_report(self.folder / REPORT, self.results, trainer_state=history)
        self.add_to_model_card()

    def add_to_model_card(self) -> None:
        """Adds the results to the README.md in the output directory."""
        from dft_plugin.evaluation.model_card import add_section

        add_section(self.folder, self.results)

    def _results(self) -> list[Result]:
        from dft_plugin.evaluation.evaluate import Origin, evaluate_together
        from dft_plugin.evaluation.measuring import Options
        from dft_plugin.evaluation.texts import Text, Texts

        def texts(name: str, rows: Sequence[dict[str, str]]) -> Texts:
            return Texts(name, [Text(row["text"], row["prompt"]) for row in rows], [])

        with (self.folder / BEFORE).open(encoding="utf-8") as lines:
            before = [json.loads(line) for line in lines]
        columns = {
            "before training": texts("before training", before),
            "after training": texts("after training", self._sample()),
        }
        models = (getattr(self.term.live.module.config, "name_or_path", None) or None, str(self.folder))
        sampling = self._sampling()
        origins = {name: Origin(model=model, sampling=sampling) for name, model in zip(columns, models, strict=True)}
        found = evaluate_together(columns, texts("human", self._human()), Options(seed=self.config.seed), origins)
        notes = [self.chosen.note] if self.chosen.note else []
        if before[0].get("step"):
            notes.append(f"what is called before training was written at step {before[0]['step']}")
        return [result.model_copy(update={"notes": (*result.notes, *notes)}) for result in found.values()]

    def _sampling(self) -> Sampling:
        from dft_plugin.evaluation.result import Sampling

        return Sampling(
            **asdict(self.term.live.sampler),
            max_new_tokens=self.term.sampling.max_new_tokens,
            seed=self.config.seed,
            engine=self.config.rollout.engine,
        )

    def _sample(self) -> list[dict[str, str]]:
        term, rows = self.term, []
        size = term.sampling.micro_batch_size
        for start in range(0, len(self.chosen.windows), size):
            windows = self.chosen.windows[start : start + size]
            prompts = [window.tokens[: window.first] for window in windows]
            texts = term.generate(prompts, seed_of(self.config.seed, SEED, start))
            rows += [self._row(prompt, tokens) for prompt, tokens in zip(prompts, texts, strict=True)]
        return rows

    def _human(self) -> list[dict[str, str]]:
        return [self._row(window.tokens[: window.first], window.tokens[window.first :]) for window in self.chosen.human]

    def _row(self, prompt: Sequence[int], text: Sequence[int]) -> dict[str, str]:
        decode = self.tokenizer.decode
        return {
            "prompt": decode(list(prompt), skip_special_tokens=True),
            "text": decode(list(text), skip_special_tokens=True),
        }
