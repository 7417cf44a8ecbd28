"""Covers of the catalog that lack something: found, and fetched and decoded again, in threads.

A bounded number is ahead of whoever works on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from albo.ahead import look_ahead
from albo.errors import BadCover
from albo.networks import cores
from albo.records import Skipped
from albo.store import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from albo.limits import Limits
    from albo.records import Album, Digest
    from albo.store import StoredCovers

_AHEAD = 2  # covers a thread; a decoded one takes a megabyte
_REMOTE_WORKERS = 16  # a server answers slowly, but several requests at once

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class KnownCover:
    """A cover of the catalog."""

    digest: Digest
    """SHA-256 of its bytes."""

    uris: tuple[str, ...]
    """The files that hold it, local ones first."""


Fetched: TypeAlias = "tuple[KnownCover, Made | Skipped]"
"""A cover with what was made of its bytes, or why it could not be fetched or decoded."""


def known_covers(albums: Iterable[Album]) -> list[KnownCover]:
    """Return the covers of albums, each with its files, the local ones first."""
    uris: dict[Digest, dict[str, None]] = {}
    for album in albums:
        if album.digest is not None:
            uris.setdefault(album.digest, {})[album.uri] = None
    return [KnownCover(one, tuple(sorted(at, key=is_remote))) for one, at in uris.items()]


class Fetcher(Generic[Made]):
    """Fetches covers and makes something of their bytes, in threads.

    Parameters
    ----------
    covers : reads files, and covers of stores.
    make : makes something of the bytes of a cover; raises BadCover.
    limits : the largest files that are read.
    workers : threads; None for the number of cores; more where covers come from a server.
    """

    def __init__(
        self,
        covers: StoredCovers,
        make: Callable[[bytes], Made],
        limits: Limits,
        workers: int | None = None,
    ) -> None:
        self._covers = covers
        self._make = make
        self._limits = limits
        self._workers = workers or cores()

    def ahead(self, wanted: list[KnownCover]) -> Generator[Fetched[Made] | None, None, None]:
        """Yield covers, in order, with what was made or the error; some are fetched ahead.

        Yields None whenever time has passed without a cover.
        """
        remote = any(is_remote(cover.uris[0]) for cover in wanted)
        threads = max(self._workers, _REMOTE_WORKERS) if remote else self._workers
        return look_ahead(
            self._fetch, wanted, threads=threads, most=threads * _AHEAD, name="albo-fetch"
        )

    def _fetch(self, cover: KnownCover) -> Fetched[Made]:
        failures = []
        for uri in cover.uris:
            try:
                data = self._covers.read_again(uri, cover.digest, self._limits)
                return cover, self._make(data)
            except BadCover as error:
                failures.append(Skipped(uri, str(error)))
        return cover, failures[0]
