"""One evaluation, from texts to a result."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from dft_plugin import __version__
from dft_plugin.evaluation.curves import curves, law_curves
from dft_plugin.evaluation.give_aways import give_aways
from dft_plugin.evaluation.law_give_aways import law_give_aways
from dft_plugin.evaluation.law_measures import LawMeasures
from dft_plugin.evaluation.measuring import GROUPS, Options, Progress, basis_of, common_words, measure, prepare
from dft_plugin.evaluation.notes import notes_on, prompt_notes, samples, script_notes
from dft_plugin.evaluation.pool import Pool, make_pool
from dft_plugin.evaluation.result import Basis, Measure, Provenance, Result, Sampling, Source
from dft_plugin.evaluation.texts import Texts, TextsError, digest

if TYPE_CHECKING:
    from dft_plugin.reference.description import Description

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
    measures = measure(pool, options, lambda what, share: progress(what, 0.9 * share))
    progress("what gives it away", 0.9)
    found = Result(
        name=name,
        provenance=_provenance(texts, pool, _source(human, int(pool.length[pool.human].sum())), options, origin),
        basis=basis_of(pool, options),
        measures=in_order({**measures, **origin.measures}),
        curves=curves(pool),
        give_aways=tuple(give_aways(pool)),
        samples=samples(texts.texts, human.texts),
        notes=(*texts.notes, *human.notes, *origin.notes, *notes_on(texts, human, pool)),
    )
    progress("done", 1.0)
    return _timed(found, started)


def evaluate_by_laws(
    name: str, texts: Texts, human: Description, options: Options, origin: Origin | None = None
) -> Result:
    """Measures texts beside what a reference or a domain knows of human text: laws, and no texts.

    Raises:
        TextsError: when there is no text.
    """
    started = time.perf_counter()
    if not texts.texts:
        raise TextsError(f"{texts.name} holds no text")
    origin = origin or Origin()
    pool = make_pool(texts.texts, [], options.words or common_words(texts.texts))
    basis = Basis(words=pool.limit, texts=len(pool) // 2, human_texts=human.documents, resamples=options.resamples)
    source = Source(
        name=human.name,
        texts=human.documents,
        words=human.words,
        digest=human.provenance.get("content", human.name),
        kind="laws",
    )
    note = (
        f"{human.name} holds laws and no texts: repetition, distinct-n, the two-sample tests and constructions are not "
        "measured, and floors take human texts to vary as much from one to the next as these; the laws are of whole "
        f"documents, and the texts are measured on their first {pool.limit:,} words"
    )
    return _timed(
        Result(
            name=name,
            provenance=_provenance(texts, pool, source, options, origin),
            basis=basis,
            measures=in_order({**LawMeasures(pool, human, basis, options.seed).all(), **origin.measures}),
            curves=law_curves(pool, human),
            give_aways=tuple(law_give_aways(pool, human)),
            samples=samples(texts.texts, []),
            notes=(*texts.notes, *origin.notes, note, *prompt_notes(texts), *script_notes(pool)),
        ),
        started,
    )


def in_order(measures: Mapping[str, Measure]) -> dict[str, Measure]:
    """Measures by group, as tables show them."""
    return dict(sorted(measures.items(), key=lambda entry: GROUPS.index(entry[1].group)))


def _timed(result: Result, started: float) -> Result:
    provenance = result.provenance.model_copy(update={"seconds": time.perf_counter() - started})
    return result.model_copy(update={"provenance": provenance})


def _provenance(texts: Texts, pool: Pool, human: Source, options: Options, origin: Origin) -> Provenance:
    return Provenance(
        texts=_source(texts, int(pool.length[pool.own].sum())),
        human=human,
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
    )


def evaluate_together(
    columns: Mapping[str, Texts],
    human: Texts | Description,
    options: Options,
    origins: Mapping[str, Origin] | None = None,
) -> dict[str, Result]:
    """Several samples of texts, measured on as many texts and words each, so that they can be compared.

    Of more texts the first are taken: they are in random order. `origins` says where each comes from, where known.
    """
    least = min(len(texts.texts) for texts in columns.values())
    people = [human.texts] if isinstance(human, Texts) else []
    words = options.words or common_words(*(texts.texts for texts in columns.values()), *people)
    joint = replace(options, words=words)
    results = {}
    for name, texts in columns.items():
        notes = list(texts.notes)
        if len(texts.texts) > least:
            notes.append(
                f"{texts.name}: {least:,} of {len(texts.texts):,} texts, drawn at random: as many as the others have"
            )
        cut = Texts(texts.name, texts.texts[:least], notes)
        origin = (origins or {}).get(name)
        if isinstance(human, Texts):
            results[name] = evaluate(name, cut, human, joint, origin)
        else:
            results[name] = evaluate_by_laws(name, cut, human, joint, origin)
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
