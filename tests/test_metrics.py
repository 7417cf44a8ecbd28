"""Metrics on perfect, empty, shuffled and hand-worked inputs, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, top_k_accuracy_score

from albo import metrics
from albo.errors import TooFewCovers, UsageError


def simulated(count: int = 400, genres: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from their own probabilities: calibrated by construction."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(genres, 0.5), count)
    labels = (rng.random(count)[:, None] > probabilities.cumsum(1)).sum(1).clip(0, genres - 1)
    return labels, probabilities


def summary(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> metrics.Summary:
    return metrics.summarise(labels, probabilities, probabilities > 0.1, groups)


def test_perfect() -> None:
    labels = np.arange(60) % 6
    found = summary(labels, np.eye(6)[labels], np.arange(60))
    for figure in (found.top1, found.top3, found.top5, found.macro_f1, found.coverage):
        assert figure == metrics.Interval(1.0, 1.0, 1.0)
    assert found.ece == metrics.Interval(0.0, 0.0, 0.0)
    assert found.noise == metrics.Noise(0.0, 0.0)
    assert found.set_size == 1.0
    assert found.per_genre == (metrics.GenreScore(10, 1.0, 1.0, 1.0),) * 6


def test_empty_is_refused() -> None:
    none, blank = np.empty(0, np.int64), np.empty((0, 3))
    for figure in (
        lambda: metrics.accuracy_top_k(none, blank, 1),
        lambda: metrics.macro_f1(none, blank),
        lambda: metrics.expected_calibration_error(none, blank),
        lambda: metrics.calibration_noise(blank),
        lambda: metrics.coverage(none, blank > 0),
        lambda: metrics.mean_set_size(blank > 0),
        lambda: metrics.Bootstrap(none),
        lambda: summary(none, blank, none),
    ):
        with pytest.raises(TooFewCovers, match="0 covers"):
            figure()


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="shape"):
        metrics.accuracy_top_k(np.zeros(3, np.int64), np.ones((2, 2)), 1)
    with pytest.raises(UsageError, match="labels from 0 to 2 with 2 genres"):
        metrics.accuracy_top_k(np.array([0, 2]), np.ones((2, 2)), 1)


def test_shuffled_labels_are_guessed_at_chance() -> None:
    labels, probabilities = simulated(6000)
    shuffled = np.random.default_rng(1).permutation(labels)
    assert metrics.accuracy_top_k(shuffled, probabilities, 1) == pytest.approx(1 / 6, abs=0.02)
    assert metrics.accuracy_top_k(shuffled, probabilities, 3) == pytest.approx(3 / 6, abs=0.02)
    error = metrics.expected_calibration_error(shuffled, probabilities)
    assert error == pytest.approx(probabilities.max(1).mean() - 1 / 6, abs=0.02)


def test_by_hand() -> None:
    labels = np.array([0, 1, 1, 2])
    probabilities = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.2, 0.5, 0.3], [0.3, 0.4, 0.3]])
    assert metrics.accuracy_top_k(labels, probabilities, 1) == 2 / 4
    assert metrics.accuracy_top_k(labels, probabilities, 2) == 3 / 4, "of equals the first"
    assert metrics.accuracy_top_k(labels, probabilities, 9) == 1
    # F1: genre 0 2/3, genre 1 2·1/(2+2), genre 2 never guessed.
    assert metrics.macro_f1(labels, probabilities) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    # Bins: {.9, .9} one right of two, {.5} right, {.4} wrong.
    error = (abs(1 - 1.8) + abs(1 - 0.5) + abs(0 - 0.4)) / 4
    assert metrics.expected_calibration_error(labels, probabilities) == pytest.approx(error)
    sets = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]], bool)
    assert metrics.coverage(labels, sets) == 3 / 4
    assert metrics.mean_set_size(sets) == 7 / 4
    score = metrics.score_genres(labels, probabilities)[1]
    assert score == metrics.GenreScore(2, 1 / 2, 1 / 2, 1 / 2)


def test_bins_are_closed_above() -> None:
    confidence = np.array([1.0, 14 / 15 + 1e-9, 14 / 15 - 1e-9, 1 / 15, 0.0])
    layer = np.stack([confidence, np.zeros(5)], 1)
    assert metrics._binned(layer, 15)[1].tolist() == [14, 14, 13, 0, 0]


def test_against_scikit_learn() -> None:
    labels, probabilities = simulated()
    for k in (1, 2, 3, 5):
        theirs = top_k_accuracy_score(labels, probabilities, k=k)
        assert metrics.accuracy_top_k(labels, probabilities, k) == pytest.approx(theirs)
    theirs = f1_score(labels, probabilities.argmax(1), average="macro")
    assert metrics.macro_f1(labels, probabilities) == pytest.approx(theirs)
    sums = metrics._confusions(labels, probabilities).sum(0)[None]
    assert metrics._mean_f1(sums)[0] == pytest.approx(theirs), "what is resampled is the figure"
    gaps = np.abs(metrics._gaps(labels, probabilities).sum(0)).sum() / len(labels)
    ours = metrics.expected_calibration_error(labels, probabilities)
    assert gaps == pytest.approx(ours)


def test_noise_is_what_calibrated_predictions_show() -> None:
    errors = []
    for seed in range(200):
        labels, probabilities = simulated(seed=seed)
        errors.append(metrics.expected_calibration_error(labels, probabilities))
    noise = metrics.calibration_noise(simulated()[1])
    assert noise.mean == pytest.approx(np.mean(errors), rel=0.1)
    assert noise.percentile95 == pytest.approx(np.percentile(errors, 95), rel=0.15)


def test_noise_of_the_mean_over_seeds_is_not_that_of_independent_draws() -> None:
    probabilities = simulated()[1]
    once = metrics.calibration_noise(probabilities)
    assert metrics.calibration_noise(np.stack([probabilities] * 3)) == once


def test_a_figure_is_the_mean_over_seeds() -> None:
    labels, probabilities = simulated()
    other = np.roll(probabilities, 1, axis=1)
    both = summary(labels, np.stack([probabilities, other]), np.arange(400))
    one, two = (summary(labels, layer, np.arange(400)) for layer in (probabilities, other))
    for name in ("top1", "top3", "top5", "macro_f1", "ece", "coverage"):
        mean = (getattr(one, name).value + getattr(two, name).value) / 2
        assert getattr(both, name).value == pytest.approx(mean)
        assert getattr(both, name).low <= mean <= getattr(both, name).high
    # The second is wrong where the first is right, so their mean varies less than either.
    width = both.top1.high - both.top1.low
    assert width < min(one.top1.high - one.top1.low, two.top1.high - two.top1.low)


def test_intervals_resample_groups() -> None:
    labels, probabilities = simulated(600)
    alone = summary(labels, probabilities, np.arange(600)).top1
    accuracy = alone.value
    expected = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 600)
    assert alone.high - alone.value == pytest.approx(expected, rel=0.15)
    copies = summary(
        np.tile(labels, 4), np.tile(probabilities, (4, 1)), np.tile(np.arange(600), 4)
    ).top1
    assert copies.value == pytest.approx(alone.value)
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high)), "nothing gained"


def test_the_same_seed_gives_the_same_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probabilities = simulated()
    once = summary(labels, probabilities, np.arange(400) // 2)
    assert summary(labels, probabilities, np.arange(400) // 2) == once
    monkeypatch.setattr(metrics, "_BLOCK", 999)
    assert summary(labels, probabilities, np.arange(400) // 2) == once, "blocks do not show"


def test_intervals_hold_the_truth() -> None:
    truth = simulated(200_000)[1].max(1).mean()
    held = 0
    for seed in range(60):
        labels, probabilities = simulated(200, seed=seed)
        hits = (probabilities.argmax(1) == labels).astype(float)[:, None]
        bootstrap = metrics.Bootstrap(np.arange(200))
        found = bootstrap.interval(hits.mean(), [hits], lambda sums, drawn: sums[:, 0] / drawn)
        held += found.low <= truth <= found.high
    assert held >= 52
