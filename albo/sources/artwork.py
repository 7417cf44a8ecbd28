"""What became of an artwork that was fetched, and what the catalog records of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from albo.records import CatalogRow
from albo.sources.charts import artwork_key
from albo.store import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from albo.images import Facts
    from albo.records import Album, Digest
    from albo.sources.plan import Tally


# --- what goes between the threads ---------------------------------------------------------------


@dataclass(slots=True)
class Artwork:
    """One artwork that is wanted, and the albums that it is for, each with its tally."""

    url: str
    arriving: Digest | None
    albums: dict[str, Tally]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Artwork that was fetched and is whole; data is None where it is in the store, at `uri`."""

    art: Artwork
    digest: Digest
    url: str = ""
    data: bytes | None = None
    facts: Facts | None = None
    uri: str = ""


@dataclass(frozen=True, slots=True)
class NotFetched:
    """Artwork that was not to be had. was_asked : whether anybody was asked for it."""

    art: Artwork
    reason: str
    was_asked: bool = True


FetchResult: TypeAlias = "Fetched | NotFetched"
_R = TypeVar("_R", bound=FetchResult)


def rows_of_result(result: FetchResult, rows: dict[str, CatalogRow]) -> list[CatalogRow]:
    """Return the rows of the albums that a result is for."""
    return [rows[album_id] for album_id in result.art.albums if album_id in rows]


def change_row(
    rows: dict[str, CatalogRow],
    results: Iterable[_R],
    change: Callable[[CatalogRow, _R], CatalogRow],
) -> list[CatalogRow]:
    """Change the rows of the albums that results are for; return these."""
    changed: dict[str, None] = {}
    for result in results:
        for row in rows_of_result(result, rows):
            album_id = row.album.album_id
            rows[album_id] = change(row, result)
            changed[album_id] = None
    return [rows[album_id] for album_id in changed]


def is_for_result(row: CatalogRow, result: FetchResult) -> bool:
    """Whether artwork is what the album wants: a chart may have changed that meanwhile."""
    listing = row.listing
    return listing is not None and artwork_key(listing.art_url) == artwork_key(result.art.url)


def as_arriving(row: CatalogRow, came: Fetched) -> CatalogRow:
    if row.listing is None or came.facts is None or not is_for_result(row, came):
        return row
    listing = replace(
        row.listing,
        art_kept=came.url,
        art_width=came.facts.width,
        art_height=came.facts.height,
        art_arriving=came.digest,
    )
    return replace(row, listing=listing)


def as_arrived(row: CatalogRow, came: Fetched) -> CatalogRow:
    if row.listing is None or not is_for_result(row, came):
        return row
    album = replace(row.album, digest=came.digest, uri=came.uri)
    return CatalogRow(album, replace(row.listing, art_arriving=None, art_error=""), row.missing)


def as_failed(row: CatalogRow, lost: NotFetched) -> CatalogRow:
    if row.listing is None or not is_for_result(row, lost):
        return row
    reason = lost.reason.removeprefix("artwork: ")
    return replace(row, listing=replace(row.listing, art_error=reason))


def is_out_of_sight(album: Album) -> bool:
    there = album.digest is None or is_remote(album.uri) or os.path.exists(album.uri)
    return not there
