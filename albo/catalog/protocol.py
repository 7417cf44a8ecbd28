"""What every catalog of albums can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from albo.records import Album, CatalogRow, Digest, Feed


class Catalog(Protocol):
    """Where albums are kept. Albums marked missing are remembered but answer nothing."""

    def __enter__(self) -> Self:
        """Give the catalog itself; leaving closes it."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close it; what was written stays."""
        ...

    def upsert(self, albums: Iterable[Album]) -> None:
        """Write rows, replacing those of the same source and album id; none is missing then.

        A file holds one cover: what other sources list at the same uris gets the new digests too.
        """
        ...

    def albums(self, digests: Collection[Digest] | None = None) -> Iterator[Album]:
        """Go through albums that are not missing: all, or those with one of these covers.

        All come by source and album id. Nothing may be written meanwhile.
        """
        ...

    def listed(self, source: str) -> dict[str, bool]:
        """Return the album ids of a source, each with whether it is missing."""
        ...

    def find(
        self, source: str, album_ids: Sequence[str], *, missing: bool = False
    ) -> dict[str, Album]:
        """Return those albums of a source that are known, by album id.

        Parameters
        ----------
        missing : True for the albums that are marked missing, False for the others.
        """
        ...

    def at(self, uris: Sequence[str]) -> Iterator[Album]:
        """Go through the albums of these files that are not missing, whatever lists them."""
        ...

    def digests(self, genre: str | None = None, *, missing: bool = False) -> set[Digest]:
        """Return the covers of albums, of one genre where one is named.

        Parameters
        ----------
        missing : whether the covers of albums that are marked missing are included.
        """
        ...

    def copied(self) -> list[Digest]:
        """Return the covers that lie in several files, in ascending order."""
        ...

    def genres(self) -> dict[str, int]:
        """Return each genre with its number of covers, most first."""
        ...

    def mark_missing(self, source: str, album_ids: Iterable[str]) -> int:
        """Mark albums of a source as missing; returns how many were not before."""
        ...

    def matching(
        self, *, source: str | None = None, uri: str | None = None, digest: Digest | None = None
    ) -> list[Album]:
        """Return the albums of a source, of a file or of a cover, missing ones too."""
        ...

    def shown_only_by(self, albums: Iterable[Album]) -> set[Digest]:
        """Return the covers of these albums that no other album shows, missing ones included."""
        ...

    def forget(self, albums: Iterable[Album]) -> None:
        """Delete these albums, and what charts say of them."""
        ...

    def rows(
        self, source: str | None = None, album_ids: Sequence[str] | None = None
    ) -> Iterator[CatalogRow]:
        """Go through all that is known of albums, missing ones too, by source and album id.

        Of all, of one source, or of these of its albums. Nothing may be written meanwhile.
        """
        ...

    def without_cover(self, source: str) -> list[str]:
        """Return the albums of a source that await a cover (see CatalogRow), by album id."""
        ...

    def put(self, rows: Iterable[CatalogRow], feeds: Iterable[Feed] = ()) -> None:
        """Write rows as they are, replacing all that was known of those albums; then feeds."""
        ...

    def saw(self, source: str, album_ids: Sequence[str], when: str) -> None:
        """Write down when these albums of charts were last seen."""
        ...

    def feeds(self, urls: Sequence[str] | None = None) -> dict[str, Feed]:
        """Return what is known of charts, of these or of all, by url."""
        ...

    def runs(self) -> dict[str, str]:
        """Return the harvests that have begun and not ended: when, by plan."""
        ...

    def begin_run(self, plan: str, when: str) -> None:
        """Write down that a harvest by this plan has begun."""
        ...

    def end_run(self, plan: str) -> None:
        """Write down that the harvest by this plan has ended."""
        ...
