"""Bring an index up to date, and tune it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from albo.arrays import unit_rows
from albo.errors import StaleArtifact
from albo.neighbours.lists import Lists, draw
from albo.neighbours.manifest import (
    DIGEST_BYTES,
    INDEX_SUFFIX,
    MEND,
    IndexFiles,
    IndexManifest,
    SearchTuning,
    VectorStore,
    describe_file,
    digest_set_hash,
    find_index_manifest,
    find_whole_index,
    map_rows,
    next_generation,
    remove_others,
    write_file,
)
from albo.neighbours.rows import ROUNDING, UNIT_TOLERANCE, Rows
from albo.records import Digest, IndexKind
from albo.store import library_versions, plain_write_errors, write_manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from albo.records import Floats, Halves, Ints, Pixels, Progress


RECALL_FLOOR = 0.95
"""Recall@10 below which changed lists are rebuilt, and `auto` builds a flat index instead."""

RECALL_AIM = 0.97
"""Recall@10 at which the tuning stops: a margin over the floor for other queries."""
_IVF_LEAST = 1_000
"""The fewest covers on which lists and codes can be trained well."""

_STAY_IVF = 0.8
_MOST_GROWTH = 2.0
_MOST_HOLES = 0.25
_MEASURE_AGAIN = 0.1
_TUNING_QUERIES = 256
_CANDIDATES = (200, 400, 800, 1600)


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What an update did."""

    backbone: str
    """The name of the backbone."""

    kind: IndexKind
    """The kind of the index now: flat or ivf."""

    count: int
    """The number of covers in the index."""

    added: int
    """The number of covers put in."""

    removed: int
    """The number of covers taken out."""

    missing: int
    """The number of covers asked for that have no vector."""

    rebuilt: bool
    """Whether the index was built anew rather than changed."""

    recall: float
    """recall@10 against brute force: 0 to 1, and 1.0 where the search is exact."""

    note: str = ""
    """A line that the user should read, or ""."""


def update_index_files(
    folder: Path,
    vectors: VectorStore,
    digests: Collection[Digest],
    kind: IndexKind | None,
    progress: Progress | None,
    *,
    anew: bool,
    most_flat: int,
) -> IndexSummary:
    """Bring the files of an index to exactly the covers given, as `albo.index.update_index`."""
    asked = digests if isinstance(digests, set | frozenset) else frozenset(digests)
    wanted = set(asked).intersection(vectors.digests())
    former = find_index_manifest(folder)
    standing = None if anew else find_whole_index(folder, vectors)
    asked_kind = kind or (former.asked_kind if former else IndexKind.AUTO)
    flat_until = former.flat_until if former and not (kind or anew) else 0
    base = IndexManifest(
        kind=_choose_kind(asked_kind, len(wanted), former, max(most_flat, flat_until)),
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
    update = _IndexUpdate(folder, vectors, wanted, base, standing, progress=progress)
    summary = replace(update.run(), missing=len(asked) - len(wanted))
    if kind is IndexKind.IVF and summary.kind is IndexKind.FLAT:
        note = f"an inverted file needs {_IVF_LEAST:,} covers, here are {summary.count:,}"
        return replace(summary, note=f"{note}; the index is exact until there are as many")
    return summary


class _IndexUpdate:
    """One update of an index, from its present covers to the wanted ones."""

    def __init__(
        self,
        folder: Path,
        vectors: VectorStore,
        wanted: set[Digest],
        base: IndexManifest,
        standing: IndexFiles | None,
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
        """Run the update; the manifest is written last and makes it valid."""
        standing = self._standing
        if standing is None or standing.manifest.kind is not self._base.kind:
            return self._build()
        if not self._added and not self._removed:
            return self._confirm(standing.manifest)
        if standing.lists is None:
            return self._change_flat(standing)
        return self._change_ivf(standing, standing.lists)

    def _confirm(self, old: IndexManifest) -> IndexSummary:
        """Keep the files, and update what the manifest says of their origin."""
        manifest = replace(
            self._base, rows=old.rows, files=old.files, tuning=old.tuning, generation=old.generation
        )
        if manifest != old:
            write_manifest(self._folder, manifest.to_json())
        return self._summary(manifest, rebuilt=False)

    def _build(self) -> IndexSummary:
        kind = self._base.kind
        name = f"vectors-{self._base.generation}{INDEX_SUFFIX[kind]}"
        table = self._write_rows(name, 0, self._blocks_of(self._wanted))
        manifest = replace(self._base, count=len(table), rows=len(table))
        if kind is IndexKind.FLAT:
            return self._commit(manifest, table, name, None, rebuilt=True)
        rows = map_rows(self._folder / name, manifest)
        lists = Lists.train(rows)
        self._add_codes(lists, rows, 0)
        tuning = _tune(rows, lists, np.arange(len(rows)))
        if tuning.recall < RECALL_FLOOR and manifest.asked_kind is IndexKind.AUTO:
            return self._build_flat_instead(tuning.recall)
        return self._commit(replace(manifest, tuning=tuning), table, name, lists, rebuilt=True)

    def _build_flat_instead(self, recall: float) -> IndexSummary:
        """Build a flat index where codes fail; it stays flat up to twice as many covers."""
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

    def _change_flat(self, standing: IndexFiles) -> IndexSummary:
        old = standing.manifest
        if self._removed:
            name = f"vectors-{self._base.generation}{INDEX_SUFFIX[old.kind]}"
            kept = standing.rows_of(self._wanted - self._added)
            table = self._write_rows(name, 0, self._kept_then_new(standing, kept))
        else:
            name = old.files["vectors"].name
            new = self._write_rows(name, old.rows, self._blocks_of(self._added))
            table = np.concatenate([standing.table, new])
        manifest = replace(self._base, count=len(table), rows=len(table))
        return self._commit(manifest, table, name, None)

    def _change_ivf(self, standing: IndexFiles, lists: Lists) -> IndexSummary:
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
        rows = map_rows(self._folder / name, manifest)
        self._add_codes(lists, rows, old.rows)
        tuning = replace(tuning, changed=tuning.changed + len(new) + len(gone))
        if tuning.changed > _MEASURE_AGAIN * len(live):
            tuning = _tune(rows, lists, live, tuning)
            if tuning.recall < RECALL_FLOOR:
                return self._build()
        return self._commit(replace(manifest, tuning=tuning), table, name, lists)

    def _kept_then_new(self, standing: IndexFiles, kept: Ints) -> _Blocks:
        for ids, block in standing.rows.blocks(kept):
            yield standing.names(ids), block
        yield from self._blocks_of(self._added)

    def _blocks_of(self, names: set[Digest]) -> _Blocks:
        """Yield the vectors of some covers, each once."""
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
                # Rows after the manifest's last row were left by a killed writer, and are
                # overwritten.
                file.seek(start * base.row_bytes)
                for names, block in blocks:
                    file.write(_as_rows(block, base.row_type).data)
                    written.extend(names)
                    self._report(len(written), total)
                file.flush()
                os.fsync(file.fileno())
        return np.frombuffer(b"".join(written), dtype=np.uint8).reshape(-1, DIGEST_BYTES)

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
        manifest: IndexManifest,
        table: Pixels,
        vectors: str,
        lists: Lists | None,
        *,
        rebuilt: bool = False,
    ) -> IndexSummary:
        folder, generation = self._folder, manifest.generation
        files = {
            "vectors": describe_file(folder / vectors, manifest.rows * manifest.row_bytes),
            "digests": write_file(folder / f"digests-{generation}.bin", table),
        }
        if lists is not None:
            files["lists"] = write_file(folder / f"lists-{generation}.faiss", lists.serialised())
        manifest = replace(manifest, files=files)
        write_manifest(folder, manifest.to_json())
        remove_others(folder, {file.name for file in files.values()})
        return self._summary(manifest, rebuilt=rebuilt)

    def _summary(self, manifest: IndexManifest, *, rebuilt: bool) -> IndexSummary:
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


_Blocks: TypeAlias = "Iterator[tuple[list[Digest], Floats | Halves]]"


def _choose_kind(
    asked: IndexKind, count: int, former: IndexManifest | None, most_flat: int
) -> IndexKind:
    if asked is IndexKind.FLAT or count < _IVF_LEAST:
        return IndexKind.FLAT
    is_ivf = former is not None and former.kind is IndexKind.IVF
    if asked is IndexKind.IVF or count > most_flat * (_STAY_IVF if is_ivf else 1):
        return IndexKind.IVF
    return IndexKind.FLAT


def _is_outgrown(tuning: SearchTuning, count: int, rows: int) -> bool:
    """Tell whether the covers have changed so much that lists should be made anew."""
    holes = (rows - count) / rows
    growth = count / max(1, tuning.trained_on)
    return holes > _MOST_HOLES or not 1 / _MOST_GROWTH < growth < _MOST_GROWTH


def _tune(rows: Rows, lists: Lists, live: Ints, former: SearchTuning | None = None) -> SearchTuning:
    """Choose the numbers of lists and of candidates that recall@10 needs.

    Queries are a fixed sample of the covers, each left out of its own neighbours. Settings grow
    from the former ones until the aim is reached. If none reaches it, the best is returned.
    """
    sample = draw(np.random.default_rng(1), len(live), _TUNING_QUERIES)
    queries = rows.take(live[sample])
    depth = min(10, len(live) - 1)
    truth = _least_scores(rows.scan(queries, depth + 1, live), live[sample], depth)
    start = former or SearchTuning(lists.nlist, 4, _CANDIDATES[0], 0.0, 0, len(live))
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
    """Return the score of each query's last true neighbour, the query itself left out: (q,)."""
    scores, ids = found
    others = np.where(ids == own[:, None], -np.inf, scores)
    order = np.sort(others, axis=1)
    least: Floats = order[:, order.shape[1] - depth] - np.float32(ROUNDING)
    return least


def _as_rows(block: Floats | Halves, row_type: np.dtype[Any]) -> NDArray[Any]:
    """Return stored vectors as rows of the index's file.

    For float16, rows stay as they are. For float32, they are scaled back to unit length. Either way
    the index has the same vectors. Raises StaleArtifact for a row far from unit length.
    """
    unit = unit_rows(
        block,
        UNIT_TOLERANCE,
        lambda _length: StaleArtifact("a stored vector is not of unit length; run `albo embed`"),
    )
    return block.astype(row_type) if row_type == np.float16 else unit.astype(row_type, copy=False)
