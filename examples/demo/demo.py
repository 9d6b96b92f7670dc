"""The same fine-tuning run with and without the distribution term, side by side.

    python examples/demo/demo.py

A small Llama-architecture base model (examples/base_model) is fine-tuned with TRL's SFTTrainer on the prose of
Python's own reference documentation (the standard library's `pydoc_data.topics`), once plainly and once with
`DFTCallback()` beside it. Both then continue documentation that neither was trained on.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import math
import os
import re
import statistics
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Both are read when the libraries below are imported.
warnings.filterwarnings("ignore", category=FutureWarning)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

# ruff: noqa: E402
import torch
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from pages import pages
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback, set_seed
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from dft_plugin import DFTCallback, DFTConfig
from dft_plugin.documents import Document
from dft_plugin.ends_of_text import end_of_text_ids
from dft_plugin.human_windows import cut_windows
from dft_plugin.matched import make_statistics, match_all
from dft_plugin.measure import HumanSample
from dft_plugin.rollout import TransformersEngine, continued
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Texts, Window, stack
from dft_plugin.vocabulary import Vocabulary

BASE_MODEL = Path(__file__).resolve().parents[1] / "base_model"


class BriefLog(TrainerCallback):
    """One short line per log entry instead of every number."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        logs = logs or {}
        if "loss" in logs:
            ratios = {key.rsplit("/", 1)[-1]: logs[key] for key in logs if key.startswith("dft/floor_ratio/")}
            shown = "".join(f"  {name} {ratio:.1f}" for name, ratio in ratios.items())
            print(f"  step {state.global_step:4d}  cross-entropy {float(logs['loss']):.3f}{shown}", flush=True)


def documents(texts: Sequence[str], tokenizer: Any) -> list[Document]:
    ends = [*([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])]
    tokenized = [tuple(tokenizer(text)["input_ids"] + ends) for text in texts]
    return [Document(tokens, 0, len(tokens), False) for tokens in tokenized]


def fine_tune(arguments: argparse.Namespace, config: DFTConfig | None, texts: Sequence[str], output: Path) -> Any:
    """One SFTTrainer run; with a config, DFTCallback is its only difference."""
    set_seed(arguments.seed)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(output),
            max_steps=arguments.steps,
            per_device_train_batch_size=8,
            max_length=256,
            packing=True,
            learning_rate=arguments.learning_rate,
            lr_scheduler_type="cosine",
            logging_steps=max(1, arguments.steps // 10),
            save_strategy="no",
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            bf16=False,
            seed=arguments.seed,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"text": list(texts)}),
        processing_class=tokenizer,
        callbacks=[DFTCallback(config)] if config is not None else [],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(BriefLog)
    trainer.train()
    return trainer


def perplexity(model: Any, windows: Sequence[Window], temperature: float) -> float:
    """exp of the mean surprisal of human continuations under the law that a temperature gives."""
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        for start in range(0, len(windows), 32):
            texts = stack(windows[start : start + 32]).to(model.device)
            mask = (torch.arange(texts.tokens.shape[1], device=model.device) < texts.end[:, None]).long()
            logits = model(input_ids=texts.tokens, attention_mask=mask).logits[texts.text, texts.position - 1]
            scaled = logits.float() / temperature
            total += float(torch.nn.functional.cross_entropy(scaled, texts.drawn, reduction="sum"))
            count += texts.rows
    return math.exp(total / count)


def words_of(tokenizer: Any, texts: Texts) -> list[str]:
    """The counted part of each text, decoded."""
    pairs = zip(texts.first.tolist(), texts.end.tolist(), texts.tokens.tolist(), strict=True)
    return [tokenizer.decode(tokens[first:end], skip_special_tokens=True) for first, end, tokens in pairs]


def text_figures(texts: Sequence[str]) -> dict[str, float]:
    """Plain counts over decoded text: distinct word n-grams, and lengths of whole sentences."""
    figures = {}
    for n in (2, 3):
        grams: collections.Counter[tuple[str, ...]] = collections.Counter()
        for text in texts:
            words = text.split()
            grams.update(zip(*(words[i:] for i in range(n)), strict=False))
        figures[f"distinct-{n}"] = len(grams) / max(1, sum(grams.values()))
    # The first piece began in the context and the last was cut off: neither is a whole sentence.
    lengths = [len(piece.split()) for text in texts for piece in re.split(r"[.!?]+\s", text)[1:-1] if piece.split()]
    figures["sentence length, mean"] = statistics.fmean(lengths) if lengths else math.nan
    figures["sentence length, variance"] = statistics.pvariance(lengths) if lengths else math.nan
    return figures


def evaluate(model: Any, tokenizer: Any, human: HumanSample, windows: Sequence[Window], config: DFTConfig) -> Any:
    """Continues held-out contexts under the deployment sampler and measures the texts."""
    rollout = config.rollout
    model.eval()
    sampler = Sampler(rollout.temperature, rollout.top_k, rollout.top_p, rollout.min_p)
    contexts = [window.tokens[: window.first] for window in windows]
    ends = end_of_text_ids(tokenizer, model)
    generated = TransformersEngine().generate(model, contexts, sampler, rollout.max_new_tokens, ends, seed=12345)
    texts = continued(windows, generated)
    ratios = {name: measured.floor_ratio for name, measured in human.measure(texts).items()}
    decoded = words_of(tokenizer, texts)
    temperatures = dict.fromkeys((rollout.temperature, 1.0))
    perplexities = {f"perplexity at temperature {t:g}": perplexity(model, windows, t) for t in temperatures}
    return {**text_figures(decoded), **perplexities}, ratios, decoded


def table(columns: dict[str, tuple[dict[str, float], dict[str, float]]]) -> str:
    """The figures of every arm side by side."""
    lines = ["".join([f"{'':34}", *(f"{name:>14}" for name in columns)])]
    for section, heading in ((0, "text"), (1, "distance to human text, in human floors (1 = another human sample)")):
        lines.append(heading)
        for key in list(columns.values())[-1][section]:
            values = [column[section].get(key, math.nan) for column in columns.values()]
            cells = ["-" if math.isnan(value) else f"{value:.3f}" if value < 1 else f"{value:.2f}" for value in values]
            lines.append("".join([f"  {key:32}", *(f"{cell:>14}" for cell in cells)]))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="SFT and SFT + DFT side by side")
    parser.add_argument("--model", default=str(BASE_MODEL), help="folder of the base model")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of each run")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--temperature", type=float, default=0.8, help="the temperature text is generated at")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dft", default="{}", help="further options of the dft: block, as JSON")
    parser.add_argument("--output", default="runs/demo", help="folder for results")
    arguments = parser.parse_args()
    logging.getLogger("dft_plugin").setLevel(logging.INFO)
    disable_progress_bar()
    transformers_logging.set_verbosity_error()

    rollout = {"temperature": arguments.temperature, "max_new_tokens": 96}
    options = json.loads(arguments.dft)
    options = {"report": False, **options, "rollout": {**rollout, **options.get("rollout", {})}}
    config = DFTConfig.model_validate({"seed": arguments.seed, **options})
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    train, held_out = pages()
    held_out_documents = documents(held_out, tokenizer)
    # The same held-out windows whatever the seed of the run.
    windows = cut_windows(
        config.model_copy(update={"seed": 0}), held_out_documents, from_start=False, name="the held-out pages"
    )
    print(
        f"{len(train)} pages to train on, {len(held_out)} held out ({len(windows)} windows); "
        f"{arguments.steps} steps per run\n",
        flush=True,
    )
    size = AutoModelForCausalLM.from_pretrained(arguments.model).get_output_embeddings().weight.shape[0]
    vocabulary = Vocabulary.from_tokenizer(tokenizer, size)
    statistic_list = make_statistics(config.statistics, vocabulary)
    human = HumanSample(match_all(config.statistics, statistic_list), size, windows)
    # One half of the human text against the other: what 1 human floor looks like.
    half = len(windows) // 2
    other_half = HumanSample(match_all(config.statistics, statistic_list), size, windows[half:])
    human_ratios = {name: one.floor_ratio for name, one in other_half.measure(stack(windows[:half])).items()}
    human_texts = words_of(tokenizer, stack(windows))
    columns: dict[str, Any] = {"human": (text_figures(human_texts), human_ratios)}
    samples = {"human": human_texts[0]}
    for name, block in (("SFT", None), ("SFT + DFT", config)):
        started = time.perf_counter()
        trainer = fine_tune(arguments, block, train, Path(arguments.output) / name.replace(" ", ""))
        seconds = time.perf_counter() - started
        figures, ratios, decoded = evaluate(trainer.model, tokenizer, human, windows, config)
        columns[name] = (figures, ratios)
        samples[name] = decoded[0]
        print(f"{name}: trained in {seconds:.0f} s", flush=True)
    print("\n" + table(columns) + "\n")
    for name, text in samples.items():
        print(f"--- {name}: {text[:300]!r}")
    result = Path(arguments.output) / "result.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        name: {key: None if math.isnan(value) else value for key, value in {**counted, **ratios}.items()}
        for name, (counted, ratios) in columns.items()
    }
    result.write_text(json.dumps(figures, indent=2))
    print(f"\nfigures in {result}")


if __name__ == "__main__":
    main()
