"""Terms side by side: the table that serves all of them."""

from __future__ import annotations

import torch

from dft_plugin.layout import TableCache


def test_a_table_is_read_again_once_it_has_changed() -> None:
    cache, device = TableCache(), torch.device("cpu")
    first, second = torch.arange(3.0), torch.ones(3, 2)
    joined = cache.joined([first, second], 3, device)
    assert cache.joined([first, second], 3, device) is joined
    first.mul_(-1.0)
    assert cache.joined([first, second], 3, device)[:, 0].tolist() == [0, -1, -2]
    assert cache.joined([first, second + 1], 3, device)[:, 1].tolist() == [2, 2, 2]
