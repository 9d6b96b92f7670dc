"""`dft check`: each silent failure of a configuration is found, named and given its mend."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dft_plugin.config import ConfigError, DFTConfig
from dft_plugin.reference.build import Request, build_file
from dft_plugin.whole_chats import TOLD
from dft_plugin_check.check import PLUGIN, check, host_of, misspelled_blocks, read_yaml
from dft_plugin_check.findings import Findings, report
from dft_plugin_check.tokenizer import load_tokenizer, set_chat_template
from tests import tiny

SMALL = {"rollout": {"max_new_tokens": 16, "context_tokens": 8}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("check")
    tiny.model().save_pretrained(made / "model")
    tiny.tokenizer().save_pretrained(made / "model")
    endless = tiny.model()
    endless.generation_config.eos_token_id = None
    endless.save_pretrained(made / "endless")
    tiny.tokenizer(end_of_text=False).save_pretrained(made / "endless")
    write_rows(made / "human.jsonl", tiny.plain_rows(80))
    write_rows(made / "short.jsonl", tiny.plain_rows(2, characters=40))
    (made / "empty.jsonl").write_text("", encoding="utf-8")
    return made


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def axolotl(folder: Path, model: str = "model", **options: Any) -> dict[str, Any]:
    return {"base_model": str(folder / model), "plugins": [PLUGIN], "dft": SMALL, **options}


def only_problem(config: dict[str, Any]) -> str:
    problems = check(config).problems
    assert len(problems) == 1, problems
    return problems[0]


def test_nothing_wrong(folder: Path) -> None:
    findings = check(axolotl(folder, dft={**SMALL, "reference": str(folder / "human.jsonl"), "statistics": "novelty"}))
    assert findings.problems == findings.notes == []
    assert findings.host == "Axolotl"
    assert findings.checked == [
        "every key of the dft block",
        f"the tokenizer of {folder / 'model'}",
        f"the reference ({folder / 'human.jsonl'})",
    ]


def test_where_nothing_is_matched_no_reference_is_read(folder: Path) -> None:
    alone = {"statistics": [], "reference": "nowhere.jsonl", "rollout": {"temperature": 0.7}}
    findings = check(axolotl(folder, dft=alone, max_steps=10, deepspeed={"zero_optimization": {"stage": 2}}))
    assert findings.problems == findings.notes == []
    assert findings.checked == ["every key of the dft block"]


def test_host_by_the_keys_of_the_model() -> None:
    assert host_of({"base_model": "x"}) == "Axolotl"
    assert host_of({"model_name_or_path": "x"}) == host_of({"dataset_name": "x"}) == "TRL"
    assert host_of({"dft": {}}) == host_of({"weight": 1}) == ""
    with pytest.raises(ConfigError, match=r"neither `base_model` .* it has learning_rate"):
        host_of({"learning_rate": 1})


@pytest.mark.parametrize("listed", [None, [], ["axolotl.integrations.liger.LigerPlugin"]])
def test_block_without_the_plugin_line(folder: Path, listed: Any) -> None:
    said = only_problem(axolotl(folder, plugins=listed))
    assert said.startswith("no plugin reads the dft block")
    assert f"`plugins: [{PLUGIN}]`" in said


@pytest.mark.parametrize(
    "entry", ["dft_plugin_axolotl.DftPlugin", "dft_plugin.DFTPlugin", "dft-plugin-axolotl.DFTPlugin", "DFTPlugin"]
)
def test_misspelled_plugin(folder: Path, entry: str) -> None:
    said = only_problem(axolotl(folder, plugins=["axolotl.integrations.liger.LigerPlugin", entry]))
    assert f'plugins lists "{entry}", which does not exist' in said
    assert f'Did you mean "{PLUGIN}"?' in said


def test_plugin_that_is_not_installed_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = only_problem(axolotl(folder, dft={}))
    assert "cannot be imported in this environment" in said
    assert "pip install" in said


def test_misspelled_plugins_key(folder: Path) -> None:
    config = axolotl(folder)
    config["plugin"] = config.pop("plugins")
    assert '("plugin" is read by nothing: did you mean "plugins"?)' in only_problem(config)


@pytest.mark.parametrize("key", ["dtf", "DFT", "dfts", "distribution"])
def test_misspelled_block(folder: Path, key: str) -> None:
    config = axolotl(folder)
    config[key] = config.pop("dft")
    said = only_problem(config)
    assert f'"{key}" is read by nothing: did you mean "dft"?' in said


def test_a_second_block_beside_the_first(folder: Path) -> None:
    assert only_problem(axolotl(folder, dtf={})).startswith('"dtf" is read by nothing beside "dft"')


def test_no_block_at_all(folder: Path) -> None:
    config = axolotl(folder)
    del config["dft"]
    assert only_problem(config).startswith("there is no `dft:` block")


def test_no_key_of_a_host_is_taken_for_the_block() -> None:
    trl = pytest.importorskip("trl.scripts.sft")
    from accelerate.commands.launch import launch_command_parser

    keys = [action.dest for parser in (trl.make_parser(), launch_command_parser()) for action in parser._actions]
    assert len(keys) > 100
    assert misspelled_blocks(dict.fromkeys(keys)) == []
    assert misspelled_blocks(dict.fromkeys(["rl", "ebft", "peft", "adapter", "trl", "datasets", "deepspeed"])) == []


def test_misspelled_key_in_the_block(folder: Path) -> None:
    said = only_problem(axolotl(folder, dft={"rollout": {"max_tokens": 16}}))
    assert said.startswith('dft: unknown key "rollout.max_tokens". Did you mean "max_new_tokens"?')


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"rl": "dpo"}, "rl is 'dpo'"),
        ({"reward_model": True}, "reward_model is True"),
        ({"kd_trainer": True}, "kd_trainer is True"),
        ({"context_parallel_size": 2}, "with context parallelism no process"),
        ({"sequence_parallel_degree": 4}, "with sequence parallelism no process"),
        ({"tensor_parallel_size": 2}, "with tensor parallelism no process"),
        ({"fsdp_config": {"reshard_after_forward": True}}, "fsdp_config is set"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor is 0.1"),
        ({"use_eaft": True}, "use_eaft is set: cross-entropy is then weighted by entropy"),
        ({"qat": {"weight_dtype": "int4"}}, "qat is set: logits are then computed with quantized weights"),
        ({"plugins": [PLUGIN, "axolotl.integrations.diffusion.DiffusionPlugin"]}, "is not trained by cross-entropy"),
        ({"plugins": PLUGIN}, f"Axolotl takes a list: `plugins: [{PLUGIN}]`"),
        ({"max_steps": 5, "dft": {**SMALL, "start_step": 5}}, "start_step is 5 and training has 5 steps"),
    ],
)
def test_settings_the_term_is_not_exact_with(folder: Path, setting: dict[str, Any], said: str) -> None:
    assert said in only_problem(axolotl(folder, **setting))


def test_settings_at_their_defaults_are_fine(folder: Path) -> None:
    usual = {"rl": None, "context_parallel_size": 1, "label_smoothing_factor": 0, "fsdp": [], "max_steps": -1}
    assert check(axolotl(folder, **usual)).problems == []


ZERO_2, ZERO_3 = {"zero_optimization": {"stage": 2}}, {"zero_optimization": {"stage": 3}}


@pytest.mark.parametrize(
    ("setting", "stage"),
    [
        ({"deepspeed": ZERO_2}, 2),
        ({"deepspeed": ZERO_3}, 3),
        ({"deepspeed": "zero2.json"}, 2),
        ({"deepspeed": "zero3.json"}, 3),
        ({"use_deepspeed": True, "zero_stage": 2}, 2),
        ({"use_deepspeed": True, "deepspeed_config_file": "zero3.json"}, 3),
        ({"accelerate_config": "accelerate.yaml"}, 3),
        ({"config_file": "accelerate.yaml"}, 3),
    ],
)
def test_deepspeed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, Any], stage: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("zero2.json").write_text(json.dumps(ZERO_2, indent="\t"), encoding="utf-8")
    Path("zero3.json").write_text(json.dumps(ZERO_3), encoding="utf-8")
    Path("accelerate.yaml").write_text("distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 3}\n", "utf-8")
    trl = {"model_name_or_path": str(folder / "model"), **setting}
    for config in (trl, axolotl(folder, **setting)):
        automatic = check({**config, "dft": SMALL}).problems
        assert "DeepSpeed on, and weight is auto" in automatic[-1]
        assert "give a number as `weight`" in automatic[-1]
        assert len(automatic) == (2 if stage == 3 else 1)
        assert next(iter(setting)) in automatic[0]
        numbered = check({**config, "dft": {**SMALL, "weight": 1}}).problems
        assert len(numbered) == (1 if stage == 3 else 0)
        assert all("is DeepSpeed ZeRO stage 3" in problem and "use stage 2" in problem for problem in numbered)


def test_a_deepspeed_file_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    said = only_problem(axolotl(folder, deepspeed=str(tmp_path / "broken.json")))
    assert said.startswith(f"{tmp_path / 'broken.json'} cannot be read: Expecting property name")


@pytest.mark.parametrize(("name", "said"), [("fsdp2", "is FSDP"), ("zero3", "ZeRO stage 3")])
def test_a_configuration_of_accelerate_that_comes_with_trl(folder: Path, name: str, said: str) -> None:
    pytest.importorskip("trl.accelerate_configs")
    config = {"model_name_or_path": str(folder / "model"), "accelerate_config": name, "dft": {**SMALL, "weight": 1}}
    assert f"accelerate_config: {name} is" in only_problem(config)
    assert said in only_problem(config)
    assert not check({**config, "accelerate_config": "multi_gpu"}).problems


@pytest.mark.parametrize("setting", [{"tensor_parallel_size": 2}, {"fsdp": "full_shard"}])
def test_deepspeed_as_a_mend_says_what_weight_it_takes(folder: Path, setting: dict[str, Any]) -> None:
    assert "and a number as the dft block's weight" in only_problem(axolotl(folder, **setting))


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere.jsonl", "there is no such file"),
        ("nowhere.safetensors", "there is no such file"),
        ("empty.jsonl", "is empty (0 bytes)"),
        ("model/model.safetensors", "no dft-plugin reference"),
        ("short.jsonl", "at least 32 windows are needed, about 512 tokens"),
    ],
)
def test_reference_that_does_not_load(folder: Path, reference: str, said: str) -> None:
    problem = only_problem(axolotl(folder, dft={**SMALL, "reference": str(folder / reference)}))
    assert said in problem
    assert str(folder / reference) in problem


def test_reference_near_train(folder: Path) -> None:
    assert 'Did you mean "train"?' in only_problem(axolotl(folder, dft={**SMALL, "reference": "trian"}))


def test_built_reference(folder: Path) -> None:
    built = folder / "human.safetensors"
    block = {**SMALL, "statistics": ["token_frequency", "sentence_length"]}
    config = DFTConfig.model_validate(block)
    build_file(Request([str(folder / "human.jsonl")], built, str(folder / "model"), config, overwrite=True))
    block["reference"] = str(built)
    assert check(axolotl(folder, dft=block)).problems == []
    said = only_problem(axolotl(folder, dft={**block, "rollout": {"max_new_tokens": 24, "context_tokens": 8}}))
    assert "was built with windows of max_new_tokens 16, the run has rollout.max_new_tokens 24" in said
    said = only_problem(axolotl(folder, dft={**block, "statistics": ["novelty"]}))
    assert "holds no novelty; it holds sentence_length, token_frequency" in said
    # Another vocabulary, another head.
    more = {"tokens": ["<|extra|>"], "special_tokens": {"pad_token": "<|pad|>"}}
    assert "another tokenizer" in only_problem(axolotl(folder, dft=block, **more))
    wide = folder / "wide"
    tiny.model(vocab_size=tiny.VOCABULARY + 8).save_pretrained(wide)
    tiny.tokenizer().save_pretrained(wide)
    assert "was built for a head of 320 rows" in only_problem(axolotl(folder, model="wide", dft=block))
    # The head is the model's, whose tokenizer may lie elsewhere.
    apart = folder / "apart"
    tiny.tokenizer().save_pretrained(apart)
    separate = axolotl(folder, model="wide", dft=block, tokenizer_config=str(apart))
    assert "was built for a head of 320 rows, this model's has 328" in only_problem(separate)
    truncated = folder / "truncated.safetensors"
    truncated.write_bytes(built.read_bytes()[:-100])
    assert "truncated" in only_problem(axolotl(folder, dft={**block, "reference": str(truncated)}))


@pytest.mark.parametrize(("rounded", "rows"), [(False, 322), (True, 352)])
def test_a_reference_for_a_run_that_adds_tokens(folder: Path, tmp_path: Path, rounded: bool, rows: int) -> None:
    """It is built with the run's tokenizer, as the output directory holds it; Axolotl gives the head rows for it."""
    config = axolotl(folder, tokens=["<|one|>", "<|two|>"], resize_token_embeddings_to_32x=rounded)
    tokenizer, _ = load_tokenizer(config, config["base_model"])
    tokenizer.save_pretrained(tmp_path)
    tiny.model(vocab_size=rows).config.save_pretrained(tmp_path)
    block = {**SMALL, "statistics": ["token_frequency"]}
    built = tmp_path / "human.safetensors"
    build_file(Request([str(folder / "human.jsonl")], built, str(tmp_path), DFTConfig.model_validate(block)))
    assert check({**config, "dft": {**block, "reference": str(built)}}).problems == []


def test_a_reference_whose_texts_begin_elsewhere_is_noted(folder: Path) -> None:
    block = {**SMALL, "statistics": ["token_frequency"]}
    built = folder / "anywhere.safetensors"
    build_file(Request([str(folder / "human.jsonl")], built, str(folder / "model"), DFTConfig.model_validate(block)))
    config = axolotl(folder, dft={**block, "reference": str(built)})
    for kind, noted in (("alpaca", 1), ("completion", 0)):
        found = check({**config, "datasets": [{"path": "a/b", "type": kind}]})
        assert found.problems == []
        assert sum("was built without --from-start" in note for note in found.notes) == noted


def test_a_reference_whose_texts_end_otherwise_is_noted(folder: Path) -> None:
    block = {**SMALL, "statistics": ["token_frequency"]}
    built = folder / "ended.safetensors"
    build_file(Request([str(folder / "human.jsonl")], built, str(folder / "model"), DFTConfig.model_validate(block)))
    data = {"datasets": [{"path": "json", "data_files": str(folder / "human.jsonl")}]}
    for settings, noted in (({}, 0), ({"eos_token": tiny.PAD}, 1)):
        found = check(trl(folder, dft={**block, "reference": str(built)}, **data, **settings))
        assert found.problems == []
        assert sum("end with token [0], the training set's with token [1]" in note for note in found.notes) == noted


@pytest.mark.parametrize(
    ("settings", "noted"),
    [
        ({"load_best_model_at_end": True}, "load_best_model_at_end goes by loss, which is measured at temperature 1"),
        ({"early_stopping_patience": 2}, "early_stopping_patience goes by loss"),
        ({"save_strategy": "best", "metric_for_best_model": "eval_loss"}, "save_strategy: best goes by eval_loss"),
        ({"load_best_model_at_end": True, "metric_for_best_model": "eval_accuracy"}, ""),
        ({"load_best_model_at_end": False}, ""),
    ],
)
def test_a_choice_of_the_model_by_a_loss_it_is_not_trained_for(
    folder: Path, settings: dict[str, Any], noted: str
) -> None:
    at = {"rollout": {**SMALL["rollout"], "temperature": 0.7}}
    notes = check(axolotl(folder, dft=at, **settings)).notes
    assert len(notes) == bool(noted)
    assert all(note.startswith(noted) for note in notes)
    assert check(axolotl(folder, dft={**at, "calibration": 0}, **settings)).notes == []


@pytest.mark.parametrize("reference", ["news", "human.safetensors"])
@pytest.mark.parametrize(
    ("entry", "problem", "mend"),
    [
        (
            {"ngram_frequency": {"weighting": "inverse_root_frequency"}},
            "ngram_frequency: weighting inverse_root_frequency needs",
            "leave `weighting` out",
        ),
        ("ngram_rarity", "ngram_rarity: it looks n-grams up in human text", "leave it out of `statistics`"),
    ],
)
def test_what_needs_human_text_where_the_run_counts_none(
    folder: Path, reference: str, entry: Any, problem: str, mend: str
) -> None:
    statistics = ["token_frequency", entry]
    if reference != "news":
        reference = str(folder / "frequency.safetensors")
        config = DFTConfig.model_validate({**SMALL, "statistics": ["token_frequency"]})
        built = Request([str(folder / "human.jsonl")], Path(reference), str(folder / "model"), config, overwrite=True)
        build_file(built)
    said = only_problem(axolotl(folder, dft={**SMALL, "statistics": statistics, "reference": reference}))
    assert said.startswith(f"statistics: {problem}")
    assert f"use `train` or a corpus as `reference`, or {mend}" in said
    for counted in ("train", str(folder / "human.jsonl")):
        assert check(axolotl(folder, dft={**SMALL, "statistics": statistics, "reference": counted})).problems == []


@pytest.mark.parametrize("entry", ["entropy", {"hidden_state": {"form": "linear"}}])
def test_what_the_model_reads_where_there_is_no_text(folder: Path, entry: Any) -> None:
    """The training set's would be there: it is not the reference."""
    reference = folder / "frequency.safetensors"
    config = DFTConfig.model_validate({**SMALL, "statistics": ["token_frequency"]})
    build_file(Request([str(folder / "human.jsonl")], reference, str(folder / "model"), config, overwrite=True))
    block = {**SMALL, "statistics": ["token_frequency", entry], "credit": 0.5}
    name = entry if isinstance(entry, str) else next(iter(entry))
    for given in ("news", str(reference)):
        said = only_problem(axolotl(folder, dft={**block, "reference": given}))
        assert said.startswith(
            f"statistics: {name}: measured on human text that the model reads, and reference {given}"
        )
        assert f"give the corpus itself as `reference`, or leave {name} out of `statistics`" in said
    for counted in ("train", str(folder / "human.jsonl")):
        findings = check(axolotl(folder, dft={**block, "reference": counted}))
        assert findings.problems == []


def test_tokenizer_without_end_of_text(folder: Path) -> None:
    block = {**SMALL, "statistics": ["token_frequency", "text_length"]}
    said = only_problem(axolotl(folder, model="endless", dft=block))
    assert "statistic 'text_length' wants the event 'end_of_text'" in said
    assert "set the tokenizer's eos_token" in said
    assert check(axolotl(folder, dft=block)).problems == []
    # Axolotl and TRL can each give one.
    given = axolotl(folder, model="endless", dft=block, special_tokens={"eos_token": tiny.END})
    assert check(given).problems == []
    given = {"model_name_or_path": str(folder / "endless"), "dft": block, "eos_token": tiny.END}
    assert check(given).problems == []


def test_tokenizer_that_is_not_here_is_said(folder: Path) -> None:
    findings = check(axolotl(folder, base_model="nobody/nothing", dft={"reference": str(folder / "human.jsonl")}))
    assert findings.problems == []
    assert findings.notes[0].startswith("the tokenizer of nobody/nothing could not be loaded here")
    assert "not checked are" in findings.notes[0]


@pytest.mark.parametrize("model", ["{folder}/modle", "./modle", "../check/modle"])
def test_model_folder_that_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    (tmp_path / "check" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "check")
    given = model.format(folder=folder)
    for key, config in (
        ("model_name_or_path", {"model_name_or_path": given, "dft": SMALL}),
        ("base_model", axolotl(folder, base_model=given)),
    ):
        findings = check(config)
        assert len(findings.problems) == 1
        assert findings.problems[0].startswith(f'{key}: {given}: there is no such folder. Did you mean "model"?')
        assert f"there is no folder {given}: not checked are" in findings.notes[-1]
        assert not any("Repo id" in note for note in findings.notes)


@pytest.mark.parametrize(
    ("data_set", "said"),
    [
        (
            {"path": "json", "data_files": "trian.jsonl"},
            'data_files: trian.jsonl: there is no such file. Did you mean "',
        ),
        ({"path": "json", "data_files": ["train.jsonl", "b.jsonl"]}, "data_files: b.jsonl: there is no such file"),
        ({"path": "json", "data_files": {"train": "data/*.json"}}, "data_files: data/*.json: there is no such file"),
        ({"path": "json", "data_dir": "data", "data_files": "train.jsonl"}, "data_files: train.jsonl: there is"),
        ({"path": "./data", "data_files": "train.jsonl"}, "data_files: train.jsonl: there is no such file"),
        ({"path": "./nowhere"}, "./nowhere: there is no such file or folder"),
        ({"path": "nowhere.jsonl"}, "nowhere.jsonl: there is no such file or folder"),
        ({"path": "json", "data_files": "train.jsonl"}, None),
        ({"path": "json", "data_files": ["data/*.jsonl", "https://x.org/y.jsonl"]}, None),
        ({"path": "./data", "data_files": "part.jsonl"}, None),
        ({"path": "nobody/nothing", "data_files": "train/part.jsonl"}, None),
        ({"path": "s3://bucket/rows.jsonl"}, None),
    ],
)
def test_data_that_are_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_set: dict[str, Any], said: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for name in ("train.jsonl", "data/part.jsonl"):
        Path(name).touch()
    trl = {"model_name_or_path": str(folder / "model"), "dft": SMALL, "datasets": [data_set]}
    for config in (trl, axolotl(folder, datasets=[data_set])):
        problems = check(config).problems
        assert len(problems) == (said is not None)
        assert all(problem.startswith(f"datasets: {said}") for problem in problems)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all"])
def test_data_set_by_name_that_is_missing(folder: Path, name: str) -> None:
    config = {"model_name_or_path": str(folder / "model"), "dft": SMALL, "dataset_name": name}
    assert only_problem(config).startswith(f"dataset_name: {name}: there is no such file or folder")
    assert check({**config, "dataset_name": "nobody/nothing"}).problems == []


def test_settings_of_deepspeed_that_are_missing(folder: Path) -> None:
    block = {**SMALL, "weight": 1}
    assert "deepspeed: zero.json: there is no such file" in only_problem(
        axolotl(folder, deepspeed="zero.json", dft=block)
    )


@pytest.mark.parametrize("model", ["{folder}/model", "nobody/nothing"])
def test_prompts_that_are_missing(folder: Path, model: str) -> None:
    block = {"rollout": {**SMALL["rollout"], "prompts": str(folder / "prompts.jsonl")}}
    said = only_problem(axolotl(folder, base_model=model.format(folder=folder), dft=block))
    assert said.startswith(f"rollout.prompts: {folder / 'prompts.jsonl'}: there is no such file")
    block["rollout"]["prompts"] = ["train", str(folder / "prompts.jsonl")]
    assert only_problem(axolotl(folder, base_model=model.format(folder=folder), dft=block)) == said


def test_a_bound_on_a_loss_that_is_never_measured(folder: Path) -> None:
    bounded = {**SMALL, "loss_bound": 0.02}
    trl = {"model_name_or_path": str(folder / "model"), "dft": bounded}
    assert "loss_bound is 0.02 and eval_strategy is no" in only_problem(trl)
    assert "set val_set_size" in only_problem(axolotl(folder, dft=bounded))
    assert not check({**trl, "eval_strategy": "steps"}).problems
    assert not check(axolotl(folder, dft=bounded, val_set_size=0.1)).problems
    for never in ("no", False):  # YAML reads a bare no as false
        found = axolotl(folder, dft=bounded, val_set_size=0.1, eval_strategy=never)
        assert "nothing is held out" in only_problem(found)
    assert not check({**trl, "dft": SMALL}).problems


def test_trl_needs_dft_sft(folder: Path) -> None:
    findings = check({"model_name_or_path": str(folder / "model"), "dft": SMALL})
    assert findings.problems == []
    assert findings.notes == ["the dft block acts through `dft sft --config FILE`; `trl sft` does not read it"]


def test_a_key_that_no_parser_of_trl_knows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl.scripts.sft")
    config = {"model_name_or_path": str(folder / "model"), "dft": SMALL, "logging_steps": 3, "num_processes": 1}
    assert check(config).problems == []
    assert "every key of TRL's" in check(config).checked
    said = only_problem({**config, "loging_steps": 3})
    assert said.startswith('unknown key "loging_steps". Did you mean "logging_steps"?')
    assert only_problem({**config, "dtf": {}}).startswith('"dtf" is read by nothing beside "dft"')
    monkeypatch.setitem(sys.modules, "trl.scripts.sft", None)
    findings = check({**config, "loging_steps": 3})
    assert findings.problems == []
    assert "not checked are TRL's own keys: TRL cannot be imported here" in findings.notes[-1]


def test_everything_at_once_is_all_reported(folder: Path) -> None:
    block = {"statistics": ["text_length"], "reference": "nowhere.txt", **SMALL}
    findings = check(axolotl(folder, model="endless", plugins=[], dtf=block, rl="grpo", dft=block))
    text = report("c.yml", findings)
    assert text.startswith("c.yml (Axolotl): 5 problems\n  1. ")
    for said in ('"dtf"', "no plugin reads", "rl is 'grpo'", "'text_length' wants", '"nowhere.txt"'):
        assert said in text


CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def chats(folder: Path) -> dict[str, Any]:
    """A block whose reference is chats, which the model's own tokenizer has no template for."""
    rows = [
        {"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": row["text"]}]}
        for row in tiny.plain_rows(80)
    ]
    write_rows(folder / "chats.jsonl", rows)
    (folder / "chatml.jinja").write_text(CHATML, encoding="utf-8")
    other = tiny.tokenizer()
    other.chat_template = CHATML
    other.save_pretrained(folder / "templated")
    other.chat_template = None
    other.save_pretrained(folder / "bare")
    return {**SMALL, "reference": str(folder / "chats.jsonl"), "statistics": "novelty"}


def trl(folder: Path, model: str = "model", **options: Any) -> dict[str, Any]:
    return {"model_name_or_path": str(folder / model), **options}


def test_a_chat_template_of_the_configuration_is_the_runs(folder: Path, chats: dict[str, Any]) -> None:
    assert "chat" in only_problem(trl(folder, "bare", dft=chats))  # without one
    for config in (
        trl(folder, "bare", dft=chats, chat_template_path=str(folder / "chatml.jinja")),
        trl(folder, "bare", dft=chats, chat_template_path=str(folder / "templated")),
        axolotl(folder, "bare", dft=chats, chat_template="jinja", chat_template_jinja=CHATML),
        axolotl(folder, "bare", dft=chats, chat_template_jinja=str(folder / "chatml.jinja")),
    ):
        findings = check(config)
        assert findings.problems == []
        assert not any("template" in note for note in findings.notes)
    tokenizer, _ = load_tokenizer({}, str(folder / "bare"))
    assert set_chat_template({"chat_template_path": str(folder / "templated")}, "TRL", tokenizer) is None
    assert tokenizer.chat_template == CHATML


def test_a_chat_template_that_is_not_here_is_noted(
    folder: Path, chats: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "axolotl.utils.chat_templates", None)
    for config in (
        axolotl(folder, "bare", dft=chats, chat_template="chatml"),
        trl(folder, "bare", dft=chats, chat_template_path="nobody/nothing"),
    ):
        findings = check(config)
        assert findings.problems == []
        assert [note for note in findings.notes if "cannot be had here" in note]
    assert not any("template" in note for note in check(axolotl(folder, chat_template="chatml")).notes)


@pytest.mark.parametrize("name", ["lomo", "adalomo", "galore_adamw_layerwise"])
def test_optimizers_that_a_run_refuses(folder: Path, name: str) -> None:
    assert f"optimizer is {name}, which steps inside" in only_problem(axolotl(folder, optimizer=name))
    assert f"optim is {name}, which steps inside" in only_problem(trl(folder, dft=SMALL, optim=name))
    assert (
        check(axolotl(folder, optimizer=name, dft={"statistics": [], "rollout": {"temperature": 0.7}})).problems == []
    )


def test_one_text_a_step_is_noted(folder: Path) -> None:
    findings = check(axolotl(folder, dft={"rollout": {**SMALL["rollout"], "batch_size": 1}}))
    assert any(note.startswith("rollout.batch_size is 1") for note in findings.notes)


def test_another_dft_is_noted(folder: Path) -> None:
    findings = check(trl(folder, dft=SMALL, loss_type="dft"))
    assert any("Dynamic Fine-Tuning" in note for note in findings.notes)


@pytest.mark.parametrize(
    ("row", "settings", "noted"),
    [
        (tiny.chat_rows(1)[0], {}, [TOLD]),
        (tiny.chat_rows(1)[0], {"assistant_only_loss": True}, []),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}, {}, []),
        (tiny.prompt_rows(1)[0], {"packing": True}, []),
        (tiny.prompt_rows(1)[0], {"packing": True, "packing_strategy": "wrapped"}, ["packing_strategy to bfd"]),
        (tiny.plain_rows(1)[0], {"packing": True, "packing_strategy": "wrapped"}, []),
    ],
)
def test_rows_whose_texts_are_not_told_apart_are_noted(
    folder: Path, tmp_path: Path, row: dict[str, Any], settings: dict[str, Any], noted: list[str]
) -> None:
    write_rows(tmp_path / "rows.jsonl", [row])
    data = {"datasets": [{"path": "json", "data_files": str(tmp_path / "rows.jsonl")}]}
    _, *found = check(trl(folder, **data, **settings)).notes
    assert len(found) == len(noted)
    assert all(said in note for said, note in zip(noted, found, strict=True))


@pytest.mark.parametrize(
    ("entry", "settings", "noted"),
    [
        ({"type": "chat_template"}, {"train_on_inputs": True}, True),
        ({"type": "chat_template", "roles_to_train": ["user", "assistant"]}, {}, True),
        ({"type": "chat_template"}, {}, False),
        ({"type": "alpaca"}, {"train_on_inputs": True}, False),
    ],
)
def test_chats_of_axolotl_that_are_trained_on_as_a_whole_are_noted(
    folder: Path, entry: dict[str, Any], settings: dict[str, Any], noted: bool
) -> None:
    found = check(axolotl(folder, datasets=[{"path": "a/b", **entry}], **settings)).notes
    assert (TOLD in found) == noted


def test_a_book_beside_prompted_training_texts_is_one_window(folder: Path) -> None:
    """Where the run trains on answers, human texts count from their beginning: one window each."""
    (folder / "book.txt").write_text("\n\n".join(tiny.paragraphs()), encoding="utf-8")
    for name, row in (
        ("answers", {"prompt": "Go on.", "completion": "So it went."}),
        ("texts", {"text": "So it went."}),
    ):
        (folder / name).mkdir()
        write_rows(folder / name / "rows.jsonl", [row] * 4)
        write_rows(folder / f"{name}.jsonl", [row] * 4)
    block = {**SMALL, "reference": str(folder / "book.txt"), "statistics": "novelty"}
    files = [{"path": "json", "data_files": str(folder / f"{name}.jsonl")} for name in ("answers", "texts")]
    for named in ({"dataset_name": str(folder / "answers")}, {"datasets": files[:1]}):
        prompted = trl(folder, dft=block, **named)
        assert "has 1 texts with something to count; at least 32 are needed" in only_problem(prompted)
        assert check({**prompted, "completion_only_loss": False}).problems == []
    for named in ({"dataset_name": str(folder / "texts")}, {"datasets": files}):
        assert check(trl(folder, dft=block, **named)).problems == []
    data = [{"path": str(folder / "answers.jsonl"), "type": "alpaca"}]
    assert "each counts once, after its prompt" in only_problem(axolotl(folder, dft=block, datasets=data))
    assert check(axolotl(folder, dft=block, datasets=[{**data[0], "type": "completion"}])).problems == []


def test_a_file_as_the_name_of_trls_data_set(folder: Path) -> None:
    """`load_dataset` finds no data file in a file."""
    path = folder / "human.jsonl"
    said = only_problem(trl(folder, dft=SMALL, dataset_name=str(path)))
    assert said.startswith(f"dataset_name: {path}: it is a file")
    assert f"give `datasets: [{{path: json, data_files: {path}}}]`" in said
    assert check(trl(folder, dft=SMALL, datasets=[{"path": "json", "data_files": str(path)}])).problems == []
    assert check(axolotl(folder, dft=SMALL, datasets=[{"path": str(path), "type": "completion"}])).problems == []


def test_report_of_a_good_file() -> None:
    text = report("c.yml", Findings("TRL", notes=["so"], checked=["this", "that"]))
    assert text == "c.yml (TRL): no problem found. Checked: this, that\n  note: so\n"


def test_read_yaml(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    with pytest.raises(ConfigError, match="there is no such file"):
        read_yaml(path)
    path.write_text("a: [1", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not YAML that can be read"):
        read_yaml(path)
    path.write_text("- a", encoding="utf-8")
    with pytest.raises(ConfigError, match="found list"):
        read_yaml(path)
