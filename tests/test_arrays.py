"""Rows of unit length: measured, checked, restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from albo.arrays import round_as_stored, row_lengths, scale_to_unit, unit_rows
from albo.errors import UsageError

if TYPE_CHECKING:
    from albo.records import Floats


def refusal(length: float) -> UsageError:
    return UsageError(f"length {length:.3f}")


@pytest.fixture
def rows() -> Floats:
    return scale_to_unit(np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32))


def test_lengths_are_euclidean() -> None:
    assert row_lengths(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [5.0, 0.0]


def test_any_rows_are_scaled_to_unit_length_and_a_zero_row_is_not_a_number() -> None:
    scaled = scale_to_unit(np.array([[3, 4], [1e-30, 0], [0, 0]], np.float32))
    assert scaled.dtype == np.float32
    assert scaled[:2].tolist() == [[np.float32(0.6), np.float32(0.8)], [1.0, 0.0]]
    assert np.isnan(scaled[2]).all()


def test_float32_rows_come_back_as_they_are(rows: Floats) -> None:
    slightly_off = rows * np.float32(1.005)
    assert np.array_equal(unit_rows(slightly_off, 0.01, refusal), slightly_off)


def test_float16_rows_get_their_unit_length_back_and_are_themselves_left_alone(
    rows: Floats,
) -> None:
    halves = rows.astype(np.float16)
    kept = halves.copy()
    restored = unit_rows(halves, 0.01, refusal)
    assert restored.dtype == np.float32
    assert np.abs(row_lengths(halves.astype(np.float32)) - 1).max() > 1e-5
    assert np.abs(row_lengths(restored) - 1).max() < 1e-6
    assert np.array_equal(halves, kept)


def test_rounding_as_stored_is_what_reading_float16_gives_to_the_bit(rows: Floats) -> None:
    assert np.array_equal(round_as_stored(rows), unit_rows(rows.astype(np.float16), 0.01, refusal))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize(("factor", "said"), [(1.02, "1.020"), (0.97, "0.970"), (0.0, "0.000")])
def test_the_length_that_is_furthest_off_is_told(
    rows: Floats, kind: type, factor: float, said: str
) -> None:
    rows[7] *= np.float32(factor)
    with pytest.raises(UsageError, match=f"length {said}"):
        unit_rows(rows.astype(kind), 0.01, refusal)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused_at_any_tolerance(rows: Floats, number: float) -> None:
    rows[3, 5] = number
    with pytest.raises(UsageError, match=r"length (nan|inf)"):
        unit_rows(rows, 1e6, refusal)


def test_no_rows_are_unit_rows() -> None:
    assert unit_rows(np.empty((0, 8), np.float16), 0.01, refusal).shape == (0, 8)
