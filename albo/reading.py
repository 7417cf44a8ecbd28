"""The stage that reads words: find the covers without words, fetch, decode, read, commit.

Covers are fetched and decoded in threads while the reader works; a bounded number is ahead of it.
Words are committed every few seconds: a process killed at any moment loses only the words read
since then, and the next run continues from there. Only words are written.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from albo.limits import Limits
from albo.records import Skipped
from albo.refetching import Fetcher, known_covers
from albo.store import as_kept
from albo.words import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from PIL import Image

    from albo.catalog import Catalog
    from albo.records import Progress, Words
    from albo.refetching import Fetched, KnownCover
    from albo.store import StoredCovers, WordStore, WordWriter
    from albo.words import Reader

COMMIT_SECONDS = 3.0
"""Seconds that words may wait for a commit; under 5 with the covers in the reader."""


@dataclass(slots=True)
class ReadingSummary:
    """The result of a run."""

    covers: int = 0
    """Covers in the catalog: each of them is either read, known, failed or skipped."""

    read: int = 0
    """Covers whose words were read in this run."""

    known: int = 0
    """Covers whose words had been read before."""

    lines: int = 0
    """Lines that were read in this run."""

    with_words: int = 0
    """How many of the covers read in this run have any words."""

    failed: list[Skipped] = field(default_factory=list)
    """Covers whose reading failed, and why."""

    skipped: list[Skipped] = field(default_factory=list)
    """Covers that could not be loaded: the file is gone, broken, or changed."""

    notes: list[str] = field(default_factory=list)
    """Lines for the user."""

    seconds: float = 0.0
    """Of the whole run."""

    device: str = ""
    """The device on which the reader ran; "" if it did not run."""


_Readable: TypeAlias = "tuple[KnownCover, Image.Image]"


def read_words(
    catalog: Catalog,
    covers: StoredCovers,
    store: WordStore,
    open_reader: Callable[[], Reader],
    *,
    limits: Limits | None = None,
    workers: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> ReadingSummary:
    """Read the words of the catalog's covers that have not been read.

    Covers whose reading failed before come last. The caller holds the writer lock.

    Parameters
    ----------
    catalog : lists the covers and their places.
    covers : reads files, and covers of stores.
    store : gets the words, and has those read before.
    open_reader : called when the first cover is to be read, if any.
    limits : the largest files and images that are read.
    workers : threads that fetch and decode; None for the number of cores.
    progress : called with how many covers are done, and of how many.

    Raises the errors of the catalog, the stores and the reader; words read before are kept.
    """
    started = monotonic()
    summary = ReadingSummary()
    with store.writer() as writer:
        unread, summary.known = _unread(catalog, writer)
        summary.covers = summary.known + len(unread)
        allowed = limits or Limits()
        fetcher = Fetcher(covers, lambda data: prepare(data, allowed), allowed, workers)
        run = _Run(writer, summary, open_reader, lambda done: progress(done, len(unread)))
        run.read(fetcher, unread)
    summary.notes += writer.notes
    summary.seconds = monotonic() - started
    return summary


def _unread(catalog: Catalog, writer: WordWriter) -> tuple[list[KnownCover], int]:
    """Find the covers without words, and count the others.

    Covers whose reading failed before come last, so that they cannot delay the others.
    """
    every = known_covers(catalog.albums())
    found = [cover for cover in every if cover.digest not in writer.known]
    found.sort(key=lambda cover: cover.digest in writer.failed)
    return found, len(every) - len(found)


class _Run:
    """Runs the reader on covers, and writes their words to the disk."""

    def __init__(
        self,
        writer: WordWriter,
        summary: ReadingSummary,
        open_reader: Callable[[], Reader],
        progress: Callable[[int], None],
    ) -> None:
        self._writer = writer
        self._summary = summary
        self._open_reader = open_reader
        self._progress = progress
        self._reader: Reader | None = None
        self._last_commit = self._last_words = monotonic()

    def read(self, fetcher: Fetcher[Image.Image], unread: list[KnownCover]) -> None:
        """Read all readable covers; the others are in the summary."""
        with closing(fetcher.ahead(unread)) as fetched:
            readable = self._readable(fetched)
            for one in readable:
                if one is not None:
                    self._read_on(chain([one], readable))
                    self._commit()

    def _readable(
        self, fetched: Iterable[Fetched[Image.Image] | None]
    ) -> Iterator[_Readable | None]:
        """Yield the readable covers; record the others."""
        for one in fetched:
            if one is None:
                yield None
                continue
            cover, image = one
            if isinstance(image, Skipped):
                self._summary.skipped.append(image)
                self._tell()
            else:
                yield cover, image

    def _read_on(self, readable: Iterator[_Readable | None]) -> None:
        """Read until a commit is due and covers come slowly; then the reader is empty."""
        feed = _Feed(readable, self._is_due)
        for words in self._opened().read(feed.images()):
            self._keep(feed.launched.popleft(), as_kept(words))
            if self._is_due():
                self._commit()
            self._last_words = monotonic()

    def _opened(self) -> Reader:
        if self._reader is None:
            self._reader = self._open_reader()
            self._summary.device = self._reader.device
            self._last_commit = self._last_words = monotonic()
        return self._reader

    def _is_due(self) -> bool:
        """Whether words would wait too long if the next ones took as long as the last."""
        now = monotonic()
        return (now - self._last_commit) + (now - self._last_words) >= COMMIT_SECONDS

    def _commit(self) -> None:
        self._writer.commit()
        self._last_commit = monotonic()

    def _keep(self, cover: KnownCover, words: Words) -> None:
        self._writer.add([cover.digest], [words])
        if words.error:
            self._summary.failed.append(Skipped(cover.uris[0], words.error))
        else:
            self._summary.read += 1
            self._summary.lines += len(words.lines)
            self._summary.with_words += bool(words.lines)
        self._tell()

    def _tell(self) -> None:
        s = self._summary
        self._progress(s.read + len(s.failed) + len(s.skipped))


class _Feed:
    """Gives the reader images, and remembers their covers.

    Attributes
    ----------
    launched : the covers that the reader holds, the oldest first.
    """

    def __init__(
        self, readable: Iterator[_Readable | None], is_commit_due: Callable[[], bool]
    ) -> None:
        self.launched: deque[KnownCover] = deque()
        self._readable = readable
        self._is_commit_due = is_commit_due

    def images(self) -> Iterator[Image.Image]:
        """Yield images until a commit is due and no cover is ready.

        A reader returns words only when it gets covers: on a slow disk it would hold them back.
        """
        for one in self._readable:
            if one is not None:
                self.launched.append(one[0])
                yield one[1]
            elif self._is_commit_due():
                return
