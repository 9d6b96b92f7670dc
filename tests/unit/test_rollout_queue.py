"""Texts of several acting steps, sampled at once: whose they are, on one process and on two, and after a resume."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import Tensor

from dft_plugin.rollout_queue import RolloutQueue
from dft_plugin.sharing import Processes, share
from dft_plugin.texts import Texts, Window, stack

BATCH, STEPS, LONGEST = 2, 3, 9


def texts(first: int, count: int) -> Texts:
    """Texts of different lengths, one process's longer than another's, told apart by their first token."""
    least = 2 + first // 100
    return stack([Window((first + row, *range(least + row % 4)), 0, 1 + row % 2, row % 3 == 0) for row in range(count)])


def as_lists(found: Texts) -> list[list[object]]:
    rows = zip(found.tokens, found.begin, found.first, found.end, found.starts_at_begin, strict=True)
    return [[row[: int(end)].tolist(), int(begin), int(first), bool(starts)] for row, begin, first, end, starts in rows]


def test_each_step_gets_its_own_part_of_what_was_sampled_at_once() -> None:
    sampled: list[int] = []

    def sample() -> Texts:
        sampled.append(1)
        return texts(100 * len(sampled), BATCH * STEPS)

    queue = RolloutQueue(BATCH, STEPS, LONGEST, Processes())
    found = [as_lists(queue.take(sample)) for _ in range(2 * STEPS)]
    assert len(sampled) == 2
    expected = as_lists(texts(100, BATCH * STEPS)) + as_lists(texts(200, BATCH * STEPS))
    assert [text for step in found for text in step] == expected
    assert all(len(step) == BATCH for step in found)


def test_alone_a_step_gets_what_is_sampled_for_it() -> None:
    queue, own = RolloutQueue(BATCH, 1, LONGEST, Processes()), texts(0, BATCH)
    assert queue.take(lambda: own) is own
    assert queue.state_dict() == {}


class Together:
    """Two processes in two threads; `reduce` sums what both bring."""

    def __init__(self) -> None:
        self.barrier, self.brought = Barrier(2, timeout=20), [torch.zeros(0)] * 2

    def process(self, rank: int) -> Processes:
        def reduce(tensor: Tensor) -> Tensor:
            self.brought[rank] = tensor
            self.barrier.wait()
            summed = self.brought[0] + self.brought[1]
            self.barrier.wait()
            return summed

        return Processes(rank, 2, reduce)

    def both(self, work: Callable[[int], object]) -> list[object]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(work, range(2)))


def test_each_of_two_processes_gets_its_own_and_goes_on_from_the_one_checkpoint() -> None:
    together = Together()
    queues = [RolloutQueue(BATCH, STEPS, LONGEST, together.process(rank)) for rank in range(2)]

    def take(rank: int) -> object:
        return as_lists(queues[rank].take(lambda: texts(100 * (rank + 1), BATCH * STEPS)))

    steps = [together.both(take) for _ in range(2)]
    checkpoint = {name: tensor.clone() for name, tensor in queues[0].state_dict().items()}
    last = together.both(take)
    for rank in range(2):
        expected = as_lists(texts(100 * (rank + 1), BATCH * STEPS))
        assert [text for step in [*steps, last] for text in step[rank]] == expected  # type: ignore[attr-defined]
    assert all(not queue.state_dict() for queue in queues)
    queues = [RolloutQueue(BATCH, STEPS, LONGEST, together.process(rank)) for rank in range(2)]
    for queue in queues:
        queue.load_state_dict(checkpoint)
    assert together.both(take) == last


@pytest.mark.parametrize(("batch", "steps"), [(BATCH + 1, STEPS), (BATCH, STEPS + 1), (STEPS, BATCH)])
def test_texts_for_steps_of_another_size_are_not_used(batch: int, steps: int) -> None:
    before = RolloutQueue(BATCH, STEPS, LONGEST, Processes())
    before.take(lambda: texts(0, BATCH * STEPS))
    after = RolloutQueue(batch, steps, LONGEST, Processes())
    after.load_state_dict(before.state_dict())
    assert as_lists(after.take(lambda: texts(50, batch * steps))) == as_lists(texts(50, batch * steps))[:batch]


def test_a_checkpoint_with_nothing_waiting_leaves_nothing() -> None:
    queue = RolloutQueue(BATCH, STEPS, LONGEST, Processes())
    queue.take(lambda: texts(0, BATCH * STEPS))
    queue.load_state_dict({})
    assert as_lists(queue.take(lambda: texts(50, BATCH * STEPS))) == as_lists(texts(50, BATCH))


def test_two_processes_share_each_steps_windows_as_one_has_them() -> None:
    windows = [Window((token, 1), 0, 1, True) for token in range(40)]
    alone = share(windows, 2 * BATCH, Processes(), 7, STEPS)
    shares = [share(windows, BATCH, Processes(rank, 2), 7, STEPS) for rank in range(2)]
    for step in range(STEPS):
        own = [entry for part in shares for entry in part[step * BATCH : (step + 1) * BATCH]]
        assert own == alone[2 * step * BATCH : 2 * (step + 1) * BATCH]
    assert len({window.tokens for window in alone}) == 2 * BATCH * STEPS, "none twice before all are taken"
    assert share(windows, BATCH, Processes(), 7) == share(windows, BATCH, Processes(), 7, STEPS)[:BATCH]
