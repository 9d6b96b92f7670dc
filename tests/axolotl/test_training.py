"""Real `axolotl train` runs on the CPU: each starts the command line as a user does."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from dft_plugin.config import DFTConfig

pytest.importorskip("axolotl", reason="needs axolotl 0.19 (constraints/axolotl.txt)")

from tests.axolotl.runs import BLOCK, PLUGIN, configuration, history, make_inputs, train, write

STATISTICS = [entry.name for entry in DFTConfig().statistics]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("axolotl")
    make_inputs(made)
    return made


def expect_metrics(folder: Path, steps: int) -> list[dict[str, float]]:
    lines = history(folder)
    assert len(lines) == steps
    for line in lines:
        for statistic in STATISTICS:
            assert float(line[f"dft/distance/{statistic}"]) >= 0
            assert float(line[f"dft/floor_ratio/{statistic}"]) >= 0
        assert float(line["dft/rollout_seconds"]) > 0
        assert float(line["dft/step_seconds"]) >= float(line["dft/rollout_seconds"])
    sampled = [line for line in lines if "dft/sample_1" in line]
    assert len(sampled) == 1
    assert all(isinstance(sampled[0][f"dft/sample_{number}"], str) for number in (1, 2, 3))
    return [{key: float(value) for key, value in line.items() if "sample" not in key} for line in lines]


def test_weight_zero_is_plain_fine_tuning_bit_for_bit(folder: Path) -> None:
    block = {**BLOCK, "weight": 0}
    # Evaluation runs before the first step as well.
    common = {"val_set_size": 0.1, "evals_per_epoch": 1}
    plain = train(write(folder, "plain", configuration(folder, "plain", **common)))
    assert plain.returncode == 0, plain.stderr[-3000:]
    measured = train(write(folder, "zero", configuration(folder, "zero", plugins=[PLUGIN], dft=block, **common)))
    assert measured.returncode == 0, measured.stderr[-3000:]

    lines = expect_metrics(folder / "zero", steps=4)
    assert [line["dft/weight"] for line in lines] == [0.0] * 4
    assert [line["loss"] for line in lines] == [float(line["loss"]) for line in history(folder / "plain")]
    before, after = (load_file(folder / name / "model.safetensors") for name in ("plain", "zero"))
    assert before.keys() == after.keys()
    assert all(before[name].equal(after[name]) for name in before)
    start = load_file(folder / "model" / "model.safetensors")
    assert any(not start[name].equal(after[name]) for name in start)  # training did happen
    assert measured.stderr.count("dft: Distribution Fine-Tuning (dft-plugin") == 1
    assert "dft: Distribution Fine-Tuning is active: token_frequency" in measured.stderr


def test_lora_on_instructions(folder: Path) -> None:
    datasets = [{"path": str(folder / "instructions.jsonl"), "ds_type": "json", "type": "alpaca"}]
    lora = {
        "adapter": "lora",
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_target_modules": ["q_proj", "v_proj"],
        "lora_mlp_kernel": False,
        "sequence_len": 256,
    }
    config = configuration(folder, "lora", datasets=datasets, plugins=[PLUGIN], dft=BLOCK, **lora)
    ran = train(write(folder, "lora", config))
    assert ran.returncode == 0, ran.stderr[-3000:]
    lines = expect_metrics(folder / "lora", steps=4)
    # The first step measures cross-entropy's gradient; then the term's is 3 x strength^2 of its running norm.
    assert lines[0]["dft/weight"] == 0
    for line in lines[1:]:
        assert line["dft/weight"] > 0
        assert 0.5 < line["dft/gradient_ratio"] / (3 * line["dft/strength"] ** 2) < 2
    assert (folder / "lora" / "adapter_model.safetensors").is_file()


def test_calibration_alone(folder: Path) -> None:
    """`statistics: []` survives Axolotl's own reading of the file, and acts from the first step on."""
    block = {"statistics": [], "calibration": 1, "rollout": {"temperature": 0.5}}
    ran = train(write(folder, "alone", configuration(folder, "alone", plugins=[PLUGIN], dft=block)))
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "dft: nothing is matched (statistics: []): next-token prediction at 0.5, and no rollouts" in ran.stderr
    lines = history(folder / "alone")
    assert len(lines) == 4
    assert not any(key.startswith("dft/") for line in lines for key in line)


def test_sample_packing_with_accumulation(folder: Path) -> None:
    options = {
        "sample_packing": True,
        "attn_implementation": "sdpa",
        "pad_to_sequence_len": True,
        "gradient_accumulation_steps": 2,
        "sequence_len": 256,
        "max_steps": 3,
        "micro_batch_size": 1,
    }
    own = {"name": "sentence_length", "distance": "wasserstein", "longest": 40}
    block = {**BLOCK, "weight": 2.0, "statistics": [own, *(name for name in STATISTICS if name != own["name"])]}
    config = configuration(folder, "packed", plugins=[PLUGIN], dft=block, **options)
    ran = train(write(folder, "packed", config))
    assert ran.returncode == 0, ran.stderr[-3000:]
    lines = expect_metrics(folder / "packed", steps=3)
    assert all(line["dft/weight"] == 2 and line["dft/gradient_ratio"] > 0 for line in lines)


# ---- what Axolotl would do in silence ---------------------------------------------------------------


def test_missing_block_stops_the_run(folder: Path) -> None:
    ran = train(write(folder, "dtf", configuration(folder, "dtf", plugins=[PLUGIN], dtf=BLOCK)))
    assert ran.returncode != 0
    assert '"dtf" is read by nothing: did you mean "dft"?' in ran.stderr
    assert not (folder / "dtf").exists()


def test_misspelled_key_stops_the_run(folder: Path) -> None:
    ran = train(write(folder, "wieght", configuration(folder, "wieght", plugins=[PLUGIN], dft={"wieght": 1})))
    assert ran.returncode != 0
    assert 'unknown key "wieght". Did you mean "weight"?' in ran.stderr


def test_failed_import_stops_the_run(folder: Path) -> None:
    # A package of ours that cannot be imported: Axolotl itself swallows the ImportError of a plugin.
    broken = folder / "broken"
    broken.mkdir()
    (broken / "pluggy.py").write_text("raise ImportError('no pluggy here')\n", encoding="utf-8")
    path = write(folder, "broken", configuration(folder, "broken-output", plugins=[PLUGIN], dft=BLOCK))
    ran = train(path, PYTHONPATH=str(broken))
    assert ran.returncode != 0
    assert "dft-plugin cannot be imported (no pluggy here)" in ran.stderr
    assert not (folder / "broken-output").exists()
