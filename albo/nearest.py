"""How FAISS is asked: exact scans over rows of vectors, and codes in lists that propose rows."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.errors import StaleArtifact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from albo.records import Bools, Floats, Ints, Pixels

ROUNDING = 4e-6
"""How far float32 sums of 4,096 products of unit rows may stand from the true cosine."""

_BLOCK_BYTES = 32 << 20
_CACHE_BYTES = 1 << 20
_COMPONENTS = 320
_GPU_MOST_NEIGHBOURS = 1_024
_GPU_QUERIES = 256
_MOST_KEPT_BYTES = 1 << 30
_POINTS_PER_LIST = 40
_TRAINING_BYTES = 128 << 20

_log = logging.getLogger(__name__)


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
        return self._as_unit(self._matrix[ids])

    def blocks(
        self, ids: Ints | None, bytes_each: int = _BLOCK_BYTES
    ) -> Iterator[tuple[Any, Floats]]:
        """Go through the rows asked for, all for None: their ids and the rows, as `take`."""
        step = max(1, bytes_each // (4 * self._matrix.shape[1]))
        count = len(self._matrix) if ids is None else len(ids)
        for start in range(0, count, step):
            some = slice(start, min(start + step, count))
            if ids is None:
                yield np.arange(some.start, some.stop), self._as_unit(self._matrix[some])
            else:
                yield ids[some], self.take(ids[some])

    def scan(self, queries: Floats, k: int, ids: Ints | None) -> tuple[Floats, Ints]:
        """Compare each query with each of the rows: the k highest scores, descending, and ids.

        k is at most the number of rows. Scores are as FAISS adds them up: good to `ROUNDING`.
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
        """Copy the file into memory at the second whole scan, where one will not be the last.

        One search alone is soonest done on the mapped file. Many go faster over large memory pages,
        which a mapped file does not have: by a third for a query at a time.
        """
        self._scans += 1
        if self._scans == 2 and self._matrix.nbytes <= _MOST_KEPT_BYTES:  # noqa: PLR2004
            self._matrix = np.array(self._matrix)

    def scores(self, queries: Floats, ids: Ints) -> Floats:
        """Return the cosine of each query and its own rows: float32 (q, c); -inf for id -1.

        Added up in float64 and rounded once, so that equal vectors have equal scores wherever
        they stand in the file.
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
        """Propose k candidates a query by brute force on a GPU: ids (q, k); None without one."""
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
            _log.warning("the GPU could not search (%s); the CPU does", _first_line(error))
            return None

    def _put_on_gpu(self, ids: Ints | None) -> Any:  # noqa: ANN401  (FAISS has no types)
        faiss = load_faiss()
        if _gpu_count() == 0:
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

    def _as_unit(self, rows: NDArray[Any]) -> Floats:
        unit = np.ascontiguousarray(rows, dtype=np.float32)
        squares = np.einsum("nd,nd->n", unit, unit)
        if not np.all(np.abs(squares - 1) < 0.05):  # noqa: PLR2004  (not a number fails it too)
            raise StaleArtifact("a vector in the index is damaged; run `albo index`")
        if rows.dtype == np.float16:
            # Rounding to float16 changes the length, by up to a thousandth.
            unit /= np.sqrt(squares)[:, None]
        return unit


class Lists:
    """PCA, inverted lists and 4-bit product-quantised codes: they propose candidates.

    Distances are Euclidean, whose order on unit vectors is that of the cosine, and which the PCA's
    centring leaves alone, unlike inner products. Jégou, Douze & Schmid 2011 (product quantisation);
    André, Kermarrec & Le Scouarnec 2015 (fast scan).
    """

    def __init__(self, index: Any) -> None:  # noqa: ANN401  (FAISS has no types)
        faiss = load_faiss()
        self._index = index
        self._ivf = faiss.downcast_index(index.index)
        self._lists_of_rows: Ints | None = None

    @property
    def nlist(self) -> int:
        """The number of lists."""
        return int(self._ivf.nlist)

    @classmethod
    def train(cls, rows: Rows) -> Lists:
        """Fit projection, lists and codes to a bounded sample of the rows."""
        nlist = choose_nlist(len(rows))
        components, parts = choose_codes(rows.dimension)
        random = np.random.default_rng(0)
        projection = _fit_projection(rows, random, components)
        points = min(len(rows), _POINTS_PER_LIST * nlist)
        sample = np.empty((points, components), dtype=np.float32)
        done = 0
        for _, block in rows.blocks(draw(random, len(rows), points)):
            sample[done : done + len(block)] = projection.apply(block)
            done += len(block)
        return cls(_fit_lists(projection, sample, nlist, parts))

    @classmethod
    def deserialise(cls, content: bytes, dimension: int, count: int, nlist: int) -> Lists:
        """Read what `serialised` made; raises ValueError for what is not as given."""
        faiss = load_faiss()
        try:
            index = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
            lists = cls(index)
            fits = isinstance(lists._ivf, faiss.IndexIVFPQFastScan)
        except (RuntimeError, AttributeError) as error:
            raise ValueError(_first_line(error)) from error
        if not fits or (index.d, index.ntotal, lists.nlist) != (dimension, count, nlist):
            raise ValueError("other lists than the manifest's")
        return lists

    def serialised(self) -> Pixels:
        """Return it as bytes in FAISS's own format: uint8 (b,)."""
        content: Pixels = load_faiss().serialize_index(self._index)
        return content

    def add(self, ids: Ints, block: Floats) -> None:
        """Add the codes of some rows."""
        self._index.add_with_ids(block, np.ascontiguousarray(ids, dtype=np.int64))

    def remove(self, ids: Ints) -> None:
        """Take the codes of some rows out."""
        self._index.remove_ids(np.ascontiguousarray(ids, dtype=np.int64))
        self._clear_places_left()

    def _clear_places_left(self) -> None:
        """Zero what removed codes left behind the last one of each list.

        FAISS (1.15) adds a code by or-ing it into its place in the last block, as if that were
        empty: over what a removal left there the new code becomes a mixture of both.
        """
        faiss = load_faiss()
        lists = faiss.downcast_InvertedLists(self._ivf.invlists)
        empty = np.zeros(lists.packer.code_size, dtype=np.uint8)
        for at in range(lists.nlist):
            size = lists.list_size(at)
            blocks = -(-size // lists.n_per_block)
            codes = faiss.rev_swig_ptr(lists.get_codes(at), blocks * lists.block_size)
            for place in range(size, blocks * lists.n_per_block):
                lists.packer.pack_1(empty, place, codes.reshape(blocks, -1))

    def nearest(
        self, queries: Floats, width: int, nprobe: int, rows: Ints | None, capacity: int
    ) -> Ints:
        """Propose candidates: ids (q, width), -1 where the lists looked at hold fewer.

        rows : the only ones to propose, None for all. capacity : one above the highest id.
        """
        faiss = load_faiss()
        if rows is None:
            inner = faiss.SearchParametersIVF(nprobe=nprobe)
        else:
            # The nearest lists may hold none of the rows (another genre's corner): only lists
            # that hold some are counted among the nprobe.
            lists = np.zeros(self.nlist, dtype=np.bool_)
            lists[self._list_of(capacity)[rows]] = True
            admitted = np.zeros(capacity, dtype=np.bool_)
            admitted[rows] = True
            inner = faiss.SearchParametersIVF(
                sel=_selector(admitted),
                nprobe=min(nprobe, int(lists.sum())),
                quantizer_params=faiss.SearchParameters(sel=_selector(lists)),
            )
        outer = faiss.SearchParametersPreTransform(index_params=inner)
        found: Ints = self._index.search(queries, width, params=outer)[1]
        return found

    def _list_of(self, capacity: int) -> Ints:
        faiss = load_faiss()
        if self._lists_of_rows is None:
            lists = np.zeros(capacity, dtype=np.int64)
            inverted = self._ivf.invlists
            for at in range(self.nlist):
                size = inverted.list_size(at)
                if size:
                    lists[faiss.rev_swig_ptr(inverted.get_ids(at), size)] = at
            self._lists_of_rows = lists
        return self._lists_of_rows


def choose_nlist(count: int) -> int:
    """Return how many lists to make for so many covers: the power of two nearest to 4 √n.

    Never so many that a list has fewer than 39 covers to be trained on (FAISS asks for as many).
    """
    wanted = 2 ** round(math.log2(4 * math.sqrt(max(1, count))))
    return int(max(1, min(wanted, count // 39)))


def choose_codes(dimension: int) -> tuple[int, int]:
    """Return how many principal components are kept, and in how many parts they are coded.

    A part takes 4 bits. Up to 320 components are kept; four of them share a part where there are
    many, two where there are few, so that small vectors do not get too coarse a code.
    """
    components = min(dimension, _COMPONENTS)
    per_part = 4 if components >= 256 else 2  # noqa: PLR2004
    components = max(components // per_part * per_part, 1)
    return components, max(1, components // per_part)


def draw(random: np.random.Generator, count: int, size: int) -> Ints:
    """Draw some of `count` rows, in ascending order."""
    return np.sort(random.choice(count, size=min(count, size), replace=False))


def _fit_projection(rows: Rows, random: np.random.Generator, components: int) -> Any:  # noqa: ANN401
    faiss = load_faiss()
    dimension = rows.dimension
    projection = faiss.PCAMatrix(dimension, components)
    sample = rows.take(draw(random, len(rows), max(dimension, _TRAINING_BYTES // (4 * dimension))))
    projection.train(sample)
    return projection


def _fit_lists(projection: Any, sample: Floats, nlist: int, parts: int) -> Any:  # noqa: ANN401
    faiss = load_faiss()

    def untrained() -> Any:  # noqa: ANN401
        quantiser = faiss.IndexFlatL2(sample.shape[1])
        lists = faiss.IndexIVFPQFastScan(
            quantiser, sample.shape[1], nlist, parts, 4, faiss.METRIC_L2
        )
        lists.cp.min_points_per_centroid = 1
        return lists

    lists = untrained()
    if not _train_on_gpu(lists, sample):
        lists = untrained()
        lists.train(sample)
    return faiss.IndexPreTransform(projection, lists)


def _train_on_gpu(lists: Any, sample: Floats) -> bool:  # noqa: ANN401
    faiss = load_faiss()
    if _gpu_count() == 0:
        return False
    try:
        helper = faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(sample.shape[1]))
        lists.clustering_index = helper
        lists.train(sample)
        lists.clustering_index = None
    except Exception as error:  # noqa: BLE001  (whatever a driver raises, the CPU can do it)
        _log.warning("the GPU could not train the index (%s); the CPU does", _first_line(error))
        return False
    return True


def load_faiss() -> Any:  # noqa: ANN401  (its type stubs lack half of it)
    """Import FAISS, when it is needed."""
    import faiss

    return faiss


def _gpu_count() -> int:
    return int(load_faiss().get_num_gpus())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _selector(admitted: Bools) -> Any:  # noqa: ANN401  (FAISS has no types)
    return load_faiss().IDSelectorBitmap(np.packbits(admitted, bitorder="little"))
