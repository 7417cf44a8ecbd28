"""Requests for charts: their choice, their order, and their results."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from albo.errors import AlboError, DownloadFailed
from albo.records import Feed
from albo.sources.charts import SOURCE, Address, Chart, ChartRequest, parse_chart

if TYPE_CHECKING:
    from albo.catalog import Catalog
    from albo.sources.downloads import Downloads
    from albo.sources.plan import Part, Plan

_RESUME = timedelta(hours=24)  # charts change daily: older ones are asked for again


@dataclass(frozen=True, slots=True)
class ChartAnswer:
    """The answer to a request for a chart: its list, "unchanged", or an error."""

    part: Part
    """The part of the plan that asked."""

    address: Address
    """The chart's genre and storefront."""

    feed: Feed
    """The chart's record for the catalog."""

    chart: Chart | None = None
    """The chart's list; None if it is unchanged or there is an error."""

    error: AlboError | None = None
    """Why there is no answer."""

    @property
    def name(self) -> str:
        """The chart's name in notes to the user."""
        return f"{self.address.genre.name} ({self.address.key})"

    def described(self, limit: int, new: int) -> str:
        """Return one line: how many albums came, of how many asked for."""
        count = len(self.feed.album_ids)
        if self.chart is None:
            return f"{self.name}: unchanged, {count} albums"
        said = f"{self.name}: {count} of {limit} came, {new} new"
        if self.chart.without_id:
            said += f", {self.chart.without_id} without an id left out"
        return said


class ChartRequests:
    """Asks for the plan's charts, one at a time, in a thread.

    Charts that failed last time are asked last, so they cannot delay the rest. Charts that a
    stopped run of the last 24 hours has fetched are taken from the catalog.
    """

    def __init__(self, plan: Plan, catalog: Catalog, feeds: Downloads) -> None:
        self._plan = plan
        self._catalog = catalog
        self._feeds = feeds
        self._pool = ThreadPoolExecutor(1, "albo-harvest")
        self._coming: deque[tuple[Part, ChartRequest]] = deque()
        self._known: dict[str, Feed] = {}  # the catalog's records, by URL
        self._resumed_from = ""  # when the earlier run began, "" for a new run
        self._asking: Future[ChartAnswer] | None = None

    def begin(self) -> int | None:
        """Look up the known charts, and whether this run continues an earlier one.

        Returns how many charts the earlier run has asked for; None for a new run.
        """
        self._known = self._catalog.feeds([request.url for _, request in self._plan.requests])
        failed = {url for url, feed in self._known.items() if not feed.fetched}
        self._coming.extend(sorted(self._plan.requests, key=lambda r: r[1].url in failed))
        before = self._catalog.runs().get(self._plan.key, "")
        if before > timestamp(_RESUME):
            self._resumed_from = before
            return sum(feed.fetched >= before for feed in self._known.values())
        return None

    @property
    def coming(self) -> int:
        """How many charts have not been asked for."""
        return len(self._coming)

    @property
    def is_at_work(self) -> bool:
        """Whether charts are still to come."""
        return bool(self._coming or self._asking)

    @property
    def can_ask(self) -> bool:
        """Whether there is a chart to ask for and no request is running."""
        return bool(self._coming) and self._asking is None

    @property
    def running(self) -> list[Future[ChartAnswer]]:
        """The running request, if any."""
        return [] if self._asking is None else [self._asking]

    def ask_next(self) -> ChartAnswer | None:
        """Ask for the next chart. Returns its answer at once if the catalog has it."""
        part, request = self._coming.popleft()
        feed = self._known_feed(request.url)
        if feed is not None and self._resumed_from and feed.fetched >= self._resumed_from:
            return ChartAnswer(part, request.address, feed)
        self._asking = self._pool.submit(self._request, part, request, feed)
        return None

    def take_answer(self) -> ChartAnswer | None:
        """Return the answer that has arrived, if any; then the next chart may be asked for.

        Raises the error of the thread.
        """
        if self._asking is None or not self._asking.done():
            return None
        asked, self._asking = self._asking, None
        return asked.result()

    def stop(self) -> None:
        """End the running request, which fails with `NotAsked`."""
        self._feeds.stop()

    def close(self) -> None:
        """Stop the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _known_feed(self, url: str) -> Feed | None:
        """Return a chart's record if it is useful and the catalog has all albums it listed."""
        feed = self._known.get(url)
        if feed is None or not (feed.etag or feed.modified or self._resumed_from):
            return None
        there = sum(1 for _ in self._catalog.rows(SOURCE, feed.album_ids))
        return feed if there == len(feed.album_ids) else None

    def _request(self, part: Part, request: ChartRequest, known: Feed | None) -> ChartAnswer:
        """Ask the server; in the thread."""
        url, address = request.url, request.address
        etag, modified = (known.etag, known.modified) if known is not None else ("", "")
        try:
            found, chart = self._feeds.get(url, parse_chart, etag=etag, modified=modified)
        except DownloadFailed as error:
            return ChartAnswer(part, address, known or Feed(url, "", ()), error=error)
        if chart is None and known is not None:
            return ChartAnswer(part, address, replace(known, fetched=timestamp()))
        ids = tuple(entry.album_id for entry in chart.entries) if chart is not None else ()
        feed = Feed(url, timestamp(), ids, found.etag, found.modified)
        return ChartAnswer(part, address, feed, chart)


def timestamp(ago: timedelta = timedelta()) -> str:
    """Return the time that long ago in the catalog's format: ISO, UTC, milliseconds."""
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")
