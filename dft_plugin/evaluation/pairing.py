"""Texts beside human texts of the same prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dft_plugin.evaluation.texts import Text


def same_prompts(texts: Sequence[Text], human: Sequence[Text]) -> list[tuple[Text, Text]]:
    """Each text, in order, with a human text of the same prompt, and of the same turns before it, that no text before
    it is with; those for which there is none are left out."""
    waiting: dict[str | None, list[Text]] = defaultdict(list)
    for other in reversed(human):
        waiting[other.asked].append(other)
    return [(text, waiting[text.asked].pop()) for text in texts if text.asked is not None and waiting[text.asked]]
