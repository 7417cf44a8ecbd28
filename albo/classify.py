"""Fits heads, says how good they are, and lets them answer.

Scoring is nested. In each outer fold of a grouped cross-validation an inner one, inside the outer
training part, chooses the classifier's setting and fits all that comes after it (fusion weights,
temperature, nonconformity scores); the classifier is then refitted on the whole outer training
part, and the outer fold only scores. The head that is kept is made in the same way on all covers.

Folds are shared between the levels: the inner folds of the training part without fold i are the
other folds, so the model without i and j serves both as i's inner one that holds out j and as j's
that holds out i, and the models without i alone are the inner ones of the head that is kept. With
five folds that makes 16 fits where separate inner folds would take 35, and no cover is ever scored,
nor anything tuned, by a model that has seen a cover of its group.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

from albo.errors import TooFewCovers, UsageError
from albo.groups import group_covers, is_known
from albo.heads import (
    PRIORS,
    Head,
    LightgbmPredictor,
    LogisticPredictor,
    Prior,
    Scaler,
    conformal_sets,
    fuse,
    log_softmax,
    weigh_prior,
)
from albo.metrics import Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from albo.groups import Artist
    from albo.heads import Predictor
    from albo.records import Album, Bools, Digest, Floats, Ints, Json, Prediction
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

_FIT_BYTES = 1 << 30
"""What the features copied by all fits at work may take together."""


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


class Trainer(Protocol):
    """Fits the classifier of a view.

    grid : the settings to choose among, in the order in which `path` fits them.
    """

    @property
    def grid(self) -> tuple[float, ...]: ...  # noqa: D102

    def path(self, features: Any, labels: Ints, genres: int) -> Iterator[Predictor]:  # noqa: ANN401
        """Fit on n covers once for each setting of the grid.

        labels : int (n,) below `genres`; some genres may be missing, and get what little
        probability a genre has that was never seen.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogisticTrainer:
    """Multinomial logistic regression, L2-regularised, on standardised features.

    grid : inverse strengths of the penalty, scikit-learn's C, ascending, so that each fit starts
    where the last ended. blocks : as of a view. tolerance : of the gradient's largest entry.
    """

    grid: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    blocks: tuple[int, ...] = ()
    tolerance: float = 3e-4

    def path(self, features: Floats, labels: Ints, genres: int) -> Iterator[LogisticPredictor]:
        """Fit on float32 (n, p), once for each C."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        scaler = fit_scaler(features)
        balance = block_weights(self.blocks, features.shape[1])
        rows = scaler(features) * balance
        present, known = np.unique(labels, return_inverse=True)
        if len(present) == 1:
            nothing = np.zeros((rows.shape[1], 1), np.float32), np.zeros(1, np.float32)
            for _ in self.grid:
                yield _spread(scaler, *nothing, seen=present, counts=(genres, len(labels)))
            return
        rows, rotation = rotate(rows)
        model = LogisticRegression(tol=self.tolerance, max_iter=500, warm_start=True)
        for strength in self.grid:
            model.set_params(C=strength)
            with warnings.catch_warnings():
                # What 500 steps leave to be gained is far below what folds differ by.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(rows, known)
            weights, bias = _as_softmax(model.coef_.T, model.intercept_)
            turned = weights if rotation is None else rotation @ weights
            unbalanced = turned * balance[:, None]
            yield _spread(scaler, unbalanced, bias, seen=present, counts=(genres, len(labels)))


@dataclass(frozen=True, slots=True)
class LightgbmTrainer:
    """Gradient-boosted trees on the principal components of standardised features.

    grid : rounds, ascending; all are prefixes of one fit. components : at most, k. threads : of one
    fit; several fits go on at once.
    """

    grid: tuple[float, ...] = (20, 40, 60)
    blocks: tuple[int, ...] = ()
    components: int = 128
    threads: int = 1

    def path(self, features: Floats, labels: Ints, genres: int) -> Iterator[LightgbmPredictor]:
        """Fit on float32 (n, p), and yield its first rounds, as many as each setting says."""
        import lightgbm

        scaler = fit_scaler(features)
        axes = self._axes(scaler(features), block_weights(self.blocks, features.shape[1]))
        rows = LightgbmPredictor(scaler, axes, "").reduce(features)
        booster = lightgbm.train(
            {
                "objective": "multiclass",
                "num_class": genres,
                "learning_rate": 0.06,
                "num_leaves": 15,
                "max_bin": 63,
                "min_data_in_leaf": max(1, min(20, len(labels) // (4 * genres))),
                # In proportion to the covers: were it fixed, a refit on more of them would spread
                # its probabilities wider than what its calibration was fitted on.
                "lambda_l2": len(labels) / 100,
                "feature_fraction": 0.3,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
                "deterministic": True,
                "force_row_wise": True,
                "num_threads": self.threads,
                "seed": 0,
                "verbosity": -1,
            },
            lightgbm.Dataset(rows, labels, params={"verbosity": -1}),
            num_boost_round=int(max(self.grid)),
        )
        for rounds in self.grid:
            text = booster.model_to_string(num_iteration=int(rounds))
            yield LightgbmPredictor(scaler, axes, text)

    def _axes(self, scaled: Floats, balance: Floats) -> Floats:
        """Return the k principal axes of the balanced features: float32 (p, k)."""
        from sklearn.decomposition import PCA

        rows = scaled * balance
        count = min(self.components, *rows.shape)
        pca = PCA(count, svd_solver="randomized", iterated_power=3, random_state=0).fit(rows)
        return np.asarray(pca.components_.T * balance[:, None], np.float32)


def _logistic(blocks: tuple[int, ...]) -> Trainer:
    return LogisticTrainer(blocks=blocks)


def _lightgbm(blocks: tuple[int, ...]) -> Trainer:
    return LightgbmTrainer(blocks=blocks)


TRAINERS: dict[tuple[str, str], Callable[[tuple[int, ...]], Trainer]] = {
    ("dense", "logistic"): _logistic,
    ("dense", "lightgbm"): _lightgbm,
}
"""By a view's classifier and the head's kind: makes the trainer, given the view's blocks."""


def fit_scaler(features: Floats) -> Scaler:
    """Fit the standardisation of float32 (n, p); numbers that never vary get scale 1."""
    mean = features.mean(axis=0, dtype=np.float64)
    spread = features.std(axis=0, dtype=np.float64)
    # Below this a spread is rounding, and dividing by it would make signal of noise.
    varies = spread > 1e-6 * np.maximum(np.abs(mean), 1.0) * (np.abs(mean) > 0) + 1e-12
    return Scaler(mean.astype(np.float32), np.where(varies, spread, 1.0).astype(np.float32))


def block_weights(blocks: tuple[int, ...], width: int) -> Floats:
    """Return float32 (width,): factors that give every block the same total variance as the first.

    Raises UsageError where the blocks do not add up to the width.
    """
    if not blocks:
        return np.ones(width, np.float32)
    if sum(blocks) != width:
        raise UsageError(f"blocks {blocks} for features of width {width}; they must add up to it")
    return np.repeat([math.sqrt(blocks[0] / size) for size in blocks], blocks).astype(np.float32)


def rotate(rows: Floats) -> tuple[Floats, Floats | None]:
    """Turn rows (n, p) with n < p into the space they span: (n, n), and the rotation (p, n).

    A penalty on the length of the weights alone does not see a rotation, so the fit is the same
    one, in fewer numbers: weights = rotation @ turned weights. None where n >= p.
    """
    if rows.shape[0] >= rows.shape[1]:
        return rows, None
    rotation, triangle = np.linalg.qr(rows.T)
    return np.ascontiguousarray(triangle.T), rotation


def _as_softmax(weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Return a column for each genre; scikit-learn keeps one, the difference, for two genres."""
    if weights.shape[1] > 1:
        return weights, bias
    half = weights * np.float32(0.5), bias * np.float32(0.5)
    return np.concatenate([-half[0], half[0]], axis=1), np.concatenate([-half[1], half[1]])


def _spread(
    scaler: Scaler, weights: Floats, bias: Floats, *, seen: Ints, counts: tuple[int, int]
) -> LogisticPredictor:
    """Give genres that were never seen a column too, with less than one cover's probability.

    seen : the genres whose columns these are. counts : of genres, and of covers fitted on.
    """
    # Centred columns have a softmax denominator of at least one for each genre seen.
    genres, covers = counts
    full = np.zeros((weights.shape[0], genres), np.float32)
    full[:, seen] = weights - weights.mean(axis=1, keepdims=True)
    all_bias = np.full(genres, -math.log(covers + 1), np.float32)
    all_bias[seen] = bias - bias.mean()
    return LogisticPredictor(scaler, full, all_bias)


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
class _Corpus:
    """The covers of the genres that stay, by row, and those genres that do not."""

    covers: tuple[LabelledCover, ...]
    genres: tuple[str, ...]
    labels: Ints
    groups: Ints
    left_out: tuple[Json, ...]


def _select(labelling: Labelling, pairs: Ints, min_groups: int) -> _Corpus:
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
    return _Corpus(
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
    corpus = _select(labelling, pairs, max(MIN_GROUPS, settings.folds))
    digests = [cover.digest for cover in corpus.covers]
    features = {view.name: view.features(digests) for view in views}
    trainers = {view.name: _trainer(view, settings.kind) for view in views}
    seeds = settings.seeds_for(len(corpus.covers))
    report_progress = _Progress(progress, len(views) * (len(seeds) * _fits(settings.folds) + 1))
    job = _Job(features, trainers, corpus.labels, len(corpus.genres), report_progress)
    runs = [
        job.cross_validate(_draw_folds(corpus, settings.folds, seed), settings.coverage)
        for seed in seeds
    ]
    probabilities = np.stack([run.probabilities for run in runs])
    sets = np.stack([run.sets for run in runs])
    summary = summarise(corpus.labels, probabilities, sets, corpus.groups)
    report = {
        **_describe(corpus, views, settings),
        **_describe_scores(corpus, summary),
        "seeds": list(seeds),
        "selected": True,
        "conflicting": labelling.conflicting,
    }
    head = _make_head(job, runs[0].tuning, corpus, _Making(views, settings, report))
    return Training(
        head, report, summary, corpus.covers, corpus.labels, corpus.groups, probabilities, sets
    )


def _trainer(view: View, kind: str) -> Trainer:
    for key in ((view.classifier, kind), (view.classifier, "")):
        if key in TRAINERS:
            return TRAINERS[key](view.blocks)
    raise UsageError(f"view {view.name!r} wants the classifier {view.classifier!r}, unknown here")


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
    corpus = _Corpus(covers, tuple(genres), labels, groups, ())
    trainers = {view.name: _trainer(view, settings.kind) for view in views}
    silent = _Progress(None, 0)
    job = _Job(features, trainers, labels, len(genres), silent)
    folds = _draw_folds(corpus, settings.folds, settings.seeds_for(len(labels))[0])
    tuning = job.tune(job.hold_out(folds), np.arange(len(labels)))
    return _make_head(job, tuning, corpus, _Making(views, settings, {}))


def _fits(folds: int) -> int:
    """Return how often a classifier is fitted for one seed."""
    return folds + folds * (folds - 1) // 2


def _draw_folds(corpus: _Corpus, folds: int, seed: int) -> Ints:
    """Return each cover's fold, int (n,): no group in two, genres spread evenly."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    if len(np.unique(corpus.groups)) < folds:
        raise TooFewCovers(
            f"{len(np.unique(corpus.groups))} groups of covers for {folds} folds; embed more covers"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_of = np.empty(len(corpus.labels), np.int64)
    with warnings.catch_warnings():
        # Covers of a genre may be fewer than folds where another has drawn the split.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = splitter.split(corpus.labels, corpus.labels, corpus.groups)
        for fold, (_, held_out) in enumerate(splits):
            fold_of[held_out] = fold
    return fold_of


@dataclass(slots=True)
class _Progress:
    tell: Callable[[int, int], None] | None
    total: int
    done: int = 0

    def step(self, fits: int) -> None:
        self.done += fits
        if self.tell is not None:
            self.tell(self.done, self.total)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is fitted after the classifiers.

    choice : for each view, the place of its setting in its trainer's grid. weights : float64 (v,).
    frequencies : float64 (c,). nonconformity : by prior, ascending.
    """

    choice: tuple[int, ...]
    weights: Doubles
    temperature: float
    frequencies: Doubles
    nonconformity: Mapping[Prior, Doubles]

    def say(self, held_out: HeldOut, rows: Ints) -> Doubles:
        """Return the probabilities (n, c) of what was said of these n covers."""
        return fuse(_chosen(held_out, self.choice, rows), self.weights, self.temperature)


@dataclass(frozen=True, slots=True)
class _Run:
    """One cross-validation: what was said of each cover held out, and the tuning on all covers."""

    probabilities: Doubles
    sets: Bools
    tuning: Tuning


HeldOut: TypeAlias = "list[NDArray[np.float32]]"
"""For each view, log-probabilities of covers while they were held out: float32 (g, n, c)."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One corpus, its features and its trainers."""

    features: Mapping[str, Features]
    trainers: Mapping[str, Trainer]
    labels: Ints
    genres: int
    progress: _Progress

    def cross_validate(self, fold_of: Ints, coverage: float) -> _Run:
        """Score every fold by what was fitted without it."""
        folds = range(int(fold_of.max()) + 1)
        held_out = self._fit_all(fold_of, [*_singles(fold_of), *combinations(folds, 2)])
        probabilities = np.empty((len(self.labels), self.genres))
        sets = np.empty(probabilities.shape, np.bool_)
        for fold in folds:
            rows = np.flatnonzero(fold_of == fold)
            tuning = self.tune(held_out[fold,], np.flatnonzero(fold_of != fold))
            probabilities[rows] = tuning.say(held_out[()], rows)
            sets[rows] = conformal_sets(
                probabilities[rows], tuning.nonconformity["corpus"], coverage
            )
        return _Run(probabilities, sets, self.tune(held_out[()], np.arange(len(self.labels))))

    def hold_out(self, fold_of: Ints) -> HeldOut:
        """Return what is said of each cover by models fitted without its fold."""
        return self._fit_all(fold_of, _singles(fold_of))[()]

    def _fit_all(
        self, fold_of: Ints, without: Sequence[tuple[int, ...]]
    ) -> dict[tuple[int, ...], HeldOut]:
        """Fit without each of these sets of folds, several at a time.

        Returns, by the folds left out beside a cover's own, what is said of each cover.

        Fits are small: one a core, each on one thread, is faster than one on all cores, and by far
        where other work takes part of the machine and a fit's threads wait for one another. Where
        memory is for fewer fits than there are cores, they share the cores.
        """
        from joblib import cpu_count
        from threadpoolctl import threadpool_limits

        held_out = {others: self._blank() for left_out in without for _, others in _each(left_out)}

        def fit(left_out: tuple[int, ...]) -> None:
            self._fit_without(left_out, fold_of, held_out)

        size = sum(getattr(features, "nbytes", 0) for features in self.features.values())
        workers = max(1, min(cpu_count(), _FIT_BYTES // max(2 * size, 1)))
        threads = cpu_count() // workers
        with (
            threadpool_limits(threads),
            ThreadPoolExecutor(workers, initializer=threadpool_limits, initargs=(threads,)) as pool,
        ):
            for _ in pool.map(fit, without):
                self.progress.step(len(self.trainers))
        return held_out

    def _blank(self) -> HeldOut:
        return [
            np.full((len(trainer.grid), len(self.labels), self.genres), np.nan, np.float32)
            for trainer in self.trainers.values()
        ]

    def _fit_without(
        self,
        left_out: tuple[int, ...],
        fold_of: Ints,
        held_out: Mapping[tuple[int, ...], HeldOut],
    ) -> None:
        """Fit on all other folds, and write what is said of the covers left out in its places.

        No other fit writes there, and what was said is held nowhere else.
        """
        outside = np.isin(fold_of, left_out)
        rows, inside = np.flatnonzero(outside), np.flatnonzero(~outside)
        places = [(fold_of[rows] == fold, held_out[others]) for fold, others in _each(left_out)]
        for number, (view, trainer) in enumerate(self.trainers.items()):
            features = self.features[view]
            test = features[rows]
            path = trainer.path(features[inside], self.labels[inside], self.genres)
            for setting, predictor in enumerate(path):
                said = predictor.log_probabilities(test)
                for own, place in places:
                    place[number][setting, rows[own]] = said[own]

    def tune(self, held_out: HeldOut, rows: Ints) -> Tuning:
        """Fit all that comes after the classifiers, on what was said of these covers held out."""
        labels = self.labels[rows]
        losses = [
            [_loss_at_best_temperature(_widened(setting, rows), labels) for setting in view]
            for view in held_out
        ]
        choice = tuple(int(np.argmin(of_view)) for of_view in losses)
        spoken = _chosen(held_out, choice, rows)
        weights = fit_weights(spoken, labels)
        temperature = fit_temperature(np.tensordot(weights, np.stack(spoken), 1), labels)
        # A genre that these covers lack is counted as half a cover.
        counts = np.maximum(np.bincount(labels, minlength=self.genres), 0.5)
        frequencies = counts / counts.sum()
        fused = fuse(spoken, weights, temperature)
        own = np.arange(len(labels))
        return Tuning(
            choice,
            weights,
            temperature,
            frequencies,
            {
                prior: np.sort(1.0 - weigh_prior(fused, frequencies, prior)[own, labels])
                for prior in PRIORS
            },
        )

    def refit(self, tuning: Tuning) -> dict[str, Predictor]:
        """Fit each view's classifier, at the setting chosen, on all covers."""
        predictors = {}
        for (view, trainer), choice in zip(self.trainers.items(), tuning.choice, strict=True):
            path = trainer.path(self.features[view], self.labels, self.genres)
            predictors[view] = next(islice(path, choice, None))
            self.progress.step(1)
        return predictors


def _singles(fold_of: Ints) -> list[tuple[int, ...]]:
    return [(fold,) for fold in range(int(fold_of.max()) + 1)]


def _each(left_out: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """Return each fold with the others left out beside it."""
    return [(fold, tuple(other for other in left_out if other != fold)) for fold in left_out]


def _chosen(held_out: HeldOut, choice: Sequence[int], rows: Ints) -> list[Doubles]:
    return [_widened(view[place], rows) for view, place in zip(held_out, choice, strict=True)]


def _widened(said: Floats, rows: Ints) -> Doubles:
    return said[rows].astype(np.float64)


def _loss(fused: Doubles, labels: Ints) -> float:
    """Return the mean negative log-likelihood of logits (n, c)."""
    return float(-log_softmax(fused)[np.arange(len(labels)), labels].mean())


def _loss_at_best_temperature(logits: Doubles, labels: Ints) -> float:
    return _loss(logits / fit_temperature(logits, labels), labels)


def fit_temperature(logits: Doubles, labels: Ints) -> float:
    """Return the temperature, 0.05 to 20, that minimises the negative log-likelihood.

    Guo et al. 2017. logits : (n, c), log-probabilities do as well. labels : int (n,).
    """
    from scipy.optimize import minimize_scalar

    widest = math.log(20.0)
    found = minimize_scalar(
        lambda log_temperature: _loss(logits / math.exp(log_temperature), labels),
        bounds=(-widest, widest),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return math.exp(float(found.x))


def fit_weights(spoken: Sequence[Doubles], labels: Ints) -> Doubles:
    """Return the weights, not negative and of sum 1, that fuse the views' log-probabilities best.

    By negative log-likelihood at the best temperature, on these covers; never worse there than the
    best single view. spoken : for each of v views (n, c). Returns float64 (v,).
    """
    from scipy.optimize import minimize

    count = len(spoken)
    if count == 1:
        return np.ones(1)
    stacked = np.stack(spoken)
    own = np.arange(len(labels))

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        said = log_softmax(np.tensordot(weights, stacked, 1))
        expected = (np.exp(said)[None] * stacked).sum(2)
        slope = (expected - stacked[:, own, labels]).mean(1)
        return float(-said[own, labels].mean()), slope

    corners = [
        corner / fit_temperature(view, labels)
        for corner, view in zip(np.eye(count), stacked, strict=True)
    ]
    starts = [*corners, np.full(count, 1 / count)]
    best = min(corners, key=lambda weights: loss(weights)[0])
    found = [
        minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * count).x
        for start in starts
    ]
    weights = min([best, *found], key=lambda weights: loss(weights)[0])
    return np.asarray(weights / weights.sum()) if weights.sum() > 0 else np.full(count, 1 / count)


@dataclass(frozen=True, slots=True)
class _Making:
    """What a head is told of itself beside what was fitted."""

    views: Sequence[View]
    settings: Settings
    card: Json


def _make_head(job: _Job, tuning: Tuning, corpus: _Corpus, making: _Making) -> Head:
    return Head(
        name=making.settings.name,
        kind=making.settings.kind,
        level=making.settings.level,
        genres=corpus.genres,
        predictors=job.refit(tuning),
        weights=tuning.weights,
        temperature=tuning.temperature,
        frequencies=tuning.frequencies,
        nonconformity=tuning.nonconformity,
        fingerprints={view.name: view.fingerprint for view in making.views},
        backbone=making.settings.backbone,
        counts={"covers": len(corpus.labels), "groups": len(np.unique(corpus.groups))},
        card=making.card,
    )


def _describe(corpus: _Corpus, views: Sequence[View], settings: Settings) -> Json:
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


def _describe_scores(corpus: _Corpus, summary: Summary) -> Json:
    """Return how good it is, for the JSON object of `albo train`."""
    groups = [
        len(np.unique(corpus.groups[corpus.labels == place])) for place in range(len(corpus.genres))
    ]
    return summary.as_json(corpus.genres, groups)


def classify(
    head: Head,
    features: Mapping[str, Features],
    prior: Prior = "corpus",
    *,
    decide: float = 0.5,
    coverage: float = 0.9,
    top: int = 5,
) -> list[Prediction]:
    """Say of n covers what genre they read as: the `top` best, the set, and whether it is decided.

    features : for each view of the head, those of the same n covers. The set is never cut short.
    Raises UsageError for values out of range, as `Head.answer` does.
    """
    if top < 1:
        raise UsageError(f"top={top}; give 1 or more")
    return [
        replace(said, genres=said.genres[:top], probabilities=said.probabilities[:top])
        for said in head.answer(features, prior, decide, coverage)
    ]
