"""Polite use of foreign servers: the rate of calls, pauses, and when to give up."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING

from albo.errors import DownloadFailed, NotAsked, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


_POLL_SECONDS = 0.05
_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?")


@dataclass(frozen=True)
class Politeness:
    """The rules for calls to a host."""

    seconds_apart: float = 0.0
    """The minimum time between two calls in seconds; 0 for none."""
    attempts: int = 5
    """The number of attempts before a download fails."""
    backoff: float = 1.0
    """Seconds until the second attempt. They double, and a random time up to as long is added."""
    timeout: float = 60.0
    """Seconds from a request to the end of its answer."""
    silence: float = 0.0
    """Seconds without a byte after which a server counts as dead; 0 for `timeout`."""
    max_bytes: int = 64 << 20
    """The maximum number of bytes of a body, unpacked."""
    give_up: int = 5
    """After this many failed downloads in a row the host is not asked again."""
    contact: str = ""
    """A mail or web address, sent with every call."""

    def __post_init__(self) -> None:
        """Raise UsageError if the contact cannot be sent in a header."""
        if self.contact and not is_header(self.contact):
            raise UsageError(
                "the contact has to be 1 to 200 plain ASCII characters: a mail or web address"
            )

    @property
    def longest_silence(self) -> float:
        """The seconds for which a server may send nothing."""
        return self.silence or self.timeout

    @property
    def user_agent(self) -> str:
        """The User-Agent: albo, and the contact."""
        name = f"albo/{version('albo')} (album covers; polite, rate-limited)"
        return f"{name[:-1]}; contact: {self.contact})" if self.contact else name


class AttemptFailed(Exception):
    """An attempt failed for a reason that may be temporary."""

    def __init__(self, reason: str, *, is_hosts: bool = True) -> None:
        super().__init__(reason)
        self.is_hosts = is_hosts
        """Whether the host failed, rather than the one URL."""


class Turns:
    """The turns of all threads that call one host. Thread-safe.

    Parameters
    ----------
    politeness : the rules for calls to the host.
    stop : set to end all waiting for a turn.
    """

    def __init__(self, politeness: Politeness, stop: threading.Event) -> None:
        self.calls = 0
        """How many turns were taken."""
        self._give_up = politeness.give_up
        self._stop = stop
        self._lock = threading.Lock()
        self._resume_at = 0.0  # on the monotonic clock
        self._failed = 0  # downloads in a row
        self._refusal = ""
        self._take_turn = _turns(politeness.seconds_apart)

    def wait(self) -> None:
        """Wait until a pause has ended and the rate allows a call, then take the turn.

        Raises NotAsked if the host was given up, DownloadFailed at a stop.
        """
        while not self._stop.is_set():
            self._check_patience()
            if monotonic() >= self._resume_at and self._take_turn():
                with self._lock:
                    self.calls += 1
                return
            self._stop.wait(_POLL_SECONDS)
        raise DownloadFailed("stopped")

    def _check_patience(self) -> None:
        if self._refusal:
            raise NotAsked(f"not asked for: {self._refusal}")
        if self._failed >= self._give_up:
            raise NotAsked("not asked for: the server failed too often")

    def pause(self, seconds: float) -> None:
        """Block all calls to the host for this many seconds."""
        with self._lock:
            self._resume_at = max(self._resume_at, monotonic() + seconds)

    def end(self, reason: str) -> None:
        """Block all further calls to the host, for that reason."""
        self._refusal = reason

    def count_failure(self) -> None:
        """Count a download whose last attempt failed because of the host."""
        with self._lock:
            self._failed += 1

    def count_success(self) -> None:
        """Reset the count of failures, since the host has answered."""
        with self._lock:
            self._failed = 0


def is_header(value: str) -> bool:
    """Whether a text can be sent as the value of a header: 1 to 200 plain ASCII characters."""
    return _HEADER.fullmatch(value) is not None


def _turns(seconds_apart: float) -> Callable[[], bool]:
    """Return a function that takes a turn if one is due, evenly spaced and without bursts."""
    if not seconds_apart:
        return lambda: True
    from pyrate_limiter import Limiter, Rate

    limiter = Limiter(Rate(1, max(round(seconds_apart * 1000), 1)))
    return lambda: bool(limiter.try_acquire("call", blocking=False))


def retry_after(value: str) -> float:
    """Return the seconds of a Retry-After (RFC 9110, 10.2.3); 0 if missing or malformed."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return max(Retry().parse_retry_after(value), 0.0) if value else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
