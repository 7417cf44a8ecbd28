"""Texts: normalised, compared, cut for messages; glued words separated.

A word reader often misses spaces: "GREATESTHITS" is two words, and "Greatest Hits" the same
two. Importing this module is cheap: it needs the standard library alone.
"""

from __future__ import annotations

import math
import re
import unicodedata
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from albo.records import Words

VERSION = "texts-1"
"""Raised when the making of texts or grams from words changes."""

MAX_CHARACTERS = 4_000
"""The most characters used of a cover's words; the rest is small print."""

_GLUED = re.compile(r"[A-Za-z]{6,40}")
_LONGEST_WORD = 18
_MANY_TIMES = 1000
_TWO_FIGURES = 10
_COST_A_LETTER = 2.4  # above this cost, a split is due to chance
_SHORT_WORD = 3
_LOOKED_AT = 4
"""Of a text for a message, at most this many times its limit is read: it may be very long."""


# --- texts normalised and compared ---------------------------------------------------------------


def fold_text(text: str) -> str:
    """Apply NFKC and casefold; make runs of white space and unprintable characters one blank."""
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()
    plain = "".join(letter if letter.isprintable() else " " for letter in folded)
    return " ".join(plain.split())


def letters_of(text: str) -> str:
    """Fold a text to its letters and digits only: "Hip-Hop" and "hip hop" become equal."""
    return "".join(letter for letter in fold_text(text) if letter.isalnum())


def edits(one: str, other: str) -> int:
    """Return the least number of edits from one text to the other (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, row = row, [number]
        for place, another in enumerate(other):
            changed = above[place] + (letter != another)
            row.append(min(above[place + 1] + 1, row[place] + 1, changed))
    return row[-1]


def likeness(one: str, other: str) -> float:
    """Return the share of letters that two texts have in common, 0 to 1 (difflib's ratio)."""
    return SequenceMatcher(None, one, other).ratio()


def near_names(
    wanted: str, known: Iterable[str], *, count: int = 3, least: float = 0.6
) -> list[str]:
    """Return the known names most similar to the wanted one, the most similar first.

    Case makes no difference. Equally similar names stay in their order.

    Parameters
    ----------
    count : the maximum number of names.
    least : the least `likeness` of a name to return.
    """
    # The matcher caches its analysis of the second text, so that is the wanted one.
    matcher = SequenceMatcher(None, "", wanted.casefold())
    found = []
    for name in known:
        matcher.set_seq1(name.casefold())
        # The two quick ratios are upper bounds, enough to reject most names.
        if matcher.real_quick_ratio() >= least and matcher.quick_ratio() >= least:
            found.append((matcher.ratio(), name))
    alike = (one for one in found if one[0] >= least)
    return [name for _, name in sorted(alike, key=lambda one: -one[0])[:count]]


# --- texts in messages ---------------------------------------------------------------------------


def cut_short(text: str, limit: int) -> str:
    """Cut a text to at most `limit` characters; a cut text ends with "…"."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def in_one_line(text: object, limit: int) -> str:
    """Make a foreign text part of a message: one line, printable, at most `limit` characters.

    Characters that cannot be printed become blanks, and runs of blanks become one.
    """
    looked_at = str(text)[: _LOOKED_AT * limit]
    plain = "".join(letter if letter.isprintable() else " " for letter in looked_at)
    return " ".join(plain.split())[:limit]


def lines_of(error: object) -> list[str]:
    """Return the lines of an error's message, or its class name if it has no message."""
    return str(error).strip().splitlines() or [type(error).__name__]


def times_the_odds(evidence: float) -> str:
    """Write log-odds as a factor of the odds: "2.0 times the odds", "odds divided by 3.5"."""
    times = math.exp(min(abs(evidence), math.log(_MANY_TIMES)))
    said = f"{times:.0f}" if times >= _TWO_FIGURES else f"{times:.1f}"
    if times >= _MANY_TIMES:
        said = f"over {_MANY_TIMES:,}"
    if said == "1.0":
        return "hardly changes the odds"
    return f"{said} times the odds" if evidence > 0 else f"odds divided by {said}"


def signed(evidence: float) -> str:
    """Format log-odds with sign and two decimals; zero is "+0.00"."""
    return f"{round(evidence, 2) + 0.0:+.2f}"  # adding 0.0 makes -0.0 positive


# --- the words on a cover ------------------------------------------------------------------------


def joined(words: Words) -> str:
    """Join the lines of a cover for its grams, folded; "" if it has no text."""
    return fold_text(" ".join(line.text for line in words.lines))


def listed(words: Words, ranks: Mapping[str, int]) -> str:
    """List the lines of a cover for their meaning, glued words separated; "" without lines.

    The lines are separated by commas, since they are not a sentence.

    Parameters
    ----------
    ranks : as of `separate`.
    """
    lines = (" ".join(separate(line.text, ranks).split()) for line in words.lines)
    return ", ".join(line for line in lines if line)[:MAX_CHARACTERS]


def separate(text: str, ranks: Mapping[str, int]) -> str:
    """Put blanks into runs of letters that are several words: "FRENCHAFFAIR" to "french affair".

    By Zipf's law a word's probability falls with its rank, so the most probable split has the least
    sum of log(rank). A run is not split if it is a word itself, or if the parts would be rare words
    or many short ones.

    Parameters
    ----------
    ranks : the rank of each lower-case word; the most common has 0.
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
    # best[j] : the least cost of the first j letters, and the start of their last word.
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


_TEENS = range(11, 14)
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def ordinal(number: int) -> str:
    """Write a place: 1st, 2nd, 3rd, 11th."""
    ending = "th" if number % 100 in _TEENS else _ENDINGS.get(number % 10, "th")
    return f"{number}{ending}"
