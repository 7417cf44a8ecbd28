"""Whether the nearest cover is the right one: known pairs, made copies, and listed duplicates."""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from albo.api import Albo
from albo.images import decode, open_image
from benchmarks.copies import KINDS, make_copy
from benchmarks.corpora import store_of
from benchmarks.covers import labels, labels_files, read_csv, shared_folder, workspace
from benchmarks.pairs import JUDGED, SHEET, TO_JUDGE, Pair, read_judged, write_sample
from benchmarks.results import HERE, Row, Section, at_least

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from albo.records import Digest, Ints
    from benchmarks.options import Options

LEAST_PAIRS = 0.98
LEAST_COPIES = 0.97
LEAST_PRECISION = 0.95
_SAMPLE = 100
_SEED = 0
_HASH_SIDE = 8


def _here(file: Path) -> str:
    return file.relative_to(HERE.parent).as_posix()


def run(options: Options) -> Section:
    """Embed both sets together, then look for pairs, copies and duplicates."""
    with workspace() as here:
        albo = Albo(here.folder / "artifacts")
        albo.embed([str(file) for file in labels_files()])
        collection = _Collection(labels())
        rows = [
            _measure_pairs(albo, collection),
            *_measure_duplicates(albo, collection),
            *_measure_copies(albo, collection, here.folder, options.pick(500, 12)),
        ]
    return Section(
        "neighbours: near-duplicates and copies",
        rows,
        [_REMARK_PAIRS, _REMARK_DUPLICATES, _REMARK_COPIES],
        ("openvino", "faiss-gpu", "faiss-cpu", "pillow", "numpy"),
    )


_REMARK_PAIRS = (
    "All covers of both sets in one index. The peer is a difference hash (8 x 8, from `decode`),"
    " nearest by Hamming distance, the lower row where several are equally near."
)
_REMARK_DUPLICATES = (
    f"Duplicates: {_SAMPLE} pairs drawn (seed {_SEED}) from all pairs of covers that `albo"
    " duplicates` puts into one group at its default. By `dup_group` alone the precision is a lower"
    " bound: it marks what a perceptual hash or an earlier look found. The sheet to look at is"
    f" `{_here(SHEET)}`, the list to fill in `{_here(TO_JUDGE)}`; what was judged is kept, as"
    f" digests and yes or no, in `{_here(JUDGED)}`."
)
_REMARK_COPIES = (
    "Copies: covers drawn from both sets (seed 0), saved again as JPEG of quality 90 (30 where that"
    " is the change): at half the size; 5 % cut from every side; a white or black border of 5 %; a"
    " round sticker, a quarter of the side wide, in a corner; 30 % darker or brighter. Found means"
    " that the first neighbour is the very cover that the copy was made of."
)


class _Collection:
    """The covers of both sets, in a fixed order."""

    def __init__(self, rows: dict[Path, dict[str, str]]) -> None:
        self.files = {bytes.fromhex(row["sha256"]): path for path, row in rows.items()}
        self.digests = list(self.files)
        self._marks = {bytes.fromhex(row["sha256"]): row["dup_group"] for row in rows.values()}

    def is_same(self, one: Digest, other: Digest) -> bool:
        """Whether two covers bear the same mark of artwork."""
        return bool(self._marks[one]) and self._marks[one] == self._marks[other]

    @cached_property
    def hashes(self) -> Ints:
        """The difference hash of every cover: uint64 (n,)."""
        return np.array([_hash(path.read_bytes()) for path in self.files.values()], np.uint64)

    def nearest_by_hash(self, data: bytes, without: Digest | None = None) -> Digest:
        """Return the cover whose hash is nearest."""
        apart = np.bitwise_count(self.hashes ^ np.uint64(_hash(data))).astype(np.int64)
        if without is not None:
            apart[self.digests.index(without)] = 64
        return self.digests[int(apart.argmin())]


def _hash(data: bytes) -> int:
    """Return 64 bits: whether each of 8 x 8 grey cells is brighter than the one to its right."""
    grey = decode(data, _HASH_SIDE * 9).astype(np.float32).mean(axis=2)
    cells = grey.reshape(_HASH_SIDE, 9, 9, _HASH_SIDE).mean(axis=(1, 3))
    bits = np.packbits(cells[:, :-1] > cells[:, 1:])
    return int.from_bytes(bits.tobytes(), "big")


def _measure_pairs(albo: Albo, collection: _Collection) -> Row:
    """Search for every cover of the known pairs."""
    covers = shared_folder() / "covers"
    listed = read_csv(covers / "near_duplicate_pairs.csv")
    files = sorted(
        {covers / row[f"dataset_{side}"] / row[f"file_{side}"] for row in listed for side in "ab"}
    )
    own = {path: digest for digest, path in collection.files.items()}
    found = [answer.neighbours[0] for answer in albo.similar(_names(files), 1, without_self=True)]
    hits = [collection.is_same(own[f], n.digest) for f, n in zip(files, found, strict=True)]
    peer = [
        collection.is_same(own[f], collection.nearest_by_hash(f.read_bytes(), own[f]))
        for f in files
    ]
    return Row(
        f"the {len(listed)} known pairs: the first neighbour of each of their {len(files)} covers,"
        f" among {len(own):,}, is the same artwork",
        f"{np.mean(hits):.1%}",
        f"{np.mean(peer):.1%}",
        target=at_least(float(np.mean(hits)), LEAST_PAIRS, f"≥ {LEAST_PAIRS:.0%}"),
    )


def _names(files: Sequence[Path]) -> list[str]:
    return [str(file) for file in files]


def _measure_duplicates(albo: Albo, collection: _Collection) -> list[Row]:
    """Draw pairs of the listed groups, write them out to be looked at, and score those judged."""
    groups = albo.duplicates()
    every = sorted(
        Pair(*sorted((one.digest, other.digest)))
        for group in groups
        for one, other in combinations(group, 2)
    )
    random = Random(_SEED)  # noqa: S311  (the same draw every time)
    sample = random.sample(every, min(_SAMPLE, len(every)))
    write_sample(sample, _cosines(albo, sample), collection.files)
    judged = read_judged()
    seen = [judged[pair] for pair in sample if pair in judged]
    marked = float(np.mean([collection.is_same(*pair) for pair in sample]))
    precision = float(np.mean(seen)) if seen else marked
    by = f"{len(seen)} of {len(sample)} looked at" if seen else "by `dup_group` alone"
    return [
        Row(
            f"`albo duplicates`: {len(groups)} groups, {len(every):,} pairs; precision of a sample",
            f"{precision:.1%} ({by})",
            f"{marked:.1%} bear the same `dup_group`",
            target=at_least(precision, LEAST_PRECISION, f"≥ {LEAST_PRECISION:.0%}"),
        )
    ]


def _cosines(albo: Albo, pairs: Sequence[Pair]) -> list[float]:
    store = store_of(albo)
    first, second = (
        store.read([pair[side] for pair in pairs], middle=False)[1].vector for side in (0, 1)
    )
    return [float(cosine) for cosine in np.einsum("nd,nd->n", first, second)]


def _measure_copies(albo: Albo, collection: _Collection, folder: Path, count: int) -> list[Row]:
    """Make copies of every kind and search for each."""
    random = Random(_SEED)  # noqa: S311  (the same draw every time)
    originals = random.sample(collection.digests, count)
    rows, hits, peer_hits = [], [], []
    for kind in KINDS:
        files = _make_copies(kind, originals, collection, folder, random)
        found = [answer.neighbours[0].digest for answer in albo.similar(_names(files), 1)]
        peer = [collection.nearest_by_hash(file.read_bytes()) for file in files]
        own = [one == other for one, other in zip(originals, found, strict=True)]
        same = [
            one == other or collection.is_same(one, other)
            for one, other in zip(originals, found, strict=True)
        ]
        theirs = [one == other for one, other in zip(originals, peer, strict=True)]
        rows.append(_row_of_copies(f"{kind}, {count} copies", own, theirs, same))
        hits += list(zip(own, same, strict=True))
        peer_hits += theirs
    own, same = [one for one, _ in hits], [one for _, one in hits]
    rows.append(_row_of_copies(f"all {len(hits):,} copies", own, peer_hits, same))
    return rows


def _row_of_copies(
    what: str, own: Sequence[bool], peer: Sequence[bool], same: Sequence[bool]
) -> Row:
    share = float(np.mean(own))
    return Row(
        f"{what}: the original is found first",
        f"{share:.1%} ({np.mean(same):.1%} it or another scan of its artwork)",
        f"{np.mean(peer):.1%}",
        target=at_least(share, LEAST_COPIES, f"≥ {LEAST_COPIES:.0%}"),
    )


def _make_copies(
    kind: str,
    originals: Sequence[Digest],
    collection: _Collection,
    folder: Path,
    random: Random,
) -> list[Path]:
    place = folder / "copies" / kind.replace(" ", "-")
    place.mkdir(parents=True, exist_ok=True)
    files = []
    for number, digest in enumerate(originals):
        image = open_image(collection.files[digest].read_bytes())
        files.append(place / f"{number:04d}.jpg")
        files[-1].write_bytes(make_copy(image, kind, random))
    return files
