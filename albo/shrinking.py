"""The stage that makes the miniatures which a collection lacks.

`embed` makes them of the pixels that it decodes anyway. Covers that were embedded before albo kept
miniatures are fetched once more, here.
"""

from __future__ import annotations

from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING

from albo.errors import StaleArtifact
from albo.images import decode, miniature_of
from albo.limits import Limits
from albo.records import Skipped
from albo.refetching import Fetcher, known_covers

if TYPE_CHECKING:
    from albo.catalog import Catalog
    from albo.records import Digest, Miniatures, Progress
    from albo.store import MiniatureStore, StoredCovers

COMMIT_SECONDS = 3.0
"""Seconds that miniatures may wait for a commit."""

_SIDE = 224
"""Pixels on a side of the square that a miniature is made of, as for most networks."""


def shrink_covers(
    catalog: Catalog,
    covers: StoredCovers,
    store: MiniatureStore,
    *,
    limits: Limits | None = None,
    workers: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> list[Skipped]:
    """Make the miniatures of the catalog's covers that have none. Returns those that it cannot.

    The caller holds the writer lock.

    Parameters
    ----------
    catalog : lists the covers and their places.
    covers : reads files, and covers of stores.
    store : gets the miniatures.
    limits : the largest files and images that are read.
    workers : threads that fetch and decode; None for the number of cores.
    progress : called with how many covers are done, and of how many.

    Raises the errors of the catalog and the stores; miniatures made before are kept.
    """
    lacking = catalog.digests() - _known(store)
    if not lacking:
        return []
    wanted = known_covers(catalog.albums(lacking))
    allowed = limits or Limits()

    def make(data: bytes) -> Miniatures:
        return miniature_of(decode(data, _SIDE, limits=allowed))

    skipped: list[Skipped] = []
    last = monotonic()
    fetcher = Fetcher(covers, make, allowed, workers)
    with store.writer() as writer, closing(fetcher.ahead(wanted)) as fetched:
        done = 0
        for one in fetched:
            if one is not None:
                cover, made = one
                if isinstance(made, Skipped):
                    skipped.append(made)
                else:
                    writer.add([cover.digest], made[None])
                done += 1
                progress(done, len(wanted))
            if monotonic() - last >= COMMIT_SECONDS:
                writer.commit()
                last = monotonic()
    return skipped


def _known(store: MiniatureStore) -> set[Digest]:
    """Return the covers that have a miniature; none where the store is damaged, to mend it."""
    try:
        return set(store.digests())
    except StaleArtifact:
        return set()
