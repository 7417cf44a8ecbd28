"""The vectors and middles of one backbone, in Parquet parts behind a manifest.

For writing, merging, checking and reading parts beside a writer see `parts`.

Columns: `digest` fixed_size_binary(32), `vector` fixed_size_list<halffloat>[d], `middle`
fixed_size_list<halffloat>[m]. Parquet cannot hold lists of width 0, so if m is 0 the column
`middle` is left out. Numbers are split into byte streams and compressed by zstd at level 1. For
vectors of real covers, that is a third smaller than raw float16 (plain zstd saves a quarter, lz4 a
fourteenth). It is no slower to read, and written many times faster than any backbone embeds.
Digests do not compress, so they are stored unchanged.

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
    """The form of a store of vectors: the backbone that gave them, and the numbers in a row.

    It is a `Form` of `Embeddings`.
    """

    kind: ClassVar = StoreKind("vector store", "backbone", "albo embed", "embeds", "embedded")
    """The name of such a store in messages."""

    backbone: str
    """The backbone's name."""

    fingerprint: str
    """The backbone's fingerprint."""

    dimension: int
    """d, the size of a vector."""

    middle_dimension: int
    """m, the size of a middle; may be 0."""

    extra: Json = field(default_factory=dict)
    """Other facts in the manifest about their making, such as the backbone's card."""

    @property
    def identity(self) -> str:
        """The backbone and the widths."""
        return (
            f"{self.backbone} {self.fingerprint} of {self.dimension} + {self.middle_dimension}"
            " numbers"
        )

    def described(self) -> Json:
        """Return the content of the manifest beside the parts."""
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
        """Return the columns `vector` and, if m is more than 0, `middle`."""
        import pyarrow as pa

        number = pa.field("element", pa.float16(), nullable=False)
        widths = (self.dimension, self.middle_dimension)
        return [
            pa.field(name, pa.list_(number, width), nullable=False)
            for name, width in zip(self._lists(), widths, strict=False)
        ]

    def encoding(self) -> Json:
        """Return the Parquet settings: numbers as byte streams in zstd, digests unchanged."""
        numbers = [f"{name}.list.element" for name in self._lists()]
        return {
            "compression": {"digest": "none", **dict.fromkeys(numbers, "zstd")},
            "compression_level": dict.fromkeys(numbers, 1),
            "use_byte_stream_split": numbers,
        }

    def check(self, count: int, content: Embeddings) -> None:
        """Refuse invalid embeddings.

        Raises ValueError for wrong shapes, RuntimeFailed if numbers are not finite or rows not
        of unit length (within 0.001).
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
        """Round some rows to float16 and make columns of them; middles are clipped to its range."""
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
        """Raise ValueError if vectors are far from unit length, which is a sign of damage."""
        _unit(numbers_of(table, "vector", self.dimension), ValueError)

    def failed(self, part: OpenPart) -> Iterable[Digest]:  # noqa: ARG002  (all forms have it)
        """Return no cover: a row of vectors never records a failure."""
        return ()

    def _lists(self) -> list[str]:
        return ["vector", "middle"] if self.middle_dimension else ["vector"]


class Vectors(PartStore):
    """The stored vectors of one backbone.

    `open`, `open_or_create` or `at` make one. Reading never locks, see `PartStore`.
    """

    kind: ClassVar = VectorForm.kind
    """The words that messages use."""

    parts: Parts[VectorForm]
    """The rows, in parts behind a manifest."""

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> Vectors:
        """Open stored vectors by their manifest.

        Raises StaleArtifact if the manifest is missing or damaged, ForeignArtifact if the vectors
        are of a backbone with another fingerprint than `fingerprint`.
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
        """Open the vectors of this backbone, or create the store; the caller holds the writer lock.

        A missing or damaged manifest is made anew from the sound parts, and the other parts are
        removed. `extra` is used only for a new store.
        Raises ForeignArtifact if the vectors belong to another backbone, CannotWrite.
        """
        wanted = VectorForm(backbone, fingerprint, dimension, middle_dimension, extra or {})
        return cls(open_or_create_parts(folder, wanted))

    @classmethod
    def at(cls, folder: Path, form: VectorForm) -> Vectors:
        """Return the store of a folder, which may be missing; nothing is read or made yet."""
        return cls(Parts(folder, form))

    @property
    def backbone(self) -> str:
        """The backbone's name."""
        return self.parts.form.backbone

    @property
    def dimension(self) -> int:
        """d, the size of a vector."""
        return self.parts.form.dimension

    @property
    def middle_dimension(self) -> int:
        """m, the size of a middle; may be 0."""
        return self.parts.form.middle_dimension

    @property
    def extra(self) -> Json:
        """Other facts in the manifest about their making, such as the backbone's card."""
        return self.parts.form.extra

    @property
    def state(self) -> str:
        """A token for the set of stored covers: 16 hex digits, the same for the same set.

        It changes with every cover added or removed, and stays when parts are merged: the order
        of rows does not count.
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
            The covers, in the order of the result (one may occur twice); None: all, as stored.
        middle
            False skips the middles; they have shape (n, 0).

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
        """Iterate over the vectors of some covers (None: all), in stored order, in bounded memory.

        Yields digests and vectors float16 (n, d) as stored (of unit length except for rounding), at
        most a row group at a time. Groups without any of the covers are not read. All come from
        the state of the store at the first one. Raises StaleArtifact if a part is missing or
        damaged.
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
        """Read only the row groups with the wanted rows.

        Parameters
        ----------
        rows : int64 (n,), row numbers through all parts, in the order of the result.
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
    """View a column of lists as float16 (n, width), without a copy; it must be in one piece."""
    if width == 0 or table.num_rows == 0:
        return np.empty((table.num_rows, width), np.float16)
    flat = table.column(name).chunk(0).flatten().to_numpy(zero_copy_only=True)
    numbers: Halves = flat.reshape(-1, width)
    return numbers


def _unit(vector: Halves, refusal: Callable[[str], Exception]) -> Floats:
    """Scale rows back to unit length; a row far from it is damaged."""
    reason = "damaged (rows are not of unit length)"
    return unit_rows(vector, _ROUNDED_TOLERANCE, lambda _length: refusal(reason))
