"""The rollout engine: its texts follow the sampler's law, and the model is left as it was found."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import chisquare
from torch import Tensor

from dft_plugin.rollout import TransformersEngine, continued, describe, forked_rng, seed_of
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Window
from tests import tiny

ENGINE = TransformersEngine()
GREEDY = Sampler(top_k=1)
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma2")
SAMPLERS = {
    "plain": Sampler(),
    "temperature": Sampler(temperature=0.6),
    "top_k": Sampler(top_k=5),
    "top_p": Sampler(top_p=0.7),
    "min_p": Sampler(min_p=0.2),
    "all": Sampler(temperature=1.3, top_k=12, top_p=0.9, min_p=0.05),
}


def contexts(*lengths: int) -> list[list[int]]:
    tokens = tiny.tokenizer()(" ".join(tiny.paragraphs()[:5]))["input_ids"]
    return [tokens[7 * row : 7 * row + length] for row, length in enumerate(lengths)]


def made(family: str, **options: Any) -> Any:
    attention = "eager" if family == "gemma2" else "sdpa"
    return tiny.model(family, attention=attention, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_left_padding_changes_no_continuation(family: str) -> None:
    """Greedily continued together, contexts of different lengths give what each gives alone, and without cache."""
    model = made(family, **({"sliding_window": 8} if family in ("mistral", "gemma2") else {}))
    batch = contexts(1, 5, 17, 11)
    together = ENGINE.generate(model, batch, GREEDY, 12, [], seed=0)
    for context, found in zip(batch, together, strict=True):
        tokens = list(context)
        for _ in range(12):
            logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
            tokens.append(int(logits.argmax()))
        assert found == tokens[len(context) :]


@pytest.mark.parametrize("dora", [False, True])
def test_adapters_leave_their_input_as_it_is_and_the_texts_are_the_same(dora: bool) -> None:
    """Under autocast LoRA's cast of its input to float32 is undone by both products: no digit depends on it."""
    model = get_peft_model(made("llama").bfloat16(), LoraConfig(target_modules="all-linear", use_dora=dora)).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    batch = contexts(5, 3, 9, 7)
    seen: list[torch.dtype] = []
    product = model.base_model.model.model.layers[0].mlp.up_proj.lora_A["default"]
    product.register_forward_pre_hook(lambda module, given: seen.append(given[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        found = ENGINE.generate(model, batch, Sampler(), 12, [], seed=0)
        alone, width = set(seen), max(map(len, batch))
        rows = torch.tensor([[0] * (width - len(row)) + row for row in batch])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch])
        seen.clear()
        model.generation_config.eos_token_id = None  # the engine was given none
        with forked_rng(torch.device("cpu"), 0), torch.no_grad():
            plain = model.generate(input_ids=rows, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=12)
    assert plain[:, width:].tolist() == found
    assert alone == {torch.float32 if dora else torch.bfloat16}
    assert set(seen) == {torch.float32}  # the flag is back


def test_the_end_of_text_is_kept_and_what_follows_is_not() -> None:
    model = made("llama")
    without = ENGINE.generate(model, contexts(3, 9, 6), GREEDY, 12, [], seed=0)
    end = [without[0][4], without[1][2]]
    found = ENGINE.generate(model, contexts(3, 9, 6), GREEDY, 12, end, seed=0)
    for text, whole in zip(found, without, strict=True):
        places = [index for index, token in enumerate(whole) if token in end]
        assert text == (whole[: places[0] + 1] if places else whole)
    assert len(found[0]) <= 5
    assert found[0][-1] in end


def test_the_models_own_generation_defaults_do_not_enter() -> None:
    model = made("llama")
    expected = ENGINE.generate(model, contexts(4, 8), Sampler(), 12, [0], seed=5)
    model.generation_config.update(
        repetition_penalty=5.0, temperature=0.1, top_k=1, suppress_tokens=list(range(2, 300)), do_sample=False
    )
    assert ENGINE.generate(model, contexts(4, 8), Sampler(), 12, [0], seed=5) == expected
    assert model.generation_config.repetition_penalty == 5.0


def test_the_same_seed_gives_the_same_texts_and_another_others() -> None:
    model = made("llama")
    first = ENGINE.generate(model, contexts(4, 8), Sampler(), 12, [0], seed=5)
    assert ENGINE.generate(model, contexts(4, 8), Sampler(), 12, [0], seed=5) == first
    assert ENGINE.generate(model, contexts(4, 8), Sampler(), 12, [0], seed=6) != first


def test_random_state_is_untouched() -> None:
    before = torch.get_rng_state()
    ENGINE.generate(made("llama"), contexts(4, 8), Sampler(), 6, [0], seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    python, numpy = random.getstate(), np.random.get_state()[1].tolist()
    with forked_rng(torch.device("cpu"), 3):
        _ = torch.rand(5), random.random(), np.random.rand()
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy


def test_seeds_differ_by_every_part() -> None:
    parts = [(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1), (11,), (0, 0, 0), (0, 0, -1)]
    seeds = [seed_of(*part) for part in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(1, 2) == seed_of(1, 2)


@pytest.mark.parametrize("training", [False, True])
def test_modes_are_restored(training: bool) -> None:
    model = made("llama").train(training)
    odd = model.model.layers[1].mlp
    odd.train(not training)
    modes = [module.training for module in model.modules()]
    ENGINE.generate(model, contexts(4), Sampler(), 3, [0], seed=0)
    assert [module.training for module in model.modules()] == modes


def test_modes_are_restored_after_an_error() -> None:
    model = made("llama").train()
    own = model.generation_config
    with pytest.raises(IndexError):
        ENGINE.generate(model, [[tiny.VOCABULARY + 5]], Sampler(), 3, [0], seed=0)
    assert model.training
    assert model.generation_config is own


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_and_dropout_in_training_change_no_text(reentrant: bool, adapted: bool) -> None:
    """In training mode the cache is dropped but one token is fed per step: the texts would silently be wrong."""
    model = made("llama", attention_dropout=0.3)
    if adapted:
        model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", lora_dropout=0.3))
    expected = ENGINE.generate(model.eval(), contexts(4, 9), Sampler(), 12, [], seed=2)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    assert ENGINE.generate(model.train(), contexts(4, 9), Sampler(), 12, [], seed=2) == expected


def test_adapters_are_part_of_what_is_sampled() -> None:
    model = made("llama")
    plain = ENGINE.generate(model, contexts(6), GREEDY, 12, [], seed=0)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data.mul_(30)
    assert ENGINE.generate(adapted, contexts(6), GREEDY, 12, [], seed=0) != plain


def law(model: Any, tokens: list[int], sampler: Sampler) -> Tensor:
    """The sampler's own law of the next token, as the term differentiates it: (V,)."""
    logits = model(input_ids=torch.tensor([tokens])).logits[0, -1:].double()
    # A token that is drawn keeps its logit; the likeliest is never left out by any filter.
    return torch.softmax(sampler(logits, logits.argmax(-1)), dim=-1)[0].detach()


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampled_frequencies_follow_the_samplers_law(name: str) -> None:
    """First and second tokens after contexts of different lengths: chi-square at 0.1 % with a fixed seed."""
    sampler, draws = SAMPLERS[name], 1500
    model = made("llama", vocab_size=24, initializer_range=0.25)
    with torch.no_grad():
        short, long = [5, 9], [3, 7, 11, 2, 8, 20]
        texts = ENGINE.generate(model, [short, long] * draws, sampler, 2, [], seed=4)
        for offset, context in enumerate((short, long)):
            mine = texts[offset::2]
            expected = law(model, context, sampler)
            _same_law(Counter(text[0] for text in mine), expected)
            commonest = Counter(text[0] for text in mine).most_common(1)[0][0]
            after = Counter(text[1] for text in mine if text[0] == commonest)
            _same_law(after, law(model, [*context, commonest], sampler))


def _same_law(found: Counter[int], expected: Tensor) -> None:
    assert all(expected[token] > 0 for token in found), "a token was drawn that the law leaves out"
    total = sum(found.values())
    # The rare ones together, as the test is only valid for counts that are not small.
    common = [token for token in range(len(expected)) if float(expected[token]) * total >= 5]
    rest = total - sum(found[token] for token in common)
    rest_expected = total - total * float(expected[common].sum())
    counts = [found[token] for token in common]
    means = [total * float(expected[token]) for token in common]
    if rest_expected >= 1:
        counts, means = [*counts, rest], [*means, rest_expected]
    assert rest <= 5 * rest_expected + 5
    if len(counts) > 1:
        scale = sum(counts) / sum(means)
        assert chisquare(counts, [mean * scale for mean in means]).pvalue > 1e-3


def test_a_drawn_token_keeps_its_probability() -> None:
    """Rounding between cached generation and the forward pass may put it outside the filter."""
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    sampler = Sampler(top_k=2)
    assert torch.isfinite(sampler(logits, torch.tensor([0]))[0]).tolist() == [True, True, False, False]
    assert torch.isfinite(sampler(logits, torch.tensor([3]))[0]).tolist() == [True, True, False, True]


def test_continued_windows() -> None:
    windows = [Window((1, 2, 3, 4, 5), 0, 2, True), Window((6, 7, 8, 9), 3, 3, True)]
    texts = continued(windows, [[10, 11, 12], [13]])
    assert texts.tokens.tolist() == [[1, 2, 10, 11, 12], [6, 7, 8, 13, 0]]
    assert texts.begin.tolist() == [0, 3]
    assert texts.first.tolist() == [2, 3]
    assert texts.end.tolist() == [5, 4]


def test_description() -> None:
    tokenizer = tiny.tokenizer()
    before, after = tokenizer("A name")["input_ids"], tokenizer(" is bound.")["input_ids"]
    texts = continued([Window(tuple(before), 0, len(before), True)], [after])
    assert describe(tokenizer, texts, 0) == "A name >>>  is bound."
