"""Evaluate on a library's covers, and show the figures with covers of mistakes."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from albo.answers.pictures import CoverPictures
from albo.answers.search import album_by_digest
from albo.evaluate import evaluate
from albo.learning import (
    MIN_GROUPS,
    LeftOut,
    Mistake,
    ModelCard,
    ReviewedEvaluation,
    confusion,
    gather_material,
    note_few_seeds,
    reliability,
    risk_coverage,
)
from albo.records import ShownCover
from albo.sources import SOURCE as CHARTS
from albo.store import library_versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from albo.evaluate import Split
    from albo.learning import Evaluation, LabelledCover, Material, TrainingSettings
    from albo.library import Library
    from albo.records import Album, Digest, Ints


MISTAKES = 20
"""How many of the most confident mistakes are shown."""

NEIGHBOURS = 5
"""How many nearest covers are shown for each."""
_LIBRARIES = ("albo", "numpy", "scikit-learn", "lightgbm", "openvino", "rapidocr")


def evaluate_library(
    library: Library,
    settings: TrainingSettings,
    split: Split,
    backbone: str | None,
    *,
    words: bool,
    pictures: bool,
) -> ReviewedEvaluation:
    """Evaluate on the covers of a library, as `Albo.evaluate` does.

    Parameters
    ----------
    settings : the user's settings; the backbone's name and thresholds are added here.
    split : the way to divide the covers.
    backbone : the backbone of the vectors; None for the one embedded with last.
    words : use the words on covers that have been read.
    pictures : add small pictures of the most confident mistakes.
    """
    material = gather_material(library, settings.level, backbone, "albo evaluate", words=words)
    settings = replace(
        settings, backbone=material.card.name, near_duplicates_measured=material.measured
    )
    found = evaluate(
        material, settings, split, lambda done, total: library.progress("fitting", done, total)
    )
    if settings.seeds is None and split.sides is None:
        note_few_seeds(found.seeds, "albo evaluate", library.note)
    with library.reading() as catalog:
        albums = album_by_digest(catalog.albums([cover.digest for cover in found.corpus.covers]))
    covers = library.stored_covers() if pictures else None
    return _review(
        found,
        material,
        settings,
        split.name,
        albums=albums,
        pictures=CoverPictures(covers, library.note),
    )


def _review(
    found: Evaluation,
    material: Material,
    settings: TrainingSettings,
    split: str,
    *,
    albums: Mapping[Digest, Album],
    pictures: CoverPictures,
) -> ReviewedEvaluation:
    """Describe an evaluation: figures, most confident mistakes, a model card.

    Parameters
    ----------
    split : the name of the split that was evaluated.
    albums : one album for each cover.
    pictures : makes the pictures of the covers of the mistakes.
    """
    labels, groups = found.labels, found.groups
    return ReviewedEvaluation(
        **{one.name: getattr(found, one.name) for one in fields(found)},
        reliability=reliability(labels, found.probabilities, groups),
        risk_coverage=risk_coverage(labels, found.probabilities, groups),
        confusion=confusion(labels, found.probabilities),
        card=_card(found, material, settings, split, albums),
        mistakes=_mistakes(found, material, albums, pictures),
    )


def _mistakes(
    found: Evaluation,
    material: Material,
    albums: Mapping[Digest, Album],
    pictures: CoverPictures,
) -> tuple[Mistake, ...]:
    """Return the most confident mistakes of the mean over fold seeds, with nearest covers."""

    def show(cover: LabelledCover, score: float = 0.0) -> ShownCover:
        album = albums.get(cover.digest)
        picture = b"" if album is None else pictures.picture(album)
        return ShownCover(cover.digest, album, cover.genre, score, thumbnail=picture)

    genres, mean = found.corpus.genres, found.probabilities.mean(axis=0)
    guesses = mean.argmax(axis=1)
    wrong = np.flatnonzero(guesses != found.labels)
    wrong = wrong[np.argsort(-mean[wrong, guesses[wrong]], kind="stable")][:MISTAKES]
    rows = found.scored[wrong]
    near = _nearest(found, material, rows)
    said = _words_on(material, [found.corpus.covers[row].digest for row in rows])
    return tuple(
        Mistake(
            cover=show(found.corpus.covers[row]),
            guess=genres[guesses[place]],
            probability=float(mean[place, guesses[place]]),
            conformal_set=_set_of(found, int(place), mean),
            words=words,
            neighbours=tuple(show(found.corpus.covers[other], score) for other, score in close),
        )
        for place, row, words, close in zip(wrong, rows, said, near, strict=True)
    )


def _set_of(found: Evaluation, place: int, mean: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the genres that are in a cover's set for most of the fold seeds, best first."""
    inside = found.sets[:, place].mean(axis=0) >= 0.5  # noqa: PLR2004  (most)
    return tuple(found.corpus.genres[genre] for genre in np.argsort(-mean[place]) if inside[genre])


def _nearest(found: Evaluation, material: Material, rows: Ints) -> list[list[tuple[int, float]]]:
    """Return, for each of these covers, the rows of its nearest others and their cosines."""
    digests = [cover.digest for cover in found.corpus.covers]
    vector = material.vectors.read(digests, middle=False)[1].vector
    cosines = vector[rows] @ vector.T
    cosines[np.arange(len(rows)), rows] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
    return [
        [(int(other), float(one[other])) for other in best]
        for one, best in zip(cosines, order, strict=True)
    ]


def _words_on(material: Material, digests: Sequence[Digest]) -> list[tuple[str, ...]]:
    if material.words is None:
        return [()] * len(digests)
    found = [material.words.get(digest) for digest in digests]
    return [() if words is None else tuple(line.text for line in words.lines) for words in found]


def _card(
    found: Evaluation,
    material: Material,
    settings: TrainingSettings,
    split: str,
    album_of: Mapping[Digest, Album],
) -> ModelCard:
    corpus, labelling = found.corpus, material.labelling
    albums = [album_of[one.digest] for one in corpus.covers if one.digest in album_of]
    years = [album.year for album in albums if album.year is not None]
    sources: dict[str, int] = {}
    for album in albums:
        name = Path(album.source).name or album.source
        sources[name] = sources.get(name, 0) + 1
    return ModelCard(
        covers=len(corpus.covers),
        groups=len(np.unique(corpus.groups)),
        genres=len(corpus.genres),
        sources=tuple(sources.items()),
        evaluated=datetime.now(UTC).date().isoformat(),
        level=settings.level,
        split=split,
        folds=settings.folds,
        seeds=found.seeds,
        coverage=settings.coverage,
        head=settings.kind,
        views=tuple((view.name, view.fingerprint[:16]) for view in material.views),
        backbone=material.card.name,
        licence=material.card.licence,
        settings=(("near-duplicates grouped", "yes"), ("rare lines link covers", _links(material))),
        libraries=tuple(library_versions(*_LIBRARIES).items()),
        artists_known=float(np.mean([bool(cover.artists) for cover in corpus.covers])),
        groups_needed=max(MIN_GROUPS, settings.folds),
        first_year=min(years, default=None),
        last_year=max(years, default=None),
        from_charts=sum(album.source == CHARTS for album in albums),
        conflicting=labelling.conflicting,
        unlabelled=labelling.unlabelled,
        left_out=tuple(LeftOut(**left_out) for left_out in corpus.left_out),
        near_duplicates_measured=material.measured,
    )


def _links(material: Material) -> str:
    return "no words read" if material.words is None else "where no artist is known"
