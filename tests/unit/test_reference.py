"""Reference files: complete, unaltered, ours, of this tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from dft_plugin import plugins
from dft_plugin.accumulation import Accumulation
from dft_plugin.documents import Document
from dft_plugin.ends_of_text import end_of_text_ids
from dft_plugin.human_reference import other_texts
from dft_plugin.matched import make_statistics
from dft_plugin.reference import HumanReferenceError, Reference
from dft_plugin.reference.accumulated import describe
from dft_plugin.reference.count import Counter, Cutting
from dft_plugin.reference.finish import finished
from dft_plugin.reference.rows import Row
from dft_plugin.reference.tokenized import HumanText, tokenize
from dft_plugin.reference.tokenizer import end_of_text_of
from dft_plugin.statistic_config import DFTStatisticConfig
from dft_plugin.statistics.base import Statistic
from dft_plugin.vocabulary import Vocabulary
from tests import tiny
from tests.small_statistics import NAMES, OPTIONS

SAMPLING = {"max_new_tokens": 24, "context_tokens": 4}


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary.from_tokenizer(tiny.tokenizer())


def entries(names: Sequence[str] = NAMES, **changed: Any) -> list[DFTStatisticConfig]:
    return [DFTStatisticConfig(name=name, **{**OPTIONS.get(name, {}), **changed.get(name, {})}) for name in names]


def statistics(names: Sequence[str] = NAMES, **changed: Any) -> list[Statistic]:
    return make_statistics(entries(names, **changed), vocabulary())


def made_reference(names: Sequence[str] = NAMES, documents: int = 40) -> Reference:
    counter = Counter(Accumulation(statistics(names), vocabulary().size), Cutting(4, 24, False, seed=0))
    rows = [Row(number, text) for number, text in enumerate(tiny.paragraphs()[:documents])]
    count = counter.count(tokenize(rows, tiny.tokenizer()))
    record = {"tokenizer_name": "tiny", "sampling": SAMPLING, "from_start": False, "seed": 0}
    record |= {"corpus": ["text.jsonl"], "letters": {"Latin": 10}}
    return finished(count, vocabulary(), entries(names), record)


def test_where_documents_are_cut_is_chosen_by_the_seed_and_by_what_they_say() -> None:
    own = Accumulation(statistics(["token_frequency"]), vocabulary().size)
    texts = tokenize([Row(number, text) for number, text in enumerate(tiny.paragraphs()[:40])], tiny.tokenizer())
    later = [replace(text, document=replace(text.document, start=5)) for text in texts]
    given = ((texts, 0), (texts, 0), (texts, 1), (later, 0))
    found, same, seeded, begun = (Counter(own, Cutting(4, 24, False, seed)).count(each) for each, seed in given)
    assert found.content == same.content
    assert np.array_equal(found.tokens, same.tokens)
    assert not np.array_equal(found.tokens, seeded.tokens)
    assert len({found.content, seeded.content, begun.content}) == 3


def test_long_laws_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dft_plugin.reference.finish.LONGEST_LAW", 100)
    laws = made_reference(["token_frequency", "sentence_length"]).laws
    assert [list(laws[name]) for name in ("token_frequency", "sentence_length")] == [[], ["sentence_end"]]


# Files.


def test_save_and_load(tmp_path: Path) -> None:
    made = made_reference()
    made.save(tmp_path / "a.safetensors")
    loaded = Reference.load(tmp_path / "a.safetensors")
    assert loaded.windows == made.windows
    assert loaded.metadata == json.loads(json.dumps(made.metadata))
    assert set(loaded.totals) == set(NAMES)
    for name, total in made.totals.items():
        assert torch.equal(loaded.totals[name], total)
        for component, law in made.laws[name].items():
            assert torch.equal(loaded.laws[name][component], law)
    assert loaded.count.content == made.count.content
    assert loaded.words.phrases(2) == made.words.phrases(2)
    for name, table in vars(vocabulary()).items():
        if isinstance(table, torch.Tensor):
            assert torch.equal(getattr(loaded.vocabulary, name), table)
    for event, table in vocabulary().events.items():
        assert torch.equal(loaded.vocabulary.events[event], table)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]  # nothing half-written is left


def test_files_are_stable_byte_by_byte(tmp_path: Path) -> None:
    """The same text gives the same file, and what was loaded is written as it was."""
    for name, reference in (("a", made_reference()), ("b", made_reference())):
        reference.save(tmp_path / name)
    Reference.load(tmp_path / "a").save(tmp_path / "c")
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1
    made_reference(documents=41).save(tmp_path / "d")
    assert (tmp_path / "d").read_bytes() not in contents


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "human.safetensors"
    made_reference().save(path)
    return path


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(HumanReferenceError, match="no such file"):
        Reference.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(HumanReferenceError, match="no such file"):
        Reference.load(tmp_path)  # a folder


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "human.safetensors"
    path.write_bytes(b"")
    with pytest.raises(HumanReferenceError, match=r"0 bytes.*dft reference build"):
        Reference.load(path)


@pytest.mark.parametrize("kept", [1, 7, 8, 100, -1])
def test_truncated(tmp_path: Path, kept: int) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(HumanReferenceError, match="truncated"):
        Reference.load(path)


def test_no_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "human.safetensors"
    path.write_text("It is a text, not a reference.\n" * 20)
    with pytest.raises(HumanReferenceError, match="no safetensors file"):
        Reference.load(path)


@pytest.mark.parametrize("what", ["number", "metadata"])
def test_altered(tmp_path: Path, what: str) -> None:
    path = saved(tmp_path)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        record = file.metadata()
    if what == "number":
        tensors["count/tokens"][3] += 1
    else:
        record["content"] = record["content"].replace('"seed": 0', '"seed": 1')
    save_file(tensors, path, metadata=record)
    with pytest.raises(HumanReferenceError, match="altered"):
        Reference.load(path)


def test_every_byte_is_under_guard(tmp_path: Path) -> None:
    """A flipped bit anywhere in the numbers is found."""
    path = saved(tmp_path)
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    for at in range(begin, len(content), (len(content) - begin) // 20):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(HumanReferenceError, match="altered"):
            Reference.load(path)


def test_somebody_elses_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"lm_head.weight": torch.zeros(4, 4)}, path)
    with pytest.raises(HumanReferenceError, match="no dft-plugin reference"):
        Reference.load(path)
    save_file({"lm_head.weight": torch.zeros(4, 4)}, path, metadata={"format": "pt"})  # transformers writes this
    with pytest.raises(HumanReferenceError, match="no dft-plugin reference"):
        Reference.load(path)


def test_of_another_format_version(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with safe_open(path, framework="pt") as file:
        record = file.metadata()
    save_file(load_file(path), path, metadata={**record, "format_version": "99"})
    with pytest.raises(HumanReferenceError, match="format version 99"):
        Reference.load(path)


# Whether a file fits the run.


def check(made: Sequence[Statistic], reference: Reference | None = None, **changed: Any) -> None:
    sampling = changed.pop("sampling", SAMPLING)
    (reference or made_reference()).check("human.safetensors", made, replace(vocabulary(), **changed), sampling)


def test_a_fitting_file_is_taken(tmp_path: Path) -> None:
    check(statistics())
    check(statistics(NAMES[:2]))  # a run may use fewer
    check(statistics(), Reference.load(saved(tmp_path)))


def test_for_a_head_of_another_size() -> None:
    with pytest.raises(HumanReferenceError, match=r"320 rows, this model's has 328.*--vocabulary-size 328"):
        check(statistics(), size=328)


def test_of_another_tokenizer() -> None:
    with pytest.raises(HumanReferenceError, match=r"another tokenizer.*dft reference build"):
        check(statistics(), fingerprint="something else")


def test_texts_that_begin_or_end_otherwise_are_told_of() -> None:
    reference, end = made_reference(), vocabulary().end_of_text[0]
    assert reference.count.tokens[end] > 0

    def said(last: int, prompted: bool) -> str:
        trained_on = [Document((1, 2, last), 1, 3, prompted)]
        return " ".join(other_texts("human.safetensors", reference, trained_on, prompted, (7, end)))

    assert said(end, prompted=False) == ""
    assert said(9, prompted=False) == ""  # a text that was cut off ends with nothing
    assert "human.safetensors was built without --from-start" in said(end, prompted=True)
    assert f"end with token [{end}], the training set's with token [7]" in said(7, prompted=False)


def test_texts_without_an_end_are_told_of_unless_all_were_cut() -> None:
    """As chats are counted whose template ends turns with another token than the base model's texts end with."""
    texts = [row.document for row in tokenize([Row(1, tiny.paragraphs()[0])], tiny.tokenizer())]
    end = texts[0].tokens[-1]
    for length, told in ((24, False), (20, True)):
        text = HumanText(Document(texts[0].tokens[: 4 + length], 4, 4 + length, True), "")
        count = Counter(Accumulation(statistics(), vocabulary().size), Cutting(4, 24, True, seed=0)).count([text] * 40)
        record = {"tokenizer_name": "tiny", "sampling": SAMPLING, "from_start": True, "corpus": [], "letters": {}}
        reference = finished(count, vocabulary(), entries(["token_frequency"]), record)
        said = [*other_texts("human.safetensors", reference, [Document((1, end), 1, 2, True)], True, (end,))]
        assert ["end with no end of text, the training set's" in each for each in said] == [True] * told


def test_ends_of_text_of_a_model_without_a_generation_config(tmp_path: Path) -> None:
    """transformers makes one of its config.json, in a run as well."""
    model, tokenizer = tiny.model(), tiny.tokenizer()
    model.config.eos_token_id = [7, 9]
    model.config.save_pretrained(tmp_path)
    assert end_of_text_of(tokenizer, str(tmp_path)) == tuple(sorted({tokenizer.eos_token_id, 7, 9}))
    loaded = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    assert end_of_text_of(tokenizer, str(tmp_path)) == end_of_text_ids(tokenizer, loaded)


@pytest.mark.parametrize("key", ["max_new_tokens", "context_tokens"])
def test_of_other_windows(key: str) -> None:
    sampling = {**SAMPLING, key: 77}
    with pytest.raises(HumanReferenceError, match=f"rollout.{key} 77"):
        check(statistics(), sampling=sampling)


def test_without_a_statistic() -> None:
    with pytest.raises(HumanReferenceError, match=r"holds no novelty; it holds token_frequency, ngram_frequency"):
        check(statistics(), made_reference(names=NAMES[: NAMES.index("novelty")]))


def test_of_other_options() -> None:
    with pytest.raises(HumanReferenceError, match=r"sentence_length.*'longest': 8.*'longest': 9"):
        check(statistics(sentence_length={"longest": 9}))


def test_of_an_older_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = made_reference()
    monkeypatch.setattr(plugins.statistic("novelty"), "version", 99)
    with pytest.raises(HumanReferenceError, match="novelty"):
        check(statistics(), reference)


def test_options_of_a_file_survive_it(tmp_path: Path) -> None:
    """Tuples and numbers come back from JSON as what a run's own options are compared with."""
    loaded = Reference.load(saved(tmp_path))
    for statistic in statistics():
        assert loaded.metadata["statistics"][statistic.name] == describe(statistic)
