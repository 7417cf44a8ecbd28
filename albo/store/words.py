"""The words that one reader found on covers, in Parquet parts behind a manifest.

How parts are written, merged, checked and read beside a writer is told in `parts`.

Columns: `digest` fixed_size_binary(32), `text` list<string>, `box`
list<fixed_size_list<float>[8]>, `confidence` list<float>, `error` string. The three lists of a row
have a place for each line. A cover without text has empty lists; one whose reading failed has them
too, and says why in `error`. Such a row counts for nothing: the cover is tried again, and what
comes of that takes its place.

Text is what stands on covers, that is, anything: it is stored as it was read, but for its length
and for what UTF-8 cannot hold. Whoever shows it makes it printable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from albo.records import Line, Words
from albo.store.parts import Kind, OpenPart, PartStore, PartWriter, digest_column, state_of, sum_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from albo.records import Digest, Json


MAX_TEXT = 500
"""Characters that are kept of a line, and of why a cover could not be read."""

MAX_LINES = 500
"""Lines that are kept of a cover: the first ones, which are the uppermost."""

_CORNERS = 8
_NOT_FINITE = "the reader gave numbers that are not finite"


@dataclass(frozen=True, eq=False)
class WordStore(PartStore):
    """The stored words of one reader: what every cover says to it.

    reader, fingerprint : whose they are.

    Reading never locks: each call follows the manifest as it stands then. Between two calls a
    writer may add rows; under the writer lock they agree. `open` or `open_or_create` make one.
    """

    kind: ClassVar = Kind("word store", "reader", "albo words", "reads", "read")

    reader: str
    fingerprint: str

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> WordStore:
        """Open stored words by their manifest.

        Raises StaleArtifact where there are none or the manifest is damaged, ForeignArtifact where
        they are of another reader than that of `fingerprint`.
        """
        found = cls._open(folder)
        if fingerprint is not None and found.fingerprint != fingerprint:
            found._refuse(f"fingerprint {found.fingerprint}, not {fingerprint}")
        return found

    @classmethod
    def open_or_create(cls, folder: Path, reader: str, fingerprint: str) -> WordStore:
        """Open the words of this reader, or begin them; the caller holds the writer lock.

        Where the manifest is missing or damaged, it is made anew from the parts that are sound,
        and the others are removed.
        Raises ForeignArtifact where the words are another reader's, CannotWrite.
        """
        wanted = cls(folder, reader, fingerprint)
        return cls.open(folder) if wanted._begin() else wanted

    def __len__(self) -> int:
        """Return the number of covers that have been read."""
        return len(self.digests())

    @property
    def state(self) -> str:
        """A token for which covers have been read: 16 hex digits, the same for the same set.

        It changes with every cover read or removed, not with a reading that failed, and not with
        a compaction: it says nothing of the order of rows.
        """
        there = self.digests()
        return state_of(self.fingerprint, len(there), sum_of(b"".join(there)))

    def digests(self) -> list[Digest]:
        """Return the covers that have been read, in stored order, those without text too.

        Raises StaleArtifact.
        """
        return [digest for digest, error in self._errors() if not error]

    def failed(self) -> dict[Digest, str]:
        """Return the covers whose reading failed, each with why. Raises StaleArtifact."""
        return {digest: error for digest, error in self._errors() if error}

    def read(self, digests: Sequence[Digest]) -> list[Words | None]:
        """Return what covers say, in the order asked; None for one that was never read.

        Where its reading failed, `error` says why. Raises StaleArtifact.
        """
        wanted = set(digests)
        found: dict[Digest, Words] = {}
        with self._opened() as parts:
            for part in parts:
                found.update(_words_among(part, wanted))
        return [found.get(digest) for digest in digests]

    def writer(self) -> WordWriter:
        """Return a writer, for a `with` statement; the caller holds the writer lock."""
        return WordWriter(self)

    def _errors(self) -> list[tuple[Digest, str]]:
        with self._opened() as parts:
            return [
                row
                for part in parts
                for row in zip(part.digests(), _column(part, "error"), strict=True)
            ]

    def _identity(self) -> str:
        return f"{self.reader} {self.fingerprint}"

    def _described(self) -> Json:
        return {"reader": self.reader, "fingerprint": self.fingerprint}

    @classmethod
    def _recognise(cls, folder: Path, manifest: Json) -> Self:
        reader, fingerprint = manifest.get("reader"), manifest.get("fingerprint")
        if not (isinstance(reader, str) and isinstance(fingerprint, str)):
            raise cls._damaged_manifest(folder)
        return cls(folder, reader, fingerprint)

    def _fields(self) -> list[pa.Field]:
        import pyarrow as pa

        def listed(name: str, kind: pa.DataType) -> pa.Field:
            element = pa.field("element", kind, nullable=False)
            return pa.field(name, pa.list_(element), nullable=False)

        number = pa.field("element", pa.float32(), nullable=False)
        return [
            listed("text", pa.string()),
            listed("box", pa.list_(number, _CORNERS)),
            listed("confidence", pa.float32()),
            pa.field("error", pa.string(), nullable=False),
        ]

    def _encoding(self) -> Json:
        numbers = ["box.list.element.list.element", "confidence.list.element"]
        packed = [*numbers, "text.list.element", "error"]
        return {
            "compression": {"digest": "none", **dict.fromkeys(packed, "zstd")},
            "compression_level": dict.fromkeys(packed, 1),
            "use_byte_stream_split": numbers,
        }

    def _examine(self, part: OpenPart, table: pa.Table) -> None:
        with part.plain_errors():
            _words_of(table)

    def _table(self, digests: Sequence[Digest], words: Sequence[Words]) -> pa.Table:
        import pyarrow as pa

        schema = self._schema()
        lines = [line for one in words for line in one.lines]
        boxes = np.array([line.box for line in lines], np.float32).reshape(-1)
        offsets = pa.array(np.cumsum([0, *(len(one.lines) for one in words)]), pa.int32())
        elements = {
            "text": pa.array([line.text for line in lines], pa.string()),
            "box": pa.FixedSizeListArray.from_arrays(
                pa.array(boxes), type=schema.field("box").type.value_type
            ),
            "confidence": pa.array([line.confidence for line in lines], pa.float32()),
        }
        columns = {
            name: pa.ListArray.from_arrays(offsets, values, type=schema.field(name).type)
            for name, values in elements.items()
        }
        error = pa.array([one.error for one in words], pa.string())
        return pa.table([digest_column(digests), *columns.values(), error], schema=schema)


class WordWriter(PartWriter):
    """Adds words to a store, as a `PartWriter` does; `known` has no cover whose reading failed."""

    def __init__(self, store: WordStore) -> None:
        super().__init__(store)
        self.words = store
        self._failed: set[Digest] = set()

    def __enter__(self) -> Self:
        """Make the store clean and learn what it holds."""
        super().__enter__()
        self._failed = set(self.words.failed())
        return self

    @property
    def failed(self) -> set[Digest]:
        """The covers whose reading had failed before and is to be tried again."""
        return self._failed

    def add(self, digests: Sequence[Digest], words: Sequence[Words]) -> None:
        """Take up what n covers say; those known already, and repeated ones, are ignored.

        digests : n of 32 bytes. words : n; of those with an error no line is kept.

        Raises ValueError for other numbers of them, and for boxes of other than 8 numbers; then
        none is taken up.
        """
        new: dict[Digest, Words] = {}
        for digest, said in zip(digests, words, strict=True):
            if digest not in self._known:
                new.setdefault(digest, as_kept(said))
        if new:
            self._add(new, self.words._table(list(new), list(new.values())))

    def commit(self) -> int:
        """Put what was added on the disk, in the place of readings that had failed before.

        Returns the number of covers. Raises CannotWrite; then they are still pending.
        """
        if again := self._failed.intersection(self._pending_digests()):
            # Killed here, albo has lost that they failed once, which it would try again anyway.
            self.words.remove(again)
            self._failed -= again
        return super().commit()


def as_kept(words: Words) -> Words:
    """Cut words to what is stored of them. Raises ValueError for boxes of other than 8 numbers."""
    if any(len(line.box) != _CORNERS for line in words.lines):
        raise ValueError(f"boxes have {_CORNERS} numbers")
    if words.error:
        return Words(error=_cut(words.error))
    lines = words.lines[:MAX_LINES]
    with np.errstate(over="ignore"):
        numbers = np.array([(*line.box, line.confidence) for line in lines], np.float32)
    if not np.isfinite(numbers).all():
        return Words(error=_NOT_FINITE)
    return Words(tuple(Line(_cut(line.text), line.box, line.confidence) for line in lines))


def _cut(text: str) -> str:
    # Half a surrogate pair, which Python's text may hold, is in no UTF-8.
    return text[:MAX_TEXT].encode(errors="replace").decode()


def _words_among(part: OpenPart, wanted: set[Digest]) -> Iterator[tuple[Digest, Words]]:
    """Go through the rows of a part that are wanted; a group without any is not read."""
    there = part.digests()
    start = 0
    for group, size in enumerate(part.group_sizes()):
        rows = [row for row in range(size) if there[start + row] in wanted]
        if rows:
            table = part.table(group, ["text", "box", "confidence", "error"])
            with part.plain_errors():
                said = _words_of(table.take(rows))
            yield from zip((there[start + row] for row in rows), said, strict=True)
        start += size


def _column(part: OpenPart, name: str) -> list[str]:
    values: list[str] = []
    for table in part.tables([name]):
        with part.plain_errors():
            values += table.column(name).to_pylist()
    return values


def _words_of(table: pa.Table) -> list[Words]:
    """Make words of rows. Raises ValueError where the lists of a row do not belong together."""
    text, box, confidence = (
        table.column(name).combine_chunks() for name in ("text", "box", "confidence")
    )
    ends = text.offsets.to_numpy()
    if not all(np.array_equal(np.diff(ends), np.diff(of.offsets)) for of in (box, confidence)):
        raise ValueError("the lists of a row have different lengths")
    numbers = box.flatten().flatten().to_numpy().reshape(-1, _CORNERS).tolist()
    lines = [
        Line(said, tuple(corners), sure)
        for said, corners, sure in zip(
            text.flatten().to_pylist(), numbers, confidence.flatten().to_pylist(), strict=True
        )
    ]
    places = (ends - ends[0]).tolist()
    return [
        Words(tuple(lines[first:last]), error)
        for first, last, error in zip(
            places, places[1:], table.column("error").to_pylist(), strict=False
        )
    ]
