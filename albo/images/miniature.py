"""The miniature of a cover: a tiny grey picture, by which copies are recognised.

A network sees a sharp cover and its 100-pixel copy as two pictures (cosine below 0.83 for 92 % of
538 covers), and a grey copy too. What survives is where the picture is bright and where it is dark.
So each cover has a miniature of 16 x 16 grey levels beside its vector, made of the pixels that the
network gets. Where the cover stands in a plain frame, a second one shows what the frame holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from albo.records import Miniatures, Pixels

MINIATURE_SIDE = 16
"""Pixels on a side of a miniature."""

_WIDEST_FRAME = 0.2  # of the side; text on a plain ground has a wider margin, and is no frame
_NARROWEST_FRAME = 2  # pixels: a scan often has a line at its edge
_FLAT = 24.0  # the most that a level of a frame's outermost line may differ from its median
_ABOUT_FLAT = (36.0, 6.0)  # for its further lines: the most, and on average


def miniature_of(pixels: Pixels) -> Miniatures:
    """
    Shrink a decoded cover to its miniature.

    Parameters
    ----------
    pixels
        uint8 (height, width, 3), RGB.

    Returns
    -------
    miniature
        uint8 (2, 16, 16), grey levels (ITU-R BT.601 luma) averaged over areas: the whole cover, and
        the cover inside its frame. Both are equal where there is no frame.
    """
    from PIL import Image

    grey = Image.fromarray(pixels).convert("L")
    side = (MINIATURE_SIDE, MINIATURE_SIDE)
    whole = np.asarray(grey.resize(side, Image.Resampling.BOX))
    inside = _inside_frame(np.asarray(grey))
    if inside is None:
        return np.stack([whole, whole])
    return np.stack([whole, np.asarray(grey.resize(side, Image.Resampling.BOX, box=inside))])


def _inside_frame(grey: Pixels) -> tuple[int, int, int, int] | None:
    """Return the box inside a plain frame: left, top, right, bottom; None where there is none.

    Parameters
    ----------
    grey : uint8 (height, width).
    """
    height, width = grey.shape
    sides = (grey.T, grey, grey.T[::-1], grey[::-1])
    # Most covers are through after a line or two.
    if any(np.ptp(lines[0]) > 2 * _FLAT for lines in sides):
        return None
    left, top, right, bottom = map(_plain_lines, sides)
    if min(left, top, right, bottom) < _NARROWEST_FRAME:
        return None
    return left, top, width - right, height - bottom


def _plain_lines(lines: Pixels) -> int:
    """Count the lines of one colour from the first on; 0 where they are too many for a frame.

    Parameters
    ----------
    lines : uint8 (lines, pixels), the outermost line first.
    """
    most = int(len(lines) * _WIDEST_FRAME)
    level = float(np.median(lines[0]))
    apart = np.abs(lines[: most + 1].astype(np.float32) - level)
    if apart[0].max() > _FLAT:
        return 0
    largest, mean = _ABOUT_FLAT
    is_plain = (apart.max(axis=1) <= largest) & (apart.mean(axis=1) <= mean)
    count = len(is_plain) if is_plain.all() else int(is_plain.argmin())
    return count if count <= most else 0
