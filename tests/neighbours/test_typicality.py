"""Typicality: by hand, of genres that stand apart, of genres that do not, and without one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albo.neighbours import GenreMeans, Standing, standing

if TYPE_CHECKING:
    from albo.records import Doubles, Floats, Ints


def unit(rows: object) -> Floats:
    array = np.asarray(rows, np.float64)
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


def means_of(vectors: Floats, labels: Ints, genres: int) -> GenreMeans:
    return GenreMeans.of([(labels, vectors)], genres, vectors.shape[1])


def own_of(vectors: Floats, labels: Ints, genre: int, groups: Ints | None = None) -> Doubles:
    """Say how typical a genre's covers are of it, each in a group of its own by default."""
    own = labels == genre
    among = np.arange(len(labels)) if groups is None else groups
    means = means_of(vectors, labels, int(labels.max()) + 1)
    return means.own_typicality(genre, vectors[own], among[own])[:, genre]


# Two covers a genre: the genres' mean vectors are (0.8, 0.4) and (-0.3, 0.9).
PLANE = np.array([[1, 0], [0.6, 0.8], [0, 1], [-0.6, 0.8]], np.float32)
PLANE_LABELS = np.array([0, 0, 1, 1])


def test_typicality_by_hand() -> None:
    means = means_of(PLANE, PLANE_LABELS, 2)
    np.testing.assert_allclose(means.sums, [[1.6, 0.8], [-0.6, 1.8]], atol=1e-6)
    assert means.counts.tolist() == [2, 2]
    found = means.typicality(np.array([[1, 0], [0, -1]], np.float32))
    # Cosines 0.8 and -0.3, whose mean is 0.25; then -0.4 and -0.9, whose mean is -0.65.
    np.testing.assert_allclose(found, [[0.55, -0.55], [0.25, -0.25]], atol=1e-6)


def test_a_genres_own_covers_by_hand() -> None:
    means = means_of(PLANE, PLANE_LABELS, 2)
    found = means.own_typicality(0, PLANE[:2], np.array([0, 1]))
    # Each to the other 0.6; to the other genre -0.3, and 0.6 * -0.3 + 0.8 * 0.9 = 0.54.
    np.testing.assert_allclose(found, [[0.45, -0.45], [0.03, -0.03]], atol=1e-6)


def test_three_genres_are_held_against_their_average() -> None:
    vectors = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    found = means_of(vectors, np.arange(3), 3).typicality(vectors[:1])
    np.testing.assert_allclose(found, [[2 / 3, -1 / 3, -1 / 3]], atol=1e-6)


def test_what_all_covers_have_in_common_is_taken_off() -> None:
    # A third axis that all covers share raises every cosine, and sets no genre apart.
    rows = np.concatenate([PLANE, np.full((4, 1), 5, np.float32)], axis=1)
    plain = means_of(PLANE, PLANE_LABELS, 2).typicality(PLANE)
    shared = means_of(rows, PLANE_LABELS, 2).typicality(rows)
    np.testing.assert_allclose(shared, plain, atol=1e-5)


def clusters(seed: int, each: int = 12, width: int = 16) -> tuple[Floats, Ints]:
    """Draw three genres, each of which lies round a direction of its own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(3 * each) % 3
    return unit(np.eye(3, width)[labels] * 6 + rng.normal(size=(len(labels), width))), labels


def test_covers_of_a_genre_that_stands_apart_are_typical_of_it_and_of_no_other() -> None:
    for seed in range(4):
        vectors, labels = clusters(seed)
        for genre in range(3):
            assert own_of(vectors, labels, genre).min() > 0
        others = means_of(vectors, labels, 3).typicality(vectors[labels == 0])
        assert others[:, 1:].mean() < -0.1 < 0.1 < others[:, 0].mean()


def test_covers_with_shuffled_labels_are_typical_of_nothing() -> None:
    found = []
    for seed in range(20):
        vectors, labels = clusters(seed, each=8)
        labels = np.random.default_rng(seed + 99).permutation(labels)
        found += [own_of(vectors, labels, genre).mean() for genre in range(3)]
    # Where a cover stayed among its own genre's, its cosine to itself would add 0.05 or so.
    assert abs(np.mean(found)) < 0.02


def test_a_cover_is_not_typical_of_its_own_artist_alone() -> None:
    vectors, labels = clusters(0)
    first = np.flatnonzero(labels == 0)
    groups = np.arange(len(labels))
    groups[first] = 7
    assert own_of(vectors, labels, 0, groups).tolist() == [0.0] * len(first)
    groups[first[-1]] = 8
    with_another = own_of(vectors, labels, 0, groups)
    assert (with_another != 0).all(), "there is one cover of another artist to be like"


def test_a_group_is_left_out_and_nothing_else() -> None:
    vectors, labels = clusters(3)
    groups = np.arange(len(labels)) // 9  # three covers of each genre share a group
    found = own_of(vectors, labels, 1, groups)
    own = np.flatnonzero(labels == 1)
    for place, row in enumerate(own.tolist()):
        kept = (labels != 1) | (groups != groups[row])
        alone = means_of(vectors[kept], labels[kept], 3).typicality(vectors[[row]])
        assert found[place] == pytest.approx(alone[0, 1], abs=1e-6)


def test_what_groups_are_called_does_not_matter() -> None:
    vectors, labels = clusters(4)
    groups = np.arange(len(labels)) // 9
    named = np.array([900, -3, 12, 5])[groups]
    np.testing.assert_array_equal(
        own_of(vectors, labels, 2, groups), own_of(vectors, labels, 2, named)
    )


@given(cuts=st.lists(st.integers(0, 36), max_size=6), seed=st.integers(0, 50))
def test_covers_may_come_in_any_parts_and_order(cuts: list[int], seed: int) -> None:
    vectors, labels = clusters(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    parts = np.split(order, sorted(cuts))
    split = GenreMeans.of(((labels[part], vectors[part]) for part in parts), 3, 16)
    whole = means_of(vectors, labels, 3)
    np.testing.assert_allclose(split.sums, whole.sums, atol=1e-5)
    assert split.counts.tolist() == whole.counts.tolist() == [12, 12, 12]


def test_halves_add_up_as_numbers_do() -> None:
    # Of 4,000 halves of one 0.3 the sum in halves would end where steps are larger than that.
    vectors = np.full((4000, 2), 0.3, np.float16)
    means = GenreMeans.of([(np.zeros(4000, np.int64), vectors)], 1, 2)
    np.testing.assert_allclose(means.sums, 4000 * float(np.float16(0.3)), rtol=1e-5)


def test_no_covers_are_no_sums() -> None:
    means = GenreMeans.of([], 2, 3)
    assert means.sums.shape == (2, 3)
    assert not means.sums.any()
    assert means.counts.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("value", "found", "percentile"),
    [
        (0.5, Standing(0, 0, 5), 0.0),
        (1.0, Standing(0, 1, 5), 0.1),
        (2.0, Standing(1, 3, 5), 0.5),
        (2.5, Standing(4, 0, 5), 0.8),
        (9.0, Standing(5, 0, 5), 1.0),
    ],
)
def test_where_a_number_stands_counts_half_of_its_equals(
    value: float, found: Standing, percentile: float
) -> None:
    assert standing(value, np.array([2.0, 1.0, 2.0, 3.0, 2.0])) == found
    assert found.percentile == pytest.approx(percentile)
