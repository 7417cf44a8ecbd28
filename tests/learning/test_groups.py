"""Groups: who is linked to whom, and who is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albo.errors import UsageError
from albo.learning import group_covers
from albo.learning.groups import is_compilation, is_known, rare_line_links

NO_PAIRS = np.empty((0, 2), np.int64)


def groups(
    artists: list[str],
    ids: list[str] | None = None,
    dups: list[str] | None = None,
    pairs: list[tuple[int, int]] | None = None,
) -> list[int]:
    blank = [""] * len(artists)
    found = group_covers(
        [[both] for both in zip(artists, ids or blank, strict=True)],
        [[dup] for dup in dups or blank],
        np.array(pairs or NO_PAIRS),
    )
    assert found.dtype == np.int64
    return found.tolist()


def test_names_are_compared_after_nfkc_casefold_and_white_space() -> None:
    names = [
        "Motörhead",
        "MOTO\u0308RHEAD",
        "\uff2dOTO\u0308RHEAD",
        " motörhead ",
        "Straße",
        "STRASSE",
    ]
    assert groups(names) == [0, 0, 0, 0, 1, 1]
    assert groups(["The  Band", "the\tband", "Band"]) == [0, 0, 1]


@pytest.mark.parametrize(
    "name",
    [
        "Various Artists", "various  artists", "VA", "V.A.", "V/A", "[Various]", "Various",
        "Soundtrack", "Original Soundtrack", "Original Cast", "Original Broadway Cast",
        "Original Broadway Cast of Hamilton", "Original Off-Broadway Cast of Hair",
        "Verschiedene Interpreten", "Diverse Künstler", "Artistes Divers", "Varios Artistas",
        "Vários Artistas", "Różni Wykonawcy", "オムニバス", "ヴァリアス・アーティスト", "群星",
        "Разные исполнители", "Unknown Artist", "\uff36\uff21",
        "nan", "NaN", "None", "null", "NA", "N/A", "-", "?", "???", "Anonymous", "AA.VV.", "VV.AA.",
        "Various Artists (Compilation)", "Multiple Artists", "[unknown]",
    ],
)  # fmt: skip
def test_compilation_artists_link_nothing(name: str) -> None:
    assert is_compilation(name)
    assert not is_known(name, "36270")
    assert groups([name, name], ids=["36270", "36270"]) == [0, 1]


@pytest.mark.parametrize(
    "name", ["Vanilla", "Various Production", "Cast", "The Cast", "Mos Def", "VAST", ""]
)
def test_artists_of_like_names_are_artists(name: str) -> None:
    assert not is_compilation(name)
    assert is_known(name) == (name != "")


def test_blanks_link_nothing() -> None:
    assert groups(["", " ", ""], ids=["", " ", ""], dups=["", " ", ""]) == [0, 1, 2]
    assert groups([]) == []


def test_ids_go_before_names() -> None:
    assert groups(["John Williams"] * 2, ids=["1", "2"]) == [0, 1]
    assert groups(["Prince", "The Artist"], ids=["7", "7"]) == [0, 0]
    assert groups(["", ""], ids=["7", "7"]) == [0, 0]


def test_a_name_without_an_id_may_be_any_of_that_name() -> None:
    assert groups(["Nas", "NAS", "Nas "], ids=["1", "", "1"]) == [0, 0, 0]
    assert groups(["John Williams"] * 3, ids=["1", "2", ""]) == [0, 0, 0]
    assert groups(["Nas", "Jay-Z"], ids=["1", ""]) == [0, 1]
    assert groups(["", "Nas"], ids=["Nas", ""]) == [0, 1], "an id is no name"


def test_marks_pairs_and_artists_chain() -> None:
    found = groups(
        ["A", "A", "", "", "", "B"],
        dups=["", "d1", "d1", "", "", ""],
        pairs=[(2, 3)],
    )
    assert found == [0, 0, 0, 0, 1, 2]


def test_a_cover_of_several_artists_and_artworks_is_linked_by_each() -> None:
    artists = [[("A", ""), ("B", "7")], [("A", "")], [("", "7")], [("C", "")], [], []]
    dups = [[], [], [], ["d1", "d2"], ["d1"], ["d2", ""]]
    assert group_covers(artists, dups, NO_PAIRS).tolist() == [0, 0, 0, 1, 1, 1]


def test_pairs_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="names cover 2 of 2"):
        groups(["a", "b"], pairs=[(0, 2)])
    with pytest.raises(UsageError, match="names cover -1 of 2"):
        groups(["a", "b"], pairs=[(-1, 0)])
    with pytest.raises(UsageError, match="artists of 1 covers and dup_groups of 0"):
        group_covers([[("a", "")]], [], NO_PAIRS)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "a", "A", "b", "Various Artists"]),
            st.sampled_from(["", "1", "2"]),
            st.sampled_from(["", "x", "y"]),
        ),
        max_size=12,
    ),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=4),
)
def test_against_spreading_marks_until_nothing_changes(
    covers: list[tuple[str, str, str]], pairs: list[tuple[int, int]]
) -> None:
    pairs = [pair for pair in pairs if max(pair) < len(covers)]
    found = groups(
        [cover[0] for cover in covers], [cover[1] for cover in covers],
        [cover[2] for cover in covers], pairs,
    )  # fmt: skip

    def linked(one: int, other: int) -> bool:
        (name, ident, dup), (name2, ident2, dup2) = covers[one], covers[other]
        known = is_known(name, ident) and is_known(name2, ident2)
        by_id = known and ident == ident2 != ""
        by_name = known and name.casefold() == name2.casefold() != "" and "" in (ident, ident2)
        return by_id or by_name or dup == dup2 != "" or (one, other) in pairs

    expected = list(range(len(covers)))
    for _ in covers:
        for one in range(len(covers)):
            for other in range(len(covers)):
                if linked(one, other):
                    low = min(expected[one], expected[other])
                    expected[one] = expected[other] = low
    firsts = sorted(set(expected))
    assert found == [firsts.index(mark) for mark in expected]


# --- rare lines ----------------------------------------------------------------------------------


def linked(lines: list[list[str]], *, named: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    nameless = [row not in named for row in range(len(lines))]
    found = rare_line_links(lines, nameless=nameless)
    assert found.dtype == np.int64
    assert found.shape[1:] == (2,)
    return [(one, other) for one, other in found.tolist()]


@pytest.mark.parametrize(("bearers", "links"), [(1, 0), (2, 1), (12, 11), (13, 0), (60, 0)])
def test_lines_on_two_to_twelve_covers_link(bearers: int, links: int) -> None:
    assert len(linked([["Orchard Pilots"]] * bearers)) == links


def test_covers_that_bear_a_rare_line_are_one_group() -> None:
    lines = [["Orchard Pilots"], [], ["Orchard Pilots", "Quiet Rivers"], ["Quiet Rivers"], ["Live"]]
    pairs = linked(lines)
    assert pairs == [(0, 2), (2, 3)]
    nobody: list[list[tuple[str, str]]] = [[] for _ in lines]
    assert group_covers(nobody, [[] for _ in lines], np.array(pairs)).tolist() == [0, 1, 0, 0, 2]


@pytest.mark.parametrize(("line", "long_enough"), [
    ("Pilots", False), ("Pilots 2000!", False), ("P i l o t s", False), ("Pilotsx", True),
    ("P I L O T S X", True), ("12345678", False), ("", False), ("群星群星群星群", True),
])  # fmt: skip
def test_a_line_has_seven_letters(line: str, long_enough: bool) -> None:
    assert bool(linked([[line], [line]])) == long_enough


def test_spaces_case_and_signs_make_no_difference() -> None:
    ways = ["Orchard Pilots", "ORCHARDPILOTS", "orchard  pilots!", "\uff2frchard Pilots"]
    ways += ["Orchard-Pilots 2"]
    assert linked([[way] for way in ways]) == [(0, row) for row in range(1, 5)]
    assert linked([["Straßenbahn"], ["STRASSENBAHN"]]) == [(0, 1)]


def test_a_line_twice_on_a_cover_is_on_one_cover() -> None:
    assert linked([["Orchard Pilots", "ORCHARD PILOTS"], ["else"]]) == []


def test_only_covers_without_an_artist_are_linked() -> None:
    lines = [["Orchard Pilots"]] * 4
    assert linked(lines, named=(0, 2)) == [(1, 3)]
    assert linked(lines, named=(0, 1, 2)) == []


def test_artists_covers_count_how_rare_a_line_is() -> None:
    lines = [["Deluxe Edition"]] * 13
    assert linked(lines, named=tuple(range(11))) == [], "13 bear it, though 2 have no artist"
    assert linked(lines[:12], named=tuple(range(10))) == [(10, 11)]
    assert linked(lines[:2], named=(0,)) == []


def test_no_lines_and_no_covers_link_nothing() -> None:
    assert linked([]) == []
    assert linked([[], []]) == []
