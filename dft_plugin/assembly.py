"""From a `dft:` block, a model, a tokenizer and a training set to the run's distribution term."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dft_plugin import plugins
from dft_plugin.calibration import prediction_temperature
from dft_plugin.config import DFTConfig
from dft_plugin.contexts import check_room, context_windows
from dft_plugin.documents import Document, cut_at_ends
from dft_plugin.drift import Drift
from dft_plugin.ends_of_text import end_of_text_ids, unlikely_ends
from dft_plugin.gathering import of_all_processes
from dft_plugin.human_reference import Matching, human_reference
from dft_plugin.human_under_model import HumanUnderModel
from dft_plugin.human_windows import pieces
from dft_plugin.language_model import head_of
from dft_plugin.live_model import LiveModel
from dft_plugin.model_check import check_model
from dft_plugin.objective import Objective
from dft_plugin.reference import HumanReferenceError
from dft_plugin.reference.human_floor import Curves
from dft_plugin.reference.human_side import of_rows
from dft_plugin.rollout import forked_rng
from dft_plugin.sampling import Sampler
from dft_plugin.sharing import Processes
from dft_plugin.term import DistributionTerm
from dft_plugin.texts import Window
from dft_plugin.training_documents import from_dataloader, is_stream
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.whole_chats import warn_of_whole_chats

logger = logging.getLogger("dft_plugin")

SCORED_WINDOWS = 256
"""Human windows kept for the statistics measured under the model."""
TEXTS_PER_SCORED = 4
"""Generated texts to each human window whose surprisal is measured at a step."""


@dataclass(frozen=True)
class Setting:
    """What the host gives: the live model and what it is trained on.

    Attributes:
        model: unwrapped from data parallelism; adapters stay on.
        tokenizer: of the model.
        dataloader: the trainer's, for `reference: train` and `prompts: train`; None where there is none.
        processes: the data-parallel ones.
        autocast: context manager of mixed precision.
        documents: of the training set, where they are known; otherwise the dataloader's data set is read.
    """

    model: nn.Module
    tokenizer: Any
    dataloader: Any
    processes: Processes
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext
    documents: Sequence[Document] | None = None


def assemble(config: DFTConfig, setting: Setting, drift: Drift | None = None) -> DistributionTerm:
    """Builds the reference, the floors and the term; `drift` is a part of its loss.

    Raises:
        HumanReferenceError: for a reference that cannot be used.
        ValueError: for anything else that does not fit the model or tokenizer.
    """
    device = next(setting.model.parameters()).device
    size = head_of(setting.model).weight.shape[0]
    end_of_text = end_of_text_ids(setting.tokenizer, setting.model)
    vocabulary = Vocabulary.from_tokenizer(setting.tokenizer, size, end_of_text)
    documents = _training_documents(config, setting, end_of_text)
    warn_of_whole_chats(documents, setting.tokenizer)
    trained_on = cut_at_ends(documents, end_of_text, config.rollout.context_tokens)
    prompted = bool(trained_on) and sum(document.prompted for document in trained_on) > len(trained_on) / 2
    if prompted:
        _warn_of_other_ends(trained_on, end_of_text, setting.tokenizer)
    for problem in unlikely_ends(setting.tokenizer, setting.model):
        logger.warning("dft: %s", problem)
    contexts = [context_windows(config, name, setting.tokenizer, trained_on, prompted) for name in config.rollout.kinds]
    for kind in contexts:
        check_room(setting.model, kind, config.rollout.max_new_tokens)
    first = contexts[0][0]
    if len(first.tokens) > 0:
        # Both sides in mixed precision: accelerate wraps the model's own forward pass in it.
        with setting.autocast():
            check_model(setting.model, torch.tensor([first.tokens[:64]], device=device))
    reference, scored = human_reference(config, setting.tokenizer, trained_on, prompted, end_of_text)
    vocabulary = replace(
        vocabulary,
        human_frequency=reference.token_frequency(vocabulary.size),
        human_text=reference.text(),
        hidden_size=head_of(setting.model).weight.shape[1],
    ).to(device)
    found = reference.matching(config, vocabulary)
    rollout = config.rollout
    sampler = Sampler(rollout.temperature, rollout.top_k, rollout.top_p, rollout.min_p)
    live = LiveModel(setting.model, sampler, setting.autocast)
    human_text = _human_text(config, setting, live, found, scored)
    human, curves = _human_side(found, human_text, setting)
    return DistributionTerm(
        live=live,
        objective=Objective(
            found.matched,
            found.accumulation,
            config.window,
            setting.processes.reduce,
            config.derivative_window,
            config.window_growth,
        ),
        human_text=human_text,
        human=human,
        curves=curves,
        contexts=contexts,
        config=config,
        engine=plugins.rollout_engine(config.rollout.engine)(),
        end_of_text=end_of_text,
        processes=setting.processes,
        drift=drift,
    )


def _human_text(
    config: DFTConfig, setting: Setting, live: LiveModel, found: Matching, windows: Sequence[Window]
) -> HumanUnderModel:
    """What the model reads of human text; what statistics learn from is not scored."""
    learning = any(entry.statistic.learns for entry in found.matched)
    kept = min(SCORED_WINDOWS, len(windows) // 2 if learning else len(windows))
    return HumanUnderModel(
        live,
        found.accumulation,
        windows[:kept],
        windows[kept:] if learning else (),
        Sampler(prediction_temperature(config, setting.model)),
        max(1, config.rollout.batch_size // TEXTS_PER_SCORED),
        config.rollout.micro_batch_size,
        setting.processes,
        config.seed,
    )


def _human_side(found: Matching, human_text: HumanUnderModel, setting: Setting) -> tuple[Tensor, Curves]:
    """(A,) human accumulators and the floors; where a statistic is measured under the model, that training begins with.

    What cannot be measured is told now; the first acting step reads all of it again.
    """
    plain = [entry for entry in found.matched if not entry.statistic.needs_model]
    under_model = [entry for entry in found.matched if entry.statistic.needs_model]
    human, curves = found.side.mean, dict(found.side.floors(found.accumulation, plain))
    if not under_model:
        return human, curves
    with _progress("human text under the model", len(human_text.scored), setting) as tick:
        rows = human_text.begin(tick)
    return human_text.placed(human, rows).cpu(), curves | dict(of_rows(rows).floors(human_text.measured, under_model))


def _training_documents(config: DFTConfig, setting: Setting, end_of_text: Sequence[int]) -> list[Document]:
    if setting.documents is not None:
        return list(setting.documents)
    if setting.dataloader is None:
        return []
    # Enough for every window, were each row as short as one.
    limit = 4 * config.reference_windows
    documents = from_dataloader(setting.dataloader, limit, end_of_text, partial(pieces, config))
    if is_stream(setting.dataloader.dataset):
        documents = of_all_processes(documents, setting.processes)
    if not documents:
        raise HumanReferenceError(
            "no token of the training set is trained on (every label is -100): the term has no human text"
        )
    return documents


def _warn_of_other_ends(trained_on: Sequence[Document], end_of_text: Sequence[int], tokenizer: Any) -> None:
    """Where answers end with a special token that ends no generated text, as an Axolotl `eot_tokens` alone does."""
    answers = [document for document in trained_on if document.prompted]
    added = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    ends: Counter[int] = Counter()
    known = set(end_of_text)
    for document in answers:
        last = document.tokens[max(document.start, document.stop - 2) : document.stop]  # a line break may come after it
        if not set(last) & known:
            ends.update(set(last) & added)
    token, count = ends.most_common(1)[0] if ends else (0, 0)
    if 2 * count > len(answers):
        written = tokenizer.convert_ids_to_tokens(token)
        logger.warning(
            "dft: %d of %d answers of the training set end with %s, which does not end a generated text: rollouts go "
            "on after it. Make it the tokenizer's end-of-text token (TRL: `eos_token: %s`, Axolotl: `special_tokens: "
            "{eos_token: %s}`), or add it to the generation config's eos_token_id",
            count, len(answers), written, written, written,
        )  # fmt: skip


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
