"""Shows where on a cover the evidence lies, without colour: the rest is faded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


_FADED = 0.82  # the share of paper colour in a place without evidence
_PAPER = (250, 250, 247)
_OUTLINED = 0.5  # share of the strongest evidence at which a line is drawn
_INK, _HALO = 24, 255


def faded(image: Image.Image, evidence: NDArray[np.float64]) -> Image.Image:
    """Fade an RGB image to pale grey; the more positive the evidence (h, w), the less.

    The strongest place is not faded. A line surrounds the places with half of its evidence or more.
    Without any positive evidence the whole image is pale. Returns a new image of the same size.
    """
    strongest = evidence.max()
    shares = np.clip(evidence / strongest, 0.0, 1.0) if strongest > 0 else np.zeros_like(evidence)
    small = Image.fromarray(shares.astype(np.float32), "F")
    smooth = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)).clip(0.0, 1.0)
    pixels = np.asarray(image, np.float32)
    grey = np.asarray(image.convert("L"), np.float32)[:, :, None]
    pale = grey * (1 - _FADED) + np.array(_PAPER, np.float32) * _FADED
    shown = pixels * smooth[:, :, None] + pale * (1 - smooth[:, :, None])
    _outline(shown, smooth >= _OUTLINED)
    return Image.fromarray(shown.round().astype(np.uint8), "RGB")


def _outline(shown: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
    """Draw a dark line with a light one beside it, visible on any ground."""
    inner = inside.copy()
    for value, width in ((_HALO, 2), (_INK, 2)):
        core = _shrunk(inner, width)
        shown[inner & ~core] = value
        inner = core


def _shrunk(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Remove the rim of a mask, except where it is the rim of the image."""
    kept = mask.copy()
    for _ in range(by):
        padded = np.pad(kept, 1, mode="edge")
        kept = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & kept
    return kept
