"""How long measuring takes, and how much memory: 2,000 texts of 256 tokens, generation aside.

    cd ../shared/data/corpora
    python .../benchmarks/evaluation/speed.py ai_creative.jsonl.gz fiction.jsonl.gz

Both corpora are cut into texts of 256 tokens; the first is measured beside the second. Writes results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import time
from pathlib import Path

from transformers import AutoTokenizer

from dft_plugin.evaluation.evaluate import evaluate
from dft_plugin.evaluation.measuring import Options
from dft_plugin.evaluation.texts import Text, Texts, read_texts

HERE = Path(__file__).resolve().parent
BASE_MODEL = HERE.parents[1] / "examples" / "base_model"
TOKENS = 256


def pieces(path: str, count: int, tokenizer: object) -> Texts:
    """Texts of so many tokens, cut from a corpus, in random order."""
    found: list[Text] = []
    texts = list(read_texts(path).texts)
    random.Random(0).shuffle(texts)
    for text in texts:
        tokens = tokenizer(text.text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
        cuts = range(0, len(tokens) - TOKENS + 1, TOKENS)
        found += [Text(tokenizer.decode(tokens[cut : cut + TOKENS])) for cut in cuts]  # type: ignore[attr-defined]
        if len(found) >= 2 * count:
            break
    return Texts(Path(path).name, random.Random(1).sample(found, k=min(count, len(found))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", help="corpus of the texts to measure")
    parser.add_argument("human", help="corpus of human texts")
    parser.add_argument("-n", type=int, default=2000)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    texts = pieces(arguments.measured, arguments.n, tokenizer)
    human = pieces(arguments.human, 2 * arguments.n, tokenizer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stages: list[tuple[str, float]] = []
    started, processor = time.perf_counter(), time.process_time()

    def progress(what: str, share: float) -> None:
        if not stages or stages[-1][0] != what:
            stages.append((what, time.perf_counter() - started))

    result = evaluate("speed", texts, human, Options(tokenizer=tokenizer), progress=progress)
    found = {
        "texts": len(texts.texts),
        "human_texts": len(human.texts),
        "tokens_a_text": TOKENS,
        "words_a_text": result.basis.words,
        "resamples": result.basis.resamples,
        "measures": len(result.measures),
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "gigabytes_before": round(before / 1e6, 2),
        "stages": {what: round(seconds, 1) for what, seconds in stages},
    }
    print(json.dumps(found, indent=2))
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "speed.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
