"""The catalog in a SQLite file."""

from __future__ import annotations

import json
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from albo.catalog.catalog import Catalog
from albo.catalog.database import Database
from albo.records import Album, CatalogRow, Feed, Listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from albo.catalog.tables import Among, Where
    from albo.records import Digest


_MIGRATIONS = (
    """
    CREATE TABLE albums (
        source TEXT NOT NULL,
        album_id TEXT NOT NULL,
        uri TEXT NOT NULL,
        digest BLOB,
        genre TEXT NOT NULL,
        subgenre TEXT NOT NULL,
        name TEXT NOT NULL,
        artist TEXT NOT NULL,
        artist_id TEXT NOT NULL,
        year INTEGER,
        dup_group TEXT NOT NULL,
        missing INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (source, album_id)
    ) WITHOUT ROWID;
    CREATE INDEX albums_by_digest ON albums (digest) WHERE missing = 0;
    CREATE INDEX albums_by_uri ON albums (uri)
    """,
    # Covers, also those of a genre, are read from the index alone: rows are ten times as long. If
    # it began with `missing`, SQLite would use it to find a file.
    """
    DROP INDEX albums_by_digest;
    CREATE INDEX albums_by_digest ON albums (digest, missing, genre)
    """,
    # Chart data has its own table: few albums have it, and reading all albums is faster when their
    # rows are short.
    """
    CREATE TABLE listings (
        source TEXT NOT NULL,
        album_id TEXT NOT NULL,
        charts TEXT NOT NULL,
        genre_id INTEGER,
        genre_name TEXT NOT NULL,
        storefront TEXT NOT NULL,
        released TEXT NOT NULL,
        link TEXT NOT NULL,
        first_seen TEXT NOT NULL,
        last_seen TEXT NOT NULL,
        art_url TEXT NOT NULL,
        art_kept TEXT NOT NULL,
        art_width INTEGER,
        art_height INTEGER,
        art_arriving BLOB,
        art_error TEXT NOT NULL,
        PRIMARY KEY (source, album_id)
    ) WITHOUT ROWID;
    CREATE TABLE feeds (
        url TEXT PRIMARY KEY,
        fetched TEXT NOT NULL,
        album_ids TEXT NOT NULL,
        etag TEXT NOT NULL,
        modified TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE runs (plan TEXT PRIMARY KEY, started TEXT NOT NULL) WITHOUT ROWID
    """,
)
_COLUMNS = tuple(field.name for field in fields(Album))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM albums"  # noqa: S608  names are the record's own
_UPSERT = (
    f"INSERT INTO albums ({', '.join(_COLUMNS)}, missing)"  # noqa: S608
    f" VALUES ({', '.join('?' * len(_COLUMNS))}, 0)"
    " ON CONFLICT (source, album_id) DO UPDATE SET missing = 0, "
    + ", ".join(f"{c} = excluded.{c}" for c in _COLUMNS[2:])
)
_LISTING_COLUMNS = tuple(field.name for field in fields(Listing))
_SELECT_ROWS = (
    f"SELECT {', '.join(f'albums.{name}' for name in _COLUMNS)}, missing,"  # noqa: S608
    f" {', '.join(_LISTING_COLUMNS)} FROM albums"
    " LEFT JOIN listings USING (source, album_id)"
)
_PUT_ALBUM = (
    f"INSERT OR REPLACE INTO albums ({', '.join(_COLUMNS)}, missing)"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
)
_PUT_LISTING = (
    f"INSERT OR REPLACE INTO listings (source, album_id, {', '.join(_LISTING_COLUMNS)})"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(_LISTING_COLUMNS) + 2))})"
)
_values = attrgetter(*_COLUMNS)
_said = attrgetter(*_LISTING_COLUMNS)
_key = attrgetter("source", "album_id")


class SqliteCatalog(Catalog):
    """The catalog in one SQLite file.

    Parameters
    ----------
    file
        The file; a missing one is made for writing.
    write
        Whether something will be written.
    """

    def __init__(self, file: Path, *, write: bool = False) -> None:
        super().__init__(SqliteTables(file, write=write))


class SqliteTables:
    """The tables of a catalog in one SQLite file: the primitives of `albo.catalog.tables.Tables`.

    All methods raise the errors of `albo.catalog.database.Database`. Each method writes in one
    transaction.

    Parameters
    ----------
    file
        The file; a missing one is made for writing.
    write
        Whether something will be written.
    """

    def __init__(self, file: Path, *, write: bool) -> None:
        self._database = Database(file, _MIGRATIONS, write=write)

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._database.close()

    # --- reading ---------------------------------------------------------------------------------

    def albums(self, where: Where, among: Among = None) -> Iterator[Album]:
        """Yield the matching albums; the index of `among`'s field finds them."""
        return (Album(*row) for row in self._find(_SELECT, where, among))

    def rows(self, where: Where, among: Among = None) -> Iterator[CatalogRow]:
        """Yield the matching albums, each joined with its chart data."""
        return map(_catalog_row, self._find(_SELECT_ROWS, where, among))

    def values(
        self, names: Sequence[str], where: Where, among: Among = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield a few columns of the matching albums."""
        return self._find(f"SELECT {', '.join(names)} FROM albums", where, among)  # noqa: S608

    def _find(self, select: str, where: Where, among: Among) -> Iterator[tuple[Any, ...]]:
        conditions = [f"{name} = ?" for name in where]
        given = tuple(where.values())
        if among is None:
            chosen = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            return self._database.rows(f"{select}{chosen} ORDER BY source, album_id", given)
        field, items = among
        conditions.append(f"{field} IN")
        return self._database.rows_in(f"{select} WHERE {' AND '.join(conditions)}", items, given)

    def digests(self, where: Where) -> set[Digest]:
        """Return the covers of the matching albums, from the index alone."""
        chosen = "".join(f" AND {name} = ?" for name in where)
        query = f"SELECT DISTINCT digest FROM albums WHERE digest IS NOT NULL{chosen}"  # noqa: S608
        return {digest for (digest,) in self._database.rows(query, tuple(where.values()))}

    def copied(self) -> Iterable[Digest]:
        """Return the covers that lie in several files by the albums that are not missing."""
        rows = self._database.rows(
            "SELECT digest FROM albums WHERE missing = 0 AND digest IS NOT NULL"
            " GROUP BY digest HAVING count(DISTINCT uri) > 1"
        )
        return (digest for (digest,) in rows)

    def genres(self) -> Mapping[str, int]:
        """Return the genres of albums that are not missing, each with its number of covers."""
        return dict(
            self._database.rows(
                "SELECT genre, count(DISTINCT digest) FROM albums"
                " WHERE missing = 0 AND digest IS NOT NULL AND genre != '' GROUP BY genre"
            )
        )

    def without_cover(self, source: str) -> Iterable[str]:
        """Return the albums of a source that await a cover: `CatalogRow.awaits_cover` in SQL.

        Charts list hundreds of thousands of albums: making records of all would take seconds.
        """
        query = (
            "SELECT album_id FROM listings JOIN albums USING (source, album_id) WHERE source = ?"
            " AND art_url != ''"
            " AND (art_kept = '' OR art_arriving IS NOT NULL OR digest IS NULL) ORDER BY album_id"
        )
        return (album_id for (album_id,) in self._database.rows(query, (source,)))

    def feeds(self, urls: Sequence[str] | None) -> Iterator[Feed]:
        """Yield the charts with these addresses, or all, sorted by address."""
        query = "SELECT url, fetched, album_ids, etag, modified FROM feeds"
        if urls is None:
            found = self._database.rows(f"{query} ORDER BY url")
        else:
            found = self._database.rows_in(f"{query} WHERE url IN", urls)
        for url, fetched, ids, etag, modified in found:
            yield Feed(url, fetched, tuple(json.loads(ids)), etag, modified)

    def runs(self) -> Mapping[str, str]:
        """Return when each unfinished harvest began, by plan."""
        return dict(self._database.rows("SELECT plan, started FROM runs"))

    # --- writing ---------------------------------------------------------------------------------

    def register(self, albums: Sequence[Album], digest_at: Mapping[str, Digest | None]) -> None:
        """Write albums as present, then the digests of their files: one UPDATE for each file."""
        with self._database.transaction() as transaction:
            transaction.executemany(_UPSERT, map(_values, albums))
            transaction.executemany(
                "UPDATE albums SET digest = ? WHERE uri = ? AND missing = 0 AND digest IS NOT ?",
                ((digest, uri, digest) for uri, digest in digest_at.items()),
            )

    def put(self, rows: Sequence[CatalogRow], feeds: Sequence[Feed]) -> None:
        """Replace all that was known by the rows, and write charts, in one transaction."""
        listed = [(row.album, row.listing) for row in rows if row.listing is not None]
        unlisted = [_key(row.album) for row in rows if row.listing is None]
        with self._database.transaction() as transaction:
            transaction.executemany(
                _PUT_ALBUM, ((*_values(row.album), row.missing) for row in rows)
            )
            transaction.executemany(
                "DELETE FROM listings WHERE source = ? AND album_id = ?", unlisted
            )
            transaction.executemany(
                _PUT_LISTING, ((*_key(album), *_listing_values(said)) for album, said in listed)
            )
            transaction.executemany(
                "INSERT OR REPLACE INTO feeds VALUES (?, ?, ?, ?, ?)", map(_feed_values, feeds)
            )

    def mark_missing(self, source: str, album_ids: Sequence[str]) -> int:
        """Mark albums as missing; return how many were not missing before."""
        with self._database.transaction() as transaction:
            before = transaction.total_changes
            transaction.executemany(
                "UPDATE albums SET missing = 1 WHERE source = ? AND album_id = ? AND missing = 0",
                ((source, album_id) for album_id in album_ids),
            )
            return transaction.total_changes - before

    def set_listing(self, source: str, album_ids: Sequence[str], field: str, value: str) -> None:
        """Set a column of the chart data of those albums that are in a chart."""
        with self._database.transaction() as transaction:
            transaction.executemany(
                f"UPDATE listings SET {field} = ? WHERE source = ? AND album_id = ?",  # noqa: S608
                ((value, source, album_id) for album_id in album_ids),
            )

    def remove(self, keys: Iterable[tuple[str, str]]) -> None:
        """Delete albums by source and album id, and their chart data."""
        gone = list(keys)
        with self._database.transaction() as transaction:
            for table in ("albums", "listings"):
                transaction.executemany(
                    f"DELETE FROM {table} WHERE source = ? AND album_id = ?",  # noqa: S608
                    gone,
                )

    def begin_run(self, plan: str, when: str) -> None:
        """Write down when a harvest began."""
        with self._database.transaction() as transaction:
            transaction.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (plan, when))

    def end_run(self, plan: str) -> None:
        """Delete a harvest."""
        with self._database.transaction() as transaction:
            transaction.execute("DELETE FROM runs WHERE plan = ?", (plan,))


def _catalog_row(row: tuple[Any, ...]) -> CatalogRow:
    width = len(_COLUMNS)
    album, missing, (charts, *said) = Album(*row[:width]), bool(row[width]), row[width + 1 :]
    listing = None if charts is None else Listing(json.loads(charts), *said)
    return CatalogRow(album, listing, missing)


def _listing_values(listing: Listing) -> tuple[object, ...]:
    charts, *said = _said(listing)
    return json.dumps(charts, separators=(",", ":")), *said


def _feed_values(feed: Feed) -> tuple[str, ...]:
    ids = json.dumps(feed.album_ids, separators=(",", ":"))
    return feed.url, feed.fetched, ids, feed.etag, feed.modified
