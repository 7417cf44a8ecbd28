"""Fitting a head once, at the size of a large corpus, beside the bare libraries."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from albo.learning.trainers import LightgbmTrainer, LogisticTrainer
from benchmarks.measure import cores, interleave, seconds_of
from benchmarks.results import Row, Section, at_most

if TYPE_CHECKING:
    from albo.learning import Trainer
    from albo.records import Floats, Ints
    from benchmarks.options import Options

MOST_LOGISTIC = 5.0
MOST_LIGHTGBM = 60.0
GENRES = 36
ROUNDS = 60
_STRENGTH = 1e-3
_SEPARATION = 0.15
_PEER_ROUNDS = 4


def run(options: Options) -> Section:
    """Time one logistic fit and one LightGBM fit, as `albo train` does each of its many."""
    covers, width = options.pick(27_600, 600), options.pick(1280, 64)
    features, labels = _draw(covers, width)
    what = f"one fit, {covers:,} x {width:,}, {GENRES} genres"
    rounds = options.pick(3, 1)
    _warm_up(features[: 10 * GENRES], labels[: 10 * GENRES])
    logistic = interleave(
        {
            "albo": partial(_fit, LogisticTrainer(grid=(_STRENGTH,)), features, labels),
            "sklearn": lambda: seconds_of(lambda: _fit_sklearn(features, labels)),
        },
        rounds,
    )
    trees = interleave(
        {
            "albo": partial(_fit, LightgbmTrainer(grid=(ROUNDS,)), features, labels),
            "lightgbm": lambda: seconds_of(lambda: _fit_lightgbm(features, labels)),
        },
        options.pick(2, 1),
    )
    a_round = trees["albo"].scaled(1 / ROUNDS), trees["lightgbm"].scaled(1 / _PEER_ROUNDS)
    rows = [
        Row(
            f"logistic, {what}",
            logistic["albo"].show(2, " s"),
            logistic["sklearn"].show(2, " s"),
            logistic["albo"].over(logistic["sklearn"]).show(2, "x"),
            at_most(logistic["albo"].median, MOST_LOGISTIC, f"≤ {MOST_LOGISTIC:g} s"),
        ),
        Row(
            f"LightGBM, {what}, {ROUNDS} rounds",
            trees["albo"].show(1, " s"),
            target=at_most(trees["albo"].median, MOST_LIGHTGBM, f"≤ {MOST_LIGHTGBM:g} s"),
        ),
        Row(
            "LightGBM, seconds a round, everything included",
            a_round[0].show(2, " s"),
            a_round[1].show(2, " s"),
            a_round[0].over(a_round[1]).show(2, "x"),
        ),
    ]
    return Section("heads: one fit", rows, [_REMARK], ("scikit-learn", "lightgbm", "numpy"))


_REMARK = (
    f"Drawn features: a centre for each genre, and noise. Logistic: C = {_STRENGTH:g}, the scaler"
    " included; the peer is scikit-learn's `StandardScaler` and `LogisticRegression` at its default"
    " tolerance of 1e-4, where albo stops at 1e-3. LightGBM: albo reduces the features to 128"
    " principal components first; the peer is LightGBM on the features as they are, with the same"
    f" leaves, bins and rate, for {_PEER_ROUNDS} rounds only, since {ROUNDS} would take minutes."
)


def _draw(covers: int, width: int) -> tuple[Floats, Ints]:
    random = np.random.default_rng(0)
    centres = random.standard_normal((GENRES, width), dtype=np.float32)
    labels = random.integers(0, GENRES, covers)
    noise = random.standard_normal((covers, width), dtype=np.float32)
    return np.float32(_SEPARATION) * centres[labels] + noise, labels


def _fit(trainer: Trainer, features: Floats, labels: Ints) -> float:
    return seconds_of(lambda: list(trainer.path(features, labels, GENRES)))


def _warm_up(features: Floats, labels: Ints) -> None:
    """Import what will be timed, and let it start its threads."""
    for trainer in (LogisticTrainer(grid=(_STRENGTH,)), LightgbmTrainer(grid=(1,))):
        _fit(trainer, features, labels)


def _fit_sklearn(features: Floats, labels: Ints) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=_STRENGTH, max_iter=500)
    make_pipeline(StandardScaler(), model).fit(features, labels)


def _fit_lightgbm(features: Floats, labels: Ints) -> None:
    import lightgbm

    settings = {
        "objective": "multiclass",
        "num_class": GENRES,
        "learning_rate": 0.06,
        "num_leaves": 15,
        "max_bin": 63,
        "num_threads": cores(),
        "verbosity": -1,
    }
    lightgbm.train(settings, lightgbm.Dataset(features, labels), num_boost_round=_PEER_ROUNDS)
