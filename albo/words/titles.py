"""The title of a cover as the word reader sees it: its lines, and how much of it was read.

The reader often splits one title into several lines, one for each word or each size. So the largest
line and the lines near it of about its size are one text. A text counts as read by its words, in
any lines; long words count even if they are glued together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from albo.texts import edits, letters_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from albo.records import Line, Words


MOST = 0.75
"""The share of letters from which on a text counts as read."""

_LETTERS = 2  # the least letters of a line in a title
_OF_ITS_SIZE = 0.6  # the least height of another line of the title, relative to one
_ABOVE = 0.8  # of a line's height, to the next line above or below it
_BESIDE = 1.5  # and to the next one left or right
_SHARED = 0.5  # of a line's height, by two in a row
_TELLING = 4  # letters from which on a word identifies a line, if the text has such words
_LONG = 5  # letters from which on a word is found within others, and with wrong letters
_FOR_A_WRONG_ONE = 4  # a long word may have one wrong letter for this many
_MOST_LETTERS = 1_000  # of a text, and of the text that is searched
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
    for box in found:  # the list grows in the loop
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
    """Whether a text counts as read in these lines: most of its letters are there."""
    return share_read(text, lines) >= MOST


def share_read(text: str, lines: Iterable[str]) -> float:
    """Return the share of a text's letters in those of its words that were read.

    In a long word some letters may be wrong; it may be glued to others, or split over lines. Short
    words and numbers must be exact: "1988" is not "1989".
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


def unread_part(text: str, lines: Iterable[str]) -> str:
    """Return the words of a text that were not read in these lines; "" where all were."""
    read = list(lines)
    if share_read(text, read) >= 1.0:
        return ""
    there = [word for line in read for word in _words_of(line)]
    words = [word for word in text.split() if letters_of(word)]
    return " ".join(word for word in words if not _is_among(letters_of(word), there))


def _words_of(text: str) -> list[str]:
    """Return the letters of each word of a text; words without letters are left out.

    Additions of shops ("(Deluxe Edition)", "- EP") are on no cover, so they are left out.
    """
    cut = text[:_MOST_LETTERS]
    plain = _REMARK.sub(" ", cut)
    words = (plain if letters_of(plain) else cut).split()
    return [letters for word in words if (letters := letters_of(word))]


def _is_among(word: str, words: Iterable[str]) -> bool:
    """Whether a word is one of others, or, if it is long enough, within one of them."""
    return any(_is_same(word, other) or _is_part(word, other) for other in words)


def _is_part(word: str, letters: str) -> bool:
    return len(word) >= _LONG and word in letters


def _is_same(one: str, other: str) -> bool:
    """Whether two runs of letters are one word; a long one may have a few wrong letters."""
    if one == other:
        return True
    if len(one) < _LONG or any(letter.isdigit() for letter in one):
        return False
    may_be_wrong = len(one) // _FOR_A_WRONG_ONE
    return abs(len(one) - len(other)) <= may_be_wrong and edits(one, other) <= may_be_wrong


def _rank(box: _Box) -> tuple[bool, float]:
    """Return the rank of a line by size: its height, less if the reader is unsure."""
    return len(letters_of(box.line.text)) >= _LETTERS, box.size * box.line.confidence


class _Box(NamedTuple):
    """A line and the rectangle around it."""

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
        """Whether two lines have about the same height."""
        smaller, larger = sorted((self.size, other.size))
        return smaller >= _OF_ITS_SIZE * larger

    def is_near(self, other: _Box) -> bool:
        """Whether two lines follow each other, in a column or in a row."""
        across = max(self.left, other.left) - min(self.right, other.right)  # negative: they overlap
        down = max(self.top, other.top) - min(self.bottom, other.bottom)
        size = max(self.size, other.size)
        if across < 0:
            return down < _ABOVE * size
        return down < -_SHARED * min(self.size, other.size) and across < _BESIDE * size
