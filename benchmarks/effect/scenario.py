"""A scenario: what is trained, on what, against which human text, and how it is measured. One YAML file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dft_plugin.sampling import Sampler

CORPORA = ("fiction", "children", "news", "legal", "academic", "ai_creative")


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SamplerBlock(_Block):
    """What a model is deployed with: the law that text is drawn from, and what it continues.

    Attributes:
        contexts: beginnings of held-out texts of the human corpus or, where that is another, of the training corpus
            (the task's).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    contexts: Literal["human", "task"] = "human"

    @property
    def key(self) -> str:
        """For file names."""
        return f"t{self.temperature:g}-p{self.top_p:g}" + ("" if self.contexts == "human" else f"-{self.contexts}")

    def sampler(self) -> Sampler:
        return Sampler(temperature=self.temperature, top_p=self.top_p)


class Reference(_Block):
    """The human text DFT matches: the training set itself, a corpus's held-in texts, or a shipped domain."""

    corpus: str | None = None
    domain: str | None = None


class Rollouts(_Block):
    """What DFT, REINFORCE and DPO sample; `max_new_tokens` is also how long measured texts are.

    Attributes:
        equal: texts a step of the arms with equal rollouts: REINFORCE, and those of DFT that are compared with it.
            `dft` itself samples as many as its own default says.
    """

    equal: int = 64
    micro_batch_size: int = 16
    max_new_tokens: int = 96
    context_tokens: int = 32


class Measuring(_Block):
    """Sizes of the measurement: held-out contexts continued, human windows compared with, resamples."""

    texts: int = 512
    human_windows: int = 2048
    words: int | None = Field(default=None, description="words of a text measured; None: what half the human ones have")
    resamples: int = 50


class SuperBaseline(_Block):
    """The grid that plain SFT chooses from, for each metric anew."""

    learning_rates: list[float] = Field(default_factory=list)
    temperatures: list[float] = Field(default_factory=lambda: [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2])
    top_ps: list[float] = Field(default_factory=lambda: [0.9, 0.95, 1.0])
    resamples: int = 10


class Scenario(_Block):
    """One scenario; every size of the benchmark is here."""

    name: str
    title: str
    model: str = Field(description="folder under --models, or a path relative to the repository")
    corpus: str
    reference: Reference = Reference()
    human: str | None = Field(default=None, description="corpus of the held-out human texts; None: the reference's")
    characters: int = Field(default=4_000_000, description="of training text, whole documents")
    held_out_characters: int = 2_000_000
    few: int | None = Field(default=None, description="train on so many documents only")
    held_out: float = Field(default=0.15, gt=0, lt=1, description="share of documents never trained on")
    steps: int = 200
    learning_rate: float = 1e-3
    batch_size: int = 8
    max_length: int = Field(default=512, description="longest training row, in tokens")
    lora_rank: int | None = None
    samplers: list[SamplerBlock]
    rollouts: Rollouts = Rollouts()
    dft: dict[str, Any] = Field(default_factory=dict, description="options of the `dft:` block in every DFT arm")
    options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="arm -> its own options")
    arms: list[str]
    seeds: list[int]
    measuring: Measuring = Measuring()
    super_baseline: SuperBaseline = SuperBaseline()
    facts: int = Field(default=200, description="cloze questions of each kind in the probe")

    @model_validator(mode="after")
    def _known(self) -> Scenario:
        for name in (self.corpus, self.reference.corpus, self.human):
            if name is not None and name not in CORPORA:
                raise ValueError(f"corpus {name!r} is not known; there are {', '.join(CORPORA)}")
        if self.reference.corpus and self.reference.domain:
            raise ValueError("reference: give a corpus or a domain, not both")
        return self

    @property
    def human_corpus(self) -> str:
        """The corpus whose held-out texts are the human side of every measure."""
        return self.human or self.reference.corpus or self.corpus


def load(path: str | Path) -> Scenario:
    """Reads a scenario; `base: other.yaml` gives the keys, and the arms' options, that are not written in it.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for an unknown key or corpus.
    """
    path = Path(path)
    return Scenario.model_validate({"name": path.stem, **_keys(path)})


def _keys(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = content.pop("base", None)
    given = _keys(path.parent / base) if base else {}
    options = {**given.get("options", {}), **content.get("options", {})}
    return {**given, **content, "options": options}
