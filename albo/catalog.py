"""The catalog: albums, where they are listed, and the digests of their covers.

A catalog is anything with the methods of `Catalog`; the default is one SQLite file.
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol, Self

from albo.database import Database
from albo.records import Album

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
)
_COLUMNS = tuple(field.name for field in fields(Album))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM albums"  # noqa: S608  names are the record's own
_UPSERT = (
    f"INSERT INTO albums ({', '.join(_COLUMNS)}, missing)"  # noqa: S608
    f" VALUES ({', '.join('?' * len(_COLUMNS))}, 0)"
    " ON CONFLICT (source, album_id) DO UPDATE SET missing = 0, "
    + ", ".join(f"{c} = excluded.{c}" for c in _COLUMNS[2:])
)
_values = attrgetter(*_COLUMNS)
_key = attrgetter("source", "album_id")


class Catalog(Protocol):
    """Where albums are kept. Albums marked missing are remembered but answer nothing."""

    def upsert(self, albums: Iterable[Album]) -> None:
        """Write rows, replacing those of the same source and album id; none is missing then.

        A file holds one cover: what other sources list at the same uris gets the new digests too.
        """
        ...

    def albums(self, digests: Collection[Digest] | None = None) -> Iterator[Album]:
        """Go through albums that are not missing: all, or those with one of these covers.

        All come by source and album id. Nothing may be written meanwhile.
        """
        ...

    def listed(self, source: str) -> dict[str, bool]:
        """Return the album ids of a source, each with whether it is missing."""
        ...

    def find(
        self, source: str, album_ids: Sequence[str], *, missing: bool = False
    ) -> dict[str, Album]:
        """Return those albums of a source that are known, by album id.

        missing : whether they are those marked missing, or those that are not.
        """
        ...

    def at(self, uris: Sequence[str]) -> Iterator[Album]:
        """Go through the albums of these files that are not missing, whatever lists them."""
        ...

    def digests(self, genre: str | None = None, *, missing: bool = False) -> set[Digest]:
        """Return the covers of albums, of one genre where one is named.

        missing : whether those of albums marked missing are among them.
        """
        ...

    def copied(self) -> list[Digest]:
        """Return the covers that lie in several files, in ascending order."""
        ...

    def genres(self) -> dict[str, int]:
        """Return each genre with its number of covers, most first."""
        ...

    def mark_missing(self, source: str, album_ids: Iterable[str]) -> int:
        """Mark albums of a source as missing; returns how many were not before."""
        ...

    def matching(
        self, *, source: str | None = None, uri: str | None = None, digest: Digest | None = None
    ) -> list[Album]:
        """Return the albums of a source, of a file or of a cover, missing ones too."""
        ...

    def shown_only_by(self, albums: Iterable[Album]) -> set[Digest]:
        """Return the covers of these albums that no other album shows, missing ones included."""
        ...

    def forget(self, albums: Iterable[Album]) -> None:
        """Delete these albums."""
        ...


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
        with self._database.transaction() as transaction:
            transaction.executemany(_UPSERT, map(_values, written))
            transaction.executemany(
                "UPDATE albums SET digest = ? WHERE uri = ? AND missing = 0 AND digest IS NOT ?",
                ((album.digest, album.uri, album.digest) for album in written),
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

        missing : whether those of albums marked missing are among them.
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
        """Delete these albums."""
        with self._database.transaction() as transaction:
            transaction.executemany(
                "DELETE FROM albums WHERE source = ? AND album_id = ?", map(_key, albums)
            )


def _records(rows: Iterator[tuple[Any, ...]]) -> Iterator[Album]:
    return (Album(*row) for row in rows)
