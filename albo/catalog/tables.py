"""The few primitives that each database provides; `Catalog` builds all other methods on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from albo.records import Album, CatalogRow, Digest, Feed

Where: TypeAlias = "Mapping[str, Any]"
"""A condition on albums: a value for each named field of `Album`, or for `missing`."""

Among: TypeAlias = "tuple[str, Sequence[Any]] | None"
"""A field and its allowed values; None for any album."""


class Tables(Protocol):
    """Albums with their chart data, charts, and unfinished harvests.

    There is one class for SQLite and one for MongoDB. Without `among`, albums come by source and
    album id. With it, they do so only if it has album ids of one source in ascending order.
    For the errors see `SqliteTables` and `MongoTables`.
    """

    def close(self) -> None:
        """Close the file or the connections; written data stays."""
        ...

    # --- reading ---------------------------------------------------------------------------------

    def albums(self, where: Where, among: Among = None) -> Iterator[Album]:
        """Iterate over the albums that match."""
        ...

    def rows(self, where: Where, among: Among = None) -> Iterator[CatalogRow]:
        """Iterate over the albums that match, each with all its data."""
        ...

    def values(
        self, names: Sequence[str], where: Where, among: Among = None
    ) -> Iterator[tuple[Any, ...]]:
        """Iterate over a few fields of the albums that match.

        Parameters
        ----------
        names
            Fields of `Album`, or `missing`; a digest comes as bytes.
        """
        ...

    def digests(self, where: Where) -> set[Digest]:
        """Return the covers of the albums that match."""
        ...

    def copied(self) -> Iterable[Digest]:
        """Return the covers that lie in several files, by the albums that are not missing."""
        ...

    def genres(self) -> Mapping[str, int]:
        """Return the genres of albums that are not missing, each with its number of covers."""
        ...

    def without_cover(self, source: str) -> Iterable[str]:
        """Return the albums of a source that wait for a cover, by album id."""
        ...

    def feeds(self, urls: Sequence[str] | None) -> Iterator[Feed]:
        """Iterate over the charts with these addresses, or over all by address."""
        ...

    def runs(self) -> Mapping[str, str]:
        """Return the start time of each unfinished harvest, by plan."""
        ...

    # --- writing ---------------------------------------------------------------------------------

    def register(self, albums: Sequence[Album], digest_at: Mapping[str, Digest | None]) -> None:
        """Write albums as present; their chart data stay.

        Parameters
        ----------
        albums
            Albums with different keys, each with the digest that `digest_at` gives its file.
        digest_at
            The digest of each file. Its other albums that are not missing get this digest too.
        """
        ...

    def put(self, rows: Sequence[CatalogRow], feeds: Sequence[Feed]) -> None:
        """Write rows, replacing all data of those albums; then charts. Keys must be unique."""
        ...

    def mark_missing(self, source: str, album_ids: Sequence[str]) -> int:
        """Mark albums as missing; return how many of them were not so before."""
        ...

    def set_listing(self, source: str, album_ids: Sequence[str], field: str, value: str) -> None:
        """Set a field in the chart data (see `Listing`) of those albums that are in a chart."""
        ...

    def remove(self, keys: Iterable[tuple[str, str]]) -> None:
        """Delete albums by source and album id, and their chart data."""
        ...

    def begin_run(self, plan: str, when: str) -> None:
        """Record when a harvest began."""
        ...

    def end_run(self, plan: str) -> None:
        """Delete a harvest."""
        ...
