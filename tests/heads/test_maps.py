"""Maps of evidence: what they add up to, and that they show where on a cover something is."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageDraw

from albo.asking import Asking
from albo.classify import Consultation, CoverAnswer
from albo.errors import MissingWeights, NoActivationMap, RuntimeFailed
from albo.heads import (
    ActivationMap,
    Head,
    ImageView,
    LogisticPredictor,
    Scaler,
    Scores,
    open_mapper,
)
from albo.heads.maps import spread
from albo.images import decode
from albo.learning.trainers import LightgbmTrainer, LogisticTrainer
from albo.networks import find_card, open_backbone
from albo.networks.weights import describe
from albo.queries import Query
from albo.records import Device
from albo.samples.covers import draw_sample
from albo.samples.plan import plan_samples
from albo.store import read_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from albo.heads import Mapper, Predictor
    from albo.networks import Card
    from albo.records import Embeddings, Floats, Pixels

GENRES = 3


# --- the sums ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A classifier of the image and one cover, as a network gives it."""

    predictor: LogisticPredictor
    pooled: Floats
    middle: Floats

    @property
    def features(self) -> Floats:
        """What the classifier reads: float32 (1, d + m)."""
        return np.concatenate([unit_of(self.pooled), self.middle]).astype(np.float32)[None]

    def centred_logit(self, genre: int) -> float:
        """The genre's logit beyond the mean of all and without the bias, as the head has it."""
        logits = self.predictor.log_probabilities(self.features)[0] - self.predictor.bias
        return float(logits[genre] - np.delete(logits, genre).mean())


def unit_of(pooled: Floats) -> NDArray[np.float64]:
    vector = pooled.astype(np.float64).mean((1, 2))
    return vector / np.linalg.norm(vector)


def draw(seed: int, depth: int = 6, width: int = 4) -> Drawn:
    """Draw them so that some numbers are beyond three deviations, and one is the mean itself."""
    rng = np.random.default_rng(seed)
    pooled = rng.gamma(0.4, 1.0, (depth, 3, 5)).astype(np.float32)
    middle = rng.normal(size=width).astype(np.float32)
    features = np.concatenate([unit_of(pooled), middle])
    away = rng.choice([-8.0, -1.5, 0.0, 0.5, 2.9, 3.1, 20.0], depth + width)
    away[[0, 1, 2]] = 0.0, 8.0, -8.0
    scale = rng.uniform(0.05, 2, depth + width)
    predictor = LogisticPredictor(
        Scaler((features - away * scale).astype(np.float32), scale.astype(np.float32)),
        rng.normal(scale=0.3, size=(depth + width, GENRES)).astype(np.float32),
        rng.normal(size=GENRES).astype(np.float32),
    )
    return Drawn(predictor, pooled, middle)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), genre=st.integers(0, GENRES - 1))
def test_a_map_and_the_rest_are_the_whole_logit(seed: int, genre: int) -> None:
    drawn = draw(seed)
    found = spread(drawn.predictor, genre, drawn.pooled, drawn.middle)
    assert found.evidence.shape == (3, 5)
    assert found.evidence.sum() == pytest.approx(found.mapped)
    assert found.mapped + found.unmapped == pytest.approx(drawn.centred_logit(genre), abs=2e-5)
    # The middle stages' part by itself, so that neither can stand in for the other.
    scaled = drawn.predictor.scaler(drawn.features)[0, 6:] @ drawn.predictor.weights[6:]
    assert found.unmapped == pytest.approx(
        float(scaled[genre] - np.delete(scaled, genre).mean()), abs=2e-5
    )


def test_evidence_for_all_genres_is_nothing_in_every_place() -> None:
    drawn = draw(1)
    each = [spread(drawn.predictor, genre, drawn.pooled, drawn.middle) for genre in range(GENRES)]
    np.testing.assert_allclose(sum(one.evidence for one in each), 0, atol=1e-6)


def by_hand(first_scale: float) -> ActivationMap:
    """Map two channels over 2 x 2 places: their mean is (3, 4), at unit length (0.6, 0.8)."""
    pooled = np.array([[[3, 0], [0, 9]], [[4, 4], [4, 4]]], np.float32)
    predictor = LogisticPredictor(
        Scaler(
            np.array([0.1, 0.75, 1.0], np.float32), np.array([first_scale, 1.0, 2.0], np.float32)
        ),
        np.array([[0.5, -0.5], [1.5, 0.5], [0.25, -0.25]], np.float32),
        np.array([7.0, 0.0], np.float32),  # a bias is of no place
    )
    return spread(predictor, 0, pooled, np.array([11.0], np.float32))


def test_a_map_by_hand() -> None:
    found = by_hand(0.25)
    # The first channel: 1 * (0.6, 0, 0, 1.8 less 0.1) / 0.25 / 4 places; the second 0.05 / 4.
    np.testing.assert_allclose(found.evidence, [[0.5125, -0.0875], [-0.0875, 1.7125]], atol=1e-6)
    assert found.mapped == pytest.approx(2.05)
    assert found.unmapped == pytest.approx(1.5), "(11 - 1) / 2 is cut off at 3, times 0.5"
    assert found.share == pytest.approx(2.05 / 3.55)


def test_what_is_cut_off_is_cut_off_in_every_place_alike() -> None:
    # (0.6 - 0.1) / 0.1 = 5 is cut off at 3, so each place's part shrinks to 0.6 of it.
    evidence = 0.6 * np.array([[5.0, -1.0], [-1.0, 17.0]]) / 4 + 0.0125
    found = by_hand(0.1)
    np.testing.assert_allclose(found.evidence, evidence, atol=1e-6)
    assert found.mapped == pytest.approx(3.05)


@pytest.mark.parametrize("off", [0.0, 1e-9, -3e-9])
def test_a_number_at_its_mean_still_tells_places_apart(off: float) -> None:
    """Float32 rounds such a number's distance from its mean to anything, so it is no divisor."""
    drawn = draw(2)
    depth = len(drawn.pooled)
    vector = unit_of(drawn.pooled)
    mean = np.concatenate([vector + off, drawn.middle]).astype(np.float32)
    scale = np.full(len(mean), 0.5, np.float32)
    predictor = replace(drawn.predictor, scaler=Scaler(mean, scale))
    found = spread(predictor, 0, drawn.pooled, drawn.middle)
    weights = predictor.weights[:depth, 0] - predictor.weights[:depth, 1:].mean(axis=1)
    maps = drawn.pooled / np.linalg.norm(drawn.pooled.astype(np.float64).mean((1, 2)))
    expected = np.einsum("d,dhw->hw", weights / 0.5, maps - vector[:, None, None]) / 15
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found.evidence, expected, atol=1e-6)
    assert found.mapped == pytest.approx(0, abs=1e-6)


def test_a_black_cover_has_a_map() -> None:
    drawn = draw(3)
    found = spread(drawn.predictor, 0, np.zeros_like(drawn.pooled), drawn.middle)
    assert np.isfinite(found.evidence).all()


def test_a_map_in_another_unit_is_the_same_map() -> None:
    found = by_hand(0.25)
    scaled = found.scaled(-2.0)
    np.testing.assert_allclose(scaled.evidence, -2 * found.evidence)
    assert (scaled.mapped, scaled.unmapped) == (-2 * found.mapped, -2 * found.unmapped)
    assert scaled.share == pytest.approx(found.share)
    assert found.scaled(0.0).share == 0.0


# --- the real network ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def card() -> Card:
    return find_card("efficientnet-lite0")


def looked_at(card: Card, covers: Pixels) -> Embeddings:
    (embeddings,) = open_backbone(card, Device.CPU, len(covers)).encode([covers])
    return embeddings


def spot(at: tuple[int, int], number: int) -> Pixels:
    """Draw a cover of 224 px with a red and white target there; off the cover, none."""
    styles = plan_samples()
    image = draw_sample(styles[number * 7 % len(styles)], 224)
    pen = ImageDraw.Draw(image)
    for radius, colour in ((34, "white"), (27, "red"), (18, "white"), (9, "red")):
        x, y = at
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
    return np.asarray(image)


TOP_LEFT, BOTTOM_RIGHT, NOWHERE = (52, 52), (172, 172), (-99, -99)


@pytest.fixture(scope="module")
def targets(card: Card) -> LogisticPredictor:
    """A classifier fitted to tell covers with a target top left (genre 1) from those without."""
    covers = np.stack([spot(TOP_LEFT if row % 2 else NOWHERE, row) for row in range(40)])
    embeddings = looked_at(card, covers)
    features = ImageView.from_embeddings(embeddings)
    blocks = (card.dimension, card.middle_dimension)
    return list(LogisticTrainer(blocks=blocks).path(features, np.arange(40) % 2, 2))[-1]


@dataclass(frozen=True)
class Opened:
    """A mapper that was opened where no map had been exported, and again after; what was noted."""

    mapper: Mapper
    exports: list[str]
    first: list[str]
    second: list[str]


@pytest.fixture(scope="module")
def opened(
    card: Card, targets: LogisticPredictor, tmp_path_factory: pytest.TempPathFactory
) -> Opened:
    folder = tmp_path_factory.mktemp("cache")
    first: list[str] = []
    second: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        open_mapper(card, targets, first.append)
        mapper = open_mapper(card, targets, second.append)
    exports = sorted(file.name for file in folder.rglob("*.openvino"))
    return Opened(mapper, exports, first, second)


@pytest.mark.whole
def test_a_map_is_exported_once_and_said(opened: Opened, card: Card) -> None:
    assert opened.first == [
        f"exporting the activation maps of {card.name} for this processor (once)"
    ]
    assert opened.second == []
    (name,) = opened.exports
    assert name.startswith(f"map-efficientnet-lite0-{card.fingerprint[:8]}-")


def check_maps(opened: Opened, card: Card, covers: Pixels) -> None:
    """Hold the maps of some covers against what the head sees of them."""
    embeddings = looked_at(card, covers)
    features = ImageView.from_embeddings(embeddings)
    predictor = opened.mapper.predictor
    logits = predictor.scaler(features) @ predictor.weights
    for row, cover in enumerate(covers):
        pooled = opened.mapper._compiled(cover[None])[0][0]
        assert pooled.shape == (card.dimension, 7, 7)
        assert unit_of(pooled) @ embeddings.vector[row] > 0.999
        found = opened.mapper.map(cover, embeddings.middle[row], 1)
        # The backbone rounds where the map does not.
        whole = float(logits[row, 1] - np.delete(logits[row], 1).mean())
        assert found.mapped + found.unmapped == pytest.approx(whole, abs=0.1)
        assert found.evidence.sum() == pytest.approx(found.mapped)


@pytest.mark.whole
def test_the_mean_of_a_map_is_what_the_head_sees_of_drawn_covers(
    opened: Opened, card: Card
) -> None:
    check_maps(opened, card, np.stack([spot(TOP_LEFT, 50), spot(NOWHERE, 51)]))


@pytest.mark.whole
def test_the_mean_of_a_map_is_what_the_head_sees_of_real_covers(
    opened: Opened, card: Card, itunes36: Path
) -> None:
    with (itunes36 / "labels.csv").open(encoding="utf-8", newline="") as file:
        names = sorted(row["file"] for row in csv.DictReader(file))[::90]
    data = [read_file(str(itunes36 / name)) for name in names]
    check_maps(opened, card, np.stack([decode(one, card.size, card.resample) for one in data]))


@pytest.mark.whole
@pytest.mark.parametrize("at", [TOP_LEFT, BOTTOM_RIGHT])
def test_evidence_is_strongest_where_the_thing_is(
    opened: Opened, card: Card, at: tuple[int, int]
) -> None:
    """It was learnt top left; that it is found elsewhere too shows that no place is preferred."""
    covers = np.stack([spot(at, number) for number in range(60, 66)])
    middles = looked_at(card, covers).middle
    half = range(4) if at == TOP_LEFT else range(3, 7)
    for cover, middle in zip(covers, middles, strict=True):
        found = opened.mapper.map(cover, middle, 1)
        row, column = np.unravel_index(found.evidence.argmax(), found.evidence.shape)
        assert row in half
        assert column in half
        against = opened.mapper.map(cover, middle, 0)
        np.testing.assert_allclose(against.evidence, -found.evidence, atol=1e-6)


# --- where there can be none ---------------------------------------------------------------------


def consulting(
    card: Card, predictor: Predictor, note: Callable[[str], None] = lambda _line: None
) -> Consultation:
    """Consult a head that looks at the image alone."""
    scores = Scores.of(np.full((20, 2), 0.5), np.arange(20) % 2, np.full(2, 0.5))
    head = Head(
        name="made up",
        kind="logistic",
        level="genre",
        genres=("plain", "target"),
        predictors={"image": predictor},
        weights=np.ones(1),
        temperature=1.0,
        frequencies=np.full(2, 0.5),
        nonconformity=scores.nonconformity,
        true_genres=scores.true_genres,
        fingerprints={"image": card.fingerprint},
        backbone=card.name,
    )
    return Consultation(head, card, None, Asking(), note)


def zeros(width: int) -> LogisticPredictor:
    scaler = Scaler(np.zeros(width, np.float32), np.ones(width, np.float32))
    return LogisticPredictor(scaler, np.zeros((width, 2), np.float32), np.zeros(2, np.float32))


def asked(width: int) -> CoverAnswer:
    return CoverAnswer(Query("cover.png"), {"image": np.zeros((1, width), np.float32)})


def test_a_head_of_trees_has_no_map_and_says_so(card: Card) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 6)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.int64)
    trees = list(LightgbmTrainer(grid=(2,)).path(features, labels, 2))[-1]
    with pytest.raises(NoActivationMap, match="a head of trees has no map"):
        open_mapper(card, trees)
    reasons = consulting(card, trees).explain(asked(6), "target")
    assert reasons.activation is None
    assert "a head of trees has no map" in reasons.no_map
    assert [one.view for one in reasons.views] == ["image"]


@pytest.fixture
def tiny(tmp_path: Path) -> Card:
    """A small network of random weights, in a file of the user's own."""
    torch.manual_seed(3)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "tiny.pth")
    return describe("timm/test_resnet.r160_in1k", tmp_path / "tiny.pth")


@pytest.mark.whole
def test_weights_that_have_gone_leave_the_answer_without_a_map(tiny: Card) -> None:
    """The exported network that embeds needs no weights; a map is exported when it is wanted."""
    Path(tiny.weights).unlink()
    width = tiny.dimension + tiny.middle_dimension
    with pytest.raises(MissingWeights, match="no longer at"):
        open_mapper(tiny, zeros(width))
    noted: list[str] = []
    reasons = consulting(tiny, zeros(width), noted.append).explain(asked(width), "target")
    assert reasons.activation is None
    assert f"the weights of {tiny.name}" in reasons.no_map
    assert tiny.weights not in reasons.no_map, "reports are passed on"
    assert any("no longer at" in line for line in noted)


@pytest.mark.whole
def test_what_the_engine_refuses_is_one_of_ours(opened: Opened, card: Card) -> None:
    middle = np.zeros(card.middle_dimension, np.float32)
    with pytest.raises(RuntimeFailed, match="OpenVINO failed"):
        opened.mapper.map(np.zeros((3, 3, 3, 3), np.uint8), middle, 0)
