"""The `dft` command: instant help, schemas that say what the block takes, clean errors and exit codes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from dft_plugin import plugins, schema
from dft_plugin.cli import commands
from dft_plugin.config import DFTConfig, parse
from dft_plugin.reference import HumanReferenceError, Reference
from dft_plugin.rollout_config import DFTRolloutConfig
from dft_plugin.statistic_config import DEFAULT_STATISTICS
from dft_plugin.vocabulary import Vocabulary
from tests import tiny


def dft(*arguments: str) -> Result:
    return CliRunner().invoke(commands, arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cli")
    tiny.model(vocab_size=tiny.VOCABULARY + 8).save_pretrained(made / "model")
    tiny.tokenizer().save_pretrained(made / "model")
    rows = tiny.plain_rows(80)
    (made / "human.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = {"dft": {"statistics": ["token_frequency", "novelty", "entropy"], "rollout": {"max_new_tokens": 16}}}
    (made / "dft.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return made


def test_help_is_instant() -> None:
    code = "import sys, dft_plugin.cli; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"

    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "dft_plugin.cli", "--help"], check=True, capture_output=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 0.5  # 0.15 s when nothing else runs


# ---- schema -----------------------------------------------------------------------------------------


def test_yaml_block_is_every_default() -> None:
    printed = dft("schema").output
    block = yaml.safe_load(printed)
    assert list(block) == ["dft"]
    assert parse(block["dft"]) == DFTConfig()
    assert set(block["dft"]) == set(DFTConfig.model_fields)
    assert set(block["dft"]["rollout"]) == set(DFTRolloutConfig.model_fields)
    assert max(map(len, printed.splitlines())) <= 110
    assert "deployment temperature" in printed


def test_commented_statistics_are_valid_when_uncommented() -> None:
    lines = iter(dft("schema", "--format", "yaml").output.splitlines())
    assert any("others, and the options of each" in line for line in lines)  # reads up to there
    commented = itertools.takewhile(lambda line: line.startswith("    # "), lines)
    entries = yaml.safe_load("\n".join(line.removeprefix("    # ") for line in commented))
    assert [entry["name"] for entry in entries] == list(plugins.statistics())
    config = parse({"statistics": entries, "credit": 1.0})  # hidden_state acts through credit alone
    for entry in config.statistics:
        options = plugins.statistic(entry.name).Options
        assert options.model_validate(entry.own_options) == options()
        assert entry.distance == plugins.statistic(entry.name).distance


def test_json_schema_takes_what_the_block_takes() -> None:
    found = json.loads(dft("schema", "--format", "json").output)
    assert set(found["properties"]) == set(DFTConfig.model_fields)
    assert found["additionalProperties"] is False
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(found)
    good = [
        {},
        {"weight": 0.5, "rollout": {"temperature": 0.7}},
        {"statistics": "novelty"},
        {"statistics": [], "rollout": {"temperature": 0.7}},
        {"statistics": ["novelty", {"name": "sentence_length", "distance": "mmd", "longest": 40}]},
        {"statistics": [{"ngram_frequency": {"n": [2], "weight": 2.0}}, {"entropy": None}]},
        yaml.safe_load(schema.yaml_block())["dft"],
    ]
    for block in good:
        parse(block)
        assert not list(validator.iter_errors(block)), block
    bad = [
        {"wieght": 1},
        {"rollout": {"temprature": 1}},
        {"statistics": ["novel"]},
        {"statistics": [{"name": "token_frequency", "distance": "wasserstein"}]},
        {"statistics": [{"name": "novelty", "longest": 40}]},
    ]
    for block in bad:
        assert list(validator.iter_errors(block)), block


def test_markdown_names_every_option() -> None:
    tables = dft("schema", "--format", "markdown").output
    assert tables == schema.option_table()
    for key in DFTConfig.model_fields:
        assert key == "rollout" or f"| `{key}` |" in tables
    for key in DFTRolloutConfig.model_fields:
        assert f"| `rollout.{key}` |" in tables
    for name, statistic in plugins.statistics().items():
        assert f"| `{name}` |" in tables
        for option in statistic.Options.model_fields:
            assert f"| `{name}: {option}` |" in tables
    for table in tables.strip().split("\n\n"):
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    assert "| `rollout.temperature` | `1.0` | > 0, <= 10 | deployment temperature |" in tables


def test_statistics_lists_all() -> None:
    lines = dft("statistics").output.splitlines()
    named = [line.split()[0] for line in lines if line.startswith("  ")]
    assert named == [*plugins.statistics(), *plugins.distances()]


# ---- check ------------------------------------------------------------------------------------------


def test_check_exit_codes(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("dft: {weight: 1}\n", encoding="utf-8")
    good = dft("check", str(path))
    assert good.exit_code == 0
    assert "no problem found. Checked: every key of the dft block\n" in good.output
    path.write_text("dft: {wieght: 1}\n", encoding="utf-8")
    bad = dft("check", str(path))
    assert bad.exit_code == 1
    assert 'Did you mean "weight"?' in bad.output
    missing = dft("check", str(tmp_path / "nowhere.yml"))
    assert missing.exit_code == 1
    assert missing.stderr == f"Error: {tmp_path / 'nowhere.yml'}: there is no such file\n"
    assert dft("check").exit_code == 2


def test_axolotl_finds_its_command() -> None:
    (entry,) = [found for found in entry_points(group="axolotl.cli_commands") if found.name == "dft-check"]
    command = entry.load()
    assert isinstance(command, click.Command)
    assert "TRL or Axolotl" in command.get_short_help_str(200)


# ---- reference build --------------------------------------------------------------------------------


def test_reference_build(folder: Path) -> None:
    output = folder / "human.safetensors"
    arguments = ("reference", "build", str(folder / "human.jsonl"), "--tokenizer", str(folder / "model"))
    built = dft(*arguments, "-o", str(output), "--config", str(folder / "dft.yml"))
    assert built.exit_code == 0, built.output
    assert "token_frequency, novelty" in built.output
    reference = Reference.load(output)
    assert set(reference.totals) == {"token_frequency", "novelty"}  # entropy is measured under the model
    # The head has more rows than the tokenizer has tokens.
    assert len(reference.totals["token_frequency"]) == reference.metadata["vocabulary_size"] == tiny.VOCABULARY + 8
    assert reference.metadata["sampling"] == {"max_new_tokens": 16, "context_tokens": 32}
    narrow = Vocabulary.from_tokenizer(tiny.tokenizer())
    with pytest.raises(HumanReferenceError, match=f"{tiny.VOCABULARY + 8} rows, this model's has {tiny.VOCABULARY}"):
        reference.check("human.safetensors", [], narrow, {})
    again = dft(*arguments, "-o", str(output))
    assert again.exit_code == 1
    assert again.stderr.endswith("exists: give another name, or --overwrite\n")
    replaced = dft(*arguments, "-o", str(output), "--overwrite")
    assert replaced.exit_code == 0, replaced.output
    held = set(Reference.load(output).totals)
    assert held == {*DEFAULT_STATISTICS, "novelty"}  # by which `dft reference show` and `dft evaluate` tell repetition


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"corpus": "nowhere.txt"}, "there is no such file"),
        ({"output": "human.bin"}, "a reference file ends in .safetensors"),
        ({"output": "nowhere/human.safetensors"}, "there is no folder"),
        ({"tokenizer": "nowhere"}, "could not be loaded"),
        ({"config": "nowhere.yml"}, "nowhere.yml"),
    ],
)
def test_reference_build_errors_are_one_line(folder: Path, change: dict[str, str], said: str) -> None:
    given = {"corpus": "human.jsonl", "output": "new.safetensors", "tokenizer": "model", "config": "dft.yml", **change}
    corpus, output, tokenizer, config = (
        str(folder / given[key]) for key in ("corpus", "output", "tokenizer", "config")
    )
    ran = dft("reference", "build", corpus, "-o", output, "--tokenizer", tokenizer, "--config", config)
    assert ran.exit_code == 1
    assert said in ran.stderr
    assert ran.stderr.startswith("Error: ")
    assert len(ran.stderr.splitlines()) == 1
    assert not (folder / "new.safetensors").exists()


# ---- interruptions ----------------------------------------------------------------------------------


def test_ctrl_c_exits_130_without_a_traceback() -> None:
    code = (
        "import dft_plugin.schema, dft_plugin.cli, sys\n"
        "def interrupted(): raise KeyboardInterrupt\n"
        "dft_plugin.schema.listing = interrupted\n"
        "sys.argv = ['dft', 'statistics']\n"
        "dft_plugin.cli.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 130
    assert "Traceback" not in ran.stderr
