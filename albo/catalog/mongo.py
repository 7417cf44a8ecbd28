"""The catalog in a MongoDB database: one document an album, with all that is known of it.

`albums` holds them, `feeds` the charts, `runs` the harvests under way, and `meta` the schema that
they are of. Digests are 64 hex digits. For MongoDB 6 or newer, a replica set or a server alone.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_plus

from albo.catalog.documents import (
    Change,
    album_from,
    document_of,
    feed_document_of,
    hex_of,
    key_of,
    listing_from,
    write_of,
)
from albo.catalog.masking import mask_address
from albo.errors import AlboError, CannotWrite, EmptyCatalog, StaleArtifact, UsageError
from albo.records import Album, CatalogRow, Feed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from pymongo import MongoClient, UpdateOne
    from pymongo.collection import Collection as Documents
    from pymongo.database import Database

    from albo.records import Digest, Json


SCHEMES = ("mongodb://", "mongodb+srv://")
"""How an address of a MongoDB begins."""

_DATABASE = "albo"
_SCHEMA = 1
_BATCH = 500
_OPENING_SECONDS = 5
# A replica set that loses its primary has another after some twelve seconds; who waits longer for
# a server waits in vain.
_OPTIONS = {
    "serverSelectionTimeoutMS": 15_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 30_000,
    "appname": "albo",
}
_CONFIRMED_MS = 30_000
_SHOWN_CHARACTERS = 200
_THERE_ALREADY = 11000
_SHORT = {"_id": 0, "listing": 0}
_WITH_COVER = {"digest": {"$gt": ""}}  # text: neither null nor ""
_KEY = ("source", "album_id")
_IN_ORDER = tuple((name, 1) for name in _KEY)
_key = attrgetter(*_KEY)

_ELSEWHERE = "name another catalog with --catalog or $ALBO_CATALOG"
_LOGIN = ("refused the user or the password", "check them in the address")
_TOO_LARGE = ("takes no document of 16 MB or more", "shorten what the album says")
_REFUSALS = {
    13: ("does not allow that", "give its user the role readWrite"),
    18: _LOGIN,
    8000: _LOGIN,  # MongoDB Atlas
    50: ("took too long", "run it again when the server has less to do"),
    64: ("had no majority of its servers that confirmed", "run it again when they are back"),
    10334: _TOO_LARGE,
    17419: _TOO_LARGE,
    17420: _TOO_LARGE,
    14031: ("has no disk left", "free some space and run it again"),
}


def same_place(first: str, second: str) -> bool:
    """Say whether two addresses name the same database, as far as they can tell."""
    return _place(first) == _place(second)


def _place(uri: str) -> tuple[frozenset[str], str]:
    hosts, _, name = mask_address(uri).partition("://")[2].partition("/")
    standard = (host.lower().replace("127.0.0.1", "localhost") for host in hosts.split(","))
    return frozenset(host.removesuffix(":27017") for host in standard), name or _DATABASE


class MongoCatalog:
    """The catalog in a MongoDB database, with the methods of `albo.catalog.Catalog`.

    uri : `mongodb://host/database`, or mongodb+srv; without a name the database is `albo`.

    There are no transactions, as a server alone has none: rows are written in an order that lets a
    run which was broken off be given again. For one thread.

    All methods raise AlboError where the server cannot be reached or refuses, CannotWrite where it
    does so for what is written, StaleArtifact where documents are not albo's. Opening it raises
    UsageError for an address that is none, and, for reading, EmptyCatalog where nothing is.
    """

    def __init__(self, uri: str, *, write: bool = False) -> None:
        self._shown = mask_address(uri)
        self._secrets = _secrets(uri)
        self._write = write
        self._client = _connect(uri)
        try:
            with self._plain_errors():
                self._database = self._greet()
                self._prepare()
        except BaseException:
            self._client.close()
            raise

    def __repr__(self) -> str:
        """Show where it is, without the password."""
        return f"MongoCatalog({self._shown!r})"

    def __enter__(self) -> Self:
        """Give the catalog itself; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._client.close()

    # --- albums ----------------------------------------------------------------------------------

    def upsert(self, albums: Iterable[Album]) -> None:
        """Write rows, replacing those of the same source and album id; none is missing then.

        What other sources list at the same uris first: who is stopped before the rows themselves
        are there finds them changed at the next run, and writes both.
        """
        written = list(albums)
        digest_at = {album.uri: hex_of(album.digest) for album in written}
        rows = {_key(album): album for album in written}
        self._change("albums", list(self._elsewhere(digest_at, rows)))
        documents = [
            {**document_of(CatalogRow(album)), "digest": digest_at[album.uri]}
            for album in rows.values()
        ]
        self._write_albums(documents, whole=False)

    def _elsewhere(
        self, digest_at: Mapping[str, str | None], written: Collection[tuple[str, str]]
    ) -> Iterator[UpdateOne]:
        """Go through the changes that give other albums of these files the new digests."""
        from pymongo import UpdateOne

        what = {"_id": 0, "source": 1, "album_id": 1, "uri": 1, "digest": 1}
        for found in self._find_in("uri", list(digest_at), {"missing": False}, what):
            key, uri = (found["source"], found["album_id"]), found["uri"]
            if key not in written and found["digest"] != digest_at[uri]:
                same = {"source": key[0], "album_id": key[1], "uri": uri}
                yield UpdateOne(same, {"$set": {"digest": digest_at[uri]}})

    def albums(self, digests: Collection[Digest] | None = None) -> Iterator[Album]:
        """Go through albums that are not missing: all, or those with one of these covers."""
        present = {"missing": False}
        if digests is None:
            found = self._find(present, _SHORT)
        else:
            found = self._find_in("digest", [digest.hex() for digest in digests], present, _SHORT)
        yield from self._records(found)

    def listed(self, source: str) -> dict[str, bool]:
        """Return the album ids of a source, each with whether it is missing."""
        found = self._find({"source": source}, {"_id": 0, "album_id": 1, "missing": 1})
        return {each["album_id"]: bool(each["missing"]) for each in found}

    def find(
        self, source: str, album_ids: Sequence[str], *, missing: bool = False
    ) -> dict[str, Album]:
        """Return those albums of a source that are known, by album id."""
        where = {"source": source, "missing": missing}
        found = self._find_in("album_id", album_ids, where, _SHORT)
        return {album.album_id: album for album in self._records(found)}

    def at(self, uris: Sequence[str]) -> Iterator[Album]:
        """Go through the albums of these files that are not missing, whatever lists them."""
        yield from self._records(self._find_in("uri", uris, {"missing": False}, _SHORT))

    def digests(self, genre: str | None = None, *, missing: bool = False) -> set[Digest]:
        """Return the covers of albums, of one genre where one is named.

        Parameters
        ----------
        missing : whether the covers of albums that are marked missing are included.
        """
        where: Json = dict(_WITH_COVER)
        if genre is not None:
            where["genre"] = genre
        if not missing:
            where["missing"] = False
        found = self._find(where, {"_id": 0, "digest": 1}, in_order=False)
        return {self._digest(digest) for digest in {each["digest"] for each in found}}

    def copied(self) -> list[Digest]:
        """Return the covers that lie in several files, in ascending order."""
        of_each = {"_id": "$digest", "first": {"$min": "$uri"}, "last": {"$max": "$uri"}}
        several = {"$match": {"$expr": {"$ne": ["$first", "$last"]}}}
        found = self._counted({"$group": of_each}, several)
        return sorted(self._digest(each["_id"]) for each in found)

    def genres(self) -> dict[str, int]:
        """Return each genre with its number of covers, most first."""
        found = self._counted(
            {"$match": {"genre": {"$gt": ""}}},
            {"$group": {"_id": "$digest", "genres": {"$addToSet": "$genre"}}},
            {"$unwind": "$genres"},
            {"$group": {"_id": "$genres", "count": {"$sum": 1}}},
        )
        counts = {each["_id"]: int(each["count"]) for each in found}
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def _counted(self, *stages: Json) -> list[Json]:
        present: Json = {"$match": {"missing": False, **_WITH_COVER}}
        with self._plain_errors():
            return list(self._database["albums"].aggregate([present, *stages], allowDiskUse=True))

    def mark_missing(self, source: str, album_ids: Iterable[str]) -> int:
        """Mark albums of a source as missing; returns how many were not before."""
        present = {"source": source, "missing": False}
        return self._set(present, list(album_ids), {"missing": True})

    def matching(
        self, *, source: str | None = None, uri: str | None = None, digest: Digest | None = None
    ) -> list[Album]:
        """Return the albums of a source, of a file or of a cover, missing ones too."""
        wanted = {"source": source, "uri": uri, "digest": hex_of(digest)}
        given = [{name: value} for name, value in wanted.items() if value is not None]
        if not given:
            return []
        return list(self._records(self._find({"$or": given}, _SHORT)))

    def shown_only_by(self, albums: Iterable[Album]) -> set[Digest]:
        """Return the covers of these albums that no other album shows, missing ones included."""
        digest_of = {_key(album): album.digest for album in albums}
        digests = {digest for digest in digest_of.values() if digest is not None}
        what = {"_id": 0, "source": 1, "album_id": 1, "digest": 1}
        found = self._find_in("digest", [digest.hex() for digest in digests], {}, what)
        return digests - {
            self._digest(each["digest"])
            for each in found
            if (each["source"], each["album_id"]) not in digest_of
        }

    def forget(self, albums: Iterable[Album]) -> None:
        """Delete these albums, and what charts say of them."""
        from pymongo import DeleteMany

        ids_of: dict[str, list[str]] = {}
        for album in albums:
            ids_of.setdefault(album.source, []).append(album.album_id)
        for source, album_ids in ids_of.items():
            for some in _batches(album_ids):
                where = {"source": source, "album_id": {"$in": list(some)}}
                self._change("albums", [DeleteMany(where)])

    # --- all that is known of them ---------------------------------------------------------------

    def rows(
        self, source: str | None = None, album_ids: Sequence[str] | None = None
    ) -> Iterator[CatalogRow]:
        """Go through all that is known of albums, missing ones too, by source and album id."""
        of_source = {} if source is None else {"source": source}
        if source is None or album_ids is None:
            found = self._find(of_source, {"_id": 0})
        else:
            found = self._find_in("album_id", sorted(set(album_ids)), of_source, {"_id": 0})
        yield from map(self._row, found)

    def without_cover(self, source: str) -> list[str]:
        """Return the albums of a source that await a cover (see CatalogRow), by album id."""
        wanted = {"source": source, "listing.art_url": {"$gt": ""}}
        what = {"_id": 0, "album_id": 1, "digest": 1, "listing": 1}
        lacking = []
        for found in self._find(wanted, what):
            with self._as_albo_makes_it():
                said = found["listing"]
                if not (said["art_kept"] and found["digest"]) or said["art_arriving"]:
                    lacking.append(found["album_id"])
        return lacking

    def put(self, rows: Iterable[CatalogRow], feeds: Iterable[Feed] = ()) -> None:
        """Write rows as they are, replacing all that was known of those albums; then feeds."""
        from pymongo import ReplaceOne

        written = {_key(row.album): row for row in rows}
        self._write_albums([document_of(row) for row in written.values()], whole=True)
        fetched = {feed.url: feed for feed in feeds}
        self._change(
            "feeds",
            [
                ReplaceOne({"url": url}, feed_document_of(feed), upsert=True)
                for url, feed in fetched.items()
            ],
        )

    def saw(self, source: str, album_ids: Sequence[str], when: str) -> None:
        """Write down when these albums of charts were last seen."""
        listed = {"source": source, "listing": {"$ne": None}}
        self._set(listed, album_ids, {"listing.last_seen": when})

    # --- charts and harvests ---------------------------------------------------------------------

    def feeds(self, urls: Sequence[str] | None = None) -> dict[str, Feed]:
        """Return what is known of charts, of these or of all, by url."""
        wanted = [{}] if urls is None else [{"url": {"$in": list(u)}} for u in _batches(urls)]
        with self._plain_errors():
            found = [
                each
                for where in wanted
                for each in self._database["feeds"].find(where, {"_id": 0}).sort([("url", 1)])
            ]
        return {feed.url: feed for feed in map(self._feed, found)}

    def runs(self) -> dict[str, str]:
        """Return the harvests that have begun and not ended: when, by plan."""
        with self._plain_errors():
            found = list(self._database["runs"].find({}, {"_id": 0}))
        with self._as_albo_makes_it():
            return {each["plan"]: each["started"] for each in found}

    def begin_run(self, plan: str, when: str) -> None:
        """Write down that a harvest by this plan has begun."""
        from pymongo import ReplaceOne

        self._change(
            "runs", [ReplaceOne({"plan": plan}, {"plan": plan, "started": when}, upsert=True)]
        )

    def end_run(self, plan: str) -> None:
        """Write down that the harvest by this plan has ended."""
        from pymongo import DeleteMany

        self._change("runs", [DeleteMany({"plan": plan})])

    # --- asking and changing ---------------------------------------------------------------------

    def _find(self, where: Json, what: Json, *, in_order: bool = True) -> Iterator[Json]:
        with self._plain_errors():
            cursor = self._database["albums"].find(where, what)
            with cursor.sort(_IN_ORDER) if in_order else cursor as found:
                yield from found

    def _find_in(self, name: str, values: Sequence[str], where: Json, what: Json) -> Iterator[Json]:
        """Go through the albums with one of these values, for so many values at a time."""
        for some in _batches(values):
            yield from self._find({**where, name: {"$in": list(some)}}, what)

    def _change(self, collection: str, changes: Sequence[Change]) -> None:
        with self._plain_errors():
            for some in _batches(changes):
                self._database[collection].bulk_write(some, ordered=False)

    def _write_albums(self, documents: Sequence[Json], *, whole: bool) -> None:
        """Write albums, with what charts say of them only where they are `whole` or new."""
        from pymongo.errors import BulkWriteError

        for some in _batches(documents):
            with self._plain_errors():
                try:
                    self._write_some(some, whole=whole)
                except BulkWriteError as error:
                    if any(each["code"] != _THERE_ALREADY for each in error.details["writeErrors"]):
                        raise
                    # Another writer was first with some of them.
                    self._write_some(some, whole=whole)

    def _write_some(self, documents: Sequence[Json], *, whole: bool) -> None:
        """Insert those that are new, and change those that are known.

        Asked for all at once: an upsert each would make the server look for every key by itself.
        """
        known = self._known(documents)
        changes = [write_of(each, known.get(key_of(each)), whole=whole) for each in documents]
        self._database["albums"].bulk_write(changes, ordered=False)

    def _known(self, documents: Iterable[Json]) -> dict[tuple[str, str], object]:
        """Return under which id the server keeps those of these albums that are there."""
        ids_of: dict[str, list[str]] = {}
        for source, album_id in map(key_of, documents):
            ids_of.setdefault(source, []).append(album_id)
        what = {"source": 1, "album_id": 1}
        return {
            key_of(found): found["_id"]
            for source, album_ids in ids_of.items()
            for found in self._find_in("album_id", album_ids, {"source": source}, what)
        }

    def _set(self, where: Json, album_ids: Sequence[str], values: Json) -> int:
        """Set these fields of albums that are so; returns how many they are."""
        changed = 0
        with self._plain_errors():
            for some in _batches(album_ids):
                these = {**where, "album_id": {"$in": list(some)}}
                done = self._database["albums"].update_many(these, {"$set": values})
                changed += done.modified_count
        return changed

    # --- documents to records --------------------------------------------------------------------

    def _records(self, found: Iterable[Json]) -> Iterator[Album]:
        for each in found:
            with self._as_albo_makes_it():
                album = album_from(each)
            yield album

    def _row(self, found: Json) -> CatalogRow:
        with self._as_albo_makes_it():
            said = found["listing"]
            listing = None if said is None else listing_from(said)
            return CatalogRow(album_from(found), listing, bool(found["missing"]))

    def _feed(self, found: Json) -> Feed:
        with self._as_albo_makes_it():
            return Feed(**{**found, "album_ids": tuple(found["album_ids"])})

    def _digest(self, digits: str) -> Digest:
        with self._as_albo_makes_it():
            return bytes.fromhex(digits)

    @contextmanager
    def _as_albo_makes_it(self) -> Iterator[None]:
        try:
            yield
        except (LookupError, TypeError, ValueError) as error:
            raise self._foreign(f"{type(error).__name__}: {error}") from error

    # --- opening ---------------------------------------------------------------------------------

    def _greet(self) -> Database[Json]:
        """Wait for the server for a moment; choose what its kind can promise."""
        import pymongo
        from pymongo.read_concern import ReadConcern

        with pymongo.timeout(_OPENING_SECONDS):
            said = self._client.admin.command("hello")
        # A server alone knows no majority that could be read from.
        several = "setName" in said or said.get("msg") == "isdbgrid"
        return self._client.get_default_database(
            _DATABASE,
            read_preference=pymongo.ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority" if several else None),
            write_concern=pymongo.WriteConcern("majority", wtimeout=_CONFIRMED_MS),
        )

    def _prepare(self) -> None:
        """See that it is ours and not newer than this albo; make what is lacking."""
        meta = self._database["meta"]
        marker = meta.find_one({"name": "schema"})
        if marker is None:
            for name in ("albums", "feeds", "runs"):
                if self._database[name].find_one({}, {"_id": 1}) is not None:
                    raise self._foreign(f"{name} without a schema")
            if not self._write:
                raise EmptyCatalog(f"{self._shown} holds no catalog; run `albo embed SOURCE` first")
        version = 0 if marker is None else marker.get("version")
        if not (isinstance(version, int) and 0 <= version <= _SCHEMA):
            raise StaleArtifact(
                f"{self._shown} is of schema {version}, this albo knows up to {_SCHEMA};"
                " upgrade albo to read it"
            )
        if self._write:
            self._make_indexes()
            if version < _SCHEMA:
                meta.update_one({"name": "schema"}, {"$set": {"version": _SCHEMA}}, upsert=True)

    def _make_indexes(self) -> None:
        from pymongo import IndexModel

        albums: Documents[Json] = self._database["albums"]
        albums.create_indexes(
            [
                IndexModel(_IN_ORDER, unique=True),
                # Covers, of a genre too, are looked up in the index alone: documents are longer.
                IndexModel([("genre", 1), ("missing", 1), ("digest", 1)]),
                IndexModel([("digest", 1), ("missing", 1)]),
                IndexModel([("uri", 1)]),
            ]
        )
        self._database["feeds"].create_indexes([IndexModel([("url", 1)], unique=True)])
        self._database["runs"].create_indexes([IndexModel([("plan", 1)], unique=True)])

    # --- errors ----------------------------------------------------------------------------------

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        from bson.errors import BSONError
        from pymongo.errors import PyMongoError

        try:
            yield
        except (UnicodeEncodeError, OverflowError, BSONError) as error:
            raise self._unfit(error) from error
        except PyMongoError as error:
            raise self._plain(error) from error

    def _unfit(self, error: Exception) -> AlboError:
        """Say what is wrong with a document that could not be made or read."""
        from bson.errors import InvalidBSON
        from pymongo.errors import DocumentTooLarge

        if isinstance(error, InvalidBSON):
            return self._foreign(self._reason(error))
        if isinstance(error, DocumentTooLarge):
            return self._refused(_TOO_LARGE)
        if isinstance(error, UnicodeEncodeError):
            text = ascii(error.object[:_SHOWN_CHARACTERS])
            return CannotWrite(f"{text} is not UTF-8, and MongoDB keeps nothing else; rename it")
        return CannotWrite(
            f"{self._shown} cannot keep an album as it is ({self._reason(error)}); correct what its"
            " source says"
        )

    def _plain(self, error: Exception) -> AlboError:
        from pymongo.errors import (
            ConfigurationError,
            ConnectionFailure,
            InvalidName,
        )

        code = _code(error)
        if code in _REFUSALS:
            return self._refused(_REFUSALS[code])
        if isinstance(error, InvalidName):
            return _bad_address(self._shown)
        if isinstance(error, ConnectionFailure | ConfigurationError):
            return AlboError(
                f"cannot reach MongoDB at {self._shown} ({self._reason(error)}); start it or"
                f" {_ELSEWHERE}"
            )
        return AlboError(
            f"MongoDB at {self._shown} refused what albo asked ({self._reason(error)}); albo needs"
            f" MongoDB 6 or newer: upgrade it or {_ELSEWHERE}"
        )

    def _refused(self, why: tuple[str, str]) -> AlboError:
        said, remedy = why
        kind = CannotWrite if self._write else AlboError
        return kind(f"MongoDB at {self._shown} {said}; {remedy}, or {_ELSEWHERE}")

    def _reason(self, error: Exception) -> str:
        """Return what an error says, in short and without what must not be told."""
        said = " ".join(str(_first_of_several(error).get("errmsg") or error).split())
        said = re.split(r",? \(configured timeouts|, Timeout: |, full error: ", said)[0]
        said = re.sub(r"\[Errno -?\d+\] ", "", said)
        if any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said) for word in self._secrets):
            return type(error).__name__
        return said[:_SHOWN_CHARACTERS]

    def _foreign(self, reason: str) -> StaleArtifact:
        return StaleArtifact(
            f"{self._shown} is not as albo makes it ({reason[:_SHOWN_CHARACTERS]});"
            f" if it is another program's, {_ELSEWHERE}"
        )


# --- connecting ----------------------------------------------------------------------------------


def _connect(uri: str) -> MongoClient[Json]:
    """Make a client, which connects when it is first asked something."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    given = {option.partition("=")[0].lower() for option in re.split("[&;?]", uri)[1:]}
    options: Json = {name: value for name, value in _OPTIONS.items() if name.lower() not in given}
    try:
        uri.encode()  # nothing else can be sent
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an option that is unknown or wrong
            return MongoClient(uri, connect=False, **options)
    except (PyMongoError, UserWarning, ValueError, TypeError):
        # Without its words and its history: they may have part of the password.
        raise _bad_address(mask_address(uri)) from None


def _bad_address(place: str) -> UsageError:
    return UsageError(
        f"{place} (user, password and options are not shown) is no address of a MongoDB; give"
        " mongodb://HOST/DB, with %XX for what is special in a user or a password"
    )


def _secrets(uri: str) -> tuple[str, ...]:
    """Return the words of an address that no message may hold."""
    said, at, _ = uri.partition("://")[2].rpartition("@")
    words = (*said.split(":"), said) if at else ()
    return tuple({form for word in words if word for form in (word, unquote_plus(word))})


def _first_of_several(error: Exception) -> Json:
    """Return the first of the errors of many writes; nothing for an error of another kind."""
    details = getattr(error, "details", None) or {}
    several = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
    return several[0] if several else {}


def _code(error: Exception) -> int | None:
    code = _first_of_several(error).get("code", getattr(error, "code", None))
    return code if isinstance(code, int) else None


# --- records and documents -----------------------------------------------------------------------


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
