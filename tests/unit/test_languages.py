"""Sentences, words and marks of other languages than English: the statistics against counting over decoded text.

The texts were written for this test. A word is counted where its first letter or digit stands; a Han or kana
character is a word, any other run between white space is one if it holds a letter or digit.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from dft_plugin import plugins
from dft_plugin.statistics.base import Statistic
from dft_plugin.texts import Window
from dft_plugin.vocabulary import Vocabulary, classify, token_texts
from dft_plugin.written import Written

TEXTS = {
    "chinese": (
        "早上下了一場大雨，街上沒有人。老張撐著傘去買菜；他想：“今天吃什麼呢？”賣魚的說（笑著）：“鱸魚，很新鮮！”\n"
        "他買了兩條魚、三個番茄……回家以後，雨停了。你說巧不巧？他用iPhone 15拍了一張照片。真好！！"
    ),
    "japanese": (
        "朝から雨が降っていた。母は「傘を持って行きなさい」と言った、けれども、私は聞かなかった。\n"
        "駅に着くと、もう電車はいない！ どうしよう？ 次は９時１５分だ……（遅刻かな？）コーヒーでも飲もう。"
    ),
    "korean": (
        "아침부터 비가 왔다. 어머니가 “우산을 가져가라.” 하고 말씀하셨지만, 나는 듣지 않았다.\n"
        "역에 도착하니 기차는 이미 떠났다! 어떡하지? 다음 기차는 9시 15분이다… (늦겠는걸.) 커피나 마시자."
    ),
    "hindi": (
        "सुबह से बारिश हो रही थी। माँ ने कहा, “छाता ले जाओ!” पर मैंने नहीं सुना; मुझे जल्दी थी।\n"
        "क्या गाड़ी चली गई? हाँ, चली गई। अगली गाड़ी ९ बजे है… (देर हो जाएगी।) चलो, चाय पीते हैं॥"
    ),
    "arabic": (
        "كان المطر يهطل منذ الصباح. قالت أمي: «خذ المظلة معك!» لكنني لم أسمع، فقد كنت مستعجلا؛ خرجت مسرعا.\n"
        "هل فات القطار؟ نعم، فات القطار. القطار التالي في الساعة ٩… (سأتأخر.) ما العمل؟! سأشرب القهوة، ثم أنتظر."
    ),
    "french": (
        "Dès l'aube, il pleuvait à verse. « Prends ton parapluie ! » cria ma mère ; je n'écoutais pas, hélas…\n"
        "Le train est-il déjà parti ? Eh oui : il était parti. Où aller ? J'ai bu un café (très serré) — c'était Noël !"
    ),
    "german": (
        "Seit dem frühen Morgen goß es. „Nimm den Schirm mit!“, rief die Mutter; ich hörte nicht zu, natürlich.\n"
        "War der Zug schon weg? Ja – über alle Berge … Was nun? Ich trank Kaffee (schwarz, süß) und wartete: 9 Minuten."
    ),
    "polish": (
        "Od świtu lało jak z cebra. „Weź parasol!” — zawołała matka; nie słuchałem, niestety…\n"
        "Czy pociąg już odjechał? Owszem, odjechał. Cóż było robić? Wypiłem kawę (gorzką), żółć mnie zalała: źle."
    ),
    "spanish": (
        "Llovía desde el amanecer. «¡Llévate el paraguas!», gritó mi madre; no la escuché, claro…\n"
        "¿Se había ido ya el tren? Sí, se fue. ¿Y ahora qué? ¡Qué lástima! Tomé un café (sin azúcar) — ¡y esperé!"
    ),
}
# Counted by hand: words of each sentence that ends.
BY_HAND = {
    "chinese": [13, 16, 11, 10, 7, 5, 10, 2],
    "japanese": [10, 28, 13, 5, 7, 4, 9],
    "korean": [3, 3, 5, 5, 1, 4, 1, 2],
    "hindi": [6, 6, 7, 4, 3, 5, 3, 4],
    "arabic": [5, 5, 8, 3, 3, 5, 1, 2, 4],
    "french": [6, 3, 7, 5, 5, 2, 8],
    "german": [6, 4, 8, 5, 4, 2, 9],
    "polish": [6, 2, 5, 4, 2, 3, 7],
    "spanish": [4, 3, 7, 6, 3, 3, 2, 7],
}
MARKS = {
    "sentence_end": ".!?…。！？؟।॥",
    "comma": ",，、،",
    "dash": "—–",
    "colon_semicolon": ":;：；؛",
    "quote": "“”„«»「」",
    "question_exclamation": "?!？！؟",
    "ellipsis": "…",
    "parenthesis": "()（）",
    "newline": "\n",
}
CHARACTER = re.compile("[々ぁ-ゖァ-ヺー一-鿿]")
LONGEST = 40


@cache
def tokenizer(language: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE, trained until no character of the text is split."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1200, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([TEXTS[language]] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


@cache
def vocabulary(language: str) -> Vocabulary:
    return Vocabulary.from_tokenizer(tokenizer(language))


def words(text: str) -> list[int]:
    """Where each word's first letter or digit stands."""
    found, inside = [], False
    for index, character in enumerate(text):
        if CHARACTER.match(character):
            found.append(index)
            inside = False
        elif character.isspace():
            inside = False
        elif character.isalnum() and not inside:
            found.append(index)
            inside = True
    return found


def intervals(text: str, kind: str) -> tuple[list[int], int]:
    """Words in each stretch of the text that a mark ends, and in what follows the last mark."""
    ends = [index for index, character in enumerate(text) if character in MARKS[kind]]
    edges = [0, *ends, len(text)]
    *ended, tail = [sum(begin <= at < end for at in words(text)) for begin, end in pairwise(edges)]
    return [count for count in ended if count], tail  # two marks without a word between are one


def counted(name: str, language: str, terms: bool, **options: Any) -> tuple[Statistic, list[Tensor]]:
    """A statistic, and its accumulators over the text: counted, or by its terms as for generated text."""
    kind = plugins.statistic(name)
    statistic = kind(vocabulary(language), kind.Options.model_validate(options))
    tokens = tokenizer(language)(TEXTS[language])["input_ids"]
    # After a prompt of one token, so that every token of the text is counted.
    written = Written.of([Window((0, *tokens), 1, 1, True)])
    count = Statistic.count if terms else kind.count
    accumulators = count(statistic, written, np.zeros(1, dtype=np.int64), 1)
    return statistic, [torch.as_tensor(np.asarray(entry)).double().reshape(1, -1) for entry in accumulators]


every_language = pytest.mark.parametrize("language", TEXTS)
both_ways = pytest.mark.parametrize("terms", [False, True], ids=["counted", "terms"])


@every_language
def test_no_character_of_the_texts_is_split(language: str) -> None:
    """Or the counts below would only be approximate; and the tokens are not single characters."""
    pieces = token_texts(tokenizer(language))
    tokens = tokenizer(language)(TEXTS[language])["input_ids"]
    assert "".join((pieces[token] or b"").decode() for token in tokens) == TEXTS[language]
    assert len(tokens) < 0.7 * len(TEXTS[language])


@every_language
def test_plain_counting_agrees_with_counting_by_hand(language: str) -> None:
    assert intervals(TEXTS[language], "sentence_end") == (BY_HAND[language], 0)


@every_language
@both_ways
def test_words_of_sentences(language: str, terms: bool) -> None:
    _, (ended, at_risk) = counted("sentence_length", language, terms, longest=LONGEST)
    lengths = Counter(BY_HAND[language])
    assert ended[0].tolist() == [lengths[age] for age in range(1, LONGEST + 1)]
    assert at_risk[0].tolist() == [sum(length >= age for length in BY_HAND[language]) for age in range(1, LONGEST + 1)]


@every_language
@both_ways
@pytest.mark.parametrize("name", ["punctuation_rhythm", "paragraph_length"])
def test_words_between_marks(language: str, terms: bool, name: str) -> None:
    statistic, accumulators = counted(name, language, terms, longest=LONGEST, width=1)
    shown = set()
    for kind, ended, at_risk in zip(statistic.present, accumulators[::2], accumulators[1::2], strict=True):
        lengths, tail = intervals(TEXTS[language], kind)
        ages = range(1, LONGEST + 1)
        assert ended[0].tolist() == [lengths.count(age) for age in ages], kind
        assert at_risk[0].tolist() == [sum(length >= age for length in [*lengths, tail]) for age in ages], kind
        shown |= {kind} if lengths else set()
    if name == "punctuation_rhythm":  # or there was nothing to count
        assert shown >= {"comma", "quote", "question_exclamation", "ellipsis", "parenthesis"}


@every_language
@both_ways
def test_first_words_of_sentences(language: str, terms: bool) -> None:
    text, encoding = TEXTS[language], tokenizer(language)(TEXTS[language], return_offsets_mapping=True)
    ends = [-1, *(index for index, character in enumerate(text) if character in MARKS["sentence_end"])]
    opened: Counter[int] = Counter()
    for begin, end in pairwise(ends):
        places = [at for at in words(text) if begin < at < end]
        for token, (start, stop) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
            if places and start <= places[0] < stop:
                opened[token] += 1
    statistic, accumulators = counted("sentence_opening", language, terms)
    expected = torch.zeros(1, vocabulary(language).size, dtype=torch.float64)
    for token, count in opened.items():
        expected[0, token] = count / len(BY_HAND[language])
    torch.testing.assert_close(statistic.summarize(accumulators)["opening"], expected)


def test_marks_that_open_a_sentence_end_none() -> None:
    for text in ("¿", "¡", " ¿", "«", "（", "「"):
        assert not classify(text.encode())[3] & {"sentence_end", "question_exclamation"}, text


def test_full_stops_and_commas_of_other_scripts() -> None:
    """Of Urdu, Hindi, Khmer, Burmese, Armenian and Amharic."""
    assert [classify(mark.encode())[3] for mark in "۔।។။։።"] == [{"sentence_end"}] * 6
    assert [classify(mark.encode())[3] for mark in "،՝፣"] == [{"comma"}] * 3
    assert classify(" լավ է։".encode())[3] == classify(" ነው።".encode())[3] == {"sentence_end"}


def test_hebrew_in_bytes() -> None:
    """Half of the characters that begin with 0xD7 are not assigned; of those that are, most are letters."""
    tables = [classify(bytes([byte])) for byte in "שלום עולם".encode()]
    found, inside = 0, 0
    for words_outside, words_inside, state_after, _ in tables:
        found += words_inside if inside else words_outside
        inside = inside if state_after < 0 else state_after
    assert found == 2
