"""Tokenizers of the families in use, trained on the spot: what repetition is measured with, and accuracy checked on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA = rf"{_WORDS}|\p{{N}}{{1,3}}|{_MARKS}"
QWEN = rf"{_WORDS}|\p{{N}}|{_MARKS}"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# SentencePiece trains with letters, digits and marks apart (split_by_unicode_script, split_digits).
_SENTENCEPIECE = r"\n|\p{N}|▁?[\p{L}\p{M}]+|▁?[^\p{L}\p{M}\p{N}▁\n]+|▁+"
FAMILIES = ("llama", "qwen", "gpt2", "sentencepiece")
END = "</s>"


def train(family: str, size: int, texts: Iterable[str]) -> Tokenizer:
    """A BPE tokenizer as a family cuts text.

    llama: Llama 3's pre-tokenizer, byte-level; digits in threes. qwen: Qwen 2's, NFC and single digits. gpt2: GPT-2's,
    where line breaks join nothing. sentencepiece: Llama 2's and Mistral's, "▁" for a space, unknown characters and
    line breaks as bytes.
    """
    if family == "sentencepiece":
        return _sentencepiece(size, texts)
    tokenizer = Tokenizer(models.BPE())
    if family == "qwen":
        tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex({"llama": LLAMA, "qwen": QWEN, "gpt2": GPT2}[family]), "isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return _trained(tokenizer, size, texts, [END], initial_alphabet=alphabet)


def _sentencepiece(size: int, texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    spaces = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    scripts = pre_tokenizers.Split(Regex(_SENTENCEPIECE), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([spaces, scripts])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", END, *(f"<0x{byte:02X}>" for byte in range(256))]
    # A line break is no letter of the alphabet, so that it is written as a byte.
    lines = (text.replace("\n", " ") for text in texts)
    trained = _trained(tokenizer, size, lines, special, limit_alphabet=400)
    # Once trained, the merges alone keep letters, digits and marks apart; bytes are tokens like others.
    trained.pre_tokenizer = spaces
    settings = json.loads(trained.to_str())
    settings["added_tokens"] = [token for token in settings["added_tokens"] if token["content"] in ("<unk>", END)]
    return Tokenizer.from_str(json.dumps(settings))


def _trained(
    tokenizer: Tokenizer, size: int, texts: Iterable[str], special: Sequence[str], **options: object
) -> Tokenizer:
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False, **options)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
