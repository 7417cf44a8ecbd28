"""How good a head is: accuracy, calibration and coverage, each with its interval.

All is computed on arrays. `labels` are int (n,), positions of genres; `probabilities` float (n, c),
rows that sum to one; `sets` bool (n, c), true where a genre is in a cover's conformal set; `groups`
int (n,). Cross-validation over several fold seeds scores the same covers several times. Then
`probabilities` and `sets` are (s, n, c), one layer for each seed. A figure is the mean over the
seeds, and an interval resamples the same groups in every seed. Genres that tie are ranked in their
order, as everywhere in albo.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from albo.errors import UsageError
from albo.learning.bootstrap import Bootstrap, Interval, nothing_to_score, ratios
from albo.learning.scores import Answered, Bin, GenreScore, Noise, ScoreSummary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from albo.records import Bools, Doubles, Ints


Real: TypeAlias = "NDArray[np.floating[Any]]"

BINS = 15
SHARES = tuple(percent / 100 for percent in range(5, 101, 5))
"""The shares of covers answered by `risk_coverage`, the surest first."""

_ONE_LAYER = 2  # axes


def accuracy_top_k(labels: Ints, probabilities: Real, k: int) -> float:
    """Return the share of covers whose genre is among the `k` most probable.

    Raises TooFewCovers where there is no cover to score, UsageError for shapes that do not fit.
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

    The error depends only on whether first guesses are right, so only that is drawn: for each cover
    with the same random number in every seed's layer. Raises TooFewCovers where there is no cover.
    """
    layers = _stacked(probabilities)
    count = layers.shape[1]
    if count == 0:
        raise nothing_to_score()
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
        raise nothing_to_score()
    return float(sets.sum(-1).mean())


def brier(labels: Ints, probabilities: Real) -> float:
    """Return the mean squared distance of the probabilities to the one-hot truth, 0 to 2.

    The sum over genres of (p - 1 or 0)^2, mean over covers: Brier 1950. Raises as
    `accuracy_top_k` does.
    """
    return float(_distances(labels, _layers(labels, probabilities)).mean())


def confusion(labels: Ints, probabilities: Real) -> Doubles:
    """Count first guesses: float64 (c, c), rows the true genre, columns the guess.

    Mean counts over the seeds. Raises as `accuracy_top_k` does.
    """
    layers = _layers(labels, probabilities)
    genres = layers.shape[2]
    counts = sum(
        np.bincount(labels * genres + layer.argmax(1), minlength=genres**2) for layer in layers
    )
    mean: Doubles = np.reshape(counts, (genres, genres)) / len(layers)
    return mean


def reliability(
    labels: Ints,
    probabilities: Real,
    groups: Ints,
    bins: int = BINS,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[Bin, ...]:
    """Return, for each bin of the top probability that holds covers, how often the guess is right.

    Murphy and Winkler 1977; bins as in `expected_calibration_error`, covers of all seeds together.
    A bin with few covers has an interval that is too narrow: resampling only repeats these covers.
    Raises as `accuracy_top_k` does.
    """
    layers = _layers(labels, probabilities)
    count, total = len(labels), np.zeros((3, len(labels), bins))
    for layer in layers:
        confidence, bin_of = _binned(layer, bins)
        right = layer.argmax(1) == labels
        for table, value in zip(total, (np.ones(count), confidence, right), strict=True):
            table[np.arange(count), bin_of] += value
    covers, confidences, _ = total.sum(1)
    intervals = ratios(total[2], total[0], Bootstrap(groups, draws, seed))
    return tuple(
        Bin(
            place / bins,
            (place + 1) / bins,
            float(covers[place] / len(layers)),
            float(confidences[place] / covers[place]),
            intervals[place],
        )
        for place in np.flatnonzero(covers)
    )


def risk_coverage(
    labels: Ints, probabilities: Real, groups: Ints, *, draws: int = 1000, seed: int = 0
) -> tuple[Answered, ...]:
    """Return the accuracy when only the surest 5 %, 10 %, … 100 % of covers are answered.

    El-Yaniv and Wiener 2010. In each seed the covers with the highest top probability are answered:
    at least one, and the first of equals. Intervals take the thresholds as fixed. Raises as
    `accuracy_top_k` does.
    """
    layers = _layers(labels, probabilities)
    count = len(labels)
    kept = np.ceil(np.array(SHARES) * count - 1e-9).astype(np.int64)
    answered, right = np.zeros((2, count, len(SHARES)))
    thresholds = np.zeros(len(SHARES))
    for layer in layers:
        confidence = layer.max(1)
        order = np.argsort(-confidence, kind="stable")
        place = np.empty(count, np.int64)
        place[order] = np.arange(count)
        within = place[:, None] < kept
        answered += within
        right += within & (layer.argmax(1) == labels)[:, None]
        thresholds += confidence[order[kept - 1]] / len(layers)
    intervals = ratios(right, answered, Bootstrap(groups, draws, seed))
    return tuple(
        Answered(share, float(threshold), interval)
        for share, threshold, interval in zip(SHARES, thresholds, intervals, strict=True)
    )


def paired_difference(
    labels: Ints, first: Real, second: Real, groups: Ints, *, draws: int = 1000, seed: int = 0
) -> Interval:
    """Return the first top-1 accuracy minus the second, on the same covers.

    Both are resampled by the same groups, so covers that both get right or wrong do not widen the
    interval. They may differ in the number of seeds. Raises as `accuracy_top_k` does.
    """
    hits = [
        np.mean([_ranks(labels, layer) < 1 for layer in _layers(labels, probabilities)], axis=0)
        for probabilities in (first, second)
    ]
    gain = hits[0] - hits[1]
    return Bootstrap(groups, draws, seed).interval(
        float(gain.mean()), [gain[:, None]], lambda sums, drawn: sums[:, 0] / drawn
    )


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


def summarise(
    labels: Ints,
    probabilities: Real,
    sets: Bools,
    groups: Ints,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> ScoreSummary:
    """Compute every figure with its 95 % interval over groups.

    Raises TooFewCovers where there is no cover, UsageError for shapes that do not fit.
    """
    layers = _layers(labels, probabilities)
    inside = _layers(labels, sets)[:, np.arange(len(labels)), labels]
    bootstrap = Bootstrap(groups, draws, seed)
    ranks = [_ranks(labels, layer) for layer in layers]

    def within(k: int) -> Interval:
        return share_of([rank < k for rank in ranks])

    def share_of(values: list[NDArray[Any]]) -> Interval:
        share = float(np.mean(values))
        return bootstrap.certain(share) if share in {0.0, 1.0} else mean_of(values)

    def mean_of(values: list[NDArray[Any]]) -> Interval:
        columns = [value[:, None].astype(np.float64) for value in values]
        return bootstrap.interval(
            float(np.mean(values)), columns, lambda sums, drawn: sums[:, 0] / drawn
        )

    return ScoreSummary(
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
        coverage=share_of(list(inside)),
        set_size=mean_set_size(sets),
        set_size_interval=mean_of(list(_stacked(sets).sum(2))),
        brier=mean_of(list(_distances(labels, layers))),
        per_genre=_with_intervals(score_genres(labels, layers), labels, layers, bootstrap),
    )


def _distances(labels: Ints, layers: Real) -> Doubles:
    """Return each cover's squared distance to its one-hot truth: (s, n, c) give (s, n)."""
    squares: Doubles = ((layers.astype(np.float64) - np.eye(layers.shape[2])[labels]) ** 2).sum(2)
    return squares


def _confusions(labels: Ints, layer: Real) -> Doubles:
    """Return per cover its genre, its guess, and both where they agree, one-hot: (n, 3 c)."""
    identity = np.eye(layer.shape[1])
    truth, guess = identity[labels], identity[layer.argmax(1)]
    return np.concatenate([truth, guess, truth * guess], axis=1)


def _with_intervals(
    scores: Sequence[GenreScore], labels: Ints, layers: Real, bootstrap: Bootstrap
) -> tuple[GenreScore, ...]:
    """Give every genre's figures their intervals; a genre that was not drawn counts as 0 there."""
    parts = []
    for layer in layers:
        sums = bootstrap.sums(_confusions(labels, layer))
        truth, guess, both = np.split(sums, 3, axis=1)
        parts.append(
            [
                both / np.maximum(guess, 1.0),
                both / np.maximum(truth, 1.0),
                2 * both / np.maximum(truth + guess, 1.0),
            ]
        )
    ends = np.percentile(np.mean(parts, axis=0), [2.5, 97.5], axis=1)  # (2, 3, c)
    return tuple(
        replace(
            score,
            precision_interval=Interval(score.precision, *map(float, ends[:, 0, genre])),
            recall_interval=Interval(score.recall, *map(float, ends[:, 1, genre])),
            f1_interval=Interval(score.f1, *map(float, ends[:, 2, genre])),
        )
        for genre, score in enumerate(scores)
    )


def _mean_f1(sums: Doubles) -> Doubles:
    """Return the mean of 2 tp / (covers + guesses) over the genres drawn: (draws, 3 c)."""
    truth, guess, both = np.split(sums, 3, axis=1)
    f1 = 2 * both / np.maximum(truth + guess, 1.0)
    mean: Doubles = (f1 * (truth > 0)).sum(1) / (truth > 0).sum(1)
    return mean


def _gaps(labels: Ints, layer: Real) -> Doubles:
    """Return each cover's hit (0 or 1) minus its confidence, in the column of its bin."""
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
    """Check shapes, and give a single layer a first axis: (s, n, c)."""
    if len(labels) == 0:
        raise nothing_to_score()
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
