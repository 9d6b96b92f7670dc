"""Input that cannot be measured: clear errors or honest entries, and nothing lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dft_plugin.evaluation.compare_files import compare_files
from dft_plugin.evaluation.evaluate import evaluate
from dft_plugin.evaluation.measuring import Options
from dft_plugin.evaluation.result import Result
from dft_plugin.evaluation.run import Request, human_side, run
from dft_plugin.evaluation.texts import Text, Texts, TextsError, digest, name_of, read_texts
from dft_plugin.reference.errors import HumanReferenceError
from tests.unit.evaluation.samples import made_up

OPTIONS = Options(resamples=10, words=100)
HUMAN = Texts("human", made_up(40, 1))


def written(path: Path, rows: list[Any]) -> str:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return str(path)


def of(*texts: str) -> Result:
    result = evaluate("x", Texts("x", [Text(text) for text in texts]), HUMAN, OPTIONS)
    # What was measured can be written and read again, whatever it was.
    assert Result.model_validate_json(result.model_dump_json()) == result
    return result


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "no such file"),
        ("empty.jsonl", "", "is empty"),
        ("blank.jsonl", "\n\n", "holds no text"),
        ("blank.txt", "   \n", "holds no text"),
        ("broken.jsonl", '{"text": "a"\nnot json\n', "holds no text.*line 1: not valid JSON"),
        ("odd.csv", "a,b\n", "unknown kind"),
        ("other.jsonl", '{"body": "a"}\n', '"text".*there are "body"'),
        ("list.json", '{"text": "a"}', "expected a JSON list"),
    ],
)
def test_files_without_texts(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises((TextsError, HumanReferenceError), match=message) as caught:
        read_texts(tmp_path / name)
    assert name in str(caught.value)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"story": "Once.", "id": 1}])
    with pytest.raises(HumanReferenceError, match=r'"stori".*"story", "id".*Did you mean "story"'):
        read_texts(path, "stori")
    assert read_texts(path, "story").texts == [Text("Once.")]


def test_texts_prompts_and_chats_are_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]
    rows = [
        {"text": "Once."},
        {"prompt": "A", "completion": " b."},
        {"messages": [*turns, turns[0], turns[1], turns[0]]},
    ]
    found = read_texts(written(tmp_path / "x.jsonl", rows)).texts
    assert found[:2] == [Text("Once."), Text(" b.", "A")]
    assert found[2:] == [Text("Yes.", "Hi?", (turns[0],)), Text("Yes.", "Hi?", (*turns, turns[0]))]


def test_bad_rows_are_left_out_and_told_of(tmp_path: Path) -> None:
    rows = [{"text": text.text} for text in made_up(10, 1)]
    path = written(tmp_path / "x.jsonl", [*rows, {"text": "nul \0 byte"}, "{broken", {"text": "  "}, {"text": 5}])
    found = read_texts(path)
    assert len(found.texts) == 10
    assert "line 11: " in found.notes[0]
    assert "NUL" in found.notes[0]
    assert "and 2 more" in found.notes[0]
    assert "1 empty" in found.notes[1]
    result = evaluate("x", found, HUMAN, OPTIONS)
    assert result.notes[:2] == tuple(found.notes)


def test_no_texts_is_an_error() -> None:
    for texts, human in ((Texts("mine", []), HUMAN), (HUMAN, Texts("mine", []))):
        with pytest.raises(TextsError, match="mine holds no text"):
            evaluate("x", texts, human, OPTIONS)


def test_one_text_is_told_to_be_too_little() -> None:
    result = of("The cat sees the dog. The dog finds a tree, slowly.")
    assert {one.verdict for one in result.measures.values()} <= {"too small to tell", "cannot be measured"}
    assert result.measures["text length, mean"].value == 11
    assert result.measures["sentence length, mean"].value == pytest.approx(5.5)
    assert result.measures["text length, mean"].interval is None
    assert "too few" in " ".join(result.notes)


def test_few_texts_are_never_called_different_by_accident() -> None:
    result = evaluate("x", Texts("x", made_up(6, 2)), HUMAN, Options(resamples=50))
    assert "differs" not in {one.verdict for one in result.measures.values()}
    assert "no difference shown" not in {one.verdict for one in result.measures.values()}


def test_texts_shorter_than_a_sentence() -> None:
    result = of(*["yes"] * 20, *["no"] * 20)
    lengths = result.measures["sentence length, mean"]
    assert (lengths.verdict, lengths.value) == ("cannot be measured", None)
    assert lengths.note
    assert result.measures["distinct-1"].value is not None
    assert result.measures["distinct-2"].verdict == "cannot be measured"
    assert result.measures["text length, mean"].verdict == "differs"


def test_texts_without_a_word() -> None:
    result = of(*["...", "— !", "?"] * 10)
    assert result.measures["distinct-1"].verdict == "cannot be measured"
    assert result.measures["comma"].value is None
    assert result.curves["sentence length"].texts[0] is None


def test_other_scripts() -> None:
    thai = of(*["สวัสดีครับ วันนี้อากาศดีมาก"] * 20)
    assert thai.measures["other scripts"].value == 100
    assert thai.measures["other scripts"].verdict == "differs"
    assert any("without spaces" in note and "Thai" in note for note in thai.notes)
    assert any("English only" in note for note in thai.notes)
    chinese = of(*["我喜歡書。他不喜歡書，但是她喜歡。"] * 20)
    assert chinese.measures["sentence length, mean"].value == pytest.approx((4 + 10) / 2)
    assert chinese.measures["comma"].value == pytest.approx(1000 / 14)


def test_control_characters_and_halves_of_pairs_do_no_harm() -> None:
    result = of(*["A nul \0 here, a bell \a there.\r\n\x1b[31m Red \u202e text.\ufeff"] * 20)
    assert result.samples.texts[0].text.startswith("A nul \0")
    assert result.measures["comma"].value is not None


def test_a_line_of_five_megabytes(tmp_path: Path) -> None:
    words = "word " * 1_000_000
    path = written(
        tmp_path / "x.jsonl", [{"text": words}, {"text": "x" * 5_000_000}, *({"text": t.text} for t in made_up(20, 2))]
    )
    texts = read_texts(path)
    assert len(texts.texts) == 22
    result = evaluate("x", texts, HUMAN, OPTIONS)
    assert result.provenance.texts.words > 1_000_000
    assert len(result.samples.texts[0].text) == 4000
    assert len(result.model_dump_json()) < 500_000


def test_arguments_that_do_not_go_together() -> None:
    for arguments, message in (
        ({}, "one of the two"),
        ({"model": "m", "texts": "t"}, "one of the two"),
        ({"texts": "t", "adapter": "a"}, "--adapter and --prompts"),
        ({"model": "m", "judge": "http://x"}, "--judge-model"),
    ):
        with pytest.raises(TextsError, match=message):
            Request(reference="human.jsonl", **arguments)  # type: ignore[arg-type]


def test_nothing_that_is_read_is_written_over(tmp_path: Path) -> None:
    texts = written(tmp_path / "t.jsonl", [{"text": text.text} for text in made_up(10, 1)])
    for output, message in (
        (tmp_path, "is a folder"),
        (Path(texts), "written over"),
        (tmp_path / "h", "written over"),
        (Path(texts) / "r.json", "nothing can be written into .*t.jsonl"),
    ):
        with pytest.raises(TextsError, match=message):
            Request(reference=str(tmp_path / "h"), texts=texts, output=output)
    with pytest.raises(TextsError, match=r"r\.jsonl lies in .*, whose files are read"):
        Request(reference=str(tmp_path), texts=texts, output=tmp_path / "in" / "r.jsonl")


def test_files_are_drawn_from_at_random_and_named_by_their_texts_alone(tmp_path: Path) -> None:
    sorted_texts = [Text(f"Number {number}.") for number in range(40)]
    path = written(tmp_path / "t0.7.jsonl", [{"text": text.text} for text in sorted_texts])
    human = human_side(path)
    assert isinstance(human, Texts)
    assert human.texts != sorted_texts
    assert sorted(text.text for text in human.texts) == sorted(text.text for text in sorted_texts)
    assert human_side(path) == human
    assert digest(human.texts) == digest(sorted_texts) != digest(sorted_texts[1:])
    result = run(Request(reference=path, texts=path, count=20, resamples=10, output=tmp_path / "r.json"))
    assert result.name == "t0.7"
    assert {sample.text for sample in result.samples.texts} - {text.text for text in sorted_texts[:20]}
    assert "20 of 40 texts are measured, drawn at random" in result.notes
    (tmp_path / "kept.result").write_bytes((tmp_path / "r.json").read_bytes())
    compared, _ = compare_files(path, [str(tmp_path / "kept.result"), path], None, OPTIONS)
    assert compared.names == ["t0.7", "t0.7 (2)"]
    assert [name_of(name) for name in ("a/b.jsonl.gz", "x.texts.jsonl", "me/model-1.5", "r.json")] == [
        "b", "x.texts", "model-1.5", "r",
    ]  # fmt: skip


def test_the_text_column_is_used_for_human_texts_without_the_usual_ones(tmp_path: Path) -> None:
    path = written(tmp_path / "h.jsonl", [{"story": text.text} for text in made_up(10, 1)])
    usual = written(tmp_path / "u.jsonl", [{"text": text.text, "story": "x"} for text in made_up(10, 1)])
    assert sorted(text.text for text in human_side(path, "story").texts) == sorted(  # type: ignore[union-attr]
        text.text
        for text in human_side(usual, "story").texts  # type: ignore[union-attr]
    )
    with pytest.raises(HumanReferenceError, match='"story"'):
        human_side(path)
    compare_files(path, [path], "story", OPTIONS)


def test_a_model_that_is_not_there_is_found_out_before_anything_is_read(tmp_path: Path) -> None:
    human = written(tmp_path / "h.jsonl", [{"text": text.text} for text in made_up(5, 1)])
    with pytest.raises(TextsError, match="there is no such folder"):
        run(Request(reference=human, model=str(tmp_path / "nowhere"), output=tmp_path / "r.json"))
    model = tmp_path / "m"
    model.mkdir()
    (model / "config.json").write_text("{}")
    with pytest.raises(TextsError, match="vllm is not installed"):
        run(Request(reference=human, model=str(model), engine="vllm", output=tmp_path / "r.json"))
    assert not (tmp_path / "r.json").exists()


def test_comparing_what_is_no_text(tmp_path: Path) -> None:
    texts = written(tmp_path / "t.jsonl", [{"text": text.text} for text in made_up(10, 1)])
    run(Request(reference=texts, texts=texts, resamples=10, output=tmp_path / "r.json"))
    with pytest.raises(TextsError, match="first argument is the human text"):
        compare_files(str(tmp_path / "r.json"), [texts], None, OPTIONS)
    (tmp_path / "damaged.json").write_text((tmp_path / "r.json").read_text()[:1000])
    with pytest.raises(ValueError, match="no JSON"):
        compare_files(texts, [str(tmp_path / "damaged.json")], None, OPTIONS)
