"""The `dft:` block: what it takes, and what its errors say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dft_plugin import yaml_text
from dft_plugin.config import ConfigError, DFTConfig, parse
from dft_plugin.statistic_config import DEFAULT_STATISTICS
from dft_plugin_check.check import read_yaml

COOL = {"rollout": {"temperature": 0.7}}


def message(block: Any) -> str:
    with pytest.raises(ConfigError) as error:
        parse(block)
    return str(error.value)


@pytest.mark.parametrize("block", [None, {}])
def test_everything_has_a_default(block: Any) -> None:
    config = parse(block)
    assert config == DFTConfig()
    assert [entry.name for entry in config.statistics] == list(DEFAULT_STATISTICS)
    assert config.reference == "train"
    assert config.weight == "auto"


def test_a_dump_is_read_back() -> None:
    config = parse({"weight": 0.5, "statistics": [{"ngram_frequency": {"n": [2], "size": 64}}, "entropy"]})
    assert parse(config.model_dump(mode="json")) == config
    # Axolotl drops the keys that are None.
    assert parse(config.model_dump(mode="json", exclude_none=True)) == config


@pytest.mark.parametrize("block", [{"lead": None}, {"derivative_window": None}, {"statistics": [], **COOL}])
def test_a_dump_without_none_keeps_what_differs_from_the_default(block: dict[str, Any]) -> None:
    config = parse(block)
    dumped = config.model_dump(mode="json", exclude_none=True)
    assert parse(dumped) == config != DFTConfig()
    assert "loss_bound" not in dumped
    assert not {"lead", "derivative_window"} & set(config.model_dump(exclude_none=True, include={"weight"}))
    assert "lead" not in config.model_dump(exclude_none=True, exclude={"lead"})


@pytest.mark.parametrize("block", [{"weight": 0.5, "lead": None}, {"statistics": [], "start_step": 0, **COOL}])
def test_what_is_switched_off_contradicts_nothing(block: dict[str, Any]) -> None:
    parse(block)


def test_calibration_needs_nothing_to_be_matched() -> None:
    config = parse({"statistics": [], **COOL})
    assert config.prediction_temperature == pytest.approx(0.7**0.85)


@pytest.mark.parametrize(
    "written",
    [
        {"name": "sentence_length", "distance": "mmd", "weight": 2.0, "longest": 40},
        {"sentence_length": {"distance": "mmd", "weight": 2.0, "longest": 40}},
    ],
)
def test_a_statistic_with_options(written: dict[str, Any]) -> None:
    (entry,) = parse({"statistics": [written]}).statistics
    assert (entry.name, entry.distance, entry.weight, entry.own_options) == (
        "sentence_length",
        "mmd",
        2.0,
        {"longest": 40},
    )


@pytest.mark.parametrize("written", ["novelty", ["novelty"], [{"name": "novelty"}], [{"novelty": None}]])
def test_a_statistic_by_name(written: Any) -> None:
    assert [entry.name for entry in parse({"statistics": written}).statistics] == ["novelty"]


@pytest.mark.parametrize(
    ("block", "given", "nearest"),
    [
        ({"wieght": 1}, "wieght", "weight"),
        ({"start_steps": 1}, "start_steps", "start_step"),
        ({"rollout": {"temprature": 1}}, "rollout.temprature", "temperature"),
        ({"statistics": ["token_frequencies"]}, "token_frequencies", "token_frequency"),
        ({"statistics": [{"name": "novelty", "distance": "energie"}]}, "energie", "energy"),
        ({"statistics": [{"name": "novelty", "distnace": "energy"}]}, "distnace", "distance"),
        ({"statistics": [{"ngram_frequency": {"sise": 64}}]}, "sise", "size"),
    ],
)
def test_what_is_unknown_is_named_with_the_nearest(block: Any, given: str, nearest: str) -> None:
    said = message(block)
    assert f'"{given}"' in said
    assert f'Did you mean "{nearest}"?' in said
    assert "There are: " in said


def test_each_unknown_key_is_compared_with_its_own_block() -> None:
    said = message({"sed": 1, "rollout": {"top_pp": 0.5}})
    assert 'unknown key "sed". Did you mean "seed"?' in said
    assert 'unknown key "rollout.top_pp". Did you mean "top_p"?' in said


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ([1], "expected keys and values, found list"),
        ("auto", "expected keys and values, found str"),
        ({"balance": "parameter"}, "(given: 'parameter'). Did you mean \"parameters\"?"),
        ({"weight": -1}, "weight: takes a number of at least 0, or `auto` (given: -1)"),
        ({"weight": "atuo"}, "weight: takes a number of at least 0, or `auto` (given: 'atuo')"),
        ({"weight": float("nan")}, "weight: takes a number of at least 0"),
        ({"weight": True}, "weight: takes a number of at least 0"),
        ({"weight": None}, "weight: takes a number of at least 0"),
        ({"statistics": []}, "(rollout.temperature 1, calibration 0.85, weight auto): the run would be plain SFT"),
        ({"statistics": [], "weight": 0, **COOL}, "calibration 0.85, weight 0.0): the run would be plain SFT"),
        ({"statistics": [], "calibration": 0, **COOL}, "calibration 0, weight auto): the run would be plain SFT"),
        ({"statistics": [], "kl_weight": 0.5, **COOL}, "kl_weight is 0.5 and statistics is empty"),
        ({"statistics": [], "report": True, **COOL}, "report is True and statistics is empty"),
        (
            {"statistics": [], "start_step": 0.9, **COOL},
            "start_step is given and statistics is empty: calibration acts",
        ),
        ({"weight": 0.5, "fade": 1, "lead": 3}, "weight is 0.5, and fade, lead is for weight: auto alone"),
        ({"lead": 3, "derivative_window": None}, "lead is 3, and the derivative is taken at as many texts as"),
        ({"lead": 3, "window": 32}, "(derivative_window 32, window 32), so that none are ahead"),
        ({"statistics": ["novelty", "novelty"]}, "statistics lists novelty more than once"),
        ({"statistics": [{"name": "novelty", "weight": 0}]}, "statistics.0.weight: "),
        ({"statistics": [{"ngram_frequency": {"size": 2}}]}, "statistics: ngram_frequency: size: "),
        ({"statistics": [{"token_frequency": {"distance": "wasserstein"}}]}, "use mmd, jensen_shannon, hellinger, l2"),
        ({"statistics": [{"novelty": {"name": "entropy"}}]}, "novelty has an option `name`: 'entropy'; give one name"),
        ({"start_step": float("inf")}, "start_step: takes a number of steps, or a share of them below 1 (given: inf)"),
        ({"warmup_steps": float("inf")}, "warmup_steps: takes a number of steps"),
        ({"reference": ""}, "reference is empty: give `train`"),
        ({"rollout": {"prompts": ["train", ""]}}, "rollout.prompts has an empty entry"),
        ({"start_step": 5, "end_step": 5}, "end_step is 5 and start_step 5: the term would never act"),
        ({"rollout": {"temperature": 0}}, "rollout.temperature: "),
        ({"rollout": {"top_p": 1.5}}, "rollout.top_p: "),
        ({"rollout": {"batch_size": 0}}, "rollout.batch_size: "),
        ({"credit": 2}, "credit: "),
    ],
)
def test_values_out_of_bounds(block: Any, said: str) -> None:
    assert said in message(block)


@pytest.mark.parametrize(
    ("distance", "options", "said"),
    [
        ("mmd", {"kernle": "linear"}, 'unknown key "kernle". Did you mean "kernel"? There are: kernel, bandwidths.'),
        ("mmd", {"positions": [1, 2]}, 'unknown key "positions". There are: kernel, bandwidths.'),
        ("mmd", {"bandwidths": "big"}, "bandwidths: 'str' instances are not allowed"),
        ("mmd", {"bandwidths": [1, -2]}, "bandwidths=(1.0, -2.0); give at least one, each positive and finite"),
        ("mmd", {"kernel": "gausian"}, "unknown kernel 'gausian'; the kernels are gaussian, linear, delta"),
        ("jensen_shannon", {"epsilon": True}, "epsilon: takes a number, not true or false (given: True)"),
        ("energy", {"kernel": "linear"}, 'unknown key "kernel". There are none.'),
    ],
)
def test_options_that_a_distance_does_not_take(distance: str, options: dict[str, Any], said: str) -> None:
    found = message({"statistics": [{"sentence_length": {"distance": distance, "distance_options": options}}]})
    assert found.startswith(f"dft: statistics: sentence_length: distance_options of {distance}: ")
    assert said in found


@pytest.mark.parametrize(("statistic", "kernel"), [("token_frequency", "linear"), ("ngram_frequency", "gaussian")])
def test_a_kernel_of_positions_where_a_summary_has_none(statistic: str, kernel: str) -> None:
    """Linear on tokens is the difference of mean ids: 0 between laws that share no token."""
    entry = {"distance": "mmd", "distance_options": {"kernel": kernel}}
    assert f"kernel '{kernel}' compares positions on a line" in message({"statistics": [{statistic: entry}]})
    entry = {"distance": "mmd", "distance_options": {"kernel": "delta"}}
    assert parse({"statistics": [{statistic: entry}]}).statistics[0].distance_options == {"kernel": "delta"}
    entry = {"distance": "mmd", "distance_options": {"bandwidths": [1, 2]}}  # the kernel is delta unless one is given
    assert "bandwidths=[1.0, 2.0] have no effect on kernel 'delta'" in message({"statistics": [{statistic: entry}]})


def test_greedy_decoding_has_no_gradient_and_can_be_measured() -> None:
    greedy = {"rollout": {"top_k": 1}}
    assert "rollout.top_k is 1" in message(greedy)
    assert parse({**greedy, "weight": 0}).rollout.top_k == 1


def test_options_that_a_distance_takes() -> None:
    def options(**entry: Any) -> dict[str, Any]:
        return parse({"statistics": [{"sentence_length": entry}]}).statistics[0].distance_options

    assert options(distance="mmd", distance_options={"kernel": "linear"}) == {"kernel": "linear"}
    # YAML reads 1e-6 as text.
    assert options(distance="hellinger", distance_options={"epsilon": "1e-6"}) == {"epsilon": 1e-6}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"credit": True}, "credit: takes a number, not true or false (given: True)"),
        ({"kl_weight": True}, "kl_weight: takes a number, not"),
        ({"start_step": False}, "start_step: takes a number, not true or false (given: False)"),
        ({"end_step": True}, "end_step: takes a number or null, not"),
        ({"rollout": {"interval": True}}, "rollout.interval: takes a whole number, not"),
        ({"rollout": {"temperature": True}}, "rollout.temperature: takes a number, not"),
        ({"statistics": [{"novelty": {"weight": True}}]}, "statistics.0.weight: takes a number, not"),
        ({"statistics": [{"text_length": {"width": True}}]}, "text_length: width: takes a whole number, not"),
    ],
)
def test_true_is_no_number(block: Any, said: str) -> None:
    assert said in message(block)


def test_options_that_are_true_or_false() -> None:
    assert [parse({"report": given}).report for given in (True, False, "auto")] == [True, False, "auto"]


def test_from_yaml_takes_a_host_file_or_the_keys_themselves(tmp_path: Path) -> None:
    whole, keys = tmp_path / "sft.yaml", tmp_path / "keys.yaml"
    whole.write_text("model_name_or_path: x\ndft:\n  weight: 0.5\n", encoding="utf-8")
    keys.write_text("weight: 0.5\n", encoding="utf-8")
    assert DFTConfig.from_yaml(whole) == DFTConfig.from_yaml(keys) == DFTConfig(weight=0.5)


def test_from_yaml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("dft: {wieght: 1}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"wrong\.yaml: dft: unknown key"):
        DFTConfig.from_yaml(path)
    path.write_text("- 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected keys and values, found list"):
        DFTConfig.from_yaml(path)


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    """YAML takes the last one: the temperature would be 1, and nobody would know."""
    path = tmp_path / "twice.yaml"
    path.write_text("dft:\n  rollout: {temperature: 0.7}\n  weight: 1\n  rollout: {top_p: 0.9}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r'the key "rollout" stands twice in one block, in lines 2 and 4'):
        DFTConfig.from_yaml(path)
    with pytest.raises(ConfigError, match=r'the key "rollout" stands twice'):
        read_yaml(path)


def test_a_merge_key_is_no_repetition(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text("a: &a {temperature: 0.7, top_p: 0.9}\ndft:\n  rollout: {<<: *a, top_p: 0.8}\n", encoding="utf-8")
    rollout = DFTConfig.from_yaml(path).rollout
    assert (rollout.temperature, rollout.top_p) == (0.7, 0.8)
    nested = "small: &small {weight: 1}\nmine: &mine\n  <<: *small\n  weight: 2\ndft:\n  <<: *mine\n"
    assert yaml_text.read(nested)["dft"] == {"weight": 2}
    assert yaml_text.read("1: a\n'1': b\n") == {1: "a", "1": "b"}
