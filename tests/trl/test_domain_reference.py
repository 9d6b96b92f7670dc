"""A shipped domain as the reference of a run, and of a check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dft_plugin import DFTCallback, plugins
from dft_plugin.config import parse
from dft_plugin.reference import HumanReferenceError
from dft_plugin.reference.build import Request, build_file
from dft_plugin.statistic_config import DEFAULT_STATISTICS
from tests import tiny
from tests.training import term_options, train

ROWS = tiny.plain_rows(60, characters=600)


def options(**changed: Any) -> dict[str, Any]:
    return term_options(**{"reference": "fiction", "weight": 0.5, **changed})


def test_a_domain_is_matched() -> None:
    """All statistics on by default and `novelty`, on a vocabulary that the domain was never counted with."""
    names = [*DEFAULT_STATISTICS, "novelty"]
    callback = DFTCallback(**options(statistics=names))
    found = train(tiny.model(), ROWS, callback, max_steps=3)
    for name in names:
        assert found.logs[1][f"dft/floor_ratio/{name}"] > 0
    assert callback.progress.acted == 3


def test_what_a_domain_does_not_hold_is_refused_where_asked_for() -> None:
    callback = DFTCallback(**options(statistics=["token_frequency", "text_length"]))
    with pytest.raises(
        HumanReferenceError, match=r"reference fiction holds no text_length .* it holds token_frequency"
    ):
        train(tiny.model(), ROWS, callback, max_steps=1)


@pytest.mark.parametrize("built", [False, True])
def test_what_the_model_reads_is_refused_where_there_is_no_text(built: bool, tmp_path: Path) -> None:
    """It was the training set's, which is not what was asked for."""
    reference = "fiction"
    if built:
        reference = str(tmp_path / "human.safetensors")
        tiny.model().save_pretrained(tmp_path / "model")
        tiny.tokenizer().save_pretrained(tmp_path / "model")
        (tmp_path / "human.txt").write_text("\n\n".join(tiny.paragraphs()[:100]), encoding="utf-8")
        config = parse(options(statistics=["token_frequency", "entropy"], reference="train"))
        build_file(Request([str(tmp_path / "human.txt")], Path(reference), str(tmp_path / "model"), config))
    callback = DFTCallback(**options(statistics=["token_frequency", "entropy"], reference=reference))
    with pytest.raises(
        HumanReferenceError, match=r"entropy: measured on human text.*give the corpus itself as `reference`"
    ):
        train(tiny.model(), ROWS, callback, max_steps=1)


def test_a_mistyped_domain() -> None:
    callback = DFTCallback(**options(reference="fictoin"))
    with pytest.raises(HumanReferenceError, match=r'"fictoin": there is no such file. Did you mean "fiction"\?'):
        train(tiny.model(), ROWS, callback, max_steps=1)


def test_the_shipped_ones() -> None:
    assert set(plugins.references()) == {"news", "fiction", "academic", "legal", "children"}
