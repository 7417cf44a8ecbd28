"""Labels: which spellings are one, and what is said of labels and artists that mislead."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from albo.learning import label_covers
from albo.learning.bootstrap import Bootstrap
from albo.learning.labels import Labelling, note_artists, note_labels
from albo.learning.metrics import summarise
from albo.records import Album


def label(*genres: str, artists: tuple[str, ...] = ()) -> Labelling:
    """Label covers, one of each genre given, by artists of their own or by these."""
    return label_covers(
        Album(
            "here",
            str(number),
            f"{number}.jpg",
            number.to_bytes(32, "big"),
            genre=genre,
            artist=artists[number] if artists else f"Artist {number}",
        )
        for number, genre in enumerate(genres)
    )


def labels_notes(labelling: Labelling) -> list[str]:
    said: list[str] = []
    note_labels(labelling, said.append)
    return said


def artists_notes(labelling: Labelling) -> list[str]:
    said: list[str] = []
    note_artists(labelling, said.append)
    return said


def test_spellings_of_one_genre_are_one() -> None:
    french = "Électronique"
    found = label(
        "Hip Hop", "hip-hop", "Hip Hop", "HIP_HOP", french, unicodedata.normalize("NFD", french)
    )
    assert [cover.genre for cover in found.covers][:4] == ["Hip Hop"] * 4
    assert len({cover.genre for cover in found.covers}) == 2
    assert found.merged[0] == ("Hip Hop", "HIP_HOP", "hip-hop")
    assert labels_notes(found)[0] == ("HIP_HOP, hip-hop and Hip Hop are one genre here: Hip Hop")


def test_two_spellings_on_one_cover_do_not_conflict() -> None:
    albums = [
        Album("here", str(n), "a.jpg", bytes(32), genre=genre)
        for n, genre in enumerate(("Hip Hop", "hip-hop", "hip-hop"))
    ]
    found = label_covers(albums)
    assert (found.conflicting, [one.genre for one in found.covers]) == (0, ["hip-hop"])


def test_other_names_are_noted_and_not_merged() -> None:
    found = label("Hip-Hop/Rap", "Hip Hop", "Rock", "Rock & Roll", "-", "C++")
    assert len({cover.genre for cover in found.covers}) == 6
    assert labels_notes(found) == [
        "Hip-Hop/Rap and Hip Hop may be two names of one genre; give both one label if so"
    ]


def test_labels_that_name_nothing_are_noted() -> None:
    (note,) = labels_notes(label("nan", "Rock", "None"))
    assert note.startswith("None, nan is learnt as a genre")


def test_an_artist_of_many_covers_is_noted() -> None:
    covers, artists = ("Rock",) * 60, ("The Crowd",) * 7 + tuple(f"Artist {n}" for n in range(53))
    (note,) = artists_notes(label(*covers, artists=artists))
    assert note.startswith("The Crowd is the artist of 7 of 60 covers")
    assert artists_notes(label(*covers[:20], artists=artists[:20])) == []


def test_what_unknown_artists_hide_is_noted() -> None:
    (note,) = artists_notes(label(*("Rock",) * 4, artists=("nan", "-", "V/A", "Somebody")))
    assert note.startswith("the artist of 3 of 4 covers is not known")
    assert artists_notes(label(*("Rock",) * 4)) == []


def test_a_share_of_all_or_none_is_not_certain() -> None:
    """16 covers of each of two genres, all right: Wilson's interval, from 89 %."""
    labels = np.repeat([0, 1], 16)
    sure = np.eye(2)[labels]
    found = summarise(labels, sure, sure > 0.5, np.arange(32))
    assert found.top1.value == 1.0
    assert found.top1.low == pytest.approx(0.893, abs=0.001)
    assert found.top1.high == 1.0
    wrong = summarise(labels, 1 - sure, sure > 0.5, np.arange(32))
    assert (wrong.top1.low, wrong.top1.high) == (0.0, pytest.approx(0.107, abs=0.001))
    assert (found.set_size_interval.low, found.set_size_interval.high) == (1.0, 1.0)


def test_groups_count_and_not_covers() -> None:
    few = Bootstrap(np.repeat(np.arange(4), 8))
    assert few.certain(1.0).low == pytest.approx(4 / (4 + 1.96**2))
