"""The catalog in a SQLite file."""

from __future__ import annotations

import json
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

from albo.catalog.database import Database
from albo.records import Album, CatalogRow, Feed, Listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

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
    # Covers, of a genre too, are looked up in the index alone: rows are ten times as long. It does
    # not begin with `missing`, or SQLite would take it to find a file.
    """
    DROP INDEX albums_by_digest;
    CREATE INDEX albums_by_digest ON albums (digest, missing, genre)
    """,
    # What charts say stands apart: few albums have it, and whoever goes through albums wants short
    # rows.
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


class SqliteCatalog:
    """The catalog in one SQLite file."""

    def __init__(self, file: Path, *, write: bool = False) -> None:
        self._database = Database(file, _MIGRATIONS, write=write)

    def __enter__(self) -> Self:
        """Give the catalog itself; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._database.close()

    def upsert(self, albums: Iterable[Album]) -> None:
        """Write rows, replacing those of the same source and album id; none is missing then."""
        written = list(albums)
        digest_at = {album.uri: album.digest for album in written}  # once for a file of many albums
        with self._database.transaction() as transaction:
            transaction.executemany(_UPSERT, map(_values, written))
            transaction.executemany(
                "UPDATE albums SET digest = ? WHERE uri = ? AND missing = 0 AND digest IS NOT ?",
                ((digest, uri, digest) for uri, digest in digest_at.items()),
            )

    def albums(self, digests: Collection[Digest] | None = None) -> Iterator[Album]:
        """Go through albums that are not missing: all, or those with one of these covers."""
        if digests is None:
            in_order = f"{_SELECT} WHERE missing = 0 ORDER BY source, album_id"
            yield from _records(self._database.rows(in_order))
            return
        of_these = f"{_SELECT} WHERE missing = 0 AND digest IN"
        yield from _records(self._database.rows_in(of_these, list(digests)))

    def listed(self, source: str) -> dict[str, bool]:
        """Return the album ids of a source, each with whether it is missing."""
        rows = self._database.rows(
            "SELECT album_id, missing FROM albums WHERE source = ?", (source,)
        )
        return {album_id: bool(missing) for album_id, missing in rows}

    def find(
        self, source: str, album_ids: Sequence[str], *, missing: bool = False
    ) -> dict[str, Album]:
        """Return those albums of a source that are known, by album id."""
        query = f"{_SELECT} WHERE source = ? AND missing = ? AND album_id IN"
        rows = self._database.rows_in(query, album_ids, (source, missing))
        return {album.album_id: album for album in _records(rows)}

    def at(self, uris: Sequence[str]) -> Iterator[Album]:
        """Go through the albums of these files that are not missing, whatever lists them."""
        yield from _records(self._database.rows_in(f"{_SELECT} WHERE missing = 0 AND uri IN", uris))

    def digests(self, genre: str | None = None, *, missing: bool = False) -> set[Digest]:
        """Return the covers of albums, of one genre where one is named.

        Parameters
        ----------
        missing : whether the covers of albums that are marked missing are included.
        """
        query = "SELECT DISTINCT digest FROM albums WHERE missing <= ? AND digest IS NOT NULL"
        of_one = () if genre is None else (genre,)
        rows = self._database.rows(query + " AND genre = ?" * len(of_one), (missing, *of_one))
        return {digest for (digest,) in rows}

    def copied(self) -> list[Digest]:
        """Return the covers that lie in several files, in ascending order."""
        rows = self._database.rows(
            "SELECT digest FROM albums WHERE missing = 0 AND digest IS NOT NULL"
            " GROUP BY digest HAVING count(DISTINCT uri) > 1 ORDER BY digest"
        )
        return [digest for (digest,) in rows]

    def genres(self) -> dict[str, int]:
        """Return each genre with its number of covers, most first."""
        rows = self._database.rows(
            "SELECT genre, count(DISTINCT digest) FROM albums"
            " WHERE missing = 0 AND digest IS NOT NULL AND genre != ''"
            " GROUP BY genre ORDER BY 2 DESC, 1"
        )
        return dict(rows)

    def mark_missing(self, source: str, album_ids: Iterable[str]) -> int:
        """Mark albums of a source as missing; returns how many were not before."""
        with self._database.transaction() as transaction:
            before = transaction.total_changes
            transaction.executemany(
                "UPDATE albums SET missing = 1 WHERE source = ? AND album_id = ? AND missing = 0",
                ((source, album_id) for album_id in album_ids),
            )
            return transaction.total_changes - before

    def matching(
        self, *, source: str | None = None, uri: str | None = None, digest: Digest | None = None
    ) -> list[Album]:
        """Return the albums of a source, of a file or of a cover, missing ones too."""
        wanted = {"source": source, "uri": uri, "digest": digest}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = " OR ".join(f"{column} = ?" for column in given) or "0"
        query = f"{_SELECT} WHERE {where} ORDER BY source, album_id"
        return list(_records(self._database.rows(query, list(given.values()))))

    def shown_only_by(self, albums: Iterable[Album]) -> set[Digest]:
        """Return the covers of these albums that no other album shows, missing ones included."""
        digest_of = {_key(album): album.digest for album in albums}
        digests = {digest for digest in digest_of.values() if digest is not None}
        query = "SELECT source, album_id, digest FROM albums WHERE digest IN"
        rows = self._database.rows_in(query, list(digests))
        return digests - {digest for *key, digest in rows if tuple(key) not in digest_of}

    def forget(self, albums: Iterable[Album]) -> None:
        """Delete these albums, and what charts say of them."""
        keys = [_key(album) for album in albums]
        with self._database.transaction() as transaction:
            transaction.executemany("DELETE FROM albums WHERE source = ? AND album_id = ?", keys)
            transaction.executemany("DELETE FROM listings WHERE source = ? AND album_id = ?", keys)

    def rows(
        self, source: str | None = None, album_ids: Sequence[str] | None = None
    ) -> Iterator[CatalogRow]:
        """Go through all that is known of albums, missing ones too, by source and album id."""
        if source is None:
            found = self._database.rows(f"{_SELECT_ROWS} ORDER BY source, album_id")
        elif album_ids is None:
            where = "WHERE albums.source = ? ORDER BY source, album_id"
            found = self._database.rows(f"{_SELECT_ROWS} {where}", (source,))
        else:
            where = "WHERE albums.source = ? AND albums.album_id IN"
            ids = sorted(set(album_ids))
            found = self._database.rows_in(f"{_SELECT_ROWS} {where}", ids, (source,))
        yield from map(_catalog_row, found)

    def without_cover(self, source: str) -> list[str]:
        """Return the albums of a source that await a cover (see CatalogRow), by album id."""
        query = (
            "SELECT album_id FROM listings JOIN albums USING (source, album_id) WHERE source = ?"
            " AND art_url != ''"
            " AND (art_kept = '' OR art_arriving IS NOT NULL OR digest IS NULL) ORDER BY album_id"
        )
        return [album_id for (album_id,) in self._database.rows(query, (source,))]

    def put(self, rows: Iterable[CatalogRow], feeds: Iterable[Feed] = ()) -> None:
        """Write rows as they are, replacing all that was known of those albums; then feeds."""
        written = list(rows)
        listed = [(row.album, row.listing) for row in written if row.listing is not None]
        unlisted = [_key(row.album) for row in written if row.listing is None]
        fetched = list(map(_feed_values, feeds))
        if not (written or fetched):
            return
        with self._database.transaction() as transaction:
            transaction.executemany(
                _PUT_ALBUM, ((*_values(row.album), row.missing) for row in written)
            )
            transaction.executemany(
                "DELETE FROM listings WHERE source = ? AND album_id = ?", unlisted
            )
            transaction.executemany(
                _PUT_LISTING, ((*_key(album), *_listing_values(said)) for album, said in listed)
            )
            transaction.executemany("INSERT OR REPLACE INTO feeds VALUES (?, ?, ?, ?, ?)", fetched)

    def saw(self, source: str, album_ids: Sequence[str], when: str) -> None:
        """Write down when these albums of charts were last seen."""
        with self._database.transaction() as transaction:
            transaction.executemany(
                "UPDATE listings SET last_seen = ? WHERE source = ? AND album_id = ?",
                ((when, source, album_id) for album_id in album_ids),
            )

    def feeds(self, urls: Sequence[str] | None = None) -> dict[str, Feed]:
        """Return what is known of charts, of these or of all, by url."""
        query = "SELECT url, fetched, album_ids, etag, modified FROM feeds"
        if urls is None:
            found = self._database.rows(f"{query} ORDER BY url")
        else:
            found = self._database.rows_in(f"{query} WHERE url IN", urls)
        return {
            url: Feed(url, fetched, tuple(json.loads(ids)), etag, modified)
            for url, fetched, ids, etag, modified in found
        }

    def runs(self) -> dict[str, str]:
        """Return the harvests that have begun and not ended: when, by plan."""
        return dict(self._database.rows("SELECT plan, started FROM runs"))

    def begin_run(self, plan: str, when: str) -> None:
        """Write down that a harvest by this plan has begun."""
        with self._database.transaction() as transaction:
            transaction.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (plan, when))

    def end_run(self, plan: str) -> None:
        """Write down that the harvest by this plan has ended."""
        with self._database.transaction() as transaction:
            transaction.execute("DELETE FROM runs WHERE plan = ?", (plan,))


def _records(rows: Iterator[tuple[Any, ...]]) -> Iterator[Album]:
    return (Album(*row) for row in rows)


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
