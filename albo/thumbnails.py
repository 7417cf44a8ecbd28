"""A cover as shops and players show it in lists: so small that its words may be lost."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from albo.titles import MOST, is_read, largest_text, lines_with, share_read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from albo.records import Line, Words

THUMBNAIL = 55
"""Pixels of the longer side of the smallest pictures in shops and players."""

_TIMES = 8  # that a thumbnail is scaled up for the reader
_LEAST_HEIGHT = 3.0  # pixels of a line on a thumbnail; what is lower was never read
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
    read_at: Callable[[Image.Image, Sequence[Line]], Sequence[str]],
    title: str = "",
) -> Thumbnail:
    """Shrink a cover to a thumbnail, and see what of its words can still be read.

    Parameters
    ----------
    page : RGB, large. words : what was read on it, None where nobody did. read_at : reads a picture
    where lines of it are known to be, as `Reader.read_at`. title : that is to be on it, "" where
    nobody named one.
    """
    small = thumbnail_of(page)
    if words is None or words.error:
        return Thumbnail(_png(small))
    again = read_small(small, words, read_at)
    lines = [
        SmallLine(line.text, line.height(*small.size), is_read(line.text, [text]))
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
    high_enough = [line for line in words.lines if line.height(*small.size) >= _LEAST_HEIGHT]
    if not high_enough:
        return [""] * len(words.lines)
    size = (small.width * _TIMES, small.height * _TIMES)
    texts = read_at(small.resize(size, Image.Resampling.BICUBIC), high_enough)
    read = dict(zip(high_enough, texts, strict=True))
    return [read.get(line, "") for line in words.lines]


def _find_title(
    title: str, words: Words, again: Sequence[str], size: tuple[int, int]
) -> Title | None:
    """Say which title a cover has, and how much of it is read again at that size."""
    said = lines_with(title, words) if title else largest_text(words, *size)
    text = title or " ".join(line.text for line in said)
    if not text:
        return None
    share = share_read(text, again)
    pixels = max((line.height(*size) for line in said), default=0.0)
    is_found = share >= MOST or not title or is_read(text, [line.text for line in words.lines])
    return Title(text, bool(title), is_found, pixels, share)


def thumbnail_of(page: Image.Image) -> Image.Image:
    """Return a cover as a thumbnail."""
    found = page.copy()
    found.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return found


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
