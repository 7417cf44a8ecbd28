"""Copies found by their miniatures: small, grey, framed, stickered and turned ones.

What is compared is how the grey levels of a miniature change from each cell to the next. Of these
480 differences the signed square roots are taken, so that a strong edge, such as that of a sticker,
does not outweigh all others. Two miniatures are as alike as the cosine of these numbers. Turns by a
quarter are tried too; mirrored copies are left to the vectors, which find them (100 % of 538).

A miniature that is plain (a blank cover, a title on a plain ground) proves nothing: it has too few
differences, and is left out.

Measured on 538 covers and their copies (0.75): 100, 60 px and grey copies 100 %, with a sticker
96 %, in a frame 97 %. Of 13.7 million pairs of unlike covers some 20 reach it: labels of records,
round and with a hole. From 0.87 on, none was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from albo.errors import StaleArtifact
from albo.images import MINIATURE_SIDE
from albo.neighbours.duplicates import CODE_ERROR, EXACT_UNTIL, NEAREST, build_lists

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from albo.records import Digest, Floats, Halves, Ints, Miniatures, Note, Progress
    from albo.store import MiniatureStore

    Pairs: TypeAlias = tuple[Ints, Ints, Floats]

GROUPED_MINIATURES = 0.75
"""The likeness from which covers are kept on one side of a split."""

SHOWN_MINIATURES = 0.87
"""The likeness from which covers are shown as copies of one artwork."""

_CLEAR_STEP = 4.0  # grey levels: a difference above what compression makes
_CLEAR_STEPS = 64  # of 480; covers that are pictures have 87 and more (99 % of 5,239)
_BLOCK_ROWS = 2048

WIDTH = 2 * MINIATURE_SIDE * (MINIATURE_SIDE - 1)
"""The numbers that are compared of a miniature."""

QUARTER_TURNS = (0, 1, 2, 3)
"""The turns to the left that are tried."""

_TURNS = (0, 1, 2)  # of pairs: a quarter to the left of one is a quarter to the right of the other


def looks_of(miniatures: Miniatures, turns: int = 0) -> tuple[Floats, Ints]:
    """Return the numbers by which miniatures are compared.

    Parameters
    ----------
    miniatures : uint8 (n, 2, 16, 16).
    turns : quarter turns to the left.

    Returns float32 (m, 480), unit rows, and int64 (m,), ascending, the miniature of each. A framed
    cover has two rows, a plain one none.
    """
    whole, inside = miniatures[:, 0], miniatures[:, 1]
    framed = np.flatnonzero((whole != inside).any(axis=(1, 2)))
    cells = np.concatenate([whole, inside[framed]]).astype(np.float32)
    owners = np.concatenate([np.arange(len(miniatures)), framed])
    order = np.argsort(owners, kind="stable")
    cells, owners = cells[order], owners[order]
    steps = _steps(np.rot90(cells, turns, axes=(1, 2)))
    is_clear = (np.abs(steps) > _CLEAR_STEP).sum(axis=1) >= _CLEAR_STEPS
    roots = np.sign(steps[is_clear]) * np.sqrt(np.abs(steps[is_clear]))
    return roots / np.linalg.norm(roots, axis=1, keepdims=True), owners[is_clear]


def _steps(cells: Floats) -> Floats:
    """Return the differences of neighbouring cells, without the slope of the whole.

    Parameters
    ----------
    cells : float32 (n, 16, 16).
    """
    across = np.diff(cells, axis=2).reshape(len(cells), WIDTH // 2)
    down = np.diff(cells, axis=1).reshape(len(cells), WIDTH // 2)
    # Without its slope a cover that fades from one colour into another is plain.
    return np.concatenate(
        [one - np.median(one, axis=1, keepdims=True) for one in (across, down)], 1
    )


def pairs_in(
    store: MiniatureStore,
    digests: Sequence[Digest],
    least: float,
    note: Note,
    progress: Progress | None = None,
) -> Iterator[Pairs]:
    """Find all pairs of copies among some stored covers.

    Parameters
    ----------
    store : the miniatures of covers.
    digests : the covers.
    least : the least likeness, above 0 and up to 1.
    note : told of covers without a miniature, and of a damaged store.
    progress : as of `alike_pairs`.

    Yields pairs as `alike_pairs` does, as positions in `digests`.
    """
    try:
        there, miniatures = store.read(digests)
    except StaleArtifact:
        there, miniatures = np.empty(0, np.int64), np.empty((0, 2, 1, 1), np.uint8)
    if lacking := len(digests) - len(there):
        covers = "1 cover has" if lacking == 1 else f"{lacking} covers have"
        note(
            f"{covers} no miniature yet, so small, grey and framed copies cannot be recognised; run"
            " `albo embed` to make what is missing"
        )
    if len(there):
        for first, second, likeness in alike_pairs(miniatures, least, progress):
            yield there[first], there[second], likeness


def alike_pairs(
    miniatures: Miniatures,
    least: float,
    progress: Progress | None = None,
    *,
    exact_until: int = EXACT_UNTIL,
) -> Iterator[Pairs]:
    """Find the pairs of miniatures that show the same picture.

    Parameters
    ----------
    miniatures : uint8 (n, 2, 16, 16).
    least : the least likeness, above 0 and up to 1.
    progress : called with the number of steps done and the number there are.
    exact_until : the largest n for which every pair is compared. Above, a miniature is compared
        with its 64 nearest only.

    Yields blocks of pairs: positions i < j, int64 (p,) each, and their likeness, float32 (p,). A
    pair comes several times where it is alike in several ways.
    """
    compare = _compare_all if len(miniatures) <= exact_until else _compare_nearest
    starts = range(0, len(miniatures), _BLOCK_ROWS)
    total = len(_TURNS) * len(starts)
    rows, owners = _all_looks(miniatures)
    done = 0
    for found in compare(miniatures, rows, owners, least):
        if found is None:
            done += 1
            (progress or _silent)(done, total)
            continue
        first, second, likeness = found
        differ = first != second
        if differ.any():
            first, second = first[differ], second[differ]
            yield np.minimum(first, second), np.maximum(first, second), likeness[differ]


def _silent(_done: int, _total: int | None) -> None:
    """Report nothing."""


def _all_looks(miniatures: Miniatures) -> tuple[Halves, Ints]:
    """Return the numbers of many miniatures, in half precision: a gigabyte for a million."""
    blocks = range(0, len(miniatures), _BLOCK_ROWS)
    looks = [looks_of(miniatures[start : start + _BLOCK_ROWS]) for start in blocks]
    rows = [row.astype(np.float16) for row, _ in looks]
    owners = [owner + start for (_, owner), start in zip(looks, blocks, strict=True)]
    if not rows:
        return np.empty((0, WIDTH), np.float16), np.empty(0, int)
    return np.concatenate(rows), np.concatenate(owners)


def _turned(miniatures: Miniatures) -> Iterator[tuple[int, Floats, Ints]]:
    """Yield the numbers of turned miniatures in blocks: the turns, the rows, their owners."""
    for turns in _TURNS:
        for start in range(0, len(miniatures), _BLOCK_ROWS):
            rows, owners = looks_of(miniatures[start : start + _BLOCK_ROWS], turns)
            yield turns, rows, owners + start


def _compare_all(
    miniatures: Miniatures, rows: Halves, owners: Ints, least: float
) -> Iterator[Pairs | None]:
    """Compare every pair; yield None after each step."""
    for turns, block, askers in _turned(miniatures):
        # Half a turn, or none, leads from one to the other and back: each pair is compared once.
        start = int(np.searchsorted(owners, askers.min(initial=0))) if turns % 2 == 0 else 0
        for left in range(start, len(rows), _BLOCK_ROWS):
            likeness = block @ rows[left : left + _BLOCK_ROWS].astype(np.float32).T
            at, to = np.divmod(np.flatnonzero(likeness >= least), likeness.shape[1])
            yield askers[at], owners[left + to], np.minimum(likeness[at, to], 1.0)
        yield None


def _compare_nearest(
    miniatures: Miniatures, rows: Halves, owners: Ints, least: float
) -> Iterator[Pairs | None]:
    """Compare each miniature with its nearest in a space of fewer dimensions."""
    projection, lists = build_lists(rows)
    radius = 2 - 2 * least + CODE_ERROR
    for _, block, askers in _turned(miniatures):
        distances, found = lists.search(projection.apply(block), NEAREST)
        at, place = np.nonzero((distances <= radius) & (found >= 0))
        to = found[at, place]
        likeness = np.einsum("nd,nd->n", block[at], rows[to].astype(np.float32))
        near = likeness >= least
        yield askers[at[near]], owners[to[near]], np.minimum(likeness[near], 1.0)
        yield None
