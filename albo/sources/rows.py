"""Read the rows of a table: CSV with any usual separator, or Parquet."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, TypeAlias

from albo.errors import UsageError
from albo.sources.listing import is_utf8
from albo.texts import lines_of

if TYPE_CHECKING:
    from _csv import Reader as CsvReader
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TextIO

    import pyarrow as pa


_COLUMNS = frozenset(
    ("file", "genre", "subgenre", "artist", "artist_id", "album", "album_id", "year", "dup_group")
)
_LONGEST_FIELD = 1 << 20
_LONGEST_LINE = 1 << 24
_LONGEST_TEXT = 1 << 16
_NO_TEXT = "not UTF-8 text; save it as UTF-8"

Row: TypeAlias = "dict[str, str] | str"
"""The columns of a row that albo knows, or why the row cannot be read."""


def check_text(row: Row) -> Row:
    """Return a row, or what is wrong with its text."""
    for name, text in () if isinstance(row, str) else row.items():
        if not is_utf8(text):
            return f"column `{name}` is {_NO_TEXT}"
        if len(text) > _LONGEST_TEXT:
            return f"column `{name}` has {len(text):,} characters, more than {_LONGEST_TEXT:,}"
    return row


def csv_rows(path: str) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    try:
        # What is not UTF-8 spoils its row alone: it comes as lone surrogates.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
            lines = _csv_lines(opened)
            header, blank = next(lines, ""), 0
            while header.isspace():
                header, blank = next(lines, ""), blank + 1
            if not is_utf8(header):
                raise UsageError(f"{path} is {_NO_TEXT}")
            separator = max(",;\t", key=header.count)
            reader = csv.reader(chain([header], lines), delimiter=separator, strict=True)
            names = next(reader, [])
            _check_columns(path, names)
            yield from _csv_table(reader, [_column(name) for name in names], blank)
    except (csv.Error, OSError) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}") from error


def _csv_table(reader: CsvReader, names: Sequence[str], before: int) -> Iterator[Row]:
    """Go on after a row that cannot be read: the reader then begins with the next line.

    before : lines above those that the reader counts.
    """
    while True:
        first = before + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {first} is not CSV: {error}; check its quotes"
            continue
        if any(map(str.strip, values[len(names) :])):
            surplus = f"{len(values)} fields for {len(names)} columns"
            yield f"line {first} has {surplus}; put quotes around what holds a separator"
        elif any(map(str.strip, values)):
            columns = zip_longest(names, values[: len(names)], fillvalue="")
            yield {name: value.strip() for name, value in columns if name in _COLUMNS}


def _csv_lines(opened: TextIO) -> Iterator[str]:
    while line := opened.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(
                f"a line of {_LONGEST_LINE:,} characters or more, where reading has ended"
            )
        yield line


def parquet_rows(path: str) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        _check_columns(path, schema.names)
        # Only these: what else there is may be the images themselves.
        wanted = [name for name in schema.names if _column(name) in _COLUMNS]
        # A few bytes may stand for one long text in millions of rows: it is kept once.
        flat = [f.name for f in schema if f.name in wanted and not pa.types.is_nested(f.type)]
        with parquet.ParquetFile(path, read_dictionary=flat) as table:
            for batch in table.iter_batches(batch_size=4_096, columns=wanted):
                known = [_column(name) for name in batch.schema.names]
                for texts in zip(*map(_column_texts, batch.columns), strict=True):
                    yield dict(zip(known, texts, strict=True))
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        reason = lines_of(error)[0]
        raise UsageError(f"{path} cannot be read as Parquet: {reason}") from error


def _column_texts(column: pa.Array) -> list[str]:
    """Return a column's values as text; equal ones of a dictionary are one object."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        numbers = column.indices.unique()
        texts = _column_texts(column.dictionary.take(numbers))
        text_of = dict(zip(numbers.to_pylist(), texts, strict=True))
        return [text_of[number] for number in column.indices.to_pylist()]
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp(kind.unit))  # its time zone may be one that nobody knows
    if pa.types.is_temporal(kind):
        column = column.cast(pa.string())  # Arrow knows more times than Python
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = column.cast(pa.large_binary())  # it need not be valid UTF-8
    return [_text(value) for value in column.to_pylist()]


def _column(name: str) -> str:
    return name.strip().lower()


def _check_columns(path: str, names: Iterable[str]) -> None:
    there = [_column(name) for name in names]
    if "file" not in there:
        listed = ", ".join(there[:8]) or "none"
        raise UsageError(f"{path} has no column `file` (its columns: {listed}); add one with paths")
    twice = [name for name, times in Counter(there).items() if times > 1 and name in _COLUMNS]
    if twice:
        raise UsageError(f"{path} has the column `{twice[0]}` more than once; keep one of them")


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124  NaN
        return ""
    if isinstance(value, bytes):  # older writers of Parquet do not say that a column is text
        value = value.decode(errors="surrogateescape")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
