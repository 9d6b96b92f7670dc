"""A scenario with its texts, tokenizer and held-out human windows: what every arm and every measure shares."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.effect import corpora
from benchmarks.effect.corpora import Split
from benchmarks.effect.result_files import run_path, written_path
from benchmarks.effect.scenario import SamplerBlock, Scenario
from dft_plugin.config import DFTConfig
from dft_plugin.human_windows import cut_windows
from dft_plugin.texts import Window
from dft_plugin.vocabulary import Vocabulary

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Task:
    """What all arms of a scenario have in common.

    Attributes:
        scenario: of the YAML file.
        base_model: folder of the model that training begins with.
        train: training texts.
        validation: held-out texts of the training corpus.
        human: held-out human texts: contexts, continuations and the human side of every measure.
        reference: held-in human texts that DFT matches, where they are not the training set.
        folder: of this scenario's runs and saved models.
    """

    scenario: Scenario
    base_model: str
    train: Sequence[str]
    validation: Sequence[str]
    human: Sequence[str]
    reference: Sequence[str] | None
    folder: Path

    @classmethod
    def prepare(cls, scenario: Scenario, folder: Path, corpora_folder: str, models_folder: str | None) -> Task:
        """Reads and splits the corpora and finds the model."""

        def read(name: str) -> Split:
            return corpora.split(corpora.read(corpora_folder, name), scenario.held_out)

        own = read(scenario.corpus)
        human = own if scenario.human_corpus == scenario.corpus else read(scenario.human_corpus)
        matched = scenario.reference.corpus
        reference = None if matched is None else (human if matched == scenario.human_corpus else read(matched)).train
        return cls(
            scenario=scenario,
            base_model=find_model(scenario.model, models_folder),
            train=corpora.within(own.train, scenario.characters)[: scenario.few],
            validation=corpora.within(own.held_out, scenario.held_out_characters),
            human=corpora.within(human.held_out, scenario.held_out_characters),
            reference=None if reference is None else corpora.within(reference, scenario.characters),
            folder=folder,
        )

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.base_model)

    @cached_property
    def vocabulary_size(self) -> int:
        from transformers import AutoConfig

        return int(AutoConfig.from_pretrained(self.base_model).vocab_size)

    @cached_property
    def rows(self) -> list[list[int]]:
        """Training rows, tokenized once."""
        return corpora.rows(self.train, self.tokenizer, self.scenario.max_length)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.from_tokenizer(self.tokenizer, self.vocabulary_size)

    @cached_property
    def windows(self) -> list[Window]:
        """Held-out human windows, the same for every seed and arm; the first `texts` of them are continued."""
        return self.cut(self.human, self.scenario.measuring.human_windows)

    @cached_property
    def validation_windows(self) -> list[Window]:
        """Held-out windows of the training corpus."""
        return self.cut(self.validation, self.scenario.measuring.texts)

    def missing(self, arm: str, seed: int) -> list[SamplerBlock]:
        """The samplers under which this arm and seed have no result yet, nor texts that wait to be measured."""
        return [sampler for sampler in self.scenario.samplers if self.lacks(arm, seed, sampler)]

    def lacks(self, arm: str, seed: int, sampler: SamplerBlock) -> bool:
        """Whether there is neither a result nor a text that waits to be measured."""
        return not any(path(self.folder, arm, seed, sampler.key).exists() for path in (run_path, written_path))

    def cut(self, texts: Sequence[str], count: int) -> list[Window]:
        config = self.config(self.scenario.samplers[0], seed=0, reference_windows=max(32, count))
        return cut_windows(config, corpora.documents(texts, self.tokenizer), from_start=False, name="the held-out text")

    def config(self, sampler: SamplerBlock, seed: int, **options: Any) -> DFTConfig:
        """The `dft:` block of a run: the scenario's, an arm's options over it, and the deployment sampler."""
        own = {**self.scenario.dft, **options}
        rollout = {
            **self.scenario.rollouts.model_dump(exclude={"equal"}),
            **own.pop("rollout", {}),
            "temperature": sampler.temperature,
            "top_p": sampler.top_p,
        }
        fixed = {"report": False, "sample_every": 0, "reference": self._reference(), "seed": seed}
        return DFTConfig.model_validate({**fixed, **own, "rollout": rollout})

    def equal_config(self, sampler: SamplerBlock, seed: int, **options: Any) -> DFTConfig:
        """The same with equal rollouts: REINFORCE's texts a step, drawn at each, and four steps' in one window.

        At the defaults of the time these arms were run (LOG.md, 23).
        """
        equal = self.scenario.rollouts.equal
        rollout = {"batch_size": equal, "steps_per_generation": 1, **options.pop("rollout", {})}
        windows = {"window": 4 * equal, "derivative_window": None, "lead": None}
        former = {"gradient_fraction": 0.6, "fade": 1.0, "balance": "hidden_states", "calibration": 0.7}
        return self.config(sampler, seed, **{**windows, **former, **options, "rollout": rollout})

    def _reference(self) -> str:
        if self.scenario.reference.domain is not None:
            return self.scenario.reference.domain
        if self.reference is None:
            return "train"
        return self._file(f"reference-{self.scenario.reference.corpus}.jsonl", self.reference)

    def own_texts(self) -> str:
        """A file of the training texts, for what takes them from one."""
        return self._file(f"task-{self.scenario.corpus}.jsonl", self.train)

    def _file(self, name: str, texts: Sequence[str]) -> str:
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}")  # another process may be writing it too
            partial.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
            partial.replace(path)
        return str(path)


def find_model(name: str, folder: str | None) -> str:
    """A model's folder: under --models, or a path relative to the repository.

    Raises:
        FileNotFoundError: when it is in neither.
    """
    tried = [*([Path(folder) / name] if folder else []), REPOSITORY / name, Path(name)]
    for path in tried:
        if (path / "config.json").is_file():
            return str(path)
    places = ", ".join(map(str, tried))
    raise FileNotFoundError(f"model {name}: no config.json in {places}; --models takes the folder it is in")
