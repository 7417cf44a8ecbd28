"""The vectors and middles of one backbone, in Parquet parts behind a manifest.

A part is written under a temporary name, put on the disk, renamed, and only then named by the next
manifest; a part that the manifest no longer names is removed after that. So a reader needs no
lock, and a writer that is killed loses what it had not committed and nothing else.

Columns: `digest` fixed_size_binary(32), `vector` fixed_size_list<halffloat>[d], `middle`
fixed_size_list<halffloat>[m]. Parquet cannot hold lists of no width, so where m is 0 the column
`middle` is left out. Numbers are split into byte streams and compressed by zstd at level 1: a third
smaller than raw float16 for vectors of real covers (plain zstd saves a quarter, lz4 a fourteenth),
no slower to read, and written many times faster than any backbone embeds. Digests do not compress
and stay as they are. Every page carries a checksum, verified on reading.

float16 rounds by at most one part in 2,048: rows read as float32 are scaled back to unit length.
Middles beyond the finite range of float16 (±65,504) are clipped to it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from errno import EIO, ENOENT
from typing import TYPE_CHECKING, BinaryIO, NoReturn, Self

import numpy as np

from albo.artifacts import (
    MANIFEST,
    file_checksum,
    library_versions,
    plain_write_errors,
    read_manifest,
    sweep,
    write_atomically,
    write_manifest,
)
from albo.errors import AlboError, CannotWrite, ForeignArtifact, RuntimeFailed, StaleArtifact
from albo.records import Embeddings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa
    import pyarrow.parquet as pq

    from albo.records import Digest, Floats, Halves, Ints, Json

LARGE_PART = 65_536
"""Rows from which on a part is never merged with another."""

GROUP_ROWS = 256
"""Rows of a row group, the unit of reading and writing: 1 MB for 1,280 + 688 numbers a row.

Arrow holds several copies of a group while it writes one: with 2,048 rows a compaction took 100 MB
more, and read no faster."""

MAX_SMALL_PARTS = 32
"""Small parts that a run may leave lying before it merges them on its way."""

_DIGEST_BYTES = 32
_WIDEST = 1 << 20
_LARGEST_HALF = 65_504.0
_UNIT_TOLERANCE = 1e-3
_ROUNDED_TOLERANCE = 5e-3
_PART_NAME = re.compile(r"part-(\d{6,12})-[0-9a-f]{8}\.parquet")
_MEND = "albo embed"
_WHAT = "vector store"


@dataclass(frozen=True, slots=True)
class _Part:
    """What the manifest says of one part.

    `digest_sum` is the sum of its digests as little-endian numbers, modulo 2^256.
    """

    file: str
    rows: int
    digest_sum: int
    checksum: str

    def as_json(self) -> Json:
        return {
            "file": self.file,
            "rows": self.rows,
            "digest_sum": f"{self.digest_sum:064x}",
            "checksum": self.checksum,
        }

    @classmethod
    def from_json(cls, given: Json) -> _Part:
        """Raise ValueError, TypeError or KeyError for what `as_json` cannot have written."""
        part = cls(given["file"], given["rows"], int(given["digest_sum"], 16), given["checksum"])
        if _PART_NAME.fullmatch(part.file) is None or type(part.rows) is not int or part.rows < 1:
            raise ValueError(f"no part is {part}")
        return part

    @property
    def number(self) -> int:
        match = _PART_NAME.fullmatch(self.file)
        return int(match[1]) if match else 0


@dataclass(frozen=True, eq=False)
class Vectors:
    """The stored vectors of one backbone: what every cover looks like to it.

    backbone, fingerprint : whose they are. dimension : d. middle_dimension : m, may be 0.
    extra : whatever else the manifest says of how they were made; of no effect here.

    Reading never locks: each call follows the manifest as it stands then. Between two calls a
    writer may add rows; under the writer lock they agree. `open` or `open_or_create` make one.
    """

    folder: Path
    backbone: str
    fingerprint: str
    dimension: int
    middle_dimension: int
    extra: Json = field(default_factory=dict)
    _sound: set[str] = field(default_factory=set, init=False, repr=False)

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> Vectors:
        """Open stored vectors by their manifest.

        Raises StaleArtifact where there are none or the manifest is damaged, ForeignArtifact where
        they are of another backbone than that of `fingerprint`.
        """
        found = _identify(folder, read_manifest(folder, _WHAT, _MEND))
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
        try:
            wanted._parts()
        except ForeignArtifact:
            raise
        except StaleArtifact:
            wanted._save(wanted._salvage())
            return wanted
        return cls.open(folder)

    def __len__(self) -> int:
        """Return the number of covers."""
        return sum(part.rows for part in self._parts())

    @property
    def state(self) -> str:
        """A token for which covers are stored: 16 hex digits, the same for the same set of them.

        It changes with every cover added or removed, not with a compaction: it says nothing of
        the order of rows.
        """
        parts = self._parts()
        total = sum(part.digest_sum for part in parts) % (1 << 256)
        rows = sum(part.rows for part in parts)
        return hashlib.sha256(f"{self.fingerprint} {rows} {total:x}".encode()).hexdigest()[:16]

    def digests(self) -> list[Digest]:
        """Return all digests, in stored order. Raises StaleArtifact."""
        with self._opened() as parts:
            return [digest for part in parts for digest in part.digests()]

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
                    names = _split(_digest_bytes(part.table(group, ["digest"])))
                    rows = [at for at, name in enumerate(names) if among is None or name in among]
                    if rows:
                        table = part.table(group, ["vector"])
                        vector = _numbers(table, "vector", self.dimension)
                        yield [names[at] for at in rows], vector[rows]

    def writer(self) -> VectorWriter:
        """Return a writer, for a `with` statement; the caller holds the writer lock."""
        return VectorWriter(self)

    def remove(self, digests: Iterable[Digest]) -> int:
        """Take covers out; the caller holds the writer lock. Returns how many were there.

        Only the parts that hold them are written anew. Raises StaleArtifact, CannotWrite.
        """
        unwanted = set(digests)
        parts = self._parts()
        kept: list[_Part] = []
        removed = 0
        number = _next_number(parts)
        for part in parts:
            with self._open_part(part) as source:
                there = source.digests()
                held = unwanted.intersection(there)
                removed += len(held)
                if not held:
                    kept.append(part)
                elif len(held) < part.rows:
                    tables = _without(source.tables(), held)
                    kept.append(self._write_part(number, tables))
                    number += 1
        if removed:
            self._save(kept)
        return removed

    def drop_damaged(self) -> list[str]:
        """Take out parts that are missing or damaged; the caller holds the writer lock.

        Every part is read whole, about a second for each GB, and compared with its checksum in the
        manifest; once for each part and object. The covers of a part taken out count as missing,
        so they are embedded again. Returns one line for each such part. Raises AlboError where
        a part cannot be judged (no permission), CannotWrite.
        """
        parts = self._parts()
        reasons = {part.file: self._find_damage(part) for part in parts}
        lost = [part for part in parts if reasons[part.file]]
        if lost:
            self._save([part for part in parts if not reasons[part.file]])
        return [
            f"{self.folder / part.file} is {reasons[part.file]}: its covers, {part.rows:,} of them,"
            " have to be embedded again"
            for part in lost
        ]

    def _identity(self) -> str:
        return (
            f"{self.backbone} {self.fingerprint} of {self.dimension} + {self.middle_dimension}"
            " numbers"
        )

    def _refuse(self, mismatch: str) -> NoReturn:
        raise ForeignArtifact(
            f"the {_WHAT} in {self.folder} is another backbone's ({mismatch});"
            f" move that folder away and run `{_MEND}`"
        )

    def _parts(self) -> list[_Part]:
        """Read which parts there are now; the folder may have become another backbone's."""
        manifest = read_manifest(self.folder, _WHAT, _MEND)
        now = _identify(self.folder, manifest)
        if now._identity() != self._identity():
            self._refuse(f"{now._identity()}, not {self._identity()}")
        try:
            parts = [_Part.from_json(part) for part in manifest["parts"]]
        except (KeyError, TypeError, ValueError):
            raise _damaged_manifest(self.folder) from None
        return parts

    @contextmanager
    def _opened(self) -> Iterator[list[_OpenPart]]:
        """Hold all parts of one manifest open, so that a compaction cannot take them away."""
        parts = self._parts()
        with ExitStack() as stack:
            while True:
                try:
                    opened = [stack.enter_context(_OpenPart(self, part)) for part in parts]
                    break
                except FileNotFoundError as error:
                    stack.close()
                    before, parts = parts, self._parts()
                    if parts == before:
                        raise self._damaged_part(error.filename, "missing") from None
            yield opened

    @contextmanager
    def _open_part(self, part: _Part) -> Iterator[_OpenPart]:
        """Open one part for a writer: nobody else can have removed it."""
        with ExitStack() as stack:
            try:
                opened = stack.enter_context(_OpenPart(self, part))
            except FileNotFoundError as error:
                raise self._damaged_part(error.filename, "missing") from None
            yield opened

    def _damaged_part(self, path: Path | str, reason: str) -> StaleArtifact:
        return StaleArtifact(
            f"{path} is {reason}; run `{_MEND}`, which embeds the covers that it held again"
        )

    def _rows_of(self, digests: Sequence[Digest], stored: list[Digest]) -> Ints:
        row_of = {digest: row for row, digest in enumerate(stored)}
        absent = [digest for digest in digests if digest not in row_of]
        if absent:
            raise StaleArtifact(
                f"{len(absent)} of {len(digests)} covers have no vector of {self.backbone}"
                f" (the first: {absent[0].hex()}); run `{_MEND}`"
            )
        return np.fromiter((row_of[digest] for digest in digests), np.int64, len(digests))

    def _fill(self, parts: list[_OpenPart], rows: Ints, vector: Floats, middle: Floats) -> None:
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
                    vector[to] = part.unit(_numbers(table, "vector", self.dimension)[local])
                    middle[to] = _numbers(table, "middle", middle.shape[1])[local]
                start += size

    def _save(self, parts: list[_Part]) -> None:
        """Let the next manifest stand; then remove the parts that it does not name."""
        content = {
            "backbone": self.backbone,
            "fingerprint": self.fingerprint,
            "dimension": self.dimension,
            "middle_dimension": self.middle_dimension,
            "extra": self.extra,
            "rows": sum(part.rows for part in parts),
            "parts": [part.as_json() for part in parts],
            "libraries": library_versions("numpy", "pyarrow"),
        }
        write_manifest(self.folder, content)
        self._remove_unnamed(parts)

    def _remove_unnamed(self, parts: list[_Part]) -> None:
        named = {part.file for part in parts}
        for path in list(self.folder.iterdir()):
            if _PART_NAME.fullmatch(path.name) and path.name not in named:
                # Where a reader's open file cannot be removed (Windows), the next writer does it.
                with suppress(OSError):
                    path.unlink()

    def _write_part(self, number: int, tables: Iterable[pa.Table]) -> _Part:
        """Write rows as a part of its own, in full row groups; no manifest names it yet."""
        import pyarrow.parquet as pq

        path = self.folder / f"part-{number:06d}-{secrets.token_hex(4)}.parquet"
        split = [f"{name}.list.element" for name in self._lists()]
        rows = digest_sum = 0

        def write(file: BinaryIO) -> None:
            nonlocal rows, digest_sum
            with pq.ParquetWriter(
                file,
                self._schema(),
                compression={"digest": "none", **dict.fromkeys(split, "zstd")},
                compression_level=dict.fromkeys(split, 1),
                use_dictionary=False,
                use_byte_stream_split=split,
                write_statistics=False,
                write_page_checksum=True,
            ) as parquet:
                for table in _regroup(tables):
                    parquet.write_table(table, GROUP_ROWS)
                    rows += table.num_rows
                    digest_sum = (digest_sum + _digest_sum(_digest_bytes(table))) % (1 << 256)

        write_atomically(path, write)
        with plain_write_errors(path):
            part = _Part(path.name, rows, digest_sum, file_checksum(path))
        self._sound.add(path.name)
        return part

    def _lists(self) -> list[str]:
        return ["vector", "middle"] if self.middle_dimension else ["vector"]

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        # Nothing is ever null, and saying so spares Parquet a level for every number.
        fields = [pa.field("digest", pa.binary(_DIGEST_BYTES), nullable=False)]
        for name, width in zip(
            self._lists(), (self.dimension, self.middle_dimension), strict=False
        ):
            number = pa.field("element", pa.float16(), nullable=False)
            fields.append(pa.field(name, pa.list_(number, width), nullable=False))
        return pa.schema(fields, {b"albo": self._identity().encode()})

    def _table(self, digests: Sequence[Digest], vector: Halves, middle: Halves) -> pa.Table:
        import pyarrow as pa

        schema = self._schema()
        blob = pa.py_buffer(b"".join(digests))
        columns = [
            pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(_DIGEST_BYTES), len(digests), [None, blob]
            )
        ]
        for name, numbers in zip(self._lists(), (vector, middle), strict=False):
            flat = pa.array(np.ascontiguousarray(numbers).reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=schema.field(name).type))
        return pa.table(columns, schema=schema)

    def _compact(self, fresh: int) -> None:
        """Merge neighbouring small parts; the last `fresh` parts belong together.

        Order and content stay. Raises StaleArtifact, CannotWrite; then nothing has changed.
        """
        parts = self._parts()
        merged: list[_Part] = []
        number = _next_number(parts)
        for start, stop in plan_merges([part.rows for part in parts], fresh):
            if stop - start == 1:
                merged.append(parts[start])
            else:
                merged.append(self._write_part(number, self._tables_of(parts[start:stop])))
                number += 1
        if len(merged) < len(parts):
            self._save(merged)

    def _tables_of(self, parts: list[_Part]) -> Iterator[pa.Table]:
        for part in parts:
            with self._open_part(part) as source:
                yield from source.tables()

    def _find_damage(self, part: _Part) -> str:
        """Say what is wrong with a part; "" where nothing is."""
        if part.file in self._sound:
            return ""
        path = self.folder / part.file
        try:
            if file_checksum(path) != part.checksum:
                return "damaged (checksum)"
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            if error.errno != EIO:
                raise AlboError(f"cannot read {path}: {error.strerror}; mend that") from error
            return "damaged (the disk cannot read it)"
        self._sound.add(part.file)
        return ""

    def _salvage(self) -> list[_Part]:
        """Find the parts of a lost manifest: those of this backbone that read without a fault.

        Where a run was killed between the manifest and the removal of what a compaction had
        replaced, covers are in two parts; the largest parts are believed first.
        """
        found: list[tuple[_Part, list[Digest]]] = []
        folder = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        for path in folder:
            if _PART_NAME.fullmatch(path.name):
                with suppress(StaleArtifact, FileNotFoundError):
                    found.append(self._examine(path))
        taken: set[Digest] = set()
        parts = []
        for part, digests in sorted(found, key=lambda item: -item[0].rows):
            if len(set(digests)) == part.rows and taken.isdisjoint(digests):
                taken.update(digests)
                parts.append(part)
        return sorted(parts, key=lambda part: part.number)

    def _examine(self, path: Path) -> tuple[_Part, list[Digest]]:
        """Read a part that no manifest describes, every page of it. Raises StaleArtifact."""
        unknown = _Part(path.name, 0, 0, "")
        with _OpenPart(self, unknown) as source:
            blobs = []
            for table in source.tables():
                source.unit(_numbers(table, "vector", self.dimension))
                blobs.append(_digest_bytes(table))
        blob = b"".join(blobs)
        digests = _split(blob)
        with _plain_read_errors(path):
            checksum = file_checksum(path)
        if not digests:
            raise self._damaged_part(path, "empty")
        part = replace(unknown, rows=len(digests), digest_sum=_digest_sum(blob), checksum=checksum)
        return part, digests


class VectorWriter:
    """Adds vectors to a store, for one thread that holds the writer lock.

    Entering drops damaged parts (`notes` has a line for each) and what killed runs left. Leaving
    commits and compacts; leaving by an exception commits what there is, where it can.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.notes: list[str] = []
        self._known: set[Digest] = set()
        # Digests and their numbers go in by one append, so that an interrupt cannot part them.
        self._added: list[tuple[list[Digest], Halves, Halves]] = []
        self._fresh = 0

    def __enter__(self) -> Self:
        """Make the store clean and learn what it holds."""
        sweep(self.vectors.folder)
        self.notes += self.vectors.drop_damaged()
        self.vectors._remove_unnamed(self.vectors._parts())
        self._known = set(self.vectors.digests())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit; after an exception too, if it can be done, and then let that one go on."""
        if error is None:
            self.commit()
            self._compact(self._fresh)
            return
        try:
            self._leave_out_stored()
            self.commit()
        except AlboError as second:
            error.add_note(f"{self.pending} embedded covers were lost: {second}")

    @property
    def known(self) -> set[Digest]:
        """The digests that are stored or added: the set itself, which grows. Not to be changed."""
        return self._known

    @property
    def pending(self) -> int:
        """Rows added and not yet committed."""
        return sum(len(digests) for digests, *_ in self._added)

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
        self._added.append((list(row_of), vector, middle.astype(np.float16)))
        self._known.update(row_of)

    def _check(self, digests: Sequence[Digest], embeddings: Embeddings) -> None:
        store = self.vectors
        shapes = (embeddings.vector.shape, embeddings.middle.shape)
        wanted = ((len(digests), store.dimension), (len(digests), store.middle_dimension))
        if shapes != wanted:
            raise ValueError(f"vector and middle of shapes {shapes}, wanted {wanted}")
        if any(len(digest) != _DIGEST_BYTES for digest in digests):
            raise ValueError(f"digests have {_DIGEST_BYTES} bytes")
        if not (np.isfinite(embeddings.vector).all() and np.isfinite(embeddings.middle).all()):
            raise RuntimeFailed(
                f"{store.backbone} gave numbers that are not finite; try another --device"
            )
        worst = float(np.abs(_lengths(embeddings.vector) - 1.0).max(initial=0.0))
        if worst > _UNIT_TOLERANCE:
            raise RuntimeFailed(
                f"{store.backbone} gave vectors off unit length by {worst:.2g}, limit"
                f" {_UNIT_TOLERANCE:g}; try another --device"
            )

    def commit(self) -> int:
        """Put what was added on the disk as a part of its own. Returns the number of its rows.

        Raises CannotWrite; then the rows are still pending.
        """
        if not self._added:
            return 0
        store = self.vectors
        parts = store._parts()
        tables = [store._table(*batch) for batch in self._added]
        part = store._write_part(_next_number(parts), tables)
        store._save([*parts, part])
        self._added = []
        self._fresh += 1
        if sum(part.rows < LARGE_PART for part in parts) >= MAX_SMALL_PARTS:
            self._compact(1)
        return part.rows

    def _leave_out_stored(self) -> None:
        """Forget what a commit put on the disk that was interrupted before it could say so."""
        if self._added:
            stored = set(self.vectors.digests())
            self._added = [batch for batch in self._added if batch[0][0] not in stored]

    def _compact(self, fresh: int) -> None:
        """Compact where it can be done: what is committed is safe without."""
        before = len(self.vectors._parts())
        try:
            self.vectors._compact(fresh)
        except (CannotWrite, StaleArtifact) as error:
            self.notes.append(f"the parts were not merged: {error}")
            return
        self._fresh = max(self._fresh - before + len(self.vectors._parts()), 1)


def plan_merges(rows: Sequence[int], fresh: int) -> list[tuple[int, int]]:
    """Choose which neighbouring parts to merge: (start, stop) for each part that results.

    Parts of 65,536 rows and more are left alone. The last `fresh` small parts, of one run, become
    one; an older one joins where it has less than twice the rows of what follows. So a row is
    written anew a logarithmic number of times, and small parts stay logarithmically few
    (the logarithmic method of Bentley and Saxe 1980).
    """
    groups = []
    stop = len(rows)
    first_fresh = stop - fresh
    while stop > 0:
        start = stop - 1
        total = rows[start]
        while start > 0 and max(total, rows[start - 1]) < LARGE_PART:
            if start - 1 < first_fresh and rows[start - 1] >= 2 * total:
                break
            start -= 1
            total += rows[start]
        groups.append((start, stop))
        stop = start
    return groups[::-1]


class _OpenPart:
    """One part, opened for reading: what it gives has been checked."""

    def __init__(self, store: Vectors, part: _Part) -> None:
        self._store = store
        self._part = part
        self._path = store.folder / part.file
        self._file: pq.ParquetFile

    def __enter__(self) -> Self:
        """Open it. Raises FileNotFoundError, StaleArtifact where it is not what it should be."""
        import pyarrow.parquet as pq

        try:
            with _plain_read_errors(self._path):
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
        with _plain_read_errors(self._path):
            schema = self._file.schema_arrow
            rows = self._file.metadata.num_rows
        if not schema.equals(self._store._schema(), check_metadata=False) or (
            (schema.metadata or {}).get(b"albo") != self._store._identity().encode()
        ):
            raise self._store._damaged_part(self._path, f"not of {self._store._identity()}")
        if self._part.rows and rows != self._part.rows:
            raise self._store._damaged_part(
                self._path, f"damaged ({rows} rows, not {self._part.rows})"
            )

    def group_sizes(self) -> list[int]:
        metadata = self._file.metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def table(self, group: int, columns: list[str] | None = None) -> pa.Table:
        """Read one row group, every column in one piece; all columns where none are named."""
        with _plain_read_errors(self._path):
            if columns is not None:
                columns = [name for name in columns if name in ("digest", *self._store._lists())]
            table = self._file.read_row_group(group, columns=columns).combine_chunks()
            size = self._file.metadata.row_group(group).num_rows
            if table.num_rows != size or any(column.null_count for column in table.columns):
                raise ValueError(f"{table.num_rows} rows, not {size}")
        return table

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for group in range(self._file.metadata.num_row_groups):
            yield self.table(group, columns)

    def digests(self) -> list[Digest]:
        blob = b"".join(_digest_bytes(table) for table in self.tables(["digest"]))
        if _digest_sum(blob) != self._part.digest_sum:
            raise self._store._damaged_part(self._path, "damaged (its digests are others)")
        return _split(blob)

    def unit(self, vector: Halves) -> Floats:
        """Scale rows back to unit length; a row far from it was never written so."""
        floats = vector.astype(np.float32)
        # Written so that a NaN is caught too.
        if not np.all(np.abs(_lengths(floats) - 1.0) < _ROUNDED_TOLERANCE):
            raise self._store._damaged_part(self._path, "damaged (rows are not of unit length)")
        return _scaled(floats)


@contextmanager
def _plain_read_errors(path: Path) -> Iterator[None]:
    """Turn what Arrow raises for a damaged file into StaleArtifact; a missing one stays so."""
    import pyarrow as pa

    try:
        yield
    except (FileNotFoundError, MemoryError):
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        if isinstance(error, OSError) and code not in {None, EIO}:
            raise AlboError(f"cannot read {path}: {error.strerror}; mend that") from error
        reason = " ".join(str(error).split())[:120]
        raise StaleArtifact(
            f"{path} is damaged ({reason}); run `{_MEND}`, which embeds its covers again"
        ) from error


def _identify(folder: Path, manifest: Json) -> Vectors:
    """Read whose vectors a manifest describes."""
    kinds = {"backbone": str, "fingerprint": str, "dimension": int, "middle_dimension": int}
    values: Json = {name: manifest.get(name) for name in (*kinds, "extra")}
    sound = all(type(values[name]) is kind for name, kind in kinds.items())
    if not sound or not isinstance(values["extra"], dict):
        raise _damaged_manifest(folder)
    found = Vectors(folder, **values)
    if not (1 <= found.dimension <= _WIDEST and 0 <= found.middle_dimension <= _WIDEST):
        raise _damaged_manifest(folder)
    return found


def _damaged_manifest(folder: Path) -> StaleArtifact:
    return StaleArtifact(
        f"the {_WHAT} in {folder} is damaged ({MANIFEST} describes none); run `{_MEND}`"
    )


def _next_number(parts: list[_Part]) -> int:
    return max((part.number for part in parts), default=0) + 1


def _lengths(vector: Floats) -> Floats:
    """Euclidean lengths of rows: float32 (n,)."""
    squares: Floats = np.einsum("ij,ij->i", vector, vector)
    return np.sqrt(squares)


def _scaled(floats: Floats) -> Floats:
    floats /= _lengths(floats)[:, None]
    return floats


def round_as_stored(vector: Floats) -> Floats:
    """Return unit rows, float32 (n, d), as they will be read once they are stored, to the bit."""
    return _scaled(vector.astype(np.float16).astype(np.float32))


def _digest_bytes(table: pa.Table) -> bytes:
    """Return the digests of a table, one after the other, 32 bytes each."""
    pieces = []
    for chunk in table.column("digest").chunks:
        start, size = chunk.offset * _DIGEST_BYTES, len(chunk) * _DIGEST_BYTES
        pieces.append(chunk.buffers()[1].slice(start, size).to_pybytes())
    return b"".join(pieces)


def _split(blob: bytes) -> list[Digest]:
    return [blob[at : at + _DIGEST_BYTES] for at in range(0, len(blob), _DIGEST_BYTES)]


def _digest_sum(blob: bytes) -> int:
    """Sum of digests as little-endian numbers, modulo 2^256: whatever their order."""
    words = np.frombuffer(blob, "<u4").reshape(-1, 8).sum(axis=0, dtype=np.uint64)
    return sum(int(word) << (32 * place) for place, word in enumerate(words)) % (1 << 256)


def _numbers(table: pa.Table, name: str, width: int) -> Halves:
    """View a column of lists as float16 (n, width), without a copy; the column is in one piece."""
    if width == 0 or table.num_rows == 0:
        return np.empty((table.num_rows, width), np.float16)
    flat = table.column(name).chunk(0).flatten().to_numpy(zero_copy_only=True)
    numbers: Halves = flat.reshape(-1, width)
    return numbers


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Pass rows on in tables of one full row group each, but for the last."""
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


def _without(tables: Iterable[pa.Table], unwanted: set[Digest]) -> Iterator[pa.Table]:
    import pyarrow as pa

    for table in tables:
        kept = [digest not in unwanted for digest in _split(_digest_bytes(table))]
        yield table.filter(pa.array(kept, pa.bool_()))
