"""The title of a cover, by the word reader: the lines that form it, and how much can be read.

A reader finds several lines in one title: one for each word, or for each size. So the largest line
and nearby lines of about its size count as one text. A text counts as read by its words, on any
lines; long words may also be joined to others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from albo.texts import edits, letters_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from albo.records import Line, Words


MOST = 0.75
"""The least share of a text's letters with which it counts as read."""

_LETTERS = 2  # the fewest letters of a line in a title
_OF_ITS_SIZE = 0.6  # the least share of a line's height for another line to belong to it
_ABOVE = 0.8  # the largest gap to the next line above or below, in line heights
_BESIDE = 1.5  # and to the next one left or right
_SHARED = 0.5  # the overlap of two lines in a row, in line heights
_TELLING = 4  # the fewest letters of a word that identifies a line, if a text has such a word
_LONG = 5  # the fewest letters of a word that may be inside others, and have wrong letters
_FOR_A_WRONG_ONE = 4  # letters of a long word for each allowed wrong one
_MOST_LETTERS = 1_000  # of a text, and of the text to search
_REMARK = re.compile(r"[(\[][^)\]]*[)\]]|\s-\s+(?:EP|Single)\s*$", re.IGNORECASE)


def largest_text(words: Words, wide: float = 1.0, high: float = 1.0) -> tuple[Line, ...]:
    """Return the lines of a cover's largest text, in their order; () if it has no text.

    Parameters
    ----------
    wide, high : the cover's size, in any unit.
    """
    boxes = [_Box.of(line, wide, high) for line in words.lines]
    if not boxes:
        return ()
    first = max(boxes, key=_rank)
    alike = [box for box in boxes if box.is_of_the_size_of(first)]
    found = [first]
    for box in found:  # it grows during the loop
        found += [other for other in alike if other not in found and box.is_near(other)]
    return tuple(box.line for box in boxes if box in found)


def lines_with(text: str, words: Words) -> tuple[Line, ...]:
    """Return the lines of a cover with a word of a text, or a part of one, in their order."""
    sought = _words_of(text)
    least = min(_TELLING, max(map(len, sought), default=0))
    wanted = [word for word in sought if len(word) >= least]
    return tuple(
        line
        for line in words.lines
        if any(_is_among(word, _words_of(line.text)) for word in wanted)
        or _is_part(letters_of(line.text), "".join(sought))
    )


def is_read(text: str, lines: Iterable[str]) -> bool:
    """Whether a text counts as read, given the lines read: they have most of its letters."""
    return share_read(text, lines) >= MOST


def share_read(text: str, lines: Iterable[str]) -> float:
    """Return the share of a text's letters that are in those of its words that were read.

    A long word may have some wrong letters, be joined to others, or be split over lines. A short
    word or a number must be the same: "1988" is not "1989".
    """
    read = list(lines)
    sought = _words_of(text)
    whole, runs = "".join(sought), [letters_of(line) for line in read]
    if not whole:
        return 0.0
    together = "".join(runs)[:_MOST_LETTERS]
    if _is_among(whole, [*runs, together]):
        return 1.0
    words = [word for line in read for word in _words_of(line)]
    return sum(len(word) for word in sought if _is_among(word, words)) / len(whole)


def _words_of(text: str) -> list[str]:
    """Return the words of a text, reduced to their letters; words without letters are left out.

    Additions of shops ("(Deluxe Edition)", "- EP") are on no cover, so they are left out.
    """
    cut = text[:_MOST_LETTERS]
    plain = _REMARK.sub(" ", cut)
    words = (plain if letters_of(plain) else cut).split()
    return [letters for word in words if (letters := letters_of(word))]


def _is_among(word: str, words: Iterable[str]) -> bool:
    """Whether a word is one of others, or inside one of them if it is long enough."""
    return any(_is_same(word, other) or _is_part(word, other) for other in words)


def _is_part(word: str, letters: str) -> bool:
    return len(word) >= _LONG and word in letters


def _is_same(one: str, other: str) -> bool:
    """Whether two runs of letters are one word, except for a few wrong letters of a long one."""
    if one == other:
        return True
    if len(one) < _LONG or any(letter.isdigit() for letter in one):
        return False
    may_be_wrong = len(one) // _FOR_A_WRONG_ONE
    return abs(len(one) - len(other)) <= may_be_wrong and edits(one, other) <= may_be_wrong


def _rank(box: _Box) -> tuple[bool, float]:
    """Return the sort key of the largest line: its height, reduced if the confidence is low."""
    return len(letters_of(box.line.text)) >= _LETTERS, box.size * box.line.confidence


class _Box(NamedTuple):
    """A line and its bounding rectangle."""

    line: Line
    left: float
    top: float
    right: float
    bottom: float
    size: float

    @classmethod
    def of(cls, line: Line, wide: float, high: float) -> _Box:
        across, down = [x * wide for x in line.box[::2]], [y * high for y in line.box[1::2]]
        return cls(line, min(across), min(down), max(across), max(down), line.height(wide, high))

    def is_of_the_size_of(self, other: _Box) -> bool:
        """Whether neither is much larger than the other."""
        smaller, larger = sorted((self.size, other.size))
        return smaller >= _OF_ITS_SIZE * larger

    def is_near(self, other: _Box) -> bool:
        """Whether two lines follow each other, in a column or in a row."""
        across = max(self.left, other.left) - min(self.right, other.right)  # below 0: overlap
        down = max(self.top, other.top) - min(self.bottom, other.bottom)
        size = max(self.size, other.size)
        if across < 0:
            return down < _ABOVE * size
        return down < -_SHARED * min(self.size, other.size) and across < _BESIDE * size
