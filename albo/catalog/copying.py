"""Copy one catalog into another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from albo.catalog.addresses import check_catalog, open_catalog, same_catalog, shown
from albo.errors import UsageError

if TYPE_CHECKING:
    from albo.records import Json, StageProgress


@dataclass(frozen=True)
class Copied:
    """What `copy_catalog` did."""

    albums: int
    """How many rows were copied."""
    feeds: int
    """How many charts were copied."""
    source: str
    """Where they came from, as it may be shown."""
    target: str
    """Where they went, as it may be shown."""

    def as_json(self) -> Json:
        """Return the object that `albo catalog copy --json` prints."""
        return {
            "albums": self.albums,
            "feeds": self.feeds,
            "from": self.source,
            "to": self.target,
        }


_COPIED_AT_ONCE = 1_000


def copy_catalog(
    source: str, target: str, progress: StageProgress = lambda _stage, _done, _total: None
) -> Copied:
    """Copy all rows, charts and unfinished harvests of one catalog into another.

    Other content of the target stays. No writer lock is taken, since a catalog need not be in an
    artifacts folder. A writer may run meanwhile; copy again to get what it wrote later.

    Raises UsageError for a wrong address or the same catalog twice, EmptyCatalog if there is none
    to copy.
    """
    check_catalog(source)
    check_catalog(target)
    if same_catalog(source, target):
        raise UsageError(f"{shown(source)} cannot be copied to itself; name another catalog")
    albums = 0
    with open_catalog(source) as old, open_catalog(target, write=True) as new:
        rows = old.rows()
        while some := list(islice(rows, _COPIED_AT_ONCE)):
            new.put(some)
            albums += len(some)
            progress("copying", albums, None)
        feeds = old.feeds()
        new.put((), feeds.values())
        for plan, when in old.runs().items():
            new.begin_run(plan, when)
    return Copied(albums, len(feeds), shown(source), shown(target))
