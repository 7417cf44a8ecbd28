"""Whether a picture is like those that a head has learnt: a distance, tested while held out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albo.heads import Familiarity
from albo.heads.familiarity import LEVEL


def made_of(features: np.ndarray, groups: np.ndarray) -> Familiarity:
    found = Familiarity.of(features, groups)
    assert found is not None
    return found


def draw(count: int, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    return (spread * np.random.default_rng(seed).standard_normal((count, 30))).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(0, 99))
def test_distances_are_those_without_the_own_group(count: int, seed: int) -> None:
    features = draw(count, seed)
    groups = np.random.default_rng(seed).integers(0, max(2, count // 2), count)
    if len(set(groups)) < 2:
        assert Familiarity.of(features, groups) is None
        return
    by_hand = []
    for row, group in zip(features, groups, strict=True):
        others = features[groups != group].astype(np.float64)
        deviation = others.std(axis=0)
        floor = max(0.05 * float(np.median(deviation)), 1e-6)
        apart = (row - others.mean(axis=0)) / np.maximum(deviation, floor)
        by_hand.append(np.sqrt((apart**2).mean()))
    np.testing.assert_allclose(made_of(features, groups).distances, np.sort(by_hand), rtol=1e-3)


def test_new_covers_of_the_same_kind_are_rarely_called_unlike() -> None:
    found = made_of(draw(400), np.arange(400))
    assert found.is_unlike(draw(5000, seed=1)).mean() <= LEVEL + 0.02
    assert found.is_unlike(draw(100, seed=2, spread=3.0)).all()
    p_values = found.p_values(draw(5000, seed=1))
    assert p_values.min() >= 1 / 401
    assert p_values.max() <= 1
    assert abs(p_values.mean() - 0.5) < 0.1


def test_only_the_last_numbers_are_compared() -> None:
    found = made_of(draw(100)[:, 20:], np.arange(100))
    far = draw(1)
    far[:, :20] = 1e6
    assert not found.is_unlike(far)[0]


def test_few_covers_allow_a_coarse_test_alone() -> None:
    found = made_of(draw(9), np.arange(9))
    assert found.level == pytest.approx(0.1)
    assert found.is_unlike(draw(1, spread=50.0))[0]
    assert Familiarity.of(draw(3), np.zeros(3, np.int64)) is None


def test_a_number_that_never_varies_does_not_decide() -> None:
    features = draw(200)
    features[:, 0] = 0.0
    new = draw(1, seed=5)
    new[0, 0] = 0.01
    assert not made_of(features, np.arange(200)).is_unlike(new)[0]


def test_it_is_kept_to_the_bit() -> None:
    found = made_of(draw(50), np.arange(50))
    again = Familiarity.restore({**found.arrays(), "weights": np.ones(3)})
    assert again is not None
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])
    assert Familiarity.restore({"weights": np.ones(3)}) is None


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("mean", np.full(30, np.nan, np.float32)),
        ("deviation", np.zeros(30, np.float32)),
        ("deviation", np.ones(29, np.float32)),
        ("distances", np.arange(50, 0, -1, dtype=np.float32)),
        ("distances", np.ones(50)),
    ],
)
def test_damaged_numbers_are_refused(name: str, wrong: np.ndarray) -> None:
    arrays = made_of(draw(50), np.arange(50)).arrays() | {f"familiarity.{name}": wrong}
    with pytest.raises(ValueError, match=r"array|number|deviations"):
        Familiarity.restore(arrays)
