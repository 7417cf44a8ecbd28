"""Shows where on a cover the evidence lies, without using colour: all other places are faded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


_FADED = 0.82  # share of paper in a place without evidence
_PAPER = (250, 250, 247)
_OUTLINED = 0.5  # the outline's level, as a share of the largest evidence
_INK, _HALO = 24, 255


def faded(image: Image.Image, evidence: NDArray[np.float64]) -> Image.Image:
    """Fade an RGB image to pale grey where evidence (h, w) is low, fully where it is not positive.

    The strongest place is shown unchanged. A line surrounds the places with at least half of its
    evidence. Without any positive evidence, the whole image is pale. Returns a new image of the
    same size.
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
    """Draw a dark line with a light one beside it, visible on any background."""
    inner = inside.copy()
    for value, width in ((_HALO, 2), (_INK, 2)):
        core = _shrunk(inner, width)
        shown[inner & ~core] = value
        inner = core


def _shrunk(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Remove the rim of a mask; the image's own edge is not a rim."""
    kept = mask.copy()
    for _ in range(by):
        padded = np.pad(kept, 1, mode="edge")
        kept = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & kept
    return kept
