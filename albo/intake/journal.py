"""The outcome of each cover: on the disk, safely at any moment, and in a run's summary.

`albo.embed` decides; this module records.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Self

import numpy as np

from albo.catalog import KnownFile
from albo.errors import AlboError
from albo.records import CatalogRow, Skipped
from albo.sources import SOURCE as CHARTS
from albo.sources import genre_notes
from albo.store import lies_in_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from albo.catalog import Catalog, Files
    from albo.errors import LostCover
    from albo.intake.loading import Loaded, Unreadable
    from albo.records import Album, Digest, Embeddings, Miniatures, Progress
    from albo.sources import Source
    from albo.store import MiniatureStore, Vectors


class Journal:
    """Collects the results of a run, and commits them in an order that is safe at any moment.

    Miniatures are committed first, then vectors, then records: a file or an album with a digest
    counts as embedded, so its vector must be there already if the process is killed in between, and
    its miniature before that. The journal is a context manager; leaving it commits the rest.

    Parameters
    ----------
    catalog : gets the albums.
    files : gets the records of files.
    vectors : gets the embeddings; the caller holds the writer lock.
    miniatures : gets the miniatures.
    """

    def __init__(
        self, catalog: Catalog, files: Files, vectors: Vectors, miniatures: MiniatureStore
    ) -> None:
        self._catalog = catalog
        self._files = files
        self._writer = vectors.writer()
        self._miniatures = miniatures.writer()
        self._new_files: list[KnownFile] = []
        self._new_albums: list[Album] = []
        self._last_commit = monotonic()

    def __enter__(self) -> Self:
        """Remove damaged parts, so that nothing relies on them; then read the known digests."""
        self._writer.__enter__()
        self._miniatures.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit; after an exception too, if possible. The exception goes on."""
        if error is None:
            self.commit()
        self._miniatures.__exit__(kind, error, trace)
        self._writer.__exit__(kind, error, trace)
        if error is None or self._writer.pending:
            return
        try:
            self._commit_records()
        except AlboError as second:
            error.add_note(f"the files read last will be read again: {second}")

    @property
    def known(self) -> set[Digest]:
        """The digests that have a vector, here or on the disk: a live set, which grows."""
        return self._writer.known

    @property
    def notes(self) -> list[str]:
        """A line for each part of the vectors that was lost."""
        return self._writer.notes

    def add_vectors(
        self, digests: Sequence[Digest], embeddings: Embeddings, miniatures: Sequence[Miniatures]
    ) -> None:
        """Add embedded covers; files and albums with their digests may be added only later."""
        if digests:
            self._miniatures.add(digests, np.stack(miniatures))
        self._writer.add(digests, embeddings)

    def add_file(self, file: KnownFile) -> None:
        """Add the record of a file."""
        self._new_files.append(file)

    def add_album(self, album: Album) -> None:
        """Add an album, new or changed."""
        self._new_albums.append(album)

    def commit_if_due(self, seconds: float) -> None:
        """Commit if the last commit is that many seconds ago."""
        if monotonic() - self._last_commit >= seconds:
            self.commit()

    def commit(self) -> None:
        """Write everything to the disk. Raises CannotWrite; then everything is still in memory."""
        self._miniatures.commit()
        self._writer.commit()
        self._commit_records()
        self._last_commit = monotonic()

    def _commit_records(self) -> None:
        if self._new_files:
            self._files.record(self._new_files)
            self._new_files = []
        if self._new_albums:
            self._catalog.upsert(self._new_albums)
            self._new_albums = []


@dataclass(slots=True)
class EmbedSummary:
    """The result of a run."""

    seen: int = 0
    """Covers listed: each of them is either embedded, known or skipped."""

    embedded: int = 0
    """Distinct covers that went through the network."""

    known: int = 0
    """Covers whose vector existed already, or was made in this run."""

    moved: int = 0
    """Albums that are gone from their place and whose cover appeared elsewhere."""

    missing: int = 0
    """Other albums that are gone."""

    ignored: int = 0
    """Files that are not images."""

    unlisted: int = 0
    """How many of the skipped could not be listed: a folder without permission, a name that is not
    UTF-8, a row without a file. No file is remembered for them, so `albo status` cannot list them.
    """

    skipped: list[Skipped] = field(default_factory=list)
    """The covers that could not be embedded or listed, and why."""

    notes: list[str] = field(default_factory=list)
    """Lines for the user."""

    lost_parts: int = 0
    """Files of vectors that were missing or damaged: their covers have to be embedded again."""

    seconds: float = 0.0
    """Of the whole run."""

    device: str = ""
    """The device on which the network ran; "" if it did not run."""


class Account:
    """Records the outcome of each cover: in the journal, in the summary, and for the user.

    Attributes
    ----------
    summary : the results so far.
    appeared : the digests of albums that are new, or are back from missing.
    """

    def __init__(self, catalog: Catalog, journal: Journal, progress: Progress) -> None:
        self.summary = EmbedSummary()
        self.appeared: set[Digest] = set()
        self._catalog = catalog
        self._journal = journal
        self._progress = progress
        self._total: int | None = None
        self._before: Mapping[str, bool] = {}  # the source's albums: id, and whether missing
        self._genres: Counter[str] = Counter()  # of the source's covers that were taken

    def begin(self, before: Mapping[str, bool]) -> None:
        """Begin a source.

        Parameters
        ----------
        before : for each album of the source, by id, whether it was missing.
        """
        self._before = before
        self._genres = Counter()

    def close(self, source: Source) -> None:
        """Add the remarks of a source after its listing."""
        remarks = source.remarks
        self.summary.ignored += remarks.ignored
        self.summary.notes += remarks.notes
        if remarks.names_genres:
            self.summary.notes += genre_notes(self._genres)
        self.summary.skipped += remarks.failures
        self.summary.unlisted += len(remarks.failures)
        self.summary.seen += len(remarks.failures)

    def expect(self, covers: int) -> None:
        """Set how many covers will come, and count them as seen."""
        self._total = covers
        self.summary.seen += covers

    def know(self, album: Album, listed: dict[str, Album]) -> None:
        """Record an unchanged file; its album is written if it is new or has changed.

        Parameters
        ----------
        album : as the source lists it, with the digest of its cover.
        listed : the albums that the catalog has, by id.
        """
        self.summary.known += 1
        self._genres[album.genre] += 1
        if listed.get(album.album_id) != album:
            self._add_album(album)

    def keep_known(self, read: Loaded) -> None:
        """Record a cover that has a vector."""
        self.summary.known += 1
        self._record(read)
        self.tell()

    def keep_new(self, read: Loaded) -> None:
        """Record a cover that the network has just embedded."""
        self.summary.embedded += 1
        self._record(read)

    def _record(self, read: Loaded) -> None:
        if _is_harvested(read.entry.album):
            return  # the catalog has it unchanged, and a harvest may be changing it now
        self._genres[read.entry.album.genre] += 1
        if read.stamp is not None:
            self._journal.add_file(KnownFile(read.entry.album.uri, read.stamp, read.digest))
        self._add_album(replace(read.entry.album, digest=read.digest))

    def skip(self, read: Unreadable) -> None:
        """Record a cover that has no vector, and why."""
        uri = read.entry.album.uri
        self.summary.skipped.append(Skipped(uri, read.reason))
        self.tell()
        if _is_harvested(read.entry.album):
            if read.lost is not None:
                self._lose(read.entry.album, read.lost)
            return
        if read.stamp is not None:
            self._journal.add_file(KnownFile(uri, read.stamp, None, read.reason))
        self._add_album(replace(read.entry.album, digest=None))

    def _lose(self, album: Album, lost: LostCover) -> None:
        """Let the next harvest find a lost cover again, or fetch it."""
        for row in self._catalog.rows(CHARTS, [album.album_id]):
            if row.listing is not None and row.album.digest == album.digest:
                arriving = album.digest if lost.is_gone else None
                listing = replace(row.listing, art_arriving=arriving)
                without = CatalogRow(replace(row.album, digest=None), listing, row.missing)
                self._catalog.put([without])

    def _add_album(self, album: Album) -> None:
        self._journal.add_album(album)
        if album.digest is not None and self._before.get(album.album_id, True):
            self.appeared.add(album.digest)

    def tell(self) -> None:
        """Report how many covers are done."""
        s = self.summary
        self._progress(s.embedded + s.known + len(s.skipped), self._total)


def _is_harvested(album: Album) -> bool:
    return album.source == CHARTS and lies_in_store(album)
