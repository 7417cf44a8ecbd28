"""Fitting and scoring: what never leaks, what is recovered, what is left out and named."""

from __future__ import annotations

import hashlib
import json
import shutil
import tracemalloc
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from albo.errors import TooFewCovers, UsageError
from albo.heads import CharactersView, ImageView, load_head, log_softmax, save_head
from albo.heads.predictors import PREDICTORS
from albo.learning import (
    FitCounter,
    Fitted,
    Job,
    LabelledCover,
    Labelling,
    TrainingSettings,
    draw_folds,
    label_covers,
)
from albo.learning import folds as crossing
from albo.learning.fitting import fit_head
from albo.learning.folds import MIN_TOGETHER, fit_temperature, fit_weights
from albo.learning.groups import rare_line_links
from albo.learning.trainers import (
    TRAINERS,
    LightgbmTrainer,
    LogisticTrainer,
    UnitTrainer,
    fit_scaler,
    rotate,
)
from albo.records import Album, Embeddings, Line, Words
from albo.train import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from albo.records import Digest
    from tests.conftest import Answer, Speaking

NO_PAIRS = np.empty((0, 2), np.int64)
ONE_SEED = TrainingSettings(seeds=(0,))


def digest_of(number: int) -> Digest:
    return hashlib.sha256(str(number).encode()).digest()


@dataclass
class Corpus:
    """Covers in clusters, one for each genre, `group` covers to an artist; a view on them."""

    features_of: dict[Digest, np.ndarray]
    labelling: Labelling
    name: str = "image"
    fingerprint: str = "f" * 64
    classifier: str = "dense"
    blocks: tuple[int, ...] = ()
    always: bool = True
    asked: list[int] = field(default_factory=list)

    def hints(self, _genres: Sequence[str]) -> None:
        return None

    def features(self, digests: Sequence[Digest]) -> np.ndarray:
        self.asked.append(len(digests))
        return np.stack([self.features_of[digest] for digest in digests])


def corpus(
    count: int = 120, *, genres: int = 3, apart: float = 4.0, group: int = 2, seed: int = 0
) -> Corpus:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) // group % genres
    points = rng.normal(size=(count, 12)) + np.eye(genres, 12)[labels] * apart
    covers = tuple(
        LabelledCover(digest_of(row), f"genre {label}", artists=((f"artist {row // group}", ""),))
        for row, label in enumerate(labels)
    )
    rows = {cover.digest: row.astype(np.float32) for cover, row in zip(covers, points, strict=True)}
    return Corpus(rows, Labelling(covers))


def test_what_can_be_told_apart_is() -> None:
    made = corpus(apart=30.0)
    training = train(made.labelling, NO_PAIRS, [made], ONE_SEED)
    report = training.report
    assert report["top1"] == {"value": 1.0, "low": 0.9398, "high": 1.0}, "Wilson's, of 60 groups"
    assert report["set_size"] == 1.0
    assert (report["covers"], report["groups"], report["genres"]) == (120, 60, 3)
    assert report["majority"] == pytest.approx(1 / 3, abs=1e-4)
    assert report["artists_known"] == 1.0
    assert json.loads(json.dumps(report)) == report
    predicted = training.head.predict({"image": made.features([c.digest for c in training.covers])})
    assert (predicted.argmax(1) == training.labels).all()


def test_labels_that_mean_nothing_are_guessed_at_chance_and_not_believed() -> None:
    made = corpus(360, apart=0.0)
    training = train(made.labelling, NO_PAIRS, [made], ONE_SEED)
    assert training.report["top1"]["value"] == pytest.approx(1 / 3, abs=0.07)
    assert training.probabilities.max() < 0.6, "the temperature takes false confidence away"
    assert training.report["coverage"]["low"] <= 0.9 <= training.report["coverage"]["high"]


def test_an_artist_recognised_is_no_genre_learned() -> None:
    """Every artist has a look and a genre drawn by lot: only a leak could beat the majority."""
    rng = np.random.default_rng(0)
    looks, lots = rng.normal(size=(60, 90)) * 5, rng.integers(3, size=60)
    covers, rows = [], {}
    for number in range(360):
        artist = number % 60
        known = ((f"A {artist}", ""),)
        covers.append(LabelledCover(digest_of(number), f"genre {lots[artist]}", known))
        rows[covers[-1].digest] = (looks[artist] + rng.normal(size=90) * 0.1).astype(np.float32)
    made = Corpus(rows, Labelling(tuple(covers)))
    honest = train(made.labelling, NO_PAIRS, [made], ONE_SEED).report["top1"]["value"]
    nameless = Labelling(tuple(LabelledCover(c.digest, c.genre) for c in covers))
    leaking = train(nameless, NO_PAIRS, [made], ONE_SEED).report["top1"]["value"]
    assert honest < 0.55
    assert leaking > 0.75, "the test can see a leak"
    same = np.array([(row, row + 60) for row in range(300)])
    assert train(nameless, same, [made], ONE_SEED).report["top1"]["value"] == honest


@budget(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 25), min_size=60, max_size=90), st.integers(0, 9))
def test_no_group_stands_in_two_folds(groups: list[int], seed: int) -> None:
    ids = np.array(groups)
    labels = np.arange(len(groups)) % 2
    if len(np.unique(ids)) < 5:
        with pytest.raises(TooFewCovers, match="for 5 folds"):
            draw_folds(labels, ids, 5, seed)
        return
    folds = draw_folds(labels, ids, 5, seed)
    for group in np.unique(ids):
        assert len(set(folds[ids == group])) == 1


@dataclass
class Spy:
    """A classifier that remembers what it was fitted on and checks what it is asked of."""

    grid: tuple[float, ...] = (1.0, 2.0)
    groups: ClassVar[np.ndarray]
    fits: ClassVar[list[tuple[int, ...]]] = []

    def path(self, features: np.ndarray, labels: np.ndarray, genres: int) -> Iterator[Any]:
        assert len(features) == len(labels)
        fitted = frozenset(self.groups[features[:, 0].astype(int)].tolist())
        self.fits.append(tuple(sorted(features[:, 0].astype(int).tolist())))
        for _ in self.grid:
            yield SpyPredictor(fitted, genres)


@dataclass
class SpyPredictor:
    fitted: frozenset[int]
    genres: int

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        asked = Spy.groups[features[:, 0].astype(int)]
        assert self.fitted.isdisjoint(asked.tolist()), "asked of a group it was fitted on"
        return np.full((len(features), self.genres), -np.log(self.genres))


def test_nothing_is_ever_asked_of_what_it_was_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = corpus(100, genres=2)
    rows = {cover.digest: number for number, cover in enumerate(made.labelling.covers)}
    made.features_of = {digest: np.array([row, 0], np.float32) for digest, row in rows.items()}
    made.classifier = "spy"
    monkeypatch.setitem(TRAINERS, ("spy", ""), lambda *_: Spy())
    Spy.groups = np.arange(100) // 2
    Spy.fits = []
    steps: list[tuple[int, int]] = []
    settings = TrainingSettings(seeds=(0, 1))
    train(made.labelling, NO_PAIRS, [made], settings, lambda *step: steps.append(step))
    # 15 a seed, the head itself, and the heads of the first seed's five folds.
    assert len(Spy.fits) == 2 * 15 + 1 + 5
    assert steps[-1] == (36, 36)
    assert sorted(len(fit) for fit in Spy.fits) == [60] * 20 + [80] * 15 + [100]
    assert made.asked == [100]


def test_few_groups_are_left_out_and_named() -> None:
    made = corpus(120)
    covers = list(made.labelling.covers)
    for number in range(120, 140):
        artists = ((f"one of four {number % 4}", ""),)
        covers.append(LabelledCover(digest_of(number), "Polka", artists))
        made.features_of[covers[-1].digest] = np.ones(12, np.float32)
    report = train(Labelling(tuple(covers), 7), NO_PAIRS, [made], ONE_SEED).report
    assert report["left_out"] == [{"genre": "Polka", "covers": 20, "groups": 4}]
    assert (report["covers"], report["conflicting"]) == (120, 7)
    assert [row["genre"] for row in report["per_genre"]] == ["genre 0", "genre 1", "genre 2"]


def test_too_few_covers_say_what_there_is_and_what_is_needed() -> None:
    made = corpus(16, genres=2)
    with pytest.raises(TooFewCovers, match=r"16 labelled covers.*genre 0 \(4\).*2 genres of 5"):
        train(made.labelling, NO_PAIRS, [made])
    with pytest.raises(TooFewCovers, match=r"no cover has a genre.*column `genre`"):
        train(Labelling(()), NO_PAIRS, [made])


def test_settings_out_of_range_are_refused() -> None:
    made = corpus()
    for wrong, message in (
        (TrainingSettings(folds=2), "folds=2; give 3 to 20"),
        (TrainingSettings(kind="svm"), "kind 'svm'"),  # type: ignore[arg-type]
        (TrainingSettings(coverage=1.0), "coverage=1"),
        (TrainingSettings(seeds=()), "no fold seeds"),
    ):
        with pytest.raises(UsageError, match=message):
            train(made.labelling, NO_PAIRS, [made], wrong)
    with pytest.raises(UsageError, match="without a view"):
        train(made.labelling, NO_PAIRS, [])
    made.classifier = "crystal ball"
    with pytest.raises(UsageError, match="crystal ball"):
        train(made.labelling, NO_PAIRS, [made])


def test_seeds_follow_the_number_of_covers() -> None:
    assert TrainingSettings().seeds_for(30_000) == (0, 1, 2, 3, 4)
    assert TrainingSettings().seeds_for(30_001) == (0,)
    assert TrainingSettings(seeds=(3, 4)).seeds_for(10**6) == (3, 4)


@pytest.mark.whole
def test_training_twice_gives_the_same() -> None:
    made = corpus(apart=1.5)
    one, two = (
        train(made.labelling, NO_PAIRS, [made], TrainingSettings(folds=3)) for _ in range(2)
    )
    assert one.report == two.report
    assert one.report["seeds"] == [0, 1, 2, 3, 4]
    assert one.probabilities.shape == (5, 120, 3)


@pytest.mark.parametrize("kind", ["logistic", "lightgbm"])
def test_a_trained_head_survives_its_files(tmp_path: Path, kind: str) -> None:
    made = corpus(90, apart=2.0)
    settings = TrainingSettings(kind=kind, folds=3, seeds=(0,), backbone="efficientnet-lite0")  # type: ignore[arg-type]
    training = train(made.labelling, NO_PAIRS, [made], settings)
    assert training.report["top1"]["value"] > 0.6
    save_head(training.head, tmp_path)
    loaded = load_head(tmp_path)
    features = {"image": made.features([cover.digest for cover in training.covers])}
    for prior in ("corpus", "uniform"):
        assert loaded.answer(features, prior) == training.head.answer(features, prior)
    assert loaded.card == training.report
    assert (loaded.kind, loaded.backbone) == (kind, "efficientnet-lite0")


def test_calibrated_on_simulated_covers() -> None:
    made = corpus(1500, apart=1.2, group=1)
    report = train(made.labelling, NO_PAIRS, [made], ONE_SEED).report
    assert report["ece"]["value"] <= report["ece_noise95"] * 1.3
    assert report["coverage"]["low"] <= 0.9 <= report["coverage"]["high"]
    assert report["top1"]["low"] <= report["top1"]["value"] <= report["top1"]["high"]


def test_answers_are_cut_to_the_top_and_sets_are_not() -> None:
    made = corpus(120, apart=0.5)
    head = train(made.labelling, NO_PAIRS, [made], ONE_SEED).head
    features = {"image": made.features([digest_of(0)])}
    (whole,) = head.answer(features, coverage=0.99, decide=0.0)
    said = whole.first(1)
    assert (len(said.genres), len(said.probabilities), said.decided) == (1, 1, True)
    assert len(said.conformal_set) == 3
    assert [len(view.genres) for view in said.views] == [1]
    assert whole.first(3) == whole


def test_a_head_fitted_on_a_split_of_others() -> None:
    made = corpus(120, apart=30.0)
    digests = [cover.digest for cover in made.labelling.covers]
    labels = np.array([int(cover.genre[-1]) for cover in made.labelling.covers])
    features = made.features(digests)
    train_rows, test_rows = np.arange(80), np.arange(80, 120)
    head = fit_head(
        {"image": features[train_rows]}, labels[train_rows], train_rows // 2, ["x", "y", "z"],
        views=[made],
    )  # fmt: skip
    assert (head.predict({"image": features[test_rows]}).argmax(1) == labels[test_rows]).all()


def test_a_genre_missing_from_a_training_part_keeps_its_column() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5)).astype(np.float32)
    for labels in (np.arange(60) % 2 * 2, np.full(60, 2), np.arange(60) % 3 + 1):
        for trainer in (LogisticTrainer(), LightgbmTrainer(grid=(2, 3))):
            for predictor in trainer.path(features, labels, 5):
                said = predictor.log_probabilities(features)
                assert said.shape == (60, 5)
                assert np.isfinite(said).all()
                np.testing.assert_allclose(np.exp(said).sum(1), 1, atol=1e-5)
                unseen = np.setdiff1d(np.arange(5), labels)
                assert np.exp(said[:, unseen]).max() < 1 / 60


def test_what_fits_say_is_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count, genres, grid = 4000, 10, tuple(range(1, 9))
    Spy.groups = np.arange(count)
    features = np.arange(count, dtype=np.float32)[:, None]
    job = Job(
        {"image": features}, {"image": Spy(grid)}, (True,), np.arange(count) % genres, genres,
        FitCounter(None, 0),
    )  # fmt: skip
    monkeypatch.setattr(crossing, "fit_temperature", lambda *_: 1.0)
    tracemalloc.start()
    run = job.score(job.cross_validate(np.arange(count) % 5), 0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(run.probabilities, 1 / genres)
    assert peak < 10 * len(grid) * count * genres * 4, "six such arrays, and what is at work"


def test_rare_genres_in_one_fold_are_scored() -> None:
    """Five groups of one genre are linked to all but one fold, so a training part may lack it."""
    made = corpus(120, apart=3.0)
    labels = np.zeros(120, np.int64)
    labels[:40] = 1
    groups = np.arange(120)
    groups[:40] = 0
    features = {"image": made.features([cover.digest for cover in made.labelling.covers])}
    trainers = {"image": LogisticTrainer()}
    job = Job(features, trainers, (True,), labels, 2, FitCounter(None, 0))
    run = job.score(job.cross_validate(draw_folds(labels, groups, 5, 0)), 0.9)
    assert np.isfinite(run.probabilities).all()
    np.testing.assert_allclose(run.probabilities.sum(1), 1)


@pytest.mark.parametrize("genres", [2, 4])
@pytest.mark.parametrize("width", [6, 80])
def test_the_logistic_path_is_the_plain_solution(genres: int, width: int) -> None:
    """Rotated, warm-started, float32 and loose, against one tight fit in float64 for each C."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % genres
    features = rng.normal(size=(60, width)) + np.eye(genres, width)[labels]
    trainer = LogisticTrainer(blocks=(2, width - 2))
    predictors = list(trainer.path(features.astype(np.float32), labels, genres))
    scaled = fit_scaler(features.astype(np.float32))(features.astype(np.float32))
    scaled = scaled * np.repeat([1, np.sqrt(2 / (width - 2))], [2, width - 2])
    for strength, predictor in zip(trainer.grid, predictors, strict=True):
        tight = LogisticRegression(C=strength, tol=1e-10, max_iter=5000).fit(scaled, labels)
        said = predictor.log_probabilities(features.astype(np.float32))
        np.testing.assert_allclose(said, tight.predict_log_proba(scaled), atol=2e-3)


def test_rotation_keeps_every_product() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    turned, rotation = rotate(rows)
    assert turned.shape == (5, 5)
    np.testing.assert_allclose(turned @ turned.T, rows @ rows.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(turned @ rotation.T, rows, atol=1e-5)
    assert rotate(rows.T)[1] is None


def test_numbers_that_never_vary_are_left_alone() -> None:
    features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    features[:, 1] = 1234.567
    features[:, 2] = 0
    scaler = fit_scaler(features)
    assert scaler.scale[1:].tolist() == [1, 1]
    assert np.abs(scaler(features)[:, 1:]).max() < 1e-3


def test_a_small_spread_around_zero_still_counts() -> None:
    features = np.random.default_rng(0).normal(size=(50, 1)).astype(np.float32) * 1e-4
    assert fit_scaler(features).scale[0] == pytest.approx(1e-4, rel=0.3)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_is_recovered(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 4)) * 2
    cumulated = np.exp(log_softmax(logits)).cumsum(1)
    labels = (rng.random(20_000)[:, None] > cumulated).sum(1).clip(0, 3)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


@budget(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_fusion_is_never_worse_than_the_best_view(seed: int, views: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=200)
    spoken = [
        log_softmax(rng.normal(size=(200, 4)) + np.eye(4)[labels] * rng.uniform(0, 3))
        for _ in range(views)
    ]
    weights = fit_weights(spoken, labels)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    best = min(crossing._loss_at_best_temperature(view, labels) for view in spoken)
    fused = np.tensordot(weights, np.stack(spoken), 1)
    assert crossing._loss_at_best_temperature(fused, labels) <= best + 1e-6


def test_a_view_that_says_nothing_gets_no_weight() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=2000)
    good = log_softmax(rng.normal(size=(2000, 3)) + 2 * np.eye(3)[labels])
    noise = log_softmax(rng.normal(size=(2000, 3)) * 2)
    assert fit_weights([good, noise], labels)[1] < 0.05


@dataclass
class WordCount:
    """A classifier on texts: how often a genre's covers bore each word."""

    kind: ClassVar[str] = "wordcount"
    words: np.ndarray
    table: np.ndarray

    @property
    def genres(self) -> int:
        return self.table.shape[1]

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        hits = np.array([[word in text.split() for word in self.words] for text in features])
        return log_softmax(hits @ self.table)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"words": self.words, "table": self.table}

    def text(self) -> str:
        return ""

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray], text: str) -> WordCount:
        assert not text
        return cls(arrays["words"], arrays["table"])


@dataclass
class WordTrainer:
    grid: tuple[float, ...] = (1.0,)

    def path(self, features: np.ndarray, labels: np.ndarray, genres: int) -> Iterator[WordCount]:
        words = np.unique(" ".join(features).split())
        table = np.ones((len(words), genres))
        for text, label in zip(features, labels, strict=True):
            table[np.isin(words, text.split()), label] += 1
        yield WordCount(words, np.log(table))


@dataclass
class WordView:
    name: str = "words"
    fingerprint: str = "reader 1"
    classifier: str = "wordcount"
    blocks: tuple[int, ...] = ()
    always: bool = True

    def features(self, digests: Sequence[Digest]) -> np.ndarray:
        number = {digest_of(row): row for row in range(120)}
        return np.array([f"word{number[digest] // 2 % 3} the" for digest in digests])


def test_a_further_view_is_a_plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRAINERS, ("wordcount", ""), lambda *_: WordTrainer())
    monkeypatch.setitem(PREDICTORS, "wordcount", WordCount)
    made = corpus(apart=0.3)
    alone = train(made.labelling, NO_PAIRS, [made], ONE_SEED).report
    training = train(made.labelling, NO_PAIRS, [made, WordView()], ONE_SEED)
    assert training.report["view"] == "image+words"
    assert alone["top1"]["value"] < 0.7 < training.report["top1"]["value"]
    save_head(training.head, tmp_path)
    digests = [cover.digest for cover in training.covers]
    features = {"image": made.features(digests), "words": WordView().features(digests)}
    loaded = load_head(tmp_path)
    assert loaded.answer(features) == training.head.answer(features)
    assert loaded.fingerprints["words"] == "reader 1"


class StoredEmbeddings:
    """What `albo.vectors.Vectors` offers a view."""

    fingerprint = "a" * 64
    dimension = 3
    middle_dimension = 2

    def read(
        self, digests: Sequence[Digest] | None = None, middle: bool = True
    ) -> tuple[list[Digest], Embeddings]:
        assert digests is not None
        assert middle
        numbers = np.array([digest[0] for digest in digests], np.float32)[:, None]
        vector = np.repeat(numbers, 3, axis=1)
        return list(digests), Embeddings(vector, np.repeat(-numbers, 2, axis=1))


def test_the_image_view_is_vector_and_middle_in_the_order_asked_for() -> None:
    view = ImageView(StoredEmbeddings())
    found = view.features([b"\x02", b"\x01"])
    assert found.tolist() == [[2, 2, 2, -2, -2], [1, 1, 1, -1, -1]]
    assert found.dtype == np.float32
    assert (view.name, view.fingerprint, view.blocks) == ("image", "a" * 64, (3, 2))
    store = StoredEmbeddings()
    store.middle_dimension = 0
    assert ImageView(store).blocks == (3,)


def album(number: int, digest: int | None, **fields: str) -> Album:
    known = None if digest is None else digest_of(digest)
    return Album("test", str(number), "", digest=known, **fields)


def test_labels_are_taken_and_conflicts_counted() -> None:
    found = label_covers(
        [
            album(1, 1, genre="Rock", subgenre="Punk"),
            album(2, 1, genre="Rock", artist="Ramones"),
            album(3, 2, genre="Rock"),
            album(4, 2, genre="Pop"),
            album(5, 3),
            album(6, 3, genre=" "),
            album(7, 4, genre="Jazz"),
            album(8, 4),
            album(9, None, genre="Jazz"),
        ]
    )
    assert (found.conflicting, found.unlabelled) == (1, 1)
    expected = [
        LabelledCover(digest_of(1), "Rock", artists=(("Ramones", ""),)),
        LabelledCover(digest_of(4), "Jazz"),
    ]
    assert list(found.covers) == sorted(expected, key=lambda cover: cover.digest)
    assert found.restrict([digest_of(4)]).covers == (LabelledCover(digest_of(4), "Jazz"),)
    subgenres = label_covers([album(1, 1, genre="Rock", subgenre="Punk")], "subgenre")
    assert subgenres.covers[0].genre == "Punk"


def test_the_order_of_albums_does_not_show() -> None:
    albums = [
        album(number, number % 7, genre="Rock", artist=f"A{number}", dup_group=f"d{number % 3}")
        for number in range(20)
    ]
    assert label_covers(albums) == label_covers(albums[::-1])


def test_every_artist_and_artwork_of_a_cover_is_kept_and_no_compilation() -> None:
    found = label_covers(
        [
            album(1, 1, genre="Rock", artist="Various Artists", dup_group=" "),
            album(2, 1, genre="Rock", artist="Can", artist_id="5", dup_group="e"),
            album(3, 1, genre="Rock", artist="Neu!", dup_group="d"),
            album(4, 1, artist="Neu!", dup_group="d"),
        ]
    )
    artists = (("Can", "5"), ("Neu!", ""))
    assert found.covers == (LabelledCover(digest_of(1), "Rock", artists, ("d", "e")),)


# --- views that are silent of some covers --------------------------------------------------------


@dataclass
class HushedPredictor(SpyPredictor):
    """A spy that says nothing of the covers whose second number is 1."""

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        said = SpyPredictor.log_probabilities(self, features)
        said[features[:, 1] == 1] = np.nan
        return said


class HushedSpy(Spy):
    """Fits predictors that are silent of some covers."""

    def path(self, features: np.ndarray, labels: np.ndarray, genres: int) -> Iterator[Any]:
        for predictor in super().path(features, labels, genres):
            yield HushedPredictor(predictor.fitted, genres)


@pytest.mark.parametrize("hushed", [3, 1], ids=["a third silent", "all silent"])
def test_a_silent_view_is_asked_of_nothing_it_was_fitted_on(
    monkeypatch: pytest.MonkeyPatch, hushed: int
) -> None:
    made = corpus(100, genres=2)
    for number, cover in enumerate(made.labelling.covers):
        made.features_of[cover.digest] = np.array([number, number % hushed == 0], np.float32)
    made.classifier = "spy"
    hush = replace(made, name="words", classifier="hushed", always=False, asked=[])
    monkeypatch.setitem(TRAINERS, ("spy", ""), lambda *_: Spy())
    monkeypatch.setitem(TRAINERS, ("hushed", ""), lambda *_: HushedSpy())
    monkeypatch.setattr(Spy, "groups", np.arange(100) // 2, raising=False)
    monkeypatch.setattr(Spy, "fits", [])
    training = train(made.labelling, NO_PAIRS, [made, hush], ONE_SEED)
    assert len(Spy.fits) == 2 * (16 + 5)
    assert training.head.alone is not None
    assert training.head.alone.views == ("image",)
    np.testing.assert_allclose(training.probabilities.sum(2), 1)


def speaking_corpus(
    count: int = 120, *, silent: int = 3, seed: int = 0
) -> tuple[Job, np.ndarray, np.ndarray]:
    """A job of a dense view and of one of words, its folds, and which covers have no words."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) // 2 % 3
    image = (rng.normal(size=(count, 6)) + 1.2 * np.eye(3, 6)[labels]).astype(np.float32)
    unit = rng.normal(size=(count, 6)) + 1.5 * np.eye(3, 6)[labels]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    mute = np.arange(count) % silent == 0
    unit[mute] = 0
    features = {"image": image, "meaning": unit.astype(np.float32)}
    trainers = {"image": LogisticTrainer(grid=(1e-2,)), "meaning": UnitTrainer(grid=(1.0, 10.0))}
    job = Job(features, trainers, (True, False), labels, 3, FitCounter(None, 0))
    return job, draw_folds(labels, np.arange(count) // 2, 5, 0), mute


def test_covers_without_words_are_answered_by_the_image_alone() -> None:
    job, fold_of, mute = speaking_corpus()
    fitted = job.cross_validate(fold_of)
    both, image = (job.score(one, 0.9).probabilities for one in (fitted, fitted.of_views([0])))
    np.testing.assert_array_equal(both[mute], image[mute])
    assert (np.abs(both - image).max(1)[~mute] > 1e-6).all()
    labels = job.labels[~mute]
    assert (both[~mute].argmax(1) == labels).mean() > (image[~mute].argmax(1) == labels).mean()
    meaning = job.score(fitted.of_views([1]), 0.9)
    frequencies = np.stack([calibration.frequencies for calibration in meaning.calibrations])
    np.testing.assert_array_equal(meaning.probabilities[mute], frequencies[fold_of][mute])


def test_where_no_cover_has_words_the_image_says_it_all() -> None:
    job, fold_of, mute = speaking_corpus(silent=1)
    assert mute.all()
    fitted = job.cross_validate(fold_of)
    both, image = (job.score(one, 0.9) for one in (fitted, fitted.of_views([0])))
    np.testing.assert_array_equal(both.probabilities, image.probabilities)
    np.testing.assert_array_equal(both.sets, image.sets)


@budget(max_examples=25, deadline=None)
@example(seed=131, views=2, lasting=1, share=0.8)  # nothing better than chance
@given(
    seed=st.integers(0, 1000),
    views=st.integers(2, 4),
    lasting=st.integers(1, 3),
    share=st.sampled_from([0.0, 0.3, 0.8, 0.95, 1.0]),
)
def test_no_fusion_is_worse_than_its_best_view(
    *, seed: int, views: int, lasting: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    labels, always = rng.integers(4, size=200), tuple(view < lasting for view in range(views))
    spoken = [
        log_softmax(rng.normal(size=(200, 4)) + np.eye(4)[labels] * rng.uniform(0, 3))
        for _ in range(views)
    ]
    for view in spoken[lasting:]:
        view[rng.random(200) < share] = np.nan
    held_out = [view[None].astype(np.float32) for view in spoken]
    names = [str(view) for view in range(views)]
    job = Job(
        dict.fromkeys(names, np.zeros(200)), dict.fromkeys(names, Spy((1.0,))), always, labels, 4,
        FitCounter(None, 0),
    )  # fmt: skip
    fitted = Fitted(np.zeros(200, np.int64), (), {(): held_out}, np.ones(200, np.bool_), always)
    calibration = job.calibrate(fitted)
    heard = ~np.any([np.isnan(view[:, 0]) for view in spoken], axis=0)

    def loss(probabilities: np.ndarray, rows: np.ndarray) -> float:
        return float(-np.log(probabilities[rows, labels[rows]]).mean())

    def best(chosen: list[np.ndarray], rows: np.ndarray) -> float:
        return min(crossing._loss_at_best_temperature(v[rows], labels[rows]) for v in chosen)

    every = np.arange(200)
    assert calibration.alone is not None
    assert calibration.alone.weights[lasting:].tolist() == [0.0] * max(views - lasting, 0)
    said = calibration.alone(spoken)
    assert loss(said, every) <= best(spoken[:lasting], every) + 1e-4
    together = calibration.say(held_out, every)
    np.testing.assert_allclose(together.sum(1), 1)
    weighed = [v for v, own in zip(spoken, calibration.together.weights, strict=True) if own > 0]
    lost = np.any([np.isnan(view[:, 0]) for view in weighed], axis=0)
    np.testing.assert_allclose(together[lost], said[lost], atol=1e-6)
    if heard.sum() >= MIN_TOGETHER:
        assert loss(together, np.flatnonzero(heard)) <= best(spoken, np.flatnonzero(heard)) + 1e-4
    else:
        np.testing.assert_allclose(together, said, atol=1e-6)


def test_what_is_not_to_be_learnt_is_only_scored() -> None:
    job, fold_of, _ = speaking_corpus()
    learnt = np.random.default_rng(1).random(120) < 0.6
    run = job.score(job.cross_validate(fold_of, learnt), 0.9)
    assert run.rows.tolist() == list(range(120))
    lied = replace(job, labels=np.where(learnt, job.labels, (job.labels + 1) % 3))
    again = lied.score(lied.cross_validate(fold_of, learnt), 0.9)
    np.testing.assert_array_equal(run.probabilities, again.probabilities)
    np.testing.assert_array_equal(run.sets, again.sets)
    other = replace(job, labels=np.where(learnt, (job.labels + 1) % 3, job.labels))
    lies = other.score(other.cross_validate(fold_of, learnt), 0.9)
    assert (np.abs(run.probabilities - lies.probabilities).max(1) > 1e-6).all(), "it can tell"


def test_only_what_is_asked_for_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    job, fold_of, _ = speaking_corpus()
    whole = job.score(job.cross_validate(fold_of), 0.9)
    run = job.score(job.cross_validate(fold_of, scored=(0,)), 0.9)
    assert run.rows.tolist() == np.flatnonzero(fold_of == 0).tolist()
    assert len(run.calibrations) == 1
    np.testing.assert_array_equal(run.probabilities, whole.probabilities[run.rows])
    np.testing.assert_array_equal(run.sets, whole.sets[run.rows])
    monkeypatch.setattr(Spy, "groups", np.arange(120) // 2, raising=False)
    monkeypatch.setattr(Spy, "fits", [])
    counted = replace(
        job,
        features={"image": np.arange(120.0)[:, None]},
        trainers={"image": Spy()},
        always=(True,),
    )
    counted.cross_validate(fold_of, scored=(0,))
    assert len(Spy.fits) == 1 + 4, "without fold 0, and without it and each other one"


def test_head_and_tuning_agree_on_what_is_silent(tmp_path: Path) -> None:
    made = corpus(120, apart=1.0)
    job, _, mute = speaking_corpus()
    meaning = replace(made, name="meaning", classifier="unit", always=False)
    digests = [cover.digest for cover in made.labelling.covers]
    meaning.features_of = dict(zip(digests, job.features["meaning"], strict=True))
    training = train(made.labelling, NO_PAIRS, [made, meaning], ONE_SEED)
    assert training.report["view"] == "image+meaning"
    save_head(training.head, tmp_path)
    loaded = load_head(tmp_path)
    features = {"image": made.features(digests), "meaning": meaning.features(digests)}
    said = loaded.predict(features)
    assert loaded.alone is not None
    np.testing.assert_array_equal(said[mute], loaded.alone.predict(features)[mute])
    image = train(made.labelling, NO_PAIRS, [made], ONE_SEED).head
    np.testing.assert_allclose(said[mute], image.predict(features)[mute], atol=1e-9)
    for prior, scores in loaded.alone.nonconformity.items():
        np.testing.assert_allclose(scores, image.nonconformity[prior], atol=1e-9)


def test_views_that_may_all_be_silent_are_refused() -> None:
    made = replace(corpus(), always=False)
    with pytest.raises(
        UsageError, match="no view has something to say of every cover; add the image"
    ):
        train(made.labelling, NO_PAIRS, [made], ONE_SEED)


def test_a_name_printed_on_covers_is_no_genre_learned() -> None:
    """Nobody knows the artists, but their names are printed on; genres are drawn by lot."""
    rng = np.random.default_rng(0)
    count, artists = 160, 40
    lots = rng.integers(2, size=artists)
    names = [
        "".join(rng.choice(list("abcdefghiklmnoprstuvwyz"), 9)) for _ in range(artists)
    ]  # fmt: skip
    covers = [LabelledCover(digest_of(row), f"genre {lots[row % artists]}") for row in range(count)]
    lines = [
        [names[row % artists].upper() if row % 3 else names[row % artists]] for row in range(count)
    ]
    shelf = {digest_of(row): Words((Line(lines[row][0], (0.0,) * 8, 1.0),)) for row in range(count)}
    blank = {cover.digest: rng.normal(size=4).astype(np.float32) for cover in covers}
    views = [Corpus(blank, Labelling(tuple(covers))), CharactersView("reader", shelf)]
    labelling = Labelling(tuple(covers))
    leaking = train(labelling, NO_PAIRS, views, ONE_SEED).report["top1"]["value"]
    links = rare_line_links(lines, nameless=[True] * count)
    honest = train(labelling, links, views, ONE_SEED).report["top1"]["value"]
    assert leaking > 0.9, "the test can see a leak"
    assert honest < 0.65


# --- a head is not replaced by a poorer one ------------------------------------------------------


@pytest.mark.parametrize("damage", ["manifest", "lost"])
def test_a_head_that_looks_at_words_stays_where_they_cannot_be_looked_at(
    speaking: Speaking, tmp_path: Path, albo_line: Callable[..., Answer], damage: str
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(speaking.artifacts, artifacts)
    [manifest] = artifacts.glob("words/*/manifest.json")
    if damage == "lost":
        shutil.rmtree(manifest.parent)
    else:
        manifest.write_text("{", encoding="utf-8")
    before = sorted((artifacts / "heads" / "default").iterdir())
    refused = albo_line("train", "--seeds", "1")
    assert refused.code == 1
    [line] = refused.err.splitlines()
    assert "albo words" in line
    assert "the head of that name uses them and is kept" in line
    assert "--no-words" in line
    assert "--name" in line
    assert sorted((artifacts / "heads" / "default").iterdir()) == before
    views = ("image", "characters", "meaning")
    assert load_head(artifacts / "heads" / "default").views == views
    other = albo_line("train", "--seeds", "1", "--name", "other")
    assert other.code == 0
    assert load_head(artifacts / "heads" / "default").views == views
    assert albo_line("train", "--seeds", "1", "--no-words").code == 0
    assert load_head(artifacts / "heads" / "default").views == ("image",)
