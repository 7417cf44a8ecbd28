"""The genres of all covers of the collection, from stored data: no file is read again.

A cover that the head has learnt is classified by a predictor that has not learnt it, as always. So
these answers are as good as for new covers, and wrong labels stand out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from albo.answers.search import album_by_digest, genres_alike, unknown_genre
from albo.classify import Classified
from albo.errors import EmptyCatalog
from albo.heads import CharactersView, ImageView, MeaningView
from albo.queries import check_views
from albo.store import Vectors, WordStore, backbone_key, reader_key
from albo.words import CoverMeanings, reader_card

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from albo.classify import Consultation
    from albo.heads import Features, View
    from albo.library import Library
    from albo.recognition import Acquaintance
    from albo.records import Album, Digest, Prediction, Words

_AT_ONCE = 1_024


def classify_collection(
    library: Library, consultation: Consultation, genre: str | None, top: int
) -> Iterator[Classified]:
    """Classify every embedded cover, in the order of their addresses.

    Parameters
    ----------
    genre : ask only about covers of this genre; None for all.
    top : how many genres to name.

    Raises EmptyCatalog if there are no such covers, UnknownGenre, StaleArtifact.
    """
    head = consultation.head
    folder = library.artifacts.vectors(backbone_key(head.backbone, head.fingerprints["image"]))
    vectors = Vectors.open(folder, head.fingerprints["image"])
    albums = _albums(library, vectors, genre)
    digests = sorted(albums, key=lambda digest: (albums[digest].uri, digest))
    stored = StoredFeatures.open(library, consultation, vectors, digests)
    for start in range(0, len(digests), _AT_ONCE):
        some = digests[start : start + _AT_ONCE]
        for digest, said, known in stored.ask(some):
            album = albums[digest]
            yield Classified(
                album.uri,
                said.first(top),
                head.name,
                consultation.card.name,
                stored.lines(digest),
                known,
                album.genre,
            )


def _albums(library: Library, vectors: Vectors, genre: str | None) -> Mapping[Digest, Album]:
    """Return one album for each cover with a vector and, if one is given, that genre."""
    with library.reading() as catalog:
        every = list(catalog.albums())
    embedded = set(vectors.digests())
    known = {album.genre for album in every if album.genre}
    wanted = None if genre is None else set(genres_alike(genre, known))
    if genre is not None and not wanted:
        raise unknown_genre(genre, known)
    found = album_by_digest(
        album
        for album in every
        if album.digest in embedded and (wanted is None or album.genre in wanted)
    )
    if not found:
        raise EmptyCatalog("no cover here has a vector of this head's backbone; run `albo embed`")
    return found


class StoredFeatures:
    """The views of a head on the stored data of some covers.

    Parameters
    ----------
    consultation : the head that is asked.
    views : its views.
    words : the stored words of the covers; None if the head does not use them.
    vectors : the vectors of its backbone.
    """

    def __init__(
        self,
        consultation: Consultation,
        views: Sequence[View],
        words: Mapping[Digest, Words] | None,
        vectors: Vectors,
    ) -> None:
        self._consultation = consultation
        self._views = views
        self._words = words
        self._vectors = vectors

    @classmethod
    def open(
        cls,
        library: Library,
        consultation: Consultation,
        vectors: Vectors,
        digests: Sequence[Digest],
    ) -> StoredFeatures:
        """Open the head's views. Raises StaleArtifact if another word reader is installed here."""
        head = consultation.head
        image = ImageView(vectors)
        if CharactersView.name not in head.views:
            return cls(consultation, [image], None, vectors)
        reader = reader_card()
        folder = library.artifacts.words(reader_key(reader.name, reader.fingerprint))
        read = WordStore.open(folder, reader.fingerprint).read(digests)
        words = {one: said for one, said in zip(digests, read, strict=True) if said is not None}
        views: list[View] = [image, CharactersView(reader.fingerprint, words)]
        if MeaningView.name in head.views:
            meanings = CoverMeanings(folder, note=library.note)
            views.append(MeaningView(reader.fingerprint, meanings, words))
        check_views(views, head.fingerprints)
        return cls(consultation, views, words, vectors)

    def lines(self, digest: Digest) -> tuple[str, ...] | None:
        """Return the lines that were read on a cover; None if it was not read."""
        said = None if self._words is None else self._words.get(digest)
        return None if said is None else tuple(line.text for line in said.lines)

    def ask(
        self, digests: Sequence[Digest]
    ) -> Iterator[tuple[Digest, Prediction, Acquaintance | None]]:
        """Return the prediction for each of n covers, in order, and how the head knows it."""
        features: dict[str, Any] = {view.name: view.features(digests) for view in self._views}
        consultation = self._consultation
        known: Sequence[Acquaintance | None] = [None] * len(digests)
        if consultation.recogniser is not None:
            vectors = features[ImageView.name][:, : self._vectors.dimension]
            known = consultation.recogniser.recognise(digests, vectors)
        said = self._predict(features, known)
        yield from zip(digests, said, known, strict=True)

    def _predict(
        self, features: Mapping[str, Features], known: Sequence[Acquaintance | None]
    ) -> list[Prediction]:
        """Ask the predictors of the folds, each about the covers that it has not learnt."""
        asking = self._consultation.asking
        folds = [None if one is None else one.fold for one in known]
        said: dict[int, Prediction] = {}
        for fold in set(folds):
            rows = [row for row, own in enumerate(folds) if own == fold]
            part: dict[str, Any] = {view: of[np.array(rows)] for view, of in features.items()}
            head = self._consultation.head_for(fold)
            predictions = head.answer(part, asking.prior, asking.decide, asking.coverage)
            said |= dict(zip(rows, predictions, strict=True))
        return [said[row] for row in range(len(known))]
