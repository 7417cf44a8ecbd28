"""The table of files on this machine, so that unchanged files are not read again.

A file is unchanged when its path, size, modification time (ns) and inode are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from albo.catalog.database import Database
from albo.records import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from albo.records import Digest


_MIGRATIONS = (
    """
    CREATE TABLE files (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        digest BLOB,
        reason TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID
    """,
)
_SELECT = "SELECT path, size, mtime_ns, inode, digest, reason FROM files"
NOT_AN_IMAGE = "not an image"
"""The reason of a file without an image suffix that proved to be no image: it is ignored."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file that was read."""

    path: str
    """The path of the file."""
    stamp: Stamp
    """The stamp that it had when it was read."""
    digest: Digest | None
    """The digest of its bytes; None where it was skipped."""
    reason: str = ""
    """Why it was skipped; "" if it was not."""


class Files:
    """The table of files, in one SQLite file; local for every catalog."""

    def __init__(self, file: Path, *, write: bool = False) -> None:
        self._database = Database(file, _MIGRATIONS, write=write)

    def __enter__(self) -> Self:
        """Return the table itself; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._database.close()

    def find(self, paths: Sequence[str]) -> dict[str, KnownFile]:
        """Return the records of these paths."""
        rows = self._database.rows_in(f"{_SELECT} WHERE path IN", paths)
        return {row[0]: _known(row) for row in rows}

    def record(self, files: Iterable[KnownFile]) -> None:
        """Write these files, replacing earlier records of their paths."""
        with self._database.transaction() as transaction:
            transaction.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (f.path, f.stamp.size, f.stamp.mtime_ns, f.stamp.inode, f.digest, f.reason)
                    for f in files
                ),
            )

    def skipped(self) -> list[KnownFile]:
        """Return the files that could not be read as covers when last tried, by path."""
        rows = self._database.rows(
            f"{_SELECT} WHERE digest IS NULL AND reason NOT IN ('', ?) ORDER BY path",
            (NOT_AN_IMAGE,),
        )
        return [_known(row) for row in rows]

    def forget(self, paths: Iterable[str]) -> None:
        """Delete the records of these paths."""
        with self._database.transaction() as transaction:
            transaction.executemany("DELETE FROM files WHERE path = ?", ((p,) for p in paths))


def _known(row: tuple[Any, ...]) -> KnownFile:
    path, size, mtime_ns, inode, digest, reason = row
    return KnownFile(path, Stamp(size, mtime_ns, inode), digest, reason)
