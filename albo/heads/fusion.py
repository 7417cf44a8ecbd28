"""Fuse the views, calibrate, and make conformal sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import UsageError
from albo.heads.numbers import log_softmax
from albo.records import Prior, choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from albo.heads.numbers import Array
    from albo.records import Bools, Doubles, Ints


@dataclass(frozen=True, slots=True)
class Scores:
    """The nonconformity of n covers while they were held out, by prior."""

    nonconformity: Mapping[Prior, Doubles]
    """For each prior float64 (n,): 1 - p(true genre), ascending."""

    true_genres: Mapping[Prior, Ints]
    """For each prior int32 (n,): the true genres, in the same order; {} where they are unknown."""

    @classmethod
    def of(cls, probabilities: Doubles, labels: Ints, frequencies: Doubles) -> Scores:
        """Make sorted scores of predictions: probabilities (n, c), labels int (n,)."""
        rows = np.arange(len(labels))
        nonconformity: dict[Prior, Doubles] = {}
        true_genres: dict[Prior, Ints] = {}
        for prior in Prior:
            scores = 1.0 - weigh_prior(probabilities, frequencies, prior)[rows, labels]
            order = np.argsort(scores, kind="stable")
            nonconformity[prior] = scores[order]
            true_genres[prior] = labels[order].astype(np.int32)
        return cls(nonconformity, true_genres)

    def arrays(self, prefix: str) -> dict[str, Array]:
        """Return the arrays under their names in a file."""
        kept = ("nonconformity", self.nonconformity), ("true_genres", self.true_genres)
        return {
            f"{prefix}{name}.{prior}": array for name, of in kept for prior, array in of.items()
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], prefix: str) -> Scores:
        """Make scores from a file's arrays; heads of former versions have no true genres."""
        found = {prior: arrays.get(f"{prefix}true_genres.{prior}") for prior in Prior}
        return cls(
            {prior: arrays[f"{prefix}nonconformity.{prior}"] for prior in Prior},
            {prior: array for prior, array in found.items() if array is not None},
        )


def fuse(spoken: Sequence[Doubles], weights: Doubles, temperature: float) -> Doubles:
    """Weigh and add the views' log-probabilities, divide by the temperature, normalise.

    Guo et al. 2017 for the temperature. Returns probabilities, float64 (n, c).
    """
    fused = sum(weight * view for weight, view in zip(weights, spoken, strict=True))
    return np.exp(log_softmax(np.asarray(fused) / temperature))


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the log-probabilities of v views become one answer."""

    weights: Doubles
    """float64 (v,): the weight of each view, not negative."""

    temperature: float
    """The divisor of the weighted sum, above 0."""

    def __call__(self, spoken: Sequence[Doubles]) -> Doubles:
        """Return probabilities (n, c); NaN where a view that has a weight is silent."""
        heard = np.flatnonzero(self.weights > 0).tolist()
        return fuse([spoken[place] for place in heard], self.weights[heard], self.temperature)


def answer(
    spoken: Sequence[Doubles], together: Fusion, alone: Fusion | None, frequencies: Doubles
) -> Doubles:
    """Fuse the views' predictions for n covers into probabilities, float64 (n, c).

    Parameters
    ----------
    spoken : float64 (n, c) for each view: its log-probabilities, NaN where it says nothing.
    together : the fusion of all views.
    alone : the fusion for covers of which an optional view says nothing, or None.
    frequencies : float64 (c,), of the genres: the answer where no fusion has one.
    """
    fused = together(spoken)
    for fallback in (alone, None):
        silent = np.isnan(fused[:, 0])
        if silent.any():
            fused[silent] = (
                frequencies if fallback is None else fallback([view[silent] for view in spoken])
            )
    return fused


def weigh_prior(probabilities: Doubles, frequencies: Doubles, prior: Prior) -> Doubles:
    """Return probabilities under the prior: as they are, or with the frequencies divided out.

    Saerens, Latinne and Decaestecker 2002, eq. 4. Raises UsageError for an unknown prior.
    """
    if choose(Prior, prior, "prior") is Prior.CORPUS:
        return probabilities
    weighed = probabilities / frequencies
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


def conformal_sets(probabilities: Doubles, nonconformity: Doubles, coverage: float) -> Bools:
    """Return bool (n, c): where 1 - p is at most the ceil((n + 1) coverage)-th smallest score.

    The most probable genre is always in the set. With too few scores for the coverage asked for,
    every genre is.

    Parameters
    ----------
    probabilities : float64 (n, c).
    nonconformity : the scores of covers held out, ascending.
    coverage : how often the set shall hold the true genre.

    Raises UsageError unless 0 < coverage < 1.
    """
    if not 0 < coverage < 1:
        raise UsageError(f"coverage={coverage:g}; give a share above 0 and below 1, as 0.9")
    rank = math.ceil((len(nonconformity) + 1) * coverage)
    limit = nonconformity[rank - 1] if rank <= len(nonconformity) else np.inf
    inside: Bools = 1.0 - probabilities <= limit
    if len(inside):
        inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside
