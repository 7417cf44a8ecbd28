"""SQLite files opened the same way everywhere, with numbered, append-only migrations."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from albo.errors import AlboError, CannotWrite, StaleArtifact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


_BUSY_SECONDS = 60.0
_CHUNK = 500
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_UNWRITABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY")
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")


class Database:
    """One SQLite file, made and brought up to date when it is opened for writing.

    `migrations[i]` is the script from schema i to i + 1; scripts are only ever appended.
    Readers see whole commits and never block a writer (write-ahead log). For one thread.

    All methods raise StaleArtifact for a file that is damaged or newer than this albo, CannotWrite
    for a read-only file or a full disk, AlboError if another program locks the file.
    """

    def __init__(self, file: Path, migrations: Sequence[str], *, write: bool) -> None:
        self._file = file
        self._write = write
        if not (write or file.is_file()):
            raise StaleArtifact(f"there is no {file}; run `albo embed SOURCE` first")
        with self._plain_errors():
            self._connection = _connect_writer(file) if write else _connect_reader(file)
            try:
                self._migrate(migrations)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._connection.close()

    def rows(self, query: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Run a query and yield its rows."""
        with self._plain_errors():
            yield from self._connection.execute(query, parameters)

    def rows_in(
        self, query: str, items: Sequence[object], parameters: Sequence[object] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Run a query that ends in `IN`, for as many items at a time as SQLite allows.

        Parameters
        ----------
        parameters : the values for the part of the query before `IN`.
        """
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            marks = ", ".join("?" * len(chunk))
            yield from self.rows(f"{query} ({marks})", (*parameters, *chunk))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction, which is rolled back after an error."""
        with self._plain_errors(), self._connection as transaction:
            yield transaction

    def _migrate(self, migrations: Sequence[str]) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        newest = len(migrations)
        if not 0 <= version <= newest:
            raise StaleArtifact(
                f"{self._file} is of schema {version}, this albo knows up to {newest};"
                " upgrade albo to read it"
            )
        if version < newest and not self._write:
            age = "was written by an older albo" if version else "holds nothing yet"
            raise StaleArtifact(f"{self._file} {age}; run `albo embed` first")
        for number in range(version, newest):
            # One transaction each: a crash leaves the old or the new schema, nothing between.
            self._connection.executescript(
                f"BEGIN IMMEDIATE;\n{migrations[number]};\n"
                f"PRAGMA user_version = {number + 1};\nCOMMIT;"
            )

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a bug of albo, not a fault of the file
        except sqlite3.DatabaseError as error:
            raise self._plain(error) from error

    def _plain(self, error: sqlite3.DatabaseError) -> AlboError:
        # An error without a name is Python's: text that is not UTF-8, so the file is damaged.
        kind = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")
        if kind.startswith(_BUSY):
            return AlboError(f"{self._file} is locked by another program; end that and try again")
        if kind.startswith("SQLITE_FULL"):
            return CannotWrite(
                f"cannot write {self._file}: the disk is full; free some space and run it again"
            )
        if kind.startswith(_DAMAGED):
            return StaleArtifact(
                f"{self._file} is damaged ({error}); move it away and run `albo embed SOURCE`:"
                " vectors are kept, so that files are only read"
            )
        if kind == "SQLITE_ERROR":  # a table or a column that is not there
            return StaleArtifact(
                f"{self._file} is not as albo makes it ({error}); if it is another program's, name"
                " another folder with --artifacts"
            )
        if self._write:
            return CannotWrite(
                f"cannot write {self._file}: {error}; change its permissions or name another folder"
                " with --artifacts"
            )
        return StaleArtifact(f"cannot read {self._file}: {error}; change its permissions")


def _connect_writer(file: Path) -> sqlite3.Connection:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(f"cannot write {file.parent}: {error.strerror or error}") from error
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit survives the process's death; after a power cut the last ones may be missing,
        # and the next run reads those files again.
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _connect_reader(file: Path) -> sqlite3.Connection:
    """Open for reading; on a read-only disk, where no log can be made, as immutable."""
    address = file.resolve().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        if not error.sqlite_errorname.startswith(_UNWRITABLE):
            raise
        connection = sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True)
    return connection
