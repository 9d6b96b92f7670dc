"""Access to the parts of a causal language model: decoder, head, and the modes they run in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dft_plugin.expected_features import Head
from dft_plugin.texts import Texts


class UnsupportedModelError(ValueError):
    """A model whose next-token law cannot be computed exactly from its decoder and head."""


def base_model(model: nn.Module) -> Any:
    """The causal language model itself, adapters injected, wrappers (PEFT) taken off.

    Raises:
        UnsupportedModelError: for adapters that the layers do not hold as a whole (prompt learning, routing).
    """
    wrapper: Any = model
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        for name, config in wrapper.peft_config.items():
            if getattr(config, "is_prompt_learning", False):
                raise UnsupportedModelError(
                    f'adapter "{name}" is of type {_kind(config)}, which puts virtual tokens before the '
                    "input; use one that is injected into the layers, such as LORA"
                )
            if (routed := _routed_by_peft(config)) is not None:
                raise UnsupportedModelError(
                    f'adapter "{name}" is {routed}: PEFT decides in its own forward pass where it acts, and the term '
                    "reads the decoder without that; use one that is injected into the layers, such as plain LORA"
                )
        return wrapper.get_base_model()
    return model


def _routed_by_peft(config: Any) -> str | None:
    """What kind of adapter it is, if its layers alone do not say where it acts."""
    if getattr(config, "alora_invocation_tokens", None) is not None:
        return "aLoRA (alora_invocation_tokens)"
    return f"of type {_kind(config)}" if _kind(config) in ("XLORA", "POLY", "SHADOW") else None


def _kind(config: Any) -> str:
    return str(getattr(config.peft_type, "value", config.peft_type))


def text_config(model: nn.Module) -> Any:
    """The configuration of the part that reads and writes text."""
    config = base_model(model).config
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def decoder_of(model: nn.Module) -> nn.Module:
    """The decoder, whose last hidden states the head reads.

    Raises:
        UnsupportedModelError: when the model has no language-modelling head or no decoder.
    """
    base = base_model(model)
    head_layer_of(model)
    decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
    if isinstance(decoder, nn.Linear):  # the name of ModernBertDecoder's head
        decoder = base.base_model
    if decoder is None or decoder is base:
        raise UnsupportedModelError(
            f"{type(base).__name__} gives no decoder (get_decoder); supported are LLaMA, Mistral, Qwen and "
            "other decoder-only models of transformers"
        )
    return decoder


def head_layer_of(model: nn.Module) -> nn.Module:
    """The language-modelling head as a module of the model.

    Raises:
        UnsupportedModelError: when there is none.
    """
    base = base_model(model)
    _check_predicts_the_next_token(base)
    head = base.get_output_embeddings() if hasattr(base, "get_output_embeddings") else None
    if head is None:
        raise UnsupportedModelError(
            f"{type(base).__name__} has no language-modelling head, so it predicts no next token; load the "
            "model with AutoModelForCausalLM"
        )
    layer: nn.Module = head
    return layer


def _check_predicts_the_next_token(base: Any) -> None:
    kind = type(base).__name__
    if getattr(getattr(base, "config", None), "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"{kind} is an encoder-decoder, whose answers do not stand behind their prompts in one text: supported are "
            "decoder-only models, loaded with AutoModelForCausalLM"
        )
    if kind.endswith("ForMaskedLM"):
        raise UnsupportedModelError(
            f"{kind} predicts masked tokens, not the next one: supported are decoder-only models, loaded with "
            "AutoModelForCausalLM"
        )


def head_of(model: nn.Module) -> Head:
    """The head's effective weight and bias, adapters included, and its family's scale and soft-cap.

    Raises:
        UnsupportedModelError: when there is no head, or it is not a linear map (or a quantized one).
    """
    head = head_layer_of(model)
    config = text_config(model)
    weight, bias = _effective_linear(head)
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    scale *= float(getattr(config, "lm_head_multiplier", None) or 1.0)
    caps = (getattr(config, name, None) for name in ("final_logit_softcapping", "logits_soft_cap"))  # RecurrentGemma's
    return Head(weight, bias, scale, next(filter(None, caps), None))


def _effective_linear(layer: Any) -> tuple[Tensor, Tensor | None]:
    if hasattr(layer, "modules_to_save"):  # PEFT trains a copy
        if layer.disable_adapters:
            return _effective_linear(layer.original_module)
        return _effective_linear(layer.modules_to_save[layer.active_adapters[0]])
    if hasattr(layer, "get_base_layer") and hasattr(layer, "lora_A"):
        weight, bias = _effective_linear(layer.get_base_layer())
        if not layer.merged and not layer.disable_adapters:
            for adapter in layer.active_adapters:
                if adapter in layer.lora_A:
                    if layer.use_dora.get(adapter) or layer.lora_bias.get(adapter):
                        raise _no_plain_lora("DoRA" if layer.use_dora.get(adapter) else "LoRA with a bias")
                    weight = weight + layer.get_delta_weight(adapter).to(weight.dtype)
        return weight, bias
    if hasattr(layer, "get_base_layer") and hasattr(layer, "merged") and not hasattr(layer, "token_adapter"):
        if layer.disable_adapters or layer.merged:
            return _effective_linear(layer.get_base_layer())
        raise _no_plain_lora(type(layer).__module__.split(".")[-2])  # peft.tuners.ia3.layer
    found: Any = getattr(layer, "weight", None)
    if found is None or not found.is_floating_point() or found.dim() != 2:
        raise UnsupportedModelError(
            f"the language-modelling head is a {type(layer).__name__} without a floating-point weight matrix; "
            "leave it out of quantization"
        )
    return found, getattr(layer, "bias", None)


def _no_plain_lora(kind: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"the language-modelling head has an adapter of the kind {kind}, whose part in the logits is not read: leave "
        "lm_head (and embed_tokens, where it is tied to it) out of target_modules, use plain LoRA for it, "
        "LoraConfig(trainable_token_indices=...) for new tokens (with a tied head SFTTrainer itself fails of it), or "
        "train it as a whole (modules_to_save)"
    )


def hidden_rows(decoder: nn.Module, texts: Texts) -> Tensor:
    """The hidden states (N, D) the next-token law of each row is computed from: at the position before it."""
    index = torch.arange(texts.tokens.shape[1], device=texts.tokens.device)
    mask = (index < texts.end[:, None]).long()
    output = decoder(input_ids=texts.tokens, attention_mask=mask, use_cache=False)
    hidden: Tensor = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]
    return hidden[texts.text, texts.position - 1]


class DecoderHook:
    """Changes what a decoder gives, while the host is at a training step.

    Args:
        decoder: the module whose output is changed.

    Attributes:
        acting: whether the host is at a training step; a hook that an interrupted run has left does nothing.
    """

    def __init__(self, decoder: nn.Module) -> None:
        self.acting = False
        self._handle = decoder.register_forward_hook(self._hook)

    def remove(self) -> None:
        """Takes the hook off the decoder."""
        self._handle.remove()

    def changed(self, hidden: Tensor) -> Tensor:
        """The last hidden states in the place of `hidden`; the same where there is nothing to change."""
        raise NotImplementedError

    def _hook(self, module: nn.Module, args: Any, output: Any) -> Any:
        if not self.acting:
            return None
        if isinstance(output, tuple):
            return (self.changed(output[0]), *output[1:])
        output.last_hidden_state = self.changed(output.last_hidden_state)
        return output


def has_dropout(model: nn.Module) -> bool:
    """Whether any part of the model drops something out when it trains."""
    return any(
        (isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0)
        or _own_rates(module)
        or (hasattr(module, "gradient_checkpointing") and hasattr(module, "config") and _own_rates(module.config))
        for module in model.modules()
    )


def _own_rates(holder: Any) -> dict[str, float]:
    """How much is dropped out by a number, by attribute: attention's kernels', OPT's layers', Falcon's config's."""
    given = vars(holder).items()
    return {name: value for name, value in given if "drop" in name and isinstance(value, float) and value > 0}


@contextmanager
def deterministic(model: nn.Module, *, recompute: bool) -> Iterator[None]:
    """Evaluation mode (no dropout), each module's own mode restored after.

    Args:
        model: the model.
        recompute: keep gradient checkpointing at work: it asks the layer itself whether it is training,
            while dropout asks its own module, or is a number of the layer's or its config's, which is 0 meanwhile.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    recomputed = [module for module in modes if recompute and getattr(module, "gradient_checkpointing", False)]
    configs = [module.config for module in recomputed if hasattr(module, "config")]
    rates = [(holder, _own_rates(holder)) for holder in (*recomputed, *configs)]
    for module in recomputed:
        module.training = True
    for holder, own in rates:
        vars(holder).update(dict.fromkeys(own, 0.0))
    try:
        yield
    finally:
        for holder, own in rates:
            vars(holder).update(own)
        for module, training in modes.items():
            module.training = training
