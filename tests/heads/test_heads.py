"""Heads: their laws, their files, and what of those is refused."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albo.errors import AlboError, StaleArtifact, UsageError
from albo.heads import (
    GramPredictor,
    Head,
    LightgbmPredictor,
    LogisticPredictor,
    Scaler,
    Scores,
    UnitPredictor,
    conformal_sets,
    load_head,
    log_softmax,
    save_head,
)
from albo.heads.fusion import fuse, weigh_prior
from albo.heads.grams import Grams
from albo.heads.kept import pack_arrays, unpack
from albo.heads.trees import check_trees
from albo.learning.trainers import LightgbmTrainer
from albo.store import MANIFEST, read_manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDTH, GENRES = 7, 4


def logistic(rng: np.random.Generator, genres: int = GENRES) -> LogisticPredictor:
    return LogisticPredictor(
        Scaler(
            rng.normal(size=WIDTH).astype(np.float32),
            rng.uniform(0.5, 2, WIDTH).astype(np.float32),
        ),
        rng.normal(size=(WIDTH, genres)).astype(np.float32),
        rng.normal(size=genres).astype(np.float32),
    )


def draw_scores(rng: np.random.Generator, count: int) -> Scores:
    probabilities = rng.dirichlet(np.ones(GENRES), count)
    return Scores.of(probabilities, rng.integers(GENRES, size=count), np.full(GENRES, 0.25))


def make_head(seed: int = 0, views: int = 1, scores: int = 99) -> Head:
    rng = np.random.default_rng(seed)
    names = ("image", "characters", "meaning")[:views]
    frequencies = rng.dirichlet(np.full(GENRES, 3.0))
    held_out = draw_scores(rng, scores)
    return Head(
        name="test",
        kind="logistic",
        level="genre",
        genres=("Blues", "Jazz", "K-Pop/Ἑλλάς", "Rock"),
        predictors={name: logistic(rng) for name in names},
        weights=rng.uniform(0.1, 1, views),
        temperature=float(rng.uniform(0.5, 2)),
        frequencies=frequencies / frequencies.sum(),
        nonconformity=held_out.nonconformity,
        true_genres=held_out.true_genres,
        fingerprints={name: name * 4 for name in names},
        backbone="efficientnet-lite0",
        counts={"covers": scores},
        card={"top1": 0.4},
    )


def cover_features(head: Head, count: int = 5, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {view: rng.normal(size=(count, WIDTH)).astype(np.float32) for view in head.views}


@pytest.fixture(scope="module")
def forest() -> LightgbmPredictor:
    rng = np.random.default_rng(0)
    labels = np.arange(160) % GENRES
    features = rng.normal(size=(160, WIDTH)) + np.eye(GENRES, WIDTH)[labels] * 4
    return list(LightgbmTrainer(grid=(2, 4)).path(features.astype(np.float32), labels, GENRES))[-1]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    views=st.integers(1, 3),
    prior=st.sampled_from(["corpus", "uniform"]),
    coverage=st.floats(0.01, 0.99),
    decide=st.floats(0, 1),
)
def test_a_round_trip_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    seed: int,
    views: int,
    prior: str,
    coverage: float,
    decide: float,
) -> None:
    head = make_head(seed, views)
    folder = tmp_path_factory.mktemp("round") / "head"
    save_head(head, folder)
    loaded = load_head(folder)
    features = cover_features(head, seed=seed)
    assert loaded.predict(features, prior).tobytes() == head.predict(features, prior).tobytes()
    said = head.answer(features, prior, decide, coverage)
    assert loaded.answer(features, prior, decide, coverage) == said
    assert (loaded.genres, loaded.views, loaded.card) == (head.genres, head.views, head.card)
    assert loaded.fingerprints == head.fingerprints


def test_a_round_trip_of_trees_changes_nothing(tmp_path: Path, forest: LightgbmPredictor) -> None:
    head = replace(make_head(), kind="lightgbm", predictors={"image": forest})
    save_head(head, tmp_path)
    loaded = load_head(tmp_path)
    features = cover_features(head)
    assert loaded.predict(features).tobytes() == head.predict(features).tobytes()
    assert loaded.answer(features) == head.answer(features)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npz", ".txt"]
    none = head.predict({"image": np.empty((0, WIDTH), np.float32)})
    assert none.shape == (0, GENRES)


def test_the_same_head_makes_the_same_files(tmp_path: Path) -> None:
    save_head(make_head(), tmp_path / "a")
    save_head(make_head(), tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_logistic_by_hand() -> None:
    predictor = LogisticPredictor(
        Scaler(np.array([1.0], np.float32), np.array([2.0], np.float32)),
        np.array([[1.0, -1.0]], np.float32),
        np.array([0.5, 0.0], np.float32),
    )
    # (5 - 1) / 2 = 2; logits 2.5 and -2; (1001 - 1) / 2 is cut off at 3: logits 3.5 and -3.
    said = predictor.log_probabilities(np.array([[5.0], [1001.0]], np.float32))
    expected = [[-math.log1p(math.exp(-gap)), -math.log1p(math.exp(gap))] for gap in (4.5, 6.5)]
    np.testing.assert_allclose(said, expected, rtol=1e-6)


def test_fusion_by_hand() -> None:
    one, two = np.log([[0.9, 0.1]]), np.log([[0.2, 0.8]])
    odds = (0.9 / 0.1) ** (0.5 / 2) * (0.2 / 0.8) ** (1.5 / 2)
    fused = fuse([one, two], np.array([0.5, 1.5]), 2.0)
    np.testing.assert_allclose(fused, [[odds / (1 + odds), 1 / (1 + odds)]])


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6))
def test_uniform_prior_divides_frequencies_out(logits: list[float]) -> None:
    probabilities = np.exp(log_softmax(np.array([logits])))
    even = np.full(len(logits), 1 / len(logits))
    np.testing.assert_allclose(weigh_prior(probabilities, even, "uniform"), probabilities)
    frequencies = np.arange(1, len(logits) + 1) / sum(range(len(logits) + 1))
    same = weigh_prior(frequencies[None], frequencies, "uniform")
    np.testing.assert_allclose(same, even[None])


def test_sets_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.4, 0.7])
    probabilities = np.array([[0.6, 0.3, 0.1], [0.4, 0.35, 0.25]])
    # ceil(5 · 0.6) = 3rd smallest: 0.4, so p >= 0.6.
    assert conformal_sets(probabilities, scores, 0.6).tolist() == [
        [True, False, False],
        [True, False, False],
    ], "the top genre is in, though it is below the limit in the second"
    # ceil(5 · 0.8) = 4th: 0.7, so p >= 0.3.
    assert conformal_sets(probabilities, scores, 0.8).sum(1).tolist() == [2, 2]
    assert conformal_sets(probabilities, scores, 0.81).all(), "4 scores cannot promise more"
    for coverage in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(UsageError, match="coverage="):
            conformal_sets(probabilities, scores, coverage)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_sets_cover_what_was_asked_for(coverage: float) -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        probabilities = rng.dirichlet(np.full(5, 0.7), 300)
        # The labels disagree with the probabilities, which conformal sets do not mind.
        weights = probabilities**0.5
        cumulated = (weights / weights.sum(1, keepdims=True)).cumsum(1)
        labels = (rng.random(300)[:, None] > cumulated).sum(1).clip(0, 4)
        truth = probabilities[np.arange(300), labels]
        sets = conformal_sets(probabilities[150:], np.sort(1 - truth[:150]), coverage)
        covered.append(sets[np.arange(150), labels[150:]].mean())
    # The top genre is always in, so low coverages are exceeded.
    assert np.mean(covered) > coverage - 0.01
    if coverage == 0.9:
        assert np.mean(covered) < coverage + 0.02


@given(st.integers(0, 1000), st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_more_coverage_never_drops_a_genre(seed: int, one: float, other: float) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(4), 8)
    scores = np.sort(np.random.default_rng(seed + 1).random(30))
    less, more = (conformal_sets(probabilities, scores, cover) for cover in sorted((one, other)))
    assert (less <= more).all()
    assert less.any(1).all()


def test_answers_are_best_first_and_decided_from_the_threshold_on() -> None:
    head = make_head()
    features = cover_features(head, 20)
    probabilities = head.predict(features)
    for row, said in zip(probabilities, head.answer(features), strict=True):
        assert list(said.probabilities) == sorted(row, reverse=True)
        assert said.genres[0] == head.genres[row.argmax()]
        assert said.conformal_set == said.genres[: len(said.conformal_set)]
        assert said.decided == (row.max() >= 0.5)
    exact = float(probabilities[0].max())
    assert head.answer(features, decide=exact)[0].decided
    assert not head.answer(features, decide=math.nextafter(exact, 1))[0].decided


def test_one_cover_is_answered_as_in_a_batch() -> None:
    head = make_head()
    features = cover_features(head, 3)
    alone = head.predict({"image": features["image"][1:2]})
    np.testing.assert_allclose(alone[0], head.predict(features)[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda head: head.predict({}), "looks at image"),
        (lambda head: head.predict({"image": np.zeros((1, 3), np.float32)}), r"reads \(n, 7\)"),
        (lambda head: head.predict(cover_features(head), "flat"), "prior 'flat'"),
        (lambda head: head.answer(cover_features(head), decide=1.5), "decide=1.5"),
        (lambda head: head.answer(cover_features(head), coverage=1), "coverage=1"),
    ],
)
def test_wrong_use_is_refused(wrong: Callable[[Head], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wrong(make_head())


def test_a_missing_head_is_named(tmp_path: Path) -> None:
    with pytest.raises(StaleArtifact, match=r"no head in .*albo train"):
        load_head(tmp_path / "none")


def test_replacing_leaves_nothing_of_the_former(tmp_path: Path) -> None:
    save_head(make_head(0), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / f"head-{'0' * 16}.npz").write_bytes(b"left by a killed writer")
    save_head(make_head(1), tmp_path)
    assert load_head(tmp_path).temperature == make_head(1).temperature
    assert len(list(tmp_path.glob("head-*.npz"))) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_writer_killed_before_its_manifest_leaves_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_head(make_head(0), tmp_path)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("albo.heads.saved.write_manifest", die)
    with pytest.raises(KeyboardInterrupt):
        save_head(make_head(1), tmp_path)
    assert load_head(tmp_path).temperature == make_head(0).temperature


def test_a_reader_always_finds_one_or_the_other(tmp_path: Path) -> None:
    heads = [make_head(seed) for seed in (0, 1)]
    save_head(heads[0], tmp_path)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for head in heads:
                save_head(head, tmp_path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = {load_head(tmp_path).temperature for _ in range(200)}
    finally:
        stop.set()
        writer.join()
    assert found <= {head.temperature for head in heads}


def tamper(folder: Path, change: Callable[[dict], None], **arrays: np.ndarray) -> None:
    """Change a saved head, and make every checksum right again."""
    manifest = read_manifest(folder, "head", "albo train")
    (old,) = folder.glob("head-*.npz")
    data = pack_arrays({**unpack(old.read_bytes()), **arrays})
    old.write_bytes(data)
    import hashlib

    manifest["files"][old.name] = hashlib.sha256(data).hexdigest()
    change(manifest)
    write_manifest(folder, manifest)


def keep(_: dict) -> None:
    """Change nothing in the manifest."""


HUGE = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (WIDTH, 5), (0, 0))


@pytest.mark.parametrize(
    "arrays",
    [
        {"view.image.weights": np.zeros((WIDTH, GENRES + 1), np.float32)},
        {"view.image.weights": np.zeros((WIDTH + 1, GENRES), np.float32)},
        {"view.image.weights": np.zeros((WIDTH, GENRES), np.float64)},
        {"view.image.weights": np.zeros(3, np.float32)},
        {"view.image.weights": np.full((WIDTH, GENRES), np.nan, np.float32)},
        {"view.image.scale": np.zeros(WIDTH, np.float32)},
        {"view.image.bias": np.float32(0)},
        {"view.image.bias": np.zeros(3, np.float32), "view.image.weights": HUGE[:, :3]},
        {"view.image.mean": np.empty(0, np.float32)},
        {"weights": np.array([-1.0])},
        {"weights": np.array([0.0])},
        {"weights": np.array([1.0, 1.0])},
        {"frequencies": np.array([0.5, 0.5, 0.0, 0.0])},
        {"frequencies": np.full(GENRES, 0.3)},
        {"frequencies": np.full(GENRES + 1, 0.2)},
        {"nonconformity.corpus": np.array([0.5, 0.1])},
        {"nonconformity.corpus": np.array([0.5, 1.5])},
        {"nonconformity.uniform": np.empty(0)},
        {"nonconformity.uniform": np.array(["a"])},
        {"true_genres.corpus": np.zeros(98, np.int32)},
        {"true_genres.corpus": np.zeros(99, np.int64)},
        {"true_genres.uniform": np.full(99, GENRES, np.int32)},
        {"true_genres.uniform": np.full(99, -1, np.int32)},
    ],
    ids=lambda arrays: "+".join(f"{key}{np.shape(value)}" for key, value in arrays.items()),
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    save_head(make_head(), tmp_path)
    tamper(tmp_path, keep, **arrays)
    with pytest.raises(StaleArtifact, match=r"is damaged .*run `albo train --name "):
        load_head(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(genres=["a", "a", "b", "c"]),
        lambda manifest: manifest.update(genres=["a", "b", "c"]),
        lambda manifest: manifest.update(genres=[1, 2, 3, 4]),
        lambda manifest: manifest.update(genres=7),
        lambda manifest: manifest.update(temperature=0),
        lambda manifest: manifest.update(temperature="hot"),
        lambda manifest: manifest.update(temperature=1e999),
        lambda manifest: manifest.update(card=[]),
        lambda manifest: manifest.update(name=None),
        lambda manifest: manifest.update(views=[]),
        lambda manifest: manifest.update(views=manifest["views"] * 2),
        lambda manifest: manifest["views"][0].update(predictor="os.system"),
        lambda manifest: manifest["views"][0].update(text="/etc/passwd"),
        lambda manifest: manifest["views"][0].update(name="../x"),
        lambda manifest: manifest["files"].update({"../../etc/passwd": "0"}),
        lambda manifest: manifest.update(files={}),
        lambda manifest: manifest.pop("level"),
    ],
)  # fmt: skip
def test_manifests_that_do_not_fit_are_refused(
    tmp_path: Path, change: Callable[[dict], None]
) -> None:
    save_head(make_head(), tmp_path)
    manifest = read_manifest(tmp_path, "head", "albo train")
    change(manifest)
    try:
        write_manifest(tmp_path, manifest)
    except ValueError:  # infinity is no JSON; write it as others might
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StaleArtifact, match=r"is damaged .*run `albo train --name "):
        load_head(tmp_path)


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    save_head(make_head(), tmp_path)
    (arrays,) = tmp_path.glob("head-*.npz")
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[:-30] + bytes(30))
    with pytest.raises(StaleArtifact, match=re.escape(f"checksum of {arrays.name}")):
        load_head(tmp_path)
    arrays.unlink()
    with pytest.raises(StaleArtifact, match="is missing"):
        load_head(tmp_path)


def test_objects_and_compressed_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        pack_arrays({"weights": np.array([{}], dtype=object)})
    path = tmp_path / "head.npz"
    np.savez(path, weights=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack(path.read_bytes())
    np.savez_compressed(path, weights=np.zeros(10**6))
    with pytest.raises(ValueError, match="compressed"):
        unpack(path.read_bytes())
    with pytest.raises(zipfile.BadZipFile):
        unpack(b"PK not")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("num_class=4", "num_class=3"),
        ("num_class=4", "num_class=400000000"),
        ("num_class=4", "num_klass=4"),
        ("max_feature_idx=6", "max_feature_idx=900"),
        ("\nleft_child=", "\nleft_child=0 "),
        ("\nleft_child=-1", "\nleft_child=-9"),
        ("\nsplit_feature=", "\nsplit_feature=9"),
        ("\nleaf_value=", "\nleaf_value=nan "),
        ("\nnum_leaves=", "\nnum_leaves=9"),
        ("\nnum_cat=0", "\nnum_cat=1"),
        ("\ndecision_type=2", "\ndecision_type=1"),
        ("\nis_linear=0", "\nis_linear=1"),
        ("\ntree_sizes=", "\ntree_sizes=1"),
        ("\ntree_sizes=", "\ntree_seizes="),
        ("end of trees", ""),
        ("tree\n", "forest\n"),
    ],
)
def test_trees_are_checked_before_lightgbm_follows_them(
    forest: LightgbmPredictor, old: str, new: str
) -> None:
    check_trees(forest.model, WIDTH)
    assert old in forest.model
    with pytest.raises((ValueError, KeyError)):
        check_trees(forest.model.replace(old, new, 1), WIDTH)


def test_a_tree_that_leads_back_is_refused(forest: LightgbmPredictor) -> None:
    lines = forest.model.split("\n")
    place = next(i for i, line in enumerate(lines) if line.startswith("right_child="))
    first, *rest = lines[place].removeprefix("right_child=").split(" ")
    lines[place] = "right_child=" + " ".join(["0".rjust(len(first)).replace(" ", "0"), *rest])
    with pytest.raises(ValueError, match="lead nowhere"):
        check_trees("\n".join(lines), WIDTH)


@pytest.mark.whole
def test_a_logistic_head_answers_with_numpy_alone(tmp_path: Path) -> None:
    save_head(make_head(), tmp_path)
    program = (
        "import sys, pathlib, numpy as np\n"
        "from albo.heads import load_head\n"
        "head = load_head(pathlib.Path(sys.argv[1]))\n"
        "head.answer({'image': np.zeros((1, 7), np.float32)})\n"
        "heavy = {'sklearn', 'scipy', 'torch', 'pandas', 'lightgbm', 'pyarrow', 'faiss'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run(  # noqa: S603  (our own interpreter)
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_refusal_is_one_of_ours() -> None:
    assert issubclass(StaleArtifact, AlboError)


# --- covers that some views are silent of --------------------------------------------------------


def partly_silent(seed: int = 0) -> Head:
    """A head of three views, of which the image alone speaks of every cover."""
    rng = np.random.default_rng(seed)
    head = make_head(seed)
    vocabulary = Grams.of(["night train blue note doom"])
    count = len(vocabulary.ids)
    grams = GramPredictor(
        vocabulary.ids,
        rng.uniform(1, 3, count).astype(np.float32),
        rng.normal(size=(count, GENRES)).astype(np.float32),
        rng.normal(size=GENRES).astype(np.float32),
    )
    unit = UnitPredictor(
        rng.normal(size=(WIDTH, GENRES)).astype(np.float32),
        rng.normal(size=GENRES).astype(np.float32),
    )
    whole = replace(
        head,
        predictors={**head.predictors, "characters": grams, "meaning": unit},
        weights=rng.dirichlet(np.ones(3)),
        fingerprints={"image": "i" * 8, "characters": "c" * 8, "meaning": "m" * 8},
    )
    scores = draw_scores(rng, 50)
    alone = whole.part(["image"], np.array([0.7]), float(rng.uniform(0.5, 2)), scores)
    return replace(whole, alone=alone)


def test_a_genres_own_covers_say_what_they_read_as_while_held_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    probabilities, labels = rng.dirichlet(np.ones(GENRES), 40), rng.integers(GENRES, size=40)
    frequencies = np.array([0.4, 0.3, 0.2, 0.1])
    scores = Scores.of(probabilities, labels, frequencies)
    made = replace(
        make_head(),
        frequencies=frequencies,
        nonconformity=scores.nonconformity,
        true_genres=scores.true_genres,
    )
    save_head(made, tmp_path)
    for prior in ("corpus", "uniform"):
        expected = weigh_prior(probabilities, frequencies, prior)[labels == 1, 1]
        for head in (made, load_head(tmp_path)):
            np.testing.assert_allclose(head.own_probabilities("Jazz", prior), np.sort(expected))


def test_a_head_of_a_former_version_says_what_it_lacks(tmp_path: Path) -> None:
    save_head(replace(make_head(), true_genres={}), tmp_path)
    with pytest.raises(StaleArtifact, match=r"did not keep .*`albo train --name test`"):
        load_head(tmp_path).own_probabilities("Jazz")


def half_said(seed: int = 1) -> dict[str, object]:
    """Six covers; the second has no words at all, the fourth none that mean anything."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(6, WIDTH)).astype(np.float32)
    meaning /= np.linalg.norm(meaning, axis=1, keepdims=True)
    meaning[[1, 3]] = 0
    texts = ["night train", "", "doom", "blue", "zyx", "note"]
    image = rng.normal(size=(6, WIDTH)).astype(np.float32)
    return {"image": image, "characters": Grams.of(texts), "meaning": meaning}


SILENT, HEARD = [1, 3], [0, 2, 4, 5]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), prior=st.sampled_from(["corpus", "uniform"]))
def test_a_head_with_silent_views_survives_its_files(
    tmp_path_factory: pytest.TempPathFactory, *, seed: int, prior: str
) -> None:
    head = partly_silent(seed)
    folder = tmp_path_factory.mktemp("alone") / "head"
    save_head(head, folder)
    loaded = load_head(folder)
    features = half_said(seed)
    for one, other in ((loaded, head), (loaded.alone, head.alone)):
        assert one is not None
        assert other is not None
        assert one.predict(features, prior).tobytes() == other.predict(features, prior).tobytes()
        assert one.answer(features, prior) == other.answer(features, prior)
        assert one.views == other.views
        assert one.fingerprints == other.fingerprints


def test_a_cover_without_words_is_answered_by_the_views_that_always_speak() -> None:
    head, features = partly_silent(), half_said()
    assert head.alone is not None
    for prior in ("corpus", "uniform"):
        said = head.predict(features, prior)
        np.testing.assert_allclose(said.sum(1), 1)
        image = head.alone.predict({"image": features["image"]}, prior)
        np.testing.assert_array_equal(said[SILENT], image[SILENT])
        assert (np.abs(said - image).max(1)[HEARD] > 1e-3).all()
    without = replace(head, alone=None).predict(features)
    np.testing.assert_array_equal(without[SILENT], np.tile(head.frequencies, (2, 1)))
    np.testing.assert_array_equal(without[HEARD], head.predict(features)[HEARD])


def test_a_view_without_weight_may_be_silent() -> None:
    head, features = partly_silent(), half_said()
    two = np.array([0.5, 0.5])
    weighed = replace(head, weights=np.append(two, 0.0))
    spoken = [
        head.predictors[view].log_probabilities(features[view]) for view in ("image", "characters")
    ]
    speaking = [0, 2, 3, 4, 5]
    fused = fuse(spoken, two, head.temperature)[speaking]
    np.testing.assert_array_equal(weighed.predict(features)[speaking], fused)
    said = weighed.answer(features)[3].views
    assert [one.weight for one in said] == [0.5, 0.5, 0.0], "what was counted is what is said"


def test_each_view_says_what_it_says_by_itself_and_its_weight() -> None:
    head, features = partly_silent(), half_said()
    assert head.alone is not None
    answers = head.answer(features)
    for row, prediction in enumerate(answers):
        assert [said.view for said in prediction.views] == ["image", "characters", "meaning"]
        weights = [said.weight for said in prediction.views]
        assert weights == ([0.7, 0.0, 0.0] if row in SILENT else head.weights.tolist())
        for said in prediction.views:
            own = head.predictors[said.view].log_probabilities(features[said.view])[row]
            if np.isnan(own[0]):
                assert (said.genres, said.probabilities) == ((), ())
                continue
            assert said.probabilities == tuple(sorted(np.exp(own).tolist(), reverse=True))
            assert said.genres[0] == head.genres[own.argmax()]
    (image,) = head.alone.answer(features)[1].views
    assert image == answers[1].views[0]
    silent = [bool(said.genres) for said in answers[3].views]
    assert silent == [True, True, False], "characters spoke of it, though they had no weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda alone: alone.update(views=[]),
        lambda alone: alone.update(views=["words"]),
        lambda alone: alone.update(views=["image", "image"]),
        lambda alone: alone.update(views=["image", "meaning"]),
        lambda alone: alone.update(views="image"),
        lambda alone: alone.update(views=[["image"]]),
        lambda alone: alone.update(views=None),
        lambda alone: alone.pop("views"),
        lambda alone: alone.update(temperature=0),
        lambda alone: alone.update(temperature=-1.5),
        lambda alone: alone.update(temperature="warm"),
        lambda alone: alone.update(temperature=None),
        lambda alone: alone.pop("temperature"),
    ],
)  # fmt: skip
def test_a_forged_part_is_refused(tmp_path: Path, change: Callable[[dict], object]) -> None:
    save_head(partly_silent(), tmp_path)
    tamper(tmp_path, lambda manifest: change(manifest["alone"]))
    with pytest.raises(StaleArtifact, match=r"is damaged .*run `albo train --name "):
        load_head(tmp_path)


@pytest.mark.parametrize("alone", [7, "image", [], {}, False, {"views": {}}])
def test_a_part_that_is_none_is_refused(tmp_path: Path, alone: object) -> None:
    save_head(partly_silent(), tmp_path)
    tamper(tmp_path, lambda manifest: manifest.update(alone=alone))
    with pytest.raises(StaleArtifact, match="is damaged"):
        load_head(tmp_path)
    tamper(tmp_path, lambda manifest: manifest.pop("alone"))
    with pytest.raises(StaleArtifact, match="'alone' is missing"):
        load_head(tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"alone.weights": np.array([0.5, 0.5])},
        {"alone.weights": np.array([-1.0])},
        {"alone.weights": np.array([0.0])},
        {"alone.weights": np.array([np.nan])},
        {"alone.weights": np.array([1.0], np.float32)},
        {"alone.nonconformity.corpus": np.array([0.9, 0.1])},
        {"alone.nonconformity.uniform": np.array([0.5, 1.5])},
        {"alone.nonconformity.uniform": np.empty(0)},
        {"alone.true_genres.corpus": np.full(50, GENRES, np.int32)},
        {"view.characters.ids": np.zeros(1, np.uint32)},
        {"view.meaning.weights": np.zeros((WIDTH, GENRES + 1), np.float32)},
    ],
    ids=lambda arrays: "+".join(f"{key}{np.shape(value)}" for key, value in arrays.items()),
)
def test_arrays_of_a_part_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    save_head(partly_silent(), tmp_path)
    tamper(tmp_path, keep, **arrays)
    with pytest.raises(StaleArtifact, match="is damaged"):
        load_head(tmp_path)


@pytest.mark.whole
def test_a_head_with_silent_views_answers_with_numpy_alone(tmp_path: Path) -> None:
    save_head(partly_silent(), tmp_path)
    program = (
        "import sys, pathlib, numpy as np\n"
        "from albo.heads import load_head\n"
        "from albo.heads.grams import Grams\n"
        "head = load_head(pathlib.Path(sys.argv[1]))\n"
        "zeros = np.zeros((1, 7), np.float32)\n"
        "head.answer({'image': zeros, 'characters': Grams.of(['doom']), 'meaning': zeros})\n"
        "heavy = {'sklearn', 'scipy', 'torch', 'pandas', 'lightgbm', 'pyarrow', 'faiss'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run(  # noqa: S603  (our own interpreter)
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
