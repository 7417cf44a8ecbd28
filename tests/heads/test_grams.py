"""Grams: texts taken to pieces."""

from __future__ import annotations

from collections import Counter
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albo.heads.grams import Grams
from albo.records import Line, Words
from albo.texts import fold_text, joined, listed

BOX = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
RANKS = {word: rank for rank, word in enumerate(["the", "french", "affair", "night", "train"])}

texts = st.lists(st.text(st.characters(), max_size=30), max_size=8)


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


@pytest.mark.whole
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


@pytest.mark.parametrize(
    "line", ["a\ud800\udfff", "\x00\x00", "\u202eمو\u202c", "👩‍🎤🎸", "a" * 9999]
)
def test_no_text_is_too_strange_to_be_taken_to_pieces(line: str) -> None:
    said = Words(tuple(Line(text, BOX, 1.0) for text in (line, "", line)))
    grams = Grams.of([line, joined(said), fold_text(listed(said, RANKS))])
    assert grams.shape == (3,)
    assert grams.counts.min(initial=1) >= 1
