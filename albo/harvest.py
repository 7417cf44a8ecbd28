"""The stage that fills the catalog: album charts by genre, and the covers of what they list.

One thread asks for charts, several fetch artwork, and this one alone writes to the catalog. What
is ahead of it is bounded, so memory does not grow with the albums. The catalog is told which
cover is about to be stored before it is, and that it is stored afterwards: whenever the process is
killed, the next run knows what it has, and fetches nothing again that is in the store.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from albo.errors import AlboError, BadCover, CannotWrite, DownloadFailed, HostUnavailable, NotAsked
from albo.images import examine
from albo.limits import digest_of
from albo.records import CatalogRow, Feed
from albo.sources import (
    SOURCE,
    Address,
    Artwork,
    Chart,
    Downloads,
    Fetched,
    FetchResult,
    Harvested,
    NotFetched,
    Part,
    Plan,
    Tally,
    artwork_key,
    artwork_urls,
    as_arrived,
    as_arriving,
    as_failed,
    change_row,
    is_for_result,
    is_out_of_sight,
    is_same,
    merged,
    parse_chart,
    rows_of_result,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from albo.catalog import Catalog
    from albo.records import Album, Listing, Note, StageProgress
    from albo.store import CoverStore

ART_WORKERS = 4
STORE_WORKERS = 8
_RESUME = timedelta(hours=24)  # charts change daily: what is older is asked for again
_MOST_WAITING = 2_000  # artworks, before the next chart is asked for
_MOST_KEPT_IN_MIND = 5_000
_BATCH = 32  # covers stored at once
_BATCH_SECONDS = 1.0
_POLL_SECONDS = 0.5
_PAUSE_SECONDS = 0.01  # so that several are done when the catalog's thread is woken
_REFUSALS = 3  # covers in a row that the store does not take
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of asking for a chart: what it lists, or nothing new, or why there is nothing."""

    feed: Feed
    chart: Chart | None = None
    error: AlboError | None = None


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
        progress: StageProgress = lambda _stage, _done, _total: None,
        note: Note = lambda _line: None,
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
        self._wanted: dict[str, Artwork] = {}  # by artwork, in order; those being fetched are not
        self._wanted_again: dict[str, Artwork] = {}  # the same, of what was not to be had last time
        self._by_artwork: dict[str, Artwork] = {}  # all of these, and those being fetched
        self._kept: dict[str, Fetched] = {}  # the last ones stored, by artwork
        self._fetching: set[Future[FetchResult]] = set()
        self._asking: tuple[Future[_Answer], Part, Address] | None = None
        self._fetched: list[FetchResult] = []
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

    def _next_art(self) -> Artwork | None:
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
        lost = {key: row for key, row in rows.items() if is_out_of_sight(row.album)}
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
            art = Artwork(listing.art_url, None, {album.album_id: tally})
            self._fetched.append(replace(self._kept[key], art=art))
            return
        if key not in self._by_artwork:
            queue = self._wanted_again if listing.art_error else self._wanted
            self._by_artwork[key] = queue[key] = Artwork(listing.art_url, None, {})
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

    def _fetch(self, art: Artwork) -> FetchResult:
        """Fetch artwork in the largest size there is; in a thread of its own."""
        if art.arriving is not None:
            uri = self._covers.find(art.arriving)
            if uri is not None:
                return Fetched(art, art.arriving, uri=uri)
        reasons: dict[str, None] = {}
        for url in artwork_urls(art.url, self._plan.art_size):
            try:
                found, facts = self._artwork.get(url, examine)
            except NotAsked as error:
                reason = f"artwork: {', '.join(reasons) or error}"
                return NotFetched(art, reason, was_asked=bool(reasons))
            except (DownloadFailed, BadCover) as error:
                reasons[str(error)] = None
                continue
            return Fetched(art, digest_of(found.data), url, found.data, facts)
        return NotFetched(art, f"artwork: {', '.join(reasons)}")

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
        lost = [result for result in fetched if isinstance(result, NotFetched)]
        # A chart may have changed what an album wants, since this was asked for.
        came = [
            result
            for result in fetched
            if isinstance(result, Fetched)
            and any(is_for_result(row, result) for row in rows_of_result(result, rows))
        ]
        self._catalog.put(change_row(rows, came, as_arriving))
        stored, refused = self._store(came, rows)
        self._catalog.put(change_row(rows, stored, as_arrived))
        self._catalog.put(change_row(rows, (r for r in lost if r.was_asked), as_failed))
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

    def _remember(self, stored: Fetched) -> None:
        """Keep in mind, for so many, where a cover lies: albums of later charts may share it."""
        self._kept[artwork_key(stored.art.url)] = stored
        if len(self._kept) > _MOST_KEPT_IN_MIND:
            del self._kept[next(iter(self._kept))]

    def _give_up(self, lost: NotFetched, rows: dict[str, CatalogRow]) -> None:
        self._tried.update(lost.art.albums)
        for tally in lost.art.albums.values():
            tally.fail(lost.reason)
        for row in rows_of_result(lost, rows) if lost.was_asked else ():
            self._note(f"{row.album.album_id} {row.album.name}: {lost.reason}")

    def _store(
        self, came: Sequence[Fetched], rows: dict[str, CatalogRow]
    ) -> tuple[list[Fetched], list[NotFetched]]:
        """Put covers into the store. Raises CannotWrite where it takes none any more."""
        stored, refused = [], []
        for result, outcome in zip(came, self._store_pool.map(self._put, came), strict=True):
            if isinstance(outcome, str):
                stored.append(replace(result, uri=outcome, data=None))
                self._refused = 0
                continue
            refused.append(NotFetched(result.art, str(outcome)))
            self._refused += 1
            if self._refused >= _REFUSALS:
                self._catalog.put(change_row(rows, stored, as_arrived))
                raise outcome
        return stored, refused

    def _put(self, came: Fetched) -> str | CannotWrite:
        if came.data is None or came.facts is None:
            return came.uri
        try:
            return self._covers.put(came.digest, came.data, came.facts.kind)
        except CannotWrite as error:
            return error

    def _rows_of(self, results: Iterable[FetchResult]) -> dict[str, CatalogRow]:
        """Return the rows of the albums that results are for, by album id."""
        album_ids = [album_id for result in results for album_id in result.art.albums]
        return {row.album.album_id: row for row in self._catalog.rows(SOURCE, album_ids)}


def _named(chart: Address) -> str:
    return f"{chart.genre.name} ({chart.key})"


def _now(ago: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")
