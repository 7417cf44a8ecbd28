"""The words on a cover as texts: made alike, taken to pieces, glued words taken apart.

A reader sees letters, not spaces: "GREATESTHITS" is two words, and "Greatest Hits" the same two.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from albo.records import Bools, Floats, Ints, Words

VERSION = "texts-1"
"""Raised when words are made texts or grams in another way."""

SHORTEST, LONGEST = 1, 4
"""Characters of a gram. One is enough for scripts in which a character is a word."""

MAX_CHARACTERS = 4_000
"""Characters of a cover's words that are looked at; the rest is small print."""

_GLUED = re.compile(r"[A-Za-z]{6,40}")
_LONGEST_WORD = 18
_COST_A_LETTER = 2.4  # above, what comes apart so is no words but chance
_SHORT_WORD = 3


def fold_text(text: str) -> str:
    """NFKC, casefold, runs of white space and of what cannot be printed to one blank."""
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()
    plain = "".join(letter if letter.isprintable() else " " for letter in folded)
    return " ".join(plain.split())


def letters_of(text: str) -> str:
    """Fold a text to its letters and digits alone: "Hip-Hop" and "hip hop" are one."""
    return "".join(letter for letter in fold_text(text) if letter.isalnum())


def edits(one: str, other: str) -> int:
    """Return the fewest edits that make one text of the other (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, row = row, [number]
        for place, another in enumerate(other):
            changed = above[place] + (letter != another)
            row.append(min(above[place + 1] + 1, row[place] + 1, changed))
    return row[-1]


def joined(words: Words) -> str:
    """Join the lines of a cover for its grams, folded; "" where it says nothing."""
    return fold_text(" ".join(line.text for line in words.lines))


def listed(words: Words, ranks: Mapping[str, int]) -> str:
    """List the lines of a cover for what they mean, glued words apart; "" where it says nothing.

    ranks : as of `separate`. With commas between, as people list what does not make a sentence.
    """
    lines = (" ".join(separate(line.text, ranks).split()) for line in words.lines)
    return ", ".join(line for line in lines if line)[:MAX_CHARACTERS]


def separate(text: str, ranks: Mapping[str, int]) -> str:
    """Put blanks into runs of letters that are several words: "FRENCHAFFAIR" to "french affair".

    ranks : of lower-case words, the commonest 0. By Zipf's law a word's probability falls with its
    rank, so the likeliest way apart is the one of least summed log(rank); a run that is a word
    itself, and one that comes apart into rare or into many short words only, stays as it is.
    """
    if not ranks:
        return text
    costs = _costs(len(ranks))
    return _GLUED.sub(lambda found: _apart(found[0], ranks, costs), text)


@lru_cache(maxsize=4)
def _costs(count: int) -> list[float]:
    scale = math.log(count + 1)
    return [math.log((rank + 1) * scale) for rank in range(count)]


def _apart(run: str, ranks: Mapping[str, int], costs: Sequence[float]) -> str:
    letters = run.lower()
    if letters in ranks:
        return run
    # best[j] : the least cost of the first j letters, and where their last word begins.
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(letters) + 1):
        ways = (
            (best[start][0] + costs[rank], start)
            for start in range(max(0, end - _LONGEST_WORD), end)
            if (rank := ranks.get(letters[start:end])) is not None
        )
        best.append(min(ways, default=(math.inf, 0)))
    if best[-1][0] > _COST_A_LETTER * len(letters):
        return run
    found = []
    end = len(letters)
    while end:
        start = best[end][1]
        found.append(letters[start:end])
        end = start
    short = sum(len(word) < _SHORT_WORD for word in found)
    return " ".join(reversed(found)) if short <= len(found) / 2 else run


@dataclass(frozen=True)
class Grams:
    """The grams of n texts: runs of characters within words, blanks at a word's ends counted.

    starts : int64 (n + 1,), where each text's grams begin in the two others. ids : uint32 (g,), a
    gram's CRC-32, ascending within a text. counts : float32 (g,), how often it is there.
    """

    starts: Ints
    ids: NDArray[np.uint32]
    counts: Floats

    @classmethod
    def of(cls, texts: Iterable[str]) -> Grams:
        """Take folded texts to pieces."""
        rows = [_grams_of(text) for text in texts]
        lengths = np.array([0, *(len(ids) for ids, _ in rows)], np.int64)
        none = np.empty(0, np.uint32), np.empty(0, np.float32)
        ids, counts = zip(*chain(rows, [none]), strict=True)
        return cls(lengths.cumsum(), np.concatenate(ids), np.concatenate(counts))

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of texts."""
        return (len(self.starts) - 1,)

    @property
    def nbytes(self) -> int:
        """What they take in memory."""
        return self.starts.nbytes + self.ids.nbytes + self.counts.nbytes

    @property
    def speaks(self) -> Bools:
        """Whether a text has any gram: bool (n,)."""
        return np.diff(self.starts) > 0

    @property
    def rows(self) -> Ints:
        """The text that each gram is of: int64 (g,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def __getitem__(self, rows: Any) -> Grams:  # noqa: ANN401  (positions, a mask or a slice)
        """Return the grams of the texts at these positions, in that order."""
        chosen = np.arange(len(self.starts) - 1)[rows]
        first, lengths = self.starts[chosen], np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], lengths.cumsum()])
        places = np.arange(starts[-1]) + np.repeat(first - starts[:-1], lengths)
        return Grams(starts, self.ids[places], self.counts[places])


def _grams_of(text: str) -> tuple[NDArray[np.uint32], Floats]:
    found = Counter(
        crc32(gram.encode("utf-8", "surrogatepass"))
        for word in text.split()
        for gram in _runs(f" {word} ")
    )
    ids = np.array(sorted(found), np.uint32)
    return ids, np.array([found[one] for one in ids.tolist()], np.float32)


def _runs(word: str) -> Iterable[str]:
    for length in range(SHORTEST, LONGEST + 1):
        for start in range(len(word) - length + 1):
            run = word[start : start + length]
            if run != " ":
                yield run
