"""Where text is on a cover: boxes from the detector's map; each line is cut out and laid flat.

Level, slanted and vertical text is distinguished here: `cut_lines` turns a line that is far higher
than wide both ways, and the reader keeps the turn with the higher confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albo.records import Bools, Doubles, Floats, Ints


Corners: TypeAlias = "Doubles"
"""The corners of a rectangle, (4, 2): x and y."""

MAX_LINES = 200
"""The most places read on one cover: an image of noise must not take minutes."""

_GRID = 32  # the detector halves its image five times
# An image is scaled to the area of a square of this side. RapidOCR's 736 takes a fifth longer and
# reads no more of the artists' and albums' names; below 576, names are lost.
_SIDE = 640
_LONGEST = 8  # times the shorter side; longer images get borders
_IS_TEXT = 0.3  # of the detector's map
_BOX_SCORE = 0.5
_UNCLIP = 1.6
_SHORTEST_SIDE = 3.0  # of a place, in pixels of the map
_SHORTEST_GROWN = 5.0
_SAME_ROW = 10.0  # pixels between the tops of two boxes side by side
_UPRIGHT = 1.5  # times as high as wide: text that runs upwards or downwards

BOX_SETTINGS = {
    "MAX_LINES": MAX_LINES,
    "_GRID": _GRID,
    "_SIDE": _SIDE,
    "_LONGEST": _LONGEST,
    "_IS_TEXT": _IS_TEXT,
    "_BOX_SCORE": _BOX_SCORE,
    "_UNCLIP": _UNCLIP,
    "_SHORTEST_SIDE": _SHORTEST_SIDE,
    "_SHORTEST_GROWN": _SHORTEST_GROWN,
    "_SAME_ROW": _SAME_ROW,
    "_UPRIGHT": _UPRIGHT,
}
"""The settings that decide which places are found: part of the reader's fingerprint."""


# --- where text is -------------------------------------------------------------------------------


def with_borders(image: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """Put black borders around an image that is far longer than wide; return their widths too."""
    width, height = image.size
    least = -(-max(width, height) // _LONGEST)
    if min(width, height) >= least:
        return image, (0, 0)
    size = max(width, least), max(height, least)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    bordered = Image.new("RGB", size)
    bordered.paste(image, (left, top))
    return bordered, (left, top)


def size_to_look_at(width: int, height: int) -> tuple[int, int]:
    """Return the size for the detector: its area, in whole steps of its grid."""
    scale = _SIDE / (width * height) ** 0.5
    wide, high = (max(1, round(side * scale / _GRID)) * _GRID for side in (width, height))
    return wide, high


@dataclass(frozen=True, slots=True)
class _Box:
    """A rectangle on the detector's map, in its pixels."""

    centre: Doubles
    """Its middle (2,): x and y."""

    along: Doubles
    """A vector (2,) of unit length along its first side."""

    size: Doubles
    """Its lengths (2,), along and across."""

    def corners(self, more: float = 0.0) -> Corners:
        """Return its corners (4, 2), in order around it; `more` is added on each side."""
        x, y = self.along
        half = self.size / 2 + more
        one, other = half[0] * np.array([x, y]), half[1] * np.array([-y, x])
        corners: Corners = self.centre + np.stack(
            [-one - other, one - other, one + other, other - one]
        )
        return corners


def find_boxes(marked: Floats) -> Iterator[Corners]:
    """Find the rectangles of text in the detector's map: corners (4, 2), grown to hold the text."""
    for ends in _blobs(_spread(marked > _IS_TEXT))[:MAX_LINES]:
        box = _smallest_box(ends)
        if box.size.min() < _SHORTEST_SIDE or _score(marked, box.corners()) < _BOX_SCORE:
            continue
        # The detector was trained on shrunken text: area / perimeter gives the missing width.
        more = _UNCLIP * box.size.prod() / (2 * box.size.sum())
        if box.size.min() + 2 * more >= _SHORTEST_GROWN:
            yield box.corners(more)


def _spread(mask: Bools) -> Bools:
    """Widen by a pixel to the right and below, so that pixels touching at a corner connect."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[1:] |= wide[:-1].copy()
    return wide


def _blobs(mask: Bools) -> list[Ints]:
    """Find 8-connected components: the ends of their runs as points (n, 2), x and y.

    The largest come first.
    """
    height, width = mask.shape
    stride = width + 2  # a row never touches the next
    flat = np.zeros((height, stride), np.int8)
    flat[:, 1:-1] = mask
    edges = np.flatnonzero(np.diff(flat.ravel(), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return []
    owner = _joined(starts, ends, stride)
    order = np.argsort(owner, kind="stable")
    cuts = np.flatnonzero(np.diff(owner[order])) + 1
    groups = np.split(order, cuts)
    areas = np.add.reduceat(ends[order] - starts[order], np.concatenate([[0], cuts]))
    found = []
    for number in np.argsort(-areas, kind="stable"):
        runs = groups[number]
        y, first = np.divmod(starts[runs], stride)
        last = (ends[runs] - 1) % stride
        found.append(np.stack([np.concatenate([first, last]) - 1, np.concatenate([y, y])], axis=1))
    return found


def _joined(starts: Ints, ends: Ints, stride: int) -> Ints:
    """Give each run of pixels the number of the first run that it is connected with."""
    first = np.searchsorted(ends, starts + stride, side="left")
    last = np.searchsorted(starts, ends + stride, side="right")
    parent = list(range(len(starts)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for run, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for below in range(low, high):
            one, other = root(run), root(below)
            parent[max(one, other)] = min(one, other)
    return np.array([root(run) for run in range(len(parent))])


def _smallest_box(points: Ints) -> _Box:
    """Return the rectangle of least area around points (n, 2): one side lies on their hull."""
    hull = _hull(points)
    sides = np.roll(hull, -1, axis=0) - hull
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    along = np.array([[1.0, 0.0]])
    if (lengths > 0).any():
        along = sides[lengths > 0] / lengths[lengths > 0, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    u, v = hull @ along.T, hull @ across.T
    low = np.stack([u.min(axis=0), v.min(axis=0)], axis=1)
    high = np.stack([u.max(axis=0), v.max(axis=0)], axis=1)
    best = int((high - low).prod(axis=1).argmin())
    middle = (low[best] + high[best]) / 2
    centre = middle[0] * along[best] + middle[1] * across[best]
    return _Box(centre, along[best], high[best] - low[best])


def _hull(points: Ints) -> Doubles:
    """Return the convex hull of points (n, 2), in order around it (Andrew 1979)."""
    ordered = sorted(set(map(tuple, points.tolist())))
    if len(ordered) < 3:  # noqa: PLR2004  a point or a line
        return np.array(ordered, np.float64)
    lower, upper = _chain(ordered), _chain(ordered[::-1])
    return np.array(lower[:-1] + upper[:-1], np.float64)


def _chain(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    chain: list[tuple[int, int]] = []
    for x, y in points:
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2:]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def _score(marked: Floats, corners: Corners) -> float:
    """Return the mean of the map within a rectangle."""
    height, width = marked.shape
    left, top = np.floor(corners.min(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    right, bottom = np.ceil(corners.max(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    part = marked[top : bottom + 1, left : right + 1]
    y, x = np.ogrid[top : bottom + 1, left : right + 1]
    inside = np.ones(part.shape, np.bool_)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = max(np.hypot(bx - ax, by - ay), 1e-9)
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= -0.5 * length
    return float(part[inside].mean()) if inside.any() else 0.0


def place_on_image(
    corners: Corners, scale: Doubles, offset: tuple[int, int], size: tuple[int, int]
) -> Corners | None:
    """Scale a box of the map to the image, from the corner where its text begins; None if small."""
    placed = (np.round(corners * scale) - offset).clip(0, np.subtract(size, 1))
    left, right = np.split(placed[np.argsort(placed[:, 0], kind="stable")], 2)
    (top_left, bottom_left), (top_right, bottom_right) = (
        side[np.argsort(side[:, 1], kind="stable")] for side in (left, right)
    )
    if min(_distance(top_left, top_right), _distance(top_left, bottom_left)) < _SHORTEST_SIDE + 1:
        return None
    return np.stack([top_left, top_right, bottom_right, bottom_left])


def _distance(one: Doubles, other: Doubles) -> float:
    return float(np.hypot(*(one - other)))


def in_order(boxes: list[Corners]) -> list[Corners]:
    """Sort from top to bottom; boxes at about the same height from left to right."""
    boxes = sorted(boxes, key=lambda corners: float(corners[0, 1]))
    rows: list[list[Corners]] = []
    for corners in boxes:
        if rows and corners[0, 1] - rows[-1][-1][0, 1] < _SAME_ROW:
            rows[-1].append(corners)
        else:
            rows.append([corners])
    return [each for row in rows for each in sorted(row, key=lambda corners: float(corners[0, 0]))]


# --- one line ------------------------------------------------------------------------------------


def cut_lines(image: Image.Image, corners: Corners) -> Iterator[tuple[Image.Image, Corners]]:
    """Cut a line out and make it level; yield it with its corners, first the one where it begins.

    A line far higher than wide may run downwards or upwards, so it is yielded both ways.
    """
    a, b, c, d = corners
    width = max(1, int(max(_distance(a, b), _distance(c, d))))
    height = max(1, int(max(_distance(a, d), _distance(b, c))))
    if _is_level(corners):
        (left, top), (right, bottom) = a.astype(int), c.astype(int)
        line = image.crop((left, top, right, bottom))
    else:
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        line = image.transform(
            (width, height),
            Image.Transform.PERSPECTIVE,
            _perspective(flat, corners),
            Image.Resampling.BICUBIC,
        )
    if height < _UPRIGHT * width:
        yield line, corners
        return
    yield line.transpose(Image.Transpose.ROTATE_90), np.roll(corners, -1, axis=0)
    yield line.transpose(Image.Transpose.ROTATE_270), np.roll(corners, 1, axis=0)


def _is_level(corners: Corners) -> bool:
    a, b, c, d = corners
    return bool(a[1] == b[1] and c[1] == d[1] and a[0] == d[0] and b[0] == c[0])


def _perspective(source: Corners, target: Corners) -> list[float]:
    """Return the eight numbers that map corners (4, 2) to others, as Pillow takes them."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solved = np.linalg.solve(np.array(rows), target.ravel())
    return [float(number) for number in solved]
