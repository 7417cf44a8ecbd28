"""The stage that fills the catalog: album charts by genre, and the covers of their albums.

One thread asks for charts, several fetch artwork, and only the main thread writes to the catalog.
A bounded number of charts and artworks is ahead of it, so memory does not grow with the albums. The
catalog records a cover as arriving before it is stored, and as arrived afterwards. So the process
may be killed at any moment: the next run knows the state, and fetches no stored cover again.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from albo.errors import AlboError, CannotWrite, HostUnavailable, NotAsked
from albo.sources import (
    SOURCE,
    ArtworkFetches,
    Chart,
    ChartAnswer,
    ChartRequests,
    Downloads,
    Fetched,
    FetchResult,
    Harvested,
    NotFetched,
    Plan,
    Tally,
    WantedArtwork,
    as_arrived,
    as_arriving,
    as_failed,
    change_row,
    is_for_result,
    is_out_of_sight,
    is_same,
    merged,
    rows_of_result,
    timestamp,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from albo.catalog import Catalog
    from albo.records import Album, CatalogRow, Feed, Note, StageProgress
    from albo.store import CoverStore

ART_WORKERS = 4
STORE_WORKERS = 8
_MOST_WAITING = 2_000  # artworks in the queue before the next chart is asked for
_BATCH = 32  # covers stored at once
_BATCH_SECONDS = 1.0
_POLL_SECONDS = 0.5
_PAUSE_SECONDS = 0.01  # so that several fetches are done when the catalog's thread wakes
_REFUSALS = 3  # covers in a row that the store refuses
_CHUNK = 500


# --- a run ---------------------------------------------------------------------------------------


class Harvest:
    """One run of a plan. The caller holds the writer lock, and opens and closes the arguments.

    Parameters
    ----------
    plan : the charts to ask for.
    catalog : gets the albums, and the state of their covers.
    covers : gets the covers.
    feeds : fetches charts.
    artwork : fetches artwork.
    workers : threads that fetch artwork.
    progress : called for the stages "charts" and "covers".
    note : called with one line for every chart and for every cover that failed.
    """

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
        self._account = _Account(plan, progress, note)
        self._charts = ChartRequests(plan, catalog, feeds)
        self._records = _ChartRecords(catalog, covers)
        self._wanted = WantedArtwork()
        self._fetches = ArtworkFetches(covers, artwork, plan.art_size, workers)
        self._shelver = _Shelver(catalog, covers)

    def run(self) -> Harvested:
        """Ask for the plan's charts and fetch the wanted covers; to be called once.

        Raises the errors of the catalog and the store, CannotWrite if the store refuses covers.
        Earlier results are kept, and repeating the run continues from there.
        """
        started = monotonic()
        self._begin()
        try:
            self._gather()
            for rows in self._left_over():
                for row, tally in rows:
                    self._want(row, tally)
                self._gather()
        except KeyboardInterrupt:
            with suppress(AlboError):  # the user asked for the stop: a second error adds nothing
                self._pick_up()
                self._stop()
                self._store()
            raise
        finally:
            self._stop()
            for pool in (self._charts, self._fetches, self._shelver):
                pool.close()
        if self._account.is_complete:
            self._catalog.end_run(self._plan.key)
        return Harvested(tuple(self._account.tallies.values()), monotonic() - started)

    def _begin(self) -> None:
        here = self._charts.begin()
        if here is None:
            self._catalog.begin_run(self._plan.key, timestamp())
            return
        charts = len(self._plan.requests)
        self._account.note(f"going on from where a run stopped: {here} of {charts} charts are here")

    def _stop(self) -> None:
        self._charts.stop()
        self._fetches.stop()

    def _gather(self) -> None:
        """Ask for charts and artwork until nothing is left."""
        while self._is_at_work:
            self._ask()
            self._wait()
            answer = self._charts.take_answer()
            if answer is not None:
                self._take(answer)
            self._pick_up()
            is_last = not (self._fetches.running or self._wanted.count)
            if self._shelver.is_due(is_last=is_last):
                self._store()

    @property
    def _is_at_work(self) -> bool:
        is_asking = self._charts.is_at_work or self._wanted.count
        return bool(is_asking or self._fetches.running or self._shelver.fetched)

    def _ask(self) -> None:
        """Give work to all idle threads."""
        # Artwork that failed last time does not count here: it waits until after the last chart.
        while self._charts.can_ask and self._wanted.new_count < _MOST_WAITING:
            answer = self._charts.ask_next()
            if answer is not None:
                self._take(answer)
        while self._fetches.has_room:
            art = self._wanted.take_next(with_failed=not self._charts.is_at_work)
            if art is None:
                break
            self._fetches.begin(art)

    def _wait(self) -> None:
        waiting: list[Future[Any]] = [*self._fetches.running, *self._charts.running]
        if waiting:
            wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            if self._fetches.are_many:
                sleep(_PAUSE_SECONDS)

    # --- charts' lists ---------------------------------------------------------------------------

    def _take(self, answer: ChartAnswer) -> None:
        """Record a chart's list, and queue the missing covers."""
        account = self._account
        tally = account.tallies[answer.part]
        tally.asked += self._plan.limit
        account.tell_charts(self._charts.coming)
        if answer.error is not None:
            self._fail(answer, answer.error)
            return
        rows, new = self._records.write(answer)
        tally.listed += len(rows)
        tally.new += new
        tally.known += len(rows) - new
        account.note(answer.described(self._plan.limit, new))
        for row in rows:
            self._want(row, tally)

    def _fail(self, answer: ChartAnswer, error: AlboError) -> None:
        account = self._account
        account.is_complete &= not isinstance(error, HostUnavailable)
        account.tallies[answer.part].fail(f"chart: {error}")
        if not isinstance(error, NotAsked):
            account.note(f"{answer.name}: {error}")
            self._records.write_failure(answer.feed)

    def _want(self, row: CatalogRow, tally: Tally) -> None:
        """Queue an album's artwork, if it has any that is not in the store."""
        listing = row.listing
        if listing is None or self._wanted.was_given_up(row.album.album_id):
            return
        if not listing.art_url:
            tally.art_missing += 1
        elif row.awaits_cover:
            stored = self._wanted.want(row.album.album_id, listing, tally)
            if stored is not None:
                self._shelver.fetched.append(stored)

    def _left_over(self) -> Iterator[list[tuple[CatalogRow, Tally]]]:
        """Yield the plan's albums that still lack a cover: charts may no longer list them.

        Each comes with the tally of the first part of the plan that has one of its charts.
        """
        requests = reversed(self._plan.requests)
        tallies = {request.address.key: self._account.tallies[part] for part, request in requests}
        lacking = self._catalog.without_cover(SOURCE)
        for start in range(0, len(lacking), _CHUNK):
            rows = list(self._catalog.rows(SOURCE, lacking[start : start + _CHUNK]))
            seen = [row.listing.charts if row.listing is not None else {} for row in rows]
            keys = [next((key for key in charts if key in tallies), None) for charts in seen]
            yield [(row, tallies[key]) for row, key in zip(rows, keys, strict=True) if key]

    # --- results of fetching ---------------------------------------------------------------------

    def _pick_up(self) -> None:
        """Take the finished fetches, then raise any error of a thread."""
        done = self._fetches.take_done()
        self._shelver.fetched += [each.result() for each in done if each.exception() is None]
        for each in done:
            each.result()

    def _store(self) -> None:
        """Store the fetched covers, and count the results."""
        shelved = self._shelver.shelve()
        for there in shelved.stored:
            for tally in there.art.albums.values():
                tally.covers += 1
            self._wanted.remember(there)
        for lost in shelved.lost:
            self._wanted.give_up(lost)
            for tally in lost.art.albums.values():
                tally.fail(lost.reason)
            for album in shelved.albums_of(lost) if lost.was_asked else ():
                self._account.note(f"{album.album_id} {album.name}: {lost.reason}")
        self._wanted.settle(shelved.results)
        self._account.tell_covers(
            sum(len(result.art.albums) for result in shelved.results),
            None if self._charts.coming else self._wanted.album_count,
        )


class _Account:
    """The account of a run for the user.

    Attributes
    ----------
    tallies : the results for each part of the plan.
    note : takes a line for the user.
    is_complete : whether the server answered for each chart, even with an error for it.
    """

    def __init__(self, plan: Plan, progress: StageProgress, note: Note) -> None:
        self.tallies = {part: Tally(part.name) for part in plan.parts}
        self.note = note
        self.is_complete = True
        self._progress = progress
        self._charts = len(plan.requests)
        self._done = 0  # albums whose artwork has been stored or given up

    def tell_charts(self, coming: int) -> None:
        """Report how many charts have been taken.

        Parameters
        ----------
        coming : how many charts have not been asked for.
        """
        self._progress("charts", self._charts - coming, self._charts)

    def tell_covers(self, done: int, waiting: int | None) -> None:
        """Report how many albums are done.

        Parameters
        ----------
        waiting : how many albums are still to be done; None where unknown.
        """
        self._done += done
        self._progress("covers", self._done, None if waiting is None else self._done + waiting)


# --- charts --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ChartRecords:
    """Writes the lists of charts into the catalog."""

    catalog: Catalog
    covers: CoverStore

    def write(self, answer: ChartAnswer) -> tuple[list[CatalogRow], int]:
        """Record a chart; return the rows of its albums, and how many of them are new."""
        feed = answer.feed
        rows = {row.album.album_id: row for row in self.catalog.rows(SOURCE, feed.album_ids)}
        new = len(feed.album_ids) - len(rows)
        if answer.chart is None:
            self.catalog.saw(SOURCE, feed.album_ids, feed.fetched)
            back = [replace(row, missing=False) for row in rows.values() if row.missing]
            self.catalog.put(back, [feed])
        else:
            rows = self._merge(answer.chart, answer, rows)
        return list(self._looked_for(rows).values()), new

    def write_failure(self, feed: Feed) -> None:
        """Record that a chart failed: next time it is asked for last."""
        self.catalog.put((), [replace(feed, fetched="")])

    def _merge(
        self, listed: Chart, answer: ChartAnswer, before: dict[str, CatalogRow]
    ) -> dict[str, CatalogRow]:
        """Write a chart's list; for an unchanged album only the time when it was seen."""
        when = answer.feed.fetched
        rows = {
            entry.album_id: merged(before.get(entry.album_id), entry, answer.address, when)
            for entry in listed.entries
        }
        seen = [album_id for album_id, row in before.items() if is_same(row, rows[album_id])]
        self.catalog.saw(SOURCE, seen, when)
        self.catalog.put((rows[key] for key in rows.keys() - set(seen)), [answer.feed])
        return rows

    def _looked_for(self, rows: dict[str, CatalogRow]) -> dict[str, CatalogRow]:
        """Check that covers in folders, where that is cheap, are in their place in the catalog.

        A cover that was moved is found by its digest, and a cover that is gone is wanted again.
        """
        lost = {key: row for key, row in rows.items() if is_out_of_sight(row.album)}
        for key, row in lost.items():
            uri = self.covers.find(row.album.digest) if row.album.digest is not None else None
            album = replace(row.album, uri=uri or row.album.uri)
            lost[key] = replace(row, album=album if uri else replace(album, digest=None))
        self.catalog.put(lost.values())
        return rows | lost


# --- artwork -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shelved:
    """The outcome of some fetches."""

    results: list[FetchResult]
    """All of them."""

    stored: list[Fetched]
    """Those whose cover is in the store, and recorded."""

    lost: list[NotFetched]
    """Those that could not be fetched, and those that the store refused."""

    rows: dict[str, CatalogRow]
    """The catalog's rows of their albums, by album id."""

    def albums_of(self, result: FetchResult) -> list[Album]:
        """Return the albums of a result."""
        return [row.album for row in rows_of_result(result, self.rows)]


class _Shelver:
    """Stores fetched covers, and records the results in the catalog.

    Attributes
    ----------
    fetched : the results still to be handled.
    """

    def __init__(self, catalog: Catalog, covers: CoverStore) -> None:
        self.fetched: list[FetchResult] = []
        self._catalog = catalog
        self._covers = covers
        self._pool = ThreadPoolExecutor(STORE_WORKERS, "albo-harvest")
        self._refusals: list[CannotWrite] = []  # since the last cover that the store took
        self._stored_at = monotonic()

    def is_due(self, *, is_last: bool) -> bool:
        """Whether the results are many, have waited long enough, or are the last ones."""
        has_waited = monotonic() - self._stored_at >= _BATCH_SECONDS
        return len(self.fetched) >= _BATCH or bool(self.fetched and (has_waited or is_last))

    def shelve(self) -> _Shelved:
        """Record covers as arriving, store them, and record those that arrived.

        Raises CannotWrite if the store refuses several in a row; the catalog has then recorded each
        cover that the store took.
        """
        results, self.fetched = self.fetched, []
        rows = self._rows_of(results)
        lost = [result for result in results if isinstance(result, NotFetched)]
        # A chart may have changed an album's artwork since this was asked for.
        came = [
            result
            for result in results
            if isinstance(result, Fetched)
            and any(is_for_result(row, result) for row in rows_of_result(result, rows))
        ]
        self._catalog.put(change_row(rows, came, as_arriving))
        stored, refused = self._store(came)
        self._catalog.put(change_row(rows, stored, as_arrived))
        self._catalog.put(change_row(rows, (r for r in lost if r.was_asked), as_failed))
        if len(self._refusals) >= _REFUSALS:
            raise self._refusals[-1]
        self._stored_at = monotonic()
        return _Shelved(results, stored, [*lost, *refused], rows)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _store(self, came: Sequence[Fetched]) -> tuple[list[Fetched], list[NotFetched]]:
        """Store covers, several at once; return those that the store took and those it refused.

        After several refusals in a row no further cover is begun; those that other threads have
        begun may still arrive, and are waited for.
        """
        begun = [self._pool.submit(self._put, result) for result in came]
        for each in begun:
            outcome = each.result()
            if not isinstance(outcome, CannotWrite):
                self._refusals.clear()
                continue
            self._refusals.append(outcome)
            if len(self._refusals) >= _REFUSALS:
                for other in begun:
                    other.cancel()
                break
        stored, refused = [], []
        for result, each in zip(came, begun, strict=True):
            if each.cancelled():
                continue
            outcome = each.result()
            if isinstance(outcome, CannotWrite):
                refused.append(NotFetched(result.art, str(outcome)))
            else:
                stored.append(replace(result, uri=outcome, data=None))
        return stored, refused

    def _put(self, came: Fetched) -> str | CannotWrite:
        """Store a cover, and return its URI; in a thread."""
        if came.data is None or came.facts is None:
            return came.uri
        try:
            return self._covers.put(came.digest, came.data, came.facts.kind)
        except CannotWrite as error:
            return error

    def _rows_of(self, results: Iterable[FetchResult]) -> dict[str, CatalogRow]:
        """Return the rows of the results' albums, by album id."""
        album_ids = [album_id for result in results for album_id in result.art.albums]
        return {row.album.album_id: row for row in self._catalog.rows(SOURCE, album_ids)}
