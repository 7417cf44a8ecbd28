"""Score every way of predicting, on covers that share no artist or artwork with those learnt from.

All views and both kinds of head are fitted side by side on the same folds, and every choice among
them is scored from their predictions for covers held out. Baselines go through the same folds:
always the commonest genre, and the genre of the nearest cover.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import NoSplit, TooFewCovers, UsageError
from albo.learning import (
    MAJORITY,
    MIN_GENRES,
    MIN_GROUPS,
    NEAREST,
    NO_HEAD,
    PUBLISHED,
    Evaluation,
    FitCounter,
    Job,
    Leak,
    LearningPoint,
    MajorityTrainer,
    NearestTrainer,
    Row,
    TrainingSettings,
    count_fits,
    draw_folds,
    open_trainer,
    paired_difference,
    read_split,
    select_covers,
    sides_of,
    summarise,
)
from albo.records import HeadKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from albo.heads import Features
    from albo.learning import (
        Corpus,
        CrossValidation,
        Fitted,
        Material,
        ScoreSummary,
        Side,
        Sides,
        Trainer,
    )
    from albo.library import Library
    from albo.records import Album, Bools, Digest, Doubles, Ints, Progress


GROUPED, RANDOM = "grouped", "random"
DRAWN = (GROUPED, RANDOM)
"""Splits that are drawn here."""

LEAK_SEEDS = 1
"""The number of fold seeds of the random split that is compared with the grouped one."""

SHARES = (0.125, 0.25, 0.5)
"""Shares of the groups that the learning curve learns from, before all of them."""

FEWEST_FOLDS = 3
"""The fewest folds of a given split: one to score, and two to choose settings by."""

_LEAST_GROUPS = 2


@dataclass(frozen=True, slots=True)
class Split:
    """How covers are divided."""

    name: str = GROUPED
    """"grouped", "random", "published", or the name of a file."""

    sides: Mapping[Digest, Side] | None = None
    """The side of each cover that a given split knows; None for a split that is drawn here."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One way of predicting: which classifiers it uses, by their places."""

    view: str
    head: str
    places: tuple[int, ...]
    selected: bool = False


def open_split(library: Library, name: str) -> Split:
    """Make the split of that name, or of the table at that path.

    Parameters
    ----------
    name : one of `DRAWN`; "published" for the column of the manifests that were embedded; or a
        path.

    Raises UsageError, EmptyCatalog.
    """
    if name in DRAWN:
        return Split(name)
    with library.reading() as catalog:
        albums = list(catalog.albums())
    if name != "published":
        return _split_by(library, Path(name).name, albums, read_split(Path(name)))
    sources = sorted({album.source for album in albums if Path(album.source).is_file()})
    sides: dict[str, set[Side]] = {}
    for source in sources:
        with suppress(NoSplit):  # a manifest need not have that column
            sides |= read_split(Path(source), PUBLISHED)
    if not sides:
        raise UsageError(
            "no manifest that was embedded has a column `published_split`; give --split FILE, a"
            " table of `file` and `split`"
        )
    return _split_by(library, name, albums, sides)


def _split_by(library: Library, name: str, albums: Iterable[Album], sides: Sides) -> Split:
    side_of, both = sides_of(albums, sides)
    if both:
        library.note(f"{both} covers stand on both sides of the split and are left out")
    return Split(name, side_of)


def evaluate(
    material: Material,
    settings: TrainingSettings | None = None,
    split: Split | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score every view and head, alone and together, and the baselines.

    Parameters
    ----------
    material : as a `Gatherer` gathers it.
    settings : `kind` is that of the selected head.
    split : how to divide the covers; None for a split drawn by groups.
    progress : called with fits done and fits in all.

    Raises TooFewCovers, UsageError for a split that leaves nothing to learn from or to score, and
    what the views raise.
    """
    settings = settings or TrainingSettings()
    settings.check()
    split = split or Split()
    least = max(MIN_GROUPS, settings.folds)
    corpus = select_covers(material.labelling, material.links, least)
    if split.sides is not None:
        corpus = _known_to(corpus, split.sides)
    return _Work.make(corpus, material, settings, split, FitCounter(progress, 0)).run()


def _known_to(corpus: Corpus, sides: Mapping[Digest, Side]) -> Corpus:
    """Keep the covers that a given split knows."""
    rows = [row for row, cover in enumerate(corpus.covers) if cover.digest in sides]
    if not rows:
        raise UsageError("the split names none of the labelled covers; see that its files are here")
    return replace(
        corpus,
        covers=tuple(corpus.covers[row] for row in rows),
        labels=corpus.labels[rows],
        groups=corpus.groups[rows],
    )


@dataclass(frozen=True)
class _Work:
    """One evaluation. ways : all ways of predicting, the selected one last."""

    corpus: Corpus
    settings: TrainingSettings
    split: Split
    seeds: tuple[int, ...]
    job: Job
    ways: tuple[_Way, ...]

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        material: Material,
        settings: TrainingSettings,
        split: Split,
        progress: FitCounter,
    ) -> _Work:
        """Get all features, and name every way of predicting."""
        views = material.views
        digests = [cover.digest for cover in corpus.covers]
        features: dict[str, Features] = {view.name: view.features(digests) for view in views}
        trainers: dict[str, Trainer] = {
            view.name: open_trainer(view, settings.kind, corpus.genres) for view in views
        }
        always = [view.always for view in views]
        own = [view.name for view in views]
        (other,) = set(HeadKind) - {settings.kind}
        # A classifier that does not depend on the kind of head is fitted once.
        for view in (view for view in views if view.classifier == "dense"):
            features[f"{view.name}/{other}"] = features[view.name]
            trainers[f"{view.name}/{other}"] = open_trainer(view, other, corpus.genres)
            always.append(view.always)
        features[NEAREST] = material.vectors.read(digests, middle=False)[1].vector
        trainers[NEAREST] = NearestTrainer()
        features[MAJORITY] = np.zeros((len(digests), 1), np.float32)
        trainers[MAJORITY] = MajorityTrainer()
        always += [True, True]
        seeds = settings.seeds_for(len(digests)) if split.sides is None else (0,)
        names = list(trainers)
        job = Job(features, trainers, tuple(always), corpus.labels, len(corpus.genres), progress)
        return cls(corpus, settings, split, seeds, job, _ways(names, own, settings.kind, other))

    def run(self) -> Evaluation:
        """Score every way, then the selected one by the other split and with fewer covers."""
        chosen = self.ways[-1]
        drawn = self.split.sides is None
        beside = self.seeds[:LEAK_SEEDS] if drawn else ()
        fits = self._count_fits()
        curve = self._learning_parts() if self.split.name == GROUPED else []
        self.job.progress.total = fits * (
            len(self.seeds) * len(self.job.trainers)
            + (len(beside) + len(curve)) * len(chosen.places)
        )
        runs = self._run_ways()
        selected = _stack(runs[chosen])
        leaky = self._is_leaky()
        *others, row = (self._row(way, _stack(runs[way]), leaky=leaky) for way in self.ways)
        leak = self._leak(chosen, selected, row.summary, beside) if beside else None
        return Evaluation(
            rows=(*others, replace(row, leak=leak)),
            corpus=self.corpus,
            seeds=self.seeds,
            scored=selected.rows,
            probabilities=selected.probabilities,
            sets=selected.sets,
            learning_curve=self._learning_curve(chosen, curve, row.summary) if curve else (),
            leak=leak,
        )

    def _count_fits(self) -> int:
        if self.split.sides is None:
            return count_fits(self.settings.folds)
        fold_of, scored = self._divide(self.split.name, 0)
        return count_fits(int(fold_of.max()) + 1, None if scored is None else len(scored))

    def _run_ways(self) -> dict[_Way, list[CrossValidation]]:
        runs: dict[_Way, list[CrossValidation]] = {way: [] for way in self.ways}
        for seed in self.seeds:
            fold_of, scored = self._divide(self.split.name, seed)
            fitted = self.job.cross_validate(fold_of, scored=scored)
            for way in self.ways:
                runs[way].append(self._score(fitted, way))
        return runs

    def _score(self, fitted: Fitted, way: _Way) -> CrossValidation:
        return self.job.score(fitted.of_views(way.places), self.settings.coverage)

    def _divide(self, name: str, seed: int) -> tuple[Ints, tuple[int, ...] | None]:
        """Return each cover's fold, and the folds to score, None for all."""
        labels, groups = self.corpus.labels, self.corpus.groups
        if self.split.sides is not None:
            return _given(self.corpus, self.split.sides, self.settings.folds)
        alone = np.arange(len(labels))
        parted = alone if name == RANDOM else groups
        return draw_folds(labels, parted, self.settings.folds, seed), None

    def _row(self, way: _Way, stacked: _Stacked, *, leaky: bool) -> Row:
        corpus, rows = self.corpus, stacked.rows
        labels, groups = corpus.labels[rows], corpus.groups[rows]
        return Row(
            view=way.view,
            head=way.head,
            split=self.split.name,
            covers=len(rows),
            genres=corpus.genres,
            groups=tuple(
                len(np.unique(groups[labels == genre])) for genre in range(len(corpus.genres))
            ),
            summary=summarise(labels, stacked.probabilities, stacked.sets, groups),
            artists_known=float(np.mean([bool(corpus.covers[row].artists) for row in rows])),
            selected=way.selected,
            leaky=leaky,
        )

    def _is_leaky(self) -> bool:
        """Whether a group has covers on both sides of this split."""
        if self.split.name == GROUPED:
            return False
        fold_of, scored = self._divide(self.split.name, self.seeds[0])
        side = fold_of if scored is None else np.isin(fold_of, scored)
        pairs = np.unique(np.stack([self.corpus.groups, side.astype(np.int64)], axis=1), axis=0)
        return len(pairs) > len(np.unique(self.corpus.groups))

    def _only(self, way: _Way) -> Job:
        """Return the job of one way's classifiers alone."""
        names = [list(self.job.trainers)[place] for place in way.places]
        return replace(
            self.job,
            features={name: self.job.features[name] for name in names},
            trainers={name: self.job.trainers[name] for name in names},
            always=tuple(self.job.always[place] for place in way.places),
        )

    def _leak(
        self, way: _Way, selected: _Stacked, summary: ScoreSummary, seeds: Sequence[int]
    ) -> Leak:
        """Score the same covers by the other split, grouped or random, and take the difference."""
        here = self.split.name
        other = GROUPED if here == RANDOM else RANDOM
        job = self._only(way)
        runs = []
        for seed in seeds:
            fitted = job.cross_validate(self._divide(other, seed)[0])
            runs.append(job.score(fitted, self.settings.coverage))
        beside = _stack(runs)
        labels, groups = self.corpus.labels, self.corpus.groups
        said = {here: selected.probabilities, other: beside.probabilities}
        top1 = {
            here: summary.top1,
            other: summarise(labels, beside.probabilities, beside.sets, groups).top1,
        }
        difference = paired_difference(labels, said[RANDOM], said[GROUPED], groups)
        return Leak(top1[GROUPED], top1[RANDOM], difference)

    def _learning_parts(self) -> list[Bools]:
        """Return the covers to learn from, bool (n,), for each share that is large enough.

        Without any two folds, at least as many covers as genres have to be left to fit on.
        """
        fold_of = self._divide(GROUPED, self.seeds[0])[0]
        parts = [_some_groups(self.corpus, share) for share in SHARES]
        in_folds = [np.sort(np.bincount(fold_of[part], minlength=3)) for part in parts]
        return [
            part
            for part, counts in zip(parts, in_folds, strict=True)
            if counts[:-2].sum() >= len(self.corpus.genres)
        ]

    def _learning_curve(
        self, way: _Way, parts: Sequence[Bools], all_of_them: ScoreSummary
    ) -> tuple[LearningPoint, ...]:
        """Score all covers by models fitted on some of the groups, and on all."""
        job, corpus = self._only(way), self.corpus
        fold_of = self._divide(GROUPED, self.seeds[0])[0]
        points = []
        for learnt in parts:
            run = job.score(job.cross_validate(fold_of, learnt), self.settings.coverage)
            summary = summarise(corpus.labels, run.probabilities, run.sets, corpus.groups)
            points.append(self._point(int(learnt.sum()), summary))
        return (*points, self._point(len(corpus.labels), all_of_them))

    def _point(self, covers: int, summary: ScoreSummary) -> LearningPoint:
        """Make a point of the curve; the fold held out is subtracted from the covers."""
        learnt = round(covers * (1 - 1 / self.settings.folds))
        each = learnt / len(self.corpus.genres)
        return LearningPoint(each, learnt, summary.top1, summary.top3)


@dataclass(frozen=True, slots=True)
class _Stacked:
    """The results of several fold seeds: rows (m,), probabilities (s, m, c), sets (s, m, c)."""

    rows: Ints
    probabilities: Doubles
    sets: Bools


def _stack(runs: Sequence[CrossValidation]) -> _Stacked:
    return _Stacked(
        runs[0].rows,
        np.stack([run.probabilities for run in runs]),
        np.stack([run.sets for run in runs]),
    )


def _ways(names: Sequence[str], own: Sequence[str], kind: str, other: str) -> tuple[_Way, ...]:
    """Name the baselines, every view alone and with others, both heads; the selected way last."""
    place = {name: number for number, name in enumerate(names)}
    ways = [_Way(name, NO_HEAD, (place[name],)) for name in (MAJORITY, NEAREST)]
    subsets = [
        [view for bit, view in enumerate(own) if chosen >> bit & 1]
        for chosen in range(1, 1 << len(own))
    ]
    for subset in sorted(subsets, key=len):
        theirs = tuple(place[_of_kind(view, other, place)] for view in subset)
        mine = tuple(place[view] for view in subset)
        if theirs != mine:
            ways.append(_Way("+".join(subset), other, theirs))
        ways.append(_Way("+".join(subset), kind, mine, selected=len(subset) == len(own)))
    return tuple(ways)


def _of_kind(view: str, kind: str, place: Mapping[str, int]) -> str:
    return f"{view}/{kind}" if f"{view}/{kind}" in place else view


def _given(
    corpus: Corpus, sides: Mapping[Digest, Side], folds: int
) -> tuple[Ints, tuple[int, ...] | None]:
    """Return each cover's fold by a split drawn by others, and which folds are scored.

    A test part is fold 0; the training part is divided by groups, to choose settings.
    """
    side = [sides[cover.digest] for cover in corpus.covers]
    numbers = {one for one in side if isinstance(one, int)}
    if numbers and len(numbers) == len(set(side)):
        if len(numbers) < FEWEST_FOLDS:
            raise UsageError(
                f"the split has {len(numbers)} folds; give at least {FEWEST_FOLDS}, or the words"
                " train and test"
            )
        order = {one: place for place, one in enumerate(sorted(numbers))}
        return np.array([order[one] for one in side if isinstance(one, int)]), None
    if set(side) != {"train", "test"}:
        found = ", ".join(sorted({str(one) for one in side}))
        raise UsageError(f"the split says {found}; it has to say train and test, or number folds")
    learning = np.array([one == "train" for one in side])
    if len(np.unique(corpus.labels[learning])) < MIN_GENRES:
        raise UsageError("the split's train has covers of one genre only; give it two or more")
    fold_of = np.zeros(len(side), np.int64)
    try:
        inner = draw_folds(corpus.labels[learning], corpus.groups[learning], folds, 0)
    except TooFewCovers as error:
        raise TooFewCovers(f"the split's train has too little: {error}") from error
    fold_of[learning] = 1 + inner
    return fold_of, (0,)


def _some_groups(corpus: Corpus, share: float) -> Bools:
    """Return the covers, bool (n,), of that share of each genre's groups; always the same ones."""
    order = np.random.default_rng(0).permutation(int(corpus.groups.max()) + 1)
    kept = np.zeros(len(corpus.labels), np.bool_)
    for genre in range(len(corpus.genres)):
        of_genre = np.flatnonzero(corpus.labels == genre)
        groups = np.unique(corpus.groups[of_genre])
        groups = groups[np.argsort(order[groups])]
        few = groups[: max(_LEAST_GROUPS, round(share * len(groups)))]
        kept[of_genre] = np.isin(corpus.groups[of_genre], few)
    return kept
