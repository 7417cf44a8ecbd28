"""Files become pixels: read, hashed and decoded in threads, some ahead of the network."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from albo.ahead import look_ahead
from albo.errors import BadCover, LostCover
from albo.images import decode, has_image_signature, miniature_of
from albo.limits import Limits, digest_of
from albo.records import Stamp
from albo.sources import Entry, stamp_file

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from albo.networks import Card
    from albo.records import Digest, Miniatures, Pixels
    from albo.store import StoredCovers

NEVER = Stamp(-1, -1, -1)
"""The stamp of a file whose status could not be read: the next run reads the file."""

_AHEAD = 24  # files a thread
_REMOTE_WORKERS = 16  # a server answers slowly, but several requests at once
_SIGNATURE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that was read as a cover."""

    entry: Entry
    """The entry that names the file."""

    stamp: Stamp | None
    """The stamp of the file when it was read; None if an earlier entry of the file has it."""

    digest: Digest
    """SHA-256 of the file's bytes."""

    pixels: Pixels | None = None
    """The backbone's input: uint8 (size, size, 3). None if the cover has a vector already."""

    miniature: Miniatures | None = None
    """The miniature made of the pixels: uint8 (2, 16, 16). None where those are None."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be read as a cover."""

    entry: Entry
    """The entry that names the file."""

    stamp: Stamp | None
    """The stamp of the file when it was tried; None if an earlier entry of the file has it."""

    reason: str
    """Why it could not be read, for the user."""

    lost: LostCover | None = None
    """Set if the cover is one of the store and is gone or damaged."""


LoadOutcome: TypeAlias = "Loaded | Unreadable"
"""The outcome of a file."""


class CoverLoader:
    """Reads, hashes and decodes files in threads; a cover that is known is not decoded.

    If several entries of one source name the same file, it is read for the first; the others share
    its outcome. A file that changes meanwhile gets a new stamp, so the next run reads it again.

    Parameters
    ----------
    known : the digests that have a vector; checked whenever a file has been read.
    covers : reads files, and covers of stores.
    card : the card of the backbone that gets the pixels.
    limits : the largest files and images that are read.
    workers : threads; more if covers come from a server.
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

    def load_ahead(
        self, entries: Iterable[Entry | None], *, remote: bool = False
    ) -> Generator[LoadOutcome | None, None, None]:
        """Yield the outcome of each file, in order; a bounded number is read ahead.

        Parameters
        ----------
        entries : the files of one source; None whenever time has passed without an entry.
        remote : whether they come from a server, so that threads wait more than they work.

        Also yields None whenever time has passed without a result.
        """
        threads = max(self._workers, _REMOTE_WORKERS) if remote else self._workers
        shared = _SharedFiles()
        marked = shared.mark(entries)
        most = self._workers * _AHEAD
        reads = look_ahead(self._load, marked, threads=threads, most=most, name="albo-read")
        with closing(reads):
            for read in reads:
                yield None if read is None else shared.resolve(read)

    def _load(self, marked: _Marked) -> LoadOutcome | _Marked:
        if marked.is_repeated:
            return marked
        entry = marked.entry
        # The stamp from before the reading: a file that changes meanwhile will be read again.
        path = entry.album.uri
        stamp = entry.stamp or stamp_file(path) or NEVER
        try:
            # A cover of the store has been read before: its bytes must be the same.
            data = self._covers.read(path, entry.album.digest, self._limits)
            digest = entry.album.digest or digest_of(data)
            if digest in self._known:
                return Loaded(entry, stamp, digest)
            pixels = decode(data, self._card.size, self._card.resample, self._limits)
        except BadCover as error:
            lost = error if isinstance(error, LostCover) else None
            return Unreadable(entry, stamp, str(error), lost)
        return Loaded(entry, stamp, digest, pixels, miniature_of(pixels))


@dataclass(frozen=True, slots=True)
class _Marked:
    """An entry, and whether an earlier entry of the same source names the same file."""

    entry: Entry
    is_repeated: bool = False


class _SharedFiles:
    """The outcomes of a source's files, so that each is read once for all its entries."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Digest | Unreadable] = {}  # by file; b"" until it is read

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

    def resolve(self, read: LoadOutcome | _Marked) -> LoadOutcome:
        """Return the outcome of an entry; called in order, so a file's first entry comes first."""
        file = _file_of(read.entry)
        if not isinstance(read, _Marked):
            self._outcomes[file] = read.digest if isinstance(read, Loaded) else read
            return read
        known = self._outcomes[file]
        if isinstance(known, Unreadable):
            return replace(known, entry=read.entry, stamp=None)
        return Loaded(read.entry, None, known)


def _file_of(entry: Entry) -> str:
    """Return the key of an entry's file; for a cover of the store it includes the digest."""
    album = entry.album
    return album.uri if album.digest is None else f"{album.digest.hex()} {album.uri}"


def has_signature(path: str) -> bool:
    """Whether a file begins like an image; False if it cannot be read."""
    # Without waiting: a pipe may have replaced the file since it was listed.
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
