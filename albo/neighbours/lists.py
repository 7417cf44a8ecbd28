"""Build inverted lists with compressed codes (IVF with PQ) in FAISS."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.neighbours.rows import Rows, first_line, gpu_count, load_faiss, log

if TYPE_CHECKING:
    from albo.records import Bools, Floats, Ints, Pixels

_COMPONENTS = 320
_POINTS_PER_LIST = 40
_TRAINING_BYTES = 128 << 20


class Lists:
    """PCA, inverted lists and 4-bit product-quantised codes: they propose candidates.

    Distances are Euclidean. On unit vectors they have the order of the cosine, and the PCA's
    centring does not change them, unlike inner products. Jégou, Douze & Schmid 2011 (product
    quantisation); André, Kermarrec & Le Scouarnec 2015 (fast scan).
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
        """Read the bytes of `serialised`. Raises ValueError where they do not fit the arguments."""
        faiss = load_faiss()
        try:
            index = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
            lists = cls(index)
            fits = isinstance(lists._ivf, faiss.IndexIVFPQFastScan)
        except (RuntimeError, AttributeError) as error:
            raise ValueError(first_line(error)) from error
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
        """Zero the removed codes that are left behind the last code of each list.

        FAISS (1.15) adds a code by or-ing it into its place in the last block, as if the place were
        empty. Over a removed code, the new code becomes a mixture of both.
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
        """Propose candidates: ids (q, width), -1 where the lists searched hold fewer.

        Parameters
        ----------
        queries : float32 (q, d), rows of unit length.
        width : how many candidates to propose for each query.
        nprobe : how many lists are searched.
        rows : the only ids to propose; None for all.
        capacity : one above the highest id.
        """
        faiss = load_faiss()
        if rows is None:
            inner = faiss.SearchParametersIVF(nprobe=nprobe)
        else:
            # The nearest lists may hold none of the rows (but those of another genre), so only
            # lists that hold some are counted among the nprobe.
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
    """Return how many lists to make for n covers: the power of two nearest to 4 √n.

    Each list has at least 39 covers to be trained on, as FAISS asks.
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
    if gpu_count() == 0:
        return False
    try:
        helper = faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(sample.shape[1]))
        lists.clustering_index = helper
        lists.train(sample)
        lists.clustering_index = None
    except Exception as error:  # noqa: BLE001  (whatever a driver raises, the CPU can do it)
        log.warning("the GPU could not train the index (%s); the CPU does", first_line(error))
        return False
    return True


def _selector(admitted: Bools) -> Any:  # noqa: ANN401  (FAISS has no types)
    return load_faiss().IDSelectorBitmap(np.packbits(admitted, bitorder="little"))
