"""Fits heads, and says how good they are.

Scoring is nested. In each outer fold of a grouped cross-validation an inner one, inside the outer
training part, chooses the classifier's setting and fits all that comes after it (fusion weights,
temperature, nonconformity scores); the classifier is then refitted on the whole outer training
part, and the outer fold only scores. The head that is kept is made in the same way on all covers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from albo.errors import TooFewCovers, UsageError
from albo.folds import Job, Progress, count_fits, draw_folds
from albo.groups import group_covers, is_known
from albo.heads import Head
from albo.metrics import Summary, summarise
from albo.trainers import open_trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from albo.folds import Run, Tuning
    from albo.groups import Artist
    from albo.records import Album, Bools, Digest, Ints, Json
    from albo.views import Features, View

Doubles: TypeAlias = "NDArray[np.float64]"
Kind: TypeAlias = Literal["logistic", "lightgbm"]
Level: TypeAlias = Literal["genre", "subgenre"]

MIN_GROUPS = 5
"""A genre with fewer groups is left out: there would be folds without it."""

SEEDS = (0, 1, 2, 3, 4)
"""Fold seeds whose mean is reported for small corpora."""

SMALL_CORPUS = 30_000
"""Covers up to which the folds are drawn with every seed: some ten minutes on two cores. Above, by
default, with the first alone, and the report says so; intervals are narrow there."""

MIN_GENRES = 2
FOLDS = range(3, 21)
"""How many folds there may be."""


@dataclass(frozen=True, slots=True)
class LabelledCover:
    """A cover to learn from, with all that links it to others.

    artists : the known ones of all albums that bear it. dup_groups : of those albums.
    """

    digest: Digest
    genre: str
    artists: tuple[Artist, ...] = ()
    dup_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Labelling:
    """The covers to learn from, by digest; how many have several labels, and how many none."""

    covers: tuple[LabelledCover, ...]
    conflicting: int = 0
    unlabelled: int = 0

    def restrict(self, digests: Iterable[Digest]) -> Labelling:
        """Keep the covers among these, as those that have been embedded."""
        kept = frozenset(digests)
        return replace(self, covers=tuple(cover for cover in self.covers if cover.digest in kept))


@dataclass(frozen=True, slots=True)
class Settings:
    """How to fit and score.

    name : the head's. seeds : of the folds; None for SEEDS up to SMALL_CORPUS covers and the first
    of them above. coverage : of the sets whose coverage and size are reported. backbone : the image
    view's, kept with the head. near_duplicates_measured : whether the cosine that made the pairs
    is one that was measured for this backbone.
    """

    name: str = "default"
    kind: Kind = "logistic"
    level: Level = "genre"
    folds: int = 5
    seeds: tuple[int, ...] | None = None
    coverage: float = 0.9
    backbone: str = ""
    near_duplicates_measured: bool = True

    def check(self) -> None:
        """Raise UsageError for a value outside its limits."""
        if self.kind not in {"logistic", "lightgbm"}:
            raise UsageError(f"kind {self.kind!r}; give logistic or lightgbm")
        if self.folds not in FOLDS:
            raise UsageError(f"folds={self.folds}; give {FOLDS[0]} to {FOLDS[-1]}")
        if not 0 < self.coverage < 1:
            raise UsageError(f"coverage={self.coverage:g}; give a share above 0 and below 1")
        if self.seeds is not None and not self.seeds:
            raise UsageError("no fold seeds; give at least one")

    def seeds_for(self, covers: int) -> tuple[int, ...]:
        """Return the fold seeds for so many covers."""
        return self.seeds or (SEEDS if covers <= SMALL_CORPUS else SEEDS[:1])


@dataclass(frozen=True, slots=True)
class Training:
    """A fitted head and how good it is.

    report : the JSON object of `albo train`, without "saved". covers, labels (n,), groups (n,) :
    what it was fitted on. probabilities (s, n, c), sets (s, n, c) : of each cover while it was held
    out, for each of the s fold seeds.
    """

    head: Head
    report: Json
    summary: Summary = field(repr=False)
    covers: tuple[LabelledCover, ...] = field(repr=False)
    labels: Ints = field(repr=False)
    groups: Ints = field(repr=False)
    probabilities: Doubles = field(repr=False)
    sets: Bools = field(repr=False)


def label_covers(albums: Iterable[Album], level: Level = "genre") -> Labelling:
    """Take the labels of covers from the albums that bear them.

    Labels are taken as written. A digest with several different ones is left out and counted; so is
    one with none. Where albums differ in artist or dup_group, the cover is linked by each. Covers
    come in the order of their digests.
    """
    of_digest: defaultdict[Digest, list[Album]] = defaultdict(list)
    for album in albums:
        if album.digest is not None:
            of_digest[album.digest].append(album)
    covers, conflicting, unlabelled = [], 0, 0
    for digest in sorted(of_digest):
        bearing = of_digest[digest]
        labels = {label for album in bearing if (label := getattr(album, level)).strip()}
        conflicting += len(labels) > 1
        unlabelled += not labels
        if len(labels) == 1:
            covers.append(_labelled(digest, labels.pop(), bearing))
    return Labelling(tuple(covers), conflicting, unlabelled)


def _labelled(digest: Digest, genre: str, albums: Sequence[Album]) -> LabelledCover:
    artists = {(album.artist, album.artist_id) for album in albums}
    dup_groups = {album.dup_group for album in albums if album.dup_group.strip()}
    return LabelledCover(
        digest,
        genre,
        tuple(sorted(artist for artist in artists if is_known(*artist))),
        tuple(sorted(dup_groups)),
    )


@dataclass(frozen=True, slots=True)
class Corpus:
    """The covers of the genres that stay, by row, and those genres that do not."""

    covers: tuple[LabelledCover, ...]
    genres: tuple[str, ...]
    labels: Ints
    groups: Ints
    left_out: tuple[Json, ...]


def select_covers(labelling: Labelling, pairs: Ints, min_groups: int) -> Corpus:
    """Drop genres of too few groups. Raises TooFewCovers where fewer than two are left."""
    covers = labelling.covers
    groups = group_covers(
        [cover.artists for cover in covers], [cover.dup_groups for cover in covers], pairs
    )
    covers_of = Counter(cover.genre for cover in covers)
    groups_of: defaultdict[str, set[int]] = defaultdict(set)
    for cover, group in zip(covers, groups.tolist(), strict=True):
        groups_of[cover.genre].add(group)
    genres = tuple(sorted(genre for genre in covers_of if len(groups_of[genre]) >= min_groups))
    if len(genres) < MIN_GENRES:
        raise TooFewCovers(_too_few(labelling, groups_of, min_groups))
    number = {genre: place for place, genre in enumerate(genres)}
    kept = [row for row, cover in enumerate(covers) if cover.genre in number]
    return Corpus(
        covers=tuple(covers[row] for row in kept),
        genres=genres,
        labels=np.array([number[covers[row].genre] for row in kept], np.int64),
        groups=groups[kept],
        left_out=tuple(
            {"genre": genre, "covers": covers_of[genre], "groups": len(groups_of[genre])}
            for genre in sorted(covers_of)
            if genre not in number
        ),
    )


def _too_few(labelling: Labelling, groups_of: Mapping[str, set[int]], min_groups: int) -> str:
    if not labelling.covers and not labelling.conflicting:
        return (
            "no cover has a genre; run `albo embed FOLDER --genre folder` where folders are named"
            " after genres, or `albo embed TABLE.csv` with a column `genre`"
        )
    largest = sorted(groups_of, key=lambda genre: (-len(groups_of[genre]), genre))[:5]
    there = ", ".join(f"{genre} ({len(groups_of[genre])})" for genre in largest) or "none"
    return (
        f"{len(labelling.covers)} labelled covers, genres by groups of covers that share no artist"
        f" or artwork: {there}; a head needs at least 2 genres of {min_groups} groups each,"
        " so embed more covers with `albo embed`"
        + (f" ({labelling.conflicting} have several labels)" if labelling.conflicting else "")
    )


def train(
    labelling: Labelling,
    pairs: Ints,
    views: Sequence[View],
    settings: Settings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Training:
    """Fit a head on labelled covers, and score it by grouped cross-validation.

    Parameters
    ----------
    labelling : of `label_covers`; every cover has features in every view.
    pairs : int (p, 2), near-duplicates as positions in `labelling.covers`.
    views : what to look at, at least one.
    progress : called with fits done and fits in all.

    Raises TooFewCovers where fewer than two genres have enough groups, UsageError for settings out
    of range, and what the views raise.
    """
    settings = settings or Settings()
    settings.check()
    if not views:
        raise UsageError("a head without a view; give at least one")
    corpus = select_covers(labelling, pairs, max(MIN_GROUPS, settings.folds))
    digests = [cover.digest for cover in corpus.covers]
    features = {view.name: view.features(digests) for view in views}
    seeds = settings.seeds_for(len(corpus.covers))
    steps = Progress(progress, len(views) * (len(seeds) * count_fits(settings.folds) + 1))
    job = open_job(corpus, features, views, settings.kind, steps)
    runs: list[Run] = []
    for seed in seeds:
        fold_of = draw_folds(corpus.labels, corpus.groups, settings.folds, seed)
        fitted = job.cross_validate(fold_of)
        if not runs:
            tuning = job.tune(fitted)  # the head is made from the first seed's folds
        runs.append(job.score(fitted, settings.coverage))
    probabilities = np.stack([run.probabilities for run in runs])
    sets = np.stack([run.sets for run in runs])
    summary = summarise(corpus.labels, probabilities, sets, corpus.groups)
    report = {
        **_describe(corpus, views, settings),
        **_describe_scores(corpus, summary),
        "seeds": list(seeds),
        "seed_deviation": seed_deviation(corpus.labels, probabilities),
        "selected": True,
        "conflicting": labelling.conflicting,
    }
    head = _make_head(job, tuning, corpus, _Making(views, settings, report))
    return Training(
        head, report, summary, corpus.covers, corpus.labels, corpus.groups, probabilities, sets
    )


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
    kind: Kind,
    progress: Progress,
) -> Job:
    """Make the job of fitting these views' classifiers on a corpus. Raises UsageError."""
    if not any(view.always for view in views):
        raise UsageError("no view that speaks of every cover; add the image")
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
    settings: Settings | None = None,
) -> Head:
    """Fit a head on these covers alone, and score nothing: for a split that others have drawn.

    features : for each view, of n covers. labels : int (n,), positions in `genres`. groups :
    int (n,). Raises TooFewCovers where there are fewer groups than folds.
    """
    settings = settings or Settings()
    settings.check()
    covers = tuple(LabelledCover(b"", genres[label]) for label in labels)
    corpus = Corpus(covers, tuple(genres), labels, groups, ())
    job = open_job(corpus, features, views, settings.kind, Progress(None, 0))
    folds = draw_folds(labels, groups, settings.folds, settings.seeds_for(len(labels))[0])
    tuning = job.tune(job.hold_out(folds))
    return _make_head(job, tuning, corpus, _Making(views, settings, {}))


@dataclass(frozen=True, slots=True)
class _Making:
    """What a head is told of itself beside what was fitted."""

    views: Sequence[View]
    settings: Settings
    card: Json


def _make_head(job: Job, tuning: Tuning, corpus: Corpus, making: _Making) -> Head:
    head = Head(
        name=making.settings.name,
        kind=making.settings.kind,
        level=making.settings.level,
        genres=corpus.genres,
        predictors=job.refit(tuning),
        weights=tuning.together.weights,
        temperature=tuning.together.temperature,
        frequencies=tuning.frequencies,
        nonconformity=tuning.scores.nonconformity,
        true_genres=tuning.scores.true_genres,
        fingerprints={view.name: view.fingerprint for view in making.views},
        backbone=making.settings.backbone,
        counts={"covers": len(corpus.labels), "groups": len(np.unique(corpus.groups))},
        card=making.card,
    )
    if all(job.always) or tuning.alone is None:
        return head
    always = [view.name for view in making.views if view.always]
    alone = head.part(
        always,
        tuning.alone.weights[list(job.always)],
        tuning.alone.temperature,
        tuning.scores_alone,
    )
    return replace(head, alone=alone)


def _describe(corpus: Corpus, views: Sequence[View], settings: Settings) -> Json:
    """Return what was fitted on what, for the JSON object of `albo train`."""
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


def _describe_scores(corpus: Corpus, summary: Summary) -> Json:
    """Return how good it is, for the JSON object of `albo train`."""
    groups = [
        len(np.unique(corpus.groups[corpus.labels == place])) for place in range(len(corpus.genres))
    ]
    return summary.as_json(corpus.genres, groups)
