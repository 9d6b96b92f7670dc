"""One evaluation, from texts to a result."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

from dft_plugin import __version__
from dft_plugin.evaluation.curves import curves
from dft_plugin.evaluation.give_aways import give_aways
from dft_plugin.evaluation.measuring import GROUPS, Options, Progress, basis_of, common_words, measure, prepare
from dft_plugin.evaluation.pool import Pool
from dft_plugin.evaluation.resampling import FEW_TEXTS
from dft_plugin.evaluation.result import Measure, Provenance, Result, Sample, Samples, Sampling, Source
from dft_plugin.evaluation.scripts import scripts
from dft_plugin.evaluation.texts import Text, Texts, TextsError, digest

SHOWN = 6
"""Sample texts in a result."""
SHOWN_CHARACTERS = 4000
REPEATED = 0.01
"""Share of texts that occur more than once which is worth telling."""
WITHOUT_SPACES = frozenset({"Thai", "Lao", "Khmer", "Myanmar"})
WORTH_TELLING = 0.05
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "peft", "vllm", "sentence-transformers", "mauve-text")


@dataclass(frozen=True)
class Origin:
    """Where measured texts come from, for the record.

    Attributes:
        model, adapter, tokenizer, prompts: names or paths.
        sampling: how they were generated.
        measures: what was measured elsewhere: perplexity under the model, a judge's verdicts.
        notes: what to tell about how they were made.
    """

    model: str | None = None
    adapter: str | None = None
    tokenizer: str | None = None
    prompts: str | None = None
    sampling: Sampling | None = None
    measures: Mapping[str, Measure] = field(default_factory=dict)
    notes: Sequence[str] = ()


def evaluate(
    name: str,
    texts: Texts,
    human: Texts,
    options: Options,
    origin: Origin | None = None,
    progress: Progress = lambda what, share: None,
) -> Result:
    """Measures texts beside human texts.

    Args:
        name: what the texts are called in tables.
        texts: the texts to measure.
        human: the human texts; those that are compared must be the same for results to be comparable.
        options: how to measure.
        origin: where the texts come from.
        progress: told what is done, and the share of the whole.

    Raises:
        TextsError: when a side has no text.
    """
    started = time.perf_counter()
    for side in (texts, human):
        if not side.texts:
            raise TextsError(f"{side.name} holds no text")
    origin = origin or Origin()
    progress("reading", 0.0)
    pool = prepare(texts.texts, human.texts, options)
    measures = {**measure(pool, options, lambda what, share: progress(what, 0.9 * share)), **origin.measures}
    progress("what gives it away", 0.9)
    found = Result(
        name=name,
        provenance=Provenance(
            texts=_source(texts, int(pool.length[pool.own].sum())),
            human=_source(human, int(pool.length[pool.human].sum())),
            model=origin.model,
            adapter=origin.adapter,
            tokenizer=origin.tokenizer,
            embedding=options.embedding,
            prompts=origin.prompts,
            sampling=origin.sampling,
            seed=options.seed,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=0.0,
            versions=_versions(),
        ),
        basis=basis_of(pool, options),
        measures=dict(sorted(measures.items(), key=lambda entry: GROUPS.index(entry[1].group))),
        curves=curves(pool),
        give_aways=tuple(give_aways(pool)),
        samples=_samples(texts.texts, human.texts),
        notes=(*texts.notes, *human.notes, *origin.notes, *_notes(texts, human, pool)),
    )
    progress("done", 1.0)
    seconds = time.perf_counter() - started
    return found.model_copy(update={"provenance": found.provenance.model_copy(update={"seconds": seconds})})


def evaluate_together(columns: Mapping[str, Texts], human: Texts, options: Options) -> dict[str, Result]:
    """Several samples of texts, measured on as many texts and words each, so that they can be compared."""
    least = min(len(texts.texts) for texts in columns.values())
    words = options.words or min(common_words(texts.texts, human.texts) for texts in columns.values())
    joint = Options(**{**vars(options), "words": words})
    results = {}
    for name, texts in columns.items():
        notes = list(texts.notes)
        if len(texts.texts) > least:
            notes.append(f"{texts.name}: the first {least:,} of {len(texts.texts):,} texts, as many as the others have")
        results[name] = evaluate(name, Texts(texts.name, texts.texts[:least], notes), human, joint)
    return results


def _source(texts: Texts, words: int) -> Source:
    return Source(name=texts.name, texts=len(texts.texts), words=words, digest=digest(texts.texts))


def _versions() -> dict[str, str]:
    found = {"dft-plugin": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _samples(texts: Sequence[Text], human: Sequence[Text]) -> Samples:
    """The first texts, beside human texts of the same prompts where there are any."""
    by_prompt = {text.prompt: text for text in human if text.prompt}
    chosen = [text for text in texts if text.prompt in by_prompt][:SHOWN] or list(texts[:SHOWN])
    beside = [by_prompt[text.prompt] for text in chosen if text.prompt in by_prompt] or human[:SHOWN]
    own, other = (tuple(Sample(text=t.text[:SHOWN_CHARACTERS], prompt=t.prompt) for t in s) for s in (chosen, beside))
    return Samples(texts=own, human=other)


def _notes(texts: Texts, human: Texts, pool: Pool) -> list[str]:
    notes = []
    used = len(pool) - pool.measured
    if used < len(human.texts):
        notes.append(f"{used:,} of {len(human.texts):,} human texts were used, drawn at random")
    half = min(pool.measured, used) // 2
    if used < pool.measured:
        notes.append(
            f"there are fewer human texts ({used:,}) than measured ones ({pool.measured:,}): floors are of samples of "
            f"{half:,} texts"
        )
    if half < FEW_TEXTS:
        notes.append(
            f"{pool.measured:,} texts and {used:,} human texts are too few to tell much: samples of at least "
            f"{2 * FEW_TEXTS} a side say something, of 1,000 most"
        )
    for side in (texts, human):
        repeated = len(side.texts) - len({text.text for text in side.texts})
        if repeated > REPEATED * len(side.texts):
            notes.append(f"{side.name}: {repeated:,} of {len(side.texts):,} texts are there more than once")
    known = {text.text for text in human.texts}
    if shared := sum(text.text in known for text in texts.texts):
        notes.append(f"{shared:,} of the texts are among the human texts, word for word")
    return [*notes, *_script_notes(pool)]


def _script_notes(pool: Pool) -> list[str]:
    letters: Counter[str] = sum((scripts(pool.clipped[i]) for i in pool.own), Counter())
    telling = [name for name, count in letters.items() if count > WORTH_TELLING * letters.total()]
    notes = []
    if spaceless := ", ".join(sorted(WITHOUT_SPACES.intersection(telling))):
        notes.append(
            f"{spaceless}: written without spaces between words, so that measures in words count whole phrases"
        )
    if set(telling) - {"Latin"}:
        notes.append("the constructions made of words (not X but Y, as if) are English only")
    return notes
