"""The stage that turns sources into vectors: list, read, decode, encode, commit.

Files are read and decoded in threads while the network runs; a bounded number is ahead of it, so
memory does not grow with the covers. What is done is committed every few seconds, vectors first:
a process killed at any moment loses only what it did since, and the next run goes on from there.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from albo.ahead import look_ahead
from albo.catalog import NOT_AN_IMAGE, KnownFile
from albo.errors import AlboError, BadCover, LostCover
from albo.images import decode, has_image_signature
from albo.limits import Limits, digest_of
from albo.networks import cores
from albo.records import Album, CatalogRow, Embeddings, Skipped, Stamp
from albo.sources import FILES, CatalogSource, Entry, genre_notes, is_gone, stamp_file
from albo.sources import SOURCE as CHARTS
from albo.store import StoredCovers, is_remote, lies_in_store

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from types import TracebackType

    from albo.catalog import Catalog, Files
    from albo.networks import Backbone, Card
    from albo.records import Bools, Digest, Pixels, Progress
    from albo.sources import Source
    from albo.store import Vectors


COMMIT_SECONDS = 2.0
"""How long a cover may wait for the disk; with the last batches and the commit itself, under 5."""

_GRACE_SECONDS = 0.5  # for a batch to fill up when a commit is due
_BATCH_SECONDS = 0.3  # how long a batch should take
_CHUNK = 500
_AHEAD = 24  # files a thread
_REMOTE_WORKERS = 16  # a server answers late, and several at once no later
_SIGNATURE_BYTES = 16
_NEVER = Stamp(-1, -1, -1)
_NOTHING_SAID = "the network says nothing of this cover"


@dataclass(slots=True)
class Summary:
    """What a run did.

    seen : covers listed, each of them either embedded, known or skipped; what could not be listed
    (a folder without permission, a name that is not UTF-8, a row without a file) is one of the
    skipped. unlisted : how many of the skipped that is; no file is remembered for them, so that
    `albo status` cannot list them. embedded : distinct
    ones, by the network. known : covers whose vector was there already, or was made in this run.
    moved : albums that vanished from where they were and whose cover has appeared elsewhere.
    missing : albums that vanished otherwise. ignored : files that are no images.
    notes : lines for the user. lost_parts : files of vectors that were found missing or damaged, so
    that their covers have to be embedded again. seconds : of the whole run. device : where the
    network ran, "" where it did not.
    """

    seen: int = 0
    embedded: int = 0
    known: int = 0
    moved: int = 0
    missing: int = 0
    ignored: int = 0
    unlisted: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lost_parts: int = 0
    seconds: float = 0.0
    device: str = ""


def _silent(_done: int, _total: int | None) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Stores:
    """Where a run writes; the caller holds the writer lock."""

    catalog: Catalog
    files: Files
    vectors: Vectors
    covers: StoredCovers = field(default_factory=StoredCovers)


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
) -> Summary:
    """Register the covers of sources and embed those that have no vector.

    Parameters
    ----------
    open_backbone : called when the first cover has to be embedded, and not at all if none has.
    rehash : read files that seem unchanged too.
    workers : threads that read and decode; as many as there are cores where None.

    Raises what the sources, the stores and the backbone raise; what was done until then is kept.
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
) -> Summary:
    """Embed every cover of the catalog that has no vector yet. See `embed_sources`.

    Files that were named one by one and had vanished are taken up again where they are back.
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
    """Give a run; afterwards everything it did is on the disk, however it ends."""
    started = monotonic()
    with _Journal(stores) as journal:
        reader = _Reader(journal.known, stores.covers, card, limits or Limits(), workers or cores())
        run = _Run(stores, journal, reader, open_backbone, progress)
        yield run
        run.finish()
    run.summary.notes += journal.notes
    run.summary.lost_parts = len(journal.notes)
    run.summary.seconds = monotonic() - started


# --- writing -------------------------------------------------------------------------------------


class _Journal:
    """Puts what is done on the disk: vectors first, so that nothing else passes for embedded."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._writer = stores.vectors.writer()
        self._files: list[KnownFile] = []
        self._albums: list[Album] = []
        self._last_commit = monotonic()

    def __enter__(self) -> Self:
        """Learn what is there; damaged parts are taken out first, so that nothing rests on them."""
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit; after an exception too, if it can be done, and then let that one go on."""
        if error is None:
            self.commit()
        self._writer.__exit__(kind, error, trace)
        if error is None or self._writer.pending:
            return
        try:
            self._commit_records()
        except AlboError as second:
            error.add_note(f"the files read last will be read again: {second}")

    @property
    def known(self) -> set[Digest]:
        """The digests that have a vector, here or on the disk: one set, which grows."""
        return self._writer.known

    @property
    def notes(self) -> list[str]:
        """A line for each part of the vectors that was lost."""
        return self._writer.notes

    def add_vectors(self, digests: Sequence[Digest], embeddings: Embeddings) -> None:
        """Take up embedded covers; only then may files and albums with their digests follow."""
        self._writer.add(digests, embeddings)

    def add_file(self, file: KnownFile) -> None:
        """Take up what is known of a file."""
        self._files.append(file)

    def add_album(self, album: Album) -> None:
        """Take up an album, new or changed."""
        self._albums.append(album)

    def commit_if_due(self) -> None:
        """Commit where the last time is a while ago."""
        if monotonic() - self._last_commit >= COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Put everything on the disk. Raises CannotWrite; then nothing is lost from memory."""
        self._writer.commit()
        self._commit_records()
        self._last_commit = monotonic()

    def _commit_records(self) -> None:
        if self._files:
            self._stores.files.record(self._files)
            self._files = []
        if self._albums:
            self._stores.catalog.upsert(self._albums)
            self._albums = []


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that was read as a cover."""

    entry: Entry
    stamp: Stamp | None
    """How the file was when it was read; None where an earlier entry of the file has it."""
    digest: Digest
    pixels: Pixels | None = None
    """None where they are not needed (any more)."""


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A file that could not be read as a cover."""

    entry: Entry
    stamp: Stamp | None
    """How the file was when it was tried; None where an earlier entry of the file has it."""
    reason: str
    lost: LostCover | None = None
    """Set where the cover is one of the store, which is gone or damaged."""


_Outcome: TypeAlias = "_Read | _Unreadable"


class _Reader:
    """Reads, hashes and decodes files in threads; a cover that is known is not decoded.

    Of several entries of one source that name one file, the first has the file read; the others
    share what became of it. A file that changes in between gets a new stamp, so that the next run
    reads it again.
    """

    def __init__(
        self,
        known: set[Digest],
        covers: StoredCovers,
        card: Card,
        limits: Limits,
        workers: int,
    ) -> None:
        self._known = known
        self._covers = covers
        self._card = card
        self._limits = limits
        self._workers = workers

    def read_ahead(
        self, entries: Iterable[Entry | None], *, remote: bool = False
    ) -> Generator[_Outcome | None, None, None]:
        """Yield what became of the files, in order; a bounded number is read ahead.

        None goes in and comes out wherever time has passed without a result. remote : whether they
        come from a server, so that threads wait more than they work.
        """
        threads = max(self._workers, _REMOTE_WORKERS) if remote else self._workers
        shared = _SharedReads()
        marked = shared.mark(entries)
        most = self._workers * _AHEAD
        reads = look_ahead(self._read, marked, threads=threads, most=most, name="albo-read")
        with closing(reads):
            for read in reads:
                yield None if read is None else shared.resolve(read)

    def _read(self, marked: _Marked) -> _Outcome | _Marked:
        if marked.is_repeated:
            return marked
        entry = marked.entry
        # The stamp is the older one: a file that changes meanwhile will be read again.
        path = entry.album.uri
        stamp = entry.stamp or stamp_file(path) or _NEVER
        try:
            # A cover of the store has been read before: what comes must be the same.
            data = self._covers.read(path, entry.album.digest, self._limits)
            digest = entry.album.digest or digest_of(data)
            if digest in self._known:
                return _Read(entry, stamp, digest)
            pixels = decode(data, self._card.size, self._card.resample, self._limits)
        except BadCover as error:
            lost = error if isinstance(error, LostCover) else None
            return _Unreadable(entry, stamp, str(error), lost)
        return _Read(entry, stamp, digest, pixels)


@dataclass(frozen=True, slots=True)
class _Marked:
    """An entry, and whether an earlier entry of the same source has the same file read."""

    entry: Entry
    is_repeated: bool = False


class _SharedReads:
    """What became of a source's files, so that each is read once, however many entries name it."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Digest | _Unreadable] = {}  # by file; b"" until it is read

    def mark(self, entries: Iterable[Entry | None]) -> Iterator[_Marked | None]:
        """Pass on the entries; mark those whose file an earlier one names."""
        for entry in entries:
            if entry is None:
                yield None
            elif _file_of(entry) in self._outcomes:
                yield _Marked(entry, is_repeated=True)
            else:
                self._outcomes[_file_of(entry)] = b""
                yield _Marked(entry)

    def resolve(self, read: _Outcome | _Marked) -> _Outcome:
        """Say what became of an entry; in order, so that the first of a file has been here."""
        file = _file_of(read.entry)
        if not isinstance(read, _Marked):
            self._outcomes[file] = read.digest if isinstance(read, _Read) else read
            return read
        known = self._outcomes[file]
        if isinstance(known, _Unreadable):
            return replace(known, entry=read.entry, stamp=None)
        return _Read(read.entry, None, known)


def _file_of(entry: Entry) -> str:
    """Return by what an entry's file is known; a cover of the store is read against its digest."""
    album = entry.album
    return album.uri if album.digest is None else f"{album.digest.hex()} {album.uri}"


# --- a run ---------------------------------------------------------------------------------------


class _Run:
    """Goes through sources: what must be read is read, what is new goes through the network."""

    def __init__(
        self,
        stores: Stores,
        journal: _Journal,
        reader: _Reader,
        open_backbone: Callable[[], Backbone],
        progress: Progress,
    ) -> None:
        self.summary = Summary()
        self._stores = stores
        self._journal = journal
        self._reader = reader
        self._open_backbone = open_backbone
        self._progress = progress
        self._total: int | None = None
        self._backbone: Backbone | None = None
        self._batch_size = 1
        self._is_warm = False
        # The covers that the network has at the moment, each with the files of the same content.
        self._in_flight: dict[Digest, list[_Read]] = {}
        self._taken: set[str] = set()
        self._before: dict[str, bool] = {}  # the albums of the source at hand, as `listed` has them
        self._genres: Counter[str] = Counter()  # of the source's covers that are in
        self._appeared: set[Digest] = set()
        self._vanished: list[Digest | None] = []

    def take(self, source: Source, *, rehash: bool) -> None:
        """Go through one source, then mark what has vanished from it."""
        self._before = self._stores.catalog.listed(source.name)
        self._genres = Counter()
        seen: set[str] = set()
        changed = self._changed(source, seen, rehash=rehash)
        self._embed(changed, remote=isinstance(source, CatalogSource))
        report = source.report
        self.summary.ignored += report.ignored
        self.summary.notes += report.notes
        if report.names_genres:
            self.summary.notes += genre_notes(self._genres)
        self.summary.skipped += report.failures
        self.summary.unlisted += len(report.failures)
        self.summary.seen += len(report.failures)
        gone = [
            album_id
            for album_id, missing in self._before.items()
            if not (missing or album_id in seen) and source.is_gone(album_id)
        ]
        self._mark_missing(self._stores.catalog.find(source.name, gone).values())
        self._taken.add(source.name)

    def take_catalog(self) -> None:
        """Go through the covers of the catalog that have no vector, and named files that are back.

        A file that was named by itself is in no folder that would list it again, when the disk that
        it is on is mounted again.
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
        self._total = len(there) + len(stored)
        self.summary.seen += self._total
        # Of a file that is the user's own, what it holds now counts, and not what it did.
        self._embed(Entry(replace(a, digest=None), stamp_file(a.uri)) for a in there)
        self._embed((Entry(a, None) for a in stored), remote=any(is_remote(a.uri) for a in stored))
        self._mark_missing(album for album in own if _key(album) not in kept)

    def finish(self) -> None:
        """Tell what moved from what is missing: sources may come in any order.

        What appeared may have moved here from a source that was not named in this run. That one is
        not gone through, but of these covers the files are looked for: a renamed folder takes its
        old name out of the catalog, while a disk that is not mounted keeps all that has no copy.
        """
        elsewhere = self._stores.catalog.albums(self._appeared)
        self._mark_missing(
            album for album in elsewhere if album.source not in self._taken and _has_vanished(album)
        )
        moved = sum(digest in self._appeared for digest in self._vanished)
        self.summary.moved = moved
        self.summary.missing = len(self._vanished) - moved

    def _mark_missing(self, albums: Iterable[Album]) -> None:
        """Mark albums as missing, and what else lists their files where those are gone."""
        gone = {_key(album): album for album in albums}
        # What appeared elsewhere is written first: a cover that moved is always somewhere.
        self._journal.commit()
        uris = [album.uri for album in gone.values() if _has_vanished(album)]
        beside = self._stores.catalog.at(uris)
        gone.update((_key(album), album) for album in beside if not lies_in_store(album))
        for source, group in groupby(sorted(gone), itemgetter(0)):
            self._stores.catalog.mark_missing(source, [album_id for _, album_id in group])
        self._stores.files.forget(uris)
        self._vanished += [album.digest for album in gone.values()]

    # --- what must be read -----------------------------------------------------------------------

    def _changed(self, source: Source, seen: set[str], *, rehash: bool) -> Iterator[Entry | None]:
        """Yield the entries whose files must be read; settle the others at once.

        seen : gets the album ids. None is yielded now and then, for what waits for time to pass.
        """
        for chunk in _chunks(source.entries()):
            uris = [entry.album.uri for entry in chunk]
            files = {} if rehash else self._stores.files.find(uris)
            listed = self._stores.catalog.find(source.name, [e.album.album_id for e in chunk])
            for entry in chunk:
                file = files.get(entry.album.uri)
                if file is not None and file.stamp != entry.stamp:
                    file = None
                if not self._is_cover(entry, file):
                    self.summary.ignored += 1
                    continue
                self.summary.seen += 1
                seen.add(entry.album.album_id)
                # The digest of a stored cover is its name: nothing need be read to know it.
                digest = entry.album.digest or (file.digest if file is not None else None)
                if digest is None or digest not in self._journal.known:
                    yield entry
                else:
                    self._know(replace(entry.album, digest=digest), listed)
            self._tell()
            yield None

    def _know(self, album: Album, listed: dict[str, Album]) -> None:
        """Settle an unchanged file; its album may be new all the same, or have changed."""
        self.summary.known += 1
        self._genres[album.genre] += 1
        if listed.get(album.album_id) != album:
            self._add_album(album)

    def _is_cover(self, entry: Entry, file: KnownFile | None) -> bool:
        """Look into a file whose name does not say that it is an image, unless that was done."""
        if not entry.sniff:
            return True
        if file is not None:
            return file.reason != NOT_AN_IMAGE
        if _has_signature(entry.album.uri):
            return True
        self._journal.add_file(
            KnownFile(entry.album.uri, entry.stamp or _NEVER, None, NOT_AN_IMAGE)
        )
        return False

    # --- what must be embedded -------------------------------------------------------------------

    def _embed(self, entries: Iterable[Entry | None], *, remote: bool = False) -> None:
        """Read the files, encode those that are new, and record all of them."""
        with closing(self._reader.read_ahead(entries, remote=remote)) as reads:
            fresh = self._fresh(reads)
            for read in fresh:
                if read is not None:
                    self._encode(chain([read], fresh))

    def _fresh(self, reads: Iterable[_Outcome | None]) -> Iterator[_Read | None]:
        """Pass on the covers that need the network; record the others."""
        for read in reads:
            self._journal.commit_if_due()
            if read is None:
                yield None
            elif isinstance(read, _Unreadable):
                self._skip(read)
            elif read.digest in self._in_flight:
                self._in_flight[read.digest].append(replace(read, pixels=None))
            elif read.digest in self._journal.known:
                self._keep_known(read)
            elif read.pixels is None:  # an earlier entry of this file went through the network
                self._skip(_Unreadable(read.entry, read.stamp, _NOTHING_SAID))
            else:
                self._in_flight[read.digest] = []
                yield read

    def _encode(self, reads: Iterator[_Read | None]) -> None:
        """Run the network until a commit is due; then nothing is left in it.

        A network takes some batches before it gives the first one back: were it always fed, a slow
        disk or a slow network would keep covers from being committed for minutes.
        """
        backbone = self._opened()
        launched: deque[list[_Read]] = deque()
        started, done = monotonic(), 0
        for embeddings in backbone.encode(self._batches(reads, launched, backbone)):
            self._keep(launched.popleft(), embeddings)
            done += len(embeddings.vector)
            if self._is_warm:
                self._pace(done / max(monotonic() - started, 1e-6), backbone.batch_size)
        self._is_warm = True
        self._journal.commit()

    def _opened(self) -> Backbone:
        if self._backbone is None:
            self._backbone = self._open_backbone()
            self.summary.device = self._backbone.device
            # A CPU may need seconds a cover, and is as fast with few at a time; a GPU prepares
            # itself during the first batches, which says nothing of its speed.
            self._is_warm = self._backbone.device == "cpu"
            self._batch_size = 1 if self._is_warm else self._backbone.batch_size
        return self._backbone

    def _pace(self, rate: float, most: int) -> None:
        """Let batches grow and shrink so that each takes a fraction of a second.

        rate : covers a second. By twos and with a margin, since a GPU prepares for each size.
        """
        wanted = rate * _BATCH_SECONDS
        if wanted >= 2 * self._batch_size:
            self._batch_size = min(2 * self._batch_size, most)
        elif wanted < self._batch_size / 2:
            self._batch_size = max(self._batch_size // 2, 1)

    def _batches(
        self,
        reads: Iterator[_Read | None],
        launched: deque[list[_Read]],
        backbone: Backbone,
    ) -> Iterator[Pixels]:
        """Gather covers into batches until a commit is due; `launched` gets what is in them."""
        due = monotonic() + COMMIT_SECONDS
        batch: list[_Read] = []
        for read in reads:
            if read is not None:
                batch.append(read)
            late = monotonic() - due
            is_full = len(batch) >= min(self._batch_size, backbone.batch_size)
            if batch and (is_full or late > _GRACE_SECONDS):
                yield _launch(batch, launched)
                batch = []
            if late > 0 and not batch:
                return
        if batch:
            yield _launch(batch, launched)

    def _keep(self, batch: list[_Read], embeddings: Embeddings) -> None:
        """Take up a batch's embeddings; a cover of which the network says nothing is skipped."""
        both = np.concatenate([embeddings.vector, embeddings.middle], axis=1)
        sound: Bools = np.asarray(np.isfinite(both).all(axis=1))
        self._journal.add_vectors(
            [batch[row].digest for row in np.flatnonzero(sound)],
            Embeddings(embeddings.vector[sound], embeddings.middle[sound]),
        )
        for read, is_sound in zip(batch, sound.tolist(), strict=True):
            same = self._in_flight.pop(read.digest)
            if is_sound:
                self.summary.embedded += 1
                self._record(read)
                for twin in same:
                    self._keep_known(twin)
            else:
                for each in (read, *same):
                    self._skip(_Unreadable(each.entry, each.stamp, _NOTHING_SAID))
        self._tell()

    # --- what became of a cover ------------------------------------------------------------------

    def _keep_known(self, read: _Read) -> None:
        self.summary.known += 1
        self._record(read)
        self._tell()

    def _record(self, read: _Read) -> None:
        if _is_harvested(read.entry.album):
            return  # the catalog has it as it is, and a harvest may be changing it just now
        self._genres[read.entry.album.genre] += 1
        if read.stamp is not None:
            self._journal.add_file(KnownFile(read.entry.album.uri, read.stamp, read.digest))
        self._add_album(replace(read.entry.album, digest=read.digest))

    def _skip(self, read: _Unreadable) -> None:
        uri = read.entry.album.uri
        self.summary.skipped.append(Skipped(uri, read.reason))
        self._tell()
        if _is_harvested(read.entry.album):
            if read.lost is not None:
                self._lose(read.entry.album, read.lost)
            return
        if read.stamp is not None:
            self._journal.add_file(KnownFile(uri, read.stamp, None, read.reason))
        self._add_album(replace(read.entry.album, digest=None))

    def _lose(self, album: Album, lost: LostCover) -> None:
        """Let the next harvest see to a cover: one that is gone may only be out of sight now."""
        for row in self._stores.catalog.rows(CHARTS, [album.album_id]):
            if row.listing is not None and row.album.digest == album.digest:
                arriving = album.digest if lost.is_gone else None
                listing = replace(row.listing, art_arriving=arriving)
                without = CatalogRow(replace(row.album, digest=None), listing, row.missing)
                self._stores.catalog.put([without])

    def _add_album(self, album: Album) -> None:
        self._journal.add_album(album)
        if album.digest is not None and self._before.get(album.album_id, True):
            self._appeared.add(album.digest)

    def _tell(self) -> None:
        s = self.summary
        self._progress(s.embedded + s.known + len(s.skipped), self._total)


def _launch(batch: list[_Read], launched: deque[list[_Read]]) -> Pixels:
    """Stack a batch's pixels; what waits for the answer does not hold them any longer."""
    launched.append([replace(read, pixels=None) for read in batch])
    return np.stack([read.pixels for read in batch if read.pixels is not None])


def _has_signature(path: str) -> bool:
    """Whether a file begins as an image does; not where it cannot be read, for who is to know."""
    # Without waiting: since it was listed, a pipe may have taken its place.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return False
    try:
        return has_image_signature(os.read(descriptor, _SIGNATURE_BYTES))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _is_harvested(album: Album) -> bool:
    return album.source == CHARTS and lies_in_store(album)


def _awaits_cover(album: Album) -> bool:
    return album.source == CHARTS and album.digest is None


def _has_vanished(album: Album) -> bool:
    """Whether a file of the user's own is no longer there; stores are not looked into for that."""
    return not (lies_in_store(album) or is_remote(album.uri)) and is_gone(album.uri)


def _key(album: Album) -> tuple[str, str]:
    return album.source, album.album_id


def _chunks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
