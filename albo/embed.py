"""The stage that turns sources into vectors: list, load, encode, commit.

Files are read and decoded in threads while the network runs. A bounded number is ahead of it, so
memory does not grow with the covers. Results are committed every few seconds, vectors first: a
process killed at any moment loses only the work since then, and the next run continues from there.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from albo.catalog import NOT_AN_IMAGE, KnownFile
from albo.intake import (
    NEVER,
    Account,
    CoverLoader,
    EmbedSummary,
    Journal,
    Loaded,
    LoadOutcome,
    Unreadable,
    has_signature,
)
from albo.limits import Limits
from albo.networks import PacedEncoder, cores
from albo.records import Album, Embeddings
from albo.sources import FILES, CatalogSource, Entry, is_gone, stamp_file
from albo.sources import SOURCE as CHARTS
from albo.store import StoredCovers, is_remote, lies_in_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from albo.catalog import Catalog, Files
    from albo.networks import Backbone, Card
    from albo.records import Bools, Digest, Pixels, Progress
    from albo.sources import Source
    from albo.store import MiniatureStore, Vectors


COMMIT_SECONDS = 2.0
"""Seconds a cover may wait for a commit; under 5 with the last batches and the commit itself."""

_CHUNK = 500
_NOTHING_SAID = "the network gives no result for this cover"


def _silent(_done: int, _total: int | None) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Stores:
    """Where a run reads and writes; the caller holds the writer lock."""

    catalog: Catalog
    """The albums."""

    files: Files
    """The table of files, so that unchanged ones need not be read."""

    vectors: Vectors
    """The vectors of the backbone."""

    miniatures: MiniatureStore
    """The miniatures of the covers."""

    covers: StoredCovers = field(default_factory=StoredCovers)
    """Reads files, and covers of stores."""


def embed_sources(
    sources: Iterable[Source],
    stores: Stores,
    card: Card,
    open_backbone: Callable[[], Backbone],
    *,
    rehash: bool = False,
    limits: Limits | None = None,
    workers: int | None = None,
    progress: Progress = _silent,
) -> EmbedSummary:
    """Register the covers of sources and embed those that have no vector.

    Parameters
    ----------
    sources : processed one after the other.
    stores : where a run reads and writes.
    card : of the backbone.
    open_backbone : called when the first cover has to be embedded, if any.
    rehash : also read files that seem unchanged.
    limits : the largest files and images that are read.
    workers : threads that read and decode; None for the number of cores.
    progress : called with how many covers are done, and of how many (None if unknown).

    Raises the errors of the sources, the stores and the backbone; earlier results are kept.
    """
    with _running(
        stores, card, open_backbone, limits=limits, workers=workers, progress=progress
    ) as run:
        for source in sources:
            run.take(source, rehash=rehash)
    return run.summary


def embed_catalog(
    stores: Stores,
    card: Card,
    open_backbone: Callable[[], Backbone],
    *,
    limits: Limits | None = None,
    workers: int | None = None,
    progress: Progress = _silent,
) -> EmbedSummary:
    """Embed every cover of the catalog that has no vector yet. See `embed_sources`.

    Files named one by one that were missing are added again if they exist again.
    """
    with _running(
        stores, card, open_backbone, limits=limits, workers=workers, progress=progress
    ) as run:
        run.take_catalog()
    return run.summary


@contextmanager
def _running(
    stores: Stores,
    card: Card,
    open_backbone: Callable[[], Backbone],
    *,
    limits: Limits | None,
    workers: int | None,
    progress: Progress,
) -> Iterator[_Run]:
    """Give a run; afterwards all its results are on the disk, also after an error."""
    started = monotonic()
    with Journal(stores.catalog, stores.files, stores.vectors, stores.miniatures) as journal:
        loader = CoverLoader(
            journal.known, stores.covers, card, limits or Limits(), workers or cores()
        )
        account = Account(stores.catalog, journal, progress)
        run = _Run(stores, journal, account, loader, _Embedder(open_backbone, journal, account))
        yield run
        run.finish()
    run.summary.notes += journal.notes
    run.summary.lost_parts = len(journal.notes)
    run.summary.seconds = monotonic() - started


# --- a run ---------------------------------------------------------------------------------------


class _Run:
    """Processes sources: loads files that may be new, and embeds new covers."""

    def __init__(
        self,
        stores: Stores,
        journal: Journal,
        account: Account,
        loader: CoverLoader,
        embedder: _Embedder,
    ) -> None:
        self._stores = stores
        self._journal = journal
        self._account = account
        self._loader = loader
        self._embedder = embedder
        self._taken: set[str] = set()  # the processed sources, by name
        self._vanished: list[Digest | None] = []

    @property
    def summary(self) -> EmbedSummary:
        """The results so far."""
        return self._account.summary

    def take(self, source: Source, *, rehash: bool) -> None:
        """Process one source, then mark its missing albums."""
        listed = self._stores.catalog.listed(source.name)
        self._account.begin(listed)
        listing = _Listing(source, self._stores, self._journal, self._account, rehash=rehash)
        self._embed(listing.changed(), remote=isinstance(source, CatalogSource))
        self._account.close(source)
        gone = [
            album_id
            for album_id, missing in listed.items()
            if not (missing or album_id in listing.seen) and source.is_gone(album_id)
        ]
        self._mark_missing(self._stores.catalog.find(source.name, gone).values())
        self._taken.add(source.name)

    def take_catalog(self) -> None:
        """Process the catalog's covers without a vector, and named files that exist again.

        A file that was named by itself is in no listed folder, so nothing else finds it when its
        disk is mounted again.
        """
        catalog = self._stores.catalog
        lacking = [album for album in catalog.albums() if album.digest not in self._journal.known]
        stored = [album for album in lacking if lies_in_store(album)]
        own = [a for a in lacking if not lies_in_store(a) and not _awaits_cover(a)]
        there = [album for album in own if not _has_vanished(album)]
        kept = set(map(_key, there))
        vanished = [album for album, missing in catalog.listed(FILES).items() if missing]
        back = [path for path in vanished if not is_gone(path)]
        there += catalog.find(FILES, back, missing=True).values()
        if awaiting := len(catalog.without_cover(CHARTS)):
            self.summary.notes.append(
                f"{awaiting} albums of charts have no cover yet; run `albo harvest` to fetch them"
            )
        self._account.expect(len(there) + len(stored))
        # For a file of the user's own, its present content counts.
        self._embed(Entry(replace(a, digest=None), stamp_file(a.uri)) for a in there)
        self._embed((Entry(a, None) for a in stored), remote=any(is_remote(a.uri) for a in stored))
        self._mark_missing(album for album in own if _key(album) not in kept)

    def finish(self) -> None:
        """Distinguish moved albums from missing ones: sources may come in any order.

        A new cover may have moved here from a source that was not named in this run. That source is
        not listed again, but the files of these covers are looked for there. So a renamed folder
        loses its old albums, while the covers of a disk that is not mounted stay, unless a copy has
        appeared.
        """
        elsewhere = self._stores.catalog.albums(self._account.appeared)
        self._mark_missing(
            album for album in elsewhere if album.source not in self._taken and _has_vanished(album)
        )
        moved = sum(digest in self._account.appeared for digest in self._vanished)
        self.summary.moved = moved
        self.summary.missing = len(self._vanished) - moved

    def _embed(self, entries: Iterable[Entry | None], *, remote: bool = False) -> None:
        """Load the files, encode the new covers, and record all of them."""
        with closing(self._loader.load_ahead(entries, remote=remote)) as loads:
            self._embedder.embed(loads)

    def _mark_missing(self, albums: Iterable[Album]) -> None:
        """Mark albums as missing, and all other albums of their files if those are gone."""
        gone = {_key(album): album for album in albums}
        # New albums are written first, so that a moved cover is always in the catalog.
        self._journal.commit()
        uris = [album.uri for album in gone.values() if _has_vanished(album)]
        beside = self._stores.catalog.at(uris)
        gone.update((_key(album), album) for album in beside if not lies_in_store(album))
        for source, group in groupby(sorted(gone), itemgetter(0)):
            self._stores.catalog.mark_missing(source, [album_id for _, album_id in group])
        self._stores.files.forget(uris)
        self._vanished += [album.digest for album in gone.values()]


class _Listing:
    """Processes the listing of one source.

    Attributes
    ----------
    seen : the ids of the albums that it has listed so far.
    """

    def __init__(
        self,
        source: Source,
        stores: Stores,
        journal: Journal,
        account: Account,
        *,
        rehash: bool,
    ) -> None:
        self.seen: set[str] = set()
        self._source = source
        self._stores = stores
        self._journal = journal
        self._account = account
        self._rehash = rehash

    def changed(self) -> Iterator[Entry | None]:
        """Yield the entries whose files must be read; record the others at once.

        None is yielded now and then, so that a commit need not wait for the next entry.
        """
        entries = self._source.entries()
        while chunk := list(islice(entries, _CHUNK)):
            uris = [entry.album.uri for entry in chunk]
            files = {} if self._rehash else self._stores.files.find(uris)
            listed = self._stores.catalog.find(self._source.name, [e.album.album_id for e in chunk])
            for entry in chunk:
                file = files.get(entry.album.uri)
                if file is not None and file.stamp != entry.stamp:
                    file = None
                if not self._is_cover(entry, file):
                    self._account.summary.ignored += 1
                    continue
                self._account.summary.seen += 1
                self.seen.add(entry.album.album_id)
                # The digest of a stored cover is its name: it is known without reading the file.
                digest = entry.album.digest or (file.digest if file is not None else None)
                if digest is None or digest not in self._journal.known:
                    yield entry
                else:
                    self._account.know(replace(entry.album, digest=digest), listed)
            self._account.tell()
            yield None

    def _is_cover(self, entry: Entry, file: KnownFile | None) -> bool:
        """Check the content of a file without an image suffix, unless that was done before."""
        if not entry.sniff:
            return True
        if file is not None:
            return file.reason != NOT_AN_IMAGE
        if has_signature(entry.album.uri):
            return True
        self._journal.add_file(KnownFile(entry.album.uri, entry.stamp or NEVER, None, NOT_AN_IMAGE))
        return False


class _Embedder:
    """Runs the network on new covers, and records each cover's outcome."""

    def __init__(
        self, open_backbone: Callable[[], Backbone], journal: Journal, account: Account
    ) -> None:
        self._open_backbone = open_backbone
        self._journal = journal
        self._account = account
        self._encoder: PacedEncoder | None = None
        # The covers that are in the network now, each with the files of the same content.
        self._in_flight: dict[Digest, list[Loaded]] = {}

    def embed(self, loads: Iterable[LoadOutcome | None]) -> None:
        """Encode the new covers, and record all of them."""
        fresh = self._fresh(loads)
        for cover in fresh:
            if cover is not None:
                self._encode(chain([cover], fresh))

    def _fresh(self, loads: Iterable[LoadOutcome | None]) -> Iterator[tuple[Loaded, Pixels] | None]:
        """Yield the covers that need the network, with their pixels; record the others."""
        for read in loads:
            self._journal.commit_if_due(COMMIT_SECONDS)
            if read is None:
                yield None
            elif isinstance(read, Unreadable):
                self._account.skip(read)
            elif read.digest in self._in_flight:
                self._in_flight[read.digest].append(replace(read, pixels=None))
            elif read.digest in self._journal.known:
                self._account.keep_known(read)
            elif read.pixels is None:  # an earlier entry of this file went through the network
                self._account.skip(Unreadable(read.entry, read.stamp, _NOTHING_SAID))
            else:
                self._in_flight[read.digest] = []
                yield replace(read, pixels=None), read.pixels

    def _encode(self, covers: Iterator[tuple[Loaded, Pixels] | None]) -> None:
        """Run the network until a commit is due; then it is empty."""
        for batch, embeddings in self._opened().encode(covers, COMMIT_SECONDS):
            self._keep(batch, embeddings)
        self._journal.commit()

    def _opened(self) -> PacedEncoder:
        if self._encoder is None:
            backbone = self._open_backbone()
            self._account.summary.device = backbone.device
            self._encoder = PacedEncoder(backbone)
        return self._encoder

    def _keep(self, batch: list[Loaded], embeddings: Embeddings) -> None:
        """Add a batch's embeddings; a cover with non-finite numbers is skipped."""
        both = np.concatenate([embeddings.vector, embeddings.middle], axis=1)
        sound: Bools = np.asarray(np.isfinite(both).all(axis=1))
        kept = [batch[row] for row in np.flatnonzero(sound)]
        self._journal.add_vectors(
            [read.digest for read in kept],
            Embeddings(embeddings.vector[sound], embeddings.middle[sound]),
            [read.miniature for read in kept if read.miniature is not None],
        )
        for read, is_sound in zip(batch, sound.tolist(), strict=True):
            same = self._in_flight.pop(read.digest)
            if is_sound:
                self._account.keep_new(read)
                for twin in same:
                    self._account.keep_known(twin)
            else:
                for each in (read, *same):
                    self._account.skip(Unreadable(each.entry, each.stamp, _NOTHING_SAID))
        self._account.tell()


def _awaits_cover(album: Album) -> bool:
    return album.source == CHARTS and album.digest is None


def _has_vanished(album: Album) -> bool:
    """Whether a file of the user's own is gone; a cover in a store counts as present."""
    return not (lies_in_store(album) or is_remote(album.uri)) and is_gone(album.uri)


def _key(album: Album) -> tuple[str, str]:
    return album.source, album.album_id
