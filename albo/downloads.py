"""Fetching from other people's servers, politely: one place for rate limits, retries and limits.

A host is asked at a steady rate, never in bursts. Where it asks to be left alone for a while, all
of it is; where it fails, it is asked again later and later; where it goes on failing, no more. No
host is asked that the caller does not admit, whatever a redirect says.
"""

from __future__ import annotations

import contextlib
import re
import threading
from dataclasses import dataclass, field
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin

from albo.errors import BadFeed, DownloadFailed, HostUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from http.cookiejar import CookiePolicy

    import requests
    import tenacity

    T = TypeVar("T")

_CONNECT_SECONDS = 10.0
_LONGEST_BACKOFF = 60.0
_LONGEST_PAUSE = 300.0  # longer than that, the user is told rather than kept waiting
_GIVE_UP = 3  # downloads in a row that failed to the last attempt
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_NOT_MODIFIED = 304
_FORBIDDEN = 403
_TOO_MANY = 429
_SERVER_ERRORS = 500
_CONDITIONS = {"If-None-Match", "If-Modified-Since"}
_CHUNK = 1 << 16
_POLL_SECONDS = 0.05
_HEADER = re.compile(r"[\x20-\x7e]{1,200}")


@dataclass(frozen=True)
class Manners:
    """How a host is treated.

    seconds_apart : the least time between two calls; 0 for none. attempts : how often one thing is
    asked for before it has failed. backoff : seconds until the second attempt; they double, and
    chance adds up to as much again. timeout : seconds that one attempt may take in all.
    max_bytes : of a body, unpacked. contact : a mail or web address, sent with every call.
    """

    seconds_apart: float = 0.0
    attempts: int = 5
    backoff: float = 1.0
    timeout: float = 60.0
    max_bytes: int = 64 << 20
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

    pause : the seconds that the host asks for. is_hosts : whether it is the host's fault, and not
    that of what was asked for.
    """

    def __init__(self, reason: str, pause: float = 0.0, *, is_hosts: bool = True) -> None:
        super().__init__(reason)
        self.pause = pause
        self.is_hosts = is_hosts


@dataclass
class Downloads:
    """Fetches from the hosts that `admits` says yes to. Safe in threads.

    admits : told a host's name in lower case, without a port.
    """

    admits: Callable[[str], bool]
    manners: Manners = Manners()
    calls: int = field(default=0, init=False)
    """How many requests were made."""

    def __post_init__(self) -> None:
        """Prepare; nothing is sent yet."""
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._open: set[requests.Response] = set()
        self._resume_at = 0.0
        self._failed = 0
        self._take_turn = _turns(self.manners.seconds_apart)

    def stop(self) -> None:
        """Let every download end as soon as can be, from whatever thread it is waited for."""
        self._stop.set()
        with self._lock:
            for response in self._open:
                with contextlib.suppress(Exception):  # it may end by itself just now
                    response.raw.shutdown()

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

        Raises DownloadFailed with the reason, HostUnavailable where nothing else need be asked for.
        """
        headers = {"If-None-Match": etag} if etag else {}
        headers |= {"If-Modified-Since": modified} if modified else {}
        if self._failed >= _GIVE_UP:
            raise HostUnavailable("not asked for: the server failed too often")
        try:
            for attempt in self._attempts():
                with attempt:
                    found = self._fetch(url, headers)
                    result = None if found.is_unchanged else _read(read, found)
        except _Again as error:
            if error.is_hosts:
                self._count_failure()
                raise HostUnavailable(str(error)) from error
            raise DownloadFailed(str(error)) from error
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

        backoff = self.manners.backoff
        doubling = wait_exponential(backoff, _LONGEST_BACKOFF) + wait_random(0, backoff)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            pause = error.pause if isinstance(error, _Again) else 0.0
            return max(pause, doubling(state))

        return Retrying(
            sleep=sleep_using_event(self._stop),
            stop=stop_after_attempt(self.manners.attempts) | stop_when_event_set(self._stop),
            wait=wait,
            retry=retry_if_exception_type(_Again),
            reraise=True,
        )

    def _count_failure(self) -> None:
        with self._lock:
            self._failed += 1

    # --- one attempt -----------------------------------------------------------------------------

    def _fetch(self, url: str, headers: Mapping[str, str]) -> Download:
        """Follow redirects by hand, so that each host is looked at before it is asked."""
        deadline = monotonic() + self.manners.timeout
        for _ in range(_MOST_REDIRECTS + 1):
            with self._answer(url, headers) as answer:
                if answer.status_code not in _REDIRECTS:
                    return self._take(answer, deadline)
                url = urljoin(answer.url, answer.headers.get("Location", ""))
        raise DownloadFailed(f"more than {_MOST_REDIRECTS} redirects")

    @contextlib.contextmanager
    def _answer(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Ask once, in turn, and give the answer's head; leaving hangs up."""
        import requests
        import urllib3

        prepared = self._prepare(url, headers)
        self._wait_for_turn()
        try:
            timeout = min(_CONNECT_SECONDS, self.manners.timeout), self.manners.timeout
            settings = self._session.merge_environment_settings(
                prepared.url,
                {},
                True,
                None,
                None,  # the body is read by us
            )
            answer = self._session.send(
                prepared, timeout=timeout, allow_redirects=False, **settings
            )
            with answer, self._listed(answer):
                yield answer
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _Again(_describe(error)) from error

    def _prepare(self, url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Write a request. Raises DownloadFailed for a URL that is none or leads elsewhere."""
        import requests
        from urllib3.util import parse_url

        try:
            prepared = self._session.prepare_request(requests.Request("GET", url, headers))
            # As those who send it read it: what is checked must be what is asked.
            parts = parse_url(prepared.url or "")
        except (requests.RequestException, ValueError) as error:
            raise DownloadFailed("not a URL that can be fetched") from error
        host = (parts.host or "").lower()
        if parts.scheme not in {"http", "https"} or parts.auth or not self.admits(host):
            where = f"{parts.scheme or 'no scheme'}://{host}"
            raise DownloadFailed(f"leads to {where}, which albo does not ask")
        return prepared

    def _wait_for_turn(self) -> None:
        while (pause := self._resume_at - monotonic()) > 0 and not self._stop.is_set():
            self._stop.wait(pause)
        while not self._stop.is_set() and not self._take_turn():
            self._stop.wait(_POLL_SECONDS)
        if self._stop.is_set():
            raise DownloadFailed("stopped")
        with self._lock:
            self.calls += 1

    @property
    def _session(self) -> requests.Session:
        """Return this thread's connections: a session is not made for several."""
        import requests

        found: requests.Session | None = getattr(self._local, "session", None)
        if found is None:
            found = requests.Session()
            found.headers["User-Agent"] = self.manners.user_agent
            found.auth = _no_login
            found.cookies.set_policy(_no_cookies())
            self._local.session = found
        return found

    @contextlib.contextmanager
    def _listed(self, answer: requests.Response) -> Iterator[None]:
        with self._lock:
            self._open.add(answer)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(answer)

    def _take(self, answer: requests.Response, deadline: float) -> Download:
        self._check_status(answer)
        if answer.status_code == _NOT_MODIFIED:
            if not _CONDITIONS & answer.request.headers.keys():
                raise DownloadFailed("304 Not Modified, though nothing was known of it")
            return Download(b"", answer.url, is_unchanged=True)
        body = self._body(answer, deadline)
        etag, modified = (answer.headers.get(name, "") for name in ("ETag", "Last-Modified"))
        return Download(body, answer.url, etag, modified)

    def _check_status(self, answer: requests.Response) -> None:
        """Raise _Again for what may pass, DownloadFailed for what will not."""
        status = answer.status_code
        if status < 300 or status == _NOT_MODIFIED:  # noqa: PLR2004
            return
        said = f"{status} {answer.reason or ''}".strip()
        if status not in {_FORBIDDEN, _TOO_MANY} and status < _SERVER_ERRORS:
            raise DownloadFailed(said)
        pause = _retry_after(answer.headers.get("Retry-After", ""))
        if pause > _LONGEST_PAUSE:
            self._failed = _GIVE_UP
            raise HostUnavailable(f"{said}: the server asks to come back in {pause:,.0f} seconds")
        # Not this call alone: whoever asks the same host waits as well.
        self._resume_at = max(self._resume_at, monotonic() + pause)
        raise _Again(said, pause, is_hosts=status != _FORBIDDEN)

    def _body(self, answer: requests.Response, deadline: float) -> bytes:
        """Read a body of bounded size in bounded time, however slowly it drips."""
        limit = self.manners.max_bytes
        too_long = f"more than {limit / 2**20:g} MiB"
        stated = answer.headers.get("Content-Length", "")
        if stated.isascii() and stated.isdigit() and int(stated) > limit:
            raise DownloadFailed(too_long)
        parts, length = [], 0
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            parts.append(chunk)
            length += len(chunk)
            if length > limit:
                raise DownloadFailed(too_long)
            if monotonic() > deadline:
                raise _Again(f"it took more than {self.manners.timeout:g} seconds")
        return b"".join(parts)


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


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send no password: without this, requests looks for one in ~/.netrc at each call."""
    return request


def _no_cookies() -> CookiePolicy:
    from http.cookiejar import DefaultCookiePolicy

    return DefaultCookiePolicy(allowed_domains=[])


def _describe(error: BaseException) -> str:
    """Say in a few words what went wrong on the wire; libraries say it in three lines."""
    import requests

    cause: BaseException | None = error
    while cause is not None:
        if (
            isinstance(cause, OSError)
            and cause.strerror
            and not isinstance(cause, requests.RequestException)
        ):
            return cause.strerror.lower()
        cause = _below(cause)
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return "no answer in time"
    return (
        "the connection broke" if "onnection" in f"{type(error)}{error}" else type(error).__name__
    )


def _below(error: BaseException) -> BaseException | None:
    """Return what an error was made of, as requests and urllib3 each have it."""
    reason = getattr(error, "reason", None)
    inner = (reason, *error.args, error.__cause__, error.__context__)
    return next((each for each in inner if isinstance(each, BaseException)), None)
