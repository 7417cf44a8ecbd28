"""Stored words: what was read is there as it was read, and what failed is tried again.

What they share with vectors (parts, manifests, merging) is tested in `test_part_stores`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albo.records import Digest, Line, Words
from albo.store import WordStore
from albo.store.parts import Parts
from albo.store.words import MAX_LINES, MAX_TEXT
from tests.store.part_stores import (
    BOX,
    FAILED,
    FINGERPRINT,
    WORDS,
    digests_of,
    parts_in,
    says,
    words_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from albo.store.part_files import Part

create, fill, check = WORDS.create, WORDS.fill, WORDS.check


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
        with pytest.raises(ValueError, match="1 readings for 2 covers"):
            writer.add(digests_of([1, 2]), [Words()])
        assert writer.pending == 0
    check(store, [])


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
    assert store.parts.digests() == [good, bad]


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
        assert sorted(store.parts.digests()) == sorted(digests)
        assert store.read(digests) == [says(digest) for digest in digests]


def retry_and_be_interrupted(
    store: WordStore, digests: list[Digest], moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Parts.save
    calls = iter(range(100))

    def interrupted(store: Parts[Any], parts: list[Part]) -> None:
        call = next(calls)
        if call * 2 == moment:
            raise KeyboardInterrupt
        save(store, parts)
        if call * 2 + 1 == moment:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, store.writer() as writer:
        writer.add([digests[0], digests[2]], [says(digests[0]), says(digests[2])])
        patched.setattr(Parts, "save", interrupted)
        writer.commit()
        raise KeyboardInterrupt


operations = st.lists(
    st.tuples(
        st.sampled_from(["read", "fail", "remove", "commit", "leave", "break"]),
        st.lists(st.integers(0, 40), max_size=20),
    ),
    max_size=12,
)


@pytest.mark.whole
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
        stored = store.parts.digests()
        assert len(stored) == len(set(stored)) == len(model)
        assert store.read(list(model)) == list(model.values())
        assert set(store.digests()) == known
        writer = store.writer().__enter__()
        assert writer.known == known
    writer.__exit__(None, None, None)
