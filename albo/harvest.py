"""The stage that fills the catalog: album charts by genre, and the covers of what they list.

One thread asks for charts, several fetch artwork, and this one alone writes to the catalog. What
is ahead of it is bounded, so memory does not grow with the albums. The catalog is told which
cover is about to be stored before it is, and that it is stored afterwards: whenever the process is
killed, the next run knows what it has, and fetches nothing again that is in the store.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from albo.covers import is_remote
from albo.downloads import Downloads, Manners
from albo.errors import (
    AlboError,
    BadCover,
    CannotWrite,
    DownloadFailed,
    HostUnavailable,
    NotAsked,
    UsageError,
)
from albo.genres import find_genre, umbrellas, with_subgenres
from albo.images import digest_of, examine
from albo.itunes import (
    BASE_URL,
    LIMIT,
    SOURCE,
    Address,
    Chart,
    admits_artwork,
    artwork_key,
    artwork_urls,
    check_base_url,
    check_storefront,
    is_same,
    merged,
    parse_chart,
)
from albo.records import CatalogRow, Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from albo.catalog import Catalog
    from albo.covers import CoverStore
    from albo.images import Facts
    from albo.records import Album, Digest, Json, Listing

EVERY_GENRE = "all"
"""What stands for every umbrella genre."""

ART_SIZE = 1_000
RATE = 20.0
"""Charts a minute; Apple asks for about that."""
ART_RATE = 5.0
"""Artworks a second."""
ART_WORKERS = 4
STORE_WORKERS = 8
_LARGEST_CHART = 32 << 20
_LARGEST_ARTWORK = 16 << 20
_SIZES = 3  # that one artwork is asked for in
_RESUME = timedelta(hours=24)  # charts change daily: what is older is asked for again
_MOST_WAITING = 2_000  # artworks, before the next chart is asked for
_MOST_KEPT_IN_MIND = 5_000
_BATCH = 32  # covers stored at once
_BATCH_SECONDS = 1.0
_POLL_SECONDS = 0.5
_PAUSE_SECONDS = 0.01  # so that several are done when the catalog's thread is woken
_REFUSALS = 3  # covers in a row that the store does not take
_CHUNK = 500
_USUAL = 100  # albums that a chart lists, whatever it is asked for


# --- what is asked for ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What a harvest is asked for.

    genres : names or ids, "all" for every umbrella; each comes with its subgenres. storefronts :
    countries by two letters. base_url : the charts' server; None is `$ALBO_ITUNES_URL`, else
    Apple's. limit : albums that each chart is asked for. art_size : pixels a side of artwork.
    rate : charts a minute, art_rate : artworks a second; 0 for as fast as can be. contact : a mail
    or web address that is sent along. timeout : seconds for one attempt. attempts : how often one
    thing is asked for. backoff : seconds until the second attempt; they double.
    """

    genres: Sequence[str]
    storefronts: Sequence[str] = ("us",)
    base_url: str | None = None
    limit: int = LIMIT
    art_size: int = ART_SIZE
    rate: float = RATE
    art_rate: float = ART_RATE
    contact: str = ""
    timeout: float = 60.0
    attempts: int = 5
    backoff: float = 1.0

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that make no sense."""
        least = {
            "limit": 1, "art_size": 1, "rate": 0, "art_rate": 0, "timeout": 0.01, "attempts": 1,
            "backoff": 0,
        }  # fmt: skip
        for name, bound in least.items():
            value = getattr(self, name)
            if not bound <= value < math.inf:
                raise UsageError(f"{name} is {value}; it has to be {bound:g} or more")

    def plan(self) -> Plan:
        """Choose the charts. Raises UsageError, UnknownGenre for what is not understood."""
        url = self.base_url or os.environ.get("ALBO_ITUNES_URL") or BASE_URL
        parts = plan_parts(self.genres, self.storefronts)
        return Plan(parts, check_base_url(url), self.limit, self.art_size)

    def downloads(self, plan: Plan) -> tuple[Downloads, Downloads]:
        """Prepare what fetches charts, and what fetches artwork. Raises UsageError."""
        charts = Manners(
            seconds_apart=60 / self.rate if self.rate else 0.0,
            attempts=self.attempts,
            backoff=self.backoff,
            timeout=self.timeout,
            max_bytes=_LARGEST_CHART,
            contact=self.contact,
        )
        import requests

        apart = 1 / self.art_rate if self.art_rate else 0.0
        artwork = replace(
            charts,
            seconds_apart=apart,
            max_bytes=_LARGEST_ARTWORK,
            give_up=_SIZES * charts.give_up,
        )
        # As it will be written when it is asked: names in other scripts are encoded.
        asked = requests.Request("GET", plan.base_url).prepare().url or ""
        home = urlsplit(asked).hostname or ""
        return (
            Downloads(lambda host: host == home, charts),
            Downloads(lambda host: admits_artwork(host, home), artwork),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What was asked for by one name: its charts, that of the genre itself first."""

    name: str
    charts: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a harvest asks for.

    limit : albums that each chart is asked for. art_size : pixels a side that artwork is asked for.
    """

    parts: tuple[Part, ...]
    base_url: str
    limit: int
    art_size: int

    @property
    def charts(self) -> list[tuple[Part, Address]]:
        """Every chart with the part that it belongs to, in the order of asking."""
        return [(part, chart) for part in self.parts for chart in part.charts]

    @property
    def key(self) -> str:
        """What is the same for the same command given again."""
        urls = "\n".join(chart.url(self.base_url, self.limit) for _, chart in self.charts)
        return hashlib.sha256(urls.encode()).hexdigest()

    def describe(self, rate: float, art_rate: float) -> Json:
        """Say what will be asked for, and how long that takes at least.

        rate : charts a minute; art_rate : artworks a second; 0 for as fast as can be.
        """
        charts, albums = len(self.charts), len(self.charts) * self.limit
        return {
            "charts": charts,
            "storefronts": sorted({chart.storefront for _, chart in self.charts}),
            "albums_at_most": albums,
            "albums_usually": min(albums, charts * _USUAL),
            "chart_seconds": round(charts * 60 / rate) if rate else 0,
            "artwork_seconds_at_most": round(albums / art_rate) if art_rate else 0,
            "artwork_seconds_usually": (
                round(min(albums, charts * _USUAL) / art_rate) if art_rate else 0
            ),
        }


def plan_parts(genres: Sequence[str], storefronts: Sequence[str]) -> tuple[Part, ...]:
    """Choose the charts of genres, by name or id, each with its subgenres; none of them twice.

    Raises UsageError, UnknownGenre, also where nothing is named.
    """
    if not genres:
        raise UsageError("which genres? name some with --genre, or --genre all")
    named = [
        genre
        for text in genres
        for genre in (
            umbrellas() if text.strip().casefold() == EVERY_GENRE else (find_genre(text),)
        )
    ]
    codes = list(dict.fromkeys(map(check_storefront, storefronts)))
    taken: set[int] = set()
    parts = []
    # Umbrellas first, whatever the order: a subgenre that is named too belongs to its umbrella.
    for genre in sorted(dict.fromkeys(named), key=lambda genre: genre.parent_id is not None):
        own = [each for each in with_subgenres(genre) if each.id not in taken]
        taken.update(each.id for each in own)
        if own:
            charts = tuple(Address(code, each) for code in codes for each in own)
            parts.append(Part(genre.name, charts))
    return tuple(parts)


# --- the outcome ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What a harvest did for one name.

    asked : albums asked for; listed : how many came, each of them either new to the catalog or
    known. covers : stored. failed : charts and covers that were not to be had, each counted in
    reasons. art_missing : albums for which the charts give no artwork.
    """

    genre: str
    asked: int = 0
    listed: int = 0
    new: int = 0
    known: int = 0
    covers: int = 0
    failed: int = 0
    art_missing: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def fail(self, reason: str) -> None:
        """Count something that was not to be had."""
        self.failed += 1
        self.reasons[reason] += 1

    def as_json(self) -> Json:
        """Return the object that `albo harvest --json` prints for it."""
        return {
            "genre": self.genre,
            "asked": self.asked,
            "listed": self.listed,
            "new": self.new,
            "known": self.known,
            "covers": self.covers,
            "failed": self.failed,
            "reasons": dict(self.reasons.most_common()),
        }


@dataclass(frozen=True, slots=True)
class Harvested:
    """What a harvest did: a tally for each part of the plan, and seconds."""

    tallies: tuple[Tally, ...]
    seconds: float

    @property
    def total(self) -> Tally:
        """All of it together."""
        total = Tally("total")
        for tally in self.tallies:
            total.asked += tally.asked
            total.listed += tally.listed
            total.new += tally.new
            total.known += tally.known
            total.covers += tally.covers
            total.failed += tally.failed
            total.art_missing += tally.art_missing
            total.reasons += tally.reasons
        return total


class Progress(Protocol):
    """Told how far a stage of the run is."""

    def __call__(self, stage: str, done: int, total: int | None, /) -> None:
        """Take note of how many steps are done, of how many (None: not known)."""
        ...


# --- what goes between the threads ---------------------------------------------------------------


@dataclass(slots=True)
class _Art:
    """One artwork that is wanted, and the albums that it is for, each with its tally."""

    url: str
    arriving: Digest | None
    albums: dict[str, Tally]


@dataclass(frozen=True, slots=True)
class _Came:
    """Artwork that was fetched and is whole; data is None where it is in the store, at `uri`."""

    art: _Art
    digest: Digest
    url: str = ""
    data: bytes | None = None
    facts: Facts | None = None
    uri: str = ""


@dataclass(frozen=True, slots=True)
class _Lost:
    """Artwork that was not to be had. was_asked : whether anybody was asked for it."""

    art: _Art
    reason: str
    was_asked: bool = True


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of asking for a chart: what it lists, or nothing new, or why there is nothing."""

    feed: Feed
    chart: Chart | None = None
    error: AlboError | None = None


_Result: TypeAlias = "_Came | _Lost"
_R = TypeVar("_R", bound=_Result)


# --- a run ---------------------------------------------------------------------------------------


class Harvest:
    """One run by a plan. The caller holds the writer lock, and opens and closes what is given."""

    def __init__(
        self,
        plan: Plan,
        catalog: Catalog,
        covers: CoverStore,
        feeds: Downloads,
        artwork: Downloads,
        *,
        workers: int = ART_WORKERS,
        progress: Progress = lambda _stage, _done, _total: None,
        note: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._plan = plan
        self._catalog = catalog
        self._covers = covers
        self._feeds = feeds
        self._artwork = artwork
        self._workers = workers
        self._progress = progress
        self._note = note
        self._tallies = {part: Tally(part.name) for part in plan.parts}
        self._coming: deque[tuple[Part, Address]] = deque()
        self._known_feeds: dict[str, Feed] = {}
        self._resumed_from = ""
        self._is_answered = True  # by every chart's server, be it with an error of the chart's own
        self._wanted: dict[str, _Art] = {}  # by artwork, in order; those being fetched are not
        self._wanted_again: dict[str, _Art] = {}  # the same, of what was not to be had last time
        self._by_artwork: dict[str, _Art] = {}  # all of these, and those being fetched
        self._kept: dict[str, _Came] = {}  # the last ones stored, by artwork
        self._fetching: set[Future[_Result]] = set()
        self._asking: tuple[Future[_Answer], Part, Address] | None = None
        self._fetched: list[_Result] = []
        self._tried: set[str] = set()  # albums whose artwork was not to be had
        self._stored_at = monotonic()
        self._refused = 0
        self._done = 0

    def run(self) -> Harvested:
        """Go through the plan's charts and fetch the covers that are wanted.

        Raises what the catalog and the store raise, CannotWrite where the store takes nothing; all
        that was done until then is kept, and the same run goes on from there.
        """
        started = monotonic()
        self._begin()
        pools = [ThreadPoolExecutor(n, "albo-harvest") for n in (1, self._workers, STORE_WORKERS)]
        self._chart_pool, self._art_pool, self._store_pool = pools
        try:
            self._gather()
            for rows in self._left_over():
                for row, tally in rows:
                    self._want(row, tally)
                self._gather()
        except KeyboardInterrupt:
            with suppress(AlboError):  # the stop was asked for: what else fails says nothing new
                self._pick_up()
                self._stop()
                self._keep()
            raise
        finally:
            self._stop()
            for pool in pools:
                pool.shutdown(wait=False, cancel_futures=True)
        if self._is_answered:
            self._catalog.end_run(self._plan.key)
        return Harvested(tuple(self._tallies.values()), monotonic() - started)

    def _begin(self) -> None:
        """Look up what is known of the charts, and whether this run goes on from another."""
        urls = [self._url(chart) for _, chart in self._plan.charts]
        self._known_feeds = self._catalog.feeds(urls)
        # What was not to be had last time comes last: a few such charts hide no others.
        failed = {url for url, feed in self._known_feeds.items() if not feed.fetched}
        self._coming.extend(sorted(self._plan.charts, key=lambda c: self._url(c[1]) in failed))
        oldest = _now(_RESUME)
        before = self._catalog.runs().get(self._plan.key, "")
        if before > oldest:
            self._resumed_from = before
            fresh = sum(feed.fetched >= before for feed in self._known_feeds.values())
            self._note(f"going on from where a run stopped: {fresh} of {len(urls)} charts are here")
        else:
            self._catalog.begin_run(self._plan.key, _now())

    def _stop(self) -> None:
        self._feeds.stop()
        self._artwork.stop()

    def _gather(self) -> None:
        """Keep charts and artwork coming until there is nothing left to ask for."""
        while self._is_at_work:
            self._ask()
            self._wait()
            if self._asking is not None and self._asking[0].done():
                future, part, chart = self._asking
                self._asking = None
                self._take(part, chart, future.result())
            self._collect()

    @property
    def _is_at_work(self) -> bool:
        coming = self._coming or self._asking or self._wanted or self._wanted_again
        return bool(coming or self._fetching or self._fetched)

    def _ask(self) -> None:
        """Put to work whoever has none."""
        while self._coming and self._asking is None and len(self._wanted) < _MOST_WAITING:
            part, chart = self._coming.popleft()
            feed = self._known(chart)
            if feed is not None and self._resumed_from and feed.fetched >= self._resumed_from:
                self._take(part, chart, _Answer(feed))
            else:
                future = self._chart_pool.submit(self._ask_for_chart, self._url(chart), feed)
                self._asking = future, part, chart
        while len(self._fetching) < 4 * self._workers and (art := self._next_art()):
            self._fetching.add(self._art_pool.submit(self._fetch, art))

    def _next_art(self) -> _Art | None:
        """Take an artwork: one that nobody has failed at first, for a few such hide no others."""
        for queue in (self._wanted, self._wanted_again):
            if queue and (queue is self._wanted or not (self._coming or self._asking)):
                return queue.pop(next(iter(queue)))
        return None

    def _wait(self) -> None:
        waiting: list[Future[Any]] = [*self._fetching]
        if self._asking is not None:
            waiting.append(self._asking[0])
        if waiting:
            wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            if len(self._fetching) > self._workers:
                sleep(_PAUSE_SECONDS)

    # --- charts ----------------------------------------------------------------------------------

    def _url(self, chart: Address) -> str:
        return chart.url(self._plan.base_url, self._plan.limit)

    def _known(self, chart: Address) -> Feed | None:
        """Return what is known of a chart, if that is of use and the catalog has all it listed."""
        feed = self._known_feeds.get(self._url(chart))
        if feed is None or not (feed.etag or feed.modified or self._resumed_from):
            return None
        there = sum(1 for _ in self._catalog.rows(SOURCE, feed.album_ids))
        return feed if there == len(feed.album_ids) else None

    def _ask_for_chart(self, url: str, known: Feed | None) -> _Answer:
        etag, modified = (known.etag, known.modified) if known is not None else ("", "")
        try:
            found, chart = self._feeds.get(url, parse_chart, etag=etag, modified=modified)
        except DownloadFailed as error:
            return _Answer(known or Feed(url, "", ()), error=error)
        if chart is None and known is not None:
            return _Answer(replace(known, fetched=_now()))
        ids = tuple(entry.album_id for entry in chart.entries) if chart is not None else ()
        return _Answer(Feed(url, _now(), ids, found.etag, found.modified), chart)

    def _take(self, part: Part, chart: Address, answer: _Answer) -> None:
        """Write down what a chart lists, and want the covers that are not there."""
        tally = self._tallies[part]
        tally.asked += self._plan.limit
        self._progress("charts", len(self._plan.charts) - len(self._coming), len(self._plan.charts))
        if answer.error is not None:
            self._is_answered &= not isinstance(answer.error, HostUnavailable)
            tally.fail(f"chart: {answer.error}")
            if not isinstance(answer.error, NotAsked):
                self._note(f"{_named(chart)}: {answer.error}")
                self._catalog.put((), [replace(answer.feed, fetched="")])
            return
        rows = {
            row.album.album_id: row for row in self._catalog.rows(SOURCE, answer.feed.album_ids)
        }
        new = len(answer.feed.album_ids) - len(rows)
        if answer.chart is None:
            self._catalog.saw(SOURCE, answer.feed.album_ids, answer.feed.fetched)
            back = [replace(row, missing=False) for row in rows.values() if row.missing]
            self._catalog.put(back, [answer.feed])
        else:
            rows = self._write_down(answer.chart, chart, answer.feed, rows)
        rows = self._looked_for(rows)
        tally.listed += len(rows)
        tally.new += new
        tally.known += len(rows) - new
        self._describe(chart, answer, new)
        for row in rows.values():
            self._want(row, tally)

    def _looked_for(self, rows: dict[str, CatalogRow]) -> dict[str, CatalogRow]:
        """See that covers are where the catalog says; those in folders, where looking is cheap.

        What was moved is found by its digest, and what is gone is wanted again.
        """
        lost = {key: row for key, row in rows.items() if _is_out_of_sight(row.album)}
        for key, row in lost.items():
            uri = self._covers.find(row.album.digest) if row.album.digest is not None else None
            album = replace(row.album, uri=uri or row.album.uri)
            lost[key] = replace(row, album=album if uri else replace(album, digest=None))
        self._catalog.put(lost.values())
        return rows | lost

    def _write_down(
        self, listed: Chart, chart: Address, feed: Feed, before: dict[str, CatalogRow]
    ) -> dict[str, CatalogRow]:
        """Write what a chart lists; of what it says nothing new about, only that it was seen."""
        when = feed.fetched
        rows = {
            entry.album_id: merged(before.get(entry.album_id), entry, chart, when)
            for entry in listed.entries
        }
        seen = [album_id for album_id, row in before.items() if is_same(row, rows[album_id])]
        self._catalog.saw(SOURCE, seen, when)
        self._catalog.put((rows[key] for key in rows.keys() - set(seen)), [feed])
        return rows

    def _describe(self, chart: Address, answer: _Answer, new: int) -> None:
        count = len(answer.feed.album_ids)
        told = f"{_named(chart)}: {count} of {self._plan.limit} came, {new} new"
        if answer.chart is None:
            told = f"{_named(chart)}: unchanged, {count} albums"
        elif answer.chart.without_id:
            told += f", {answer.chart.without_id} without an id left out"
        self._note(told)

    def _want(self, row: CatalogRow, tally: Tally) -> None:
        """Queue an album's artwork; albums that share one share its fetching."""
        listing, album_id = row.listing, row.album.album_id
        if listing is None or album_id in self._tried:
            return
        if not listing.art_url:
            tally.art_missing += 1
        elif row.awaits_cover:
            self._queue(row.album, listing, tally)

    def _queue(self, album: Album, listing: Listing, tally: Tally) -> None:
        key = artwork_key(listing.art_url)
        if key in self._kept:
            art = _Art(listing.art_url, None, {album.album_id: tally})
            self._fetched.append(replace(self._kept[key], art=art))
            return
        if key not in self._by_artwork:
            queue = self._wanted_again if listing.art_error else self._wanted
            self._by_artwork[key] = queue[key] = _Art(listing.art_url, None, {})
        wanted = self._by_artwork[key]
        wanted.arriving = wanted.arriving or listing.art_arriving
        wanted.albums.setdefault(album.album_id, tally)

    def _left_over(self) -> Iterator[list[tuple[CatalogRow, Tally]]]:
        """Go through what is wanted of these genres beside: charts may not list it any more."""
        tallies = {chart.key: self._tallies[part] for part, chart in reversed(self._plan.charts)}
        lacking = self._catalog.without_cover(SOURCE)
        for start in range(0, len(lacking), _CHUNK):
            rows = list(self._catalog.rows(SOURCE, lacking[start : start + _CHUNK]))
            seen = [row.listing.charts if row.listing is not None else {} for row in rows]
            keys = [next((key for key in charts if key in tallies), None) for charts in seen]
            yield [(row, tallies[key]) for row, key in zip(rows, keys, strict=True) if key]

    # --- artwork ---------------------------------------------------------------------------------

    def _fetch(self, art: _Art) -> _Result:
        """Fetch artwork in the largest size there is; in a thread of its own."""
        if art.arriving is not None:
            uri = self._covers.find(art.arriving)
            if uri is not None:
                return _Came(art, art.arriving, uri=uri)
        reasons: dict[str, None] = {}
        for url in artwork_urls(art.url, self._plan.art_size):
            try:
                found, facts = self._artwork.get(url, examine)
            except NotAsked as error:
                reason = f"artwork: {', '.join(reasons) or error}"
                return _Lost(art, reason, was_asked=bool(reasons))
            except (DownloadFailed, BadCover) as error:
                reasons[str(error)] = None
                continue
            return _Came(art, digest_of(found.data), url, found.data, facts)
        return _Lost(art, f"artwork: {', '.join(reasons)}")

    def _collect(self) -> None:
        """Take up what was fetched; store it where it is enough, or has waited long enough."""
        self._pick_up()
        is_last = not (self._fetching or self._wanted or self._wanted_again)
        is_due = monotonic() - self._stored_at >= _BATCH_SECONDS
        if len(self._fetched) >= _BATCH or (self._fetched and (is_due or is_last)):
            self._keep()

    def _pick_up(self) -> None:
        """Take what is done. Raises what a thread raised, when all others are taken."""
        done = {future for future in self._fetching if future.done()}
        self._fetching -= done
        errors = [future.exception() for future in done]
        self._fetched += [future.result() for future in done if future.exception() is None]
        for error in filter(None, errors):
            raise error

    def _keep(self) -> None:
        """Store covers: say which are coming, store them, say that they are there."""
        fetched, self._fetched = self._fetched, []
        rows = self._rows_of(fetched)
        lost = [result for result in fetched if isinstance(result, _Lost)]
        # A chart may have changed what an album wants, since this was asked for.
        came = [
            result
            for result in fetched
            if isinstance(result, _Came) and any(_is_for(row, result) for row in _of(result, rows))
        ]
        self._catalog.put(_change(rows, came, _arriving))
        stored, refused = self._store(came, rows)
        self._catalog.put(_change(rows, stored, _arrived))
        self._catalog.put(_change(rows, (r for r in lost if r.was_asked), _failed))
        for there in stored:
            for tally in there.art.albums.values():
                tally.covers += 1
            self._remember(there)
        for gone in (*lost, *refused):
            self._give_up(gone, rows)
        for result in fetched:
            self._by_artwork.pop(artwork_key(result.art.url), None)
        self._stored_at = monotonic()
        self._done += sum(len(result.art.albums) for result in fetched)
        waiting = sum(len(art.albums) for art in self._by_artwork.values())
        self._progress("covers", self._done, None if self._coming else self._done + waiting)

    def _remember(self, stored: _Came) -> None:
        """Keep in mind, for so many, where a cover lies: albums of later charts may share it."""
        self._kept[artwork_key(stored.art.url)] = stored
        if len(self._kept) > _MOST_KEPT_IN_MIND:
            del self._kept[next(iter(self._kept))]

    def _give_up(self, lost: _Lost, rows: dict[str, CatalogRow]) -> None:
        self._tried.update(lost.art.albums)
        for tally in lost.art.albums.values():
            tally.fail(lost.reason)
        for row in _of(lost, rows) if lost.was_asked else ():
            self._note(f"{row.album.album_id} {row.album.name}: {lost.reason}")

    def _store(
        self, came: Sequence[_Came], rows: dict[str, CatalogRow]
    ) -> tuple[list[_Came], list[_Lost]]:
        """Put covers into the store. Raises CannotWrite where it takes none any more."""
        stored, refused = [], []
        for result, outcome in zip(came, self._store_pool.map(self._put, came), strict=True):
            if isinstance(outcome, str):
                stored.append(replace(result, uri=outcome, data=None))
                self._refused = 0
                continue
            refused.append(_Lost(result.art, str(outcome)))
            self._refused += 1
            if self._refused >= _REFUSALS:
                self._catalog.put(_change(rows, stored, _arrived))
                raise outcome
        return stored, refused

    def _put(self, came: _Came) -> str | CannotWrite:
        if came.data is None or came.facts is None:
            return came.uri
        try:
            return self._covers.put(came.digest, came.data, came.facts.kind)
        except CannotWrite as error:
            return error

    def _rows_of(self, results: Iterable[_Result]) -> dict[str, CatalogRow]:
        """Return the rows of the albums that results are for, by album id."""
        album_ids = [album_id for result in results for album_id in result.art.albums]
        return {row.album.album_id: row for row in self._catalog.rows(SOURCE, album_ids)}


def _of(result: _Result, rows: dict[str, CatalogRow]) -> list[CatalogRow]:
    """Return the rows of the albums that a result is for."""
    return [rows[album_id] for album_id in result.art.albums if album_id in rows]


def _change(
    rows: dict[str, CatalogRow],
    results: Iterable[_R],
    change: Callable[[CatalogRow, _R], CatalogRow],
) -> list[CatalogRow]:
    """Change the rows of the albums that results are for; return these."""
    changed: dict[str, None] = {}
    for result in results:
        for row in _of(result, rows):
            album_id = row.album.album_id
            rows[album_id] = change(row, result)
            changed[album_id] = None
    return [rows[album_id] for album_id in changed]


def _is_for(row: CatalogRow, result: _Result) -> bool:
    """Whether artwork is what the album wants: a chart may have changed that meanwhile."""
    listing = row.listing
    return listing is not None and artwork_key(listing.art_url) == artwork_key(result.art.url)


def _arriving(row: CatalogRow, came: _Came) -> CatalogRow:
    if row.listing is None or came.facts is None or not _is_for(row, came):
        return row
    listing = replace(
        row.listing,
        art_kept=came.url,
        art_width=came.facts.width,
        art_height=came.facts.height,
        art_arriving=came.digest,
    )
    return replace(row, listing=listing)


def _arrived(row: CatalogRow, came: _Came) -> CatalogRow:
    if row.listing is None or not _is_for(row, came):
        return row
    album = replace(row.album, digest=came.digest, uri=came.uri)
    return CatalogRow(album, replace(row.listing, art_arriving=None, art_error=""), row.missing)


def _failed(row: CatalogRow, lost: _Lost) -> CatalogRow:
    if row.listing is None or not _is_for(row, lost):
        return row
    reason = lost.reason.removeprefix("artwork: ")
    return replace(row, listing=replace(row.listing, art_error=reason))


def _is_out_of_sight(album: Album) -> bool:
    there = album.digest is None or is_remote(album.uri) or os.path.exists(album.uri)  # noqa: PTH110
    return not there


def _named(chart: Address) -> str:
    return f"{chart.genre.name} ({chart.key})"


def _now(ago: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")
