"""Tests of `albo.heads.crossfit`: which covers were learnt, and by which marks they are known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albo.errors import StaleArtifact
from albo.heads import CrossFit, Learnt, load_head, save_head
from tests.heads.test_heads import make_head

if TYPE_CHECKING:
    from pathlib import Path

    from albo.heads import Head

DIGESTS = [bytes([number]) * 32 for number in (7, 3, 9, 1)]
MARKS = [{("name", "ann")}, {("name", "ann"), ("id", "5")}, {("dup", "x")}, set()]


def learnt() -> Learnt:
    return Learnt.of(DIGESTS, MARKS, np.array([40, 40, 7, 8]), np.array([2, 2, 0, 1]))


def with_folds(folds: int = 3) -> Head:
    heads = [make_head(seed) for seed in range(folds)]
    return replace(make_head(9), crossfit=CrossFit.of(learnt(), heads))


def test_a_cover_is_known_by_its_digest_and_by_its_marks() -> None:
    table = learnt()
    assert table.covers == 4
    own = [table.group_of(digest) for digest in DIGESTS]
    assert own[0] == own[1]
    assert len(set(own)) == 3
    assert [int(table.folds[group]) for group in own] == [2, 2, 0, 1]
    assert table.group_of(bytes(32)) is None
    assert table.marked([("name", "ann")]) == {own[0]}
    assert table.marked([("id", "5"), ("dup", "x")]) == {own[0], own[2]}
    # A name is no id, and what nobody bears links nothing.
    assert table.marked([("id", "ann"), ("name", "nobody")]) == set()
    assert sorted(table.covers_of({own[0]})) == sorted(DIGESTS[:2])
    assert table.all_digests() == set(DIGESTS)


def test_folds_are_kept_with_a_head_and_answer_as_they_did(tmp_path: Path) -> None:
    head = with_folds()
    save_head(head, tmp_path)
    loaded = load_head(tmp_path)
    assert loaded.crossfit is not None
    assert loaded.crossfit.folds == 3
    assert loaded.crossfit.learnt.all_digests() == set(DIGESTS)
    features = {"image": np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)}
    for fold in range(3):
        before, after = (one.crossfit.head(fold, one.views) for one in (head, loaded))  # type: ignore[union-attr]
        said = before.predict(features), after.predict(features)
        np.testing.assert_allclose(*said, atol=1e-3)
    # The head itself is kept to the last bit.
    np.testing.assert_array_equal(head.predict(features), loaded.predict(features))


def test_only_what_is_needed_is_read(tmp_path: Path) -> None:
    save_head(with_folds(), tmp_path)
    for file in (*tmp_path.glob("fold-*"), *tmp_path.glob("learnt-*")):
        file.write_bytes(b"damaged")
    loaded = load_head(tmp_path)
    assert loaded.crossfit is not None
    with pytest.raises(StaleArtifact, match=r"checksum of fold-.*albo train --name"):
        loaded.crossfit.head(0, loaded.views)
    with pytest.raises(StaleArtifact, match=r"checksum of learnt-.*albo train --name"):
        _ = loaded.crossfit.learnt


def test_a_head_that_is_replaced_meanwhile_is_said(tmp_path: Path) -> None:
    save_head(with_folds(), tmp_path)
    loaded = load_head(tmp_path)
    save_head(make_head(1), tmp_path)
    assert not list(tmp_path.glob("fold-*"))
    assert loaded.crossfit is not None
    with pytest.raises(StaleArtifact, match="trained anew meanwhile"):
        loaded.crossfit.head(0, loaded.views)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("groups", np.array([0, 1, 2, 3], np.int32)),
        ("folds", np.array([0, 1, 3], np.int32)),
        ("mark_groups", np.array([0], np.int32)),
        ("marks", np.array([0.5, 1.0, 2.0])),
        ("digests", np.zeros((4, 31), np.uint8)),
    ],
)
def test_a_table_that_does_not_fit_is_refused(name: str, array: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=r".+"):
        Learnt.restore({**learnt().arrays(), name: array}, 3)
