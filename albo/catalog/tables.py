"""The few primitives of a catalog's database; `Catalog` builds everything else on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from albo.records import Album, CatalogRow, Digest, Feed

Where: TypeAlias = "Mapping[str, Any]"
"""The values that an album must have, by the name of `Album`'s field, or `missing`."""

Among: TypeAlias = "tuple[str, Sequence[Any]] | None"
"""A field and its allowed values; None for any album."""


class Tables(Protocol):
    """Albums with their chart data, charts, and unfinished harvests.

    One class for SQLite, one for MongoDB. Albums are sorted by source and album id, but with
    `among` only if it names album ids of one source in ascending order.
    The errors are those of the database: see `SqliteTables` and `MongoTables`.
    """

    def close(self) -> None:
        """Close the file or the connections; what was written stays."""
        ...

    # --- reading ---------------------------------------------------------------------------------

    def albums(self, where: Where, among: Among = None) -> Iterator[Album]:
        """Yield the matching albums."""
        ...

    def rows(self, where: Where, among: Among = None) -> Iterator[CatalogRow]:
        """Yield the matching albums, each with all that is known of it."""
        ...

    def values(
        self, names: Sequence[str], where: Where, among: Among = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield a few fields of the matching albums.

        Parameters
        ----------
        names
            Fields of `Album`, or `missing`; a digest is returned as bytes.
        """
        ...

    def digests(self, where: Where) -> set[Digest]:
        """Return the covers of the matching albums."""
        ...

    def copied(self) -> Iterable[Digest]:
        """Return the covers that lie in several files by the albums that are not missing."""
        ...

    def genres(self) -> Mapping[str, int]:
        """Return the genres of albums that are not missing, each with its number of covers."""
        ...

    def without_cover(self, source: str) -> Iterable[str]:
        """Return the albums of a source that await a cover, by album id."""
        ...

    def feeds(self, urls: Sequence[str] | None) -> Iterator[Feed]:
        """Yield the charts with these addresses, or all, sorted by address."""
        ...

    def runs(self) -> Mapping[str, str]:
        """Return when each unfinished harvest began, by plan."""
        ...

    # --- writing ---------------------------------------------------------------------------------

    def register(self, albums: Sequence[Album], digest_at: Mapping[str, Digest | None]) -> None:
        """Write albums as present; their chart data stays.

        Parameters
        ----------
        albums
            Each key once, each with the digest that `digest_at` gives its file.
        digest_at
            The digest of each file; all other albums of the file that are not missing get it too.
        """
        ...

    def put(self, rows: Sequence[CatalogRow], feeds: Sequence[Feed]) -> None:
        """Replace all that was known by rows, each key once; then write charts, each once."""
        ...

    def mark_missing(self, source: str, album_ids: Sequence[str]) -> int:
        """Mark albums as missing; return how many were not missing before."""
        ...

    def set_listing(self, source: str, album_ids: Sequence[str], field: str, value: str) -> None:
        """Set a field of the chart data (see `Listing`) of those albums that are in a chart."""
        ...

    def remove(self, keys: Iterable[tuple[str, str]]) -> None:
        """Delete albums by source and album id, and their chart data."""
        ...

    def begin_run(self, plan: str, when: str) -> None:
        """Write down when a harvest began."""
        ...

    def end_run(self, plan: str) -> None:
        """Delete a harvest."""
        ...
