"""What a head is compared with: the commonest genre, and the nearest cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from albo.heads import floored, log_softmax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albo.records import Doubles, Floats, Ints


_SHARPNESS = 20.0
"""The factor of cosines before the softmax; the fitted temperature corrects it."""
_BLOCK = 1024


@dataclass(frozen=True)
class _MajorityPredictor:
    """Predicts the genre frequencies for every cover. frequencies : float64 (c,)."""

    kind: ClassVar[str] = "majority"

    frequencies: Doubles

    def log_probabilities(self, features: Floats) -> Doubles:
        """Return the same row for each cover: float64 (n, c)."""
        return np.tile(np.log(self.frequencies), (len(features), 1))


@dataclass(frozen=True, slots=True)
class MajorityTrainer:
    """Counts genres."""

    grid: tuple[float, ...] = (1.0,)
    """The one setting; it changes nothing."""

    def path(self, features: Any, labels: Ints, genres: int) -> Iterator[Any]:  # noqa: ANN401, ARG002
        """Count once."""
        counts = np.maximum(np.bincount(labels, minlength=genres), 0.5)
        yield _MajorityPredictor(counts / counts.sum())


@dataclass(frozen=True)
class _NearestPredictor:
    """Ranks genres by their nearest cover: the first genre is that of the nearest cover.

    vectors : float32 (n, d), unit rows, sorted by genre. starts : each genre's first row.
    """

    kind: ClassVar[str] = "nearest"

    vectors: Floats
    starts: Ints
    present: Ints
    genres: int

    def log_probabilities(self, features: Floats) -> Doubles:
        """Return log-softmax of the best cosines: float32 (n, d) give float64 (n, c)."""
        said = np.full((len(features), self.genres), -1.0)
        for first in range(0, len(features), _BLOCK):
            cosines = features[first : first + _BLOCK] @ self.vectors.T
            best = np.maximum.reduceat(cosines, self.starts, axis=1)
            said[first : first + _BLOCK, self.present] = best
        return floored(log_softmax(_SHARPNESS * said))


@dataclass(frozen=True, slots=True)
class NearestTrainer:
    """Remembers covers."""

    grid: tuple[float, ...] = (1.0,)
    """The one setting; it changes nothing."""

    def path(self, features: Floats, labels: Ints, genres: int) -> Iterator[Any]:
        """Sort the covers by genre."""
        order = np.argsort(labels, kind="stable")
        present, starts = np.unique(labels[order], return_index=True)
        yield _NearestPredictor(features[order], starts, present, genres)
