"""Every measure of one trained model under one sampler, on continuations of held-out human contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.effect import unknown_words
from benchmarks.effect.generation import continuations
from benchmarks.effect.preference import Judge
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from dft_plugin.evaluation.evaluate import evaluate
from dft_plugin.evaluation.measuring import Options, common_words
from dft_plugin.evaluation.models import Loaded
from dft_plugin.evaluation.perplexity import perplexities, surprisals
from dft_plugin.evaluation.result import Measure
from dft_plugin.evaluation.texts import Text
from dft_plugin.evaluation.texts import Texts as Decoded
from dft_plugin.matched import make_statistics, match_all
from dft_plugin.measure import HumanSample
from dft_plugin.rollout import continued
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Texts, Window, stack

AT_TEMPERATURE_1 = Sampler()


@dataclass(frozen=True)
class Measures:
    """The measures of a task; the human side is prepared once."""

    task: Task
    judge: Judge | None = None

    def contexts(self, sampler: SamplerBlock) -> list[Window]:
        """The held-out windows whose contexts are continued."""
        return self.task.validation_windows if sampler.contexts == "task" else self.human_windows

    @cached_property
    def human_windows(self) -> list[Window]:
        """As many of the held-out human windows."""
        return self.task.windows[: self.task.scenario.measuring.texts]

    @cached_property
    def human(self) -> HumanSample:
        """The held-out windows that matched distances are from."""
        config = self.task.config(self.task.scenario.samplers[0], seed=0)
        statistics_ = make_statistics(config.statistics, self.task.vocabulary)
        return HumanSample(match_all(config.statistics, statistics_), self.task.vocabulary_size, self.task.windows)

    @cached_property
    def human_texts(self) -> list[Text]:
        """The human continuations of all held-out windows; those of the continued contexts come first."""
        return decoded(self.task.tokenizer, stack(self.task.windows))

    @cached_property
    def words(self) -> int:
        """Words of each text that are measured: from human text alone, so that all arms share it."""
        return self.task.scenario.measuring.words or common_words([text for text in self.human_texts if text.text])

    @cached_property
    def known_words(self) -> frozenset[str]:
        """The words of the training texts and of the human reference."""
        return unknown_words.lexicon([*self.task.train, *(self.task.reference or [])])

    def written(self, model: Any, sampler: SamplerBlock, seed: int) -> list[list[int]]:
        """What the model continues the held-out contexts with."""
        return continuations(self.task, model, self.contexts(sampler), sampler, seed, purpose=12345)

    def of_texts(self, texts: Texts, name: str, resamples: int) -> dict[str, Any]:
        """Distances in human floors, and everything measured on decoded text."""
        own, human = decoded(self.task.tokenizer, texts), self.human_texts
        options = Options(words=self.words, resamples=resamples, human_texts=4.0, seed=0)
        found = evaluate(name, Decoded(name, not_empty(own)), Decoded("human", not_empty(human)), options)
        measures = {key: shown(measure) for key, measure in found.measures.items()}
        words = [
            unknown_words.counted([text.text for text in side], self.known_words, self.words) for side in (own, human)
        ]
        measures["unknown words"] = unknown_words.measured(*words)
        compared = self.human.measure(texts)
        return {
            "measures": measures,
            "matched": {key: measured.floor_ratio for key, measured in compared.items()},
            "components": {key: measured.components for key, measured in compared.items()},
            "empty": sum(not text.text for text in own),
        }

    def perplexity(self, model: Any, sampler: SamplerBlock) -> dict[str, Any]:
        """Of held-out human text, and of the training corpus's own held-out text (nats per token)."""
        loaded = Loaded(model, self.task.tokenizer)
        resamples = self.task.scenario.measuring.resamples
        rows = surprisals(loaded, self.human_windows, sampler.sampler())
        found = {name: shown(measure) for name, measure in perplexities(rows, resamples, 0).items()}
        own = surprisals(loaded, self.task.validation_windows, AT_TEMPERATURE_1).sum(0)
        return {**found, "validation loss": {"value": float(own[1] / own[0])}}

    def of_written(self, written: Sequence[Sequence[int]], sampler: SamplerBlock, resamples: int) -> dict[str, Any]:
        """Everything measured on continuations of the held-out contexts, the judge's win rate included where people
        continued the same.
        """
        texts = continued(self.contexts(sampler), written)
        own = decoded(self.task.tokenizer, texts)
        found = self.of_texts(texts, "measured", resamples)
        if self.judge is not None and sampler.contexts == "human":
            win_rate = self.judge.win_rate(not_empty(own), not_empty(self.human_texts), self.words)
            found["measures"]["judge"] = shown(win_rate)
        return {**found, "samples": [{"prompt": text.prompt, "text": text.text} for text in own[:3]]}


def shown(measure: Measure) -> dict[str, Any]:
    """What the benchmark keeps of a measure."""
    keys = ("label", "group", "kind", "better", "value", "human", "interval", "gap", "floor", "floor_ratio", "note")
    return {key: value for key, value in measure.model_dump(include=set(keys)).items() if value not in (None, "")}


def not_empty(texts: Sequence[Text]) -> list[Text]:
    return [text for text in texts if text.text.strip()]


def decoded(tokenizer: Any, texts: Texts) -> list[Text]:
    """The counted part of each text, with its context."""
    found = []
    for first, end, tokens in zip(texts.first.tolist(), texts.end.tolist(), texts.tokens.tolist(), strict=True):
        context = tokenizer.decode(tokens[:first], skip_special_tokens=True)
        # Decoded together: some tokenizers drop the space a text begins with.
        whole = tokenizer.decode(tokens[:end], skip_special_tokens=True)
        text = whole[len(context) :] if whole.startswith(context) else tokenizer.decode(tokens[first:end])
        found.append(Text(text, context))
    return found
