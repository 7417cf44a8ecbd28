"""Splits that others have drawn: which covers to learn from, and which to be scored on.

A table, CSV or Parquet, with a column `split` (train, test, or the number of a fold) or `fold`, and
a column `digest` or `file`, relative to the table. A manifest may hold a `published_split` as well.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal, TypeAlias

from albo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from albo.records import Album, Digest


Side: TypeAlias = "Literal['train', 'test'] | int"
"""Where a split puts a cover: to learn from, to be scored, or in a fold of that number."""

COLUMNS = ("split", "fold", "published_split")
PUBLISHED = ("published_split",)

_MAX_BYTES = 256 << 20
_DIGEST = ("digest", "sha256")
_READ = frozenset({*COLUMNS, *_DIGEST, "file"})
_MOST_FOLDS = 1_000_000
_WORDS: Mapping[str, Literal["train", "test"]] = {
    "train": "train",
    "training": "train",
    "test": "test",
}


Sides: TypeAlias = "Mapping[str, set[Side]]"
"""By digest (hex) or a file's full path, every side that a split puts it on."""


def read_split(path: Path, columns: Sequence[str] = COLUMNS) -> dict[str, set[Side]]:
    """Return the sides of each cover by its digest (hex) or its file's full path.

    columns : that may say it; the first that is there does. Rows that say nothing are left out.
    Raises UsageError for what is no such table.
    """
    table = _read_table(path)
    said_in = next((name for name in columns if name in table), None)
    named_in = [name for name in (*_DIGEST, "file") if name in table]
    if said_in is None or not named_in:
        raise UsageError(
            f"{path} has columns {', '.join(table)[:200] or 'none'}; a split has `digest` or"
            f" `file`, and `{columns[0]}`"
        )
    folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    sides: dict[str, set[Side]] = {}
    for number, said in enumerate(table[said_in], start=1):
        if said:
            side = _side(said, path, number)
            for name in named_in:
                if key := table[name][number - 1]:
                    sides.setdefault(_key(name, key, folder), set()).add(side)
    return sides


def _key(column: str, value: str, folder: str) -> str:
    if column in _DIGEST:
        return value.lower()
    return os.path.normpath(os.path.join(folder, value))  # noqa: PTH118


def sides_of(albums: Iterable[Album], sides: Sides) -> tuple[dict[Digest, Side], int]:
    """Return the side of each cover, by the digests and files of its albums.

    A cover that is put on two is on none: it would be learnt by heart. Returns how many these are.
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


def _read_table(path: Path) -> dict[str, list[str]]:
    """Return a table's columns as texts, names folded to lower case."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe is waited for, and a device has no end
            raise UsageError(
                f"the split {path} is no file; give grouped, random, published, or a CSV or"
                " Parquet table"
            )
        if found.st_size > _MAX_BYTES:
            raise UsageError(f"{path} has more than {_MAX_BYTES >> 20} MiB; no split is so large")
        if path.suffix.lower() == ".parquet":
            table = parquet.read_table(path)
        else:
            with csv.open_csv(path) as opened:
                texts = {name: pa.string() for name in opened.schema.names}
            # As they are written: "007.jpg" without its suffix is no number.
            table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=texts))
        names = [name.strip().lower() for name in table.column_names]
        columns = {
            name: table.column(place).cast(pa.string()).to_pylist() if name in _READ else []
            for place, name in enumerate(names)
        }
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:160]
        raise UsageError(
            f"the split {path} cannot be read: {reason}; give grouped, random, published, or a"
            " CSV or Parquet table"
        ) from error
    return {name: [(value or "").strip() for value in values] for name, values in columns.items()}
