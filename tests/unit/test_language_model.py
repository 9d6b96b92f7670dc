"""Decoder and head of every family give the model's own logits; what they cannot give is refused."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, PolyConfig, PrefixTuningConfig, TaskType, get_peft_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from dft_plugin.language_model import (
    UnsupportedModelError,
    base_model,
    decoder_of,
    deterministic,
    has_dropout,
    head_of,
    hidden_rows,
)
from dft_plugin.model_check import check_model
from dft_plugin.texts import Texts
from tests import tiny

SHADOW = [getattr(peft, name) for name in ("ShadowConfig",) if hasattr(peft, name)]  # not in Axolotl's release
TOKENS = torch.tensor([[5, 60, 33, 201, 7, 99, 14, 250, 31]])
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
    "gemma2": {"final_logit_softcapping": 1.5, "attention": "eager"},
    "recurrent_gemma": {"logits_soft_cap": 0.5, "num_hidden_layers": 3},
    "cohere": {"logit_scale": 0.3},
    "granite": {"logits_scaling": 4.0},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "phi3": {},
    "olmo2": {},
    "falcon_h1": {"lm_head_multiplier": 0.5},
}


def own_logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model.eval()(input_ids=TOKENS).logits
    return logits


def by_head(model: nn.Module) -> Tensor:
    with torch.no_grad():
        hidden = decoder_of(model.eval())(input_ids=TOKENS).last_hidden_state
        head = head_of(model)
        return head.finish(torch.nn.functional.linear(hidden, head.weight, head.bias))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, tied: bool) -> None:
    model = tiny.model(family, tied=tied, **FAMILIES[family])
    check_model(model, TOKENS)
    torch.testing.assert_close(by_head(model), own_logits(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "attribute"),
    [("gemma2", "soft_cap"), ("recurrent_gemma", "soft_cap"), ("cohere", "scale"), ("granite", "scale")],
)
def test_scales_and_caps_are_at_work(family: str, attribute: str) -> None:
    head = head_of(tiny.model(family, **FAMILIES[family]))
    assert getattr(head, attribute) == {"gemma2": 1.5, "recurrent_gemma": 0.5, "cohere": 0.3, "granite": 0.25}[family]


@pytest.mark.parametrize(
    "adapter",
    [
        {"target_modules": ["q_proj"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "lm_head"], "use_rslora": True},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
    ids=["beside", "on the head", "rank-stabilized", "head saved", "on the embedding"],
)
def test_adapters(adapter: dict[str, Any]) -> None:
    model = get_peft_model(tiny.model("llama"), LoraConfig(r=4, init_lora_weights=False, lora_dropout=0.1, **adapter))
    if "modules_to_save" in adapter:
        with torch.no_grad():
            base_model(model).lm_head.modules_to_save["default"].weight.mul_(1.7)
    check_model(model, TOKENS)
    torch.testing.assert_close(by_head(model), own_logits(model), rtol=1e-4, atol=1e-5)
    with model.disable_adapter():
        torch.testing.assert_close(by_head(model), own_logits(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("adapter", "kind"),
    [
        (LoraConfig(r=4, target_modules=["lm_head"], use_dora=True), "DoRA"),
        (LoraConfig(r=4, target_modules=["lm_head"], lora_bias=True), "LoRA with a bias"),
        (IA3Config(target_modules=["lm_head"], feedforward_modules=[]), "ia3"),
        (LoHaConfig(r=4, target_modules=["lm_head"]), "loha"),
    ],
)
def test_adapters_on_the_head_that_are_not_read_are_refused(adapter: Any, kind: str) -> None:
    """They begin without effect, so that `check_model` would find nothing."""
    with pytest.raises(UnsupportedModelError, match=f"an adapter of the kind {kind}, whose part in the logits"):
        head_of(get_peft_model(tiny.model("llama"), adapter))


def test_gradients_reach_an_adapter_on_the_head() -> None:
    model = get_peft_model(tiny.model("llama"), LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False))
    head_of(model).weight.square().sum().backward()
    reached = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert len(reached) == 2
    assert all("lm_head.lora_" in name for name in reached)


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_reach_a_head_that_is_trained(tied: bool) -> None:
    model = tiny.model("llama", tied=tied)
    head_of(model).weight.square().sum().backward()
    weight = model.get_input_embeddings().weight if tied else model.lm_head.weight
    assert weight.grad is not None


class Altered(nn.Module):
    """A head that does something to its logits that no configuration tells."""

    def __init__(self, linear: nn.Linear, change: Any) -> None:
        super().__init__()
        self.weight, self.bias, self.change = linear.weight, linear.bias, change

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.change(nn.functional.linear(hidden, self.weight, self.bias))
        return logits


@pytest.mark.parametrize(
    "change",
    [lambda logits: 1.1 * logits, torch.tanh, lambda logits: logits + torch.arange(tiny.VOCABULARY) / 100],
    ids=["scaled", "capped", "shifted"],
)
def test_altered_logits_are_refused(change: Any) -> None:
    model = tiny.model("llama")
    check_model(model, TOKENS)
    model.lm_head = Altered(model.lm_head, change)
    with pytest.raises(UnsupportedModelError, match="logits that decoder and head do not give"):
        check_model(model, TOKENS)


def test_altered_logits_are_refused_in_bf16() -> None:
    model = tiny.model("llama").to(torch.bfloat16)
    check_model(model, TOKENS)
    model.lm_head = Altered(model.lm_head, lambda logits: 1.5 * logits)
    with pytest.raises(UnsupportedModelError, match="logits that decoder and head do not give"):
        check_model(model, TOKENS)


def test_layers_between_decoder_and_head_are_refused() -> None:
    model = tiny.model("modernbert-decoder", attention="eager", bos_token_id=1)
    with pytest.raises(UnsupportedModelError, match=r"decoder and head do not give.*what it does between them"):
        check_model(model, TOKENS)


def test_attention_that_sees_what_follows_is_refused() -> None:
    model = tiny.model("gemma3_text", use_bidirectional_attention=True)
    with pytest.raises(UnsupportedModelError, match=r"Gemma3ForCausalLM is not causal here.*bidirectional"):
        check_model(model, TOKENS)


def test_quantized_head_is_refused() -> None:
    model = tiny.model("llama")
    model.lm_head = nn.Embedding(4, 4)
    model.lm_head.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(UnsupportedModelError, match="Embedding without a floating-point weight"):
        head_of(model)


def test_model_without_a_head_is_refused() -> None:
    decoder = tiny.model("llama").model
    for asked in (decoder_of, head_of):
        with pytest.raises(UnsupportedModelError, match="LlamaModel has no language-modelling head"):
            asked(decoder)


@pytest.mark.parametrize(("family", "said"), [("t5", "is an encoder-decoder"), ("bert", "predicts masked tokens")])
def test_models_that_predict_no_next_token_are_refused(family: str, said: str) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = AutoConfig.for_model(family, vocab_size=32, **(small if family == "bert" else {"num_layers": 1}))
    model = (AutoModelForMaskedLM if family == "bert" else AutoModelForSeq2SeqLM).from_config(config)
    for read in (head_of, decoder_of):
        with pytest.raises(UnsupportedModelError, match=f"{said}.*AutoModelForCausalLM"):
            read(model)


def test_prompt_learning_is_refused() -> None:
    adapter = PrefixTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3)
    with pytest.raises(UnsupportedModelError, match=r"PREFIX_TUNING.*LORA"):
        decoder_of(get_peft_model(tiny.model("llama"), adapter))


@pytest.mark.parametrize(
    ("adapter", "kind"),
    [
        (LoraConfig(task_type=TaskType.CAUSAL_LM, alora_invocation_tokens=[5]), "aLoRA"),
        (PolyConfig(task_type=TaskType.CAUSAL_LM, target_modules=["q_proj"]), "POLY"),
        *((kind(task_type=TaskType.CAUSAL_LM, r=4), "SHADOW") for kind in SHADOW),
    ],
)
def test_adapters_that_act_only_in_a_forward_pass_of_peft_are_refused(adapter: Any, kind: str) -> None:
    """The term would read the model without them, and its gradient be 0."""
    with pytest.raises(UnsupportedModelError, match=rf'"default" is .*{kind}.*plain LORA'):
        decoder_of(get_peft_model(tiny.model("llama"), adapter))


def test_hidden_rows_stand_before_the_token_they_predict() -> None:
    """Also in a batch: padding on the right touches nothing."""
    model = tiny.model("llama").eval()
    tokens = torch.zeros(2, 9, dtype=torch.long)
    tokens[0], tokens[1, :5] = TOKENS[0], TOKENS[0, 2:7]
    texts = Texts(tokens, torch.tensor([0, 0]), torch.tensor([3, 1]), torch.tensor([9, 5]), torch.tensor([True, False]))
    with torch.no_grad():
        found = hidden_rows(decoder_of(model), texts)
        alone = [model.model(row[None, :end]).last_hidden_state[0] for row, end in zip(tokens, (9, 5), strict=True)]
    torch.testing.assert_close(found, torch.cat([alone[0][2:8], alone[1][0:4]]), rtol=1e-4, atol=1e-5)


OPT = {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.5, "layerdrop": 0.1}
"""Its layers drop out by themselves, asking whether they train; so does its decoder, whole layers."""


@pytest.mark.parametrize(("family", "options"), [("llama", {"attention_dropout": 0.5}), ("opt", OPT)])
@pytest.mark.parametrize("recompute", [False, True])
def test_deterministic_mode(recompute: bool, family: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = tiny.model(family, **options).train()
    model.gradient_checkpointing_enable()
    layers: Any = decoder_of(model).layers
    layers[0].eval()
    modes = [module.training for module in model.modules()]
    with deterministic(model, recompute=recompute):
        assert [layer.training for layer in layers] == [recompute, recompute]
        assert not layers[1].self_attn.training
        first, second = model(input_ids=TOKENS).logits, model(input_ids=TOKENS).logits
        assert torch.equal(first, second)
    assert [module.training for module in model.modules()] == modes
    assert not torch.equal(model(input_ids=TOKENS).logits, model(input_ids=TOKENS).logits)


def test_dropout_by_a_number_in_the_config() -> None:
    """As Falcon's layers have it."""
    torch.manual_seed(0)
    shape = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("falcon", hidden_dropout=0.5, **shape)).train()
    model.gradient_checkpointing_enable()
    with deterministic(model, recompute=True):
        assert torch.equal(model(input_ids=TOKENS).logits, model(input_ids=TOKENS).logits)
    assert (has_dropout(model), model.config.hidden_dropout) == (True, 0.5)


def test_dropout_is_found() -> None:
    adapters = {rate: LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=rate) for rate in (0.0, 0.1)}
    assert not has_dropout(tiny.model("llama"))
    assert has_dropout(tiny.model("llama", attention_dropout=0.1))
    assert not has_dropout(get_peft_model(tiny.model("llama"), adapters[0.0]))
    assert has_dropout(get_peft_model(tiny.model("llama"), adapters[0.1]))
    assert has_dropout(tiny.model("gpt2", **FAMILIES["gpt2"]))
