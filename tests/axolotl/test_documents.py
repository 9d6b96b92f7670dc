"""Human documents through Axolotl's collators: prompts masked, packed texts apart, padding gone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("axolotl", reason="needs axolotl 0.19 (constraints/axolotl.txt)")

from axolotl.utils.collators.batching import (
    BatchSamplerDataCollatorForSeq2Seq,
    DataCollatorForSeq2Seq,
    V2BatchSamplerDataCollatorForSeq2Seq,
)
from transformers import DataCollatorWithFlattening

from dft_plugin.documents import Document
from dft_plugin.training_documents import from_batch, from_dataloader
from tests import tiny

PROMPTED = {"input_ids": [10, 11, 12, 13, 14, 0], "labels": [-100, -100, -100, 13, 14, 0]}
PLAIN = {"input_ids": [20, 21, 22, 23, 0], "labels": [20, 21, 22, 23, 0]}
EXPECTED = [
    Document((10, 11, 12, 13, 14, 0), 3, 6, True),
    Document((20, 21, 22, 23, 0), 0, 5, False),
]


def rows(*, packed: bool) -> list[dict[str, Any]]:
    made = []
    for row in (PROMPTED, PLAIN):
        length = len(row["input_ids"])
        positions = {"position_ids": list(range(length)), "length": length} if packed else {}
        made.append({**row, "attention_mask": [1] * length, **positions})
    return made


def collators() -> list[Any]:
    made = []
    for kind in (V2BatchSamplerDataCollatorForSeq2Seq, BatchSamplerDataCollatorForSeq2Seq):
        made += [pytest.param(kind, {"padding": True}, True, id=f"{kind.__name__}")]
        made += [pytest.param(kind, {"padding": True, "pad_to_multiple_of": 64}, True, id=f"{kind.__name__}-padded")]
    made += [pytest.param(V2BatchSamplerDataCollatorForSeq2Seq, {"squash_position_ids": True}, True, id="squashed")]
    made += [pytest.param(DataCollatorForSeq2Seq, {"padding": True, "pad_to_multiple_of": 32}, False, id="plain")]
    return made


@pytest.mark.parametrize(("kind", "options", "packed"), collators())
@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_become_documents(kind: Any, options: dict[str, Any], packed: bool, side: str) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.padding_side = side
    dataloader = SimpleNamespace(dataset=rows(packed=packed), collate_fn=kind(tokenizer, **options))
    assert from_dataloader(dataloader, limit=10) == EXPECTED


def test_flattening_collator_masks_the_first_label() -> None:
    dataloader = SimpleNamespace(dataset=rows(packed=False), collate_fn=DataCollatorWithFlattening())
    assert from_dataloader(dataloader, limit=10) == EXPECTED


def test_a_packed_batch_is_taken_apart() -> None:
    collate = V2BatchSamplerDataCollatorForSeq2Seq(tiny.tokenizer(), padding=True, pad_to_multiple_of=32)
    prompted, plain = rows(packed=True)
    documents = from_batch(collate([[prompted, plain], [plain]]))
    assert documents == [*EXPECTED, EXPECTED[1]]
