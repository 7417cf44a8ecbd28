"""The look-ahead: in order, bounded, stopped cleanly, and no error is lost in a thread."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from albo import ahead as room
from albo.ahead import look_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_results_come_in_the_order_of_the_items() -> None:
    def work(item: int) -> int:
        time.sleep(item * 7 % 10 / 2000)
        return item * item

    found = look_ahead(work, range(100), threads=8, most=20, name="test")
    assert [one for one in found if one is not None] == [item * item for item in range(100)]


def test_a_bounded_number_is_ahead() -> None:
    begun: list[int] = []
    most = 0
    for used, _ in enumerate(
        look_ahead(begun.append, iter(range(60)), threads=2, most=6, name="test")
    ):
        time.sleep(0.002)
        most = max(most, len(begun) - used)
    assert len(begun) == 60
    assert most <= 6


def test_what_is_done_is_yielded_before_the_bound_is_reached() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(5):
            taken.append(item)
            yield item
            time.sleep(0.05)

    with closing(look_ahead(lambda item: item, items(), threads=1, most=100, name="test")) as found:
        assert next(found) == 0
    assert len(taken) < 5


def test_time_that_passes_gives_the_consumer_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "POLL_SECONDS", 0.01)
    go_on = threading.Event()
    found = look_ahead(lambda _: go_on.wait(20), [1], threads=1, most=1, name="test")
    assert next(found) is None
    assert next(found) is None
    go_on.set()
    assert [one for one in found if one is not None] == [True]


def test_a_turn_without_an_item_passes_through() -> None:
    found = look_ahead(lambda item: item, [None, 1, None, 2], threads=1, most=9, name="test")
    assert next(found) is None
    assert [one for one in found if one is not None] == [1, 2]


def test_an_error_comes_in_the_place_of_its_result() -> None:
    found = look_ahead(lambda item: 6 // item, [1, 2, 0, 3], threads=2, most=4, name="test")
    results = (one for one in found if one is not None)
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_items_reaches_the_consumer() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the folder is gone")

    with pytest.raises(OSError, match="the folder is gone"):
        list(look_ahead(lambda item: item, items(), threads=1, most=4, name="test"))


def test_a_consumer_that_stops_leaves_nothing_running() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item:
            go_on.wait(20)
        return item

    found = look_ahead(work, range(100), threads=2, most=10, name="stopped")
    assert next(found) == 0
    threading.Timer(0.05, go_on.set).start()
    found.close()
    assert len(begun) <= 3
    assert not [each for each in threading.enumerate() if each.name.startswith("stopped")]
