"""The few primitives that a place for a catalog provides; `Catalog` makes all else of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from albo.records import Album, CatalogRow, Digest, Feed

Where: TypeAlias = "Mapping[str, Any]"
"""What an album must have: values by the name of `Album`'s field, or of `missing`."""

Among: TypeAlias = "tuple[str, Sequence[Any]] | None"
"""A field and the values of which an album must have one; None for any album."""


class Tables(Protocol):
    """Albums with what charts say of them, charts, and harvests under way.

    One for SQLite, one for MongoDB. Without `among`, albums come by source and album id; with it
    that holds where it names album ids of one source in ascending order, and nowhere else.
    The errors are those of the place: see `SqliteTables` and `MongoTables`.
    """

    def close(self) -> None:
        """Close the file or the connections; what was written stays."""
        ...

    # --- reading ---------------------------------------------------------------------------------

    def albums(self, where: Where, among: Among = None) -> Iterator[Album]:
        """Go through the albums that are so."""
        ...

    def rows(self, where: Where, among: Among = None) -> Iterator[CatalogRow]:
        """Go through the albums that are so, each with all that is known of it."""
        ...

    def values(
        self, names: Sequence[str], where: Where, among: Among = None
    ) -> Iterator[tuple[Any, ...]]:
        """Go through a few fields of the albums that are so.

        Parameters
        ----------
        names
            Of `Album`'s fields and `missing`; a digest comes as bytes.
        """
        ...

    def digests(self, where: Where) -> set[Digest]:
        """Return the covers of the albums that are so."""
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
        """Go through the charts with these addresses, or through all by address."""
        ...

    def runs(self) -> Mapping[str, str]:
        """Return when each harvest that has not ended began, by plan."""
        ...

    # --- writing ---------------------------------------------------------------------------------

    def register(self, albums: Sequence[Album], digest_at: Mapping[str, Digest | None]) -> None:
        """Write albums as present; what charts say of them stays.

        Parameters
        ----------
        albums
            Each key once, each with the digest that `digest_at` gives its file.
        digest_at
            The digest of each file, which every other album of it that is not missing gets too.
        """
        ...

    def put(self, rows: Sequence[CatalogRow], feeds: Sequence[Feed]) -> None:
        """Write rows, each key once, in place of all that was known; then charts, each once."""
        ...

    def mark_missing(self, source: str, album_ids: Sequence[str]) -> int:
        """Mark albums as missing; returns how many were not before."""
        ...

    def set_listing(self, source: str, album_ids: Sequence[str], field: str, value: str) -> None:
        """Set a field of what charts say (see `Listing`) of those albums that are in a chart."""
        ...

    def remove(self, keys: Iterable[tuple[str, str]]) -> None:
        """Delete albums by source and album id, and what charts say of them."""
        ...

    def begin_run(self, plan: str, when: str) -> None:
        """Write down when a harvest began."""
        ...

    def end_run(self, plan: str) -> None:
        """Delete a harvest."""
        ...
