"""The contract of the stores of parts, held by vectors, words and miniatures alike.

What was committed is there, whole and in order, whatever happens to writers.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from albo.errors import AlboError, ForeignArtifact, StaleArtifact
from albo.store import (
    MANIFEST,
    Artifacts,
    library_versions,
    merging,
    part_files,
    parts,
    read_json,
    write_manifest,
)
from albo.store.parts import Parts
from tests.store.part_stores import (
    BENCHES,
    FINGERPRINT,
    OTHER,
    Bench,
    digests_of,
    in_a_fork,
    look,
    parts_in,
    posix,
    run_python,
)

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from albo.records import Digest
    from albo.store.part_files import Part

PROCESSES = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")


@pytest.fixture(params=list(BENCHES))
def bench(request: pytest.FixtureRequest) -> Bench:
    """Every test with this holds for all stores."""
    return BENCHES[request.param]


# --- adding, merging, removing -------------------------------------------------------------------


def test_a_cover_is_stored_once(bench: Bench, folder: Path) -> None:
    store = bench.create(folder)
    bench.fill(store, [1, 2, 2, 1], [2, 3], [3])
    assert store.digests() == digests_of([1, 2, 3])
    bench.fill(store, [1, 4])
    bench.check(store, digests_of([1, 2, 3, 4]))


def test_state_tells_which_covers_there_are(bench: Bench, folder: Path) -> None:
    store = bench.create(folder)
    empty = store.state
    bench.fill(store, [1, 2], [3])
    full = store.state
    assert full != empty
    other = bench.create(folder.with_name("other"))
    bench.fill(other, [3], [2, 1])
    assert other.state == full
    assert store.remove(digests_of([2, 9])) == 1
    assert store.state not in {full, empty}
    bench.fill(store, [2])
    assert store.state == full


@pytest.mark.parametrize("committed", [0, 1])
def test_an_exception_loses_nothing_that_was_added(
    bench: Bench, folder: Path, committed: int
) -> None:
    store = bench.create(folder)
    digests = digests_of(range(4))

    def work() -> None:
        with store.writer() as writer:
            writer.add(digests[:committed], bench.content(digests[:committed]))
            writer.commit()
            writer.add(digests[committed:], bench.content(digests[committed:]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    bench.check(store, digests)


def test_an_interrupted_commit_stores_nothing_twice(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.create(folder)
    digests = digests_of(range(4))
    save = Parts.save

    def save_and_be_interrupted(store: Parts[Any], parts: list[Part]) -> None:
        save(store, parts)
        raise KeyboardInterrupt

    def work() -> None:
        with store.writer() as writer:
            writer.add(digests, bench.content(digests))
            monkeypatch.setattr(Parts, "save", save_and_be_interrupted)
            writer.commit()

    with pytest.raises(KeyboardInterrupt):
        work()
    bench.check(store, digests)


def test_parts_of_a_run_become_one(bench: Bench, folder: Path) -> None:
    store = bench.create(folder)
    bench.fill(store, range(10), range(10, 30), range(30, 31))
    assert len(parts_in(folder)) == 1
    bench.check(store, digests_of(range(31)))


@pytest.mark.usefixtures("small_parts")
def test_large_parts_are_left_alone(bench: Bench, folder: Path) -> None:
    store = bench.create(folder)
    bench.fill(store, range(40))
    large = parts_in(folder)[0]
    before = large.stat().st_ino
    for number in range(40, 70):
        bench.fill(store, [number])
    assert large.stat().st_ino == before
    assert len(parts_in(folder)) <= 6
    bench.check(store, digests_of(range(70)))


@pytest.mark.usefixtures("small_parts")
def test_a_long_run_does_not_pile_up_parts(bench: Bench, folder: Path) -> None:
    store = bench.create(folder)
    with store.writer() as writer:
        for number in range(60):
            digests = digests_of([number])
            writer.add(digests, bench.content(digests))
            writer.commit()
            assert len(parts_in(folder)) <= 4 + 60 // 40 + 1
    bench.check(store, digests_of(range(60)))


@pytest.mark.usefixtures("small_parts")
def test_removing_writes_only_the_parts_concerned(bench: Bench, folder: Path) -> None:
    store = bench.create(folder)
    bench.fill(store, range(45))
    bench.fill(store, range(45, 90))
    bench.fill(store, range(90, 95))
    first, second, third = read_json(folder / MANIFEST)["parts"]
    assert store.remove(digests_of([50, 51, 93, 94, 777])) == 4
    kept = [number for number in range(95) if number not in {50, 51, 93, 94}]
    bench.check(store, digests_of(kept))
    names = {path.name for path in parts_in(folder)}
    assert first["file"] in names
    assert not names & {second["file"], third["file"]}
    assert store.remove(digests_of(range(90, 95))) == 3
    assert len(parts_in(folder)) == 2
    assert store.remove(digests_of([777])) == 0
    assert store.remove(digests_of(range(95))) == 88
    bench.check(store, [])


# --- what is missing, foreign or damaged ---------------------------------------------------------


def test_missing_store_names_the_command(bench: Bench, folder: Path) -> None:
    said = rf"there is no {bench.kind.name} in .*; run `{bench.kind.mend}`$"
    with pytest.raises(StaleArtifact, match=said):
        bench.open(folder)


def test_a_store_of_another_owner_is_refused(bench: Bench, folder: Path) -> None:
    bench.fill(bench.create(folder), range(3))
    with pytest.raises(ForeignArtifact, match=f"fingerprint {FINGERPRINT}, not {OTHER}"):
        bench.open(folder, OTHER)
    before = (folder / MANIFEST).read_bytes()
    said = rf"another {bench.kind.owner}'s .*run `{bench.kind.mend}`"
    for create in bench.create_as_others(folder):
        with pytest.raises(ForeignArtifact, match=said):
            create()
    assert (folder / MANIFEST).read_bytes() == before
    bench.check(bench.open(folder), digests_of(range(3)))


def test_a_store_replaced_under_a_reader_is_noticed(bench: Bench, folder: Path) -> None:
    store = bench.create(folder)
    shutil.rmtree(folder)
    bench.create(folder, OTHER)
    with pytest.raises(ForeignArtifact, match=f"another {bench.kind.owner}'s"):
        store.digests()
    with pytest.raises(ForeignArtifact, match=f"another {bench.kind.owner}'s"):
        store.read([])


def test_a_newer_store_is_not_overwritten(bench: Bench, folder: Path) -> None:
    bench.fill(bench.create(folder), range(3))
    manifest = read_json(folder / MANIFEST)
    write_manifest(folder, manifest | {"format": 99})
    with pytest.raises(ForeignArtifact, match="newer albo"):
        bench.create(folder)
    assert len(parts_in(folder)) == 1


@pytest.mark.parametrize("damage", [None, b"", b"{}", b"garbage"])
@pytest.mark.usefixtures("small_parts")
def test_a_lost_manifest_is_made_anew_from_the_parts(
    bench: Bench, folder: Path, damage: bytes | None
) -> None:
    store = bench.create(folder)
    bench.fill(store, range(45))
    bench.fill(store, range(45, 50))
    bench.fill(store, range(50, 52))
    state = store.state
    lost = parts_in(folder)[2]
    if damage is None:
        (folder / MANIFEST).unlink()
    else:
        (folder / MANIFEST).write_bytes(damage)
    with pytest.raises(StaleArtifact, match=rf"run `{bench.kind.mend}`$"):
        bench.open(folder)
    again = bench.create(folder)
    assert again.state == state
    bench.check(again, digests_of(range(52)))
    (folder / MANIFEST).unlink()
    content = bytearray(lost.read_bytes())
    content[content.index(digests_of([51])[0])] ^= 1
    lost.write_bytes(content)
    bench.check(bench.create(folder), digests_of(range(50)))


def test_a_lost_manifest_does_not_double_what_a_killed_compaction_left(
    bench: Bench, folder: Path
) -> None:
    store = bench.create(folder)
    bench.fill(store, range(10))
    small = parts_in(folder)[0]
    copy = small.read_bytes()
    bench.fill(store, range(10, 15))
    assert len(parts_in(folder)) == 2
    bench.fill(store, range(15, 25))
    assert not small.exists()
    small.write_bytes(copy)
    (folder / MANIFEST).unlink()
    bench.check(bench.create(folder), digests_of(range(25)))


PART = {"file": "part-000001-01234567.parquet", "rows": 1, "digest_sum": "0", "checksum": ""}


@pytest.mark.parametrize(
    ("bench", "wrong"),
    [
        pytest.param(bench, wrong, id=f"{bench.name}-{wrong}")
        for bench in BENCHES.values()
        for wrong in (
            *bench.manifests_of_no_store,
            {"parts": 3},
            {"parts": [{}]},
            {"parts": [PART | {"file": "../x"}]},
            {"parts": [PART | {"rows": -1}]},
        )
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    bench: Bench, folder: Path, wrong: dict[str, object]
) -> None:
    store = bench.create(folder)
    write_manifest(folder, read_json(folder / MANIFEST) | wrong)
    said = rf"damaged .*run `{bench.kind.mend}`$"
    with pytest.raises(StaleArtifact, match=said):
        store.digests()
    if "parts" not in wrong:
        with pytest.raises(StaleArtifact, match=said):
            bench.open(folder)


def test_a_missing_part_is_named_and_its_covers_are_done_again(bench: Bench, folder: Path) -> None:
    bench.fill(bench.create(folder), range(20))
    part = parts_in(folder)[0]
    part.unlink()
    store = bench.open(folder)
    said = rf"{part.name} is missing; run `{bench.kind.mend}`, which {bench.kind.does} the"
    with pytest.raises(StaleArtifact, match=said):
        store.read(digests_of([1]))
    assert store.parts.drop_damaged() == [
        f"{part} is missing: its covers, 20 of them, have to be {bench.kind.done} again"
    ]
    assert store.digests() == []


def test_a_writer_drops_damaged_parts_and_says_so(bench: Bench, folder: Path) -> None:
    bench.fill(bench.create(folder), range(20))
    part = parts_in(folder)[0]
    content = bytearray(part.read_bytes())
    content[content.index(digests_of([7])[0])] ^= 1
    part.write_bytes(content)
    said = rf"{part.name} is damaged .*run `{bench.kind.mend}`"
    with pytest.raises(StaleArtifact, match=said):
        bench.open(folder).read(digests_of(range(20)))
    store = bench.create(folder)
    with store.writer() as writer:
        assert writer.notes == [
            f"{part} is damaged (checksum): its covers, 20 of them, have to be"
            f" {bench.kind.done} again"
        ]
        assert writer.known == set()
        assert store.digests() == []
        writer.add(digests_of(range(20)), bench.content(digests_of(range(20))))
    bench.check(store, digests_of(range(20)))
    assert not part.exists()


@pytest.mark.whole
def test_no_changed_byte_gives_wrong_rows(bench: Bench, folder: Path) -> None:
    bench.fill(bench.create(folder), range(40))
    part = parts_in(folder)[0]
    sound = part.read_bytes()
    expected = digests_of(range(40))
    store = bench.open(folder)
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
            bench.check(store, expected)
        except StaleArtifact:
            found += 1
    assert found > bench.least_found


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_a_truncated_part_is_damaged(bench: Bench, folder: Path, size: int) -> None:
    bench.fill(bench.create(folder), range(40))
    part = parts_in(folder)[0]
    part.write_bytes(part.read_bytes()[:size])
    with pytest.raises(StaleArtifact, match=f"{part.name} is damaged"):
        bench.open(folder).read(digests_of([1]))
    assert len(bench.open(folder).parts.drop_damaged()) == 1


def test_a_part_of_another_store_is_refused(bench: Bench, folder: Path) -> None:
    bench.fill(bench.create(folder), range(5))
    other = bench.create(folder.with_name("other"), OTHER)
    bench.fill(other, range(5))
    shutil.copy(parts_in(other.folder)[0], parts_in(folder)[0])
    with pytest.raises(StaleArtifact, match=f"not of {bench.identity}"):
        bench.open(folder).read(digests_of([1]))
    shutil.rmtree(other.folder)
    bench.fill(bench.create(other.folder), range(5, 10))
    shutil.copy(parts_in(other.folder)[0], parts_in(folder)[0])
    with pytest.raises(StaleArtifact, match="its digests are others"):
        bench.open(folder).read(digests_of([1]))


def test_a_part_that_may_not_be_read_is_not_dropped(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fill(bench.create(folder), range(5))

    def closed(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(parts, "file_checksum", closed)
    with pytest.raises(AlboError, match=r"cannot read .*Permission denied; mend that"):
        bench.open(folder).parts.drop_damaged()
    assert len(bench.open(folder)) == 5


def test_leftovers_of_killed_runs_go_with_the_next_writer(bench: Bench, folder: Path) -> None:
    store = bench.create(folder)
    bench.fill(store, range(5))
    temporary = folder / ".part-000009-01234567.parquet.77.01234567.tmp"
    unnamed = folder / "part-000009-01234567.parquet"
    strange = folder / "notes.txt"
    for path in (temporary, unnamed, strange):
        path.touch()
    store.read([])
    assert unnamed.exists()
    bench.fill(store, [])
    assert not temporary.exists()
    assert not unnamed.exists()
    assert strange.exists()


# --- several at once -----------------------------------------------------------------------------


def test_a_reader_follows_the_next_manifest(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.create(folder)
    bench.fill(store, range(5))
    stale = store.parts.listed()
    bench.fill(store, range(5, 30))
    assert not (folder / stale[0].file).exists()
    fresh = store.parts.listed()
    answers = [stale, fresh]
    monkeypatch.setattr(Parts, "listed", lambda _: answers.pop(0))
    assert store.digests() == digests_of(range(30))


def write_until_killed(bench: Bench, folder: Path, line: int, seed: int) -> None:
    """Add, commit and merge without end; tell each commit that has been acknowledged."""
    part_files.GROUP_ROWS, merging.LARGE_PART, merging.MAX_SMALL_PARTS = 16, 64, 3
    dice = random.Random(seed)  # noqa: S311
    number = seed * 100_000
    store = bench.create(folder)
    while True:
        with store.writer() as writer:
            for _ in range(dice.randrange(1, 6)):
                numbers = range(number, number + dice.randrange(1, 12))
                number = numbers.stop
                there = bench.add_at_random(writer, numbers, dice)
                writer.commit()
                os.write(line, b" ".join(b"%d" % one for one in there) + b"\n")


def check_after_kill(bench: Bench, folder: Path, told: list[int]) -> None:
    """What was acknowledged is there; whatever is there is right."""
    if not (folder / MANIFEST).exists():
        assert not told
        return
    store = bench.open(folder)
    rows = store.parts.digests()
    assert len(set(rows)) == len(rows)
    there = store.digests()
    assert len(set(there)) == len(there)
    bench.check_rows(store, there)
    assert set(digests_of(told)) <= set(there)


def kill_writers(bench: Bench, folder: Path) -> None:
    """Kill writers at random moments, and check the store after each."""
    import pyarrow.compute
    import pyarrow.parquet

    # What children import on their way is better there already.
    del pyarrow
    library_versions("numpy")
    look(digests_of([0]))
    dice = random.Random(1)  # noqa: S311
    told: list[int] = []
    commits = 0
    for seed in range(bench.kills):
        ours, theirs = os.pipe()
        process = in_a_fork(write_until_killed, bench, folder, theirs, seed)
        os.close(theirs)
        with os.fdopen(ours) as lines:
            # One in four is killed while it begins, the others some time after a commit.
            heard = [lines.readline() for _ in range(seed % 4)]
            time.sleep(dice.uniform(0, 0.05))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            acknowledged = [*heard, *lines]
            commits += len(acknowledged)
            told += [int(word) for line in acknowledged for word in line.split()]
        checker = in_a_fork(check_after_kill, bench, folder, told)
        if os.waitpid(checker, 0)[1] != 0:
            raise SystemExit(f"the store is damaged after kill {seed}")
    sys.stdout.write(f"{commits}\n")


@pytest.mark.whole
@posix
def test_kill_at_any_moment_loses_nothing_committed(bench: Bench, folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.store.test_part_stores import *;"
        "kill_writers(BENCHES[sys.argv[1]], Path(sys.argv[2]))"
    )
    assert int(run_python(code, bench.name, folder)) > bench.kills
    store = bench.create(folder)
    before = store.digests()
    bench.fill(store, range(-3, 0))
    assert store.digests() == [*before, *digests_of(range(-3, 0))]
    bench.check_rows(store, store.digests())
    assert {path.name for path in folder.iterdir()} == {
        MANIFEST,
        *(part["file"] for part in read_json(folder / MANIFEST)["parts"]),
    }


def write_in_turns(name: str, root: Path, first: int, line: Connection) -> None:
    merging.MAX_SMALL_PARTS = 3
    bench, kept = BENCHES[name], Artifacts(root)
    for turn in range(4):
        with kept.lock(bench.kind.mend):
            store = bench.create(bench.folder(kept))
            start = first + turn * 20
            bench.fill(store, *(range(at, at + 8) for at in range(start, start + 20, 4)))
    line.send(first)


@pytest.mark.whole
def test_two_writers_and_a_reader_at_once(bench: Bench, tmp_path: Path) -> None:
    kept = Artifacts(tmp_path)
    folder = bench.folder(kept)
    with kept.lock(bench.kind.mend):
        bench.create(folder)
    ours, theirs = PROCESSES.Pipe()
    # Their ranges overlap: what one has written the other leaves out.
    writers = [
        PROCESSES.Process(
            target=write_in_turns, args=(bench.name, tmp_path, first, theirs), daemon=True
        )
        for first in (0, 40)
    ]
    for writer in writers:
        writer.start()
    store = bench.open(folder)
    seen: set[Digest] = set()
    reads = 0
    while any(writer.is_alive() for writer in writers):
        digests = store.digests()
        assert seen <= set(digests)
        assert len(set(digests)) == len(digests)
        seen = set(digests)
        bench.check_beside_a_writer(store, digests)
        reads += 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert sorted([ours.recv(), ours.recv()]) == [0, 40]
    assert reads > 3
    assert set(store.digests()) == set(digests_of(range(124)))
    bench.check(store, store.digests())


FULL_DISK = """
import resource, sys
from pathlib import Path
from albo.errors import CannotWrite
from tests.store.part_stores import *
bench, folder = BENCHES[sys.argv[1]], Path(sys.argv[2])
store = bench.create(folder)
with store.writer() as writer:
    for numbers in (range(20), range(20, 40)):
        writer.add(digests_of(numbers), bench.content(digests_of(numbers)))
        writer.commit()
    largest = max(path.stat().st_size for path in folder.iterdir()) + 300
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
assert len(writer.notes) == 1 and "not merged" in writer.notes[0], writer.notes
bench.check(store, digests_of(range(40)))
many = digests_of(range(40, 400))
try:
    with store.writer() as writer:
        writer.add(many, bench.content(many))
        try:
            writer.commit()
        except CannotWrite as error:
            assert writer.pending == 360
            raise
except CannotWrite as error:
    print(error)
    print(error.__notes__)
bench.check(store, digests_of(range(40)))
"""


@pytest.mark.whole
@posix
def test_a_full_disk_stops_the_writer_and_keeps_the_store(bench: Bench, folder: Path) -> None:
    first, second = run_python(FULL_DISK, bench.name, folder).splitlines()
    assert first.startswith(f"cannot write {folder}/part-")
    assert f"360 {bench.kind.done} covers were lost: cannot write" in second
    bench.check(bench.open(folder), digests_of(range(40)))
    assert not list(folder.glob(".*"))
    store = bench.create(folder)
    bench.fill(store, range(40, 400))
    bench.check(store, digests_of(range(400)))
