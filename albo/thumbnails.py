"""A cover as shops and players show it in lists: so small that its words may be lost."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from albo.titles import MOST, is_read, largest_text, lines_with, share_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from albo.records import Words

THUMBNAIL = 55
"""Pixels of the longer side of the smallest pictures in shops and players."""

_READ_AGAIN = 640  # pixels to which a thumbnail is scaled up for the reader
_PART = 0.25  # of a title's letters, from which on a part of it can be read


@dataclass(frozen=True, slots=True)
class SmallLine:
    """A line of a cover, its height in pixels of a thumbnail, and if it can be read there."""

    text: str
    pixels: float
    legible: bool


@dataclass(frozen=True, slots=True)
class Title:
    """A cover's title: as its people name it, or else the largest text on it, taken for it.

    is_found : whether the reader sees it on the cover itself. pixels : how high the tallest of its
    lines is on a thumbnail, 0 where there is none. share : of its letters, that can be read there.
    """

    text: str
    is_named: bool
    is_found: bool
    pixels: float
    share: float

    @property
    def legible(self) -> bool:
        """Whether it can be read on a thumbnail."""
        return self.share >= MOST

    @property
    def partly_legible(self) -> bool:
        """Whether a good part of it can, but no more."""
        return _PART <= self.share < MOST


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A cover at 55 pixels: as PNG, its title, and its lines, the tallest first.

    title : None where nobody named one and nothing was read.
    """

    picture: bytes = field(repr=False)
    lines: tuple[SmallLine, ...] = ()
    title: Title | None = None


def shrink(
    page: Image.Image,
    words: Words | None,
    read: Callable[[Image.Image], Words],
    title: str = "",
) -> Thumbnail:
    """Shrink a cover to a thumbnail, and see what of its words can still be read.

    Parameters
    ----------
    page : RGB, large. words : what was read on it, None where nobody did. read : reads them again,
    on a thumbnail that was scaled up. title : that is to be on it, "" where nobody named one.
    """
    small = thumbnail_of(page)
    if words is None or words.error:
        return Thumbnail(_png(small))
    again = read(enlarged(small)) if words.lines else words
    lines = [
        SmallLine(line.text, line.height(*small.size), is_read(line.text, again))
        for line in words.lines
    ]
    lines.sort(key=lambda line: -line.pixels)
    found = _find_title(title, words, again, small.size)
    return Thumbnail(_png(small), tuple(lines), found)


def _find_title(title: str, words: Words, again: Words, size: tuple[int, int]) -> Title | None:
    """Say which title a cover has, and how much of it is read again at that size."""
    said = lines_with(title, words) if title else largest_text(words, *size)
    text = title or " ".join(line.text for line in said)
    if not text:
        return None
    share = share_read(text, again)
    pixels = max((line.height(*size) for line in said), default=0.0)
    is_found = share >= MOST or not title or is_read(text, words)
    return Title(text, bool(title), is_found, pixels, share)


def thumbnail_of(page: Image.Image) -> Image.Image:
    """Return a cover as a thumbnail."""
    found = page.copy()
    found.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return found


def enlarged(small: Image.Image) -> Image.Image:
    """Scale a thumbnail up for the reader."""
    factor = _READ_AGAIN / max(small.size)
    size = (round(small.width * factor), round(small.height * factor))
    return small.resize(size, Image.Resampling.BICUBIC)


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
