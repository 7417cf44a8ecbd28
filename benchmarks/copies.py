"""Copies of a cover, as they are met with: recompressed, scaled, cropped, framed, labelled."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageEnhance

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from typing import TypeAlias

    Change: TypeAlias = Callable[[Image.Image, Random], Image.Image]

_QUALITY = 90
_CROPPED = 0.05
_FRAME = 0.05
_STICKER = 0.25
_STICKER_MARGIN = 0.04
_BRIGHTNESS = (0.7, 1.3)
_STICKER_COLOURS = ("#d7263d", "#f4d35e", "#ffffff", "#111111")


def copy_plain(image: Image.Image, _random: Random) -> Image.Image:
    """Change nothing: what differs is the compression."""
    return image


def copy_at_half_size(image: Image.Image, _random: Random) -> Image.Image:
    """Halve width and height."""
    half = max(1, image.width // 2), max(1, image.height // 2)
    return image.resize(half, Image.Resampling.LANCZOS)


def copy_cropped(image: Image.Image, _random: Random) -> Image.Image:
    """Cut 5 % from every side: 10 % of width and of height."""
    x, y = round(image.width * _CROPPED), round(image.height * _CROPPED)
    return image.crop((x, y, image.width - x, image.height - y))


def copy_framed(image: Image.Image, random: Random) -> Image.Image:
    """Put a white or a black border around, 5 % of the side wide."""
    x, y = round(image.width * _FRAME), round(image.height * _FRAME)
    framed = Image.new(
        "RGB", (image.width + 2 * x, image.height + 2 * y), random.choice(["white", "black"])
    )
    framed.paste(image, (x, y))
    return framed


def copy_with_sticker(image: Image.Image, random: Random) -> Image.Image:
    """Put a round sticker with lines of "text" into a corner, a quarter of the side wide."""
    marked = image.copy()
    side = min(image.size)
    wide, margin = side * _STICKER, side * _STICKER_MARGIN
    left = random.choice([margin, image.width - margin - wide])
    top = random.choice([margin, image.height - margin - wide])
    colour, ink = random.sample(_STICKER_COLOURS, 2)
    draw = ImageDraw.Draw(marked)
    draw.ellipse((left, top, left + wide, top + wide), fill=colour)
    for share in (0.35, 0.5, 0.65):
        y = top + wide * share
        line = (left + wide * 0.25, y - wide * 0.04, left + wide * 0.75, y + wide * 0.04)
        draw.rectangle(line, fill=ink)
    return marked


def copy_in_other_light(image: Image.Image, random: Random) -> Image.Image:
    """Make it darker or brighter by 30 %."""
    return ImageEnhance.Brightness(image).enhance(random.choice(_BRIGHTNESS))


def copy_in_grey(image: Image.Image, _random: Random) -> Image.Image:
    """Take the colours out."""
    return image.convert("L").convert("RGB")


def copy_turned(image: Image.Image, random: Random) -> Image.Image:
    """Turn it by a quarter, to either side, or by half."""
    turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return image.transpose(random.choice(turns))


def copy_at(side: int) -> Change:
    """Return what makes copies as shops deliver them, with this many pixels on a side."""

    def change(image: Image.Image, _random: Random) -> Image.Image:
        return image.resize((side, side), Image.Resampling.LANCZOS)

    return change


KINDS: dict[str, tuple[Change, int]] = {
    "JPEG quality 30": (copy_plain, 30),
    "half size": (copy_at_half_size, _QUALITY),
    "10 % crop": (copy_cropped, _QUALITY),
    "border": (copy_framed, _QUALITY),
    "sticker": (copy_with_sticker, _QUALITY),
    "brightness": (copy_in_other_light, _QUALITY),
}
"""By name: what is done to the picture, and the quality it is saved with."""


SHOPS_QUALITY = 75

SHOPS: dict[str, tuple[Change, int]] = {
    **{f"{side} pixels": (copy_at(side), SHOPS_QUALITY) for side in (600, 300, 170, 100)},
    "grey": (copy_in_grey, _QUALITY),
    "turned": (copy_turned, _QUALITY),
    **{kind: KINDS[kind] for kind in ("border", "sticker", "10 % crop", "brightness")},
}
"""The same of copies that lie beside their originals in collections that nobody has tidied."""


def make_copy(image: Image.Image, kind: str, random: Random) -> bytes:
    """Return a copy as the bytes of a JPEG file."""
    change, quality = {**KINDS, **SHOPS}[kind]
    out = io.BytesIO()
    change(image, random).save(out, "JPEG", quality=quality)
    return out.getvalue()
