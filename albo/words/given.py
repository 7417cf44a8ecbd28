"""What a user says stands on a cover: its artist, its title, any other text.

A draft may bear no lettering yet, or lettering that no reader can read. What is given and was not
read is added to the words on the cover, so that a head answers as if it had been read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from albo.errors import UsageError
from albo.records import Line, Words
from albo.texts import in_one_line, letters_of
from albo.words.titles import MOST, share_read, unread_part

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_GIVEN = 2_000
"""The most characters of a text that is given for a cover."""

_NOWHERE = (0.0,) * 8
_SURE = 1.0


@dataclass(frozen=True, slots=True)
class Given:
    """What is said to stand on one cover; "" where nothing is said."""

    artist: str = ""
    """The artist's name."""

    title: str = ""
    """The album's title."""

    text: str = ""
    """Other text, in one or several lines."""

    @classmethod
    def of(cls, artist: str, title: str, text: str) -> Given:
        """Clean what a user gave. Raises UsageError for too long a text, or one without letters."""
        named = {"artist": artist, "title": title, "text": text}
        for name, said in named.items():
            if len(said) > MOST_GIVEN:
                raise UsageError(
                    f"--{name} has {len(said):,} characters; give {MOST_GIVEN:,} at most"
                )
            if said.strip() and not letters_of(said):
                raise UsageError(
                    f"--{name} {in_one_line(said, 40)!r} has neither letters nor digits, so it"
                    " cannot be looked for; leave it out"
                )
        lines = [in_one_line(line, MOST_GIVEN) for line in text.splitlines()]
        return cls(
            in_one_line(artist, MOST_GIVEN),
            in_one_line(title, MOST_GIVEN),
            "\n".join(line for line in lines if line),
        )

    def __bool__(self) -> bool:
        """Whether anything was given."""
        return bool(self.artist or self.title or self.text)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what was given, line by line: "artist", "title" or "text", and the line."""
        named = (("artist", self.artist), ("title", self.title))
        yield from ((name, line) for name, line in named if line)
        yield from (("text", line) for line in self.text.splitlines())

    def shares(self, words: Words | None) -> list[tuple[str, str, float]]:
        """Return each line that was given, and the share of its letters read on the cover.

        Parameters
        ----------
        words : the words that were read; None where they were not read.
        """
        read = [] if words is None else [line.text for line in words.lines]
        return [(name, line, share_read(line, read)) for name, line in self.lines()]

    def added_to(self, words: Words | None) -> Words | None:
        """Return the words on a cover with what was given and not read.

        Parameters
        ----------
        words : the words that were read; None, or with an error, where they were not read.
        """
        if not self:
            return words
        read = () if words is None else words.lines
        texts = [line.text for line in read]
        added = [unread_part(line, texts) for _, line in self.lines()]
        return Words((*read, *(Line(text, _NOWHERE, _SURE) for text in added if text)))

    def not_read(self, words: Words | None) -> tuple[str, ...]:
        """Return the lines that were given and do not count as read. Parameter as of `shares`."""
        return tuple(line for _, line, share in self.shares(words) if share < MOST)
