"""Bodies of text whose differences are known, as references built by the real build and as bare descriptions."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from dft_plugin.config import parse
from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.build import WITHOUT_CONFIG, Request, build_file
from dft_plugin.reference.description import Description, describe
from dft_plugin.reference.word_counts import WordCounts
from tests import tiny

WINDOW = {"rollout": {"max_new_tokens": 24, "context_tokens": 6}}
PLAIN = (
    "The dog ran home. It was late, and he was tired. Rain fell on the road. She shut the gate, took the lamp and "
    "went in. Nobody spoke. There was bread on the table, and cold soup. They ate it. The old man laughed at last."
)
ORNATE = (
    "Moreover, the tapestry of the evening unfolded, shimmering, a testament to the quiet resilience of those who "
    'delve into memory; it was not merely a house but a promise, whispered, "eternal," and half forgotten. Moreover, '
    "the air was thick with the scent of rain, and her voice, barely above a whisper, trembled."
)


def texts_in_the_style_of(passage: str, count: int, sentences: int = 12, seed: int = 0) -> list[str]:
    """Documents of sentences drawn from a passage."""
    generator = random.Random(seed)
    drawn = [sentence.strip() + "." for sentence in passage.rstrip(".").split(". ")]
    return [" ".join(generator.choices(drawn, k=sentences)) for _ in range(count)]


def build(folder: Path, texts: Sequence[str], **config: Any) -> Reference:
    """The reference of texts, by `build_file`."""
    tiny.tokenizer().save_pretrained(folder / "model")
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    settings = parse({"statistics": [entry.name for entry in WITHOUT_CONFIG.statistics], **WINDOW, **config})
    request = Request([str(folder / "texts.jsonl")], folder / "built.safetensors", str(folder / "model"), settings)
    build_file(request)
    return Reference.load(folder / "built.safetensors")


def bare(
    texts: Sequence[str], name: str = "texts", laws: Mapping[str, Any] | None = None, **metadata: Any
) -> Description:
    """A description of texts' words, with any laws and metadata."""
    words = WordCounts.of(texts, [number * 0x9E3779B97F4A7C15 for number in range(len(texts))])
    given = {
        statistic: {component: torch.tensor(law, dtype=torch.float64) for component, law in components.items()}
        for statistic, components in (laws or {}).items()
    }
    source: Any = SimpleNamespace(words=words, laws=given, metadata=metadata)
    return describe(source, name)
