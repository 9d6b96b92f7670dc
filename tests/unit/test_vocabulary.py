"""The tables against plain Python that reads the text: characters, regular expressions and str.split."""

import gzip
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from dft_plugin.ends_of_text import end_of_text_ids, unlikely_ends
from dft_plugin.vocabulary import EVENTS, Vocabulary, classify, token_texts, word_starts

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"

TEXTS = {
    "english": (
        'Mr. Hale (the old one) said, "It isn\'t here: look again; it was 3.14 miles off!" She sat.\n'
        "Why would she? The well-known door stood open – half open, at least — and 42 crows, grey and\n"
        "sat on the fence - all of them. “Go home,” he said. It was the U.S. in 1912, e.g. a cold year.\n"
    ),
    "rhythm": ("Well... no.\n\n\nHe waited -- and waited…  Then:\t(nothing)!!! A -- B --- C. “What?!” ... _x_ - y.\n"),
    "accented": "L'été dernier, à Zürich, la señora Muñoz a dit : « Où êtes-vous ? » Être ou pas être… Oui !",
    "russian": "Он пришёл поздно — уже стемнело. «Где ты был?» — спросила она; он молчал (как всегда)…",
    "chinese": "他说：“我不知道。”然后（慢慢地）走了……真的吗？是的！一、二、三，都在GPT-4里；好 的。",
    "japanese": "「今日はいい天気ですね。」と彼女は言った、コーヒーを飲みながら！ 本当？ はい。",
    "korean": "그는 말했다. “오늘은 날씨가 좋네요!” 정말, 그럴까? (아마도)",
    "hindi": "वह घर गया। क्या तुम आओगे? हाँ, मैं कल आऊँगा; पक्का! “ठीक है” उसने कहा।",
    "arabic": "قال الرجل: هل أنت هنا؟ نعم، أنا هنا؛ لا تقلق. «ثم ذهب» في ١٩١٢ (وحده).",
    "mixed": "naïve中文mix,  日本語 and 한국어 — 100% sûr!\n\tIndented 😀 emoji😀word",
}
CORPUS = list(TEXTS.values()) * 3

# The definition once more, spelled over whole texts. A sign for a hyphen looks at the text, not at one token.
CHARACTERS = {
    "sentence_end": r"[.!?…。！？؟۔।॥．｡]",
    "comma": r"[,،、，]",
    "dash": r"[—–―]|--| -(?![^\W_])",
    "colon_semicolon": r"[:;：；؛]",
    "quote": r"[\"“”„«»「」『』]",
    "question_exclamation": r"[?!？！؟]",
    "ellipsis": r"…|\.\.\.",
    "parenthesis": r"[()（）]",
    "newline": r"\n",
}


def count_words(text: str) -> int:
    spaced = re.sub(r"([々〇ぁ-ゖァ-ヺー一-鿿])", r" \1 ", text)
    return sum(any(character.isalnum() for character in chunk) for chunk in spaced.split())


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


SPECIAL = ["<unk>", "<s>", "</s>"]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def byte_level(corpus: list[str], vocab_size: int = 1800, split: str | None = LLAMA3) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(split), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return wrap(tokenizer)


def sentencepiece_bpe(corpus: list[str], vocab_size: int = 1200) -> PreTrainedTokenizerFast:
    """Mistral-like: "▁" for a space, a leading one, and bytes for what the vocabulary lacks, newlines too."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False)
    raw.train_from_iterator([line for text in corpus for line in text.splitlines()], trainer)
    model = json.loads(raw.to_str())["model"]
    names = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    tokenizer = Tokenizer(
        models.BPE(
            {name: i for i, name in enumerate(names)},
            [tuple(merge) for merge in model["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    return wrap(tokenizer)


def unigram(corpus: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=700, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    return wrap(tokenizer)


def wordpiece(corpus: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    return wrap(tokenizer)


def encode(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def count(vocabulary: Vocabulary, ids: list[int], begin: int = 0) -> list[int]:
    return word_starts(vocabulary, torch.tensor([ids]), torch.tensor([begin]))[0].tolist()


SCHEMES = {
    "llama3": lambda: byte_level(CORPUS),
    "gpt2": lambda: byte_level(CORPUS, split=None),
    "bytes": lambda: byte_level(["a"], vocab_size=259),  # every token is one byte
    "sentencepiece": lambda: sentencepiece_bpe(CORPUS),
    "fallback": lambda: sentencepiece_bpe([TEXTS["english"]], 150),  # other scripts in bytes
    "unigram": lambda: unigram(CORPUS),
    "wordpiece": lambda: wordpiece(CORPUS),
}


@pytest.fixture(scope="module", params=SCHEMES)
def scheme(request):
    tokenizer = SCHEMES[request.param]()
    return request.param, tokenizer, Vocabulary.from_tokenizer(tokenizer)


@pytest.fixture(scope="module")
def llama3():
    return byte_level(CORPUS)


@pytest.mark.parametrize("name", TEXTS)
def test_token_bytes_give_back_the_text(scheme, name):
    kind, tokenizer, vocabulary = scheme
    text, pieces = TEXTS[name], token_texts(tokenizer)
    assert len(pieces) == vocabulary.size == len(tokenizer)
    joined = b"".join(pieces[i] for i in encode(tokenizer, text)).decode()
    if kind == "wordpiece":  # it lower-cases and forgets white space
        assert "".join(joined.split()) == "".join(text.lower().split())
    elif kind in ("sentencepiece", "fallback", "unigram"):
        assert joined == " " + text
    else:
        assert joined == text


@pytest.mark.parametrize("name", TEXTS)
def test_words_of_a_text(scheme, name):
    kind, tokenizer, vocabulary = scheme
    text = TEXTS[name]
    if kind == "wordpiece":
        # Its words end at every mark; what it knows of the text is the text with its marks spaced out.
        text = re.sub(r"([!-/:-@\[-`{-~“”„«»—–…।؟،؛。、「」！？：；，（）])", r" \1 ", text)
    if kind in ("bytes", "fallback"):
        # The one approximation: a mark of Chinese or Japanese, split, begins with the byte of a kana.
        marks = re.findall("[。、「」]", text)
        assert sum(count(vocabulary, encode(tokenizer, text))) == count_words(text) + len(marks)
    else:
        assert sum(count(vocabulary, encode(tokenizer, text))) == count_words(text)


@pytest.mark.parametrize("name", TEXTS)
def test_words_of_every_prefix_and_from_every_begin(scheme, name):
    """A word is counted at the token that brings its first letter, and begin hides all that came before."""
    kind, tokenizer, vocabulary = scheme
    if kind in ("bytes", "fallback", "wordpiece"):
        name = "english"
    ids, pieces = encode(tokenizer, TEXTS[name])[:120], token_texts(tokenizer)
    checked = 0
    for begin in range(0, len(ids), 5):
        words = count(vocabulary, ids, begin)
        assert words[:begin] == [0] * begin
        for end in range(begin, len(ids) + 1):
            try:
                part = b"".join(pieces[i] for i in ids[begin:end]).decode()
            except UnicodeDecodeError:  # it begins or ends inside a character
                continue
            assert sum(words[:end]) == count_words(part), (part, words[begin:end])
            checked += 1
    assert checked > len(ids)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("event", CHARACTERS)
def test_tokens_that_carry_an_event(scheme, name, event):
    """A token carries an event where a match in the text lies inside it: "--" cut in two lies in none.

    No text here has a letter after " -": the token " -" would be a dash there, and the text would show none.
    """
    _, tokenizer, vocabulary = scheme
    ids, pieces = encode(tokenizer, TEXTS[name]), token_texts(tokenizer)
    text = b"".join(pieces[i] for i in ids).decode()
    matches = [
        tuple(len(text[:index].encode()) for index in match.span(1))
        for match in re.finditer(f"(?=({CHARACTERS[event]}))", text)
    ]
    expected, start = [], 0
    for i in ids:
        end = start + len(pieces[i])
        expected.append(any(start <= first and last <= end for first, last in matches))
        start = end
    assert vocabulary.events[event][ids].tolist() == expected


def test_events_count_characters_where_no_token_holds_two(scheme):
    """Unambiguous without doubled marks and abbreviations: "U.S." may be one token with two sentence ends."""
    kind, tokenizer, vocabulary = scheme
    text = re.sub(r"\w\.\w\.", "x", TEXTS["english"])
    ids = encode(tokenizer, text)
    for event, pattern in CHARACTERS.items():
        expected = len(re.findall(pattern, text))
        assert expected or event == "ellipsis", "the text must hold the event"
        if kind == "wordpiece" and event in ("newline", "dash"):
            expected = {"newline": 0, "dash": 2}[event]  # no newlines, and a hyphen without its space
        if kind in ("bytes", "fallback") and event in ("dash", "quote"):
            continue  # split characters: see test_tokens_that_carry_an_event
        assert vocabulary.events[event][ids].sum() == expected, event


@pytest.mark.parametrize(
    ("raw", "words_outside", "words_inside", "state", "events"),
    [
        (b"", 0, 0, -1, set()),
        (b" ", 0, 0, 0, set()),
        (b" the", 1, 1, 1, set()),
        (b"ing", 1, 0, 1, set()),
        (b"a b", 2, 1, 1, set()),
        (b"a ", 1, 0, 0, set()),
        (b"'", 0, 0, -1, set()),
        (b"...", 0, 0, -1, {"ellipsis", "sentence_end"}),
        (b'?"\n\n', 0, 0, 0, {"question_exclamation", "sentence_end", "quote", "newline"}),
        (b" -", 0, 0, 0, {"dash"}),
        (b" - ", 0, 0, 0, {"dash"}),
        (b" -x", 1, 1, 1, set()),
        (b"-", 0, 0, -1, set()),
        (b"\n-", 0, 0, 0, {"newline"}),
        (b"--", 0, 0, -1, {"dash"}),
        (b"[", 0, 0, -1, set()),
        ("中国".encode(), 2, 2, 0, set()),
        ("a中b".encode(), 3, 2, 1, set()),
        ("ーの".encode(), 2, 2, 0, set()),
        ("。」".encode(), 0, 0, -1, {"sentence_end", "quote"}),
        ("\u3000".encode(), 0, 0, 0, set()),  # the ideographic space
        ("한국".encode(), 1, 0, 1, set()),
        ("१९".encode(), 1, 0, 1, set()),
        (b"\xe4", 1, 1, 0, set()),  # begins a Han character
        (b"\xe4\xb8", 1, 1, 0, set()),
        (b"\xad\xe4", 1, 1, 0, set()),  # the end of one and the begin of the next
        (b"\xb8\xad", 0, 0, -1, set()),  # continuations
        (b"\xe3\x80", 0, 0, -1, set()),  # 。、「」 and their like
        (b"\xe3\x81", 1, 1, 0, set()),  # hiragana
        (b"\xc3", 1, 0, 1, set()),  # é, ü
        (b" \xd0", 1, 1, 1, set()),  # Cyrillic
        (b"\xd8", 1, 0, 1, set()),  # Arabic
        (b"\xe0\xa4", 1, 0, 1, set()),  # Devanagari
        (b"\xed", 1, 0, 1, set()),  # Hangul
        (b"\xcc", 0, 0, -1, set()),  # combining accents
        (b"\xe2\x80", 0, 0, -1, set()),  # dashes and curly quotes
        (b"\xc2", 0, 0, -1, set()),
        (b"\xef\xbc", 0, 0, -1, set()),  # ，！？
        (b"\xf0\x9f", 0, 0, -1, set()),  # emoji
        (b"\xf0", 0, 0, -1, set()),
        (b"\xf0\xa0", 1, 1, 0, set()),  # rare Han
        (b" -\xc3", 1, 1, 1, set()),  # a letter follows the hyphen
        (b"\xff. a", 1, 1, 1, {"sentence_end"}),
        (None, 0, 0, 0, set()),
    ],
)
def test_one_token(raw, words_outside, words_inside, state, events):
    assert classify(raw) == (words_outside, words_inside, state, events)


def test_special_tokens_end_a_chunk_and_carry_only_end_of_text(llama3):
    vocabulary = Vocabulary.from_tokenizer(llama3)
    a, b, bos, eos = *encode(llama3, "ab"[:1]), *encode(llama3, "b"), llama3.bos_token_id, llama3.eos_token_id
    assert count(vocabulary, [a, b]) == [1, 0]
    assert count(vocabulary, [a, bos, b]) == [1, 0, 1]
    assert count(vocabulary, [bos, a, eos, b, b]) == [0, 1, 0, 1, 0]
    assert vocabulary.end_of_text == (eos,)
    assert vocabulary.events["end_of_text"].nonzero().flatten().tolist() == [eos]
    for i in llama3.all_special_ids:
        assert [name for name in EVENTS if vocabulary.events[name][i]] == ["end_of_text"] * (i == eos)


def test_added_tokens(llama3):
    tokenizer = byte_level(CORPUS)
    tokenizer.add_tokens(["été, oui "])  # literal text, not byte-level's spelling of bytes
    tokenizer.add_tokens(["<|im_end|>."], special_tokens=True)
    vocabulary = Vocabulary.from_tokenizer(tokenizer, end_of_text=[tokenizer.eos_token_id, len(tokenizer) - 1])
    plain, special = len(tokenizer) - 2, len(tokenizer) - 1
    assert token_texts(tokenizer)[plain:] == ["été, oui ".encode(), None]
    assert vocabulary.words_outside[[plain, special]].tolist() == [2, 0]
    assert vocabulary.state_after[[plain, special]].tolist() == [0, 0]
    assert bool(vocabulary.events["comma"][plain])
    assert not bool(vocabulary.events["sentence_end"][special])
    assert vocabulary.events["end_of_text"].nonzero().flatten().tolist() == sorted(vocabulary.end_of_text)
    assert vocabulary.fingerprint != Vocabulary.from_tokenizer(llama3).fingerprint


def test_an_ordinary_token_may_end_the_text(llama3):
    (a, dot), b = encode(llama3, "a."), encode(llama3, "b")[0]
    vocabulary = Vocabulary.from_tokenizer(llama3, end_of_text=[dot, dot])
    assert vocabulary.end_of_text == (dot,)
    assert bool(vocabulary.events["sentence_end"][dot])
    assert bool(vocabulary.events["end_of_text"][dot])
    assert not bool(vocabulary.events["end_of_text"][llama3.eos_token_id])
    assert count(vocabulary, [a, dot, b]) == [1, 0, 1]
    assert count(Vocabulary.from_tokenizer(llama3), [a, dot, b]) == [1, 0, 0]


def test_ends_of_a_generation_config_of_another_vocabulary(llama3):
    """GPT2Config keeps 50256 whatever its vocab_size, LlamaConfig 2, which may be any token of a new tokenizer."""
    dot, eos = encode(llama3, ".")[0], llama3.eos_token_id

    def model(*ends):
        generation_config = SimpleNamespace(eos_token_id=list(ends))
        return SimpleNamespace(generation_config=generation_config, config=SimpleNamespace(vocab_size=len(llama3)))

    assert end_of_text_ids(llama3, model(eos, 50256)) == (eos,)
    assert end_of_text_ids(llama3, model(dot)) == tuple(sorted((dot, eos)))
    assert [*unlikely_ends(llama3, model(eos))] == []
    beyond, ordinary = unlikely_ends(llama3, model(eos, 50256, dot))
    assert f"generation config's eos_token_id 50256 is beyond the model's vocabulary of {len(llama3):,}" in beyond
    assert f"generation config's eos_token_id {dot} is '.', no special token" in ordinary


def test_word_level_tokens_are_joined_by_spaces():
    """A toy tokenizer without a decoder: its text is "a b", its words are its tokens with letters."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2, ".": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    vocabulary = Vocabulary.from_tokenizer(fast)
    assert vocabulary.end_of_text == ()
    assert not vocabulary.events["end_of_text"].any()
    assert count(vocabulary, encode(fast, "a b a. b")) == [1, 1, 1, 0, 1]


def test_character_level_tokens_hold_their_own_spaces():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, " ": 2, "<unk>": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert count(Vocabulary.from_tokenizer(fast), encode(fast, "ab a")) == [1, 0, 0, 1]


class Slow:
    """What a tokenizer without a Rust backend offers."""

    def __init__(self, fast):
        self.fast = fast
        self.all_special_ids, self.eos_token_id = fast.all_special_ids, fast.eos_token_id
        self.added_tokens_decoder = fast.added_tokens_decoder

    def get_vocab(self):
        return self.fast.get_vocab()

    def decode(self, ids):
        return self.fast.decode(ids)


def test_slow_tokenizers_are_read_by_their_vocabulary(scheme):
    _, tokenizer, _ = scheme
    assert token_texts(Slow(tokenizer)) == token_texts(tokenizer)


def test_unknown_slow_tokenizers_are_decoded():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, " b.": 1, "<unk>": 2}, unk_token="<unk>"))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert token_texts(Slow(fast)) == [b"a", b" b.", None]


def test_begin_of_each_row_and_empty_texts(llama3):
    vocabulary = Vocabulary.from_tokenizer(llama3)
    ids = encode(llama3, TEXTS["mixed"])
    begins = torch.tensor([0, 3, len(ids) - 1, len(ids), len(ids) + 5])
    words = word_starts(vocabulary, torch.tensor([ids] * 5), begins)
    assert words.dtype == torch.long
    assert [row.tolist() for row in words] == [count(vocabulary, ids, int(begin)) for begin in begins]
    assert words[3:].sum() == 0
    assert word_starts(vocabulary, torch.zeros(2, 0, dtype=torch.long), torch.tensor([0, 1])).shape == (2, 0)
    assert word_starts(vocabulary, torch.zeros(0, 4, dtype=torch.long), torch.zeros(0)).shape == (0, 4)


def test_word_starts_is_the_automaton(scheme):
    """Random tokens, specials included, against the recursion position by position."""
    _, _, vocabulary = scheme
    generator = random.Random(0)
    tokens = [[generator.randrange(vocabulary.size) for _ in range(60)] for _ in range(8)]
    begins = [generator.randrange(60) for _ in tokens]
    expected = []
    for row, begin in zip(tokens, begins, strict=True):
        state, words = 0, [0] * begin
        for i in row[begin:]:
            table = vocabulary.words_inside if state else vocabulary.words_outside
            words.append(int(table[i]))
            state = state if vocabulary.state_after[i] < 0 else int(vocabulary.state_after[i])
        expected.append(words)
    assert word_starts(vocabulary, torch.tensor(tokens), torch.tensor(begins)).tolist() == expected


def test_padding_rows_of_the_lm_head(llama3):
    plain, padded = (Vocabulary.from_tokenizer(llama3, size=size) for size in (None, len(llama3) + 64))
    assert (plain.size, padded.size) == (len(llama3), len(llama3) + 64)
    assert tuple(padded.events) == EVENTS
    for name in EVENTS:
        assert padded.events[name].shape == (padded.size,)
        assert padded.events[name].dtype == torch.bool
        assert not padded.events[name][plain.size :].any()
        assert torch.equal(padded.events[name][: plain.size], plain.events[name])
    for name, filler in (("words_outside", 0), ("words_inside", 0), ("state_after", -1)):
        table = getattr(padded, name)
        assert table.dtype == torch.long
        assert table[plain.size :].eq(filler).all()
        assert torch.equal(table[: plain.size], getattr(plain, name))
    assert padded.fingerprint == plain.fingerprint


def test_an_lm_head_smaller_than_the_tokenizer(llama3):
    vocabulary = Vocabulary.from_tokenizer(llama3, size=300)
    assert {len(vocabulary.words_outside), *map(len, vocabulary.events.values())} == {300}
    with pytest.raises(ValueError, match=r"\[300\] are outside the vocabulary of 300 .*resize_token_embeddings"):
        Vocabulary.from_tokenizer(llama3, size=300, end_of_text=[1, 300])


def test_require_names_the_statistic_the_event_what_there_is_and_the_mend():
    vocabulary = Vocabulary.from_tokenizer(byte_level(["a"], vocab_size=259), end_of_text=())
    vocabulary.require("comma", "comma_gap")
    with pytest.raises(ValueError, match="'dash_gap' wants the event 'dash'") as error:
        vocabulary.require("dash", "dash_gap")
    has = "sentence_end, comma, colon_semicolon, quote, question_exclamation, parenthesis, newline"
    assert f"It has: {has}. To mend this, drop 'dash_gap' or use a tokenizer" in str(error.value)
    with pytest.raises(ValueError, match=r"eos_token or pass end_of_text ids"):
        vocabulary.require("end_of_text", "text_length")
    with pytest.raises(ValueError, match="'semicolon', which no entry"):
        vocabulary.require("semicolon", "mine")


def test_to_moves_every_table(llama3):
    vocabulary = Vocabulary.from_tokenizer(llama3).to("meta")
    tables = [
        *vocabulary.events.values(),
        vocabulary.words_outside,
        vocabulary.words_inside,
        vocabulary.state_after,
    ]
    assert {table.device.type for table in tables} == {"meta"}
    assert vocabulary.human_frequency is None


def test_fingerprint_survives_saving_and_other_processes(scheme, tmp_path):
    kind, tokenizer, vocabulary = scheme
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    again.pad_token = again.eos_token
    again(["a", "b c"], padding=True, truncation=True, max_length=3)  # leaves its mark in the backend
    assert Vocabulary.from_tokenizer(again).fingerprint == vocabulary.fingerprint
    if kind == "llama3":
        program = (
            "import sys; from transformers import AutoTokenizer\n"
            "from dft_plugin.vocabulary import Vocabulary\n"
            "print(Vocabulary.from_tokenizer(AutoTokenizer.from_pretrained(sys.argv[1])).fingerprint)"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
        command = [sys.executable, "-c", program, str(tmp_path)]
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert printed.split()[-1] == vocabulary.fingerprint


def test_fingerprints_differ_with_the_vocabulary_the_merges_and_the_pre_tokenizer():
    merges = [("a", "b"), ("b", "a"), ("ab", "a"), ("a", "ba")]

    def fingerprint(names: str, order: list[int], digits: bool = False) -> str:
        vocab = {name: i for i, name in enumerate(names.split())}
        tokenizer = Tokenizer(models.BPE(vocab, [merges[i] for i in order]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=digits)
        tokenizer.decoder = decoders.ByteLevel()
        return Vocabulary.from_tokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer)).fingerprint

    prints = [
        fingerprint("a b ab ba aba", [0, 1, 2]),
        fingerprint("b a ab ba aba", [0, 1, 2]),
        fingerprint("a b ab ba aba", [1, 0, 2]),
        fingerprint("a b ab ba aba", [0, 1, 3]),
        fingerprint("a b ab ba aba", [0, 1, 2], digits=True),
    ]
    assert len(set(prints)) == len(prints)
    assert {len(digest) for digest in prints} == {64}


@pytest.mark.skipif(not (SHARED / "data/models").is_dir(), reason="no ../shared/data/models")
@pytest.mark.parametrize("name", ["stories260K", "TinyStories-656K"])
def test_real_tokenizers_on_real_text(name):
    tokenizer = AutoTokenizer.from_pretrained(SHARED / "data/models" / name)
    vocabulary, pieces = Vocabulary.from_tokenizer(tokenizer), token_texts(tokenizer)
    with gzip.open(SHARED / "data/corpora/children.jsonl.gz", "rt") as lines:
        texts = [json.loads(next(lines))["text"][:4000] for _ in range(20)]
    for text in texts:
        ids = encode(tokenizer, text)
        if name == "stories260K":  # the other drops the characters it does not know
            assert b"".join(pieces[i] for i in ids).decode() == " " + text
        seen = b"".join(b" " if pieces[i] is None else pieces[i] for i in ids).decode()
        assert sum(count(vocabulary, ids)) == count_words(seen)
        for event in ("comma", "colon_semicolon", "parenthesis"):
            assert vocabulary.events[event][ids].sum() == len(re.findall(CHARACTERS[event], seen))
