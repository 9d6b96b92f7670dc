"""Pretrains the benchmark's model of 2.3 million parameters, on stories that no measure of the benchmark sees.

python benchmarks/effect/pretrain.py --corpora DIR --output MODELS/stories2M

The recipe is that of `examples/base_model`, with a fifth layer, on the training side of the corpora alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "examples" / "base_model")]

# ruff: noqa: E402
import pretrain as recipe

from benchmarks.effect import corpora
from benchmarks.effect.scenario import Scenario

LAYERS = 5


def training_texts(folder: Path, names: Sequence[str]) -> list[str]:
    """The training side of corpora, one after the other, without texts whose author keeps the rights of them."""
    held_out = Scenario.model_fields["held_out"].default
    texts = (text for name in names for text in corpora.split(corpora.read(folder, name), held_out).train)
    return [text for text in texts if not recipe.NOTICE.search(text)]


def main() -> None:
    args = recipe.parser((__doc__ or "").splitlines()[0]).parse_args()
    recipe.pretrain(training_texts(args.corpora, recipe.CORPORA), args, LAYERS)


if __name__ == "__main__":
    main()
