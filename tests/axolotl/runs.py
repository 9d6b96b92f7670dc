"""Configurations of Axolotl on a tiny model, and its command line in a subprocess."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests import tiny

PLUGIN = "dft_plugin_axolotl.DFTPlugin"
BLOCK: dict[str, Any] = {
    "reference_windows": 64,
    "start_step": 0,
    "report": False,
    "rollout": {"batch_size": 8, "micro_batch_size": 4, "max_new_tokens": 16, "context_tokens": 8},
}


def make_inputs(folder: Path) -> None:
    """A tiny Llama with its tokenizer, and texts: plain ones and instructions with answers."""
    tiny.model().save_pretrained(folder / "model")
    tiny.tokenizer().save_pretrained(folder / "model")
    write_rows(folder / "plain.jsonl", tiny.plain_rows(160))
    rows = [{"instruction": row["prompt"], "input": "", "output": row["completion"]} for row in tiny.prompt_rows(160)]
    write_rows(folder / "instructions.jsonl", rows)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def configuration(folder: Path, output: str, **options: Any) -> dict[str, Any]:
    """Full fine-tuning of four steps on plain text; `options` are added, None takes a key away."""
    config = {
        "base_model": str(folder / "model"),
        "datasets": [{"path": str(folder / "plain.jsonl"), "ds_type": "json", "type": "completion", "field": "text"}],
        "dataset_prepared_path": str(folder / f"{output}-prepared"),
        "output_dir": str(folder / output),
        "sequence_len": 128,
        "micro_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "max_steps": 4,
        "learning_rate": 0.001,
        "lr_scheduler": "constant",
        "optimizer": "adamw_torch",
        "bf16": False,
        "logging_steps": 1,
        "val_set_size": 0,
        "seed": 3,
        "special_tokens": {"pad_token": tiny.PAD},
        **options,
    }
    return {key: value for key, value in config.items() if value is not None}


def write(folder: Path, name: str, config: Mapping[str, Any]) -> Path:
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    return path


def axolotl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `axolotl ...` of this environment, without network and telemetry."""
    settings = {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", "axolotl.cli.main", *arguments],
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def train(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return axolotl("train", str(path), "--launcher", "python", **environment)


def history(folder: Path) -> list[dict[str, Any]]:
    """The log lines with a loss, of the last checkpoint's trainer state."""
    last = max(folder.glob("checkpoint-*"), key=lambda found: int(found.name.rsplit("-", 1)[1]))
    state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
    return [line for line in state["log_history"] if "loss" in line]
