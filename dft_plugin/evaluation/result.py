"""`dft-result.json`: what one evaluation found. One schema, versioned; the table and the HTML report read only this.

    {"format": "dft-result", "version": 1, "name": "sft",
     "provenance": {...}, "basis": {...}, "measures": {name: Measure}, "curves": {name: Curve},
     "give_aways": [GiveAway], "samples": {"texts": [Sample], "human": [Sample]}, "notes": [str]}

Numbers that could not be measured are null, never NaN; `Measure.note` says why. Everything in `text`, `before`,
`match`, `after`, `prompt` and `name` fields comes from models, corpora or the user: whoever shows it escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FORMAT = "dft-result"
VERSION = 1

Interval = tuple[float, float]
Verdict = Literal["differs", "no difference shown", "too small to tell", "cannot be measured", "no human side"]


class ResultError(ValueError):
    """A result file that cannot be used; the message says why and how to mend it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measure(_Frozen):
    """One measure of a sample of texts beside human text.

    Kinds, and what `gap` (how far from human) is:

    * "figure": a property that human text has as well, such as words per sentence; gap = |value - human|;
    * "distance": from human text, such as the Jensen-Shannon divergence of words; gap = value, human is null;
    * "score": what human text has no counterpart of, such as perplexity; gap, floor and human are null.

    `floor` is the same gap between two disjoint human samples of the same sizes, so floor_ratio = gap / floor is
    near 1 for human text. Intervals are 95 % over resampled texts.
    """

    group: str = Field(description="heading in tables: length, vocabulary, repetition, sentences, ...")
    label: str = Field(description="what a table prints")
    description: str = Field(description="one sentence: what it is")
    kind: Literal["figure", "distance", "score"]
    unit: str = ""
    better: Literal["human", "lower", "higher"] = "human"
    value: float | None = None
    interval: Interval | None = None
    human: float | None = None
    human_interval: Interval | None = None
    gap: float | None = None
    gap_interval: Interval | None = None
    floor: float | None = None
    floor_interval: Interval | None = None
    floor_ratio: float | None = None
    p_value: float | None = Field(default=None, description="of the hypothesis that both are one law, where tested")
    basis: str = Field(default="", description="what must be equal for two results to be compared: sizes and settings")
    verdict: Verdict = "cannot be measured"
    note: str = Field(default="", description="why it cannot be measured, or how far it can be trusted")


class Curve(_Frozen):
    """A law or a relation to draw: `texts` and `human` hold one y for each x.

    The last entry of a law with `open_end` is the mass of everything longer than the x before it.
    """

    label: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    texts: tuple[float | None, ...]
    human: tuple[float | None, ...] | None = None
    open_end: bool = False
    log: bool = Field(default=False, description="both axes are logarithmic")


class Example(_Frozen):
    """A match in context; `source` says in which texts."""

    source: Literal["texts", "human"]
    before: str
    match: str
    after: str


class GiveAway(_Frozen):
    """A word, phrase, opening or construction that the texts use more or less often than human text.

    rate = 1e6 count / words (openings: / sentences). ratio compares the rates, one occurrence added in proportion to
    both sides' words; above 1 is over-used. g2 is Dunning's log-likelihood ratio (1993): how much it contributes;
    the entries of a kind are sorted by it.
    """

    kind: Literal["word", "phrase", "opening", "construction"]
    text: str
    count: int
    human_count: int
    documents: int = Field(description="texts it occurs in")
    human_documents: int
    rate: float
    human_rate: float
    ratio: float
    g2: float
    examples: tuple[Example, ...] = ()

    @property
    def one_sided(self) -> str:
        """What is said instead of a ratio where one side has none of it; "" where both have some."""
        return "never" if not self.count else "" if self.human_count else "no human use"


class Sample(_Frozen):
    """A text to look at."""

    text: str
    prompt: str | None = None


class Source(_Frozen):
    """Where texts came from."""

    name: str
    texts: int
    words: int
    digest: str = Field(description="sha256 over the texts, to tell whether two results share their human side")
    kind: Literal["texts", "laws"] = "texts"


class Sampling(_Frozen):
    """How texts were generated."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    max_new_tokens: int
    seed: int
    engine: str

    @property
    def settings(self) -> str:
        """Of the sampler, such as "temperature 0.8, top-p 0.95"."""
        said = [f"temperature {self.temperature:g}"]
        if self.top_k:
            said.append(f"top-k {self.top_k}")
        if self.top_p < 1:
            said.append(f"top-p {self.top_p:g}")
        if self.min_p > 0:
            said.append(f"min-p {self.min_p:g}")
        return ", ".join(said)


class Provenance(_Frozen):
    """What was measured, with what."""

    texts: Source
    human: Source
    model: str | None = None
    adapter: str | None = None
    tokenizer: str | None = None
    embedding: str | None = None
    prompts: str | None = None
    sampling: Sampling | None = None
    seed: int = 0
    created: str = Field(description="UTC, ISO 8601")
    seconds: float = Field(description="of measuring, generation aside")
    versions: Mapping[str, str] = Field(default_factory=dict, description="dft-plugin, python, torch, ...")


class Basis(_Frozen):
    """What one comparison looks at.

    Attributes:
        words: each text is measured on its first so many words (text length aside).
        texts: texts of a resample of the measured side, and of the human sample that the floor puts in its place.
        human_texts: human texts they are compared with in a resample.
        resamples: number of resamples behind each interval.
    """

    words: int
    texts: int
    human_texts: int
    resamples: int


class Samples(_Frozen):
    """Texts side by side; those with the same prompt have the same index."""

    texts: tuple[Sample, ...] = ()
    human: tuple[Sample, ...] = ()


class Result(_Frozen):
    """One evaluation."""

    format: Literal["dft-result"] = "dft-result"
    version: Literal[1] = 1
    name: str
    provenance: Provenance
    basis: Basis
    measures: Mapping[str, Measure]
    curves: Mapping[str, Curve] = Field(default_factory=dict)
    give_aways: tuple[GiveAway, ...] = ()
    samples: Samples = Samples()
    notes: tuple[str, ...] = ()

    def save(self, path: str | Path) -> None:
        """Writes the file, complete or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Reads a result file.

        Raises:
            ResultError: when it is missing, no result, or of another version.
        """
        path = Path(path)
        if not path.is_file():
            raise ResultError(f"{path}: there is no such file")
        content = path.read_bytes()
        try:
            header: Any = json.loads(content)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ResultError(f"{path} is no JSON ({error}); `dft evaluate -o` writes results") from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ResultError(f"{path} is no result; `dft evaluate -o` writes them")
        if header.get("version") != VERSION:
            raise ResultError(
                f"{path} is of result version {header.get('version')}; this dft-plugin reads version {VERSION}: "
                "evaluate again, or install the version that wrote it"
            )
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ResultError(f"{path} is damaged at {place or 'its start'}: {first['msg']}") from error
