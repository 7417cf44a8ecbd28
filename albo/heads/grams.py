"""The grams of texts: short runs of characters, which a head counts to read a cover's words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from albo.records import Bools, Floats, Ints

SHORTEST, LONGEST = 1, 4
"""Characters of a gram. One is enough for scripts in which a character is a word."""


@dataclass(frozen=True)
class Grams:
    """The grams of n texts: runs of characters within words, blanks at a word's ends counted."""

    starts: Ints
    """int64 (n + 1,): where each text's grams begin in the two others."""

    ids: NDArray[np.uint32]
    """uint32 (g,): the CRC-32 of each gram, ascending within a text."""

    counts: Floats
    """float32 (g,): how often each gram occurs in its text."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Grams:
        """Split folded texts into grams."""
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
        """The bytes that they take in memory."""
        return self.starts.nbytes + self.ids.nbytes + self.counts.nbytes

    @property
    def speaks(self) -> Bools:
        """Whether a text has any gram: bool (n,)."""
        return np.diff(self.starts) > 0

    @property
    def rows(self) -> Ints:
        """The text of each gram: int64 (g,)."""
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
        for gram in runs_of(f" {word} ")
    )
    ids = np.array(sorted(found), np.uint32)
    return ids, np.array([found[one] for one in ids.tolist()], np.float32)


def runs_of(word: str) -> Iterable[str]:
    """Yield the grams of one word with a blank at either end; a lone blank is no gram."""
    for length in range(SHORTEST, LONGEST + 1):
        for start in range(len(word) - length + 1):
            run = word[start : start + length]
            if run != " ":
                yield run
