"""Trainers: each fits a view's classifier once for each setting that can be chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from albo.errors import UsageError
from albo.heads import (
    GramPredictor,
    LightgbmPredictor,
    LogisticPredictor,
    Scaler,
    UnitPredictor,
    weigh_grams,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from albo.heads import Grams, Hints, Predictor, View
    from albo.records import Floats, Ints


MOST_GRAMS = 100_000
"""The most grams that a head knows: 14 MB of weights with 36 genres."""


class Trainer(Protocol):
    """Fits the classifier of a view."""

    @property
    def grid(self) -> tuple[float, ...]:
        """The settings to choose among, in the order in which `path` fits them."""
        ...

    def path(self, features: Any, labels: Ints, genres: int) -> Iterator[Predictor]:  # noqa: ANN401
        """Fit on n covers once for each setting of the grid.

        Parameters
        ----------
        labels : int (n,) below `genres`. Some genres may be missing; these get the small
            probability of a genre that was never seen.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogisticTrainer:
    """Multinomial logistic regression, L2-regularised, on standardised features.

    Attributes
    ----------
    grid : inverse strengths of the penalty, scikit-learn's C, ascending, so that each fit starts
        where the last ended.
    blocks : as in `View.blocks`.
    tolerance : a fit ends where the gradient's largest entry is below it.
    """

    grid: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    blocks: tuple[int, ...] = ()
    tolerance: float = 3e-4

    def path(self, features: Floats, labels: Ints, genres: int) -> Iterator[LogisticPredictor]:
        """Fit on float32 (n, p), once for each C."""
        scaler = fit_scaler(features)
        balance = block_weights(self.blocks, features.shape[1])
        rows, rotation = rotate(scaler(features) * balance)
        for weights, bias in _softmax_path(
            rows, labels, genres, self.grid, tolerance=self.tolerance
        ):
            turned = weights if rotation is None else rotation @ weights
            yield LogisticPredictor(scaler, turned * balance[:, None], bias)


@dataclass(frozen=True, slots=True)
class UnitTrainer:
    """Multinomial logistic regression, L2-regularised, on unit vectors as they are.

    Attributes
    ----------
    grid : scikit-learn's C, ascending.
    hints : the view's features of the genres' names; None where names tell it nothing.
    tolerance : a fit ends where the gradient's largest entry is below it.
    """

    grid: tuple[float, ...] = (1.0, 3.0, 10.0)
    hints: Hints | None = None
    tolerance: float = 1e-4

    def path(self, features: Floats, labels: Ints, genres: int) -> Iterator[UnitPredictor]:
        """Fit on float32 (n, p), once for each C; covers whose vector is zero are left out."""
        speaks = features.any(axis=1)
        rows, known, weights_of = features[speaks], labels[speaks], np.ones(int(speaks.sum()))
        if self.hints is not None:
            rows = np.concatenate([rows, self.hints.features])
            known = np.concatenate([known, self.hints.labels])
            weights_of = np.concatenate([weights_of, self.hints.weights])
        path = _softmax_path(
            rows, known, genres, self.grid, tolerance=self.tolerance, weights_of=weights_of
        )
        for weights, bias in path:
            yield UnitPredictor(weights, bias)


@dataclass(frozen=True, slots=True)
class GramTrainer:
    """Multinomial logistic regression, L2-regularised, on the grams of texts.

    Attributes
    ----------
    grid : scikit-learn's C, ascending.
    hints : as in `UnitTrainer`.
    least : the number of texts that a gram has to be in. A gram of a single text tells nothing
        about others.
    tolerance : a fit ends where the gradient's largest entry is below it.
    """

    grid: tuple[float, ...] = (1.0, 3.0, 10.0)
    hints: Hints | None = None
    least: int = 2
    tolerance: float = 1e-4

    def path(self, features: Grams, labels: Ints, genres: int) -> Iterator[GramPredictor]:
        """Fit on n texts, once for each C; covers without a gram are left out."""
        from scipy.sparse import csr_array, vstack

        speaks = features.speaks
        said, known, weights_of = features[speaks], labels[speaks], np.ones(int(speaks.sum()))
        texts = [said] if self.hints is None else [said, self.hints.features]
        ids, rarity = _vocabulary(texts, self.least)
        parts = []
        for grams in texts:
            rows, places, values = weigh_grams(grams, ids, rarity)
            parts.append(csr_array((values, (rows, places)), shape=(grams.shape[0], len(ids))))
        if self.hints is not None:
            known = np.concatenate([known, self.hints.labels])
            weights_of = np.concatenate([weights_of, self.hints.weights])
        table = vstack(parts, format="csr")
        path = _softmax_path(
            table, known, genres, self.grid, tolerance=self.tolerance, weights_of=weights_of
        )
        for weights, bias in path:
            yield GramPredictor(ids, rarity, weights, bias)


def _vocabulary(texts: Sequence[Grams], least: int) -> tuple[NDArray[np.uint32], Floats]:
    """Return the grams that are in enough texts, ascending, and their rarity.

    1 + log((1 + n) / (1 + n with it)), as scikit-learn's smoothed inverse document frequency.
    """
    ids, within = np.unique(np.concatenate([grams.ids for grams in texts]), return_counts=True)
    if not len(ids):
        # The texts have no grams. A vocabulary needs one, so it gets one that is in no text.
        ids, within = np.zeros(1, np.uint32), np.zeros(1, np.int64)
    shared = np.flatnonzero(within >= least)
    if not len(shared):
        shared = np.zeros(1, np.int64)  # the texts share no gram, so the first one is kept
    # Keep up to MOST_GRAMS: those in most texts, of equals the first, in ascending order.
    commonest = np.argsort(-within[shared], kind="stable")[:MOST_GRAMS]
    kept = np.sort(shared[commonest])
    count = sum(grams.shape[0] for grams in texts)
    rarity = 1.0 + np.log((1 + count) / (1 + within[kept]))
    return ids[kept], rarity.astype(np.float32)


def _softmax_path(
    rows: Any,  # noqa: ANN401  (an array or a sparse matrix)
    labels: Ints,
    genres: int,
    grid: Sequence[float],
    *,
    tolerance: float,
    weights_of: NDArray[np.float64] | None = None,
) -> Iterator[tuple[Floats, Floats]]:
    """Fit once for each C, each from where the last ended: weights (p, genres) and bias (genres,).

    Parameters
    ----------
    weights_of : how much each row counts; None is 1 each.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present, known = np.unique(labels, return_inverse=True)
    counts = genres, len(labels)
    if len(present) <= 1:
        nothing = np.zeros((rows.shape[1], len(present)), np.float32)
        for _ in grid:
            yield _spread(nothing, nothing.sum(axis=0), seen=present, counts=counts)
        return
    model = LogisticRegression(tol=tolerance, max_iter=500, warm_start=True)
    for strength in grid:
        model.set_params(C=strength)
        with warnings.catch_warnings():
            # The gain left after 500 steps is far below the differences between folds.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # Many genres with few covers each are not a regression problem.
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model.fit(rows, known, weights_of)
        weights, bias = _as_softmax(model.coef_.T, model.intercept_)
        yield _spread(weights, bias, seen=present, counts=counts)


@dataclass(frozen=True, slots=True)
class LightgbmTrainer:
    """Gradient-boosted trees on the principal components of standardised features.

    Attributes
    ----------
    grid : numbers of rounds, ascending; each is a prefix of one fit.
    blocks : as in `View.blocks`.
    components : the most principal components that are kept, k.
    threads : the threads of one fit; several fits run at once.
    """

    grid: tuple[float, ...] = (20, 40, 60)
    blocks: tuple[int, ...] = ()
    components: int = 128
    threads: int = 1

    def path(self, features: Floats, labels: Ints, genres: int) -> Iterator[LightgbmPredictor]:
        """Fit on float32 (n, p), and yield the fit's first rounds, as many as each setting says."""
        import lightgbm

        scaler = fit_scaler(features)
        axes = self._axes(scaler(features), block_weights(self.blocks, features.shape[1]))
        rows = LightgbmPredictor(scaler, axes, "").reduce(features)
        booster = lightgbm.train(
            {
                "objective": "multiclass",
                "num_class": genres,
                "learning_rate": 0.06,
                "num_leaves": 15,
                "max_bin": 63,
                "min_data_in_leaf": max(1, min(20, len(labels) // (4 * genres))),
                # In proportion to the covers. With a fixed value, a refit on more covers would
                # spread its probabilities wider than those that its calibration was fitted on.
                "lambda_l2": len(labels) / 100,
                "feature_fraction": 0.3,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
                "deterministic": True,
                "force_row_wise": True,
                "num_threads": self.threads,
                "seed": 0,
                "verbosity": -1,
            },
            lightgbm.Dataset(rows, labels, params={"verbosity": -1}),
            num_boost_round=int(max(self.grid)),
        )
        for rounds in self.grid:
            text = booster.model_to_string(num_iteration=int(rounds))
            yield LightgbmPredictor(scaler, axes, text)

    def _axes(self, scaled: Floats, balance: Floats) -> Floats:
        """Return the k principal axes of the balanced features: float32 (p, k)."""
        from sklearn.decomposition import PCA

        rows = scaled * balance
        count = min(self.components, *rows.shape)
        pca = PCA(count, svd_solver="randomized", iterated_power=3, random_state=0).fit(rows)
        return np.asarray(pca.components_.T * balance[:, None], np.float32)


def _logistic(view: View, _genres: Sequence[str]) -> Trainer:
    return LogisticTrainer(blocks=view.blocks)


def _lightgbm(view: View, _genres: Sequence[str]) -> Trainer:
    return LightgbmTrainer(blocks=view.blocks)


def _unit(view: View, genres: Sequence[str]) -> Trainer:
    return UnitTrainer(hints=view.hints(genres))


def _grams(view: View, genres: Sequence[str]) -> Trainer:
    return GramTrainer(hints=view.hints(genres))


TRAINERS: dict[tuple[str, str], Callable[[View, Sequence[str]], Trainer]] = {
    ("dense", "logistic"): _logistic,
    ("dense", "lightgbm"): _lightgbm,
    ("unit", ""): _unit,
    ("grams", ""): _grams,
}
"""The functions that make a view's trainer for some genres, by the view's classifier and the head's
kind ("" for any)."""


def open_trainer(view: View, kind: str, genres: Sequence[str]) -> Trainer:
    """Make the trainer of a view. Raises UsageError for a classifier that is unknown here."""
    for key in ((view.classifier, kind), (view.classifier, "")):
        if key in TRAINERS:
            return TRAINERS[key](view, genres)
    raise UsageError(f"view {view.name!r} wants the classifier {view.classifier!r}, unknown here")


def fit_scaler(features: Floats) -> Scaler:
    """Fit the standardisation of float32 (n, p); numbers that never vary get scale 1."""
    mean = features.mean(axis=0, dtype=np.float64)
    spread = features.std(axis=0, dtype=np.float64)
    # A smaller spread is rounding, and dividing by it would turn noise into signal.
    varies = spread > 1e-6 * np.maximum(np.abs(mean), 1.0) * (np.abs(mean) > 0) + 1e-12
    return Scaler(mean.astype(np.float32), np.where(varies, spread, 1.0).astype(np.float32))


def block_weights(blocks: tuple[int, ...], width: int) -> Floats:
    """Return float32 (width,): factors that give every block the same total variance as the first.

    Raises UsageError where the blocks do not add up to the width.
    """
    if not blocks:
        return np.ones(width, np.float32)
    if sum(blocks) != width:
        raise UsageError(f"blocks {blocks} for features of width {width}; they must add up to it")
    return np.repeat([math.sqrt(blocks[0] / size) for size in blocks], blocks).astype(np.float32)


def rotate(rows: Floats) -> tuple[Floats, Floats | None]:
    """Turn rows (n, p) with n < p into the space they span: (n, n), and the rotation (p, n).

    A penalty on the length of the weights does not change under rotation, so the fit is the same,
    in fewer numbers: weights = rotation @ turned weights. No rotation (None) where n >= p.
    """
    if rows.shape[0] >= rows.shape[1]:
        return rows, None
    rotation, triangle = np.linalg.qr(rows.T)
    return np.ascontiguousarray(triangle.T), rotation


def _as_softmax(weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Return a column for each genre; for two genres scikit-learn keeps only the difference."""
    if weights.shape[1] > 1:
        return weights, bias
    half = weights * np.float32(0.5), bias * np.float32(0.5)
    return np.concatenate([-half[0], half[0]], axis=1), np.concatenate([-half[1], half[1]])


def _spread(
    weights: Floats, bias: Floats, *, seen: Ints, counts: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Give genres that were never seen a column too, with less than one cover's probability.

    Parameters
    ----------
    seen : the genres that have a column in `weights`.
    counts : the number of genres, and the number of covers fitted on.
    """
    # Centred columns have a softmax denominator of at least one for each genre seen.
    genres, covers = counts
    full = np.zeros((weights.shape[0], genres), np.float32)
    all_bias = np.full(genres, -math.log(covers + 1), np.float32)
    if len(seen):
        full[:, seen] = weights - weights.mean(axis=1, keepdims=True)
        all_bias[seen] = bias - bias.mean()
    return full, all_bias
