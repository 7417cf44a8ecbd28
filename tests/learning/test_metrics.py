"""Metrics on perfect, empty, shuffled and hand-worked inputs, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, top_k_accuracy_score

from albo.errors import TooFewCovers, UsageError
from albo.learning import bootstrap as bootstrap_room
from albo.learning import metrics


def simulated(count: int = 400, genres: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from their own probabilities: calibrated by construction."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(genres, 0.5), count)
    labels = (rng.random(count)[:, None] > probabilities.cumsum(1)).sum(1).clip(0, genres - 1)
    return labels, probabilities


def summary(
    labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray
) -> metrics.ScoreSummary:
    return metrics.summarise(labels, probabilities, probabilities > 0.1, groups)


def test_perfect() -> None:
    labels = np.arange(60) % 6
    found = summary(labels, np.eye(6)[labels], np.arange(60))
    for figure in (found.top1, found.top3, found.top5, found.coverage):
        assert (figure.value, figure.high) == (1.0, 1.0)
        assert figure.low == pytest.approx(60 / (60 + 1.96**2)), "Wilson's, of 60 groups"
    assert found.macro_f1 == bootstrap_room.Interval(1.0, 1.0, 1.0)
    assert found.ece == bootstrap_room.Interval(0.0, 0.0, 0.0)
    assert found.noise == metrics.Noise(0.0, 0.0)
    assert found.set_size == 1.0
    assert found.set_size_interval == bootstrap_room.Interval(1.0, 1.0, 1.0)
    assert found.brier == bootstrap_room.Interval(0.0, 0.0, 0.0)
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
        lambda: metrics.brier(none, blank),
        lambda: metrics.confusion(none, blank),
        lambda: metrics.reliability(none, blank, none),
        lambda: metrics.risk_coverage(none, blank, none),
        lambda: metrics.paired_difference(none, blank, blank, none),
        lambda: bootstrap_room.Bootstrap(none),
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


def test_brier_by_hand() -> None:
    labels = np.array([0, 1])
    probabilities = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    expected = ((0.25 + 0.09 + 0.04) + 2) / 2
    assert metrics.brier(labels, probabilities) == pytest.approx(expected)
    assert metrics.brier(np.array([1]), np.array([[1.0, 0.0]])) == 2, "sure and wrong: the worst"
    layers = np.stack([probabilities, np.eye(3)[labels]])
    assert metrics.brier(labels, layers) == pytest.approx(expected / 2)


def test_brier_falls_with_knowledge() -> None:
    labels, probabilities = simulated(6000)
    ours = metrics.brier(labels, probabilities)
    # Of labels drawn from them, the expected score is 1 less the sum of squares.
    assert ours == pytest.approx(1 - (probabilities**2).sum(1).mean(), abs=0.02)
    shuffled = np.random.default_rng(1).permutation(labels)
    assert metrics.brier(shuffled, probabilities) > ours + 0.3


def test_confusion_by_hand() -> None:
    labels = np.array([0, 0, 1, 2])
    once = np.eye(3)[[0, 1, 1, 0]]
    assert metrics.confusion(labels, once).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    perfect = np.eye(3)[labels]
    assert metrics.confusion(labels, perfect).tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    both = metrics.confusion(labels, np.stack([once, perfect]))
    assert both.tolist() == [[1.5, 0.5, 0], [0, 1, 0], [0.5, 0, 0.5]]


def test_reliability_by_hand() -> None:
    labels = np.array([0, 1, 1, 0])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
    sure, unsure = (
        metrics.reliability(labels, probabilities, np.arange(4), bins=2),
        metrics.reliability(labels, probabilities, np.arange(4), bins=5),
    )
    (only,) = sure
    assert (only.low, only.high, only.covers) == (0.5, 1.0, 4)
    assert only.confidence == pytest.approx(0.725)
    assert only.accuracy.value == 0.5
    assert only.accuracy.low < 0.5 < only.accuracy.high
    assert [(round(one.low, 1), one.covers, one.accuracy.value) for one in unsure] == [
        (0.4, 2, 0.5),  # 0.6 is in (0.4, 0.6]
        (0.6, 1, 0.0),
        (0.8, 1, 1.0),
    ]


def test_reliability_adds_up_to_the_calibration_error() -> None:
    labels, probabilities = simulated()
    found = metrics.reliability(labels, probabilities, np.arange(400))
    assert sum(one.covers for one in found) == pytest.approx(400)
    error = sum(one.covers * abs(one.accuracy.value - one.confidence) for one in found) / 400
    assert error == pytest.approx(metrics.expected_calibration_error(labels, probabilities))
    assert all(one.low < one.confidence <= one.high for one in found)
    twice = metrics.reliability(labels, np.stack([probabilities] * 2), np.arange(400))
    assert [one.as_json() for one in twice] == [one.as_json() for one in found], "as one seed"


def test_calibrated_predictions_are_within_their_intervals() -> None:
    labels, probabilities = simulated(6000)
    found = metrics.reliability(labels, probabilities, np.arange(6000))
    held = sum(one.accuracy.low <= one.confidence <= one.accuracy.high for one in found)
    assert held >= len(found) - 2
    shuffled = np.random.default_rng(1).permutation(labels)
    found = metrics.reliability(shuffled, probabilities, np.arange(6000))
    assert sum(one.accuracy.low <= one.confidence <= one.accuracy.high for one in found) <= 2


def test_risk_coverage_by_hand() -> None:
    # The surer, the righter: of 20 covers, the first 10 are right.
    confidence = np.linspace(0.99, 0.6, 20)
    probabilities = np.stack([confidence, 1 - confidence], 1)
    labels = np.repeat([0, 1], 10)
    order = np.random.default_rng(0).permutation(20)
    found = metrics.risk_coverage(labels[order], probabilities[order], np.arange(20))
    assert [one.share for one in found] == [pytest.approx(p / 100) for p in range(5, 101, 5)]
    assert [one.accuracy.value for one in found[:10]] == [1.0] * 10
    assert found[-1].accuracy.value == 0.5
    assert found[-1].accuracy.low < 0.5 < found[-1].accuracy.high
    assert found[14].accuracy.value == pytest.approx(10 / 15)
    assert [one.threshold for one in found] == pytest.approx(confidence.tolist())


def test_risk_coverage_of_few_covers_answers_at_least_one() -> None:
    found = metrics.risk_coverage(np.array([0, 1]), np.eye(2)[[0, 0]], np.arange(2))
    assert [one.accuracy.value for one in found] == [1.0] * 10 + [0.5] * 10, "of equals the first"


@pytest.mark.whole
def test_risk_coverage_of_shuffled_labels_is_flat() -> None:
    labels, probabilities = simulated(6000)
    assert metrics.risk_coverage(labels, probabilities, np.arange(6000))[1].accuracy.value > 0.7
    shuffled = np.random.default_rng(1).permutation(labels)
    for one in metrics.risk_coverage(shuffled, probabilities, np.arange(6000)):
        assert one.accuracy.value == pytest.approx(1 / 6, abs=0.06)


def test_the_last_share_is_the_accuracy() -> None:
    labels, probabilities = simulated()
    layers = np.stack([probabilities, np.roll(probabilities, 1, axis=1)])
    groups = np.arange(400) // 2
    last = metrics.risk_coverage(labels, layers, groups)[-1]
    assert last.accuracy.as_json() == summary(labels, layers, groups).top1.as_json()


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    labels, probabilities = simulated()
    worse = probabilities.copy()
    worse[:40] = np.eye(6)[(labels[:40] + 1) % 6]
    found = metrics.paired_difference(labels, probabilities, worse, np.arange(400))
    one = metrics.accuracy_top_k(labels, probabilities, 1)
    assert found.value == pytest.approx(one - metrics.accuracy_top_k(labels, worse, 1))
    assert 0 < found.low < found.value < found.high
    alone = summary(labels, probabilities, np.arange(400)).top1
    assert found.high - found.low < alone.high - alone.low
    back = metrics.paired_difference(labels, worse, probabilities, np.arange(400))
    assert (back.value, back.low, back.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )


def test_no_difference_from_itself_however_many_seeds() -> None:
    labels, probabilities = simulated()
    seeds = np.stack([probabilities] * 3)
    found = metrics.paired_difference(labels, probabilities, seeds, np.arange(400))
    assert found == bootstrap_room.Interval(0.0, 0.0, 0.0)


def test_a_difference_resamples_groups() -> None:
    labels, probabilities = simulated()
    worse = np.roll(probabilities, 1, axis=1)
    once = metrics.paired_difference(labels, probabilities, worse, np.arange(400))
    copied = metrics.paired_difference(
        np.tile(labels, 4),
        np.tile(probabilities, (4, 1)),
        np.tile(worse, (4, 1)),
        np.tile(np.arange(400), 4),
    )
    assert copied.as_json() == once.as_json(), "copies of a cover tell nothing new"


def test_a_summary_in_json() -> None:
    labels, probabilities = simulated()
    found = summary(labels, probabilities, np.arange(400))
    said = found.as_json([f"g{i}" for i in range(6)], [7] * 6)
    assert said["set_size"] == round(found.set_size, 2)
    assert said["set_size_interval"]["value"] == pytest.approx(found.set_size, abs=1e-3)
    assert said["set_size_interval"]["low"] < found.set_size < said["set_size_interval"]["high"]
    assert set(said["brier"]) == {"value", "low", "high"}
    assert said["brier"]["value"] == round(metrics.brier(labels, probabilities), 4)
    assert [one["genre"] for one in said["per_genre"]] == [f"g{i}" for i in range(6)]
    with pytest.raises(ValueError, match="longer"):
        found.as_json(["a"], [7] * 6)


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
    monkeypatch.setattr(bootstrap_room, "_BLOCK", 999)
    assert summary(labels, probabilities, np.arange(400) // 2) == once, "blocks do not show"


def test_intervals_hold_the_truth() -> None:
    truth = simulated(200_000)[1].max(1).mean()
    held = 0
    for seed in range(60):
        labels, probabilities = simulated(200, seed=seed)
        hits = (probabilities.argmax(1) == labels).astype(float)[:, None]
        bootstrap = bootstrap_room.Bootstrap(np.arange(200))
        found = bootstrap.interval(hits.mean(), [hits], lambda sums, drawn: sums[:, 0] / drawn)
        held += found.low <= truth <= found.high
    assert held >= 52


def test_every_genre_has_intervals_that_hold_its_figures() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(120) % 3
    probabilities = rng.dirichlet(np.ones(3), size=(2, 120)) + 0.4 * np.eye(3)[labels]
    sets = np.ones(probabilities.shape, np.bool_)
    found = metrics.summarise(labels, probabilities, sets, np.arange(120) // 2)
    for score in found.per_genre:
        for name in ("precision", "recall", "f1"):
            interval = getattr(score, f"{name}_interval")
            assert interval.value == getattr(score, name)
            assert interval.low < interval.value < interval.high
            assert interval.high - interval.low < 0.4
        assert score.as_json()["f1_interval"]["value"] == score.as_json()["f1"]
    # Wider where fewer groups are resampled: the same covers, ten to a group.
    few = metrics.summarise(labels, probabilities, sets, np.repeat(np.arange(4), 30))
    assert few.per_genre[0].f1_interval != found.per_genre[0].f1_interval
