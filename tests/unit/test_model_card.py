"""The model card: one section and one tag, and all that was there before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dft_plugin.evaluation.compare import compare
from dft_plugin.evaluation.model_card import BEGIN, END, ModelCardError, add_section, drawn, escaped, section
from dft_plugin.evaluation.report.numbers import figure
from dft_plugin.evaluation.result import Result, ResultError, Sampling
from tests import results, tiny, training

WRITTEN = """---
base_model: org/base
library_name: transformers
licence: license
model-index:
- name: out
  results: []
  unknown: kept
model_name: out
tags:
- generated_from_trainer
- trl
- sft
---

# Model Card for out

## Quick start

```python
print("{n} | 1")
```

### Framework versions

- TRL: 1.16.0

## Citations

```bibtex
@software{vonwerra2020trl, title = {{TRL}}}
```
"""


def parts(folder: Path) -> tuple[dict[str, Any], str]:
    """Front matter and body."""
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def before_and_after() -> list[Result]:
    first, people, _ = results.measured()
    return [first.model_copy(update={"name": "before"}), people.model_copy(update={"name": "after"})]


def test_what_was_written_stays_and_the_section_stands_before_the_citations(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(WRITTEN)
    assert add_section(tmp_path, before_and_after()) == tmp_path / "README.md"
    front, body = parts(tmp_path)
    _, front_before, body_before = WRITTEN.split("---\n", 2)
    expected = yaml.safe_load(front_before)
    expected["tags"].append("dft-plugin")
    assert front == expected
    assert list(front) == list(expected)
    found = body[body.index(BEGIN) : body.index(END) + len(END)]
    assert body.replace(f"{found}\n\n", "") == body_before
    assert body.index("- TRL: 1.16.0") < body.index(BEGIN) < body.index("## Citations")
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]


def test_a_second_time_the_section_is_replaced_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(WRITTEN)
    add_section(tmp_path, before_and_after())
    once = (tmp_path / "README.md").read_text()
    add_section(tmp_path, before_and_after())
    assert (tmp_path / "README.md").read_text() == once
    (tmp_path / "README.md").write_text(once + "\n## Mine\n\nnever touched\n")
    add_section(tmp_path, before_and_after()[::-1])
    again = (tmp_path / "README.md").read_text()
    assert again.count("## Distribution Fine-Tuning") == again.count(BEGIN) == again.count("- dft-plugin\n") == 1
    assert again.endswith("\n## Mine\n\nnever touched\n")
    assert "| human | after | before |" in again
    assert again != once


def test_a_card_of_trl_itself_is_kept(tmp_path: Path) -> None:
    trainer = training.trainer_of(tiny.model("llama"), tiny.plain_rows(8), output_dir=str(tmp_path))
    trainer.create_model_card(model_name="out", dataset_name="org/data", tags="mine")
    front_before, text = parts(tmp_path)
    add_section(tmp_path, before_and_after())
    front, body = parts(tmp_path)
    assert front == {**front_before, "tags": [*front_before["tags"], "dft-plugin"]}
    assert body.startswith(text[: text.index("## Citations")].rstrip())
    assert body.endswith(text[text.index("## Citations") :])
    # TRL reads the tags of the card that is there when it writes one again.
    from huggingface_hub import ModelCard

    assert "dft-plugin" in ModelCard.load(tmp_path / "README.md").data.tags


def test_the_table_says_what_the_results_say() -> None:
    pair = before_and_after()
    compared = compare(pair)
    written = section(pair)
    for row in compared.rows:
        line = next(line for line in written.splitlines() if line.startswith(f"| {escaped(row.shown.label)}"))
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        assert len(cells) == 4
        first, after = (cell.measure for cell in row.cells)
        assert first is not None
        assert after is not None
        assert cells[1] == ("" if first.human is None else figure(first.human))
        assert cells[2].split(" (")[0] == figure(first.value)
        assert cells[3].startswith(figure(after.value))
        assert ("nearer" in cells[3], "farther" in cells[3], cells[3].endswith("=")) == tuple(
            row.cells[1].comparison == way for way in ("nearer", "farther", "no difference shown")
        )
    assert "? (not compared)" in written
    headline = compared.headlines[0]
    assert f"nearer to human text in {headline.nearer} of" in written


def test_results_alike_say_nothing_of_a_gap() -> None:
    first, _, again = results.measured()
    written = section([first, again])
    assert "closed" not in written
    assert "nearer to human text in 0 of" in written


def test_folders_without_a_card_or_front_matter_get_them(tmp_path: Path) -> None:
    folder = tmp_path / "my-run"
    add_section(folder, before_and_after()[:1])
    front, body = parts(folder)
    assert front == {"tags": ["dft-plugin"]}
    assert body.startswith("\n# my-run\n")
    assert "| human | before |" in body
    (folder / "README.md").write_text("Only a line.\r\n")
    (folder / "dft-report.html").write_text("")
    add_section(folder, before_and_after())
    content = (folder / "README.md").read_bytes().decode()
    assert content.startswith("---\r\n")
    assert "\n" not in content.replace("\r\n", "")
    assert "Only a line.\r\n\r\n<!--" in content
    assert "[dft-report.html](dft-report.html)" in content


@pytest.mark.parametrize(("front", "tags"), [("tags: trl", ["trl", "dft-plugin"]), ("tags:", ["dft-plugin"])])
def test_tags_of_any_form_are_kept(tmp_path: Path, front: str, tags: list[str]) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n\ntext\n")
    add_section(tmp_path, before_and_after())
    assert parts(tmp_path)[0]["tags"] == tags


@pytest.mark.parametrize("front", ["a: [", "- a list", "just words"])
def test_damaged_front_matter_is_an_error_and_the_card_stays(tmp_path: Path, front: str) -> None:
    content = f"---\n{front}\n---\n\ntext\n"
    (tmp_path / "README.md").write_text(content)
    with pytest.raises(ModelCardError, match=r"README\.md: its front matter cannot be read"):
        add_section(tmp_path, before_and_after())
    assert (tmp_path / "README.md").read_text() == content


def test_no_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="at least one"):
        add_section(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_names_break_no_table_and_carry_no_markup() -> None:
    name = "a|b\n## c <img src=x> **d** `e` [f](g) $h$"
    written = section([result.model_copy(update={"name": name}) for result in before_and_after()])
    header = next(line for line in written.splitlines() if line.startswith("|  | human"))
    assert len([cell for cell in header.replace(r"\|", "").split("|") if cell]) == 4
    assert escaped(name) in header
    assert "<img" not in written.replace(r"\<img", "")
    assert written.count("\n## ") == 1


def test_how_texts_were_drawn() -> None:
    fields = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "max_new_tokens": 96, "seed": 0, "engine": "transformers"}
    assert drawn(None) == ""
    assert drawn(Sampling(temperature=0.7, **fields)) == ", drawn at temperature 0.7,"
    everything = Sampling(**{**fields, "temperature": 1.0, "top_k": 50, "top_p": 0.95, "min_p": 0.02})
    assert drawn(everything) == ", drawn at temperature 1, top-k 50, top-p 0.95, min-p 0.02,"
