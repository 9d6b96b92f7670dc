"""`dft sft`: TRL's own script with a `dft:` block, started as a user starts it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from trl.scripts import sft as trls_script

from dft_plugin.config import ConfigError, DFTConfig
from dft_plugin.host import UnsupportedRunError
from dft_plugin.reference.build import Request, build_file
from dft_plugin_trl.sft import _split, in_every_trainer, launch, read_block, train
from tests import tiny

BLOCK: dict[str, Any] = {
    "reference_windows": 64,
    "start_step": 0,
    "report": False,
    "rollout": {"batch_size": 8, "micro_batch_size": 4, "max_new_tokens": 16, "context_tokens": 8},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sft")
    tiny.model().save_pretrained(made / "model")
    tiny.tokenizer().save_pretrained(made / "model")
    rows = tiny.plain_rows(160)
    (made / "plain.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return made


def configuration(folder: Path, **options: Any) -> dict[str, Any]:
    return {
        "model_name_or_path": str(folder / "model"),
        "datasets": [{"path": "json", "data_files": str(folder / "plain.jsonl")}],
        "max_steps": 3,
        "per_device_train_batch_size": 2,
        "max_length": 128,
        "logging_steps": 1,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        **options,
    }


def write(folder: Path, name: str, config: dict[str, Any]) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    settings = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, **settings, "HF_DATASETS_CACHE": str(folder / "datasets")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def history(output: Path) -> list[dict[str, Any]]:
    state = json.loads((output / "checkpoint-3" / "trainer_state.json").read_text(encoding="utf-8"))
    return [line for line in state["log_history"] if "loss" in line]


def test_dft_sft_trains_with_the_term(folder: Path) -> None:
    # num_processes is accelerate's, output_dir is given on the command line: both as with `trl sft`.
    reference = folder / "human.safetensors"
    config = DFTConfig.model_validate(BLOCK)
    build_file(Request([str(folder / "plain.jsonl")], reference, str(folder / "model"), config))
    block = {**BLOCK, "reference": str(reference)}
    path = write(folder, "auto", configuration(folder, dft=block, num_processes=1))
    output = folder / "auto"
    ran = run("dft_plugin.cli", "sft", "--config", str(path), "--output_dir", str(output), folder=folder)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stderr.count("dft: Distribution Fine-Tuning is active: token_frequency") == 1
    lines = history(output)
    assert len(lines) == 3
    assert all(line["dft/distance/token_frequency"] > 0 and line["dft/rollout_seconds"] > 0 for line in lines)
    assert all(line["dft/weight"] > 0 and line["dft/gradient_ratio"] > 0 for line in lines[1:])


@pytest.mark.skipif(
    "resume_from_checkpoint" not in inspect.getsource(trls_script),
    reason="the script of TRL 1.9 calls train() without the checkpoint, so that it resumes nothing",
)
def test_a_run_whose_callbacks_are_restored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Trainer then trains with a DFTCallback of its own making, with the options of the checkpoint."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "datasets")
    output = folder / "restored"
    block = {**BLOCK, "statistics": ["token_frequency"]}
    options = configuration(folder, output_dir=str(output), save_strategy="steps", save_steps=2)
    train(["--config", str(write(folder, "first", {**options, "dft": block}))])
    again = {"resume_from_checkpoint": str(output / "checkpoint-2"), "restore_callback_states_from_checkpoint": True}
    train(["--config", str(write(folder, "same", {**options, **again, "dft": block}))])
    assert all("dft/loss" in line for line in history(output))
    changed = {**block, "gradient_fraction": 1.0, "rollout": {**BLOCK["rollout"], "temperature": 0.7}}
    with pytest.raises(UnsupportedRunError, match=r"they differ in gradient_fraction, rollout\.temperature: leave"):
        train(["--config", str(write(folder, "changed", {**options, **again, "dft": changed}))])
    mended = {**again, "restore_callback_states_from_checkpoint": False}
    train(["--config", str(write(folder, "mended", {**options, **mended, "dft": changed}))])


def test_weight_zero_equals_trl_own_script(folder: Path) -> None:
    options = configuration(folder, dft={**BLOCK, "weight": 0})
    path = write(folder, "zero", options)
    measured = run("dft_plugin_trl.sft", "--config", str(path), "--output_dir", str(folder / "zero"), folder=folder)
    assert measured.returncode == 0, measured.stderr[-3000:]
    del options["dft"]
    path = write(folder, "plain", options)
    plain = run("trl.scripts.sft", "--config", str(path), "--output_dir", str(folder / "plain"), folder=folder)
    assert plain.returncode == 0, plain.stderr[-3000:]
    assert all(line["dft/weight"] == 0 for line in history(folder / "zero"))
    before, after = (load_file(folder / name / "model.safetensors") for name in ("plain", "zero"))
    assert before.keys() == after.keys()
    assert all(before[name].equal(after[name]) for name in before)


def test_an_error_of_the_run_is_one_line(folder: Path) -> None:
    config = configuration(folder, dft={**BLOCK, "reference": str(folder / "nowhere.jsonl")})
    path = write(folder, "nowhere", config)
    ran = run("dft_plugin_trl.sft", "--config", str(path), "--output_dir", str(folder / "nowhere"), folder=folder)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith(
        f'Error: reference "{folder / "nowhere.jsonl"}": there is no such file'
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dtf": BLOCK}, '"dtf" is read by nothing: did you mean "dft"?'),
        ({}, "there is no `dft:` block"),
        ({"dft": {"rollout": {"temprature": 1}}}, 'Did you mean "temperature"?'),
    ],
)
def test_block_errors(folder: Path, change: dict[str, Any], said: str) -> None:
    path = write(folder, "wrong", configuration(folder, **change))
    with pytest.raises(ConfigError) as error:
        read_block(["--config", str(path)])
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_unsupported_settings_are_refused(folder: Path) -> None:
    path = write(folder, "smooth", configuration(folder, dft=BLOCK, label_smoothing_factor=0.1))
    with pytest.raises(UnsupportedRunError, match=r"label_smoothing_factor is 0\.1"):
        read_block(["--config", str(path)])


def test_a_key_that_nothing_reads_is_refused(folder: Path) -> None:
    path = write(folder, "mistyped", configuration(folder, dft=BLOCK, loging_steps=3))
    with pytest.raises(ConfigError, match=r'mistyped\.yaml: unknown key "loging_steps"\. Did you mean "logging_steps"'):
        read_block(["--config", str(path)])
    path = write(folder, "fine", configuration(folder, dft=BLOCK))
    given = ["--config", str(path), "--loging_steps=3"]
    with pytest.raises(ConfigError, match=r'command line: unknown key "loging_steps"\. Did you mean "logging_steps"'):
        launch(given)


def test_a_file_of_axolotl_is_refused(folder: Path) -> None:
    path = write(folder, "axolotl", {"base_model": str(folder / "model"), "dft": BLOCK})
    with pytest.raises(ConfigError, match=r"axolotl\.yaml is a configuration of Axolotl \(it has base_model\)"):
        read_block(["--config", str(path)])


def test_deepspeed_without_a_number_as_weight_is_refused(folder: Path) -> None:
    path = write(folder, "engine", configuration(folder, dft=BLOCK, accelerate_config="zero2"))
    with pytest.raises(UnsupportedRunError, match=r"accelerate_config: zero2 turns DeepSpeed on, and weight is auto"):
        read_block(["--config", str(path)])


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--seed", "1"]])
def test_without_a_configuration(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="dft sft --config"):
        read_block(arguments)


def test_the_configuration_after_an_equals_sign(folder: Path) -> None:
    path = write(folder, "equals", configuration(folder, dft={"wieght": 1}))
    for start in (launch, train):
        with pytest.raises(ConfigError, match=r'equals\.yaml: dft: unknown key "wieght"'):
            start([f"--config={path}"])


def test_help_begins_with_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(["--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: dft sft --config FILE [")
    assert "--config FILE is required: a `trl sft` configuration with a `dft:` block" in " ".join(said.split())
    assert "--logging_steps" in said


def test_accelerate_gets_its_own_arguments(folder: Path) -> None:
    from trl.scripts.sft import make_parser

    path = write(folder, "split", configuration(folder, dft=BLOCK, num_processes=2, env={"A": "1"}))
    given = ["--seed", "2", "--config", str(path), "--num_machines", "1", "--max_steps", "1"]
    _, content = read_block(given)
    for_accelerate, for_training = _split(make_parser(), content, given)
    assert for_accelerate == ["--num_processes", "2", "--num_machines", "1"]
    assert for_training == ["--config", str(path), "--seed", "2", "--max_steps", "1"]


def test_the_callback_is_taken_away_again() -> None:
    from transformers import TrainerCallback, trainer

    before = list(trainer.DEFAULT_CALLBACKS)
    callback = TrainerCallback()
    added = in_every_trainer(callback)
    added.__enter__()
    assert trainer.DEFAULT_CALLBACKS[-1] is callback
    assert not added.__exit__(KeyError, KeyError(), None)  # a run that failed, and goes on failing
    assert before == trainer.DEFAULT_CALLBACKS
