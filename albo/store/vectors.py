"""The vectors and middles of one backbone, in Parquet parts behind a manifest.

How parts are written, merged, checked and read beside a writer is told in `parts`.

Columns: `digest` fixed_size_binary(32), `vector` fixed_size_list<halffloat>[d], `middle`
fixed_size_list<halffloat>[m]. Parquet cannot hold lists of no width, so where m is 0 the column
`middle` is left out. Numbers are split into byte streams and compressed by zstd at level 1: a third
smaller than raw float16 for vectors of real covers (plain zstd saves a quarter, lz4 a fourteenth),
no slower to read, and written many times faster than any backbone embeds. Digests do not compress
and stay as they are.

float16 rounds by at most one part in 2,048: rows read as float32 are scaled back to unit length.
Middles beyond the finite range of float16 (±65,504) are clipped to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from albo.arrays import row_lengths, unit_rows
from albo.errors import RuntimeFailed, StaleArtifact
from albo.records import Embeddings
from albo.store.parts import (
    Kind,
    OpenPart,
    PartStore,
    PartWriter,
    digest_bytes,
    digest_column,
    split,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from albo.records import Digest, Floats, Halves, Ints, Json


_WIDEST = 1 << 20
_LARGEST_HALF = 65_504.0
_UNIT_TOLERANCE = 1e-3
_ROUNDED_TOLERANCE = 5e-3


@dataclass(frozen=True, eq=False)
class Vectors(PartStore):
    """The stored vectors of one backbone: what every cover looks like to it.

    backbone, fingerprint : whose they are. dimension : d. middle_dimension : m, may be 0.
    extra : what else the manifest says of how they were made, such as the backbone's card.

    Reading never locks: each call follows the manifest as it stands then. Between two calls a
    writer may add rows; under the writer lock they agree. `open` or `open_or_create` make one.
    """

    kind: ClassVar = Kind("vector store", "backbone", "albo embed", "embeds", "embedded")

    backbone: str
    fingerprint: str
    dimension: int
    middle_dimension: int
    extra: Json = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> Vectors:
        """Open stored vectors by their manifest.

        Raises StaleArtifact where there are none or the manifest is damaged, ForeignArtifact where
        they are of another backbone than that of `fingerprint`.
        """
        found = cls._open(folder)
        if fingerprint is not None and found.fingerprint != fingerprint:
            found._refuse(f"fingerprint {found.fingerprint}, not {fingerprint}")
        return found

    @classmethod
    def open_or_create(
        cls,
        folder: Path,
        backbone: str,
        fingerprint: str,
        dimension: int,
        middle_dimension: int,
        *,
        extra: Json | None = None,
    ) -> Vectors:
        """Open the vectors of this backbone, or begin them; the caller holds the writer lock.

        Where the manifest is missing or damaged, it is made anew from the parts that are sound,
        and the others are removed. `extra` is of use where the store begins.
        Raises ForeignArtifact where the vectors are another backbone's, CannotWrite.
        """
        wanted = cls(folder, backbone, fingerprint, dimension, middle_dimension, extra or {})
        return cls.open(folder) if wanted._begin() else wanted

    @property
    def state(self) -> str:
        """A token for which covers are stored: 16 hex digits, the same for the same set of them.

        It changes with every cover added or removed, not with a compaction: it says nothing of
        the order of rows.
        """
        parts = self._parts()
        total = sum(part.digest_sum for part in parts) % (1 << 256)
        return state_of(self.fingerprint, sum(part.rows for part in parts), total)

    def read(
        self, digests: Sequence[Digest] | None = None, middle: bool = True
    ) -> tuple[list[Digest], Embeddings]:
        """Read vectors and middles as float32.

        Parameters
        ----------
        digests : the covers, in the order wanted (one may occur twice); None: all, as stored.
        middle : False leaves the middles unread; they come as shape (n, 0).

        Returns the digests, and vector (n, d) with rows of unit length, middle (n, m).
        Raises StaleArtifact where a cover has no vector, or a part is missing or damaged.
        """
        with self._opened() as parts:
            stored = [digest for part in parts for digest in part.digests()]
            if digests is None:
                wanted, rows = stored, np.arange(len(stored))
            else:
                wanted, rows = list(digests), self._rows_of(digests, stored)
            vector = np.empty((len(wanted), self.dimension), np.float32)
            width = self.middle_dimension if middle else 0
            middles = np.empty((len(wanted), width), np.float32)
            self._fill(parts, rows, vector, middles)
        return wanted, Embeddings(vector, middles)

    def batches(
        self, among: Collection[Digest] | None = None
    ) -> Iterator[tuple[list[Digest], Halves]]:
        """Go through the vectors of some covers (all for None), in stored order and flat memory.

        Yields digests and vectors float16 (n, d) as stored (unit length but for the rounding), at
        most a row group at a time; a group without any of the covers is not read. All are of the
        store as it was at the first one. Raises StaleArtifact where a part is missing or damaged.
        """
        with self._opened() as parts:
            for part in parts:
                for group in range(len(part.group_sizes())):
                    names = split(digest_bytes(part.table(group, ["digest"])))
                    rows = [at for at, name in enumerate(names) if among is None or name in among]
                    if rows:
                        table = part.table(group, ["vector"])
                        vector = _numbers(table, "vector", self.dimension)
                        yield [names[at] for at in rows], vector[rows]

    def writer(self) -> VectorWriter:
        """Return a writer, for a `with` statement; the caller holds the writer lock."""
        return VectorWriter(self)

    def _identity(self) -> str:
        return (
            f"{self.backbone} {self.fingerprint} of {self.dimension} + {self.middle_dimension}"
            " numbers"
        )

    def _described(self) -> Json:
        return {
            "backbone": self.backbone,
            "fingerprint": self.fingerprint,
            "dimension": self.dimension,
            "middle_dimension": self.middle_dimension,
            "extra": self.extra,
        }

    @classmethod
    def _recognise(cls, folder: Path, manifest: Json) -> Self:
        kinds = {"backbone": str, "fingerprint": str, "dimension": int, "middle_dimension": int}
        values: Json = {name: manifest.get(name) for name in (*kinds, "extra")}
        sound = all(type(values[name]) is kind for name, kind in kinds.items())
        if not sound or not isinstance(values["extra"], dict):
            raise cls._damaged_manifest(folder)
        found = cls(folder, **values)
        if not (1 <= found.dimension <= _WIDEST and 0 <= found.middle_dimension <= _WIDEST):
            raise cls._damaged_manifest(folder)
        return found

    def _lists(self) -> list[str]:
        return ["vector", "middle"] if self.middle_dimension else ["vector"]

    def _fields(self) -> list[pa.Field]:
        import pyarrow as pa

        number = pa.field("element", pa.float16(), nullable=False)
        widths = (self.dimension, self.middle_dimension)
        return [
            pa.field(name, pa.list_(number, width), nullable=False)
            for name, width in zip(self._lists(), widths, strict=False)
        ]

    def _encoding(self) -> Json:
        numbers = [f"{name}.list.element" for name in self._lists()]
        return {
            "compression": {"digest": "none", **dict.fromkeys(numbers, "zstd")},
            "compression_level": dict.fromkeys(numbers, 1),
            "use_byte_stream_split": numbers,
        }

    def _examine(self, part: OpenPart, table: pa.Table) -> None:
        _unit(part, _numbers(table, "vector", self.dimension))

    def _rows_of(self, digests: Sequence[Digest], stored: list[Digest]) -> Ints:
        row_of = {digest: row for row, digest in enumerate(stored)}
        absent = [digest for digest in digests if digest not in row_of]
        if absent:
            raise StaleArtifact(
                f"{len(absent)} of {len(digests)} covers have no vector of {self.backbone}"
                f" (the first: {absent[0].hex()}); run `{self.kind.mend}`"
            )
        return np.fromiter((row_of[digest] for digest in digests), np.int64, len(digests))

    def _fill(self, parts: list[OpenPart], rows: Ints, vector: Floats, middle: Floats) -> None:
        """Read the row groups that hold the rows wanted, and no others, to where they are wanted.

        rows : int64 (n,), row numbers through all parts. vector (n, d), middle (n, m or 0).
        """
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        columns = ["vector", "middle"] if middle.shape[1] else ["vector"]
        start = 0
        for part in parts:
            for group, size in enumerate(part.group_sizes()):
                first, last = np.searchsorted(ordered, (start, start + size))
                if first < last:
                    table = part.table(group, columns)
                    to, local = order[first:last], ordered[first:last] - start
                    vector[to] = _unit(part, _numbers(table, "vector", self.dimension)[local])
                    middle[to] = _numbers(table, "middle", middle.shape[1])[local]
                start += size

    def _table(self, digests: Sequence[Digest], vector: Halves, middle: Halves) -> pa.Table:
        import pyarrow as pa

        schema = self._schema()
        columns = [digest_column(digests)]
        for name, numbers in zip(self._lists(), (vector, middle), strict=False):
            flat = pa.array(np.ascontiguousarray(numbers).reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=schema.field(name).type))
        return pa.table(columns, schema=schema)


class VectorWriter(PartWriter):
    """Adds vectors to a store, as a `PartWriter` does."""

    def __init__(self, vectors: Vectors) -> None:
        super().__init__(vectors)
        self.vectors = vectors

    def add(self, digests: Sequence[Digest], embeddings: Embeddings) -> None:
        """Take up n covers; those known already, and repeated ones, are ignored.

        digests : n of 32 bytes. embeddings : vector float32 (n, d), unit rows; middle (n, m).

        Raises ValueError for other shapes, RuntimeFailed where numbers are not finite or rows not
        of unit length (within 0.001); then none is taken up.
        """
        self._check(digests, embeddings)
        row_of: dict[Digest, int] = {}
        for row, digest in enumerate(digests):
            if digest not in self._known:
                row_of.setdefault(digest, row)
        if not row_of:
            return
        rows = list(row_of.values())
        middle = np.clip(embeddings.middle[rows], -_LARGEST_HALF, _LARGEST_HALF)
        vector = embeddings.vector[rows].astype(np.float16)
        self._add(row_of, self.vectors._table(list(row_of), vector, middle.astype(np.float16)))

    def _check(self, digests: Sequence[Digest], embeddings: Embeddings) -> None:
        store = self.vectors
        shapes = (embeddings.vector.shape, embeddings.middle.shape)
        wanted = ((len(digests), store.dimension), (len(digests), store.middle_dimension))
        if shapes != wanted:
            raise ValueError(f"vector and middle of shapes {shapes}, wanted {wanted}")
        if not (np.isfinite(embeddings.vector).all() and np.isfinite(embeddings.middle).all()):
            raise RuntimeFailed(
                f"{store.backbone} gave numbers that are not finite; try another --device"
            )
        worst = float(np.abs(row_lengths(embeddings.vector) - 1.0).max(initial=0.0))
        if worst > _UNIT_TOLERANCE:
            raise RuntimeFailed(
                f"{store.backbone} gave vectors off unit length by {worst:.2g}, limit"
                f" {_UNIT_TOLERANCE:g}; try another --device"
            )


def _unit(part: OpenPart, vector: Halves) -> Floats:
    """Scale rows back to unit length; a row far from it was never written so."""
    return unit_rows(
        vector,
        _ROUNDED_TOLERANCE,
        lambda _length: part.damaged("damaged (rows are not of unit length)"),
    )


def _numbers(table: pa.Table, name: str, width: int) -> Halves:
    """View a column of lists as float16 (n, width), without a copy; the column is in one piece."""
    if width == 0 or table.num_rows == 0:
        return np.empty((table.num_rows, width), np.float16)
    flat = table.column(name).chunk(0).flatten().to_numpy(zero_copy_only=True)
    numbers: Halves = flat.reshape(-1, width)
    return numbers
