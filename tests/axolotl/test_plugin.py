"""The plugin's hooks on Axolotl's own configuration classes, and `axolotl dft-check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("axolotl", reason="needs axolotl 0.19 (constraints/axolotl.txt)")

from axolotl.integrations.base import PluginManager
from axolotl.integrations.config import merge_input_args
from axolotl.utils.dict import DictDefault

from dft_plugin.config import ConfigError, DFTConfig
from dft_plugin.host import UnsupportedRunError
from dft_plugin_axolotl import DFTPlugin
from tests.axolotl.runs import BLOCK, PLUGIN, axolotl, configuration, make_inputs, write


def config(**options: Any) -> DictDefault:
    return DictDefault({"base_model": "x", "plugins": [PLUGIN], **options})


def test_register_says_that_the_term_is_on(capsys: pytest.CaptureFixture[str]) -> None:
    DFTPlugin().register(config(dft={"weight": 0.5, "statistics": ["novelty"]}))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("dft: Distribution Fine-Tuning (dft-plugin ")
    assert said[0].endswith("is on: novelty; reference train; weight 0.5")


def test_register_says_that_calibration_is_alone(capsys: pytest.CaptureFixture[str]) -> None:
    DFTPlugin().register(config(dft={"statistics": [], "rollout": {"temperature": 0.7}}))
    assert capsys.readouterr().err.endswith(") is on: nothing is matched (statistics: []), calibration alone\n")


def test_an_empty_block_takes_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    DFTPlugin().register(config(dft=None))
    assert "weight auto" in capsys.readouterr().err


def test_only_the_first_process_says_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    DFTPlugin().register(config(dft={}))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, ConfigError, "there is no `dft:` block"),
        ({"dtf": {}}, ConfigError, '"dtf" is read by nothing: did you mean "dft"'),
        ({"dft": {"rollout": {"tempreature": 1}}}, ConfigError, 'Did you mean "temperature"'),
        ({"dft": {}, "rl": "dpo"}, UnsupportedRunError, "rl is 'dpo'"),
        ({"dft": {}, "context_parallel_size": 2}, UnsupportedRunError, "context parallelism"),
        ({"dft": {}, "sequence_parallel_degree": 2}, UnsupportedRunError, "sequence parallelism"),
        ({"dft": {}, "fsdp_version": 2, "fsdp_config": {"a": 1}}, UnsupportedRunError, "FSDP"),
        ({"dft": {}, "deepspeed": {"zero_optimization": {"stage": 2}}}, UnsupportedRunError, "weight is auto"),
        ({"dft": {"statistics": []}}, ConfigError, "the run would be plain SFT"),
        ({"dft": {"weight": 1}, "deepspeed": {"zero_optimization": {"stage": 3}}}, UnsupportedRunError, "stage 3"),
    ],
)
def test_register_refuses(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        DFTPlugin().register(config(**options))


@pytest.mark.parametrize(
    ("program", "given", "lost"),
    [
        ("/bin/axolotl", "--dft.weight=7", True),
        ("/bin/axolotl", "--dft__weight=7", True),
        ("axolotl/cli/train.py", "--dft.weight=7", True),
        ("axolotl/cli/train.py", "--dft__weight=7", False),  # Fire sets it
        ("/bin/axolotl", "--learning_rate=7", False),
    ],
)
def test_options_on_the_command_line_that_nobody_reads(
    program: str, given: str, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "c.yml", given])
    if lost:
        with pytest.raises(ConfigError, match=rf"{given.split('=')[0]} on the command line does not reach the dft"):
            DFTPlugin().register(config(dft={}))
    else:
        DFTPlugin().register(config(dft={}))


def test_an_import_error_is_no_import_error_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dft_plugin.callback", "dft_plugin_axolotl.register"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("dft_plugin_axolotl.register", raising=False)
    monkeypatch.setitem(sys.modules, "dft_plugin.callback", None)
    with pytest.raises(RuntimeError, match=r"dft-plugin cannot be imported .*dft_plugin\.callback"):
        DFTPlugin().register(config(dft={}))


def test_the_block_survives_axolotl_own_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = PluginManager.get_instance()
    monkeypatch.setattr(manager, "plugins", {PLUGIN: DFTPlugin()})
    merged = merge_input_args()[1]
    statistics = ["entropy", {"ngram_frequency": {"n": [2, 3], "size": 64}}]
    block = {"weight": "0.25", "statistics": statistics, "lead": None, "derivative_window": None, **BLOCK}
    read = merged.model_fields["dft"]
    assert read.annotation == DFTConfig | None
    # What Axolotl does with a configuration: validated, dumped without None, wrapped.
    dumped = DictDefault({"dft": DFTConfig.model_validate(block).model_dump(exclude_none=True)})
    (callback,) = DFTPlugin().add_callbacks_post_trainer(dumped, trainer=None)
    assert callback.config == DFTConfig.model_validate(block)
    assert callback.config.weight == 0.25
    assert callback.config.lead is callback.config.derivative_window is None


def test_null_is_not_the_default_where_axolotl_reads_the_file(tmp_path: Path) -> None:
    from axolotl.cli.config import load_cfg

    from dft_plugin_axolotl.register import configuration as block_of

    make_inputs(tmp_path)
    block = {**BLOCK, "lead": None, "derivative_window": None}
    cfg = load_cfg(str(write(tmp_path, "null", configuration(tmp_path, "out", plugins=[PLUGIN], dft=block))))
    assert block_of(cfg) == DFTConfig.model_validate(block)
    assert block_of(cfg).lead is block_of(cfg).derivative_window is None


def test_dft_check_is_a_command_of_axolotl(tmp_path: Path) -> None:
    make_inputs(tmp_path)
    path = write(tmp_path, "silent", configuration(tmp_path, "out", dtf={**BLOCK, "wieght": 1}))
    ran = axolotl("dft-check", str(path))
    assert ran.returncode == 1
    assert "3 problems" in ran.stdout
    assert '"dtf" is read by nothing: did you mean "dft"?' in ran.stdout
    assert f"Add to the file: `plugins: [{PLUGIN}]`" in ran.stdout
    assert 'unknown key "wieght". Did you mean "weight"?' in ran.stdout

    path = write(tmp_path, "good", configuration(tmp_path, "out", plugins=[PLUGIN], dft=BLOCK))
    ran = axolotl("dft-check", str(path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "no problem found" in ran.stdout
