"""Batches for a network: in order, of a size that it is quick with, and none kept for long."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albo.networks import PacedEncoder
from albo.networks import batches as room
from albo.records import Embeddings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from albo.records import Pixels


class Clock:
    """Time that passes only when the network works."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Network:
    """Gives each cover's first pixel back, some batches late."""

    def __init__(self, clock: Clock, device: str = "cpu", seconds: float = 0.0) -> None:
        self.device = device
        self.batch_size = 32
        self.sizes: list[int] = []
        self._clock = clock
        self._seconds = seconds

    def encode(self, batches: Iterable[Pixels]) -> Iterator[Embeddings]:
        waiting: deque[Embeddings] = deque()
        for pixels in batches:
            self.sizes.append(len(pixels))
            self._clock.now += self._seconds * len(pixels)
            first = pixels[:, 0, 0, :1].astype(np.float32)
            waiting.append(Embeddings(first, first))
            if len(waiting) > 2:
                yield waiting.popleft()
        yield from waiting


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room, "monotonic", clock)
    return clock


def covers(count: int) -> Iterator[tuple[int, Pixels] | None]:
    for number in range(count):
        yield number, np.full((2, 2, 3), number, np.uint8)


def test_each_batch_comes_with_its_own_tags(clock: Clock) -> None:
    network = Network(clock)
    found = [
        (tag, int(row))
        for tags, embeddings in PacedEncoder(network).encode(covers(200), 2.0)
        for tag, row in zip(tags, embeddings.vector[:, 0], strict=True)
    ]
    assert found == [(number, number) for number in range(200)]
    assert max(network.sizes) == 32


def test_feeding_ends_when_the_time_is_over_and_the_rest_stays(clock: Clock) -> None:
    rest = covers(100)
    encoder = PacedEncoder(Network(clock, seconds=0.5))
    taken = [tag for tags, _ in encoder.encode(rest, 2.0) for tag in tags]
    assert taken == list(range(len(taken)))
    assert 4 <= len(taken) <= 6
    more = [tag for tags, _ in encoder.encode(rest, 2.0) for tag in tags]
    assert more[0] == len(taken)


def test_an_unfilled_batch_does_not_wait_for_covers_that_are_slow(clock: Clock) -> None:
    def slow() -> Iterator[tuple[int, Pixels] | None]:
        yield from covers(3)
        for _ in range(100):
            clock.now += 0.1
            yield None

    network = Network(clock, device="cuda")
    [(tags, _)] = PacedEncoder(network).encode(slow(), 2.0)
    assert tags == [0, 1, 2]
    assert clock.now == pytest.approx(2.0 + room.GRACE_SECONDS, abs=0.2)


def test_a_gpu_gets_whole_batches_at_once_and_a_cpu_finds_its_pace(clock: Clock) -> None:
    gpu, slow = Network(clock, device="cuda"), Network(clock, seconds=0.1)
    list(PacedEncoder(gpu).encode(covers(64), 2.0))
    list(PacedEncoder(slow).encode(covers(64), 9.0))
    assert gpu.sizes == [32, 32]
    assert slow.sizes[0] == 1
    assert max(slow.sizes) <= 4
