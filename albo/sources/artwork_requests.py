"""The artwork to fetch, the results, and their records in the catalog."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from albo.errors import BadCover, DownloadFailed, NotAsked
from albo.images import examine
from albo.limits import digest_of
from albo.records import CatalogRow
from albo.sources.charts import artwork_key, artwork_urls
from albo.store import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from albo.images import Facts
    from albo.records import Album, Digest, Listing
    from albo.sources.downloads import Downloads
    from albo.sources.plan import Tally
    from albo.store import CoverStore


_MOST_REMEMBERED = 5_000  # of the artworks stored last


# --- records passed between threads --------------------------------------------------------------


@dataclass(slots=True)
class Artwork:
    """One artwork to fetch."""

    url: str
    """Its address in the chart."""

    arriving: Digest | None
    """The cover that was being stored when a run ended; it may be in the store."""

    albums: dict[str, Tally]
    """The tallies of the albums that it is for, by album id."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Artwork that was fetched undamaged, or is in the store already."""

    art: Artwork
    """The artwork that was asked for."""

    digest: Digest
    """The cover's digest."""

    url: str = ""
    """The URL that it came from; "" if it was in the store."""

    data: bytes | None = None
    """The file's bytes; None if it is in the store, at `uri`."""

    facts: Facts | None = None
    """The facts about the bytes; None if it was in the store."""

    uri: str = ""
    """The URI in the store; "" if it is not there yet."""


@dataclass(frozen=True, slots=True)
class NotFetched:
    """Artwork that could not be fetched."""

    art: Artwork
    """The artwork that was asked for."""

    reason: str
    """Why it failed."""

    was_asked: bool = True
    """Whether any server was asked for it."""


FetchResult: TypeAlias = "Fetched | NotFetched"
"""What became of an artwork."""

_R = TypeVar("_R", bound=FetchResult)


# --- the queue -----------------------------------------------------------------------------------


class WantedArtwork:
    """The artwork that albums want, each once, even if several albums share it.

    From `want` until `settle` an artwork is open. An open artwork is in one of three places: the
    new ones, those that failed last time, or the caller that took it by `take_next`. Albums that
    want an open artwork join it. A settled one may be wanted again. The artworks stored last are
    remembered, so that albums of later charts need no fetch.
    """

    def __init__(self) -> None:
        self._new: dict[str, Artwork] = {}  # all by artwork key, in the order of arrival
        self._failed_before: dict[str, Artwork] = {}
        self._open: dict[str, Artwork] = {}
        self._stored: dict[str, Fetched] = {}
        self._given_up: set[str] = set()  # album ids

    @property
    def count(self) -> int:
        """How many artworks have not been taken."""
        return len(self._new) + len(self._failed_before)

    @property
    def new_count(self) -> int:
        """How many of these did not fail last time."""
        return len(self._new)

    @property
    def album_count(self) -> int:
        """How many albums wait for an open artwork."""
        return sum(len(art.albums) for art in self._open.values())

    def want(self, album_id: str, listing: Listing, tally: Tally) -> Fetched | None:
        """Queue an album's artwork. Returns it if it is among those stored last."""
        key = artwork_key(listing.art_url)
        if key in self._stored:
            art = Artwork(listing.art_url, None, {album_id: tally})
            return replace(self._stored[key], art=art)
        if key not in self._open:
            queue = self._failed_before if listing.art_error else self._new
            self._open[key] = queue[key] = Artwork(listing.art_url, None, {})
        art = self._open[key]
        art.arriving = art.arriving or listing.art_arriving
        art.albums.setdefault(album_id, tally)
        return None

    def take_next(self, *, with_failed: bool) -> Artwork | None:
        """Take the next artwork: those that failed last time come last, so they delay no others.

        Parameters
        ----------
        with_failed : whether artwork that failed last time may be taken now.

        Returns None if there is none to take.
        """
        for queue in (self._new, self._failed_before) if with_failed else (self._new,):
            if queue:
                return queue.pop(next(iter(queue)))
        return None

    def settle(self, results: Iterable[FetchResult]) -> None:
        """Close the artworks of these results."""
        for result in results:
            self._open.pop(artwork_key(result.art.url), None)

    def remember(self, stored: Fetched) -> None:
        """Remember a stored cover: albums of later charts may share it."""
        self._stored[artwork_key(stored.art.url)] = stored
        if len(self._stored) > _MOST_REMEMBERED:
            del self._stored[next(iter(self._stored))]

    def give_up(self, lost: NotFetched) -> None:
        """Do not ask for this artwork again in this run, for its albums."""
        self._given_up.update(lost.art.albums)

    def was_given_up(self, album_id: str) -> bool:
        """Whether an album's artwork failed in this run."""
        return album_id in self._given_up


# --- fetching ------------------------------------------------------------------------------------


class ArtworkFetches:
    """Fetches artwork in threads, in the largest size available.

    Attributes
    ----------
    running : the fetches whose results have not been taken.
    """

    def __init__(
        self, covers: CoverStore, downloads: Downloads, art_size: int, workers: int
    ) -> None:
        self.running: set[Future[FetchResult]] = set()
        self._covers = covers
        self._downloads = downloads
        self._art_size = art_size
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, "albo-harvest")

    @property
    def has_room(self) -> bool:
        """Whether another fetch may begin."""
        return len(self.running) < 4 * self._workers

    @property
    def are_many(self) -> bool:
        """Whether some fetches wait for a thread: then several results may be taken at once."""
        return len(self.running) > self._workers

    def begin(self, art: Artwork) -> None:
        """Fetch an artwork as soon as a thread is free."""
        self.running.add(self._pool.submit(self._fetch, art))

    def take_done(self) -> list[Future[FetchResult]]:
        """Remove and return the finished fetches."""
        done = {future for future in self.running if future.done()}
        self.running -= done
        return list(done)

    def stop(self) -> None:
        """End the running downloads."""
        self._downloads.stop()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, art: Artwork) -> FetchResult:
        """Fetch an artwork; in a thread."""
        if art.arriving is not None:
            uri = self._covers.find(art.arriving)
            if uri is not None:
                return Fetched(art, art.arriving, uri=uri)
        reasons: dict[str, None] = {}
        for url in artwork_urls(art.url, self._art_size):
            try:
                found, facts = self._downloads.get(url, examine)
            except NotAsked as error:
                reason = f"artwork: {', '.join(reasons) or error}"
                return NotFetched(art, reason, was_asked=bool(reasons))
            except (DownloadFailed, BadCover) as error:
                reasons[str(error)] = None
                continue
            return Fetched(art, digest_of(found.data), url, found.data, facts)
        return NotFetched(art, f"artwork: {', '.join(reasons)}")


# --- records in the catalog ----------------------------------------------------------------------


def rows_of_result(result: FetchResult, rows: dict[str, CatalogRow]) -> list[CatalogRow]:
    """Return the rows of a result's albums."""
    return [rows[album_id] for album_id in result.art.albums if album_id in rows]


def change_row(
    rows: dict[str, CatalogRow],
    results: Iterable[_R],
    change: Callable[[CatalogRow, _R], CatalogRow],
) -> list[CatalogRow]:
    """Change the rows of the results' albums, and return them."""
    changed: dict[str, None] = {}
    for result in results:
        for row in rows_of_result(result, rows):
            album_id = row.album.album_id
            rows[album_id] = change(row, result)
            changed[album_id] = None
    return [rows[album_id] for album_id in changed]


def is_for_result(row: CatalogRow, result: FetchResult) -> bool:
    """Whether the album still wants this artwork: a chart may have changed it meanwhile."""
    listing = row.listing
    return listing is not None and artwork_key(listing.art_url) == artwork_key(result.art.url)


def as_arriving(row: CatalogRow, came: Fetched) -> CatalogRow:
    """Record that a cover is being stored: after a kill it may or may not be in the store."""
    if row.listing is None or came.facts is None or not is_for_result(row, came):
        return row
    listing = replace(
        row.listing,
        art_kept=came.url,
        art_width=came.facts.width,
        art_height=came.facts.height,
        art_arriving=came.digest,
    )
    return replace(row, listing=listing)


def as_arrived(row: CatalogRow, came: Fetched) -> CatalogRow:
    """Record that a cover is in the store."""
    if row.listing is None or not is_for_result(row, came):
        return row
    album = replace(row.album, digest=came.digest, uri=came.uri)
    return CatalogRow(album, replace(row.listing, art_arriving=None, art_error=""), row.missing)


def as_failed(row: CatalogRow, lost: NotFetched) -> CatalogRow:
    """Record why an album has no cover."""
    if row.listing is None or not is_for_result(row, lost):
        return row
    reason = lost.reason.removeprefix("artwork: ")
    return replace(row, listing=replace(row.listing, art_error=reason))


def is_out_of_sight(album: Album) -> bool:
    """Whether an album's cover was in a folder and is gone."""
    there = album.digest is None or is_remote(album.uri) or os.path.exists(album.uri)
    return not there
