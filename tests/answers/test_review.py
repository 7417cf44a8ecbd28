"""Where covers are looked up for people to see: what is gone or broken has no picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.errors import AlboError, BadCover
from albo.limits import digest_of
from albo.records import Album
from albo.sources import Shelf
from albo.store import StoredCovers

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def album_of(file: Path) -> Album:
    return Album("test", file.name, str(file), digest_of(file.read_bytes()), "Rock")


def test_a_cover_is_shown_while_it_is_the_one_that_was_embedded(
    kept_aside: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "cover.jpg"
    with open(kept_aside[0], "rb") as source:  # noqa: PTH123
        file.write_bytes(source.read())
    shelf = Shelf({}, StoredCovers())
    album = album_of(file)
    assert shelf.picture(album).startswith(b"\xff\xd8")
    file.write_bytes(file.read_bytes() + b"changed")
    assert shelf.picture(album) == b""
    file.unlink()
    assert shelf.picture(album) == b""
    assert shelf.near(album, "Rock", 0.5).cover.genre == "Rock"


def test_a_store_that_does_not_answer_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def answer(_self: StoredCovers, uri: str, *_rest: object) -> bytes:
        asked.append(uri)
        raise AlboError("s3.example.org does not answer") if len(asked) > 1 else BadCover("broken")

    monkeypatch.setattr(StoredCovers, "read_again", answer)
    said: list[str] = []
    shelf = Shelf({}, StoredCovers(), said.append)
    file = tmp_path / "cover.jpg"
    file.write_bytes(b"x")
    assert [shelf.picture(album_of(file)) for _ in range(5)] == [b""] * 5
    assert len(asked) == 2, "a broken cover is no reason to ask for no other"
    assert said == ["s3.example.org does not answer; covers are shown without pictures"]
