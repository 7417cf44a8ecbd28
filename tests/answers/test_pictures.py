"""Small pictures of covers: one that is gone or broken has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from albo.answers import CoverPictures
from albo.errors import AlboError, BadCover
from albo.limits import digest_of
from albo.records import Album
from albo.store import StoredCovers

if TYPE_CHECKING:
    from pathlib import Path


def album_of(file: Path) -> Album:
    return Album("test", file.name, str(file), digest_of(file.read_bytes()), "Rock")


@pytest.mark.whole
def test_a_cover_is_shown_while_it_is_the_one_that_was_embedded(
    kept_aside: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "cover.jpg"
    with open(kept_aside[0], "rb") as source:  # noqa: PTH123
        file.write_bytes(source.read())
    pictures = CoverPictures(StoredCovers())
    album = album_of(file)
    assert pictures.picture(album).startswith(b"\xff\xd8")
    file.write_bytes(file.read_bytes() + b"changed")
    assert pictures.picture(album) == b""
    file.unlink()
    assert pictures.picture(album) == b""


def test_a_store_that_does_not_answer_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def answer(_self: StoredCovers, uri: str, *_rest: object) -> bytes:
        asked.append(uri)
        raise AlboError("s3.example.org does not answer") if len(asked) > 1 else BadCover("broken")

    monkeypatch.setattr(StoredCovers, "read_again", answer)
    said: list[str] = []
    pictures = CoverPictures(StoredCovers(), said.append)
    file = tmp_path / "cover.jpg"
    file.write_bytes(b"x")
    assert [pictures.picture(album_of(file)) for _ in range(5)] == [b""] * 5
    assert len(asked) == 2, "a broken cover is no reason to ask for no other"
    assert said == ["s3.example.org does not answer; covers are shown without pictures"]
