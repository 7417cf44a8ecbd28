"""The queue of artwork that albums want: each artwork is open once, in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from albo.records import Listing
from albo.sources import Fetched, NotFetched, Tally, WantedArtwork
from albo.sources import artwork_requests as room

if TYPE_CHECKING:
    import pytest

TALLY = Tally("Jazz")


def listing(name: str, *, error: str = "", arriving: bytes | None = None) -> Listing:
    url = f"https://covers.example/{name}/100x100bb.jpg"
    return Listing({}, art_url=url, art_error=error, art_arriving=arriving)


def test_albums_that_share_an_artwork_join_it_while_it_is_open() -> None:
    wanted = WantedArtwork()
    assert wanted.want("1", listing("a"), TALLY) is None
    assert wanted.want("2", listing("a", arriving=b"x" * 32), TALLY) is None
    assert (wanted.count, wanted.album_count) == (1, 2)
    art = wanted.take_next(with_failed=True)
    assert art is not None
    assert art.arriving == b"x" * 32
    wanted.want("3", listing("a"), TALLY)
    assert wanted.take_next(with_failed=True) is None, "it is in work"
    assert list(art.albums) == ["1", "2", "3"]
    assert (wanted.count, wanted.album_count) == (0, 3)
    wanted.settle([NotFetched(art, "gone")])
    assert wanted.album_count == 0
    wanted.want("4", listing("a"), TALLY)
    assert wanted.count == 1, "a settled one may be wanted again"


def test_artwork_that_failed_last_time_comes_last() -> None:
    wanted = WantedArtwork()
    wanted.want("1", listing("a", error="500"), TALLY)
    for name in "bcd":
        wanted.want(name, listing(name), TALLY)
    assert (wanted.count, wanted.new_count) == (4, 3)
    taken = [wanted.take_next(with_failed=True) for _ in range(3)]
    assert [next(iter(art.albums)) for art in taken if art is not None] == ["b", "c", "d"]
    assert wanted.take_next(with_failed=False) is None
    last = wanted.take_next(with_failed=True)
    assert last is not None
    assert list(last.albums) == ["1"]


def test_the_artwork_stored_last_is_had_without_a_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_MOST_REMEMBERED", 2)
    wanted = WantedArtwork()
    for name in "abc":
        wanted.want(name, listing(name), TALLY)
        art = wanted.take_next(with_failed=True)
        assert art is not None
        stored = Fetched(art, name.encode() * 32, uri=f"/covers/{name}")
        wanted.remember(stored)
        wanted.settle([stored])
    again = wanted.want("9", listing("c"), TALLY)
    assert again is not None
    assert again == replace(stored, art=again.art)
    assert again.art.albums == {"9": TALLY}
    assert wanted.count == wanted.album_count == 0
    assert wanted.want("9", listing("a"), TALLY) is None, "the oldest is forgotten"


def test_albums_whose_artwork_could_not_be_had_are_known() -> None:
    wanted = WantedArtwork()
    wanted.want("1", listing("a"), TALLY)
    art = wanted.take_next(with_failed=True)
    assert art is not None
    wanted.give_up(NotFetched(art, "gone"))
    assert wanted.was_given_up("1")
    assert not wanted.was_given_up("2")
