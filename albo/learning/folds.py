"""Nested cross-validation of the classifiers, and all that is fitted after them.

Folds are shared between the levels. The inner folds of fold i's training part are the other folds,
so the model without i and j serves twice: as i's inner model that holds out j, and as j's that
holds out i. The models without i alone are also the inner models of the head that is kept. Five
folds take 16 fits, where separate inner folds would take 35. No model scores or tunes on a cover
whose group it has seen.

The predictions for covers held out are kept for every view and setting, so any choice among the
views is scored without another fit.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import combinations, islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from albo.errors import TooFewCovers
from albo.heads import Fusion, Scores, answer, conformal_sets, log_softmax
from albo.records import Prior

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from albo.heads import Features, Predictor
    from albo.learning.trainers import Trainer
    from albo.records import Bools, Doubles, Floats, Ints, Progress


HeldOut: TypeAlias = "list[NDArray[np.float32]]"
"""For each view, log-probabilities of covers while they were held out: float32 (g, n, c), for each
of its g settings; NaN where the view says nothing of a cover."""

MIN_TOGETHER = 20
"""The fewest covers with all views for which a fusion is fitted."""

_FIT_BYTES = 1 << 30
"""The most bytes that the feature copies of all running fits take together."""


def count_fits(folds: int, scored: int | None = None) -> int:
    """Return how often a classifier is fitted for one seed.

    Parameters
    ----------
    folds : the number of folds.
    scored : how many of the folds are scored; None for all.
    """
    wanted = folds if scored is None else scored
    return wanted + math.comb(folds, 2) - math.comb(folds - wanted, 2)


def draw_folds(labels: Ints, groups: Ints, folds: int, seed: int) -> Ints:
    """Return each cover's fold, int (n,): each group in one fold, genres spread evenly.

    Raises TooFewCovers where there are fewer groups than folds, or all genres have fewer covers.
    """
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    if len(np.unique(groups)) < folds:
        raise TooFewCovers(
            f"{len(np.unique(groups))} groups of covers for {folds} folds; embed more covers"
        )
    if np.bincount(labels).max() < folds:
        raise TooFewCovers(
            f"no genre has more than {np.bincount(labels).max()} covers to learn from, for {folds}"
            " folds; embed more covers"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_of = np.empty(len(labels), np.int64)
    with warnings.catch_warnings():
        # A genre may have fewer covers than folds in a split drawn by others.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            fold_of[held_out] = fold
    return fold_of


@dataclass(slots=True)
class FitCounter:
    """Counts the fits that are done, and reports them."""

    tell: Progress | None
    """Called after each fit; None reports nothing."""

    total: int
    """The number of fits in all."""

    done: int = 0
    """The number of fits done."""

    def step(self, fits: int) -> None:
        """Count fits that are done."""
        self.done += fits
        if self.tell is not None:
            self.tell(self.done, self.total)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is fitted after the classifiers: settings, fusion, temperature, nonconformity."""

    choice: tuple[int, ...]
    """For each view, the position of the chosen setting in its trainer's grid."""

    together: Fusion
    """The fusion of all views."""

    alone: Fusion | None
    """The fusion of the views that always speak; None where every view may be silent.

    It answers covers of which another view is silent.
    """

    frequencies: Doubles
    """float64 (c,): each genre's share of the covers."""

    scores: Scores
    """The scores of the covers with all views."""

    scores_alone: Scores
    """The scores of the covers with the views that always speak."""

    def say(self, held_out: HeldOut, rows: Ints) -> Doubles:
        """Return the calibrated probabilities (n, c) of these n covers."""
        spoken = _chosen(held_out, self.choice, rows)
        return answer(spoken, self.together, self.alone, self.frequencies)


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """The answers of one cross-validation: each cover is answered while it is held out."""

    rows: Ints
    """int (m,): the covers that were scored."""

    probabilities: Doubles
    """float64 (m, c): p(genre) of these covers."""

    sets: Bools
    """bool (m, c): whether a genre is in the conformal set of a cover."""

    calibrations: tuple[Calibration, ...] = field(repr=False)
    """The calibration of each scored fold, fitted without that fold."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Predictions for the covers of each fold, by classifiers fitted without that fold."""

    fold_of: Ints
    """int (n,): each cover's fold."""

    scored: tuple[int, ...]
    """The folds that can be scored."""

    said: Mapping[tuple[int, ...], HeldOut] = field(repr=False)
    """The log-probabilities, by the folds that were left out besides a cover's own."""

    learnt: Bools
    """bool (n,): the covers to fit and calibrate on; the others are only scored."""

    always: tuple[bool, ...]
    """For each view, whether it always speaks."""

    def of_views(self, places: Sequence[int]) -> Fitted:
        """Return the predictions of some views alone, by their places."""
        fewer = {left: [held[place] for place in places] for left, held in self.said.items()}
        always = tuple(self.always[place] for place in places)
        return replace(self, said=fewer, always=always)


@dataclass(frozen=True, slots=True)
class Job:
    """The fitting of several views' classifiers on one corpus of n covers."""

    features: Mapping[str, Features]
    """The features of the covers, by view."""

    trainers: Mapping[str, Trainer]
    """The trainer of each view, in the same order."""

    always: tuple[bool, ...]
    """For each view, whether it always speaks."""

    labels: Ints
    """int (n,): the genre of each cover, as its position among the genres."""

    genres: int
    """The number of genres, c."""

    progress: FitCounter
    """Counts the fits."""

    def cross_validate(
        self, fold_of: Ints, learnt: Bools | None = None, scored: tuple[int, ...] | None = None
    ) -> Fitted:
        """Fit without each scored fold, and without each pair of folds with a scored one.

        Parameters
        ----------
        fold_of : int (n,), the fold of each cover.
        learnt : bool (n,), the covers to fit on; None for all.
        scored : the folds to be scored; None for all.
        """
        folds = range(int(fold_of.max()) + 1)
        wanted = tuple(folds) if scored is None else scored
        pairs = [pair for pair in combinations(folds, 2) if set(pair) & set(wanted)]
        without = [*((fold,) for fold in wanted), *pairs]
        return self._fit_all(fold_of, without, wanted, learnt)

    def hold_out(self, fold_of: Ints) -> Fitted:
        """Fit without each single fold: enough to tune on all covers, but not to score them."""
        return self._fit_all(fold_of, _singles(fold_of), (), None)

    def _fit_all(
        self,
        fold_of: Ints,
        without: Sequence[tuple[int, ...]],
        scored: tuple[int, ...],
        learnt: Bools | None,
    ) -> Fitted:
        """Fit without each of these sets of folds, several at a time.

        Fits are small, so one fit per core, each on one thread, is faster than one fit on all
        cores. It is much faster where other work takes part of the machine and a fit's threads wait
        for each other. Where memory allows fewer fits than cores, the fits share the cores.
        """
        from joblib import cpu_count
        from threadpoolctl import threadpool_limits

        learnt = np.ones(len(self.labels), np.bool_) if learnt is None else learnt
        held_out = {others: self._blank() for left_out in without for _, others in _each(left_out)}

        def fit(left_out: tuple[int, ...]) -> None:
            self._fit_without(left_out, fold_of, learnt, held_out)

        size = sum(getattr(features, "nbytes", 0) for features in self.features.values())
        workers = max(1, min(cpu_count(), _FIT_BYTES // max(2 * size, 1)))
        threads = cpu_count() // workers
        with (
            threadpool_limits(threads),
            ThreadPoolExecutor(workers, initializer=threadpool_limits, initargs=(threads,)) as pool,
        ):
            for _ in pool.map(fit, without):
                self.progress.step(len(self.trainers))
        return Fitted(fold_of, scored, held_out, learnt, self.always)

    def _blank(self) -> HeldOut:
        return [
            np.full((len(trainer.grid), len(self.labels), self.genres), np.nan, np.float32)
            for trainer in self.trainers.values()
        ]

    def _fit_without(
        self,
        left_out: tuple[int, ...],
        fold_of: Ints,
        learnt: Bools,
        held_out: Mapping[tuple[int, ...], HeldOut],
    ) -> None:
        """Fit on all other folds, and write the predictions for the covers left out.

        No other fit writes to these places of `held_out`, and there is no other copy.
        """
        outside = np.isin(fold_of, left_out)
        rows, inside = np.flatnonzero(outside), np.flatnonzero(~outside & learnt)
        places = [(fold_of[rows] == fold, held_out[others]) for fold, others in _each(left_out)]
        for number, (view, trainer) in enumerate(self.trainers.items()):
            features = self.features[view]
            test = features[rows]
            path = trainer.path(features[inside], self.labels[inside], self.genres)
            for setting, predictor in enumerate(path):
                said = predictor.log_probabilities(test)
                for own, place in places:
                    place[number][setting, rows[own]] = said[own]

    def score(self, fitted: Fitted, coverage: float) -> CrossValidation:
        """Score each fold with the models fitted and tuned without it."""
        fold_of = fitted.fold_of
        rows = np.flatnonzero(np.isin(fold_of, fitted.scored))
        probabilities = np.empty((len(fold_of), self.genres))
        sets = np.empty(probabilities.shape, np.bool_)
        calibrations = []
        for fold in fitted.scored:
            own = np.flatnonzero(fold_of == fold)
            others = np.flatnonzero((fold_of != fold) & fitted.learnt)
            calibration = self.calibrate(fitted, (fold,), others)
            probabilities[own] = calibration.say(fitted.said[()], own)
            limits = calibration.scores.nonconformity[Prior.CORPUS]
            sets[own] = conformal_sets(probabilities[own], limits, coverage)
            calibrations.append(calibration)
        return CrossValidation(rows, probabilities[rows], sets[rows], tuple(calibrations))

    def calibrate(
        self, fitted: Fitted, without: tuple[int, ...] = (), rows: Ints | None = None
    ) -> Calibration:
        """Fit all that comes after the classifiers, on predictions for covers held out.

        Parameters
        ----------
        fitted : the classifiers' predictions for covers held out.
        without : the folds that are left out besides a cover's own.
        rows : the covers to fit on; None for all.
        """
        held_out = fitted.said[without]
        rows = np.arange(len(self.labels)) if rows is None else rows
        labels = self.labels[rows]
        choice = tuple(_best_setting(view, rows, labels) for view in held_out)
        spoken = _chosen(held_out, choice, rows)
        together, alone = _fit_fusions(spoken, labels, fitted.always)
        # A genre that these covers lack is counted as half a cover.
        counts = np.maximum(np.bincount(labels, minlength=self.genres), 0.5)
        frequencies = counts / counts.sum()
        fused = answer(spoken, together, alone, frequencies)
        by_those = fused if alone is None else alone(spoken)
        return Calibration(
            choice,
            together,
            alone,
            frequencies,
            Scores.of(fused, labels, frequencies),
            Scores.of(by_those, labels, frequencies),
        )

    def refit(self, calibration: Calibration, rows: Ints | None = None) -> dict[str, Predictor]:
        """Fit each view's classifier, at the setting chosen, on some covers, or on all."""
        predictors = {}
        for (view, trainer), choice in zip(self.trainers.items(), calibration.choice, strict=True):
            features, labels = self.features[view], self.labels
            if rows is not None:
                features, labels = features[rows], labels[rows]
            path = trainer.path(features, labels, self.genres)
            predictors[view] = next(islice(path, choice, None))
            self.progress.step(1)
        return predictors


def _singles(fold_of: Ints) -> list[tuple[int, ...]]:
    return [(fold,) for fold in range(int(fold_of.max()) + 1)]


def _each(left_out: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """Return each fold left out, with the other folds left out."""
    return [(fold, tuple(other for other in left_out if other != fold)) for fold in left_out]


def _chosen(held_out: HeldOut, choice: Sequence[int], rows: Ints) -> list[Doubles]:
    return [_widened(view[place], rows) for view, place in zip(held_out, choice, strict=True)]


def _best_setting(view: NDArray[np.float32], rows: Ints, labels: Ints) -> int:
    """Return the place of the best setting, on the covers of which the view says something."""
    heard = ~np.isnan(view[0, rows, 0])
    if not heard.any():
        return 0
    losses = [
        _loss_at_best_temperature(_widened(setting, rows[heard]), labels[heard]) for setting in view
    ]
    return int(np.argmin(losses))


def _fit_fusions(
    spoken: Sequence[Doubles], labels: Ints, always: Sequence[bool]
) -> tuple[Fusion, Fusion | None]:
    """Fit the fusion of all views, and the fusion of the views that always speak."""
    alone = None
    if any(always):
        lasting = np.flatnonzero(always).tolist()
        alone = _fit_fusion([spoken[place] for place in lasting], labels)
        weights = np.zeros(len(spoken))
        weights[lasting] = alone.weights
        alone = Fusion(weights, alone.temperature)
        if all(always):
            return alone, alone
    heard = ~np.any([np.isnan(view[:, 0]) for view in spoken], axis=0)
    if heard.sum() < MIN_TOGETHER:
        equal = Fusion(np.full(len(spoken), 1 / len(spoken)), 1.0)
        return alone or equal, alone
    return _fit_fusion([view[heard] for view in spoken], labels[heard]), alone


def _fit_fusion(spoken: Sequence[Doubles], labels: Ints) -> Fusion:
    weights = fit_weights(spoken, labels)
    fused = np.tensordot(weights, np.stack(spoken), 1)
    return Fusion(weights, fit_temperature(fused, labels))


def _widened(said: Floats, rows: Ints) -> Doubles:
    return said[rows].astype(np.float64)


def _loss(fused: Doubles, labels: Ints) -> float:
    """Return the mean negative log-likelihood of logits (n, c)."""
    return float(-log_softmax(fused)[np.arange(len(labels)), labels].mean())


def _loss_at_best_temperature(logits: Doubles, labels: Ints) -> float:
    return _loss(logits / fit_temperature(logits, labels), labels)


def fit_temperature(logits: Doubles, labels: Ints) -> float:
    """Return the temperature, 0.05 to 20, that minimises the negative log-likelihood.

    Guo et al. 2017.

    Parameters
    ----------
    logits : float64 (n, c); log-probabilities serve as well.
    labels : int (n,).
    """
    from scipy.optimize import minimize_scalar

    widest = math.log(20.0)
    found = minimize_scalar(
        lambda log_temperature: _loss(logits / math.exp(log_temperature), labels),
        bounds=(-widest, widest),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return math.exp(float(found.x))


def fit_weights(spoken: Sequence[Doubles], labels: Ints) -> Doubles:
    """Return the weights, at least 0 and of sum 1, that fuse the views' log-probabilities best.

    The measure is the negative log-likelihood of these covers at the best temperature. On them the
    fusion is at least as good as the best single view. Returns float64 (v,).

    Parameters
    ----------
    spoken : float64 (n, c) for each of v views: its log-probabilities.
    labels : int (n,).
    """
    from scipy.optimize import minimize

    count = len(spoken)
    if count == 1:
        return np.ones(1)
    stacked = np.stack(spoken)
    own = np.arange(len(labels))

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        said = log_softmax(np.tensordot(weights, stacked, 1))
        expected = (np.exp(said)[None] * stacked).sum(2)
        slope = (expected - stacked[:, own, labels]).mean(1)
        return float(-said[own, labels].mean()), slope

    corners = [
        corner / fit_temperature(view, labels)
        for corner, view in zip(np.eye(count), stacked, strict=True)
    ]
    starts = [*corners, np.full(count, 1 / count)]
    best = min(corners, key=lambda weights: loss(weights)[0])
    found = [
        minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * count).x
        for start in starts
    ]
    both = [best, min(found, key=lambda weights: loss(weights)[0])]
    # Weights near 0 mean that no view is better than chance; temperatures stop before that.
    scaled = [weights / weights.sum() for weights in both if weights.sum() > 0]
    return min(
        scaled,
        key=lambda weights: _loss_at_best_temperature(np.tensordot(weights, stacked, 1), labels),
    )
