"""Stored words: what was read is there as it was read, and what failed is tried again.

What words share with vectors (parts, manifests, merging) is tested with these in `test_vectors`,
and here once more where rows differ in length.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albo.errors import ForeignArtifact, StaleArtifact
from albo.records import Digest, Line, Words
from albo.store import MANIFEST, Artifacts, WordStore, read_json, reader_key, write_manifest
from albo.store import parts as room
from albo.store.words import MAX_LINES, MAX_TEXT
from tests.store.test_vectors import digests_of, in_a_fork, parts_in, posix

if TYPE_CHECKING:
    from collections.abc import Iterable

REPOSITORY = Path(__file__).resolve().parents[2]
FINGERPRINT = "0123456789abcdef" * 4
BOX = (0.0, 0.25, 0.5, 0.25, 0.5, 0.5, 0.0, 0.5)
FAILED = Words(error="the reader gave up")
PROCESSES = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "words" / reader_key("counting", FINGERPRINT)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups and parts so small that a handful of covers makes many."""
    monkeypatch.setattr(room, "GROUP_ROWS", 7)
    monkeypatch.setattr(room, "LARGE_PART", 40)
    monkeypatch.setattr(room, "MAX_SMALL_PARTS", 4)


def create(folder: Path) -> WordStore:
    return WordStore.open_or_create(folder, "counting", FINGERPRINT)


def words_of(*texts: str) -> Words:
    return Words(tuple(Line(text, BOX, 0.5) for text in texts))


def says(digest: Digest) -> Words:
    """What a cover says: its own words, always the same, none on one in five."""
    dice = random.Random(digest)  # noqa: S311
    return words_of(*(f"line {dice.random()}" for _ in range(dice.randrange(5))))


def fill(store: WordStore, *runs: Iterable[int]) -> None:
    """Add covers in one writer, a commit for each run of numbers."""
    with store.writer() as writer:
        for run in runs:
            digests = digests_of(run)
            writer.add(digests, [says(digest) for digest in digests])
            writer.commit()


def check(store: WordStore, expected: list[Digest]) -> None:
    """The store holds exactly these covers, in this order, with their own words."""
    assert store.digests() == expected
    assert store.failed() == {}
    assert len(store) == len(expected)
    assert store.read(expected) == [says(digest) for digest in expected]


def test_an_empty_store_is_a_store(folder: Path) -> None:
    store = create(folder)
    assert (len(store), store.digests(), store.failed()) == (0, [], {})
    assert store.read(digests_of([1])) == [None]
    assert store.state == WordStore.open(folder).state


@pytest.mark.usefixtures("small_parts")
def test_words_come_back_in_the_order_asked(folder: Path) -> None:
    store = create(folder)
    fill(store, range(20), range(20, 30))
    wanted = digests_of([7, 29, 99, 0, 7])
    found = WordStore.open(folder, FINGERPRINT).read(wanted)
    assert found == [None if digest == wanted[2] else says(digest) for digest in wanted]
    check(store, digests_of(range(30)))


def test_lines_keep_their_boxes_and_confidences(folder: Path) -> None:
    first = Line("Θαλασσογραφία", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), 0.98)
    second = Line("椎名林檎 🎵 e\u0301 ", tuple(map(float, range(8))), 0.0)
    store = create(folder)
    with store.writer() as writer:
        writer.add(digests_of([1, 2]), [Words((first, second)), Words()])
    said, nothing = store.read(digests_of([1, 2]))
    assert nothing == Words()
    assert [line.text for line in said.lines] == [first.text, second.text]
    for line, was in zip(said.lines, (first, second), strict=True):
        assert line.box == pytest.approx(was.box, abs=1e-7)
        assert line.confidence == pytest.approx(was.confidence, abs=1e-7)


def test_file_has_the_columns_of_the_contract(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fill(create(folder), range(3))
    schema = pq.read_schema(parts_in(folder)[0])
    assert schema.names == ["digest", "text", "box", "confidence", "error"]
    assert schema.field("digest").type == pa.binary(32)
    assert schema.field("text").type.value_type == pa.string()
    assert schema.field("box").type.value_type.list_size == 8
    assert schema.field("box").type.value_type.value_type == pa.float32()
    assert schema.field("confidence").type.value_type == pa.float32()
    assert schema.field("error").type == pa.string()


def test_hostile_text_is_stored_as_it_is_but_for_its_length(folder: Path) -> None:
    texts = ["\x1b[2Jgone\r\n\0", "\u202eabc", "", "x" * 10_000, "half \ud83d a pair"]
    store = create(folder)
    with store.writer() as writer:
        writer.add(digests_of([1]), [words_of(*texts)])
        writer.add(digests_of([2]), [words_of(*["line"] * 10_000)])
        writer.add(digests_of([3]), [Words(error="y" * 10_000)])
    odd, many, failed = store.read(digests_of([1, 2, 3]))
    assert [line.text for line in odd.lines] == [*texts[:3], "x" * MAX_TEXT, "half ? a pair"]
    assert len(many.lines) == MAX_LINES
    assert failed.error == "y" * MAX_TEXT


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
def test_numbers_that_are_none_are_a_failed_reading(folder: Path, number: float) -> None:
    store = create(folder)
    with store.writer() as writer:
        writer.add(digests_of([1]), [Words((Line("a", (number, *BOX[1:]), 0.5),))])
        writer.add(digests_of([2]), [Words((Line("a", BOX, number),))])
    assert set(store.failed()) == set(digests_of([1, 2]))
    assert "not finite" in store.failed()[digests_of([1])[0]]


def test_what_no_reader_should_give_is_refused_whole(folder: Path) -> None:
    store = create(folder)
    with store.writer() as writer:
        with pytest.raises(ValueError, match="8 numbers"):
            writer.add(digests_of([1, 2]), [words_of("a"), Words((Line("a", (0.0,), 0.5),))])
        with pytest.raises(ValueError, match="32 bytes"):
            writer.add([b"1"], [Words()])
        with pytest.raises(ValueError, match="shorter"):
            writer.add(digests_of([1, 2]), [Words()])
        assert writer.pending == 0
    check(store, [])


def test_an_error_loses_nothing_that_was_added_after_a_commit(folder: Path) -> None:
    store = create(folder)
    first, second = digests_of([1, 2])

    def work() -> None:
        with store.writer() as writer:
            writer.add([first], [says(first)])
            writer.commit()
            writer.add([second], [says(second)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    check(store, [first, second])


# --- what failed ---------------------------------------------------------------------------------


def test_a_failed_reading_counts_for_nothing_and_is_replaced(folder: Path) -> None:
    store = create(folder)
    good, bad = digests_of([1, 2])
    with store.writer() as writer:
        writer.add([good, bad], [says(good), FAILED])
        assert writer.known == {good, bad}
    assert store.digests() == [good]
    assert len(store) == 1
    assert store.failed() == {bad: FAILED.error}
    assert store.read([bad, good]) == [FAILED, says(good)]
    before = store.state

    with store.writer() as writer:
        assert writer.known == {good}
        assert writer.failed == {bad}
        writer.add([good, bad], [words_of("not read twice"), Words(error="again")])
    assert store.failed() == {bad: "again"}
    assert store.state == before

    with store.writer() as writer:
        writer.add([bad], [says(bad)])
    assert store.state != before
    check(store, [good, bad])
    assert room.PartStore.digests(store) == [good, bad]


def test_a_retry_is_kept_whenever_it_is_interrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether Ctrl-C comes before or after a manifest: nothing is lost, and nothing twice."""
    digests = digests_of(range(3))
    for moment in range(6):
        store = create(folder / str(moment))
        with store.writer() as writer:
            writer.add(digests[:2], [FAILED, says(digests[1])])
        with pytest.raises(KeyboardInterrupt):
            retry_and_be_interrupted(store, digests, moment, monkeypatch)
        assert sorted(room.PartStore.digests(store)) == sorted(digests)
        assert store.read(digests) == [says(digest) for digest in digests]


def retry_and_be_interrupted(
    store: WordStore, digests: list[Digest], moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = WordStore._save
    calls = iter(range(100))

    def interrupted(store: WordStore, parts: list[room.Part]) -> None:
        call = next(calls)
        if call * 2 == moment:
            raise KeyboardInterrupt
        save(store, parts)
        if call * 2 + 1 == moment:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, store.writer() as writer:
        writer.add([digests[0], digests[2]], [says(digests[0]), says(digests[2])])
        patched.setattr(WordStore, "_save", interrupted)
        writer.commit()
        raise KeyboardInterrupt


def test_state_tells_which_covers_have_been_read(folder: Path) -> None:
    store = create(folder)
    empty = store.state
    fill(store, [1, 2], [3])
    full = store.state
    other = create(folder.with_name("other"))
    fill(other, [3], [2, 1])
    assert other.state == full != empty
    assert store.remove(digests_of([2, 9])) == 1
    assert store.state not in {full, empty}
    fill(store, [2])
    assert store.state == full


operations = st.lists(
    st.tuples(
        st.sampled_from(["read", "fail", "remove", "commit", "leave", "break"]),
        st.lists(st.integers(0, 40), max_size=20),
    ),
    max_size=12,
)


@pytest.mark.usefixtures("small_parts")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations)
def test_store_equals_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[int]]]
) -> None:
    store = create(tmp_path_factory.mktemp("words"))
    model: dict[Digest, Words] = {}
    known: set[Digest] = set()
    writer = store.writer().__enter__()
    for step, numbers in steps:
        digests = digests_of(numbers)
        if step in {"read", "fail"}:
            said = [FAILED if step == "fail" else says(digest) for digest in digests]
            writer.add(digests, said)
            model |= {d: w for d, w in zip(digests, said, strict=True) if d not in known}
            known |= set(digests)
            continue
        if step == "commit":
            writer.commit()
            continue
        writer.__exit__(*((OSError, OSError(), None) if step == "break" else (None,) * 3))
        if step == "remove":
            assert store.remove(digests) == len(model.keys() & set(digests))
            model = {digest: said for digest, said in model.items() if digest not in set(digests)}
        known = {digest for digest, said in model.items() if not said.error}
        stored = room.PartStore.digests(store)
        assert len(stored) == len(set(stored)) == len(model)
        assert store.read(list(model)) == list(model.values())
        assert set(store.digests()) == known
        writer = store.writer().__enter__()
        assert writer.known == known
    writer.__exit__(None, None, None)


# --- what is damaged or foreign ------------------------------------------------------------------


def test_missing_store_names_the_command(folder: Path) -> None:
    with pytest.raises(StaleArtifact, match=r"there is no word store in .*; run `albo words`$"):
        WordStore.open(folder)


def test_words_of_another_reader_are_refused(folder: Path) -> None:
    fill(create(folder), range(3))
    with pytest.raises(ForeignArtifact, match=f"fingerprint {FINGERPRINT}, not ffff"):
        WordStore.open(folder, "f" * 64)
    for reader, fingerprint in (("counting", "f" * 64), ("other", FINGERPRINT)):
        with pytest.raises(ForeignArtifact, match=r"another reader's .*run `albo words`"):
            WordStore.open_or_create(folder, reader, fingerprint)
    manifest = read_json(folder / MANIFEST)
    write_manifest(folder, manifest | {"format": 99})
    with pytest.raises(ForeignArtifact, match="newer albo"):
        create(folder)
    write_manifest(folder, manifest | {"reader": 3})
    with pytest.raises(StaleArtifact, match=r"damaged .*run `albo words`$"):
        WordStore.open(folder)


def test_a_lost_manifest_is_made_anew_from_the_parts(folder: Path) -> None:
    fill(create(folder), range(20))
    fill(create(folder), range(20, 23))
    (folder / MANIFEST).write_bytes(b"{}")
    check(create(folder), digests_of(range(23)))


def test_damaged_words_are_dropped_and_read_again(folder: Path) -> None:
    fill(create(folder), range(20))
    part = parts_in(folder)[0]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    store = create(folder)
    with store.writer() as writer:
        assert writer.notes == [
            f"{part} is damaged (checksum): its covers, 20 of them, have to be read again"
        ]
        assert writer.known == set()
    part.unlink(missing_ok=True)
    fill(store, range(20))
    parts_in(folder)[0].unlink()
    with pytest.raises(StaleArtifact, match=r"is missing; run `albo words`, which reads the"):
        store.read(digests_of([1]))


def test_no_changed_byte_gives_wrong_words(folder: Path) -> None:
    fill(create(folder), range(40))
    part = parts_in(folder)[0]
    sound = part.read_bytes()
    expected = digests_of(range(40))
    store = WordStore.open(folder)
    dice = random.Random(0)  # noqa: S311
    found = 0
    for at in [*dice.sample(range(len(sound)), 300), *range(len(sound) - 12, len(sound))]:
        content = bytearray(sound)
        content[at] ^= 1 << dice.randrange(8)
        part.write_bytes(content)
        try:
            check(store, expected)
        except StaleArtifact:
            found += 1
    assert found > 150


# --- several at once -----------------------------------------------------------------------------


def write_until_killed(folder: Path, line: int, seed: int) -> None:
    """Add, fail, retry and merge without end; tell each commit that has been acknowledged."""
    room.GROUP_ROWS, room.LARGE_PART, room.MAX_SMALL_PARTS = 16, 64, 3
    dice = random.Random(seed)  # noqa: S311
    number = seed * 100_000
    store = create(folder)
    while True:
        with store.writer() as writer:
            again = list(writer.failed)
            writer.add(again, [says(digest) for digest in again])
            for _ in range(dice.randrange(1, 6)):
                numbers = range(number, number + dice.randrange(1, 12))
                number = numbers.stop
                digests = digests_of(numbers)
                said = [FAILED if dice.random() < 0.2 else says(digest) for digest in digests]
                writer.add(digests, said)
                writer.commit()
                read = [at for at, one in zip(numbers, said, strict=True) if not one.error]
                os.write(line, b" ".join(b"%d" % at for at in read) + b"\n")


def check_after_kill(folder: Path, told: list[int]) -> None:
    if not (folder / MANIFEST).exists():
        assert not told
        return
    store = WordStore.open(folder)
    everything = room.PartStore.digests(store)
    assert len(set(everything)) == len(everything)
    there = store.digests()
    assert store.read(there) == [says(digest) for digest in there]
    assert set(digests_of(told)) <= set(there)


def kill_writers(folder: Path, times: int) -> None:
    """Kill writers at random moments, and check the store after each."""
    import pyarrow.compute
    import pyarrow.parquet

    del pyarrow
    dice = random.Random(1)  # noqa: S311
    told: list[int] = []
    for seed in range(times):
        ours, theirs = os.pipe()
        process = in_a_fork(write_until_killed, folder, theirs, seed)
        os.close(theirs)
        with os.fdopen(ours) as lines:
            heard = [lines.readline() for _ in range(seed % 4)]
            time.sleep(dice.uniform(0, 0.05))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            told += [int(word) for line in [*heard, *lines] for word in line.split()]
        checker = in_a_fork(check_after_kill, folder, told)
        if os.waitpid(checker, 0)[1] != 0:
            raise SystemExit(f"the store is damaged after kill {seed}")
    sys.stdout.write(f"{len(told)}\n")


@posix
def test_kill_at_any_moment_loses_nothing_committed(folder: Path) -> None:
    code = "import sys; from tests.store.test_words import *; kill_writers(Path(sys.argv[1]), 16)"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, str(folder)],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 16
    fill(create(folder), range(3))
    assert {path.name for path in folder.iterdir()} == {
        MANIFEST,
        *(part["file"] for part in read_json(folder / MANIFEST)["parts"]),
    }


def write_in_turns(root: Path, first: int) -> None:
    room.MAX_SMALL_PARTS = 3
    kept = Artifacts(root)
    for turn in range(4):
        with kept.lock("albo words"):
            store = create(kept.words("counting-01234567"))
            start = first + turn * 20
            fill(store, *(range(at, at + 8) for at in range(start, start + 20, 4)))


def test_two_writers_and_a_reader_at_once(tmp_path: Path) -> None:
    store = create(Artifacts(tmp_path).words("counting-01234567"))
    writers = [
        PROCESSES.Process(target=write_in_turns, args=(tmp_path, first), daemon=True)
        for first in (0, 40)
    ]
    for writer in writers:
        writer.start()
    seen: set[Digest] = set()
    reads = 0
    while any(writer.is_alive() for writer in writers):
        digests = store.digests()
        assert seen <= set(digests)
        seen = set(digests)
        assert store.read(digests) == [says(digest) for digest in digests]
        reads += 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert reads > 3
    assert set(store.digests()) == set(digests_of(range(124)))
