"""Perplexity of human text against the model's own loss, and under the sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from dft_plugin.evaluation.models import Loaded
from dft_plugin.evaluation.perplexity import human_windows, perplexities, surprisals
from dft_plugin.evaluation.prompts import Prompt
from dft_plugin.evaluation.texts import Text
from dft_plugin.sampling import Sampler
from tests import tiny
from tests.tiny import ASSISTANT, END, USER

TEXTS = [Text(text) for text in tiny.paragraphs()[:11]]
ANSWERED = [Text(text[40:160], text[:40]) for text in tiny.paragraphs()[:11]]


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def loaded(request: pytest.FixtureRequest) -> Loaded:
    attention = "eager" if request.param == "gemma2" else "sdpa"
    return Loaded(tiny.model(request.param, attention=attention).eval(), tiny.tokenizer())


def logits_of(loaded: Loaded, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = loaded.model(torch.tensor([tokens])).logits[0].float()
    return found


@pytest.mark.parametrize("texts", [TEXTS, ANSWERED])
def test_perplexity_is_the_exponential_of_the_models_mean_loss(loaded: Loaded, texts: list[Text]) -> None:
    rows = surprisals(loaded, human_windows(texts, loaded.tokenizer, 512), Sampler())
    total, count = 0.0, 0
    for text, row in zip(texts, rows, strict=True):
        before = loaded.tokenizer(text.prompt or "")["input_ids"]
        tokens = loaded.tokenizer((text.prompt or "") + text.text)["input_ids"]
        laws = logits_of(loaded, tokens).log_softmax(-1)
        start = 0
        while start < len(before) and tokens[start] == before[start]:
            start += 1
        start = max(1, start)
        loss = -sum(float(laws[i - 1, tokens[i]]) for i in range(start, len(tokens)))
        assert row[0] == len(tokens) - start
        assert row[1] == pytest.approx(loss, rel=1e-4)
        total, count = total + loss, count + len(tokens) - start
    found = perplexities(rows, 50, seed=0)
    assert found["perplexity"].value == pytest.approx(math.exp(total / count), rel=1e-4)
    assert found["covered"].value == 100
    assert found["sampler perplexity"].value == pytest.approx(found["perplexity"].value, rel=1e-5)


def test_a_chats_answer_is_predicted_from_the_tokens_it_is_generated_from(loaded: Loaded) -> None:
    messages = tuple({"role": role, "content": said} for role, said in (("user", "Hi?"), ("assistant", "Ho.")))
    asked = (*messages, {"role": "user", "content": "Go on."})
    (window,) = human_windows([Text("I do so.", "Go on.", asked)], loaded.tokenizer, 512)
    before = Prompt("Go on.", asked).tokens(loaded.tokenizer, 512)
    assert list(window.tokens[: window.first]) == before
    assert loaded.tokenizer.decode(before) == f"{USER}Hi?{ASSISTANT}Ho.{END}{USER}Go on.{ASSISTANT}"
    assert loaded.tokenizer.decode(window.tokens[window.first :]) == "I do so."


def spaced(*, ends: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer like SentencePiece's: it puts a space before every text, a begin of text, and, if asked, an end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], show_progress=False)
    backend.train_from_iterator(tiny.paragraphs()[:200], trainer)
    around = "<s> $A </s>" if ends else "<s> $A"
    backend.post_processor = processors.TemplateProcessing(single=around, special_tokens=[("<s>", 0), ("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def test_a_text_after_its_prompt_has_no_space_that_nobody_wrote() -> None:
    tokenizer = spaced()
    (window,) = human_windows([Text(". It is so, he said", "The list")], tokenizer, 512)
    assert list(window.tokens) == tokenizer("The list. It is so, he said")["input_ids"]
    assert list(window.tokens[: window.first]) == tokenizer("The list")["input_ids"]
    assert window.tokens[window.first] == tokenizer.get_vocab()["."]
    # Apart, a lone space stands before the full stop.
    apart = tokenizer(". It is so, he said", add_special_tokens=False)["input_ids"]
    assert apart[0] != tokenizer.get_vocab()["."]


def test_a_token_over_the_border_belongs_to_what_goes_on() -> None:
    tokenizer = tiny.tokenizer()
    prompt, rest = "So th", "e end of it"
    (window,) = human_windows([Text(rest, prompt)], tokenizer, 512)
    assert list(window.tokens) == tokenizer(prompt + rest)["input_ids"]
    before = tokenizer.decode(window.tokens[: window.first])
    assert prompt.startswith(before)
    assert before != prompt


def test_an_end_of_text_that_the_tokenizer_appends_is_dropped() -> None:
    plain, ending = spaced(), spaced(ends=True)
    assert ending("The list")["input_ids"][-1] == 1
    assert Prompt("The list").tokens(ending, 100) == plain("The list")["input_ids"]
    assert human_windows(TEXTS[:2], ending, 64) == human_windows(TEXTS[:2], plain, 64)
    assert human_windows(ANSWERED[:2], ending, 512) == human_windows(ANSWERED[:2], plain, 512)
    # One that was written stays.
    assert Prompt("The list</s>").tokens(ending, 100)[-1] == 1


def test_perplexities_say_whose_tokens_they_are_of_and_under_which_sampler() -> None:
    rows = np.array([[10.0, 30.0, 9.0, 20.0]] * 5)
    plain, named = perplexities(rows, 20, 0), perplexities(rows, 20, 0, "0123abcd", "temperature 0.8")
    assert {one.basis for one in plain.values()} == {"5 texts of at most 512 tokens"}
    assert named["perplexity"].basis == named["covered"].basis == "5 texts of at most 512 tokens of vocabulary 0123abcd"
    assert named["sampler perplexity"].basis == f"{named['perplexity'].basis}, temperature 0.8"
    for name, one in named.items():
        assert one.model_copy(update={"basis": ""}) == plain[name].model_copy(update={"basis": ""})


def test_under_a_truncated_sampler_only_what_it_can_draw_counts(loaded: Loaded) -> None:
    sampler = Sampler(temperature=0.7, top_k=40, top_p=0.9)
    windows = human_windows(TEXTS[:3], loaded.tokenizer, 512)
    rows = surprisals(loaded, windows, sampler)
    for window, row in zip(windows, rows, strict=True):
        covered, surprisal = 0, 0.0
        laws = logits_of(loaded, list(window.tokens))
        for i in range(1, len(window.tokens)):
            values, order = (laws[i - 1] / 0.7).sort(descending=True)
            law = values[:40].softmax(-1)  # top-k, and then the smallest set with 90 % of what is left
            kept = int((law.cumsum(-1) - law < 0.9).sum())
            law = law[:kept] / law[:kept].sum()
            place = (order[:kept] == window.tokens[i]).nonzero()
            if len(place):
                covered += 1
                surprisal -= math.log(float(law[int(place)]))
        assert row[2] == pytest.approx(covered, abs=1)  # a tie at the border may fall either way
        assert row[3] == pytest.approx(surprisal, rel=0.02, abs=0.2)
    found = perplexities(rows, 20, seed=0)
    assert found["covered"].value is not None
    assert 0 < found["covered"].value < 60
    assert found["covered"].better == "higher"


def test_intervals_are_those_of_a_ratio_of_means() -> None:
    generator = np.random.default_rng(0)
    count = generator.integers(50, 100, size=300).astype(float)
    rows = np.stack([count, count * generator.normal(3, 0.2, 300), count, count * 3], axis=1)
    found = perplexities(rows, 2000, seed=0)["perplexity"]
    assert found.interval is not None
    assert found.value is not None
    # The delta method: the standard error of the mean surprisal, weighed by length.
    mean = rows[:, 1].sum() / count.sum()
    error = np.sqrt(np.sum((rows[:, 1] - mean * count) ** 2)) / count.sum()
    assert found.value == pytest.approx(math.exp(mean))
    assert math.log(found.interval[1] / found.interval[0]) == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_nothing_to_predict_is_said() -> None:
    found = perplexities(np.zeros((0, 4)), 20, seed=0)
    assert {one.verdict for one in found.values()} == {"cannot be measured"}
    one = perplexities(np.array([[10.0, 30.0, 0.0, 0.0]]), 20, seed=0)
    assert one["perplexity"].value == pytest.approx(math.exp(3))
    assert one["perplexity"].interval is None
    assert (one["covered"].value, one["sampler perplexity"].verdict) == (0, "cannot be measured")
    assert human_windows([Text("a")], tiny.tokenizer(), 512) == []
