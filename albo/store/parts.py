"""Rows by digest in Parquet parts behind a manifest: what the stores of vectors and of words share.

A part is written under a temporary name, put on the disk, renamed, and only then named by the next
manifest; a part that the manifest no longer names is removed after that. So a reader needs no
lock, and a writer that is killed loses what it had not committed and nothing else.

Every part has a column `digest`, fixed_size_binary(32), and what else its store keeps of a cover.
Nothing is ever null. Every page carries a checksum, verified on reading, and the manifest has one
of each part.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from abc import ABC, abstractmethod
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from errno import EIO, ENOENT
from typing import TYPE_CHECKING, BinaryIO, ClassVar, NoReturn, Self

import numpy as np

from albo.errors import AlboError, CannotWrite, ForeignArtifact, StaleArtifact
from albo.store.writing import (
    MANIFEST,
    file_checksum,
    library_versions,
    plain_write_errors,
    read_manifest,
    sweep,
    write_atomically,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa
    import pyarrow.parquet as pq

    from albo.records import Digest, Json


LARGE_PART = 65_536
"""Rows from which on a part is never merged with another."""

GROUP_ROWS = 256
"""Rows of a row group, the unit of reading and writing: 1 MB for 1,280 + 688 numbers a row.

Arrow holds several copies of a group while it writes one: with 2,048 rows a compaction took 100 MB
more, and read no faster."""

MAX_SMALL_PARTS = 32
"""Small parts that a run may leave lying before it merges them on its way."""

DIGEST_BYTES = 32
_PART_NAME = re.compile(r"part-(\d{6,12})-[0-9a-f]{8}\.parquet")


@dataclass(frozen=True, slots=True)
class Kind:
    """What messages call a store, and how it is mended.

    name : "vector store". owner : whose it is, "backbone". mend : the command that fills it. does,
    done : what that does with covers, "embeds" and "embedded".
    """

    name: str
    owner: str
    mend: str
    does: str
    done: str


@dataclass(frozen=True, slots=True)
class Part:
    """What the manifest says of one part.

    `digest_sum` is the sum of its digests as little-endian numbers, modulo 2^256.
    """

    file: str
    rows: int
    digest_sum: int
    checksum: str

    def as_json(self) -> Json:
        """Return what the manifest holds of it."""
        return {
            "file": self.file,
            "rows": self.rows,
            "digest_sum": f"{self.digest_sum:064x}",
            "checksum": self.checksum,
        }

    @classmethod
    def from_json(cls, given: Json) -> Part:
        """Raise ValueError, TypeError or KeyError for what `as_json` cannot have written."""
        part = cls(given["file"], given["rows"], int(given["digest_sum"], 16), given["checksum"])
        if _PART_NAME.fullmatch(part.file) is None or type(part.rows) is not int or part.rows < 1:
            raise ValueError(f"no part is {part}")
        return part

    @property
    def number(self) -> int:
        """Its place among the parts."""
        match = _PART_NAME.fullmatch(self.file)
        return int(match[1]) if match else 0


@dataclass(frozen=True, eq=False)
class PartStore(ABC):
    """Rows of covers, one for each digest, in the parts of one folder.

    Reading never locks: each call follows the manifest as it stands then. Between two calls a
    writer may add rows; under the writer lock they agree.

    A store says what its rows are by the methods that are abstract here.
    """

    kind: ClassVar[Kind]

    folder: Path
    _sound: set[str] = field(default_factory=set, init=False, repr=False)

    @abstractmethod
    def _identity(self) -> str:
        """Say whose rows these are, and of what form: the same for the same store alone."""

    @abstractmethod
    def _described(self) -> Json:
        """Return what the manifest says beside the parts."""

    @classmethod
    @abstractmethod
    def _recognise(cls, folder: Path, manifest: Json) -> Self:
        """Read whose rows a manifest describes. Raises StaleArtifact where it does not."""

    @abstractmethod
    def _fields(self) -> list[pa.Field]:
        """Return the columns beside `digest`; none may be null."""

    @abstractmethod
    def _encoding(self) -> Json:
        """Return the settings of Parquet that the columns are written with."""

    @abstractmethod
    def _examine(self, part: OpenPart, table: pa.Table) -> None:
        """Raise StaleArtifact where rows of a part cannot have been written so."""

    # --- opening ---------------------------------------------------------------------------------

    @classmethod
    def _open(cls, folder: Path) -> Self:
        """Open a store by its manifest. Raises StaleArtifact, ForeignArtifact."""
        return cls._recognise(folder, read_manifest(folder, cls.kind.name, cls.kind.mend))

    def _begin(self) -> bool:
        """Make the store where there is none, or mend it; whether there was a sound one.

        Where the manifest is missing or damaged, it is made anew from the parts that are sound,
        and the others are removed. Raises ForeignArtifact where it is another's, CannotWrite.
        """
        try:
            self._parts()
        except ForeignArtifact:
            raise
        except StaleArtifact:
            self._save(self._salvage())
            return False
        return True

    def _refuse(self, mismatch: str) -> NoReturn:
        raise ForeignArtifact(
            f"the {self.kind.name} in {self.folder} is another {self.kind.owner}'s ({mismatch});"
            f" move that folder away and run `{self.kind.mend}`"
        )

    @classmethod
    def _damaged_manifest(cls, folder: Path) -> StaleArtifact:
        return StaleArtifact(
            f"the {cls.kind.name} in {folder} is damaged ({MANIFEST} describes none);"
            f" run `{cls.kind.mend}`"
        )

    def _damaged_part(self, path: Path | str, reason: str) -> StaleArtifact:
        return StaleArtifact(
            f"{path} is {reason}; run `{self.kind.mend}`, which {self.kind.does} the covers that it"
            " held again"
        )

    # --- reading ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of covers."""
        return sum(part.rows for part in self._parts())

    def digests(self) -> list[Digest]:
        """Return all digests, in stored order. Raises StaleArtifact."""
        with self._opened() as parts:
            return [digest for part in parts for digest in part.digests()]

    def _parts(self) -> list[Part]:
        """Read which parts there are now; the folder may have become another's."""
        manifest = read_manifest(self.folder, self.kind.name, self.kind.mend)
        now = self._recognise(self.folder, manifest)
        if now._identity() != self._identity():
            self._refuse(f"{now._identity()}, not {self._identity()}")
        try:
            parts = [Part.from_json(part) for part in manifest["parts"]]
        except (KeyError, TypeError, ValueError):
            raise self._damaged_manifest(self.folder) from None
        return parts

    @contextmanager
    def _opened(self) -> Iterator[list[OpenPart]]:
        """Hold all parts of one manifest open, so that a compaction cannot take them away."""
        parts = self._parts()
        with ExitStack() as stack:
            while True:
                try:
                    opened = [stack.enter_context(OpenPart(self, part)) for part in parts]
                    break
                except FileNotFoundError as error:
                    stack.close()
                    before, parts = parts, self._parts()
                    if parts == before:
                        raise self._damaged_part(error.filename, "missing") from None
            yield opened

    @contextmanager
    def _open_part(self, part: Part) -> Iterator[OpenPart]:
        """Open one part for a writer: nobody else can have removed it."""
        with ExitStack() as stack:
            try:
                opened = stack.enter_context(OpenPart(self, part))
            except FileNotFoundError as error:
                raise self._damaged_part(error.filename, "missing") from None
            yield opened

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        # Nothing is ever null, and saying so spares Parquet a level for every number.
        digest = pa.field("digest", pa.binary(DIGEST_BYTES), nullable=False)
        return pa.schema([digest, *self._fields()], {b"albo": self._identity().encode()})

    # --- writing ---------------------------------------------------------------------------------

    def remove(self, digests: Iterable[Digest]) -> int:
        """Take covers out; the caller holds the writer lock. Returns how many were there.

        Only the parts that hold them are written anew. Raises StaleArtifact, CannotWrite.
        """
        unwanted = set(digests)
        parts = self._parts()
        kept: list[Part] = []
        removed = 0
        number = next_number(parts)
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
        so they are done again. Returns one line for each such part. Raises AlboError where
        a part cannot be judged (no permission), CannotWrite.
        """
        parts = self._parts()
        reasons = {part.file: self._find_damage(part) for part in parts}
        lost = [part for part in parts if reasons[part.file]]
        if lost:
            self._save([part for part in parts if not reasons[part.file]])
        return [
            f"{self.folder / part.file} is {reasons[part.file]}: its covers, {part.rows:,} of them,"
            f" have to be {self.kind.done} again"
            for part in lost
        ]

    def _find_damage(self, part: Part) -> str:
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

    def _save(self, parts: list[Part]) -> None:
        """Let the next manifest stand; then remove the parts that it does not name."""
        content = {
            **self._described(),
            "rows": sum(part.rows for part in parts),
            "parts": [part.as_json() for part in parts],
            "libraries": library_versions("numpy", "pyarrow"),
        }
        write_manifest(self.folder, content)
        self._remove_unnamed(parts)

    def _remove_unnamed(self, parts: list[Part]) -> None:
        named = {part.file for part in parts}
        for path in list(self.folder.iterdir()):
            if _PART_NAME.fullmatch(path.name) and path.name not in named:
                # Where a reader's open file cannot be removed (Windows), the next writer does it.
                with suppress(OSError):
                    path.unlink()

    def _write_part(self, number: int, tables: Iterable[pa.Table]) -> Part:
        """Write rows as a part of its own, in full row groups; no manifest names it yet."""
        import pyarrow.parquet as pq

        path = self.folder / f"part-{number:06d}-{secrets.token_hex(4)}.parquet"
        rows = digest_sum = 0

        def write(file: BinaryIO) -> None:
            nonlocal rows, digest_sum
            with pq.ParquetWriter(
                file,
                self._schema(),
                use_dictionary=False,
                write_statistics=False,
                write_page_checksum=True,
                **self._encoding(),
            ) as parquet:
                for table in _regroup(tables):
                    parquet.write_table(table, GROUP_ROWS)
                    rows += table.num_rows
                    digest_sum = (digest_sum + sum_of(digest_bytes(table))) % (1 << 256)

        write_atomically(path, write)
        with plain_write_errors(path):
            part = Part(path.name, rows, digest_sum, file_checksum(path))
        self._sound.add(path.name)
        return part

    def _compact(self, fresh: int) -> None:
        """Merge neighbouring small parts; the last `fresh` parts belong together.

        Order and content stay. Raises StaleArtifact, CannotWrite; then nothing has changed.
        """
        parts = self._parts()
        merged: list[Part] = []
        number = next_number(parts)
        for start, stop in plan_merges([part.rows for part in parts], fresh):
            if stop - start == 1:
                merged.append(parts[start])
            else:
                merged.append(self._write_part(number, self._tables_of(parts[start:stop])))
                number += 1
        if len(merged) < len(parts):
            self._save(merged)

    def _tables_of(self, parts: list[Part]) -> Iterator[pa.Table]:
        for part in parts:
            with self._open_part(part) as source:
                yield from source.tables()

    def _salvage(self) -> list[Part]:
        """Find the parts of a lost manifest: those of this store that read without a fault.

        Where a run was killed between the manifest and the removal of what a compaction had
        replaced, covers are in two parts; the largest parts are believed first.
        """
        found: list[tuple[Part, list[Digest]]] = []
        folder = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        for path in folder:
            if _PART_NAME.fullmatch(path.name):
                with suppress(StaleArtifact, FileNotFoundError):
                    found.append(self._read_unnamed(path))
        taken: set[Digest] = set()
        parts = []
        for part, digests in sorted(found, key=lambda item: -item[0].rows):
            if len(set(digests)) == part.rows and taken.isdisjoint(digests):
                taken.update(digests)
                parts.append(part)
        return sorted(parts, key=lambda part: part.number)

    def _read_unnamed(self, path: Path) -> tuple[Part, list[Digest]]:
        """Read a part that no manifest describes, every page of it. Raises StaleArtifact."""
        unknown = Part(path.name, 0, 0, "")
        with OpenPart(self, unknown) as source:
            blobs = []
            for table in source.tables():
                self._examine(source, table)
                blobs.append(digest_bytes(table))
        blob = b"".join(blobs)
        digests = split(blob)
        with self._plain_read_errors(path):
            checksum = file_checksum(path)
        if not digests:
            raise self._damaged_part(path, "empty")
        part = replace(unknown, rows=len(digests), digest_sum=sum_of(blob), checksum=checksum)
        return part, digests

    @contextmanager
    def _plain_read_errors(self, path: Path) -> Iterator[None]:
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
                f"{path} is damaged ({reason}); run `{self.kind.mend}`, which {self.kind.does} its"
                " covers again"
            ) from error


class PartWriter:
    """Adds rows to a store, for one thread that holds the writer lock.

    Entering drops damaged parts (`notes` has a line for each) and what killed runs left. Leaving
    commits and compacts; leaving by an exception commits what there is, where it can.
    """

    def __init__(self, store: PartStore) -> None:
        self._store = store
        self.notes: list[str] = []
        self._known: set[Digest] = set()
        self._added: list[pa.Table] = []
        self._in_doubt = ""  # the part that a commit is about to name, with all that is added
        self._fresh = 0

    def __enter__(self) -> Self:
        """Make the store clean and learn what it holds."""
        sweep(self._store.folder)
        self.notes += self._store.drop_damaged()
        self._store._remove_unnamed(self._store._parts())
        self._known = set(self._store.digests())
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
            done = self._store.kind.done
            error.add_note(f"{self.pending} {done} covers were lost: {second}")

    @property
    def known(self) -> set[Digest]:
        """The digests that are stored or added: the set itself, which grows. Not to be changed."""
        return self._known

    @property
    def pending(self) -> int:
        """Rows added and not yet committed."""
        return sum(table.num_rows for table in self._added)

    def _pending_digests(self) -> list[Digest]:
        return [digest for table in self._added for digest in split(digest_bytes(table))]

    def _add(self, digests: Iterable[Digest], table: pa.Table) -> None:
        """Take up rows of covers that are not known."""
        self._added.append(table)
        self._known.update(digests)

    def commit(self) -> int:
        """Put what was added on the disk as a part of its own. Returns the number of its rows.

        Raises CannotWrite; then the rows are still pending.
        """
        if not self._added:
            return 0
        store = self._store
        parts = store._parts()
        part = store._write_part(next_number(parts), self._added)
        self._in_doubt = part.file
        store._save([*parts, part])
        self._added = []
        self._in_doubt = ""
        self._fresh += 1
        if sum(part.rows < LARGE_PART for part in parts) >= MAX_SMALL_PARTS:
            self._compact(1)
        return part.rows

    def _leave_out_stored(self) -> None:
        """Forget what a commit put on the disk that was interrupted before it could say so."""
        if self._added and any(part.file == self._in_doubt for part in self._store._parts()):
            self._added = []

    def _compact(self, fresh: int) -> None:
        """Compact where it can be done: what is committed is safe without."""
        before = len(self._store._parts())
        try:
            self._store._compact(fresh)
        except (CannotWrite, StaleArtifact) as error:
            self.notes.append(f"the parts were not merged: {error}")
            return
        self._fresh = max(self._fresh - before + len(self._store._parts()), 1)


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


class OpenPart:
    """One part, opened for reading: what it gives has been checked."""

    def __init__(self, store: PartStore, part: Part) -> None:
        self._store = store
        self._part = part
        self._path = store.folder / part.file
        self._file: pq.ParquetFile

    def __enter__(self) -> Self:
        """Open it. Raises FileNotFoundError, StaleArtifact where it is not what it should be."""
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
        if not schema.equals(self._store._schema(), check_metadata=False) or (
            (schema.metadata or {}).get(b"albo") != self._store._identity().encode()
        ):
            raise self.damaged(f"not of {self._store._identity()}")
        if self._part.rows and rows != self._part.rows:
            raise self.damaged(f"damaged ({rows} rows, not {self._part.rows})")

    def damaged(self, reason: str) -> StaleArtifact:
        """Make the error that says what is wrong with it."""
        return self._store._damaged_part(self._path, reason)

    def plain_errors(self) -> AbstractContextManager[None]:
        """Turn what damage makes Arrow and Python raise into StaleArtifact."""
        return self._store._plain_read_errors(self._path)

    def group_sizes(self) -> list[int]:
        """Return the number of rows of each row group."""
        metadata = self._file.metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def table(self, group: int, columns: list[str] | None = None) -> pa.Table:
        """Read one row group, every column in one piece; all columns where none are named."""
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
        """Return the digests, in stored order."""
        blob = b"".join(digest_bytes(table) for table in self.tables(["digest"]))
        if sum_of(blob) != self._part.digest_sum:
            raise self.damaged("damaged (its digests are others)")
        return split(blob)


def state_of(fingerprint: str, rows: int, total: int) -> str:
    """Make a token of a set of covers, 16 hex digits. total : the sum of their digests."""
    return hashlib.sha256(f"{fingerprint} {rows} {total:x}".encode()).hexdigest()[:16]


def next_number(parts: list[Part]) -> int:
    """Return the number of the next part."""
    return max((part.number for part in parts), default=0) + 1


def digest_column(digests: Sequence[Digest]) -> pa.Array:
    """Make the column of digests. Raises ValueError where one has not 32 bytes."""
    import pyarrow as pa

    if any(len(digest) != DIGEST_BYTES for digest in digests):
        raise ValueError(f"digests have {DIGEST_BYTES} bytes")
    blob = pa.py_buffer(b"".join(digests))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(DIGEST_BYTES), len(digests), [None, blob])


def digest_bytes(table: pa.Table) -> bytes:
    """Return the digests of a table, one after the other, 32 bytes each."""
    pieces = []
    for chunk in table.column("digest").chunks:
        start, size = chunk.offset * DIGEST_BYTES, len(chunk) * DIGEST_BYTES
        pieces.append(chunk.buffers()[1].slice(start, size).to_pybytes())
    return b"".join(pieces)


def split(blob: bytes) -> list[Digest]:
    """Cut digests that follow one another apart."""
    return [blob[at : at + DIGEST_BYTES] for at in range(0, len(blob), DIGEST_BYTES)]


def sum_of(blob: bytes) -> int:
    """Sum of digests as little-endian numbers, modulo 2^256: whatever their order."""
    words = np.frombuffer(blob, "<u4").reshape(-1, 8).sum(axis=0, dtype=np.uint64)
    return sum(int(word) << (32 * place) for place, word in enumerate(words)) % (1 << 256)


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
        kept = [digest not in unwanted for digest in split(digest_bytes(table))]
        yield table.filter(pa.array(kept, pa.bool_()))
