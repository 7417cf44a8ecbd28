"""Titles: which lines of a cover are one, and what counts as read."""

from __future__ import annotations

import time

import pytest

from albo.records import Line, Words
from albo.words import is_read, largest_text, lines_with, share_read


def box(
    text: str,
    left: float = 0.1,
    top: float = 0.1,
    *,
    high: float = 0.1,
    wide: float = 0.5,
    sure: float = 0.9,
) -> Line:
    right, bottom = left + wide, top + high
    return Line(text, (left, top, right, top, right, bottom, left, bottom), sure)


def said(*lines: Line, wide: float = 1.0, high: float = 1.0) -> list[str]:
    return [line.text for line in largest_text(Words(lines), wide, high)]


def read(*texts: str) -> Words:
    return Words(tuple(box(text) for text in texts))


# --- the largest text ----------------------------------------------------------------------------


def test_a_cover_without_words_has_no_title() -> None:
    assert largest_text(Words()) == ()
    assert largest_text(Words(error="broken")) == ()


def test_the_largest_line_is_the_title() -> None:
    assert said(box("small", top=0.1, high=0.04), box("LARGE", top=0.5, high=0.2)) == ["LARGE"]


def test_lines_of_about_one_size_that_follow_each_other_are_one_title() -> None:
    have, blues = box("HAVE", top=0.1, high=0.15), box("BLUES", top=0.3, high=0.2)
    travel = box("TRAVEL", top=0.52, high=0.15)
    assert said(have, blues, travel) == ["HAVE", "BLUES", "TRAVEL"], "each is near to the next"
    assert said(have, blues, box("Roy", top=0.52, high=0.1)) == ["HAVE", "BLUES"], "half the size"
    assert said(have, blues, box("TRAVEL", top=0.8, high=0.15)) == ["HAVE", "BLUES"], "far below"


def test_lines_in_a_row_are_one_title() -> None:
    city, and_, colour = (
        box("City", 0.05, 0.4, wide=0.2),
        box("and", 0.28, 0.42, wide=0.1, high=0.07),
        box("Colour", 0.4, 0.4, wide=0.3),
    )
    assert said(city, and_, colour) == ["City", "and", "Colour"]
    assert len(said(city, box("Colour", 0.5, 0.4, wide=0.3))) == 1, "a wide gap parts them"
    assert len(said(city, box("Colour", 0.28, 0.47, wide=0.3))) == 1, "not in its row, nor below it"


def test_one_letter_is_a_title_only_where_there_is_nothing_else() -> None:
    huge = box("O", high=0.6)
    assert said(huge, box("EN ROUTE", top=0.8, high=0.05)) == ["EN ROUTE"]
    assert said(huge) == ["O"]
    assert said(box("★★★", high=0.6), box("hm", top=0.9, high=0.02)) == ["hm"]


def test_what_the_reader_doubts_has_to_be_the_larger() -> None:
    doubted = box("ONIIT", high=0.15, sure=0.5)
    assert said(doubted, box("COIN LOCKER", top=0.8, high=0.1)) == ["COIN LOCKER"]
    assert said(doubted, box("small print", top=0.8, high=0.02)) == ["ONIIT"]
    assert said(doubted) == ["ONIIT"]


def test_sizes_are_those_of_the_picture() -> None:
    """Running upwards at the left, as high as wide as a line: 0.1 of a wide picture is much."""
    upwards = Line("SIDE", (0.0, 0.9, 0.0, 0.1, 0.1, 0.1, 0.1, 0.9), 0.9)
    level = box("LEVEL", 0.4, 0.4, high=0.15)
    assert said(upwards, level) == ["LEVEL"]
    assert said(upwards, level, wide=4.0) == ["SIDE"]


def test_lines_without_height_have_a_title() -> None:
    flat = Line("flat", (0.0,) * 8, 1.0)
    assert largest_text(Words((flat,))) == (flat,)


def test_lines_come_in_the_readers_order_and_twins_both() -> None:
    lines = [box("la", top=0.1 + 0.11 * n) for n in range(3)]
    assert said(*lines) == ["la"] * 3
    assert said(box("la"), box("la")) == ["la", "la"]


# --- what counts as read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "again", "expected"),
    [
        ("Night Train", ("NIGHT TRAIN",), True),
        ("Night Train", ("night-train!",), True),
        ("Night Train", ("Niqht Traln",), True),  # two letters of ten are wrong
        ("Night Train", ("Nxxxt Traxx",), False),
        ("Night Train", ("the night", "train live"), True),  # cut in two
        ("Night Train", ("TRAIN", "ROY", "NIGHT"), True),  # in another order
        ("Night Train", ("ROYNIGHTTRAIN",), True),  # glued
        ("Night Train", ("night",), False),  # half of it
        ("Last Night on Earth", ("last night", "earth"), True),  # all but small words
        ("Night Train", ("NIG", "HT TRA", "IN"), True),
        ("Italia (Deluxe Edition)", ("ITALIA",), True),  # what a shop adds is on no cover
        ("Rain - EP", ("RAIN",), True),
        ("(Rain)", ("RAIN",), True),  # nothing else is left
        ("Indian", ("OBSIDIAN",), False),  # a part of another word, and not quite
        ("Sid", ("OBSIDIAN",), False),
        ("Live", ("how to love",), False),
        ("Hour of Gold", ("GOLDEN HOUR",), False),
        ("1988", ("1989",), False),
        ("Night Train", (), False),
        ("Night Train", ("★ ★",), False),
        ("★ ★", ("★ ★",), False),  # nothing that could be read
        ("", ("night",), False),
        ("\uff21\uff42\uff43", ("abc",), True),  # wide letters
        ("夜のうた", ("夜のうた 二",), True),
        ("Cat", ("cut",), False),  # of three letters none may be wrong
        ("Rain", ("ruin",), False),  # nor of four
        ("Rains", ("ruins",), True),  # of five, one
        ("Obsidian", ("obsidien",), True),
        ("X", ("EXIT",), False),  # one letter is in everything
        ("X", ("x", "more"), True),
        ("1989", ("1989",), True),
    ],
)
def test_a_text_is_read_where_most_letters_are_in_words_that_are(
    text: str, again: tuple[str, ...], expected: bool
) -> None:
    assert is_read(text, again) is expected


def test_a_share_is_of_letters_in_whole_words() -> None:
    assert share_read("The Sons of the Pioneers", ["PIONEERS"]) == 8 / 20
    assert share_read("The Sons of the Pioneers", ["PION"]) == 0.0
    assert share_read("The Sons of the Pioneers", ["thesonsof", "thepioneers"]) == 1.0
    assert share_read("★", ["PIONEERS"]) == 0.0


@pytest.mark.whole
def test_a_text_without_end_takes_no_time() -> None:
    began = time.monotonic()
    lines = ["qwertyuiop" * 40] * 200
    for _ in range(5):
        is_read("asdfghjkl " * 5_000, lines)
        is_read("a" * 60_000, lines)
    assert time.monotonic() - began < 20


def test_the_lines_of_a_named_title_are_found() -> None:
    words = read("HAVEBLUES", "WILL", "TRAVEL", "Roy Hamilton", "TRAVE", "LLERS")
    found = [line.text for line in lines_with("Have Blues, Will Travel", words)]
    assert found == ["HAVEBLUES", "WILL", "TRAVEL", "TRAVE"]
    assert lines_with("Silver Moon", words) == ()
    assert lines_with("★", words) == ()


def test_small_words_tell_nobodys_line_but_where_a_title_has_no_others() -> None:
    words = read("SONS OF", "THE BEST OF", "PIONEERS", "X", "MIX")
    said = [line.text for line in lines_with("The Sons of the Pioneers", words)]
    assert said == ["SONS OF", "PIONEERS"]
    assert [line.text for line in lines_with("X", words)] == ["X"]
    assert [line.text for line in lines_with("Best of", words)] == ["THE BEST OF"]
