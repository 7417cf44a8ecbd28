"""The harvest: covers and albums a second from a local server without a rate limit, and memory."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from albo.catalog.sqlite import SqliteCatalog
from albo.records import Album, CatalogRow, Listing
from benchmarks.covers import large_covers, workspace
from benchmarks.measure import Finished, Sample, albo_command, interleave, interpreter, run_command
from benchmarks.reembed import draw_covers
from benchmarks.results import Row, Section, at_least, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.covers import Workspace
    from benchmarks.options import Options

COVERS_A_SECOND = 300.0
ALBUMS_A_SECOND = 5_000.0
MOST_SECONDS = 10.0
MOST_GROWTH = 1.25
_CHART = 200
_PLAIN = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import requests
url, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=8))
def fetch(number):
    answer = session.get(f"{url}/art/{number}.jpg/1000x1000bb.jpg", timeout=60)
    (folder / f"{number}.jpg").write_bytes(answer.content)
with ThreadPoolExecutor(8) as pool:
    list(pool.map(fetch, range(count)))
"""


def run(options: Options) -> Section:
    """Time the harvest of large covers, of albums alone, of many small covers, and of no news."""
    with workspace() as here:
        rows = [
            *_covers(here, options),
            *_albums(options),
            *_many(here, options),
        ]
    remarks = [
        "Server and harvest share the machine's cores; the server answers from memory and is a"
        " process of its own. Covers are the 1000 px covers of itunes36 with a number after their"
        " end marker, so that each is another; the harvest decodes each, to see that it is whole,"
        " hashes it, writes it under its digest and writes down what it is. The plain loop beside"
        " it fetches the same URLs by `requests` in eight threads and writes them under a number.",
        "The many albums have drawn covers of 64 px.",
    ]
    return Section(
        "harvest: charts and covers",
        rows,
        remarks,
        ("requests", "urllib3", "simplejpeg", "pyrate-limiter", "tenacity"),
    )


@contextmanager
def shop(charts: int, covers: Path | None) -> Iterator[str]:
    """Run a server of that many charts as a process of its own, and give its address."""
    words = [interpreter(), "-m", "benchmarks.shop", str(charts), str(_CHART), str(covers or "-")]
    with subprocess.Popen(  # noqa: S603  ourselves
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None  # noqa: S101
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def _harvest(
    here: Workspace, url: str, artifacts: Path, genres: tuple[str, ...] = ("all",)
) -> Finished:
    named = [word for genre in genres for word in ("--genre", genre)]
    words = ["harvest", *named, "--base-url", url, "--rate", "0", "--art-rate", "0"]
    place = ["--artifacts", artifacts, "--json", "--quiet"]
    return run_command([albo_command(), *words, *place], here.environment())


def _total(done: Finished, **expected: int) -> None:
    """Raise ValueError where a harvest did not do what was to be timed."""
    total = json.loads(done.stdout.splitlines()[-1])
    found = {name: total[name] for name in expected}
    if found != expected or total["failed"]:
        raise ValueError(f"the harvest found {total}, expected {expected}")


def _covers(here: Workspace, options: Options) -> list[Row]:
    charts = options.pick(15, 8)
    count = charts * _CHART
    genres = ("2", "3", "4") if charts == 15 else ("2",)  # noqa: PLR2004  what has so many charts
    folder = here.folder / "large"
    folder.mkdir()
    for number, cover in enumerate(large_covers()[: options.pick(200, 20)]):
        (folder / f"{number:03}.jpg").symlink_to(cover)
    with shop(charts, folder) as url:

        def albo() -> float:
            os.sync()  # what was written before is not written to the disk meanwhile
            with tempfile.TemporaryDirectory(dir=here.folder) as artifacts:
                done = _harvest(here, url, Path(artifacts), genres)
            _total(done, new=count, covers=count)
            return count / done.seconds

        def plain() -> float:
            os.sync()
            with tempfile.TemporaryDirectory(dir=here.folder) as target:
                words = [interpreter(), "-c", _PLAIN, url, str(count), target]
                return count / run_command(words).seconds

        rates = interleave({"albo": albo, "plain": plain}, options.pick(5, 1))
    return [
        Row(
            f"covers a second into a folder: {count:,} covers in {charts} charts, whole command;"
            " beside it a plain loop that checks nothing",
            rates["albo"].show(0),
            rates["plain"].show(0),
            rates["albo"].over(rates["plain"]).show(2, "x"),
            at_least(rates["albo"].median, COVERS_A_SECOND, f"≥ {COVERS_A_SECOND:g}"),
        )
    ]


def _albums(options: Options) -> list[Row]:
    count = options.pick(40_000, 2_000)
    rows = [_row(number) for number in range(count)]
    texts = [(row.album.album_id, str(row)) for row in rows]

    def albo() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return count / _seconds_to_put(rows, Path(folder) / "catalog.sqlite")

    def plain() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return count / _seconds_to_insert(texts, Path(folder) / "plain.sqlite")

    rates = interleave({"albo": albo, "plain": plain}, options.pick(5, 1))
    return [
        Row(
            f"album upserts a second into SQLite: {count:,} albums, {_CHART} at a time, looked up"
            " and written with all that charts say; beside it a table of two columns",
            rates["albo"].show(0),
            rates["plain"].show(0),
            rates["albo"].over(rates["plain"]).show(2, "x"),
            at_least(rates["albo"].median, ALBUMS_A_SECOND, f"≥ {ALBUMS_A_SECOND:,.0f}"),
        )
    ]


def _seconds_to_put(rows: list[CatalogRow], file: Path) -> float:
    with SqliteCatalog(file, write=True) as catalog:
        started = time.perf_counter()
        for start in range(0, len(rows), _CHART):
            chart = rows[start : start + _CHART]
            list(catalog.rows("itunes", [row.album.album_id for row in chart]))
            catalog.put(chart)
        return time.perf_counter() - started


def _seconds_to_insert(texts: list[tuple[str, str]], file: Path) -> float:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE albums (id TEXT PRIMARY KEY, said TEXT)")
        insert = "INSERT OR REPLACE INTO albums VALUES (?, ?)"
        started = time.perf_counter()
        for start in range(0, len(texts), _CHART):
            with connection:
                connection.executemany(insert, texts[start : start + _CHART])
        return time.perf_counter() - started


def _row(number: int) -> CatalogRow:
    art = f"https://is5-ssl.mzstatic.com/image/thumb/Music/v4/{number:064}.jpg/170x170bb.png"
    album = Album(
        "itunes",
        str(1_000_000_000 + number),
        art,
        genre="Rock",
        name=f"A Name of Usual Length, Volume {number}",
        artist=f"Artist {number // 3}",
        artist_id=str(number // 3),
        year=2018,
    )
    when = "2026-01-01T00:00:00.000+00:00"
    charts = {"us/21": number % _CHART + 1}
    link = f"https://music.apple.com/us/album/a-name-of-usual-length/{album.album_id}?uo=2"
    listing = Listing(charts, 21, "Rock", "us", "2018-09-07", link, when, when, art)
    return CatalogRow(album, listing)


def _many(here: Workspace, options: Options) -> list[Row]:
    """Harvest few and many albums with small covers; then again, with nothing new."""
    few, many = options.pick(10, 1), options.pick(200, 4)
    folder = here.folder / "small"
    draw_covers(folder, 500)
    first: dict[int, Finished] = {}
    again: list[float] = []
    for charts in (few, many):
        artifacts = here.folder / f"artifacts-{charts}"
        count = charts * _CHART
        with shop(charts, folder) as url:
            first[charts] = _harvest(here, url, artifacts)
            _total(first[charts], new=count, covers=count)
            for _ in range(options.pick(3, 1) if charts == many else 0):
                done = _harvest(here, url, artifacts)
                _total(done, new=0, known=count, covers=0)
                again.append(done.seconds)
    growth = first[many].peak_mib / first[few].peak_mib
    return [
        Row(
            f"peak memory at {few * _CHART:,} and {many * _CHART:,} albums",
            f"{first[few].peak_mib:.0f} MiB, {first[many].peak_mib:.0f} MiB",
            ratio=f"{growth:.2f}x",
            target=at_most(growth, MOST_GROWTH, "flat"),
        ),
        Row(
            f"a first run over {many * _CHART:,} albums with small covers, whole command",
            f"{first[many].seconds:.0f} s",
        ),
        Row(
            f"a second run over the unchanged charts of {many * _CHART:,} albums, which the server"
            " sends whole each time; no cover fetched",
            Sample(tuple(again)).show(1, " s"),
            target=at_most(Sample(tuple(again)).median, MOST_SECONDS, f"≤ {MOST_SECONDS:g} s"),
        ),
    ]
