"""The index: equal to brute force where flat, near enough where not, and never half written."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albo.errors import EmptyIndex, StaleArtifact, UsageError
from albo.index import Index, digest_set_hash, open_index, update_index
from albo.neighbours.lists import choose_codes, choose_nlist
from albo.records import Embeddings, IndexKind
from albo.store import read_manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from albo.records import Digest, Floats, Halves, Ints

FINGERPRINT = "f" * 64


class Shelf:
    """Vectors in memory, counting what is read."""

    fingerprint = FINGERPRINT
    backbone = "test"

    def __init__(self, digests: Sequence[Digest], vectors: Floats) -> None:
        self.dimension = vectors.shape[1]
        self.rows: dict[Digest, Halves] = {}
        self.put(digests, vectors)
        self.was_read = 0

    def put(self, digests: Sequence[Digest], vectors: Floats) -> None:
        self.rows.update(zip(digests, vectors.astype(np.float16), strict=True))

    @property
    def state(self) -> str:
        return digest_set_hash(self.rows.keys())

    def digests(self) -> list[Digest]:
        return list(self.rows)

    def unit(self, digests: Sequence[Digest]) -> Floats:
        rows = np.array([self.rows[digest] for digest in digests], dtype=np.float32)
        return rows / np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]

    def batches(self, among: Collection[Digest]) -> Iterator[tuple[list[Digest], Halves]]:
        names = [name for name in self.rows if name in among]
        self.was_read += len(names)
        for start in range(0, len(names), 256):
            some = names[start : start + 256]
            yield some, np.array([self.rows[name] for name in some])


def make_digests(count: int, start: int = 0) -> list[Digest]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(start, start + count)]


def make_vectors(count: int, dimension: int, seed: int = 0) -> Floats:
    """Draw unit rows like a network's: in clusters, and of far fewer dimensions than they have."""
    random = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    latent = min(24, dimension)
    basis = fixed.standard_normal((latent, dimension))
    centres = fixed.standard_normal((40, latent))
    points = centres[random.integers(0, 40, count)] + 0.5 * random.standard_normal((count, latent))
    rows = points @ basis / np.sqrt(latent) + 0.2 * random.standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_noise(count: int, dimension: int, seed: int = 0) -> Floats:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_shelf(count: int, dimension: int = 64, seed: int = 0) -> Shelf:
    return Shelf(make_digests(count), make_vectors(count, dimension, seed))


def search_by_hand(
    shelf: Shelf, held: Sequence[Digest], queries: Floats, k: int
) -> list[list[tuple[Digest, float]]]:
    """Sort all cosines, float64 rounded to float32; equal ones by digest."""
    held = list(held)
    cosines = queries.astype(np.float64) @ shelf.unit(held).T.astype(np.float64)
    cosines = np.clip(cosines.astype(np.float32), -1, 1)
    ranked = [sorted(zip((-row).tolist(), held, strict=True))[:k] for row in cosines]
    return [[(digest, -score) for score, digest in row] for row in ranked]


def found_by(
    index: Index, queries: Floats, k: int, **filters: object
) -> list[list[tuple[Digest, float]]]:
    results = index.search(queries, k, **filters)
    return [list(zip(each.digests, each.scores, strict=True)) for each in results]


def recall_of(
    index: Index, shelf: Shelf, held: Sequence[Digest], queries: Floats, k: int = 10
) -> float:
    truth = search_by_hand(shelf, held, queries, k)
    among = None if len(held) == index.count else held
    found = index.search(queries, k, among=among)
    hits = [
        len({digest for digest, _ in row} & set(each.digests)) / k
        for row, each in zip(truth, found, strict=True)
    ]
    return float(np.mean(hits))


def files_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


# --- flat


def test_flat_equals_brute_force(tmp_path: Path) -> None:
    shelf = make_shelf(700, 96)
    update_index(tmp_path, shelf, shelf.digests())
    index = open_index(tmp_path, FINGERPRINT)
    queries = make_vectors(40, 96, seed=1)
    for k in (1, 10, 700):
        expected = search_by_hand(shelf, shelf.digests(), queries, k)
        assert found_by(index, queries, k) == expected
    assert (index.kind, index.count, index.recall) == (IndexKind.FLAT, 700, 1.0)


def test_a_cover_finds_itself_first_with_a_cosine_of_one(tmp_path: Path) -> None:
    shelf = make_shelf(300)
    update_index(tmp_path, shelf, shelf.digests())
    found = open_index(tmp_path).search(shelf.unit(shelf.digests()), 1)
    assert [each.digests[0] for each in found] == shelf.digests()
    assert [each.scores[0] for each in found] == pytest.approx([1.0] * 300, abs=2e-7)


def test_equal_scores_go_by_digest_whatever_the_order_of_rows(tmp_path: Path) -> None:
    vectors = make_vectors(400, 64)
    vectors[100:350] = vectors[100]
    digests = make_digests(400)
    query = vectors[100:101]
    answers = []
    for name, order in (("a", range(400)), ("b", range(399, -1, -1))):
        shelf = Shelf([digests[at] for at in order], vectors[list(order)])
        update_index(tmp_path / name, shelf, digests)
        answers.append(found_by(open_index(tmp_path / name), query, 20))
    assert answers[0] == answers[1]
    assert [digest for digest, _ in answers[0][0]] == sorted(digests[100:350])[:20]


def test_adding_and_removing_equals_building_anew(tmp_path: Path) -> None:
    shelf = make_shelf(500)
    digests = shelf.digests()
    queries = make_vectors(20, 64, seed=3)
    update_index(tmp_path, shelf, digests[:400])
    shelf.was_read = 0
    added = update_index(tmp_path, shelf, digests[:450])
    assert (added.added, added.removed, added.rebuilt, added.count) == (50, 0, False, 450)
    assert shelf.was_read == 50
    expected = search_by_hand(shelf, digests[:450], queries, 10)
    assert found_by(open_index(tmp_path), queries, 10) == expected
    changed = update_index(tmp_path, shelf, digests[30:])
    assert (changed.added, changed.removed, changed.rebuilt) == (50, 30, False)
    assert shelf.was_read == 100
    expected = search_by_hand(shelf, digests[30:], queries, 10)
    assert found_by(open_index(tmp_path), queries, 10) == expected
    assert open_index(tmp_path).digests() == set(digests[30:])


def test_covers_without_a_vector_are_counted_and_left_out(tmp_path: Path) -> None:
    shelf = make_shelf(20)
    asked = [*shelf.digests(), *make_digests(3, start=100)]
    summary = update_index(tmp_path, shelf, asked)
    assert (summary.count, summary.missing) == (20, 3)
    open_index(tmp_path).check_current(shelf.state, digest_set_hash(asked))


def test_an_unchanged_index_is_not_written(tmp_path: Path) -> None:
    shelf = make_shelf(50)
    update_index(tmp_path, shelf, shelf.digests())
    before = files_of(tmp_path)
    summary = update_index(tmp_path, shelf, set(shelf.digests()))
    assert (summary.added, summary.removed, summary.rebuilt) == (0, 0, False)
    assert files_of(tmp_path) == before
    anew = update_index(tmp_path, shelf, shelf.digests(), anew=True)
    assert anew.rebuilt
    assert set(files_of(tmp_path)) & set(before) == {"manifest.json"}


def test_an_index_knows_what_it_was_built_from(tmp_path: Path) -> None:
    shelf = make_shelf(50)
    update_index(tmp_path, shelf, shelf.digests()[:40])
    index = open_index(tmp_path)
    index.check_current(shelf.state, digest_set_hash(shelf.digests()[:40]))
    with pytest.raises(StaleArtifact, match=r"other covers.*albo index"):
        index.check_current(shelf.state, digest_set_hash(shelf.digests()))
    with pytest.raises(StaleArtifact, match=r"older than its vectors.*albo index"):
        index.check_current("another", digest_set_hash(shelf.digests()[:40]))
    shelf.put(make_digests(1, start=900), make_vectors(1, 64, seed=9))
    update_index(tmp_path, shelf, shelf.digests()[:40])
    open_index(tmp_path).check_current(shelf.state, digest_set_hash(shelf.digests()[:40]))


def test_what_a_killed_writer_appended_is_written_over(tmp_path: Path) -> None:
    shelf = make_shelf(60)
    digests = shelf.digests()
    update_index(tmp_path, shelf, digests[:40])
    with next(tmp_path.glob("vectors-*.f32")).open("ab") as file:
        file.write(b"\xff" * 10_001)
    (tmp_path / "lists-7.faiss").write_bytes(b"half a file")
    queries = make_vectors(5, 64, seed=4)
    held = search_by_hand(shelf, digests[:40], queries, 10)
    assert found_by(open_index(tmp_path), queries, 10) == held
    update_index(tmp_path, shelf, digests)
    assert found_by(open_index(tmp_path), queries, 10) == search_by_hand(
        shelf, digests, queries, 10
    )
    assert not (tmp_path / "lists-7.faiss").exists()


# --- filters and the door


def test_filters_equal_brute_force_over_what_they_admit(tmp_path: Path) -> None:
    shelf = make_shelf(400)
    digests = shelf.digests()
    update_index(tmp_path, shelf, digests)
    index = open_index(tmp_path)
    queries = make_vectors(10, 64, seed=5)
    unknown = make_digests(5, start=5000)
    assert found_by(index, queries, 10, among=digests[:90] + unknown) == search_by_hand(
        shelf, digests[:90], queries, 10
    )
    assert [len(row) for row in found_by(index, queries, 10, among=digests[:4])] == [4] * 10


def test_where_there_are_fewer_neighbours_all_of_them_come(tmp_path: Path) -> None:
    shelf = make_shelf(12)
    update_index(tmp_path, shelf, shelf.digests())
    index = open_index(tmp_path)
    query = make_vectors(1, 64, seed=6)
    assert len(index.search(query, 50)[0].digests) == 12
    with pytest.raises(UsageError, match="k=0"):
        index.search(query, 0)
    assert index.search(np.empty((0, 64), np.float32), 3) == []


def test_an_empty_index_says_so(tmp_path: Path) -> None:
    shelf = make_shelf(3)
    update_index(tmp_path, shelf, [])
    with pytest.raises(EmptyIndex, match="0 covers"):
        open_index(tmp_path).search(make_vectors(1, 64), 1)
    summary = update_index(tmp_path, shelf, shelf.digests())
    assert (summary.count, summary.added) == (3, 3)
    index = open_index(tmp_path)
    with pytest.raises(EmptyIndex, match="admits 0 of the index's 3 covers"):
        index.search(make_vectors(1, 64), 1, among=make_digests(2, start=50))
    assert update_index(tmp_path, shelf, []).count == 0
    assert open_index(tmp_path).count == 0


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.ones((1, 32), np.float32), r"shape \(1, 32\).*\(q, 64\)"),
        (np.ones(64, np.float32) / 8, r"shape \(64,\)"),
        (np.ones((1, 64), np.float32), "length 8"),
        (np.full((1, 64), np.nan, np.float32), "length nan"),
        (np.zeros((2, 64), np.float32), "length 0"),
    ],
)
def test_bad_queries_are_refused(tmp_path: Path, queries: Floats, message: str) -> None:
    shelf = make_shelf(5)
    update_index(tmp_path, shelf, shelf.digests())
    index = open_index(tmp_path)
    with pytest.raises(UsageError, match=message):
        index.search(queries, 1)


# --- ivf


@pytest.fixture(scope="module")
def shelf_of_4000() -> Shelf:
    return make_shelf(4000)


@pytest.fixture(scope="module")
def ivf(shelf_of_4000: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 3,000 covers, chosen as ivf by size; copied by those who change it."""
    folder = tmp_path_factory.mktemp("ivf")
    summary = update_index(folder, shelf_of_4000, shelf_of_4000.digests()[:3000], most_flat=2000)
    assert (summary.kind, summary.rebuilt, summary.count) == (IndexKind.IVF, True, 3000)
    return folder


@pytest.fixture
def own_ivf(ivf: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    for path in ivf.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.whole
def test_ivf_reaches_its_recall_and_scores_are_cosines(ivf: Path, shelf_of_4000: Shelf) -> None:
    index = open_index(ivf, FINGERPRINT)
    held = shelf_of_4000.digests()[:3000]
    queries = make_vectors(200, 64, seed=8)
    assert index.recall >= 0.95
    assert read_manifest(ivf, "index", "albo index")["tuning"]["recall"] == index.recall
    assert recall_of(index, shelf_of_4000, held, queries) >= 0.95
    assert recall_of(index, shelf_of_4000, held, queries, k=100) >= 0.95
    for each, query in zip(index.search(queries, 10), queries, strict=True):
        exact = shelf_of_4000.unit(each.digests).astype(np.float64) @ query.astype(np.float64)
        assert each.scores == tuple(exact.astype(np.float32).tolist())
        assert list(each.scores) == sorted(each.scores, reverse=True)


def test_ivf_gives_all_covers_where_all_are_asked_for(ivf: Path, shelf_of_4000: Shelf) -> None:
    index = open_index(ivf)
    held = shelf_of_4000.digests()[:3000]
    queries = make_vectors(2, 64, seed=8)
    assert found_by(index, queries, 3000) == search_by_hand(shelf_of_4000, held, queries, 3000)
    few = index.search(queries, 900)
    assert [len(each.digests) for each in few] == [900, 900]


@pytest.mark.parametrize("size", [100, 300, 1000, 2500])
@pytest.mark.parametrize("shape", ["random", "corner", "side"])
def test_filtered_ivf_has_the_same_recall(
    ivf: Path, shelf_of_4000: Shelf, size: int, shape: str
) -> None:
    index = open_index(ivf, exact_until=200)
    held = shelf_of_4000.digests()[:3000]
    vectors = shelf_of_4000.unit(held)
    rank = {
        "random": np.random.default_rng(0).permutation(3000),
        "corner": np.argsort(-vectors @ vectors[0]),
        "side": np.argsort(vectors @ np.linalg.svd(vectors, full_matrices=False)[2][1]),
    }[shape]
    admitted = [held[at] for at in rank[:size]]
    queries = make_vectors(150, 64, seed=9)
    assert recall_of(index, shelf_of_4000, admitted, queries) >= 0.95
    if size <= 200:
        expected = search_by_hand(shelf_of_4000, admitted, queries, 10)
        assert found_by(index, queries, 10, among=admitted) == expected
    else:
        found = index.search(queries, 10, among=admitted)
        allowed = set(admitted)
        assert all(len(each.digests) == 10 and allowed.issuperset(each.digests) for each in found)


def test_ivf_adds_and_removes(own_ivf: Path, shelf_of_4000: Shelf) -> None:
    shelf = shelf_of_4000
    digests = shelf.digests()
    before = read_manifest(own_ivf, "index", "albo index")
    few = update_index(own_ivf, shelf, digests[10:3100], most_flat=2000)
    assert (few.added, few.removed, few.rebuilt) == (100, 10, False)
    after = read_manifest(own_ivf, "index", "albo index")
    assert after["files"]["vectors"]["name"] == before["files"]["vectors"]["name"]
    assert after["tuning"] == before["tuning"] | {"changed": 110}
    index = open_index(own_ivf)
    removed = index.search(shelf.unit(digests[:10]), 10)
    assert not any(set(each.digests) & set(digests[:10]) for each in removed)
    added = index.search(shelf.unit(digests[3000:3100]), 1)
    assert [each.digests[0] for each in added] == digests[3000:3100]
    many = update_index(own_ivf, shelf, digests[10:3900], most_flat=2000)
    assert (many.added, many.removed, many.rebuilt) == (800, 0, False)
    tuning = read_manifest(own_ivf, "index", "albo index")["tuning"]
    assert (tuning["changed"], tuning["trained_on"]) == (0, 3000)
    index = open_index(own_ivf)
    assert many.recall == index.recall >= 0.95
    assert recall_of(index, shelf, digests[10:3900], make_vectors(150, 64, seed=11)) >= 0.95
    back = update_index(own_ivf, shelf, digests[:3900], most_flat=2000)
    assert (back.added, back.count) == (10, 3900)
    assert open_index(own_ivf).search(shelf.unit(digests[:1]), 1)[0].digests == (digests[0],)


def test_ivf_finds_covers_that_were_added_after_others_were_removed(
    own_ivf: Path, shelf_of_4000: Shelf
) -> None:
    digests = shelf_of_4000.digests()
    for turn in range(4):
        held = digests[200 * (turn + 1) : 3000 + 200 * (turn + 1)]
        summary = update_index(own_ivf, shelf_of_4000, held, most_flat=2000)
        assert (summary.added, summary.removed, summary.rebuilt) == (200, 200, False)
        found = open_index(own_ivf).search(shelf_of_4000.unit(held[-200:]), 1)
        assert [each.digests[0] for each in found] == held[-200:]


@pytest.mark.whole
def test_ivf_is_made_anew_where_it_no_longer_fits(own_ivf: Path, shelf_of_4000: Shelf) -> None:
    digests = shelf_of_4000.digests()
    shrunk = update_index(own_ivf, shelf_of_4000, digests[:1700], most_flat=2000)
    assert (shrunk.kind, shrunk.rebuilt) == (IndexKind.IVF, True)  # more holes than worth keeping
    smaller = update_index(own_ivf, shelf_of_4000, digests[:1500], most_flat=2000)
    assert (smaller.kind, smaller.rebuilt) == (IndexKind.FLAT, True)
    assert (
        update_index(own_ivf, shelf_of_4000, digests[:1900], most_flat=2000).kind is IndexKind.FLAT
    )
    grown = update_index(own_ivf, shelf_of_4000, digests[:2001], most_flat=2000)
    assert (grown.kind, grown.added, grown.rebuilt) == (IndexKind.IVF, 101, True)


@pytest.mark.whole
def test_the_kind_asked_for_stays_until_another_is(tmp_path: Path) -> None:
    shelf = make_shelf(1300)
    digests = shelf.digests()
    assert update_index(tmp_path, shelf, digests[:900], IndexKind.IVF).kind is IndexKind.FLAT
    assert update_index(tmp_path, shelf, digests[:1200]).kind is IndexKind.IVF
    assert update_index(tmp_path, shelf, digests).kind is IndexKind.IVF
    assert update_index(tmp_path, shelf, digests, IndexKind.AUTO).kind is IndexKind.FLAT
    assert update_index(tmp_path, shelf, digests, most_flat=1000).kind is IndexKind.IVF
    assert update_index(tmp_path, shelf, digests, IndexKind.FLAT).kind is IndexKind.FLAT
    assert update_index(tmp_path, shelf, digests, most_flat=1000).kind is IndexKind.FLAT


def test_what_codes_cannot_tell_apart_is_searched_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("albo.neighbours.updates._CANDIDATES", (12,))
    shelf = Shelf(make_digests(1300), make_noise(1300, 96))
    digests = shelf.digests()
    summary = update_index(tmp_path, shelf, digests[:1200], most_flat=1000)
    assert (summary.kind, summary.recall) == (IndexKind.FLAT, 1.0)
    assert "recall@10 of 0." in summary.note
    again = update_index(tmp_path, shelf, digests, most_flat=1000)
    assert (again.kind, again.rebuilt, again.added) == (IndexKind.FLAT, False, 100)
    asked = update_index(tmp_path, shelf, digests, IndexKind.IVF)
    assert asked.kind is IndexKind.IVF
    assert asked.recall < 0.95
    assert "albo index --kind flat" in asked.note


@pytest.mark.whole
@pytest.mark.parametrize("dimension", [2, 64, 100, 384, 2048])
def test_ivf_of_any_dimension(tmp_path: Path, dimension: int) -> None:
    shelf = make_shelf(1200, dimension)
    summary = update_index(tmp_path, shelf, shelf.digests(), IndexKind.IVF)
    assert summary.kind is IndexKind.IVF
    queries = make_vectors(50, dimension, seed=2)
    assert recall_of(open_index(tmp_path), shelf, shelf.digests(), queries) >= 0.95


def test_lists_and_codes_follow_size_and_dimension() -> None:
    assert [choose_nlist(count) for count in (0, 1000, 50_000, 200_000, 1_000_000)] == [
        1, 25, 1024, 2048, 4096,
    ]  # fmt: skip
    assert {size: choose_codes(size) for size in (1, 3, 64, 100, 384, 1280)} == {
        1: (1, 1), 3: (2, 1), 64: (64, 32), 100: (100, 50), 384: (320, 80), 1280: (320, 80),
    }  # fmt: skip


# --- what is stale, foreign or damaged


def test_a_missing_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StaleArtifact, match=r"no index.*albo index"):
        open_index(tmp_path / "none")


def test_an_index_of_another_backbone_is_refused_and_replaced(tmp_path: Path) -> None:
    shelf = make_shelf(30)
    update_index(tmp_path, shelf, shelf.digests())
    with pytest.raises(StaleArtifact, match=r"is of test ffffffff, not of 00000000.*albo index"):
        open_index(tmp_path, "0" * 64)
    other = make_shelf(30, 32)
    other.fingerprint = "0" * 64
    assert update_index(tmp_path, other, other.digests()).rebuilt
    assert open_index(tmp_path, "0" * 64).dimension == 32


@pytest.mark.parametrize("role", ["vectors", "digests", "lists"])
@pytest.mark.parametrize("harm", ["gone", "cut", "empty", "flipped", "garbage"])
def test_a_damaged_file_is_refused_and_mended(
    own_ivf: Path, shelf_of_4000: Shelf, role: str, harm: str
) -> None:
    name = read_manifest(own_ivf, "index", "albo index")["files"][role]["name"]
    content = bytearray((own_ivf / name).read_bytes())
    content[len(content) // 2] ^= 0x40
    random = np.random.default_rng(0)
    harmed = {
        "cut": bytes(content[:-1]),
        "empty": b"",
        "flipped": bytes(content),
        "garbage": random.bytes(len(content)),
    }
    (own_ivf / name).unlink()
    if harm != "gone":
        (own_ivf / name).write_bytes(harmed[harm])
    with pytest.raises(StaleArtifact, match=rf"{name}.*run `albo index`"):
        open_index(own_ivf)
    held = shelf_of_4000.digests()[:1100]
    assert update_index(own_ivf, shelf_of_4000, held).rebuilt
    assert open_index(own_ivf).digests() == set(held)


def test_lists_that_faiss_cannot_read_are_refused(own_ivf: Path) -> None:
    manifest = read_manifest(own_ivf, "index", "albo index")
    garbage = b"IxPT" + np.random.default_rng(1).bytes(5000)
    lists = manifest["files"]["lists"]
    (own_ivf / lists["name"]).write_bytes(garbage)
    lists |= {"bytes": len(garbage), "checksum": hashlib.sha256(garbage).hexdigest()}
    write_manifest(own_ivf, manifest)
    with pytest.raises(StaleArtifact, match=r"lists-1\.faiss.*albo index"):
        open_index(own_ivf)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": -1},
        {"rows": 10**9},
        {"count": 10**6},
        {"dimension": "64"},
        {"dimension": 0},
        {"kind": "flat"},
        {"kind": "auto"},
        {"tuning": None},
        {"tuning": {"nprobe": 1}},
        {"files": {}},
        {"files": []},
        {"files": {"vectors": {"name": "../../secret", "bytes": 1, "checksum": ""}}},
    ],
)
def test_a_hostile_manifest_is_refused(own_ivf: Path, change: dict[str, object]) -> None:
    write_manifest(own_ivf, read_manifest(own_ivf, "index", "albo index") | change)
    with pytest.raises(StaleArtifact, match="albo index"):
        open_index(own_ivf)


def test_a_large_vectors_file_is_sampled(tmp_path: Path) -> None:
    shelf = Shelf(make_digests(9000), make_noise(9000, 512))
    update_index(tmp_path, shelf, shelf.digests())
    path = next(tmp_path.glob("vectors-*.f32"))
    assert path.stat().st_size > 16 << 20
    assert open_index(tmp_path).count == 9000
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(bytes(1 << 18))
    with pytest.raises(StaleArtifact, match=r"checksum of vectors-1\.f32"):
        open_index(tmp_path)


def test_a_damaged_stored_vector_does_not_become_a_result(tmp_path: Path) -> None:
    shelf = make_shelf(200)
    update_index(tmp_path, shelf, shelf.digests())
    index = open_index(tmp_path)
    matrix = np.memmap(next(tmp_path.glob("vectors-*.f32")), "<f4", "r+", shape=(200, 64))
    matrix[17] *= 3
    matrix.flush()
    with pytest.raises(StaleArtifact, match="a vector in the index is damaged"):
        index.search(shelf.unit(shelf.digests()[17:18]), 5)


def test_a_store_with_a_bad_vector_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    shelf = make_shelf(40)
    update_index(tmp_path, shelf, shelf.digests())
    held = open_index(tmp_path).digests()
    bad = make_vectors(1, 64)
    bad[0, 3] = np.nan
    shelf.put(make_digests(1, start=77), bad)
    with pytest.raises(StaleArtifact, match="not of unit length"):
        update_index(tmp_path, shelf, shelf.digests())
    assert open_index(tmp_path).digests() == held


# --- readers and writers at once, and writers that are killed


def test_a_reader_follows_a_writer_without_a_lock(tmp_path: Path) -> None:
    shelf = make_shelf(300)
    digests = shelf.digests()
    update_index(tmp_path, shelf, digests)
    is_done = threading.Event()
    failures: list[Exception] = []

    def write() -> None:
        try:
            for step in range(40):
                update_index(tmp_path, shelf, digests[step:])
        except Exception as error:  # noqa: BLE001  (told to the main thread)
            failures.append(error)
        finally:
            is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    old = open_index(tmp_path)
    while not is_done.is_set():
        index = open_index(tmp_path)
        seen.add(index.count)
        assert len(index.search(shelf.unit(digests[-1:]), 5)[0].digests) == 5
    writer.join()
    assert not failures
    assert len(seen) > 3
    assert len(old.search(shelf.unit(digests[:1]), 300)[0].digests) == old.count


WRITER = """
    import sys
    from pathlib import Path
    from tests.test_index import make_shelf
    from albo.index import update_index
    from albo.records import IndexKind
    folder, kind = Path(sys.argv[1]), IndexKind(sys.argv[2])
    shelf = make_shelf(1400)
    digests = shelf.digests()
    update_index(folder, shelf, digests, kind)
    print("ready", flush=True)
    step = 0
    while True:
        step = step % 150 + 1
        update_index(folder, shelf, digests[step : 1250 + step], kind, anew=step % 4 == 0)
"""


@pytest.mark.whole
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_a_killed_writer_leaves_an_index_that_works(tmp_path: Path, kind: str) -> None:
    shelf = make_shelf(1400)
    digests = shelf.digests()
    for wait in (0.05, 0.31):
        writer = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), kind],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        with writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(wait)
            writer.send_signal(signal.SIGKILL)
        index = open_index(tmp_path, FINGERPRINT)
        held = sorted(index.digests())
        own = shelf.unit(held[:50])
        assert [each.digests[0] for each in index.search(own, 1)] == held[:50]
    summary = update_index(tmp_path, shelf, digests)
    assert summary.count == 1400
    named = {file["name"] for file in read_manifest(tmp_path, "", "")["files"].values()}
    assert {path.name for path in tmp_path.iterdir()} == named | {"manifest.json"}


# --- hashes, imports, the real store, the GPU


def test_the_hash_of_a_set_of_digests() -> None:
    digests = make_digests(500)
    assert digest_set_hash(digests) == digest_set_hash(sorted(digests))
    assert digest_set_hash([*digests, digests[0]]) == digest_set_hash(digests)
    assert digest_set_hash(digests[1:]) != digest_set_hash(digests)
    assert digest_set_hash([]) != digest_set_hash([bytes(32)])
    assert len(digest_set_hash([])) == 32


@pytest.mark.whole
def test_opening_and_searching_loads_no_heavy_library(tmp_path: Path) -> None:
    shelf = make_shelf(1100)
    update_index(tmp_path, shelf, shelf.digests(), IndexKind.IVF)
    code = """
        import json, sys
        from pathlib import Path
        import albo.index, albo.neighbours.duplicates
        heavy = {"faiss", "torch", "sklearn", "pyarrow", "pandas", "scipy", "openvino"}
        first = sorted(heavy & set(sys.modules))
        import numpy as np
        query = np.eye(1, 64, dtype=np.float32)
        assert albo.index.open_index(Path(sys.argv[1])).search(query, 3)
        print(json.dumps([first, sorted(heavy & set(sys.modules))]))
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == [[], ["faiss"]]
    assert done.stderr == b""


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    shelf = make_shelf(1300)
    for kind, digests, total in (
        (IndexKind.IVF, shelf.digests()[:1200], 2400),
        (IndexKind.IVF, shelf.digests(), 200),
        (IndexKind.FLAT, shelf.digests(), 1300),
    ):
        steps: list[tuple[int, int]] = []
        update_index(
            tmp_path, shelf, digests, kind, lambda done, whole, to=steps: to.append((done, whole))
        )
        assert steps == sorted(steps)
        assert steps[-1] == (total, total)


def test_an_index_over_stored_vectors(tmp_path: Path) -> None:
    from albo.store import Vectors

    digests = make_digests(300)
    vectors = Vectors.open_or_create(tmp_path / "vectors", "test", FINGERPRINT, 64, 0)
    none = np.empty((300, 0), np.float32)
    with vectors.writer() as writer:
        writer.add(digests[:250], Embeddings(make_vectors(300, 64)[:250], none[:250]))
    update_index(tmp_path / "index", vectors, digests)
    with vectors.writer() as writer:
        writer.add(digests[250:], Embeddings(make_vectors(300, 64)[250:], none[250:]))
    summary = update_index(tmp_path / "index", vectors, digests)
    assert (summary.added, summary.rebuilt, summary.count) == (50, False, 300)
    index = open_index(tmp_path / "index", FINGERPRINT)
    index.check_current(vectors.state, digest_set_hash(digests))
    stored, embeddings = vectors.read()
    shelf = Shelf(stored, embeddings.vector)
    queries = make_vectors(10, 64, seed=4)
    truth: list[Ints] = [np.argsort(-embeddings.vector @ query)[:10] for query in queries]
    found = [list(each.digests) for each in index.search(queries, 10)]
    assert found == [[shelf.digests()[at] for at in row] for row in truth]


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    if faiss.get_num_gpus() == 0:
        pytest.skip("FAISS sees no CUDA device")
    shelf = make_shelf(3000)
    queries = make_vectors(300, 64, seed=4)
    update_index(tmp_path / "flat", shelf, shelf.digests())
    index = open_index(tmp_path / "flat")
    expected = search_by_hand(shelf, shelf.digests(), queries, 10)
    assert found_by(index, queries, 10) == expected
    assert index._rows._gpu is not None
    update_index(tmp_path / "ivf", shelf, shelf.digests(), IndexKind.IVF)
    index = open_index(tmp_path / "ivf")
    assert recall_of(index, shelf, shelf.digests(), queries) >= 0.95
    assert index._rows._gpu is not None
