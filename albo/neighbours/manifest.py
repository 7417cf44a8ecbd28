"""The files of an index, and the manifest that describes them."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from albo.errors import StaleArtifact
from albo.neighbours.lists import Lists
from albo.neighbours.rows import Rows
from albo.records import IndexKind
from albo.store import read_manifest, remove_unnamed, sweep, write_atomically

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from albo.records import Digest, Halves, Ints, Json, Pixels


MEND = "albo index"
"""The command that mends an index."""

DIGEST_BYTES = 32
"""The size of a digest."""

_FULLY_HASHED_BYTES = 16 << 20
_SAMPLED_PAGES = 256
_PAGE_BYTES = 4096
_NAME = re.compile(
    r"(?:vectors-(\d{1,12})\.f(?:32|16)|digests-(\d{1,12})\.bin|lists-(\d{1,12})\.faiss)"
)


class VectorStore(Protocol):
    """Where the vectors of one backbone are kept."""

    @property
    def state(self) -> str:
        """A text that changes whenever the content does."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the backbone."""

    @property
    def backbone(self) -> str:
        """The name of the backbone."""

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""

    def digests(self) -> Collection[Digest]:
        """Every cover that has a vector."""

    def batches(self, among: Collection[Digest]) -> Iterator[tuple[Sequence[Digest], Halves]]:
        """Yield the vectors of those covers in batches: digests and float16 (n, d)."""


@dataclass(frozen=True, slots=True)
class SearchTuning:
    """How an inverted file is searched, and with what recall."""

    nlist: int
    """The number of lists."""

    nprobe: int
    """How many lists are searched for a query."""

    candidates: int
    """How many covers the lists propose for a query, to be compared exactly."""

    recall: float
    """recall@10 against brute force, of `sample` of the index's own covers: 0 to 1."""

    sample: int
    """The number of covers that recall was measured with."""

    trained_on: int
    """The number of covers in the index when its lists were trained."""

    changed: int = 0
    """The number of covers added and removed since recall was measured."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file of an index. checksum : as of `describe_file`, in hex."""

    name: str
    bytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """The manifest of an index, checked."""

    kind: IndexKind
    """Flat or ivf."""

    asked_kind: IndexKind
    """The kind that the user asked for; auto lets albo choose by size."""

    generation: int
    """The number in the names of the files written last."""

    count: int
    """The number of covers."""

    rows: int
    """The number of rows in the vectors file, with the holes that removed covers leave."""

    dimension: int
    """How many numbers a vector has."""

    fingerprint: str
    """The fingerprint of the backbone."""

    backbone: str
    """The name of the backbone."""

    vectors_state: str
    """The state of the vector store that the index was made from."""

    digest_set: str
    """`digest_set_hash` of the covers that were asked for, with or without a vector."""

    files: dict[str, _File]
    """The files by their role: "vectors", "digests" and, for ivf, "lists"."""

    tuning: SearchTuning | None = None
    """How the lists are searched; None for a flat index."""

    flat_until: int = 0
    """The most covers for which auto stays flat, after codes could not tell covers apart."""

    libraries: dict[str, str] = field(default_factory=dict)
    """The versions of the libraries that made it."""

    @property
    def row_type(self) -> np.dtype[Any]:
        """How a number is kept in the vectors file."""
        return _ROW_TYPE[self.kind]

    @property
    def row_bytes(self) -> int:
        """The size of a row of the vectors file."""
        return self.dimension * self.row_type.itemsize

    def to_json(self) -> Json:
        """Return the manifest's content."""
        return asdict(self)

    @classmethod
    def parse(cls, content: Json) -> IndexManifest:
        """Read a manifest's content. Raises KeyError, TypeError or ValueError if invalid."""
        given: Json = {name: _natural(content[name]) for name in _COUNTS}
        given |= {name: _text(content[name]) for name in _TEXTS}
        given |= {name: IndexKind(content[name]) for name in ("kind", "asked_kind")}
        tuning = content["tuning"]
        manifest = cls(
            **given,
            files={role: _parse_file(content["files"][role]) for role in content["files"]},
            tuning=None if tuning is None else _parse_tuning(tuning),
            libraries=dict(content["libraries"]),
        )
        roles = {"vectors", "digests"} | ({"lists"} if manifest.kind is IndexKind.IVF else set())
        if set(manifest.files) != roles or (tuning is None) != (manifest.kind is IndexKind.FLAT):
            raise ValueError("files")
        if not manifest.count <= manifest.rows or manifest.dimension < 1:
            raise ValueError("counts")
        return manifest


_ROW_TYPE: dict[IndexKind, np.dtype[Any]] = {
    IndexKind.FLAT: np.dtype("<f4"),
    IndexKind.IVF: np.dtype("<f2"),
}
INDEX_SUFFIX = {IndexKind.FLAT: ".f32", IndexKind.IVF: ".f16"}
"""How the name of the vectors file ends, by kind."""

_COUNTS = ("generation", "count", "rows", "dimension", "flat_until")
_TEXTS = ("fingerprint", "backbone", "vectors_state", "digest_set")


def _natural(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise ValueError(f"{value!r} is no count")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _parse_file(content: Json) -> _File:
    name = _text(content["name"])
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no file of an index")
    return _File(name, _natural(content["bytes"]), _text(content["checksum"]))


def _parse_tuning(content: Json) -> SearchTuning:
    recall = content["recall"]
    if not isinstance(recall, float | int) or not 0 <= recall <= 1:
        raise ValueError(f"{recall!r} is no recall")
    names = ("nlist", "nprobe", "candidates", "sample", "trained_on", "changed")
    counts = {name: _natural(content[name]) for name in names}
    if not 1 <= counts["nprobe"] <= counts["nlist"] or counts["candidates"] < 1:
        raise ValueError("tuning")
    return SearchTuning(recall=float(recall), **counts)


class IndexFiles:
    """The open files of an index.

    Attributes
    ----------
    manifest : its manifest.
    rows : its vectors.
    table : uint8 (rows, 32), the digest of each row, zeros where a cover was taken out.
    lists : the inverted lists; None for a flat index.
    """

    def __init__(
        self, manifest: IndexManifest, rows: Rows, table: Pixels, lists: Lists | None
    ) -> None:
        self.manifest = manifest
        self.rows = rows
        self.table = table
        self.lists = lists

    @cached_property
    def live(self) -> Ints:
        """The rows that hold a cover, ascending."""
        return np.flatnonzero(self.table.any(axis=1))

    @cached_property
    def row_of(self) -> dict[Digest, int]:
        """The row of each cover."""
        return dict(zip(self.names(self.live), self.live.tolist(), strict=True))

    def names(self, ids: Ints) -> list[Digest]:
        """Return the digests of some rows."""
        plain = self.table[ids].tobytes()
        return [plain[at : at + DIGEST_BYTES] for at in range(0, len(plain), DIGEST_BYTES)]

    def rows_of(self, names: Collection[Digest]) -> Ints:
        """Return the rows of some covers, ascending."""
        row_of = self.row_of
        return np.sort(np.array([row_of[name] for name in names], dtype=np.int64))


def digest_set_hash(digests: Collection[Digest]) -> str:
    """Return a short text that is the same for the same set of digests, whatever their order.

    The digests are added up as rows of four 64-bit words, and the sums and the number of digests
    are hashed: a set of 50,000 takes milliseconds. Digests are SHA-256 already, so different sets
    do not have equal sums by chance.
    """
    unique = digests if isinstance(digests, set | frozenset) else frozenset(digests)
    words = np.frombuffer(b"".join(unique), dtype="<u8").reshape(-1, 4)
    sums = words.sum(axis=0, dtype=np.uint64).astype("<u8")
    return hashlib.sha256(sums.tobytes() + len(unique).to_bytes(8, "little")).hexdigest()[:32]


def read_index_manifest(folder: Path) -> IndexManifest:
    """Read the manifest of the index in a folder. Raises StaleArtifact."""
    content = read_manifest(folder, "index", MEND)
    try:
        return IndexManifest.parse(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise damaged_index(folder, "its manifest describes no index") from None


def find_index_manifest(folder: Path) -> IndexManifest | None:
    """Return the folder's manifest, its files unchecked; None where it is missing or damaged."""
    with suppress(StaleArtifact):
        return read_index_manifest(folder)
    return None


def find_whole_index(folder: Path, vectors: VectorStore) -> IndexFiles | None:
    """Open the index in the folder; None where it is missing, damaged or of another backbone."""
    with suppress(StaleArtifact, FileNotFoundError):
        manifest = read_index_manifest(folder)
        ours = (vectors.fingerprint, vectors.dimension)
        if (manifest.fingerprint, manifest.dimension) == ours:
            return open_index_files(folder, manifest)
    return None


def next_generation(folder: Path, former: IndexManifest | None) -> int:
    """Return a generation above those of all files in the folder, which readers may still use."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    matches = [match for match in map(_NAME.fullmatch, names) if match]
    used = [int(next(filter(None, match.groups()))) for match in matches]
    return max([*used, former.generation if former else 0]) + 1


def open_index_files(folder: Path, manifest: IndexManifest) -> IndexFiles:
    """Open and check the files of a manifest. Raises FileNotFoundError, StaleArtifact."""
    files = manifest.files
    rows = map_rows(folder / files["vectors"].name, manifest)
    vectors = describe_file(folder / files["vectors"].name, manifest.rows * manifest.row_bytes)
    if vectors != files["vectors"]:
        raise damaged_index(folder, f"checksum of {vectors.name}")
    plain = np.frombuffer(_read_file(folder, files["digests"]), dtype=np.uint8)
    if len(plain) != manifest.rows * DIGEST_BYTES:
        raise damaged_index(folder, f"{files['digests'].name} has {len(plain)} bytes")
    table = plain.reshape(-1, DIGEST_BYTES)
    if manifest.tuning is None:  # and so there are no lists
        return IndexFiles(manifest, rows, table, None)
    try:
        content = _read_file(folder, files["lists"])
        lists = Lists.deserialise(
            content, manifest.dimension, manifest.count, manifest.tuning.nlist
        )
    except ValueError as error:
        raise damaged_index(folder, f"{files['lists'].name}: {error}") from error
    return IndexFiles(manifest, rows, table, lists)


def map_rows(path: Path, manifest: IndexManifest) -> Rows:
    """Map the rows of a vectors file; a killed writer may have left further rows after them."""
    shape = (manifest.rows, manifest.dimension)
    needed = manifest.rows * manifest.row_bytes
    size = path.stat().st_size
    if size < needed:
        raise damaged_index(path.parent, f"{path.name} has {size} bytes of {needed}")
    if needed == 0:
        return Rows(np.empty(shape, dtype=manifest.row_type))
    matrix = np.memmap(path, dtype=manifest.row_type, mode="r", shape=shape)
    return Rows(np.asarray(matrix))


def describe_file(path: Path, size: int) -> _File:
    """Hash the first `size` bytes of a file: all of them, or 256 pages where it is large."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        if size <= _FULLY_HASHED_BYTES:
            total.update(file.read(size))
        else:
            for at in np.linspace(0, size - _PAGE_BYTES, _SAMPLED_PAGES).astype(np.int64).tolist():
                file.seek(at)
                total.update(file.read(_PAGE_BYTES))
    return _File(path.name, size, total.hexdigest())


def write_file(path: Path, content: Pixels) -> _File:
    """Write bytes, uint8 of any shape, and describe the file. Raises CannotWrite."""
    write_atomically(path, lambda file: file.write(content.data))
    return _File(path.name, content.nbytes, hashlib.sha256(content.data).hexdigest())


def _read_file(folder: Path, wanted: _File) -> bytes:
    """Read a whole file and compare its checksum. Raises StaleArtifact, FileNotFoundError."""
    with (folder / wanted.name).open("rb") as file:
        content = file.read(wanted.bytes + 1)
    if len(content) != wanted.bytes or hashlib.sha256(content).hexdigest() != wanted.checksum:
        raise damaged_index(folder, f"checksum of {wanted.name}")
    return content


def remove_others(folder: Path, kept: set[str]) -> None:
    """Remove the files of former generations and of killed writers."""
    sweep(folder)
    remove_unnamed(folder, _NAME, kept)


def damaged_index(folder: Path, reason: str) -> StaleArtifact:
    """Return the error for an index that is damaged; `reason` says how."""
    return StaleArtifact(f"the index in {folder} is damaged ({reason}); run `{MEND}`")
