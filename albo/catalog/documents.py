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
    return None if digest is None else digest.hex()


def key_of(document: Json) -> tuple[str, str]:
    return document["source"], document["album_id"]


def write_of(document: Json, known: object, *, whole: bool) -> Change:
    """Return what writes an album: known under that id, or new where there is none.

    An upsert also where it is known: another writer may have deleted it meanwhile.
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
    album, listing = row.album, row.listing
    said = None
    if listing is not None:
        said = {name: getattr(listing, name) for name in _LISTING}
        said["art_arriving"] = hex_of(listing.art_arriving)
    values = {name: getattr(album, name) for name in _ALBUM}
    return {**values, "digest": hex_of(album.digest), "missing": row.missing, "listing": said}


def feed_document_of(feed: Feed) -> Json:
    return {
        "url": feed.url,
        "fetched": feed.fetched,
        "album_ids": list(feed.album_ids),
        "etag": feed.etag,
        "modified": feed.modified,
    }


def album_from(found: Json) -> Album:
    values = {name: found[name] for name in _ALBUM}
    for name in _TEXT:
        if not isinstance(values[name], str):
            raise TypeError(f"{name} is no text")
    values["digest"] = _from_hex(values["digest"])
    return Album(**values)


def listing_from(found: Json) -> Listing:
    values = {name: found[name] for name in _LISTING}
    values["art_arriving"] = _from_hex(values["art_arriving"])
    return Listing(**values)


def _from_hex(digits: str | None) -> Digest | None:
    return None if digits is None else bytes.fromhex(digits)
