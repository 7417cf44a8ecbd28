"""The overlay: what stays as it is, what fades, and that it can be told without colour."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from albo.images import faded
from albo.samples.covers import draw_sample
from albo.samples.plan import plan_samples


def brightness(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), np.float64)


def noise(width: int, height: int) -> Image.Image:
    """Draw a cover that is as varied in every place."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def plain(width: int, height: int, colour: str = "grey") -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def top_left() -> np.ndarray:
    """Return evidence that is all in one corner, and against in the opposite one."""
    evidence = np.zeros((7, 7))
    evidence[:3, :3] = 1.0
    evidence[4:, 4:] = -5.0
    return evidence


@pytest.mark.parametrize("size", [(224, 224), (300, 90), (31, 200), (7, 7), (1, 1), (640, 3)])
@pytest.mark.parametrize("places", [(7, 7), (1, 1), (2, 5), (12, 12)])
def test_an_overlay_has_the_size_of_its_cover(
    size: tuple[int, int], places: tuple[int, int]
) -> None:
    image = noise(*size)
    shown = faded(image, np.random.default_rng(1).normal(size=places))
    assert (shown.size, shown.mode) == (size, "RGB")


def test_the_cover_itself_is_left_alone() -> None:
    image, evidence = noise(60, 40), top_left()
    before, kept = image.tobytes(), evidence.copy()
    faded(image, evidence)
    assert image.tobytes() == before
    np.testing.assert_array_equal(evidence, kept)


def test_evidence_alike_in_every_place_leaves_the_cover_as_it_is() -> None:
    image = noise(90, 70)
    for places in ((1, 1), (7, 7)):
        assert faded(image, np.full(places, 0.2)).tobytes() == image.tobytes(), "and no outline"


@pytest.mark.parametrize("value", [-1.0, 0.0, -1e-9])
@pytest.mark.parametrize("places", [(1, 1), (7, 7)])
def test_a_cover_without_evidence_is_pale_all_over_and_without_an_outline(
    places: tuple[int, int], value: float
) -> None:
    image = noise(90, 70)
    shown = np.asarray(faded(image, np.full(places, value)), np.float64)
    assert shown.min() > 200, "no dark line either"
    grey = brightness(image)
    # A fifth of its brightness is left, so it can still be made out.
    assert np.corrcoef(shown.mean(axis=2).ravel(), grey.ravel())[0, 1] > 0.99
    assert np.ptp(shown, axis=2).max() <= 4, "no colour but the paper's"


def test_where_the_evidence_is_the_cover_is_itself_and_elsewhere_it_is_pale() -> None:
    image = noise(210, 210)
    shown = faded(image, top_left())
    inside, outside = (slice(0, 40),) * 2, (slice(150, 210),) * 2
    np.testing.assert_array_equal(np.asarray(shown)[inside], np.asarray(image)[inside])
    assert np.asarray(shown)[outside].min() > 200


def test_it_can_be_told_in_grey_where_the_evidence_is() -> None:
    """A covers' contrast says it, where colour would not: in print, and to the colour-blind."""
    for number in range(0, len(plan_samples()), 41):
        image = draw_sample(plan_samples()[number], 210)
        before, after = brightness(image), brightness(faded(image, top_left()))
        inside, outside = (slice(0, 60),) * 2, (slice(130, 210),) * 2
        assert after[inside].std() > 0.9 * before[inside].std()
        assert after[outside].std() < 0.25 * before[outside].std()
        assert after[outside].mean() > 200


def test_evidence_against_shows_where_that_of_the_other_sign_is() -> None:
    image = noise(210, 210)
    shown = brightness(faded(image, -top_left()))
    assert shown[150:, 150:].std() > 4 * shown[:60, :60].std()


def test_a_line_runs_round_what_has_half_of_the_strongest_evidence() -> None:
    """On grey: the dark line and the light one are nothing that fading makes."""
    shown = brightness(faded(plain(210, 210), top_left()))
    row = shown[30]
    dark, light = np.flatnonzero(row < 60), np.flatnonzero(row == 255)
    assert len(dark) == len(light) == 2, "each two pixels wide, on one side alone"
    assert dark.max() < light.min(), "the light one outside"
    # Half way between the third place of seven, as strong as can be, and the fourth, with nothing.
    assert 84 < dark.min() < light.max() < 92
    assert shown[dark, 30].max() < 60, "as far down as across"
    assert not (shown[120:] < 60).any()


def test_nothing_is_darker_or_brighter_than_the_cover_and_its_pale_self() -> None:
    """Smoothing overshoots beside a sharp step, where black would turn to white."""
    shown = brightness(faded(plain(210, 210, "black"), top_left()))
    pale = shown[-1, -1]
    assert 200 < pale < 210
    assert not ((shown > pale + 1) & (shown < 255)).any()


@pytest.mark.parametrize("colour", ["black", "white"])
def test_the_line_is_seen_on_any_ground(colour: str) -> None:
    shown = brightness(faded(plain(210, 210, colour), top_left()))[30, 70:110]
    assert np.abs(np.diff(shown)).max() > 150


def test_the_rim_of_the_cover_is_no_outline() -> None:
    """A place that goes on beyond the cover's edge is open there."""
    shown = brightness(faded(plain(210, 210), top_left()))
    assert shown[0, :60].min() > 100
    assert shown[:60, 0].max() < 200


def test_evidence_is_taken_by_its_share_of_the_strongest() -> None:
    image = noise(140, 140)
    evidence = np.random.default_rng(2).normal(size=(7, 7))
    small, large = (faded(image, evidence * by).tobytes() for by in (1e-6, 1e6))
    assert small == large


def test_rows_of_evidence_are_rows_of_an_oblong_cover() -> None:
    evidence = np.zeros((2, 4))
    evidence[0] = 1.0  # the upper half
    shown = brightness(faded(noise(400, 100), evidence))
    assert shown[:20].std() > 4 * shown[80:].std()
