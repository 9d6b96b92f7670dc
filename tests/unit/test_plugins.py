"""Built-ins, third parties' additions, and names that nobody registered."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from dft_plugin import hookimpl, plugins
from dft_plugin.accumulation import Accumulation
from dft_plugin.config import ConfigError, parse
from dft_plugin.distances import Distance, l2
from dft_plugin.law import observed_law
from dft_plugin.rollout import RolloutEngine
from dft_plugin.statistics.base import Statistic
from dft_plugin.statistics.entropy import EntropyRate
from dft_plugin.texts import Window, stack
from dft_plugin.vocabulary import Vocabulary
from tests import tiny
from tests.chain import vocabulary as chain_vocabulary

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "word_length_plugin"


def test_built_ins_in_order() -> None:
    assert list(plugins.statistics())[:10] == [
        "token_frequency",
        "ngram_frequency",
        "sentence_length",
        "punctuation_frequency",
        "punctuation_rhythm",
        "paragraph_length",
        "text_length",
        "novelty",
        "sentence_opening",
        "entropy",
    ]
    assert {"mmd", "wasserstein", "energy", "jensen_shannon", "hellinger", "l2"} <= set(plugins.distances())
    assert "transformers" in plugins.rollout_engines()


@pytest.mark.parametrize("kind", ["statistic", "distance"])
def test_every_built_in_is_found_by_its_name_and_complete(kind: str) -> None:
    for name, entry in getattr(plugins, kind + "s")().items():
        assert getattr(plugins, kind)(name) is entry
        assert entry.name == name
    for statistic in plugins.statistics().values():
        assert statistic.support in plugins.distance(statistic.distance).supports
        assert statistic.__doc__


@pytest.mark.parametrize(
    ("find", "given", "nearest", "among"),
    [
        (plugins.statistic, "token_freqency", "token_frequency", "novelty"),
        (plugins.statistic, "sentence_lenght", "sentence_length", "entropy"),
        (plugins.distance, "wassertein", "wasserstein", "l2"),
        (plugins.rollout_engine, "transformer", "transformers", "transformers"),
    ],
)
def test_unknown_names_get_the_nearest(find: Any, given: str, nearest: str, among: str) -> None:
    with pytest.raises(ValueError, match=f'"{given}"') as caught:
        find(given)
    message = str(caught.value)
    assert f'Did you mean "{nearest}"?' in message
    assert among in message.split("There are:")[1]


def test_unknown_name_with_nothing_near() -> None:
    with pytest.raises(ValueError, match="There are: token_frequency") as caught:
        plugins.statistic("qqqqqq")
    assert "Did you mean" not in str(caught.value)


def register(**lists: Sequence[Any]) -> None:
    module = ModuleType("third_party")
    for name, found in lists.items():
        setattr(module, name, hookimpl(specname=name)(lambda found=found: found))
    plugins.manager().register(module)


def test_third_party_additions_of_each_kind() -> None:
    class Engine(RolloutEngine):
        name = "parrot"

    class Mine(EntropyRate):
        name = "mine"

    nearby = Distance("nearby", l2, frozenset({"vector"}))
    register(dft_statistics=[Mine], dft_distances=[nearby], dft_rollout_engines=[Engine])
    assert plugins.statistic("mine") is Mine
    assert plugins.distance("nearby") is nearby
    assert plugins.rollout_engine("parrot") is Engine
    assert list(plugins.statistics())[-1] == "mine"  # after the built-ins
    config = parse({"statistics": [{"mine": {"distance": "nearby"}}], "rollout": {"engine": "parrot"}})
    assert config.statistics[0].distance == "nearby"
    with pytest.raises(ConfigError, match='Did you mean "mine"'):
        parse({"statistics": ["minee"]})


def test_options_of_a_third_party_distance() -> None:
    def scaled(p: Any, q: Any, positions: Any = None, by=1.0):  # type: ignore[no-untyped-def]
        return l2(p, q) * by

    def open_ended(p: Any, q: Any, positions: Any = None, **options: float) -> Any:
        return l2(p, q) * sum(options.values())

    def needing(p: Any, q: Any, positions: Any = None, *, power: float) -> Any:
        return l2(p, q) ** power

    functions = {"scaled": scaled, "open_ended": open_ended, "needing": needing}
    register(dft_distances=[Distance(name, function, frozenset({"vector"})) for name, function in functions.items()])

    def options(distance: str, given: dict[str, Any]) -> dict[str, Any]:
        entry = {"distance": distance, "distance_options": given}
        return parse({"statistics": [{"ngram_frequency": entry}]}).statistics[0].distance_options

    assert options("scaled", {"by": 2}) == {"by": 2}
    assert options("open_ended", {"anything": 2}) == {"anything": 2}
    assert options("needing", {"power": 2}) == {"power": 2}
    with pytest.raises(ConfigError, match="distance_options of needing: power: Field required"):
        options("needing", {})
    with pytest.raises(ConfigError, match=r'unknown key "bye"\. Did you mean "by"\?'):
        options("scaled", {"bye": 2})
    with pytest.raises(ConfigError, match="distance_options of open_ended: unsupported operand"):
        options("open_ended", {"anything": "text"})


def test_two_of_one_name_are_an_error() -> None:
    class Impostor(EntropyRate):
        name = "entropy"

    register(dft_statistics=[Impostor])
    with pytest.raises(ValueError, match='two plugins register the statistic "entropy"'):
        plugins.statistics()


def test_the_same_object_twice_is_one() -> None:
    register(dft_statistics=[EntropyRate])
    assert plugins.statistic("entropy") is EntropyRate


def test_registered_plugins_leave_with_their_test() -> None:
    assert "mine" not in plugins.statistics()


# The example plugin.


@pytest.fixture
def example() -> Iterator[ModuleType]:
    """Its module, loaded from the folder and registered as pluggy does it."""
    spec = importlib.util.spec_from_file_location("dft_word_length", EXAMPLE / "dft_word_length.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    plugins.manager().register(module)
    yield module
    del sys.modules[spec.name]


def test_example_counts_tokens_per_word(example: ModuleType) -> None:
    """Against a plain loop over decoded tokens; no word is cut off, so every length is seen."""
    tokenizer = tiny.tokenizer()
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    statistic = example.WordLength(vocabulary, example.WordLengthOptions(longest=6))
    lengths: list[int] = []
    windows = []
    for text in tiny.paragraphs()[:40]:
        words = " ".join(word for word in text.split() if word.isalpha())
        tokens = tokenizer(" " + words + " end")["input_ids"]
        starts = [i for i, token in enumerate(tokens) if tokenizer.decode([token]).startswith(" ") and token != 0]
        tokens = tokens[: starts[-1] + 1]  # up to the first token of the last word
        lengths += [after - before for before, after in pairwise(starts)]
        windows.append(Window(tuple(tokens), 0, 1, True))
    accumulation = Accumulation([statistic], vocabulary.size)
    plan = accumulation.plan(stack(windows))
    own = accumulation.accumulate(plan, observed_law(plan.texts, plan.request))
    law = accumulation.summarize(statistic, own.sum(0))["word"]
    # Bin i is a word of i + 1 tokens.
    expected = [sum(length == size for length in lengths) / len(lengths) for size in range(1, 7)]
    torch.testing.assert_close(law[:6], torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-9)
    assert sum(expected) > 0.9
    assert max(expected) < 0.9


def test_example_options(example: ModuleType) -> None:
    config = parse({"statistics": [{"word_length": {"longest": 6, "distance": "hellinger"}}]})
    assert config.statistics[0].own_options == {"longest": 6}
    with pytest.raises(ConfigError, match=r'unknown key "longst".*Did you mean "longest"'):
        parse({"statistics": [{"word_length": {"longst": 6}}]})
    with pytest.raises(ConfigError, match="jensen_shannon"):
        parse({"statistics": [{"word_length": {"distance": "jensen-shannon"}}]})


TRAIN = """
import sys
from datasets import Dataset
from trl import SFTConfig, SFTTrainer
import dft_word_length
from dft_plugin import DFTCallback, plugins
from tests import tiny

assert dft_word_length.__file__.startswith(sys.argv[1]), dft_word_length.__file__
assert plugins.statistic("word_length") is dft_word_length.WordLength  # found by its entry point alone
callback = DFTCallback(
    report=False,
    statistics=["token_frequency", {"word_length": {"longest": 5}}],
    weight=0.5,
    start_step=0,
    rollout={"batch_size": 4, "micro_batch_size": 2, "max_new_tokens": 8, "context_tokens": 4},
)
arguments = SFTConfig(
    output_dir=sys.argv[1] + "/out", max_steps=2, per_device_train_batch_size=2, max_length=64, use_cpu=True,
    logging_steps=1, report_to="none", save_strategy="no", disable_tqdm=True,
)
trainer = SFTTrainer(
    tiny.model(), args=arguments, train_dataset=Dataset.from_list(tiny.plain_rows(60)),
    processing_class=tiny.tokenizer(), callbacks=[callback],
)
trainer.train()
rows = [row for row in trainer.state.log_history if "dft/distance/word_length" in row]
assert len(rows) == 2 and all(row["dft/distance/word_length"] > 0 for row in rows), trainer.state.log_history
print("trained with word_length")
"""


def test_example_is_installed_and_trained_with(tmp_path: Path) -> None:
    """pip builds and installs it into an empty folder; a fresh Python finds it by its entry point and trains."""
    backend = pytest.importorskip("setuptools", reason="the example's build backend is not installed")
    assert backend is not None
    source, target = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for file in EXAMPLE.iterdir():  # setuptools writes its build folder beside the sources
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", str(target), str(source)], check=True, timeout=300)
    (distribution,) = importlib.metadata.distributions(path=[str(target)])
    (entry,) = distribution.entry_points
    assert (entry.group, entry.name, entry.value) == ("dft_plugin", "word_length", "dft_word_length")
    environment = {**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", TRAIN, str(target)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert "trained with word_length" in ran.stdout, ran.stderr[-3000:]


def test_example_says_what_it_lacks(example: ModuleType) -> None:
    (found,) = example.dft_statistics()
    assert issubclass(found, Statistic)
    with pytest.raises(ValueError, match="begin a word"):
        found(chain_vocabulary((None, b".", b",")), found.Options())
