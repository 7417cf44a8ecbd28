"""Albums, listings and feeds as MongoDB documents, and back."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeAlias

from albo.records import Album, CatalogRow, Feed, Listing

if TYPE_CHECKING:
    from pymongo import DeleteMany, InsertOne, ReplaceOne, UpdateOne

    from albo.records import Digest, Json


Change: TypeAlias = "DeleteMany | InsertOne[Json] | ReplaceOne[Json] | UpdateOne"
"""One write to a collection."""

_ALBUM = tuple(field.name for field in fields(Album))
_LISTING = tuple(field.name for field in fields(Listing))
_NOT_TEXT = frozenset({"digest", "year", "charts", "genre_id", "art_width", "art_height"})
_TEXT = tuple(name for name in _ALBUM if name not in _NOT_TEXT)


def hex_of(digest: Digest | None) -> str | None:
    """Return a digest as documents hold it: 64 hex digits, or None."""
    return None if digest is None else digest.hex()


def key_of(document: Json) -> tuple[str, str]:
    """Return the source and the album id of an album's document."""
    return document["source"], document["album_id"]


def write_of(document: Json, known: object, *, whole: bool) -> Change:
    """Return the write that puts an album into the collection.

    A known album is upserted too: another writer may have deleted it meanwhile.

    Parameters
    ----------
    document
        The album, as `document_of` makes it.
    known
        The id under which the server keeps the album; None where it is new.
    whole
        Whether the listing of a known album is written too; that of a new one always is.
    """
    from pymongo import InsertOne, ReplaceOne, UpdateOne

    if known is None:
        return InsertOne({**document})
    if whole:
        return ReplaceOne({"_id": known}, document, upsert=True)
    values = {**document}
    listing = {"listing": values.pop("listing")}
    return UpdateOne({"_id": known}, {"$set": values, "$setOnInsert": listing}, upsert=True)


def document_of(row: CatalogRow) -> Json:
    """Return the document of an album, with all that is known of it."""
    album, listing = row.album, row.listing
    said = None
    if listing is not None:
        said = {name: getattr(listing, name) for name in _LISTING}
        said["art_arriving"] = hex_of(listing.art_arriving)
    values = {name: getattr(album, name) for name in _ALBUM}
    return {**values, "digest": hex_of(album.digest), "missing": row.missing, "listing": said}


def feed_document_of(feed: Feed) -> Json:
    """Return a chart's document."""
    return {
        "url": feed.url,
        "fetched": feed.fetched,
        "album_ids": list(feed.album_ids),
        "etag": feed.etag,
        "modified": feed.modified,
    }


def album_from(found: Json) -> Album:
    """Return the album of a document.

    Raises LookupError, TypeError or ValueError for a document that albo did not make.
    """
    values = {name: found[name] for name in _ALBUM}
    for name in _TEXT:
        if not isinstance(values[name], str):
            raise TypeError(f"{name} is no text")
    values["digest"] = _from_hex(values["digest"])
    return Album(**values)


def row_from(found: Json) -> CatalogRow:
    """Return all that a document says of an album. Raises as `album_from` does."""
    said = found["listing"]
    listing = None if said is None else _listing_from(said)
    return CatalogRow(album_from(found), listing, bool(found["missing"]))


def feed_from(found: Json) -> Feed:
    """Return the chart of a document. Raises LookupError, TypeError."""
    return Feed(**{**found, "album_ids": tuple(found["album_ids"])})


def _listing_from(found: Json) -> Listing:
    values = {name: found[name] for name in _LISTING}
    values["art_arriving"] = _from_hex(values["art_arriving"])
    return Listing(**values)


def _from_hex(digits: str | None) -> Digest | None:
    return None if digits is None else bytes.fromhex(digits)
