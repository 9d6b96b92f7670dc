"""Rows in which what is matched cannot be told from the rest are said, in a run."""

from __future__ import annotations

from typing import Any

import pytest

from dft_plugin import DFTCallback
from dft_plugin.documents import Document
from dft_plugin.whole_chats import TOLD, warn_of_whole_chats
from tests import tiny
from tests.training import term_options, train


def distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that are there twice are told of as well."""
    return [row for index, row in enumerate(rows) if row not in rows[:index]]


CHATS, PROMPTS, PLAIN = (distinct(rows(48)) for rows in (tiny.chat_rows, tiny.prompt_rows, tiny.plain_rows))
RENDERED = [{"text": tiny.tokenizer().apply_chat_template(row["messages"], tokenize=False)} for row in CHATS]
WRAPPED = {"packing": True, "packing_strategy": "wrapped"}


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (CHATS, {}, TOLD),
        (CHATS, WRAPPED, TOLD),
        (RENDERED, {}, "give `messages` or prompt and completion"),
        (CHATS, {"assistant_only_loss": True}, ""),
        (PLAIN, WRAPPED, ""),
        (PROMPTS, WRAPPED, "set packing_strategy to bfd"),
        (PROMPTS, {"packing": True}, ""),
    ],
)
def test_in_a_run(rows: Any, options: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture) -> None:
    train(tiny.model("llama"), rows, DFTCallback(**term_options(weight=0)), **options)
    told = [record.getMessage() for record in caplog.records if record.name == "dft_plugin"]
    assert bool(said) == bool(told)
    assert all(said in line for line in told)


TEMPLATES = {
    "ChatML": "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n",
    "Mistral": "{{ '[INST] ' + m['content'] + ' [/INST]' if m['role'] == 'user' else m['content'] + '<|end|>' }}",
    "in words": "{% if m['role'] == 'user' %}\n\nHuman: {% else %}\n\nAssistant: {% endif %}{{ m['content'] }}",
    "none": "{{ m['content'] }}",
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("whole", [False, True])
def test_by_what_the_template_writes_before_a_user(
    template: str, whole: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = f"{{% for m in messages %}}{TEMPLATES[template]}{{% endfor %}}"
    documents = []
    for row in CHATS:
        tokens = tuple(tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=False))
        documents.append(Document(tokens, 0 if whole else 20, len(tokens), not whole))
    warn_of_whole_chats(documents, tokenizer)
    assert bool(caplog.records) == (whole and template != "none")


@pytest.mark.parametrize("users", [True, False])
def test_turns_of_users_each_a_document(users: bool, caplog: pytest.LogCaptureFixture) -> None:
    """As Axolotl's `train_on_inputs: true` has them: what the template writes before a turn is left out of the loss."""
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = f"{{% for m in messages %}}{TEMPLATES['ChatML']}{{% endfor %}}"
    documents = []
    for row in CHATS:
        before: tuple[int, ...] = ()
        for turn in row["messages"]:
            header = f"<|im_start|>{turn['role']}\n"
            before += tuple(tokenizer(header, add_special_tokens=False)["input_ids"])
            said = tuple(tokenizer(f"{turn['content']}<|im_end|>", add_special_tokens=False)["input_ids"])
            if users or turn["role"] == "assistant":
                documents.append(Document(before + said, len(before), len(before) + len(said), prompted=True))
            before += said
    warn_of_whole_chats(documents, tokenizer)
    assert bool(caplog.records) == users
