"""Train heads: fit one on a library, say how good it is, and save it.

Scoring is nested. For each outer fold of a grouped cross-validation, an inner cross-validation on
the training part chooses the classifier's setting and fits all that comes after it (fusion weights,
temperature, nonconformity scores). Then the classifier is refitted on the whole training part, and
the outer fold is only scored. The head that is kept is made in the same way on all covers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import StaleArtifact, UsageError
from albo.heads import load_head, save_head
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
    gather_material,
    make_crossfit,
    make_head,
    note_few_seeds,
    open_job,
    seed_deviation,
    select_covers,
    summarise,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from albo.heads import Head, View
    from albo.learning import CrossValidation
    from albo.library import Library
    from albo.records import Bools, Doubles, Ints, Json, Progress


@dataclass(frozen=True, slots=True)
class Training:
    """A fitted head and how good it is."""

    head: Head
    """The head, fitted on all of the covers."""
    report: Json
    """The JSON object of `albo train`, without "saved"."""
    summary: ScoreSummary = field(repr=False)
    """How good the head is."""
    covers: tuple[LabelledCover, ...] = field(repr=False)
    """The n covers that it was fitted on."""
    labels: Ints = field(repr=False)
    """int (n,): the label of each cover."""
    groups: Ints = field(repr=False)
    """int (n,): the group of each cover."""
    probabilities: Doubles = field(repr=False)
    """float64 (s, n, c): p(genre) of each cover while it was held out, for each of s fold seeds."""
    sets: Bools = field(repr=False)
    """bool (s, n, c): the conformal set of each cover while it was held out, likewise."""


def train_head(
    library: Library, settings: TrainingSettings, backbone: str | None, *, words: bool = True
) -> Training:
    """Fit a head on the covers of a library that are embedded and labelled, and save it.

    Parameters
    ----------
    settings : `name` is the head's; `backbone` and `near_duplicates_measured` are filled in here.
    backbone : the backbone whose vectors the head uses; None for the last one used to embed.
    words : whether to use the words read on covers.

    Raises EmptyCatalog, TooFewCovers, UsageError, and StaleArtifact where words are asked for and
    cannot be used, though the head to be replaced uses them.
    """
    folder = library.artifacts.head(settings.name)
    replaced = _views_of(folder) if words else ()
    material = gather_material(
        library, settings.level, backbone, "albo train", words=words, replaced=replaced
    )
    settings = replace(
        settings, backbone=material.card.name, near_duplicates_measured=material.measured
    )
    training = train(
        material.labelling,
        material.links,
        material.views,
        settings,
        lambda done, total: library.progress("fitting", done, total),
    )
    with library.artifacts.lock("albo train", library.note):
        save_head(training.head, folder)
        library.remember_head(settings.name)
    if settings.seeds is None:
        note_few_seeds(training.report["seeds"], "albo train", library.note)
    return training


def _views_of(folder: Path) -> tuple[str, ...]:
    """Return the views of the head in a folder; () where no head can be read."""
    try:
        return load_head(folder).views
    except StaleArtifact:
        return ()


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
    pairs : int (p, 2), covers to keep together, as positions in `labelling.covers`.
    views : the views of the head, at least one.
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
    # The head itself, and the head of each of the first seed's folds, are fitted beside these.
    fits = len(seeds) * count_fits(settings.folds) + 1 + settings.folds
    steps = FitCounter(progress, len(views) * fits)
    job = open_job(corpus, features, views, settings.kind, steps)
    runs: list[CrossValidation] = []
    for seed in seeds:
        fold_of = draw_folds(corpus.labels, corpus.groups, settings.folds, seed)
        fitted = job.cross_validate(fold_of)
        if not runs:
            # The head is made from the first seed's folds, and so are the heads of the folds.
            calibration, first = job.calibrate(fitted), fold_of
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
    making = Making(views, settings, report)
    head = replace(
        make_head(job, calibration, corpus, making),
        crossfit=make_crossfit(job, runs[0].calibrations, first, corpus, making),
    )
    return Training(
        head, report, summary, corpus.covers, corpus.labels, corpus.groups, probabilities, sets
    )
