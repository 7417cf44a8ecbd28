"""Search: exact beside bare FAISS, and the inverted file's recall, latency, memory and build."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from albo.index import open_index, update_index
from albo.records import IndexKind
from benchmarks.covers import workspace
from benchmarks.measure import (
    Sample,
    interleave,
    interpreter,
    percentile,
    run_command,
    seconds_of,
)
from benchmarks.results import Row, Section, at_least
from benchmarks.synthetic import draw_vectors, store_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from albo.index import Index
    from albo.records import Digest, Floats, Neighbours
    from albo.store import Vectors
    from benchmarks.measure import Word
    from benchmarks.options import Options

LEAST_SPEED = 0.9
LEAST_RECALL = 0.95
_K = 10
_BATCH = 64
_QUERIES = 200


def run(options: Options) -> Section:
    """Measure the flat index at 50,000, then inverted files at 200,000 (and a million)."""
    rows = _measure_flat(options)
    sizes = [options.pick(200_000, 3000)] + ([1_000_000] if options.full else [])
    for count in sizes:
        rows += _measure_ivf(count, options.pick(256, 32))
    return Section(
        "search: exact and approximate",
        rows,
        [_REMARK] if options.full else [_REMARK, "A million vectors: `--full`."],
        ("faiss-gpu", "faiss-cpu", "numpy"),
    )


_REMARK = (
    "Drawn vectors (`benchmarks/synthetic.py`), written into albo's own store and indexed from it;"
    " k = 10; queries of the same clusters that are not in the index. The peer is"
    " `faiss.IndexFlatIP` over the same float32 rows, with the threads FAISS takes by itself."
    " albo's time includes checking the queries, scores added up in double precision, ties broken"
    " by digest, and the digests. Recall is against brute force over all stored vectors that the"
    " filter admits. Memory is what a fresh process holds more of its own after opening the index"
    " and 200 searches; rows and digests are mapped from files, which the system can drop any time."
)


@dataclass(frozen=True, slots=True)
class _Corpus:
    """A store, its index, everything in it as rows, and what was asked."""

    store: Vectors
    index: Index
    digests: Sequence[Digest]
    rows: Floats
    queries: Floats


def _measure_flat(options: Options) -> list[Row]:
    import faiss

    count, dimension = options.pick(50_000, 2000), options.pick(1280, 64)
    rounds = options.pick(15, 3)
    with workspace() as here:
        store, _ = store_vectors(here.folder / "vectors", count, dimension)
        update_index(here.folder / "index", store, store.digests(), IndexKind.FLAT)
        queries = draw_vectors(_BATCH, dimension, seed=7)[0]
        corpus = _open(here.folder / "index", store, queries)
        bare = faiss.IndexFlatIP(dimension)
        bare.add(corpus.rows)
        singles = queries[: options.pick(16, 4)]
        one = interleave(
            {
                "albo": lambda: _one_by_one(corpus.index, singles),
                "faiss": lambda: seconds_of(lambda: [bare.search(q[None], _K) for q in singles]),
            },
            rounds,
        )
        many = interleave(
            {
                "albo": lambda: seconds_of(lambda: corpus.index.search(queries, _K)),
                "faiss": lambda: seconds_of(lambda: bare.search(queries, _K)),
            },
            rounds,
        )
        same = _recall(corpus.index.search(queries, _K), _nearest(corpus))
    what = f"exact search over {count:,} x {dimension:,}, queries a second"
    return [
        _row_of_speed(f"{what}, one at a time", one, len(singles)),
        _row_of_speed(f"{what}, {_BATCH} at once", many, _BATCH),
        Row("recall@10 of the exact search", f"{same:.4f}", target=at_least(same, 1.0, "= 1")),
    ]


def _one_by_one(index: Index, queries: Floats) -> float:
    return seconds_of(lambda: [index.search(query[None], _K) for query in queries])


def _row_of_speed(what: str, seconds: dict[str, Sample], queries: int) -> Row:
    speed = {name: sample.inverse(queries) for name, sample in seconds.items()}
    ratio = speed["albo"].over(speed["faiss"])
    return Row(
        what,
        speed["albo"].show(0),
        speed["faiss"].show(0),
        ratio.show(2, "x"),
        at_least(ratio.median, LEAST_SPEED, f"≥ {LEAST_SPEED:g}x"),
    )


def _measure_ivf(count: int, dimension: int) -> list[Row]:
    import faiss

    with workspace() as here:
        store, cluster_of = store_vectors(here.folder / "vectors", count, dimension)
        started = time.perf_counter()
        update_index(here.folder / "index", store, store.digests(), IndexKind.IVF)
        built = time.perf_counter() - started
        queries = draw_vectors(_QUERIES, dimension, seed=7)[0]
        held = _memory(here.folder / "index", dimension) / count
        corpus = _open(here.folder / "index", store, queries)
        bare = faiss.IndexFlatIP(dimension)
        bare.add(corpus.rows)
        times = interleave(
            {
                "albo": lambda: _median_latency(lambda q: corpus.index.search(q, _K), queries),
                "faiss": lambda: _median_latency(lambda q: bare.search(q, _K), queries[:20]),
            },
            3,
        )
        what = f"inverted file, {count:,} x {dimension}"
        recall = _recall(corpus.index.search(queries, _K), _nearest(corpus))
        rows = [
            Row(
                f"{what}: recall@10",
                f"{recall:.3f} (its manifest says {corpus.index.recall:.3f})",
                "1, brute force",
                target=at_least(recall, LEAST_RECALL),
            ),
            Row(
                f"{what}: latency of one query, p50",
                times["albo"].scaled(1e3).show(2, " ms"),
                times["faiss"].scaled(1e3).show(1, " ms"),
                times["albo"].over(times["faiss"]).show(2, "x"),
            ),
            Row(f"{what}: memory a vector", f"{held:.1f} bytes", f"{4 * dimension} bytes"),
            Row(f"{what}: built in, tuning and its recall included", f"{built:.1f} s"),
        ]
        return rows + [_row_of_filter(what, corpus, *one) for one in _filters(cluster_of)]


def _filters(cluster_of: dict[Digest, int]) -> list[tuple[str, set[Digest]]]:
    """Return subsets as genres cut them: clusters together, and covers from everywhere."""
    random = np.random.default_rng(3)
    names = list(cluster_of)
    few, many = (
        {names[at] for at in np.flatnonzero(random.random(len(names)) < share)}
        for share in (0.01, 0.4)
    )
    half = {name for name, cluster in cluster_of.items() if cluster % 2 == 0}
    return [("1 % at random", few), ("40 % at random", many), ("half the clusters", half)]


def _row_of_filter(what: str, corpus: _Corpus, name: str, admitted: set[Digest]) -> Row:
    found = corpus.index.search(corpus.queries, _K, among=admitted)
    recall = _recall(found, _nearest(corpus, admitted))
    return Row(
        f"{what}: recall@10 among {name} ({len(admitted):,} covers)",
        f"{recall:.3f}",
        "1, brute force",
        target=at_least(recall, LEAST_RECALL),
    )


def _open(folder: Path, store: Vectors, queries: Floats) -> _Corpus:
    digests, embeddings = store.read(middle=False)
    return _Corpus(store, open_index(folder), digests, embeddings.vector, queries)


def _nearest(corpus: _Corpus, admitted: Collection[Digest] | None = None) -> list[set[Digest]]:
    """Return the true nearest of each query, by brute force."""
    import faiss

    kept = [row for row, name in enumerate(corpus.digests) if admitted is None or name in admitted]
    flat = faiss.IndexFlatIP(corpus.rows.shape[1])
    flat.add(np.ascontiguousarray(corpus.rows[kept]))
    return [
        {corpus.digests[kept[place]] for place in places}
        for places in flat.search(corpus.queries, _K)[1]
    ]


def _recall(found: Sequence[Neighbours], true: Sequence[set[Digest]]) -> float:
    hits = [len(own.intersection(one.digests)) for one, own in zip(found, true, strict=True)]
    return sum(hits) / sum(len(own) for own in true)


def _median_latency(search: Callable[[Floats], object], queries: Floats) -> float:
    return percentile([seconds_of(partial(search, query[None])) for query in queries], 0.5)


def _memory(folder: Path, dimension: int) -> float:
    """Return the bytes that an open index takes, beside files that are mapped."""
    # A process of its own: here the allocator would hand out again what building has freed.
    words: list[Word] = [
        interpreter(),
        "-c",
        _OPEN_AND_SEARCH,
        folder,
        str(dimension),
        str(_QUERIES),
    ]
    return float(run_command(words).stdout)


_OPEN_AND_SEARCH = """
import sys
from pathlib import Path
from albo.index import open_index
from benchmarks.synthetic import draw_vectors
import faiss

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))

folder, dimension, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
queries = draw_vectors(count, dimension, seed=7)[0]
faiss.knn(queries, queries, 10, metric=faiss.METRIC_INNER_PRODUCT)
before = held()
index = open_index(folder)
for query in queries:
    index.search(query[None], 10)
print(held() - before)
"""
