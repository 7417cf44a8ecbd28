"""Merge small parts of a store: parts stay few, and each row is rarely rewritten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from albo.store.part_files import Part, next_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from albo.store.parts import Parts


LARGE_PART = 65_536
"""A part with this many rows or more is never merged."""

MAX_SMALL_PARTS = 32
"""Small parts that may gather before a run merges them."""


def are_many(parts: Sequence[Part]) -> bool:
    """Whether so many small parts have gathered that they should be merged now."""
    return sum(part.rows < LARGE_PART for part in parts) >= MAX_SMALL_PARTS


def merge_parts(store: Parts[Any], fresh: int) -> None:
    """Merge neighbouring small parts; the last `fresh` parts belong together.

    Order and content stay. The caller holds the writer lock. Raises StaleArtifact, CannotWrite;
    then nothing has changed.
    """
    parts = store.listed()
    merged: list[Part] = []
    number = next_number(parts)
    for start, stop in plan_merges([part.rows for part in parts], fresh):
        if stop - start == 1:
            merged.append(parts[start])
        else:
            merged.append(store.write(number, _tables_of(store, parts[start:stop])))
            number += 1
    if len(merged) < len(parts):
        store.save(merged)


def plan_merges(rows: Sequence[int], fresh: int) -> list[tuple[int, int]]:
    """Choose which neighbouring parts to merge.

    Parts of 65,536 rows and more are never merged. The last `fresh` small parts, of one run, become
    one. An older part joins if it has less than twice the rows of those after it. So each row is
    rewritten a logarithmic number of times, and the number of small parts is logarithmic
    (the logarithmic method of Bentley and Saxe 1980).

    Parameters
    ----------
    rows
        The number of rows of each part, in stored order.
    fresh
        How many of the last parts the current run has written.

    Returns (start, stop) for each resulting part: positions in `rows`.
    """
    groups = []
    stop = len(rows)
    first_fresh = stop - fresh
    while stop > 0:
        start = stop - 1
        total = rows[start]
        while start > 0 and max(total, rows[start - 1]) < LARGE_PART:
            if start - 1 < first_fresh and rows[start - 1] >= 2 * total:
                break
            start -= 1
            total += rows[start]
        groups.append((start, stop))
        stop = start
    return groups[::-1]


def _tables_of(store: Parts[Any], parts: list[Part]) -> Iterator[pa.Table]:
    """Read the rows of some parts, one row group at a time, in bounded memory."""
    for part in parts:
        with store.open_one(part) as source:
            yield from source.tables()
