"""Exact rows of vectors, as FAISS scans them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.arrays import unit_rows
from albo.errors import StaleArtifact
from albo.texts import in_one_line, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from albo.records import Floats, Ints


ROUNDING = 4e-6
"""How far float32 sums of 4,096 products of unit rows may be from the true cosine."""

UNIT_TOLERANCE = 0.01
"""How far the length of a vector that is given to an index may be from 1."""

_KEPT_TOLERANCE = 0.025
"""How far a stored row's length may be from 1: more than `UNIT_TOLERANCE`, as rows are rounded."""

_BLOCK_BYTES = 32 << 20
_CACHE_BYTES = 1 << 20
_GPU_MOST_NEIGHBOURS = 1_024
_GPU_QUERIES = 256
_MOST_KEPT_BYTES = 1 << 30

log = logging.getLogger(__name__)


class Rows:
    """The index's own copy of the vectors, float32 or float16 (rows, d), row number = id."""

    def __init__(self, matrix: NDArray[Any]) -> None:
        self._matrix = matrix
        self._scans = 0
        self._gpu: Any = None
        self._gpu_resources: Any = None
        self._gpu_failed = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._matrix)

    @property
    def dimension(self) -> int:
        """How many numbers a row has."""
        return int(self._matrix.shape[1])

    def take(self, ids: Ints) -> Floats:
        """Return some rows: float32, unit length. Raises StaleArtifact for a damaged one."""
        return _as_unit(self._matrix[ids])

    def blocks(
        self, ids: Ints | None, bytes_each: int = _BLOCK_BYTES
    ) -> Iterator[tuple[Any, Floats]]:
        """Yield the rows asked for, all for None, in blocks: their ids, and the rows as `take`."""
        step = max(1, bytes_each // (4 * self._matrix.shape[1]))
        count = len(self._matrix) if ids is None else len(ids)
        for start in range(0, count, step):
            some = slice(start, min(start + step, count))
            if ids is None:
                yield np.arange(some.start, some.stop), _as_unit(self._matrix[some])
            else:
                yield ids[some], self.take(ids[some])

    def scan(self, queries: Floats, k: int, ids: Ints | None) -> tuple[Floats, Ints]:
        """Compare each query with each row; return the k highest scores, descending, and ids.

        k is at most the number of rows. Scores are FAISS's float32 sums, accurate to `ROUNDING`.
        """
        faiss = load_faiss()
        if ids is None and self._matrix.dtype == np.float32:
            self._keep_in_memory()
            on_gpu = self._gpu_search(queries, k, None)
            scores, found = on_gpu or faiss.knn(
                queries, self._matrix, k, metric=faiss.METRIC_INNER_PRODUCT
            )
            return scores, found
        best = np.full((len(queries), 0), -np.inf, dtype=np.float32)
        nearest = np.full((len(queries), 0), -1, dtype=np.int64)
        for some, block in self.blocks(ids):
            scores, found = faiss.knn(
                queries, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT
            )
            best = np.concatenate([best, scores], axis=1)
            nearest = np.concatenate([nearest, some[found]], axis=1)
            order = np.argsort(-best, axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(best, order, axis=1)
            nearest = np.take_along_axis(nearest, order, axis=1)
        return best, nearest

    def _keep_in_memory(self) -> None:
        """Copy the file into memory at the second full scan, as more are likely to follow.

        A single search is fastest on the mapped file. Many are faster with large memory pages,
        which a mapped file does not have: by a third for one query at a time.
        """
        self._scans += 1
        if self._scans == 2 and self._matrix.nbytes <= _MOST_KEPT_BYTES:  # noqa: PLR2004
            self._matrix = np.array(self._matrix)

    def scores(self, queries: Floats, ids: Ints) -> Floats:
        """Return the cosine of each query and its own rows: float32 (q, c); -inf for id -1.

        Scores are added up in float64 and rounded once, so equal vectors have equal scores at any
        place in the file.
        """
        width = ids.shape[1]
        out = np.empty(ids.shape, dtype=np.float32)
        # Blocks that stay in the processor's cache are five times as fast as large ones.
        step = max(1, _CACHE_BYTES // (8 * max(1, width) * queries.shape[1]))
        for start in range(0, len(queries), step):
            some = slice(start, start + step)
            block = self.take(np.maximum(ids[some], 0).ravel()).astype(np.float64)
            block = block.reshape(-1, width, queries.shape[1])
            out[some] = np.matmul(block, queries[some, :, None].astype(np.float64))[..., 0]
        out[ids < 0] = -np.inf
        return out

    def scan_on_gpu(self, queries: Floats, k: int, live: Ints) -> Ints | None:
        """Propose k candidates a query by brute force on a GPU: ids (q, k); None without a GPU."""
        found = self._gpu_search(queries, k, live)
        return None if found is None else live[found[1]]

    def _gpu_search(self, queries: Floats, k: int, ids: Ints | None) -> tuple[Floats, Ints] | None:
        if len(queries) < _GPU_QUERIES or k > _GPU_MOST_NEIGHBOURS or self._gpu_failed:
            return None
        try:
            if self._gpu is None:
                self._gpu = self._put_on_gpu(ids)
            return None if self._gpu is None else self._gpu.search(queries, k)
        except Exception as error:  # noqa: BLE001  (whatever a driver raises, the CPU can do it)
            self._gpu_failed = True
            self._gpu = None
            log.warning("the GPU could not search (%s); the CPU does", first_line(error))
            return None

    def _put_on_gpu(self, ids: Ints | None) -> Any:  # noqa: ANN401  (FAISS has no types)
        faiss = load_faiss()
        if gpu_count() == 0:
            self._gpu_failed = True
            return None
        options = faiss.GpuClonerOptions()
        options.useFloat16 = self._matrix.dtype == np.float16
        empty = faiss.IndexFlatIP(self._matrix.shape[1])
        self._gpu_resources = faiss.StandardGpuResources()
        gpu = faiss.index_cpu_to_gpu(self._gpu_resources, 0, empty, options)
        for _, block in self.blocks(ids):
            gpu.add(block)
        return gpu


def _as_unit(rows: NDArray[Any]) -> Floats:
    return unit_rows(
        rows,
        _KEPT_TOLERANCE,
        lambda _length: StaleArtifact("a vector in the index is damaged; run `albo index`"),
    )


def load_faiss() -> Any:  # noqa: ANN401  (its type stubs lack half of it)
    """Import FAISS, when it is needed."""
    import faiss

    return faiss


def gpu_count() -> int:
    """Return how many GPUs FAISS can use."""
    return int(load_faiss().get_num_gpus())


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, at most 200 characters."""
    return in_one_line(lines_of(error)[0], 200)
