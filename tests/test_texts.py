"""Texts: made alike, taken to pieces and put together again, glued words apart."""

from __future__ import annotations

import time
from collections import Counter
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albo.records import Line, Words
from albo.texts import MAX_CHARACTERS, Grams, fold_text, joined, listed, separate

BOX = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
COMMON = """
    the of a and in to is i love greatest hits french affair best night train new york
"""
RANKS = {word: rank for rank, word in enumerate(COMMON.split())}

anything = st.text(st.characters(), max_size=30)
texts = st.lists(anything, max_size=8)


def words(*lines: str) -> Words:
    return Words(tuple(Line(line, BOX, 1.0) for line in lines))


def plain_grams(text: str) -> Counter[int]:
    """Count runs of 1 to 4 characters within words, without a table of places."""
    found: Counter[int] = Counter()
    for word in text.split():
        edged = f" {word} "
        for length in (1, 2, 3, 4):
            for start in range(len(edged)):
                run = edged[start : start + length]
                if len(run) == length and run.strip(" "):
                    found[crc32(run.encode("utf-8", "surrogatepass"))] += 1
    return found


def rows_of(grams: Grams) -> list[dict[int, float]]:
    return [
        dict(zip(grams.ids[a:b].tolist(), grams.counts[a:b].tolist(), strict=True))
        for a, b in zip(grams.starts[:-1], grams.starts[1:], strict=True)
    ]


def assert_same(one: Grams, other: Grams) -> None:
    for name in ("starts", "ids", "counts"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


# --- grams ---------------------------------------------------------------------------------------


@given(texts)
def test_grams_are_those_counted_plainly(said: list[str]) -> None:
    grams = Grams.of(said)
    assert grams.shape == (len(said),)
    assert (grams.starts.dtype, grams.ids.dtype, grams.counts.dtype) == (
        np.int64, np.uint32, np.float32,
    )  # fmt: skip
    assert rows_of(grams) == [dict(plain_grams(text)) for text in said]
    assert grams.speaks.tolist() == [bool(text.split()) for text in said]
    for first, last in zip(grams.starts[:-1], grams.starts[1:], strict=True):
        assert (np.diff(grams.ids[first:last].astype(np.int64)) > 0).all(), (
            "ascending within a text"
        )
    assert grams.rows.tolist() == np.repeat(
        np.arange(len(said)), np.diff(grams.starts)
    ).tolist()  # fmt: skip


@given(texts, st.data())
def test_rows_picked_are_the_grams_of_the_texts_picked(
    said: list[str], data: st.DataObject
) -> None:
    grams, count = Grams.of(said), len(said)
    places = data.draw(
        st.lists(st.integers(-count, count - 1), max_size=9) if count else st.just([])
    )
    assert_same(grams[np.array(places, np.int64)], Grams.of(said[place] for place in places))
    mask = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    kept = [text for text, keep in zip(said, mask, strict=True) if keep]
    assert_same(grams[np.array(mask, np.bool_)], Grams.of(kept))
    cut = data.draw(st.slices(count))
    assert_same(grams[cut], Grams.of(said[cut]))
    twice = grams[np.array(places, np.int64)][::-1]
    assert_same(twice, Grams.of(said[place] for place in reversed(places)))


def test_grams_by_hand() -> None:
    [row] = rows_of(Grams.of(["aa b"]))
    expected = {" a": 1, "a": 2, "aa": 1, "a ": 1, " aa": 1, "aa ": 1, " aa ": 1}
    expected |= {"b": 1, " b": 1, "b ": 1, " b ": 1}
    assert row == {crc32(gram.encode()): count for gram, count in expected.items()}
    assert Grams.of([]).shape == (0,)
    assert Grams.of(["", " \n"]).nbytes == 3 * 8


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


@pytest.mark.parametrize(
    "line", ["a\ud800\udfff", "\x00\x00", "\u202eمو\u202c", "👩‍🎤🎸", "a" * 9999]
)
def test_no_text_is_too_strange_to_be_taken_to_pieces(line: str) -> None:
    said = words(line, "", line)
    grams = Grams.of([line, joined(said), fold_text(listed(said, RANKS))])
    assert grams.shape == (3,)
    assert grams.counts.min(initial=1) >= 1


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
