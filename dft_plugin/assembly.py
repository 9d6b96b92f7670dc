"""From a `dft:` block, a model, a tokenizer and a training set to the run's distribution term."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dft_plugin import plugins
from dft_plugin.config import DFTConfig, DFTStatisticConfig
from dft_plugin.distances import default_options
from dft_plugin.documents import Document, WindowSampler, from_dataloader
from dft_plugin.language_model import check_head, head_of
from dft_plugin.objective import Accumulation, Matched, Objective
from dft_plugin.reference import Reference, ReferenceError, build, floors, read_documents
from dft_plugin.reference.accumulated import LEAST_WINDOWS
from dft_plugin.rollout import forked_rng, seed_of
from dft_plugin.sampling import Sampler
from dft_plugin.statistics.base import Statistic
from dft_plugin.term import DistributionTerm, Processes, RolloutSettings
from dft_plugin.texts import Window, stack
from dft_plugin.vocabulary import Vocabulary

logger = logging.getLogger("dft_plugin")

SCORED_WINDOWS = 256
"""Human windows kept for the statistics measured under the model."""


@dataclass(frozen=True)
class Setting:
    """What the host gives: the live model and what it is trained on.

    Attributes:
        model: unwrapped from data parallelism; adapters stay on.
        tokenizer: of the model.
        dataloader: the trainer's, for `reference: train` and `prompts: train`; None where there is none.
        processes: the data-parallel ones.
        autocast: context manager of mixed precision.
    """

    model: nn.Module
    tokenizer: Any
    dataloader: Any
    processes: Processes
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext


def end_of_text_ids(tokenizer: Any, model: nn.Module | None) -> tuple[int, ...]:
    """Every id that ends a generated text: the tokenizer's and those of the model's generation config."""
    ids = set() if tokenizer.eos_token_id is None else {int(tokenizer.eos_token_id)}
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if configured is not None:
        ids |= {int(token) for token in (configured if isinstance(configured, list | tuple) else [configured])}
    return tuple(sorted(ids))


def make_statistics(config: DFTConfig, vocabulary: Vocabulary) -> list[Statistic]:
    """The configured statistics on a vocabulary.

    Raises:
        ValueError: when the tokenizer lacks what a statistic needs, naming both.
    """
    return [make_statistic(entry, vocabulary) for entry in config.statistics]


def make_statistic(entry: DFTStatisticConfig, vocabulary: Vocabulary) -> Statistic:
    """One configured statistic; raises as `make_statistics`."""
    statistic = plugins.statistic(entry.name)
    return statistic(vocabulary, statistic.Options.model_validate(entry.own_options))


def match(config: DFTConfig, statistics: Sequence[Statistic]) -> list[Matched]:
    """Statistics with the distance and weight the configuration gives them."""
    matched = []
    for entry, statistic in zip(config.statistics, statistics, strict=True):
        distance = plugins.distance(entry.distance or statistic.distance)
        options = {**default_options(distance.name, statistic.support), **entry.distance_options}
        matched.append(Matched(statistic, partial(distance.function, **options), entry.weight))
    return matched


def window_sampler(config: DFTConfig, documents: Sequence[Document], *, from_start: bool) -> WindowSampler:
    rollout = config.rollout
    return WindowSampler(documents, rollout.context_tokens, rollout.max_new_tokens, from_start)


def sampling_record(config: DFTConfig) -> dict[str, int]:
    """The window lengths a reference file is bound to."""
    return {
        "max_new_tokens": config.rollout.max_new_tokens,
        "context_tokens": config.rollout.context_tokens,
    }


def cut_windows(config: DFTConfig, documents: Sequence[Document], *, from_start: bool, name: str) -> list[Window]:
    """Human windows, none overlapping another as far as the text reaches.

    Raises:
        ReferenceError: when the text is too short, saying how many tokens are needed.
    """
    sampler = window_sampler(config, documents, from_start=from_start)
    available = sampler.pieces()
    tokens = sum(document.stop - document.start for document in sampler.usable())
    length = config.rollout.max_new_tokens
    if available < LEAST_WINDOWS:
        raise ReferenceError(
            f"{name} has {tokens:,} tokens of human text, {available} windows of {length}; at least "
            f"{LEAST_WINDOWS} windows are needed, about {LEAST_WINDOWS * length:,} tokens: give more text, or "
            f"lower rollout.max_new_tokens"
        )
    generator = torch.Generator().manual_seed(seed_of(config.seed, 0))
    return sampler.sample(min(config.reference_windows, available), generator)


def token_frequency(windows: Sequence[Window], vocabulary_size: int) -> Tensor:
    """(V,) float64: relative frequency of each token among the counted ones."""
    drawn = torch.tensor([token for window in windows for token in window.tokens[window.first :]])
    counts = torch.bincount(drawn, minlength=vocabulary_size).double()
    return counts / counts.sum()


def assemble(config: DFTConfig, setting: Setting) -> DistributionTerm:
    """Builds the reference, the floors and the term.

    Raises:
        ReferenceError: for a reference that cannot be used.
        ValueError: for anything else that does not fit the model or tokenizer.
    """
    device = next(setting.model.parameters()).device
    size = head_of(setting.model).weight.shape[0]
    end_of_text = end_of_text_ids(setting.tokenizer, setting.model)
    vocabulary = Vocabulary.from_tokenizer(setting.tokenizer, size, end_of_text)
    trained_on = _training_documents(config, setting)
    prompted = bool(trained_on) and sum(document.prompted for document in trained_on) > len(trained_on) / 2
    contexts = _context_windows(config, setting.tokenizer, trained_on, prompted)
    if len(contexts[0].tokens) > 0:
        # Both sides in mixed precision: accelerate wraps the model's own forward pass in it.
        with setting.autocast():
            check_head(setting.model, torch.tensor([contexts[0].tokens[:64]], device=device))
    reference, scored, vocabulary = _reference(config, setting, vocabulary, trained_on, prompted)
    vocabulary = vocabulary.to(device)
    statistics = make_statistics(config, vocabulary)
    matched = match(config, statistics)
    accumulation = Accumulation(statistics, size)
    if isinstance(reference, list):
        with _progress("human reference", len(reference), setting) as tick:
            record = {"tokenizer": vocabulary.fingerprint, "sampling": sampling_record(config)}
            reference = build(accumulation, reference, metadata=record, device=device, progress=tick)
    else:
        reference.check(config.reference, statistics, vocabulary.fingerprint, sampling_record(config))
        accumulation.plan(stack(contexts[:2]).to(device))
    settings = RolloutSettings(
        config.rollout.batch_size,
        config.rollout.micro_batch_size,
        config.rollout.max_new_tokens,
        config.seed,
    )
    rollout = config.rollout
    folds = reference.joined(accumulation)
    term = DistributionTerm(
        model=setting.model,
        objective=Objective(matched, accumulation, config.window, setting.processes.reduce),
        human=folds.sum(0) / float(reference.windows.sum()),
        curves={},
        contexts=contexts,
        scored=scored,
        sampler=Sampler(rollout.temperature, rollout.top_k, rollout.top_p, rollout.min_p),
        engine=plugins.rollout_engine(rollout.engine)(),
        settings=settings,
        credit=config.credit,
        end_of_text=end_of_text,
        processes=setting.processes,
        autocast=setting.autocast,
    )
    _measure_under_model(term, matched, folds, reference.windows, setting)
    return term


def _measure_under_model(
    term: DistributionTerm, matched: Sequence[Matched], folds: Tensor, windows: Tensor, setting: Setting
) -> None:
    """Floors, and the human side of the statistics that are measured under the model."""
    accumulation = term.objective.accumulation
    plain = [entry for entry in matched if not entry.statistic.needs_model]
    term.curves = dict(floors(accumulation, plain, folds, windows))
    under_model = [entry for entry in matched if entry.statistic.needs_model]
    if under_model:
        with _progress("human text under the model", len(term.scored), setting) as tick:
            scored = build(
                accumulation,
                term.scored,
                metadata={},
                device=term.device,
                batch_size=term.settings.micro_batch_size,
                law_of=lambda plan: term.scored_under_model(plan)[1],
                progress=tick,
            )
        human = scored.joined(accumulation)
        for entry in under_model:
            part = accumulation.part(entry.statistic)
            term.human[part] = human[:, part].sum(0) / float(scored.windows.sum())
        term.curves = {**term.curves, **floors(accumulation, under_model, human, scored.windows)}


def _training_documents(config: DFTConfig, setting: Setting) -> list[Document]:
    if setting.dataloader is None:
        return []
    # Rows enough for every window, were each row as short as one.
    documents = from_dataloader(setting.dataloader, limit=4 * config.reference_windows)
    if not documents:
        raise ReferenceError(
            "no token of the training set is trained on (every label is -100): the term has no human text"
        )
    return documents


def _context_windows(config: DFTConfig, tokenizer: Any, trained_on: Sequence[Document], prompted: bool) -> list[Window]:
    if config.rollout.prompts == "train":
        return cut_windows(config, trained_on, from_start=False, name="the training set")
    documents = read_documents(config.rollout.prompts, tokenizer)
    generator = torch.Generator().manual_seed(seed_of(config.seed, 0))
    sampler = window_sampler(config, documents, from_start=False)
    if prompted:  # whole rows are prompts
        return [Window(document.tokens, len(document.tokens), len(document.tokens), True) for document in documents]
    return sampler.sample(min(config.reference_windows, max(1, sampler.pieces())), generator)


def _reference(
    config: DFTConfig,
    setting: Setting,
    vocabulary: Vocabulary,
    trained_on: Sequence[Document],
    prompted: bool,
) -> tuple[Reference | list[Window], list[Window], Vocabulary]:
    """The reference file, or the windows to build it from; windows to score; the vocabulary with
    human token frequencies."""
    if config.reference.endswith(".safetensors"):
        loaded = Reference.load(config.reference)
        scored = cut_windows(config, trained_on, from_start=False, name="the training set")
        counts = loaded.folds.get("token_frequency")
        if counts is not None and counts.shape[1] == vocabulary.size:
            frequency = counts.sum(0) / counts.sum()
            vocabulary = replace(vocabulary, human_frequency=frequency)
        return loaded, scored[:SCORED_WINDOWS], vocabulary
    if config.reference == "train":
        windows = cut_windows(config, trained_on, from_start=False, name="the training set")
    else:
        documents = read_documents(check_path(config.reference), setting.tokenizer)
        windows = cut_windows(config, documents, from_start=prompted, name=f"reference {config.reference}")
    vocabulary = replace(vocabulary, human_frequency=token_frequency(windows, vocabulary.size))
    return windows, windows[:SCORED_WINDOWS], vocabulary


def check_path(reference: str) -> str:
    """The path of a reference that is neither `train` nor a built file.

    Raises:
        ReferenceError: when there is no such file, naming what a reference can be.
    """
    if not Path(reference).is_file():
        raise ReferenceError(
            f'reference "{reference}": there is no such file.{plugins.nearest(reference, ["train"])} A reference '
            "is `train`, a corpus (.txt, .jsonl, .json, .parquet) or a .safetensors file of `dft reference build`"
        )
    return reference


@contextmanager
def _progress(what: str, total: int, setting: Setting) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on the first process, and the random state left as it was."""
    device = next(setting.model.parameters()).device
    with forked_rng(device, 0):
        if setting.processes.rank != 0:
            yield None
            return
        from tqdm import tqdm

        with tqdm(total=total, desc=f"dft: {what}", unit="text", leave=False, delay=2) as bar:
            yield lambda done: bar.update(done - bar.n) and None
