"""Stored vectors: what was committed is there, whole and in order, whatever happens to writers."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albo.errors import AlboError, ForeignArtifact, RuntimeFailed, StaleArtifact
from albo.records import Digest, Embeddings
from albo.store import MANIFEST, Artifacts, Vectors, library_versions, read_json, write_manifest
from albo.store import parts as room
from albo.store.parts import plan_merges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from multiprocessing.connection import Connection

    from albo.records import Floats

REPOSITORY = Path(__file__).resolve().parents[2]
FINGERPRINT = "0123456789abcdef" * 4
D, M = 12, 5
PROCESSES = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def digests_of(numbers: Iterable[int]) -> list[Digest]:
    return [hashlib.sha256(b"%d" % number).digest() for number in numbers]


def look(digests: Sequence[Digest], d: int = D, m: int = M) -> Embeddings:
    """Embed covers as a backbone would: each digest has its own numbers, always the same."""
    drawn = [np.random.default_rng(list(one)).standard_normal(d + m) for one in digests]
    numbers = np.array(drawn, np.float32).reshape(len(digests), d + m)
    vector = numbers[:, :d]
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    return Embeddings(vector, numbers[:, d:] * 10)


def create(folder: Path, m: int = M) -> Vectors:
    return Vectors.open_or_create(folder, "lite0", FINGERPRINT, D, m, extra={"size": 224})


def fill(store: Vectors, *runs: Iterable[int]) -> None:
    """Add covers in one writer, a commit for each run of numbers."""
    with store.writer() as writer:
        for run in runs:
            digests = digests_of(run)
            writer.add(digests, look(digests, m=store.middle_dimension))
            writer.commit()


def stored_floats(given_floats: Floats) -> Floats:
    """What float16 leaves of unit vectors."""
    halves = given_floats.astype(np.float16).astype(np.float32)
    return halves / np.linalg.norm(halves, axis=1, keepdims=True)


def check(store: Vectors, expected: Sequence[Digest]) -> None:
    """The store holds exactly these covers, in this order, with their own numbers."""
    digests, seen = store.read()
    assert digests == list(expected)
    assert store.digests() == digests
    assert len(store) == len(digests)
    truth = look(digests, m=store.middle_dimension)
    np.testing.assert_allclose(seen.vector, stored_floats(truth.vector), atol=1e-6)
    np.testing.assert_array_equal(seen.middle, truth.middle.astype(np.float16))


def run_python(code: str, folder: Path) -> str:
    """Run a piece of code in a process of its own; what it printed."""
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, str(folder)],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def parts_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "vectors" / "lite0-01234567"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups and parts so small that a handful of covers makes many."""
    monkeypatch.setattr(room, "GROUP_ROWS", 7)
    monkeypatch.setattr(room, "LARGE_PART", 40)
    monkeypatch.setattr(room, "MAX_SMALL_PARTS", 4)


def test_an_empty_store_is_a_store(folder: Path) -> None:
    store = create(folder)
    assert len(store) == 0
    assert store.digests() == []
    assert list(store.batches()) == []
    digests, nothing = store.read()
    assert digests == []
    assert nothing.vector.shape == (0, D)
    assert nothing.middle.shape == (0, M)


@pytest.mark.parametrize("m", [M, 0])
def test_what_was_added_comes_back_in_the_order_asked(folder: Path, m: int) -> None:
    store = create(folder, m)
    fill(store, range(30))
    check(Vectors.open(folder, FINGERPRINT), digests_of(range(30)))
    wanted = digests_of([7, 29, 0, 7, 3])
    digests, seen = store.read(wanted)
    assert digests == wanted
    assert seen.vector.dtype == seen.middle.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(seen.vector, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(seen.vector, look(wanted, m=m).vector, atol=1e-3)
    np.testing.assert_array_equal(seen.middle, look(wanted, m=m).middle.astype(np.float16))
    assert store.read(wanted, middle=False)[1].middle.shape == (5, 0)


def test_file_has_the_columns_of_the_contract(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fill(create(folder), range(3))
    fill(create(folder.with_name("flat"), 0), range(3))
    schema = pq.read_schema(parts_in(folder)[0])
    assert schema.names == ["digest", "vector", "middle"]
    assert schema.field("digest").type == pa.binary(32)
    assert schema.field("vector").type.value_type == pa.float16()
    assert schema.field("vector").type.list_size == D
    assert schema.field("middle").type.list_size == M
    assert pq.read_schema(parts_in(folder.with_name("flat"))[0]).names == ["digest", "vector"]


def test_a_cover_is_stored_once(folder: Path) -> None:
    store = create(folder)
    fill(store, [1, 2, 2, 1], [2, 3], [3])
    assert store.digests() == digests_of([1, 2, 3])
    fill(store, [1, 4])
    check(store, digests_of([1, 2, 3, 4]))


def test_state_tells_which_covers_there_are(folder: Path) -> None:
    store = create(folder)
    empty = store.state
    fill(store, [1, 2], [3])
    full = store.state
    assert full != empty
    other = create(folder.with_name("other"))
    fill(other, [3], [2, 1])
    assert other.state == full
    store.remove(digests_of([2]))
    assert store.state not in {full, empty}
    fill(store, [2])
    assert store.state == full


@pytest.mark.usefixtures("small_parts")
def test_batches_go_through_everything(folder: Path) -> None:
    store = create(folder)
    fill(store, range(50), range(50, 75))
    batches = list(store.batches())
    assert max(len(digests) for digests, _ in batches) == 7
    digests = [digest for batch in batches for digest in batch[0]]
    assert digests == digests_of(range(75))
    vector = np.concatenate([vector for _, vector in batches])
    np.testing.assert_array_equal(vector, look(digests).vector.astype(np.float16))


@pytest.mark.usefixtures("small_parts")
def test_of_a_few_covers_only_their_row_groups_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = create(folder)
    fill(store, range(50), range(50, 75))
    read: list[list[str] | None] = []
    table = room.OpenPart.table
    monkeypatch.setattr(
        room.OpenPart,
        "table",
        lambda part, group, columns=None: read.append(columns) or table(part, group, columns),
    )
    few = digests_of([3, 4, 60, 999])
    batches = list(store.batches(few))
    assert [digests for digests, _ in batches] == [digests_of([3, 4]), digests_of([60])]
    assert read.count(["vector"]) == 2
    vector = np.concatenate([vector for _, vector in batches])
    np.testing.assert_array_equal(vector, look(few[:3]).vector.astype(np.float16))


def test_a_cover_without_a_vector_is_named(folder: Path) -> None:
    store = create(folder)
    fill(store, range(3))
    asked = digests_of([1, 99])
    with pytest.raises(StaleArtifact, match=rf"1 of 2 .*{asked[1].hex()}\); run `albo embed`"):
        store.read(asked)


def test_middles_beyond_float16_are_clipped(folder: Path) -> None:
    store = create(folder)
    digests = digests_of([1])
    middle = np.array([[1e9, -1e9, 65_504, 70_000, 0]], np.float32)
    with store.writer() as writer:
        writer.add(digests, Embeddings(look(digests).vector, middle))
    assert store.read()[1].middle.tolist() == [[65_504, -65_504, 65_504, 65_504, 0]]


def test_numbers_that_no_backbone_should_give_are_refused_whole(folder: Path) -> None:
    store = create(folder)
    digests = digests_of([1, 2])
    good = look(digests)
    nan = good.vector.copy()
    nan[1, 3] = np.nan
    infinite = good.middle.copy()
    infinite[0, 0] = np.inf
    with store.writer() as writer:
        for bad in (Embeddings(nan, good.middle), Embeddings(good.vector, infinite)):
            with pytest.raises(RuntimeFailed, match="not finite"):
                writer.add(digests, bad)
        with pytest.raises(RuntimeFailed, match="off unit length by 1"):
            writer.add(digests, Embeddings(good.vector * 2, good.middle))
        with pytest.raises(ValueError, match="of shapes"):
            writer.add(digests, Embeddings(good.vector[:1], good.middle[:1]))
        with pytest.raises(ValueError, match="32 bytes"):
            writer.add([b"1", b"2"], good)
        assert writer.pending == 0
        writer.add(digests, good)
        assert writer.pending == 2
        assert writer.commit() == 2
        assert writer.commit() == 0
    check(store, digests)


def test_an_exception_loses_nothing_that_was_added(folder: Path) -> None:
    store = create(folder)
    digests = digests_of(range(4))

    def work() -> None:
        with store.writer() as writer:
            writer.add(digests, look(digests))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    check(store, digests)


def test_an_interrupted_commit_stores_nothing_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = create(folder)
    digests = digests_of(range(4))
    save = Vectors._save

    def save_and_be_interrupted(store: Vectors, parts: list[room.Part]) -> None:
        save(store, parts)
        raise KeyboardInterrupt

    def work() -> None:
        with store.writer() as writer:
            writer.add(digests, look(digests))
            monkeypatch.setattr(Vectors, "_save", save_and_be_interrupted)
            writer.commit()

    with pytest.raises(KeyboardInterrupt):
        work()
    check(store, digests)


def test_parts_of_a_run_become_one(folder: Path) -> None:
    store = create(folder)
    fill(store, range(10), range(10, 30), range(30, 31))
    assert len(parts_in(folder)) == 1
    check(store, digests_of(range(31)))


@pytest.mark.usefixtures("small_parts")
def test_large_parts_are_left_alone(folder: Path) -> None:
    store = create(folder)
    fill(store, range(40))
    large = parts_in(folder)[0]
    before = large.stat().st_ino
    for number in range(40, 70):
        fill(store, [number])
    assert large.stat().st_ino == before
    assert len(parts_in(folder)) <= 6
    check(store, digests_of(range(70)))


@pytest.mark.usefixtures("small_parts")
def test_a_long_run_does_not_pile_up_parts(folder: Path) -> None:
    store = create(folder)
    with store.writer() as writer:
        for number in range(60):
            digests = digests_of([number])
            writer.add(digests, look(digests))
            writer.commit()
            assert len(parts_in(folder)) <= 4 + 60 // 40 + 1
    check(store, digests_of(range(60)))


@settings(deadline=None)
@given(st.lists(st.integers(1, 100_000), max_size=60), st.data())
def test_merges_cover_all_parts_and_leave_few(rows: list[int], data: st.DataObject) -> None:
    fresh = data.draw(st.integers(0, len(rows)))
    groups = plan_merges(rows, fresh)
    flat = [at for start, stop in groups for at in range(start, stop)]
    assert flat == list(range(len(rows)))
    merged = [group for group in groups if group[1] - group[0] > 1]
    assert all(rows[at] < room.LARGE_PART for start, stop in merged for at in range(start, stop))
    small = sum(sum(rows[start:stop]) < room.LARGE_PART for start, stop in groups)
    large = sum(count >= room.LARGE_PART for count in rows)
    assert small <= 17 * (large + sum(rows) // room.LARGE_PART + 1)


def test_each_row_is_written_anew_a_logarithmic_number_of_times() -> None:
    rows: list[int] = []
    rewritten = 0
    for _ in range(2_000):
        rows.append(10)
        groups = plan_merges(rows, 1)
        rewritten += sum(sum(rows[a:b]) for a, b in groups if b - a > 1)
        rows = [sum(rows[a:b]) for a, b in groups]
    assert sum(rows) == 20_000
    assert len(rows) <= 12
    assert rewritten <= 20_000 * 12


@pytest.mark.usefixtures("small_parts")
def test_removing_writes_only_the_parts_concerned(folder: Path) -> None:
    store = create(folder)
    fill(store, range(45))
    fill(store, range(45, 90))
    fill(store, range(90, 95))
    first, second, third = read_json(folder / MANIFEST)["parts"]
    assert store.remove(digests_of([50, 51, 93, 94, 777])) == 4
    kept = [number for number in range(95) if number not in {50, 51, 93, 94}]
    check(store, digests_of(kept))
    names = {path.name for path in parts_in(folder)}
    assert first["file"] in names
    assert not names & {second["file"], third["file"]}
    assert store.remove(digests_of(range(90, 95))) == 3
    assert len(parts_in(folder)) == 2
    assert store.remove(digests_of([777])) == 0
    assert store.remove(digests_of(range(95))) == 88
    check(store, [])


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 60), max_size=25)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 60), max_size=25)),
        st.tuples(st.sampled_from(["commit", "leave", "fail", "compact"]), st.just([])),
    ),
    max_size=12,
)


@pytest.mark.usefixtures("small_parts")
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations)
def test_store_equals_a_dictionary(steps: list[tuple[str, list[int]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        store = create(Path(name))
        model: dict[Digest, None] = {}
        writer = store.writer().__enter__()
        for step, numbers in steps:
            digests = digests_of(numbers)
            if step == "add":
                writer.add(digests, look(digests))
                model |= dict.fromkeys(digests)
                continue
            if step == "commit":
                writer.commit()
                continue
            writer.__exit__(*((OSError, OSError(), None) if step == "fail" else (None,) * 3))
            check(store, list(model))
            if step == "remove":
                assert store.remove(digests) == len(model.keys() & set(digests))
                model = {digest: None for digest in model if digest not in set(digests)}
            elif step == "compact":
                store._compact(3)
            writer = store.writer().__enter__()
        writer.__exit__(None, None, None)
        check(Vectors.open(Path(name)), list(model))


def test_missing_store_names_the_command(folder: Path) -> None:
    with pytest.raises(StaleArtifact, match=r"there is no vector store in .*; run `albo embed`$"):
        Vectors.open(folder)


def test_vectors_of_another_backbone_are_refused(folder: Path) -> None:
    fill(create(folder), range(3))
    other = "f" * 64
    with pytest.raises(ForeignArtifact, match=f"fingerprint {FINGERPRINT}, not {other}"):
        Vectors.open(folder, other)
    before = (folder / MANIFEST).read_bytes()
    for backbone, fingerprint, d, m in (
        ("lite0", other, D, M),
        ("lite4", FINGERPRINT, D, M),
        ("lite0", FINGERPRINT, D + 1, M),
        ("lite0", FINGERPRINT, D, 0),
    ):
        with pytest.raises(ForeignArtifact, match=r"another backbone's .*run `albo embed`"):
            Vectors.open_or_create(folder, backbone, fingerprint, d, m)
    assert (folder / MANIFEST).read_bytes() == before
    check(Vectors.open(folder), digests_of(range(3)))


def test_a_store_replaced_under_a_reader_is_noticed(folder: Path) -> None:
    store = create(folder)
    shutil.rmtree(folder)
    Vectors.open_or_create(folder, "lite0", "f" * 64, D, M)
    with pytest.raises(ForeignArtifact, match="another backbone's"):
        store.read()


def test_a_newer_store_is_not_overwritten(folder: Path) -> None:
    fill(create(folder), range(3))
    manifest = read_json(folder / MANIFEST)
    write_manifest(folder, manifest | {"format": 99})
    with pytest.raises(ForeignArtifact, match="newer albo"):
        create(folder)
    assert len(parts_in(folder)) == 1


@pytest.mark.parametrize("damage", [None, b"", b"{}", b"garbage"])
@pytest.mark.usefixtures("small_parts")
def test_a_lost_manifest_is_made_anew_from_the_parts(folder: Path, damage: bytes | None) -> None:
    store = create(folder)
    fill(store, range(45))
    fill(store, range(45, 50))
    fill(store, range(50, 52))
    state = store.state
    lost = parts_in(folder)[2]
    if damage is None:
        (folder / MANIFEST).unlink()
    else:
        (folder / MANIFEST).write_bytes(damage)
    with pytest.raises(StaleArtifact, match=r"run `albo embed`$"):
        Vectors.open(folder)
    again = create(folder)
    assert again.state == state
    check(again, digests_of(range(52)))
    (folder / MANIFEST).unlink()
    content = bytearray(lost.read_bytes())
    content[content.index(digests_of([51])[0])] ^= 1
    lost.write_bytes(content)
    check(create(folder), digests_of(range(50)))


def test_a_lost_manifest_does_not_double_what_a_killed_compaction_left(folder: Path) -> None:
    store = create(folder)
    fill(store, range(10))
    small = parts_in(folder)[0]
    copy = small.read_bytes()
    fill(store, range(10, 15))
    assert len(parts_in(folder)) == 2
    fill(store, range(15, 25))
    assert not small.exists()
    small.write_bytes(copy)
    (folder / MANIFEST).unlink()
    check(create(folder), digests_of(range(25)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimension": 0},
        {"dimension": 10**12},
        {"dimension": "12"},
        {"middle_dimension": -1},
        {"fingerprint": None},
        {"extra": []},
        {"parts": 3},
        {"parts": [{}]},
        {"parts": [{"file": "../x", "rows": 1, "digest_sum": "0", "checksum": ""}]},
        {"parts": [{"file": "part-000001-01234567.parquet", "rows": -1, "digest_sum": "0",
                    "checksum": ""}]},
    ],
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_refused(folder: Path, wrong: dict[str, object]) -> None:
    store = create(folder)
    write_manifest(folder, read_json(folder / MANIFEST) | wrong)
    with pytest.raises(StaleArtifact, match=r"(damaged|another backbone's) .*run `albo embed`$"):
        store.digests()


def test_a_missing_part_is_named_and_its_covers_are_embedded_again(folder: Path) -> None:
    fill(create(folder), range(20))
    part = parts_in(folder)[0]
    part.unlink()
    store = Vectors.open(folder)
    with pytest.raises(StaleArtifact, match=rf"{part.name} is missing; run `albo embed`"):
        store.read()
    assert store.drop_damaged() == [
        f"{part} is missing: its covers, 20 of them, have to be embedded again"
    ]
    assert store.digests() == []


def test_a_writer_drops_damaged_parts_and_says_so(folder: Path) -> None:
    fill(create(folder), range(20))
    part = parts_in(folder)[0]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(StaleArtifact, match=rf"{part.name} is damaged .*run `albo embed`"):
        Vectors.open(folder).read()
    store = create(folder)
    with store.writer() as writer:
        assert writer.notes == [
            f"{part} is damaged (checksum): its covers, 20 of them, have to be embedded again"
        ]
        assert store.digests() == []
        writer.add(digests_of(range(20)), look(digests_of(range(20))))
    check(store, digests_of(range(20)))
    assert not part.exists()


def test_no_changed_byte_gives_wrong_numbers(folder: Path) -> None:
    fill(create(folder), range(40))
    part = parts_in(folder)[0]
    sound = part.read_bytes()
    expected = digests_of(range(40))
    store = Vectors.open(folder)
    dice = random.Random(0)  # noqa: S311
    found = 0
    for at in [
        *dice.sample(range(len(sound)), 300),
        *range(200),
        *range(len(sound) - 12, len(sound)),
    ]:
        content = bytearray(sound)
        content[at] ^= 1 << dice.randrange(8)
        part.write_bytes(content)
        try:
            check(store, expected)
        except StaleArtifact:
            found += 1
    assert found > 300


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_a_truncated_part_is_damaged(folder: Path, size: int) -> None:
    fill(create(folder), range(40))
    part = parts_in(folder)[0]
    part.write_bytes(part.read_bytes()[:size])
    with pytest.raises(StaleArtifact, match=f"{part.name} is damaged"):
        Vectors.open(folder).read()
    assert len(Vectors.open(folder).drop_damaged()) == 1


def test_a_part_of_another_store_is_refused(folder: Path) -> None:
    fill(create(folder), range(5))
    other = Vectors.open_or_create(folder.with_name("other"), "lite0", "f" * 64, D, M)
    fill(other, range(5))
    shutil.copy(parts_in(other.folder)[0], parts_in(folder)[0])
    with pytest.raises(StaleArtifact, match=f"not of lite0 {FINGERPRINT}"):
        Vectors.open(folder).read()
    shutil.rmtree(other.folder)
    fill(create(other.folder), range(5, 10))
    shutil.copy(parts_in(other.folder)[0], parts_in(folder)[0])
    with pytest.raises(StaleArtifact, match="its digests are others"):
        Vectors.open(folder).read()


def test_a_reader_follows_the_next_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = create(folder)
    fill(store, range(5))
    stale = store._parts()
    fill(store, range(5, 30))
    assert not (folder / stale[0].file).exists()
    fresh = store._parts()
    answers = [stale, fresh]
    monkeypatch.setattr(Vectors, "_parts", lambda _: answers.pop(0))
    assert store.digests() == digests_of(range(30))


@posix
@pytest.mark.usefixtures("small_parts")
def test_a_reader_under_way_is_not_disturbed_by_a_compaction(folder: Path) -> None:
    store = create(folder)
    fill(store, range(20))
    batches = store.batches()
    seen = list(next(batches)[0])
    fill(store, range(20, 50))
    for digests, _ in batches:
        seen += digests
    assert seen == digests_of(range(20))


def test_leftovers_of_killed_runs_go_with_the_next_writer(folder: Path) -> None:
    store = create(folder)
    fill(store, range(5))
    temporary = folder / ".part-000009-01234567.parquet.77.01234567.tmp"
    unnamed = folder / "part-000009-01234567.parquet"
    strange = folder / "notes.txt"
    for path in (temporary, unnamed, strange):
        path.touch()
    store.read()
    assert unnamed.exists()
    fill(store, [])
    assert not temporary.exists()
    assert not unnamed.exists()
    assert strange.exists()


def write_until_killed(folder: Path, line: int, seed: int) -> None:
    """Add, commit, compact and remove without end; tell each commit that has been acknowledged."""
    room.GROUP_ROWS, room.LARGE_PART, room.MAX_SMALL_PARTS = 16, 64, 3
    dice = random.Random(seed)  # noqa: S311
    number = seed * 100_000
    store = create(folder)
    while True:
        with store.writer() as writer:
            for _ in range(dice.randrange(1, 6)):
                numbers = range(number, number + dice.randrange(1, 12))
                number = numbers.stop
                digests = digests_of(numbers)
                writer.add(digests, look(digests))
                writer.commit()
                os.write(line, b"%d %d\n" % (numbers.start, numbers.stop))


def check_after_kill(folder: Path, told: list[range]) -> None:
    """What was acknowledged is there; whatever is there is right."""
    if not (folder / MANIFEST).exists():
        assert not told
        return
    store = Vectors.open(folder)
    there = store.digests()
    check(store, there)
    assert len(set(there)) == len(there)
    acknowledged = {digest for numbers in told for digest in digests_of(numbers)}
    assert acknowledged <= set(there)


def in_a_fork(act: object, *arguments: object) -> int:
    """Run a function in a child of this process, which has to have one thread only."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            act(*arguments)  # type: ignore[operator]
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            if code:
                import traceback

                traceback.print_exc()
            os._exit(code)
    return process


def kill_writers(folder: Path, times: int) -> None:
    """Kill writers at random moments, and check the store after each."""
    import pyarrow.compute
    import pyarrow.parquet

    # What children import on their way is better there already.
    del pyarrow
    library_versions("numpy")
    look(digests_of([0]))
    dice = random.Random(1)  # noqa: S311
    told: list[range] = []
    for seed in range(times):
        ours, theirs = os.pipe()
        process = in_a_fork(write_until_killed, folder, theirs, seed)
        os.close(theirs)
        with os.fdopen(ours) as lines:
            # One in four is killed while it begins, the others some time after a commit.
            heard = [lines.readline() for _ in range(seed % 4)]
            time.sleep(dice.uniform(0, 0.05))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            told += [range(*map(int, line.split())) for line in [*heard, *lines]]
        checker = in_a_fork(check_after_kill, folder, told)
        if os.waitpid(checker, 0)[1] != 0:
            raise SystemExit(f"the store is damaged after kill {seed}")
    sys.stdout.write(f"{len(told)}\n")


@posix
def test_kill_at_any_moment_loses_nothing_committed(folder: Path) -> None:
    code = "import sys; from tests.store.test_vectors import *; kill_writers(Path(sys.argv[1]), 24)"
    assert int(run_python(code, folder)) > 24
    store = create(folder)
    before = store.digests()
    fill(store, range(3))
    check(store, [*before, *digests_of(range(3))])
    assert {path.name for path in folder.iterdir()} == {
        MANIFEST,
        *(part["file"] for part in read_json(folder / MANIFEST)["parts"]),
    }


def write_in_turns(root: Path, first: int, line: Connection) -> None:
    room.MAX_SMALL_PARTS = 3
    kept = Artifacts(root)
    for turn in range(4):
        with kept.lock("albo embed"):
            store = create(kept.vectors("lite0-01234567"))
            fill(
                store,
                *(range(at, at + 8) for at in range(first + turn * 20, first + turn * 20 + 20, 4)),
            )
    line.send(first)


def test_two_writers_and_a_reader_at_once(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path)
    folder = kept.vectors("lite0-01234567")
    with kept.lock("albo embed"):
        create(folder)
    ours, theirs = PROCESSES.Pipe()
    # Their ranges overlap: what one has written the other leaves out.
    writers = [
        PROCESSES.Process(target=write_in_turns, args=(tmp_path, first, theirs), daemon=True)
        for first in (0, 40)
    ]
    for writer in writers:
        writer.start()
    store = Vectors.open(folder)
    seen: set[Digest] = set()
    reads = 0
    while any(writer.is_alive() for writer in writers):
        digests = store.digests()
        assert seen <= set(digests)
        seen = set(digests)
        check_reading(store)
        reads += 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert sorted([ours.recv(), ours.recv()]) == [0, 40]
    assert reads > 3
    assert set(store.digests()) == set(digests_of(range(124)))
    check(store, store.digests())


def check_reading(store: Vectors) -> None:
    digests, seen = store.read()
    assert len(set(digests)) == len(digests)
    truth = look(digests)
    np.testing.assert_allclose(seen.vector, stored_floats(truth.vector), atol=1e-6)


FULL_DISK = """
import resource, sys
from albo.errors import CannotWrite
from tests.store.test_vectors import *
folder = Path(sys.argv[1])
store = create(folder)
with store.writer() as writer:
    for numbers in (range(20), range(20, 40)):
        writer.add(digests_of(numbers), look(digests_of(numbers)))
        writer.commit()
    largest = max(path.stat().st_size for path in folder.iterdir()) + 300
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
assert len(writer.notes) == 1 and "not merged" in writer.notes[0], writer.notes
check(store, digests_of(range(40)))
many = digests_of(range(40, 400))
try:
    with store.writer() as writer:
        writer.add(many, look(many))
        try:
            writer.commit()
        except CannotWrite as error:
            assert writer.pending == 360
            raise
except CannotWrite as error:
    print(error)
    print(error.__notes__)
check(store, digests_of(range(40)))
"""


@posix
def test_a_full_disk_stops_the_writer_and_keeps_the_store(folder: Path) -> None:
    first, second = run_python(FULL_DISK, folder).splitlines()
    assert first.startswith(f"cannot write {folder}/part-")
    assert "360 embedded covers were lost: cannot write" in second
    check(Vectors.open(folder), digests_of(range(40)))
    assert not list(folder.glob(".*"))
    store = create(folder)
    fill(store, range(40, 400))
    check(store, digests_of(range(400)))


def test_a_part_that_may_not_be_read_is_not_dropped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(create(folder), range(5))

    def closed(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(room, "file_checksum", closed)
    with pytest.raises(AlboError, match=r"cannot read .*Permission denied; mend that"):
        Vectors.open(folder).drop_damaged()
    assert len(Vectors.open(folder)) == 5


def test_nothing_heavy_is_imported_to_know_the_state(folder: Path) -> None:
    fill(create(folder), range(5))
    code = (
        "import sys; from pathlib import Path; from albo.store import Vectors;"
        "store = Vectors.open(Path(sys.argv[1])); store.state; len(store);"
        "print('pyarrow' in sys.modules)"
    )
    assert run_python(code, folder) == "False\n"
