"""Under DeepSpeed's ZeRO, two processes and the engine's own backward pass: the step of one process without it.

torchrun --nproc_per_node 2 tests/invariants/test_deepspeed.py OUTPUT.pt
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig

from dft_plugin import DFTCallback
from dft_plugin.config import parse
from dft_plugin.host import UnsupportedRunError, loss_scale
from dft_plugin.supported_runs import check_supported
from tests import tiny
from tests.invariants.runs import EVERYTHING, ROWS_PER_STEP, TEXTS, Hashed
from tests.training import At, Gradient, combined, norm_squared, registered, relative_error, term_options, train

ROOT = Path(__file__).parents[2]
SAME = 1e-5
"""Sums in another order, in float32, read off a change of the weights."""
SAME_IN_HALF = 3e-2
"""Weights and activations in float16 against float32."""

CASES: dict[str, dict[str, Any]] = {
    "gamma 0": {},
    "gamma 1": {"credit": 1.0},
    "gamma 0, accumulation 2": {"options": {"gradient_accumulation_steps": 2}},
    "gamma 1, accumulation 2": {"credit": 1.0, "options": {"gradient_accumulation_steps": 2}},
    "gamma 1, accumulation 2, stage 1": {
        "credit": 1.0,
        "options": {"gradient_accumulation_steps": 2},
        "deepspeed": {"zero_optimization": {"stage": 1}},
    },
    "lora": {
        "credit": 1.0,
        "options": {
            "peft_config": LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False),
            "gradient_checkpointing": True,
            "gradient_accumulation_steps": 2,
        },
    },
    "float16": {
        "credit": 1.0,
        "options_of_deepspeed": {"fp16": True},
        "deepspeed": {"fp16": {"enabled": True, "loss_scale": 128.0}},
    },
}


def run(case: str, world_size: int = 1, *, weight: float = 5.0, deepspeed: bool = False) -> dict[str, Any]:
    """How one step of plain gradient descent of rate 1 changed the weights, and by which backward pass."""
    given = CASES[case]
    options = dict(given.get("options", {}))
    if deepspeed:
        options |= given.get("options_of_deepspeed", {})
        options["deepspeed"] = {
            "zero_optimization": {"stage": 2},
            "zero_allow_untested_optimizer": True,
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_accumulation_steps": "auto",
            "gradient_clipping": "auto",
            **given.get("deepspeed", {}),
        }
    settings = {"statistics": EVERYTHING, "reference_windows": 128, "weight": weight, "credit": given.get("credit", 0)}
    sizes = {"engine": "hashed", "batch_size": TEXTS // world_size, "micro_batch_size": 3}
    before: Gradient = {}

    def keep(state: Any, kwargs: Any) -> None:
        before.update({name: tensor.detach().clone() for name, tensor in kwargs["model"].state_dict().items()})

    with registered(engines=[Hashed]):
        callback = DFTCallback(**term_options(rollout=sizes, **settings))
        found = train(
            tiny.model("llama", tied=case == "gamma 1"),
            [{"text": row["text"][: 40 + 25 * (index % 7)]} for index, row in enumerate(tiny.plain_rows(160))],
            callback,
            At(0, keep),
            per_device_train_batch_size=ROWS_PER_STEP // world_size,
            optim="sgd",
            learning_rate=1.0,
            **options,
        )
    return {"change": combined(found.weights, before, -1.0), "backward": callback.backward}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two gloo processes under DeepSpeed found."""
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    output = tmp_path_factory.mktemp("deepspeed") / "found.pt"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(
        [*launch, __file__, str(output)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,  # DeepSpeed may compile its operators at first
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return [torch.load(output.with_name(f"found-{rank}.pt"), weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_deepspeed_takes_the_step_of_one_process(case: str, together: list[dict[str, Any]]) -> None:
    if case not in together[0]:
        pytest.skip("this processor has no float16")
    first, second = together[0][case], together[1][case]
    assert all(torch.equal(first["change"][name], second["change"][name]) for name in first["change"])
    assert first["backward"] == "attached"
    expected = run(case)
    assert expected["backward"] == "own"
    without = run(case, weight=0.0)["change"]
    term = combined(expected["change"], without, -1.0)
    error = relative_error(first["change"], expected["change"])
    share = (norm_squared(term) / norm_squared(expected["change"])) ** 0.5
    print(f"{case}: {error:.1e}; the term's norm is {share:.2f} of the step's")
    assert share > 0.2  # else an error in the term would hardly show
    assert error <= (SAME_IN_HALF if case == "float16" else SAME)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_only_stage_3_is_refused(stage: int) -> None:
    accelerator = SimpleNamespace(
        distributed_type="DistributedType.DEEPSPEED",
        state=SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=stage)),
    )
    trainer = SimpleNamespace(
        args=SimpleNamespace(),
        accelerator=accelerator,
        callback_handler=SimpleNamespace(callbacks=[]),
        processing_class=object(),
    )
    refuse = pytest.raises(UnsupportedRunError, match=r"ZeRO stage 3 is on.*set zero_optimization\.stage to 2")
    with refuse if stage == 3 else nullcontext():
        check_supported(trainer, SimpleNamespace(max_steps=10), parse({}, "dft"))


def test_loss_scale_is_the_engines() -> None:
    def accelerator(**optimizer: Any) -> Any:
        engine = SimpleNamespace(optimizer=SimpleNamespace(**optimizer))
        return SimpleNamespace(scaler=None, deepspeed_engine_wrapped=SimpleNamespace(engine=engine))

    scaler = SimpleNamespace(get_scale=lambda: 64.0)
    assert loss_scale(accelerator()) == 1
    assert loss_scale(accelerator(loss_scale=128.0)) == 128
    assert loss_scale(accelerator(loss_scale=1.0, torch_autocast_gradscaler=scaler)) == 64
    assert loss_scale(SimpleNamespace(scaler=scaler)) == 64


def main(output: Path) -> None:
    from deepspeed.accelerator import get_accelerator

    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    cases = [case for case in CASES if case != "float16" or get_accelerator().is_fp16_supported()]
    torch.save({case: run(case, count, deepspeed=True) for case in cases}, output.with_name(f"{output.stem}-{rank}.pt"))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
