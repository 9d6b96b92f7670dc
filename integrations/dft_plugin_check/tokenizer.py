"""The tokenizer that a configuration would train with, as far as it is on this machine, and its chat template."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from dft_plugin.reference.tokenizer import rows_of_head
from dft_plugin_check.host_settings import AXOLOTL
from dft_plugin_check.missing_paths import missing_folder

STAND_IN = (
    "{% for message in messages %}{{ message['role'] + '\\n' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant\\n' }}{% endif %}"
)
"""Reads chats whose template cannot be had: about as long, so that the amount of text can be checked."""


def tokenizer_name(config: Mapping[str, Any], host: str) -> str:
    """The folder or hub name of the tokenizer; "" where the file names no model."""
    return str((host == AXOLOTL and config.get("tokenizer_config")) or model_name(config, host))


def model_name(config: Mapping[str, Any], host: str) -> str:
    """The folder or hub name of the model; "" where the file names none."""
    return str(config.get("base_model" if host == AXOLOTL else "model_name_or_path") or "")


def rows_of_run(config: Mapping[str, Any], tokenizer: Any, model: str) -> int | None:
    """The rows of the lm_head in a run: the model's, or as many more as tokens that are added need; None if unknown."""
    rows = rows_of_head(model)
    if rows is None:
        return None
    needed = len(tokenizer)
    return max(rows, 32 * ceil(needed / 32) if config.get("resize_token_embeddings_to_32x") else needed)


def load_tokenizer(config: Mapping[str, Any], name: str) -> tuple[Any, str]:
    """The run's tokenizer if it is on this machine, or None and why."""
    if not name:
        return None, "the file names no model"
    if missing_folder(name):  # transformers would speak of the form of hub names
        return None, f"there is no folder {name}"
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name, local_files_only=True, trust_remote_code=bool(config.get("trust_remote_code"))
        )
    except Exception as error:  # a hub name that is not cached, a folder without one, an unknown class, ...
        return None, f"the tokenizer of {name} could not be loaded here ({str(error).splitlines()[0]})"
    special = config.get("special_tokens") or {}
    end = special.get("eos_token") if isinstance(special, Mapping) else None
    if isinstance(special, Mapping) and special:
        tokenizer.add_special_tokens(dict(special))
    if isinstance(end or config.get("eos_token"), str):
        tokenizer.eos_token = end or config["eos_token"]
    if config.get("tokens"):
        tokenizer.add_tokens(list(config["tokens"]))
    return tokenizer, ""


def set_chat_template(config: Mapping[str, Any], host: str, tokenizer: Any) -> str | None:
    """Gives a tokenizer the template that the configuration names, or a stand-in; then what to say of it."""
    named, found = _of_axolotl(config) if host == AXOLOTL else _of_trl(config)
    if named is None or (named.startswith("tokenizer_default_fallback_") and tokenizer.chat_template):
        return None
    tokenizer.chat_template = found or STAND_IN
    if found:
        return None
    return (
        f"the chat template {named} cannot be had here: chats were read with a plain one, their sizes are about right"
    )


def _of_trl(config: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """`chat_template_path`: a file of Jinja, or a tokenizer whose template is taken."""
    named = config.get("chat_template_path")
    if not named:
        return None, None
    if str(named).endswith((".jinja", ".j2")):
        return str(named), _content(str(named))
    other, _ = load_tokenizer({}, str(named))
    return str(named), None if other is None else other.chat_template


def _of_axolotl(config: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """`chat_template`: one of Axolotl's own by name, or `chat_template_jinja`, a template or a file with one."""
    named, given = config.get("chat_template"), config.get("chat_template_jinja")
    if given and named in (None, "jinja"):
        return "of chat_template_jinja", _content(str(given)) if str(given).endswith((".jinja", ".j2")) else str(given)
    if named in (None, "tokenizer_default"):
        return None, None
    try:
        from axolotl.utils.chat_templates import get_chat_template
    except ImportError:
        return str(named), None
    try:
        found: str | None = get_chat_template(str(named).removeprefix("tokenizer_default_fallback_"))
    except ValueError:  # Axolotl says so itself, at once
        found = None
    return str(named), found


def _content(path: str) -> str | None:
    return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else None
