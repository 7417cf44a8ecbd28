"""How good a head is: accuracy, calibration and coverage, each with its interval.

All is computed on arrays. `labels` are int (n,), positions of genres; `probabilities` float (n, c),
rows that sum to one; `sets` bool (n, c), true where a genre is in a cover's conformal set; `groups`
int (n,). Cross-validation repeated over several fold seeds scores the same covers several times:
there `probabilities` and `sets` are (s, n, c), one layer for each seed, a figure is the mean over
the seeds, and an interval resamples the groups alike in every seed. Genres that tie are ranked in
their order, as everywhere in albo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from albo.errors import TooFewCovers, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from albo.records import Bools, Ints, Json

Real: TypeAlias = "NDArray[np.floating[Any]]"
Doubles: TypeAlias = "NDArray[np.float64]"

BINS = 15
_ONE_LAYER = 2  # axes
_BLOCK = 4_000_000  # weights held at once while resampling: 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> Json:
        """Return {"value": …, "low": …, "high": …}, four decimals."""
        return {
            "value": round(self.value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


@dataclass(frozen=True, slots=True)
class Noise:
    """The calibration error that a perfectly calibrated predictor would still show."""

    mean: float
    percentile95: float


@dataclass(frozen=True, slots=True)
class GenreScore:
    """How one genre fares: its covers, and precision, recall and F1 of the first guess."""

    covers: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of one way of predicting."""

    top1: Interval
    top3: Interval
    top5: Interval
    macro_f1: Interval
    ece: Interval
    noise: Noise
    coverage: Interval
    set_size: float
    per_genre: tuple[GenreScore, ...]


def accuracy_top_k(labels: Ints, probabilities: Real, k: int) -> float:
    """Return the share of covers whose genre is among the `k` most probable.

    Raises TooFewCovers where there is none to score, UsageError for shapes that do not fit.
    """
    layers = _layers(labels, probabilities)
    return float(np.mean([_ranks(labels, layer) < k for layer in layers]))


def macro_f1(labels: Ints, probabilities: Real) -> float:
    """Return the mean F1 of the first guess over the genres that occur among `labels`.

    A genre that is never guessed has F1 0. Raises as `accuracy_top_k` does.
    """
    from sklearn.metrics import f1_score

    present = np.unique(labels)
    return float(
        np.mean(
            [
                f1_score(
                    labels, layer.argmax(1), labels=present, average="macro", zero_division=0.0
                )
                for layer in _layers(labels, probabilities)
            ]
        )
    )


def expected_calibration_error(labels: Ints, probabilities: Real, bins: int = BINS) -> float:
    """Return the expected calibration error of the top probability, over equal-width bins.

    Guo et al. 2017, eq. 3: the sum over bins of |accuracy - mean confidence|, weighted by the share
    of covers in the bin. Bins are open below and closed above. Raises as `accuracy_top_k` does.
    """
    errors = []
    for layer in _layers(labels, probabilities):
        confidence, bin_of = _binned(layer, bins)
        gap = np.bincount(bin_of, (layer.argmax(1) == labels) - confidence, bins)
        errors.append(np.abs(gap).sum() / len(labels))
    return float(np.mean(errors))


def calibration_noise(
    probabilities: Real, bins: int = BINS, draws: int = 1000, seed: int = 0
) -> Noise:
    """Return the calibration error of labels drawn from the probabilities themselves.

    Only whether the first guess is right enters the error, so that alone is drawn, for each cover
    alike in every seed's layer. Raises TooFewCovers where there is no cover.
    """
    layers = _stacked(probabilities)
    count = layers.shape[1]
    if count == 0:
        raise _nothing_to_score()
    rng = np.random.default_rng(seed)
    binned = [_binned(layer, bins) for layer in layers]
    errors = np.empty(draws)
    for draw in range(draws):
        luck = rng.random(count)
        errors[draw] = np.mean(
            [
                np.abs(np.bincount(bin_of, (luck < confidence) - confidence, bins)).sum() / count
                for confidence, bin_of in binned
            ]
        )
    return Noise(float(errors.mean()), float(np.percentile(errors, 95)))


def coverage(labels: Ints, sets: Bools) -> float:
    """Return the share of covers whose set holds their genre. Raises as `accuracy_top_k` does."""
    return float(_layers(labels, sets)[:, np.arange(len(labels)), labels].mean())


def mean_set_size(sets: Bools) -> float:
    """Return the mean number of genres in a set. Raises TooFewCovers where there is no set."""
    if sets.size == 0:
        raise _nothing_to_score()
    return float(sets.sum(-1).mean())


def score_genres(labels: Ints, probabilities: Real) -> tuple[GenreScore, ...]:
    """Return covers, precision, recall and F1 of each genre's first guess, mean over the seeds.

    Raises as `accuracy_top_k` does.
    """
    from sklearn.metrics import precision_recall_fscore_support

    layers = _layers(labels, probabilities)
    genres = np.arange(layers.shape[2])
    parts = np.mean(
        [
            precision_recall_fscore_support(
                labels, layer.argmax(1), labels=genres, zero_division=0.0
            )
            for layer in layers
        ],
        axis=0,
    )
    return tuple(
        GenreScore(int(covers), float(precision), float(recall), float(f1))
        for precision, recall, f1, covers in parts.T
    )


class Bootstrap:
    """Intervals by resampling groups with replacement; the same groups for every figure.

    Percentile bootstrap over clusters: Efron and Tibshirani 1993, ch. 13; Field and Welsh 2007.
    """

    def __init__(self, groups: Ints, draws: int = 1000, seed: int = 0) -> None:
        if len(groups) == 0:
            raise _nothing_to_score()
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
        layers : for each seed, what is summed over covers: (n, k).
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


def summarise(
    labels: Ints,
    probabilities: Real,
    sets: Bools,
    groups: Ints,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Summary:
    """Compute every figure with its 95 % interval over groups.

    Raises TooFewCovers where there is no cover, UsageError for shapes that do not fit.
    """
    layers = _layers(labels, probabilities)
    inside = _layers(labels, sets)[:, np.arange(len(labels)), labels]
    bootstrap = Bootstrap(groups, draws, seed)
    ranks = [_ranks(labels, layer) for layer in layers]

    def within(k: int) -> Interval:
        return share([rank < k for rank in ranks])

    def share(hits: list[Bools]) -> Interval:
        columns = [hit[:, None].astype(np.float64) for hit in hits]
        return bootstrap.interval(
            float(np.mean(hits)), columns, lambda sums, drawn: sums[:, 0] / drawn
        )

    return Summary(
        top1=within(1),
        top3=within(3),
        top5=within(5),
        macro_f1=bootstrap.interval(
            macro_f1(labels, layers),
            [_confusions(labels, layer) for layer in layers],
            lambda sums, _: _mean_f1(sums),
        ),
        ece=bootstrap.interval(
            expected_calibration_error(labels, layers),
            [_gaps(labels, layer) for layer in layers],
            lambda sums, drawn: np.abs(sums).sum(1) / drawn,
            without_bias=True,
        ),
        noise=calibration_noise(layers, seed=seed),
        coverage=share(list(inside)),
        set_size=mean_set_size(sets),
        per_genre=score_genres(labels, layers),
    )


def _confusions(labels: Ints, layer: Real) -> Doubles:
    """Return per cover its genre, its guess, and both where they agree, one-hot: (n, 3 c)."""
    identity = np.eye(layer.shape[1])
    truth, guess = identity[labels], identity[layer.argmax(1)]
    return np.concatenate([truth, guess, truth * guess], axis=1)


def _mean_f1(sums: Doubles) -> Doubles:
    """Return the mean of 2 tp / (covers + guesses) over the genres drawn: (draws, 3 c)."""
    truth, guess, both = np.split(sums, 3, axis=1)
    f1 = 2 * both / np.maximum(truth + guess, 1.0)
    mean: Doubles = (f1 * (truth > 0)).sum(1) / (truth > 0).sum(1)
    return mean


def _gaps(labels: Ints, layer: Real) -> Doubles:
    """Return per cover, in the column of its bin, whether the guess is right less confidence."""
    confidence, bin_of = _binned(layer, BINS)
    gaps = np.zeros((len(labels), BINS))
    gaps[np.arange(len(labels)), bin_of] = (layer.argmax(1) == labels) - confidence
    return gaps


def _binned(layer: Real, bins: int) -> tuple[Doubles, Ints]:
    """Return the top probability of each cover and the bin (low, high] it falls in."""
    confidence = layer.max(1).astype(np.float64)
    return confidence, np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _ranks(labels: Ints, layer: Real) -> Ints:
    """Return how many genres are ranked above the true one; of equals the first ranks first."""
    truth = layer[np.arange(len(labels)), labels][:, None]
    above = (layer > truth).sum(1)
    equal_before = (layer == truth) & (np.arange(layer.shape[1]) < labels[:, None])
    ranks: Ints = above + equal_before.sum(1)
    return ranks


def _stacked(values: NDArray[Any]) -> NDArray[Any]:
    return values[None] if values.ndim == _ONE_LAYER else values


def _layers(labels: Ints, values: NDArray[Any]) -> NDArray[Any]:
    """Check shapes at the door and give one layer a first axis: (s, n, c)."""
    if len(labels) == 0:
        raise _nothing_to_score()
    layers = _stacked(values)
    if layers.shape[1:2] != labels.shape or layers.ndim != _ONE_LAYER + 1:
        raise UsageError(
            f"values of shape {values.shape} for {len(labels)} labels; give (n, c) or (s, n, c)"
        )
    if labels.min() < 0 or labels.max() >= layers.shape[2]:
        raise UsageError(
            f"labels from {labels.min()} to {labels.max()} with {layers.shape[2]} genres;"
            f" count genres from 0 to {layers.shape[2] - 1}"
        )
    return layers


def _nothing_to_score() -> TooFewCovers:
    return TooFewCovers("0 covers to score; give at least 1")
