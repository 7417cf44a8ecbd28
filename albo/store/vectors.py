"""The vectors and middles of one backbone, in Parquet parts with a manifest.

`parts` describes how parts are written, merged, checked and read beside a writer.

Columns: `digest` fixed_size_binary(32), `vector` fixed_size_list<halffloat>[d], `middle`
fixed_size_list<halffloat>[m]. Parquet cannot hold lists of width 0, so with m = 0 the column
`middle` is left out. Numbers are split into byte streams and compressed by zstd at level 1. For
vectors of real covers that is a third smaller than raw float16 (plain zstd saves a quarter, lz4 a
fourteenth), as fast to read, and written many times faster than any backbone embeds. Digests do
not compress and are stored raw.

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
from albo.store.digests import digests_of, state_of
from albo.store.forms import StoreKind
from albo.store.part_store import PartStore
from albo.store.part_writer import PartWriter
from albo.store.parts import Parts, open_or_create_parts, open_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from albo.records import Digest, Floats, Halves, Ints, Json
    from albo.store.part_files import OpenPart


_WIDEST = 1 << 20
_LARGEST_HALF = 65_504.0
_UNIT_TOLERANCE = 1e-3
_ROUNDED_TOLERANCE = 5e-3


@dataclass(frozen=True, slots=True)
class VectorForm:
    """The form of a store of vectors: their backbone, and how many numbers a row has.

    It is a `Form` of `Embeddings`.
    """

    kind: ClassVar = StoreKind("vector store", "backbone", "albo embed", "embeds", "embedded")
    """The words of messages about such a store."""

    backbone: str
    """The backbone's name."""

    fingerprint: str
    """The backbone's fingerprint."""

    dimension: int
    """d, the numbers of a vector."""

    middle_dimension: int
    """m, the numbers of a middle; may be 0."""

    extra: Json = field(default_factory=dict)
    """Other facts in the manifest about the vectors, such as the backbone's card."""

    @property
    def identity(self) -> str:
        """The backbone and the widths."""
        return (
            f"{self.backbone} {self.fingerprint} of {self.dimension} + {self.middle_dimension}"
            " numbers"
        )

    def described(self) -> Json:
        """Return the content of the manifest other than the parts."""
        return {
            "backbone": self.backbone,
            "fingerprint": self.fingerprint,
            "dimension": self.dimension,
            "middle_dimension": self.middle_dimension,
            "extra": self.extra,
        }

    @classmethod
    def recognise(cls, manifest: Json) -> Self:
        """Read the form that a manifest describes. Raises ValueError if it describes none."""
        kinds = {"backbone": str, "fingerprint": str, "dimension": int, "middle_dimension": int}
        values: Json = {name: manifest.get(name) for name in (*kinds, "extra")}
        sound = all(type(values[name]) is kind for name, kind in kinds.items())
        if not sound or not isinstance(values["extra"], dict):
            raise ValueError("no vectors are described")
        found = cls(**values)
        if not (1 <= found.dimension <= _WIDEST and 0 <= found.middle_dimension <= _WIDEST):
            raise ValueError("no vectors have these widths")
        return found

    def fields(self) -> list[pa.Field]:
        """Return the columns `vector` and, if m > 0, `middle`."""
        import pyarrow as pa

        number = pa.field("element", pa.float16(), nullable=False)
        widths = (self.dimension, self.middle_dimension)
        return [
            pa.field(name, pa.list_(number, width), nullable=False)
            for name, width in zip(self._lists(), widths, strict=False)
        ]

    def encoding(self) -> Json:
        """Return the settings of Parquet: numbers as byte streams in zstd, digests raw."""
        numbers = [f"{name}.list.element" for name in self._lists()]
        return {
            "compression": {"digest": "none", **dict.fromkeys(numbers, "zstd")},
            "compression_level": dict.fromkeys(numbers, 1),
            "use_byte_stream_split": numbers,
        }

    def check(self, count: int, content: Embeddings) -> None:
        """Refuse invalid embeddings.

        Raises ValueError for wrong shapes, RuntimeFailed if numbers are not finite or rows not of
        unit length (within 0.001).
        """
        shapes = (content.vector.shape, content.middle.shape)
        wanted = ((count, self.dimension), (count, self.middle_dimension))
        if shapes != wanted:
            raise ValueError(f"vector and middle of shapes {shapes}, wanted {wanted}")
        if not (np.isfinite(content.vector).all() and np.isfinite(content.middle).all()):
            raise RuntimeFailed(
                f"{self.backbone} gave numbers that are not finite; try another --device"
            )
        worst = float(np.abs(row_lengths(content.vector) - 1.0).max(initial=0.0))
        if worst > _UNIT_TOLERANCE:
            raise RuntimeFailed(
                f"{self.backbone} gave vectors off unit length by {worst:.2g}, limit"
                f" {_UNIT_TOLERANCE:g}; try another --device"
            )

    def columns(self, content: Embeddings, rows: Sequence[int]) -> list[pa.Array]:
        """Round some rows to float16, middles clipped to its range, and make columns of them."""
        import pyarrow as pa

        middle = np.clip(content.middle[rows], -_LARGEST_HALF, _LARGEST_HALF)
        halves = (content.vector[rows].astype(np.float16), middle.astype(np.float16))
        return [
            pa.FixedSizeListArray.from_arrays(
                pa.array(np.ascontiguousarray(numbers).reshape(-1)), type=column.type
            )
            for column, numbers in zip(self.fields(), halves, strict=False)
        ]

    def examine(self, table: pa.Table) -> None:
        """Raise ValueError if vectors are far from unit length: albo never writes such rows."""
        _unit(numbers_of(table, "vector", self.dimension), ValueError)

    def failed(self, part: OpenPart) -> Iterable[Digest]:  # noqa: ARG002  (all forms have it)
        """Return no cover: a row of vectors never records a failure."""
        return ()

    def _lists(self) -> list[str]:
        return ["vector", "middle"] if self.middle_dimension else ["vector"]


class Vectors(PartStore):
    """The stored vectors of one backbone, one for each cover.

    `open`, `open_or_create` or `at` make one. Reading never locks, see `PartStore`.
    """

    kind: ClassVar = VectorForm.kind
    """The words of messages about this store."""

    parts: Parts[VectorForm]
    """The rows, in parts with a manifest."""

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> Vectors:
        """Open stored vectors by their manifest.

        Raises StaleArtifact if there are none or the manifest is damaged, ForeignArtifact if their
        backbone does not have that `fingerprint`.
        """
        return cls(open_parts(folder, VectorForm, fingerprint))

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
        """Open or create the vectors of this backbone; the caller holds the writer lock.

        A missing or damaged manifest is rebuilt from the undamaged parts; the others are removed.
        `extra` is used only for a new store.
        Raises ForeignArtifact if the vectors are another backbone's, CannotWrite.
        """
        wanted = VectorForm(backbone, fingerprint, dimension, middle_dimension, extra or {})
        return cls(open_or_create_parts(folder, wanted))

    @classmethod
    def at(cls, folder: Path, form: VectorForm) -> Vectors:
        """Return the store of a folder, which may not exist; nothing is read or made yet."""
        return cls(Parts(folder, form))

    @property
    def backbone(self) -> str:
        """The backbone's name."""
        return self.parts.form.backbone

    @property
    def dimension(self) -> int:
        """d, the numbers of a vector."""
        return self.parts.form.dimension

    @property
    def middle_dimension(self) -> int:
        """m, the numbers of a middle; may be 0."""
        return self.parts.form.middle_dimension

    @property
    def extra(self) -> Json:
        """Other facts in the manifest about the vectors, such as the backbone's card."""
        return self.parts.form.extra

    @property
    def state(self) -> str:
        """A token of the set of stored covers: 16 hex digits, the same for the same set.

        It changes with every cover added or removed, but not when parts are merged: the order of
        rows does not matter.
        """
        return state_of(self.fingerprint, *self.parts.size_and_sum())

    def __len__(self) -> int:
        """Return the number of covers."""
        return len(self.parts)

    def digests(self) -> list[Digest]:
        """Return all digests, in stored order. Raises StaleArtifact."""
        return self.parts.digests()

    def writer(self) -> PartWriter[Embeddings]:
        """Return a writer, for a `with` statement; the caller holds the writer lock."""
        return PartWriter(self.parts)

    def read(
        self, digests: Sequence[Digest] | None = None, middle: bool = True
    ) -> tuple[list[Digest], Embeddings]:
        """Read vectors and middles as float32.

        Parameters
        ----------
        digests
            The covers, in the order wanted (one may occur twice); None: all, as stored.
        middle
            False does not read the middles; they get shape (n, 0).

        Returns the digests, and vector (n, d) with rows of unit length, middle (n, m).
        Raises StaleArtifact if a cover has no vector, or a part is missing or damaged.
        """
        with self.parts.opened() as parts:
            stored = [digest for part in parts for digest in part.digests()]
            if digests is None:
                wanted, rows = stored, np.arange(len(stored))
            else:
                wanted, rows = list(digests), self._rows_of(digests, stored)
            return wanted, self._gather(parts, rows, middle=middle)

    def batches(
        self, among: Collection[Digest] | None = None
    ) -> Iterator[tuple[list[Digest], Halves]]:
        """Yield the vectors of some covers (all for None), in stored order and bounded memory.

        Yields digests and vectors float16 (n, d) as stored (unit length except for rounding), at
        most a row group at a time; a group without any of the covers is not read. All come from
        the manifest of the first one. Raises StaleArtifact if a part is missing or damaged.
        """
        with self.parts.opened() as parts:
            for part in parts:
                for group in range(len(part.group_sizes())):
                    names = digests_of(part.table(group, ["digest"]))
                    rows = [at for at, name in enumerate(names) if among is None or name in among]
                    if rows:
                        table = part.table(group, ["vector"])
                        vector = numbers_of(table, "vector", self.dimension)
                        yield [names[at] for at in rows], vector[rows]

    def _rows_of(self, digests: Sequence[Digest], stored: list[Digest]) -> Ints:
        row_of = {digest: row for row, digest in enumerate(stored)}
        absent = [digest for digest in digests if digest not in row_of]
        if absent:
            raise StaleArtifact(
                f"{len(absent)} of {len(digests)} covers have no vector of {self.backbone}"
                f" (the first: {absent[0].hex()}); run `{self.kind.mend}`"
            )
        return np.fromiter((row_of[digest] for digest in digests), np.int64, len(digests))

    def _gather(self, parts: list[OpenPart], rows: Ints, *, middle: bool) -> Embeddings:
        """Read only the row groups that hold the wanted rows.

        Parameters
        ----------
        rows : int64 (n,), row numbers counted over all parts, in the wanted order.
        """
        vector = np.empty((len(rows), self.dimension), np.float32)
        middles = np.empty((len(rows), self.middle_dimension if middle else 0), np.float32)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        columns = ["vector", "middle"] if middles.shape[1] else ["vector"]
        start = 0
        for part in parts:
            for group, size in enumerate(part.group_sizes()):
                first, last = np.searchsorted(ordered, (start, start + size))
                if first < last:
                    table = part.table(group, columns)
                    to, local = order[first:last], ordered[first:last] - start
                    halves = numbers_of(table, "vector", self.dimension)[local]
                    vector[to] = _unit(halves, part.damaged)
                    middles[to] = numbers_of(table, "middle", middles.shape[1])[local]
                start += size
        return Embeddings(vector, middles)


def numbers_of(table: pa.Table, name: str, width: int) -> Halves:
    """View a column of lists, in one chunk, as float16 (n, width), without a copy."""
    if width == 0 or table.num_rows == 0:
        return np.empty((table.num_rows, width), np.float16)
    flat = table.column(name).chunk(0).flatten().to_numpy(zero_copy_only=True)
    numbers: Halves = flat.reshape(-1, width)
    return numbers


def _unit(vector: Halves, refusal: Callable[[str], Exception]) -> Floats:
    """Scale rows back to unit length; refuse rows far from it, which albo never writes."""
    reason = "damaged (rows are not of unit length)"
    return unit_rows(vector, _ROUNDED_TOLERANCE, lambda _length: refusal(reason))
