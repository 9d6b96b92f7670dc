"""What rollouts begin with: a file's prompts as they stand, never what ends or answers them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dft_plugin import run_report
from dft_plugin.assembly import Setting, assemble
from dft_plugin.config import parse
from dft_plugin.contexts import context_windows
from dft_plugin.documents import Document
from dft_plugin.reference import HumanReferenceError, read_documents
from dft_plugin.sharing import Processes
from dft_plugin.texts import Window
from tests import tiny
from tests.training import term_options

PROMPTS = [row["prompt"] for row in tiny.prompt_rows(80)[40:]]


def chat(prompt: str, *more: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, *({"role": "assistant", "content": said} for said in more)]


ROWS: dict[str, Any] = {
    "prompt alone": lambda prompt: {"prompt": prompt},
    "prompt and null": lambda prompt: {"prompt": prompt, "completion": None},
    "prompt and completion": lambda prompt: {"prompt": prompt, "completion": " and so on."},
    "chat that ends with the user": lambda prompt: {"messages": chat(prompt)},
    "chat with a blank answer": lambda prompt: {"messages": chat(prompt, "")},
    "prompt and blank": lambda prompt: {"prompt": prompt, "completion": " "},
    "prompt beside a text": lambda prompt: {"text": "Another text.", "prompt": prompt},
    "chat with an answer": lambda prompt: {"messages": chat(prompt, "And so on.")},
    "chat as prompt": lambda prompt: {"prompt": chat(prompt), "answer": "something of another's"},
    "chat as prompt and completion": lambda prompt: {"prompt": chat(prompt), "completion": chat(prompt, "So.")[1:]},
}


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def trained_on(prompted: bool) -> list[Document]:
    tokenizer, found = tiny.tokenizer(), []
    for row in tiny.prompt_rows(40):
        before, after = (tuple(tokenizer(row[name])["input_ids"]) for name in ("prompt", "completion"))
        found.append(Document((*before, *after, 0), len(before) if prompted else 0, len(before + after) + 1, prompted))
    return found


def contexts(prompts: str, *, prompted: bool) -> tuple[list[Window], list[str]]:
    """The windows of a file, and what rollouts see of them as text."""
    windows = context_windows(parse(term_options()), prompts, tiny.tokenizer(), trained_on(prompted), prompted=prompted)
    return windows, [tiny.tokenizer().decode(window.tokens[: window.first]) for window in windows]


@pytest.mark.parametrize("prompted", [True, False])
@pytest.mark.parametrize("kind", ROWS)
def test_a_prompt_is_the_context(kind: str, prompted: bool, tmp_path: Path) -> None:
    windows, seen = contexts(write(tmp_path, [ROWS[kind](prompt) for prompt in PROMPTS]), prompted=prompted)
    around = f"{tiny.USER}{{}}{tiny.ASSISTANT}" if "chat" in kind else "{}"
    assert seen == [around.format(prompt) for prompt in PROMPTS]
    assert all(window.begin == window.first and window.starts_at_begin for window in windows)
    after = {tiny.tokenizer().decode(window.tokens[window.first :], skip_special_tokens=True) for window in windows}
    answered = {"prompt and completion": " and so on.", "chat with an answer": "And so on."}
    assert after == {answered.get(kind, "So." if kind.endswith("and completion") else "")}


def test_a_chat_asks_what_each_answer_answers_and_what_its_user_ends_with(tmp_path: Path) -> None:
    """As chats in the training set do; turns before a row's own completion are a part of what is asked."""
    turns = [*chat("Who?", "I."), *chat("Why?", "So."), *chat("When?")]
    first, second = f"{tiny.USER}Who?{tiny.ASSISTANT}", f"I.{tiny.END}{tiny.USER}Why?{tiny.ASSISTANT}"
    third = f"So.{tiny.END}{tiny.USER}When?{tiny.ASSISTANT}"
    _, seen = contexts(write(tmp_path, [{"messages": turns}]), prompted=True)
    assert seen == [first, first + second, first + second + third]
    _, seen = contexts(write(tmp_path, [{"prompt": turns}]), prompted=True)
    assert seen == [first + second + third]
    _, seen = contexts(write(tmp_path, [{"prompt": turns[:3], "completion": turns[3:4]}]), prompted=True)
    assert seen == [first + second]


def test_a_plain_text_is_a_prompt_where_the_training_set_has_prompts(tmp_path: Path) -> None:
    rows = [{"text": prompt} for prompt in PROMPTS]
    _, seen = contexts(write(tmp_path, rows), prompted=True)
    assert seen == PROMPTS
    lines = tmp_path / "prompts.txt"
    broken = ["Two\u2028lines\x85in one", *PROMPTS]  # no line ends but to Python
    lines.write_text("\n\n".join(broken), encoding="utf-8")
    assert contexts(str(lines), prompted=True)[1] == broken


def test_a_plain_text_is_continued_from_a_random_place_where_it_has_none(tmp_path: Path) -> None:
    rows = [{"text": text} for text in tiny.paragraphs()[40:80]]
    windows, seen = contexts(write(tmp_path, rows), prompted=False)
    assert all(any(text in row["text"] for row in rows) for text in seen)
    assert all(len(window.tokens) > window.first for window in windows)


def test_both_in_one_file(tmp_path: Path) -> None:
    rows = [{"prompt": prompt} for prompt in PROMPTS[:10]] + [{"text": text} for text in tiny.paragraphs()[80:120]]
    _, seen = contexts(write(tmp_path, rows), prompted=False)
    assert seen[:10] == PROMPTS[:10]
    assert len(seen) > 10


def test_prompts_without_what_a_template_ends_the_training_sets_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Raw strings beside chats, say: the deployed model is hardly asked so."""
    tokenizer = tiny.tokenizer()
    for end, told in (("", False), (" Answer:", True)):
        before = [tokenizer(prompt + end)["input_ids"] for prompt in PROMPTS]
        training = [Document((*tokens, 5, 6), len(tokens), len(tokens) + 2, True) for tokens in before]
        caplog.clear()
        for given in (PROMPTS, [prompt + " Answer:" for prompt in PROMPTS]):
            path = write(tmp_path, [{"prompt": prompt} for prompt in given])
            context_windows(parse(term_options()), path, tokenizer, training, prompted=True)
        assert ["those of" in record.message for record in caplog.records] == [True] * told


def test_a_file_without_prompts(tmp_path: Path) -> None:
    tools = [{"messages": [*chat("Why?"), {"role": "tool", "content": "42"}]}]
    for rows in ([{"prompt": " "}], tools):
        with pytest.raises(HumanReferenceError, match="holds no prompt and no text"):
            contexts(write(tmp_path, rows), prompted=True)
    empty = [{"prompt": "", "completion": "Once upon a time."}] * 40
    with pytest.raises(HumanReferenceError, match="holds no prompt and no text"):
        contexts(write(tmp_path, empty), prompted=True)
    with pytest.raises(HumanReferenceError, match='need a column "prompt", "messages", "conversations" or "text"'):
        contexts(write(tmp_path, [{"question": "Why?"}]), prompted=True)


def test_a_prompt_alone_is_no_human_text(tmp_path: Path) -> None:
    with pytest.raises(HumanReferenceError, match='rows need a column "text"'):
        read_documents(write(tmp_path, [{"prompt": prompt} for prompt in PROMPTS]), tiny.tokenizer())


def test_a_generation_prompt_that_says_more_than_stands_before_an_answer(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    usual = read_documents(write(tmp_path, [{"messages": chat("Why?", "Because.")}]), tokenizer)
    said = "{% if add_generation_prompt %}<|assistant|>"
    tokenizer.chat_template = tiny.CHAT_TEMPLATE.replace(said, said + "Let me think. ")
    assert read_documents(write(tmp_path, [{"messages": chat("Why?", "Because.")}]), tokenizer) == usual


def test_a_template_that_writes_what_was_asked_otherwise_once_it_is_answered(tmp_path: Path) -> None:
    """The answer does not begin in the question."""
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = tiny.CHAT_TEMPLATE.replace(
        "{% for", "{% if add_generation_prompt %}Now: {% endif %}{% for", 1
    )
    (document,) = read_documents(write(tmp_path, [{"messages": chat("Why?", "Because it is so, you see.")}]), tokenizer)
    before = tokenizer.apply_chat_template(chat("Why?"), add_generation_prompt=True, tokenize=True)
    assert document.start == len(before["input_ids"])


def test_what_a_template_writes_after_an_answer_is_no_part_of_it(tmp_path: Path) -> None:
    """As ChatML does: a line break after the end of a turn, which no generated text holds."""
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    (document,) = read_documents(write(tmp_path, [{"messages": chat("Why?", "Because.\nIt is.")}]), tokenizer)
    assert tokenizer.decode(document.tokens[document.start : document.stop]) == f"Because.\nIt is.{tiny.END}"


def test_a_text_that_ends_with_end_of_text_ends_once(tmp_path: Path) -> None:
    rows = [{"text": "Once."}, {"text": f"Once.{tiny.END}"}]
    plain, ended = read_documents(write(tmp_path, rows), tiny.tokenizer())
    assert plain == ended
    rows = [{"prompt": "Once", "completion": end} for end in ("upon", f"upon{tiny.END}")]
    plain, ended = read_documents(write(tmp_path, rows), tiny.tokenizer())
    assert plain == ended


def test_the_report_has_human_text_where_nothing_answers_the_prompts(tmp_path: Path) -> None:
    prompts = write(tmp_path, [{"prompt": prompt} for prompt in PROMPTS])
    config = parse(term_options(rollout={"prompts": prompts}))
    setting = Setting(tiny.model(), tiny.tokenizer(), None, Processes(), documents=trained_on(prompted=True))
    term = assemble(config, setting)
    chosen = run_report.contexts(config, term, evaluation=None)
    assert len(chosen.windows) == len(PROMPTS)
    assert chosen.human == term.human_text.scored
    assert "the human text is the training set's, after other contexts" in chosen.note
    other = config.model_copy(update={"reference": "human.jsonl"})
    assert "the human text is the reference's" in run_report.contexts(other, term, evaluation=None).note
    domain = config.model_copy(update={"reference": "academic"})
    assert "the human text is the training set's" in run_report.contexts(domain, term, evaluation=None).note
    few = config.model_copy(update={"report_texts": 10})
    assert list(run_report.contexts(few, term, evaluation=None).windows) == list(chosen.windows)[::4]
    texts = term.rollout(0)
    contexts = {tuple(window.tokens) for window in chosen.windows}
    assert all(tuple(texts.tokens[row, : int(texts.first[row])].tolist()) in contexts for row in range(len(texts)))
    assert torch.equal(texts.begin, texts.first)


@pytest.mark.parametrize("end", [tiny.END, tiny.USER, f"{tiny.USER}\n", f"{tiny.END}\n"])
def test_answers_that_end_with_what_ends_no_text(end: str, caplog: pytest.LogCaptureFixture) -> None:
    """As Axolotl's `eot_tokens` alone do: a rollout would go on after the turn."""
    last = tiny.tokenizer()(end)["input_ids"]
    documents = [
        replace(one, tokens=(*one.tokens[:-1], *last), stop=one.stop - 1 + len(last))
        for one in trained_on(prompted=True)
    ]
    assemble(parse(term_options()), Setting(tiny.model(), tiny.tokenizer(), None, Processes(), documents=documents))
    said = "40 of 40 answers of the training set end with <|user|>, which does not end a generated text"
    assert (said in caplog.text) == end.startswith(tiny.USER)
