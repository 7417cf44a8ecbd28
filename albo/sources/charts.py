"""iTunes' album charts: their addresses, their content, and the addresses of artwork.

A chart is the `topalbums` feed of one genre in one storefront, as JSON. Its quirks: a chart of one
album has an object instead of a list, an empty one has no `entry` at all, an artist without a page
has no attributes, and the category is the album's own genre, in the storefront's language, which
may be a subgenre or unknown to the taxonomy.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from albo.errors import BadFeed, UsageError
from albo.genres import Genre, genre_of, umbrella_of
from albo.records import Album, CatalogRow, Listing

if TYPE_CHECKING:
    from collections.abc import Iterable


SOURCE = "itunes"
"""The name of the charts as a source of albums."""
BASE_URL = "https://itunes.apple.com"
LIMIT = 200
"""The number of albums to ask of a chart, which often lists only 100."""

_FALLBACK_SIZE = 600
_LONGEST_TEXT = 1_000
_ID = re.compile(r"[0-9]{1,20}")
_GENRE_ID = re.compile(r"[0-9]{1,18}")  # fits into the catalog's 64 bits
_ID_IN_LINK = re.compile(r"/(?:id)?([0-9]{1,20})(?:[?#]|$)")
_SIZED = re.compile(r"[0-9]+x[0-9]+[^/]*")
_STOREFRONT = re.compile(r"[a-z]{2}")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PLAIN_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f?#@\\]+", re.IGNORECASE)
_APPLE_ART = "mzstatic.com"


@dataclass(frozen=True, slots=True)
class ChartEntry:
    """An album as one chart lists it; a field that the chart leaves out is "" or None."""

    album_id: str
    """The store's number of the album, as digits."""
    rank: int
    """The place in the chart, from 1."""
    name: str = ""
    """The album's name."""
    artist: str = ""
    """The artist's name."""
    artist_id: str = ""
    """The store's number of the artist, as digits."""
    genre_id: int | None = None
    """The album's own genre, which may not be in the taxonomy."""
    genre_name: str = ""
    """The name of that genre, in the storefront's language."""
    released: str = ""
    """The day of release, as 2015-03-01."""
    link: str = ""
    """The album's page."""
    art_url: str = ""
    """The largest artwork that the chart names."""


@dataclass(frozen=True, slots=True)
class Chart:
    """The content of a feed."""

    entries: tuple[ChartEntry, ...]
    """The albums, best rank first, each once."""
    without_id: int = 0
    """How many entries had no album id; they are left out."""


@dataclass(frozen=True, slots=True)
class Address:
    """The genre and the storefront of a chart."""

    storefront: str
    """The country, by two lower-case letters."""
    genre: Genre
    """The genre in the taxonomy."""

    @property
    def key(self) -> str:
        """The chart's name in `Listing.charts`."""
        return f"{self.storefront}/{self.genre.id}"

    def url(self, base_url: str, limit: int) -> str:
        """Return the chart's URL."""
        return (
            f"{base_url}/{self.storefront}/rss/topalbums/genre={self.genre.id}/limit={limit}/json"
        )


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """A chart to ask for, and its URL; a plan makes it once."""

    address: Address
    """The genre and the storefront of the chart."""
    url: str
    """The URL that is fetched; the catalog keeps the feed under it."""


def check_storefront(text: str) -> str:
    """Return a storefront's code as in chart URLs. Raises UsageError for any other text."""
    code = text.strip().lower()
    if not _STOREFRONT.fullmatch(code):
        raise UsageError(f"{text!r} is no storefront; name a country by two letters: us, gb, jp")
    return code


def check_base_url(text: str) -> str:
    """Return a server's URL without a final slash. Raises UsageError for any other text."""
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for an invalid port
        is_sound = bool(_PLAIN_URL.fullmatch(url) and parts.hostname)
    except ValueError:
        is_sound = False
    if not is_sound:
        raise UsageError(f"the base URL has to look like {BASE_URL}, without a login or a query")
    return url


# --- reading a chart -----------------------------------------------------------------------------


def parse_chart(data: bytes) -> Chart:
    """Read a feed. Unknown fields are ignored, and missing ones are "" or None.

    Raises BadFeed with the reason if the data is not a feed of albums.
    """
    try:
        document = json.loads(data)
    except RecursionError as error:
        raise BadFeed("JSON that is nested too deeply") from error
    except ValueError as error:
        raise BadFeed(_not_json(data)) from error
    feed = document.get("feed") if isinstance(document, dict) else None
    if not isinstance(feed, dict):
        raise BadFeed("JSON, but without a feed in it")
    listed = feed.get("entry")
    entries = listed if isinstance(listed, list) else [] if listed is None else [listed]
    found: dict[str, ChartEntry] = {}
    without_id = 0
    for rank, item in enumerate(entries, start=1):
        entry = _entry(item, rank)
        if entry is None:
            without_id += 1
        else:
            found.setdefault(entry.album_id, entry)
    return Chart(tuple(found.values()), without_id)


def _not_json(data: bytes) -> str:
    head = data[:200].removeprefix(BOM_UTF8).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "the answer is a web page, not a chart"
    return "not whole JSON" if head.startswith((b"{", b"[")) else "not JSON"


def _entry(item: object, rank: int) -> ChartEntry | None:
    link = _url(item, "link", "attributes", "href")
    album_id = _text(item, "id", "attributes", "im:id")
    if not _ID.fullmatch(album_id):
        album_id = _id_in(_url(item, "id", "label")) or _id_in(link)
    if not album_id:
        return None
    category = _at(item, "category", "attributes")
    genre_id = _text(category, "im:id")
    return ChartEntry(
        album_id=album_id,
        rank=rank,
        name=_text(item, "im:name", "label"),
        artist=_text(item, "im:artist", "label"),
        artist_id=_id_in(_url(item, "im:artist", "attributes", "href")),
        genre_id=int(genre_id) if _GENRE_ID.fullmatch(genre_id) else None,
        genre_name=_text(category, "label") or _text(category, "term"),
        released=_day(_text(item, "im:releaseDate", "label")),
        link=link,
        art_url=_largest_image(_at(item, "im:image")),
    )


def _at(item: object, *path: str) -> Any:  # noqa: ANN401  (JSON)
    """Follow a path into JSON; of a list, take the first item."""
    for name in path:
        if isinstance(item, list):
            item = next(iter(item), None)
        item = item.get(name) if isinstance(item, dict) else None
    return item


def _text(item: object, *path: str) -> str:
    """Return the text or number there as one line of valid UTF-8, "" for none."""
    found = _at(item, *path)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return ""
    text = found if isinstance(found, str) else str(found) if abs(found) < 10**20 else ""
    whole = text.encode(errors="replace").decode()  # no half of a surrogate pair
    return _UNSEEN.sub(" ", whole).strip()[:_LONGEST_TEXT]


def _url(item: object, *path: str) -> str:
    """Return the URL there, "" for none or for one that is too long."""
    text = _text(item, *path)
    return text if len(text) < _LONGEST_TEXT else ""


def _id_in(link: str) -> str:
    found = _ID_IN_LINK.search(link)
    return found[1] if found else ""


def _day(text: str) -> str:
    """Return the date at the beginning of an ISO time, "" if there is none."""
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        return ""


def _largest_image(images: object) -> str:
    """Return the URL of the highest image, the last of equal ones."""
    found = images if isinstance(images, list) else [images]

    def height(image: object) -> int:
        text = _text(image, "attributes", "height")
        return int(text) if _ID.fullmatch(text) else 0

    ranked = sorted((image for image in found if _url(image, "label")), key=height)
    return _url(ranked[-1], "label") if ranked else ""


# --- artwork -------------------------------------------------------------------------------------


def artwork_urls(url: str, size: int) -> tuple[str, ...]:
    """Return the URLs to try for artwork: that many pixels a side, then 600, then as given.

    The last segment of the path tells the server the size. A URL with another ending is returned
    unchanged.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)
    folder, _, last = parts.path.rpartition("/")
    if not _SIZED.fullmatch(last):
        return (url,)
    sizes = (size, _FALLBACK_SIZE)
    made = [parts._replace(path=f"{folder}/{n}x{n}bb.jpg").geturl() for n in sizes]
    return tuple(dict.fromkeys((*made, url)))


def artwork_key(url: str) -> str:
    """Return the key of an artwork, the same for all its sizes and all of Apple's servers."""
    try:
        parts = urlsplit(url)
        host = _APPLE_ART if admits_artwork(parts.hostname or "", "") else parts.netloc
        folder, _, last = parts.path.rpartition("/")
        path = quote(folder if _SIZED.fullmatch(last) else parts.path, safe="/%")
    except ValueError:
        return url
    return f"{host}{path}?{parts.query}"


def admits_artwork(host: str, base_host: str) -> bool:
    """Whether artwork may come from a host: one of Apple's image servers, or the charts' own."""
    name = host.lower()
    return name.endswith(f".{_APPLE_ART}") or (bool(name) and name == base_host.lower())


# --- records in the catalog ----------------------------------------------------------------------


def merged(known: CatalogRow | None, entry: ChartEntry, chart: Address, when: str) -> CatalogRow:
    """Return an album's new row after a chart listed it.

    Its names and links are those of the storefront where it was seen first. Its label is the
    umbrella of its own genre, or, if the taxonomy lacks that, of the chart where it ranks best.
    New artwork is asked for; the old cover stays until then.
    """
    before = known.listing if known is not None else None
    listing = before or Listing({}, storefront=chart.storefront, first_seen=when)
    listing = replace(listing, charts=listing.charts | {chart.key: entry.rank}, last_seen=when)
    album = known.album if known is not None else Album(SOURCE, entry.album_id, "")
    if listing.storefront == chart.storefront:
        listing = _described(listing, entry)
        album = _named(album, entry)
    genre, subgenre = _labels(listing)
    return CatalogRow(replace(album, genre=genre, subgenre=subgenre), listing)


def is_same(before: CatalogRow, after: CatalogRow) -> bool:
    """Whether a chart changed only the time when an album was last seen."""
    if before.listing is None or after.listing is None:
        return False
    listing = replace(before.listing, last_seen=after.listing.last_seen)
    return replace(before, listing=listing) == after


def _is_same_artwork(url: str, other: str) -> bool:
    return url == other or artwork_key(url) == artwork_key(other)


def _described(listing: Listing, entry: ChartEntry) -> Listing:
    is_new_art = bool(entry.art_url) and not _is_same_artwork(entry.art_url, listing.art_url)
    genre_id, genre_name = _genre_said(listing, entry)
    return replace(
        listing,
        genre_id=genre_id,
        genre_name=genre_name,
        released=entry.released or listing.released,
        link=entry.link or listing.link,
        art_url=entry.art_url or listing.art_url,
        art_kept="" if is_new_art else listing.art_kept,
        art_arriving=None if is_new_art else listing.art_arriving,
        art_error="" if is_new_art else listing.art_error,
    )


def _genre_said(listing: Listing, entry: ChartEntry) -> tuple[int | None, str]:
    """Return an album's own genre, id and name together; a name without an id replaces no id."""
    if entry.genre_id is None and listing.genre_id is not None:
        return listing.genre_id, listing.genre_name
    is_same = entry.genre_id == listing.genre_id
    return entry.genre_id, entry.genre_name or (listing.genre_name if is_same else "")


def _named(album: Album, entry: ChartEntry) -> Album:
    return replace(
        album,
        # Until there is a cover, the URL of its artwork.
        uri=album.uri if album.digest is not None else entry.art_url or album.uri,
        name=entry.name or album.name,
        artist=entry.artist or album.artist,
        artist_id=entry.artist_id or album.artist_id,
        year=int(entry.released[:4]) if entry.released else album.year,
    )


def _labels(listing: Listing) -> tuple[str, str]:
    own = genre_of(listing.genre_id) if listing.genre_id is not None else None
    umbrella = umbrella_of(own.id) if own is not None else _best_umbrella(listing.charts.items())
    subgenre = own.name if own is not None and own.parent_id is not None else ""
    return umbrella.name if umbrella is not None else "", subgenre


def _best_umbrella(charts: Iterable[tuple[str, int]]) -> Genre | None:
    """Return the umbrella of the chart with the best rank, the first by name of equal ones."""
    best_first = sorted(charts, key=lambda chart: (chart[1], chart[0]))
    umbrellas = (umbrella_of(int(key.rpartition("/")[2])) for key, _ in best_first)
    return next(filter(None, umbrellas), None)
