"""The miniatures of covers (`images.miniature`), in Parquet parts with a manifest.

`parts` describes how parts are written, merged, checked and read beside a writer. Miniatures belong
to no backbone: those made from one network's pixels serve for all.

Columns: `digest` fixed_size_binary(32), `grey` fixed_size_binary(512): 2 x 16 x 16 grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from albo.images import MINIATURE_SIDE
from albo.store.digests import state_of
from albo.store.forms import StoreKind
from albo.store.part_store import PartStore
from albo.store.part_writer import PartWriter
from albo.store.parts import Parts, open_or_create_parts, open_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from albo.records import Digest, Ints, Json, Miniatures
    from albo.store.part_files import OpenPart

_SHAPE = (2, MINIATURE_SIDE, MINIATURE_SIDE)
_BYTES = 2 * MINIATURE_SIDE**2
_MADE = "area means of luma, 1"


@dataclass(frozen=True, slots=True)
class MiniatureForm:
    """The form of a store of miniatures. It is a `Form` of `Miniatures`."""

    kind: ClassVar = StoreKind("miniature store", "recipe", "albo embed", "shrinks", "shrunk")
    """The words of messages about such a store."""

    fingerprint: str = _MADE
    """How miniatures are made."""

    @property
    def identity(self) -> str:
        """How miniatures are made, and their size."""
        return f"miniatures of {_BYTES} bytes, {self.fingerprint}"

    def described(self) -> Json:
        """Return the content of the manifest other than the parts."""
        return {"made": self.fingerprint}

    @classmethod
    def recognise(cls, manifest: Json) -> Self:
        """Read the form that a manifest describes. Raises ValueError if it describes none."""
        made = manifest.get("made")
        if not isinstance(made, str):
            raise ValueError("no miniatures are described")  # noqa: TRY004  (a file's fault)
        return cls(made)

    def fields(self) -> list[pa.Field]:
        """Return the column `grey`."""
        import pyarrow as pa

        return [pa.field("grey", pa.binary(_BYTES), nullable=False)]

    def encoding(self) -> Json:
        """Return the settings of Parquet: grey levels in zstd."""
        return {
            "compression": {"digest": "none", "grey": "zstd"},
            "compression_level": {"grey": 1},
        }

    def check(self, count: int, content: Miniatures) -> None:
        """Raise ValueError for a wrong shape or type."""
        if content.shape != (count, *_SHAPE) or content.dtype != np.uint8:
            raise ValueError(
                f"miniatures of shape {content.shape}, {content.dtype};"
                f" wanted {(count, *_SHAPE)}, uint8"
            )

    def columns(self, content: Miniatures, rows: Sequence[int]) -> list[pa.Array]:
        """Make the column of some miniatures."""
        import pyarrow as pa

        blob = pa.py_buffer(np.ascontiguousarray(content[list(rows)]).tobytes())
        return [pa.FixedSizeBinaryArray.from_buffers(pa.binary(_BYTES), len(rows), [None, blob])]

    def examine(self, table: pa.Table) -> None:
        """Accept any row: every grey level is possible."""
        _miniatures_of(table)

    def failed(self, part: OpenPart) -> Iterable[Digest]:  # noqa: ARG002  (all forms have it)
        """Return no cover: a row of miniatures never records a failure."""
        return ()


MiniatureWriter = PartWriter["Miniatures"]
"""Adds miniatures to a store: `add` takes uint8 (n, 2, 16, 16)."""


class MiniatureStore(PartStore):
    """The stored miniatures of covers.

    `open`, `open_or_create` or `at` make one. Reading never locks, see `PartStore`.
    """

    kind: ClassVar = MiniatureForm.kind
    """The words of messages about this store."""

    parts: Parts[MiniatureForm]
    """The rows, in parts with a manifest."""

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> MiniatureStore:
        """Open stored miniatures by their manifest.

        Raises StaleArtifact if there are none or the manifest is damaged, ForeignArtifact if they
        were made in another way than `fingerprint` says.
        """
        return cls(open_parts(folder, MiniatureForm, fingerprint))

    @classmethod
    def open_or_create(cls, folder: Path, fingerprint: str = _MADE) -> MiniatureStore:
        """Open or create the store; the caller holds the writer lock.

        `fingerprint` says how its miniatures are made. A missing or damaged manifest is rebuilt
        from the undamaged parts; the others are removed.
        Raises ForeignArtifact if its miniatures were made in another way, CannotWrite.
        """
        return cls(open_or_create_parts(folder, MiniatureForm(fingerprint)))

    @classmethod
    def at(cls, folder: Path) -> MiniatureStore:
        """Return the store of a folder, which may not exist; nothing is read or made yet."""
        return cls(Parts(folder, MiniatureForm()))

    @property
    def state(self) -> str:
        """A token of the set of covers: 16 hex digits, the same for the same set in any order."""
        return state_of(self.fingerprint, *self.parts.size_and_sum())

    def __len__(self) -> int:
        """Return the number of covers."""
        return len(self.parts)

    def digests(self) -> list[Digest]:
        """Return the covers, in stored order. Raises StaleArtifact."""
        return self.parts.digests()

    def writer(self) -> PartWriter[Miniatures]:
        """Return a writer, for a `with` statement; the caller holds the writer lock."""
        return PartWriter(self.parts)

    def read(self, digests: Sequence[Digest]) -> tuple[Ints, Miniatures]:
        """Read the miniatures of covers; those without one are left out.

        Returns int64 (m,), ascending, the positions in `digests` of the covers that have one, and
        uint8 (m, 2, 16, 16). Raises StaleArtifact.
        """
        found = np.zeros((len(digests), *_SHAPE), np.uint8)
        is_found = np.zeros(len(digests), np.bool_)
        row_of = {digest: row for row, digest in enumerate(digests)}
        for stored, miniatures in self.batches():
            rows = [(at, row_of[one]) for at, one in enumerate(stored) if one in row_of]
            if rows:
                at, to = map(list, zip(*rows, strict=True))
                found[to], is_found[to] = miniatures[at], True
        there = np.flatnonzero(is_found)
        return there, found[there]

    def batches(self) -> Iterator[tuple[list[Digest], Miniatures]]:
        """Yield all miniatures, in stored order: digests, and uint8 (n, 2, 16, 16).

        Raises StaleArtifact if a part is missing or damaged.
        """
        with self.parts.opened() as parts:
            for part in parts:
                digests = iter(part.digests())
                for table in part.tables(["grey"]):
                    with part.plain_errors():
                        miniatures = _miniatures_of(table)
                    yield list(islice(digests, len(miniatures))), miniatures


def _miniatures_of(table: pa.Table) -> Miniatures:
    """View the column of a table in one chunk as uint8 (n, 2, 16, 16), without a copy."""
    column = table.column("grey").combine_chunks()
    chunk = column.chunk(0) if hasattr(column, "chunk") else column
    buffer = chunk.buffers()[1]
    grey = np.frombuffer(buffer, np.uint8, len(chunk) * _BYTES, chunk.offset * _BYTES)
    return grey.reshape(-1, *_SHAPE)
