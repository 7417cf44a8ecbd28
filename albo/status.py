"""The contents of a library: sources, covers, genres, backbones, indexes, words, heads."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from albo.catalog import Files
from albo.classify import Heads
from albo.errors import AlboError, EmptyCatalog

if TYPE_CHECKING:
    from albo.catalog import Catalog
    from albo.library import Library
    from albo.records import Json
    from albo.store import Vectors, WordStore


def describe_library(library: Library) -> Json:
    """Return the object that `albo status --json` prints."""
    where = {"artifacts": str(library.artifacts.root), "catalog": library.catalog_place}
    heads = Heads(library).names()
    try:
        with library.reading() as catalog:
            return {**where, **_describe_covers(library, catalog, heads)}
    except EmptyCatalog as nothing:
        empty = {"covers": 0, "backbones": [], "heads": heads, "problem": str(nothing)}
        return {**where, **empty}


def _describe_covers(library: Library, catalog: Catalog, heads: list[str]) -> Json:
    return {
        "covers": len(catalog.digests()),
        "sources": dict(Counter(album.source for album in catalog.albums())),
        "genres": catalog.genres(),
        "skipped": _skipped(library),
        "backbones": [
            _describe_backbone(library, vectors, catalog) for vectors in library.all_vectors()
        ],
        "words": [_describe_words(words, catalog) for words in library.all_words()],
        "heads": heads,
        "default_head": library.remembered_head(),
        "writer": library.artifacts.writer_at_work(),
    }


def _skipped(library: Library) -> list[Json]:
    if not library.artifacts.files_file.is_file():
        return []
    with Files(library.artifacts.files_file) as files:
        return [{"uri": s.path, "error": s.reason} for s in files.skipped()]


def _describe_backbone(library: Library, vectors: Vectors, catalog: Catalog) -> Json:
    from albo.index import digest_set_hash, open_index

    found: Json = {
        "backbone": vectors.backbone,
        "default": vectors.folder.name == library.remembered_backbone(),
        "vectors": len(vectors),
    }
    try:
        index = open_index(library.artifacts.index(vectors.folder.name), vectors.fingerprint)
        found |= {"index": index.kind.value, "indexed": index.count, "recall": index.recall}
        index.check_current(vectors.state, digest_set_hash(catalog.digests()))
    except AlboError as error:
        found["problem"] = str(error)
    return found


def _describe_words(words: WordStore, catalog: Catalog) -> Json:
    found: Json = {"reader": words.reader}
    try:
        covers = catalog.digests()
        failed = len(covers & words.failed().keys())
        read = len(covers.intersection(words.digests()))
    except AlboError as error:
        return found | {"problem": str(error)}
    return found | {"read": read, "failed": failed, "unread": len(covers) - read - failed}
