"""The catalog of albums: one logic over the tables of SQLite and of MongoDB."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from albo.catalog.tables import Tables
    from albo.records import Album, CatalogRow, Digest, Feed

_PRESENT = {"missing": False}


class Catalog:
    """The catalog of albums. Albums marked missing are kept, but no answer shows them.

    `open_catalog` opens it. For one thread. All methods raise the errors of their `tables`.

    Parameters
    ----------
    tables
        The tables of the albums; the catalog closes them.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def __enter__(self) -> Self:
        """Return the catalog itself; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it; what was written stays."""
        self._tables.close()

    # --- albums ----------------------------------------------------------------------------------

    def upsert(self, albums: Iterable[Album]) -> None:
        """Write albums in place of those of the same source and album id, and mark them present.

        A file holds one cover: other albums at the same uris get the new digests too. The chart
        data of an album stays.
        """
        written = list(albums)
        if not written:
            return
        digest_at = {album.uri: album.digest for album in written}
        last = {_key(album): album for album in written}
        self._tables.register(
            [replace(album, digest=digest_at[album.uri]) for album in last.values()], digest_at
        )

    def albums(self, digests: Collection[Digest] | None = None) -> Iterator[Album]:
        """Yield the albums that are not missing: all, or those with one of these covers.

        All are sorted by source and album id. Nothing may be written meanwhile.
        """
        among = None if digests is None else ("digest", list(digests))
        yield from self._tables.albums(_PRESENT, among)

    def listed(self, source: str) -> dict[str, bool]:
        """Return the album ids of a source, each with whether it is missing."""
        found = self._tables.values(("album_id", "missing"), {"source": source})
        return {album_id: bool(missing) for album_id, missing in found}

    def find(
        self, source: str, album_ids: Sequence[str], *, missing: bool = False
    ) -> dict[str, Album]:
        """Return those albums of a source that are known, by album id.

        Parameters
        ----------
        source
            The source that lists them.
        album_ids
            The wanted albums; unknown ones are left out.
        missing
            True for the albums that are marked missing, False for the others.
        """
        where = {"source": source, "missing": missing}
        found = self._tables.albums(where, ("album_id", album_ids))
        return {album.album_id: album for album in found}

    def at(self, uris: Sequence[str]) -> Iterator[Album]:
        """Yield the albums of these files that are not missing, of any source."""
        yield from self._tables.albums(_PRESENT, ("uri", list(dict.fromkeys(uris))))

    def digests(self, genre: str | None = None, *, missing: bool = False) -> set[Digest]:
        """Return the covers of albums.

        Parameters
        ----------
        genre
            The genre that the albums must have; None for any.
        missing
            Whether the covers of albums that are marked missing are included.
        """
        of_genre = {} if genre is None else {"genre": genre}
        return self._tables.digests(of_genre if missing else {**of_genre, **_PRESENT})

    def copied(self) -> list[Digest]:
        """Return the covers that lie in several files, in ascending order."""
        return sorted(self._tables.copied())

    def genres(self) -> dict[str, int]:
        """Return each genre with its number of covers, most first."""
        counts = self._tables.genres()
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def mark_missing(self, source: str, album_ids: Iterable[str]) -> int:
        """Mark albums of a source as missing; returns how many were not before."""
        return self._tables.mark_missing(source, list(album_ids))

    def matching(
        self, *, source: str | None = None, uri: str | None = None, digest: Digest | None = None
    ) -> list[Album]:
        """Return the albums of a source, of a file or of a cover, missing ones too.

        With several arguments the albums that match any of them are returned, sorted by source and
        album id.
        """
        wanted = {"source": source, "uri": uri, "digest": digest}
        found = {
            _key(album): album
            for field, value in wanted.items()
            if value is not None
            for album in self._tables.albums({field: value})
        }
        return [found[key] for key in sorted(found)]

    def shown_only_by(self, albums: Iterable[Album]) -> set[Digest]:
        """Return the covers of these albums that no other album shows, missing ones included."""
        digest_of = {_key(album): album.digest for album in albums}
        digests = {digest for digest in digest_of.values() if digest is not None}
        shown = self._tables.values(("source", "album_id", "digest"), {}, ("digest", list(digests)))
        return digests - {digest for *key, digest in shown if tuple(key) not in digest_of}

    def forget(self, albums: Iterable[Album]) -> None:
        """Delete these albums and their chart data."""
        self._tables.remove([_key(album) for album in albums])

    # --- all that is known of them ---------------------------------------------------------------

    def rows(
        self, source: str | None = None, album_ids: Sequence[str] | None = None
    ) -> Iterator[CatalogRow]:
        """Yield all that is known of albums, missing ones too, sorted by source and album id.

        Nothing may be written meanwhile.

        Parameters
        ----------
        source
            The source of the albums; None for all sources; `album_ids` is then ignored.
        album_ids
            Which of the source's albums; None for all of them.
        """
        if source is None:
            yield from self._tables.rows({})
            return
        among = None if album_ids is None else ("album_id", sorted(set(album_ids)))
        yield from self._tables.rows({"source": source}, among)

    def without_cover(self, source: str) -> list[str]:
        """Return the albums of a source that await a cover (see CatalogRow), by album id."""
        return list(self._tables.without_cover(source))

    def put(self, rows: Iterable[CatalogRow], feeds: Iterable[Feed] = ()) -> None:
        """Replace all that was known of these albums by these rows; then write the feeds.

        Of several rows of one album, or feeds of one address, the last counts.
        """
        last = {_key(row.album): row for row in rows}
        fetched = {feed.url: feed for feed in feeds}
        if last or fetched:
            self._tables.put(list(last.values()), list(fetched.values()))

    def saw(self, source: str, album_ids: Sequence[str], when: str) -> None:
        """Write down when these albums of charts were last seen.

        Parameters
        ----------
        source
            The source that lists them.
        album_ids
            The albums that were seen; those in no chart are left unchanged.
        when
            ISO time, UTC.
        """
        self._tables.set_listing(source, album_ids, "last_seen", when)

    # --- charts and harvests ---------------------------------------------------------------------

    def feeds(self, urls: Sequence[str] | None = None) -> dict[str, Feed]:
        """Return the records of these charts, or of all, by url."""
        return {feed.url: feed for feed in self._tables.feeds(urls)}

    def runs(self) -> dict[str, str]:
        """Return when each unfinished harvest began, by plan."""
        return dict(self._tables.runs())

    def begin_run(self, plan: str, when: str) -> None:
        """Write down that a harvest by this plan has begun.

        Parameters
        ----------
        plan
            What the harvest asks for, as text; the key of the run.
        when
            ISO time, UTC.
        """
        self._tables.begin_run(plan, when)

    def end_run(self, plan: str) -> None:
        """Write down that the harvest by this plan has ended."""
        self._tables.end_run(plan)


def _key(album: Album) -> tuple[str, str]:
    return album.source, album.album_id
