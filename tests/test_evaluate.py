"""Evaluations: what each row is, against plain counting, brute force and what `train` reports."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albo.errors import TooFewCovers, UsageError
from albo.evaluate import Split, evaluate
from albo.heads import CharactersView, ImageView
from albo.learning import (
    MAJORITY,
    NEAREST,
    NO_HEAD,
    Evaluation,
    LabelledCover,
    Labelling,
    Material,
    TrainingSettings,
    draw_folds,
    select_covers,
)
from albo.records import Embeddings, Line, Words
from albo.train import train
from tests.conftest import SPEAKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from albo.learning import Row
    from albo.records import Digest
    from tests.conftest import Answer, Speaking

BOX = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
NO_LINKS = np.empty((0, 2), np.int64)
ONE_SEED = TrainingSettings(seeds=(0,), folds=3)


def digest_of(number: int) -> Digest:
    return hashlib.sha256(str(number).encode()).digest()


@dataclass
class Shelf:
    """Embeddings and words of made-up covers, as stores keep them."""

    vector_of: dict[Digest, np.ndarray]
    words_of: dict[Digest, Words]
    fingerprint: str = "f" * 64
    dimension: int = 8
    middle_dimension: int = 0

    def read(
        self, digests: Sequence[Digest], *, middle: bool = True
    ) -> tuple[list[Digest], Embeddings]:
        del middle
        vector = np.stack([self.vector_of[digest] for digest in digests])
        return list(digests), Embeddings(vector, np.empty((len(digests), 0), np.float32))


def make(count: int = 90, *, group: int = 2, looks: float = 0.0, seed: int = 0) -> Material:
    """Covers of two genres, one twice as common; their artists may have looks of their own."""
    rng = np.random.default_rng(seed)
    artist = np.arange(count) // group
    jazz = artist % 3 == 0
    vector = rng.normal(size=(count, 8)) + 1.2 * np.eye(2, 8)[jazz.astype(int)]
    vector += looks * rng.normal(size=(count, 8))[artist]
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    covers, vectors, words = [], {}, {}
    for row in range(count):
        genre = "Jazz" if jazz[row] else "Metal"
        known = () if row % 9 == 0 and group == 2 else ((f"artist {artist[row]}", ""),)
        covers.append(LabelledCover(digest_of(row), genre, known))
        vectors[digest_of(row)] = vector[row].astype(np.float32)
        said = " ".join(rng.choice([*SPEAKING[genre], "live", "best"], 2))
        words[digest_of(row)] = Words((Line(said, BOX, 1.0),) if row % 4 else ())
    shelf = Shelf(vectors, words)
    views = (ImageView(shelf), CharactersView("reader 1", words))
    return Material(Labelling(tuple(covers)), NO_LINKS, views, shelf, card=None)  # type: ignore[arg-type]


@cache
def grouped() -> tuple[Material, Evaluation, tuple[tuple[int, int], ...]]:
    """The usual evaluation, what it was of, and how it went on."""
    material, steps = make(144), []
    found = evaluate(material, ONE_SEED, progress=lambda *step: steps.append(step))
    return material, found, tuple(steps)


def only(found: Evaluation, view: str, head: str = "logistic") -> Row:
    [row] = [row for row in found.rows if (row.view, row.head) == (view, head)]
    return row


# --- rows ----------------------------------------------------------------------------------------


@pytest.mark.whole
def test_every_view_and_head_is_scored_alone_and_together() -> None:
    _, found, steps = grouped()
    assert [(row.view, row.head) for row in found.rows] == [
        (MAJORITY, NO_HEAD),
        (NEAREST, NO_HEAD),
        ("image", "lightgbm"),
        ("image", "logistic"),
        ("characters", "logistic"),
        ("image+characters", "lightgbm"),
        ("image+characters", "logistic"),
    ]
    assert [row.selected for row in found.rows] == [False] * 6 + [True]
    assert {row.split for row in found.rows} == {"grouped"}
    assert not any(row.leaky for row in found.rows)
    for row in found.rows:
        assert row.covers == 144
        assert row.genres == ("Jazz", "Metal")
        assert (row.leak is not None) == row.selected
        assert row.artists_known == pytest.approx(128 / 144)
    assert steps[-1][0] == steps[-1][1], "all that was announced was done"
    assert steps[0][1] == steps[-1][1]


def test_the_selected_row_is_what_train_reports() -> None:
    material, found, _ = grouped()
    training = train(material.labelling, material.links, material.views, ONE_SEED)
    row = found.rows[-1].as_json()
    for name in ("top1", "top3", "macro_f1", "ece", "coverage", "set_size", "per_genre", "covers"):
        assert row[name] == training.report[name], name
    np.testing.assert_allclose(found.probabilities, training.probabilities, atol=1e-9)
    image = train(material.labelling, material.links, material.views[:1], ONE_SEED)
    assert only(found, "image").as_json()["top1"] == image.report["top1"]
    trees = replace(ONE_SEED, kind="lightgbm")
    forest = train(material.labelling, material.links, material.views[:1], trees)
    assert only(found, "image", "lightgbm").as_json()["top1"] == forest.report["top1"]


@pytest.mark.whole
def test_the_other_kind_of_head_can_be_the_selected_one() -> None:
    material, usual, _ = grouped()
    found = evaluate(material, replace(ONE_SEED, kind="lightgbm"))
    assert (found.rows[-1].view, found.rows[-1].head) == ("image+characters", "lightgbm")
    assert [row.selected for row in found.rows].count(True) == 1
    for view, head in (
        ("image", "logistic"),
        ("image", "lightgbm"),
        ("image+characters", "logistic"),
    ):
        assert only(found, view, head).summary == only(usual, view, head).summary


def test_the_majority_is_always_guessed_as_often_as_it_is() -> None:
    _, found, _ = grouped()
    summary = only(found, MAJORITY, NO_HEAD).summary
    metal = float(np.mean(found.labels == 1))
    assert summary.top1.value == pytest.approx(metal)
    assert metal == pytest.approx(2 / 3, abs=0.02)
    assert summary.brier.value == pytest.approx(1 - metal**2 - (1 - metal) ** 2, abs=0.03)
    assert summary.ece.value < 0.1


def test_the_nearest_neighbour_is_that_of_brute_force() -> None:
    material, found, _ = grouped()
    corpus = select_covers(material.labelling, material.links, 5)
    vector = material.vectors.read([cover.digest for cover in corpus.covers])[1].vector
    fold_of = draw_folds(corpus.labels, corpus.groups, 3, 0)
    cosines = np.where(fold_of[:, None] == fold_of[None], -np.inf, vector @ vector.T)
    hits = corpus.labels[cosines.argmax(1)] == corpus.labels
    assert only(found, NEAREST, NO_HEAD).summary.top1.value == pytest.approx(hits.mean())


def test_words_help_where_covers_say_their_genre() -> None:
    _, found, _ = grouped()
    both, image = (only(found, view).summary.top1.value for view in ("image+characters", "image"))
    assert both > image


@pytest.mark.whole
def test_seeds_are_averaged_over() -> None:
    material = make(60)
    found = evaluate(material, TrainingSettings(seeds=(0, 1), folds=3))
    assert found.probabilities.shape == (2, 60, 2)
    report = train(
        material.labelling, material.links, material.views, TrainingSettings(seeds=(0, 1), folds=3)
    ).report
    assert found.rows[-1].as_json()["top1"] == report["top1"]


# --- learning curve, leak ------------------------------------------------------------------------


def test_the_learning_curve_ends_with_all_covers() -> None:
    _, found, _ = grouped()
    covers = [point.covers for point in found.learning_curve]
    assert len(covers) == 4
    assert covers == sorted(set(covers))
    last = found.learning_curve[-1]
    assert (last.covers, last.covers_per_genre) == (96, 48)
    assert last.top1 == found.rows[-1].summary.top1
    assert last.top3 == found.rows[-1].summary.top3
    assert found.learning_curve[0].top1.value < last.top1.value


def test_shares_that_leave_nothing_to_learn_from_are_left_out() -> None:
    """An eighth of fifteen artists, in three folds: without two of these there is one cover."""
    material, steps = make(), []
    found = evaluate(material, ONE_SEED, progress=lambda *step: steps.append(step))
    assert [point.covers for point in found.learning_curve] == [16, 31, 60]
    assert steps[-1][0] == steps[-1][1]


def recurring() -> Material:
    """Twenty artists of six covers, each with a look of its own, whose genres are drawn by lot."""
    rng = np.random.default_rng(5)
    lots = rng.permutation(np.arange(20) % 2)
    material = make(120, group=6)
    looks = rng.normal(size=(20, 8)) * 3
    covers = []
    for row, cover in enumerate(material.labelling.covers):
        artist = row // 6
        vector = (looks[artist] + rng.normal(size=8) * 0.3).astype(np.float32)
        material.vectors.vector_of[cover.digest] = vector / np.linalg.norm(vector)  # type: ignore[attr-defined]
        covers.append(replace(cover, genre=("Jazz", "Metal")[lots[artist]]))
    return replace(material, labelling=Labelling(tuple(covers)), views=material.views[:1])


def test_where_artists_recur_a_random_split_leaks() -> None:
    material = recurring()
    found = evaluate(material, replace(ONE_SEED, kind="lightgbm"))
    assert found.leak is not None
    assert found.leak.grouped == found.rows[-1].summary.top1
    assert found.leak.random.value > found.leak.grouped.value + 0.1
    assert found.leak.difference.low > 0
    assert "That is no skill" in found.leak.describe()
    random = evaluate(material, replace(ONE_SEED, kind="lightgbm"), Split("random"))
    assert all(row.leaky and row.split == "random" for row in random.rows)
    assert random.leak is not None
    assert random.leak.random == random.rows[-1].summary.top1
    assert random.leak.grouped.value == pytest.approx(found.leak.grouped.value)
    assert random.learning_curve == ()
    assert only(random, NEAREST, NO_HEAD).summary.top1.value > 0.9


def test_without_groups_a_random_split_leaks_nothing() -> None:
    found = evaluate(make(60, group=1), ONE_SEED, Split("random"))
    assert not any(row.leaky for row in found.rows)
    assert found.leak is not None
    assert found.leak.difference.value == pytest.approx(0)


# --- splits of others ----------------------------------------------------------------------------


def test_a_test_part_is_scored_by_what_the_rest_taught() -> None:
    material, steps = make(), []
    sides = {digest_of(row): "test" if row < 24 else "train" for row in range(90)}
    split = Split("theirs.csv", sides)  # type: ignore[arg-type]
    found = evaluate(material, ONE_SEED, split, lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1]
    assert found.seeds == (0,)
    scored = {found.corpus.covers[row].digest for row in found.scored}
    assert scored == {digest_of(row) for row in range(24)}
    assert {(row.covers, row.split, row.leaky) for row in found.rows} == {(24, "theirs.csv", False)}
    assert (found.leak, found.learning_curve) == (None, ())
    flipped = [
        replace(cover, genre={"Jazz": "Metal", "Metal": "Jazz"}[cover.genre])
        if cover.digest in scored else cover
        for cover in material.labelling.covers
    ]  # fmt: skip
    lied = evaluate(replace(material, labelling=Labelling(tuple(flipped))), ONE_SEED, split)
    np.testing.assert_array_equal(lied.probabilities, found.probabilities)
    right = only(found, "image+characters").summary.top1.value
    assert only(lied, "image+characters").summary.top1.value == pytest.approx(1 - right)


def test_a_split_through_artists_is_labelled_leaky() -> None:
    sides = {digest_of(row): "test" if row % 2 else "train" for row in range(90)}
    found = evaluate(make(), ONE_SEED, Split("published", sides))  # type: ignore[arg-type]
    assert all(row.leaky for row in found.rows)


def test_folds_of_others_are_taken_as_they_are() -> None:
    material, steps = make(), []
    sides = {digest_of(row): 10 * (row // 2 % 4) for row in range(80)}
    found = evaluate(material, ONE_SEED, Split("four.csv", sides), lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1]
    assert found.rows[-1].covers == 80
    assert not found.rows[-1].leaky
    digests = [cover.digest for cover in found.corpus.covers]
    vector = material.vectors.read(digests)[1].vector
    fold_of = np.array([sides[digest] for digest in digests])
    cosines = np.where(fold_of[:, None] == fold_of[None], -np.inf, vector @ vector.T)
    hits = found.labels[cosines.argmax(1)] == found.labels
    assert only(found, NEAREST, NO_HEAD).summary.top1.value == pytest.approx(hits.mean())


@pytest.mark.parametrize(
    ("side_of", "message"),
    [
        (lambda row: row % 2, "2 folds; give at least 3"),
        (lambda row: "train" if row % 2 else 3, "says 3, train; it has to say train and test"),
        (lambda _row: "train", "says train; it has to say"),
        (lambda _row: "test", "says test; it has to say"),
        (lambda _row: None, "names none of the labelled covers"),
    ],
)
def test_splits_that_leave_nothing_are_refused(
    side_of: Callable[[int], object], message: str
) -> None:
    sides = {digest_of(row): side_of(row) for row in range(90) if side_of(row) is not None}
    with pytest.raises(UsageError, match=message):
        evaluate(make(), ONE_SEED, Split("theirs.csv", sides))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("learning", "message"),
    [
        (4, "3 groups of covers for 5 folds"),
        (8, "no genre has more than 4 covers to learn from, for 5 folds"),
    ],
)
def test_too_little_to_learn_from_is_told(learning: int, message: str) -> None:
    sides = {digest_of(row): "train" if row < learning else "test" for row in range(90)}
    with pytest.raises(TooFewCovers, match=f"{message}; embed more covers"):
        evaluate(make(), TrainingSettings(seeds=(0,)), Split("theirs.csv", sides))  # type: ignore[arg-type]


# --- commands ------------------------------------------------------------------------------------

CONTRACT = {
    "split", "view", "head", "covers", "genres", "top1", "top3", "top5", "macro_f1", "ece",
    "ece_noise95", "coverage", "set_size", "artists_known", "selected", "per_genre",
}  # fmt: skip


def test_evaluate_prints_a_line_for_each_row_and_writes_one_page(
    speaking: Speaking, albo_line: Callable[..., Answer], tmp_path: Path
) -> None:
    page = tmp_path / "new folder" / "evaluation.html"
    # As it was trained: before its covers had miniatures.
    artifacts = tmp_path / "artifacts"
    shutil.copytree(speaking.artifacts, artifacts)
    shutil.rmtree(artifacts / "miniatures")
    done = albo_line("evaluate", "--artifacts", artifacts, "--seeds", "1", "--json", "--html", page)
    assert done.code == 0
    assert [line for line in done.err.splitlines() if "miniature" not in line] == []
    rows = done.objects
    assert len(rows) == 13
    [selected] = [row for row in rows if row["selected"]]
    for row in rows:
        assert set(row) >= CONTRACT
        assert set(row["top1"]) == {"value", "low", "high"}
        assert (row["split"], row["leaky"], row["covers"], row["genres"]) == (
            "grouped", False, 40, 2,
        )  # fmt: skip
        assert [one["genre"] for one in row["per_genre"]] == ["Jazz", "Metal"]
        assert 0 <= row["ece_noise95"] <= 1
    assert set(selected["leak"]) == {"value", "low", "high"}
    trained = speaking.answers["train"].objects[0]
    for name in ("view", "head", "top1", "macro_f1", "coverage", "artists_known"):
        assert selected[name] == trained[name], name
    assert selected["learning_curve"][-1]["covers"] == 32
    assert selected["learning_curve"][-1]["top1"] == selected["top1"]
    assert [path.name for path in page.parent.iterdir()] == ["evaluation.html"]
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert f"{100 * selected['top1']['value']:.1f}" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text


def test_the_column_of_a_manifest_is_the_published_split(
    speaking: Speaking, albo_line: Callable[..., Answer]
) -> None:
    asked = ("--artifacts", speaking.artifacts, "--no-words", "--json")
    done = albo_line("evaluate", "--split", "published", *asked)
    assert (done.code, done.err) == (0, "")
    assert {(row["split"], row["covers"], row["view"].count("+")) for row in done.objects} == {
        ("published", 12, 0)
    }
    same = albo_line("evaluate", "--split", speaking.manifest, *asked)
    assert (same.code, same.err) == (0, "")
    assert [row["top1"] for row in same.objects] == [row["top1"] for row in done.objects]
    assert {row["split"] for row in same.objects} == {"covers.csv"}


def test_without_such_a_column_no_split_is_published(
    speaking: Speaking, albo_line: Callable[..., Answer], tmp_path: Path
) -> None:
    manifest = tmp_path / "plain.csv"
    manifest.write_text(f"file,genre\n{speaking.jazz},Jazz\n", encoding="utf-8")
    assert albo_line("embed", manifest).code == 0
    done = albo_line("evaluate", "--split", "published")
    assert done.code == 2
    assert "no manifest that was embedded has a column `published_split`; give" in done.err


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (
            ("published_split", "maybe"),
            ", row 2: 'maybe' is neither train, test nor the number of a",
        ),
        (
            ("published_split,published_split", "test,test"),
            " has the column `published_split` more",
        ),
    ],
)
def test_what_is_wrong_with_that_column_is_named(
    speaking: Speaking,
    albo_line: Callable[..., Answer],
    tmp_path: Path,
    column: tuple[str, str],
    said: str,
) -> None:
    plain, wrong = tmp_path / "plain.csv", tmp_path / "wrong.csv"
    plain.write_text(f"file\n{speaking.silent}\n", encoding="utf-8")
    header, word = column
    first = word.replace("maybe", "train")
    rows = f"{speaking.jazz},{first}\n{speaking.silent},{word}\n"
    wrong.write_text(f"file,{header}\n{rows}", encoding="utf-8")
    assert albo_line("embed", plain, wrong).code == 0
    done = albo_line("evaluate", "--split", "published")
    assert done.code == 2
    assert f"{wrong}{said}" in done.err


@pytest.mark.parametrize("wrong", ["folder", "file/page.html", "split", "missing split", "seeds"])
def test_wrong_places_and_words_are_refused_before_work_starts(
    speaking: Speaking, albo_line: Callable[..., Answer], tmp_path: Path, wrong: str
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    words = {
        "folder": ("--html", tmp_path),
        "file/page.html": ("--html", tmp_path / "file" / "page.html"),
        "split": ("--split", "grupped"),
        "missing split": ("--split", tmp_path / "none.csv"),
        "seeds": ("--seeds", "0"),
    }[wrong]
    done = albo_line("evaluate", "--artifacts", speaking.artifacts, "--json", *words)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert "fitting" not in done.err
    assert json.dumps(str(words[1])).strip('"').rpartition("/")[2] in done.err or wrong == "seeds"
