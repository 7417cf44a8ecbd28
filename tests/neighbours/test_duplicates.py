"""Near-duplicates: every pair where every pair is compared, and groups however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albo.errors import UsageError
from albo.neighbours import duplicate_groups, near_duplicate_links
from albo.neighbours.duplicates import EXACT_UNTIL, DuplicateGroup, _compare_crowd, _find_pairs

if TYPE_CHECKING:
    from albo.records import Floats, Halves, Ints


def make_unit(rows: Floats) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_planted(count: int, dimension: int, pairs: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Draw unlike rows, and make some a near-duplicate (cosine 0.86 to 0.99) of another."""
    random = np.random.default_rng(seed)
    vectors = make_unit(random.standard_normal((count, dimension)))
    chosen = random.choice(count, 2 * pairs, replace=False).reshape(-1, 2)
    original = vectors[chosen[:, 0]]
    other = random.standard_normal((pairs, dimension))
    other = make_unit(other - (other * original).sum(1, keepdims=True) * original)
    cosine = random.uniform(0.86, 0.99, (pairs, 1))
    vectors[chosen[:, 1]] = cosine * original + np.sqrt(1 - cosine**2) * other
    return vectors, np.sort(chosen, axis=1)


def list_by_hand(vectors: Floats | Halves, threshold: float) -> dict[tuple[int, int], float]:
    unit = make_unit(vectors.astype(np.float64))
    cosines = unit @ unit.T
    first, second = np.nonzero(np.triu(cosines >= threshold, k=1))
    return {
        (a, b): float(cosines[a, b]) for a, b in zip(first.tolist(), second.tolist(), strict=True)
    }


def list_pairs(
    vectors: Floats | Halves, threshold: float, exact_until: int = EXACT_UNTIL
) -> dict[tuple[int, int], float]:
    return {
        (first, second): score
        for piece in _find_pairs(vectors, threshold, None, exact_until)
        for first, second, score in zip(*(column.tolist() for column in piece), strict=True)
    }


def group_by_hand(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Label each row with the lowest of its component, by repeated relabelling."""
    labels = list(range(count))
    for _ in range(count):
        for first, second in pairs:
            labels[first] = labels[second] = min(labels[first], labels[second])
    return labels


def labels_of(links: Ints, count: int) -> list[int]:
    return group_by_hand(count, [tuple(link) for link in links.tolist()])


@pytest.mark.whole
def test_all_pairs_are_found_across_blocks() -> None:
    vectors, planted = make_planted(4500, 48, 300)
    found = list_pairs(vectors, 0.85)
    assert found == pytest.approx(list_by_hand(vectors, 0.85), abs=1e-6)
    assert {tuple(pair) for pair in planted.tolist()} <= set(found)


def test_float16_rows_are_brought_back_to_unit_length() -> None:
    vectors, _ = make_planted(600, 48, 80)
    halves = vectors.astype(np.float16)
    assert list_pairs(halves, 0.85) == pytest.approx(list_by_hand(halves, 0.85), abs=1e-6)


@pytest.mark.whole
def test_above_the_bound_planted_pairs_are_found_all_the_same() -> None:
    vectors, planted = make_planted(6000, 256, 500)
    found = list_pairs(vectors, 0.83, exact_until=1000)
    expected = list_by_hand(vectors, 0.83)
    assert found == pytest.approx({pair: expected[pair] for pair in found}, abs=1e-6)
    assert len(found.keys() & {tuple(pair) for pair in planted.tolist()}) >= 0.99 * len(planted)


@pytest.mark.whole
@pytest.mark.parametrize("exact_until", [10_000, 0])
def test_a_crowd_of_like_covers_is_one_group(exact_until: int) -> None:
    vectors, _ = make_planted(3000, 64, 0)
    random = np.random.default_rng(1)
    vectors[500:1700] = make_unit(vectors[0] + 0.01 * random.standard_normal((1200, 64)))
    vectors[2000:2500] = vectors[3]
    links = near_duplicate_links(vectors, 0.85, exact_until=exact_until)
    assert len(links) == 1200 + 500
    groups = duplicate_groups(vectors, 0.85, exact_until=exact_until)
    members = sorted(sorted(group.rows) for group in groups)
    assert members == [[0, *range(500, 1700)], [3, *range(2000, 2500)]]
    assert all(group.lowest > 0.98 for group in groups)


def test_covers_that_only_seem_crowded_cost_no_more_than_comparing_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unlike in 512 dimensions, but so near in 128 that each has 64 that may be alike."""
    vectors, planted = make_planted(3000, 512, 40)
    rows_read = 0

    def read(rows: Floats) -> Floats:
        nonlocal rows_read
        rows_read += len(rows)
        return rows

    monkeypatch.setattr("albo.neighbours.duplicates._as_unit", read)
    crowd = np.arange(len(vectors))
    steps: list[int] = []
    pieces = list(_compare_crowd(vectors, crowd, 0.85, steps.append))
    found = {pair for first, second, _ in pieces for pair in zip(first, second, strict=True)}
    assert found == {tuple(pair) for pair in planted.tolist()}
    assert rows_read < 10 * len(vectors)
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == 0


def test_equal_covers_are_one_group_though_any_of_them_is_nearest() -> None:
    vectors = np.repeat(make_planted(1, 64, 0)[0], 3000, axis=0)
    (group,) = duplicate_groups(vectors, 0.85, exact_until=0)
    assert len(group.rows) == 3000


def test_a_chain_is_one_group_and_says_so() -> None:
    angles = np.radians([0, 20, 43, 120, 140, 200])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    chain, pair = duplicate_groups(vectors, 0.9)[::-1]
    if len(chain.rows) == 2:
        chain, pair = pair, chain
    step = np.cos(np.radians([20, 20, 23]))
    assert chain.rows == (0, 1, 2)
    assert chain.scores == pytest.approx(step, abs=1e-6)
    assert chain.lowest == pytest.approx(np.cos(np.radians(43)), abs=1e-6)
    assert pair == DuplicateGroup((3, 4), pytest.approx(step[:2], abs=1e-6), pytest.approx(step[0]))
    assert near_duplicate_links(vectors, 0.9).tolist() == [[0, 1], [0, 2], [3, 4]]


def test_the_most_alike_come_first() -> None:
    vectors, _ = make_planted(900, 64, 150)
    vectors[7] = vectors[800]
    groups = duplicate_groups(vectors, 0.85)
    assert groups[0].rows == (7, 800)
    assert groups[0].scores == pytest.approx((1.0, 1.0), abs=1e-6)
    best = [group.scores[0] for group in groups]
    assert best == sorted(best, reverse=True)
    assert all(list(group.scores) == sorted(group.scores, reverse=True) for group in groups)
    assert all(group.scores[-1] >= 0.85 for group in groups)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.sampled_from([0.3, 0.6, 0.85, 0.97, 1.0]))
def test_links_and_groups_are_the_components_of_the_pairs(
    seed: int, count: int, threshold: float
) -> None:
    random = np.random.default_rng(seed)
    vectors = make_unit(random.standard_normal((count, 3)) + 1e-3)
    vectors[count // 2 :] = vectors[: count - count // 2][::-1]
    links = near_duplicate_links(vectors, threshold)
    expected = group_by_hand(count, list(list_pairs(vectors, threshold)))
    assert labels_of(links, count) == expected
    assert len(links) == count - len(set(expected))
    members = {frozenset(group.rows) for group in duplicate_groups(vectors, threshold)}
    assert members == {
        frozenset(row for row in range(count) if expected[row] == label)
        for label in set(expected)
        if expected.count(label) > 1
    }


def test_equal_rows_reach_a_threshold_of_one() -> None:
    vectors, _ = make_planted(50, 1280, 0)
    vectors[30] = vectors[4]
    assert list_pairs(vectors, 1.0) == pytest.approx({(4, 30): 1.0}, abs=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare(count: int) -> None:
    vectors = make_planted(2, 16, 0)[0][:count]
    assert near_duplicate_links(vectors, 0.9).shape == (0, 2)
    assert duplicate_groups(vectors, 0.9) == []


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.01, 85.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="give a cosine above 0 and up to 1"):
        near_duplicate_links(make_planted(4, 16, 0)[0], threshold)


@pytest.mark.parametrize("exact_until", [10_000, 0])
@pytest.mark.parametrize("factor", [0.0, 2.0, np.nan, np.inf])
def test_rows_that_are_not_unit_are_refused(factor: float, exact_until: int) -> None:
    vectors, _ = make_planted(400, 16, 0)
    vectors[9] = factor
    with pytest.raises(UsageError, match="a vector has length"):
        duplicate_groups(vectors, 0.9, exact_until=exact_until)
    with pytest.raises(UsageError, match=r"vectors of shape \(16,\)"):
        near_duplicate_links(vectors[0], 0.9)


@pytest.mark.parametrize("exact_until", [10_000, 0])
def test_progress_ends_at_its_total(exact_until: int) -> None:
    steps: list[tuple[int, int]] = []
    vectors, _ = make_planted(4200, 16, 0)
    near_duplicate_links(
        vectors, 0.99, lambda done, total: steps.append((done, total)), exact_until=exact_until
    )
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1] > 1
