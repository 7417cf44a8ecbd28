"""Which parts are merged: all small ones in the end, and each row seldom."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from albo.store.merging import LARGE_PART, plan_merges


@settings(deadline=None)
@given(st.lists(st.integers(1, 100_000), max_size=60), st.data())
def test_merges_cover_all_parts_and_leave_few(rows: list[int], data: st.DataObject) -> None:
    fresh = data.draw(st.integers(0, len(rows)))
    groups = plan_merges(rows, fresh)
    flat = [at for start, stop in groups for at in range(start, stop)]
    assert flat == list(range(len(rows)))
    merged = [group for group in groups if group[1] - group[0] > 1]
    assert all(rows[at] < LARGE_PART for start, stop in merged for at in range(start, stop))
    small = sum(sum(rows[start:stop]) < LARGE_PART for start, stop in groups)
    large = sum(count >= LARGE_PART for count in rows)
    assert small <= 17 * (large + sum(rows) // LARGE_PART + 1)


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
