"""How close a domain, projected onto a tokenizer, comes to counting the text itself with that tokenizer.

    python benchmarks/domains/accuracy.py --corpora DIR               # about 25 minutes on one core

Each corpus is halved by documents. A domain is counted on half A and projected onto tokenizers it has not seen; the
statistics of windows of half A are counted directly, as are those of half B. Reported for each component:

    error       distance(projection of A, A) / floor, the floor being the mean distance of two halves of the corpus
    other half  distance(projection of A, B) / distance(A, B)
    256         distance(projection of A, A) / the mean distance of 256 windows of B from A: of a large batch

Writes results.json and results.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from dft_plugin.accumulation import Accumulation
from dft_plugin.document_windows import Span, spans
from dft_plugin.documents import Document
from dft_plugin.matched import make_statistics, match_all
from dft_plugin.objective import Matched
from dft_plugin.reference.domain_count import count_domain
from dft_plugin.reference.projection import project
from dft_plugin.reference.repetition import measure
from dft_plugin.statistic_config import DFTStatisticConfig
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Written

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples" / "build_domains"))
from build import CORPORA, read_texts, some, train_all  # noqa: E402
from tokenizers_of_families import END, train  # noqa: E402

SAMPLING = {"max_new_tokens": 128, "context_tokens": 32}
STATISTICS = (
    "token_frequency",
    "ngram_frequency",
    "sentence_length",
    "punctuation_frequency",
    "punctuation_rhythm",
    "paragraph_length",
    "novelty",
    "sentence_opening",
)
INTERVALS = ("sentence_length", "punctuation_rhythm", "paragraph_length")
BARS = {"token_frequency": 1.5, **dict.fromkeys(INTERVALS, 1.1)}
FAMILIES = {"Llama 3": "llama", "Mistral": "sentencepiece", "Qwen 2": "qwen"}
VOCABULARY = 32_000
MEASURED_ON = 2_000_000
"""Characters on which repetition is measured; the shipped domains have it measured on all of their text."""
EXCERPT = 8000
"""The shortest part of a document that it is measured on, in characters, where the document is longer."""
GROUPS, HALVINGS, BATCHES, BATCH = 16, 8, 8, 256
LEAST_EVENTS = 64
"""Intervals of a kind of which half A has fewer are not judged."""


def with_end(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer of transformers; an end-of-text token is added where the vocabulary has none of ours."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    end = END if END in tokenizer.get_vocab() else "<|end|>"
    wrapped.add_special_tokens({"eos_token": end})
    return wrapped


def excerpts(texts: Sequence[str], characters: int) -> list[str]:
    """About so many characters from all documents alike: of long ones a part, of short ones some."""
    share = min(1.0, characters / sum(map(len, texts)))
    draw = random.Random(0)
    taken, due = [], draw.random()
    for text in texts:
        length = min(len(text), max(EXCERPT, round(share * len(text))))
        due += share * len(text) / length
        if due >= 1:
            due -= 1
            start = draw.randrange(len(text) - length + 1)
            taken.append(text[start : start + length])
    return taken


def direct(accumulation: Accumulation, tokenizer: Any, texts: Sequence[str], seed: int) -> tuple[np.ndarray, Written]:
    """(GROUPS, A) accumulators of windows of the texts, by groups of documents, and the windows."""
    rows = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    tokens = [[*row.ids, tokenizer.eos_token_id] for row in rows]
    draw = np.random.default_rng(seed)
    cut, groups, offset = [], [], 0
    for number, ids in enumerate(tokens):
        found = spans(
            Document((), 0, len(ids), False),
            SAMPLING["context_tokens"],
            SAMPLING["max_new_tokens"],
            int(draw.integers(1 << 31)),
        )
        cut.append(found.shifted(offset))
        groups.append(np.full(len(found.first), number % GROUPS))
        offset += len(ids)
    written = Written(np.concatenate([np.array(ids) for ids in tokens]), *Span.joined(cut))
    return accumulation.count(written, np.concatenate(groups), GROUPS), written


def compare(
    accumulation: Accumulation,
    matched: Sequence[Matched],
    half: Mapping[str, np.ndarray],
    windows: Written,
    projected: Mapping[str, Tensor],
) -> list[dict[str, Any]]:
    """One row for each component: see the module's docstring."""
    whole = np.concatenate([half["a"], half["b"]])
    draw = np.random.default_rng(0)
    orders = [draw.permutation(len(whole)) for _ in range(HALVINGS)]
    halves = [(whole[order[:GROUPS]].sum(0), whole[order[GROUPS:]].sum(0)) for order in orders]
    size = min(BATCH, len(windows) // BATCHES)
    chosen = np.sort(draw.permutation(len(windows))[: size * BATCHES])
    batches = accumulation.count(windows.select(chosen), draw.permutation(np.repeat(np.arange(BATCHES), size)), BATCHES)
    rows = []
    for entry in matched:
        if entry.name not in projected:
            continue
        inserted = torch.from_numpy(half["a"].sum(0))
        inserted[accumulation.part(entry.statistic)] = projected[entry.name]

        def summary(of: Any, statistic: Any = entry.statistic) -> Mapping[str, Tensor]:
            return accumulation.summarize(statistic, torch.as_tensor(of))

        a, b, p, batch = (summary(of) for of in (half["a"].sum(0), half["b"].sum(0), inserted, batches))
        split = [(summary(one), summary(other)) for one, other in halves]
        for component in a:

            def distance(x: Tensor, y: Tensor, of: Callable[[Tensor, Tensor], Tensor] = entry.distance) -> float:
                return float(of(x, y).mean())

            floor = sum(distance(one[component], other[component]) for one, other in split) / HALVINGS
            if floor < 1e-12:
                continue
            error = distance(p[component], a[component])
            counted = half["a"].sum(0)[accumulation.part(entry.statistic)]
            rows.append(
                {
                    "statistic": entry.name,
                    "component": component,
                    "judged": entry.name not in INTERVALS or events(counted, list(a), component) >= LEAST_EVENTS,
                    "error": error / floor,
                    "other_half": distance(p[component], b[component]) / distance(a[component], b[component]),
                    f"at_{BATCH}": error / distance(batch[component], a[component]),
                }
            )
    return rows


def events(counted: np.ndarray, components: Sequence[str], component: str) -> float:
    """How many intervals of a kind there are, from accumulators of an interval statistic."""
    return float(counted.reshape(2 * len(components), -1)[2 * components.index(component)].sum())


def measure_one(
    domain: Any, halves: tuple[Sequence[str], Sequence[str]], tokenizer: Any
) -> tuple[list[dict[str, Any]], float]:
    """The rows of one domain and tokenizer, and how long the projection took."""
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    options = {"novelty": {"n": (1, 2, 3, 4)}}  # all that a domain knows of repetition
    entries = [DFTStatisticConfig(name=name, **options.get(name, {})) for name in STATISTICS]
    statistics = make_statistics(entries, vocabulary)
    accumulation = Accumulation(statistics, vocabulary.size)
    started = time.monotonic()
    projection = project(domain, tokenizer, vocabulary, statistics, SAMPLING)
    seconds = time.monotonic() - started
    a, _ = direct(accumulation, tokenizer, halves[0], 0)
    b, windows = direct(accumulation, tokenizer, halves[1], 1)
    rows = compare(accumulation, match_all(entries, statistics), {"a": a, "b": b}, windows, projection.totals)
    return rows, seconds


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The worst component of each statistic, by domain and tokenizer."""
    names = list(dict.fromkeys(row["statistic"] for result in results for row in result["rows"]))
    lines = [
        "Distance of the projection of half a corpus from counting that half directly, as multiples of the human "
        f"floor: the distance of two halves of the corpus (and, after the slash, of {BATCH} windows). Of several "
        f"components the worst; intervals of which the half has fewer than {LEAST_EVENTS} are left out. From "
        "`python benchmarks/domains/accuracy.py`.",
        "",
        "| domain | tokenizer | vocabulary | " + " | ".join(names) + " |",
        "| --- | --- | --- |" + " --- |" * len(names),
    ]
    for result in results:
        cells = []
        for name in names:
            rows = [row for row in result["rows"] if row["statistic"] == name and row["judged"]]
            worst = max(rows, key=lambda row: row["error"], default=None)
            cells.append("" if worst is None else f"{worst['error']:.2f} / {max(r[f'at_{BATCH}'] for r in rows):.2f}")
        lines.append(f"| {result['domain']} | {result['tokenizer']} | {result['vocabulary']:,} | {' | '.join(cells)} |")
    missed = [
        f"{result['domain']}, {result['tokenizer']}: {row['component']} {row['error']:.2f}"
        for result in results
        for row in result["rows"]
        if row["judged"] and row["error"] > BARS.get(row["statistic"], float("inf"))
    ]
    bars = ", ".join(f"{name} {bar}" for name, bar in BARS.items())
    lines += ["", f"Bars ({bars}): " + ("all met." if not missed else "missed by " + "; ".join(missed) + ".")]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all domains and tokenizers, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True, help="folder of the jsonl.gz files")
    parser.add_argument("--domains", nargs="*", default=list(CORPORA))
    parser.add_argument("--tokenizers", nargs="*", default=[], help="more tokenizer.json files, as NAME=PATH")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    args = parser.parse_args()
    corpora = {name: read_texts(args.corpora, name) for name in CORPORA}
    measuring = train_all(corpora)
    texts = [text for found in corpora.values() for text in some(found, 5_000_000)]
    tokenizers = {name: train(family, VOCABULARY, texts) for name, family in FAMILIES.items()}
    for given in args.tokenizers:
        name, _, path = given.partition("=")
        tokenizers[name] = Tokenizer.from_file(path)
    results = []
    for name in args.domains:
        order = list(corpora[name])
        random.Random(1).shuffle(order)
        halves = order[::2], order[1::2]
        repetition = measure(excerpts(halves[0], MEASURED_ON), measuring)
        domain = count_domain(halves[0], {"name": name}, repetition=repetition)
        for label, tokenizer in tokenizers.items():
            rows, seconds = measure_one(domain, halves, with_end(tokenizer))
            results.append(
                {
                    "domain": name,
                    "tokenizer": label,
                    "vocabulary": tokenizer.get_vocab_size(),
                    "projection_seconds": seconds,
                    "rows": rows,
                }
            )
            print(table(results).splitlines()[-3], f"{seconds:.1f} s", flush=True)
            args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
            args.output.with_suffix(".md").write_text(table(results))


if __name__ == "__main__":
    main()
