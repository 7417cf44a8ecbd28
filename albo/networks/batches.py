"""Covers in batches for a network, each of which takes a fraction of a second."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from albo.networks.backbones import Backbone
    from albo.records import Embeddings, Pixels

T = TypeVar("T")

GRACE_SECONDS = 0.5
"""The seconds for which a batch may still be filled when the time of a run is over."""

_BATCH_SECONDS = 0.3  # the time that a batch should take


class PacedEncoder:
    """Runs a backbone on covers that arrive one by one, for a limited time.

    Batches grow while the backbone is fast and shrink while it is slow.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        # A CPU may need seconds a cover, and is as fast with small batches. A GPU prepares itself
        # during the first batches, so their time does not show its speed.
        self._is_warm = backbone.device == "cpu"
        self._size = 1 if self._is_warm else backbone.batch_size

    def encode(
        self, covers: Iterator[tuple[T, Pixels] | None], seconds: float
    ) -> Iterator[tuple[list[T], Embeddings]]:
        """Embed covers, in order; yield each batch's tags with its embeddings, one row each.

        A network takes several batches before it returns the first. If it were always fed, slow
        covers or a slow network would delay results for minutes. So feeding ends when the time is
        over, and everything that the network holds is yielded.

        Parameters
        ----------
        covers : a tag and pixels, uint8 (size, size, 3), for each cover; None whenever time has
            passed without a cover. The rest stays there for the next call.
        seconds : how long covers are taken.

        Raises the errors of the backbone and the covers.
        """
        started, done = monotonic(), 0
        feed = _Feed(covers, self._batch_size, started + seconds)
        for embeddings in self._backbone.encode(feed.batches()):
            yield feed.launched.popleft(), embeddings
            done += len(embeddings.vector)
            if self._is_warm:
                self._pace(done / max(monotonic() - started, 1e-6))
        self._is_warm = True

    def _batch_size(self) -> int:
        return min(self._size, self._backbone.batch_size)

    def _pace(self, rate: float) -> None:
        """Adapt the batch size so that each batch takes a fraction of a second.

        The size is doubled or halved, and only with a margin, since a GPU prepares for each size.

        Parameters
        ----------
        rate : covers a second.
        """
        wanted = rate * _BATCH_SECONDS
        if wanted >= 2 * self._size:
            self._size = min(2 * self._size, self._backbone.batch_size)
        elif wanted < self._size / 2:
            self._size = max(self._size // 2, 1)


class _Feed(Generic[T]):
    """Gathers covers into batches until the time is over.

    Attributes
    ----------
    launched : the tags of the batches that the network holds, the oldest first.
    """

    def __init__(
        self, covers: Iterator[tuple[T, Pixels] | None], size: Callable[[], int], due: float
    ) -> None:
        self.launched: deque[list[T]] = deque()
        self._covers = covers
        self._size = size
        self._due = due

    def batches(self) -> Iterator[Pixels]:
        """Yield batches, (n, size, size, 3)."""
        batch: list[tuple[T, Pixels]] = []
        for cover in self._covers:
            if cover is not None:
                batch.append(cover)
            late = monotonic() - self._due
            if batch and (len(batch) >= self._size() or late > GRACE_SECONDS):
                yield self._launch(batch)
                batch = []
            if late > 0 and not batch:
                return
        if batch:
            yield self._launch(batch)

    def _launch(self, batch: list[tuple[T, Pixels]]) -> Pixels:
        self.launched.append([tag for tag, _ in batch])
        return np.stack([pixels for _, pixels in batch])
