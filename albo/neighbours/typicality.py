"""How typical of its genre a cover looks, without any classifier.

A cover's typicality of a genre is its mean cosine to that genre's covers, minus the average of this
mean over all genres. A mean of cosines is a product with a mean of vectors, so one pass is enough.
The average is subtracted because a plain cover is near to every genre. Without that, genres are
told apart less well, and hardly at all in some data sets (`make bench`).

Covers of one group, such as an artist's, do not count towards each other's typicality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from albo.records import Doubles, Floats, Halves, Ints


LEAST_COVERS = 5
"""The fewest covers of a genre for which typicality is given."""


@dataclass(frozen=True)
class GenreMeans:
    """The sums of the vectors of c genres, from which their means follow."""

    sums: Doubles
    """float64 (c, d): the sum of each genre's vectors."""

    counts: Ints
    """int64 (c,): the number of each genre's covers, at least 1."""

    @classmethod
    def of(
        cls, batches: Iterable[tuple[Ints, Floats | Halves]], genres: int, dimension: int
    ) -> GenreMeans:
        """Add up batches of covers: their genres (n,), and their vectors (n, d)."""
        sums = np.zeros((genres, dimension))
        counts = np.zeros(genres, np.int64)
        for labels, vectors in batches:
            order = np.argsort(labels, kind="stable")
            there, first = np.unique(labels[order], return_index=True)
            sums[there] += np.add.reduceat(vectors[order].astype(np.float32, copy=False), first)
            counts += np.bincount(labels, minlength=genres)
        return cls(sums, counts)

    def without(self, genre: int, vectors: Floats) -> GenreMeans:
        """Return the means without some of a genre's covers, (k, d); at least one has to stay."""
        sums, counts = self.sums.copy(), self.counts.copy()
        sums[genre] -= vectors.sum(axis=0, dtype=np.float64)
        counts[genre] -= len(vectors)
        return GenreMeans(sums, counts)

    def typicality(self, vectors: Floats) -> Doubles:
        """Return how typical covers outside the corpus are of each genre: (n, d) to (n, c)."""
        return _beyond_average(vectors @ (self.sums / self.counts[:, None]).T)

    def own_typicality(self, genre: int, vectors: Floats, groups: Ints) -> Doubles:
        """Return how typical a genre's covers are of each genre, own groups left out: (n, c).

        A cover whose group is the whole genre has 0 for that genre.

        Parameters
        ----------
        genre : the position of the genre.
        vectors : float32 (n, d), of all covers of that genre.
        groups : int (n,), the group of each of these covers.
        """
        _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        wide = vectors.astype(np.float64)
        others = self.counts[genre] - sizes[group_of]
        cosines = wide @ (self.sums / self.counts[:, None]).T
        within = _cosines_within(wide, group_of, sizes)
        own = (wide @ self.sums[genre] - within) / np.maximum(others, 1)
        cosines[:, genre] = np.where(others > 0, own, cosines.mean(axis=1))
        found = _beyond_average(cosines)
        found[others == 0, genre] = 0.0
        return found


def _cosines_within(vectors: Doubles, group_of: Ints, sizes: Ints) -> Doubles:
    """Return each row's summed products with the rows of its group, itself included: (n,).

    Most covers of a large corpus are alone in their group, so only the others are added up.
    """
    within = np.asarray(np.einsum("ij,ij->i", vectors, vectors))
    shared = np.flatnonzero(sizes[group_of] > 1)
    if len(shared):
        _, group = np.unique(group_of[shared], return_inverse=True)
        sums = np.zeros((group.max() + 1, vectors.shape[1]))
        np.add.at(sums, group, vectors[shared])
        within[shared] = np.einsum("ij,ij->i", vectors[shared], sums[group])
    return within


def _beyond_average(cosines: Doubles) -> Doubles:
    return np.asarray(cosines - cosines.mean(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a number stands among others."""

    below: int
    """How many of the others are below it."""

    equal: int
    """How many of the others are equal to it."""

    count: int
    """How many others there are."""

    @property
    def percentile(self) -> float:
        """The share of the others below it, equal ones counted half: 0 to 1."""
        return (self.below + self.equal / 2) / self.count


def standing(value: float, among: Doubles) -> Standing:
    """Say where a value stands among others, (n,), at least one."""
    return Standing(int((among < value).sum()), int((among == value).sum()), len(among))
