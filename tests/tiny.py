"""Tiny models of each family, a tokenizer and text, made on the spot: no network, no files in the repository."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

END, PAD, USER, ASSISTANT = "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"
VOCABULARY = 320

# `generation` marks what the assistant says, which assistant_only_loss needs.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|assistant|>{% generation %}{{ message['content'] }}<|end|>"
    "{% endgeneration %}"
    "{% else %}<|user|>{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@cache
def paragraphs() -> tuple[str, ...]:
    """Paragraphs of prose from the standard library's help topics, which people wrote.

    Those with the most sentence ends first: short windows of short rows must hold some.
    """
    from pydoc_data.topics import topics

    found = []
    for topic in sorted(topics):
        for block in topics[topic].split("\n\n"):
            line = " ".join(block.split())
            if len(line) > 120 and "::=" not in line and ">>>" not in line:
                found.append(line)
    return tuple(sorted(found, key=lambda text: -len(re.findall(r"[.!?] ", text[:240])) / len(text[:240])))


@cache
def _backend() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PAD, USER, ASSISTANT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(paragraphs(), trainer)
    return backend


def tokenizer(*, end_of_text: bool = True) -> PreTrainedTokenizerFast:
    """A new byte-level BPE tokenizer of `VOCABULARY` entries, with a chat template."""
    from tokenizers import Tokenizer

    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_backend().to_str()),
        eos_token=END if end_of_text else None,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
    )
    made.chat_template = CHAT_TEMPLATE
    return made


_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 1,
    # Wide enough that the next-token laws are far from uniform: a flat law hides errors.
    "initializer_range": 0.3,
}


def model(
    family: str = "llama", *, tied: bool = False, seed: int = 0, attention: str = "sdpa", **options: Any
) -> PreTrainedModel:
    """A new float32 model of a family of transformers ("llama", "mistral", "qwen2", "qwen3", "gemma2", ...).

    Args:
        family: its `model_type`.
        tied: whether the head shares the embedding's weight.
        seed: of the random weights.
        attention: "sdpa" or "eager".
        **options: further entries of its configuration.
    """
    shape = {**_SHAPE, "tie_word_embeddings": tied, **options}
    config = AutoConfig.for_model(family, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float32)
    made.generation_config.eos_token_id = 0
    made.generation_config.pad_token_id = 1
    return made


def plain_rows(count: int, *, characters: int = 240) -> list[dict[str, Any]]:
    """Rows of plain text."""
    return [{"text": text[:characters]} for text in paragraphs()[:count]]


def prompt_rows(count: int, *, characters: int = 160) -> list[dict[str, Any]]:
    """Rows of prompt and completion."""
    return [{"prompt": text[:40], "completion": text[40:characters]} for text in paragraphs()[:count]]


def chat_rows(count: int, *, characters: int = 160) -> list[dict[str, Any]]:
    """Chats of two turns each."""
    rows = []
    for text in paragraphs()[:count]:
        turns = [
            ("user", text[:20]),
            ("assistant", text[20:80]),
            ("user", text[80:95]),
            ("assistant", text[95:characters]),
        ]
        rows.append({"messages": [{"role": role, "content": content} for role, content in turns]})
    return rows
