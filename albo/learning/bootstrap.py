"""Intervals by resampling groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import TooFewCovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from albo.records import Doubles, Ints, Json

_NORMAL = 1.96  # standard deviations within which 95 % of a normal distribution lie
_BLOCK = 4_000_000  # weights held at once while resampling: 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the ends of its 95 % interval."""

    value: float
    """The figure itself."""

    low: float
    """The lower end of the interval."""

    high: float
    """The upper end of the interval."""

    def as_json(self) -> Json:
        """Return {"value": …, "low": …, "high": …}, four decimals."""
        return {
            "value": round(self.value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


class Bootstrap:
    """Intervals by resampling groups with replacement; the same groups for every figure.

    Percentile bootstrap over clusters: Efron and Tibshirani 1993, ch. 13; Field and Welsh 2007.
    """

    def __init__(self, groups: Ints, draws: int = 1000, seed: int = 0) -> None:
        if len(groups) == 0:
            raise nothing_to_score()
        self._of_cover = np.unique(groups, return_inverse=True)[1]
        self._count = int(self._of_cover.max()) + 1
        self._draws = draws
        self._seed = seed

    def sums(self, values: Doubles) -> Doubles:
        """Resample sums over covers: values (n, k) give (draws, k)."""
        order = np.argsort(self._of_cover, kind="stable")
        starts = np.searchsorted(self._of_cover[order], np.arange(self._count))
        per_group = np.add.reduceat(values[order], starts, axis=0)
        return np.concatenate([weights @ per_group for weights in self._weights()])

    def _weights(self) -> Iterator[Doubles]:
        """Yield how often each group is drawn, multinomial, a block of draws at a time."""
        rng = np.random.default_rng(self._seed)
        rows = max(1, _BLOCK // self._count)
        for first in range(0, self._draws, rows):
            block = min(rows, self._draws - first)
            drawn = rng.integers(self._count, size=(block, self._count))
            drawn += np.arange(block)[:, None] * self._count
            yield (
                np.bincount(drawn.ravel(), minlength=block * self._count)
                .reshape(block, self._count)
                .astype(np.float64)
            )

    def interval(
        self,
        value: float,
        layers: list[Doubles],
        figure: Callable[[Doubles, Doubles], Doubles],
        *,
        without_bias: bool = False,
    ) -> Interval:
        """Return the 95 % interval of a mean over layers.

        Parameters
        ----------
        value : the figure itself.
        layers : for each seed, the values to sum over covers: (n, k).
        figure : makes the figures (draws,) from the sums (draws, k) and the covers drawn (draws,).
        without_bias : move the replicates so that their mean is the value. A calibration error is
            a sum of absolute values: resampling adds noise, which can only make it larger.
        """
        ones = np.ones((len(self._of_cover), 1))
        sums = self.sums(np.concatenate([ones, *layers], axis=1))
        drawn, rest = sums[:, 0], sums[:, 1:]
        parts = np.split(rest, len(layers), axis=1)
        replicates = np.mean([figure(part, drawn) for part in parts], axis=0)
        if without_bias:
            replicates = np.maximum(replicates - replicates.mean() + value, 0.0)
        low, high = np.percentile(replicates, [2.5, 97.5])
        return Interval(value, float(low), float(high))

    def certain(self, value: float) -> Interval:
        """Return the 95 % interval of a share that is 0 or 1, which resampling cannot widen.

        Wilson's score interval, of as many trials as there are groups: Wilson 1927, "Probable
        inference, the law of succession, and statistical inference".
        """
        width = _NORMAL**2 / (self._count + _NORMAL**2)
        return Interval(value, 1 - width if value else 0.0, 1.0 if value else width)


def ratios(above: Doubles, below: Doubles, bootstrap: Bootstrap) -> list[Interval]:
    """Return each column's ratio of sums over covers (n, k), with its interval.

    Draws in which a column's divisor is 0 are left out. The ratio is 0 where all are left out.
    """
    columns = above.shape[1]
    sums = bootstrap.sums(np.concatenate([above, below], axis=1))
    values = _over(above.sum(0), below.sum(0))
    replicates = _over(sums[:, :columns], sums[:, columns:])
    found = []
    for value, drawn in zip(np.nan_to_num(values), replicates.T, strict=True):
        said = drawn[np.isfinite(drawn)]
        ends = np.percentile(said, [2.5, 97.5]) if len(said) else (value, value)
        found.append(Interval(float(value), float(ends[0]), float(ends[1])))
    return found


def _over(above: Doubles, below: Doubles) -> Doubles:
    """Divide; NaN where the divisor is 0."""
    ratio: Doubles = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return ratio


def nothing_to_score() -> TooFewCovers:
    """Return the error for a score of no covers."""
    return TooFewCovers("0 covers to score; give at least 1")
