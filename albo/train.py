"""Fits heads, and says how good they are.

Scoring is nested. In each outer fold of a grouped cross-validation an inner one, inside the outer
training part, chooses the classifier's setting and fits all that comes after it (fusion weights,
temperature, nonconformity scores); the classifier is then refitted on the whole outer training
part, and the outer fold only scores. The head that is kept is made in the same way on all covers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import UsageError
from albo.learning import (
    MIN_GROUPS,
    FitCounter,
    LabelledCover,
    Labelling,
    Making,
    ScoreSummary,
    TrainingSettings,
    count_fits,
    describe_fit,
    describe_scores,
    draw_folds,
    make_head,
    open_job,
    seed_deviation,
    select_covers,
    summarise,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.heads import Head, View
    from albo.learning import CrossValidation
    from albo.records import Bools, Doubles, Ints, Json, Progress


@dataclass(frozen=True, slots=True)
class Training:
    """A fitted head and how good it is.

    report : the JSON object of `albo train`, without "saved". covers, labels (n,), groups (n,) :
    what it was fitted on. probabilities (s, n, c), sets (s, n, c) : of each cover while it was held
    out, for each of the s fold seeds.
    """

    head: Head
    report: Json
    summary: ScoreSummary = field(repr=False)
    covers: tuple[LabelledCover, ...] = field(repr=False)
    labels: Ints = field(repr=False)
    groups: Ints = field(repr=False)
    probabilities: Doubles = field(repr=False)
    sets: Bools = field(repr=False)


def train(
    labelling: Labelling,
    pairs: Ints,
    views: Sequence[View],
    settings: TrainingSettings | None = None,
    progress: Progress | None = None,
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
    settings = settings or TrainingSettings()
    settings.check()
    if not views:
        raise UsageError("a head without a view; give at least one")
    corpus = select_covers(labelling, pairs, max(MIN_GROUPS, settings.folds))
    digests = [cover.digest for cover in corpus.covers]
    features = {view.name: view.features(digests) for view in views}
    seeds = settings.seeds_for(len(corpus.covers))
    steps = FitCounter(progress, len(views) * (len(seeds) * count_fits(settings.folds) + 1))
    job = open_job(corpus, features, views, settings.kind, steps)
    runs: list[CrossValidation] = []
    for seed in seeds:
        fold_of = draw_folds(corpus.labels, corpus.groups, settings.folds, seed)
        fitted = job.cross_validate(fold_of)
        if not runs:
            calibration = job.calibrate(fitted)  # the head is made from the first seed's folds
        runs.append(job.score(fitted, settings.coverage))
    probabilities = np.stack([run.probabilities for run in runs])
    sets = np.stack([run.sets for run in runs])
    summary = summarise(corpus.labels, probabilities, sets, corpus.groups)
    report = {
        **describe_fit(corpus, views, settings),
        **describe_scores(corpus, summary),
        "seeds": list(seeds),
        "seed_deviation": seed_deviation(corpus.labels, probabilities),
        "selected": True,
        "conflicting": labelling.conflicting,
    }
    head = make_head(job, calibration, corpus, Making(views, settings, report))
    return Training(
        head, report, summary, corpus.covers, corpus.labels, corpus.groups, probabilities, sets
    )
