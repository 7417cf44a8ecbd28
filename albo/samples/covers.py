"""One whole cover: the artwork in its style, its framing, the names on it, its reissues."""

# ruff: noqa: PLR2004
# A drawing is made of numbers; a name for each would hide it.

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from albo.errors import UsageError
from albo.samples.cities import draw_city
from albo.samples.ornaments import draw_botanical, draw_collage, draw_line, draw_swirl
from albo.samples.paint import PALETTES, VIVID, Brief, Colour, Pen, lettering, mix, shrunk
from albo.samples.places import draw_concrete, draw_neon, draw_watercolour
from albo.samples.plan import STYLES, Sample, generator
from albo.samples.prints import draw_halftone, draw_op, draw_swiss, draw_woodcut

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1
"""The version of the drawings; raised whenever a sample gets other pixels."""


_ARTWORK: dict[str, Callable[[Brief], Image.Image]] = dict(
    zip(
        STYLES,
        (
            draw_swiss, draw_woodcut, draw_halftone, draw_watercolour, draw_neon, draw_swirl,
            draw_concrete, draw_botanical, draw_op, draw_collage, draw_city, draw_line,
        ),
        strict=True,
    )
)  # fmt: skip


def _frame(image: Image.Image, b: Brief) -> Image.Image:
    """Set the artwork as this artist does: whole, bordered, in a band, a disc, or mirrored."""
    n, pal = b.n, b.palette
    kind = int(b.hand.choice(5, p=(0.56, 0.14, 0.14, 0.08, 0.08)))
    ground = (pal.light, pal.dark, pal.a, pal.c, (250, 250, 248))[int(b.hand.integers(5))]
    out = Image.new("RGB", (n, n), ground)
    if kind == 1:
        side, top = int(n * b.near(0.56, 0.84)), b.near(0.3, 0.7)
        small = image.resize((side, side), Image.Resampling.LANCZOS)
        out.paste(small, ((n - side) // 2, int((n - side) * top)))
    elif kind == 2:
        high, top = int(n * b.near(0.45, 0.72)), b.hand.random() < 0.5
        cut = (n - high) // 2
        out.paste(image.crop((0, cut, n, cut + high)), (0, 0 if top else n - high))
    elif kind == 3:
        pen = Pen(n, 0)
        pen.disc(0.5, 0.52, b.near(0.3, 0.42), 255)
        out.paste(image, (0, 0), pen.done())
    elif kind == 4:
        half = image.crop((0, 0, n // 2, n))
        out.paste(half, (0, 0))
        out.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (n - n // 2, 0))
    return out if kind else image


def _artwork(b: Brief, style: str) -> Image.Image:
    return _ARTWORK[style](b)


class _Place(NamedTuple):
    """A box for type, in parts of the cover, and how lines stand in it (0 left, 1 right)."""

    x: float
    y: float
    wide: float
    high: float
    side: float


_TOP = _Place(0.06, 0.05, 0.88, 0.17, 0.0)


_TOP_MIDDLE = _Place(0.08, 0.05, 0.84, 0.17, 0.5)


_FOOT = _Place(0.06, 0.78, 0.88, 0.17, 0.0)


_FOOT_MIDDLE = _Place(0.08, 0.79, 0.84, 0.16, 0.5)


_FOOT_RIGHT = _Place(0.4, 0.83, 0.55, 0.13, 1.0)


_CORNER = _Place(0.06, 0.06, 0.5, 0.13, 0.0)


_MIDDLE = _Place(0.27, 0.42, 0.46, 0.16, 0.5)


_SMALL_FOOT = _Place(0.06, 0.86, 0.5, 0.09, 0.0)


_PLACES: dict[str, tuple[_Place, ...]] = {
    "Swiss grid": (_TOP, _TOP, _CORNER),
    "Woodcut": (_TOP_MIDDLE, _FOOT_MIDDLE, _FOOT),
    "Halftone portrait": (_TOP, _FOOT, _FOOT_MIDDLE, _TOP_MIDDLE),
    "Watercolour landscape": (_TOP_MIDDLE, _FOOT_RIGHT, _CORNER),
    "Neon grid": (_TOP_MIDDLE, _FOOT_MIDDLE),
    "Particle swirl": (_FOOT_RIGHT, _CORNER, _TOP_MIDDLE),
    "Concrete blocks": (_TOP, _CORNER, _TOP_MIDDLE),
    "Botanical ornament": (_MIDDLE, _TOP_MIDDLE, _FOOT_MIDDLE),
    "Op art": (_CORNER, _FOOT_RIGHT, _MIDDLE),
    "Torn collage": (_TOP, _FOOT, _CORNER, _FOOT_RIGHT),
    "Night city": (_TOP, _FOOT_RIGHT, _TOP_MIDDLE),
    "One line": (_SMALL_FOOT, _CORNER, _FOOT_RIGHT, _TOP_MIDDLE),
}


def _unrest(image: Image.Image, place: _Place) -> float:
    """Return how busy a place is: the standard deviation of its grey levels."""
    n = image.width
    left, top = int(place.x * n), int(place.y * n)
    right, foot = int((place.x + place.wide) * n), int((place.y + place.high) * n)
    part = image.crop((left, top, right, foot)).convert("L")
    return float(np.asarray(part, dtype=np.float32).std())


def _letter(image: Image.Image, b: Brief) -> None:
    """Put artist and title onto the artwork, in the artist's own lettering, legible anywhere."""
    n, hand = b.n, b.hand
    places = _PLACES[b.style]
    place = places[int(hand.integers(len(places)))]
    if _unrest(image, place) > 27:
        place = min((place, _TOP_MIDDLE, _FOOT_MIDDLE, _CORNER), key=lambda p: _unrest(image, p))
    upper = hand.random() < 0.5
    form = {
        "wide": float(hand.uniform(0.72, 1.25)),
        "bold": float(hand.choice((0.0, 0.014, 0.028))),
        "gap": float(hand.choice((0.0, 0.03, 0.25))),
    }
    shares = (0.56, 0.34) if hand.random() < 0.6 else (0.36, 0.54)  # artist first
    width, height = int(place.wide * n), int(place.high * n)
    lines = [
        shrunk(
            lettering(text.upper() if upper else text, int(part * height), **form), width, height
        )
        for text, part in zip((b.artist, b.title), shares, strict=True)
    ]
    gap = max(2, int(0.1 * height))
    total = sum(line.height for line in lines) + gap
    widest = max(line.width for line in lines)
    left = int(place.x * n + place.side * (width - widest))
    top = int(place.y * n + 0.5 * (height - total))
    ink = _legible_ink(image, b, (left, top, left + widest, top + total))
    for line in lines:
        image.paste(ink, (left + int(place.side * (widest - line.width)), top), line)
        top += line.height + gap


def _legible_ink(image: Image.Image, b: Brief, box: tuple[int, int, int, int]) -> Colour:
    """Choose dark or light type by its background; on a busy one, draw a plate first."""
    n, pal = b.n, b.palette
    under = np.asarray(image.crop(box).convert("L"), dtype=np.float32)
    bright = float(under.mean()) > 128  # half of white
    dark, light = mix(pal.dark, (12, 12, 12), 0.4), mix(pal.light, (255, 255, 255), 0.4)
    contrast = abs(float(under.mean()) - (30 if bright else 240))
    if float(under.std()) > 27 or contrast < 110:  # grey levels: too busy to read on
        pad = max(3, n // 45)
        bright = b.hand.random() < 0.6  # mostly dark on light
        plate = (box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad)
        ImageDraw.Draw(image).rectangle(plate, fill=light if bright else dark)
    return dark if bright else light


def draw_sample(sample: Sample, size: int = 500) -> Image.Image:
    """Draw one cover: the same sample has the same pixels, in any order and any process.

    Parameters
    ----------
    sample : Sample
        From `plan_samples` or `plan_kept_aside`.
    size : int
        Side in pixels, 64 to 2000.

    Returns
    -------
    Image.Image
        RGB, `size` by `size`.

    Raises
    ------
    UsageError
        When the style is not one of `STYLES` or the size is out of range.
    """
    if sample.style not in _ARTWORK:
        raise UsageError(f"no style named {sample.style!r}; the styles are {', '.join(STYLES)}")
    if not 64 <= size <= 2000:
        raise UsageError(f"a cover of {size} px was asked for, but 64 to 2000 px can be drawn")
    number = sample.number if sample.copy_of is None else sample.copy_of
    title, _, edition = sample.album.partition(" (")
    rng = generator("cover", VERSION, sample.style, sample.artist, number)
    hand = generator("artist", VERSION, sample.style, sample.artist)
    choice = VIVID if sample.style == "Neon grid" else range(len(PALETTES))
    palette = PALETTES[choice[int(hand.integers(len(choice)))]]
    if rng.random() < 0.35:
        palette = PALETTES[choice[int(rng.integers(len(choice)))]]
    brief = Brief(size, rng, hand, palette, sample.style, sample.artist, title, _artwork)
    framing = generator("framing", VERSION, sample.style, sample.artist)
    image = _frame(_artwork(brief, sample.style), replace(brief, hand=framing))
    lettering = generator("lettering", VERSION, sample.style, sample.artist)
    _letter(image, replace(brief, hand=lettering))
    return image if sample.copy_of is None else _reissue(image, edition.rstrip(")"))


def _reissue(image: Image.Image, edition: str) -> Image.Image:
    """Make a near-duplicate of a finished cover."""
    n = image.width
    if edition == "Remastered":
        trim = max(1, round(0.035 * n))
        part = image.crop((trim, trim, n - trim, n - trim)).resize((n, n), Image.Resampling.LANCZOS)
        return ImageEnhance.Brightness(ImageEnhance.Color(part).enhance(1.15)).enhance(1.07)
    if edition == "Anniversary Edition":
        rim = max(1, round(0.03 * n))
        small = round(0.66 * n)
        coarse = image.resize((small, small), Image.Resampling.BICUBIC)
        out = Image.new("RGB", (n, n), (244, 240, 230))
        out.paste(coarse.resize((n - 2 * rim, n - 2 * rim), Image.Resampling.BICUBIC), (rim, rim))
        return out
    return _with_sticker(image)


def _with_sticker(image: Image.Image) -> Image.Image:
    n = image.width
    r = round(0.09 * n)
    pen = Pen(2 * r, 0)
    pen.disc(0.5, 0.5, 0.49, 255)
    out, x, y = image.copy(), round(0.96 * n) - 2 * r, round(0.68 * n)
    disc = pen.done().resize((2 * r, 2 * r), Image.Resampling.LANCZOS)
    out.paste((206, 32, 41), (x, y), disc)
    for k, word in enumerate(("DELUXE", "EDITION")):
        line = lettering(word, round(0.4 * r), wide=0.85, bold=0.02, gap=0.02)
        line = shrunk(line, round(1.6 * r), r)
        out.paste(
            (255, 250, 235), (x + r - line.width // 2, y + round((0.62 + 0.46 * k) * r)), line
        )
    return out
