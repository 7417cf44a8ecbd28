"""Miniatures: grey levels of the whole cover, and of what a plain frame holds."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from albo.images import miniature_of
from albo.samples.covers import draw_sample
from albo.samples.plan import plan_samples


@pytest.fixture(scope="module")
def cover() -> Image.Image:
    return draw_sample(plan_samples()[5], 224)


def apart(one: Image.Image, other: Image.Image, look: int = 0) -> float:
    """Return how far the miniatures of two pictures are apart: the mean of the grey levels."""
    pair = [miniature_of(np.array(image))[look].astype(float) for image in (one, other)]
    return float(np.abs(pair[0] - pair[1]).mean())


def test_it_is_the_grey_picture_shrunk(cover: Image.Image) -> None:
    found = miniature_of(np.array(cover))
    assert (found.shape, found.dtype) == ((2, 16, 16), np.uint8)
    means = np.array(cover.convert("L"), float).reshape(16, 14, 16, 14).mean(axis=(1, 3))
    assert np.abs(found[0] - means).max() <= 1
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("colour", ["white", "black", "#7a3b2e"])
def test_a_frame_is_taken_off(cover: Image.Image, colour: str) -> None:
    framed = ImageOps.expand(cover, 20, colour)
    assert apart(framed, cover) > 10
    found = miniature_of(np.array(framed))
    bare = miniature_of(np.array(cover))
    assert np.abs(found[1].astype(float) - bare[0]).mean() < 2


def test_a_compressed_frame_is_a_frame(cover: Image.Image) -> None:
    import io

    file = io.BytesIO()
    ImageOps.expand(cover, 24, "white").save(file, "JPEG", quality=40)
    found = miniature_of(np.array(Image.open(file)))
    bare = miniature_of(np.array(cover))
    assert np.abs(found[1].astype(float) - bare[0]).mean() < 4


def test_a_wide_ground_is_no_frame() -> None:
    page = Image.new("RGB", (224, 224), "white")
    page.paste("black", (60, 60, 160, 160))
    found = miniature_of(np.array(page))
    assert (found[0] == found[1]).all()
    blank = miniature_of(np.full((224, 224, 3), 255, np.uint8))
    assert (blank == 255).all()


def test_any_shape_is_shrunk() -> None:
    assert miniature_of(np.zeros((24, 24, 3), np.uint8)).shape == (2, 16, 16)
    assert miniature_of(np.zeros((16, 8, 3), np.uint8)).shape == (2, 16, 16)
