"""A server of charts and artwork that costs next to nothing, so that the harvest is what is timed.

    python -m benchmarks.shop CHARTS ALBUMS FOLDER      FOLDER: JPEG files to serve; "-": no artwork

It answers the first CHARTS genres of the taxonomy with ALBUMS distinct albums each, and artwork of
distinct bytes: a file of the folder, and the album's number after its end marker. Its address is
the first line that it prints; it ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from functools import cache
from pathlib import Path

from albo.genres import umbrellas, with_subgenres

_CHART = re.compile(rb"/us/rss/topalbums/genre=(\d+)/limit=\d+/json")
_ARTWORK = re.compile(rb"/art/(\d+)\.jpg/\d+x\d+bb\.jpg")
_FIRST_ALBUM = 1_000_000_000


class _Shop:
    def __init__(self, charts: int, albums: int, covers: list[bytes]) -> None:
        genres = [each.id for umbrella in umbrellas() for each in with_subgenres(umbrella)]
        self._genres = {genre: number for number, genre in enumerate(genres[:charts])}
        self._albums = albums
        self._covers = covers
        self.url = ""

    def answer(self, path: bytes) -> bytes:
        artwork = _ARTWORK.fullmatch(path)
        if artwork:
            number = int(artwork[1])
            cover = self._covers[number % len(self._covers)]
            return _http(b"image/jpeg", cover, b"%d" % number)
        chart = _CHART.fullmatch(path)
        if chart:
            return self._chart(int(chart[1]))
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    @cache  # noqa: B019  one shop a process
    def _chart(self, genre: int) -> bytes:
        start = self._genres.get(genre)
        count = 0 if start is None else self._albums
        entries = [self._entry(genre, (start or 0) * self._albums + i) for i in range(count)]
        return _http(b"text/javascript", json.dumps({"feed": {"entry": entries}}).encode())

    def _entry(self, genre: int, number: int) -> dict[str, object]:
        album = _FIRST_ALBUM + number
        link = f"https://music.apple.com/us/album/a-name-of-usual-length/{album}?uo=2"
        artist = f"https://music.apple.com/us/artist/an-artist/{number // 3}?uo=2"
        images = [f"{self.url}/art/{number}.jpg/{n}x{n}bb.png" for n in (55, 60, 170)]
        return {
            "im:name": {"label": f"A Name of Usual Length, Volume {number}"},
            "im:image": [{"label": url} for url in images] if self._covers else [],
            "im:itemCount": {"label": "13"},
            "im:price": {"label": "$9.99", "attributes": {"amount": "9.99", "currency": "USD"}},
            "rights": {"label": "℗ 2018 A Record Company, under exclusive licence to another"},
            "link": {"attributes": {"rel": "alternate", "type": "text/html", "href": link}},
            "id": {"label": link, "attributes": {"im:id": str(album)}},
            "im:artist": {"label": f"Artist {number // 3}", "attributes": {"href": artist}},
            "category": {
                "attributes": {"im:id": str(genre), "term": "A Genre", "label": "A Genre"}
            },
            "im:releaseDate": {"label": "2018-09-07T00:00:00-07:00"},
        }


def _http(kind: bytes, *parts: bytes) -> bytes:
    length = sum(map(len, parts))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, length)
    return b"".join((head, *parts))


class _Connection(asyncio.Protocol):
    def __init__(self, shop: _Shop) -> None:
        self._shop = shop
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while b"\r\n\r\n" in self._heard:
            head, _, self._heard = self._heard.partition(b"\r\n\r\n")
            assert isinstance(self._transport, asyncio.WriteTransport)  # noqa: S101
            self._transport.write(self._shop.answer(head.split(b" ", 2)[1]))


async def _serve(shop: _Shop) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(shop), "127.0.0.1", 0)
    shop.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(shop.url, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    folder = Path(sys.argv[3])
    files = sorted(folder.rglob("*.jpg")) if sys.argv[3] != "-" else []
    asyncio.run(
        _serve(_Shop(int(sys.argv[1]), int(sys.argv[2]), [file.read_bytes() for file in files]))
    )
