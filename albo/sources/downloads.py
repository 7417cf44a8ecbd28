"""Polite downloads from foreign servers.

The rate of calls and the pauses are in `politeness`, sockets and deadlines in `connections`. This
module sends requests, follows redirects, retries, and checks limits. Each host is asked at a steady
rate, never in bursts. When a host asks for a pause, all calls to it wait. When a call fails, it is
repeated after growing waits. After repeated failures the host is not asked again. Redirects are
followed here, so that only hosts that the caller admits are asked.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from albo.errors import BadFeed, DownloadFailed, HostUnavailable
from albo.sources.connections import Line, Watch, describe_error
from albo.sources.politeness import AttemptFailed, Politeness, Turns, is_header, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests
    import tenacity

    T = TypeVar("T")


_LONGEST_BACKOFF = 60.0
_LONGEST_PAUSE = 300.0  # seconds; for a longer pause the download fails and the user is told
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_WHOLE = (200, 203)
_NOT_MODIFIED = 304
_FORBIDDEN = 403
_TOO_MANY = 429
_SERVER_ERRORS = 500
_CONDITIONS = {"If-None-Match", "If-Modified-Since"}
_CHUNK = 1 << 16
_NO_URL = "not a URL that can be fetched"
_HOST = re.compile(r"[a-z0-9_.:-]{1,100}")


@dataclass(frozen=True, slots=True)
class Download:
    """The result of a download."""

    data: bytes
    """Its bytes, unpacked."""
    url: str
    """The final URL, after redirects."""
    etag: str = ""
    """Its ETag for the next request; "" for none."""
    modified: str = ""
    """Its Last-Modified for the next request; "" for none."""
    is_unchanged: bool = False
    """Whether the caller's copy is current, as the server says; `data` is then empty."""


@dataclass
class Downloads:
    """Fetches from hosts that the caller admits. Thread-safe."""

    admits: Callable[[str], bool]
    """Whether a host may be asked; gets its name in lower case, without a port."""
    politeness: Politeness = field(default_factory=Politeness)
    """How the hosts are treated."""

    def __post_init__(self) -> None:
        """Prepare the state; nothing is sent yet."""
        self._stop = threading.Event()
        self._local = threading.local()
        self._turns = Turns(self.politeness, self._stop)
        self._watch = Watch(self.politeness.timeout, self._stop)

    @property
    def calls(self) -> int:
        """How many requests were made."""
        return self._turns.calls

    def stop(self) -> None:
        """End every download, in all threads, as soon as possible."""
        self._stop.set()

    def get(
        self,
        url: str,
        read: Callable[[bytes], T],
        *,
        etag: str = "",
        modified: str = "",
    ) -> tuple[Download, T | None]:
        """Fetch a URL, with retries, and read the answer.

        Parameters
        ----------
        read : reads the bytes; raises BadFeed for damaged ones, which are then fetched again.
        etag, modified : validators of the caller's copy. If that is current, the answer is
            `is_unchanged`, with None in place of the value of `read`.

        Raises DownloadFailed with the reason; HostUnavailable if the host failed, so that the URL
        may be good.
        """
        validators = {"If-None-Match": _validator(etag), "If-Modified-Since": _validator(modified)}
        headers = {name: value for name, value in validators.items() if value}
        try:
            for attempt in self._attempts():
                with attempt:
                    found = self._fetch(url, headers)
                    result = None if found.is_unchanged else _read(read, found)
        except AttemptFailed as error:
            raise self._failure(error) from error
        self._turns.count_success()
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
            # A pause that the host asks for is waited for in `Turns`, by all callers.
            wait=wait_exponential(backoff, _LONGEST_BACKOFF) + wait_random(0, backoff),
            retry=retry_if_exception_type(AttemptFailed),
            reraise=True,
        )

    def _failure(self, error: AttemptFailed) -> DownloadFailed:
        """Count a download whose last attempt failed, and return its error."""
        if self._stop.is_set():
            return DownloadFailed("stopped")
        if not error.is_hosts:
            return DownloadFailed(str(error))
        self._turns.count_failure()
        return HostUnavailable(str(error))

    # --- one attempt -----------------------------------------------------------------------------

    def _fetch(self, url: str, headers: Mapping[str, str]) -> Download:
        """Fetch once, following redirects and checking each host before it is asked."""
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
        """Send one request in turn, and give the head of the answer; leaving closes it."""
        import requests
        import urllib3

        prepared = self._prepare(url, headers)
        self._turns.wait()
        try:
            line = self._line
            with (
                self._watch.over(line.sockets),
                line.send(prepared, self.politeness.longest_silence) as answer,
            ):
                yield answer
        except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError) as error:
            raise DownloadFailed(_NO_URL) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise AttemptFailed(describe_error(error)) from error

    def _prepare(self, url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Prepare a request. Raises DownloadFailed for an invalid URL or a host not admitted."""
        import requests

        try:
            prepared = self._line.prepare(url, headers)
            # Parsed as requests parses it: the checked host must be the host that is asked.
            parts = urlsplit(prepared.url or "")
            host = parts.hostname or ""
        except (requests.RequestException, ValueError) as error:
            raise DownloadFailed(_NO_URL) from error
        is_web = parts.scheme in {"http", "https"} and "@" not in parts.netloc
        if not is_web or not self.admits(host):
            raise DownloadFailed(f"leads to {_place(parts)}, which albo does not ask")
        return prepared

    def _redirect(self, answer: requests.Response) -> str:
        """Return the target of a redirect. Raises DownloadFailed if there is none."""
        try:
            target = self._line.session.get_redirect_target(answer)
            if target:
                return urljoin(answer.url, target)
        except ValueError as error:
            raise DownloadFailed("a redirect to no URL") from error
        raise DownloadFailed("a redirect that does not say where to")

    @property
    def _line(self) -> Line:
        """Return this thread's connections: a session is not thread-safe."""
        found: Line | None = getattr(self._local, "line", None)
        if found is None:
            found = self._local.line = Line(self.politeness.user_agent)
        return found

    def _take(self, answer: requests.Response) -> Download:
        self._check_status(answer)
        if answer.status_code == _NOT_MODIFIED:
            if not _CONDITIONS & answer.request.headers.keys():
                raise DownloadFailed("304 Not Modified, though nothing was fetched before")
            return Download(b"", answer.url, is_unchanged=True)
        body = self._body(answer)
        etag, modified = (
            _validator(answer.headers.get(name, "")) for name in ("ETag", "Last-Modified")
        )
        return Download(body, answer.url, etag, modified)

    def _check_status(self, answer: requests.Response) -> None:
        """Raise AttemptFailed for temporary errors, DownloadFailed for permanent ones."""
        status = answer.status_code
        if status in _WHOLE or status == _NOT_MODIFIED:
            return
        # Not the server's own words, which may be anything.
        said = f"{status} {http.client.responses.get(status, '')}".strip()
        if status not in {_FORBIDDEN, _TOO_MANY} and status < _SERVER_ERRORS:
            raise DownloadFailed(said)
        pause = retry_after(answer.headers.get("Retry-After", ""))
        if pause > _LONGEST_PAUSE:
            refusal = f"the server asks to come back in {pause:,.0f} seconds"
            self._turns.end(refusal)
            raise HostUnavailable(f"{said}: {refusal}")
        # All calls to the same host wait, not only this one.
        self._turns.pause(pause)
        raise AttemptFailed(said)

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


def _pass_over_body(answer: requests.Response) -> None:
    """Read the rest of the body, if it is short, so that the connection can be reused."""
    import urllib3

    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        answer.raw.read(_CHUNK, decode_content=False)


def _validator(value: str) -> str:
    """Return a validator if it can be sent unchanged; else ""."""
    return value if is_header(value) else ""


def _place(parts: SplitResult) -> str:
    """Return a URL's host in printable form, or the kind of URL without one."""
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
        raise AttemptFailed(str(error), is_hosts=False) from error
