"""Windows cut from human documents: contexts and what a human wrote after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from dft_plugin.documents import Document
from dft_plugin.texts import Window
from dft_plugin.written import Booleans, Integers


@dataclass(frozen=True)
class WindowSampler:
    """Cuts windows like a rollout sees them: a context, then up to `max_new_tokens` a human wrote.

    Attributes:
        documents: tokenized documents.
        context_tokens: longest prefix of a plain text kept as context.
        max_new_tokens: longest continuation.
    """

    documents: Sequence[Document]
    context_tokens: int
    max_new_tokens: int

    def usable(self) -> list[Document]:
        """Documents with something to continue from and something to count."""
        return [
            document for document in self.documents if document.stop - document.start >= (1 if document.prompted else 2)
        ]

    def sample(self, count: int, generator: torch.Generator) -> list[Window]:
        """`count` windows: documents in random order, longer ones in proportion more often.

        Each document is cut into pieces of `max_new_tokens` at a random offset, so that windows do not
        overlap until every piece has been used once.

        Raises:
            ValueError: when there are no usable documents.
        """
        pieces: list[Window] = []
        usable = self.usable()
        if not usable:
            raise ValueError("no document has two or more tokens to learn from")
        while len(pieces) < count:
            found = [piece for document in usable for piece in self._cut(document, generator)]
            order = torch.randperm(len(found), generator=generator).tolist()
            pieces += [found[index] for index in order]
        return pieces[:count]

    @property
    def one_each(self) -> bool:
        """Whether every document is one window, however long: answers to prompts, or texts from their start."""
        return all(document.prompted for document in self.documents)

    def pieces(self) -> int:
        """About how many windows there are before they begin to overlap."""
        return sum(map(self.pieces_of, self.usable()))

    def pieces_of(self, document: Document) -> int:
        """About how many of them are a document's."""
        return 1 if document.prompted else max(1, (document.stop - document.start) // self.max_new_tokens)

    def _cut(self, document: Document, generator: torch.Generator) -> list[Window]:
        offset = 0
        if not document.prompted:
            least = max(document.start, 1)
            offset = int(torch.randint(0, min(self.max_new_tokens, document.stop - least), (1,), generator=generator))
        cut = spans(document, self.context_tokens, self.max_new_tokens, offset)
        windows = []
        for begin, first, end, whole in zip(*(field.tolist() for field in cut), strict=True):
            left = 0 if document.prompted else max(0, first - self.context_tokens)  # a prompt is kept as a whole
            windows.append(Window(document.tokens[left:end], begin - left, first - left, whole))
        return windows


class Span(NamedTuple):
    """Windows of a document: indexes into its tokens, as in `Written`."""

    begin: Integers
    first: Integers
    end: Integers
    starts_at_begin: Booleans

    def shifted(self, by: int) -> Span:
        """The same windows in a document whose tokens stand `by` places further on."""
        return Span(self.begin + by, self.first + by, self.end + by, self.starts_at_begin)

    @classmethod
    def joined(cls, parts: Sequence[Span]) -> Span:
        """Windows of several documents, one after the other."""
        none = np.zeros(0, dtype=np.int64)
        empty = cls(none, none, none, none.astype(bool))
        return cls(*(np.concatenate(fields) for fields in zip(empty, *parts, strict=True)))


def spans(document: Document, context_tokens: int, max_new_tokens: int, offset: int) -> Span:
    """Cuts a document into windows: after its prompt one, else one after the other.

    Args:
        document: tokens and where its text begins and ends.
        context_tokens: longest prefix of a plain text that is a window's context.
        max_new_tokens: longest window.
        offset: where the first window of a plain text begins, modulo its length.
    """
    start, stop = document.start, document.stop
    if document.prompted:
        first = np.arange(start, min(start + 1, stop))
        begin = first
    else:
        least = max(start, 1)  # the very first token can only be a context
        span = max(1, min(max_new_tokens, stop - least))
        first = np.arange(least + offset % span, stop, max_new_tokens)
        begin = np.maximum(first - context_tokens, start)
    whole = begin <= start
    return Span(begin, first, np.minimum(first + max_new_tokens, stop), whole)
