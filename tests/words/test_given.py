"""What a user says stands on a cover: cleaned, looked for, and added where it was not read."""

from __future__ import annotations

import pytest

from albo.errors import UsageError
from albo.records import Line, Words
from albo.words import Given

BOX = (0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2)
READ = Words((Line("CACTUS SONGS", BOX, 0.9), Line("The Cactl", BOX, 0.8)))


def texts(words: Words | None) -> list[str]:
    return [] if words is None else [line.text for line in words.lines]


def test_what_was_read_is_not_counted_twice() -> None:
    given = Given.of("The Cacti", "Cactus Songs", "")
    assert texts(given.added_to(READ)) == ["CACTUS SONGS", "The Cactl"]
    assert given.not_read(READ) == ()


def test_what_was_not_read_is_added() -> None:
    given = Given.of("Orchard Pilots", "Cactus Songs 2", "Live in Rome\n\n2024")
    heard = given.added_to(READ)
    assert texts(heard)[2:] == ["Orchard Pilots", "2", "Live in Rome", "2024"]
    assert heard is not None
    assert all(line.box == (0.0,) * 8 for line in heard.lines[2:])
    assert given.not_read(READ) == ("Orchard Pilots", "Live in Rome", "2024")


@pytest.mark.parametrize("words", [None, Words(error="the reader gave up"), Words()])
def test_a_cover_without_words_has_what_was_given(words: Words | None) -> None:
    given = Given.of("", "Rain", "")
    assert texts(given.added_to(words)) == ["Rain"]
    assert given.not_read(words) == ("Rain",)
    assert Given().added_to(words) is words
    assert not Given()


def test_what_is_given_is_cleaned() -> None:
    given = Given.of(" The\x00  Cacti\x1b[31m ", "", "one\x07\r\n\ttwo  ")
    assert "\x00" not in given.artist
    assert "\x1b" not in given.artist
    assert [line for _, line in given.lines()][1:] == ["one", "two"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("", "", "a" * 2001), "--text has 2,001 characters; give 2,000 at most"),
        (("", "...", ""), "--title '...' has neither letters nor digits"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(given: tuple[str, str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Given.of(*given)
