"""Find genres and albums by name, and covers by similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from albo.errors import UnknownGenre
from albo.records import Neighbours, ShownCover
from albo.texts import cut_short, letters_of, near_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from albo.index import Index
    from albo.queries import Query
    from albo.records import Album, Digest
    from albo.store import Vectors

_LONGEST_GENRE = 80
_LISTED = 8


def genres_alike(genre: str, known: Iterable[str]) -> list[str]:
    """Return the genres of this name: exactly this one first, then other spellings.

    Case, blanks, hyphens and the like are ignored: "hiphop" is "Hip-Hop". A name without letters
    matches only itself.
    """
    wanted = letters_of(genre)
    found = [name for name in known if name == genre or (wanted and letters_of(name) == wanted)]
    return sorted(found, key=lambda name: (name != genre, name.casefold() != genre.casefold()))


def unknown_genre(genre: str, known: Iterable[str], who: str = "") -> UnknownGenre:
    """Make the error for an unknown genre: it lists the genres and suggests a similar name.

    Parameters
    ----------
    who : the owner of the genres; "" for the catalog.
    """
    names = list({name.casefold(): name for name in known}.values())
    near = near_names(genre, names, least=0.5)
    listed = ", ".join(names[:_LISTED]) or "none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    asked = repr(cut_short(genre, _LONGEST_GENRE))
    none = f"{who} does not know {asked}" if who else f"no cover is of genre {asked}"
    hint = f"did you mean {', '.join(near)}? There" if near else "there"
    return UnknownGenre(f"{none}; {hint} are {listed}{more}")


def search_index(
    index: Index, queries: Sequence[Query], k: int, among: Collection[Digest] | None
) -> list[list[tuple[Digest, float]]]:
    """Search for all queries at once; a query that could not be read has no neighbours."""
    vectors = [query.embeddings.vector for query in queries if query.embeddings is not None]
    found = iter(index.search(np.concatenate(vectors), k, among) if vectors else ())
    nothing = Neighbours((), ())
    near = [nothing if query.embeddings is None else next(found) for query in queries]
    return [list(zip(each.digests, each.scores, strict=True)) for each in near]


def digests_present(vectors: Vectors, digests: Collection[Digest]) -> list[Digest]:
    """Return which of these covers have a vector, in the order of the vectors."""
    return [digest for digest in vectors.digests() if digest in digests]


def files_of(albums: Iterable[Album]) -> Mapping[Digest, list[Album]]:
    """Return each cover's files, one album for each file, in the order of the albums."""
    found: dict[Digest, dict[str, Album]] = {}
    for album in albums:
        if album.digest is not None:
            found.setdefault(album.digest, {}).setdefault(album.uri, album)
    return {digest: list(files.values()) for digest, files in found.items()}


def members_of_group(
    covers: Iterable[tuple[Digest, float]], files: Mapping[Digest, list[Album]]
) -> Iterator[ShownCover]:
    """Yield the files of the covers of a group; copies of one file have cosine 1."""
    for digest, score in covers:
        there = files.get(digest, [])  # none if a writer has removed it meanwhile
        for album in there:
            yield ShownCover(digest, album, score=1.0 if len(there) > 1 else score)


def album_by_digest(albums: Iterable[Album], genre: str | None = None) -> Mapping[Digest, Album]:
    """Choose one album for each cover, always the same: the first by source and album id.

    Parameters
    ----------
    genre : the genre asked for; an album of that genre is preferred.
    """

    def rank(album: Album) -> tuple[bool, str, str]:
        asked = genre is None or album.genre.casefold() == genre.casefold()
        return not asked, album.source, album.album_id

    found: dict[Digest, Album] = {}
    for album in sorted(albums, key=rank, reverse=True):
        if album.digest is not None:
            found[album.digest] = album
    return found
