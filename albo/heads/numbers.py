"""Arithmetic that predictors share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from albo.records import Doubles


Array: TypeAlias = "NDArray[Any]"

GENRES = range(2, 10_001)
"""How many genres a predictor may know."""

FLOOR = 1e-7
"""No genre is ever less probable than this to a view: one sure view must not silence another."""


def log_softmax(logits: Array) -> Doubles:
    """Return logits less the logarithm of their summed exponentials, by row: float64 (n, c)."""
    shifted: Doubles = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def against_others(logits: Array, genre: int) -> Doubles:
    """Return what a genre has beyond the mean of all others: logits (n, c) to float64 (n,)."""
    wide = logits.astype(np.float64)
    own = wide[:, genre]
    return np.asarray(own - (wide.sum(axis=1) - own) / (wide.shape[1] - 1))


def floored(log_probabilities: Doubles) -> Doubles:
    """Raise what is below the floor to it; what that adds to a row is below a millionth."""
    return np.maximum(log_probabilities, math.log(FLOOR), out=log_probabilities)


def check_array(array: Array, shape: tuple[int, ...], kind: type) -> None:
    """Raise ValueError unless an array has this kind and shape, finite numbers, and any at all."""
    if array.dtype != np.dtype(kind) or array.shape != shape or 0 in shape:
        raise ValueError(f"an array {array.dtype} {array.shape} where {kind.__name__} {shape} is")
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite")
