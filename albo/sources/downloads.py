"""Fetching from other people's servers, politely: one place for rate limits, retries and limits.

A host is asked at a steady rate, never in bursts. Where it asks to be left alone for a while, all
of it is; where it fails, it is asked again later and later; where it goes on failing, no more. No
host is asked that the caller does not admit, whatever a redirect says.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field
from importlib.metadata import version
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit
from weakref import WeakSet

from albo.errors import BadFeed, DownloadFailed, HostUnavailable, NotAsked, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests
    import tenacity
    from requests.adapters import HTTPAdapter

    T = TypeVar("T")


_CONNECT_SECONDS = 10.0
_LONGEST_BACKOFF = 60.0
_LONGEST_PAUSE = 300.0  # longer than that, the user is told rather than kept waiting
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_WHOLE = (200, 203)
_NOT_MODIFIED = 304
_FORBIDDEN = 403
_TOO_MANY = 429
_SERVER_ERRORS = 500
_CONDITIONS = {"If-None-Match", "If-Modified-Since"}
_CHUNK = 1 << 16
_POLL_SECONDS = 0.05
_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?")
_NO_URL = "not a URL that can be fetched"
_HOST = re.compile(r"[a-z0-9_.:-]{1,100}")


@dataclass(frozen=True)
class Politeness:
    """How a host is treated.

    seconds_apart : the least time between two calls; 0 for none. attempts : how often one thing is
    asked for before it has failed. backoff : seconds until the second attempt; they double, and
    chance adds up to as much again. timeout : seconds from a request to the end of its answer.
    max_bytes : of a body, unpacked. give_up : after how many downloads in a row that failed to the
    last attempt nothing more is asked for. contact : a mail or web address, sent with every call.
    """

    seconds_apart: float = 0.0
    attempts: int = 5
    backoff: float = 1.0
    timeout: float = 60.0
    max_bytes: int = 64 << 20
    give_up: int = 5
    contact: str = ""

    def __post_init__(self) -> None:
        """Raise UsageError where the contact cannot stand in a header."""
        if self.contact and not _HEADER.fullmatch(self.contact):
            raise UsageError(
                "the contact has to be 1 to 200 plain ASCII characters: a mail or web address"
            )

    @property
    def user_agent(self) -> str:
        """Who asks, and whom to write to."""
        name = f"albo/{version('albo')} (album covers; polite, rate-limited)"
        return f"{name[:-1]}; contact: {self.contact})" if self.contact else name


@dataclass(frozen=True, slots=True)
class Download:
    """What came: its bytes, where from in the end, and what validates it next time.

    is_unchanged : the server says that it is what the validators stand for; then data is empty.
    """

    data: bytes
    url: str
    etag: str = ""
    modified: str = ""
    is_unchanged: bool = False


class _Again(Exception):
    """An attempt failed in a way that may pass.

    is_hosts : whether it is the host's fault, and not that of what was asked for.
    """

    def __init__(self, reason: str, *, is_hosts: bool = True) -> None:
        super().__init__(reason)
        self.is_hosts = is_hosts


@dataclass
class Downloads:
    """Fetches from the hosts that `admits` says yes to. Safe in threads.

    admits : told a host's name in lower case, without a port.
    """

    admits: Callable[[str], bool]
    politeness: Politeness = Politeness()
    calls: int = field(default=0, init=False)
    """How many requests were made."""

    def __post_init__(self) -> None:
        """Prepare; nothing is sent yet."""
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._resume_at = 0.0
        self._failed = 0
        self._refusal = ""
        self._under_way: set[_Call] = set()
        self._watcher: threading.Thread | None = None
        self._take_turn = _turns(self.politeness.seconds_apart)

    def stop(self) -> None:
        """Let every download end as soon as can be, from whatever thread it is waited for."""
        self._stop.set()

    def get(
        self,
        url: str,
        read: Callable[[bytes], T],
        *,
        etag: str = "",
        modified: str = "",
    ) -> tuple[Download, T | None]:
        """Fetch a URL, as often as it takes, and read what came.

        Parameters
        ----------
        read : told the bytes; raises BadFeed for what is damaged and may be whole the next time.
        etag, modified : validators of what the caller has; then the answer may be `is_unchanged`,
            with None in place of what was read.

        Raises DownloadFailed with the reason; HostUnavailable where the reason is the host, so that
        nothing is known of what was asked for.
        """
        validators = {"If-None-Match": _validator(etag), "If-Modified-Since": _validator(modified)}
        headers = {name: value for name, value in validators.items() if value}
        try:
            for attempt in self._attempts():
                with attempt:
                    found = self._fetch(url, headers)
                    result = None if found.is_unchanged else _read(read, found)
        except _Again as error:
            raise self._failure(error) from error
        with self._lock:
            self._failed = 0
        return found, result

    def _attempts(self) -> tenacity.Retrying:
        from tenacity import (
            Retrying,
            retry_if_exception_type,
            sleep_using_event,
            stop_after_attempt,
            stop_when_event_set,
            wait_exponential,
            wait_random,
        )

        backoff = self.politeness.backoff
        return Retrying(
            sleep=sleep_using_event(self._stop),
            stop=stop_after_attempt(self.politeness.attempts) | stop_when_event_set(self._stop),
            # What the host asks for beside that is waited for with one's turn, as by all others.
            wait=wait_exponential(backoff, _LONGEST_BACKOFF) + wait_random(0, backoff),
            retry=retry_if_exception_type(_Again),
            reraise=True,
        )

    def _failure(self, error: _Again) -> DownloadFailed:
        """Count a download that failed to the last attempt, and say what it failed of."""
        if self._stop.is_set():
            return DownloadFailed("stopped")
        if not error.is_hosts:
            return DownloadFailed(str(error))
        with self._lock:
            self._failed += 1
        return HostUnavailable(str(error))

    # --- one attempt -----------------------------------------------------------------------------

    def _fetch(self, url: str, headers: Mapping[str, str]) -> Download:
        """Follow redirects by hand, so that each host is looked at before it is asked."""
        for _ in range(_MOST_REDIRECTS + 1):
            with self._answer(url, headers) as answer:
                if answer.status_code not in _WHOLE:
                    _pass_over_body(answer)
                if answer.status_code not in _REDIRECTS:
                    return self._take(answer)
                url = self._redirect(answer)
        raise DownloadFailed(f"more than {_MOST_REDIRECTS} redirects")

    @contextlib.contextmanager
    def _answer(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Ask once, in turn, and give the answer's head; leaving hangs up."""
        import requests
        import urllib3

        prepared = self._prepare(url, headers)
        self._wait_for_turn()
        try:
            with self._watched(), self._line.send(prepared, self.politeness.timeout) as answer:
                yield answer
        except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError) as error:
            raise DownloadFailed(_NO_URL) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _Again(_describe(error)) from error

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Hang up where the time is over or all is to end, whatever is waited for just then.

        The libraries' timeouts are for each byte: a server that sends one now and then, of a head
        or of a body, would never meet them.
        """
        call = _Call(self._line.sockets, monotonic() + self.politeness.timeout)
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
        if call.end is not None:  # what came until then may look whole
            raise call.end

    def _watch(self) -> None:
        """Cut connections at their deadline or at a stop, until there are none under way."""
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
            call.end = _Again(f"it took more than {self.politeness.timeout:g} seconds")
        if call.end is not None:
            # Again and again: a connection that is only being made cannot be cut yet.
            call.sockets.cut()

    def _prepare(self, url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Write a request. Raises DownloadFailed for a URL that is none or leads elsewhere."""
        import requests

        try:
            prepared = self._line.prepare(url, headers)
            # Taken apart as by those who send it: what is checked must be what is asked.
            parts = urlsplit(prepared.url or "")
            host = parts.hostname or ""
        except (requests.RequestException, ValueError) as error:
            raise DownloadFailed(_NO_URL) from error
        is_web = parts.scheme in {"http", "https"} and "@" not in parts.netloc
        if not is_web or not self.admits(host):
            raise DownloadFailed(f"leads to {_place(parts)}, which albo does not ask")
        return prepared

    def _redirect(self, answer: requests.Response) -> str:
        """Return where a redirect leads. Raises DownloadFailed where it does not say."""
        try:
            target = self._line.session.get_redirect_target(answer)
            if target:
                return urljoin(answer.url, target)
        except ValueError as error:
            raise DownloadFailed("a redirect to no URL") from error
        raise DownloadFailed("a redirect that does not say where to")

    def _wait_for_turn(self) -> None:
        """Wait for a pause to end and the rate to allow it; raise where there is no more asking."""
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
        if self._failed >= self.politeness.give_up:
            raise NotAsked("not asked for: the server failed too often")

    @property
    def _line(self) -> _Line:
        """Return this thread's connections: a session is not made for several."""
        found: _Line | None = getattr(self._local, "line", None)
        if found is None:
            found = self._local.line = _Line(self.politeness.user_agent)
        return found

    def _take(self, answer: requests.Response) -> Download:
        self._check_status(answer)
        if answer.status_code == _NOT_MODIFIED:
            if not _CONDITIONS & answer.request.headers.keys():
                raise DownloadFailed("304 Not Modified, though nothing was known of it")
            return Download(b"", answer.url, is_unchanged=True)
        body = self._body(answer)
        etag, modified = (
            _validator(answer.headers.get(name, "")) for name in ("ETag", "Last-Modified")
        )
        return Download(body, answer.url, etag, modified)

    def _check_status(self, answer: requests.Response) -> None:
        """Raise _Again for what may pass, DownloadFailed for what will not."""
        status = answer.status_code
        if status in _WHOLE or status == _NOT_MODIFIED:
            return
        # Not in the server's own words: they may be anything.
        said = f"{status} {http.client.responses.get(status, '')}".strip()
        if status not in {_FORBIDDEN, _TOO_MANY} and status < _SERVER_ERRORS:
            raise DownloadFailed(said)
        pause = _retry_after(answer.headers.get("Retry-After", ""))
        if pause > _LONGEST_PAUSE:
            self._refusal = f"the server asks to come back in {pause:,.0f} seconds"
            raise HostUnavailable(f"{said}: {self._refusal}")
        # Not this call alone: whoever asks the same host waits as well.
        with self._lock:
            self._resume_at = max(self._resume_at, monotonic() + pause)
        raise _Again(said)

    def _body(self, answer: requests.Response) -> bytes:
        """Read a body of bounded size."""
        limit = self.politeness.max_bytes
        too_long = f"more than {limit / 2**20:g} MiB"
        if (answer.raw.length_remaining or 0) > limit:
            raise DownloadFailed(too_long)
        parts, length = [], 0
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            parts.append(chunk)
            length += len(chunk)
            if length > limit:
                raise DownloadFailed(too_long)
        return b"".join(parts)


class _Line:
    """One thread's connections, with no cookies and no logins: those are what sessions add."""

    def __init__(self, user_agent: str) -> None:
        import requests

        self.sockets = _Sockets()
        self.session = requests.Session()
        self.session.headers["User-Agent"] = user_agent
        self.adapter = _adapter(self.sockets)
        self._settings: dict[tuple[str, str], Any] = {}

    def prepare(self, url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Write a request. Raises what requests raises for a URL that is none."""
        import requests

        return requests.Request("GET", url, {**self.session.headers, **headers}).prepare()

    def send(self, prepared: requests.PreparedRequest, seconds: float) -> requests.Response:
        """Send a request and wait for the answer's head.

        Not by the session: that reads the whole body of a redirect, whatever its size.
        """
        timeout = min(_CONNECT_SECONDS, seconds), seconds
        return self.adapter.send(prepared, timeout=timeout, **self._environment(prepared.url or ""))

    def _environment(self, url: str) -> Any:  # noqa: ANN401  (requests' own)
        """Return proxies and certificates for a host; asking the environment anew costs a third."""
        host = urlsplit(url)[:2]
        if host not in self._settings:
            found = self.session.merge_environment_settings(url, {}, True, None, None)
            self._settings[host] = found
        return self._settings[host]


@dataclass(eq=False)
class _Call:
    """A request under way: until when it may be, and why it was cut off, if it was."""

    sockets: _Sockets
    deadline: float
    end: Exception | None = None


class _Sockets:
    """What connections are made of, so that another thread can hang up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: WeakSet[socket.socket] = WeakSet()

    def add(self, made: socket.socket) -> None:
        with self._lock:
            self._open.add(made)

    def cut(self) -> None:
        """Let whoever waits for a byte wait no more."""
        with self._lock:
            for each in list(self._open):
                with contextlib.suppress(OSError):  # it is closed already
                    # Below TLS: above it, what is left would be read as if it were plain text.
                    socket.socket.shutdown(each, socket.SHUT_RDWR)


def _adapter(sockets: _Sockets) -> HTTPAdapter:
    """Return requests' own way to connections, which tells of each one that is made."""
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


def _pass_over_body(answer: requests.Response) -> None:
    """Read what else came, if it is short: then the connection serves again."""
    import urllib3

    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        answer.raw.read(_CHUNK, decode_content=False)


def _validator(value: str) -> str:
    """Return a validator if it can be sent as it is; else "", as if there were none."""
    return value if _HEADER.fullmatch(value) else ""


def _place(parts: SplitResult) -> str:
    """Name where a URL leads, in what can be shown."""
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"}:
        return f"a {parts.scheme} address" if _HOST.fullmatch(parts.scheme) else "no address"
    if "@" in parts.netloc:
        return "an address with a login"
    return host if _HOST.fullmatch(host) else "a host of a strange name"


def _read(read: Callable[[bytes], T], found: Download) -> T:
    try:
        return read(found.data)
    except BadFeed as error:
        raise _Again(str(error), is_hosts=False) from error


def _turns(seconds_apart: float) -> Callable[[], bool]:
    """Return what says whether it is one's turn: so many seconds apart, without bursts."""
    if not seconds_apart:
        return lambda: True
    from pyrate_limiter import Limiter, Rate

    limiter = Limiter(Rate(1, max(round(seconds_apart * 1000), 1)))
    return lambda: bool(limiter.try_acquire("call", blocking=False))


def _retry_after(value: str) -> float:
    """Return the seconds that a Retry-After asks for (RFC 9110, 10.2.3); 0 for none that is one."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return max(Retry().parse_retry_after(value), 0.0) if value else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _describe(error: BaseException) -> str:
    """Say in a few words what went wrong on the wire; libraries say it in three lines."""
    import requests
    import urllib3

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"no secure connection: {_tls_reason(cause)}"
        if isinstance(cause, urllib3.exceptions.DecodeError):
            return "what came cannot be unpacked"
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
        else "what came is no HTTP answer"
    )


def _strerror(error: BaseException) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else ""


def _tls_reason(error: ssl.SSLError) -> str:
    """Say what TLS found wrong, without the library's file and line."""
    found = getattr(error, "verify_message", "") or error.reason or "the connection broke"
    return found.replace("_", " ").lower()


def _below(error: BaseException) -> BaseException | None:
    """Return what an error was made of, as requests and urllib3 each have it."""
    reason = getattr(error, "reason", None)
    inner = (reason, *error.args, error.__cause__, error.__context__)
    return next((each for each in inner if isinstance(each, BaseException)), None)
