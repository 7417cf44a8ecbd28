"""Records the results for covers: on the disk, safely at any moment, and in a run's summary.

The embedding stage decides; this module only records.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Self

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
    from albo.records import Album, Digest, Embeddings, Progress
    from albo.sources import Source
    from albo.store import Vectors


class Journal:
    """Collects the results of a run, and commits them in an order that is safe at any moment.

    Vectors are committed first. A file or an album with a digest counts as embedded, so its vector
    must be stored already if the process is killed in between. The journal is a context manager;
    leaving it commits the rest.

    Parameters
    ----------
    catalog : gets the albums.
    files : gets the records of files.
    vectors : gets the embeddings; the caller holds the writer lock.
    """

    def __init__(self, catalog: Catalog, files: Files, vectors: Vectors) -> None:
        self._catalog = catalog
        self._files = files
        self._writer = vectors.writer()
        self._new_files: list[KnownFile] = []
        self._new_albums: list[Album] = []
        self._last_commit = monotonic()

    def __enter__(self) -> Self:
        """Read the stored digests; damaged parts are removed first, so that nothing uses them."""
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, if possible also after an exception, and let that exception pass."""
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
        """The digests with a vector, here or on the disk: one growing set."""
        return self._writer.known

    @property
    def notes(self) -> list[str]:
        """A line for each lost part of the vectors."""
        return self._writer.notes

    def add_vectors(self, digests: Sequence[Digest], embeddings: Embeddings) -> None:
        """Add embedded covers; add files and albums with their digests only after this."""
        self._writer.add(digests, embeddings)

    def add_file(self, file: KnownFile) -> None:
        """Add the record of a file."""
        self._new_files.append(file)

    def add_album(self, album: Album) -> None:
        """Add an album, new or changed."""
        self._new_albums.append(album)

    def commit_if_due(self, seconds: float) -> None:
        """Commit if the last commit is at least so many seconds ago."""
        if monotonic() - self._last_commit >= seconds:
            self.commit()

    def commit(self) -> None:
        """Write everything to the disk. Raises CannotWrite; then all data stay in memory."""
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
    """The results of a run."""

    seen: int = 0
    """Covers listed: each of them is either embedded, known or skipped."""

    embedded: int = 0
    """Distinct covers that went through the network."""

    known: int = 0
    """Covers whose vector existed already, or was made in this run."""

    moved: int = 0
    """Albums that vanished from their place and whose cover has appeared elsewhere."""

    missing: int = 0
    """Albums that vanished otherwise."""

    ignored: int = 0
    """Files that are no images."""

    unlisted: int = 0
    """How many of the skipped could not be listed: a folder without permission, a name that is not
    UTF-8, a row without a file. They have no file record, so `albo status` cannot list them.
    """

    skipped: list[Skipped] = field(default_factory=list)
    """The covers that could not be embedded or listed, each with the reason."""

    notes: list[str] = field(default_factory=list)
    """Lines for the user."""

    lost_parts: int = 0
    """Vector files that were missing or damaged: their covers have to be embedded again."""

    seconds: float = 0.0
    """The duration of the whole run."""

    device: str = ""
    """The device of the network, "" if it did not run."""


class Account:
    """Records the result for each cover: in the journal, in the summary, and for the user.

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
        self._genres: Counter[str] = Counter()  # of the source's covers that were recorded

    def begin(self, before: Mapping[str, bool]) -> None:
        """Begin with a source.

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
        """Add to the expected number of covers, and count them as seen."""
        self._total = covers
        self.summary.seen += covers

    def know(self, album: Album, listed: dict[str, Album]) -> None:
        """Settle an unchanged file; its album is written if it is new or has changed.

        Parameters
        ----------
        album : the source's row, with the digest of its cover.
        listed : the catalog's albums, by id.
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
            return  # the catalog's row is current, and a harvest may be changing it just now
        self._genres[read.entry.album.genre] += 1
        if read.stamp is not None:
            self._journal.add_file(KnownFile(read.entry.album.uri, read.stamp, read.digest))
        self._add_album(replace(read.entry.album, digest=read.digest))

    def skip(self, read: Unreadable) -> None:
        """Record a cover without a vector, and the reason."""
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
        """Let the next harvest look for a lost cover, if it was out of sight, or fetch it again."""
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
        """Report the number of covers done."""
        s = self.summary
        self._progress(s.embedded + s.known + len(s.skipped), self._total)


def _is_harvested(album: Album) -> bool:
    return album.source == CHARTS and lies_in_store(album)
