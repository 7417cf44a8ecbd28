"""Turn any of Pillow's modes into RGB: deep grey is rescaled, transparency put over white."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from albo.images.formats import Grey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL import Image

_NO_GREY = Grey()


def flatten(image: Image.Image, grey: Grey = _NO_GREY) -> Image.Image:
    """Turn any of Pillow's modes into RGB: deep grey rescaled, transparency over white.

    Both work in bands of rows, since each makes several copies of the pixels.
    """
    from PIL import Image

    deep = image.mode.startswith(("I", "F"))
    if not (deep or image.has_transparency_data):
        return image if image.mode == "RGB" else image.convert("RGB")
    span = _span(image, grey) if deep else (0.0, 0.0)
    canvas = Image.new("RGB", image.size, "white")
    for box in _bands(image):
        band = image.crop(box)
        if deep:
            canvas.paste(_eight_bits(band, span, grey), box)
        else:
            band = band.convert(band.mode.upper()).convert("RGBA")  # La and RGBa: unmultiplied
            canvas.paste(band, box, band.getchannel("A"))
    return canvas


def _bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


_BAND = 2**18  # pixels


def _numbers(image: Image.Image, grey: Grey) -> NDArray[np.float64]:
    stored = np.asarray(image)
    values = (stored.view(np.uint32) if grey.unsigned else stored).astype(np.float64)
    return np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)


def _span(image: Image.Image, grey: Grey) -> tuple[float, float]:
    """Values of black and white in a grey image of more than 8 bits: mode I;16, I or F.

    Integers span 0 to `grey.white`, and reals 0 to 1. If values are outside that, no convention
    defines white, and the range of the values is taken.
    """
    low, high = math.inf, -math.inf
    for box in _bands(image):
        values = _numbers(image.crop(box), grey)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    white = 1.0 if image.mode == "F" else float(grey.white)
    return (0.0, white) if low >= 0.0 and high <= white else (low, high)


def _eight_bits(image: Image.Image, span: tuple[float, float], grey: Grey) -> Image.Image:
    """Rescale a grey image of more than 8 bits to mode L."""
    from PIL import Image

    low, high = span
    values = _numbers(image, grey)
    values -= low
    values *= 255.0 / (high - low) if high > low else 0.0
    values += 0.5
    shown = values.astype(np.uint8)
    if grey.negative:
        shown = 255 - shown
    key = image.info.get("transparency")
    if isinstance(key, int):
        shown[np.asarray(image) == key] = 255
    return Image.fromarray(shown)
