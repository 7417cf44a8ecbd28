"""Splits drawn by others: which covers to learn from, and which to score.

A split is a CSV or Parquet table with a column `split` (train, test, or the number of a fold) or
`fold`, and a column `digest` or `file`, relative to the table. A manifest may have a column
`published_split` as well.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal, TypeAlias

from albo.errors import NoSplit, UsageError
from albo.sources import open_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from albo.records import Album, Digest


Side: TypeAlias = "Literal['train', 'test'] | int"
"""The side of a cover: to learn from, to be scored on, or the number of its fold."""

COLUMNS = ("split", "fold", "published_split")
"""The columns that may name a side, the preferred one first."""
PUBLISHED = ("published_split",)
"""The column of a manifest."""

_MAX_BYTES = 256 << 20
_DIGEST = ("digest", "sha256")
_MOST_FOLDS = 1_000_000
_WORDS: Mapping[str, Literal["train", "test"]] = {
    "train": "train",
    "training": "train",
    "test": "test",
}


Sides: TypeAlias = "Mapping[str, set[Side]]"
"""The sides that a split names for each cover, by its digest (hex) or its file's full path."""


def read_split(path: Path, columns: Sequence[str] = COLUMNS) -> dict[str, set[Side]]:
    """Return the sides of each cover by its digest (hex) or its file's full path.

    Rows without a side are left out. A manifest's rows that cannot be read are left out too, as by
    `albo embed`. In any other table such a row is an error, as a split has to be complete.

    Parameters
    ----------
    path : a CSV or Parquet table, by the rules for manifests.
    columns : columns that may name the side; the first one in the table is used.

    Raises NoSplit where the table lacks a column that a split needs, UsageError where it cannot be
    read or a row names an unknown side.
    """
    _check_file(path)
    folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    sides: dict[str, set[Side]] = {}
    with open_table(str(path)) as table:
        side_column, cover_columns = _choose_columns(table.path, table.names, columns)
        for number, row in enumerate(table.rows((side_column, *cover_columns)), start=1):
            if isinstance(row, str):
                if side_column not in PUBLISHED:
                    raise UsageError(f"{path}, row {number}: {row}")
            elif row[side_column]:
                side = _side(row[side_column], path, number)
                for name in cover_columns:
                    if row[name]:
                        sides.setdefault(_key(name, row[name], folder), set()).add(side)
    return sides


def _choose_columns(
    path: str, names: Sequence[str], columns: Sequence[str]
) -> tuple[str, list[str]]:
    """Return the column that names the side, and those that name the cover."""
    side_column = next((name for name in columns if name in names), None)
    cover_columns = [name for name in (*_DIGEST, "file") if name in names]
    if side_column is None or not cover_columns:
        raise NoSplit(
            f"{path} has columns {', '.join(names)[:200] or 'none'}; a split has `digest` or"
            f" `file`, and `{columns[0]}`"
        )
    return side_column, cover_columns


def _key(column: str, value: str, folder: str) -> str:
    if column in _DIGEST:
        return value.lower()
    return os.path.normpath(os.path.join(folder, value))  # noqa: PTH118


def sides_of(albums: Iterable[Album], sides: Sides) -> tuple[dict[Digest, Side], int]:
    """Return the side of each cover, by the digests and files of its albums.

    A cover on two sides is left out, as a head would be scored on a cover that it has learnt.
    Returns the sides, and the number of covers left out.
    """
    found: dict[Digest, set[Side]] = {}
    for album in albums:
        if album.digest is not None:
            said = sides.get(album.digest.hex(), set()) | sides.get(album.uri, set())
            if said:
                found.setdefault(album.digest, set()).update(said)
    one = {digest: next(iter(said)) for digest, said in found.items() if len(said) == 1}
    return one, len(found) - len(one)


def _side(said: str, path: Path, row: int) -> Side:
    if said.isascii() and said.isdigit() and int(said[:9]) < _MOST_FOLDS:
        return int(said[:9])
    side = _WORDS.get(said.casefold())
    if side is None:
        raise UsageError(
            f"{path}, row {row}: {said[:40]!r} is neither train, test nor the number of a fold"
        )
    return side


def _check_file(path: Path) -> None:
    """Raise UsageError for a file that cannot be a split, before it is read."""
    remedy = "give grouped, random, published, or a CSV or Parquet table"
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the split {path} cannot be read: {reason}; {remedy}") from error
    if not stat.S_ISREG(found.st_mode):  # a pipe is waited for, and a device has no end
        raise UsageError(f"the split {path} is no file; {remedy}")
    if found.st_size > _MAX_BYTES:
        raise UsageError(f"{path} has more than {_MAX_BYTES >> 20} MiB; no split is so large")
