"""Trainers and predictors of words, against plain scikit-learn; what is silent, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from albo.errors import UsageError
from albo.heads import GramPredictor, Hints, UnitPredictor, weigh_grams
from albo.heads.grams import Grams, runs_of
from albo.heads.numbers import FLOOR
from albo.heads.predictors import PREDICTORS
from albo.heads.views import HINT_WEIGHT
from albo.learning.trainers import GramTrainer, UnitTrainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.heads import Predictor

GENRES = 3
VOCABULARY = (
    "blue note night train quartet", "master doom steel iron death", "love dance club mix beat"
)  # fmt: skip
HINTS = ("jazz quartet", "metal", "dance love")


def made_up(count: int = 60, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of each genre's own words and of all; the last of each dozen says nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % GENRES
    every = " ".join(VOCABULARY).split()
    said = []
    for row, label in enumerate(labels):
        own = rng.choice(VOCABULARY[label].split(), 2).tolist()
        said.append(" ".join([*own, *rng.choice(every, 2).tolist()]) if row % 12 < 11 else "")
    return said, labels


def unit_rows(count: int = 60, width: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % GENRES
    rows = rng.normal(size=(count, width)) + 1.5 * np.eye(GENRES, width)[labels]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[11::12] = 0
    return rows.astype(np.float32), labels


def hints_of(features: Any, weight: float = HINT_WEIGHT) -> Hints:  # noqa: ANN401
    return Hints(features, np.arange(GENRES), np.full(GENRES, weight))


def grams_of(text: str) -> list[str]:
    return [gram for word in text.split() for gram in runs_of(f" {word} ")]


def check_rows(said: np.ndarray, speaks: np.ndarray) -> None:
    """Silent rows are all NaN; the others are probabilities, none below the floor."""
    assert np.isnan(said[~speaks]).all()
    np.testing.assert_allclose(np.exp(said[speaks]).sum(1), 1, atol=1e-5)
    assert (said[speaks] >= np.log(FLOOR)).all()


# --- against scikit-learn ------------------------------------------------------------------------


@pytest.mark.whole
@pytest.mark.parametrize("hinted", [False, True])
def test_grams_are_plain_tf_idf_and_logistic_regression(hinted: bool) -> None:
    said, labels = made_up()
    hints = hints_of(Grams.of(HINTS)) if hinted else None
    trainer = GramTrainer(hints=hints, tolerance=1e-7)
    spoken = [row for row, text in enumerate(said) if text]
    documents = [said[row] for row in spoken] + list(HINTS if hinted else ())
    targets = np.concatenate([labels[spoken], np.arange(GENRES if hinted else 0)])
    counts = np.concatenate([np.ones(len(spoken)), np.full(GENRES * hinted, HINT_WEIGHT)])
    plain = TfidfVectorizer(analyzer=grams_of, sublinear_tf=True, min_df=2)
    table = plain.fit_transform(documents)
    asked, _ = made_up(40, seed=1)
    asked += ["quartet of doom", "", "löve 演歌"]
    grams = Grams.of(asked)
    for strength, predictor in zip(
        trainer.grid, trainer.path(Grams.of(said), labels, GENRES), strict=True
    ):
        assert len(predictor.ids) == table.shape[1]
        tight = LogisticRegression(C=strength, tol=1e-9, max_iter=5000).fit(table, targets, counts)
        found = predictor.log_probabilities(grams)
        check_rows(found, grams.speaks)
        speaks = grams.speaks
        expected = tight.predict_proba(plain.transform(asked))[speaks]
        np.testing.assert_allclose(np.exp(found[speaks]), expected, atol=2e-3)


@pytest.mark.whole
@pytest.mark.parametrize("hinted", [False, True])
def test_units_are_plain_logistic_regression_and_hints_so_many_covers(hinted: bool) -> None:
    rows, labels = unit_rows()
    own = np.eye(GENRES, rows.shape[1], dtype=np.float32)
    trainer = UnitTrainer(hints=hints_of(own) if hinted else None, tolerance=1e-7)
    speaks = rows.any(1)
    copies = int(HINT_WEIGHT) * hinted
    every = np.concatenate([rows[speaks], *[own] * copies])
    targets = np.concatenate([labels[speaks], *[np.arange(GENRES)] * copies])
    for strength, predictor in zip(trainer.grid, trainer.path(rows, labels, GENRES), strict=True):
        tight = LogisticRegression(C=strength, tol=1e-9, max_iter=5000).fit(every, targets)
        found = predictor.log_probabilities(rows)
        check_rows(found, speaks)
        np.testing.assert_allclose(
            np.exp(found[speaks]), tight.predict_proba(rows[speaks]), atol=2e-3
        )


def test_a_gram_of_a_single_text_is_not_learnt() -> None:
    texts = ["doom", "doom", "quartet", "quartet", "zzyzx"]
    [predictor] = GramTrainer(grid=(1.0,)).path(Grams.of(texts), np.array([0, 0, 1, 1, 1]), 2)
    assert not np.isin(Grams.of(["zzyzx"]).ids, predictor.ids).any()
    assert np.isin(Grams.of(["doom"]).ids, predictor.ids).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abc ", max_size=12), min_size=1, max_size=12), st.integers(0, 5))
def test_weighed_texts_have_unit_length(texts: list[str], dropped: int) -> None:
    grams = Grams.of(texts)
    ids = np.unique(np.append(grams.ids, np.uint32(7)))[dropped:]
    if not len(ids):
        return
    rows, places, values = weigh_grams(grams, ids, np.linspace(1, 3, len(ids), dtype=np.float32))
    lengths = np.bincount(rows, values.astype(float) ** 2, len(texts))
    known = [bool(np.isin(grams[[row]].ids, ids).any()) for row in range(len(texts))]
    np.testing.assert_allclose(lengths, np.array(known, float), atol=1e-5)
    assert places.max(initial=0) < len(ids)


# --- what is missing -----------------------------------------------------------------------------


def both(labels: Sequence[int], *, silent: bool, hinted: bool, genres: int = 5) -> list[Predictor]:
    """Fit both trainers on covers of these genres."""
    count = len(labels)
    texts = [""] * count if silent else [f"doom {'abcdef'[label]}" for label in labels]
    rows = np.zeros((count, 4), np.float32)
    if not silent:
        rows[np.arange(count), np.array(labels) % 4] = 1
    units = np.eye(GENRES, 4, dtype=np.float32)
    known = np.array(labels, np.int64)
    grams = GramTrainer(hints=hints_of(Grams.of(HINTS)) if hinted else None)
    unit = UnitTrainer(hints=hints_of(units) if hinted else None)
    return [*grams.path(Grams.of(texts), known, genres), *unit.path(rows, known, genres)]


@pytest.mark.parametrize("hinted", [False, True])
@pytest.mark.parametrize(
    ("labels", "silent"),
    [
        ([0, 1, 2, 0, 1, 2], False),
        ([3] * 6, False),
        ([0, 3] * 3, False),
        ([0, 1] * 3, True),
        ([], True),
    ],
    ids=["some", "one genre", "two genres", "no speaking cover", "no cover"],
)
def test_genres_and_words_may_be_missing(labels: list[int], silent: bool, hinted: bool) -> None:
    asked = Grams.of(["doom a", "", "quartet"]), np.eye(4, dtype=np.float32)[[0, 1, 2]]
    asked[1][1] = 0
    seen = {*([] if silent else labels), *(range(GENRES) if hinted else ())}
    for predictor in both(labels, silent=silent, hinted=hinted):
        assert predictor.genres == 5
        said = predictor.log_probabilities(asked[isinstance(predictor, UnitPredictor)])
        assert said.shape == (3, 5)
        check_rows(said, np.array([True, False, True]))
        unseen = [genre for genre in range(5) if genre not in seen]
        if seen:
            assert np.exp(said[::2][:, unseen]).max() < 1 / max(len(labels) * (not silent), 3)
        else:
            np.testing.assert_allclose(np.exp(said[::2]), 1 / 5, atol=1e-6)
        again = type(predictor).restore(predictor.arrays(), predictor.text())
        np.testing.assert_array_equal(
            again.log_probabilities(asked[isinstance(predictor, UnitPredictor)]), said
        )


def test_a_text_of_unknown_grams_gets_what_the_bias_says() -> None:
    said, labels = made_up()
    [predictor] = GramTrainer(grid=(1.0,)).path(Grams.of(said), labels, GENRES)
    assert not np.isin(Grams.of(["演歌"]).ids, predictor.ids).any()
    found = predictor.log_probabilities(Grams.of(["演歌", ""]))
    bias = np.exp(predictor.bias - predictor.bias.max())
    np.testing.assert_allclose(np.exp(found[0]), bias / bias.sum(), rtol=1e-5)
    assert np.isnan(found[1]).all()


def test_many_texts_are_answered_as_one_by_one() -> None:
    said, labels = made_up(600)
    [predictor] = GramTrainer(grid=(1.0,)).path(Grams.of(said), labels, GENRES)
    grams = Grams.of(said)
    together = predictor.log_probabilities(grams)
    each = np.concatenate([predictor.log_probabilities(grams[[row]]) for row in range(len(said))])
    np.testing.assert_allclose(together, each, rtol=1e-6)
    assert predictor.log_probabilities(Grams.of([])).shape == (0, GENRES)


def test_vectors_of_another_width_are_refused() -> None:
    rows, labels = unit_rows()
    predictor = next(UnitTrainer().path(rows, labels, GENRES))
    with pytest.raises(UsageError, match=r"reads \(n, 8\); run `albo train`"):
        predictor.log_probabilities(rows[:, :5])


# --- what is read again --------------------------------------------------------------------------

SOUND: dict[str, dict[str, np.ndarray]] = {
    "grams": {
        "ids": np.array([3, 9, 2**32 - 1], np.uint32),
        "rarity": np.ones(3, np.float32),
        "weights": np.ones((3, 2), np.float32),
        "bias": np.zeros(2, np.float32),
    },
    "unit": {"weights": np.ones((3, 2), np.float32), "bias": np.zeros(2, np.float32)},
}


@pytest.mark.parametrize("kind", sorted(SOUND))
def test_what_was_kept_is_read_again(kind: str) -> None:
    made = PREDICTORS[kind].restore(SOUND[kind], "")
    assert (made.kind, made.genres, made.text()) == (kind, 2, "")
    assert isinstance(made, (GramPredictor, UnitPredictor))
    for name, array in made.arrays().items():
        assert array is SOUND[kind][name]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("grams", {"ids": np.array([9, 3, 12], np.uint32)}),
        ("grams", {"ids": np.array([3, 3, 12], np.uint32)}),
        ("grams", {"ids": np.array([3, 9, 12], np.int64)}),
        ("grams", {"ids": np.array([3, 9, 12], np.float32)}),
        ("grams", {"ids": np.array([[3, 9, 12]], np.uint32)}),
        ("grams", {"ids": np.array(3, np.uint32)}),
        ("grams", {"ids": np.empty(0, np.uint32)}),
        ("grams", {"ids": np.array([3, 9], np.uint32)}),
        ("grams", {"rarity": np.ones(2, np.float32)}),
        ("grams", {"rarity": np.ones(3)}),
        ("grams", {"rarity": np.array([1, np.nan, 1], np.float32)}),
        ("grams", {"weights": np.ones((2, 3), np.float32)}),
        ("grams", {"weights": np.full((3, 2), np.inf, np.float32)}),
        ("grams", {"bias": np.zeros(3, np.float32)}),
        ("grams", {"bias": np.float32(0)}),
        ("unit", {"weights": np.ones((3, 3), np.float32)}),
        ("unit", {"weights": np.ones((3, 2))}),
        ("unit", {"weights": np.ones(3, np.float32)}),
        ("unit", {"weights": np.empty((0, 2), np.float32)}),
        ("unit", {"weights": np.full((3, 2), np.nan, np.float32)}),
        ("unit", {"bias": np.array([0, np.inf], np.float32)}),
        ("unit", {"bias": np.zeros((2, 1), np.float32)}),
        ("unit", {"bias": np.array(["a", "b"])}),
    ],
    ids=lambda case: case if isinstance(case, str) else "+".join(
        f"{name}{array.dtype}{array.shape}" for name, array in case.items()
    ),
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(kind: str, wrong: dict[str, np.ndarray]) -> None:
    # What `Head.load` makes StaleArtifact of.
    with pytest.raises((ValueError, TypeError)):
        PREDICTORS[kind].restore({**SOUND[kind], **wrong}, "")


@pytest.mark.parametrize("kind", sorted(SOUND))
def test_arrays_that_are_missing_and_texts_are_refused(kind: str) -> None:
    for name in SOUND[kind]:
        fewer = {key: array for key, array in SOUND[kind].items() if key != name}
        with pytest.raises(KeyError, match=name):
            PREDICTORS[kind].restore(fewer, "")
    with pytest.raises(ValueError, match="a text that is not its own"):
        PREDICTORS[kind].restore(SOUND[kind], "tree")


def test_of_too_many_grams_those_in_most_texts_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = made_up()
    every = next(iter(GramTrainer().path(Grams.of(texts), labels, GENRES)))
    monkeypatch.setattr("albo.learning.trainers.MOST_GRAMS", 10)
    few = next(iter(GramTrainer().path(Grams.of(texts), labels, GENRES)))
    assert few.ids.tolist() == sorted(few.ids.tolist())
    assert len(few.ids) == 10
    # The commoner a gram, the smaller its rarity.
    others = every.rarity[~np.isin(every.ids, few.ids)]
    assert few.rarity.max() <= others.min()
