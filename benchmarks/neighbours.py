"""Whether the nearest cover is the right one: known pairs, made copies, and listed duplicates."""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from operator import eq
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from albo.api import Albo
from albo.images import decode, open_image
from albo.learning import group_covers
from benchmarks.copies import KINDS, make_copy
from benchmarks.corpora import store_of
from benchmarks.covers import known_pairs, labels, labels_files, workspace
from benchmarks.pairs import JUDGED, SHEET, TO_JUDGE, Pair, draw_sample, read_judged, write_sample
from benchmarks.results import HERE, Row, Section, Target, at_least

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from albo.records import Digest
    from benchmarks.options import Options

LEAST_PAIRS = 0.98
LEAST_COPIES = 0.97
LEAST_PRECISION = 0.95
_SAMPLE = 100
_THRESHOLDS = (0.86, 0.87, 0.9)
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
            *_measure_pairs(albo, collection),
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
    "Pairs: all covers of both sets in one index. `dup_group` was itself made of perceptual hashes"
    " and of this network's cosines from 0.83, so that it can hardly disagree with a near first"
    " neighbour; the second row asks for a cover that the perceptual hash alone paired with it. The"
    " peer is a difference hash (8 x 8, from `decode`), nearest by Hamming distance, the first in"
    " the manifests where several are equally near."
)
_REMARK_DUPLICATES = (
    f"Duplicates: {_SAMPLE} pairs, drawn by a hash of their digests from all pairs of covers that"
    " `albo duplicates` puts into one group at its default. For the reason just said `dup_group`"
    " proves nothing here: only what was looked at counts, and what the perceptual hash confirms is"
    f" a lower bound. The sheet to look at is `{_here(SHEET)}`, the list to fill in"
    f" `{_here(TO_JUDGE)}`; judgements are kept, as digests and yes or no, in `{_here(JUDGED)}`."
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
        self.digest_of = {path: bytes.fromhex(row["sha256"]) for path, row in rows.items()}
        self.files = {digest: path for path, digest in self.digest_of.items()}
        self.digests = list(self.files)
        self.pairs = [(self.digest_of[one], self.digest_of[other]) for one, other in known_pairs()]
        self._marks = {self.digest_of[path]: row["dup_group"] for path, row in rows.items()}
        self._hash_groups = self._group_by_pairs()

    def _group_by_pairs(self) -> dict[Digest, int]:
        row_of = {digest: row for row, digest in enumerate(self.digests)}
        unknown: list[tuple[()]] = [()] * len(row_of)
        links = np.array([(row_of[one], row_of[other]) for one, other in self.pairs])
        groups = group_covers(unknown, unknown, links)
        return dict(zip(self.digests, groups.tolist(), strict=True))

    def is_marked(self, one: Digest, other: Digest) -> bool:
        """Whether two covers bear the same `dup_group`."""
        return bool(self._marks[one]) and self._marks[one] == self._marks[other]

    def is_paired(self, one: Digest, other: Digest) -> bool:
        """Whether the known pairs, found by a perceptual hash alone, link two covers."""
        return self._hash_groups[one] == self._hash_groups[other]

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
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


def _measure_pairs(albo: Albo, collection: _Collection) -> list[Row]:
    """Search for every cover of the known pairs."""
    own = sorted({digest for pair in collection.pairs for digest in pair})
    files = [collection.files[digest] for digest in own]
    found = [
        answer.neighbours[0].digest for answer in albo.similar(_names(files), 1, without_self=True)
    ]
    peer = [
        collection.nearest_by_hash(file.read_bytes(), digest)
        for file, digest in zip(files, own, strict=True)
    ]
    what = (
        f"the {len(collection.pairs)} known pairs: the first neighbour of each of their {len(own)}"
        f" covers, among {len(collection.digests):,},"
    )
    marked = _share(collection.is_marked, own, found)
    return [
        Row(
            f"{what} is of its `dup_group`",
            f"{marked:.1%}",
            f"{_share(collection.is_marked, own, peer):.1%}",
            target=at_least(marked, LEAST_PAIRS, f"≥ {LEAST_PAIRS:.0%}"),
        ),
        Row(
            f"{what} was paired with it by a perceptual hash",
            f"{_share(collection.is_paired, own, found):.1%}",
            f"{_share(collection.is_paired, own, peer):.1%}",
        ),
    ]


def _share(
    holds: Callable[[Digest, Digest], bool], ones: Sequence[Digest], others: Sequence[Digest]
) -> float:
    """Return for how many pairs something holds."""
    return float(np.mean([holds(one, other) for one, other in zip(ones, others, strict=True)]))


def _names(files: Sequence[Path]) -> list[str]:
    return [str(file) for file in files]


def _measure_duplicates(albo: Albo, collection: _Collection) -> list[Row]:
    """Draw pairs of the listed groups, write them out to be looked at, and score those judged."""
    judged = read_judged()
    every = _pairs_of_groups(albo, None)
    sample = draw_sample(every, _SAMPLE)
    write_sample(sample, _cosines(albo, sample), collection.files)
    seen = [judged[pair] for pair in sample if pair in judged]
    precision = float(np.mean(seen)) if seen else 0.0
    paired = float(np.mean([collection.is_paired(*pair) for pair in sample]))
    return [
        Row(
            f"`albo duplicates` lists {len(every):,} pairs; precision of a sample of {len(sample)}",
            f"{precision:.1%} of {len(seen)} looked at" if seen else "nobody has looked yet",
            f"{paired:.1%} confirmed by a perceptual hash",
            target=Target(
                f"≥ {LEAST_PRECISION:.0%} of {_SAMPLE}",
                precision >= LEAST_PRECISION and len(seen) == _SAMPLE,
            ),
        ),
        *(_row_of_threshold(albo, judged, threshold) for threshold in (None, *_THRESHOLDS)),
    ]


def _pairs_of_groups(albo: Albo, threshold: float | None) -> list[Pair]:
    """Return every two covers that `albo duplicates` puts into one group."""
    return [
        Pair(*sorted((one.digest, other.digest)))
        for group in albo.duplicates(threshold)
        for one, other in combinations(group, 2)
    ]


def _row_of_threshold(albo: Albo, judged: Mapping[Pair, bool], threshold: float | None) -> Row:
    every = _pairs_of_groups(albo, threshold)
    seen = [judged[pair] for pair in every if pair in judged]
    at = "default" if threshold is None else f"`--threshold {threshold:g}`"
    share = f"{np.mean(seen):.1%} of {len(seen)} looked at" if seen else "nobody has looked yet"
    return Row(
        f"all {len(every):,} pairs at {at}: precision, true pairs found",
        f"{share}, {sum(seen)} of {sum(judged.values())}",
    )


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
    rows = []
    every: list[Digest] = []
    by_albo: list[Digest] = []
    by_hash: list[Digest] = []
    for kind in KINDS:
        files = _make_copies(kind, originals, collection, folder, random)
        found = [answer.neighbours[0].digest for answer in albo.similar(_names(files), 1)]
        peer = [collection.nearest_by_hash(file.read_bytes()) for file in files]
        rows.append(_row_of_copies(collection, f"{kind}, {count} copies", originals, found, peer))
        every, by_albo, by_hash = every + originals, by_albo + found, by_hash + peer
    what = f"all {len(every):,} copies"
    return [*rows, _row_of_copies(collection, what, every, by_albo, by_hash)]


def _row_of_copies(
    collection: _Collection,
    what: str,
    originals: Sequence[Digest],
    found: Sequence[Digest],
    peer: Sequence[Digest],
) -> Row:
    share = _share(eq, originals, found)

    def is_artwork(one: Digest, other: Digest) -> bool:
        return one == other or collection.is_marked(one, other)

    return Row(
        f"{what}: the original is found first",
        f"{share:.1%} ({_share(is_artwork, originals, found):.1%} it or one of its `dup_group`)",
        f"{_share(eq, originals, peer):.1%}",
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
