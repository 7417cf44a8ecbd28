"""Rows of unit length: measured, checked and restored.

Embeddings are compared by their dot product, which is the cosine where both rows have length 1.
Rounding to float16 moves a row's length by up to a thousandth, so rows that were stored in float16
are scaled back when they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from albo.records import Floats, Halves


def row_lengths(rows: Floats) -> Floats:
    """Return the Euclidean length of each row: float32 (n, d) give float32 (n,)."""
    squares: Floats = np.einsum("nd,nd->n", rows, rows)
    return np.sqrt(squares)


def unit_rows(
    rows: Floats | Halves, tolerance: float, refusal: Callable[[float], Exception]
) -> Floats:
    """Check that rows have unit length and return them as float32 (n, d).

    float16 rows are scaled back to unit length; float32 rows are returned unchanged, without a copy
    if they are contiguous.

    Parameters
    ----------
    rows : float32 or float16 (n, d).
    tolerance : how far the length of a row may be from 1. Rows with numbers that are not finite
        are refused at any tolerance.
    refusal : makes the error from the length furthest from 1.

    Raises the error of `refusal`.
    """
    unit = np.ascontiguousarray(rows, dtype=np.float32)
    lengths = row_lengths(unit)
    if not np.all(np.abs(lengths - 1) < tolerance):  # "not all below" is true of NaN as well
        raise refusal(float(lengths[np.argmax(np.abs(lengths - 1))]))
    if rows.dtype == np.float16:
        unit /= lengths[:, None]
    return unit


def round_as_stored(vector: Floats) -> Floats:
    """Return unit rows, float32 (n, d), identical to the bit to stored and reread ones."""
    rounded: Floats = vector.astype(np.float16).astype(np.float32)
    rounded /= row_lengths(rounded)[:, None]
    return rounded


def scale_to_unit(rows: Floats) -> Floats:
    """Scale rows of any length to unit length, in double precision: float32 (n, d).

    A row of zeros becomes NaN.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        unit: Floats = (rows / lengths[:, None]).astype(np.float32)
    return unit
