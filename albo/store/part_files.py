"""One part: a Parquet file of rows by digest, how it is written, and how it is read and checked.

Every part has a column `digest`, fixed_size_binary(32), and the columns of its store's form.
No value is null. Every page has a checksum, which reading verifies. The schema holds the
identity of the store, and the manifest has a checksum of the whole file.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from errno import ENOENT
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeAlias

from albo.store.digests import (
    DIGEST_BYTES,
    MODULUS,
    digest_bytes,
    digest_column,
    split_digests,
    sum_of,
)
from albo.store.writing import file_checksum, plain_write_errors, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

    from albo.errors import StaleArtifact
    from albo.records import Digest, Json
    from albo.store.forms import Form

    AnyForm: TypeAlias = Form[Any]


GROUP_ROWS = 256
"""Rows of a row group, the unit of reading and writing: 1 MB for 1,280 + 688 numbers a row.

Arrow holds several copies of a group while it writes one: with 2,048 rows a compaction took 100 MB
more, and read no faster."""

PART_NAME = re.compile(r"part-(\d{6,12})-[0-9a-f]{8}\.parquet")
"""The name of a part: its number, and a random token that distinguishes parts of one number."""


@dataclass(frozen=True, slots=True)
class Part:
    """The manifest's entry for one part."""

    file: str
    """The file's name, see `PART_NAME`."""

    rows: int
    """The number of covers in it."""

    digest_sum: int
    """The sum of their digests, see `sum_of`."""

    checksum: str
    """SHA-256 of the file, 64 hex digits."""

    def as_json(self) -> Json:
        """Return its entry in the manifest."""
        return {
            "file": self.file,
            "rows": self.rows,
            "digest_sum": f"{self.digest_sum:064x}",
            "checksum": self.checksum,
        }

    @classmethod
    def from_json(cls, given: Json) -> Part:
        """Read an entry. Raises ValueError, TypeError or KeyError if `as_json` did not write it."""
        part = cls(given["file"], given["rows"], int(given["digest_sum"], 16), given["checksum"])
        if PART_NAME.fullmatch(part.file) is None or type(part.rows) is not int or part.rows < 1:
            raise ValueError(f"no part is {part}")
        return part

    @property
    def number(self) -> int:
        """Its place among the parts."""
        match = PART_NAME.fullmatch(self.file)
        return int(match[1]) if match else 0


def next_number(parts: list[Part]) -> int:
    """Return the number of the next part."""
    return max((part.number for part in parts), default=0) + 1


def schema_of(form: AnyForm) -> pa.Schema:
    """Return the columns of a part, with the store's identity as metadata."""
    import pyarrow as pa

    # No value is null; declaring that saves Parquet a level for every number.
    digest = pa.field("digest", pa.binary(DIGEST_BYTES), nullable=False)
    return pa.schema([digest, *form.fields()], {b"albo": form.identity.encode()})


def table_of(form: AnyForm, digests: Sequence[Digest], columns: list[pa.Array]) -> pa.Table:
    """Make a table of covers and their columns. Raises ValueError for a digest of wrong length."""
    import pyarrow as pa

    return pa.table([digest_column(digests), *columns], schema=schema_of(form))


def write_part(folder: Path, number: int, form: AnyForm, tables: Iterable[pa.Table]) -> Part:
    """Write rows as a new part, in full row groups; no manifest names it yet.

    The tables are taken one by one, so memory stays bounded. Raises CannotWrite.
    """
    import pyarrow.parquet as pq

    path = folder / f"part-{number:06d}-{secrets.token_hex(4)}.parquet"
    rows = digest_sum = 0

    def write(file: BinaryIO) -> None:
        nonlocal rows, digest_sum
        with pq.ParquetWriter(
            file,
            schema_of(form),
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
            **form.encoding(),
        ) as parquet:
            for table in _regroup(tables):
                parquet.write_table(table, GROUP_ROWS)
                rows += table.num_rows
                digest_sum = (digest_sum + sum_of(digest_bytes(table))) % MODULUS

    write_atomically(path, write)
    with plain_write_errors(path):
        return Part(path.name, rows, digest_sum, file_checksum(path))


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Pass rows on in tables of one full row group each; the last one may be shorter."""
    import pyarrow as pa

    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        while rows >= GROUP_ROWS:
            joined = pa.concat_tables(held)
            yield joined.slice(0, GROUP_ROWS)
            held = [joined.slice(GROUP_ROWS)]
            rows -= GROUP_ROWS
    if rows:
        yield pa.concat_tables(held)


class OpenPart:
    """One part, opened for reading: everything that it returns has been checked.

    Parameters
    ----------
    folder
        The store's folder.
    part
        The manifest's entry; if it says 0 rows, the number of rows is not checked.
    form
        The form that the rows must have.
    """

    def __init__(self, folder: Path, part: Part, form: AnyForm) -> None:
        self._path = folder / part.file
        self._part = part
        self._form = form
        self._file: pq.ParquetFile

    def __enter__(self) -> Self:
        """Open it. Raises FileNotFoundError, StaleArtifact if it does not fit its entry."""
        import pyarrow.parquet as pq

        try:
            with self.plain_errors():
                self._file = pq.ParquetFile(
                    self._path, page_checksum_verification=True, pre_buffer=False
                )
        except FileNotFoundError:
            raise FileNotFoundError(ENOENT, "missing", str(self._path)) from None
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._file.close()

    def _check(self) -> None:
        with self.plain_errors():
            schema = self._file.schema_arrow
            rows = self._file.metadata.num_rows
        identity = self._form.identity
        if not schema.equals(schema_of(self._form), check_metadata=False) or (
            (schema.metadata or {}).get(b"albo") != identity.encode()
        ):
            raise self.damaged(f"not of {identity}")
        if self._part.rows and rows != self._part.rows:
            raise self.damaged(f"damaged ({rows} rows, not {self._part.rows})")

    def damaged(self, reason: str) -> StaleArtifact:
        """Make the error for this damaged part."""
        return self._form.kind.damaged_part(self._path, reason)

    def plain_errors(self) -> AbstractContextManager[None]:
        """Turn the errors that damage causes in Arrow and Python into StaleArtifact."""
        return self._form.kind.plain_read_errors(self._path)

    def group_sizes(self) -> list[int]:
        """Return the number of rows of each row group."""
        metadata = self._file.metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def table(self, group: int, columns: list[str] | None = None) -> pa.Table:
        """Read one row group, every column in one piece.

        Parameters
        ----------
        columns : the names of the columns to read; None reads all.

        Raises StaleArtifact.
        """
        with self.plain_errors():
            table = self._file.read_row_group(group, columns=columns).combine_chunks()
            size = self._file.metadata.row_group(group).num_rows
            if table.num_rows != size or any(column.null_count for column in table.columns):
                raise ValueError(f"{table.num_rows} rows, not {size}")
        return table

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Read the row groups one after the other, as `table` does."""
        for group in range(self._file.metadata.num_row_groups):
            yield self.table(group, columns)

    def digests(self) -> list[Digest]:
        """Return the digests, in stored order. Raises StaleArtifact if their sum is wrong."""
        blob = b"".join(digest_bytes(table) for table in self.tables(["digest"]))
        if sum_of(blob) != self._part.digest_sum:
            raise self.damaged("damaged (its digests are others)")
        return split_digests(blob)

    def describe(self) -> tuple[Part, list[Digest]]:
        """Read every page of a part that no manifest describes; return its entry and digests.

        Raises StaleArtifact if any page or row is damaged, or there is no row.
        """
        blobs = []
        for table in self.tables():
            with self.plain_errors():
                self._form.examine(table)
            blobs.append(digest_bytes(table))
        blob = b"".join(blobs)
        with self.plain_errors():
            checksum = file_checksum(self._path)
        if not blob:
            raise self.damaged("empty")
        digests = split_digests(blob)
        part = replace(self._part, rows=len(digests), digest_sum=sum_of(blob), checksum=checksum)
        return part, digests
