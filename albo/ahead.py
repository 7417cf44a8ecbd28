"""A bounded look-ahead: threads work on the next items while the last results are in use."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.5
"""Seconds that a consumer waits for a result before it gets None."""


def look_ahead(
    work: Callable[[T], R],
    items: Iterable[T | None],
    *,
    threads: int,
    most: int,
    name: str,
) -> Generator[R | None, None, None]:
    """Yield the results of some work on items, in the order of the items.

    A consumer that stops early closes the generator. Then work that has not begun is cancelled, and
    running work is waited for.

    Parameters
    ----------
    work : called in the threads, once for each item.
    items : taken one by one, when there is room. None means that time has passed without an item:
        None is yielded in its place, so that the consumer can do other work.
    threads : how many threads work.
    most : how many items may be in work, or done and not yet yielded. This bounds the memory.
    name : the name of the threads.

    Yields
    ------
    A result; or None, for a None among the items, and for each `POLL_SECONDS` without a result.

    Raises the errors of `items`, and those of `work` in place of their results.
    """
    with ThreadPoolExecutor(threads, name) as pool:
        begun: deque[Future[R]] = deque()
        try:
            for item in items:
                if item is None:
                    yield None
                else:
                    begun.append(pool.submit(work, item))
                while begun and (begun[0].done() or len(begun) >= most):
                    yield from _result(begun.popleft())
            while begun:
                yield from _result(begun.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _result(future: Future[R]) -> Iterator[R | None]:
    while not future.done():
        if not wait((future,), POLL_SECONDS).done:
            yield None
    yield future.result()
