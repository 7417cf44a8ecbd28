"""Pictures that are no covers: blank, fading, noise, shapes, screens, pages of text, charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SIDE = 600
_WORDS = [
    *("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by"),
    *("had", "an", "they", "which", "one", "you", "were", "all", "her", "there", "would", "their"),
    *("record", "label", "street", "window", "summer", "station", "letter", "question", "number"),
]
_MOST = 0.85  # of the lines of a page have text


def _colour(random: Random) -> tuple[int, int, int]:
    return random.randrange(256), random.randrange(256), random.randrange(256)


def _numbers(random: Random) -> np.random.Generator:
    return np.random.default_rng(random.randrange(1 << 30))


def make_blank(random: Random) -> Image.Image:
    """Fill with one colour: white, black, or any."""
    plain = [(255, 255, 255), (0, 0, 0), (128, 128, 128)]
    return Image.new("RGB", (SIDE, SIDE), random.choice([*plain, _colour(random)]))


def make_fade(random: Random) -> Image.Image:
    """Let one colour fade into another, in any direction."""
    ramp = Image.linear_gradient("L").resize((SIDE, SIDE)).rotate(90 * random.randrange(4))
    grounds = [Image.new("RGB", (SIDE, SIDE), _colour(random)) for _ in range(2)]
    return Image.composite(*grounds, ramp)


def make_noise(random: Random) -> Image.Image:
    """Draw independent grains of one to 20 pixels, grey or in colour."""
    numbers, side = _numbers(random), random.choice([30, 60, 150, 300, SIDE])
    shape = (side, side, 3) if random.choice([True, False]) else (side, side)
    grains = numbers.integers(0, 256, shape).astype(np.uint8)
    image = Image.fromarray(grains).convert("RGB")
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def make_shapes(random: Random) -> Image.Image:
    """Draw some rectangles, ellipses and lines on a plain ground."""
    image = Image.new("RGB", (SIDE, SIDE), random.choice(["white", "black", _colour(random)]))
    draw = ImageDraw.Draw(image)
    for _ in range(random.randint(1, 8)):
        x, y = sorted(random.sample(range(SIDE), 2)), sorted(random.sample(range(SIDE), 2))
        box = (x[0], y[0], x[1] + 1, y[1] + 1)
        kind = random.choice(["rectangle", "ellipse", "line"])
        options = {"width": random.randint(1, 12)} if kind == "line" else {}
        getattr(draw, kind)(box, fill=_colour(random), **options)
    return image


def _line(random: Random, words: int) -> str:
    return " ".join(random.choice(_WORDS) for _ in range(words)).capitalize()


def make_page(random: Random) -> Image.Image:
    """Write a page of text, in paragraphs, dark on light."""
    image = Image.new("RGB", (SIDE, SIDE), random.choice(["white", "#fbf7ec", "#f4f4f4"]))
    draw, size = ImageDraw.Draw(image), random.randint(11, 22)
    font, y = ImageFont.load_default(size), random.randint(10, 50)
    while y < SIDE - size:
        if random.random() < _MOST:
            draw.text((30, y), _line(random, 540 // (size * 3)), font=font, fill="#222222")
        y += int(size * 1.5)
    return image


def make_screen(random: Random) -> Image.Image:
    """Draw the window of a program: a bar of buttons, a list at the side, rows of text."""
    is_dark = random.choice([True, False])
    ground, ink = ("#1e1e1e", "#d4d4d4") if is_dark else ("#ffffff", "#24292f")
    panel = "#252526" if is_dark else "#f0f0f0"
    image = Image.new("RGB", (SIDE, SIDE), ground)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    draw.rectangle((0, 0, SIDE, 28), fill=panel)
    for place, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        draw.ellipse((10 + 20 * place, 9, 20 + 20 * place, 19), fill=colour)
    draw.text((90, 7), _line(random, 3), font=font, fill=ink)
    draw.rectangle((0, 29, 140, SIDE), fill=panel)
    for y in range(40, SIDE, 22):
        draw.text((12, y), _line(random, 2), font=font, fill=ink)
        indent = 20 * random.randrange(4)
        if random.random() < _MOST:
            colour = random.choice([ink, ink, "#569cd6", "#ce9178", "#6a9955"])
            words = random.randint(2, 8)
            draw.text((155 + indent, y), _line(random, words), font=font, fill=colour)
    return image


def make_chart(random: Random) -> Image.Image:
    """Draw bars or a curve between two axes."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    draw.line((60, 40, 60, 540, 560, 540), fill="black", width=2)
    heights = [random.randint(20, 480) for _ in range(random.randint(4, 14))]
    step, colour = 480 // len(heights), _colour(random)
    tops = [(70 + step * at + step // 2, 540 - height) for at, height in enumerate(heights)]
    if random.choice([True, False]):
        draw.line(tops, fill=colour, width=3)
    else:
        for x, y in tops:
            draw.rectangle((x - step // 3, y, x + step // 3, 540), fill=colour)
    for at, (x, _) in enumerate(tops):
        draw.text((x, 548), str(at + 1), font=font, fill="black", anchor="ma")
    draw.text((300, 15), _line(random, 4), font=font, fill="black", anchor="ma")
    return image


KINDS: dict[str, Callable[[Random], Image.Image]] = {
    "blank": make_blank,
    "fading": make_fade,
    "noise": make_noise,
    "shapes": make_shapes,
    "page of text": make_page,
    "screen": make_screen,
    "chart": make_chart,
}
"""By name: what draws such a picture."""
