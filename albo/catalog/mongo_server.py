"""A MongoDB server: connecting to it, albo's database in it, and its errors in one line."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from albo.catalog.masking import mask_address
from albo.errors import AlboError, CannotWrite, EmptyCatalog, StaleArtifact, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo import MongoClient
    from pymongo.collection import Collection as Documents
    from pymongo.database import Database

    from albo.records import Json


SCHEMES = ("mongodb://", "mongodb+srv://")
"""How an address of a MongoDB begins."""

_DATABASE = "albo"
_SCHEMA = 1
KEY = ("source", "album_id")
"""The fields that identify an album."""

IN_ORDER = tuple((name, 1) for name in KEY)
"""By source and album id."""

_OPENING_SECONDS = 5
# A replica set that loses its primary has a new one after some twelve seconds, so a longer wait is
# useless.
_OPTIONS = {
    "serverSelectionTimeoutMS": 15_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 30_000,
    "appname": "albo",
}
_CONFIRMED_MS = 30_000
_SHOWN_CHARACTERS = 200

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
    """Whether two addresses name the same database, by their text alone."""
    return _place(first) == _place(second)


def _place(uri: str) -> tuple[frozenset[str], str]:
    hosts, _, name = mask_address(uri).partition("://")[2].partition("/")
    standard = (host.lower().replace("127.0.0.1", "localhost") for host in hosts.split(","))
    return frozenset(host.removesuffix(":27017") for host in standard), name or _DATABASE


class MongoServer:
    """A connection to the database of a catalog; its errors become albo's.

    Parameters
    ----------
    uri
        `mongodb://host/database`, or mongodb+srv; without a name the database is `albo`.
    write
        Whether something will be written; then missing indexes and the schema are made.

    Raises
    ------
    UsageError
        The address is wrong.
    EmptyCatalog
        There is nothing to read.
    StaleArtifact
        The database is another program's or a newer albo's.
    AlboError
        The server cannot be reached or refuses.
    """

    def __init__(self, uri: str, *, write: bool) -> None:
        self.shown = mask_address(uri)
        self._secrets = _secrets(uri)
        self._write = write
        self._client = _connect(uri)
        try:
            with self.plain_errors():
                self._database = self._greet()
                self._prepare()
        except BaseException:
            self._client.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def collection(self, name: str) -> Documents[Json]:
        """Return a collection of the database: `albums`, `feeds` or `runs`."""
        return self._database[name]

    # --- opening ---------------------------------------------------------------------------------

    def _greet(self) -> Database[Json]:
        """Wait briefly for the server; choose the read and write guarantees that it offers."""
        import pymongo
        from pymongo.read_concern import ReadConcern

        with pymongo.timeout(_OPENING_SECONDS):
            said = self._client.admin.command("hello")
        # A single server has no majority to read from.
        several = "setName" in said or said.get("msg") == "isdbgrid"
        return self._client.get_default_database(
            _DATABASE,
            read_preference=pymongo.ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority" if several else None),
            write_concern=pymongo.WriteConcern("majority", wtimeout=_CONFIRMED_MS),
        )

    def _prepare(self) -> None:
        """Check that the database is albo's and not newer than this albo; make what it lacks."""
        meta = self._database["meta"]
        marker = meta.find_one({"name": "schema"})
        if marker is None:
            for name in ("albums", "feeds", "runs"):
                if self._database[name].find_one({}, {"_id": 1}) is not None:
                    raise self.foreign(f"{name} without a schema")
            if not self._write:
                raise EmptyCatalog(f"{self.shown} holds no catalog; run `albo embed SOURCE` first")
        version = 0 if marker is None else marker.get("version")
        if not (isinstance(version, int) and 0 <= version <= _SCHEMA):
            raise StaleArtifact(
                f"{self.shown} is of schema {version}, this albo knows up to {_SCHEMA};"
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
                IndexModel(IN_ORDER, unique=True),
                # Covers, even those of a genre, are read from the index alone: documents are long.
                IndexModel([("genre", 1), ("missing", 1), ("digest", 1)]),
                IndexModel([("digest", 1), ("missing", 1)]),
                IndexModel([("uri", 1)]),
            ]
        )
        self._database["feeds"].create_indexes([IndexModel([("url", 1)], unique=True)])
        self._database["runs"].create_indexes([IndexModel([("plan", 1)], unique=True)])

    # --- errors ----------------------------------------------------------------------------------

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turn the errors of pymongo inside into AlboError or one of its kinds.

        CannotWrite if the server refuses a write, StaleArtifact for a document that albo did not
        make.
        """
        from bson.errors import BSONError
        from pymongo.errors import PyMongoError

        try:
            yield
        except (UnicodeEncodeError, OverflowError, BSONError) as error:
            raise self._unfit(error) from error
        except PyMongoError as error:
            raise self._plain(error) from error

    def _unfit(self, error: Exception) -> AlboError:
        """Make the error for a document that could not be made or read."""
        from bson.errors import InvalidBSON
        from pymongo.errors import DocumentTooLarge

        if isinstance(error, InvalidBSON):
            return self.foreign(self._reason(error))
        if isinstance(error, DocumentTooLarge):
            return self._refused(_TOO_LARGE)
        if isinstance(error, UnicodeEncodeError):
            text = ascii(error.object[:_SHOWN_CHARACTERS])
            return CannotWrite(f"{text} is not UTF-8, and MongoDB keeps nothing else; rename it")
        return CannotWrite(
            f"{self.shown} cannot keep an album as it is ({self._reason(error)}); correct what its"
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
            return _bad_address(self.shown)
        if isinstance(error, ConnectionFailure | ConfigurationError):
            return AlboError(
                f"cannot reach MongoDB at {self.shown} ({self._reason(error)}); start it or"
                f" {_ELSEWHERE}"
            )
        return AlboError(
            f"MongoDB at {self.shown} refused what albo asked ({self._reason(error)}); albo needs"
            f" MongoDB 6 or newer: upgrade it or {_ELSEWHERE}"
        )

    def _refused(self, why: tuple[str, str]) -> AlboError:
        said, remedy = why
        kind = CannotWrite if self._write else AlboError
        return kind(f"MongoDB at {self.shown} {said}; {remedy}, or {_ELSEWHERE}")

    def _reason(self, error: Exception) -> str:
        """Return the message of an error, short and without secrets."""
        said = " ".join(str(_first_of_several(error).get("errmsg") or error).split())
        said = re.split(r",? \(configured timeouts|, Timeout: |, full error: ", said)[0]
        said = re.sub(r"\[Errno -?\d+\] ", "", said)
        if any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said) for word in self._secrets):
            return type(error).__name__
        return said[:_SHOWN_CHARACTERS]

    def foreign(self, reason: str) -> StaleArtifact:
        """Make the error for a database with content that albo did not write."""
        return StaleArtifact(
            f"{self.shown} is not as albo makes it ({reason[:_SHOWN_CHARACTERS]});"
            f" if it is another program's, {_ELSEWHERE}"
        )


# --- connecting ----------------------------------------------------------------------------------


def _connect(uri: str) -> MongoClient[Json]:
    """Make a client, which connects at its first request."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    given = {option.partition("=")[0].lower() for option in re.split("[&;?]", uri)[1:]}
    options: Json = {name: value for name, value in _OPTIONS.items() if name.lower() not in given}
    try:
        uri.encode()  # only UTF-8 can be sent
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an option that is unknown or wrong
            return MongoClient(uri, connect=False, **options)
    except (PyMongoError, UserWarning, ValueError, TypeError):
        # Without its message and its cause: they may hold part of the password.
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
