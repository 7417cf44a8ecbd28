"""The harvest: charts into the catalog and covers into the store, whatever goes wrong meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from albo import Albo
from albo.catalog import open_catalog
from albo.catalog.sqlite import SqliteCatalog
from albo.errors import CannotWrite, UnknownGenre, UsageError
from albo.harvest import Harvest
from albo.limits import digest_of
from albo.records import Album
from albo.sources import HarvestSettings
from albo.sources.plan import plan_parts
from albo.store import open_covers
from albo.store.folder_covers import FolderCovers
from tests import chart_server as faults
from tests.chart_server import ChartServer, Served, served_covers, served_feeds
from tests.servers import S3, S3_ENV, make_bucket, mongodb_server, moody, running_s3, use_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from albo.records import CatalogRow
    from albo.sources import Harvested
    from tests.conftest import Answer

CHART = r"/rss/topalbums/genre=6/"
ART = r"1000x1000bb\.jpg$"
COUNTRY = 6
SUBGENRES = 11  # of Country


# --- what the tests work on ----------------------------------------------------------------------


@pytest.fixture
def albums(samples: Path) -> list[Served]:
    """Twelve drawn covers as albums of Country, in charts."""
    served = served_covers(samples / "labels.csv")
    return [replace(album, genre_id=COUNTRY, entry=_country(album.entry)) for album in served[:12]]


def _country(entry: dict[str, Any]) -> dict[str, Any]:
    attributes = {"im:id": str(COUNTRY), "term": "Country", "label": "Country"}
    return entry | {"category": {"attributes": attributes}}


@pytest.fixture
def server(albums: list[Served]) -> Iterator[ChartServer]:
    with ChartServer(albums) as running:
        yield running


def quick(server: ChartServer, *genres: str, **changes: object) -> HarvestSettings:
    """Ask without waiting."""
    quickest = HarvestSettings(
        genres=genres or ("country",),
        base_url=server.url,
        rate=0,
        art_rate=0,
        timeout=1.0,
        attempts=3,
        backoff=0.01,
    )
    return replace(quickest, **changes)


def run_harvest(root: Path, server: ChartServer, *genres: str, **changes: object) -> Harvested:
    return Albo(root).harvest(quick(server, *genres, **changes))


def rows_of(root: Path) -> dict[str, CatalogRow]:
    with SqliteCatalog(root / "catalog.sqlite") as catalog:
        return {row.album.album_id: row for row in catalog.rows("itunes")}


def covers_of(root: Path) -> dict[str, bytes]:
    files = (root / "covers").rglob("*")
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def check_whole(root: Path, server: ChartServer) -> None:
    """See that every album is there once with its own cover, whole, and nothing else."""
    rows = rows_of(root)
    wanted = {s.entry["id"]["attributes"]["im:id"]: s.artwork() for s in server.albums}
    assert rows.keys() == wanted.keys()
    for album_id, data in wanted.items():
        album, listing = rows[album_id].album, rows[album_id].listing
        assert album.digest == digest_of(data)
        assert Path(album.uri).read_bytes() == data
        assert listing is not None
        assert listing.art_arriving is None
        assert not listing.art_error
    assert sorted(covers_of(root).values()) == sorted(set(wanted.values()))


# --- when all goes well --------------------------------------------------------------------------


@pytest.mark.whole
def test_charts_and_covers_arrive(tmp_path: Path, server: ChartServer) -> None:
    done = run_harvest(tmp_path, server)
    check_whole(tmp_path, server)
    (tally,) = done.tallies
    assert (tally.genre, tally.asked) == ("Country", 200 * (1 + SUBGENRES))
    assert (tally.listed, tally.new, tally.known, tally.covers) == (12, 12, 0, 12)
    assert tally.failed == 0
    assert len([path for path in server.seen if "/rss/" in path]) == 1 + SUBGENRES


@pytest.mark.whole
def test_what_is_kept_of_an_album(tmp_path: Path, server: ChartServer) -> None:
    run_harvest(tmp_path, server)
    entry = server.albums[3].entry
    row = rows_of(tmp_path)[entry["id"]["attributes"]["im:id"]]
    album, listing = row.album, row.listing
    assert (album.name, album.artist) == (entry["im:name"]["label"], entry["im:artist"]["label"])
    assert entry["im:artist"]["attributes"]["href"].endswith(f"/{album.artist_id}?uo=2")
    assert (album.genre, album.subgenre) == ("Country", "")
    assert album.year == int(entry["im:releaseDate"]["label"][:4])
    assert listing is not None
    assert listing.charts == {"us/6": 4}
    assert (listing.genre_id, listing.genre_name, listing.storefront) == (6, "Country", "us")
    assert listing.released == f"{album.year}-05-01"
    assert listing.link == entry["link"]["attributes"]["href"]
    assert listing.art_kept.endswith("/1000x1000bb.jpg")
    assert listing.art_url.endswith("/170x170bb.png")
    assert listing.art_width == listing.art_height
    assert listing.art_width


@pytest.mark.whole
def test_a_second_run_asks_whether_charts_changed_and_fetches_no_cover(
    tmp_path: Path, server: ChartServer
) -> None:
    run_harvest(tmp_path, server)
    before = rows_of(tmp_path)
    server.answered.clear()
    (tally,) = run_harvest(tmp_path, server).tallies
    assert not server.answered
    assert server.unchanged.total() == 1 + SUBGENRES
    assert (tally.listed, tally.new, tally.known, tally.covers) == (12, 0, 12, 0)
    for album_id, row in rows_of(tmp_path).items():
        assert row.listing is not None
        assert row.listing.last_seen > before[album_id].listing.last_seen
        assert row.listing.first_seen == before[album_id].listing.first_seen


@pytest.mark.whole
def test_a_server_without_validators_is_asked_again_in_full(
    tmp_path: Path, albums: list[Served]
) -> None:
    with ChartServer(albums, etags=False) as server:
        run_harvest(tmp_path, server)
        (tally,) = run_harvest(tmp_path, server).tallies
        assert (tally.new, tally.known, tally.covers) == (0, 12, 0)
        assert max(server.art_fetched.values()) == 1
        check_whole(tmp_path, server)


@pytest.mark.whole
def test_forgotten_albums_come_again_although_the_chart_has_not_changed(
    tmp_path: Path, server: ChartServer
) -> None:
    run_harvest(tmp_path, server)
    with SqliteCatalog(tmp_path / "catalog.sqlite", write=True) as catalog:
        catalog.forget([next(catalog.albums())])
    (tally,) = run_harvest(tmp_path, server).tallies
    assert (tally.new, tally.known, tally.covers) == (1, 11, 1)
    check_whole(tmp_path, server)


@pytest.mark.whole
def test_an_album_in_many_charts_is_one_row(tmp_path: Path, albums: list[Served]) -> None:
    americana = 1034
    albums[5] = replace(albums[5], genre_id=americana)
    with ChartServer(albums) as server:
        done = run_harvest(tmp_path, server, storefronts=("us", "GB"))
        rows = rows_of(tmp_path)
        row = rows[albums[5].entry["id"]["attributes"]["im:id"]]
        assert row.listing is not None
        assert row.listing.charts == {"us/6": 6, "us/1034": 1, "gb/6": 6, "gb/1034": 1}
        assert row.listing.storefront == "us"
        assert len(rows) == 12
        assert (done.total.listed, done.total.new) == (26, 12)
        assert max(server.art_fetched.values()) == 1


@pytest.mark.whole
def test_albums_with_the_same_artwork_share_one_fetching(
    tmp_path: Path, albums: list[Served]
) -> None:
    images = albums[0].entry["im:image"]
    twin = albums[1].entry | {"im:image": images}
    albums[1] = replace(albums[1], entry=twin, artwork=albums[0].artwork)
    with ChartServer(albums) as server:
        (tally,) = run_harvest(tmp_path, server).tallies
        assert tally.covers == 12
        assert len(server.art_fetched) == 11
        check_whole(tmp_path, server)


@pytest.mark.whole
def test_albums_of_several_charts_share_one_fetching_too(
    tmp_path: Path, albums: list[Served]
) -> None:
    americana = 1034
    twin = albums[1].entry | {"im:image": albums[0].entry["im:image"]}
    albums[1] = replace(
        albums[1], genre_id=americana, entry=twin, artwork=albums[0].artwork, is_in_umbrella=False
    )
    with ChartServer(albums) as server:
        server.fail("genre=1034", lambda handler: (time.sleep(1.5), handler.true())[0], times=1)
        run_harvest(tmp_path, server, timeout=5)
        assert len(server.art_fetched) == 11
        assert max(server.art_fetched.values()) == 1
        check_whole(tmp_path, server)


@pytest.mark.whole
def test_a_subgenre_is_labelled_by_its_umbrella(tmp_path: Path, shared: Path) -> None:
    feeds = sorted((shared / "itunes").glob("topalbums__*.json"))
    art = sorted((shared / "covers" / "itunes36" / "images").rglob("*.jpg"))
    with ChartServer(served_feeds(feeds, lambda n: art[n].read_bytes())) as server:
        done = run_harvest(tmp_path, server, "all")
        check_whole(tmp_path, server)
        rows = rows_of(tmp_path)
        assert done.total.new == done.total.covers == len(rows) > 90
        metal = [row for row in rows.values() if row.album.subgenre == "Metal"]
        assert metal
        assert {row.album.genre for row in metal} == {"Rock"}
        assert {row.listing.genre_id for row in metal if row.listing} == {1153}
        various = [row.album for row in rows.values() if row.album.artist == "Various Artists"]
        assert various
        assert {album.artist_id for album in various} == {""}


@pytest.mark.whole
def test_new_artwork_replaces_the_old(tmp_path: Path, albums: list[Served]) -> None:
    with ChartServer(albums) as server:
        run_harvest(tmp_path, server)
        old = server.albums[0]
        image = {"label": "http://is1-ssl.mzstatic.com/new/art.jpg/170x170bb.png"}
        new = replace(
            old,
            entry=old.entry | {"im:image": [image]},
            artwork=lambda: albums[0].artwork() + b"new",
        )
    with ChartServer([new, *albums[1:]], port=server.port) as server:
        (tally,) = run_harvest(tmp_path, server).tallies
        assert (tally.new, tally.covers) == (0, 1)
        row = rows_of(tmp_path)[old.entry["id"]["attributes"]["im:id"]]
        assert row.album.digest == digest_of(new.artwork())
        assert sum(server.art_fetched.values()) == 1


@pytest.mark.whole
def test_artwork_that_changes_while_it_is_fetched(tmp_path: Path, albums: list[Served]) -> None:
    americana = 1034
    albums[0] = replace(albums[0], genre_id=americana)
    with ChartServer(albums) as server:

        def newer(handler: faults.Handler) -> None:
            data, kind = handler.true_body()
            handler.answer(200, data.replace(b"1000000001.jpg", b"1000000002.jpg"), kind)

        server.fail("genre=1034", newer)
        server.fail("000001.jpg/1000", faults.hang(0.5), times=1)
        run_harvest(tmp_path, server, timeout=5)
        row = rows_of(tmp_path)[albums[0].entry["id"]["attributes"]["im:id"]]
        assert row.album.digest == digest_of(albums[1].artwork())
        assert not row.awaits_cover


# --- the plan ------------------------------------------------------------------------------------


@pytest.mark.whole
def test_two_genres_of_one_name_are_told_apart(tmp_path: Path, server: ChartServer) -> None:
    done = run_harvest(tmp_path, server, "1111", "1115")
    assert [tally.asked for tally in done.tallies] == [200, 200]


def test_what_is_named_twice_is_asked_for_once() -> None:
    parts = plan_parts(["1034", "Country", "6", " ALL "], ["us", "US", "gb"])
    charts = [request.address for part in parts for request in part.requests]
    assert len(charts) == len(set(charts)) == 2 * 252
    assert len(parts) == 37
    assert [part.name for part in plan_parts(["1034"], ["us"])] == ["Americana"]


@pytest.mark.parametrize(
    ("genres", "storefronts", "error", "words"),
    [
        ([], ["us"], UsageError, "--genre all"),
        (["contry"], ["us"], UnknownGenre, "Country"),
        (["Latin Jazz"], ["us"], UsageError, "1111"),
        (["6"], ["usa"], UsageError, "two letters"),
    ],
)
def test_what_cannot_be_asked_for(
    genres: list[str], storefronts: list[str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        plan_parts(genres, storefronts)


def test_a_dry_run_asks_nobody_and_writes_nothing(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    words = ("harvest", "--genre", "all", "--base-url", server.url, "--dry-run")
    said = albo_line(*words, "--contact", "me@example.org")
    assert said.code == 0
    assert "252" in said.out
    assert albo_line(*words, "--covers", "gs://elsewhere/x").code == 2
    assert "13 min at 20 a minute" in said.out
    assert "me@example.org" in said.out
    *parts, total = albo_line(*words, "--json").objects
    assert len(parts) == 37
    assert total["charts"] == sum(len(part["charts"]) for part in parts) == 252
    assert total["chart_seconds"] == 756
    assert not server.seen
    assert not list(tmp_path.iterdir())


# --- the command line ----------------------------------------------------------------------------


def harvest_words(server: ChartServer, *more: str) -> list[str]:
    quickly = ("--rate", "0", "--art-rate", "0", "--timeout", "2", "--attempts", "2")
    return ["harvest", "--genre", "6", "--base-url", server.url, *quickly, *more]


def test_the_command_prints_a_table(server: ChartServer, albo_line: Callable[..., Answer]) -> None:
    said = albo_line(*harvest_words(server))
    assert said.code == 0
    assert [line.split() for line in said.out.splitlines() if "Country" in line] == [
        ["Country", "2,400", "12", "12", "0", "12", "0"]
    ]
    assert "Country (us/6): 12 of 200 came, 12 new" in said.err


def test_the_command_prints_json_alone(
    server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    server.fail(ART, faults.status(404), times=1)
    server.fail("600x600", faults.status(404), times=1)
    server.fail("170x170", faults.status(404), times=1)
    said = albo_line(*harvest_words(server, "--json"))
    country, total = said.objects
    reasons = {"artwork: 404 Not Found": 1}
    numbers = {"asked": 2400, "listed": 12, "new": 12, "known": 0, "covers": 11, "failed": 1}
    assert country == {"genre": "Country", **numbers, "reasons": reasons}
    assert total == country | {"genre": "total"}
    assert said.code == 1
    assert said.err.splitlines()[-1] == "albo: artwork: 404 Not Found"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--genre", "contry"], "nearest: Country (6)"),
        (["--genre", "latin jazz"], "1111"),
        (["--storefront", "usa"], "two letters"),
        (["--base-url", "ftp://example.org"], "base URL"),
        (["--base-url", "http://me:secret@example.org"], "base URL"),
        (["--covers", "gs://bucket/x"], "gs:"),
        (["--covers", "s3:///x"], "bucket"),
        (["--s3-endpoint", "nonsense", "--covers", "s3://bucket-of-mine/x"], "endpoint"),
        (["--contact", "me\nEvil: yes"], "contact"),
        (["--catalog", "redis://localhost"], "redis"),
        (["--rate", "-1"], "rate"),
        (["--limit", "0"], "limit"),
    ],
)
def test_wrong_usage_is_one_line_and_asks_nobody(
    tmp_path: Path,
    server: ChartServer,
    albo_line: Callable[..., Answer],
    words: list[str],
    said: str,
) -> None:
    answer = albo_line(*harvest_words(server), *words)
    assert answer.code == 2
    (line,) = answer.err.splitlines()
    assert said in line
    assert "secret" not in line
    assert not server.seen
    assert not list(tmp_path.rglob("*.sqlite"))


def test_the_address_may_come_from_the_environment(
    server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    words = [word for word in harvest_words(server) if word not in {"--base-url", server.url}]
    assert albo_line(*words, ALBO_ITUNES_URL=server.url).code == 0
    assert server.seen


def test_harvested_covers_are_embedded_and_known_by_name(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server))
    (done,) = albo_line("embed", "--json").objects
    assert (done["seen"], done["embedded"], done["skipped"]) == (12, 12, 0)
    (again,) = albo_line("embed", "--json").objects
    assert (again["seen"], again["missing"]) == (0, 0)
    cover = next((tmp_path / "artifacts" / "covers").rglob("*.jpg"))
    (answer,) = albo_line("similar", cover, "-k", "1", "--json").objects
    assert answer["neighbours"][0]["uri"] == str(cover)
    assert answer["neighbours"][0]["genre"] == "Country"
    status = albo_line("status", "--json").objects[0]
    assert status["sources"] == {"itunes": 12}


def test_a_store_that_is_not_there_is_not_taken_for_an_empty_one(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server))
    covers = tmp_path / "artifacts" / "covers"
    covers.rename(tmp_path / "unmounted")
    said = albo_line("embed")
    assert said.code == 1
    assert f"the covers' folder {covers} is not there" in said.err
    (tmp_path / "unmounted").rename(covers)
    assert albo_line("embed", "--json").objects[0]["embedded"] == 12


def test_covers_out_of_sight_are_taken_back_without_fetching(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server))
    covers = tmp_path / "artifacts" / "covers"
    covers.rename(tmp_path / "unmounted")
    covers.mkdir()
    assert albo_line("embed", "--json").objects[0]["skipped"] == 12
    covers.rmdir()
    (tmp_path / "unmounted").rename(covers)
    server.art_fetched.clear()
    fetched = server.art_fetched
    assert albo_line(*harvest_words(server)).code == 0
    assert server.art_fetched == fetched
    check_whole(tmp_path / "artifacts", server)


def test_a_limit_says_nothing_of_what_is_in_the_store(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer], samples: Path
) -> None:
    large = (samples / "labels.csv").read_bytes()
    cover = server.albums[0].artwork() + large * (1 + (1 << 20) // len(large))
    server.albums[0] = replace(server.albums[0], artwork=lambda: cover)
    with ChartServer(server.albums) as heavier:
        albo_line(*harvest_words(heavier))
    before = rows_of(tmp_path / "artifacts")
    said = albo_line("embed", "--max-mib", "1", "--json")
    assert said.objects[0]["skipped"] == 1
    assert rows_of(tmp_path / "artifacts") == before
    assert albo_line("embed", "--json").objects[0]["embedded"] == 1


@pytest.mark.whole
def test_what_another_catalog_says_of_a_file_is_not_believed(
    tmp_path: Path, samples: Path, albo_line: Callable[..., Answer]
) -> None:
    mine, other = sorted((samples / "covers").rglob("*.jpg"))[:2]
    albo_line("embed", mine, other)
    claimed = Album("itunes", "1", str(mine), digest_of(other.read_bytes()))
    with open_catalog(tmp_path / "hostile.sqlite", write=True) as catalog:
        catalog.upsert([claimed])
    assert albo_line("embed", "sqlite:///hostile.sqlite").code == 0
    with SqliteCatalog(tmp_path / "artifacts" / "catalog.sqlite") as catalog:
        found = {album.digest for album in catalog.at([str(mine)])}
    assert found == {digest_of(mine.read_bytes())}


def test_a_file_of_a_catalog_is_one_source_from_anywhere(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server, "--catalog", "other.sqlite"))
    (tmp_path / "below").mkdir()
    where = ("--artifacts", tmp_path / "artifacts")
    albo_line("embed", "sqlite:///other.sqlite", *where)
    albo_line("embed", "sqlite:///../other.sqlite", *where, cwd=tmp_path / "below")
    (status,) = albo_line("status", "--json").objects
    assert status["sources"] == {f"sqlite:///{tmp_path}/other.sqlite": 12}
    assert albo_line("forget", "sqlite:///other.sqlite").code == 0


def test_a_harvest_forgotten_by_name_comes_again(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server))
    assert albo_line("forget", "itunes", "--json").objects[0]["albums"] == 12
    assert not rows_of(tmp_path / "artifacts")
    assert albo_line(*harvest_words(server, "--json")).objects[-1]["new"] == 12
    check_whole(tmp_path / "artifacts", server)


def test_an_embedding_leaves_to_a_harvest_what_is_a_harvests(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server))
    before = rows_of(tmp_path / "artifacts")
    assert albo_line("embed", "--json").objects[0]["embedded"] == 12
    covers = tmp_path / "artifacts" / "covers"
    albo_line("embed", covers, "--genre", "none")
    assert rows_of(tmp_path / "artifacts") == before
    with SqliteCatalog(tmp_path / "artifacts" / "catalog.sqlite", write=True) as catalog:
        catalog.mark_missing("itunes", before)
    albo_line(*harvest_words(server))
    assert not any(row.missing for row in rows_of(tmp_path / "artifacts").values())


def test_covers_that_were_moved_or_removed_are_seen_to(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server))
    (tmp_path / "artifacts").rename(tmp_path / "moved")
    where = ("--artifacts", tmp_path / "moved")
    assert "let `albo harvest` look for its covers" in albo_line("embed", *where).err
    fetched = server.art_fetched
    assert albo_line(*harvest_words(server), *where).code == 0
    assert server.art_fetched == fetched, "they are found where they are"
    check_whole(tmp_path / "moved", server)
    assert albo_line("embed", "--json", *where).objects[0]["embedded"] == 12
    shutil.rmtree(tmp_path / "moved" / "covers")
    assert albo_line(*harvest_words(server, "--json"), *where).objects[-1]["covers"] == 12
    check_whole(tmp_path / "moved", server)


def test_another_catalog_is_a_source_of_covers(
    tmp_path: Path, server: ChartServer, mongodb: str, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server, "--catalog", mongodb))
    assert "0 covers" in albo_line("status").out
    (done,) = albo_line("embed", mongodb, "--json").objects
    assert (done["seen"], done["embedded"]) == (12, 12)
    shutil.rmtree(tmp_path / "artifacts" / "covers")
    (again,) = albo_line("embed", mongodb, "--json").objects
    assert (again["known"], again["skipped"], again["missing"]) == (12, 0, 0), "nothing is read"
    (status,) = albo_line("status", "--json").objects
    assert status["sources"] == {mongodb: 12}
    assert status["genres"] == {"Country": 12}
    with open_catalog(mongodb, write=True) as catalog:
        catalog.forget(list(catalog.albums())[:2])
    assert albo_line("embed", mongodb, "--json").objects[0]["missing"] == 2
    assert albo_line("forget", mongodb).code == 0
    same = albo_line("embed", mongodb, "--catalog", mongodb)
    assert same.code == 2
    assert "is the catalog that would be written" in same.err


def test_a_damaged_or_lost_cover_is_skipped_and_fetched_again(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    albo_line(*harvest_words(server))
    first, second, *_ = sorted((tmp_path / "artifacts" / "covers").rglob("*.jpg"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    said = albo_line("embed", "--json")
    assert said.code == 1
    assert said.objects[0]["skipped"] == 2
    assert said.err.count("albo harvest") == 2
    assert albo_line(*harvest_words(server, "--json")).objects[-1]["covers"] == 2
    assert albo_line("embed", "--json").objects[0]["embedded"] == 2
    check_whole(tmp_path / "artifacts", server)


# --- artwork -------------------------------------------------------------------------------------


@pytest.mark.whole
def test_smaller_artwork_where_there_is_no_larger(tmp_path: Path, server: ChartServer) -> None:
    server.fail(ART, faults.status(404))
    run_harvest(tmp_path, server)
    check_whole(tmp_path, server)
    kept = [row.listing.art_kept for row in rows_of(tmp_path).values() if row.listing]
    assert all(url.endswith("/600x600bb.jpg") for url in kept)


@pytest.mark.whole
def test_smaller_artwork_where_the_server_fails_at_the_larger(
    tmp_path: Path, server: ChartServer
) -> None:
    server.fail(ART, faults.status(500))
    assert run_harvest(tmp_path, server).total.failed == 0
    check_whole(tmp_path, server)


@pytest.mark.whole
def test_artwork_that_fails_hides_no_other(tmp_path: Path, server: ChartServer) -> None:
    server.fail(r"00000000[1-8]\.jpg/", faults.status(403))
    for _ in range(2):
        run_harvest(tmp_path, server)
    rows = rows_of(tmp_path).values()
    assert sum(row.album.digest is not None for row in rows) == 4
    assert any(row.listing.art_error == "403 Forbidden" for row in rows if row.listing)


@pytest.mark.whole
def test_charts_that_fail_hide_no_others(tmp_path: Path, server: ChartServer) -> None:
    server.fail(r"genre=10(33|34|35|36|37)/", faults.status(500))
    run_harvest(tmp_path, server)
    assert not any("genre=1043" in path for path in server.seen)
    assert run_harvest(tmp_path, server).total.failed == 5
    assert any("genre=1043" in path for path in server.seen)
    server.faults.clear()
    assert run_harvest(tmp_path, server).total.failed == 0
    check_whole(tmp_path, server)


@pytest.mark.whole
def test_artwork_as_given_where_there_is_nothing_else(tmp_path: Path, server: ChartServer) -> None:
    server.fail(r"\d00x\d00bb\.jpg$|1000x1000", faults.body(b"<html>", "image/jpeg"))
    run_harvest(tmp_path, server)
    check_whole(tmp_path, server)
    kept = [row.listing.art_kept for row in rows_of(tmp_path).values() if row.listing]
    assert all(url.endswith("/170x170bb.png") for url in kept)


@pytest.mark.whole
def test_the_size_is_an_option(tmp_path: Path, server: ChartServer) -> None:
    run_harvest(tmp_path, server, art_size=300)
    assert all("300x300bb.jpg" in path for path in server.art_fetched)


@pytest.mark.whole
def test_what_is_no_image_is_not_stored(tmp_path: Path, server: ChartServer) -> None:
    server.fail("bb", faults.body(b"<html>no such album</html>", "image/jpeg"))
    (tally,) = run_harvest(tmp_path, server).tallies
    assert (tally.covers, tally.failed) == (0, 12)
    assert not covers_of(tmp_path)
    row = next(iter(rows_of(tmp_path).values()))
    assert row.album.digest is None
    assert row.listing is not None
    assert "HTML" in row.listing.art_error
    server.faults.clear()
    assert run_harvest(tmp_path, server).total.covers == 12
    check_whole(tmp_path, server)


@pytest.mark.whole
def test_an_image_of_another_type_than_said_is_kept_for_what_it_is(
    tmp_path: Path, samples: Path, server: ChartServer
) -> None:
    cover = next((samples / "covers").rglob("*.jpg"))
    server.fail(ART, faults.body(cover.read_bytes(), "text/html"))
    assert run_harvest(tmp_path, server).total.covers == 12
    assert list(covers_of(tmp_path).values()) == [cover.read_bytes()]


@pytest.mark.whole
def test_artwork_from_elsewhere_is_not_asked_for(tmp_path: Path, albums: list[Served]) -> None:
    with ChartServer(albums) as server, ChartServer(albums) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        server.fail("bb", lambda h: h.answer(302, b"", "", {"Location": elsewhere + h.path}))
        (tally,) = run_harvest(tmp_path, server).tallies
        assert tally.failed == 12
        assert "localhost" in str(tally.reasons)
        server.faults.clear()
        server.fail(CHART, lambda h: h.answer(302, b"", "", {"Location": elsewhere + h.path}))
        tally = run_harvest(tmp_path / "fresh", server).total
        assert tally.failed == 1
        assert not other.seen


# --- faults --------------------------------------------------------------------------------------

FAULTS = {
    "403": faults.status(403),
    "429": faults.status(429),
    "429 with a pause": faults.status(429, Retry_After="0"),
    "500": faults.status(500),
    "503 with a pause": faults.status(503, Retry_After="1"),
    "slow drip": faults.drip(0.05),
    "silence": faults.hang(1.5),
    "reset": faults.reset,
    "truncated": faults.cut(0.5),
    "a web page": faults.body(b"<!DOCTYPE html><p>Log in to the hotel's network", "text/html"),
    "nothing": faults.body(b"", "text/plain"),
    "not found": faults.status(404),
    "300 MB": faults.endless(300, stated=True),
    "300 MB, not stated": faults.endless(300, stated=False),
}


@pytest.mark.whole
@pytest.mark.parametrize("where", [CHART, "bb"], ids=["chart", "artwork"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_loses_nothing(
    tmp_path: Path, server: ChartServer, fault: str, where: str
) -> None:
    server.fail(where, FAULTS[fault])
    done = run_harvest(tmp_path, server, attempts=2)
    assert done.total.failed
    assert not covers_of(tmp_path)
    server.faults.clear()
    assert not run_harvest(tmp_path, server, timeout=10.0).total.failed
    check_whole(tmp_path, server)


@pytest.mark.whole
@pytest.mark.parametrize("where", [CHART, ART], ids=["chart", "artwork"])
@pytest.mark.parametrize(
    "fault", ["403", "429", "429 with a pause", "500", "503 with a pause", "slow drip", "reset"]
)
def test_a_fault_that_passes_is_not_even_seen(
    tmp_path: Path, server: ChartServer, fault: str, where: str
) -> None:
    server.fail(where, FAULTS[fault], times=2)
    assert not run_harvest(tmp_path, server, attempts=4).total.failed
    check_whole(tmp_path, server)


@pytest.mark.whole
def test_a_server_that_is_down_is_given_up_soon(tmp_path: Path, server: ChartServer) -> None:
    server.fail("", faults.status(503))
    started = time.monotonic()
    done = run_harvest(tmp_path, server, "all")
    assert time.monotonic() - started < 5
    assert done.total.failed == 252
    assert sum(server.seen.values()) <= 5 * 3
    server.faults.clear()
    assert not run_harvest(tmp_path, server, "all").total.failed
    check_whole(tmp_path, server)


@pytest.mark.whole
def test_nobody_there_at_the_start(
    tmp_path: Path, albums: list[Served], albo_line: Callable[..., Answer]
) -> None:
    with ChartServer(albums) as server:
        pass
    said = albo_line(*harvest_words(server))
    assert said.code == 1
    assert "connection refused" in said.err
    with ChartServer(albums, port=server.port) as server:
        assert albo_line(*harvest_words(server)).code == 0
        check_whole(tmp_path / "artifacts", server)


@pytest.mark.whole
def test_the_server_goes_away_in_the_middle(
    tmp_path: Path, albums: list[Served], albo_line: Callable[..., Answer]
) -> None:
    with ChartServer(albums) as server:
        server.fail(ART, faults.status(500)).times = None
        server.faults[-1].pattern = r"0000(0[5-9]|1\d)\.jpg/"  # all but the first four
        said = albo_line(*harvest_words(server))
        assert said.code == 1
        assert "500" in said.err
        before = server.art_fetched
    assert before
    with ChartServer(albums, port=server.port) as again:
        assert albo_line(*harvest_words(again)).code == 0
        assert not before.keys() & again.art_fetched.keys()
        check_whole(tmp_path / "artifacts", again)


# --- stops ---------------------------------------------------------------------------------------


def start(server: ChartServer, folder: Path, *more: str, **env: str) -> subprocess.Popen[str]:
    """Run the command as a process of its own."""
    words = [*harvest_words(server, *more), "--artifacts", str(folder)]
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", "from albo.cli import main; main()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "120", **env},
    )


@contextmanager
def started(server: ChartServer, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command as a process of its own, and kill it at the end at the latest."""
    with start(server, folder) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(there: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("covers", [0, 1, 5, 11])
def test_killed_at_any_moment(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer], covers: int
) -> None:
    slow = server.fail("bb", _slow_body)
    with started(server, tmp_path) as process:
        wait_until(lambda: server.art_fetched.total() > covers)
        process.kill()
    stored = {bytes.fromhex(name[:64]) for name in covers_of(tmp_path) if len(name) > 64}
    slow.times = 0
    assert albo_line(*harvest_words(server), "--artifacts", tmp_path).code == 0
    check_whole(tmp_path, server)
    for path, times in server.art_fetched.items():
        was_stored = digest_of(server.body_of(path)[0]) in stored
        assert times == 1 or not was_stored, "what was stored is not fetched again"


def _slow_body(handler: faults.Handler) -> None:
    time.sleep(0.1)
    data, kind = handler.true_body()
    handler.answer(200, data, kind)
    handler.server.charts.answered[handler.path] += 1


def test_charts_that_were_read_before_a_kill_are_not_asked_for_again(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    server.fail("genre=1038", faults.hang(60), times=1)
    with started(server, tmp_path) as process:
        wait_until(lambda: any("genre=1038" in path for path in server.seen))
        wait_until(lambda: tmp_path.exists() and len(_feeds(tmp_path)) == 6)
        process.kill()
    server.answered.clear()
    server.seen.clear()
    said = albo_line(*harvest_words(server), "--artifacts", tmp_path)
    assert said.code == 0
    assert "going on from where a run stopped: 6 of 12 charts" in said.err
    assert len([path for path in server.seen if "/rss/" in path]) == 6
    check_whole(tmp_path, server)


def _feeds(root: Path) -> dict[str, Any]:
    with SqliteCatalog(root / "catalog.sqlite") as catalog:
        return catalog.feeds()


def test_stopped_by_the_user(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer]
) -> None:
    slow = server.fail("bb", _slow_body)
    with started(server, tmp_path) as process:
        wait_until(lambda: server.art_fetched.total() > 9)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - begun < 5
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("albo: stopped; what was done is kept")
    assert covers_of(tmp_path), "what had come is stored"
    slow.times = 0
    assert albo_line(*harvest_words(server), "--artifacts", tmp_path).code == 0
    assert max(server.art_fetched.values()) <= 2
    check_whole(tmp_path, server)


# --- the store and the catalog -------------------------------------------------------------------


class _FullStore(FolderCovers):
    """A store that takes so many covers, and then no more."""

    room = 5

    def put(self, digest: bytes, data: bytes, kind: str) -> str:
        if self.room <= 0:
            raise CannotWrite("the disk is full; free some space and run it again")
        self.room -= 1
        return super().put(digest, data, kind)


@pytest.mark.whole
def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path: Path, server: ChartServer) -> None:
    settings = quick(server)
    plan = settings.plan()
    with SqliteCatalog(tmp_path / "catalog.sqlite", write=True) as catalog:
        store = _FullStore(tmp_path / "covers")
        run = Harvest(plan, catalog, store, *settings.downloads(plan))
        with pytest.raises(CannotWrite, match="the disk is full"):
            run.run()
    assert len([row for row in rows_of(tmp_path).values() if row.album.digest]) == 5
    assert not run_harvest(tmp_path, server).total.failed
    check_whole(tmp_path, server)


@pytest.mark.whole
def test_a_store_that_refuses_one_cover_takes_the_others(
    tmp_path: Path, server: ChartServer
) -> None:
    class Moody(FolderCovers):
        refused = 0

        def put(self, digest: bytes, data: bytes, kind: str) -> str:
            if not self.refused:
                self.refused += 1
                raise CannotWrite("cannot write: busy; run it again")
            return super().put(digest, data, kind)

    settings = quick(server)
    plan = settings.plan()
    with SqliteCatalog(tmp_path / "catalog.sqlite", write=True) as catalog:
        done = Harvest(plan, catalog, Moody(tmp_path / "covers"), *settings.downloads(plan)).run()
    assert (done.total.covers, done.total.failed) == (11, 1)
    assert run_harvest(tmp_path, server).total.covers == 1
    check_whole(tmp_path, server)


@pytest.mark.whole
def test_a_store_that_is_given_up_leaves_no_cover_unrecorded(
    tmp_path: Path, server: ChartServer
) -> None:
    """Several covers are stored at once: some may arrive after the refusals that end the run."""

    class Late(FolderCovers):
        calls = 0

        def put(self, digest: bytes, data: bytes, kind: str) -> str:
            Late.calls += 1
            if Late.calls <= 3:
                raise CannotWrite("cannot write: access denied; allow it")
            time.sleep(0.3)
            return super().put(digest, data, kind)

    settings = quick(server)
    plan = settings.plan()
    store = Late(tmp_path / "covers")
    with SqliteCatalog(tmp_path / "catalog.sqlite", write=True) as catalog:
        run = Harvest(plan, catalog, store, *settings.downloads(plan))
        with pytest.raises(CannotWrite, match="access denied"):
            run.run()
    recorded = [row.album.digest for row in rows_of(tmp_path).values() if row.album.digest]
    assert recorded
    assert sorted(recorded) == sorted(store.digests())
    assert not run_harvest(tmp_path, server).total.failed
    check_whole(tmp_path, server)


# --- on servers ----------------------------------------------------------------------------------


def s3_words(s3: S3, prefix: str) -> tuple[str, ...]:
    return ("--covers", f"s3://{s3.bucket}/{prefix}", "--s3-endpoint", s3.endpoint)


def test_covers_go_to_s3_and_are_embedded_from_there(
    tmp_path: Path, server: ChartServer, s3: S3, albo_line: Callable[..., Answer]
) -> None:
    words = s3_words(s3, f"covers-{uuid4().hex}")
    assert albo_line(*harvest_words(server, *words), **s3.env).code == 0
    row = next(iter(rows_of(tmp_path / "artifacts").values()))
    assert row.album.digest is not None
    assert row.album.uri == f"{words[1]}/{row.album.digest.hex()}"
    again = albo_line(*harvest_words(server, *words, "--json"), **s3.env).objects[-1]
    assert (again["known"], again["covers"], again["failed"]) == (12, 0, 0)
    (done,) = albo_line("embed", "--s3-endpoint", s3.endpoint, "--json", **s3.env).objects
    assert (done["embedded"], done["skipped"]) == (12, 0)
    local = [path for path in (tmp_path / "artifacts").rglob("*") if path.suffix == ".jpg"]
    assert not local, "no copy is made"


def test_s3_goes_away_in_the_middle(
    tmp_path: Path, server: ChartServer, s3: S3, albo_line: Callable[..., Answer]
) -> None:
    slow = server.fail("bb", _slow_body)
    with running_s3() as endpoint:
        make_bucket(endpoint, "albo-covers")
        gone = S3(endpoint, "albo-covers", S3_ENV)
        process = start(server, tmp_path, *s3_words(gone, "x"), **S3_ENV)
        wait_until(lambda: server.art_fetched.total() > 2)
    with process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"cannot write to s3://albo-covers/x: {endpoint}" in err
    slow.times = 0
    words = s3_words(s3, f"covers-{uuid4().hex}")
    said = albo_line(*harvest_words(server, *words), "--artifacts", tmp_path, **s3.env)
    assert said.code == 0
    (done,) = albo_line(
        "embed", "--s3-endpoint", s3.endpoint, "--artifacts", tmp_path, "--json", **s3.env
    ).objects
    assert done["embedded"] == 12


@pytest.mark.parametrize("allowed", [0, 1, 5])
def test_s3_refuses_a_write(
    tmp_path: Path,
    *,
    server: ChartServer,
    s3: S3,
    albo_line: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
    allowed: int,
) -> None:
    prefix = f"covers-{uuid4().hex}"
    written: list[str] = []

    def refuses(method: str, path: str) -> bool:
        if method != "PUT" or "albo-check" in path:
            return False
        written.append(path)
        return len(written) > allowed

    with moody(s3.endpoint, refuses) as endpoint:
        words = ("--covers", f"s3://{s3.bucket}/{prefix}", "--s3-endpoint", endpoint)
        said = albo_line(*harvest_words(server, *words), **s3.env)
        assert said.code == 1
        assert "access denied; allow these credentials s3:PutObject" in said.err
    words = s3_words(s3, prefix)
    use_only(s3.env, monkeypatch)
    store = open_covers(words[1], endpoint=s3.endpoint)
    # Which covers these are, and whether the run was given up, depends on the order of threads.
    rows = rows_of(tmp_path / "artifacts").values()
    kept = [row.album.digest for row in rows if row.album.digest]
    assert len(kept) == allowed
    assert sorted(kept) == sorted(store.digests())
    assert albo_line(*harvest_words(server, *words), **s3.env).code == 0
    stored = list(store.digests())
    assert sorted(stored) == sorted(digest_of(album.artwork()) for album in server.albums)


def test_killed_at_any_moment_on_servers(
    tmp_path: Path,
    *,
    server: ChartServer,
    s3: S3,
    mongodb: str,
    albo_line: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_only(s3.env, monkeypatch)
    words = (*s3_words(s3, f"covers-{uuid4().hex}"), "--catalog", mongodb)
    store = open_covers(words[1], endpoint=s3.endpoint)
    slow = server.fail("bb", _slow_body)
    for covers in (0, 3, 9):
        with start(server, tmp_path, *words, **s3.env) as process:
            wait_until(lambda n=covers, p=process: len(set(store.digests())) > n or p.poll() == 0)
            process.kill()
    slow.times = 0
    stored, fetched = set(store.digests()), server.art_fetched
    assert albo_line(*harvest_words(server, *words), **s3.env).code == 0
    assert set(store.digests()) == {digest_of(album.artwork()) for album in server.albums}
    for path, times in server.art_fetched.items():
        assert times == fetched[path] or digest_of(server.body_of(path)[0]) not in stored
    with open_catalog(mongodb) as catalog:
        rows = list(catalog.rows("itunes"))
    assert len(rows) == 12
    assert not any(row.awaits_cover for row in rows)


def test_no_such_bucket(
    tmp_path: Path, server: ChartServer, s3: S3, albo_line: Callable[..., Answer]
) -> None:
    words = ("--covers", "s3://albo-nowhere/x", "--s3-endpoint", s3.endpoint)
    said = albo_line(*harvest_words(server, *words), **s3.env)
    assert said.code == 1
    assert "no such bucket" in said.err
    assert not server.seen, "nobody is asked for what cannot be kept"
    assert albo_line(*harvest_words(server)).code == 0
    check_whole(tmp_path / "artifacts", server)


@pytest.mark.parametrize("covers", [1, 8])
def test_mongodb_goes_away_in_the_middle(
    tmp_path: Path, server: ChartServer, albo_line: Callable[..., Answer], covers: int
) -> None:
    slow = server.fail("bb", _slow_body)
    (tmp_path / "mongodb").mkdir()
    with mongodb_server(tmp_path / "mongodb") as mongodb:
        where = f"{mongodb.uri}/albo?serverSelectionTimeoutMS=1000"
        process = start(server, tmp_path / "a", "--catalog", where)
        wait_until(lambda: server.art_fetched.total() > covers)
        mongodb.kill()
        with process:
            _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "albo: cannot reach MongoDB at mongodb://127.0.0.1" in err.splitlines()[-1]
    stored = {digest_of(data) for data in covers_of(tmp_path / "a").values()}
    slow.times = 0
    with mongodb_server(tmp_path / "mongodb") as mongodb:
        words = ("--catalog", f"{mongodb.uri}/albo", "--artifacts", tmp_path / "a")
        assert albo_line(*harvest_words(server), *words).code == 0
        (done,) = albo_line("embed", *words[:2], "--artifacts", tmp_path / "a", "--json").objects
    assert (done["embedded"], done["skipped"]) == (12, 0)
    assert len(covers_of(tmp_path / "a")) == 12
    for path, times in server.art_fetched.items():
        assert times == 1 or digest_of(server.body_of(path)[0]) not in stored


@pytest.mark.long
def test_the_whole_chain(
    samples: Path, kept_aside: list[str], mongodb: str, s3: S3, albo_line: Callable[..., Answer]
) -> None:
    """Charts → MongoDB and S3 → vectors → a head → an answer; then again, with nothing to do."""
    with ChartServer(served_covers(samples / "labels.csv")) as server:
        env = {
            **s3.env,
            "ALBO_ITUNES_URL": server.url,
            "ALBO_CATALOG": mongodb,
            "ALBO_COVERS": f"s3://{s3.bucket}/chain-{uuid4().hex}",
            "AWS_ENDPOINT_URL_S3": s3.endpoint,
        }
        words = ("harvest", "--genre", "all", "--rate", "0", "--art-rate", "0", "--json")
        total = albo_line(*words, **env).objects[-1]
        assert (total["listed"], total["covers"], total["failed"]) == (300, 300, 0)
        total = albo_line(*words, **env).objects[-1]
        assert (total["new"], total["known"], total["covers"]) == (0, 300, 0)
        assert max(server.art_fetched.values()) == 1
    (embedded,) = albo_line("embed", "--json", **env).objects
    assert (embedded["embedded"], embedded["skipped"], embedded["indexed"]) == (300, 0, 300)
    assert albo_line("embed", "--json", **env).objects[0]["embedded"] == 0
    (trained,) = albo_line("train", "--seeds", "1", "--json", **env).objects
    assert trained["covers"] == 300
    assert trained["top1"]["value"] > 0.9
    (answer,) = albo_line("classify", kept_aside[0], "--json", **env).objects
    assert answer["decided"]
    (near,) = albo_line("similar", kept_aside[0], "-k", "1", "--json", **env).objects
    assert near["neighbours"][0]["uri"].startswith(env["ALBO_COVERS"])
    assert near["neighbours"][0]["genre"] == answer["predictions"][0]["genre"]
