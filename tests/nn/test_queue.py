"""The queue against a naive deque."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from torch.nn import functional as F

from scssl.nn.queue import Queue


def filled(size, steps, width=3, seed=0):
    """A queue and a deque after the same pushes; `steps` are the sizes of the pushes."""
    generator = torch.Generator().manual_seed(seed)
    queue, naive = Queue(size, width), deque(maxlen=size)
    for n in steps:
        keys = torch.randn(n, width, generator=generator)
        cell = torch.randint(-(2**62), 2**62, (n,), generator=generator)
        batch = torch.randint(4, (n,), generator=generator)
        queue.push(keys, cell, batch)
        naive.extend(zip(F.normalize(keys, dim=1), cell.tolist(), batch.tolist(), strict=True))
    return queue, list(naive)[::-1]


@pytest.mark.parametrize("size", [1, 5, 8, 64])
@pytest.mark.parametrize("steps", [(), (3,), (8,), (3, 3, 3), (5, 4, 1, 7), (2, 20, 3), (20,)])
def test_holds_the_newest_keys_like_a_deque(size, steps):
    queue, naive = filled(size, steps)
    n = min(size, sum(steps))
    assert len(queue) == size
    assert queue.filled.tolist() == [True] * n + [False] * (size - n)
    assert queue.cell[:n].tolist() == [cell for _, cell, _ in naive]
    assert queue.batch[:n].tolist() == [batch for *_, batch in naive]
    for kept, (key, *_) in zip(queue.keys, naive, strict=False):
        torch.testing.assert_close(kept, key)


@pytest.mark.parametrize("steps", [(), (3,), (3, 4), (9, 9)])
def test_empty_slots_and_the_own_cell_are_never_compared(steps):
    queue, naive = filled(8, steps)
    asked = torch.tensor([*(cell for _, cell, _ in naive), 0, 12345])  # 0 is what an empty slot holds
    for i, cell in enumerate(asked.tolist()):
        expected = [other != cell for _, other, _ in naive] + [False] * (8 - len(naive))
        assert queue.others(asked)[i].tolist() == expected


def test_keys_of_a_batch():
    queue, naive = filled(8, (3, 9))
    for code in range(4):
        (found,) = queue.of_batch(torch.tensor([code])).tolist()
        assert found == [batch == code for *_, batch in naive]


def test_reading_survives_the_next_push():
    queue, _ = filled(8, (3,))
    query = torch.randn(2, 3, requires_grad=True)
    cosine = query @ queue.keys.T
    before = queue.keys.clone()
    queue.push(torch.randn(4, 3, requires_grad=True), torch.arange(4))
    cosine.sum().backward()
    torch.testing.assert_close(query.grad, before.sum(0).expand(2, 3))
    assert not queue.keys.requires_grad


def test_no_cell_is_part_of_a_saved_model():
    queue, _ = filled(8, (3,))
    assert queue.state_dict() == {}
    assert {name for name, _ in queue.named_buffers()} == {"keys", "cell", "batch", "filled"}
