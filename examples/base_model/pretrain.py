"""Pretrain the small Llama base model of the examples, from nothing, on public-domain stories.

    python examples/base_model/pretrain.py --corpora DIR --output examples/base_model

``DIR`` holds ``fiction.jsonl.gz`` and ``children.jsonl.gz``: one document a line, ``{"text": ...}``.
A byte-level BPE tokenizer and the model are trained on these texts and on nothing else. On one machine
the result is a function of the corpora, the seed, the number of steps and the number of threads.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CORPORA = ("fiction", "children")
EOS, PAD = "<|end_of_text|>", "<|pad|>"
# The corpora hold a modern story that its author keeps the rights of: such a notice leaves a text out.
NOTICE = re.compile(r"Copyright \(C\) \d{4}")
VOCABULARY = 2048
CONTEXT = 512
# Llama 3's pre-tokenizer: contractions, words, up to three digits, punctuation, spaces.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Typewriter quotes and dashes only: they're what technical text uses, and one spelling is easier than two.
PLAIN = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2014": "--", "\u2013": "-"})


def read_documents(folder: Path) -> list[str]:
    """Return the distinct documents without a copyright notice, in the order of the files."""
    documents: dict[str, None] = {}
    for name in CORPORA:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                text = json.loads(line)["text"].translate(PLAIN).strip()
                if not NOTICE.search(text):
                    documents[text] = None
    documents.pop("", None)
    return list(documents)


def train_tokenizer(
    documents: list[str], vocabulary: int = VOCABULARY, context: int = CONTEXT
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: it encodes any text without loss and adds no token of its own."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[EOS, PAD], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def build_model(tokenizer: PreTrainedTokenizerFast, layers: int = 4) -> LlamaForCausalLM:
    """Return a Llama with random weights, of about 1.9 million parameters with four layers."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=480,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=3,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def pack(tokenizer: PreTrainedTokenizerFast, documents: list[str]) -> torch.Tensor:
    """Return the tokens of the documents in one row, each document ended by the end-of-text token."""
    encodings = tokenizer.backend_tokenizer.encode_batch(documents, add_special_tokens=False)
    ids = [token for encoding in encodings for token in (*encoding.ids, tokenizer.eos_token_id)]
    return torch.tensor(ids, dtype=torch.long)


def batches(stream: torch.Tensor, length: int, batch: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield batches of sequences for ever: each epoch cuts the stream elsewhere and shuffles the pieces."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        offset = int(torch.randint(length, (1,), generator=generator))
        count = (len(stream) - offset) // length
        pieces = stream[offset : offset + count * length].view(count, length)
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - batch + 1, batch):
            yield pieces[order[start : start + batch]]


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, stream: torch.Tensor, length: int, batch: int) -> float:
    """Return the mean loss a token, in nats, over the stream cut into sequences."""
    model.eval()
    pieces = stream[: len(stream) // length * length].view(-1, length)
    total = 0.0
    for piece in pieces.split(batch):
        total += model(input_ids=piece, labels=piece, use_cache=False).loss.item() * len(piece)
    model.train()
    return total / len(pieces)


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Return the rate at a step: a linear warmup, then half a cosine down to 2% of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def optimizer_of(model: torch.nn.Module, rate: float, *, fused: bool = False) -> torch.optim.AdamW:
    """Return AdamW that decays matrices alone."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=fused)


def fit(model: LlamaForCausalLM, train: torch.Tensor, args: argparse.Namespace) -> int:
    """Train on the stream with AdamW for at most ``args.steps`` steps or ``args.minutes``; return the steps."""
    optimizer = optimizer_of(model, args.rate)
    start, smooth, step = time.monotonic(), 0.0, 0
    for step, batch in enumerate(batches(train, args.length, args.batch, args.seed), 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step - 1, args.steps, args.rate, warmup=max(1, args.steps // 25))
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        smooth = loss.item() if step == 1 else 0.98 * smooth + 0.02 * loss.item()
        minutes = (time.monotonic() - start) / 60
        if step % 50 == 0:
            print(f"step {step}/{args.steps} loss {smooth:.4f} minutes {minutes:.1f}", flush=True)
        if step >= args.steps or minutes >= args.minutes:
            break
    return step


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Write the folder: weights in float16, and settings that transformers 4 and 5 read alike."""
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.generation_config = GenerationConfig(eos_token_id=eos, pad_token_id=pad)
    model.half().save_pretrained(output)
    tokenizer.save_pretrained(output)
    changes = {
        "config.json": {"dtype": "float32"},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
    }
    for name, change in changes.items():
        settings = json.loads((output / name).read_text(encoding="utf-8")) | change
        (output / name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def parser(description: str) -> argparse.ArgumentParser:
    """Return the options of a pretraining."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--corpora", type=Path, required=True, help="folder of the jsonl.gz files")
    parser.add_argument("--output", type=Path, default=Path("base_model"), help="folder to write")
    parser.add_argument("--steps", type=int, default=2400, help="optimizer steps, which the schedule spans")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop the training after this long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16, help="sequences a step")
    parser.add_argument("--length", type=int, default=256, help="tokens a sequence")
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def main() -> None:
    """Train the tokenizer and the model, and save both."""
    args = parser((__doc__ or "").splitlines()[0]).parse_args()
    pretrain(read_documents(args.corpora), args)


def pretrain(documents: list[str], args: argparse.Namespace, layers: int = 4) -> None:
    """Train the tokenizer and the model on the documents, and save both; print the loss on one in a hundred."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.Random(args.seed).shuffle(documents)
    held = max(1, len(documents) // 100)
    tokenizer = train_tokenizer(documents[held:])
    test, train = pack(tokenizer, documents[:held]), pack(tokenizer, documents[held:])
    model = build_model(tokenizer, layers)
    print(f"{model.num_parameters():,} parameters, {len(documents) - held} documents and {held} held out")
    print(f"{len(train):,} training tokens, {len(test):,} held-out tokens", flush=True)

    step = fit(model, train, args)
    loss_now = held_out_loss(model, test, args.length, args.batch)
    print(f"after {step} steps: held-out loss {loss_now:.4f}, perplexity {math.exp(loss_now):.2f}")
    save(model, tokenizer, args.output)


if __name__ == "__main__":
    main()
