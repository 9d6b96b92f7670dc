"""`ngram_rarity` in a run: what it looks up in is human text that the reference does not count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dft_plugin import DFTCallback
from dft_plugin.reference import HumanReferenceError
from tests import tiny
from tests.training import term_options, train

ROWS = tiny.plain_rows(64, characters=600)
STATISTICS = ["token_frequency", {"name": "ngram_rarity", "n": [2, 3], "classes": 4}]


def options(**changed: Any) -> dict[str, Any]:
    return term_options(**{"statistics": STATISTICS, "weight": 0.5, **changed})


@pytest.mark.parametrize("of_a_file", [False, True])
def test_it_is_matched(of_a_file: bool, tmp_path: Path) -> None:
    reference = "train"
    if of_a_file:
        reference = str(tmp_path / "human.txt")
        Path(reference).write_text("\n\n".join(tiny.paragraphs()[:200]), encoding="utf-8")
    callback = DFTCallback(**options(reference=reference))
    found = train(tiny.model(), ROWS, callback, max_steps=3)
    assert callback.progress.acted == 3
    assert found.logs[1]["dft/floor_ratio/ngram_rarity"] > 0
    assert callback.term is not None
    _, rarity = (entry.statistic for entry in callback.term.objective.matched)
    looked_up = rarity.vocabulary.human_text
    assert looked_up is not None
    assert len(looked_up) >= 64  # as many windows as are counted, or more


def test_other_statistics_are_counted_as_without_it() -> None:
    """The windows that are counted are the same, whatever is looked up in."""
    human = []
    for statistics in (["token_frequency"], STATISTICS):
        callback = DFTCallback(**options(statistics=statistics, weight=0))
        train(tiny.model(), ROWS, callback, max_steps=1)
        assert callback.term is not None
        objective = callback.term.objective
        human.append(callback.term.human[objective.accumulation.part(objective.matched[0].statistic)])
    torch.testing.assert_close(human[0], human[1], rtol=0, atol=0)


def test_a_domain_has_no_text_to_look_up_in() -> None:
    callback = DFTCallback(**options(reference="fiction"))
    with pytest.raises((HumanReferenceError, ValueError), match="use `train` or a corpus as `reference`"):
        train(tiny.model(), ROWS, callback, max_steps=1)
