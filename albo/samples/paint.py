"""The tools of every style: colours, fields of numbers, a pen for flat shapes, and type."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from albo.errors import UsageError
from albo.samples.plan import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from albo.records import Floats

Colour: TypeAlias = tuple[int, int, int]


Points: TypeAlias = list[tuple[float, float]]

Field: TypeAlias = NDArray[np.floating[Any]]
"""One number for each pixel: (n, n)."""


TAU = 2.0 * math.pi


class Palette(NamedTuple):
    """Five colours that go together: one dark, one light, three tints."""

    dark: Colour
    """The dark colour."""
    light: Colour
    """The light colour."""
    a: Colour
    """The first tint."""
    b: Colour
    """The second tint."""
    c: Colour
    """The third tint."""


def _colour(code: str) -> Colour:
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


PALETTES = tuple(
    Palette(*map(_colour, line.split()))
    for line in (
        "1b1b1e f4efe6 d7263d f46036 2e294e",
        "14213d fdf6e3 fca311 e76f51 2a9d8f",
        "0b132b f7f7f2 5bc0be 3a506b ff6b6b",
        "22223b f2e9e4 c9ada7 9a8c98 6d597a",
        "132a13 fefae0 606c38 dda15e bc6c25",
        "10002b fff0f5 ff006e 8338ec 3a86ff",
        "0d1b2a ffe8d6 ff7f51 ce4257 720026",
        "1d3557 f1faee e63946 a8dadc 457b9d",
        "2b2d42 edf2f4 ef233c 8d99ae 5c677d",
        "3d0c11 fff3e0 d80032 f78ca2 f9c7b0",
        "001219 e9d8a6 0a9396 ee9b00 ae2012",
        "2d1e2f f9f4ef f15152 edb183 1e555c",
        "121212 f5f5f5 ffd400 00a6a6 ef476f",
        "1a1a40 faf3dd 7a0bc0 fa58b6 3d2c8d",
        "1f2421 dce1de 216869 49a078 9cc5a1",
        "30011e fde2e4 e85d75 e0a458 419d78",
    )
)


VIVID = (5, 13, 6, 2, 12, 10, 15, 7)


@dataclass(frozen=True, slots=True)
class Brief:
    """The input of a drawing: size, colours, names and two random generators."""

    n: int
    """The side of the cover in pixels."""
    rng: np.random.Generator
    """The random generator of this cover."""
    hand: np.random.Generator
    """The artist's random generator: the same for all covers of one artist."""
    palette: Palette
    """The colours."""
    style: str
    """The name of the style."""
    artist: str
    """The artist's name."""
    title: str
    """The title on the cover."""
    borrow: Callable[[Brief, str], Image.Image]
    """Draws the artwork of a brief in the named style."""

    def guest(self, styles: tuple[str, ...]) -> Image.Image:
        """Draw an artwork in one of the other styles, with this cover's palette and generator."""
        style = styles[int(self.rng.integers(len(styles)))]
        seeds = self.rng.integers(2**32, size=2)
        rng, hand = generator("guest", seeds[0]), generator("guest hand", seeds[1])
        return self.borrow(replace(self, rng=rng, hand=hand, style=style), style)

    def pick(self, count: int, loyalty: float = 0.6) -> int:
        """Choose one of `count` compositions: the artist's own with probability `loyalty`."""
        own, other = int(self.hand.integers(count)), int(self.rng.integers(count))
        return own if self.rng.random() < loyalty else other

    def near(self, low: float, high: float, spread: float = 0.5) -> float:
        """Draw a number around the artist's own, as far as `spread` of the range away from it."""
        own = float(self.hand.random())
        place = (1 - spread) * own + spread * float(self.rng.random())
        return low + (high - low) * place


@lru_cache(maxsize=4)
def unit_grid(n: int) -> tuple[Floats, Floats]:
    """Pixel centres of a unit square, x to the right and y down: two float32 (n, n)."""
    line = (np.arange(n, dtype=np.float32) + np.float32(0.5)) / np.float32(n)
    x, y = np.meshgrid(line, line)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def smooth_noise(rng: np.random.Generator, n: int, cells: int, octaves: int = 3) -> Floats:
    """Smooth noise, float32 (n, n), mean 0 and mostly within -1 to 1."""
    total = np.zeros((2, 2), np.float32)
    for k in range(octaves):
        side = cells * 2**k + 3
        fine = rng.standard_normal((side, side), dtype=np.float32)
        total = stretched(total, side) + fine * np.float32(0.6 * 0.5**k)
    return stretched(total, n)


def stretched(field: Floats, side: int) -> Floats:
    """Enlarge or shrink a square field to (side, side), smoothly."""
    image = Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def ridge_line(rng: np.random.Generator, n: int, cells: int, rough: float = 0.5) -> Floats:
    """Outline of hills over n columns: float32 (n,), mostly within -1 to 1."""
    total = np.zeros(n, np.float32)
    for k in range(6):
        knots = rng.uniform(-1, 1, cells * 2**k + 2)
        at = np.linspace(0, cells * 2**k, n)
        low = at.astype(np.int64)
        part = at - low
        part = part * part * (3 - 2 * part)
        total += ((knots[low] * (1 - part) + knots[low + 1] * part) * rough**k).astype(np.float32)
    return total * np.float32(1 - rough)


def soft_step(distance: NDArray[Any], width: float) -> Floats:
    """Return 0 below zero and 1 above, with a soft edge `width` wide."""
    return np.asarray(np.clip(distance / width + 0.5, 0, 1), np.float32)


def plain(n: int, colour: Colour) -> Floats:
    """Start a picture: float32 (3, n, n), 0 to 255. Whole planes are what numpy does fastest."""
    base = np.empty((3, n, n), np.float32)
    base[:] = np.array(colour, np.float32)[:, None, None]
    return base


def lay(base: Floats, colour: Colour | Floats, cover: NDArray[Any]) -> None:
    """Paint `colour` over `base`, in place, where `cover` (n, n), 0 to 1, says."""
    share = cover.astype(np.float32, copy=False)
    for k in range(3):
        base[k] += (np.asarray(colour[k], np.float32) - base[k]) * share


def add_glow(base: Floats, colour: Colour, light: NDArray[Any]) -> None:
    """Add light (screen blending), in place."""
    share = np.clip(light, 0, 1).astype(np.float32, copy=False)
    for k in range(3):
        base[k] += (255 - base[k]) * share * np.float32(colour[k] / 255)


def gradient(stops: list[Colour], position: NDArray[Any]) -> Floats:
    """Run a gradient through evenly spaced colours; position 0 to 1, (n, n) or (n, 1)."""
    table = np.array(stops, np.float32)
    at = np.clip(position, 0, 1) * np.float32(len(stops) - 1)
    low = np.minimum(at.astype(np.int64), len(stops) - 2)
    part = (at - low).astype(np.float32)
    return np.stack([line[low] + (line[low + 1] - line[low]) * part for line in table.T])


def mix(one: Colour, two: Colour, share: float) -> Colour:
    """Mix two colours; `share` is the part of the second."""
    r, g, b = (round(p + (q - p) * share) for p, q in zip(one, two, strict=True))
    return r, g, b


def to_image(base: Floats) -> Image.Image:
    """Turn float32 (3, height, width), 0 to 255, into an RGB picture."""
    planes = np.clip(base, 0, 255).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes])


def to_planes(image: Image.Image) -> Floats:
    """Return an RGB picture as float32 (3, n, n)."""
    return np.stack([np.asarray(band, dtype=np.float32) for band in image.split()])


def blurred(field: NDArray[Any], radius: float) -> Floats:
    """Blur a field of 0 to 1 by a Gaussian of `radius` pixels."""
    grey = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8))
    coarse = max(1, int(radius / 2.5))
    blurred = grey.reduce(coarse).filter(ImageFilter.GaussianBlur(radius / coarse))
    blurred = blurred.resize(grey.size, Image.Resampling.BILINEAR)
    return np.asarray(blurred, dtype=np.float32) / np.float32(255)


def placed(points: Points, angle: float, x: float, y: float, scale: float = 1.0) -> Points:
    """Turn points about the origin by `angle` radians, scale, then move them to (x, y)."""
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    return [(x + p * cos - q * sin, y + p * sin + q * cos) for p, q in points]


def spline(points: Points, steps: int = 10, *, closed: bool = True) -> Points:
    """Run a Catmull-Rom spline through the points."""
    p = np.array(points)
    p = np.vstack([p[-1], p, p[:2]]) if closed else np.vstack([p[0], p, p[-1], p[-1]])
    t = (np.arange(steps) / steps)[:, None]
    out: Points = []
    for k in range(len(p) - 3):
        a, b, c, d = p[k : k + 4]
        cubic = (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
        out += [(float(u), float(v)) for u, v in 0.5 * (2 * b + (c - a) * t + cubic)]
    return out


class Pen:
    """Draws flat shapes in the unit square, at twice the size, so that edges come out smooth."""

    def __init__(self, n: int, ground: Colour | int) -> None:
        self.side = 2 * n
        mode = "L" if isinstance(ground, int) else "RGB"
        self.image = Image.new(mode, (self.side, self.side), ground)
        self.draw = ImageDraw.Draw(self.image)

    def _scaled(self, points: Points) -> Points:
        return [(x * self.side, y * self.side) for x, y in points]

    def shape(self, points: Points, fill: Colour | int) -> None:
        """Fill a polygon."""
        self.draw.polygon(self._scaled(points), fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour | int) -> None:
        """Fill a rectangle."""
        self.draw.rectangle([v * self.side for v in (x0, y0, x1, y1)], fill=fill)

    def disc(self, x: float, y: float, r: float, fill: Colour | int) -> None:
        """Fill a disc."""
        self.draw.ellipse([v * self.side for v in (x - r, y - r, x + r, y + r)], fill=fill)

    def slice(self, x: float, y: float, r: float, turn: tuple[float, float], fill: Colour) -> None:
        """Fill a slice of a disc, between two angles in degrees."""
        frame = [v * self.side for v in (x - r, y - r, x + r, y + r)]
        self.draw.pieslice(frame, *turn, fill=fill)

    def line(self, points: Points, width: float, fill: Colour | int) -> None:
        """Draw a line through the points."""
        pixels = max(1, round(width * self.side))
        self.draw.line(self._scaled(points), fill=fill, width=pixels, joint="curve")

    def done(self) -> Image.Image:
        """Return the drawing, n by n."""
        return self.image.reduce(2)

    def mask(self) -> Floats:
        """Return a drawing in greys as float32 (n, n), 0 to 1."""
        return np.asarray(self.done(), dtype=np.float32) / np.float32(255)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise UsageError("Pillow was built without FreeType; install a Pillow wheel from PyPI")
    return font


def lettering(text: str, height: int, *, wide: float, bold: float, gap: float) -> Image.Image:
    """Set one line of type as a mask (mode L), about `height` pixels high.

    `wide` stretches the letters, `bold` thickens them, and `gap` spaces them, in parts of height.
    """
    height = max(6, height)
    font = _font(height)
    stroke = bold * height
    steps = [font.getlength(letter) + gap * height + stroke for letter in text]
    mask = Image.new("L", (int(sum(steps) + 2 * stroke + height), int(1.35 * height + 2 * stroke)))
    draw, x = ImageDraw.Draw(mask), stroke + 1.0
    for letter, step in zip(text, steps, strict=True):
        draw.text((x, stroke), letter, fill=255, font=font, stroke_width=stroke)
        x += step
    mask = mask.crop(mask.getbbox())
    return mask.resize((max(1, round(mask.width * wide)), mask.height), Image.Resampling.BILINEAR)


def shrunk(mask: Image.Image, width: int, height: int) -> Image.Image:
    """Make a mask fit into a box, never enlarging it."""
    scale = min(1.0, width / mask.width, height / mask.height)
    size = (max(1, int(mask.width * scale)), max(1, int(mask.height * scale)))
    return mask if scale == 1.0 else mask.resize(size, Image.Resampling.BICUBIC)


def luminance(image: Image.Image) -> Floats:
    """Return the greys of a picture, float32 (n, n), 0 to 1."""
    return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)


def halftone_dots(n: int, frequency: float, angle: float) -> Floats:
    """Halftone threshold, (n, n), 0 to 1: ink wherever the darkness exceeds it."""
    x, y = unit_grid(n)
    cos, sin = (math.cos(angle) * frequency * TAU, math.sin(angle) * frequency * TAU)
    return np.asarray(0.5 + 0.25 * (np.cos(x * cos + y * sin) + np.cos(y * cos - x * sin)))


def tinted(n: int, ground: Colour, ink: Colour, cover: NDArray[Any]) -> Floats:
    """Start a picture in one colour, with another over it where `cover` says."""
    base = plain(n, ground)
    lay(base, ink, cover)
    return base


def fill(part: Floats, colour: Colour) -> None:
    """Fill a part of a picture, (3, height, width), in place."""
    part[:] = np.array(colour, np.float32)[:, None, None]


LEAF = [
    ((1 - math.cos(t)) / 2, math.sin(t) ** 1.3 * (1 - 0.25 * math.cos(t)))
    for t in (math.pi * k / 9 for k in range(10))
]
"""How far along a leaf, and how wide there, both in parts."""


def leaf_outline(x: float, y: float, angle: float, long: float, wide: float) -> Points:
    """Outline a pointed leaf that starts at (x, y) and points along `angle`."""
    upper = [(run * long, -half * wide) for run, half in LEAF]
    lower = [(run, -half) for run, half in reversed(upper)]
    return placed(upper + lower, angle, x, y)
