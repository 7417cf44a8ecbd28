"""Downloads: politeness, patience and limits, over real connections on loopback."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import pytest

from albo.errors import BadFeed, DownloadFailed, HostUnavailable, NotAsked, UsageError
from albo.sources import Downloads
from albo.sources.downloads import Download
from albo.sources.politeness import Politeness, retry_after
from tests.chart_server import (
    ChartServer,
    Served,
    body,
    cut,
    drip,
    endless,
    entry_of,
    hang,
    reset,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.whole

QUICK = Politeness(backoff=0.01, timeout=5.0, attempts=3)
CHART = "/us/rss/topalbums/genre=6/limit=200/json"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell"
HTML = b"<!doctype html><title>Sorry</title>"


def head(code: str = "200 OK", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {code}\r\n{''.join(lines)}\r\n".encode("latin-1")


@dataclass
class Wire:
    """A server that says what `talk` writes, for what HTTP libraries cannot say.

    talk : given the connection and the number of the request, from 0; returns True to hang up.
    """

    talk: Callable[[socket.socket, int], bool | None]
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    family: socket.AddressFamily = socket.AF_INET

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._listener = socket.create_server(
            ("::1" if self.family == socket.AF_INET6 else "127.0.0.1", 0),
            family=self.family,
            backlog=64,
        )
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in self.sockets:
            each.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self.sockets.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while asked := _read_head(connection):
                with self._lock:
                    number = len(self.heads)
                    self.heads.append(asked)
                    self.times.append(time.monotonic())
                if self.talk(connection, number):
                    break
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _read_head(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\r\n\r\n") and not found.startswith(b"\x16"):  # TLS
        more = connection.recv(65536)
        if not more:
            return b""
        found += more
    return found


def says(*answers: bytes, hang_up: bool = False) -> Wire:
    """Serve these answers in turn, the last of them for good."""

    def talk(connection: socket.socket, number: int) -> bool:
        connection.sendall(answers[min(number, len(answers) - 1)])
        return hang_up

    return Wire(talk)


def dripping(text: bytes, seconds: float, before: bytes = b"") -> Wire:
    def talk(connection: socket.socket, _: int) -> bool:
        connection.sendall(before)
        for at in range(len(text)):
            connection.sendall(text[at : at + 1])
            time.sleep(seconds)
        return True

    return Wire(talk)


def local(politeness: Politeness = QUICK) -> Downloads:
    return Downloads(lambda host: host in {"127.0.0.1", "::1", "localhost"}, politeness)


def as_is(data: bytes) -> bytes:
    return data


def as_json(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError as error:
        raise BadFeed("not JSON") from error


def art_path(number: int) -> str:
    return f"/image/thumb/Music/{number}.jpg/1000x1000bb.jpg"


def artwork(number: int) -> bytes:
    return b"\xff\xd8\xff" + struct.pack(">i", number) * 2000


@pytest.fixture
def charts() -> Iterator[ChartServer]:
    """Eight small albums of genre 6."""
    albums = [
        Served(
            entry_of(
                str(n),
                f"Album {n}",
                "Artist",
                genre_id=6,
                year=1999,
                art_url=f"http://is1-ssl.mzstatic.com/image/thumb/Music/{n}.jpg",
            ),
            6,
            lambda n=n: artwork(n),
        )
        for n in range(8)
    ]
    with ChartServer(albums) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def failure(
    server: Wire | ChartServer | str,
    politeness: Politeness = QUICK,
    read: Callable[[bytes], object] = as_is,
) -> DownloadFailed:
    """Fetch what cannot be had; return why, having seen that it can be shown as it is."""
    url = server if isinstance(server, str) else server.url
    with pytest.raises(DownloadFailed) as caught:
        local(politeness).get(url, read)
    return shown(caught.value)


def shown(error: DownloadFailed) -> DownloadFailed:
    text = str(error)
    assert text
    assert text.isprintable()
    assert len(text) < 120
    assert not re.search(r"://|Max retries|object at|0x[0-9a-f]{6}|\w(Error|Exception)\b|\(", text)
    return error


# --- what goes out and comes back ----------------------------------------------------------------


def test_a_chart_and_artwork_come_as_they_are(charts: ChartServer) -> None:
    downloads = local()
    found, feed = downloads.get(charts.url + CHART, as_json)
    assert found.data == charts.body_of(CHART)[0]
    assert feed == json.loads(found.data)
    assert found.url == charts.url + CHART
    assert not found.is_unchanged
    found, data = downloads.get(charts.url + art_path(3), as_is)
    assert found.data == data == artwork(3)
    assert downloads.calls == 2


def test_a_packed_body_comes_unpacked() -> None:
    data = b"words " * 50_000
    packed = gzip.compress(data)
    with says(head(Content_Encoding="gzip", Content_Length=str(len(packed))) + packed) as wire:
        assert local().get(wire.url, as_is)[1] == data
    assert b"gzip" in wire.heads[0]


def test_a_chunked_body_comes_whole() -> None:
    text = b"4\r\nwell\r\n5\r\n done\r\n0\r\n\r\n"
    with says(head(Transfer_Encoding="chunked") + text) as wire:
        downloads = local()
        for _ in range(3):
            assert downloads.get(wire.url, as_is)[1] == b"well done"
    assert wire.connections == 1


def test_an_empty_body_is_a_body() -> None:
    with says(head(Content_Length="0")) as wire:
        assert local().get(wire.url, as_is)[1] == b""


def test_connections_are_used_again_whatever_the_answer() -> None:
    not_modified = head("304 Not Modified", ETag='"a"')
    moved = head("302 Found", Location="/there", Content_Length="5") + b"there"
    absent = head("404 Not Found", Transfer_Encoding="chunked") + b"2\r\nno\r\n0\r\n\r\n"
    busy = head("503 Busy", Content_Length="4") + b"busy"
    with says(OK, not_modified, moved, OK, absent, busy, OK) as wire:
        downloads = local()
        downloads.get(wire.url, as_is)
        assert downloads.get(wire.url, as_is, etag='"a"')[0].is_unchanged
        downloads.get(wire.url, as_is)
        with pytest.raises(DownloadFailed, match="404 Not Found"):
            downloads.get(wire.url, as_is)
        for _ in range(20):
            downloads.get(wire.url, as_is)
    assert wire.connections == 1
    assert downloads.calls == len(wire.heads) == 26


def test_a_connection_that_the_server_closed_meanwhile_is_made_anew() -> None:
    with says(OK, hang_up=True) as wire:
        downloads = local()
        for _ in range(3):
            assert downloads.get(wire.url, as_is)[1] == b"well"
            time.sleep(0.05)
    assert wire.connections == 3


def test_what_comes_beyond_the_stated_length_is_not_the_next_answer() -> None:
    with says(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") as wire:
        downloads = local()
        for _ in range(5):
            assert downloads.get(wire.url, as_is)[1] == b"well"


def test_the_servers_are_told_who_asks() -> None:
    with says(OK) as wire:
        local().get(wire.url, as_is)
        local(Politeness(contact="mailto:me@example.org")).get(wire.url, as_is)
    plain, signed = (re.search(rb"User-Agent: (.*)\r", asked)[1] for asked in wire.heads)
    assert re.fullmatch(rb"albo/[\w.]+ \([^()]*\)", plain)
    assert re.fullmatch(rb"albo/[\w.]+ \([^()]*; contact: mailto:me@example\.org\)", signed)


@pytest.mark.parametrize(
    "contact", ["a\nb", "a\r\nX: y", "me@exämple.org", "x" * 201, "\0", "me\n"]
)
def test_a_contact_that_cannot_stand_in_a_header_is_refused(contact: str) -> None:
    with pytest.raises(UsageError, match="1 to 200 plain ASCII"):
        Politeness(contact=contact)


def test_no_cookie_is_kept_or_sent_back() -> None:
    baked = head("302 Found", Location="/b", Set_Cookie="a=1; Path=/", Content_Length="0")
    with says(baked, head(Set_Cookie="b=2", Content_Length="0"), OK) as wire:
        downloads = local()
        downloads.get(wire.url, as_is)
        downloads.get(wire.url, as_is)
    assert len(wire.heads) == 3
    assert not any(b"cookie" in asked.lower() for asked in wire.heads)


def test_no_password_is_taken_from_the_users_files(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".netrc", "_netrc"):
        (tmp_path / name).write_text("default login me password secret\n")
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with says(head("302 Found", Location="/b", Content_Length="0"), OK) as wire:
        local().get(wire.url, as_is)
    assert not any(b"authorization" in asked.lower() for asked in wire.heads)


def test_the_users_proxy_is_asked_in_the_hosts_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with says(OK) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        downloads = Downloads(lambda host: host == "charts.example", QUICK)
        assert downloads.get("http://charts.example/a", as_is)[1] == b"well"
        with pytest.raises(DownloadFailed, match=r"leads to other\.example"):
            downloads.get("http://other.example/a", as_is)
    assert [asked.split()[1] for asked in proxy.heads] == [b"http://charts.example/a"]


# --- conditional requests ------------------------------------------------------------------------


def test_what_did_not_change_does_not_come_again(charts: ChartServer) -> None:
    downloads = local()
    first, _ = downloads.get(charts.url + CHART, as_json)
    assert first.etag
    again, feed = downloads.get(charts.url + CHART, as_json, etag=first.etag)
    assert again == Download(b"", charts.url + CHART, is_unchanged=True)
    assert feed is None
    assert charts.unchanged[CHART] == 1


def test_validators_are_sent_as_they_came() -> None:
    day = "Tue, 01 Jul 2025 00:00:00 GMT"
    validated = head(ETag='W/"a b"', Last_Modified=day, Content_Length="0")
    with says(validated) as wire:
        downloads = local()
        found, _ = downloads.get(wire.url, as_is)
        assert (found.etag, found.modified) == ('W/"a b"', day)
        downloads.get(wire.url, as_is, etag=found.etag, modified=found.modified)
    assert b"If-" not in wire.heads[0]
    assert b'If-None-Match: W/"a b"\r\n' in wire.heads[1]
    assert f"If-Modified-Since: {day}\r\n".encode() in wire.heads[1]


@pytest.mark.parametrize("etag", ['"\x01"', '"' + "x" * 300 + '"', '"é"'])
def test_a_validator_that_could_not_be_sent_back_is_none(etag: str) -> None:
    with says(head(ETag=etag, Content_Length="0")) as wire:
        assert local().get(wire.url, as_is)[0].etag == ""


@pytest.mark.parametrize("etag", ['"a\r\nX: y"', '"\u2603"', ' "a"'])
def test_a_known_validator_that_cannot_be_sent_is_left_out(etag: str) -> None:
    with says(OK) as wire:
        assert local().get(wire.url, as_is, etag=etag, modified=etag)[1] == b"well"
    assert b"If-" not in wire.heads[0]


def test_unchanged_is_no_answer_to_who_knows_nothing() -> None:
    with says(head("304 Not Modified")) as wire:
        assert "though nothing was fetched before" in str(failure(wire))
    assert len(wire.heads) == 1


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said", "asked", "kind"),
    [
        (300, "300 Multiple Choices", 1, DownloadFailed),
        (404, "404 Not Found", 1, DownloadFailed),
        (410, "410 Gone", 1, DownloadFailed),
        (204, "204 No Content", 1, DownloadFailed),
        (206, "206 Partial Content", 1, DownloadFailed),
        (799, "799", 3, HostUnavailable),
        (403, "403 Forbidden", 3, HostUnavailable),
        (429, "429 Too Many Requests", 3, HostUnavailable),
        (500, "500 Internal Server Error", 3, HostUnavailable),
        (503, "503 Service Unavailable", 3, HostUnavailable),
    ],
)
def test_a_status_fails_or_is_tried_again(
    code: int, said: str, asked: int, kind: type[DownloadFailed]
) -> None:
    answer = head(f"{code} \x1b[31mno\x85way", Content_Length="0")
    with says(answer) as wire:
        error = failure(wire)
    assert str(error) == said
    assert type(error) is kind
    assert len(wire.heads) == asked


@pytest.mark.parametrize("code", [403, 429, 500, 502, 503])
def test_what_passes_is_waited_out(charts: ChartServer, code: int) -> None:
    charts.fail("rss", status(code), times=2)
    assert local().get(charts.url + CHART, as_json)[1]["feed"]
    assert charts.seen[CHART] == 3


def test_a_broken_connection_is_made_anew(charts: ChartServer) -> None:
    charts.fail("1000x1000", reset, times=2)
    assert local().get(charts.url + art_path(1), as_is)[1] == artwork(1)
    charts.fail("1000x1000", reset)
    error = failure(charts.url + art_path(2))
    assert isinstance(error, HostUnavailable)
    assert str(error) in {"connection reset by peer", "the connection broke"}


def test_damaged_data_is_asked_for_again_and_its_reason_given(charts: ChartServer) -> None:
    charts.fail("rss", cut(0.5), times=2)
    assert local().get(charts.url + CHART, as_json)[1]["feed"]
    charts.fail("rss", body(HTML, "text/html"))
    error = failure(charts.url + CHART, read=as_json)
    assert (str(error), type(error)) == ("not JSON", DownloadFailed)
    assert charts.seen[CHART] == 6


@pytest.mark.parametrize(
    "answer",
    [
        head(Content_Length="9") + b"half",
        head(Transfer_Encoding="chunked") + b"9\r\nhalf",
        head(Transfer_Encoding="chunked") + b"4\r\nhalf\r\n",
        head(Transfer_Encoding="chunked") + b"4\r\nhalf\r\nzz\r\n",
        b"HTTP/1.1 20",
        b"nonsense\r\n\r\n",
        head(**{f"X-{n}": "y" for n in range(200)}),
        b"HTTP/1.1 200 " + b"x" * 70_000,
        b"",
    ],
)
def test_half_an_answer_is_none(answer: bytes) -> None:
    with says(answer, hang_up=True) as wire:
        error = failure(wire)
    assert str(error) in {"the connection broke", "the answer cannot be unpacked"}
    assert isinstance(error, HostUnavailable)
    assert len(wire.heads) == 3


def test_damaged_packing_is_said_so() -> None:
    with says(head(Content_Encoding="gzip", Content_Length="4") + b"well") as wire:
        assert str(failure(wire)) == "the answer cannot be unpacked"


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert str(failure(f"http://127.0.0.1:{port}/")) == "connection refused"


def test_nobody_knows_the_host() -> None:
    with pytest.raises(HostUnavailable) as caught:
        Downloads(lambda _: True, QUICK).get("http://nowhere.invalid/", as_is)
    assert re.search("name|known|resol", str(shown(caught.value)))


def test_a_server_that_speaks_no_tls() -> None:
    with says(OK, hang_up=True) as wire:
        error = failure(wire.url.replace("http", "https"))
    assert str(error).startswith("no secure connection")


# --- time ----------------------------------------------------------------------------------------

HASTY = Politeness(backoff=0.01, timeout=0.4, attempts=2)


def test_a_silent_server_is_not_waited_for(charts: ChartServer) -> None:
    charts.fail("rss", hang(3.0))
    with at_most(2.0):
        error = failure(charts.url + CHART, HASTY)
    assert str(error) in {"no answer in time", "it took more than 0.4 seconds"}


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        head(Content_Length="200"),
        head(Connection="close"),
        head(Transfer_Encoding="chunked"),
        head(Transfer_Encoding="chunked") + b"1000;",
        head("404 Not Found", Content_Length="200"),
    ],
    ids=["status", "headers", "body", "unstated", "chunk size", "chunk", "rest"],
)
def test_each_byte_in_time_does_not_make_the_whole_in_time(before: bytes) -> None:
    with dripping(b"0" * 200, 0.05, before) as wire, at_most(2.0):
        error = failure(wire, HASTY)
    assert str(error) == "it took more than 0.4 seconds"
    assert len(wire.heads) == 2


def test_packed_nothing_does_not_go_on_for_ever() -> None:
    before = head(Content_Encoding="gzip") + gzip.compress(b"")[:10]
    with dripping(b"\x00\x00\x00\xff\xff" * 40, 0.02, before) as wire, at_most(2.0):
        assert str(failure(wire, HASTY)) == "it took more than 0.4 seconds"


def test_a_dripping_chart_takes_too_long(charts: ChartServer) -> None:
    charts.fail("rss", drip(0.02))
    with at_most(2.0):
        assert str(failure(charts.url + CHART, HASTY)) == "it took more than 0.4 seconds"


def test_waiting_for_a_turn_takes_nothing_from_the_time_to_answer() -> None:
    slow = Politeness(seconds_apart=0.3, timeout=0.5, attempts=1)
    with says(OK) as wire, ThreadPoolExecutor(5) as pool:
        found = list(pool.map(lambda get: get(wire.url, as_is)[1], [local(slow).get] * 5))
        shared = local(slow)
        found += list(pool.map(lambda _: shared.get(wire.url, as_is)[1], range(5)))
    assert found == [b"well"] * 10


# --- size ----------------------------------------------------------------------------------------

SMALL = Politeness(backoff=0.01, timeout=5.0, attempts=3, max_bytes=1 << 20)


def test_a_body_that_says_it_is_too_long_is_not_read(charts: ChartServer) -> None:
    with says(head(Content_Length=str(300 << 20))) as wire, at_most(1.0):  # and then nothing
        error = failure(wire, SMALL)
    assert (str(error), type(error)) == ("more than 1 MiB", DownloadFailed)
    charts.fail("1000x1000", endless(300, stated=True))
    with at_most(1.0):
        assert str(failure(charts.url + art_path(1), SMALL)) == "more than 1 MiB"
    assert charts.seen[art_path(1)] == len(wire.heads) == 1


def test_a_body_without_end_is_read_to_the_limit(charts: ChartServer) -> None:
    charts.fail("1000x1000", endless(300, stated=False))
    tracemalloc.start()
    try:
        with at_most(3.0):
            assert str(failure(charts.url + art_path(1), SMALL)) == "more than 1 MiB"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20  # the server's own part included
    finally:
        tracemalloc.stop()


def test_a_body_of_the_limit_is_not_too_long() -> None:
    with says(head(Content_Length=str(1 << 20)) + bytes(1 << 20)) as wire:
        assert len(local(SMALL).get(wire.url, as_is)[1]) == 1 << 20


@pytest.mark.parametrize("rounds", [1, 2])
def test_what_unpacks_without_end_is_unpacked_to_the_limit(rounds: int) -> None:
    packed = bytes(200 << 20)
    for _ in range(rounds):
        packed = gzip.compress(packed, 1 if rounds == 1 else 9)
    encoding = ", ".join(["gzip"] * rounds)
    with says(head(Content_Encoding=encoding, Content_Length=str(len(packed))) + packed) as wire:
        tracemalloc.start()
        try:
            assert str(failure(wire, SMALL)) == "more than 1 MiB"
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("length", ["-1", "four", "9" * 5000, "+4", "4.0", ""])
def test_a_length_that_is_none_is_not_believed(length: str) -> None:
    with says(head(Content_Length=length) + b"well", hang_up=True) as wire:
        assert local().get(wire.url, as_is)[1] == b"well"


def test_lengths_that_contradict_each_other_are_no_answer() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 9\r\n\r\nwell"
    with says(answer, hang_up=True) as wire:
        assert str(failure(wire)) in {"the answer is not HTTP", "the connection broke"}


# --- hosts and addresses -------------------------------------------------------------------------


def moved(where: str, code: int = 302) -> bytes:
    return head(f"{code} Moved", Location=where, Content_Length="0")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_where_it_may_be(code: int) -> None:
    with says(OK) as there, says(moved(f"{there.url}b%20c?d=\xc3\xa9", code)) as here:
        downloads = local()
        found, data = downloads.get(here.url + "a", as_is)
    assert data == b"well"
    assert there.heads[0].startswith(b"GET /b%20c?d=%C3%A9 ")
    assert urlsplit(found.url).port == there.port
    assert downloads.calls == 2


def test_a_relative_redirect_is_followed() -> None:
    with says(moved("../b?c"), OK) as wire:
        assert local().get(wire.url + "x/y/z", as_is)[0].url == wire.url + "x/b?c"


def test_a_redirect_elsewhere_is_refused_before_anyone_is_asked() -> None:
    with says(OK) as there:
        elsewhere = there.url.replace("127.0.0.1", "localhost")
        with says(moved(elsewhere)) as here:
            downloads = Downloads(lambda host: host == "127.0.0.1", QUICK)
            with pytest.raises(DownloadFailed, match="leads to localhost, which") as caught:
                downloads.get(here.url, as_is)
    shown(caught.value)
    assert (there.connections, len(here.heads), downloads.calls) == (0, 1, 1)


@pytest.mark.parametrize(
    "where",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a",
        "data:,well",
        "javascript:alert(1)",
        "mailto:me@example.org",
        "unix:///run/a.sock",
        "http+unix://%2Frun/a",
        "http://[bad/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/\xe9",
        "http://user:secret@127.0.0.1/",
        "//evil.example/a",
        "\\\\evil.example\\a",
    ],
)
def test_a_redirect_to_what_is_not_asked_is_an_error(where: str) -> None:
    with says(moved(where), head("404 Not Found", Content_Length="0")) as wire:
        error = failure(wire)
    assert type(error) is DownloadFailed
    assert "secret" not in str(error)
    assert len(wire.heads) == (2 if where.startswith("\\") else 1)  # a path, to RFC 3986


@pytest.mark.parametrize("answer", [head("302 Found", Content_Length="0"), moved("")])
def test_a_redirect_that_leads_nowhere_is_not_followed(answer: bytes) -> None:
    with says(answer) as wire:
        assert str(failure(wire)) == "a redirect that does not say where to"
    assert len(wire.heads) == 1


def test_the_body_of_a_redirect_is_not_read(charts: ChartServer) -> None:
    def act(handler: object) -> None:
        handler.send_response(302)
        handler.send_header("Location", art_path(2))
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        for _ in range(300):
            handler.wfile.write(bytes(1 << 20))

    charts.fail(art_path(1), act)
    with at_most(2.0):
        assert local().get(charts.url + art_path(1), as_is)[1] == artwork(2)


def test_redirects_end() -> None:
    with says(moved("/")) as wire:
        assert str(failure(wire)) == "more than 5 redirects"
    assert len(wire.heads) == 6


@pytest.mark.parametrize(
    "url",
    [
        "http://a.mzstatic.com@{evil}/",
        "http://a.mzstatic.com:80@{evil}/",
        "http://{evil}\\.mzstatic.com/",
        "http://{evil}\\@a.mzstatic.com/",
        "http://{evil}#.mzstatic.com/",
        "http://{evil}?.mzstatic.com/",
        "http://{evil}/.mzstatic.com/",
        "http://{evil}\t/.mzstatic.com/",
        "http://\n{evil}/.mzstatic.com/",
        "http://{evil}%2f.mzstatic.com/",
        "http://{evil}%00.mzstatic.com/",
        "http://{evil};.mzstatic.com/",
        "http://a.mzstatic.com./",
        "http://a\u3002mzstatic\uff0ecom/",
        "http://evil\uff0f.mzstatic.com/",
        "http://a.mzstatic.com:99999/",
        "http://[::1].mzstatic.com/",
        "http:{evil}",
        "//{evil}/",
        "{evil}",
        "",
        "http://x\x1b[31m.example/",
        "http://" + "x" * 500 + ".example/",
        "http://a..mzstatic.com/",
        "http://" + "x" * 64 + ".mzstatic.com/",
    ],
)
def test_no_address_fools_the_check(url: str) -> None:
    asked: list[str] = []

    def admits(host: str) -> bool:
        asked.append(host)
        return host.endswith(".mzstatic.com") and "127.0.0.1" not in host

    with says(OK) as evil:
        downloads = Downloads(admits, QUICK)
        with pytest.raises(DownloadFailed) as caught:
            downloads.get(url.format(evil=f"127.0.0.1:{evil.port}"), as_is)
    assert type(shown(caught.value)) is DownloadFailed
    assert evil.connections == 0
    assert all(host == host.lower() and ":" not in host for host in asked)


def test_what_is_checked_is_what_is_asked() -> None:
    asked: list[str] = []
    with says(OK) as wire:
        downloads = Downloads(lambda host: not asked.append(host), QUICK)
        downloads.get(f"HTTP://LOCALHOST:{wire.port}\\@a.mzstatic.com/?b#c", as_is)
    assert asked == ["localhost"]
    assert wire.heads[0].startswith(b"GET /%5C@a.mzstatic.com/?b HTTP/1.1\r\n")
    assert f"Host: localhost:{wire.port}\r\n".encode() in wire.heads[0]


def test_an_ipv6_host_goes_without_brackets() -> None:
    try:
        wire = says(OK)
        wire.family = socket.AF_INET6
        wire.__enter__()
    except OSError:
        pytest.skip("no IPv6 on loopback here")
    asked: list[str] = []
    try:
        Downloads(lambda host: not asked.append(host)).get(f"http://[::1]:{wire.port}/", as_is)
    finally:
        wire.__exit__()
    assert asked == ["::1"]


# --- trying again, and giving up -----------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_a_thing_is_asked_for_as_often_as_stated(attempts: int) -> None:
    with says(head("500 No", Content_Length="0")) as wire:
        failure(wire, Politeness(backoff=0.001, attempts=attempts))
    assert len(wire.heads) == attempts


def test_waits_grow_and_differ() -> None:
    def waits() -> list[float]:
        with says(head("500 No", Content_Length="0")) as wire:
            failure(wire, Politeness(backoff=0.05, attempts=4))
        return [after - before for before, after in zip(wire.times, wire.times[1:], strict=False)]

    beyond = [
        wait - expected
        for found in (waits(), waits(), waits())
        for expected, wait in zip((0.05, 0.1, 0.2), found, strict=True)
    ]
    assert min(beyond) > -0.005
    assert max(beyond) < 0.05 + 0.2
    assert max(beyond) - min(beyond) > 0.01


def test_retry_after_holds_for_every_thread() -> None:
    busy = head("429 Slow down", Retry_After="1", Content_Length="0")
    with says(busy, OK) as wire, ThreadPoolExecutor(4) as pool:
        downloads = local()
        first = pool.submit(downloads.get, wire.url, as_is)
        time.sleep(0.2)
        rest = [pool.submit(downloads.get, wire.url, as_is) for _ in range(3)]
        assert all(each.result()[1] == b"well" for each in (first, *rest))
    assert len(wire.heads) == 5
    assert 0.95 < wire.times[1] - wire.times[0] < 1.6


def test_retry_after_may_be_a_date() -> None:
    soon = formatdate(time.time() + 2, usegmt=True)
    with says(head("503 Busy", Retry_After=soon, Content_Length="0"), OK) as wire:
        local().get(wire.url, as_is)
    assert 0.9 < wire.times[1] - wire.times[0] < 2.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *[("", 0), ("0", 0), ("7", 7), (" 7 ", 7), ("-7", 0), ("7.5", 0), ("soon", 0)],
        *[("\uff11", 0), ("9" * 5000, 0), (", ,", 0), ("1 2 3 4 5 6 7", 0)],
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Foo 99999 99:99", 0),
        ("Mon, 1 Jan 999999999999 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


# Named here: two workers that collect at different seconds must collect the same tests.
@pytest.mark.parametrize(
    "value",
    ["301", "9" * 400, formatdate(time.time() + 900, usegmt=True)],
    ids=["seconds", "a long number", "a date"],
)
def test_a_long_retry_after_ends_it_all_at_once(value: str) -> None:
    answer = head("429 Slow down", Retry_After=value, Content_Length="0")
    with says(answer) as wire, at_most(2.0):
        downloads = local()
        with pytest.raises(HostUnavailable, match=r"429 Too Many Requests: .*come back in") as said:
            downloads.get(wire.url, as_is)
        shown(said.value)
        with pytest.raises(HostUnavailable, match=r"not asked for: .*come back in"):
            downloads.get(wire.url, as_is)
    assert len(wire.heads) == 1


def test_a_long_retry_after_outlives_another_threads_success() -> None:
    asked = threading.Event()

    def talk(connection: socket.socket, number: int) -> None:
        if number == 0:
            asked.wait(2.0)
            time.sleep(0.1)
            connection.sendall(OK)
        else:
            connection.sendall(head("429 No", Retry_After="3600", Content_Length="0"))
            asked.set()

    with Wire(talk) as wire, ThreadPoolExecutor(1) as pool:
        downloads = local()
        slow = pool.submit(downloads.get, wire.url, as_is)
        time.sleep(0.1)
        with pytest.raises(HostUnavailable, match="3,600 seconds"):
            downloads.get(wire.url, as_is)
        assert slow.result()[1] == b"well"
        with pytest.raises(HostUnavailable, match="not asked for"):
            downloads.get(wire.url, as_is)
    assert len(wire.heads) == 2


def test_a_long_retry_after_ends_others_backoff() -> None:
    busy = head("429 No", Retry_After="200", Content_Length="0")
    long = head("429 No", Retry_After="3600", Content_Length="0")
    both = threading.Barrier(2)

    def talk(connection: socket.socket, number: int) -> None:
        both.wait(2.0)
        time.sleep(0.2 * number)
        connection.sendall(long if number else busy)

    with Wire(talk) as wire, ThreadPoolExecutor(2) as pool, at_most(3.0):
        downloads = local()
        both_asked = [pool.submit(downloads.get, wire.url, as_is) for _ in range(2)]
        errors = [str(each.exception(timeout=3.0)) for each in both_asked]
    assert all("3,600 seconds" in error for error in errors)


@pytest.mark.parametrize("code", [403, 500])
def test_after_some_failures_in_a_row_no_more_is_asked(charts: ChartServer, code: int) -> None:
    downloads = local(replace(QUICK, give_up=4))
    fault = charts.fail("1000x1000", status(code))
    for n in range(4):
        with pytest.raises(HostUnavailable, match=str(code)):
            downloads.get(charts.url + art_path(n), as_is)
    assert downloads.calls == 12
    fault.times = 0
    with pytest.raises(NotAsked, match="not asked for: the server failed too often"):
        downloads.get(charts.url + art_path(4), as_is)
    assert downloads.calls == 12


def test_a_success_in_between_is_a_new_beginning(charts: ChartServer) -> None:
    downloads = local()
    charts.fail("/[0-6].jpg", status(500))
    for n in range(6):
        with pytest.raises(HostUnavailable, match="500"):
            downloads.get(charts.url + art_path(n), as_is)
        if n % 2:
            downloads.get(charts.url + art_path(7), as_is)


@pytest.mark.parametrize(
    ("act", "reason"),
    [(status(404), "404"), (body(HTML, "text/html"), "not JSON")],
)
def test_what_is_not_the_hosts_fault_does_not_count(
    charts: ChartServer, act: Callable[..., None], reason: str
) -> None:
    downloads = local()
    fault = charts.fail("rss", act)
    for _ in range(5):
        with pytest.raises(DownloadFailed, match=reason) as caught:
            downloads.get(charts.url + CHART, as_json)
        assert type(caught.value) is DownloadFailed
    fault.times = 0
    assert downloads.get(charts.url + CHART, as_json)[1]


def test_what_a_reader_raises_beside_that_is_the_callers() -> None:
    def read(_: bytes) -> None:
        raise KeyError("mine")

    with says(OK) as wire, pytest.raises(KeyError, match="mine"):
        local().get(wire.url, read)
    assert len(wire.heads) == 1


# --- rate ----------------------------------------------------------------------------------------


def test_calls_keep_apart_whoever_makes_them_and_why() -> None:
    answers = [OK, head("500 No", Content_Length="0"), moved("/b"), OK, moved("/c"), OK]
    with says(*answers) as wire, ThreadPoolExecutor(8) as pool:
        downloads = local(Politeness(seconds_apart=0.05, backoff=0.001, timeout=5.0))
        began = time.monotonic()
        found = list(pool.map(lambda _: downloads.get(wire.url, as_is)[1], range(17)))
    assert found == [b"well"] * 17
    assert len(wire.times) == downloads.calls == 20
    # One call may come late and the next in time, so that a single gap says nothing.
    early = [place * 0.05 - (when - began) for place, when in enumerate(sorted(wire.times))]
    assert max(early) < 0.01
    gaps = [after - before for before, after in pairwise(sorted(wire.times))]
    assert median(gaps) > 0.04


def test_without_a_rate_nothing_is_waited_for() -> None:
    with says(OK) as wire, at_most(1.0):
        downloads = local()
        for _ in range(100):
            downloads.get(wire.url, as_is)


# --- stopping ------------------------------------------------------------------------------------


def stopped(downloads: Downloads, url: str, after: float) -> DownloadFailed:
    """Stop a download after so many seconds; return what it ended with."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(downloads.get, url, as_is)
        time.sleep(after)
        assert not coming.done()
        with at_most(0.5):
            downloads.stop()
            error = coming.exception(timeout=5.0)
    assert isinstance(error, DownloadFailed)
    assert str(error) == "stopped"
    calls = downloads.calls
    with at_most(0.1), pytest.raises(DownloadFailed, match="stopped"):
        downloads.get(url, as_is)
    assert downloads.calls == calls
    return error


def test_stop_while_waiting_for_a_turn() -> None:
    with says(OK) as wire:
        downloads = local(Politeness(seconds_apart=60.0))
        downloads.get(wire.url, as_is)
        stopped(downloads, wire.url, 0.2)
    assert len(wire.heads) == 1


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "200"}], ids=["backoff", "pause"])
def test_stop_while_waiting_to_try_again(headers: dict[str, str]) -> None:
    with says(head("503 Busy", Content_Length="0", **headers)) as wire:
        stopped(local(Politeness(backoff=30.0)), wire.url, 0.2)
    assert len(wire.heads) == 1


@pytest.mark.parametrize(
    "before",
    [head(Content_Length="1000"), head(Connection="close"), head(Transfer_Encoding="chunked"), b""],
    ids=["stated", "unstated", "chunked", "head"],
)
def test_stop_while_it_drips(before: bytes) -> None:
    with dripping(b"0" * 100, 0.05, before) as wire:
        stopped(local(Politeness(timeout=30.0)), wire.url, 0.3)
    assert len(wire.heads) == 1


def test_stop_while_the_server_says_nothing() -> None:
    with Wire(lambda *_: time.sleep(3.0)) as wire:
        stopped(local(Politeness(timeout=30.0)), wire.url, 0.2)


# --- many at once --------------------------------------------------------------------------------


def test_threads_do_not_mix_up_what_they_get(charts: ChartServer) -> None:
    downloads = local()

    def fetch(n: int) -> bool:
        return downloads.get(charts.url + art_path(n % 8), as_is)[1] == artwork(n % 8)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fetch, range(400)))
    assert downloads.calls == charts.answered.total() == 400
