"""Whether a cover is like those that a head has learnt, whatever it reads as.

A head has to answer something, of a blank page and of a screenshot too. What such pictures have in
common is that the statistics of the network's middle layers are far from those of covers. The
distance is that of Mahalanobis with a diagonal covariance, on middle features: Lee, Lee, Lee and
Shin 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples". It is held
against the distances of the learnt covers, each measured without its own group: a conformal p-value
(Vovk, Gammerman and Shafer 2005). So at most one cover in fifty, like those learnt, is called
unlike them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from albo.heads.numbers import check_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from albo.heads.numbers import Array
    from albo.records import Bools, Doubles, Floats, Ints

LEVEL = 0.02
"""The share of covers like those learnt that may be called unlike them."""

_LEAST_OF_USUAL = 0.05
_LEAST_DEVIATION = 1e-6
_BLOCK_ROWS = 2048
_PREFIX = "familiarity."


@dataclass(frozen=True)
class Familiarity:
    """What the picture of learnt covers is like: w numbers of a view, n covers."""

    mean: Floats
    """float32 (w,): the mean of each number."""

    deviation: Floats
    """float32 (w,): its standard deviation, above 0."""

    distances: Floats
    """float32 (n,), ascending: each learnt cover's distance, measured without its group."""

    @classmethod
    def of(cls, features: Floats, groups: Ints) -> Familiarity | None:
        """Measure it on covers; None for fewer than two groups, which have nothing to compare with.

        Parameters
        ----------
        features : float32 (n, w).
        groups : int (n,), the group of each cover.
        """
        _, group = np.unique(groups, return_inverse=True)
        if group.max(initial=0) < 1:
            return None
        counts, (sums, squares) = np.bincount(group), _sums_by(group, features)
        distances = []
        for start in range(0, len(features), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            own = group[part]
            left = (len(features) - counts[own])[:, None]
            without = _moments(sums.sum(0) - sums[own], squares.sum(0) - squares[own], left)
            distances.append(_distance(features[part].astype(np.float64), *without))
        mean, deviation = _moments(sums.sum(0), squares.sum(0), len(features))
        return cls(
            mean.astype(np.float32),
            deviation.astype(np.float32),
            np.sort(np.concatenate(distances)).astype(np.float32),
        )

    @property
    def level(self) -> float:
        """The p-value up to which a cover is unlike: LEVEL, or the least of so few covers."""
        return max(LEVEL, 1 / (len(self.distances) + 1))

    def p_values(self, features: Floats) -> Doubles:
        """Return for n covers the share of learnt covers that are as far away: float64 (n,).

        The cover itself counts as one of them.

        Parameters
        ----------
        features : float32 (n, d), of which the last w are compared.
        """
        own = features[:, -len(self.mean) :].astype(np.float64)
        distances = _distance(own, self.mean, self.deviation).astype(np.float32)
        nearer = np.searchsorted(self.distances, distances, side="left")
        count = len(self.distances)
        return np.asarray((count - nearer + 1) / (count + 1))

    def is_unlike(self, features: Floats) -> Bools:
        """Return which of n covers are unlike those learnt: bool (n,). Parameter as `p_values`."""
        return np.asarray(self.p_values(features) <= self.level)

    def arrays(self) -> dict[str, Array]:
        """Return its arrays by name, to be kept."""
        names = ("mean", "deviation", "distances")
        return {f"{_PREFIX}{name}": getattr(self, name) for name in names}

    @classmethod
    def restore(cls, arrays: Mapping[str, Array]) -> Familiarity | None:
        """Make it of kept arrays; None where an older albo kept none. Raises ValueError."""
        found = {
            name.removeprefix(_PREFIX): array
            for name, array in arrays.items()
            if name.startswith(_PREFIX)
        }
        if not found:
            return None
        made = cls(**found)
        check_array(made.mean, made.mean.shape[:1], np.float32)
        check_array(made.deviation, made.mean.shape, np.float32)
        check_array(made.distances, made.distances.shape[:1], np.float32)
        if made.deviation.min() <= 0 or (np.diff(made.distances) < 0).any():
            raise ValueError("deviations that are not positive, or distances that do not ascend")
        return made


def _sums_by(group: Ints, features: Floats) -> tuple[Doubles, Doubles]:
    """Add up the rows of each group, and their squares: float64 (groups, w) each."""
    shape = int(group.max()) + 1, features.shape[1]
    sums, squares = np.zeros(shape), np.zeros(shape)
    for start in range(0, len(features), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        numbers = features[part].astype(np.float64)
        np.add.at(sums, group[part], numbers)
        np.add.at(squares, group[part], numbers**2)
    return sums, squares


def _moments(sums: Doubles, squares: Doubles, counts: Ints | int) -> tuple[Doubles, Doubles]:
    """Return mean and standard deviation of sums of numbers and of their squares.

    A number that hardly varies among the covers must not decide alone: no deviation is below a
    small part of the usual one.
    """
    mean = sums / counts
    deviation = np.sqrt(np.maximum(squares / counts - mean**2, 0.0))
    usual = np.median(deviation, axis=-1, keepdims=True)
    return mean, np.maximum(deviation, np.maximum(_LEAST_OF_USUAL * usual, _LEAST_DEVIATION))


def _distance(numbers: Doubles, mean: Array, deviation: Array) -> Doubles:
    """Return the root of the mean square of standardised numbers: float64 (n,)."""
    return np.asarray(np.sqrt((((numbers - mean) / deviation) ** 2).mean(axis=1)))
