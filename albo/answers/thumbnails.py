"""A cover at the small size of lists in shops and players, where its words may be lost."""

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
"""The longer side, in pixels, of the smallest pictures in shops and players."""

_TIMES = 8  # the factor by which a thumbnail is scaled up for the reader
_LEAST_HEIGHT = 3.0  # pixels of a line on a thumbnail; lower ones were never read
# The least contrast of a line: below it people see nothing, though the reader may (off-white on
# white). Of the lines read on 247 real covers, none had less than 1.44.
_LEAST_CONTRAST = 1.25
_PART = 0.25  # of a title's letters: from here on a part of it can be read


class Seen(StrEnum):
    """How much of a title is read on a thumbnail, in words for users."""

    LEGIBLE = "legible"
    PARTLY = "in part"
    LOST = "lost"

    UNCLEAR = "unclear"
    """The word reader reads only a part of it on the full-size cover."""

    MISSING = "not found"
    """The word reader reads nothing of it on the full-size cover."""


@dataclass(frozen=True, slots=True)
class SmallLine:
    """A line of a cover, as on a thumbnail."""

    text: str
    """The text read on the full-size cover."""

    pixels: float
    """Its height on the thumbnail, in pixels."""

    read: str
    """The text read on the thumbnail; "" for none."""

    @property
    def legible(self) -> bool:
        """Whether most of its letters are read on the thumbnail."""
        return is_read(self.text, [self.read])


@dataclass(frozen=True, slots=True)
class Title:
    """A cover's title: the given one, else the largest text on it."""

    text: str
    """The title itself."""

    is_named: bool
    """Whether it was given; else it is the largest text on the cover."""

    on_cover: float
    """The share of its letters read on the full-size cover, 0 to 1."""

    share: float
    """The share of its letters read on a thumbnail, 0 to 1."""

    pixels: float
    """The height of its tallest line on a thumbnail, in pixels; 0 if unknown."""

    @property
    def seen(self) -> Seen:
        """How much is read on a thumbnail, or why that is unknown."""
        if self.share >= MOST:
            return Seen.LEGIBLE
        if self.on_cover < MOST:
            return Seen.UNCLEAR if self.on_cover >= _PART else Seen.MISSING
        return Seen.PARTLY if self.share >= _PART else Seen.LOST

    @property
    def is_found(self) -> bool:
        """Whether the reader finds it on the full-size cover."""
        return self.seen not in {Seen.UNCLEAR, Seen.MISSING}

    @property
    def legible(self) -> bool:
        """Whether it can be read on a thumbnail."""
        return self.seen is Seen.LEGIBLE


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A cover at 55 pixels, and which of its words can be read there."""

    picture: bytes = field(repr=False)
    """The picture, PNG."""

    lines: tuple[SmallLine, ...] = ()
    """Its lines, the tallest first."""

    title: Title | None = None
    """The title; None if none was given and nothing was read."""


def shrink(
    page: Image.Image,
    words: Words | None,
    read_at: Callable[[Image.Image, Sequence[Line]], Sequence[str]],
    title: str = "",
) -> Thumbnail:
    """Shrink a cover to a thumbnail, and find which of its words can still be read.

    Parameters
    ----------
    page : the cover, RGB, large.
    words : the words that were read on it; None if it was not read.
    read_at : reads a picture at the places of known lines, as `Reader.read_at`.
    title : the title that it should have; "" if none was given.
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
    """Read a thumbnail, scaled up, at its cover's lines: a text each, "" for none."""
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
    """Return the contrast of light to dark within a line's box, from 1 (WCAG 2.2)."""
    high, wide = luminance.shape
    left, right = _covered(line.box[::2], wide)
    top, bottom = _covered(line.box[1::2], high)
    dark, light = np.percentile(luminance[top:bottom, left:right], [10, 90])
    return float((light + 0.05) / (dark + 0.05))


def _covered(shares: Sequence[float], side: int) -> tuple[int, int]:
    """Return the pixels of a side that an interval of shares covers: first, and last + 1."""
    first = min(int(min(shares) * side), side - 1)
    return first, max(math.ceil(max(shares) * side), first + 1)


def _find_title(
    title: str, words: Words, again: Sequence[str], size: tuple[int, int]
) -> Title | None:
    """Return a cover's title, and how much of it is read again on the thumbnail."""
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
