"""The part of a check that reads: the model's tokenizer, the reference and the prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from dft_plugin import plugins
from dft_plugin.config import DFTConfig
from dft_plugin.contexts import read_prompts
from dft_plugin.documents import Document
from dft_plugin.human_reference import check_holds_text, check_path, counted_here, not_held, other_texts
from dft_plugin.human_windows import cut_windows, sampling_record
from dft_plugin.matched import make_statistic
from dft_plugin.reference import HumanReferenceError, Reference, read_documents
from dft_plugin.reference.corpus import read_rows
from dft_plugin.reference.domain import Domain
from dft_plugin.reference.projection import project
from dft_plugin.reference.rows import ReadOptions
from dft_plugin.reference.tokenizer import end_of_text_of
from dft_plugin.statistics.base import Statistic
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Written
from dft_plugin_check.findings import Findings
from dft_plugin_check.host_settings import TRL
from dft_plugin_check.tokenizer import load_tokenizer, model_name, rows_of_run, set_chat_template, tokenizer_name
from dft_plugin_check.training_set import answers_prompts, first_documents, notes_on_rows


def check_files(config: Mapping[str, Any], parsed: DFTConfig, findings: Findings) -> None:
    """Adds what is found to `findings`; where nothing is matched nothing is read."""
    if not parsed.statistics:
        return
    name = tokenizer_name(config, findings.host)
    tokenizer, reason = load_tokenizer(config, name)
    if tokenizer is None:
        findings.notes.append(
            f"{reason}: not checked are what the statistics need of the tokenizer, and the size of the reference"
        )
        statistics, vocabulary, rows = [], None, None
    else:
        findings.checked.append(f"the tokenizer of {name}")
        stands_in = set_chat_template(config, findings.host, tokenizer)
        reads_texts = any(source != "train" for source in (parsed.reference, *parsed.rollout.kinds))
        findings.notes.extend([stands_in] if stands_in and reads_texts else [])
        model = model_name(config, findings.host)
        vocabulary = Vocabulary.from_tokenizer(tokenizer, end_of_text=end_of_text_of(tokenizer, model))
        rows = rows_of_run(config, tokenizer, model)
        statistics = make_each(parsed, vocabulary, findings)
    findings.notes.extend(notes_on_rows(config, findings.host))
    try:
        prompted = answers_prompts(config, findings.host)
        ends = () if vocabulary is None else vocabulary.end_of_text
        first = first_documents(config, tokenizer, ends) if findings.host == TRL and tokenizer is not None else []
        told = check_reference(parsed, tokenizer, vocabulary, statistics, rows, first, prompted=prompted)
        findings.notes.extend(told)
        if parsed.reference != "train":
            findings.checked.append(f"the reference ({parsed.reference})")
    except HumanReferenceError as error:
        findings.problems.append(str(error))
    for prompts in parsed.rollout.kinds:
        if prompts == "train":
            continue
        try:
            if tokenizer is None:
                _check_rows(prompts, ReadOptions(prompts=True))
            else:
                read_prompts(prompts, tokenizer, whole=False)
            findings.checked.append(f"the prompts ({prompts})")
        except HumanReferenceError as error:
            nearest = plugins.nearest(prompts, ["train"])
            findings.problems.append(f"rollout.prompts: {error}.{nearest} Give `train` or a file of prompts or texts")
    try:
        plugins.rollout_engine(parsed.rollout.engine)
    except ValueError as error:
        findings.problems.append(f"rollout.engine: {error}")


def make_each(parsed: DFTConfig, vocabulary: Vocabulary, findings: Findings) -> list[Statistic]:
    """The statistics that the tokenizer can serve; a problem for each that it cannot."""
    if counted_here(parsed.reference):
        uniform = torch.full((vocabulary.size,), 1 / vocabulary.size, dtype=torch.float64)
        vocabulary = replace(vocabulary, human_frequency=uniform, human_text=Written.of([]))
    made: list[Statistic] = []
    for entry in parsed.statistics:
        try:
            made.append(make_statistic(entry, vocabulary))
        except ValueError as error:
            findings.problems.append(f"statistics: {error}")
    return made


def check_reference(
    parsed: DFTConfig,
    tokenizer: Any,
    vocabulary: Vocabulary | None,
    statistics: Sequence[Statistic],
    rows: int | None,
    trained_on: Sequence[Document] = (),
    *,
    prompted: bool = False,
) -> list[str]:
    """Loads the reference the way a run does, as far as the tokenizer is there.

    Args:
        parsed, tokenizer, vocabulary, statistics: of the run.
        rows: of its lm_head; None where that is not known.
        trained_on: documents of the training set, as far as they are known.
        prompted: whether the training texts have prompts: a document is then one window, from its beginning.

    Returns:
        What a run would say of the reference.

    Raises:
        HumanReferenceError: when it cannot serve the run.
    """
    if parsed.reference == "train":
        return []
    check_holds_text(parsed)
    if parsed.reference.endswith(".safetensors"):
        loaded = Reference.load(parsed.reference)
        if vocabulary is not None:
            sized = replace(vocabulary, size=rows or loaded.vocabulary.size)
            loaded.check(parsed.reference, statistics, sized, sampling_record(parsed))
        ends = () if vocabulary is None else vocabulary.end_of_text
        return [*other_texts(parsed.reference, loaded, trained_on, prompted, ends)]
    shipped = plugins.references()
    if parsed.reference in shipped:
        domain = Domain.load(shipped[parsed.reference])
        if vocabulary is not None:
            projected = project(domain, tokenizer, vocabulary, statistics, sampling_record(parsed))
            not_held(parsed.reference, projected, parsed, statistics)
        return []
    path = check_path(parsed.reference)
    if tokenizer is None:
        _check_rows(path)
    else:
        documents = read_documents(path, tokenizer)
        cut_windows(parsed, documents, from_start=prompted, name=f"reference {parsed.reference}")
    return []


def _check_rows(path: str, options: ReadOptions | None = None) -> None:
    """Without a tokenizer a corpus is read and thrown away."""
    if sum(1 for _ in read_rows(path, options)) == 0:
        raise HumanReferenceError(f"{path}: holds no text")
