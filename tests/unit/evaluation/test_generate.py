"""Generation: prompts, batches on disk, resuming, adapters, and what cannot be loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from dft_plugin.evaluation.generate import Job, generate_texts, transformers_engine
from dft_plugin.evaluation.identity import weights_digest
from dft_plugin.evaluation.models import Loaded, load
from dft_plugin.evaluation.prompts import Prompt, continuations, cut_after, read_prompts
from dft_plugin.evaluation.result import Sampling
from dft_plugin.evaluation.texts import Text, Texts, TextsError
from dft_plugin.reference.errors import HumanReferenceError
from tests import tiny

PROMPTS = [Prompt(text[:40]) for text in tiny.paragraphs()[:5]]


def job(count: int = 12, *, model: str = "tiny", seed: int = 0, **options: Any) -> Job:
    lengths = {"max_new_tokens": 8, "seed": seed, "engine": "transformers"}
    sampling = Sampling.model_validate(
        {"temperature": 0.9, "top_k": 0, "top_p": 1.0, "min_p": 0.0, **lengths, **options}
    )
    return Job(model, None, sampling, count, batch_size=4)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return Loaded(tiny.model().eval(), tiny.tokenizer())


def made(
    loaded: Loaded, path: Path, what: Job, prompts: Sequence[Prompt] = PROMPTS, longest: int | None = 512
) -> list[Any]:
    return generate_texts(what, prompts, loaded.tokenizer, longest, transformers_engine(loaded, what), path)


def test_every_text_is_on_disk_and_prompts_are_used_in_turn(loaded: Loaded, tmp_path: Path) -> None:
    path = tmp_path / "out" / "texts.jsonl"
    found = made(loaded, path, job())
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["completion"] for row in rows] == [one.completion for one in found]
    assert [row["prompt"] for row in rows] == [PROMPTS[i % 5].text for i in range(12)]
    assert len({one.completion for one in found}) > 10
    # A context of its own: the same job gives the same texts.
    assert made(loaded, tmp_path / "again.jsonl", job()) == found
    assert made(loaded, tmp_path / "other.jsonl", job(seed=1)) != found


def test_an_interrupted_run_goes_on_where_it_stopped(loaded: Loaded, tmp_path: Path) -> None:
    whole = made(loaded, tmp_path / "whole.jsonl", job())
    path = tmp_path / "texts.jsonl"
    engine = transformers_engine(loaded, job())
    calls: list[int] = []

    def stops(contexts: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
        calls.append(len(contexts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return engine(contexts, seed)

    with pytest.raises(KeyboardInterrupt):
        generate_texts(job(), PROMPTS, loaded.tokenizer, 512, stops, path)
    assert len(path.read_text().splitlines()) == 4
    with path.open("a") as file:  # stopped while it wrote
        file.write('{"prompt": "half a li')
    seen: list[tuple[int, int]] = []
    found = generate_texts(
        job(), PROMPTS, loaded.tokenizer, 512, engine, path, lambda done, total: seen.append((done, total))
    )
    assert found == whole
    assert seen == [(4, 12), (8, 12), (12, 12)]
    # All there: nothing is generated again; more are added to what is there, and fewer are the first of it.
    assert made(loaded, path, job()) == whole
    assert made(loaded, path, job(7)) == whole[:7]
    assert len(path.read_text().splitlines()) == 12
    assert made(loaded, path, job(16))[:12] == whole


def test_texts_of_other_settings_are_not_mixed(loaded: Loaded, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    made(loaded, path, job())
    for other in (job(temperature=0.5), job(model="another"), job(seed=1), replace(job(), weights="trained further")):
        with pytest.raises(TextsError, match=r"other settings.*--texts"):
            made(loaded, path, other)
    with pytest.raises(TextsError, match="other prompts"):
        made(loaded, path, job(), PROMPTS[:2])
    chats = tiny.tokenizer()
    chats.chat_template = "another"
    with pytest.raises(TextsError, match="other settings"):
        made(replace(loaded, tokenizer=chats), path, job())
    assert len(path.read_text().splitlines()) == 12


def test_a_model_that_was_trained_further_has_other_weights() -> None:
    digest = weights_digest(tiny.model())
    assert weights_digest(tiny.model()) == digest
    assert weights_digest(tiny.model(seed=1)) != digest
    trained = tiny.model()
    torch.optim.SGD(trained.parameters(), lr=1e-3).zero_grad()
    tokens = torch.arange(10, 40)[None]
    trained(tokens, labels=tokens).loss.backward()
    torch.optim.SGD(trained.parameters(), lr=1e-3).step()
    assert weights_digest(trained) != digest
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapters = [weights_digest(get_peft_model(tiny.model(), config)) for _ in range(2)]
    assert len({digest, *adapters}) == 3


def test_long_prompts_lose_their_beginning_and_no_room_is_an_error(loaded: Loaded, tmp_path: Path) -> None:
    seen: list[list[int]] = []

    def engine(contexts: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
        seen.extend(map(list, contexts))
        return [[5, 6]] * len(contexts)

    long = Prompt(" ".join(tiny.paragraphs()[:6]))
    found = generate_texts(job(1), [long], loaded.tokenizer, 50, engine, tmp_path / "a.jsonl")
    assert seen == [loaded.tokenizer(long.text)["input_ids"][-42:]]
    assert found[0].finished
    with pytest.raises(TextsError, match="leaves no room"):
        generate_texts(job(1), [long], loaded.tokenizer, 8, engine, tmp_path / "b.jsonl")


def test_prompts_from_columns_chats_and_first_words(tmp_path: Path) -> None:
    def written(name: str, rows: Sequence[dict[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    assert read_prompts(written("a.jsonl", [{"prompt": "Tell me"}, {"prompt": "Go on"}]), 3)[0] == [
        Prompt("Tell me"), Prompt("Go on"),
    ]  # fmt: skip
    pairs = written("b.jsonl", [{"prompt": "One", "completion": "two"}])
    assert read_prompts(pairs, 3)[0] == [Prompt("One")]
    messages = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]
    ((chat,), _) = read_prompts(written("c.jsonl", [{"messages": messages}]), 3)
    assert chat == Prompt("Hi?", (messages[0],))
    tokens = chat.tokens(tiny.tokenizer(), 100)
    assert tiny.tokenizer().decode(tokens) == f"{tiny.USER}Hi?{tiny.ASSISTANT}"
    plain = written("d.jsonl", [{"text": "one two three four five"}, {"text": "too short"}])
    assert read_prompts(plain, 3)[0] == [Prompt("one two three")]
    with pytest.raises(TextsError, match="no prompt"):
        read_prompts(written("e.jsonl", [{"text": "too short"}]), 3)
    without = tiny.tokenizer()
    without.chat_template = None
    with pytest.raises(TextsError, match="no chat template"):
        chat.tokens(without, 100)
    without.chat_template = "{{ raise_exception('no system turns') }}"
    with pytest.raises(TextsError, match=r"chat template does not take.*'Hi\?'.*no system turns"):
        chat.tokens(without, 100)


def test_prompts_of_every_kind_in_one_file_are_read(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Hi?"}
    answer = {"role": "assistant", "content": "Yes."}
    rows = [
        {"prompt": "Tell me"}, {"prompt": [asked]}, {"prompt": [asked], "completion": [answer]}, {"messages": [asked]},
        {"messages": [asked, answer, {"role": "user", "content": "Why?"}]},
    ]  # fmt: skip
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chat = Prompt("Hi?", (asked,))
    assert read_prompts(path, 3)[0] == [
        Prompt("Tell me"), chat, chat, chat, chat, Prompt("Why?", (asked, answer, {"role": "user", "content": "Why?"})),
    ]  # fmt: skip
    path.write_text(json.dumps({"story": "one two three four"}) + "\n")
    assert read_prompts(path, 3, "story") == ([Prompt("one two three")], [])
    with pytest.raises(HumanReferenceError, match='"story"'):
        read_prompts(path, 3)


def test_human_texts_are_cut_into_prompts_and_what_their_authors_went_on_with() -> None:
    human = Texts("h", [Text("One two three, four five."), Text("Short one.")], ["note"])
    prompts, rest = continuations(human, 3)
    assert prompts == [Prompt("One two three,")]
    assert rest.texts == [Text(" four five.", "One two three,")]
    assert rest.notes == ["note", "1 human texts of at most 3 words were left out"]
    assert cut_after("a b c", 3) is None
    answered = Texts("h", [Text("Yes.", "Is it?"), Text("No.")])
    prompts, rest = continuations(answered, 3)
    assert (prompts, rest.texts) == ([Prompt("Is it?")], [answered.texts[0]])
    # Those without a prompt of their own go on from their first words.
    mixed = Texts("h", [Text("Yes.", "Is it?"), *human.texts])
    prompts, rest = continuations(mixed, 3)
    assert prompts == [Prompt("Is it?"), Prompt("One two three,")]
    assert rest.texts == [mixed.texts[0], Text(" four five.", "One two three,")]
    with pytest.raises(TextsError, match="--prompt-words"):
        continuations(Texts("h", [Text("Short one.")]), 16)


# ---- models and adapters ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    shapes: dict[str, dict[str, Any]] = {
        "base": {},
        "wide": {"hidden_size": 64, "intermediate_size": 64, "head_dim": 16},
        "deep": {"num_hidden_layers": 3},
    }
    for name, shape in shapes.items():
        model = tiny.model(**shape)
        model.save_pretrained(made / name)
        tiny.tokenizer().save_pretrained(made / name)
        model.name_or_path = str(made / name)
        config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
        get_peft_model(model, config).save_pretrained(made / f"{name}-adapter")
    return made


def test_an_adapter_changes_what_its_base_predicts(folder: Path) -> None:
    tokens = torch.arange(10, 30)[None]
    plain = load(str(folder / "base"))
    adapted = load(str(folder / "base"), str(folder / "base-adapter"))
    assert adapted.notes == ()
    assert not adapted.model.training
    assert not torch.allclose(plain.model(tokens).logits, adapted.model(tokens).logits)


@pytest.mark.parametrize("other", ["wide", "deep"])
def test_an_adapter_of_another_base_is_refused_by_name(folder: Path, other: str) -> None:
    with pytest.raises(TextsError, match=f"does not fit.*adapter of .*{other}") as caught:
        load(str(folder / "base"), str(folder / f"{other}-adapter"))
    assert len(str(caught.value)) < 700


def test_an_adapter_whose_base_has_another_name_is_told_of(folder: Path, tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path / "renamed")
    tiny.tokenizer().save_pretrained(tmp_path / "renamed")
    (note,) = load(str(tmp_path / "renamed"), str(folder / "base-adapter")).notes
    assert "names" in note
    assert "renamed" in note


@pytest.mark.parametrize(
    ("model", "adapter", "message"),
    [
        ("./nowhere", None, "there is no such folder"),
        ("/no/such/model", None, "there is no such folder"),
        ("{folder}", None, "holds no model: no config.json"),
        ("{folder}/base-adapter", None, "holds an adapter.*--adapter"),
        ("{folder}/base/config.json", None, "is a file.*--texts"),
        ("{folder}/base", "{folder}/nowhere", "holds no adapter"),
        ("no-such-model-anywhere", None, "no tokenizer can be loaded"),
    ],
)
def test_models_and_adapters_that_are_not_there(folder: Path, model: str, adapter: str | None, message: str) -> None:
    with pytest.raises(TextsError, match=message):
        load(model.format(folder=folder), adapter and adapter.format(folder=folder))


def test_damaged_weights_are_an_error_of_one_line(folder: Path, tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path / "m")
    tiny.tokenizer().save_pretrained(tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(TextsError, match="cannot be loaded"):
        load(str(tmp_path / "m"))
