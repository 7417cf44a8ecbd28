"""Open the library's covers for comparison, and find the genre asked for."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from albo.answers.pictures import CoverPictures
from albo.answers.reference import NoReference, Reference
from albo.answers.search import album_by_digest, genres_alike, unknown_genre
from albo.errors import AlboError, EmptyCatalog, StaleArtifact, TooFewCovers
from albo.learning import MIN_GROUPS, label_covers
from albo.networks import card_of, near_duplicate_thresholds
from albo.records import Level
from albo.store import MANIFEST, Vectors, backbone_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from albo.classify import Consultation
    from albo.index import Index
    from albo.library import Library
    from albo.records import Album


def open_reference(library: Library, consultation: Consultation) -> Reference | NoReference:
    """Open the covers to compare with a head's answers, else return why there are none."""
    head = consultation.head
    folder = library.artifacts.vectors(backbone_key(head.backbone, head.fingerprints["image"]))
    if not (folder / MANIFEST).is_file():
        return NoReference(f"no covers have been embedded here with {head.backbone}")
    try:
        vectors = Vectors.open(folder, head.fingerprints["image"])
        with library.reading() as catalog:
            index = library.open_index(vectors, catalog)
            albums = list(catalog.albums())
        if not index.count:
            return NoReference("no cover is indexed here")
    except (EmptyCatalog, StaleArtifact) as error:
        # Its message names folders of this machine, which do not belong in a report.
        library.note(str(error))
        return NoReference("the collection here needs mending first", is_damaged=True)
    return gather_reference(library, albums, vectors, index, Level(head.level))


def gather_reference(
    library: Library,
    albums: Iterable[Album],
    vectors: Vectors,
    index: Index,
    level: Level = Level.GENRE,
    *,
    pictures: bool = True,
) -> Reference:
    """Gather the labelled covers of an index.

    Parameters
    ----------
    level : the label of an album to use.
    pictures : whether small pictures of the covers can be shown.
    """
    albums = list(albums)
    covers = library.stored_covers() if pictures else None
    return Reference(
        label_covers(albums, level).restrict(index.digests()),
        album_by_digest(albums),
        index,
        vectors,
        near_duplicate_thresholds(card_of(vectors))[1],
        CoverPictures(covers, library.note),
        library.miniatures(),
    )


def find_known_genre(library: Library, consultation: Consultation, genre: str) -> str:
    """Find a genre that a head knows. Raises UnknownGenre, TooFewCovers."""
    head = consultation.head
    if alike := genres_alike(genre, head.genres):
        return alike[0]
    if consultation.is_starter:
        raise unknown_genre(genre, head.genres, f"head {head.name!r}")
    covers: Mapping[str, int] = {}
    with suppress(AlboError), library.reading() as catalog:
        covers = Counter(
            label for album in catalog.albums() if (label := getattr(album, head.level))
        )
    there = genres_alike(genre, covers)
    if not there:
        raise unknown_genre(genre, head.genres, f"head {head.name!r}")
    count, mend = covers[there[0]], "run `albo train`"
    are = "is 1 cover" if count == 1 else f"are {count} covers"
    if count < MIN_GROUPS:
        mend = f"embed more of them with `albo embed`, then {mend}"
    raise TooFewCovers(
        f"head {head.name!r} does not know {there[0]!r}, of which there"
        f" {are} here; a head needs {MIN_GROUPS}, of {MIN_GROUPS} artists and artworks: {mend}"
    )
