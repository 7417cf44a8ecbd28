"""Another catalog as a source of albums."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from albo.sources.charts import SOURCE as CHARTS
from albo.sources.listing import FROM_FOLDERS, NO_GENRE, Entry, Remarks, stamp_file
from albo.store import lies_in_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albo.catalog import Catalog


class CatalogSource:
    """Another catalog as a source: its albums are copied into this one.

    Parameters
    ----------
    name : its address, without secrets.
    catalog : the catalog, open; the caller closes it.
    genre : as for `open_sources`; None keeps the genres of the other catalog.
    """

    def __init__(self, name: str, catalog: Catalog, genre: str | None = None) -> None:
        self.name = name
        self.remarks = Remarks()
        self._catalog = catalog
        self._genre = None if genre == FROM_FOLDERS else "" if genre == NO_GENRE else genre

    def entries(self) -> Iterator[Entry]:
        """List the albums that have a cover, by source and album id."""
        # All at once: a server may not keep a listing open while covers are read.
        for album in list(self._catalog.albums()):
            if album.digest is not None or album.source != CHARTS:
                ours = replace(
                    album,
                    source=self.name,
                    album_id=f"{album.source} {album.album_id}",
                    digest=album.digest if lies_in_store(album) else None,
                    genre=album.genre if self._genre is None else self._genre,
                )
                yield Entry(ours, stamp_file(album.uri))

    def is_gone(self, album_id: str) -> bool:  # noqa: ARG002
        """Return True: a catalog's listing is complete, so an album it does not list is gone."""
        return True
