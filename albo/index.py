"""The index: it finds the covers that look most like a given one.

Up to 50,000 covers every query is compared with every cover ("flat": exact). Above, an inverted
file of compressed codes proposes hundreds of candidates, and these are compared exactly ("ivf").
Both kinds keep their own copy of the vectors in a memory-mapped file, whose row number is the id,
so opening an index reads at most 16 MiB of them. Scores are true cosines in both.

The folder holds `manifest.json` and the files that it names, each with a generation in its name:
`vectors-G.f32` or `.f16` (raw rows), `digests-G.bin` (32 bytes a row, zeros where a cover was taken
out) and, for ivf, `lists-G.faiss`. Rows are only appended to a vectors file, after the rows of the
present manifest. Every other file is written under a new name. So a killed writer leaves the former
index as it was, and a reader needs no lock.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from albo.arrays import unit_rows
from albo.errors import EmptyIndex, StaleArtifact, UsageError
from albo.neighbours import (
    MEND,
    ROUNDING,
    UNIT_TOLERANCE,
    damaged_index,
    digest_set_hash,
    open_index_files,
    read_index_manifest,
    update_index_files,
)
from albo.records import Neighbours

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from albo.neighbours import (
        IndexFiles,
        IndexSummary,
        Lists,
        SearchTuning,
        VectorStore,
    )
    from albo.records import Digest, Floats, IndexKind, Ints, Progress


__all__ = ["FLAT_UNTIL", "Index", "digest_set_hash", "open_index", "update_index"]

FLAT_UNTIL = 50_000
"""The most covers that `auto` searches exactly; also the largest subset that always is."""
_SLACK = 8

_OPEN_ATTEMPTS = 5
_FILTERED_PROBES = 16
_FILTERED_WIDTH = 5
_MANY_NEIGHBOURS = 1_000
_FEW_PRODUCTS = 5_000  # dot products that numpy makes faster than FAISS is loaded


def open_index(
    folder: Path, fingerprint: str | None = None, *, exact_until: int = FLAT_UNTIL
) -> Index:
    """Open the index in a folder, checking that it is whole.

    The lists and the digests are hashed in full before they are used (FAISS must read only the
    files that were written). The vectors are harmless numbers, and hashing all of them would take
    longer than a search. Above 16 MiB only their size and 256 pages spread over the file are
    checked, and each vector behind a result must have length one.

    Parameters
    ----------
    folder : the index's folder.
    fingerprint : the backbone's; an index of another one is refused. None accepts any.
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
            return Index(open_index_files(folder, manifest), exact_until)
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

    An undamaged index of the same backbone and kind is changed if the change is small enough.
    Otherwise a new one is built. The caller holds the writer lock.

    Parameters
    ----------
    folder : the index's folder, made where it is missing.
    vectors : where the vectors are.
    digests : the covers that the index shall hold.
    kind : flat, ivf, or auto (by size); None for the kind asked for last, at first auto.
    progress : called with the number of steps done and the number there are.
    anew : build a new index in any case.
    most_flat : the most covers for which auto chooses flat; ivf is kept down to 0.8 of that.

    Raises StaleArtifact where a vector is damaged, CannotWrite.
    """
    return update_index_files(
        folder, vectors, digests, kind, progress, anew=anew, most_flat=most_flat
    )


class Index:
    """An open index of one backbone's vectors; `open_index` makes it."""

    def __init__(self, files: IndexFiles, exact_until: int) -> None:
        self._files = files
        self._exact_until = exact_until

    @property
    def kind(self) -> IndexKind:
        """How it searches: flat or ivf."""
        return self._files.manifest.kind

    @property
    def count(self) -> int:
        """The number of covers in it."""
        return self._files.manifest.count

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return self._files.manifest.dimension

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the backbone."""
        return self._files.manifest.fingerprint

    @property
    def backbone(self) -> str:
        """The name of the backbone."""
        return self._files.manifest.backbone

    @property
    def recall(self) -> float:
        """recall@10 against brute force, as last measured; 1.0 where the search is exact."""
        tuning = self._files.manifest.tuning
        return 1.0 if tuning is None else tuning.recall

    def digests(self) -> set[Digest]:
        """Return every cover in the index."""
        return set(self._files.row_of)

    def check_current(self, vectors_state: str, digest_set: str) -> None:
        """Raise StaleArtifact where vectors or covers are other than those it was built from.

        Parameters
        ----------
        vectors_state : the store's `state` now.
        digest_set : `digest_set_hash` of the covers that the catalog would have in the index now.
        """
        if self._files.manifest.digest_set != digest_set:
            raise StaleArtifact(
                f"the index of {self.backbone} ({self.count} covers) is of other covers than the"
                f" catalog holds now; run `{MEND}`"
            )
        if self._files.manifest.vectors_state != vectors_state:
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
        k : how many neighbours; all covers where there are fewer.
        among : the only covers to search (as of a genre); others than the index's are ignored.

        Returns
        -------
        For each query its neighbours, best first, equal scores by digest. A score is the cosine,
        the float32 nearest to the dot product of the query and the stored vector.

        Raises UsageError for a k below 1, and for queries of another shape, not finite or not of
        unit length; EmptyIndex where the filter admits no cover; StaleArtifact where a stored
        vector is damaged.
        """
        queries = self._checked(queries, k)
        rows = None if among is None else self._files.rows_of(self._files.row_of.keys() & among)
        size = self.count if rows is None else len(rows)
        if size == 0:
            raise EmptyIndex(f"the filter admits 0 of the index's {self.count} covers; widen it")
        if not len(queries):
            return []
        need = min(size, k)
        lists, tuning = self._files.lists, self._files.manifest.tuning
        is_small = rows is not None and size <= self._exact_until
        if lists is None or tuning is None or is_small or need > _MANY_NEIGHBOURS:
            found = self._exact(queries, need, rows)
        else:
            found = self._approximate(queries, need, rows, (lists, tuning))
        return [self._neighbours(ids, scores, need) for ids, scores in found]

    def near(self, queries: Floats, least: float, k: int) -> list[Neighbours]:
        """Find at most k covers of each query whose cosine is at least `least`.

        A few thousand covers are compared with numpy alone: FAISS takes longer to load.

        Parameters and errors as of `search`. An ivf index may miss some.
        """
        if not self.count or not len(queries):
            return [Neighbours((), ()) for _ in queries]
        if self._files.lists is None and self.count * len(queries) <= _FEW_PRODUCTS:
            found = self._compared(self._checked(queries, k))
            near = [self._neighbours(ids, scores, k) for ids, scores in found]
        else:
            near = self.search(queries, k)
        return [_at_least(one, least) for one in near]

    def _compared(self, queries: Floats) -> _Found:
        files = self._files
        rows = files.live if self.count < len(files.rows) else None
        every = np.arange(len(files.rows)) if rows is None else rows
        scores = [queries @ block.T for _, block in files.rows.blocks(rows)]
        return [(every, row) for row in np.concatenate(scores, axis=1)]

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
        if rows is None and self.count < len(self._files.rows):
            rows = self._files.live
        size = self.count if rows is None else len(rows)
        width = min(size, need + _SLACK)
        kernel, ids = self._files.rows.scan(queries, width, rows)
        scores = self._files.rows.scores(queries, ids)
        # A row that was not fetched may be as near as one that was. Then fetch more, or the order
        # of rows would break ties.
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
            kernel, ids = self._files.rows.scan(query, width, rows)
            scores = self._files.rows.scores(query, ids)
            enough = np.partition(scores[0], width - need)[width - need]
            if width == size or kernel[0, -1] + ROUNDING < enough:
                return ids[0], scores[0]

    def _approximate(
        self, queries: Floats, need: int, rows: Ints | None, by: tuple[Lists, SearchTuning]
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
        ids = (
            self._files.rows.scan_on_gpu(queries, width, self._files.live) if rows is None else None
        )
        if ids is None:
            ids = lists.nearest(queries, width, nprobe, rows, len(self._files.rows))
        found = list(zip(ids, self._files.rows.scores(queries, ids), strict=True))
        for query in np.flatnonzero((ids >= 0).sum(axis=1) < need):
            found[query] = self._exact(queries[query : query + 1], need, rows)[0]
        return found

    def _neighbours(self, ids: Ints, scores: Floats, k: int) -> Neighbours:
        if len(ids) > 4 * k:
            chosen = scores >= np.partition(scores, len(ids) - k)[len(ids) - k]
            ids, scores = ids[chosen], scores[chosen]
        names = self._files.names(ids)
        ranked = sorted(
            (-min(max(score, -1.0), 1.0), name)
            for score, name in zip(scores.tolist(), names, strict=True)
            if score > -np.inf
        )[:k]
        return Neighbours(tuple(name for _, name in ranked), tuple(-score for score, _ in ranked))


def _at_least(found: Neighbours, least: float) -> Neighbours:
    kept = sum(score >= least for score in found.scores)
    return Neighbours(found.digests[:kept], found.scores[:kept])


def _refuse_query(length: float) -> UsageError:
    return UsageError(f"a query has length {length:g}; give finite rows of unit length")


_Found: TypeAlias = "list[tuple[Ints, Floats]]"
