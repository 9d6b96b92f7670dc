"""`dft evaluate` and `dft compare` from the command line, with a real model where there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from transformers import LlamaForCausalLM

from dft_plugin import plugins
from dft_plugin.cli import commands
from dft_plugin.evaluation import result as results
from dft_plugin.evaluation.model_texts import of_model
from dft_plugin.evaluation.run import Request, human_side
from dft_plugin.evaluation.texts import Texts
from tests import tiny
from tests.unit.evaluation.samples import CORPORA, corpus, made_up

MODEL = CORPORA.parent / "models" / "stories260K"


def texts(path: Path, count: int, seed: int, favourite: str | None = None) -> str:
    rows = [{"text": text.text} for text in made_up(count, seed, favourite=favourite)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def dft(*arguments: str) -> Result:
    return CliRunner().invoke(commands, arguments)


def test_the_commands_import_nothing_heavy() -> None:
    code = (
        "import sys, dft_plugin.cli; "
        "print([name for name in ('torch', 'numpy', 'transformers', 'rich', 'pydantic') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_texts_from_a_file(tmp_path: Path) -> None:
    human, mine = texts(tmp_path / "human.jsonl", 60, 1), texts(tmp_path / "mine.jsonl", 40, 2, "delve")
    output = tmp_path / "out" / "r.json"
    found = dft("evaluate", "--texts", mine, "--reference", human, "--resamples", "20", "-n", "30", "-o", str(output))
    assert found.exit_code == 0, found.output
    result = results.Result.load(output)
    assert result.name == "mine"
    assert result.provenance.texts.texts == 30
    assert result.provenance.human.texts == 60
    assert "delve" in found.output
    assert "vocabulary" in found.output
    assert str(output) in found.output.replace("\n", "")


def test_errors_are_one_line_and_exit_code_one(tmp_path: Path) -> None:
    human = texts(tmp_path / "human.jsonl", 10, 1)
    for arguments in (
        ["evaluate", "--reference", human],
        ["evaluate", str(tmp_path / "no-model"), "--reference", human],
        ["evaluate", "--texts", "nothing.jsonl", "--reference", human],
        ["compare", human, "nothing.json"],
    ):
        found = dft(*arguments)
        assert found.exit_code == 1
        assert found.output.startswith("Error: ")
        assert len(found.output.splitlines()) == 1


def test_results_are_not_compared_with_human_texts_that_are_not_there(tmp_path: Path) -> None:
    human, mine = texts(tmp_path / "human.jsonl", 30, 1), texts(tmp_path / "mine.jsonl", 30, 2)
    result = str(tmp_path / "mine.json")
    assert dft("evaluate", "--texts", mine, "--reference", human, "--resamples", "20", "-o", result).exit_code == 0
    assert dft("compare", human, result).exit_code == 0
    missing = dft("compare", str(tmp_path / "nope.jsonl"), result)
    assert missing.exit_code == 1
    assert "there is no such file" in missing.output
    state = dft("compare", human, result, "--trainer-state", "absent")
    assert state.exit_code == 2
    assert "--html" in state.output


def test_a_mistyped_domain_is_told_from_a_data_set(tmp_path: Path) -> None:
    mine = texts(tmp_path / "mine.jsonl", 10, 2)
    found = dft("evaluate", "--texts", mine, "--reference", "fictio")
    assert found.exit_code == 1
    assert 'Did you mean "fiction"?' in found.output


def test_comparing_texts_and_results(tmp_path: Path) -> None:
    human = texts(tmp_path / "human.jsonl", 80, 1)
    base, tuned = texts(tmp_path / "base.jsonl", 50, 2, "delve"), texts(tmp_path / "tuned.jsonl", 40, 3)
    shown = dft("compare", human, base, tuned, "--resamples", "30")
    assert shown.exit_code == 0, shown.output
    assert "base" in shown.output
    assert "40 of 50 texts, drawn at random" in " ".join(shown.output.split())
    for name in ("base", "tuned"):
        arguments = ["--texts", str(tmp_path / f"{name}.jsonl"), "--reference", human, "--resamples", "30", "-n", "40"]
        assert dft("evaluate", *arguments, "--words", "50", "-o", str(tmp_path / f"{name}.json")).exit_code == 0
    html = tmp_path / "report.html"
    again = dft("compare", human, str(tmp_path / "base.json"), str(tmp_path / "tuned.json"), "--html", str(html))
    assert again.exit_code == 0, again.output
    assert "<html" in html.read_text(encoding="utf-8")
    assert "median gap closed" in " ".join(again.output.split())
    mixed = dft("compare", human, str(tmp_path / "base.json"), tuned, "--resamples", "30")
    assert mixed.exit_code == 0, mixed.output
    assert "not measured against" not in mixed.output
    assert "?" not in mixed.output.split("In brackets")[0]


def test_a_report_is_written_over_nothing_that_is_read(tmp_path: Path) -> None:
    human, mine = texts(tmp_path / "human.jsonl", 20, 1), texts(tmp_path / "mine.jsonl", 20, 2)
    run = tmp_path / "run"
    run.mkdir()
    (run / "trainer_state.json").write_text('{"log_history": [{"step": 1, "loss": 2.0}]}')
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    for html in (human, mine, run / "trainer_state.json", run, Path(human) / "r.html"):
        found = dft("compare", human, mine, "--html", str(html), "--trainer-state", str(run))
        assert found.exit_code == 1
        assert found.output.startswith("Error: --html")  # before anything is measured
    assert {path: path.read_bytes() for path in before} == before
    again = dft("compare", human, mine, "--html", str(run / "r.html"), "--trainer-state", str(run), "--resamples", "20")
    assert again.exit_code == 0, again.output


def test_a_tiny_model_is_generated_from_and_measured(tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    human = tmp_path / "human.jsonl"
    human.write_text("".join(json.dumps(row) + "\n" for row in tiny.plain_rows(30)))
    output = tmp_path / "r.json"
    arguments = [
        str(tmp_path / "model"), "--reference", str(human), "-n", "24", "--max-new-tokens", "24", "--batch-size", "8",
        "--temperature", "0.8", "--top-p", "0.9", "--resamples", "20", "--prompt-words", "5", "-o", str(output),
    ]  # fmt: skip
    found = dft("evaluate", *arguments)
    assert found.exit_code == 0, found.output
    result = results.Result.load(output)
    assert result.provenance.model == str(tmp_path / "model")
    assert result.provenance.sampling is not None
    assert result.provenance.sampling.top_p == 0.9
    assert result.provenance.sampling.engine == "transformers"
    assert result.measures["perplexity"].value is not None
    assert result.measures["covered"].value is not None
    assert result.measures["jensen-shannon"].label.startswith("tokens")
    assert result.samples.texts[0].prompt == result.samples.human[0].prompt
    assert result.samples.human[0].text.startswith(" ")
    written = tmp_path / "r.texts.jsonl"
    assert len(written.read_text().splitlines()) == 24
    before = written.stat().st_mtime_ns
    assert dft("evaluate", *arguments).exit_code == 0
    assert written.stat().st_mtime_ns == before  # nothing was generated a second time
    again = results.Result.load(output)
    assert again.measures == result.measures
    said = "24 of 24 texts were there already, from an earlier run of the same model and settings"
    assert said in again.notes
    assert said not in result.notes
    # The model was trained further in its folder: those texts are not its own.
    tiny.model(seed=1).save_pretrained(tmp_path / "model")
    trained = dft("evaluate", *arguments)
    assert trained.exit_code == 1
    assert "before it was trained further" in trained.output


def saved_model(folder: Path) -> str:
    tiny.model().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return str(folder)


def test_chats_that_end_alike_keep_their_turns(tmp_path: Path) -> None:
    def chat(number: int) -> list[dict[str, str]]:
        said = (("user", f"Number {number}?"), ("assistant", "Yes."), ("user", "Go on."), ("assistant", "It is so."))
        return [{"role": role, "content": content} for role, content in said]

    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": chat(number)}) + "\n" for number in range(12)))
    request = Request(
        str(path), saved_model(tmp_path / "model"), count=30, max_new_tokens=6, resamples=10, output=tmp_path / "r.json"
    )
    human = human_side(str(path))
    assert isinstance(human, Texts)
    found, _, _, origin = of_model(request, human)
    turns = [text.messages for text in human.texts]
    assert len({text.asked for text in found.texts}) == 24
    assert [text.messages for text in found.texts] == (turns * 2)[: len(found.texts)]
    assert origin.measures["sampler perplexity"].basis.endswith(", temperature 1")


def test_prompts_are_drawn_at_random(tmp_path: Path) -> None:
    human, path = texts(tmp_path / "human.jsonl", 12, 1), tmp_path / "prompts.jsonl"
    rows = [f"Number {number}" for number in range(40)]
    path.write_text("".join(json.dumps({"prompt": row}) + "\n" for row in rows) + '{"prompt": 5}\n{broken\n')
    request = Request(
        human,
        saved_model(tmp_path / "model"),
        prompts=str(path),
        count=12,
        max_new_tokens=4,
        output=tmp_path / "r.json",
    )
    origin = of_model(request, human_side(human))[3]
    assert f"{path}: left out rows that cannot be read: {path}, line 41: " in origin.notes[0]
    assert origin.notes[0].endswith(" and 1 more")
    assert origin.tokenizer == request.model
    assert of_model(request, human_side("fiction"))[3].tokenizer is None  # whose laws are of words
    written = (tmp_path / "r.texts.jsonl").read_text().splitlines()
    used = [json.loads(line)["prompt"] for line in written]
    assert len(set(used)) == 12
    assert set(used) - set(rows[:20])


def test_a_model_whose_logits_cannot_be_computed_from_its_head_has_no_perplexity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "human.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in tiny.plain_rows(12)))
    request = Request(
        str(path), saved_model(tmp_path / "model"), max_new_tokens=6, prompt_words=5, output=tmp_path / "r.json"
    )
    plain = LlamaForCausalLM.forward

    def scaled(self: LlamaForCausalLM, *arguments: Any, **options: Any) -> Any:
        found = plain(self, *arguments, **options)
        found.logits = found.logits * 3
        return found

    monkeypatch.setattr(LlamaForCausalLM, "forward", scaled)
    origin = of_model(request, human_side(str(path)))[3]
    assert not origin.measures
    assert any(note.startswith("perplexity is not measured: LlamaForCausalLM computes logits") for note in origin.notes)


def test_options_of_no_effect_are_refused(tmp_path: Path) -> None:
    human, mine = texts(tmp_path / "human.jsonl", 30, 1), texts(tmp_path / "mine.jsonl", 30, 2)
    result = str(tmp_path / "mine.json")
    evaluate = ["evaluate", "--texts", mine, "--reference", human, "--resamples", "20", "-o", result]
    assert dft(*evaluate).exit_code == 0
    for arguments, named in (
        (
            [*evaluate, "--temperature", "0.7", "--batch-size", "4"],
            "--temperature, --batch-size: --texts exist",
        ),
        ([*evaluate, "--judge-pairs", "5"], "--judge-pairs: no judge is asked"),
        (["compare", human, result, "--words", "20", "--seed", "1"], "--words, --seed: results are shown as"),
    ):
        found = dft(*arguments)
        assert found.exit_code == 1
        assert found.output.startswith(f"Error: {named}")
        assert len(found.output.splitlines()) == 1
    assert dft("compare", human, result, mine, "--words", "20", "--resamples", "20").exit_code == 0
    assert dft(*evaluate, "--seed", "-1").exit_code == 2
    assert dft("compare", human, mine, "--seed", "-1").exit_code == 2
    assert dft("compare", human, mine, "--resamples", "19").exit_code == 2  # people's texts would differ from people's


@pytest.mark.skipif(not MODEL.is_dir(), reason="no stories260K next to the checkout")
def test_a_real_model_is_told_from_human_fairy_tales(tmp_path: Path) -> None:
    human = tmp_path / "human.jsonl"
    human.write_text("".join(json.dumps({"text": row["text"][:1500]}) + "\n" for row in corpus("children")[:150]))
    for name, temperature in (("cold", "0.4"), ("warm", "1.0")):
        found = dft(
            "evaluate", str(MODEL), "--reference", str(human), "-n", "64", "--max-new-tokens", "80",
            "--resamples", "40", "--temperature", temperature, "--name", name, "-o", str(tmp_path / f"{name}.json"),
        )  # fmt: skip
        assert found.exit_code == 0, found.output
    cold, warm = (results.Result.load(tmp_path / f"{name}.json") for name in ("cold", "warm"))
    for name in ("jensen-shannon", "mmd", "auc", "sentence length"):
        assert warm.measures[name].verdict == "differs"
    # The same model and human text, so the same perplexity; the colder it is sampled, the more it repeats itself.
    assert cold.measures["perplexity"] == warm.measures["perplexity"]
    assert cold.measures["distinct-2"].value < warm.measures["distinct-2"].value  # type: ignore[operator]
    compared = dft("compare", str(human), str(tmp_path / "cold.json"), str(tmp_path / "warm.json"))
    assert compared.exit_code == 0, compared.output


def test_texts_beside_a_shipped_domain(tmp_path: Path) -> None:
    domain = next(iter(plugins.references()), None)
    if domain is None:
        pytest.skip("no domain is shipped")
    mine, other = texts(tmp_path / "mine.jsonl", 40, 2), texts(tmp_path / "other.jsonl", 40, 3)
    output = tmp_path / "r.json"
    found = dft("evaluate", "--texts", mine, "--reference", domain, "--resamples", "20", "-o", str(output))
    assert found.exit_code == 0, found.output
    assert results.Result.load(output).provenance.human.kind == "laws"
    assert dft("compare", domain, mine, other, "--resamples", "20").exit_code == 0
    for arguments in (["--texts", mine, "--mauve"], [str(tmp_path)], ["--texts", mine, "--tokenizer", "gpt2"]):
        refused = dft("evaluate", *arguments, "--reference", domain)
        assert refused.exit_code == 1
    assert f"{domain} holds laws of words, not of --tokenizer's tokens" in refused.output
