"""Scripts of a text by its tokens, against its characters; and notes on what the statistics do not know."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from dft_plugin.reference.scripts import SCRIPTS, as_shares, letters_by_script, notes, script_of, script_of_tokens
from dft_plugin.vocabulary import classify, token_texts
from tests import tiny

# One line in each script; a letter is what str.isalpha calls one.
LINES = {
    "Latin": "The café is naïve; ŁÓDŹ, ｆｕｌｌ.",
    "Cyrillic": "Он пришёл поздно.",
    "Greek": "Πού είναι; Εδώ.",
    "Arabic": "أنا هنا، نعم؟",
    "Hebrew": "אני כאן.",
    "Devanagari": "वह घर गया।",
    "Han": "他说不知道。時々。",
    "Kana": "これはコーヒーです。ｶﾀ",
    "Hangul": "오늘은 날씨가 좋네요.",
    "Thai": "วันนี้อากาศดี",
    "Lao": "ມື້ນີ້ອາກາດດີ",
    "Khmer": "ថ្ងៃនេះ។",
    "Myanmar": "ဒီနေ့ ကောင်းတယ်။",
    "other": "Ⴀ ბავშვი ህፃን",
}
# Blocks of the Unicode standard: another definition than the names of characters.
BLOCKS = {
    "Latin": [(0x41, 0x24F), (0x1E00, 0x1EFF), (0xFF21, 0xFF5A)],
    "Cyrillic": [(0x400, 0x52F)],
    "Greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF)],
    "Arabic": [(0x600, 0x6FF)],
    "Hebrew": [(0x590, 0x5FF)],
    "Devanagari": [(0x900, 0x97F)],
    "Han": [(0x3005, 0x3007), (0x4E00, 0x9FFF)],
    "Kana": [(0x3040, 0x30FF), (0xFF66, 0xFF9F)],
    "Hangul": [(0xAC00, 0xD7A3)],
    "Thai": [(0xE00, 0xE7F)],
    "Lao": [(0xE80, 0xEFF)],
    "Khmer": [(0x1780, 0x17FF)],
    "Myanmar": [(0x1000, 0x109F)],
}


def shares(counts: Any, letters: np.ndarray) -> dict[str, float]:
    return as_shares(letters_by_script(counts, letters))


def by_blocks(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for letter in filter(str.isalpha, text):
        inside = [name for name, blocks in BLOCKS.items() if any(low <= ord(letter) <= high for low, high in blocks)]
        found[inside[0] if inside else "other"] += 1
    return found


@pytest.mark.parametrize("script", LINES)
def test_script_of_letters(script: str) -> None:
    expected = by_blocks(LINES[script])
    assert Counter(filter(None, map(script_of, LINES[script]))) == expected
    assert expected.most_common(1)[0][0] == script
    assert script in SCRIPTS


def test_what_is_no_letter_has_no_script() -> None:
    assert [script_of(character) for character in "5٣५.,。 \n😀-_ิ"] == [None] * 12
    assert unicodedata.category("ิ") == "Mn"  # a vowel above a Thai consonant


@pytest.mark.parametrize("script", LINES)
def test_tokens_of_whole_characters(script: str) -> None:
    """Each character its own token, a special token, and a padding row."""
    text = LINES[script] + "".join(LINES.values())
    characters = sorted(set(text))
    letters = script_of_tokens([*(character.encode() for character in characters), None, b"", (text * 2).encode()])
    assert letters.shape == (len(characters) + 3, len(SCRIPTS))
    assert letters[-3:-1].sum() == 0
    assert dict(zip(SCRIPTS, letters[-1].tolist(), strict=True)) == {n: 2 * by_blocks(text)[n] for n in SCRIPTS}
    counts = [text.count(character) for character in characters]
    expected = by_blocks(text)
    for given in (counts, torch.tensor(counts), np.array([*counts, 7, 7])):  # the head may have more rows
        assert Counter(letters_by_script(given, letters)) == expected
        found = shares(given, letters)
        assert found == pytest.approx({name: count / expected.total() for name, count in expected.items()})
        assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.parametrize("script", [script for script in LINES if script != "other"])
def test_tokens_of_single_bytes(script: str) -> None:
    """Each letter is counted, at its first byte. What begins with 0xE0 alone may be Thai or Hindi: "other"."""
    text = LINES[script]
    raw = text.encode()
    letters = script_of_tokens([bytes([byte]) for byte in range(256)])
    found = shares(np.bincount(list(raw), minlength=256), letters)
    if script in ("Devanagari", "Thai", "Lao", "Khmer", "Myanmar"):
        assert script not in found
    else:
        assert max(found, key=lambda name: found[name]) == script
    # Two bytes, as byte-level BPE merges the frequent ones first, tell them apart.
    pairs = [raw[index : index + 2] for index in range(len(raw)) if raw[index] >= 0xE0]
    if pairs:
        twice = shares([1] * len(pairs), script_of_tokens(pairs))
        assert max(twice, key=lambda name: twice[name]) == script


def test_a_real_tokenizer() -> None:
    tokenizer = tiny.tokenizer()  # trained on English: other scripts come out as bytes
    letters = script_of_tokens(token_texts(tokenizer))
    counts = np.bincount(tokenizer(tiny.paragraphs()[0] * 4 + LINES["Cyrillic"])["input_ids"])
    found = shares(counts, letters)
    text = by_blocks(tiny.paragraphs()[0] * 4 + LINES["Cyrillic"])
    assert found == pytest.approx({name: count / text.total() for name, count in text.items()})


def test_a_text_without_letters() -> None:
    assert shares([3, 2], script_of_tokens([b"12", None])) == {}
    assert notes({}, ["sentence_length"]) == []


EVERY = ("token_frequency", "sentence_length", "punctuation_rhythm", "paragraph_length", "sentence_opening", "novelty")


def test_scripts_that_the_statistics_know_need_no_note() -> None:
    for script in ("Latin", "Cyrillic", "Arabic", "Hebrew", "Devanagari", "Hangul", "other"):
        assert notes({script: 1.0}, EVERY) == []


def test_notes() -> None:
    assert notes({"Latin": 0.4, "Thai": 0.38, "Lao": 0.22}, EVERY) == [
        "60 % of the letters are Thai and Lao, written without spaces between words: a word in sentence_length, "
        "punctuation_rhythm and paragraph_length is a chunk between spaces.",
        "60 % of the letters are Thai and Lao, written without a mark at the end of sentences: a sentence in "
        "sentence_length and sentence_opening ends only at marks taken from other scripts (. ! ?).",
    ]
    assert notes({"Han": 0.5, "Kana": 0.5}, ["paragraph_length", "novelty"]) == [
        "100 % of the letters are Han and Kana, where each character counts as a word: the lengths of "
        "paragraph_length are in characters."
    ]
    assert notes({"Myanmar": 1.0}, ["sentence_opening"]) == []


def test_notes_only_of_what_is_much_and_used() -> None:
    assert notes({"Latin": 0.95, "Thai": 0.05}, EVERY) == []
    assert len(notes({"Latin": 0.94, "Thai": 0.06}, EVERY)) == 2
    assert len(notes({"Latin": 0.94, "Thai": 0.03, "Khmer": 0.03}, ["paragraph_length"])) == 1
    assert notes({"Thai": 1.0}, ["token_frequency", "novelty"]) == []


def test_the_notes_are_true() -> None:
    """Of the vocabulary's tables, which they speak of."""
    marks = {mark: classify(mark.encode())[3] for mark in "។။;.!?"}
    assert ["sentence_end" in marks[mark] for mark in "។။;.!?"] == [True, True, False, True, True, True]
    assert marks[";"] == {"colon_semicolon"}
    for script, words in {"Thai": 1, "Lao": 1, "Khmer": 1, "Myanmar": 2, "Han": 7}.items():
        assert classify(LINES[script].encode())[0] == words
