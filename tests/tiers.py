"""The three tiers of tests: `unit` by default, `whole` and `long` by marker.

A unit test starts no process, opens no socket, kills nothing and runs no network; one that does is
stopped with the marker that it needs, so that `make quick` stays quick.
"""

from __future__ import annotations

import functools
import multiprocessing.process
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from albo.networks import engines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TIERS = ("unit", "whole", "long")
WHOLE_FIXTURES = frozenset(
    {"mongodb", "mongodb_uri", "run_albo", "s3", "sample_artifacts", "server", "speaking"}
)
"""Fixtures that run processes or networks: who asks for one is no unit test."""

_DOORS: tuple[tuple[Any, str, str], ...] = (
    (subprocess.Popen, "__init__", "starts a process"),
    (multiprocessing.process.BaseProcess, "start", "starts a process"),
    (os, "fork", "starts a process"),
    (os, "kill", "sends a signal"),
    (engines, "import_openvino", "runs a network"),
)


class Guard:
    """Knows whether a unit test is at work, and stops it at the doors that it may not use."""

    def __init__(self) -> None:
        self.is_unit = False

    def check(self, deed: str) -> None:
        """Fail where a unit test is at work; what is tested cannot catch that."""
        if self.is_unit:
            pytest.fail(f"a unit test {deed}; mark it with @pytest.mark.whole or .long")

    def watch(self) -> None:
        """Put itself before every door; once a session."""
        for owner, name, deed in _DOORS:
            setattr(owner, name, self._before(getattr(owner, name), deed))
        guard = self

        class WatchedSocket(socket.socket):
            """A socket that unit tests cannot connect or bind."""

            def connect(self, address: Any) -> None:  # noqa: ANN401
                if guard.is_unit:
                    self.close()
                guard.check("opens a socket")
                super().connect(address)

            def bind(self, address: Any) -> None:  # noqa: ANN401
                if guard.is_unit:
                    self.close()
                guard.check("opens a socket")
                super().bind(address)

        socket.socket = WatchedSocket  # type: ignore[misc]

    def _before(self, act: Callable[..., Any], deed: str) -> Callable[..., Any]:
        @functools.wraps(act)
        def watched(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            self.check(deed)
            return act(*args, **kwargs)

        return watched


def long_tests_first(items: list[pytest.Item]) -> None:
    """Sort tests so that the longest begin first: no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def give_tiers(items: Iterable[pytest.Item]) -> None:
    """Mark as `unit` what has no tier yet, and as `whole` what asks for a fixture of that tier."""
    for item in items:
        if any(item.get_closest_marker(tier) for tier in TIERS):
            continue
        asked = WHOLE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        item.add_marker(pytest.mark.whole if asked else pytest.mark.unit)
