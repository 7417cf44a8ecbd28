"""The one reader of tables, for manifests and splits: CSV with any usual separator, or Parquet.

Column names are folded: surrounding blanks are removed, and case makes no difference. Values are
texts without surrounding blanks, for all types of columns.
"""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, TypeAlias

from albo.errors import UsageError
from albo.sources.listing import is_utf8
from albo.texts import lines_of

if TYPE_CHECKING:
    from _csv import Reader as CsvReader
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import TextIO

    import pyarrow as pa
    from pyarrow.parquet import ParquetFile


_LONGEST_FIELD = 1 << 20
_LONGEST_LINE = 1 << 24
_LONGEST_TEXT = 1 << 16
_LONGEST_SHOWN = 100
_AND = "\x1f"  # between the values of a list; Unicode's separator of units
_LABELS = ("genre", "subgenre")
_NO_TEXT = "not UTF-8 text; save it as UTF-8"

Row: TypeAlias = "dict[str, str] | str"
"""The values of a row by column, or the reason why the row cannot be read."""


@dataclass(frozen=True)
class Table:
    """A table that is open for reading."""

    path: str
    """The file, as the user named it."""
    names: Sequence[str]
    """The folded names of all columns, in the table's order."""
    read: Callable[[Collection[str]], Iterator[Row]]
    """The function that reads the rows, with the columns of these names."""

    def rows(self, wanted: Collection[str]) -> Iterator[Row]:
        """Read the rows in order, once; blank rows are left out.

        Parameters
        ----------
        wanted : folded names of the columns to read; a row lacks those that the table lacks.

        Raises UsageError if a wanted column occurs twice, or the file is truncated.
        """
        times = Counter(self.names)
        twice = [name for name in times if times[name] > 1 and name in wanted]
        if twice:
            raise UsageError(
                f"{self.path} has the column `{twice[0]}` more than once; keep one of them"
            )
        return map(_check_text, self.read(wanted))


@contextmanager
def open_table(path: str) -> Iterator[Table]:
    """Open a table; one whose name ends in `.parquet` is read as Parquet, all others as CSV.

    Raises UsageError if it cannot be read.
    """
    with (_open_parquet if path.lower().endswith(".parquet") else _open_csv)(path) as table:
        yield table


def _fold_name(name: str) -> str:
    return name.strip().lower()


def _check_text(row: Row) -> Row:
    """Return a row, or the reason why its text is invalid."""
    for name, text in () if isinstance(row, str) else row.items():
        if not is_utf8(text):
            return f"column `{name}` is {_NO_TEXT}"
        if len(text) > _LONGEST_TEXT:
            return f"column `{name}` has {len(text):,} characters, more than {_LONGEST_TEXT:,}"
    return row


# --- CSV -----------------------------------------------------------------------------------------


@contextmanager
def _open_csv(path: str) -> Iterator[Table]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with _csv_errors(path):
        # Bytes that are not UTF-8 become lone surrogates, so only their own row is refused.
        opened = open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")  # noqa: SIM115
    with opened:
        with _csv_errors(path):
            lines = _csv_lines(opened)
            header, blank = next(lines, ""), 0
            while header.isspace():
                header, blank = next(lines, ""), blank + 1
            if not is_utf8(header):
                raise UsageError(f"{path} is {_NO_TEXT}")
            separator = max(",;\t", key=header.count)
            reader = csv.reader(chain([header], lines), delimiter=separator, strict=True)
            names = [_fold_name(name) for name in next(reader, [])]

        def read(wanted: Collection[str]) -> Iterator[Row]:
            with _csv_errors(path):
                yield from _csv_rows(reader, names, wanted, blank)

        yield Table(path, names, read)


@contextmanager
def _csv_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (csv.Error, OSError) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}") from error


def _csv_rows(
    reader: CsvReader, names: Sequence[str], wanted: Collection[str], before: int
) -> Iterator[Row]:
    """Yield rows; after an unreadable one, a new reader begins with the next line.

    Parameters
    ----------
    before : how many lines precede those that the reader counts.
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
            yield {name: value.strip() for name, value in columns if name in wanted}


def _csv_lines(opened: TextIO) -> Iterator[str]:
    while line := opened.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(
                f"a line of {_LONGEST_LINE:,} characters or more, where reading has ended"
            )
        yield line


# --- Parquet -------------------------------------------------------------------------------------


@contextmanager
def _open_parquet(path: str) -> Iterator[Table]:
    import pyarrow as pa
    from pyarrow import parquet

    with _parquet_errors(path):
        schema = parquet.read_schema(path)
        # A few bytes may encode one long text in millions of rows: it is kept once.
        flat = [column.name for column in schema if not pa.types.is_nested(column.type)]
        opened = parquet.ParquetFile(path, read_dictionary=flat)
    with opened:

        def read(wanted: Collection[str]) -> Iterator[Row]:
            with _parquet_errors(path):
                yield from _parquet_rows(opened, wanted)

        yield Table(path, [_fold_name(name) for name in schema.names], read)


@contextmanager
def _parquet_errors(path: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        reason = lines_of(error)[0]
        raise UsageError(f"{path} cannot be read as Parquet: {reason}") from error


def _parquet_rows(opened: ParquetFile, wanted: Collection[str]) -> Iterator[Row]:
    # Only the wanted columns: others may hold the images themselves.
    chosen = [name for name in opened.schema_arrow.names if _fold_name(name) in wanted]
    for batch in opened.iter_batches(batch_size=4_096, columns=chosen):
        names = [_fold_name(name) for name in batch.schema.names]
        for texts in zip(*map(_column_texts, batch.columns), strict=True):
            yield _of_one_label(dict(zip(names, texts, strict=True)))


def _of_one_label(row: dict[str, str]) -> Row:
    """Return a row with several values of a column written as one text, or why it cannot be."""
    for name, text in row.items():
        if _AND not in text:
            continue
        values = text.split(_AND)
        if name in _LABELS:
            said = ", ".join(values)[:_LONGEST_SHOWN]
            return f"column `{name}` has {len(values)} values ({said}); give one for each cover"
        row[name] = ", ".join(values)
    return row


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
        column = column.cast(pa.timestamp(kind.unit))  # its time zone may be unknown
    if pa.types.is_temporal(kind):
        column = column.cast(pa.string())  # Arrow has more types of time than Python
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = column.cast(pa.large_binary())  # it may not be valid UTF-8
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124  NaN
        return ""
    if isinstance(value, list):  # one value stands for itself, none for a blank
        return _AND.join(dict.fromkeys(text for one in value if (text := _text(one))))
    if isinstance(value, bytes):  # older Parquet writers do not mark a column as text
        value = value.decode(errors="surrogateescape")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
