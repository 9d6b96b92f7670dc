"""How often a judge prefers the generated continuation of a context to the human one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dft_plugin.evaluation import ask, judge
from dft_plugin.evaluation.result import Measure
from dft_plugin.evaluation.texts import Text

KEY = "OPENAI_API_KEY"
"""The environment variable with the endpoint's key."""


@dataclass(frozen=True)
class Judge:
    """A judge behind an OpenAI-compatible endpoint.

    Attributes:
        endpoint: where it answers.
        pairs: how many contexts it is asked about; each twice, once in either order.
        cache: the file that keeps its answers, so that none is asked for twice.
    """

    endpoint: ask.Endpoint
    pairs: int
    cache: Path

    @classmethod
    def at(cls, url: str | None, model: str | None, pairs: int, folder: Path) -> Judge | None:
        """The judge asked for on the command line, or None.

        Raises:
            SystemExit: when only one of url and model is given.
        """
        if url is None and model is None:
            return None
        if url is None or model is None:
            raise SystemExit("a judge needs both --judge URL and --judge-model NAME")
        return cls(ask.Endpoint(url, model, os.environ.get(KEY)), pairs, folder / "judge.jsonl")

    def win_rate(self, own: Sequence[Text], human: Sequence[Text], words: int) -> Measure:
        """Percent of pairs in which the generated text is preferred: 50 is human.

        Args:
            own: generated texts, each with the context it continues as its prompt.
            human: the human continuations of the same contexts.
            words: each text is cut to so many, as for every other measure.

        Raises:
            TextsError: when the endpoint cannot be reached or refuses.
        """
        asked = judge.questions(*judge.pairs(own, human, self.pairs, words, seed=0), seed=0)
        answers = ask.ask(self.endpoint, asked, self.cache)
        return judge.win_rate(asked, answers, self.endpoint.model)[0]
