"""Tables over the vocabulary that turn token ids into events and words, with no decoding during training.

A word is a chunk between white space that holds a letter or digit (`str.isalnum`), counted at the token with
its first one. A Han, Hiragana or Katakana character is a word of its own and ends the chunk before it. A
two-state automaton counts: "inside" a chunk that holds a letter or digit already, or "outside".

Exact for tokens made of whole characters. Approximate, because a table sees one token at a time:
  * A character split over tokens (byte-level BPE, byte fallback) counts at the fragment with its lead byte,
    as what most characters that begin so are: a lone 0xE3 is a kana, although "。" begins so too. It carries
    no event: an em dash written as three byte tokens is not seen.
  * "--", "..." and " -" are seen only inside one token; three "." tokens are three sentence ends. A token
    " -" is a dash although a "5" may follow. The dots of "3.14" and "e.g." are sentence ends.
  * WordPiece does not say whether a space came before a piece, so the words are its pre-tokenizer's: "don't"
    and "well-known" are two, and a hyphen is never a dash.
  * Scripts without spaces other than Han and kana (Thai, Lao, Khmer, Burmese) make one word of each chunk.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from dft_plugin.written import Written

# What a token contains when it carries the event. Apostrophes are no quotes: most are letters ("don't").
PATTERNS = {
    "sentence_end": re.compile("[.!?…。！？؟۔।॥．｡។။։።]"),
    "comma": re.compile("[,،、，՝፣]"),
    "dash": re.compile(r"[—–―]|--|(?<= )-(?![^\W_])"),  # [^\W_] is str.isalnum
    "colon_semicolon": re.compile("[:;：；؛]"),
    "quote": re.compile('["“”„«»「」『』]'),
    "question_exclamation": re.compile("[?!？！؟]"),
    "ellipsis": re.compile(r"…|\.\.\."),
    "parenthesis": re.compile("[()（）]"),
    "newline": re.compile("\n"),
}
EVENTS = (*PATTERNS, "end_of_text")
MARKS = tuple(kind for kind in PATTERNS if kind not in ("sentence_end", "newline"))
"""Kinds of punctuation."""
HAN_OR_KANA = re.compile(
    "[\u3005-\u30ff\u31f0-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)
_BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")
# Byte-level BPE writes printable bytes as themselves, the others as U+0100, U+0101, ... (a space is "Ġ").
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = sorted({*range(256)} - {*_PRINTABLE})
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + i): byte for i, byte in enumerate(_OTHERS)}


def _settings(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)  # slow tokenizers have none
    return {} if backend is None else json.loads(backend.to_str())


def _scheme(tokenizer: PreTrainedTokenizerBase, vocabulary: dict[str, int]) -> tuple[str, str]:
    """How the vocabulary writes text, and what marks a WordPiece that continues a chunk ("" elsewhere).

    "bytes": byte-level. "metaspace": "▁" is a space, <0x0A> a byte. "pieces": WordPiece. "joined": by
    spaces. "literal": as it stands. "decode": only the tokenizer's decode() knows.
    """
    settings = _settings(tokenizer)
    if not settings:  # nothing says it, but the vocabulary shows it
        if "Ġ" in vocabulary or any("▁" in token for token in vocabulary):
            return ("bytes" if "Ġ" in vocabulary else "metaspace"), ""
        return ("pieces", "##") if any(re.match("##.", token) for token in vocabulary) else ("decode", "")
    components = str([settings[name] for name in ("decoder", "pre_tokenizer", "normalizer")])
    if "'ByteLevel'" in components or "▁" in components:
        return ("bytes" if "'ByteLevel'" in components else "metaspace"), ""
    if prefix := settings["model"].get("continuing_subword_prefix"):
        return "pieces", prefix
    # Without a decoder, tokens are joined by spaces; a vocabulary that holds the space writes its own.
    return ("joined" if settings["decoder"] is None and " " not in vocabulary else "literal"), ""


def _read(token: str, kind: str, prefix: str) -> bytes:
    """The bytes that a vocabulary entry stands for, where _scheme gave (kind, prefix)."""
    if kind == "bytes" and all(character in _BYTE_OF for character in token):
        return bytes([_BYTE_OF[character] for character in token])
    if kind == "metaspace":
        byte = _BYTE_TOKEN.fullmatch(token)
        return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()
    if kind == "pieces" and token.startswith(prefix):
        return token[len(prefix) :].encode()
    # WordPiece's pre-tokenizer cuts a mark off the word before it, so a mark does not tell of a space.
    mark = token[:1] in string.punctuation or unicodedata.category(token[0]).startswith("P")
    return (" " * (kind == "joined" or (kind == "pieces" and not mark)) + token).encode()


def token_texts(tokenizer: PreTrainedTokenizerBase) -> list[bytes | None]:
    """The UTF-8 that each token id puts into a text: None for special tokens, b"" for ids without a token.

    Concatenated over a tokenized text it gives that text back, but for what the tokenizer itself changes:
    normalization, SentencePiece's leading space, and white space in WordPiece (one space before each word).
    """
    vocabulary, added = tokenizer.get_vocab(), tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
    kind, prefix = _scheme(tokenizer, vocabulary)
    texts: list[bytes | None] = [b""] * (1 + max([*vocabulary.values(), *special], default=-1))
    for token, i in vocabulary.items():
        if i in added:  # literal text, in which decoders still take "▁" for a space
            texts[i] = _read(token, "metaspace" if kind == "metaspace" else "literal", "")
        else:
            texts[i] = tokenizer.decode([i]).encode() if kind == "decode" else _read(token, kind, prefix)
    for i in special:
        texts[i] = None
    return texts


def _stand_in(fragment: bytes) -> str:
    """What a split character's first bytes count as: "一" (Han or kana), "é" (a letter) or nothing."""
    lead, length = fragment[0], len(fragment)
    # Counted at the lead byte. 0xF0 mostly begins an emoji, not a letter, and 0xEF 0xBC a full-width mark.
    if lead < 0xC2 or (lead >= 0xF0 and length == 1) or fragment == b"\xef\xbc":
        return ""
    rest = b"\xa0" * ((2 if lead < 0xE0 else 3 if lead < 0xF0 else 4) - length - 1)
    could_be = [(fragment + bytes([byte]) + rest).decode(errors="ignore") for byte in range(0x80, 0xC0)]
    assigned = [character for character in could_be if character and unicodedata.category(character) != "Cn"]
    letters = [character for character in assigned if character.isalnum()]
    if 2 * len(letters) < len(assigned) or not letters:
        return ""
    return "一" if 2 * sum(map(bool, map(HAN_OR_KANA.match, letters))) > len(letters) else "é"


def _characters(raw: bytes) -> str:
    """The text of a token's bytes, with stand-ins for split characters."""
    text = ""
    while True:
        try:
            return text + raw.decode()
        except UnicodeDecodeError as error:
            text += raw[: error.start].decode() + _stand_in(raw[error.start : error.end])
            raw = raw[error.end :]


def _read_words(text: str, inside: bool) -> tuple[int, bool]:
    words = 0
    for character in text:
        if character.isspace():
            inside = False
        elif character.isalnum():
            if character >= "\u3005" and HAN_OR_KANA.match(character):
                words, inside = words + 1, False
            elif not inside:
                words, inside = words + 1, True
    return words, inside


def classify(raw: bytes | None) -> tuple[int, int, int, frozenset[str]]:
    """(words_outside, words_inside, state_after, events) of one token's bytes; None is a special token."""
    if raw is None:
        return 0, 0, 0, frozenset()
    text = _characters(raw)
    words_outside, from_outside = _read_words(text, False)
    words_inside, from_inside = _read_words(text, True)
    # No token swaps the two states, so where they end differently each has stayed.
    state_after = int(from_outside) if from_outside == from_inside else -1
    patterns = {} if text.strip(" ").isalnum() else PATTERNS  # letters carry none: no need to look
    events = (name for name, pattern in patterns.items() if pattern.search(text))
    return words_outside, words_inside, state_after, frozenset(events)


def _fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    how: Any = type(tokenizer).__name__  # all that a slow tokenizer tells
    if settings := _settings(tokenizer):
        # The post-processor (which special tokens surround a text) and the decoder change no token.
        how = {name: settings[name] for name in ("model", "normalizer", "pre_tokenizer")}
        if isinstance(how["model"]["vocab"], dict):  # Unigram's is a list, with scores: they matter
            del how["model"]["vocab"]
    rows = sorted((i, token) for token, i in tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps([rows, how], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Tables to index with token ids. Special tokens only set state 0 and, some, carry end_of_text."""

    size: int  # V, the rows of the lm_head; padding rows carry no event, begin no word and leave the state
    events: dict[str, Tensor]  # name -> (V,) bool: the token contains the event (it may contain several)
    words_outside: Tensor  # (V,) long: words the token begins when its chunk holds no letter or digit yet
    words_inside: Tensor  # (V,) long: words it begins when its chunk holds one already
    state_after: Tensor  # (V,) long: 0 outside, 1 inside, -1 as it was
    end_of_text: tuple[int, ...]
    fingerprint: str  # sha256 of the ordered vocabulary, merges, normalizer and pre-tokenizer
    human_frequency: Tensor | None = None  # (V,)
    human_text: Written | None = None  # human text for statistics to look things up in; no window of the reference
    hidden_size: int | None = None  # D, the columns of the lm_head; None where no model is there

    def to(self, device: torch.device | str) -> Vocabulary:
        """A copy with every table on `device`."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, events={k: v.to(device) for k, v in self.events.items()}, **moved)

    def require(self, event: str, wanted_by: str) -> None:
        """Raise ValueError unless an entry carries `event`, which the statistic `wanted_by` needs."""
        present = [name for name, table in self.events.items() if bool(table.any())]
        if event in present:
            return
        set_it = "set the tokenizer's eos_token or pass end_of_text ids"
        mend = set_it if event == "end_of_text" else "use a tokenizer that has it"
        raise ValueError(
            f"statistic {wanted_by!r} wants the event {event!r}, which no entry of this vocabulary carries. "
            f"It has: {', '.join(present) or 'none'}. To mend this, drop {wanted_by!r} or {mend}."
        )

    @classmethod
    def from_tokenizer(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        size: int | None = None,
        end_of_text: Iterable[int] | None = None,
    ) -> Vocabulary:
        """Tables on the CPU. size: default the highest id + 1; ids from size on get no row (Gemma 3's lm_head
        lacks one). end_of_text: default eos_token_id; ValueError if an id is outside [0, size)."""
        texts = token_texts(tokenizer)
        size = len(texts) if size is None else size
        if end_of_text is None:
            end_of_text = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        ends = list(dict.fromkeys(end_of_text))
        if strays := [i for i in ends if not 0 <= i < size]:
            raise ValueError(
                f"end_of_text ids {strays} are outside the vocabulary of {size} entries: give the model rows for them "
                "(model.resize_token_embeddings(len(tokenizer)))"
            )
        return cls.of([*texts[:size], *[b""] * (size - len(texts))], ends, _fingerprint(tokenizer))

    @classmethod
    def of(cls, texts: Sequence[bytes | None], ends: Sequence[int] = (), fingerprint: str = "") -> Vocabulary:
        """Tables of tokens that stand for these bytes; None is a special token. ends: ids that end a text."""
        rows = [classify(raw) for raw in texts]
        events = {name: torch.tensor([name in row[3] for row in rows], dtype=torch.bool) for name in EVENTS}
        outside, inside, after = (torch.tensor([row[i] for row in rows], dtype=torch.long) for i in range(3))
        ends = list(ends)
        events["end_of_text"][ends] = True
        after[ends] = 0  # also where an ordinary token was named
        return cls(len(rows), events, outside, inside, after, tuple(ends), fingerprint)


def word_starts(vocabulary: Vocabulary, tokens: Tensor, begin: Tensor) -> Tensor:
    """(B, T) long: how many words each token begins, for tokens (B, T) long, ids in [0, V), begin (B,) long.

    Text i begins at begin[i], outside; the tokens before it belong to no text and begin no words. After that

        last_t = max {s : begin <= s < t, state_after[x_s] != -1},   state_t = state_after[x_last_t], else 0
        words_t = words_inside[x_t] if state_t else words_outside[x_t]
    """
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    read = positions >= begin[:, None]
    after = vocabulary.state_after[tokens]
    last = torch.where(read & (after >= 0), positions, -1).cummax(1).values
    last = torch.nn.functional.pad(last, (1, 0), value=-1)[:, :-1]  # before each token, not after it
    inside = (last >= 0) & (after.gather(1, last.clamp(min=0)) == 1)
    return torch.where(inside, vocabulary.words_inside[tokens], vocabulary.words_outside[tokens]) * read
