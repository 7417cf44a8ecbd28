"""Connections to foreign servers, each with a deadline that the server cannot delay."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakSet

from albo.errors import DownloadFailed
from albo.sources.politeness import AttemptFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests
    from requests.adapters import HTTPAdapter


_CONNECT_SECONDS = 10.0
_POLL_SECONDS = 0.05


class Line:
    """One thread's connections, without the cookies and logins that a session adds."""

    def __init__(self, user_agent: str) -> None:
        import requests

        self.sockets = Sockets()
        self.session = requests.Session()
        self.session.headers["User-Agent"] = user_agent
        self.adapter = _adapter(self.sockets)
        self._settings: dict[tuple[str, str], Any] = {}

    def prepare(self, url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Prepare a request. Raises requests' errors for an invalid URL."""
        import requests

        return requests.Request("GET", url, {**self.session.headers, **headers}).prepare()

    def send(self, prepared: requests.PreparedRequest, seconds: float) -> requests.Response:
        """Send a request and wait for the head of the answer.

        `Session.send` is not used: it reads the whole body of a redirect, of any size.
        """
        timeout = min(_CONNECT_SECONDS, seconds), seconds
        return self.adapter.send(prepared, timeout=timeout, **self._environment(prepared.url or ""))

    def _environment(self, url: str) -> Any:  # noqa: ANN401  (a type of requests)
        """Return the proxies and certificates of a host, cached: reading them takes a third."""
        host = urlsplit(url)[:2]
        if host not in self._settings:
            found = self.session.merge_environment_settings(url, {}, True, None, None)
            self._settings[host] = found
        return self._settings[host]


class Sockets:
    """The open sockets of one thread's connections, so that another thread can close them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: WeakSet[socket.socket] = WeakSet()

    def add(self, made: socket.socket) -> None:
        """Add a socket that has connected."""
        with self._lock:
            self._open.add(made)

    def cut(self) -> None:
        """Shut the sockets down, which ends any wait for a byte."""
        with self._lock:
            for each in list(self._open):
                with contextlib.suppress(OSError):  # already closed
                    # Below TLS: shutting down TLS itself would let the rest be read as plain text.
                    socket.socket.shutdown(each, socket.SHUT_RDWR)


def _adapter(sockets: Sockets) -> HTTPAdapter:
    """Return an adapter of requests that adds each new socket to `sockets`."""
    from requests.adapters import HTTPAdapter

    class Telling(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)

            def make(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                made = type(pool).ConnectionCls(*args, **kwargs)
                connect = made.connect

                def connect_and_tell() -> None:
                    connect()
                    sockets.add(made.sock)

                made.connect = connect_and_tell
                return made

            pool.ConnectionCls = make
            return pool

    return Telling()


@dataclass(eq=False)
class _Call:
    """A running request."""

    sockets: Sockets
    """The sockets of the thread that waits for the answer."""
    deadline: float
    """The time on the monotonic clock at which the request is cut off."""
    end: Exception | None = None
    """Why the request was cut off, if it was."""


class Watch:
    """Cuts requests off at their deadline or at a stop. Safe in threads.

    The libraries' timeouts apply to each byte: a server that sends a byte now and then would never
    reach them.

    Parameters
    ----------
    seconds : from a request to the end of its answer.
    stop : set to cut all requests off.
    """

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._seconds = seconds
        self._stop = stop
        self._lock = threading.Lock()
        self._under_way: set[_Call] = set()
        self._watcher: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, sockets: Sockets) -> Iterator[None]:
        """Watch over one request by a thread's sockets.

        Raises AttemptFailed at the deadline, DownloadFailed at a stop.
        """
        call = _Call(sockets, monotonic() + self._seconds)
        with self._lock:
            self._under_way.add(call)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, daemon=True)
                self._watcher.start()
        try:
            yield
        except Exception:
            if call.end is None:
                raise
        finally:
            with self._lock:
                self._under_way.discard(call)
        if call.end is not None:  # the bytes received before the cut may look complete
            raise call.end

    def _watch(self) -> None:
        """Cut connections at their deadline or at a stop, until no request is running."""
        while True:
            sleep(_POLL_SECONDS)
            with self._lock:
                if not self._under_way:
                    self._watcher = None
                    return
                for call in self._under_way:
                    self._cut_if_due(call)

    def _cut_if_due(self, call: _Call) -> None:
        if self._stop.is_set():
            call.end = DownloadFailed("stopped")
        elif monotonic() > call.deadline:
            call.end = AttemptFailed(f"it took more than {self._seconds:g} seconds")
        if call.end is not None:
            # Repeatedly: a connection that is still being opened cannot be cut yet.
            call.sockets.cut()


def describe_error(error: BaseException) -> str:
    """Return a network error in a few words; the libraries use three lines."""
    import requests
    import urllib3

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"no secure connection: {_tls_reason(cause)}"
        if isinstance(cause, urllib3.exceptions.DecodeError):
            return "the answer cannot be unpacked"
        strerror = "" if isinstance(cause, requests.RequestException) else _strerror(cause)
        if strerror:
            return strerror.lower()
        cause = _below(cause)
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return "no answer in time"
    return (
        "the connection broke"
        if "onnection" in f"{type(error)}{error}"
        else "the answer is not HTTP"
    )


def _strerror(error: BaseException) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else ""


def _tls_reason(error: ssl.SSLError) -> str:
    """Return the reason of a TLS error, without the library's file and line."""
    found = getattr(error, "verify_message", "") or error.reason or "the connection broke"
    return found.replace("_", " ").lower()


def _below(error: BaseException) -> BaseException | None:
    """Return the cause of an error, which requests and urllib3 keep in different places."""
    reason = getattr(error, "reason", None)
    inner = (reason, *error.args, error.__cause__, error.__context__)
    return next((each for each in inner if isinstance(each, BaseException)), None)
