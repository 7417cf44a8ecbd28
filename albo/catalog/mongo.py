"""The catalog in a MongoDB database: one document an album, with all that is known of it.

`albums` holds these, `feeds` the charts, `runs` the unfinished harvests, and `meta` the version of
the schema. Digests are 64 hex digits. For MongoDB 6 or newer, a replica set or a single server.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from albo.catalog.catalog import Catalog
from albo.catalog.documents import (
    Change,
    album_from,
    document_of,
    feed_document_of,
    feed_from,
    hex_of,
    key_of,
    row_from,
    write_of,
)
from albo.catalog.mongo_server import IN_ORDER, MongoServer
from albo.records import Album, CatalogRow, Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pymongo import UpdateOne

    from albo.catalog.tables import Among, Where
    from albo.records import Digest, Json

Made = TypeVar("Made")

_BATCH = 500
_THERE_ALREADY = 11000
_WHOLE = {"_id": 0}
_SHORT = {"_id": 0, "listing": 0}
_WITH_COVER = {"digest": {"$gt": ""}}  # text: neither null nor ""


class MongoCatalog(Catalog):
    """The catalog in a MongoDB database.

    Parameters
    ----------
    uri
        `mongodb://host/database`, or mongodb+srv; without a name the database is `albo`.
    write
        Whether something will be written.
    """

    def __init__(self, uri: str, *, write: bool = False) -> None:
        tables = MongoTables(MongoServer(uri, write=write))
        super().__init__(tables)
        self._said = f"MongoCatalog({tables.place!r})"

    def __repr__(self) -> str:
        """Show where it is, without the password."""
        return self._said


class MongoTables:
    """The tables of a catalog in MongoDB: the primitives of `albo.catalog.tables.Tables`.

    There are no transactions, since a single server has none. Documents are written in such an
    order that an interrupted run can be repeated.

    All methods raise AlboError if the server cannot be reached or refuses, CannotWrite if it
    refuses a write, StaleArtifact if documents are not albo's.
    """

    def __init__(self, server: MongoServer) -> None:
        self._server = server

    @property
    def place(self) -> str:
        """Where the database is, without user, password and options."""
        return self._server.shown

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    # --- reading ---------------------------------------------------------------------------------

    def albums(self, where: Where, among: Among = None) -> Iterator[Album]:
        """Yield the matching albums; their listings stay on the server."""
        return self._made(album_from, self._chosen(where, among, _SHORT))

    def rows(self, where: Where, among: Among = None) -> Iterator[CatalogRow]:
        """Yield the matching albums, each with all that is known of it."""
        return self._made(row_from, self._chosen(where, among, _WHOLE))

    def values(
        self, names: Sequence[str], where: Where, among: Among = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield a few fields of the matching albums; the others stay on the server."""

        def made(found: Json) -> tuple[Any, ...]:
            return tuple(_kept(name, found[name]) for name in names)

        return self._made(made, self._chosen(where, among, {"_id": 0, **dict.fromkeys(names, 1)}))

    def digests(self, where: Where) -> set[Digest]:
        """Return the covers of the matching albums, from the index alone."""
        what = {"_id": 0, "digest": 1}
        found = self._find({**_WITH_COVER, **where}, what, in_order=False)
        return set(self._made(bytes.fromhex, iter({each["digest"] for each in found})))

    def copied(self) -> Iterable[Digest]:
        """Return the covers that lie in several files by the albums that are not missing."""
        of_each = {"_id": "$digest", "first": {"$min": "$uri"}, "last": {"$max": "$uri"}}
        several = {"$match": {"$expr": {"$ne": ["$first", "$last"]}}}
        found = self._counted({"$group": of_each}, several)
        return self._made(bytes.fromhex, (each["_id"] for each in found))

    def genres(self) -> Mapping[str, int]:
        """Return the genres of albums that are not missing, each with its number of covers."""
        found = self._counted(
            {"$match": {"genre": {"$gt": ""}}},
            {"$group": {"_id": "$digest", "genres": {"$addToSet": "$genre"}}},
            {"$unwind": "$genres"},
            {"$group": {"_id": "$genres", "count": {"$sum": 1}}},
        )
        return {each["_id"]: int(each["count"]) for each in found}

    def _counted(self, *stages: Json) -> list[Json]:
        present: Json = {"$match": {"missing": False, **_WITH_COVER}}
        with self._server.plain_errors():
            albums = self._server.collection("albums")
            return list(albums.aggregate([present, *stages], allowDiskUse=True))

    def without_cover(self, source: str) -> Iterable[str]:
        """Return the albums of a source that await a cover, by album id."""
        with_art = {"source": source, "listing.art_url": {"$gt": ""}}
        rows = self._made(row_from, self._find(with_art, _WHOLE))
        return (row.album.album_id for row in rows if row.awaits_cover)

    def feeds(self, urls: Sequence[str] | None) -> Iterator[Feed]:
        """Yield the charts with these addresses, or all, sorted by address."""
        wanted: list[Json]
        wanted = [{}] if urls is None else [{"url": {"$in": list(u)}} for u in _batches(urls)]
        with self._server.plain_errors():
            found = [
                each
                for where in wanted
                for each in self._server.collection("feeds").find(where, _WHOLE).sort([("url", 1)])
            ]
        return self._made(feed_from, iter(found))

    def runs(self) -> Mapping[str, str]:
        """Return when each unfinished harvest began, by plan."""
        with self._server.plain_errors():
            found = list(self._server.collection("runs").find({}, _WHOLE))
        return dict(self._made(lambda each: (each["plan"], each["started"]), iter(found)))

    def _chosen(self, where: Where, among: Among, what: Json) -> Iterator[Json]:
        """Yield documents, for a limited number of the values of `among` at a time."""
        if among is None:
            yield from self._find(dict(where), what)
            return
        field, items = among
        for some in _batches(items):
            chosen = {"$in": [_stored(field, item) for item in some]}
            yield from self._find({**where, field: chosen}, what)

    def _find(self, where: Json, what: Json, *, in_order: bool = True) -> Iterator[Json]:
        stored = {name: _stored(name, value) for name, value in where.items()}
        with self._server.plain_errors():
            cursor = self._server.collection("albums").find(stored, what)
            with cursor.sort(IN_ORDER) if in_order else cursor as found:
                yield from found

    def _made(self, make: Callable[[Any], Made], found: Iterator[Any]) -> Iterator[Made]:
        """Make records of documents. Raises StaleArtifact for one that albo did not make."""
        for each in found:
            with self._as_albo_makes_it():
                made = make(each)
            yield made

    @contextmanager
    def _as_albo_makes_it(self) -> Iterator[None]:
        try:
            yield
        except (LookupError, TypeError, ValueError) as error:
            raise self._server.foreign(f"{type(error).__name__}: {error}") from error

    # --- writing ---------------------------------------------------------------------------------

    def register(self, albums: Sequence[Album], digest_at: Mapping[str, Digest | None]) -> None:
        """Write the other albums of the same files first, then these.

        After a stop between the two, the next run finds these albums changed, and writes both.
        """
        written = {(album.source, album.album_id) for album in albums}
        self._change("albums", list(self._elsewhere(digest_at, written)))
        self._write_albums([document_of(CatalogRow(album)) for album in albums], whole=False)

    def _elsewhere(
        self, digest_at: Mapping[str, Digest | None], written: set[tuple[str, str]]
    ) -> Iterator[UpdateOne]:
        """Yield the changes that give other albums of these files the new digests."""
        from pymongo import UpdateOne

        names = ("source", "album_id", "uri", "digest")
        found = self.values(names, {"missing": False}, ("uri", list(digest_at)))
        for source, album_id, uri, digest in found:
            if (source, album_id) not in written and digest != digest_at[uri]:
                same = {"source": source, "album_id": album_id, "uri": uri}
                yield UpdateOne(same, {"$set": {"digest": hex_of(digest_at[uri])}})

    def put(self, rows: Sequence[CatalogRow], feeds: Sequence[Feed]) -> None:
        """Replace all that was known of these albums by the rows; then write the charts."""
        from pymongo import ReplaceOne

        self._write_albums([document_of(row) for row in rows], whole=True)
        replaced = [
            ReplaceOne({"url": feed.url}, feed_document_of(feed), upsert=True) for feed in feeds
        ]
        self._change("feeds", replaced)

    def mark_missing(self, source: str, album_ids: Sequence[str]) -> int:
        """Mark albums as missing; return how many were not missing before."""
        return self._set({"source": source, "missing": False}, album_ids, {"missing": True})

    def set_listing(self, source: str, album_ids: Sequence[str], field: str, value: str) -> None:
        """Set a field of the chart data of those albums that are in a chart."""
        listed = {"source": source, "listing": {"$ne": None}}
        self._set(listed, album_ids, {f"listing.{field}": value})

    def remove(self, keys: Iterable[tuple[str, str]]) -> None:
        """Delete albums by source and album id, a limited number at a time."""
        from pymongo import DeleteMany

        for source, album_ids in _by_source(keys).items():
            for some in _batches(album_ids):
                where = {"source": source, "album_id": {"$in": list(some)}}
                self._change("albums", [DeleteMany(where)])

    def begin_run(self, plan: str, when: str) -> None:
        """Write down when a harvest began."""
        from pymongo import ReplaceOne

        document = {"plan": plan, "started": when}
        self._change("runs", [ReplaceOne({"plan": plan}, document, upsert=True)])

    def end_run(self, plan: str) -> None:
        """Delete a harvest."""
        from pymongo import DeleteMany

        self._change("runs", [DeleteMany({"plan": plan})])

    def _change(self, collection: str, changes: Sequence[Change]) -> None:
        with self._server.plain_errors():
            for some in _batches(changes):
                self._server.collection(collection).bulk_write(some, ordered=False)

    def _set(self, where: Json, album_ids: Sequence[str], values: Json) -> int:
        """Set these fields of the matching albums; return how many have changed."""
        changed = 0
        with self._server.plain_errors():
            for some in _batches(album_ids):
                these = {**where, "album_id": {"$in": list(some)}}
                done = self._server.collection("albums").update_many(these, {"$set": values})
                changed += done.modified_count
        return changed

    def _write_albums(self, documents: Sequence[Json], *, whole: bool) -> None:
        """Write albums; their chart data only if `whole` is set or the album is new."""
        from pymongo.errors import BulkWriteError

        for some in _batches(documents):
            with self._server.plain_errors():
                try:
                    self._write_some(some, whole=whole)
                except BulkWriteError as error:
                    if any(each["code"] != _THERE_ALREADY for each in error.details["writeErrors"]):
                        raise
                    # Another writer has inserted some of them first.
                    self._write_some(some, whole=whole)

    def _write_some(self, documents: Sequence[Json], *, whole: bool) -> None:
        """Insert the new albums and change the known ones.

        One query finds the known ones: with upserts the server would look up every key by itself.
        """
        known = self._known(documents)
        changes = [write_of(each, known.get(key_of(each)), whole=whole) for each in documents]
        self._server.collection("albums").bulk_write(changes, ordered=False)

    def _known(self, documents: Iterable[Json]) -> dict[tuple[str, str], object]:
        """Return the server's id of each of these albums that it has."""
        what = {"source": 1, "album_id": 1}
        return {
            key_of(found): found["_id"]
            for source, album_ids in _by_source(map(key_of, documents)).items()
            for found in self._chosen({"source": source}, ("album_id", album_ids), what)
        }


def _by_source(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the album ids of each source."""
    ids_of: dict[str, list[str]] = {}
    for source, album_id in keys:
        ids_of.setdefault(source, []).append(album_id)
    return ids_of


def _stored(name: str, value: Any) -> Any:  # noqa: ANN401  (a field of any kind)
    """Return the value of a field as a document has it: a digest as hex digits."""
    return value.hex() if name == "digest" and isinstance(value, bytes) else value


def _kept(name: str, value: Any) -> Any:  # noqa: ANN401  (a field of any kind)
    """Return the value of a field as albo has it: a digest as bytes."""
    return bytes.fromhex(value) if name == "digest" and value is not None else value


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
