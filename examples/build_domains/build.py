"""Build the domains that come with dft-plugin, from corpora.

    python examples/build_domains/build.py --corpora DIR            # about 20 minutes on one core

``DIR`` holds ``news.jsonl.gz``, ``fiction.jsonl.gz``, ``academic.jsonl.gz``, ``legal.jsonl.gz`` and
``children.jsonl.gz``: one document a line, ``{"text": ...}``. The result is a function of the corpora alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers_of_families import FAMILIES, train

from dft_plugin.reference.domain import FOLDER
from dft_plugin.reference.domain_count import count_domain
from dft_plugin.reference.repetition import measure

# The corpora hold a modern story that its author keeps the rights of: such a notice leaves a text out.
NOTICE = re.compile(r"Copyright \(C\) \d{4}")
CORPORA = {
    "news": {
        "provenance": "Reuters-21578: 7,219 newswire stories of 1987, most about business and finance",
        "terms": "research use only (Reuters Ltd. and Carnegie Group); this file holds statistics and quotes nothing",
    },
    "fiction": {
        "provenance": "Project Gutenberg: 598 short stories, from before 1929 and from pulp science fiction magazines",
        "terms": "public domain in the United States",
    },
    "academic": {
        "provenance": "ACL Anthology: 12,329 abstracts of computational linguistics, 2016 to February 2021",
        "terms": "CC BY 4.0 (Association for Computational Linguistics and the authors)",
    },
    "legal": {
        "provenance": "CUAD v1: 291 commercial contracts from filings with the United States SEC",
        "terms": "CC BY 4.0 (The Atticus Project)",
    },
    "children": {
        "provenance": "Project Gutenberg: 1,115 fairy tales and fables (Grimm, Andersen, Aesop, Lang, Perrault, "
        "Jacobs, Potter)",
        "terms": "public domain in the United States",
    },
}
SIZES = (1000, 4000, 16_000, 64_000)
"""Vocabularies of the tokenizers that repetition is measured with."""
TRAINED_ON = 4_000_000
"""Characters of each corpus those are trained on."""


def read_texts(folder: Path, name: str) -> list[str]:
    """The distinct documents of a corpus without a copyright notice, in its order."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = (json.loads(line)["text"] for line in lines)
        return list(dict.fromkeys(text for text in texts if text.strip() and not NOTICE.search(text)))


def some(texts: Sequence[str], characters: int) -> list[str]:
    """Documents in a random order, about so many characters."""
    order = list(texts)
    random.Random(0).shuffle(order)
    taken: list[str] = []
    length = 0
    while order and length < characters:
        taken.append(order.pop())
        length += len(taken[-1])
    return taken


def train_all(corpora: Mapping[str, Sequence[str]]) -> dict[str, list[Tokenizer]]:
    """family -> tokenizers of growing vocabularies, on all corpora."""
    texts = [text for found in corpora.values() for text in some(found, TRAINED_ON)]
    return {family: [train(family, size, texts) for size in SIZES] for family in FAMILIES}


def main() -> None:
    """Count each corpus and write its domain."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True, help="folder of the jsonl.gz files")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder to write")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    corpora = {name: read_texts(args.corpora, name) for name in CORPORA}
    tokenizers = train_all(corpora)
    for name, texts in corpora.items():
        started = time.monotonic()
        metadata: dict[str, Any] = {
            "name": name,
            **CORPORA[name],
            "corpus": [f"{name}.jsonl.gz"],
            "tool": f"dft-plugin {version('dft-plugin')}",
        }
        domain = count_domain(texts, metadata, repetition=measure(texts, tokenizers))
        path = args.output / f"{name}.safetensors"
        domain.save(path)
        size = path.stat().st_size
        print(f"{name}: {len(texts)} documents, {size:,} bytes, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
