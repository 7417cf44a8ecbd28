"""The words that one reader found on covers, in Parquet parts with a manifest.

`parts` describes how parts are written, merged, checked and read beside a writer.

Columns: `digest` fixed_size_binary(32), `text` list<string>, `box`
list<fixed_size_list<float>[8]>, `confidence` list<float>, `error` string. The three lists of a row
have an item for each line. A cover without text has empty lists. A cover whose reading failed has
them too, and the reason in `error`. Such a row does not count: the cover is tried again, and the
new row replaces it.

The text of a cover may be anything. It is stored as it was read, except that it is cut to a length
and that characters outside UTF-8 are replaced. The code that shows it makes it printable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from albo.records import Line, Words
from albo.store.digests import state_of, sum_of
from albo.store.forms import StoreKind
from albo.store.part_store import PartStore
from albo.store.part_writer import PartWriter
from albo.store.parts import open_or_create_parts, open_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from albo.records import Digest, Json
    from albo.store.part_files import OpenPart
    from albo.store.parts import Parts


MAX_TEXT = 500
"""The most characters kept of a line, and of the reason why a cover could not be read."""

MAX_LINES = 500
"""The most lines kept of a cover: the first ones, which are the uppermost."""

_CORNERS = 8
_NOT_FINITE = "the reader gave numbers that are not finite"


@dataclass(frozen=True, slots=True)
class WordForm:
    """The form of a store of words: their reader.

    It is a `Form` of one `Words` for each cover.
    """

    kind: ClassVar = StoreKind("word store", "reader", "albo words", "reads", "read")
    """The words of messages about such a store."""

    reader: str
    """The reader's name."""

    fingerprint: str
    """The reader's fingerprint."""

    @property
    def identity(self) -> str:
        """The reader."""
        return f"{self.reader} {self.fingerprint}"

    def described(self) -> Json:
        """Return the content of the manifest other than the parts."""
        return {"reader": self.reader, "fingerprint": self.fingerprint}

    @classmethod
    def recognise(cls, manifest: Json) -> Self:
        """Read the form that a manifest describes. Raises ValueError if it describes none."""
        reader, fingerprint = manifest.get("reader"), manifest.get("fingerprint")
        if not (isinstance(reader, str) and isinstance(fingerprint, str)):
            raise ValueError("no words are described")  # noqa: TRY004  (a file's, not a caller's)
        return cls(reader, fingerprint)

    def fields(self) -> list[pa.Field]:
        """Return the columns `text`, `box`, `confidence` and `error`."""
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

    def encoding(self) -> Json:
        """Return the settings of Parquet: everything except digests in zstd."""
        numbers = ["box.list.element.list.element", "confidence.list.element"]
        packed = [*numbers, "text.list.element", "error"]
        return {
            "compression": {"digest": "none", **dict.fromkeys(packed, "zstd")},
            "compression_level": dict.fromkeys(packed, 1),
            "use_byte_stream_split": numbers,
        }

    def check(self, count: int, content: Sequence[Words]) -> None:
        """Raise ValueError unless there are words for each cover and boxes have 8 numbers."""
        if len(content) != count:
            raise ValueError(f"{len(content)} readings for {count} covers")
        for words in content:
            _check_boxes(words)

    def columns(self, content: Sequence[Words], rows: Sequence[int]) -> list[pa.Array]:
        """Cut some of the words to their stored size, and make columns of them."""
        import pyarrow as pa

        words = [as_kept(content[row]) for row in rows]
        text, box, confidence, _ = self.fields()
        lines = [line for one in words for line in one.lines]
        boxes = np.array([line.box for line in lines], np.float32).reshape(-1)
        offsets = pa.array(np.cumsum([0, *(len(one.lines) for one in words)]), pa.int32())
        elements = [
            (text, pa.array([line.text for line in lines], pa.string())),
            (
                box,
                pa.FixedSizeListArray.from_arrays(pa.array(boxes), type=box.type.value_type),
            ),
            (confidence, pa.array([line.confidence for line in lines], pa.float32())),
        ]
        lists = [
            pa.ListArray.from_arrays(offsets, values, type=column.type)
            for column, values in elements
        ]
        return [*lists, pa.array([one.error for one in words], pa.string())]

    def examine(self, table: pa.Table) -> None:
        """Raise ValueError if the lists of a row have different lengths."""
        _words_of(table)

    def failed(self, part: OpenPart) -> Iterable[Digest]:
        """Return the covers of a part whose reading failed."""
        return (digest for digest, error in _errors_of(part) if error)


WordWriter = PartWriter[Sequence[Words]]
"""Adds words to a store: `add` takes one `Words` for each cover."""


class WordStore(PartStore):
    """The stored words of one reader, for each cover.

    `open` or `open_or_create` make one. Reading never locks, see `PartStore`. The `parts` also hold
    rows of covers whose reading failed, which count as not read.
    """

    kind: ClassVar = WordForm.kind
    """The words of messages about this store."""

    parts: Parts[WordForm]
    """The rows, in parts with a manifest."""

    @classmethod
    def open(cls, folder: Path, fingerprint: str | None = None) -> WordStore:
        """Open stored words by their manifest.

        Raises StaleArtifact if there are none or the manifest is damaged, ForeignArtifact if their
        reader does not have that `fingerprint`.
        """
        return cls(open_parts(folder, WordForm, fingerprint))

    @classmethod
    def open_or_create(cls, folder: Path, reader: str, fingerprint: str) -> WordStore:
        """Open or create the words of this reader; the caller holds the writer lock.

        A missing or damaged manifest is rebuilt from the undamaged parts; the others are removed.
        Raises ForeignArtifact if the words are another reader's, CannotWrite.
        """
        return cls(open_or_create_parts(folder, WordForm(reader, fingerprint)))

    @property
    def reader(self) -> str:
        """The reader's name."""
        return self.parts.form.reader

    @property
    def state(self) -> str:
        """A token of the set of covers that were read: 16 hex digits, the same for the same set.

        It changes with every cover read or removed, but not when a reading fails or parts are
        merged: the order of rows does not matter.
        """
        there = self.digests()
        return state_of(self.fingerprint, len(there), sum_of(b"".join(there)))

    def __len__(self) -> int:
        """Return the number of covers that have been read."""
        return len(self.digests())

    def digests(self) -> list[Digest]:
        """Return the covers that have been read, in stored order, those without text too.

        Raises StaleArtifact.
        """
        return [digest for digest, error in self._errors() if not error]

    def failed(self) -> dict[Digest, str]:
        """Return the covers whose reading failed, each with the reason. Raises StaleArtifact."""
        return {digest: error for digest, error in self._errors() if error}

    def writer(self) -> PartWriter[Sequence[Words]]:
        """Return a writer, for a `with` statement; the caller holds the writer lock."""
        return PartWriter(self.parts)

    def read(self, digests: Sequence[Digest]) -> list[Words | None]:
        """Return the words of covers, in the order asked; None for one that was never read.

        If its reading failed, `error` says why. Raises StaleArtifact.
        """
        wanted = set(digests)
        found: dict[Digest, Words] = {}
        with self.parts.opened() as parts:
            for part in parts:
                found.update(_words_among(part, wanted))
        return [found.get(digest) for digest in digests]

    def _errors(self) -> list[tuple[Digest, str]]:
        with self.parts.opened() as parts:
            return [row for part in parts for row in _errors_of(part)]


def as_kept(words: Words) -> Words:
    """Cut words to their stored size. Raises ValueError for boxes without exactly 8 numbers."""
    _check_boxes(words)
    if words.error:
        return Words(error=_cut(words.error))
    lines = words.lines[:MAX_LINES]
    with np.errstate(over="ignore"):
        numbers = np.array([(*line.box, line.confidence) for line in lines], np.float32)
    if not np.isfinite(numbers).all():
        return Words(error=_NOT_FINITE)
    return Words(tuple(Line(_cut(line.text), line.box, line.confidence) for line in lines))


def _check_boxes(words: Words) -> None:
    if any(len(line.box) != _CORNERS for line in words.lines):
        raise ValueError(f"boxes have {_CORNERS} numbers")


def _cut(text: str) -> str:
    # Python's text may hold half a surrogate pair, which UTF-8 cannot.
    return text[:MAX_TEXT].encode(errors="replace").decode()


def _words_among(part: OpenPart, wanted: set[Digest]) -> Iterator[tuple[Digest, Words]]:
    """Yield the wanted rows of a part; a group without any is not read."""
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


def _errors_of(part: OpenPart) -> Iterator[tuple[Digest, str]]:
    """Yield the covers of a part, each with the reason why its reading failed, or ""."""
    errors: list[str] = []
    for table in part.tables(["error"]):
        with part.plain_errors():
            errors += table.column("error").to_pylist()
    return zip(part.digests(), errors, strict=True)


def _words_of(table: pa.Table) -> list[Words]:
    """Make words of rows. Raises ValueError if the lists of a row have different lengths."""
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
