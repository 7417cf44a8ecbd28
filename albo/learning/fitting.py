"""Fit a head, and say how good it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.errors import UsageError
from albo.heads import CrossFit, Familiarity, Head, ImageView, Learnt
from albo.learning.folds import FitCounter, Job, draw_folds
from albo.learning.groups import artist_marks, artwork_marks
from albo.learning.labels import Corpus, LabelledCover, TrainingSettings
from albo.learning.trainers import open_trainer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from albo.heads import Features, View
    from albo.learning.folds import Calibration
    from albo.learning.scores import ScoreSummary
    from albo.records import Doubles, HeadKind, Ints, Json


def seed_deviation(labels: Ints, probabilities: Doubles) -> float | None:
    """Return by how much another draw of the folds moves the lead of one cover over another.

    The median over covers, each beside the next one, of the standard deviation between fold seeds,
    in log-odds of the true genre. probabilities : (s, n, c). None for a single seed.
    """
    if len(probabilities) < 2:  # noqa: PLR2004  (one is no spread)
        return None
    rows = np.arange(len(labels))
    own, other = (
        probabilities[:, place, labels].clip(1e-9, 1 - 1e-9) for place in (rows, np.roll(rows, -1))
    )
    lead = np.log(own / (1 - own)) - np.log(other / (1 - other))
    return round(float(np.median(lead.std(axis=0, ddof=1))), 4)


def open_job(
    corpus: Corpus,
    features: Mapping[str, Features],
    views: Sequence[View],
    kind: HeadKind,
    progress: FitCounter,
) -> Job:
    """Make the job of fitting these views' classifiers on a corpus. Raises UsageError."""
    if not any(view.always for view in views):
        raise UsageError("no view has something to say of every cover; add the image")
    return Job(
        features,
        {view.name: open_trainer(view, kind, corpus.genres) for view in views},
        tuple(view.always for view in views),
        corpus.labels,
        len(corpus.genres),
        progress,
    )


def fit_head(
    features: Mapping[str, Features],
    labels: Ints,
    groups: Ints,
    genres: Sequence[str],
    *,
    views: Sequence[View],
    settings: TrainingSettings | None = None,
) -> Head:
    """Fit a head on these covers alone, without scores: for a split drawn by others.

    Parameters
    ----------
    features : for each view, the features of n covers.
    labels : int (n,), positions in `genres`.
    groups : int (n,), the group of each cover.
    genres : the names of the genres.
    views : the views that the head looks at.
    settings : how the head is fitted; None is the usual settings.

    Raises TooFewCovers where there are fewer groups than folds.
    """
    settings = settings or TrainingSettings()
    settings.check()
    covers = tuple(LabelledCover(b"", genres[label]) for label in labels)
    corpus = Corpus(covers, tuple(genres), labels, groups, ())
    job = open_job(corpus, features, views, settings.kind, FitCounter(None, 0))
    folds = draw_folds(labels, groups, settings.folds, settings.seeds_for(len(labels))[0])
    calibration = job.calibrate(job.hold_out(folds))
    return make_head(job, calibration, corpus, Making(views, settings, {}))


@dataclass(frozen=True, slots=True)
class Making:
    """What a head records about its training, besides the fitted numbers."""

    views: Sequence[View]
    """The views that it looks at."""

    settings: TrainingSettings
    """The settings that it was fitted with."""

    card: Json
    """How good it is, as `albo train --json` prints it."""


def make_head(
    job: Job,
    calibration: Calibration,
    corpus: Corpus,
    making: Making,
    rows: Ints | None = None,
) -> Head:
    """Refit every view's classifier, and make a head of them.

    Parameters
    ----------
    rows : the covers to fit on, as positions in the corpus; None for all.
    """
    groups = corpus.groups if rows is None else corpus.groups[rows]
    head = Head(
        name=making.settings.name,
        kind=making.settings.kind,
        level=making.settings.level,
        genres=corpus.genres,
        predictors=job.refit(calibration, rows),
        weights=calibration.together.weights,
        temperature=calibration.together.temperature,
        frequencies=calibration.frequencies,
        nonconformity=calibration.scores.nonconformity,
        true_genres=calibration.scores.true_genres,
        fingerprints={view.name: view.fingerprint for view in making.views},
        backbone=making.settings.backbone,
        counts={"covers": len(groups), "groups": len(np.unique(groups))},
        card=making.card,
        familiarity=_familiarity(job, making.views, groups, rows),
    )
    if all(job.always) or calibration.alone is None:
        return head
    always = [view.name for view in making.views if view.always]
    alone = head.part(
        always,
        calibration.alone.weights[list(job.always)],
        calibration.alone.temperature,
        calibration.scores_alone,
    )
    return replace(head, alone=alone)


def _familiarity(
    job: Job, views: Sequence[View], groups: Ints, rows: Ints | None
) -> Familiarity | None:
    """Measure what the pictures of these covers are like; None without pictures.

    The last part of the picture's features is looked at, the middle layers, which tell covers from
    other pictures better than the top (see docs/decisions.md).
    """
    pictures = [view for view in views if view.name == ImageView.name]
    if not pictures:
        return None
    features: Any = job.features[ImageView.name]
    width = pictures[0].blocks[-1] if pictures[0].blocks else features.shape[1]
    own = features if rows is None else features[rows]
    return Familiarity.of(own[:, -width:], groups)


def make_crossfit(
    job: Job, calibrations: Sequence[Calibration], fold_of: Ints, corpus: Corpus, making: Making
) -> CrossFit:
    """Fit the head of each fold, without the fold: it answers for the covers in it.

    Parameters
    ----------
    calibrations : of each fold, as `Job.score` made them without the fold.
    fold_of : int (n,), the fold of each cover.
    """
    heads = [
        make_head(job, calibration, corpus, making, np.flatnonzero(fold_of != fold))
        for fold, calibration in enumerate(calibrations)
    ]
    marks = [
        artist_marks(cover.artists) | artwork_marks(cover.dup_groups) for cover in corpus.covers
    ]
    digests = [cover.digest for cover in corpus.covers]
    return CrossFit.of(Learnt.of(digests, marks, corpus.groups, fold_of), heads)


def describe_fit(corpus: Corpus, views: Sequence[View], settings: TrainingSettings) -> Json:
    """Describe the head and its covers, for the JSON object of `albo train`."""
    counts = np.bincount(corpus.labels)
    known = [bool(cover.artists) for cover in corpus.covers]
    return {
        "split": "grouped",
        "view": "+".join(view.name for view in views),
        "head": settings.kind,
        "name": settings.name,
        "level": settings.level,
        "backbone": settings.backbone,
        "covers": len(corpus.covers),
        "groups": len(np.unique(corpus.groups)),
        "genres": len(corpus.genres),
        "majority": round(float(counts.max() / counts.sum()), 4),
        "artists_known": round(float(np.mean(known)), 4),
        "near_duplicates_measured": settings.near_duplicates_measured,
        "folds": settings.folds,
        "coverage_asked": settings.coverage,
        "left_out": list(corpus.left_out),
    }


def describe_scores(corpus: Corpus, summary: ScoreSummary) -> Json:
    """Return the head's scores, for the JSON object of `albo train`."""
    groups = [
        len(np.unique(corpus.groups[corpus.labels == place])) for place in range(len(corpus.genres))
    ]
    return summary.as_json(corpus.genres, groups)
