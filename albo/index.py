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
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from albo.arrays import unit_rows
from albo.errors import EmptyIndex, StaleArtifact, UsageError
from albo.neighbours import (
    IVF_LEAST,
    MEND,
    ROUNDING,
    UNIT_TOLERANCE,
    IndexManifest,
    IndexSummary,
    IndexUpdate,
    Lists,
    OpenedIndex,
    Tuning,
    VectorStore,
    choose_kind,
    damaged_index,
    load_index_files,
    next_generation,
    open_if_whole,
    read_if_there,
    read_index_manifest,
)
from albo.records import Digest, IndexKind, Neighbours, Progress
from albo.store import library_versions

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from albo.records import Floats, Ints


FLAT_UNTIL = 50_000
"""Covers up to which `auto` searches exactly; also the largest subset that is always so."""
_SLACK = 8

_OPEN_ATTEMPTS = 5
_FILTERED_PROBES = 16
_FILTERED_WIDTH = 5
_MANY_NEIGHBOURS = 1_000


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
        manifest = read_index_manifest(folder)
        if fingerprint is not None and manifest.fingerprint != fingerprint:
            raise StaleArtifact(
                f"the index in {folder} is of {manifest.backbone} {manifest.fingerprint[:8]},"
                f" not of {fingerprint[:8]}; run `{MEND}`"
            )
        if manifest.generation == generation:
            break
        generation = manifest.generation
        try:
            return Index(load_index_files(folder, manifest), exact_until)
        except FileNotFoundError as error:
            # A writer may have replaced the files since the manifest was read.
            lacking = os.path.basename(error.filename or "")  # noqa: PTH119  (it may be bytes)
    raise damaged_index(folder, f"{lacking} is missing")


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
    former = read_if_there(folder)
    standing = None if anew else open_if_whole(folder, vectors)
    asked_kind = kind or (former.asked_kind if former else IndexKind.AUTO)
    flat_until = former.flat_until if former and not (kind or anew) else 0
    base = IndexManifest(
        kind=choose_kind(asked_kind, len(wanted), former, max(most_flat, flat_until)),
        asked_kind=asked_kind,
        generation=next_generation(folder, former),
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
    update = IndexUpdate(folder, vectors, wanted, base, standing, progress=progress)
    summary = replace(update.run(), missing=len(asked) - len(wanted))
    if kind is IndexKind.IVF and summary.kind is IndexKind.FLAT:
        note = f"an inverted file needs {IVF_LEAST:,} covers, here are {summary.count:,}"
        return replace(summary, note=f"{note}; the index is exact until there are as many")
    return summary


class Index:
    """An open index of one backbone's vectors; made by `open_index`.

    kind : flat or ivf. count : covers in it. dimension : numbers in a vector. recall : recall@10
    against brute force as last measured, 1.0 where exact. fingerprint, backbone : whose vectors.
    """

    def __init__(self, opened: OpenedIndex, exact_until: int) -> None:
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
        return unit_rows(queries, UNIT_TOLERANCE, _refuse_query)

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
        self, queries: Floats, need: int, rows: Ints | None, by: tuple[Lists, Tuning]
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


def _refuse_query(length: float) -> UsageError:
    return UsageError(f"a query has length {length:g}; give finite rows of unit length")


_Found: TypeAlias = "list[tuple[Ints, Floats]]"
