"""A server of album charts and artwork on loopback, with faults that can be switched on.

It answers as iTunes does: `/us/rss/topalbums/genre=6/limit=200/json` is a feed, and a path that
ends in `1000x1000bb.jpg` is artwork. What its charts list is given: real feeds replayed (their
artwork's address is changed to this server's), or feeds made of covers with their labels.

    python -m tests.chart_server FOLDER      serves the covers of FOLDER/labels.csv until Ctrl-C
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from albo.errors import UsageError
from albo.genres import find_genre, genre_of, umbrella_of, umbrellas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from albo.genres import Genre

Json = dict[str, Any]

_CHART = re.compile(r"/([a-z]{2})/rss/topalbums/genre=(\d+)/limit=(\d+)/json")
_MOST = 100  # as iTunes does, whatever it is asked for
_SAMPLE_SPELLINGS = {"Holiday_Music": "Holiday", "Rnb_Soul": "R&B/Soul", "Hip-Hop": "Hip-Hop/Rap"}


# --- what charts list ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """An album that charts list: its entry, the genre id that it is under, and its artwork.

    is_in_umbrella : whether the chart of the umbrella genre lists it too.
    """

    entry: Json
    genre_id: int
    artwork: Callable[[], bytes]
    is_in_umbrella: bool = True


def entry_of(
    album_id: str, name: str, artist: str, *, genre_id: int, year: int | None, art_url: str
) -> Json:
    """Make a feed's entry in iTunes' form."""
    genre = genre_of(genre_id)
    named = genre.name if genre else f"Genre {genre_id}"
    link = f"https://music.apple.com/us/album/album/{album_id}?uo=2"
    artist_id = int(hashlib.sha256(artist.encode()).hexdigest()[:8], 16)
    return {
        "im:name": {"label": name},
        "im:image": [
            {"label": f"{art_url}/{n}x{n}bb.png", "attributes": {"height": str(n)}}
            for n in (55, 60, 170)
        ],
        "im:itemCount": {"label": "12"},
        "im:price": {"label": "$9.99", "attributes": {"amount": "9.99", "currency": "USD"}},
        "im:contentType": {"attributes": {"term": "Music", "label": "Music"}},
        "rights": {"label": f"℗ {year or ''} {artist}"},
        "title": {"label": f"{name} - {artist}"},
        "link": {"attributes": {"rel": "alternate", "type": "text/html", "href": link}},
        "id": {"label": link, "attributes": {"im:id": album_id}},
        "im:artist": {
            "label": artist,
            "attributes": {"href": f"https://music.apple.com/us/artist/a/{artist_id}?uo=2"},
        },
        "category": {"attributes": {"im:id": str(genre_id), "term": named, "label": named}},
        "im:releaseDate": {"label": f"{year}-05-01T00:00:00-07:00"} if year else {},
    }


def served_covers(labels: Path) -> list[Served]:
    """List the covers of a manifest as albums under their genres' own names."""
    with labels.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    genres = _genres_of(sorted({row["genre"] for row in rows}))
    found = []
    for number, row in enumerate(rows, start=1):
        genre = genres[row["genre"]]
        file = labels.parent / row["file"]
        year = int(row["year"]) if row["year"] else None
        album_id = str(1_000_000_000 + number)
        url = f"http://is{number % 5 + 1}-ssl.mzstatic.com/image/thumb/Music/{album_id}.jpg"
        entry = entry_of(
            album_id, row["album"], row["artist"], genre_id=genre.id, year=year, art_url=url
        )
        found.append(Served(entry, genre.id, file.read_bytes))
    return found


def _genres_of(names: Sequence[str]) -> dict[str, Genre]:
    """Find the genres that labels mean; what is none of the taxonomy stands for another."""
    found: dict[str, Genre] = {}
    for number, name in enumerate(names):
        try:
            found[name] = find_genre(_SAMPLE_SPELLINGS.get(name, name.replace("_", " ")))
        except UsageError:
            found[name] = umbrellas()[number]
    return found


def served_feeds(feeds: Iterable[Path], artwork: Callable[[int], bytes]) -> list[Served]:
    """List the albums of real feeds; their artwork is what `artwork` gives for their number."""
    found: dict[str, Served] = {}
    for file in feeds:
        listed = json.loads(file.read_bytes())["feed"]["entry"]
        for entry in listed if isinstance(listed, list) else [listed]:
            album_id = entry["id"]["attributes"]["im:id"]
            genre_id = int(entry["category"]["attributes"]["im:id"])
            number = len(found)
            found.setdefault(album_id, Served(entry, genre_id, lambda n=number: artwork(n)))
    return list(found.values())


# --- faults --------------------------------------------------------------------------------------


@dataclass
class Fault:
    """What goes wrong for paths that match, for so many requests (None: for good)."""

    pattern: str
    act: Callable[[Handler], None]
    times: int | None = None

    def takes(self, path: str) -> bool:
        """Say whether it strikes now, and count that."""
        if self.times == 0 or not re.search(self.pattern, path):
            return False
        if self.times is not None:
            self.times -= 1
        return True


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    """Answer with a status and nothing else."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(code, b"no", "text/plain", named)


def body(data: bytes, kind: str) -> Callable[[Handler], None]:
    """Answer 200 with this."""
    return lambda handler: handler.answer(200, data, kind)


def cut(share: float) -> Callable[[Handler], None]:
    """Send part of the true body as if it were the whole."""

    def act(handler: Handler) -> None:
        data, kind = handler.true_body()
        handler.answer(200, data[: int(len(data) * share)], kind)

    return act


def reset(handler: Handler) -> None:
    """Break the connection in the middle of the body."""
    data, kind = handler.true_body()
    handler.head(200, len(data), kind)
    handler.wfile.write(data[: len(data) // 2])
    handler.wfile.flush()
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.hang_up()


def drip(seconds: float) -> Callable[[Handler], None]:
    """Send a byte now and then."""

    def act(handler: Handler) -> None:
        data, kind = handler.true_body()
        handler.head(200, len(data), kind)
        for at in range(len(data)):
            handler.wfile.write(data[at : at + 1])
            handler.wfile.flush()
            time.sleep(seconds)

    return act


def endless(mebibytes: int, *, stated: bool) -> Callable[[Handler], None]:
    """Send that much, with or without saying so before."""

    def act(handler: Handler) -> None:
        chunk = b"\xff\xd8\xff\xe0" + bytes((1 << 20) - 4)
        handler.head(200, mebibytes << 20 if stated else None, "image/jpeg")
        for _ in range(mebibytes):
            handler.wfile.write(chunk)
        handler.hang_up()

    return act


def hang(seconds: float) -> Callable[[Handler], None]:
    """Say nothing for a while, then hang up."""

    def act(handler: Handler) -> None:
        time.sleep(seconds)
        handler.hang_up()

    return act


# --- the server ----------------------------------------------------------------------------------


@dataclass
class ChartServer:
    """Serves charts and artwork until it is left; counts what it was asked for.

    etags : whether charts can be asked for conditionally. seen : requests by path; answered : of
    these, the bodies that went out whole. headers : those of the last request for each path.
    """

    albums: list[Served]
    etags: bool = True
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    headers: dict[str, Mapping[str, str]] = field(default_factory=dict)
    times: list[tuple[float, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin to answer, on a free port."""
        self._http = _Http(("127.0.0.1", self.port), Handler)
        self._http.charts = self
        self.port = self._http.server_address[1]
        self._artwork = {
            urlsplit(_art_url(s.entry)).path.rpartition("/")[0]: s for s in self.albums
        }
        self._feeds: dict[str, bytes] = {}
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What `--base-url` has to be."""
        return f"http://127.0.0.1:{self.port}"

    def fail(self, pattern: str, act: Callable[[Handler], None], times: int | None = None) -> Fault:
        """Switch a fault on; `fault.times = 0` switches it off."""
        self.faults.append(Fault(pattern, act, times))
        return self.faults[-1]

    @property
    def art_fetched(self) -> Counter[str]:
        """The artworks that went out whole, by path."""
        return Counter({p: n for p, n in self.answered.items() if not _CHART.fullmatch(p)})

    def body_of(self, path: str) -> tuple[bytes, str] | None:
        """Return what is at a path, with its content type; None where there is nothing."""
        chart = _CHART.fullmatch(path)
        if chart is not None:
            return self._feed(path, chart[1], int(chart[2]), int(chart[3])), "text/javascript"
        folder, _, last = path.rpartition("/")
        served = self._artwork.get(folder)
        if served is None or not re.fullmatch(r"\d+x\d+bb(-85)?\.(jpg|png)", last):
            return None
        return served.artwork(), "image/jpeg"

    def _feed(self, path: str, storefront: str, genre_id: int, limit: int) -> bytes:
        if path not in self._feeds:
            listed = [
                s
                for s in self.albums
                if genre_id == s.genre_id
                or (s.is_in_umbrella and genre_id == _umbrella(s.genre_id))
            ]
            entries = [_at_home(s.entry, self.url) for s in listed[: min(limit, _MOST)]]
            feed: Json = {"title": {"label": f"iTunes Store: Top Albums ({storefront})"}}
            if entries:
                feed["entry"] = entries if len(entries) > 1 else entries[0]
            self._feeds[path] = json.dumps({"feed": feed}).encode()
        return self._feeds[path]


def _umbrella(genre_id: int) -> int:
    found = umbrella_of(genre_id)
    return found.id if found else genre_id


def _art_url(entry: Json) -> str:
    return str(entry["im:image"][-1]["label"])


def _at_home(entry: Json, url: str) -> Json:
    """Let an entry's artwork be on this server: the rest of its address stays."""
    images = [image | {"label": url + urlsplit(image["label"]).path} for image in entry["im:image"]]
    return entry | {"im:image": images}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    charts: ChartServer

    def handle_error(self, *_: object) -> None:
        """Say nothing: whoever hangs up on us means to."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests; faults act on it."""

    protocol_version = "HTTP/1.1"
    server: _Http
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        charts = self.server.charts
        charts.seen[self.path] += 1
        charts.headers[self.path] = dict(self.headers)
        charts.times.append((time.monotonic(), self.path))
        fault = next((f for f in charts.faults if f.takes(self.path)), None)
        if fault is not None:
            fault.act(self)
            return
        found = charts.body_of(self.path)
        if found is None:
            self.answer(404, b"", "text/plain")
            return
        data, kind = found
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"' if charts.etags else ""
        if etag and self.headers.get("If-None-Match") == etag:
            charts.unchanged[self.path] += 1
            self.send_response(304)
            self.end_headers()
            return
        self.answer(200, data, kind, {"ETag": etag} if etag and "/rss/" in self.path else {})
        charts.answered[self.path] += 1

    def true(self) -> None:
        """Answer as if nothing were wrong."""
        self.answer(200, *self.true_body())

    def true_body(self) -> tuple[bytes, str]:
        """Return what would have been answered."""
        return self.server.charts.body_of(self.path) or (b"", "text/plain")

    def head(self, code: int, length: int | None, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(
        self, code: int, data: bytes, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing: the counters say it."""


if __name__ == "__main__":
    with ChartServer(served_covers(Path(sys.argv[1]) / "labels.csv")) as running:
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
        while True:
            time.sleep(1)
