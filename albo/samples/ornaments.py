"""Styles that show a pattern or a thing: particle swirl, botanical, torn collage, one line."""

# ruff: noqa: PLR2004
# A drawing is made of numbers; a name for each would hide it.

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from albo.samples.paint import (
    TAU,
    Brief,
    Colour,
    Pen,
    Points,
    add_glow,
    blurred,
    halftone_dots,
    lay,
    leaf_outline,
    mix,
    plain,
    ridge_line,
    smooth_noise,
    soft_step,
    spline,
    stretched,
    tinted,
    to_image,
    to_planes,
    unit_grid,
)
from albo.samples.people import profile
from albo.samples.plan import STYLES

if TYPE_CHECKING:
    from albo.records import Floats


def draw_swirl(b: Brief) -> Image.Image:
    """Draw the trails of thousands of particles in a flow."""
    n, count, steps = b.n, int(b.near(3000, 9000)), 40
    px, py, colour = _trails(b, count, steps)
    kept = (px >= 0) & (px < 1) & (py >= 0) & (py < 1)
    cell = (py[kept] * n).astype(np.int64) * n + (px[kept] * n).astype(np.int64)
    which = np.broadcast_to(colour, px.shape)[kept]
    layers = np.bincount(which * (n * n) + cell, minlength=3 * n * n).reshape(3, n, n)
    density = layers.astype(np.float32)
    density *= np.float32((n / 500) ** 2)
    density = np.log1p(density * np.float32(b.near(0.7, 1.6))) / np.float32(2.6)
    pal = b.palette
    if b.hand.random() < 0.72:  # most are light on dark
        base = plain(n, mix(pal.dark, (4, 4, 8), 0.55))
        for k, tint in enumerate((pal.a, pal.b, pal.light)):
            add_glow(base, tint, density[k] * 1.1 + blurred(density[k], n / 60) * 0.5)
    else:
        base = plain(n, mix(pal.light, (252, 250, 245), 0.5))
        for k, tint in enumerate((pal.a, pal.c, pal.dark)):
            lay(base, tint, np.clip(density[k] * 1.2, 0, 1))
    return to_image(base)


def _trails(b: Brief, count: int, steps: int) -> tuple[Floats, Floats, np.ndarray]:
    """Follow particles: x and y, (steps, count), and each one's colour, 0 to 2."""
    kind = min(3, b.pick(5))
    if kind == 3:
        return _attractor(b, 9000, steps)
    if kind == 0:
        x, y = b.rng.normal(0.5, b.near(0.08, 0.35), (2, count))
    else:
        turn, r = b.rng.random(count) * TAU, np.abs(b.rng.normal(b.near(0.15, 0.3), 0.06, count))
        x, y = 0.5 + r * np.cos(turn), 0.5 + r * np.sin(turn)
    side = 128
    flow = smooth_noise(b.rng, side, int(b.near(2, 5)), 2)
    down, across = np.gradient(flow * np.float32(side))
    centre = b.near(0.35, 0.65), b.near(0.35, 0.6)
    spin, pull = (0.0, 0.9, 1.6)[kind] * np.sign(b.hand.random() - 0.5), b.near(-0.2, 0.3)
    sorting = (np.hypot(x - 0.5, y - 0.5), x, np.arctan2(y - 0.5, x - 0.5), x + y)[b.pick(4)]
    colour = (np.argsort(np.argsort(sorting)) * 3) // count
    xs, ys = np.empty((steps, count), np.float32), np.empty((steps, count), np.float32)
    speed = b.near(0.0035, 0.008)
    for k in range(steps):
        at = (
            (np.clip(y, 0, 0.999) * side).astype(np.int64),
            (np.clip(x, 0, 0.999) * side).astype(np.int64),
        )
        dx, dy = x - centre[0], y - centre[1]
        reach = np.hypot(dx, dy) + 0.05
        vx = down[at] * 0.12 + spin * (-dy / reach) - pull * dx
        vy = -across[at] * 0.12 + spin * (dx / reach) - pull * dy
        x, y = x + vx * speed, y + vy * speed
        xs[k], ys[k] = x, y
    return xs, ys, colour


def _attractor(b: Brief, count: int, steps: int) -> tuple[Floats, Floats, np.ndarray]:
    """Iterate a Clifford attractor (Pickover 1990): x' = sin(ay) + c cos(ax), y alike."""
    a, c = b.near(-2.0, -1.4, 0.5), b.near(0.6, 1.2, 0.5)
    d, e = b.near(1.4, 2.0, 0.5), b.near(0.4, 1.1, 0.5)
    x, y = b.rng.random((2, count)) - 0.5
    xs, ys = np.empty((steps, count), np.float32), np.empty((steps, count), np.float32)
    for k in range(-12, steps):
        x, y = np.sin(a * y) + c * np.cos(a * x), np.sin(d * x) + e * np.cos(d * y)
        xs[max(k, 0)], ys[max(k, 0)] = x, y
    turn, scale = b.near(0, 3), b.near(0.18, 0.26)
    u, v = xs * np.cos(turn) - ys * np.sin(turn), xs * np.sin(turn) + ys * np.cos(turn)
    colour = (np.arange(count) * 3) // count
    return 0.5 + u * np.float32(scale), 0.5 + v * np.float32(scale), colour


def _flower(b: Brief, pen: Pen, at: tuple[float, float], r: float, inks: list[Colour]) -> None:
    x, y = at
    petals, slim = int(b.near(5, 13)), b.near(0.18, 0.42)
    start = float(b.rng.random())
    for ring, ink in ((1.0, inks[0]), (0.62, inks[1])):
        for k in range(petals):
            angle = (k + start + ring) / petals * TAU
            pen.shape(leaf_outline(x, y, angle, r * ring, r * slim * ring), ink)
    pen.disc(x, y, r * 0.2, inks[2])


def _sprig(
    b: Brief, pen: Pen, root: tuple[float, float, float], long: float, inks: list[Colour]
) -> tuple[float, float]:
    """Grow a bent stem with pairs of leaves from x, y at an angle; return its tip."""
    bend, pairs, wide = b.near(-1.2, 1.2, 0.6), int(b.near(4, 8)), b.near(0.1, 0.24)
    x, y, angle = root
    path = [(x, y)]
    for k in range(pairs * 2):
        angle += bend / (pairs * 2)
        x, y = x + np.cos(angle) * long / (pairs * 2), y + np.sin(angle) * long / (pairs * 2)
        path.append((float(x), float(y)))
        if k % 2:
            size = long * 0.34 * (1 - 0.55 * k / (pairs * 2))
            for side in (-0.9, 0.9):
                leaf = leaf_outline(x, y, angle + side, size, size * wide)
                pen.shape(leaf, inks[0])
                tip = leaf[len(leaf) // 2 - 1]
                pen.line([(float(x), float(y)), tip], 0.0022, inks[1])
    pen.line(path, 0.007, inks[0])
    return float(x), float(y)


def draw_botanical(b: Brief) -> Image.Image:
    """Draw leaves and flowers: a bouquet, a wreath or a wallpaper."""
    pal = b.palette
    ground = (pal.light, pal.dark, mix(pal.dark, pal.c, 0.4), mix(pal.light, pal.b, 0.25))[
        b.pick(4, 0.85)
    ]
    bright = sum(ground) > 380  # half of white
    green = mix((pal.a, pal.c, pal.b)[int(b.hand.integers(3))], (64, 110, 72), 0.45)
    leaf = mix(green, pal.dark if bright else pal.light, 0.25)
    inks = [leaf, ground, pal.a, pal.b, pal.light if not bright else pal.dark]
    pen = Pen(b.n, ground)
    (_bouquet, _wreath, _wallpaper)[b.pick(3)](b, pen, inks)
    if b.hand.random() < 0.6:  # most have a frame
        gap, thin = 0.035, 0.004
        for inset, width in ((gap, thin), (gap + 0.014, thin / 2)):
            far = 1 - inset
            loop = [(inset, inset), (far, inset), (far, far), (inset, far), (inset, inset)]
            pen.line(loop, width, inks[4])
    return pen.done()


def _bouquet(b: Brief, pen: Pen, inks: list[Colour]) -> None:
    """Grow sprigs and flowers up from one root, then mirror the left half."""
    for k in range(int(b.near(3, 6))):
        angle = -np.pi / 2 - 0.12 - 0.36 * k
        high = 0.62 - 0.06 * k
        tip = _sprig(b, pen, (0.5, 0.9, angle), high, inks[:2])
        _flower(b, pen, tip, b.near(0.07, 0.14, 0.6), inks[2:])
    half = pen.image.crop((0, 0, pen.side // 2, pen.side))
    mirrored = half.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pen.image.paste(mirrored, (pen.side - pen.side // 2, 0))
    _flower(b, pen, (0.5, b.near(0.3, 0.55)), b.near(0.1, 0.19), inks[2:])


def _wreath(b: Brief, pen: Pen, inks: list[Colour]) -> None:
    """Lay sprigs in a ring, with flowers between them, and leave the middle to the title."""
    count, r = int(b.near(6, 12)), b.near(0.29, 0.36)
    for k in range(count):
        turn = k / count * TAU
        x, y = 0.5 + r * np.cos(turn), 0.5 + r * np.sin(turn)
        _sprig(
            b, pen, (float(x), float(y), turn + b.near(0.6, 1.9, 0.1)), b.near(0.2, 0.32), inks[:2]
        )
    for k in range(count):
        turn = (k + 0.4) / count * TAU
        size = b.near(0.04, 0.09, 0.5) * (1.3 if k % 2 else 0.8)
        _flower(b, pen, (0.5 + r * np.cos(turn), 0.5 + r * np.sin(turn)), size, inks[2:])


def _wallpaper(b: Brief, pen: Pen, inks: list[Colour]) -> None:
    """Repeat one sprig and one flower in offset rows, all over."""
    k = int(b.near(3, 6))
    step = 1.0 / k
    state = b.rng.bit_generator.state
    for row in range(-1, k + 1):
        for column in range(-1, k + 1):
            b.rng.bit_generator.state = state
            x, y = (column + 0.5 * (row % 2) + 0.5) * step, (row + 0.9) * step
            tip = _sprig(b, pen, (x, y, -1.9 + 0.7 * (row % 2)), step * 0.85, inks[:2])
            _flower(b, pen, tip, step * 0.24, inks[2:])


def draw_collage(b: Brief) -> Image.Image:
    """Lay torn papers over each other."""
    n = b.n
    pal = b.palette
    ground = (pal.light, mix(pal.light, (196, 164, 120), 0.6), pal.dark, pal.c)[b.pick(4, 0.85)]
    base = plain(n, ground)
    base += smooth_noise(b.rng, n, 90, 2) * 5
    pieces = 4 + b.pick(3)
    for k in range(pieces):
        reach = float(b.rng.uniform(0.2, 0.42)) * (1.15 if k == 0 else 0.85)
        centre = float(b.rng.uniform(0.2, 0.8)), float(b.rng.uniform(0.25, 0.8))
        _paste_torn(b, base, _paper_piece(b, k), centre, reach)
    return to_image(base)


def _paper_piece(b: Brief, k: int) -> Floats | Colour:
    """Choose a paper: flat, striped, dotted, newsprint, or a piece of another picture."""
    pal = b.palette
    x, y = unit_grid(b.n)
    tint = (pal.a, pal.b, pal.c, pal.dark, pal.light)[int(b.rng.integers(5))]
    kind = 5 if k == 1 and b.rng.random() < 0.6 else int(b.rng.integers(5))
    if kind == 5:
        return to_planes(b.guest(tuple(s for s in STYLES if s != "Torn collage")))
    if kind == 1:
        angle = float(b.rng.random() * np.pi)
        band = np.sin((x * np.cos(angle) + y * np.sin(angle)) * TAU * float(b.rng.uniform(8, 30)))
        return tinted(b.n, pal.light, tint, soft_step(band, 0.3))
    if kind == 2:
        dots = soft_step(
            np.float32(0.45) - halftone_dots(b.n, float(b.rng.uniform(20, 50)), 0.4), 0.2
        )
        return tinted(b.n, pal.light, tint, dots)
    if kind == 3:
        return _newsprint(b)
    return tint


def _newsprint(b: Brief) -> Floats:
    """Fill a page with lines of grey words, in columns."""
    rows, columns = 56, 130
    words = b.rng.random((rows, columns)) < 0.8
    words[1::2] = False
    words[:, :: columns // 4] = False
    grey = Image.fromarray((words * 190).astype(np.uint8), "L")
    grey = grey.resize((b.n, b.n), Image.Resampling.NEAREST).rotate(float(b.rng.uniform(-30, 30)))
    return tinted(b.n, (232, 226, 210), (52, 48, 46), np.asarray(grey, np.float32) / 255)


def _paste_torn(
    b: Brief, base: Floats, paper: Floats | Colour, centre: tuple[float, float], reach: float
) -> None:
    """Tear a piece out of the paper (white fibres at its rim) and lay it down with a shadow."""
    n = b.n
    x, y = unit_grid(n // 2)
    inside = np.full_like(x, 1.0)
    turn = float(b.rng.random() * TAU)
    sides = int(b.rng.integers(3, 6))
    if b.rng.random() < 0.2:
        inside = reach * np.float32(0.8) - np.hypot(x - centre[0], y - centre[1])
    else:
        for k in range(sides):
            angle = turn + (k + float(b.rng.uniform(-0.25, 0.25))) / sides * TAU
            far = reach * float(b.rng.uniform(0.55, 0.95))
            plane = far - (x - centre[0]) * np.cos(angle) - (y - centre[1]) * np.sin(angle)
            np.minimum(inside, plane.astype(np.float32), out=inside)
    inside = stretched(inside + np.float32(0.012) * smooth_noise(b.rng, n // 2, 14, 4), n)
    sheet = soft_step(inside, 0.004)
    shadow, down, right = np.zeros_like(sheet), max(1, n // 90), max(1, n // 120)
    shadow[down:, right:] = blurred(sheet, n / 70)[:-down, :-right]
    lay(base, (12, 10, 14), shadow * (1 - sheet) * np.float32(0.55))
    lay(base, (246, 243, 236), sheet)
    rim = np.float32(0.007) + np.float32(0.006) * smooth_noise(b.rng, n, 30, 1)
    lay(base, paper, soft_step(inside - np.maximum(rim, 0.001), 0.003))


def draw_line(b: Brief) -> Image.Image:
    """Draw a single line on plain paper."""
    pal = b.palette
    grounds = (
        (248, 246, 240), (238, 236, 231), (20, 20, 22), pal.light,
        mix(pal.light, pal.b, 0.3), mix(pal.dark, (20, 20, 20), 0.4), (214, 211, 204),
    )  # fmt: skip
    ground = grounds[b.pick(7, 0.9)]
    bright = sum(ground) > 380  # half of white
    ink = mix(pal.dark, (20, 20, 20), 0.5) if bright else mix(pal.light, (245, 245, 245), 0.5)
    pen = Pen(b.n, ground)
    width = b.near(0.0035, 0.016, 0.15)
    if b.hand.random() < 0.35:  # some set one spot of colour
        pen.disc(b.near(0.25, 0.75), b.near(0.25, 0.7), b.near(0.04, 0.16), pal.a)
    kinds = (_line_face, _line_wave, _line_spiral, _line_hills, _line_knot, _line_scribble)
    pen.line(kinds[b.pick(6, 0.6)](b), width, ink)
    base = to_planes(pen.done()).copy()
    base += smooth_noise(b.rng, b.n, 130, 1) * 3
    return to_image(base)


def _line_face(b: Brief) -> Points:
    scale = b.near(0.55, 0.9)
    move, low = b.near(0.05, 0.35), b.near(0.05, 0.25)
    face = [(move + x * scale, low + y * scale) for x, y in profile(b)]
    return face[len(face) // 7 : -len(face) // 9]


def _line_wave(b: Brief) -> Points:
    t = np.linspace(0, 1, 700)
    rise, quick = b.near(0.06, 0.26), b.near(5, 34)
    shape = np.exp(-(((t - b.near(0.35, 0.65)) / b.near(0.1, 0.28)) ** 2))
    y = b.near(0.4, 0.65) - rise * shape * np.sin(t * TAU * quick)
    inset = b.near(0.0, 0.14)
    return list(zip((inset + t * (1 - 2 * inset)).tolist(), y.tolist(), strict=True))


def _line_spiral(b: Brief) -> Points:
    turns, r = b.near(3, 11), b.near(0.2, 0.38)
    t = np.linspace(0, 1, 900)
    angle = t * turns * TAU
    wobble = 1 + b.near(0.0, 0.12) * np.sin(angle * b.near(2.1, 5.3))
    x = b.near(0.42, 0.58) + r * t * wobble * np.cos(angle)
    y = b.near(0.42, 0.55) + r * t * wobble * np.sin(angle)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _line_hills(b: Brief) -> Points:
    top = b.near(0.45, 0.7) + b.near(0.08, 0.3) * ridge_line(b.rng, 500, int(b.near(2, 5)), 0.45)
    return list(zip(np.linspace(-0.01, 1.01, 500).tolist(), top.tolist(), strict=True))


def _line_knot(b: Brief) -> Points:
    t = np.linspace(0, TAU, 900)
    p, q = int(b.near(2, 6, 0.8)), int(b.near(3, 8, 0.8))
    r, lobes = b.near(0.22, 0.34), b.near(0.2, 0.7)
    radius = r * (1 + lobes * np.cos(q * t)) / (1 + lobes)
    x, y = 0.5 + radius * np.cos(p * t), 0.5 + radius * np.sin(p * t)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _line_scribble(b: Brief) -> Points:
    """Wander like a pencil that is never lifted."""
    count = int(b.near(8, 26))
    spread = b.near(0.1, 0.2)
    knots = np.clip(b.rng.normal(0.5, spread, (count, 2)), 0.08, 0.92)
    return spline([(float(u), float(v)) for u, v in knots], 24, closed=False)
