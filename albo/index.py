"""The index: which covers look most like this one.

Up to 50,000 covers every query is compared with every cover ("flat": exact). Above, an inverted
file of compressed codes proposes some hundred candidates, and these are compared exactly ("ivf").
Either kind keeps its own copy of the vectors in a memory-mapped file, whose row number is the id,
so that opening an index reads next to nothing; scores are true cosines in both.

The folder holds `manifest.json` and the files that it names, each with a generation in its name:
`vectors-G.f32` or `.f16` (raw rows), `digests-G.bin` (32 bytes a row, zeros where a cover was taken
out) and, for ivf, `lists-G.faiss`. Rows are only ever appended to a vectors file, past the rows
that the standing manifest speaks of; every other file is written under a new name. So a writer that
is killed leaves the former index as it was, and a reader needs no lock.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from albo.artifacts import (
    library_versions,
    plain_write_errors,
    read_manifest,
    sweep,
    write_atomically,
    write_manifest,
)
from albo.errors import EmptyIndex, StaleArtifact, UsageError
from albo.nearest import ROUNDING, Lists, Rows, draw
from albo.records import Digest, Neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from albo.records import Floats, Halves, Ints, Json, Pixels

    Progress: TypeAlias = Callable[[int, int], None]

FLAT_UNTIL = 50_000
"""Covers up to which `auto` searches exactly; also the largest subset that is always so."""

RECALL_FLOOR = 0.95
"""Recall@10 under which an inverted file is not kept."""

RECALL_AIM = 0.97
"""Recall@10 that the tuning stops at: a margin over the floor for other queries than its own."""

MEND = "albo index"

_DIGEST_BYTES = 32
_TOLERANCE = 0.01
_IVF_LEAST = 1_000
"""Covers below which lists and codes cannot be trained well."""

_STAY_IVF = 0.8
_MOST_GROWTH = 2.0
_MOST_HOLES = 0.25
_MEASURE_AGAIN = 0.1
_TUNING_QUERIES = 256
_CANDIDATES = (200, 400, 800, 1600)
_FULLY_HASHED_BYTES = 16 << 20
_SAMPLED_PAGES = 256
_PAGE_BYTES = 4096
_SLACK = 8

_OPEN_ATTEMPTS = 5
_FILTERED_PROBES = 16
_FILTERED_WIDTH = 5
_MANY_NEIGHBOURS = 1_000
_NAME = re.compile(
    r"(?:vectors-(\d{1,12})\.f(?:32|16)|digests-(\d{1,12})\.bin|lists-(\d{1,12})\.faiss)"
)


class IndexKind(StrEnum):
    """How an index searches: `auto` chooses between the other two by size."""

    AUTO = "auto"
    FLAT = "flat"
    IVF = "ivf"


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
        """Go through the vectors of those covers: some digests and float16 (n, d) at a time."""


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What an update did.

    count : covers in the index. missing : covers asked for that have no vector. rebuilt : whether
    it was built anew rather than changed. recall : recall@10 against brute force, 1.0 where exact.
    note : what the user should know, or "".
    """

    backbone: str
    kind: IndexKind
    count: int
    added: int
    removed: int
    missing: int
    rebuilt: bool
    recall: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Tuning:
    """How an inverted file is searched, and how well that does.

    recall : recall@10 of `sample` of its own covers against brute force. trained_on : covers in
    the index when it was trained. changed : covers added and removed since recall was measured.
    """

    nlist: int
    nprobe: int
    candidates: int
    recall: float
    sample: int
    trained_on: int
    changed: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    bytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What the manifest says, checked; `rows` counts the holes that removed covers leave."""

    kind: IndexKind
    asked_kind: IndexKind
    generation: int
    count: int
    rows: int
    dimension: int
    fingerprint: str
    backbone: str
    vectors_state: str
    digest_set: str
    files: dict[str, _File]
    tuning: _Tuning | None = None
    flat_until: int = 0
    libraries: dict[str, str] = field(default_factory=dict)

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
    def parse(cls, content: Json) -> _Manifest:
        """Read it back; raises KeyError, TypeError or ValueError for what cannot be one."""
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
_SUFFIX = {IndexKind.FLAT: ".f32", IndexKind.IVF: ".f16"}
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


def _parse_tuning(content: Json) -> _Tuning:
    recall = content["recall"]
    if not isinstance(recall, float | int) or not 0 <= recall <= 1:
        raise ValueError(f"{recall!r} is no recall")
    names = ("nlist", "nprobe", "candidates", "sample", "trained_on", "changed")
    counts = {name: _natural(content[name]) for name in names}
    if not 1 <= counts["nprobe"] <= counts["nlist"] or counts["candidates"] < 1:
        raise ValueError("tuning")
    return _Tuning(recall=float(recall), **counts)


def digest_set_hash(digests: Collection[Digest]) -> str:
    """Return a short text that is the same for the same set of digests, whatever their order.

    The digests are added up as 256-bit columns of four 64-bit words, and the sums and the number
    are hashed: a set of 50,000 takes milliseconds. Digests are SHA-256 already, so sums of
    different sets do not meet by chance.
    """
    unique = digests if isinstance(digests, set | frozenset) else frozenset(digests)
    words = np.frombuffer(b"".join(unique), dtype="<u8").reshape(-1, 4)
    sums = words.sum(axis=0, dtype=np.uint64).astype("<u8")
    return hashlib.sha256(sums.tobytes() + len(unique).to_bytes(8, "little")).hexdigest()[:32]


def open_index(
    folder: Path, fingerprint: str | None = None, *, exact_until: int = FLAT_UNTIL
) -> Index:
    """Open the index in a folder, checking that it is whole.

    The lists and the digests are hashed in full before they are used (FAISS must not read a file
    that is not the one written). The vectors are numbers that can do no harm, and hashing all of
    them would take longer than a search: above 16 MiB their length and 256 pages spread over the
    file are checked, and each vector that a result rests on must have length one.

    Parameters
    ----------
    folder : the index's folder.
    fingerprint : the backbone's, to refuse an index of another one; None takes any.
    exact_until : subsets of at most that many covers are searched exactly.

    Raises StaleArtifact where there is none, or it is damaged or of another backbone.
    """
    generation = -1
    lacking = ""
    for _ in range(_OPEN_ATTEMPTS):
        manifest = _read(folder)
        if fingerprint is not None and manifest.fingerprint != fingerprint:
            raise StaleArtifact(
                f"the index in {folder} is of {manifest.backbone} {manifest.fingerprint[:8]},"
                f" not of {fingerprint[:8]}; run `{MEND}`"
            )
        if manifest.generation == generation:
            break
        generation = manifest.generation
        try:
            return Index(_load(folder, manifest), exact_until)
        except FileNotFoundError as error:
            # A writer may have replaced the files since the manifest was read.
            lacking = os.path.basename(error.filename or "")  # noqa: PTH119  (it may be bytes)
    raise _damaged(folder, f"{lacking} is missing")


def update_index(
    folder: Path,
    vectors: VectorStore,
    digests: Collection[Digest],
    kind: IndexKind | None = None,
    progress: Progress | None = None,
    *,
    anew: bool = False,
    most_flat: int = FLAT_UNTIL,
) -> IndexSummary:
    """Bring the index to exactly the covers given, as far as they have vectors.

    The index that stands there is changed where it is of the same backbone, kind and whole, and
    the change is small enough; otherwise a new one is built. The caller holds the writer lock.

    Parameters
    ----------
    folder : the index's folder, made where it is missing.
    vectors : where the vectors are.
    digests : the covers that the index shall hold.
    kind : flat, ivf, or auto (by size); None is what was asked for last, at first auto.
    progress : called with the number of steps done and the number there are.
    anew : build a new index whatever stands there.
    most_flat : covers up to which auto chooses flat; an ivf index stays one down to 0.8 of that.

    Raises StaleArtifact where a vector is damaged, CannotWrite.
    """
    asked = digests if isinstance(digests, set | frozenset) else frozenset(digests)
    wanted = set(asked).intersection(vectors.digests())
    former = _former(folder)
    standing = None if anew else _standing(folder, vectors)
    asked_kind = kind or (former.asked_kind if former else IndexKind.AUTO)
    flat_until = former.flat_until if former and not (kind or anew) else 0
    base = _Manifest(
        kind=_choose_kind(asked_kind, len(wanted), former, max(most_flat, flat_until)),
        asked_kind=asked_kind,
        generation=_next_generation(folder, former),
        count=len(wanted),
        rows=0,
        dimension=vectors.dimension,
        fingerprint=vectors.fingerprint,
        backbone=vectors.backbone,
        vectors_state=vectors.state,
        digest_set=digest_set_hash(asked),
        files={},
        flat_until=flat_until,
        libraries=library_versions("faiss-gpu", "faiss-cpu", "numpy"),
    )
    update = _Update(folder, vectors, wanted, base, standing, progress=progress)
    summary = replace(update.run(), missing=len(asked) - len(wanted))
    if kind is IndexKind.IVF and summary.kind is IndexKind.FLAT:
        note = f"an inverted file needs {_IVF_LEAST:,} covers, here are {summary.count:,}"
        return replace(summary, note=f"{note}; the index is exact until there are as many")
    return summary


class Index:
    """An open index of one backbone's vectors; made by `open_index`.

    kind : flat or ivf. count : covers in it. dimension : numbers in a vector. recall : recall@10
    against brute force as last measured, 1.0 where exact. fingerprint, backbone : whose vectors.
    """

    def __init__(self, opened: _Opened, exact_until: int) -> None:
        self._opened = opened
        self._rows = opened.rows
        self._exact_until = exact_until
        manifest = opened.manifest
        self.kind = manifest.kind
        self.count = manifest.count
        self.dimension = manifest.dimension
        self.fingerprint = manifest.fingerprint
        self.backbone = manifest.backbone
        self.recall = 1.0 if manifest.tuning is None else manifest.tuning.recall

    def digests(self) -> set[Digest]:
        """Return every cover in the index."""
        return set(self._opened.row_of)

    def check_current(self, vectors_state: str, digest_set: str) -> None:
        """Raise StaleArtifact where vectors or covers are other than those it was built from.

        Parameters
        ----------
        vectors_state : the store's `state` now.
        digest_set : `digest_set_hash` of the covers that the catalog would have in the index now.
        """
        if self._opened.manifest.digest_set != digest_set:
            raise StaleArtifact(
                f"the index of {self.backbone} ({self.count} covers) is of other covers than the"
                f" catalog holds now; run `{MEND}`"
            )
        if self._opened.manifest.vectors_state != vectors_state:
            raise StaleArtifact(
                f"the index of {self.backbone} ({self.count} covers) is older than its vectors;"
                f" run `{MEND}`"
            )

    def search(
        self,
        queries: Floats,
        k: int,
        among: Collection[Digest] | None = None,
    ) -> list[Neighbours]:
        """Find the nearest covers of each query.

        Parameters
        ----------
        queries : float32 (q, d), unit rows.
        k : how many neighbours; fewer come where there are fewer.
        among : the only covers to look at (those of a genre); what is not in the index is ignored.

        Returns
        -------
        For each query its neighbours, best first, equal scores by digest. A score is the cosine,
        the float32 nearest to the dot product of the query and the stored vector.

        Raises UsageError for a k below 1, and for queries of another shape, not finite or not of
        unit length; EmptyIndex where there is no cover that the filter admits; StaleArtifact where
        a stored vector is damaged.
        """
        queries = self._checked(queries, k)
        rows = None if among is None else self._opened.rows_of(self._opened.row_of.keys() & among)
        size = self.count if rows is None else len(rows)
        if size == 0:
            raise EmptyIndex(f"the filter admits 0 of the index's {self.count} covers; widen it")
        if not len(queries):
            return []
        need = min(size, k)
        lists, tuning = self._opened.lists, self._opened.manifest.tuning
        is_small = rows is not None and size <= self._exact_until
        if lists is None or tuning is None or is_small or need > _MANY_NEIGHBOURS:
            found = self._exact(queries, need, rows)
        else:
            found = self._approximate(queries, need, rows, (lists, tuning))
        return [self._neighbours(ids, scores, need) for ids, scores in found]

    def _checked(self, queries: Floats, k: int) -> Floats:
        if self.count == 0:
            raise EmptyIndex(f"the index of {self.backbone} holds 0 covers; run `albo embed` first")
        if k < 1:
            raise UsageError(f"k={k}; ask for 1 neighbour or more")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:  # noqa: PLR2004
            raise UsageError(
                f"queries of shape {queries.shape}, but the index of {self.backbone} takes"
                f" (q, {self.dimension}); embed them with that backbone"
            )
        lengths = np.sqrt(np.einsum("qd,qd->q", queries, queries))
        if not np.all(np.abs(lengths - 1) < _TOLERANCE):  # so that NaN fails too
            worst = lengths[np.argmax(np.abs(lengths - 1))]
            raise UsageError(f"a query has length {worst:g}; give finite rows of unit length")
        return queries

    def _exact(self, queries: Floats, need: int, rows: Ints | None) -> _Found:
        if rows is None and self.count < len(self._rows):
            rows = self._opened.live
        size = self.count if rows is None else len(rows)
        width = min(size, need + _SLACK)
        kernel, ids = self._rows.scan(queries, width, rows)
        scores = self._rows.scores(queries, ids)
        # What was not fetched may be as near as what was: then fetch more, else ties would be
        # broken by the order of rows.
        enough = np.partition(scores, width - need, axis=1)[:, width - need]
        unsure = np.flatnonzero(kernel[:, -1] + ROUNDING >= enough) if width < size else ()
        found = list(zip(ids, scores, strict=True))
        for query in unsure:
            found[query] = self._exact_to_the_tie(queries[query : query + 1], need, rows, width)
        return found

    def _exact_to_the_tie(
        self, query: Floats, need: int, rows: Ints | None, width: int
    ) -> tuple[Ints, Floats]:
        size = self.count if rows is None else len(rows)
        while True:
            width = min(size, width * 8)
            kernel, ids = self._rows.scan(query, width, rows)
            scores = self._rows.scores(query, ids)
            enough = np.partition(scores[0], width - need)[width - need]
            if width == size or kernel[0, -1] + ROUNDING < enough:
                return ids[0], scores[0]

    def _approximate(
        self, queries: Floats, need: int, rows: Ints | None, by: tuple[Lists, _Tuning]
    ) -> _Found:
        lists, tuning = by
        size = self.count if rows is None else len(rows)
        nprobe = tuning.nprobe * math.sqrt(max(1.0, need / 10))
        width = max(tuning.candidates, 4 * need)
        if rows is not None:
            # The tuning's queries had their neighbours near them. A filter may leave only covers
            # that are far from the query, hence nearly equally far, in many lists.
            nprobe *= max(_FILTERED_PROBES, self.count / size)
            width *= _FILTERED_WIDTH
        nprobe, width = min(tuning.nlist, math.ceil(nprobe)), min(size, width)
        ids = self._rows.scan_on_gpu(queries, width, self._opened.live) if rows is None else None
        if ids is None:
            ids = lists.nearest(queries, width, nprobe, rows, len(self._rows))
        found = list(zip(ids, self._rows.scores(queries, ids), strict=True))
        for query in np.flatnonzero((ids >= 0).sum(axis=1) < need):
            found[query] = self._exact(queries[query : query + 1], need, rows)[0]
        return found

    def _neighbours(self, ids: Ints, scores: Floats, k: int) -> Neighbours:
        if len(ids) > 4 * k:
            chosen = scores >= np.partition(scores, len(ids) - k)[len(ids) - k]
            ids, scores = ids[chosen], scores[chosen]
        names = self._opened.names(ids)
        ranked = sorted(
            (-min(max(score, -1.0), 1.0), name)
            for score, name in zip(scores.tolist(), names, strict=True)
            if score > -np.inf
        )[:k]
        return Neighbours(tuple(name for _, name in ranked), tuple(-score for score, _ in ranked))


class _Opened:
    """An index's files, open: the manifest, the rows, their digests and, for ivf, the lists."""

    def __init__(self, manifest: _Manifest, rows: Rows, table: Pixels, lists: Lists | None) -> None:
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
        return [plain[at : at + _DIGEST_BYTES] for at in range(0, len(plain), _DIGEST_BYTES)]

    def rows_of(self, names: Collection[Digest]) -> Ints:
        """Return the rows of some covers, ascending."""
        row_of = self.row_of
        return np.sort(np.array([row_of[name] for name in names], dtype=np.int64))


class _Update:
    """One update of an index: from what stands there to what is wanted."""

    def __init__(
        self,
        folder: Path,
        vectors: VectorStore,
        wanted: set[Digest],
        base: _Manifest,
        standing: _Opened | None,
        *,
        progress: Progress | None,
    ) -> None:
        self._folder = folder
        self._vectors = vectors
        self._wanted = wanted
        self._base = base
        self._standing = standing
        self._report = progress or (lambda _done, _total: None)
        held = standing.row_of.keys() if standing else set[Digest]()
        self._added, self._removed = wanted - held, held - wanted

    def run(self) -> IndexSummary:
        """Do it; the manifest, written last, makes it stand."""
        standing = self._standing
        if standing is None or standing.manifest.kind is not self._base.kind:
            return self._build()
        if not self._added and not self._removed:
            return self._confirm(standing.manifest)
        if standing.lists is None:
            return self._change_flat(standing)
        return self._change_ivf(standing, standing.lists)

    def _confirm(self, old: _Manifest) -> IndexSummary:
        """Let it stand, but for what the manifest says of its origin."""
        manifest = replace(
            self._base, rows=old.rows, files=old.files, tuning=old.tuning, generation=old.generation
        )
        if manifest != old:
            write_manifest(self._folder, manifest.to_json())
        return self._summary(manifest, rebuilt=False)

    def _build(self) -> IndexSummary:
        kind = self._base.kind
        name = f"vectors-{self._base.generation}{_SUFFIX[kind]}"
        table = self._write_rows(name, 0, self._blocks_of(self._wanted))
        manifest = replace(self._base, count=len(table), rows=len(table))
        if kind is IndexKind.FLAT:
            return self._commit(manifest, table, name, None, rebuilt=True)
        rows = _map_rows(self._folder / name, manifest)
        lists = Lists.train(rows)
        self._add_codes(lists, rows, 0)
        tuning = _tune(rows, lists, np.arange(len(rows)))
        if tuning.recall < RECALL_FLOOR and manifest.asked_kind is IndexKind.AUTO:
            return self._build_flat_instead(tuning.recall)
        return self._commit(replace(manifest, tuning=tuning), table, name, lists, rebuilt=True)

    def _build_flat_instead(self, recall: float) -> IndexSummary:
        """Search exactly what does not lend itself to codes, until there is twice as much."""
        self._base = replace(
            self._base,
            kind=IndexKind.FLAT,
            generation=self._base.generation + 1,
            flat_until=2 * len(self._wanted),
        )
        note = (
            f"an inverted file reached a recall@10 of {recall:.3f}, below {RECALL_FLOOR};"
            " the index is exact instead"
        )
        return replace(self._build(), note=note)

    def _change_flat(self, standing: _Opened) -> IndexSummary:
        old = standing.manifest
        if self._removed:
            name = f"vectors-{self._base.generation}{_SUFFIX[old.kind]}"
            kept = standing.rows_of(self._wanted - self._added)
            table = self._write_rows(name, 0, self._kept_then_new(standing, kept))
        else:
            name = old.files["vectors"].name
            new = self._write_rows(name, old.rows, self._blocks_of(self._added))
            table = np.concatenate([standing.table, new])
        manifest = replace(self._base, count=len(table), rows=len(table))
        return self._commit(manifest, table, name, None)

    def _change_ivf(self, standing: _Opened, lists: Lists) -> IndexSummary:
        old, tuning = standing.manifest, standing.manifest.tuning
        rows_after = old.rows + len(self._added)
        if tuning is None or _is_outgrown(tuning, len(self._wanted), rows_after):
            return self._build()
        name = old.files["vectors"].name
        new = self._write_rows(name, old.rows, self._blocks_of(self._added))
        table = np.concatenate([standing.table, new])
        gone = standing.rows_of(self._removed)
        table[gone] = 0
        lists.remove(gone)
        live = np.flatnonzero(table.any(axis=1))
        manifest = replace(self._base, count=len(live), rows=len(table))
        rows = _map_rows(self._folder / name, manifest)
        self._add_codes(lists, rows, old.rows)
        tuning = replace(tuning, changed=tuning.changed + len(new) + len(gone))
        if tuning.changed > _MEASURE_AGAIN * len(live):
            tuning = _tune(rows, lists, live, tuning)
            if tuning.recall < RECALL_FLOOR:
                return self._build()
        return self._commit(replace(manifest, tuning=tuning), table, name, lists)

    def _kept_then_new(self, standing: _Opened, kept: Ints) -> _Blocks:
        for ids, block in standing.rows.blocks(kept):
            yield standing.names(ids), block
        yield from self._blocks_of(self._added)

    def _blocks_of(self, names: set[Digest]) -> _Blocks:
        """Go through some covers' vectors, once each."""
        left = set(names)
        for found, block in self._vectors.batches(names):
            fresh = [at for at, name in enumerate(found) if name in left]
            left.difference_update(found)
            if fresh:
                yield [found[at] for at in fresh], block[fresh]

    def _write_rows(self, name: str, start: int, blocks: _Blocks) -> Pixels:
        """Write rows from row `start` on; return the table of their digests, uint8 (rows, 32)."""
        path = self._folder / name
        base = self._base
        written: list[Digest] = []
        total = self._steps(start)
        with plain_write_errors(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if start else "wb") as file:
                # Past the last row that the manifest speaks of there may be what a killed writer
                # left: it is written over.
                file.seek(start * base.row_bytes)
                for names, block in blocks:
                    file.write(_as_rows(block, base.row_type).data)
                    written.extend(names)
                    self._report(len(written), total)
                file.flush()
                os.fsync(file.fileno())
        return np.frombuffer(b"".join(written), dtype=np.uint8).reshape(-1, _DIGEST_BYTES)

    def _add_codes(self, lists: Lists, rows: Rows, start: int) -> None:
        total = self._steps(start)
        for ids, block in rows.blocks(np.arange(start, len(rows))):
            lists.add(ids, block)
            self._report(total - len(rows) + int(ids[-1]) + 1, total)

    def _steps(self, start: int) -> int:
        """Count the rows to be written from row `start` on, twice where codes are made of them."""
        rows = len(self._added) if start else len(self._wanted)
        return rows * (2 if self._base.kind is IndexKind.IVF else 1)

    def _commit(
        self,
        manifest: _Manifest,
        table: Pixels,
        vectors: str,
        lists: Lists | None,
        *,
        rebuilt: bool = False,
    ) -> IndexSummary:
        folder, generation = self._folder, manifest.generation
        files = {
            "vectors": _describe(folder / vectors, manifest.rows * manifest.row_bytes),
            "digests": _write_file(folder / f"digests-{generation}.bin", table),
        }
        if lists is not None:
            files["lists"] = _write_file(folder / f"lists-{generation}.faiss", lists.serialised())
        manifest = replace(manifest, files=files)
        write_manifest(folder, manifest.to_json())
        _remove_others(folder, {file.name for file in files.values()})
        return self._summary(manifest, rebuilt=rebuilt)

    def _summary(self, manifest: _Manifest, *, rebuilt: bool) -> IndexSummary:
        recall = 1.0 if manifest.tuning is None else manifest.tuning.recall
        note = ""
        if recall < RECALL_FLOOR:
            note = f"recall@10 is {recall:.3f}, below {RECALL_FLOOR}; `{MEND} --kind flat` is exact"
        return IndexSummary(
            backbone=manifest.backbone,
            kind=manifest.kind,
            count=manifest.count,
            added=len(self._added),
            removed=len(self._removed),
            missing=0,
            rebuilt=rebuilt,
            recall=recall,
            note=note,
        )


_Found: TypeAlias = "list[tuple[Ints, Floats]]"
_Blocks: TypeAlias = "Iterator[tuple[list[Digest], Floats | Halves]]"


def _choose_kind(
    asked: IndexKind, count: int, former: _Manifest | None, most_flat: int
) -> IndexKind:
    if asked is IndexKind.FLAT or count < _IVF_LEAST:
        return IndexKind.FLAT
    is_ivf = former is not None and former.kind is IndexKind.IVF
    if asked is IndexKind.IVF or count > most_flat * (_STAY_IVF if is_ivf else 1):
        return IndexKind.IVF
    return IndexKind.FLAT


def _is_outgrown(tuning: _Tuning, count: int, rows: int) -> bool:
    """Tell whether lists made for other covers than these should be made anew."""
    holes = (rows - count) / rows
    growth = count / max(1, tuning.trained_on)
    return holes > _MOST_HOLES or not 1 / _MOST_GROWTH < growth < _MOST_GROWTH


def _tune(rows: Rows, lists: Lists, live: Ints, former: _Tuning | None = None) -> _Tuning:
    """Look into as many lists, and at as many candidates, as recall@10 needs.

    Queries are a fixed sample of the covers themselves, each left out of its own neighbours;
    settings grow from the former ones until the aim is reached. Where none reaches it, the
    best is returned.
    """
    sample = draw(np.random.default_rng(1), len(live), _TUNING_QUERIES)
    queries = rows.take(live[sample])
    depth = min(10, len(live) - 1)
    truth = _least_scores(rows.scan(queries, depth + 1, live), live[sample], depth)
    start = former or _Tuning(lists.nlist, 4, _CANDIDATES[0], 0.0, 0, len(live))
    best = replace(start, recall=0.0, sample=len(sample), changed=0)
    for candidates in (c for c in _CANDIDATES if c >= start.candidates):
        nprobe = start.nprobe
        while True:
            nprobe = min(nprobe, lists.nlist)
            ids = lists.nearest(queries, min(len(live), candidates), nprobe, None, len(rows))
            scores = rows.scores(queries, ids)
            scores[ids == live[sample][:, None]] = -np.inf
            reached = np.minimum((scores >= truth[:, None]).sum(axis=1), depth)
            recall = float(reached.mean() / depth)
            if recall > best.recall:
                best = replace(best, nprobe=nprobe, candidates=candidates, recall=recall)
            if recall >= RECALL_AIM:
                return best
            if nprobe == lists.nlist:
                break
            nprobe *= 2
    return best


def _least_scores(found: tuple[Floats, Ints], own: Ints, depth: int) -> Floats:
    """Return the score that a query's last true neighbour has, the query itself left out: (q,)."""
    scores, ids = found
    others = np.where(ids == own[:, None], -np.inf, scores)
    order = np.sort(others, axis=1)
    least: Floats = order[:, order.shape[1] - depth] - np.float32(ROUNDING)
    return least


def _as_rows(block: Floats | Halves, row_type: np.dtype[Any]) -> NDArray[Any]:
    """Return stored vectors as rows of the index's file.

    float16 rows stay as they are where float16 is wanted, and get back unit length where float32
    is: either way the index has the same vectors. Raises StaleArtifact for what is far from it.
    """
    unit: Floats = block.astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", unit, unit))
    if not np.all(np.abs(lengths - 1) < _TOLERANCE):
        raise StaleArtifact("a stored vector is not of unit length; run `albo embed`")
    if block.dtype == np.float16 and row_type != np.float16:
        unit /= lengths[:, None]
    # What was float16 becomes the same float16 again.
    return unit.astype(row_type)


def _read(folder: Path) -> _Manifest:
    content = read_manifest(folder, "index", MEND)
    try:
        return _Manifest.parse(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged(folder, "its manifest describes no index") from None


def _former(folder: Path) -> _Manifest | None:
    """Return the manifest that stands in the folder, if one does, whatever its files are like."""
    with suppress(StaleArtifact):
        return _read(folder)
    return None


def _standing(folder: Path, vectors: VectorStore) -> _Opened | None:
    """Open the index that stands there, if it is whole and of these vectors."""
    with suppress(StaleArtifact, FileNotFoundError):
        manifest = _read(folder)
        ours = (vectors.fingerprint, vectors.dimension)
        if (manifest.fingerprint, manifest.dimension) == ours:
            return _load(folder, manifest)
    return None


def _next_generation(folder: Path, former: _Manifest | None) -> int:
    """Return a number that no file in the folder has had: a reader may still hold any of them."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    matches = [match for match in map(_NAME.fullmatch, names) if match]
    used = [int(next(filter(None, match.groups()))) for match in matches]
    return max([*used, former.generation if former else 0]) + 1


def _load(folder: Path, manifest: _Manifest) -> _Opened:
    """Open and check the files of a manifest. Raises FileNotFoundError, StaleArtifact."""
    files = manifest.files
    rows = _map_rows(folder / files["vectors"].name, manifest)
    vectors = _describe(folder / files["vectors"].name, manifest.rows * manifest.row_bytes)
    if vectors != files["vectors"]:
        raise _damaged(folder, f"checksum of {vectors.name}")
    plain = np.frombuffer(_read_file(folder, files["digests"]), dtype=np.uint8)
    if len(plain) != manifest.rows * _DIGEST_BYTES:
        raise _damaged(folder, f"{files['digests'].name} has {len(plain)} bytes")
    table = plain.reshape(-1, _DIGEST_BYTES)
    if manifest.tuning is None:  # and so there are no lists
        return _Opened(manifest, rows, table, None)
    try:
        content = _read_file(folder, files["lists"])
        lists = Lists.deserialise(
            content, manifest.dimension, manifest.count, manifest.tuning.nlist
        )
    except ValueError as error:
        raise _damaged(folder, f"{files['lists'].name}: {error}") from error
    return _Opened(manifest, rows, table, lists)


def _map_rows(path: Path, manifest: _Manifest) -> Rows:
    """Map the first rows of a vectors file; past them there may be what a killed writer left."""
    shape = (manifest.rows, manifest.dimension)
    needed = manifest.rows * manifest.row_bytes
    size = path.stat().st_size
    if size < needed:
        raise _damaged(path.parent, f"{path.name} has {size} bytes of {needed}")
    if needed == 0:
        return Rows(np.empty(shape, dtype=manifest.row_type))
    matrix = np.memmap(path, dtype=manifest.row_type, mode="r", shape=shape)
    return Rows(np.asarray(matrix))


def _describe(path: Path, size: int) -> _File:
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


def _write_file(path: Path, content: Pixels) -> _File:
    write_atomically(path, lambda file: file.write(content.data))
    return _File(path.name, content.nbytes, hashlib.sha256(content.data).hexdigest())


def _read_file(folder: Path, wanted: _File) -> bytes:
    """Read a file whole, as it was written or not at all."""
    with (folder / wanted.name).open("rb") as file:
        content = file.read(wanted.bytes + 1)
    if len(content) != wanted.bytes or hashlib.sha256(content).hexdigest() != wanted.checksum:
        raise _damaged(folder, f"checksum of {wanted.name}")
    return content


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove former generations' files, and what killed writers left."""
    sweep(folder)
    for path in list(folder.iterdir()):
        if path.name not in kept and _NAME.fullmatch(path.name):
            # Windows does not remove what a reader has open: the next update will.
            with suppress(PermissionError):
                path.unlink(missing_ok=True)


def _damaged(folder: Path, reason: str) -> StaleArtifact:
    return StaleArtifact(f"the index in {folder} is damaged ({reason}); run `{MEND}`")
