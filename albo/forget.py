"""Take covers out of a library: out of its catalog, vectors, words and indexes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from albo.catalog import Files, is_address, mask_text, source_name
from albo.errors import StaleArtifact, UnknownSource
from albo.neighbours import update_looks
from albo.sources import FILES, possible_names
from albo.sources import SOURCE as CHARTS
from albo.store import MiniatureStore

if TYPE_CHECKING:
    from albo.catalog import Catalog
    from albo.library import Library
    from albo.records import Album, Digest

_SHORTEST_PREFIX = 8


def forget(library: Library, named: str) -> int:
    """Take out the covers of a source, of a file, or of a digest; return how many albums.

    Parameters
    ----------
    named : the source, the file, or the digest, which may be cut short to 8 hex digits or more;
        "-" stands for the files that were named one by one.

    Raises UnknownSource where nothing of that name is known, EmptyCatalog.
    """
    library.require_catalog()
    with (
        library.writing("albo forget") as catalog,
        Files(library.artifacts.files_file, write=True) as files,
    ):
        forgotten = _albums_of(named, catalog)
        gone = catalog.shown_only_by(forgotten)
        there = library.all_vectors()
        # The catalog comes last, so that a stopped command can be given again.
        for store in (*there, *library.all_words(), *library.all_meanings()):
            store.remove(gone)
        with suppress(StaleArtifact):  # there are none; damaged ones are made anew by `albo embed`
            miniatures = MiniatureStore.open(library.artifacts.miniatures_folder)
            miniatures.remove(gone)
            update_looks(miniatures)
        files.forget(album.uri for album in forgotten)
        catalog.forget(forgotten)
        for vectors in there:
            library.update_index(vectors, catalog)
    return len(forgotten)


def _albums_of(named: str, catalog: Catalog) -> list[Album]:
    """Find the albums of a source, a file or a digest, missing albums too.

    A source of exactly that name comes before a folder of that name.
    """
    source = {"-": FILES, CHARTS: CHARTS}.get(named)
    if source is None and is_address(named):
        source = source_name(named)
    found = catalog.matching(source=source) if source else []
    if not found and named not in {"", "-"}:
        names = possible_names(named)
        every = (a for name in names for a in catalog.matching(source=name, uri=name))
        found = list({(a.source, a.album_id): a for a in every}.values())
    return found or catalog.matching(digest=_one_digest(named, catalog))


def _one_digest(named: str, catalog: Catalog) -> Digest:
    """Find the one cover whose digest begins with this text."""
    digests = catalog.digests(missing=True) if len(named) >= _SHORTEST_PREFIX else ()
    found = [digest for digest in digests if digest.hex().startswith(named.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownSource(
            f"the digests of {len(found)} covers begin with {named}; give more digits"
        )
    raise UnknownSource(
        f"{mask_text(named)!r} is neither a source, a file nor a cover (at least"
        f" {_SHORTEST_PREFIX} hex digits) that the catalog holds; `albo status` lists the"
        " sources"
    )
