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
"""The least probability a view gives a genre: one sure view must not overrule another."""


def log_softmax(logits: Array) -> Doubles:
    """Return logits minus the logarithm of their summed exponentials, by row: float64 (n, c)."""
    shifted: Doubles = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def against_others(logits: Array, genre: int) -> Doubles:
    """Return a genre's logit minus the mean of all others: logits (n, c) to float64 (n,)."""
    wide = logits.astype(np.float64)
    own = wide[:, genre]
    return np.asarray(own - (wide.sum(axis=1) - own) / (wide.shape[1] - 1))


def floored(log_probabilities: Doubles) -> Doubles:
    """Raise values below the floor to it; each adds at most `FLOOR` to its row's sum."""
    return np.maximum(log_probabilities, math.log(FLOOR), out=log_probabilities)


def check_array(array: Array, shape: tuple[int, ...], kind: type) -> None:
    """Raise ValueError unless an array has this type and shape and is finite and not empty."""
    if array.dtype != np.dtype(kind) or array.shape != shape or 0 in shape:
        raise ValueError(f"an array {array.dtype} {array.shape} where {kind.__name__} {shape} is")
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite")
