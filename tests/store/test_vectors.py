"""Stored vectors: they come back as they were, in the order asked, and no more is read than asked.

What they share with words (parts, manifests, merging) is tested in `test_part_stores`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albo.errors import RuntimeFailed, StaleArtifact
from albo.records import Digest, Embeddings
from albo.store import Vectors
from albo.store.merging import merge_parts
from albo.store.part_files import OpenPart
from tests.store.part_stores import (
    FINGERPRINT,
    VECTORS,
    D,
    M,
    digests_of,
    look,
    parts_in,
    posix,
    run_python,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

create, check = VECTORS.create, VECTORS.check


def fill(store: Vectors, *runs: Iterable[int]) -> None:
    """Add covers in one writer, a commit for each run of numbers."""
    with store.writer() as writer:
        for run in runs:
            digests = digests_of(run)
            writer.add(digests, look(digests, m=store.middle_dimension))
            writer.commit()


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
    store = create(folder, m=m)
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
    fill(create(folder.with_name("flat"), m=0), range(3))
    schema = pq.read_schema(parts_in(folder)[0])
    assert schema.names == ["digest", "vector", "middle"]
    assert schema.field("digest").type == pa.binary(32)
    assert schema.field("vector").type.value_type == pa.float16()
    assert schema.field("vector").type.list_size == D
    assert schema.field("middle").type.list_size == M
    assert pq.read_schema(parts_in(folder.with_name("flat"))[0]).names == ["digest", "vector"]


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
    table = OpenPart.table
    monkeypatch.setattr(
        OpenPart,
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
                merge_parts(store.parts, 3)
            writer = store.writer().__enter__()
        writer.__exit__(None, None, None)
        check(Vectors.open(Path(name)), list(model))


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


@pytest.mark.whole
def test_nothing_heavy_is_imported_to_know_the_state(folder: Path) -> None:
    fill(create(folder), range(5))
    code = (
        "import sys; from pathlib import Path; from albo.store import Vectors;"
        "store = Vectors.open(Path(sys.argv[1])); store.state; len(store);"
        "print('pyarrow' in sys.modules)"
    )
    assert run_python(code, folder) == "False\n"
