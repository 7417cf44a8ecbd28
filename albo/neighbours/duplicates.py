"""Near-duplicates: the same artwork in another scan, crop, size or compression.

Two covers are near-duplicates where the cosine of their vectors reaches a threshold, or where
something else links them, such as their miniatures (`miniatures`). Up to 50,000
covers every pair is compared. Above, an inverted file over principal components proposes the
nearest 64 of each cover, and these are compared exactly.

Near-duplicates form chains: in a series of records with one layout, the first cover can be like the
second and the second like the third, but the first not like the third. A group here is a connected
component, as in splits. In a chain, `lowest` is below the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from albo.arrays import unit_rows
from albo.errors import UsageError
from albo.neighbours.lists import choose_nlist, draw
from albo.neighbours.rows import UNIT_TOLERANCE, load_faiss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from albo.records import Floats, Halves, Ints, Progress

Pairs: TypeAlias = "tuple[Ints, Ints, Floats]"
"""Rows i < j, int64 (p,) each, and how alike they are, float32 (p,)."""


EXACT_UNTIL = 50_000
"""The most covers for which every pair is compared."""

_BLOCK_ROWS = 2048
_ROUNDING = 2e-6
"""How far a float32 dot product of two equal unit rows may be from 1."""

NEAREST = 64
"""How many near covers of each are compared where not every pair is."""

CODE_ERROR = 0.02
"""By how much the codes of the lists may change a squared distance."""

_NPROBE = 16
_COMPONENTS = 128
_TRAINING_BYTES = 128 << 20
_POINTS_PER_LIST = 40
_COMPARED_ROWS = 8192
_LEADERS = 32


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Covers joined by near-duplicate links."""

    rows: tuple[int, ...]
    """The positions of two or more covers among all vectors given, the most alike first."""

    scores: tuple[float, ...]
    """For each cover how alike it is to the most similar cover of the group, descending.

    It is the cosine of their vectors, or the likeness that `also` gave where that is greater.
    """

    lowest: float
    """The lowest cosine of a cover to the group's first.

    It is below the threshold where some covers are joined only through others.
    """


def near_duplicate_links(
    vector: Floats | Halves,
    threshold: float,
    progress: Progress | None = None,
    *,
    also: Iterable[Pairs] = (),
    exact_until: int = EXACT_UNTIL,
) -> Ints:
    """Link near-duplicates, with only the links that the connected components need.

    Each cover of a component is linked to the component's first: at most n - 1 links however many
    pairs there are, in little memory. A link need not be a near-duplicate pair itself.

    Parameters
    ----------
    vector : float32 or float16 (n, d), unit rows.
    threshold : the least cosine, above 0 and up to 1.
    progress : called with the number of steps done and the number there are.
    also : further links, in blocks: rows i < j, int64 (p,) each, and how alike they are, up to 1.
    exact_until : the largest n for which every pair is compared. Above, a cover is compared with
        its 64 nearest only, so pairs are left out where it has more near-duplicates.

    Returns int64 (p, 2), i < j, ascending by j.
    Raises UsageError for a threshold out of range and rows that are not of unit length.
    """
    pairs = _find_pairs(vector, threshold, progress, exact_until)
    labels, _ = _join_all(len(vector), chain(pairs, also))
    own = np.arange(len(labels))
    linked = own[labels != own]
    return np.stack([labels[linked], linked], axis=1)


def duplicate_groups(
    vector: Floats | Halves,
    threshold: float,
    progress: Progress | None = None,
    *,
    also: Iterable[Pairs] = (),
    exact_until: int = EXACT_UNTIL,
) -> list[DuplicateGroup]:
    """Group near-duplicates: the connected components of two or more covers.

    Parameters and errors as `near_duplicate_links`. Returns the groups, the one with the most
    alike pair first; equal ones by their first row.
    """
    pairs = _find_pairs(vector, threshold, progress, exact_until)
    labels, best = _join_all(len(vector), chain(pairs, also))
    order = np.lexsort((np.arange(len(labels)), -best, labels))
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    groups = [
        _describe(vector, rows, best[rows]) for rows in np.split(order, starts[1:]) if len(rows) > 1
    ]
    return sorted(groups, key=lambda group: (-group.scores[0], group.rows[0]))


def _describe(vector: Floats | Halves, rows: Ints, scores: Floats) -> DuplicateGroup:
    first = _as_unit(vector[rows[:1]])[0]
    lowest = 1.0
    for start in range(0, len(rows), _COMPARED_ROWS):
        members = _as_unit(vector[rows[start : start + _COMPARED_ROWS]])
        lowest = min(lowest, float((members @ first).min()))
    return DuplicateGroup(tuple(rows.tolist()), tuple(scores.tolist()), lowest)


def _join_all(count: int, pairs: Iterable[Pairs]) -> tuple[Ints, Floats]:
    """Return for each of n covers the lowest row of its component, and how alike its best link is.

    Parameters
    ----------
    pairs : the links, in blocks as `near_duplicate_links` has them.
    """
    labels = np.arange(count)
    best = np.full(count, -1.0, dtype=np.float32)
    for first, second, score in pairs:
        np.maximum.at(best, first, score)
        np.maximum.at(best, second, score)
        # Most pairs of a crowd of similar covers are joined already.
        apart = labels[first] != labels[second]
        if apart.any():
            labels = _join(labels, first[apart], second[apart])
    return labels, best


def _join(labels: Ints, first: Ints, second: Ints) -> Ints:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(labels)
    edges = (labels[first], labels[second])
    graph = coo_array((np.ones(len(first), np.int8), edges), (size, size))
    component = connected_components(graph, directed=False)[1]
    lowest = np.full(size, size, dtype=np.int64)
    np.minimum.at(lowest, component[labels], np.arange(size))
    joined: Ints = lowest[component[labels]]
    return joined


def _find_pairs(
    vector: Floats | Halves, threshold: float, progress: Progress | None, exact_until: int
) -> Iterator[Pairs]:
    """Yield the near-duplicates in blocks: rows i < j and their cosines.

    Each pair comes once where every pair is compared, else perhaps several times.
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"threshold={threshold:g}; give a cosine above 0 and up to 1")
    if vector.ndim != 2:  # noqa: PLR2004
        raise UsageError(f"vectors of shape {vector.shape}; give (n, d)")
    report = progress or (lambda _done, _total: None)
    # Equal rows have to reach a threshold of 1, but their dot product may round below it.
    least = min(threshold, 1 - _ROUNDING)
    if len(vector) <= exact_until:
        return _compare_all(vector, least, report)
    return _compare_nearest(vector, least, report)


def _as_unit(rows: Floats | Halves) -> Floats:
    return unit_rows(rows, UNIT_TOLERANCE, _refuse_length)


def _refuse_length(length: float) -> UsageError:
    return UsageError(f"a vector has length {length:g}; give finite rows of unit length")


def _compare_all(vector: Floats | Halves, least: float, report: Progress) -> Iterator[Pairs]:
    """Multiply blocks of rows on and above the diagonal."""
    starts = range(0, len(vector), _BLOCK_ROWS)
    total = len(starts) * (len(starts) + 1) // 2
    done = 0
    for top in starts:
        rows = _as_unit(vector[top : top + _BLOCK_ROWS])
        for left in starts[top // _BLOCK_ROWS :]:
            columns = rows if left == top else _as_unit(vector[left : left + _BLOCK_ROWS])
            cosines = rows @ columns.T
            if left == top:
                cosines[np.tri(len(rows), dtype=np.bool_)] = -1.0
            first, second = np.divmod(np.flatnonzero(cosines >= least), len(columns))
            if len(first):
                yield first + top, second + left, np.minimum(cosines[first, second], 1.0)
            done += 1
            report(done, total)


def _compare_nearest(vector: Floats | Halves, least: float, report: Progress) -> Iterator[Pairs]:
    """Compare each cover with its nearest in a space of fewer dimensions.

    A projection never moves rows apart: pairs within a squared distance of 2 - 2 cos stay within
    it, except for the error of the codes.
    """
    projection, lists = build_lists(vector)
    radius = 2 - 2 * least + CODE_ERROR
    count = len(vector)
    crowd: list[Ints] = []
    for start in range(0, count, _BLOCK_ROWS):
        block = projection.apply(_as_unit(vector[start : start + _BLOCK_ROWS]))
        distances, found = lists.search(block, NEAREST)
        is_near = distances <= radius
        crowd.append(start + np.flatnonzero((is_near | (found < 0)).all(axis=1)))
        at, place = np.nonzero(is_near & (found >= 0))
        own, other = at + start, found[at, place]
        first, second = np.minimum(own, other), np.maximum(own, other)
        keys = np.unique((first * count + second)[first < second])
        yield from _compare(vector, *np.divmod(keys, count), least)
        report(min(start + _BLOCK_ROWS, count), 2 * count)
    yield from _compare_crowd(
        vector, np.concatenate(crowd), least, lambda left: report(2 * count - left, 2 * count)
    )


def _compare_crowd(
    vector: Floats | Halves, crowd: Ints, least: float, report: Callable[[int], None]
) -> Iterator[Pairs]:
    """Join crowds: covers with more near covers than the search returns.

    A few of them are compared with all, then twice as many of those that were not reached, and so
    on. So similar covers are joined at once. Covers that only the projection made near are compared
    in blocks like those of `_compare_all`, each pair once.

    Parameters
    ----------
    report : called with the number of covers that are left.
    """
    left, others, size = crowd, crowd, _LEADERS
    while len(left):
        report(len(left))
        leaders, reached = left[:size], [left[:size]]
        rows = _as_unit(vector[leaders])
        for start in range(0, len(others), _BLOCK_ROWS):
            some = others[start : start + _BLOCK_ROWS]
            cosines = rows @ _as_unit(vector[some]).T
            at, place = np.nonzero((cosines >= least) & (leaders[:, None] != some))
            first = np.minimum(leaders[at], some[place])
            second = np.maximum(leaders[at], some[place])
            yield first, second, np.minimum(cosines[at, place], 1.0)
            reached.append(some[cosines.max(axis=0) >= least])
        left = np.setdiff1d(left, np.concatenate(reached))
        others = np.setdiff1d(others, leaders)
        size = min(2 * size, _BLOCK_ROWS)
    report(0)


def _compare(vector: Floats | Halves, first: Ints, second: Ints, least: float) -> Iterator[Pairs]:
    for start in range(0, len(first), _COMPARED_ROWS):
        some, others = (rows[start : start + _COMPARED_ROWS] for rows in (first, second))
        cosines = np.einsum("nd,nd->n", _as_unit(vector[some]), _as_unit(vector[others]))
        near = cosines >= least
        if near.any():
            yield some[near], others[near], np.minimum(cosines[near], 1.0)


def build_lists(vector: Floats | Halves) -> tuple[Any, Any]:
    """Fit PCA and an inverted file of 8-bit codes to a sample, and add all rows."""
    faiss = load_faiss()
    count, dimension = vector.shape
    components = min(dimension, _COMPONENTS)
    nlist = choose_nlist(count)
    random = np.random.default_rng(0)
    projection = faiss.PCAMatrix(dimension, components)
    sample = draw(random, count, max(dimension, _TRAINING_BYTES // (4 * dimension)))
    projection.train(_as_unit(vector[sample]))
    quantiser = faiss.IndexFlatL2(components)
    lists = faiss.IndexIVFScalarQuantizer(
        quantiser, components, nlist, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2
    )
    lists.cp.min_points_per_centroid = 1
    lists.train(_project(projection, vector, draw(random, count, _POINTS_PER_LIST * nlist)))
    for start in range(0, count, _BLOCK_ROWS):
        lists.add(projection.apply(_as_unit(vector[start : start + _BLOCK_ROWS])))
    lists.nprobe = _NPROBE
    return projection, lists


def _project(projection: Any, vector: Floats | Halves, rows: Ints) -> Floats:  # noqa: ANN401
    blocks = (rows[start : start + _BLOCK_ROWS] for start in range(0, len(rows), _BLOCK_ROWS))
    return np.concatenate([projection.apply(_as_unit(vector[block])) for block in blocks])
