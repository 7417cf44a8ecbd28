"""Catalogs, in SQLite and MongoDB alike; the table of files; SQLite files when they are damaged."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albo.catalog import NOT_AN_IMAGE, Files, KnownFile, open_catalog, same_catalog, shown
from albo.catalog.database import Database
from albo.catalog.sqlite import _MIGRATIONS, SqliteCatalog
from albo.errors import AlboError, CannotWrite, EmptyCatalog, StaleArtifact, UsageError
from albo.records import Album, CatalogRow, Digest, Feed, Listing, Stamp
from tests.plain_user import as_plain_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
ALBUMS = "CREATE TABLE albums (name TEXT)"
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def digest(name: str) -> Digest:
    return hashlib.sha256(name.encode()).digest()


def album(number: int, cover: str | None = None, source: str = "/music", **rest: str) -> Album:
    return Album(
        source,
        f"{number}.jpg",
        f"{source}/{number}.jpg",
        digest=digest(cover or str(number)),
        **rest,  # type: ignore[arg-type]
    )


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.whole)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a catalog that is not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "c.sqlite")
    uri: str = request.getfixturevalue("mongodb")
    return uri


# --- albums --------------------------------------------------------------------------------------


def test_every_field_of_an_album_comes_back(where: str) -> None:
    full = Album(
        "/s", "id\n'1", "/s/ü.jpg", digest("a"), "Jazz", "Bebop", "A", "B", "b1", 1965, "d"
    )
    bare = Album("/s", "2", "/s/2.jpg")
    with open_catalog(where, write=True) as catalog:
        catalog.upsert([full, bare])
    with open_catalog(where) as catalog:
        assert list(catalog.albums()) == [bare, full]
        assert catalog.find("/s", ["2", "id\n'1", "3"]) == {"2": bare, "id\n'1": full}
        assert catalog.find("/t", ["2"]) == {}


def test_an_album_is_replaced_by_one_of_the_same_source_and_id(where: str) -> None:
    with open_catalog(where, write=True) as catalog:
        catalog.upsert([album(1), album(1, source="/other")])
        catalog.upsert([album(1, "changed", genre="Rock")])
        assert catalog.digests() == {digest("1"), digest("changed")}
        assert catalog.find("/music", ["1.jpg"])["1.jpg"].genre == "Rock"


def test_a_file_holds_one_cover_whatever_lists_it(where: str) -> None:
    mine = album(1)
    other, left = (replace(album(n, "1", source="/other"), uri=mine.uri) for n in (2, 3))
    with open_catalog(where, write=True) as catalog:
        catalog.upsert([mine, other, left])
        catalog.mark_missing("/other", ["3.jpg"])
        for cover in (digest("new"), None):
            catalog.upsert([replace(mine, digest=cover)])
            assert [a.digest for a in catalog.at([mine.uri, "/x"])] == [cover, cover]
        assert catalog.find("/other", ["2.jpg", "3.jpg"], missing=True) == {"3.jpg": left}


def test_no_question_goes_through_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Sequence[object]]] = []
    ask = Database.rows

    def rows(self: Database, query: str, parameters: Sequence[object] = ()) -> Iterator[Any]:
        asked.append((query, parameters))
        return ask(self, query, parameters)

    with SqliteCatalog(tmp_path / "c.sqlite", write=True) as catalog:
        monkeypatch.setattr(Database, "rows", rows)
        catalog.digests()
        catalog.digests("Jazz")
        list(catalog.albums([digest("1")]))
        list(catalog.at(["/music/1.jpg"]))
        catalog.find("/music", ["1.jpg"])
        catalog.listed("/music")
        monkeypatch.undo()
    with closing(sqlite3.connect(tmp_path / "c.sqlite")) as connection:
        plans = [
            " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values))
            for query, values in asked
        ]
    by = "USING INDEX albums_by_"
    wanted = ["COVERING INDEX", "COVERING INDEX", by + "digest", by + "uri", "PRIMARY", "PRIMARY"]
    assert all(part in plan for part, plan in zip(wanted, plans, strict=True)), plans


def test_missing_albums_answer_nothing_until_they_are_back(where: str) -> None:
    with open_catalog(where, write=True) as catalog:
        catalog.upsert([album(n, genre="Jazz") for n in range(4)])
        assert catalog.mark_missing("/music", ["0.jpg", "1.jpg", "9.jpg"]) == 2
        assert catalog.mark_missing("/music", ["0.jpg"]) == 0
        assert catalog.mark_missing("/other", ["2.jpg"]) == 0
        assert catalog.digests() == catalog.digests("Jazz") == {digest("2"), digest("3")}
        assert catalog.digests(missing=True) == {digest(str(n)) for n in range(4)}
        assert [a.album_id for a in catalog.albums()] == ["2.jpg", "3.jpg"]
        assert list(catalog.albums([digest("0")])) == []
        assert catalog.find("/music", ["0.jpg"]) == {}
        assert catalog.genres() == {"Jazz": 2}
        assert catalog.listed("/music") == {
            "0.jpg": True, "1.jpg": True, "2.jpg": False, "3.jpg": False,
        }  # fmt: skip
        catalog.upsert([album(0, genre="Jazz")])
        assert digest("0") in catalog.digests()


def test_one_cover_of_several_albums_and_genres_counts_once_in_each(where: str) -> None:
    with open_catalog(where, write=True) as catalog:
        catalog.upsert(
            [
                album(1, "same", genre="Jazz"),
                album(2, "same", genre="Jazz"),
                album(3, "same", genre="Rock"),
                album(4, "same", source="/other"),
                album(5, genre="Rock"),
                replace(album(6, genre="Rock"), digest=None),
            ]
        )
        assert catalog.digests() == {digest("same"), digest("5")}
        assert catalog.genres() == {"Rock": 2, "Jazz": 1}
        assert catalog.digests("Jazz") == {digest("same")}
        assert len(list(catalog.albums([digest("same")]))) == 4


def test_albums_come_in_one_order_whatever_was_written_first(where: str) -> None:
    albums = [album(n, source=source) for source in ("/a", "/b") for n in range(5)]
    with open_catalog(where, write=True) as catalog:
        for one in albums[::-1]:
            catalog.upsert([one])
        assert list(catalog.albums()) == albums


def test_more_albums_than_a_query_has_marks(where: str) -> None:
    albums = [album(n) for n in range(2_345)]
    with open_catalog(where, write=True) as catalog:
        catalog.upsert(albums)
        assert len(catalog.find("/music", [a.album_id for a in albums])) == 2_345
        assert len(list(catalog.albums([digest(str(n)) for n in range(2_345)]))) == 2_345


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ({"source": "/music"}, {"/other/1.jpg"}),
        ({"uri": "/music/1.jpg"}, {"/music/2.jpg", "/music/3.jpg", "/other/1.jpg"}),
        ({"digest": digest("1")}, {"/music/2.jpg", "/music/3.jpg"}),
        ({"source": "/other", "uri": "/music/1.jpg"}, {"/music/2.jpg", "/music/3.jpg"}),
        ({}, {"/music/1.jpg", "/music/2.jpg", "/music/3.jpg", "/other/1.jpg"}),
        ({"source": "' OR 1 --"}, {"/music/1.jpg", "/music/2.jpg", "/music/3.jpg", "/other/1.jpg"}),
    ],
)
def test_forget(where: str, wanted: dict[str, str], left: set[str]) -> None:
    albums = [album(1), album(2), album(3), album(1, source="/other")]
    with open_catalog(where, write=True) as catalog:
        catalog.upsert(albums)
        catalog.mark_missing("/music", ["3.jpg"])
        forgotten = catalog.matching(**wanted)  # type: ignore[arg-type]
        catalog.forget(forgotten)
        catalog.upsert(a for a in [album(3)] if "3.jpg" in catalog.listed("/music"))
        assert {a.uri for a in catalog.albums()} == left
        assert {a.uri for a in forgotten} == {a.uri for a in albums} - left


def test_a_cover_that_another_album_shows_is_not_theirs_alone(where: str) -> None:
    albums = [album(1), album(2), album(3), album(1, source="/other")]
    with open_catalog(where, write=True) as catalog:
        catalog.upsert(albums)
        catalog.mark_missing("/other", ["1.jpg"])
        assert catalog.shown_only_by(albums[:2]) == {digest("2")}
        assert catalog.shown_only_by(albums) == {digest("1"), digest("2"), digest("3")}
        assert catalog.shown_only_by([]) == set()


def test_a_failed_write_writes_nothing(where: str) -> None:
    def breaks_off() -> list[Album]:
        yield album(1)
        raise KeyboardInterrupt

    with open_catalog(where, write=True) as catalog:
        with pytest.raises(KeyboardInterrupt):
            catalog.upsert(breaks_off())
        assert list(catalog.albums()) == []


# --- all that is known of them -------------------------------------------------------------------


def listing(**rest: str) -> Listing:
    return Listing({"us/14": 3, "de/0": 100}, first_seen="2020-01-02T03:04:05+00:00", **rest)  # type: ignore[arg-type]


FULL = Listing(
    {"us/14": 3}, 14, "Pop", "us", "2020-01-02", "https://x/1", "2020", "2021",
    "https://x/a.jpg", "https://x/b.jpg", 600, 599, digest("arriving"), "gone (404)",
)  # fmt: skip


def test_rows_come_back_whole_and_in_order(where: str) -> None:
    rows = [
        CatalogRow(album(1, source="a"), FULL, missing=True),
        CatalogRow(album(2, source="a"), listing()),
        CatalogRow(replace(album(1, source="b"), digest=None), Listing({})),
        CatalogRow(Album("b", "ü\n.$", "/b/2")),
    ]
    with open_catalog(where, write=True) as catalog:
        catalog.put(rows[::-1])
    with open_catalog(where) as catalog:
        assert list(catalog.rows()) == rows
        assert list(catalog.rows("a")) == rows[:2]
        assert list(catalog.rows("b", ["ü\n.$", "1.jpg", "1.jpg", "3"])) == rows[2:]
        assert list(catalog.rows("b", [])) == list(catalog.rows("c")) == []
        assert list(catalog.albums()) == [row.album for row in rows[1:]]


def test_what_is_put_replaces_all_that_was_known(where: str) -> None:
    row = CatalogRow(album(1), FULL, missing=True)
    with open_catalog(where, write=True) as catalog:
        catalog.put([row, CatalogRow(album(2), FULL)])
        catalog.put([CatalogRow(album(1, "other"), FULL), row])
        assert list(catalog.rows("/music", ["1.jpg"])) == [row], "the last one counts"
        catalog.put([CatalogRow(album(1, genre="Jazz"))])
        assert list(catalog.rows()) == [
            CatalogRow(album(1, genre="Jazz")), CatalogRow(album(2), FULL),
        ]  # fmt: skip


def test_what_charts_say_stays_until_the_album_is_forgotten(where: str) -> None:
    with open_catalog(where, write=True) as catalog:
        catalog.put([CatalogRow(album(1), FULL)])
        catalog.upsert([album(1, "new", genre="Jazz")])
        catalog.mark_missing("/music", ["1.jpg"])
        row = CatalogRow(album(1, "new", genre="Jazz"), FULL, missing=True)
        assert list(catalog.rows()) == [row]
        catalog.forget([album(1)])
        catalog.upsert([album(1)])
        assert list(catalog.rows()) == [CatalogRow(album(1))]


def test_albums_without_cover_are_those_that_await_one(where: str) -> None:
    kept = listing(art_url="u", art_kept="u")
    rows = [
        CatalogRow(album(3, source="a"), listing(art_url="u")),
        CatalogRow(album(1, source="a"), listing(art_url="u"), missing=True),
        CatalogRow(album(2, "there", source="a"), kept),
        CatalogRow(album(4, source="a"), listing()),
        CatalogRow(album(5, source="a")),
        CatalogRow(album(6, "there", source="a"), replace(kept, art_arriving=digest("new"))),
        CatalogRow(replace(album(7, source="a"), digest=None), kept),
        CatalogRow(album(1, source="b"), listing(art_url="u")),
    ]
    with open_catalog(where, write=True) as catalog:
        catalog.put(rows)
        awaiting = sorted(r.album.album_id for r in rows[:-1] if r.awaits_cover)
        assert awaiting == ["1.jpg", "3.jpg", "6.jpg", "7.jpg"]
        assert catalog.without_cover("a") == awaiting
        assert catalog.without_cover("c") == []


def test_when_albums_were_seen_is_written_to_what_charts_say_alone(where: str) -> None:
    rows = [CatalogRow(album(n, source=s), listing()) for s in "ab" for n in (1, 2)]
    bare = CatalogRow(album(3, source="a"))
    with open_catalog(where, write=True) as catalog:
        catalog.put([*rows, bare])
        catalog.saw("a", ["1.jpg", "3.jpg", "4.jpg"], "now")
        seen = replace(rows[0], listing=listing(last_seen="now"))
        assert list(catalog.rows()) == [seen, rows[1], bare, *rows[2:]]


def test_feeds_are_found_and_replaced(where: str) -> None:
    first, second = Feed("https://x/1", "2020", ("3", "1", "2")), Feed("https://x/2", "2020", ())
    newer = Feed("https://x/1", "2021", ("4",), '"etag"', "Mon, 06 Jan 2020")
    with open_catalog(where, write=True) as catalog:
        assert catalog.feeds() == {}
        catalog.put((), [second, first])
        assert list(catalog.feeds().items()) == [(first.url, first), (second.url, second)]
        catalog.put([CatalogRow(album(1))], [first, newer])
        assert catalog.feeds([newer.url, "https://x/3"]) == {newer.url: newer}
        assert catalog.feeds([]) == {}
        assert len(list(catalog.albums())) == 1


def test_runs_are_known_until_they_end(where: str) -> None:
    with open_catalog(where, write=True) as catalog:
        catalog.begin_run('{"a": 1}', "2020")
        catalog.begin_run("b", "2020")
        catalog.begin_run("b", "2021")
        assert catalog.runs() == {'{"a": 1}': "2020", "b": "2021"}
        catalog.end_run("b")
        catalog.end_run("c")
        assert catalog.runs() == {'{"a": 1}': "2020"}


def test_covers_in_several_files_are_copied(where: str) -> None:
    same = [replace(album(n, "same"), uri="/one") for n in (1, 2)]
    with open_catalog(where, write=True) as catalog:
        catalog.upsert([*same, album(3), *(album(n, str(n % 2)) for n in (4, 5, 6, 7))])
        assert catalog.copied() == sorted([digest("0"), digest("1")])
        catalog.mark_missing("/music", ["4.jpg"])
        assert catalog.copied() == [digest("1")]


def test_three_thousand_rows_are_written_and_read(where: str) -> None:
    rows = [
        CatalogRow(album(n, genre=f"G{n % 7}"), listing(art_url="u") if n % 3 else None)
        for n in range(3_000)
    ]
    by_id = sorted(rows, key=lambda row: row.album.album_id)
    with open_catalog(where, write=True) as catalog:
        catalog.put(rows)
        assert list(catalog.rows()) == by_id
        assert list(catalog.rows("/music", [row.album.album_id for row in rows])) == by_id
        assert catalog.without_cover("/music") == [
            row.album.album_id for row in by_id if row.listing
        ]
        assert catalog.mark_missing("/music", [row.album.album_id for row in rows[:2_500]]) == 2_500
        assert len(catalog.digests()) == 500
        assert sum(catalog.genres().values()) == 500
        catalog.forget([row.album for row in rows[:2_900]])
        assert len(catalog.listed("/music")) == 100


# --- addresses -----------------------------------------------------------------------------------


def test_a_path_and_its_address_are_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_catalog("deep/c.sqlite", write=True) as catalog:
        catalog.upsert([album(1)])
    for spelling in (
        Path("deep/c.sqlite"), "sqlite:///deep/c.sqlite", f"sqlite:///{tmp_path}/deep/c.sqlite",
    ):  # fmt: skip
        with open_catalog(spelling) as catalog:
            assert catalog.digests() == {digest("1")}
        assert same_catalog(spelling, "./deep/../deep/c.sqlite")
    assert shown("sqlite:///deep/c.sqlite") == str(Path("deep/c.sqlite"))


@pytest.mark.parametrize(
    "text",
    ["", "sqlite:///", "sqlite://host/x", "sqlite:x", "mongodb:x", "postgres://u:secret@h/d"],
)
def test_what_names_no_catalog_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="sqlite:///FILE or mongodb://HOST/DB") as caught:
        open_catalog(text, write=True)
    assert "secret" not in str(caught.value)


def test_a_catalog_that_is_not_there_is_empty_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(EmptyCatalog, match="there is no "):
        open_catalog(tmp_path / "c.sqlite")
    with pytest.raises(UsageError, match="is a folder"):
        open_catalog(tmp_path, write=True)
    assert list(tmp_path.iterdir()) == []


# --- files ---------------------------------------------------------------------------------------


def known(path: str, name: str | None = None, reason: str = "") -> KnownFile:
    return KnownFile(path, Stamp(1, 2, 3), digest(name) if name else None, reason)


def test_files_are_found_replaced_and_forgotten(tmp_path: Path) -> None:
    good, bad, text = known("/a\n.jpg", "a"), known("/b", None, "empty"), known("/c", None, "?")
    text = replace(text, reason=NOT_AN_IMAGE)
    with Files(tmp_path / "f.sqlite", write=True) as files:
        files.record([good, bad, text])
        assert files.find(["/a\n.jpg", "/b", "/c", "/d"]) == {
            "/a\n.jpg": good, "/b": bad, "/c": text,
        }  # fmt: skip
        assert files.skipped() == [bad]
        files.record([known("/b", "b")])
        assert files.skipped() == []
        files.forget(["/b", "/nothing"])
        assert files.find(["/b"]) == {}
    with Files(tmp_path / "f.sqlite") as files:
        assert set(files.find(["/a\n.jpg", "/b", "/c"])) == {"/a\n.jpg", "/c"}


def test_more_files_than_a_query_has_marks(tmp_path: Path) -> None:
    with Files(tmp_path / "f.sqlite", write=True) as files:
        files.record(known(f"/{n}", str(n)) for n in range(1_234))
        found = files.find([f"/{n}" for n in range(2_000)])
    assert len(found) == 1_234


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(0, (1 << 63) - 1),
    mtime=st.integers(0, (1 << 63) - 1),
    inode=st.integers(0, (1 << 63) - 1),
    path=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_whatever_a_stamp_is_it_comes_back(size: int, mtime: int, inode: int, path: str) -> None:
    with Files(Path(":memory:"), write=True) as files:
        file = KnownFile(path, Stamp(size, mtime, inode), digest(path))
        files.record([file])
        assert files.find([path]) == {path: file}


# --- databases -----------------------------------------------------------------------------------


def test_migrations_are_applied_once_each_and_in_order(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    first = [ALBUMS, "INSERT INTO albums VALUES ('one'); INSERT INTO albums VALUES ('two')"]
    Database(file, first, write=True).close()
    second = [*first, "ALTER TABLE albums ADD COLUMN year INTEGER DEFAULT 1959"]
    for _ in range(2):
        with closing(Database(file, second, write=True)) as database:
            assert list(database.rows("SELECT * FROM albums")) == [("one", 1959), ("two", 1959)]
    with pytest.raises(StaleArtifact, match=r"is of schema 3, this albo knows up to 2; upgrade"):
        Database(file, first, write=True)


def test_a_migration_that_fails_leaves_the_schema_before(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    Database(file, [ALBUMS], write=True).close()
    broken = [ALBUMS, "CREATE TABLE covers (digest BLOB); INSERT INTO nowhere VALUES (1)"]
    with pytest.raises(StaleArtifact, match="no such table: nowhere"):
        Database(file, broken, write=True)
    with closing(Database(file, [ALBUMS], write=False)) as database:
        assert list(database.rows("SELECT name FROM sqlite_master")) == [("albums",)]


def test_readers_of_what_is_not_there_or_not_ready(tmp_path: Path) -> None:
    with pytest.raises(StaleArtifact, match="there is no"):
        Database(tmp_path / "d.sqlite", [ALBUMS], write=False)
    assert not (tmp_path / "d.sqlite").exists()
    (tmp_path / "d.sqlite").touch()
    with pytest.raises(StaleArtifact, match="holds nothing yet; run `albo embed`"):
        Database(tmp_path / "d.sqlite", [ALBUMS], write=False)
    Database(tmp_path / "d.sqlite", [ALBUMS], write=True).close()
    with pytest.raises(StaleArtifact, match="was written by an older albo; run `albo embed`"):
        Database(tmp_path / "d.sqlite", [ALBUMS, "SELECT 1"], write=False)


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\0" + bytes(5_000)], ids=["text", "zeros"]
)
def test_a_damaged_file_is_refused_with_the_remedy(
    tmp_path: Path, content: bytes, write: bool
) -> None:
    (tmp_path / "c.sqlite").write_bytes(content)
    with pytest.raises(StaleArtifact, match=r"is damaged \(.*\); move it away and run `albo embed"):
        SqliteCatalog(tmp_path / "c.sqlite", write=write)


def test_damage_that_shows_later_is_told_in_the_same_words(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    with SqliteCatalog(file, write=True) as catalog:
        catalog.upsert(album(n) for n in range(2_000))
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 20_000] = os.urandom(20_000)
    file.write_bytes(raw)
    with SqliteCatalog(file) as catalog, pytest.raises(StaleArtifact, match="is damaged"):
        list(catalog.albums())


def test_text_that_is_none_is_damage(tmp_path: Path) -> None:
    with SqliteCatalog(tmp_path / "c.sqlite", write=True) as catalog:
        catalog.upsert([album(1)])
    with closing(sqlite3.connect(tmp_path / "c.sqlite")) as connection:
        connection.execute("UPDATE albums SET name = CAST(x'ff' AS TEXT)")
        connection.commit()
    with (
        SqliteCatalog(tmp_path / "c.sqlite") as catalog,
        pytest.raises(StaleArtifact, match="is damaged"),
    ):
        list(catalog.albums())


def test_another_programs_table_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "c.sqlite")) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
    message = r"is not as albo makes it \(no such table: albums\); if it is another program's"
    with (
        SqliteCatalog(tmp_path / "c.sqlite") as catalog,
        pytest.raises(StaleArtifact, match=message),
    ):
        catalog.digests()


def test_our_own_mistakes_are_not_blamed_on_the_file(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def elsewhere() -> None:
        try:
            catalog.digests()
        except sqlite3.ProgrammingError as error:
            failures.append(error)

    with SqliteCatalog(tmp_path / "c.sqlite", write=True) as catalog:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert len(failures) == 1


def test_readers_see_whole_commits_and_keep_nobody_waiting(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    with SqliteCatalog(file, write=True) as writer:
        writer.upsert([album(1)])
        with SqliteCatalog(file) as reader:
            walk = reader.albums()
            assert next(walk).album_id == "1.jpg"
            writer.upsert(album(n) for n in range(100))  # the reader is in the middle of it
            assert list(walk) == []
            assert len(reader.digests()) == 100


def test_a_lock_of_another_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("albo.catalog.database._BUSY_SECONDS", 0.05)
    file = tmp_path / "c.sqlite"
    with SqliteCatalog(file, write=True) as catalog, closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AlboError, match="locked by another program"):
            catalog.upsert([album(1)])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="cannot write"):
        SqliteCatalog(tmp_path / "file" / "c.sqlite", write=True)
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(CannotWrite, match="unable to open database file"):
        SqliteCatalog(tmp_path / "folder.sqlite", write=True)


@posix
def test_a_read_only_copy_can_be_read() -> None:
    """A catalog whose log cannot be made, as on a CD or in another user's folder."""
    with as_plain_user() as folder:
        with SqliteCatalog(folder / "c.sqlite", write=True) as catalog:
            catalog.upsert([album(1)])
        folder.chmod(0o500)
        with SqliteCatalog(folder / "c.sqlite") as catalog:
            assert catalog.digests() == {digest("1")}
        with pytest.raises(CannotWrite, match="attempt to write a readonly database"):
            SqliteCatalog(folder / "c.sqlite", write=True)
        assert [path.name for path in folder.iterdir()] == ["c.sqlite"]
        (folder / "c.sqlite").chmod(0)
        with pytest.raises(StaleArtifact, match="unable to open database file"):
            SqliteCatalog(folder / "c.sqlite")


@pytest.mark.whole
@posix
def test_a_full_disk_is_told_and_what_was_committed_stays(tmp_path: Path) -> None:
    """The limit on file sizes stands for the disk: SQLite meets both in the same place."""
    script = """
import resource, signal, sys
from pathlib import Path
from albo.catalog.sqlite import SqliteCatalog
from albo.errors import CannotWrite
from albo.records import Album
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with SqliteCatalog(Path(sys.argv[1]), write=True) as catalog:
    catalog.upsert([Album("/s", "first", "/s/first")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    try:
        catalog.upsert(Album("/s", str(n), "/s/x" * 100) for n in range(5_000))
    except CannotWrite as error:
        print(error)
    print(len(list(catalog.albums())))
"""
    done = run_python(script, str(tmp_path / "c.sqlite"))
    message, count = done.stdout.splitlines()
    assert message.startswith("cannot write ")
    assert count == "1"


def run_python(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", script, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.whole
@posix
def test_a_killed_writer_loses_only_its_last_transaction(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from albo.catalog.sqlite import SqliteCatalog
from albo.records import Album
def albums():
    yield Album("/s", "second", "/s/2")
    os.kill(os.getpid(), signal.SIGKILL)
catalog = SqliteCatalog(Path(sys.argv[1]), write=True)
catalog.upsert([Album("/s", "first", "/s/1")])
catalog.upsert(albums())
"""
    done = run_python(script, str(tmp_path / "c.sqlite"))
    assert done.returncode == -signal.SIGKILL
    with SqliteCatalog(tmp_path / "c.sqlite") as catalog:
        assert list(catalog.listed("/s")) == ["first"]
