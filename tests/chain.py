"""A Markov chain for a language model: so small that every text can be enumerated with its probability.

The hidden state is the one-hot of the previous token and the head's weight is the transposed table of logits,
so the plugin's own primitive, terms and objective run on it unchanged, while exact expectations are sums over
all texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from torch import Tensor

from dft_plugin.expected_features import Head, expected_features
from dft_plugin.law import Law, Request
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Texts, Window
from dft_plugin.vocabulary import EVENTS, Vocabulary, classify

END = 0
# End of text; a sentence end; two words in one token; a word; a piece that continues a word; a comma and newline.
TOKENS = (None, b".", b" a b", b" c", b"d", b",\n")


def vocabulary(tokens: Sequence[bytes | None] = TOKENS) -> Vocabulary:
    """The tables of a vocabulary given by its tokens' bytes; None ends the text."""
    rows = [classify(token) for token in tokens]
    events = {name: torch.tensor([name in row[3] for row in rows]) for name in EVENTS}
    events["end_of_text"] = torch.tensor([token is None for token in tokens])
    outside, inside, after = (torch.tensor([row[index] for row in rows]) for index in range(3))
    return Vocabulary(len(tokens), events, outside, inside, after, (END,), "chain")


def context(*tokens: int, begin: int = 0, starts_at_begin: bool = True) -> Window:
    return Window(tokens, begin, len(tokens), starts_at_begin)


# A text's start, a prefix whose start is unknown, a prompt with the text's first tokens, a prompt alone.
CONTEXTS = (
    context(3),
    context(4, 5, starts_at_begin=False),
    context(1, 3, 2, begin=2),
    context(2, begin=1),
)


@dataclass(frozen=True)
class Chain:
    """p(v | previous token u) = softmax(sampler(logits[u])), at most `horizon` tokens after each context.

    Attributes:
        logits: (V, V) float64, row u for the previous token u; the parameters.
        horizon: longest continuation.
        contexts: equally likely.
        sampler: the deployment sampler.
    """

    logits: Tensor
    horizon: int = 5
    contexts: Sequence[Window] = CONTEXTS
    sampler: Sampler = field(default_factory=Sampler)

    @classmethod
    def random(cls, seed: int, size: int = len(TOKENS), **options: object) -> Chain:
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(size, size, generator=generator, dtype=torch.float64)
        return cls(logits, **options)  # type: ignore[arg-type]

    def with_gradient(self) -> Chain:
        return replace(self, logits=self.logits.detach().clone().requires_grad_())

    def table(self) -> Tensor:
        """(V, V) transition probabilities under the sampler."""
        likeliest = self.logits.argmax(1)  # never filtered away
        return self.sampler(self.logits, likeliest).softmax(-1)

    def enumerate(self) -> Texts:
        """Every text the sampler can draw, each once per context."""
        allowed = tuple(tuple(row.nonzero().flatten().tolist()) for row in self.table().detach() > 0)
        return _every_text(allowed, self.horizon, tuple(self.contexts))

    def sample(self, count: int, generator: torch.Generator) -> Texts:
        """`count` texts, the contexts taken in turn."""
        table = self.table().detach()
        windows = [self.contexts[index % len(self.contexts)] for index in range(count)]
        previous = torch.tensor([window.tokens[-1] for window in windows])
        drawn = []
        for _ in range(self.horizon):
            previous = torch.multinomial(table[previous], 1, generator=generator).squeeze(1)
            drawn.append(previous)
        rows = []
        for window, tokens in zip(windows, torch.stack(drawn, dim=1).tolist(), strict=True):
            length = tokens.index(END) + 1 if END in tokens else len(tokens)
            rows.append([*window.tokens, *tokens[:length]])
        return _texts(windows, rows)

    def law(self, texts: Texts, request: Request) -> Law:
        """The law at the texts' rows, by the plugin's primitive, differentiable in the logits."""
        return expected_features(self.hidden(texts), Head(self.logits.T), texts, request, self.sampler)

    def hidden(self, texts: Texts) -> Tensor:
        """(N, V): the hidden state of each row is the one-hot of the previous token."""
        previous = texts.tokens[texts.text, texts.position - 1]
        return torch.nn.functional.one_hot(previous, len(self.logits)).double()

    def log_probabilities(self, texts: Texts) -> Tensor:
        """(N,) log p(drawn token), differentiable, by the definition."""
        previous = texts.tokens[texts.text, texts.position - 1]
        warped = self.sampler(self.logits[previous], texts.drawn)
        return warped.log_softmax(-1).gather(1, texts.drawn[:, None]).squeeze(1)

    def probabilities(self, texts: Texts) -> Tensor:
        """(B,) of enumerated texts, differentiable; they sum to 1."""
        by_row = self.log_probabilities(texts)
        of_text = torch.zeros(len(texts), dtype=by_row.dtype).index_add(0, texts.text, by_row)
        return of_text.exp() / len(self.contexts)


@cache
def _every_text(allowed: tuple[tuple[int, ...], ...], horizon: int, contexts: tuple[Window, ...]) -> Texts:
    windows, rows = [], []
    for window in contexts:
        going = [list(window.tokens)]
        for step in range(horizon):
            grown = [[*text, token] for text in going for token in allowed[text[-1]]]
            last = step == horizon - 1
            done = [text for text in grown if last or text[-1] == END]
            going = [text for text in grown if not last and text[-1] != END]
            rows += done
            windows += [window] * len(done)
    return _texts(windows, rows)


def _texts(windows: Sequence[Window], rows: Sequence[Sequence[int]]) -> Texts:
    longest = max(map(len, rows))
    # Padding is a token that carries events: whoever reads it is found out.
    padded = [[*row, *[1] * (longest - len(row))] for row in rows]
    return Texts(
        torch.tensor(padded),
        torch.tensor([window.begin for window in windows]),
        torch.tensor([window.first for window in windows]),
        torch.tensor([len(row) for row in rows]),
        torch.tensor([window.starts_at_begin for window in windows]),
    )
