"""Find covers in a library: nearest to a query, with the same artwork, or typical of a genre."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from albo.answers.records import Similar
from albo.answers.search import (
    album_by_digest,
    digests_present,
    files_of,
    genres_alike,
    members_of_group,
    search_index,
    unknown_genre,
)
from albo.errors import UsageError
from albo.neighbours import SHOWN_MINIATURES, copies_in
from albo.networks import card_of, near_duplicate_thresholds
from albo.queries import ask
from albo.records import ShownCover

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from albo.answers.records import Typical
    from albo.catalog import Catalog
    from albo.library import Library
    from albo.limits import Limits
    from albo.records import Album, Device, Digest
    from albo.store import Vectors


def find_similar(
    library: Library,
    vectors: Vectors,
    covers: Sequence[str],
    k: int,
    *,
    genre: str | None,
    device: Device,
    without_self: bool,
    limits: Limits | None,
) -> Iterator[Similar]:
    """Find the nearest covers of each cover, as `Albo.similar` does."""
    card = card_of(vectors)
    near_from = near_duplicate_thresholds(card)[1]
    with library.reading() as catalog:
        index = library.open_index(vectors, catalog)
        among = None if genre is None else _covers_of(genre, catalog)
        for queries in ask(covers, card, device, limits, note=library.note):
            # One more than asked for, if the same file will be left out.
            found = search_index(index, queries, k + without_self, among)
            copies = copies_in(
                library.miniatures(), [query.miniature for query in queries], SHOWN_MINIATURES
            )
            for query, near, same in zip(queries, found, copies, strict=True):
                if query.error:
                    yield Similar(query.name, error=query.error)
                    continue
                kept = [n for n in near if not (without_self and n[0] == query.digest)][:k]
                albums = album_by_digest(catalog.albums([digest for digest, _ in kept]), genre)
                mark = partial(_mark, own=query.digest, copies=same, near=near_from)
                yield Similar(query.name, _neighbours(kept, albums, mark))


def _neighbours(
    found: Sequence[tuple[Digest, float]],
    albums: Mapping[Digest, Album],
    mark: Callable[[Digest, float], str],
) -> tuple[ShownCover, ...]:
    """Return the covers that were found, best first, each with an album and its mark."""
    return tuple(
        ShownCover(digest, albums.get(digest), "", score, rank, mark(digest, score))
        for rank, (digest, score) in enumerate(found, start=1)
    )


def _mark(
    digest: Digest, score: float, *, own: Digest, copies: Collection[Digest], near: float
) -> str:
    """Say whether a cover that was found is the query's file, or a copy of its artwork.

    Parameters
    ----------
    own : the query's digest.
    copies : the covers whose miniatures show the same picture.
    near : the cosine from which covers are near-duplicates.
    """
    if digest == own:
        return "same file"
    return "near-duplicate" if score >= near or digest in copies else ""


def _covers_of(genre: str, catalog: Catalog) -> set[Digest]:
    known = catalog.genres()
    alike = genres_alike(genre, known)
    if not alike:
        raise unknown_genre(genre, known)
    return set().union(*map(catalog.digests, [genre] if genre in alike else alike))


def find_duplicates(
    library: Library, vectors: Vectors, threshold: float | None
) -> list[tuple[ShownCover, ...]]:
    """Group files that show the same artwork, as `Albo.duplicates` does."""
    from albo.neighbours import duplicate_groups, pairs_in

    least = _least_cosine(library, vectors, threshold)
    with library.reading() as catalog:
        digests, embeddings = vectors.read(
            digests_present(vectors, catalog.digests()), middle=False
        )
        groups = duplicate_groups(
            embeddings.vector,
            least,
            lambda done, total: library.progress("comparing", done, total),
            also=pairs_in(
                library.miniatures(), digests, max(SHOWN_MINIATURES, threshold or 0), library.note
            ),
        )
        near = [
            [(digests[row], score) for row, score in zip(g.rows, g.scores, strict=True)]
            for g in groups
        ]
        grouped = {digest for group in near for digest, _ in group}
        near += [[(digest, 1.0)] for digest in catalog.copied() if digest not in grouped]
        files = files_of(catalog.albums({digest for group in near for digest, _ in group}))
    members = [tuple(members_of_group(group, files)) for group in near]
    return sorted((each for each in members if len(each) > 1), key=len, reverse=True)


def find_typical(
    library: Library,
    vectors: Vectors,
    genre: str,
    k: int,
    *,
    oddest: bool,
    pictures: bool,
) -> list[Typical]:
    """Find the covers of a genre that look most like it, or least, as `Albo.typical` does."""
    from albo.answers.opening import gather_reference  # its imports are needed only here

    with library.reading() as catalog:
        known = catalog.genres()
        alike = genres_alike(genre, known)
        if not alike:
            raise unknown_genre(genre, known)
        chosen = max(alike, key=lambda name: (name == genre, known[name]))
        index = library.open_index(vectors, catalog)
        reference = gather_reference(library, catalog.albums(), vectors, index, pictures=pictures)
    return reference.ranked(chosen, k, oddest=oddest)


def _least_cosine(library: Library, vectors: Vectors, threshold: float | None) -> float:
    _, usual, measured = near_duplicate_thresholds(card_of(vectors))
    if threshold is None and not measured:
        library.note(
            f"nobody has measured these weights of {vectors.backbone}; taking cosine {usual}"
            " (--threshold)"
        )
    least = usual if threshold is None else threshold
    if not 0 < least <= 1:
        raise UsageError(f"threshold={least}; give a cosine above 0 and at most 1")
    return least
