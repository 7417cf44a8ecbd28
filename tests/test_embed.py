"""From sources to vectors: what is known is not done again, and what is done is never lost.

The network is replaced by one that counts; catalog, files, vectors and covers are real. The last
part runs whole commands as processes of their own, with the real network.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from albo import ahead as ahead_room
from albo import embed as room
from albo.api import Albo
from albo.catalog import Files
from albo.catalog.database import Database
from albo.catalog.sqlite import SqliteCatalog
from albo.embed import Stores, embed_catalog, embed_sources
from albo.errors import (
    CannotWrite,
    EmptyCatalog,
    RuntimeFailed,
    StaleArtifact,
    UnknownSource,
    UsageError,
)
from albo.intake import journal as journal_room
from albo.intake import loading as loading_room
from albo.limits import Limits, digest_of
from albo.networks import Card
from albo.networks import batches as batches_room
from albo.records import Digest, Embeddings
from albo.sources import open_sources
from albo.sources.folders import Folder
from albo.store import Artifacts, MiniatureStore, Vectors, read_file
from albo.store import covers as covers_room
from albo.store.part_writer import PartWriter
from albo.store.parts import Parts
from tests.plain_user import as_plain_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from albo.intake import EmbedSummary
    from albo.records import Pixels
    from albo.sources import Entry

D, M, SIZE = 8, 3, 24
CARD = Card(
    name="counting",
    fingerprint="c0" * 32,
    dimension=D,
    middle_dimension=M,
    size=SIZE,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    resample="bilinear",
    licence="MIT",
    commercial=True,
    weights="",
)
OTHER = replace(CARD, name="other", fingerprint="d1" * 32)
PROCESSES = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


# --- the bench -----------------------------------------------------------------------------------


def look(pixels: Pixels) -> Embeddings:
    """Embed as a network would: the same pixels always give the same numbers."""
    seeds = [list(hashlib.sha256(one.tobytes()).digest()) for one in pixels]
    numbers = np.array([np.random.default_rng(seed).standard_normal(D + M) for seed in seeds])
    vector = numbers[:, :D] / np.linalg.norm(numbers[:, :D], axis=1, keepdims=True)
    return Embeddings(vector.astype(np.float32), numbers[:, D:].astype(np.float32))


@dataclass
class CountingBackbone:
    """A network that counts, and like a real one takes some batches before it gives one back."""

    device: str = "cpu"
    batch_size: int = 4
    ahead: int = 2
    during: Callable[[int], None] = lambda _count: None
    look: Callable[[Pixels], Embeddings] = look
    opened: int = 0
    encoded: int = 0
    sizes: list[int] = field(default_factory=list)

    def open(self) -> CountingBackbone:
        self.opened += 1
        return self

    def encode(self, batches: Iterable[Pixels]) -> Iterator[Embeddings]:
        waiting: deque[Embeddings] = deque()
        for pixels in batches:
            assert pixels.shape[1:] == (SIZE, SIZE, 3)
            assert 1 <= len(pixels) <= self.batch_size
            self.sizes.append(len(pixels))
            self.encoded += len(pixels)
            waiting.append(self.look(pixels))
            self.during(self.encoded)
            if len(waiting) > self.ahead:
                yield waiting.popleft()
        yield from waiting


@dataclass
class Desk:
    """An artifacts folder and what is done with it; after each run its laws are checked."""

    root: Path
    backbone: CountingBackbone = field(default_factory=CountingBackbone)
    card: Card = CARD

    @contextmanager
    def stores(self) -> Iterator[Stores]:
        kept = Artifacts(self.root)
        with (
            SqliteCatalog(kept.catalog_file, write=True) as catalog,
            Files(kept.files_file, write=True) as files,
        ):
            vectors = Vectors.open_or_create(
                kept.vectors(self.card.name), self.card.name, self.card.fingerprint, D, M
            )
            miniatures = MiniatureStore.open_or_create(kept.miniatures_folder)
            yield Stores(catalog, files, vectors, miniatures)

    def embed(
        self,
        *words: Path | str,
        genre: str | None = None,
        lines: Iterable[str] = (),
        **options: Any,  # noqa: ANN401
    ) -> EmbedSummary:
        try:
            with self.stores() as stores:
                if words:
                    sources = open_sources([str(word) for word in words], genre, lines)
                    summary = embed_sources(
                        sources, stores, self.card, self.backbone.open, **options
                    )
                else:
                    summary = embed_catalog(stores, self.card, self.backbone.open, **options)
        finally:
            self.check()
        assert summary.seen == summary.embedded + summary.known + len(summary.skipped)
        return summary

    def check(self) -> None:
        """What must be so at any time: nothing passes for embedded that is not."""
        with self.stores() as stores:
            stored = stores.vectors.digests()
            assert len(set(stored)) == len(stored)
            rows = stores.files._database.rows(
                "SELECT digest FROM files WHERE digest NOT NULL AND ?", (self.card is CARD,)
            )
            # What vanished before this network first looked was never embedded by it.
            assert stores.catalog.digests(missing=self.card is CARD) <= set(stored)
            assert {row[0] for row in rows} <= set(stored)

    def digests(self) -> set[Digest]:
        with self.stores() as stores:
            return stores.catalog.digests()

    def stored(self) -> list[Digest]:
        with self.stores() as stores:
            return stores.vectors.digests()

    def skipped(self) -> dict[str, str]:
        with self.stores() as stores:
            return {Path(file.path).name: file.reason for file in stores.files.skipped()}

    def albums(self) -> list[tuple[str, str, str | None]]:
        with self.stores() as stores:
            return [
                (a.album_id, a.genre, a.digest.hex() if a.digest else None)
                for a in stores.catalog.albums()
            ]

    def state(self) -> tuple[Any, ...]:
        """All that a run leaves, but for times."""
        with self.stores() as stores:
            digests, embeddings = stores.vectors.read()
            numbers = {
                digest: (vector.tobytes(), middle.tobytes())
                for digest, vector, middle in zip(
                    digests, embeddings.vector, embeddings.middle, strict=True
                )
            }
            files = list(
                stores.files._database.rows("SELECT path, digest, reason FROM files ORDER BY path")
            )
            return list(stores.catalog.albums()), numbers, files


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "artifacts")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Nine covers of three genres."""
    for number in range(9):
        draw(tmp_path / "music" / f"Genre {number % 3}" / f"{number}.png", number)
    return tmp_path / "music"


def draw(file: Path, number: int, side: int = 32) -> Digest:
    """Write a cover of its own for each number; all of one size, whose files have one length."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    with file.open("wb") as stream:
        Image.fromarray(pixels).save(stream, "BMP")
    return digest_of(file.read_bytes())


def age(file: Path, seconds: float = 100.0) -> None:
    found = file.stat()
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns - int(seconds * 1e9)))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose content is read; they are read all the same."""
    names: list[str] = []

    def read(path: str, limits: Limits) -> bytes:
        names.append(Path(path).name)
        return read_file(path, limits)

    monkeypatch.setattr(covers_room, "read_file", read)
    return names


def reasons(summary: EmbedSummary) -> dict[str, str]:
    return {Path(skipped.uri).name: skipped.reason for skipped in summary.skipped}


# --- what is known is not done again -------------------------------------------------------------


def test_a_run_registers_and_embeds(desk: Desk, music: Path) -> None:
    summary = desk.embed(music)
    assert (summary.seen, summary.embedded, summary.known) == (9, 9, 0)
    assert summary.device == "cpu"
    assert summary.seconds > 0
    assert desk.backbone.encoded == 9
    assert len(desk.albums()) == 9
    with desk.stores() as stores:
        [album] = stores.catalog.find(str(music.resolve()), ["Genre 1/4.png"]).values()
        assert album.genre == "Genre 1"
        assert album.uri == str(music.resolve() / "Genre 1" / "4.png")
        assert album.digest == digest_of(Path(album.uri).read_bytes())
        assert stores.catalog.genres() == {"Genre 0": 3, "Genre 1": 3, "Genre 2": 3}
        _, embeddings = stores.vectors.read([album.digest])
    pixels = np.asarray(Image.open(album.uri).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    cosine = float((look(pixels[None]).vector * embeddings.vector).sum())
    assert cosine == pytest.approx(1.0, abs=1e-3)


def test_a_second_run_reads_nothing_and_opens_no_network(
    desk: Desk, music: Path, reads: list[str]
) -> None:
    desk.embed(music)
    before = desk.state()
    desk.backbone, reads[:] = CountingBackbone(), []
    summary = desk.embed(music)
    assert (summary.seen, summary.embedded, summary.known) == (9, 0, 9)
    assert (desk.backbone.opened, desk.backbone.encoded, reads) == (0, 0, [])
    assert summary.device == ""
    assert desk.state() == before


def test_a_second_run_asks_the_tables_by_the_hundred(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1_200):
        draw(tmp_path / "music" / f"{number % 7}" / f"{number}.bmp", number, side=16)
    desk.backbone.batch_size = 64
    desk.embed(tmp_path / "music")
    queries: list[str] = []
    ask = Database.rows

    def rows(self: Database, query: str, parameters: tuple[object, ...] = ()) -> Any:  # noqa: ANN401
        queries.append(query)
        return ask(self, query, parameters)

    monkeypatch.setattr(Database, "rows", rows)
    with desk.stores() as stores:
        [source] = open_sources([str(tmp_path / "music")])
        summary = embed_sources([source], stores, CARD, desk.backbone.open)
    assert summary.known == 1_200
    assert desk.backbone.opened == 1
    assert len(queries) <= 10


def test_the_network_is_not_opened_where_nothing_can_be_read(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.jpg").write_bytes(b"")
    desk.embed(tmp_path / "music")
    assert desk.backbone.opened == 0


@pytest.mark.parametrize("new", ["Genre 0/renamed.bmp", "Elsewhere/deep/0.png"])
def test_a_moved_file_is_recognised(desk: Desk, music: Path, new: str) -> None:
    desk.embed(music)
    before = desk.digests()
    (music / new).parent.mkdir(parents=True, exist_ok=True)
    (music / "Genre 0" / "0.png").rename(music / new)
    summary = desk.embed(music)
    assert (summary.seen, summary.embedded, summary.known) == (9, 0, 9)
    assert (summary.moved, summary.missing) == (1, 0)
    assert desk.backbone.encoded == 9
    assert desk.digests() == before
    assert (new, Path(new).parent.name) in {row[:2] for row in desk.albums()}
    assert "Genre 0/0.png" not in {row[0] for row in desk.albums()}


def test_a_cover_that_moved_to_another_source_is_recognised(desk: Desk, music: Path) -> None:
    sources = (music / "Genre 0", music / "Genre 1")
    desk.embed(*sources)
    for source, goal in (sources, sources[::-1]):
        file = next(source.iterdir())
        file.rename(goal / file.name)
        summary = desk.embed(*sources)
        assert (summary.moved, summary.missing, summary.embedded) == (1, 0, 0)
    assert desk.backbone.encoded == 6


def test_a_renamed_source_takes_its_old_name_out(desk: Desk, music: Path) -> None:
    desk.embed(music / "Genre 0", music / "Genre 1", music / "Genre 1" / "1.png")
    (music / "Genre 1").rename(music / "New")
    summary = desk.embed(music / "New")
    assert (summary.embedded, summary.known, summary.moved, summary.missing) == (0, 3, 4, 0)
    with desk.stores() as stores:
        assert {Path(album.uri).parent.name for album in stores.catalog.albums()} == {
            "Genre 0", "New",
        }  # fmt: skip
    (music / "New").rename(music / "Genre 1")
    assert desk.embed(music / "Genre 1").moved == 3  # and back again
    assert len(desk.digests()) == len(desk.albums()) == 6


def test_a_disk_that_is_not_mounted_keeps_what_has_not_appeared_elsewhere(
    desk: Desk, music: Path
) -> None:
    desk.embed(music / "Genre 0", music / "Genre 1")
    (music / "Genre 1").rename(music / "aside")
    draw(music / "Genre 0" / "copy.png", 1)
    summary = desk.embed(music / "Genre 0")
    assert (summary.moved, summary.missing) == (1, 0)
    assert len(desk.digests()) == 6
    (music / "aside").rename(music / "Genre 1")
    assert desk.embed(music / "Genre 1").known == 3
    assert len(desk.albums()) == 7


def test_a_copy_that_was_there_before_makes_nothing_moved(desk: Desk, music: Path) -> None:
    draw(music / "Genre 1" / "copy.png", 0)
    desk.embed(music)
    (music / "Genre 0" / "0.png").unlink()
    age(music / "Genre 1" / "copy.png")
    summary = desk.embed(music)
    assert (summary.moved, summary.missing) == (0, 1)


def test_a_changed_file_is_embedded_anew_and_its_old_digest_leaves(desk: Desk, music: Path) -> None:
    desk.embed(music)
    file = music / "Genre 0" / "0.png"
    before, size = digest_of(file.read_bytes()), file.stat().st_size
    age(file)
    after = draw(file, 77)
    assert file.stat().st_size == size
    summary = desk.embed(music)
    assert (summary.seen, summary.embedded, summary.known) == (9, 1, 8)
    assert desk.backbone.encoded == 10
    assert before not in desk.digests()
    assert after in desk.digests()


def test_a_touched_file_is_read_but_neither_decoded_nor_embedded(
    desk: Desk, music: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.embed(music)
    reads.clear()
    age(music / "Genre 0" / "3.png")
    monkeypatch.setattr(loading_room, "decode", None)
    for expected in (["3.png"], []):
        summary = desk.embed(music)
        assert (summary.embedded, summary.known, reads) == (0, 9, expected)
        reads.clear()
    assert desk.backbone.encoded == 9


def test_a_file_copied_over_with_its_times_is_noticed_by_its_inode(desk: Desk, music: Path) -> None:
    desk.embed(music)
    file = music / "Genre 0" / "0.png"
    found = file.stat()
    draw(music / "new", 77)
    os.utime(music / "new", ns=(found.st_atime_ns, found.st_mtime_ns))
    (music / "new").rename(file)
    assert desk.embed(music).embedded == 1


def test_rehash_reads_what_seems_unchanged(desk: Desk, music: Path, reads: list[str]) -> None:
    desk.embed(music)
    file = music / "Genre 0" / "0.png"
    found = file.stat()
    after = draw(file, 77)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert desk.embed(music).embedded == 0
    reads.clear()
    summary = desk.embed(music, rehash=True)
    assert (summary.embedded, summary.known) == (1, 8)
    assert len(reads) == 9
    assert after in desk.digests()
    assert desk.embed(music).known == 9


def test_a_vanished_file_leaves_and_may_come_back(desk: Desk, music: Path) -> None:
    desk.embed(music)
    file, aside = music / "Genre 0" / "0.png", music.parent / "aside.png"
    digest = digest_of(file.read_bytes())
    file.rename(aside)
    summary = desk.embed(music)
    assert (summary.seen, summary.missing, summary.moved) == (8, 1, 0)
    assert digest not in desk.digests()
    assert desk.embed(music).missing == 0  # it is told once
    aside.rename(file)
    summary = desk.embed(music)
    assert (summary.seen, summary.embedded, summary.known, summary.missing) == (9, 0, 9, 0)
    assert digest in desk.digests()
    assert desk.backbone.encoded == 9


def test_a_vanished_subfolder_takes_its_covers_along(desk: Desk, music: Path) -> None:
    desk.embed(music)
    shutil.rmtree(music / "Genre 1")
    summary = desk.embed(music)
    assert (summary.seen, summary.missing) == (6, 3)
    assert len(desk.digests()) == 6


@pytest.mark.parametrize("command", ["whole", "part", "file"])
def test_what_became_of_a_file_is_known_to_all_that_list_it(
    desk: Desk, music: Path, command: str
) -> None:
    part, file = music / "Genre 0", music / "Genre 0" / "0.png"
    table = music.parent / "labels.csv"
    table.write_text("file,genre\nmusic/Genre 0/0.png,Jazz\nmusic/Genre 0/3.png,Jazz\n")
    desk.embed(music, part, file, part / "3.png", table)
    before = digest_of(file.read_bytes())
    after = draw(file, 77, side=33)
    (part / "3.png").unlink()
    summary = desk.embed({"whole": music, "part": part, "file": file}[command])
    assert (summary.embedded, summary.missing) == (1, 4)
    assert len(desk.digests()) == 8
    assert before not in desk.digests()
    with desk.stores() as stores:
        assert len(list(stores.catalog.albums([after]))) == 4
        assert not list(stores.catalog.at([str(part / "3.png")]))
    file.write_bytes(b"spoilt")
    desk.embed(part)
    assert len(desk.digests()) == 7


@posix
def test_a_subfolder_that_cannot_be_read_keeps_its_covers() -> None:
    with as_plain_user() as home:
        desk = Desk(home / "artifacts")
        for number in range(4):
            draw(home / "music" / f"{number % 2}" / f"{number}.png", number)
        desk.embed(home / "music")
        (home / "music" / "1").chmod(0)
        summary = desk.embed(home / "music")
        assert (summary.seen, summary.known, summary.missing) == (3, 2, 0)
        assert reasons(summary) == {"1": "cannot be read: Permission denied"}
        assert len(desk.digests()) == 4
        (home / "music" / "1").chmod(0o700)
        assert desk.embed(home / "music").known == 4


def test_a_row_that_left_a_manifest(desk: Desk, music: Path) -> None:
    table = music.parent / "labels.csv"
    rows = [f"music/Genre {n % 3}/{n}.png,Jazz,Artist {n},{1960 + n}" for n in range(9)]
    table.write_text("\n".join(["file,genre,artist,year", *rows]))
    assert desk.embed(table).embedded == 9
    table.write_text("\n".join(["file,genre,artist,year", *rows[1:]]))
    summary = desk.embed(table)
    assert (summary.seen, summary.known, summary.missing) == (8, 8, 1)
    assert len(desk.digests()) == 8
    table.write_text("\n".join(["file,genre,artist,year", rows[0].replace("Jazz", "Soul")]))
    summary = desk.embed(table)
    assert (summary.seen, summary.known, summary.missing) == (1, 1, 8)
    with desk.stores() as stores:
        [album] = stores.catalog.albums()
        assert (album.genre, album.artist, album.year) == ("Soul", "Artist 0", 1960)
    assert desk.backbone.encoded == 9


def test_a_manifest_whose_file_is_not_there(desk: Desk, music: Path) -> None:
    table = music.parent / "labels.csv"
    table.write_text("file\nmusic/Genre 0/0.png\nmusic/gone.png\nmusic/Genre 0\n")
    for known in (0, 1):
        summary = desk.embed(table)
        assert (summary.seen, summary.known) == (3, known)
        assert reasons(summary) == {
            "gone.png": "no such file: it was moved or deleted, or the link points nowhere",
            "Genre 0": "a folder, not an image file",
        }
    draw(music / "gone.png", 50)
    assert desk.embed(table).embedded == 1
    assert set(desk.skipped()) == {"Genre 0"}


def test_a_named_file_that_is_gone_leaves_when_others_are_named(desk: Desk, music: Path) -> None:
    one, other, third = (music / f"Genre {n}" / f"{n}.png" for n in range(3))
    desk.embed(one, other)
    assert desk.embed(other).missing == 0  # not named is not gone
    assert len(desk.digests()) == 2
    one.unlink()
    assert desk.embed(third).missing == 1
    assert len(desk.digests()) == 2


def test_a_named_file_that_is_back_is_taken_up_with_no_source(desk: Desk, music: Path) -> None:
    one, other = (music / f"Genre {n}" / f"{n}.png" for n in range(2))
    desk.embed(one, other, genre="Jazz")
    (music / "Genre 0").rename(music / "unmounted")
    assert desk.embed(other, genre="Jazz").missing == 1
    assert desk.embed().seen == 0
    (music / "unmounted").rename(music / "Genre 0")
    summary = desk.embed()
    assert (summary.seen, summary.known, summary.embedded) == (1, 1, 0)
    assert [genre for _, genre, _ in desk.albums()] == ["Jazz", "Jazz"]
    assert desk.embed().seen == 0


@posix
def test_a_file_that_cannot_be_looked_at_has_not_vanished() -> None:
    with as_plain_user() as home:
        desk = Desk(home / "artifacts")
        for number in range(2):
            draw(home / str(number) / "cover.png", number)
        desk.embed(home / "0" / "cover.png", home / "1" / "cover.png")
        (home / "0").chmod(0)
        assert desk.embed(home / "1" / "cover.png").missing == 0
        assert len(desk.digests()) == 2


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_one_content_under_many_paths_is_encoded_once(
    desk: Desk, tmp_path: Path, batch_size: int
) -> None:
    desk.backbone.batch_size = batch_size
    for number in range(30):
        draw(tmp_path / "music" / f"Genre {number % 2}" / f"{number}.png", number // 3)
    summary = desk.embed(tmp_path / "music")
    assert (summary.seen, summary.embedded, summary.known) == (30, 10, 20)
    assert desk.backbone.encoded == 10
    assert len(desk.albums()) == 30
    (tmp_path / "music" / "Genre 0" / "0.png").unlink()
    assert desk.embed(tmp_path / "music").missing == 1
    assert len(desk.digests()) == 10


def test_one_cover_in_several_sources_with_several_genres(desk: Desk, music: Path) -> None:
    table = music.parent / "labels.csv"
    table.write_text("file,genre\nmusic/Genre 0/0.png,Jazz\nmusic/Genre 0/0.png,Soul\n")
    summary = desk.embed(music, table, music / "Genre 0" / "0.png", genre=None)
    assert (summary.seen, summary.embedded, summary.known) == (12, 9, 3)
    digest = digest_of((music / "Genre 0" / "0.png").read_bytes())
    with desk.stores() as stores:
        labels = [album.genre for album in stores.catalog.albums([digest])]
        assert sorted(labels) == ["", "Genre 0", "Jazz", "Soul"]
    table.write_text("file,genre\nmusic/Genre 0/3.png,Jazz\n")
    assert desk.embed(table).missing == 2
    assert digest in desk.digests()
    assert desk.backbone.encoded == 9


def test_a_folder_and_its_subfolder_in_one_call(desk: Desk, music: Path, reads: list[str]) -> None:
    summary = desk.embed(music / "Genre 0", music, music, music / "Genre 1")
    assert (summary.seen, summary.embedded, summary.known) == (15, 9, 6)
    assert len(reads) == 9
    reads.clear()
    age(music / "Genre 0" / "0.png")
    desk.embed(music / "Genre 0", music)
    assert reads == ["0.png"]
    (music / "Genre 0" / "0.png").rename(music / "Genre 0" / "other.png")
    summary = desk.embed(music, music / "Genre 0")
    assert (summary.seen, summary.embedded, summary.moved, summary.missing) == (12, 0, 2, 0)


def test_a_new_genre_for_what_is_known(desk: Desk, music: Path, reads: list[str]) -> None:
    desk.embed(music)
    reads.clear()
    desk.embed(music, genre="none")
    assert {row[1] for row in desk.albums()} == {""}
    desk.embed(music, genre="Funk")
    assert {row[1] for row in desk.albums()} == {"Funk"}
    assert reads == []


# --- what is no cover ----------------------------------------------------------------------------


def test_a_bad_cover_is_recorded_tried_again_and_cleared_once_mended(
    desk: Desk, music: Path, reads: list[str]
) -> None:
    bad = music / "Genre 0" / "bad.jpg"
    good = (music / "Genre 0" / "0.png").read_bytes()
    bad.write_bytes(good[:500])
    (music / "page.jpg").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (music / "empty.png").touch()
    for _ in range(2):
        reads.clear()
        summary = desk.embed(music)
        assert (summary.seen, len(summary.skipped)) == (12, 3)
        assert set(reasons(summary)) == {"bad.jpg", "page.jpg", "empty.png"} <= set(reads)
        assert "HTML" in reasons(summary)["page.jpg"]
        assert desk.skipped() == reasons(summary)
        assert all("\n" not in reason for reason in reasons(summary).values())
    draw(bad, 99)
    summary = desk.embed(music)
    assert (summary.embedded, len(summary.skipped)) == (1, 2)
    assert set(desk.skipped()) == {"page.jpg", "empty.png"}
    (music / "page.jpg").unlink()
    assert desk.embed(music).missing == 1
    assert set(desk.skipped()) == {"empty.png"}


def test_a_cover_that_went_bad_leaves(desk: Desk, music: Path) -> None:
    desk.embed(music)
    file = music / "Genre 0" / "0.png"
    good = file.read_bytes()
    file.write_bytes(b"GIF89a")
    summary = desk.embed(music)
    assert (summary.known, len(summary.skipped), summary.missing) == (8, 1, 0)
    assert len(desk.digests()) == 8
    file.write_bytes(good)
    assert (desk.embed(music).known, len(desk.digests())) == (9, 9)
    assert desk.backbone.encoded == 9


def test_limits_reach_the_reading(desk: Desk, music: Path) -> None:
    draw(music / "large.png", 100, side=64)
    summary = desk.embed(music, limits=Limits(max_bytes=5_000))
    assert set(reasons(summary)) == {"large.png"}
    assert desk.embed(music).embedded == 1


def test_what_is_no_image_is_ignored_and_counted(
    desk: Desk, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (music / "song.mp3").write_bytes(b"ID3\x04" + bytes(100))
    (music / "frames.mp3").write_bytes(b"\xff\xfb\x90\x00" + bytes(100))
    (music / "song.flac").write_bytes(b"fLaC" + bytes(100))
    (music / "notes.txt").write_text("Recorded in one night.")
    (music / "empty").touch()
    (music / ".hidden.png").write_bytes(b"x")
    draw(music / "cover", 60)
    draw(music / "cover.bak", 61)
    summary = desk.embed(music)
    assert (summary.seen, summary.embedded, summary.ignored) == (11, 11, 6)
    assert not summary.skipped
    looked: list[str] = []
    look_into = room.has_signature
    monkeypatch.setattr(
        room, "has_signature", lambda path: looked.append(Path(path).name) or look_into(path)
    )
    summary = desk.embed(music)
    assert (summary.seen, summary.known, summary.ignored, looked) == (11, 11, 6, [])
    (music / "cover").write_text("a text now, of another length")
    summary = desk.embed(music)
    assert (summary.seen, summary.ignored, summary.missing, looked) == (10, 7, 1, ["cover"])
    assert desk.embed(music, rehash=True).ignored == 7


@pytest.mark.whole
@posix
def test_pipes_sockets_and_loops_stop_nothing(desk: Desk, music: Path) -> None:
    os.mkfifo(music / "pipe.jpg")
    os.mkfifo(music / "pipe")
    (music / "loop.jpg").symlink_to("loop.jpg")
    (music / "nowhere.jpg").symlink_to("gone")
    (music / "again").symlink_to(music)
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(music)
        server.bind("socket.jpg")
        os.chdir(before)
        summary = desk.embed(music)
    assert (summary.seen, summary.embedded, summary.ignored) == (13, 9, 1)
    assert set(reasons(summary)) == {"pipe.jpg", "loop.jpg", "nowhere.jpg", "socket.jpg"}
    assert reasons(summary)["pipe.jpg"] == "a pipe, socket or device, not an image file"
    assert any("link back to" in note for note in summary.notes)


@posix
def test_strange_names_are_names(desk: Desk, music: Path) -> None:
    for number, name in enumerate(["a\nb.bmp", "'; --.bmp", "%s.bmp", "\u200f\u0e01.bmp"]):
        draw(music / name, 70 + number)
    bad = music / os.fsdecode(b"caf\xe9.bmp")
    try:
        draw(bad, 80)
    except OSError:
        pytest.skip("this file system has no such names")
    summary = desk.embed(music)
    assert (summary.seen, summary.embedded) == (14, 13)
    assert reasons(summary) == {"caf\\udce9.bmp": "its name is not valid UTF-8; rename it"}
    assert desk.embed(music).known == 13


@posix
def test_looking_into_a_file_waits_for_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not room.has_signature(str(tmp_path / "pipe"))
    assert not room.has_signature(str(tmp_path / "gone"))
    assert not room.has_signature(str(tmp_path))
    draw(tmp_path / "image", 1)
    assert room.has_signature(str(tmp_path / "image"))


class Meddling(Folder):
    """A folder in which something happens while it is gone through."""

    def __init__(self, path: Path, meddle: Callable[[Entry], None]) -> None:
        super().__init__(str(path), "folder")
        self._meddle = meddle

    def entries(self) -> Iterator[Entry]:
        for entry in super().entries():
            self._meddle(entry)
            yield entry


def test_a_cover_that_vanishes_between_listing_and_reading(desk: Desk, music: Path) -> None:
    def unlink(entry: Entry) -> None:
        if entry.album.album_id.endswith("4.png"):
            Path(entry.album.uri).unlink()

    with desk.stores() as stores:
        source = Meddling(music, unlink)
        summary = embed_sources([source], stores, CARD, desk.backbone.open)
    assert (summary.seen, summary.embedded) == (9, 8)
    assert "no such file" in reasons(summary)["4.png"]
    assert len(desk.digests()) == 8
    summary = desk.embed(music)
    assert (summary.seen, summary.known, summary.missing, len(summary.skipped)) == (8, 8, 1, 0)
    assert not desk.skipped()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_file_replaced_while_it_is_read_is_read_again(
    desk: Desk, music: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def read(path: str, limits: Limits) -> bytes:
        if not path.endswith("4.png"):
            return read_file(path, limits)
        data = read_file(path, limits) if moment == "after" else b""
        age(Path(path), -100)
        draw(Path(path), 77)
        return data or read_file(path, limits)

    with monkeypatch.context() as patched:
        patched.setattr(covers_room, "read_file", read)
        desk.embed(music)
    summary = desk.embed(music)
    assert summary.embedded == (moment == "after")
    assert digest_of((music / "Genre 1" / "4.png").read_bytes()) in desk.digests()
    assert len(desk.digests()) == 9


def test_a_cover_of_which_the_network_says_nothing_is_skipped(desk: Desk, music: Path) -> None:
    draw(music / "same.png", 4)  # as Genre 1/4.png
    nothing = digest_of((music / "same.png").read_bytes())

    def blind(pixels: Pixels) -> Embeddings:
        embeddings = look(pixels)
        for row, one in enumerate(pixels):
            if one.tobytes() == blank:
                embeddings.vector[row] = np.nan
        return embeddings

    image = Image.open(music / "same.png").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    blank = np.asarray(image).tobytes()
    desk.backbone.look = blind
    for _ in range(2):
        summary = desk.embed(music)
        assert set(reasons(summary)) == {"4.png", "same.png"}
        assert "gives no result" in reasons(summary)["4.png"]
        assert nothing not in desk.stored()
    desk.backbone.look = look
    summary = desk.embed(music)
    assert (summary.embedded, summary.known, len(summary.skipped)) == (1, 9, 0)


@pytest.mark.parametrize("content", ["a cover", "no cover", "nothing said"])
@pytest.mark.parametrize("rehash", [False, True])
def test_a_file_that_many_rows_name_is_read_once_a_run(
    desk: Desk,
    tmp_path: Path,
    reads: list[str],
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    *,
    rehash: bool,
) -> None:
    rows = 2_000
    placeholder = tmp_path / "placeholder.jpg"
    draw(placeholder, 1)
    if content == "no cover":
        placeholder.write_bytes(b"no cover")
    if content == "nothing said":
        desk.backbone.look = lambda pixels: Embeddings(
            look(pixels).vector * np.nan, look(pixels).middle
        )
    draw(tmp_path / "own.jpg", 2)
    lines = [f"{n},{'own' if n == rows // 2 else 'placeholder'}.jpg" for n in range(rows)]
    (tmp_path / "table.csv").write_text("\n".join(["album_id,file", *lines]))
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*words: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
        connection = connect(*words, **options)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    began = time.monotonic()
    summary = desk.embed(tmp_path / "table.csv", rehash=rehash)
    assert time.monotonic() - began < 30
    assert sorted(reads) == ["own.jpg", "placeholder.jpg"]
    assert sum(statement.startswith("UPDATE albums") for statement in statements) < 20
    assert len(desk.albums()) == summary.seen == rows
    if content == "a cover":
        assert (summary.embedded, summary.known, desk.backbone.encoded) == (2, rows - 2, 2)
        assert len(desk.digests()) == 2
    else:
        failed = rows if content == "nothing said" else rows - 1
        assert len(summary.skipped) == failed
        assert len({skipped.reason for skipped in summary.skipped}) == 1
        assert desk.backbone.encoded == 2 - (content == "no cover")
    reads.clear()
    assert desk.embed(tmp_path / "table.csv", rehash=rehash).seen == rows
    again = ["own.jpg"] * (rehash or content == "nothing said")
    again += ["placeholder.jpg"] * (rehash or content != "a cover")
    assert sorted(reads) == again


# --- with no source: what the catalog holds ------------------------------------------------------


def test_with_no_source_another_network_embeds_what_the_catalog_holds(
    desk: Desk, music: Path
) -> None:
    (music / "bad.jpg").touch()
    desk.embed(music)
    assert desk.embed().seen == 1  # what could not be read is tried again
    other = Desk(desk.root, card=OTHER)
    (music / "Genre 0" / "0.png").unlink()
    draw(music / "Genre 1" / "1.png", 55)
    with SqliteCatalog(Artifacts(desk.root).catalog_file, write=True) as catalog:
        before = {album.album_id for album in catalog.albums()}
    with other.stores() as stores:
        summary = embed_catalog(stores, OTHER, other.backbone.open)
        assert {a.album_id for a in stores.catalog.albums()} == before - {"Genre 0/0.png"}
        assert stores.catalog.digests() == set(stores.vectors.digests())
    assert (summary.seen, summary.embedded, summary.missing) == (9, 8, 1)
    assert set(reasons(summary)) == {"bad.jpg"}
    (music / "bad.jpg").unlink()
    other.embed()
    draw(music / "Genre 0" / "0.png", 0)
    summary = other.embed(music)
    assert (summary.embedded, summary.known) == (1, 8)
    assert other.embed().seen == 0


def test_progress_counts_up_to_the_total_where_it_is_known(desk: Desk, music: Path) -> None:
    told: list[tuple[int, int | None]] = []
    desk.embed(music, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (9, None)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    told.clear()
    other = Desk(desk.root, card=OTHER)
    with other.stores() as stores:
        embed_catalog(stores, OTHER, other.backbone.open, progress=lambda *step: told.append(step))
    assert told[-1] == (9, 9)


# --- order, memory, time -------------------------------------------------------------------------


def test_order_does_not_depend_on_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number % 5}/{number:03}.png" for number in range(80)]
    for number, name in enumerate(names):
        draw(tmp_path / "music" / name, number // 2)

    def read(path: str, limits: Limits) -> bytes:
        time.sleep(random.Random(path).random() / 200)  # noqa: S311
        return read_file(path, limits)

    monkeypatch.setattr(covers_room, "read_file", read)
    states = []
    for workers in (1, 2, 7):
        desk = Desk(tmp_path / f"artifacts {workers}")
        desk.embed(tmp_path / "music", workers=workers)
        expected = [digest_of((tmp_path / "music" / n).read_bytes()) for n in sorted(names)]
        assert desk.stored() == list(dict.fromkeys(expected))
        states.append(desk.state())
    assert states[0] == states[1] == states[2]


def test_a_bounded_number_of_covers_is_ahead_of_the_network(
    desk: Desk, tmp_path: Path, reads: list[str]
) -> None:
    for number in range(400):
        draw(tmp_path / "music" / f"{number}.bmp", number, side=16)
    ahead: list[int] = []

    def slow(encoded: int) -> None:
        time.sleep(0.005)  # time enough to read everything
        ahead.append(len(reads) - encoded)

    desk.backbone.during = slow
    desk.embed(tmp_path / "music", workers=2)
    assert len(reads) == 400
    assert max(ahead) <= 2 * loading_room._AHEAD + desk.backbone.batch_size


@dataclass
class Clock:
    """Time that passes only when somebody works."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Waits:
    """How long each cover waited, from the network or the disk to the committed part."""

    clock: Clock
    began: dict[Digest, float] = field(default_factory=dict)
    longest: float = 0.0
    commits: int = 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for each in (room, journal_room, batches_room):
        monkeypatch.setattr(each, "monotonic", clock)
    return clock


@pytest.fixture
def waits(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Waits:
    found = Waits(clock)
    commit = PartWriter.commit

    def watched(self: PartWriter[Embeddings]) -> int:
        rows = commit(self)
        stored = self.parts.digests() if rows else []
        found.commits += bool(rows)
        for digest in stored:
            began = found.began.pop(digest, clock.now)
            found.longest = max(found.longest, clock.now - began)
        return rows

    monkeypatch.setattr(PartWriter, "commit", watched)
    return found


@pytest.mark.parametrize(("seconds", "device"), [(0.02, "cpu"), (0.8, "cpu"), (0.01, "cuda")])
def test_covers_are_committed_within_five_seconds_of_a_slow_network(
    desk: Desk, tmp_path: Path, waits: Waits, seconds: float, device: str
) -> None:
    count = round(min(24 / seconds, 400))
    for number in range(count):
        draw(tmp_path / "music" / f"{number}.bmp", number, side=16)

    def look_slowly(pixels: Pixels) -> Embeddings:
        for one in pixels:
            digest = by_pixels[one.tobytes()]
            waits.began.setdefault(digest, waits.clock.now)
        waits.clock.now += seconds * len(pixels)
        return look(pixels)

    by_pixels = {}
    for file in (tmp_path / "music").iterdir():
        image = Image.open(file).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        by_pixels[np.asarray(image).tobytes()] = digest_of(file.read_bytes())
    desk.backbone = CountingBackbone(device, batch_size=32, look=look_slowly)
    assert desk.embed(tmp_path / "music").embedded == count
    assert not waits.began
    assert waits.longest <= 5.0
    assert waits.commits >= 2


def test_covers_are_committed_within_five_seconds_of_a_slow_disk(
    desk: Desk, tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        draw(tmp_path / "music" / f"{number:02}.bmp", number, side=16)

    # The disk is what everybody waits for: time passes when there is nothing else to do.
    idle = threading.Event()
    wait = ahead_room.wait

    def read(path: str, limits: Limits) -> bytes:
        assert idle.wait(20)
        idle.clear()
        data = read_file(path, limits)
        waits.clock.now += 0.7
        waits.began[digest_of(data)] = waits.clock.now
        return data

    def wait_idly(futures: Any, timeout: float) -> Any:  # noqa: ANN401
        idle.set()
        return wait(futures, timeout)

    monkeypatch.setattr(covers_room, "read_file", read)
    monkeypatch.setattr(ahead_room, "wait", wait_idly)
    desk.backbone = CountingBackbone("cuda", batch_size=256)
    assert desk.embed(tmp_path / "music", workers=1).embedded == 40
    assert waits.longest <= 5.0
    assert waits.commits >= 5


def test_a_reader_that_hangs_holds_nothing_up(
    desk: Desk, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes its time over one file: what was embedded before is on the disk already."""
    stored: list[int] = []

    def read(path: str, limits: Limits) -> bytes:
        if path.endswith("8.png"):
            until = time.monotonic() + 20
            while not stored and time.monotonic() < until:
                time.sleep(0.02)
                if len(Vectors.open(folder)) == 8:
                    stored.append(8)
        return read_file(path, limits)

    folder = Artifacts(desk.root).vectors(CARD.name)
    monkeypatch.setattr(room, "COMMIT_SECONDS", 0.1)
    monkeypatch.setattr(batches_room, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(ahead_room, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(covers_room, "read_file", read)
    desk.backbone.batch_size = 64
    assert desk.embed(music, workers=1).embedded == 9
    assert stored == [8]


def test_batches_grow_while_they_are_quick_and_shrink_while_they_are_not(
    desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    for number in range(300):
        draw(tmp_path / "music" / f"{number}.bmp", number, side=16)

    def look_at_a_pace(pixels: Pixels) -> Embeddings:
        clock.now += len(pixels) * (0.001 if desk.backbone.encoded < 150 else 0.1)
        return look(pixels)

    desk.backbone = CountingBackbone(batch_size=32, look=look_at_a_pace)
    desk.embed(tmp_path / "music")
    assert desk.backbone.sizes[0] == 1
    assert max(desk.backbone.sizes) == 32
    assert max(desk.backbone.sizes[-8:]) <= 8


# --- whatever ends a run -------------------------------------------------------------------------


def raises_at(count: int, error: BaseException) -> Callable[[int], None]:
    def during(encoded: int) -> None:
        if encoded >= count:
            raise error

    return during


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RuntimeFailed("the device is gone"), MemoryError()]
)
def test_an_error_of_the_network_keeps_what_is_done(
    desk: Desk, tmp_path: Path, error: BaseException
) -> None:
    for number in range(40):
        draw(tmp_path / "music" / f"{number:02}.png", number)
    (tmp_path / "music" / "00a.png").touch()
    desk.backbone = CountingBackbone(ahead=0, during=raises_at(20, error))
    with pytest.raises(type(error)) as caught:
        desk.embed(tmp_path / "music")
    assert caught.value is error
    kept = len(desk.digests())
    assert 12 <= kept <= 20
    assert set(desk.skipped()) == {"00a.png"}
    desk.backbone = CountingBackbone()
    summary = desk.embed(tmp_path / "music")
    assert (summary.embedded, summary.known, len(summary.skipped)) == (40 - kept, kept, 1)


def test_numbers_that_no_cover_has_stop_the_run(desk: Desk, music: Path) -> None:
    desk.backbone.look = lambda pixels: Embeddings(
        look(pixels).vector * np.float32(2), look(pixels).middle
    )
    with pytest.raises(RuntimeFailed, match="off unit length"):
        desk.embed(music)
    assert desk.stored() == []


def test_a_network_that_cannot_be_opened_keeps_what_was_read(desk: Desk, music: Path) -> None:
    (music / "!.png").touch()

    def refuse() -> CountingBackbone:
        raise RuntimeFailed("no such device")

    with desk.stores() as stores, pytest.raises(RuntimeFailed, match="no such device"):
        embed_sources(open_sources([str(music)]), stores, CARD, refuse)
    desk.check()
    assert set(desk.skipped()) == {"!.png"}


def test_an_interrupt_while_waiting_for_files_keeps_what_is_done(desk: Desk, music: Path) -> None:
    def interrupt(done: int, _total: int | None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    desk.backbone = CountingBackbone(batch_size=1, ahead=0)
    with pytest.raises(KeyboardInterrupt):
        desk.embed(music, progress=interrupt)
    assert len(desk.digests()) == 5
    assert desk.embed(music).embedded == 4


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ('"music/Genre 1/1.png"x,Jazz', "line 3 is not CSV: ',' expected after"),
        ("music/Genre 1/1.png," + "x" * (1 << 24), "line 3 is not CSV: a line of 16,777,216"),
    ],
    ids=["row", "rest"],
)
def test_a_manifest_that_cannot_be_read_to_its_end_keeps_its_covers(
    desk: Desk, music: Path, damage: str, reason: str
) -> None:
    table = music.parent / "labels.csv"
    table.write_text("file,genre\nmusic/Genre 0/0.png,Jazz\nmusic/Genre 1/1.png,Jazz\n")
    desk.embed(table)
    table.write_text(f"file,genre\nmusic/Genre 0/0.png,Jazz\n{damage}\n")
    summary = desk.embed(table, music / "Genre 2")
    assert (summary.known, summary.embedded, summary.missing) == (1, 3, 0)
    [skipped] = summary.skipped
    assert skipped.reason.startswith(reason)
    assert len(desk.digests()) == 5


def fail_on_a_full_disk(
    desk: Desk, music: Path, monkeypatch: pytest.MonkeyPatch, store: type, method: str
) -> None:
    """Embed until the network fails, when a store cannot save any more: both are told of."""

    def full(*_: object) -> None:
        raise CannotWrite("the disk is full")

    desk.backbone = CountingBackbone(ahead=0, during=raises_at(9, RuntimeFailed("the first")))
    with monkeypatch.context() as patched:
        patched.setattr(store, method, full)
        with pytest.raises(RuntimeFailed, match="the first") as caught:
            desk.embed(music)  # and what must be so at any time is so
    assert any("the disk is full" in note for note in caught.value.__notes__)
    assert desk.albums() == []
    desk.backbone.during = lambda _count: None


def test_an_error_while_saving_does_not_hide_the_first(
    desk: Desk, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on_a_full_disk(desk, music, monkeypatch, SqliteCatalog, "upsert")
    stored = len(desk.stored())
    summary = desk.embed(music)
    assert (summary.embedded, summary.known) == (9 - stored, stored)


def test_where_vectors_cannot_be_saved_no_album_passes_for_embedded(
    desk: Desk, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on_a_full_disk(desk, music, monkeypatch, Parts, "write")
    assert desk.embed(music).embedded == 9


def full_disk(root: Path, music: Path, connection: Any) -> None:  # noqa: ANN401
    """Embed where no file may grow beyond some kilobytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    desk = Desk(root)

    def fill(encoded: int) -> None:
        if encoded >= 30:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))

    desk.backbone.during = fill
    room.COMMIT_SECONDS = 0.0
    try:
        with desk.stores() as stores:
            embed_sources(open_sources([str(music)]), stores, CARD, desk.backbone.open)
    except CannotWrite as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        connection.send(str(error))


@pytest.mark.whole
@posix
def test_a_full_disk_stops_the_run_and_loses_nothing_that_was_committed(
    desk: Desk, tmp_path: Path
) -> None:
    for number in range(60):
        draw(tmp_path / "music" / f"{number:02}.png", number)
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=full_disk, args=(desk.root, tmp_path / "music", theirs))
    process.start()
    theirs.close()
    assert "cannot write" in ours.recv()
    process.join(30)
    desk.check()
    kept = len(desk.stored())
    assert 0 < len(desk.digests()) <= kept < 60
    summary = desk.embed(tmp_path / "music")
    assert (summary.embedded, summary.known) == (60 - kept, kept)


def work(root: Path, music: Path) -> None:
    """Embed slowly, committing all the time, until the end or until killed."""
    desk = Desk(root)
    room.COMMIT_SECONDS = 0.0
    desk.backbone.during = lambda _count: time.sleep(0.002)
    with desk.stores() as stores:
        embed_sources(open_sources([str(music)]), stores, CARD, desk.backbone.open)


@pytest.mark.whole
@posix
def test_killed_at_any_moment_a_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    music = tmp_path / "music"
    for number in range(60):
        draw(music / f"{number % 4}" / f"{number:02}.png", number // 2)
    (music / "bad.jpg").write_text("<html>")
    undisturbed = Desk(tmp_path / "undisturbed")
    undisturbed.embed(music)
    disturbed = Desk(tmp_path / "disturbed")
    seconds = random.Random(8)  # noqa: S311
    known = 0
    for _ in range(10):
        process = PROCESSES.Process(target=work, args=(disturbed.root, music))
        process.start()
        while not Artifacts(disturbed.root).files_file.exists():
            time.sleep(0.005)
        process.join(seconds.uniform(0.02, 0.25))
        process.kill()
        process.join()
        disturbed.check()
        assert len(disturbed.stored()) >= known
        known = len(disturbed.stored())
    summary = disturbed.embed(music)
    assert (summary.seen, summary.embedded) == (61, 30 - known)
    assert disturbed.state() == undisturbed.state()
    left = [path.name for path in disturbed.root.rglob("*.tmp")]
    assert left == []


# --- stores that are damaged ---------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["missing", "overwritten"])
def test_a_damaged_part_is_made_again_though_no_file_has_changed(
    desk: Desk, music: Path, harm: str
) -> None:
    desk.embed(music)
    before = desk.state()
    [part] = (desk.root / "vectors").rglob("part-*.parquet")
    raw = bytearray(part.read_bytes())
    if harm == "missing":
        part.unlink()
    else:
        raw[len(raw) // 2] ^= 0xFF
        part.write_bytes(raw)
    desk.backbone = CountingBackbone()
    with desk.stores() as stores:
        summary = embed_sources(open_sources([str(music)]), stores, CARD, desk.backbone.open)
    assert (summary.embedded, summary.known) == (9, 0)
    [note] = [note for note in summary.notes if "embedded again" in note]
    assert str(part) in note
    assert desk.state() == before


def test_lost_tables_cost_a_reading_and_no_embedding(desk: Desk, music: Path) -> None:
    desk.embed(music)
    before = desk.state()
    for name in ("files.sqlite", "catalog.sqlite"):
        (desk.root / name).unlink()
        summary = desk.embed(music)
        assert (summary.embedded, summary.known) == (0, 9)
        assert desk.state() == before
    (desk.root / "catalog.sqlite").write_bytes(b"x" * 5_000)
    with pytest.raises(StaleArtifact, match="move it away and run `albo embed"):
        SqliteCatalog(desk.root / "catalog.sqlite", write=True)


# --- the API: embed and forget -------------------------------------------------------------------


@pytest.fixture
def albo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Albo:
    """The whole of albo with the counting network."""
    monkeypatch.setattr("albo.library.find_card", lambda *_: CARD)
    monkeypatch.setattr("albo.register.open_backbone", lambda *_, **__: CountingBackbone())
    return Albo(tmp_path / "artifacts")


def indexed(albo: Albo) -> set[Digest]:
    from albo.index import open_index

    [folder] = albo.artifacts.index_folder.iterdir()
    return open_index(folder).digests()


def stored(albo: Albo) -> set[Digest]:
    [vectors] = albo.library.all_vectors()
    return set(vectors.digests())


def test_embed_brings_the_index_up_to_date(albo: Albo, music: Path) -> None:
    said = albo.embed([str(music)]).as_json()
    assert (said["seen"], said["embedded"], said["skipped"], said["indexed"]) == (9, 9, 0, 9)
    gone = digest_of((music / "Genre 0" / "0.png").read_bytes())
    (music / "Genre 0" / "0.png").unlink()
    said = albo.embed([str(music)]).as_json()
    assert (said["seen"], said["known"], said["missing"], said["indexed"]) == (8, 8, 1, 8)
    assert gone not in indexed(albo)
    assert gone in stored(albo)  # so that it costs nothing to come back
    assert said["device"] is None
    assert albo.embed([]).summary.seen == 0


def test_nothing_to_embed_is_said_and_makes_no_folder(albo: Albo) -> None:
    with pytest.raises(EmptyCatalog, match=r"there is no folder .*run `albo embed SOURCE`"):
        albo.embed([])
    with pytest.raises(EmptyCatalog):
        albo.forget("music")
    with pytest.raises(UnknownSource):
        albo.embed(["no-such-folder"])
    assert not albo.artifacts.root.exists()


def test_a_bad_source_among_good_ones_stops_before_anything_is_done(
    albo: Albo, music: Path
) -> None:
    (music / "labels.csv").write_text("path\na.jpg\n")
    with pytest.raises(UsageError, match="no column `file`"):
        albo.embed([str(music), str(music / "labels.csv")])
    assert not albo.artifacts.root.exists()


@pytest.mark.parametrize("name", ["music", "labels.csv", "link"])
def test_a_source_that_is_no_longer_there_is_taken_as_empty_when_it_is_named(
    albo: Albo, music: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (music.parent / "labels.csv").write_text("file\nmusic/Genre 0/0.png\n")
    (music.parent / "link").symlink_to("music")
    source = music.parent / name
    before = albo.embed([str(source)])
    source.resolve().rename(music.parent / "aside")
    result = albo.embed([str(source)])
    assert (result.summary.seen, result.summary.missing) == (0, before.summary.seen)
    assert result.index.count == 0
    [note] = result.summary.notes
    assert "is no longer there: its albums are missing until it is back" in note
    (music.parent / "aside").rename(source if name != "link" else music)
    assert albo.embed([str(source)]).index.count == before.index.count
    monkeypatch.chdir(music)
    with pytest.raises(UnknownSource):
        albo.embed([""])  # no name of the folder we are in


def test_forget_a_source(albo: Albo, music: Path) -> None:
    (music / "Genre 0" / "bad.png").touch()
    sources = [str(music / f"Genre {n}") for n in range(3)]
    albo.embed(sources)
    assert len(albo.status()["skipped"]) == 1
    assert albo.forget(sources[0]) == 4
    assert len(stored(albo)) == len(indexed(albo)) == 6
    assert albo.status()["skipped"] == []
    assert len(list((music / "Genre 0").iterdir())) == 4
    with pytest.raises(UnknownSource, match="neither a source, a file nor a cover"):
        albo.forget(sources[0])
    shutil.rmtree(sources[1])
    assert albo.forget(sources[1]) == 3  # though it is no more
    result = albo.embed(sources[:1])
    assert (result.summary.embedded, result.index.count) == (3, 6)


def test_forget_takes_out_what_is_missing_too(albo: Albo, music: Path) -> None:
    albo.embed([str(music)])
    (music / "Genre 0" / "0.png").unlink()
    albo.embed([str(music)])
    assert len(stored(albo)) == 9
    assert albo.forget(str(music)) == 9
    assert stored(albo) == indexed(albo) == set()


def test_forget_keeps_the_vectors_of_what_may_come_back_elsewhere(albo: Albo, music: Path) -> None:
    draw(music / "Genre 1" / "copy.png", 0)
    albo.embed([str(music / "Genre 0"), str(music / "Genre 1")])
    (music / "Genre 1" / "copy.png").unlink()
    albo.embed([str(music / "Genre 1")])
    albo.forget(str(music / "Genre 0"))
    assert digest_of((music / "Genre 0" / "0.png").read_bytes()) in stored(albo)
    assert len(stored(albo)) == 4
    assert len(indexed(albo)) == 3


def test_forget_a_cover_by_file_and_by_digest(albo: Albo, music: Path) -> None:
    albo.embed([str(music), str(music / "Genre 1" / "1.png"), str(music / "Genre 2" / "2.png")])
    assert albo.forget(str(music / "Genre 0" / "0.png")) == 1
    assert len(indexed(albo)) == 8
    digest = digest_of((music / "Genre 1" / "1.png").read_bytes())
    assert albo.forget(digest.hex()[:8].upper()) == 2
    assert digest not in stored(albo) | indexed(albo)
    for unknown in (digest.hex(), "", "00", "0" * 64):
        with pytest.raises(UnknownSource):
            albo.forget(unknown)
    # The other cover that was named by itself stays, for the folder lists it too.
    assert albo.forget("-") == 1
    assert len(indexed(albo)) == 7


@posix
def test_forget_a_file_by_the_path_of_a_link(albo: Albo, music: Path) -> None:
    link = music.parent / "link"
    link.symlink_to(music)
    albo.embed([str(link)])
    assert albo.forget(str(link / "Genre 0" / "0.png")) == 1
    assert albo.forget(str(link)) == 8


# --- whole commands, with the real network -------------------------------------------------------

COMMAND = [sys.executable, "-c", "from albo.cli import main; main()"]


def start(*words: Path | str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def covers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty covers, large enough to take a moment."""
    folder = tmp_path_factory.mktemp("real") / "covers"
    for number in range(60):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
        file = folder / f"Genre {number % 3}" / f"{number:02}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((600, 600), Image.Resampling.BICUBIC).save(file)
    return folder


def read_all(root: Path) -> dict[Digest, tuple[bytes, bytes]]:
    [folder] = (root / "vectors").glob("*/manifest.json")
    digests, embeddings = Vectors.open(folder.parent).read()
    rows = zip(digests, embeddings.vector, embeddings.middle, strict=True)
    return {digest: (vector.tobytes(), middle.tobytes()) for digest, vector, middle in rows}


def listed_albums(root: Path) -> list[Any]:
    with SqliteCatalog(root / "catalog.sqlite") as catalog:
        return list(catalog.albums())


@pytest.mark.whole
@posix
def test_two_writers_and_a_reader_at_once(covers: Path, tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    first = [covers / "Genre 0", "--artifacts", root, "--json"]
    assert finish(start("embed", *first))[0] == 0
    writers = [
        start("embed", covers / f"Genre {n}", "--artifacts", root, "--json", "--rehash")
        for n in (1, 2)
    ]
    answers = []
    while any(writer.poll() is None for writer in writers):
        query = covers / "Genre 0" / "00.jpg"
        answers.append(finish(start("similar", query, "-k", "3", "--artifacts", root, "--json")))
    ends = [finish(writer) for writer in writers]
    assert [code for code, _, _ in ends] == [0, 0]
    said = [json.loads(out) for _, out, _ in ends]
    assert all((s["seen"], s["embedded"]) == (20, 20) for s in said)
    assert sorted(s["indexed"] for s in said) == [40, 60]
    for code, out, err in answers:
        assert "Traceback" not in err
        if code == 0:
            found = json.loads(out)["neighbours"]
            assert found[0]["score"] > 0.99
            assert found[0]["mark"] == "same file"
        else:
            assert out == ""
            assert err.startswith("albo: ")
            assert len(err.splitlines()) == 1
    assert any(code == 0 for code, _, _ in answers)
    assert len(read_all(root)) == len(listed_albums(root)) == 60


@pytest.mark.whole
@posix
def test_a_second_writer_says_for_whom_it_waits(covers: Path, tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    with Artifacts(root).lock("albo train"):
        waiting = start("embed", covers / "Genre 0", "--artifacts", root)
        assert waiting.stderr is not None
        line = waiting.stderr.readline()
        assert line.startswith(f"waiting for albo train (process {os.getpid()}, since ")
        assert waiting.poll() is None
    code, out, _ = finish(waiting)
    assert code == 0
    assert "20 covers seen: 20 embedded" in out


@pytest.mark.whole
@posix
def test_a_command_killed_at_any_moment_goes_on_and_ends_the_same(
    covers: Path, tmp_path: Path
) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    began = time.monotonic()
    code, whole, _ = finish(start("embed", covers, "--artifacts", undisturbed, "--json"))
    took = time.monotonic() - began
    assert code == 0
    for share in (0.4, 0.6, 0.8, 0.95):
        process = start("embed", covers, "--artifacts", disturbed, "--json")
        time.sleep(took * share)
        process.kill()
        finish(process)
    code, out, _ = finish(start("embed", covers, "--artifacts", disturbed, "--json"))
    assert code == 0
    last, said = json.loads(out), json.loads(whole)
    assert (last["seen"], last["indexed"]) == (said["seen"], said["indexed"]) == (60, 60)
    assert last["embedded"] + last["known"] == 60
    assert read_all(disturbed) == read_all(undisturbed)
    assert listed_albums(disturbed) == listed_albums(undisturbed)


@pytest.mark.whole
@posix
def test_an_interrupted_command_goes_on_when_run_again(covers: Path, tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    process = start("embed", covers, "--artifacts", root, "--json")
    while not (root / "files.sqlite").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert (code != 0, out) == (True, "")
    assert "Traceback" not in err
    code, out, _ = finish(start("embed", covers, "--artifacts", root, "--json"))
    assert (code, json.loads(out)["indexed"]) == (0, 60)
