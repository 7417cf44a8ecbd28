"""Texts: made alike, compared, cut short for messages; glued words taken apart."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albo.records import Line, Words
from albo.texts import (
    MAX_CHARACTERS,
    cut_short,
    fold_text,
    in_one_line,
    joined,
    likeness,
    lines_of,
    listed,
    near_names,
    separate,
    signed,
)

BOX = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
COMMON = """
    the of a and in to is i love greatest hits french affair best night train new york
"""
RANKS = {word: rank for rank, word in enumerate(COMMON.split())}

anything = st.text(st.characters(), max_size=30)


def words(*lines: str) -> Words:
    return Words(tuple(Line(line, BOX, 1.0) for line in lines))


# --- comparing, and texts in messages ------------------------------------------------------------


def test_near_names_are_the_likest_whatever_their_case() -> None:
    known = ["resnet50", "resnet18", "RESNET34", "vgg11"]
    assert near_names("ResNet18", known, count=2) == ["resnet18", "resnet50"]
    assert near_names("vgg", known, least=0.7) == ["vgg11"]
    assert near_names("vgg", known, least=0.8) == []
    assert near_names("", known) == near_names("vgg", []) == []


def test_names_that_are_equally_alike_stay_in_their_order() -> None:
    assert near_names("ab", ["abx", "aby", "abw"]) == ["abx", "aby", "abw"]


@given(anything, st.lists(anything, max_size=6))
def test_near_names_have_the_likeness_asked_for(wanted: str, known: list[str]) -> None:
    found = near_names(wanted, known, count=9, least=0.5)
    folded = wanted.casefold()
    likenesses = [likeness(name.casefold(), folded) for name in found]
    assert likenesses == sorted(likenesses, reverse=True)
    alike = [name for name in known if likeness(name.casefold(), folded) >= 0.5]
    assert sorted(found) == sorted(alike)


def test_a_text_is_cut_to_its_limit() -> None:
    assert cut_short("Klavier", 7) == "Klavier"
    assert cut_short("Klavier!", 7) == "Klavie…"


@given(st.text(st.characters(), max_size=90), st.integers(1, 30))
def test_a_foreign_text_becomes_one_printable_line(text: str, limit: int) -> None:
    line = in_one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert "  " not in line


def test_what_cannot_be_printed_parts_words() -> None:
    assert in_one_line("no\x1b[31m\n\t light ", 80) == "no [31m light"


def test_an_error_without_a_message_is_said_by_its_class() -> None:
    assert lines_of(ValueError("\none\ntwo")) == ["one", "two"]
    assert lines_of(MemoryError()) == ["MemoryError"]


@pytest.mark.parametrize(
    ("evidence", "said"), [(0.704, "+0.70"), (-1.0, "-1.00"), (-0.004, "+0.00"), (0.0, "+0.00")]
)
def test_evidence_has_its_sign(evidence: float, said: str) -> None:
    assert signed(evidence) == said


@pytest.mark.whole
def test_texts_are_light() -> None:
    program = "import sys, albo.texts; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603  (our own interpreter)


# --- folding -------------------------------------------------------------------------------------


@given(anything)
def test_a_folded_text_has_single_blanks_and_nothing_unprintable(text: str) -> None:
    folded = fold_text(text)
    assert folded == " ".join(folded.split())
    assert folded.isprintable()
    assert fold_text(f" {text}\n\t") == folded


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Greatest  HITS", "greatest hits"),
        ("\uff27\uff52\uff45\uff41\uff54 \u2460", "great 1"),
        ("Straße\x00\x1b[31mEins", "strasse [31meins"),
        ("a\ud800b", "a b"),
        ("\u202eموسيقى عربية\u202c", "موسيقى عربية"),
        ("🎸🎷 love", "🎸🎷 love"),
        ("\u200b\u00a0\ufeff", ""),
        ("演歌", "演歌"),
    ],
)
def test_folding_by_hand(text: str, folded: str) -> None:
    assert fold_text(text) == folded


def test_a_cover_full_of_small_print_is_cut() -> None:
    flood = words(*["W" * 500] * 1000)
    assert len(joined(flood)) <= MAX_CHARACTERS
    assert len(listed(flood, {})) <= MAX_CHARACTERS
    swelling = words("\ufdfa" * 10**6)  # one character that NFKC makes eighteen
    assert len(joined(swelling)) <= 18 * MAX_CHARACTERS


def test_lines_are_joined_for_grams_and_listed_for_what_they_mean() -> None:
    said = words("FRENCHAFFAIR", " Night  Train ", "")
    assert joined(said) == "frenchaffair night train"
    assert listed(said, RANKS) == "french affair, Night Train"
    assert listed(said, {}) == "FRENCHAFFAIR, Night Train"
    assert (joined(Words()), listed(Words(), RANKS)) == ("", "")
    assert joined(Words(error="no light")) == ""


# --- glued words ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glued", "apart"),
    [
        ("FRENCHAFFAIR", "french affair"),
        ("the GREATESTHITS of", "the greatest hits of"),
        ("NightTrain, NEWYORK!", "night train, new york!"),
        ("GREATESTHITS2024", "greatest hits2024"),
        # Words themselves, what is too short or no run of letters, and what no known words make.
        ("Greatest", "Greatest"),
        ("inlov", "inlov"),
        ("xqzwvkjp", "xqzwvkjp"),
        ("aaaaaaaa", "aaaaaaaa"),
        ("FRENCHAFFAIRX", "FRENCHAFFAIRX"),
        ("größtehits", "größtehits"),
        ("演歌GREATESTHITS", "演歌greatest hits"),
        ("", ""),
    ],
)
def test_glued_words_come_apart(glued: str, apart: str) -> None:
    assert separate(glued, RANKS) == apart


def test_without_a_list_of_words_nothing_comes_apart() -> None:
    assert separate("FRENCHAFFAIR", {}) == "FRENCHAFFAIR"


def test_rare_words_are_chance_and_stay_together() -> None:
    rare = {f"{'w' * 8}{number}": number for number in range(30_000)}
    rare |= {"fre": 30_000, "ncha": 30_001, "ffa": 30_002, "ir": 30_003}
    assert separate("FRENCHAFFAIR", rare) == "FRENCHAFFAIR"
    assert separate("FRENCHAFFAIR", rare | {"french": 3, "affair": 9}) == "french affair"


@settings(max_examples=60)
@given(st.text("abcdefghijklmnopqrstuvwxyzTHEOFI ,.\n", max_size=60))
def test_taking_apart_keeps_every_letter(text: str) -> None:
    apart = separate(text, RANKS)
    assert apart.replace(" ", "").casefold() == text.replace(" ", "").casefold()
    assert separate(apart, RANKS) == apart


def test_long_runs_take_no_time() -> None:
    every = {"a" * length: length for length in range(1, 19)}
    began = time.perf_counter()
    for run in ("a" * 40, "thegreatesthits" * 2 + "loveofnight", "z" * 40):
        separate(" ".join([run] * 90), RANKS | every)
    assert time.perf_counter() - began < 2
