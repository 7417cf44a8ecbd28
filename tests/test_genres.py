"""The tree of genres: what it holds, how names find it, and what the command prints."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albo.errors import UnknownGenre, UsageError
from albo.genres import (
    Genre,
    find_genre,
    genre_of,
    subgenres_of,
    umbrella_of,
    umbrellas,
    with_subgenres,
)
from tests.conftest import Answer

Run = Callable[..., Answer]

UMBRELLAS = {
    2: "Blues", 3: "Comedy", 4: "Children's Music", 5: "Classical", 6: "Country", 7: "Electronic",
    8: "Holiday", 9: "Opera", 10: "Singer/Songwriter", 11: "Jazz", 12: "Latino", 13: "New Age",
    14: "Pop", 15: "R&B/Soul", 16: "Soundtrack", 17: "Dance", 18: "Hip-Hop/Rap", 19: "World",
    20: "Alternative", 21: "Rock", 22: "Christian & Gospel", 23: "Vocal", 24: "Reggae",
    25: "Easy Listening", 27: "J-Pop", 28: "Enka", 29: "Anime", 30: "Kayokyoku",
    50: "Fitness & Workout", 51: "K-Pop", 52: "Karaoke", 53: "Instrumental", 1122: "Brazilian",
    50000061: "Spoken Word", 50000063: "Disney", 50000064: "French Pop", 50000066: "German Pop",
}  # fmt: skip
EVERY = tuple(genre for umbrella in umbrellas() for genre in with_subgenres(umbrella))
TWICE = "Latin Jazz"  # a subgenre of Jazz and one of Latino


def message_of(text: str) -> str:
    """The one line that says why a text finds no genre."""
    with pytest.raises(UsageError) as caught:
        find_genre(text)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 300
    return said


# --- the tree ------------------------------------------------------------------------------------


def test_every_umbrella_is_there_in_order() -> None:
    assert {genre.id: genre.name for genre in umbrellas()} == UMBRELLAS
    assert [genre.id for genre in umbrellas()] == sorted(UMBRELLAS)
    assert all(genre.parent_id is None for genre in umbrellas())


def test_every_subgenre_is_under_one_umbrella() -> None:
    subgenres = [genre for umbrella in umbrellas() for genre in subgenres_of(umbrella)]
    assert len(subgenres) == len(set(subgenres)) == 215
    assert len({genre.id for genre in EVERY}) == len(EVERY) == 37 + 215
    assert all(genre.name == genre.name.strip() != "" for genre in EVERY)


def test_subgenres_come_in_the_order_of_the_file() -> None:
    blues = [genre.name for genre in subgenres_of(Genre(2, "Blues", None))]
    assert blues == [
        "Chicago Blues", "Classic Blues", "Contemporary Blues", "Country Blues", "Delta Blues",
        "Electric Blues", "Acoustic Blues",
    ]  # fmt: skip


def test_a_genre_comes_before_its_subgenres() -> None:
    jazz = find_genre("Jazz")
    assert with_subgenres(jazz) == (jazz, *subgenres_of(jazz))
    assert len(with_subgenres(jazz)) == 14


def test_a_subgenre_and_an_umbrella_without_any_give_themselves_alone() -> None:
    for genre in (find_genre("Hard Bop"), find_genre("K-Pop")):
        assert with_subgenres(genre) == (genre,)
        assert subgenres_of(genre) == ()


def test_genres_by_id() -> None:
    assert genre_of(1118) == Genre(1118, "Raíces", 12)
    assert genre_of(50000064) == Genre(50000064, "French Pop", None)
    assert all(genre_of(genre.id) is genre for genre in EVERY)


@pytest.mark.parametrize(
    ("genre_id", "umbrella"),
    [(1106, "Jazz"), (1111, "Jazz"), (1115, "Latino"), (1028, "Classical"), (1160, "Rock"),
     (1169, "Soundtrack"), (1229, "Brazilian"), (11, "Jazz"), (51, "K-Pop"), (1122, "Brazilian")],
)  # fmt: skip
def test_genres_roll_up(genre_id: int, umbrella: str) -> None:
    found = umbrella_of(genre_id)
    assert found is not None
    assert (found.name, found.parent_id) == (umbrella, None)


@pytest.mark.parametrize("foreign", [34, 0, -11, 999, 26, 10**30])
def test_what_is_not_in_the_tree_is_none(foreign: int) -> None:
    assert genre_of(foreign) is None
    assert umbrella_of(foreign) is None


# --- by id and by name ---------------------------------------------------------------------------


def test_every_id_and_every_name_is_found() -> None:
    lost: list[str] = []
    for genre in EVERY:
        if find_genre(str(genre.id)) is not genre:
            lost.append(str(genre.id))
        if genre.name != TWICE:
            texts = (genre.name, genre.name.upper(), f"  {genre.name.lower()}\n")
            lost += [text for text in texts if find_genre(text).name != genre.name]
    assert not lost


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("r&b soul", "R&B/Soul"), ("R & B / SOUL", "R&B/Soul"), ("RNB/Soul", "R&B/Soul"),
        ("r'n'b soul", "R&B/Soul"), ("R and B and Soul", "R&B/Soul"),
        ("hip hop rap", "Hip-Hop/Rap"), ("hiphop/rap", "Hip-Hop/Rap"), ("hip-hop", "Hip-Hop"),
        ("childrens music", "Children's Music"),
        ("Children\N{RIGHT SINGLE QUOTATION MARK}s Music", "Children's Music"),
        ("french-pop", "French Pop"), ("french_pop", "French Pop"), ("kpop", "K-Pop"),
        ("Christian and Gospel", "Christian & Gospel"), ("christian gospel", "Christian & Gospel"),
        ("Fitness and Workout", "Fitness & Workout"), ("singer-songwriter", "Singer/Songwriter"),
        ("raices", "Raíces"), ("Axe", "Axé"), ("FORRO", "Forró"), ("Forro\u0301", "Forró"),
        ("rock'n'roll", "Rock & Roll"), ("jungle drum and bass", "Jungle/Drum'n'bass"),
        ("salsa & tropical", "Salsa y Tropical"), ("christmas rnb", "Christmas: R&B"),
        ("\uff2a\uff41\uff5a\uff5a", "Jazz"), ("gospel", "Gospel"),
    ],
)  # fmt: skip
def test_names_are_found_as_people_type_them(text: str, name: str) -> None:
    assert find_genre(text).name == name


@pytest.mark.parametrize(
    ("text", "genre_id"), [("opera", 9), ("soundtrack", 16), ("singer songwriter", 10)]
)
def test_of_one_name_the_umbrella_is_meant(text: str, genre_id: int) -> None:
    assert find_genre(text).id == genre_id


def test_two_subgenres_of_one_name_are_told_apart_by_id() -> None:
    said = message_of("latin-jazz")
    assert "1111 (in Jazz) and 1115 (in Latino)" in said
    assert find_genre("1115").parent_id == 12


# --- what finds nothing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("hip", "nearest: Hip-Hop/Rap (18), Hip-Hop (1073), Reggaeton y Hip-Hop (1119);"),
        ("beat", "Afro-Beat (1177), Breakbeat (1044)"),
        ("polish pop", "Pop (14)"),
        ("folk", "Folk-Rock (1065), "),
        ("songwriter", "Singer/Songwriter (10), "),
        ("gospels", "Gospel (1101)"),
        ("heavy metal", "Metal (1153)"),
        ("clasical", "Classical (5)"),
        ("raggae", "Reggae (24)"),
        ("dicso", "Disco (1137)"),
        ("k", "K-Pop (51), "),
        ("soundtracks", "Soundtrack (16), Soundtrack (1169), "),
        ("latin jazzz", "Latin Jazz (1111), Latin Jazz (1115)"),
    ],
)
def test_the_nearest_names_are_said(text: str, near: str) -> None:
    said = message_of(text)
    assert said.startswith(f"'{text}' is no genre")
    assert near in said
    assert "`albo genres`" in said
    assert len(re.findall(r"\(\d+\)", said)) <= 5


@pytest.mark.parametrize(
    "text",
    ["", "  ", "&", "/-'!", "and", "\x00", "\x1b[31m\r\n", "😀", "\u0301", "\udc80", "qqqqqq",
     "爵士乐", "jazz" * 5000, "\u0301\u0323" * 50_000, "\ufdfa" * 90, "(" * 99],
    ids=ascii,
)  # fmt: skip
def test_what_is_like_no_name_is_said_in_one_line(text: str) -> None:
    with pytest.raises(UnknownGenre, match=r"is no genre of the iTunes store; `albo genres` lists"):
        find_genre(text)
    assert message_of(text)


@pytest.mark.parametrize("digits", ["0", "34", "011", "999", "9" * 10_000])
def test_digits_that_are_no_id(digits: str) -> None:
    with pytest.raises(UnknownGenre, match=rf"has the id {digits[:39]}.*`albo genres` lists"):
        find_genre(digits)
    assert message_of(digits)


@pytest.mark.parametrize(
    "text", ["-11", "+11", "1_1", "11.0", "1e1", "\u0661\u0661", "\uff11\uff11", "\xb9\xb9", "#11"]
)
def test_no_other_number_is_an_id(text: str) -> None:
    with pytest.raises(UnknownGenre, match="is no genre"):
        find_genre(text)


def test_a_steering_character_does_not_reach_the_message() -> None:
    said = message_of("rock\x1b band\n")
    assert r"\x1b" in said
    assert "Rock (21)" in said


@given(st.text(max_size=120))
def test_any_text_finds_a_genre_or_is_wrong_usage(text: str) -> None:
    try:
        found = find_genre(text)
    except UsageError:
        assert message_of(text)
    else:
        assert found in EVERY


# --- the command ---------------------------------------------------------------------------------


def test_the_command_prints_the_tree(albo_line: Run) -> None:
    answer = albo_line("genres", COLUMNS="80")
    lines = answer.out.splitlines()
    assert (answer.code, answer.err, len(lines)) == (0, "", 37 + 215)
    assert lines[:2] == ["       2  Blues", "    1007    Chicago Blues"]
    assert lines[-1] == "50000066  German Pop"
    assert all(len(line) <= 80 for line in lines)


def test_the_command_prints_the_trees_asked_for(albo_line: Run) -> None:
    answer = albo_line("genres", "k-pop", "jazz", "Disco", "11", "Funk")
    lines = answer.out.splitlines()
    assert lines[:3] == ["      51  K-Pop", "      11  Jazz", "    1052    Big Band"]
    assert lines[15:] == ["      15  R&B/Soul", "    1137    Disco", "    1139    Funk"]


def test_the_command_answers_in_json(albo_line: Run) -> None:
    objects = albo_line("genres", "--json").objects
    assert [Genre(o["id"], o["name"], o["umbrella_id"]) for o in objects] == list(EVERY)
    jazz, big_band, *_ = albo_line("genres", "jazz", "--json").objects
    assert jazz == {"id": 11, "name": "Jazz", "umbrella": None, "umbrella_id": None}
    assert big_band == {"id": 1052, "name": "Big Band", "umbrella": "Jazz", "umbrella_id": 11}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jazz", "hip"], "Hip-Hop/Rap (18)"),
        (["latin jazz"], "1111 (in Jazz) and 1115 (in Latino)"),
        (["all"], "`albo genres`"),
        ([""], "`albo genres`"),
        (["--", "-11"], "'-11' is no genre"),
    ],
)
def test_the_command_refuses_what_is_no_genre(albo_line: Run, words: list[str], said: str) -> None:
    answer = albo_line("genres", *words)
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    assert said in line


@pytest.mark.whole
def test_the_command_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from albo.cli import app\n"
        "app(['genres'], standalone_mode=False)\n"
        "heavy = {'numpy', 'torch', 'pyarrow', 'faiss', 'sklearn', 'PIL', 'rich', 'openvino'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
