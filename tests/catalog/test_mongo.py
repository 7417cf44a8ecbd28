"""The catalog in MongoDB, over the wire: servers that are gone, passwords, foreign databases."""

from __future__ import annotations

import http.server
import logging
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pymongo import MongoClient
from pymongo.errors import BulkWriteError, OperationFailure, WriteError

from albo import Albo, cli, demo
from albo.catalog import copy_catalog, open_catalog, same_catalog, shown
from albo.catalog.mongo import MongoCatalog, MongoTables
from albo.catalog.mongo_server import MongoServer
from albo.errors import AlboError, CannotWrite, EmptyCatalog, StaleArtifact, UsageError
from albo.records import Album, CatalogRow, Feed, Listing
from tests.servers import mongodb_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymongo.database import Database

    from albo.records import Json
    from tests.conftest import Answer

    Run = Callable[..., Answer]

NOBODY = "mongodb://127.0.0.1:1/albo"
QUICKLY = "serverSelectionTimeoutMS=700"


def albums(count: int, source: str = "/s") -> list[Album]:
    return [Album(source, str(n), f"{source}/{n}", bytes([n % 251] * 32)) for n in range(count)]


@pytest.fixture
def database(mongodb: str) -> Iterator[Database[Json]]:
    """The database of the test, as any other program sees it."""
    with MongoClient[dict[str, object]](mongodb) as client:
        yield client.get_default_database()


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("mongodb://host/music", "mongodb://host/music"),
        ("mongodb://u:secret@host:1,other/music?w=1", "mongodb://host:1,other/music"),
        ("mongodb+srv://u:secret@host/?tls=true", "mongodb+srv://host/"),
        ("mongodb://u:se@cret@host", "mongodb://host"),
        ("mongodb://u:se/cr@et@host/a", "mongodb://host/a"),
        ("mongodb://u:secret?@host/a", "mongodb://…"),
        ("mongodb://host/a?authMechanismProperties=AWS_SESSION_TOKEN:secret", "mongodb://host/a"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(uri: str, place: str) -> None:
    assert shown(uri) == place


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("mongodb://host", "mongodb://u:p@HOST:27017/albo?w=1", True),
        ("mongodb://127.0.0.1/a", "mongodb://localhost:27017/a", True),
        ("mongodb://a,b/x", "mongodb://b,a/x", True),
        ("mongodb://host/a", "mongodb://host/b", False),
        ("mongodb://host:1/a", "mongodb://host:2/a", False),
        ("mongodb://host/a", "host/a", False),
    ],
)
def test_one_database_goes_by_several_addresses(first: str, second: str, same: bool) -> None:
    assert same_catalog(first, second) is same


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://",
        "mongodb://user:hunter@2@host/db",
        "mongodb://user:hunter2@host:port/db",
        "mongodb://user:hunter2/x@host/db",
        "mongodb://user:%zzhunter2@host/d b",
        "mongodb://user:hunter2@host/db?tls=perhaps",
        "mongodb://user:hunter2@host/db?nonsense=hunter2",
        "mongodb+srv://user:hunter2@host:1/db",
        "mongodb://user:hunter2@host/\udce9",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(UsageError, match=r"is no address of a MongoDB; give mongodb://") as caught:
        MongoCatalog(uri)
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.whole
def test_no_message_has_the_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(
        AlboError, match=r"cannot reach MongoDB at mongodb://127\.0\.0\.1:1/albo"
    ) as caught:
        MongoCatalog(f"mongodb://someone:hunter2@127.0.0.1:1/albo?{QUICKLY}")
    albo = Albo("x", "mongodb://someone:hunter2@127.0.0.1:1/albo")
    for text in (str(caught.value), repr(caught.value.__cause__), caplog.text, repr(albo)):
        assert "hunter2" not in text
        assert "someone" not in text


def test_what_shows_the_catalog_shows_no_password(mongodb: str) -> None:
    with MongoCatalog(mongodb, write=True) as catalog:
        assert repr(catalog) == f"MongoCatalog({mongodb.partition('?')[0]!r})"


@pytest.mark.whole
def test_on_sqlite_nothing_of_mongodb_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from albo.catalog import open_catalog\n"
        "import albo.api, albo.catalog.mongo\n"
        f"open_catalog({str(tmp_path / 'c.sqlite')!r}, write=True).__exit__()\n"
        "assert not {'pymongo', 'bson', 'dns'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603


# --- servers that are not there, and go ----------------------------------------------------------


@pytest.mark.whole
def test_a_server_that_is_not_there_is_named_within_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(AlboError, match=r"refused\); start it or name another catalog with --cat"):
        MongoCatalog(NOBODY)
    assert time.monotonic() - began < 9


@pytest.mark.whole
def test_a_server_that_is_none_of_mongodb_is_said_to_be_out_of_reach() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with pytest.raises(AlboError, match="cannot reach MongoDB at mongodb://127"):
                MongoCatalog(f"mongodb://127.0.0.1:{server.server_port}/?{QUICKLY}")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.whole
def test_a_server_that_goes_meanwhile_is_named(tmp_path: Path) -> None:
    with (
        mongodb_server(tmp_path) as server,
        MongoCatalog(f"{server.uri}/music?{QUICKLY}", write=True) as catalog,
    ):
        catalog.upsert(albums(1_500))
        walk = catalog.rows()
        next(walk)
        server.kill()
        for ask in (catalog.digests, lambda: catalog.upsert(albums(1)), lambda: list(walk)):
            began = time.monotonic()
            with pytest.raises(AlboError, match=f"cannot reach MongoDB at {server.uri}/music"):
                ask()
            assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OperationFailure("Authentication failed.", 18), AlboError, "refused the user or the pass"),
        (OperationFailure("not authorized on x", 13), CannotWrite, "does not allow that; give its"),
        (WriteError("full", 14031), CannotWrite, "has no disk left; free some space"),
        (BulkWriteError({"writeErrors": [{"code": 17419, "errmsg": "x"}]}), CannotWrite, "16 MB"),
        (OperationFailure("hunter2 is odd", 99), AlboError, r"\(OperationFailure\); albo"),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_said_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[AlboError], said: str
) -> None:
    def refuse(_self: MongoServer) -> None:
        raise error

    monkeypatch.setattr(MongoServer, "_greet", refuse)
    with pytest.raises(kind, match=said) as caught:
        MongoCatalog("mongodb://someone:hunter2@host/music", write=True)
    assert "hunter2" not in str(caught.value)


# --- whose database it is ------------------------------------------------------------------------


def test_a_database_that_holds_nothing_is_empty_for_readers(mongodb: str) -> None:
    with pytest.raises(EmptyCatalog, match="holds no catalog; run `albo embed SOURCE`"):
        MongoCatalog(mongodb)
    MongoCatalog(mongodb, write=True).__exit__()
    with MongoCatalog(mongodb) as catalog:
        assert list(catalog.albums()) == []


def test_a_newer_albos_database_is_refused(mongodb: str, database: Database[Json]) -> None:
    MongoCatalog(mongodb, write=True).__exit__()
    database["meta"].update_one({"name": "schema"}, {"$set": {"version": 9}})
    for write in (False, True):
        with pytest.raises(StaleArtifact, match="is of schema 9, this albo knows up to 1; upgrade"):
            MongoCatalog(mongodb, write=write)


def test_another_programs_database_is_refused(mongodb: str, database: Database[Json]) -> None:
    database["albums"].insert_one({"title": "Kind of Blue"})
    for write in (False, True):
        with pytest.raises(StaleArtifact, match="if it is another program's, name another catalog"):
            MongoCatalog(mongodb, write=write)
    assert database.list_collection_names() == ["albums"]


@pytest.mark.parametrize(
    "change", [{"uri": 7}, {"digest": "xyz"}, {"digest": 7}, {"listing": {"charts": {}}}]
)
def test_documents_that_do_not_fit_are_refused(
    mongodb: str, database: Database[Json], change: Json
) -> None:
    with MongoCatalog(mongodb, write=True) as catalog:
        catalog.upsert(albums(1))
        database["albums"].update_one({}, {"$set": change})
        with pytest.raises(StaleArtifact, match=r"is not as albo makes it \("):
            list(catalog.rows())


def test_all_that_is_looked_up_has_an_index(mongodb: str, database: Database[Json]) -> None:
    MongoCatalog(mongodb, write=True).__exit__()
    there = {tuple(index["key"]): index for index in database["albums"].list_indexes()}
    assert there["source", "album_id"]["unique"]
    assert {
        ("genre", "missing", "digest"), ("digest", "missing"), ("uri",),
    } < set(there)  # fmt: skip


def test_an_album_that_another_writer_adds_meanwhile_is_written_once(
    mongodb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Album("/s", "1", "/s/1", genre="Late")
    know = MongoTables._known

    def known(self: MongoTables, documents: list[Json]) -> dict[tuple[str, str], object]:
        found = know(self, documents)
        monkeypatch.setattr(MongoTables, "_known", know)
        with MongoCatalog(mongodb, write=True) as other:
            other.put([CatalogRow(replace(late, genre="Early"), Listing({"us/14": 1}))])
        return found

    with MongoCatalog(mongodb, write=True) as catalog:
        monkeypatch.setattr(MongoTables, "_known", known)
        catalog.upsert([late, *albums(1)])
        assert list(catalog.rows()) == [
            CatalogRow(albums(1)[0]), CatalogRow(late, Listing({"us/14": 1})),
        ]  # fmt: skip


# --- what cannot be kept -------------------------------------------------------------------------


def test_what_mongodb_cannot_keep_is_named(mongodb: str) -> None:
    not_text = Album("/s", "caf\udce9", "/s/1")
    with MongoCatalog(mongodb, write=True) as catalog:
        with pytest.raises(CannotWrite, match=r"'caf\\udce9' is not UTF-8, and MongoDB keeps"):
            catalog.upsert([not_text])
        with pytest.raises(CannotWrite, match=r"cannot keep an album as it is \(.*8-byte ints\)"):
            catalog.upsert([Album("/s", "1", "/s/1", year=1 << 64)])
        with pytest.raises(CannotWrite, match="cannot keep an album as it is"):
            catalog.put([CatalogRow(Album("/s", "1", "/s/1"), Listing({"us\0": 1}))])
        with pytest.raises(CannotWrite, match="takes no document of 16 MB or more; shorten"):
            catalog.upsert([Album("/s", "1", "/s/1", name="x" * (50 << 20))])
        assert list(catalog.albums()) == []


# --- copies --------------------------------------------------------------------------------------


def fill(where: str) -> list[CatalogRow]:
    """Make a catalog of 1,205 albums, two charts and a harvest under way."""
    rows = [
        CatalogRow(album, Listing({"us/14": n}, first_seen="2020") if n % 3 else None, n % 5 == 0)
        for n, album in enumerate(albums(1_205))
    ]
    with open_catalog(where, write=True) as catalog:
        catalog.put(rows, [Feed("u1", "2020", ("1", "2")), Feed("u2", "2021", (), "e", "m")])
        catalog.begin_run("plan", "2022")
    return sorted(rows, key=lambda row: row.album.album_id)


@pytest.mark.parametrize("way", ["to a server", "to a file"])
def test_a_copy_has_all_and_a_second_one_the_same(mongodb: str, tmp_path: Path, way: str) -> None:
    source, target = str(tmp_path / "c.sqlite"), mongodb
    if way == "to a file":
        source, target = target, source
    rows = fill(source)
    kept = albums(1, "/kept")[0]
    with open_catalog(target, write=True) as catalog:
        catalog.upsert([kept, Album("/s", "7", "/old", genre="Old")])
    for _ in range(2):
        copied = copy_catalog(source, target).as_json()
        assert copied == {"albums": 1_205, "feeds": 2, "from": shown(source), "to": shown(target)}
        with open_catalog(source) as old, open_catalog(target) as new:
            assert list(new.rows("/s")) == list(old.rows()) == rows
            assert list(new.rows("/kept")) == [CatalogRow(kept)]
            assert new.feeds() == old.feeds()
            assert new.runs() == {"plan": "2022"}


def test_the_command_copies_and_says_so(albo_line: Run, mongodb: str, tmp_path: Path) -> None:
    fill(str(tmp_path / "c.sqlite"))
    answer = albo_line("catalog", "copy", "c.sqlite", mongodb)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"1205 albums copied to {shown(mongodb)}\n"
    back = albo_line("catalog", "copy", mongodb, "sqlite:///d.sqlite", "--json")
    assert back.objects == [
        {"albums": 1_205, "feeds": 2, "from": shown(mongodb), "to": "d.sqlite"},
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("copy gone.sqlite new.sqlite", 1, "there is no gone.sqlite"),
        ("copy c.sqlite ./c.sqlite", 2, "cannot be copied to itself"),
        ("copy c.sqlite sqlite:///link.sqlite", 2, "cannot be copied to itself"),
        ("copy mongodb://h mongodb://u:hunter2@H:27017/albo", 2, "cannot be copied to itself"),
        ("copy c.sqlite ftp://u:hunter2@h/x", 2, "ftp:… names no catalog"),
        ("copy c.sqlite", 2, "`albo catalog copy --help`"),
        ("cpoy", 2, "`albo catalog --help`"),
        ("", 2, "`albo catalog --help`"),
    ],
)
def test_a_copy_that_cannot_be_made_is_one_line(
    albo_line: Run, tmp_path: Path, words: str, code: int, said: str
) -> None:
    open_catalog(tmp_path / "c.sqlite", write=True).__exit__()
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "c.sqlite")
    answer = albo_line("catalog", *words.split())
    assert answer.code == code
    (line,) = answer.err.splitlines()
    assert said in line
    assert "hunter2" not in line
    assert {path.name for path in tmp_path.iterdir()} == {"c.sqlite", "link.sqlite"}


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.long
def test_every_command_works_on_a_server(
    albo_line: Run, samples: Path, kept_aside: list[str], mongodb: str, tmp_path: Path
) -> None:
    styles = ("Op art", "Woodcut")
    for style in styles:
        shutil.copytree(samples / "covers" / style, tmp_path / "covers" / style)

    def albo(*words: str) -> Answer:
        answer = albo_line(*words, "--catalog", mongodb)
        assert answer.code == 0, answer.err
        return answer

    assert albo("embed", "covers", "--json").objects[0]["indexed"] == 50
    assert albo("embed", "covers", "--json").objects[0]["known"] == 50
    assert albo("train", "--seeds", "1", "--json").objects[0]["covers"] == 50
    (near,) = albo("similar", kept_aside[0], "-k", "3", "--genre", "woodcut", "--json").objects
    assert [each["genre"] for each in near["neighbours"]] == ["Woodcut"] * 3
    assert albo("classify", kept_aside[0], "--json").objects[0]["predictions"][0]["genre"] in styles
    assert albo("duplicates").code == 0
    assert albo("index", "--json").objects[0]["count"] == 50
    status = albo("status", "--json").objects[0]
    assert (status["covers"], status["catalog"]) == (50, shown(mongodb))
    assert status["genres"] == dict.fromkeys(styles, 25)
    assert f"  catalog   {shown(mongodb)}" in albo_line("status", ALBO_CATALOG=mongodb).out
    with open_catalog(mongodb, write=True) as catalog:
        catalog.put([CatalogRow(Album("itunes", "1", "s3://covers/1"), Listing({"us/14": 1}))])
    assert albo("forget", "itunes", "--json").objects[0]["albums"] == 1
    assert albo("forget", "covers", "--json").objects[0]["albums"] == 50
    assert albo("status", "--json").objects[0]["covers"] == 0
    assert not (tmp_path / "artifacts" / "catalog.sqlite").exists()


def test_an_empty_database_says_what_an_empty_folder_says(
    albo_line: Run, mongodb: str, tmp_path: Path
) -> None:
    for words in (["similar", "x.jpg"], ["duplicates"], ["train"], ["index"], ["embed"]):
        answer = albo_line(*words, ALBO_CATALOG=mongodb)
        assert answer.code == 1
        (line,) = answer.err.splitlines()
        assert "run `albo embed SOURCE`" in line
    (tmp_path / "artifacts").mkdir()
    status = albo_line("status", "--catalog", mongodb)
    assert status.code == 0
    assert "run `albo embed SOURCE`" in status.out


def test_the_demo_has_a_catalog_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogs: list[str | None] = []

    def run(folder: Path, albo: Albo, _say: object) -> Path:
        catalogs.append(albo.catalog)
        return folder

    monkeypatch.setenv("ALBO_CATALOG", NOBODY)
    monkeypatch.setattr(demo, "run_demo", run)
    assert cli.run(["demo", str(tmp_path / "demo")]) == 0
    assert catalogs == [str(tmp_path / "demo" / "artifacts" / "catalog.sqlite")]


def test_a_source_that_goes_by_a_name_is_forgotten_before_a_folder_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str((tmp_path / "itunes").resolve())
    albo = Albo("artifacts", "deep/c.sqlite")
    with open_catalog("deep/c.sqlite", write=True) as catalog:
        catalog.upsert([Album("itunes", "1", "s3://covers/1"), Album(folder, "1", f"{folder}/1")])
    assert albo.forget("itunes") == 1
    with open_catalog("deep/c.sqlite") as catalog:
        assert [album.source for album in catalog.albums()] == [folder]
    assert albo.forget("itunes") == 1
    assert not (tmp_path / "artifacts" / "catalog.sqlite").exists()
