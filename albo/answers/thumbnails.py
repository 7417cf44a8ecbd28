"""A cover as shops and players show it in lists: so small that its words may be lost."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from albo.words import MOST, is_read, largest_text, lines_with, share_read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from albo.records import Floats, Line, Words


THUMBNAIL = 55
"""Pixels of the longer side of the smallest pictures in shops and players."""

_TIMES = 8  # that a thumbnail is scaled up for the reader
_LEAST_HEIGHT = 3.0  # pixels of a line on a thumbnail; what is lower was never read
# Light to dark in a line's place, below which nobody sees what a reader may: off-white on white.
# Of the lines on 247 real covers that were read, none had less than 1.44.
_LEAST_CONTRAST = 1.25
_PART = 0.25  # of a title's letters, from which on a part of it can be read


class Seen(StrEnum):
    """What of a title is read on a thumbnail, in words for people."""

    LEGIBLE = "legible"
    PARTLY = "in part"
    LOST = "lost"

    UNCLEAR = "unclear"
    """The word reader sees only a part of it on the cover itself."""

    MISSING = "not found"
    """The word reader sees nothing of it on the cover itself."""


@dataclass(frozen=True, slots=True)
class SmallLine:
    """A line of a cover, as it is on a thumbnail."""

    text: str
    """What is read on the cover itself."""

    pixels: float
    """Its height there, in pixels of the thumbnail."""

    read: str
    """What is read on the thumbnail; "" for nothing."""

    @property
    def legible(self) -> bool:
        """Whether most of its letters are read there."""
        return is_read(self.text, [self.read])


@dataclass(frozen=True, slots=True)
class Title:
    """A cover's title: as its people name it, else the largest text on it."""

    text: str
    """The title itself."""

    is_named: bool
    """Whether people named it; else it is the largest text on the cover."""

    on_cover: float
    """The share of its letters that the word reader sees on the cover itself, 0 to 1."""

    share: float
    """The share of its letters that the word reader sees on a thumbnail, 0 to 1."""

    pixels: float
    """The height of the tallest of its lines on a thumbnail, in pixels; 0 where none is known."""

    @property
    def seen(self) -> Seen:
        """What the reader sees of it on a thumbnail, or why that cannot be told."""
        if self.share >= MOST:
            return Seen.LEGIBLE
        if self.on_cover < MOST:
            return Seen.UNCLEAR if self.on_cover >= _PART else Seen.MISSING
        return Seen.PARTLY if self.share >= _PART else Seen.LOST

    @property
    def is_found(self) -> bool:
        """Whether it is on the cover, for all that the reader sees."""
        return self.seen not in {Seen.UNCLEAR, Seen.MISSING}

    @property
    def legible(self) -> bool:
        """Whether it can be read on a thumbnail."""
        return self.seen is Seen.LEGIBLE


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A cover at 55 pixels, and what of its words can be read there."""

    picture: bytes = field(repr=False)
    """PNG."""

    lines: tuple[SmallLine, ...] = ()
    """Its lines, the tallest first."""

    title: Title | None = None
    """None where nobody named one and nothing was read."""


def shrink(
    page: Image.Image,
    words: Words | None,
    read_at: Callable[[Image.Image, Sequence[Line]], Sequence[str]],
    title: str = "",
) -> Thumbnail:
    """Shrink a cover to a thumbnail, and see what of its words can still be read.

    Parameters
    ----------
    page : the cover, RGB, large.
    words : what was read on it; None where nobody read it.
    read_at : reads a picture where its lines are known to be, as `Reader.read_at`.
    title : the title that it is to bear; "" where nobody named one.
    """
    small = thumbnail_of(page)
    if words is None or words.error:
        return Thumbnail(_png(small))
    again = read_small(small, words, read_at)
    lines = [
        SmallLine(line.text, line.height(*small.size), text)
        for line, text in zip(words.lines, again, strict=True)
    ]
    lines.sort(key=lambda line: -line.pixels)
    return Thumbnail(_png(small), tuple(lines), _find_title(title, words, again, small.size))


def read_small(
    small: Image.Image,
    words: Words,
    read_at: Callable[[Image.Image, Sequence[Line]], Sequence[str]],
) -> list[str]:
    """Read a thumbnail, scaled up, where the lines of its cover are: a text each, "" for none."""
    luminance = _luminance(small)
    visible = [
        line
        for line in words.lines
        if line.height(*small.size) >= _LEAST_HEIGHT
        and _contrast(luminance, line) >= _LEAST_CONTRAST
    ]
    if not visible:
        return [""] * len(words.lines)
    size = (small.width * _TIMES, small.height * _TIMES)
    texts = read_at(small.resize(size, Image.Resampling.BICUBIC), visible)
    read = dict(zip(visible, texts, strict=True))
    return [read.get(line, "") for line in words.lines]


def _luminance(image: Image.Image) -> Floats:
    """Return the relative luminance of each pixel, 0 to 1 (WCAG 2.2)."""
    share = np.asarray(image.convert("RGB"), np.float32) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004
    return np.asarray(linear @ np.array([0.2126, 0.7152, 0.0722], np.float32))


def _contrast(luminance: Floats, line: Line) -> float:
    """Return the contrast of the light and the dark of a line's place, from 1 (WCAG 2.2)."""
    high, wide = luminance.shape
    left, right = _covered(line.box[::2], wide)
    top, bottom = _covered(line.box[1::2], high)
    dark, light = np.percentile(luminance[top:bottom, left:right], [10, 90])
    return float((light + 0.05) / (dark + 0.05))


def _covered(shares: Sequence[float], side: int) -> tuple[int, int]:
    """Return the first pixel of a side that shares of it touch, and the one after the last."""
    first = min(int(min(shares) * side), side - 1)
    return first, max(math.ceil(max(shares) * side), first + 1)


def _find_title(
    title: str, words: Words, again: Sequence[str], size: tuple[int, int]
) -> Title | None:
    """Say which title a cover has, and how much of it is read again at that size."""
    said = lines_with(title, words) if title else largest_text(words, *size)
    text = title or " ".join(line.text for line in said)
    if not text:
        return None
    on_cover = share_read(text, [line.text for line in words.lines]) if title else 1.0
    pixels = max((line.height(*size) for line in said), default=0.0)
    found = Title(text, bool(title), on_cover, share_read(text, again), pixels)
    return found if found.is_found else replace(found, pixels=0.0)


def thumbnail_of(page: Image.Image) -> Image.Image:
    """Return a cover as a thumbnail."""
    found = page.copy()
    found.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return found


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
