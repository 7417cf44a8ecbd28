"""The title of a cover, as a reader sees it: which lines make it up, and what of it can be read.

A reader finds several lines where a designer set one title: one for each word, or for each size. So
the largest line and those round it of about its size are taken for one text. And a text counts as
read by its words, in whatever lines they come, and where they are glued together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from albo.texts import letters_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from albo.records import Line, Words

MOST = 0.75
"""The share of a text's letters that make it one that was read."""

_LETTERS = 2  # that a line has at least to be a title
_SURE = 0.75  # confidence from which on lines are preferred: less is often no text at all
_OF_ITS_SIZE = 0.6  # of one line's height that another has at least, to belong to it
_ABOVE = 0.8  # of a line's height, to the next line above or below it
_BESIDE = 1.5  # and to the next one left or right
_SHARED = 0.5  # of a line's height, by two in a row
_TELLING = 4  # letters of a word that tells whose line it is, where a text has any so long
_FOR_A_WRONG_ONE = 4  # letters that a word has for each that may be wrong
_MOST_LETTERS = 1_000  # of a text, and of what it is sought in


def largest_text(words: Words, wide: float = 1.0, high: float = 1.0) -> tuple[Line, ...]:
    """Return the lines of a cover's largest text, in their order; () where it says nothing.

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
    said = _words_of(text)
    least = min(_TELLING, max(map(len, said), default=0))
    wanted = [word for word in said if len(word) >= least]
    whole = ["".join(said)]
    return tuple(
        line
        for line in words.lines
        if any(is_read(word, [line.text]) for word in wanted) or is_read(line.text, whole)
    )


def is_read(text: str, lines: Iterable[str]) -> bool:
    """Tell whether a text counts as read, given the lines that were: most of its letters are."""
    return share_read(text, lines) >= MOST


def share_read(text: str, lines: Iterable[str]) -> float:
    """Return the share of a text's letters that are in words of it which were read."""
    read = [letters_of(line) for line in lines]
    sought = _words_of(text)
    letters = sum(map(len, sought))
    if letters < _LETTERS:
        return float(bool(letters) and sought[0] in read)
    together = "".join(read)[:_MOST_LETTERS]
    if _is_in("".join(sought), together):
        return 1.0
    return sum(len(word) for word in sought if _is_in(word, together)) / letters


def _words_of(text: str) -> list[str]:
    """Return the words of a text as their letters, those alone that have any."""
    return [letters for word in text[:_MOST_LETTERS].split() if (letters := letters_of(word))]


def _is_in(word: str, letters: str) -> bool:
    """Tell whether a word is in a run of letters, but for a few wrong ones."""
    if word in letters:
        return True
    may_be_wrong = len(word) // _FOR_A_WRONG_ONE
    return may_be_wrong > 0 and _edits(word, letters) <= may_be_wrong


def _edits(word: str, letters: str) -> int:
    """Return the fewest edits that make a word of any part of a run of letters (Sellers 1980)."""
    row = [0] * (len(letters) + 1)
    for number, letter in enumerate(word, 1):
        above, row = row, [number]
        for place, other in enumerate(letters):
            row.append(min(above[place + 1] + 1, row[place] + 1, above[place] + (letter != other)))
    return min(row)


def _rank(box: _Box) -> tuple[bool, bool, float]:
    line = box.line
    return len(letters_of(line.text)) >= _LETTERS, line.confidence >= _SURE, box.size


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
