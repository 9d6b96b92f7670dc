"""The `dft:` block: every option, its default, bounds and description, declared once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from dft_plugin import consistency, statistic_config, yaml_text
from dft_plugin.block import Block
from dft_plugin.explained import explain
from dft_plugin.rollout_config import DFTRolloutConfig
from dft_plugin.statistic_config import DEFAULT_STATISTICS, DFTStatisticConfig


class DFTConfig(Block):
    """Distribution Fine-Tuning: match the distribution of generated text to a human reference.

    Not TRL's `loss_type: dft` (Dynamic Fine-Tuning).
    """

    model_config = ConfigDict(extra="forbid")

    reference: str = Field(
        default="train",
        description="the human text to match: `train` (what the run trains on), a .txt, .jsonl, "
        ".json or .parquet file or a folder of texts, a .safetensors reference built by `dft reference build`, or a "
        "shipped domain: news, fiction, academic, legal, children",
    )
    reference_windows: int = Field(
        default=2048,
        ge=32,
        le=1_000_000,
        description="human windows the statistics are computed from, each like one rollout",
    )
    weight: float | Literal["auto"] = Field(
        default="auto",
        description="factor on the term's gradient; `auto` brings each statistic's gradient to one size times its "
        "share (`balance`) and the whole to `gradient_fraction` of cross-entropy's times their mean strength (1 far "
        "from human text, 0 at the human floor) to the power of `fade`; 0 only measures",
    )
    gradient_fraction: float = Field(
        default=3.0,
        gt=0,
        le=10,
        description="for weight: auto, the norm of the term's gradient relative to cross-entropy's while the text is "
        "far from human, and rollout.interval times that where it acts only at every so many steps; lower it where "
        "the reference differs from the training text and the task's loss rises more than you accept, and with "
        "`start_step: 0` (benchmarks/LOG.md, 7 to 9, 12, 21 and 23)",
    )
    fade: float = Field(
        default=2.0,
        ge=0,
        le=4,
        description="for weight: auto, the power of their mean strength by which the term's gradient falls as the text "
        "comes near people's, where it costs perplexity and gains little. 0: it does not fall; 1: in proportion "
        "(benchmarks/LOG.md, 23)",
    )
    balance: Literal["hidden_states", "parameters"] = Field(
        default="parameters",
        description="for weight: auto, where each statistic's gradient is brought to one size: `parameters`, as large "
        "as it is for the parameters and times the logarithm of its floor ratio; `hidden_states`, times its strength, "
        "which gives sentence length several times as much beside n-grams and openings (benchmarks/LOG.md, 20 and 23)",
    )
    calibration: float = Field(
        default=0.85,
        ge=0,
        le=1,
        description="next-token prediction is trained at rollout.temperature to the power of this, from the first step "
        "on; 0: at temperature 1; 1: at the deployment temperature, where a small model's text is more varied than "
        "people's, and perplexity at temperature 1 rises most. Lower it where plain SFT's text is as varied as "
        "people's already, as a model's far from its task is: at 0.7 the text of the benchmark's models of less than a "
        "million parameters is nearer to people's over all measures, though a classifier tells it better, that of its "
        "model of 2.3 million clearly farther, and perplexity at temperature 1 rises by 1 to 5 % less. No difference "
        "where rollout.temperature is 1, or at weight 0 (benchmarks/LOG.md, 10, 16, 18, 24, 27 and 28)",
    )
    loss_bound: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="by which fraction held-out loss may lie above the lowest seen: an evaluation that finds more "
        "halves the weight (and the exponent of `calibration`, which raises this loss, taken at temperature 1), one "
        "that does not doubles it again up to what is set; null: no bound",
    )
    kl_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="weight, beside the distance, of the divergence KL(model || model training began with) on the "
        "rollouts, in nats per token; `weight` scales both; 0: off, at no cost. It takes a forward pass more, and "
        "memory for a copy of what is trained unless that is adapters",
    )
    statistics: list[DFTStatisticConfig] = Field(
        default_factory=lambda: [
            DFTStatisticConfig(name=name, weight=weight) for name, weight in DEFAULT_STATISTICS.items()
        ],
        description="what is matched: names, or a name with options (distance, weight and its own). []: nothing, so "
        "that `calibration` acts by itself, without a reference, rollouts or a report, in the seconds of plain SFT",
    )
    rollout: DFTRolloutConfig = Field(default_factory=DFTRolloutConfig, description="how the model is sampled")
    start_step: int | float = Field(
        default=0.5,
        ge=0,
        description="first optimizer step at which the term acts, or only measures; below 1: this share of the run's. "
        "While cross-entropy still learns the task, a term beside it slows that (benchmarks/LOG.md, 12)",
    )
    end_step: int | float | None = Field(
        default=None,
        gt=0,
        description="optimizer step, or share of the run's, from which it no longer acts; null: never",
    )
    warmup_steps: int | float = Field(
        default=0,
        ge=0,
        description="steps, or share of the run's, over which the weight rises linearly from 0 after start_step",
    )
    credit: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="gamma, how much of a token's effect on later text is credited to it: 0 is the pathwise "
        "part alone (least variance, no second pass), 1 the unbiased gradient",
    )
    window: int = Field(
        default=256,
        ge=1,
        description="over how many texts, of all processes, the distances run that are logged and say how strong the "
        "term is, the latest counting most: a step of n texts lessens what came before by n / window, which is worth "
        "2 window - n texts, and floors are of that; up to one step's: each step by itself. More tell smaller "
        "distances from chance, so that the term fades later, at more cost (benchmarks/LOG.md, 20 to 22 and 27)",
    )
    window_growth: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="over which share of all texts so far the distances run, once that is more than `window`, as at "
        "0.25 after 1,024 texts (64 acting steps of 16): the longer the run, the smaller the distances that are told "
        "from chance and still act, at more cost; for a reference of another corpus, where rollouts begin as its texts "
        "do: little is gained elsewhere. 0: over `window` (benchmarks/LOG.md, 29 and 30)",
    )
    derivative_window: int | None = Field(
        default=32,
        ge=1,
        description="over how many of the latest texts, at most `window`, the derivative of the distance is taken: as "
        "in `window` a step of n texts lessens what came before by n / derivative_window, and what would count less "
        "than 1/32 is left out. One that lags behind the model overshoots, one of few texts is noisy; one in which the "
        "last 48 count alike leaves text farther from people's (benchmarks/LOG.md, 22, 23, 35 and 39). null: as many "
        "as `window`, of which more steps' sums are then kept, in checkpoints too",
    )
    lead: float | None = Field(
        default=0.75,
        ge=0,
        le=4,
        description="for weight: auto, how far ahead of the latest texts a statistic's share looks, in multiples of "
        "how far these are ahead of the `window` as set: it falls and turns round as the text is about to arrive where "
        "people's is, before the optimizer's momentum takes it past. It moves gradient between statistics and turns it "
        "round: how large the whole is says `gradient_fraction`. null: the share is the window's alone "
        "(benchmarks/LOG.md, 24 and 27)",
    )
    sample_every: int = Field(
        default=200, ge=0, description="acting steps between the sample texts in the log; 0: none"
    )
    report: bool | Literal["auto"] = Field(
        default="auto",
        description="whether the run ends with dft-report.html, dft-result-before.json and dft-result.json (after) in "
        "the output directory and a section in the model card; `auto`: where the extra `report` is installed",
    )
    report_texts: int = Field(
        default=256,
        ge=32,
        le=100_000,
        description="texts sampled before and after for the report, from the evaluation set's contexts if there is one",
    )
    seed: int = Field(default=0, ge=0, description="seed of contexts, rollouts and human windows")

    @property
    def prediction_temperature(self) -> float:
        """The temperature that next-token prediction is trained at, from the first step on."""
        return 1.0 if self.weight == 0 else float(self.rollout.temperature**self.calibration)

    @field_validator("weight", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        try:
            valid = value == "auto" or (not isinstance(value, bool) and 0 <= float(value) < math.inf)
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise ValueError(f"takes a number of at least 0, or `auto` (given: {value!r})")
        return value

    @field_validator("start_step", "end_step", "warmup_steps")
    @classmethod
    def _whole_or_share(cls, value: float | None) -> float | None:
        if value is None or value < 1:
            return value
        if value == math.inf or value != int(value):
            raise ValueError(f"takes a number of steps, or a share of them below 1 (given: {value})")
        return int(value)

    @field_validator("statistics", mode="before")
    @classmethod
    def _name_or_mapping(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple):
            return value
        return [statistic_config.with_name(entry) for entry in value]

    @model_validator(mode="after")
    def _consistent(self) -> DFTConfig:
        consistency.check(self)
        return self

    @classmethod
    def from_yaml(cls, path: str | Path) -> DFTConfig:
        """Reads a YAML file: either a `dft:` block among other keys, or the block's own keys.

        Raises:
            FileNotFoundError: when there is no such file.
            ConfigError: when a key or value is not valid, naming the nearest that is.
        """
        content = read_keys(path)
        block = content.get("dft", content)
        return parse(block, where=f"{path}: dft")


class ConfigError(ValueError):
    """A `dft:` block that is not valid; the message says what was given, what exists and the mend."""


def read_keys(path: str | Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        FileNotFoundError: when there is no such file.
        ConfigError: when it cannot be read as that.
    """
    import yaml

    try:
        content = yaml_text.read(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not YAML that can be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


def parse(block: Any, where: str = "dft") -> DFTConfig:
    """Validates a `dft:` block.

    Args:
        block: the mapping (or None for all defaults).
        where: what to call it in messages.

    Raises:
        ConfigError: naming each key or value that is not valid, what exists, and the nearest match.
    """
    if block is None:
        block = {}
    if not isinstance(block, Mapping):
        raise ConfigError(f"{where}: expected keys and values, found {type(block).__name__} {block!r}")
    try:
        return DFTConfig.model_validate(dict(block))
    except ValidationError as error:
        inner = {"rollout": list(DFTRolloutConfig.model_fields)}
        raise ConfigError(f"{where}: {explain(error, list(DFTConfig.model_fields), inner)}") from error
