"""The title of a cover, as a reader sees it: which lines make it up, and what of it can be read.

A reader finds several lines where a designer set one title: one for each word, or for each size. So
the largest line and those round it of about its size are taken for one text. And a text counts as
read by its words, in whatever lines they come, and long ones where they are glued together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from albo.texts import edits, letters_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from albo.records import Line, Words


MOST = 0.75
"""The share of a text's letters that make it one that was read."""

_LETTERS = 2  # that a line has at least to be a title
_OF_ITS_SIZE = 0.6  # of one line's height that another has at least, to belong to it
_ABOVE = 0.8  # of a line's height, to the next line above or below it
_BESIDE = 1.5  # and to the next one left or right
_SHARED = 0.5  # of a line's height, by two in a row
_TELLING = 4  # letters of a word that tells whose line it is, where a text has any so long
_LONG = 5  # letters of a word that is found within others, and with wrong letters
_FOR_A_WRONG_ONE = 4  # letters that a long word has for each that may be wrong
_MOST_LETTERS = 1_000  # of a text, and of what it is sought in
_REMARK = re.compile(r"[(\[][^)\]]*[)\]]|\s-\s+(?:EP|Single)\s*$", re.IGNORECASE)


def largest_text(words: Words, wide: float = 1.0, high: float = 1.0) -> tuple[Line, ...]:
    """Return the lines of a cover's largest text, in their order; () where it says nothing.

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
    for box in found:  # which grows meanwhile
        found += [other for other in alike if other not in found and box.is_near(other)]
    return tuple(box.line for box in boxes if box in found)


def lines_with(text: str, words: Words) -> tuple[Line, ...]:
    """Return the lines of a cover that say a word of a text, or a part of one, in their order."""
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
    """Tell whether a text counts as read, given the lines that were: most of its letters are."""
    return share_read(text, lines) >= MOST


def share_read(text: str, lines: Iterable[str]) -> float:
    """Return the share of a text's letters that are in words of it which were read.

    In a long word some letters may be wrong; it may be glued to others, and cut into lines. What
    differs in a figure, or in a short word, is another one: "1988" is not "1989".
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
    """Return the words of a text as their letters, those alone that have any.

    What shops put behind a title ("(Deluxe Edition)", "- EP") is on no cover, and left out.
    """
    cut = text[:_MOST_LETTERS]
    plain = _REMARK.sub(" ", cut)
    words = (plain if letters_of(plain) else cut).split()
    return [letters for word in words if (letters := letters_of(word))]


def _is_among(word: str, words: Iterable[str]) -> bool:
    """Tell whether a word is one of others, or in one of them if it is long enough."""
    return any(_is_same(word, other) or _is_part(word, other) for other in words)


def _is_part(word: str, letters: str) -> bool:
    return len(word) >= _LONG and word in letters


def _is_same(one: str, other: str) -> bool:
    """Tell whether two runs of letters are one word, but for a few wrong letters of a long one."""
    if one == other:
        return True
    if len(one) < _LONG or any(letter.isdigit() for letter in one):
        return False
    may_be_wrong = len(one) // _FOR_A_WRONG_ONE
    return abs(len(one) - len(other)) <= may_be_wrong and edits(one, other) <= may_be_wrong


def _rank(box: _Box) -> tuple[bool, float]:
    """Return what makes a line the largest: its height, the less the reader is sure the less."""
    return len(letters_of(box.line.text)) >= _LETTERS, box.size * box.line.confidence


class _Box(NamedTuple):
    """A line and the rectangle round it."""

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
        """Tell whether neither is much larger than the other."""
        smaller, larger = sorted((self.size, other.size))
        return smaller >= _OF_ITS_SIZE * larger

    def is_near(self, other: _Box) -> bool:
        """Tell whether two lines follow each other, in a column or in a row."""
        across = max(self.left, other.left) - min(self.right, other.right)  # below 0 is shared
        down = max(self.top, other.top) - min(self.bottom, other.bottom)
        size = max(self.size, other.size)
        if across < 0:
            return down < _ABOVE * size
        return down < -_SHARED * min(self.size, other.size) and across < _BESIDE * size
