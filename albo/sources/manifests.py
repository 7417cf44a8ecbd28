"""A table of covers as a source."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING

from albo.errors import UsageError
from albo.records import Album, Skipped
from albo.sources.listing import Entry, Remarks, genre_from_folder, stamp_file
from albo.sources.rows import Row, Table, open_table

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLUMNS = frozenset(
    ("file", "genre", "subgenre", "artist", "artist_id", "album", "album_id", "year", "dup_group")
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


# --- manifests -----------------------------------------------------------------------------------


class Manifest:
    """A CSV or Parquet table of covers: `file`, and optionally `genre`, `artist`, `album` etc.

    Parameters
    ----------
    path : the table; albums are kept under its real path.
    genre : `folder`, `none`, or the genre of every cover; None reads the column `genre`.

    Raises UsageError if the beginning of the file shows that it is not such a table.
    """

    def __init__(self, path: str, genre: str | None) -> None:
        self.name = os.path.realpath(path)
        self.remarks = Remarks()
        self._genre = genre
        self._folder = os.path.dirname(self.name)
        self._is_whole = True
        next(self._rows(), None)

    def entries(self) -> Iterator[Entry]:
        """Yield the table's rows in order; `remarks` lists the unreadable ones and why."""
        times: Counter[str] = Counter()
        repeated = 0
        for row in self._readable_rows():
            file = row["file"]
            key = row.get("album_id") or file
            repeated += key in times
            album = self._album(row, file, _own_id(key, times))
            yield Entry(album, stamp_file(album.uri))
        if repeated:
            self.remarks.notes.append(
                f"{self.name}: {repeated} rows have the file or album_id of an earlier row;"
                " each counts as an album of its own"
            )

    def is_gone(self, album_id: str) -> bool:  # noqa: ARG002
        """Return True, unless a row that could not be read may have listed the album."""
        return self._is_whole

    def _readable_rows(self) -> Iterator[dict[str, str]]:
        failures = self.remarks.failures
        try:
            for number, row in enumerate(self._rows(), start=1):
                where = f"{self.name}, row {number}"
                if isinstance(row, str):
                    self._is_whole = False
                    failures.append(Skipped(where, row))
                elif problem := _unusable(row["file"]):
                    failures.append(Skipped(where, problem))
                else:
                    yield row
        except UsageError as error:
            self._is_whole = False
            failures.append(Skipped(self.name, str(error).removeprefix(f"{self.name} ")))

    def _rows(self) -> Iterator[Row]:
        with open_table(self.name) as table:
            _check_columns(table)
            yield from table.rows(_COLUMNS)

    def _album(self, row: dict[str, str], file: str, album_id: str) -> Album:
        uri = os.path.normpath(os.path.join(self._folder, file))
        if self._genre is None:
            genre = row.get("genre", "")
        else:
            genre = genre_from_folder(os.path.dirname(uri), self._genre)
        return Album(
            source=self.name,
            album_id=album_id,
            uri=uri,
            name=row.get("album", ""),
            year=_year(row.get("year", "")),
            genre=genre,
            subgenre=row.get("subgenre", ""),
            artist=row.get("artist", ""),
            artist_id=row.get("artist_id", ""),
            dup_group=row.get("dup_group", ""),
        )


def _check_columns(table: Table) -> None:
    if "file" not in table.names:
        listed = ", ".join(table.names[:8]) or "none"
        raise UsageError(
            f"{table.path} has no column `file` (its columns: {listed}); add one with paths"
        )


def _unusable(file: str) -> str:
    """Return why a row's `file` cannot be a file name; "" if it can."""
    if not file or "\0" in file:
        return "no usable file name in column `file`"
    if _URL.match(file):
        return f"{file} is a URL; albo reads files only: download it and name the file"
    return ""


def _own_id(key: str, times: Counter[str]) -> str:
    """Make the id of a row; rows of one key are numbered in their order."""
    wanted = key
    while times[wanted]:
        times[key] += 1
        wanted = f"{key}#{times[key]}"
    times[wanted] += 1
    return wanted


def _year(text: str) -> int | None:
    """Read a year from `2015`, `2015.0`, a date or `2015-03-01`; None if there is none."""
    found = re.match(r"\d{4}(?!\d)", text)
    return int(found[0]) if found else None
