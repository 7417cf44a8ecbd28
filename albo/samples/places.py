"""Styles that show a place: watercolour landscape, neon grid, concrete blocks."""

# ruff: noqa: PLR2004
# A drawing is made of numbers; a name for each would hide it.

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from albo.samples.paint import (
    TAU,
    Brief,
    Colour,
    Field,
    Pen,
    add_glow,
    blurred,
    gradient,
    lay,
    leaf_outline,
    mix,
    plain,
    ridge_line,
    smooth_noise,
    soft_step,
    to_image,
    to_planes,
    unit_grid,
)

if TYPE_CHECKING:
    from albo.records import Floats


def draw_watercolour(b: Brief) -> Image.Image:
    """Wash hills over each other, paler with distance."""
    n = b.n
    x, y = unit_grid(n)
    pal = b.palette
    paper = mix(pal.light, (250, 248, 242), 0.7)
    base = plain(n, paper)
    grain = smooth_noise(b.rng, n, 150, 1)
    wash = smooth_noise(b.rng, n, 3, 4)
    sky = np.clip((b.near(0.5, 0.8) - y) * 1.1 + 0.35 * wash, 0, 0.85)
    lay(base, pal[2 + int(b.hand.integers(3))], sky)
    sx, sy, r = b.near(0.2, 0.8), b.near(0.15, 0.4), b.near(0.05, 0.11)
    sun = soft_step(r + 0.008 * wash - np.hypot(x - sx, y - sy), 0.02)
    lay(base, (paper, pal.a, pal.b)[b.pick(3)], sun * np.float32(0.85))
    count, far, near = 3 + b.pick(4), pal[2 + int(b.hand.integers(3))], pal.dark
    start, high, rough = b.near(0.32, 0.55), b.near(0.05, 0.2), b.near(0.35, 0.62)
    for k in range(count):
        share = (k + 1) / count
        top = (
            start
            + (1.0 - start) * 0.85 * (k / count)
            + high * ridge_line(b.rng, n, 2 + k % 3, rough)
        )
        depth = y - top + 0.004 * grain
        stain = soft_step(depth, 0.006) * (0.62 + 0.25 * np.exp(-np.maximum(depth, 0) * 60))
        stain *= np.clip(1 - depth * b.near(0.5, 2.2) + 0.3 * wash, 0.3, 1)
        lay(base, mix(mix(far, paper, 0.35), near, share**1.6 * 0.9), np.clip(stain, 0, 1))
    if b.pick(2):
        base = _reflect(base, b.near(0.62, 0.78))
    base += grain * 4 + smooth_noise(b.rng, n, 60, 2) * 5
    rim = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    border = b.near(0.0, 0.09) + 0.008 * smooth_noise(b.rng, n, 16, 3)
    lay(base, paper, 1 - soft_step(rim - border, 0.006))
    return to_image(base)


def _reflect(base: Floats, shore: float) -> Floats:
    """Mirror what is above the shore in the water below it, paler and drawn out."""
    n = base.shape[1]
    row = int(n * shore)
    below = np.arange(n - row)
    source = np.clip(row - 1 - below * 1.3, 0, n - 1).astype(np.int64)
    out = base.copy()
    out[:, row:] = base[:, source] * 0.82 + 40
    ripples = (np.sin(below * 0.9) > 0.86) & (below > n * 0.02)  # thin lines
    out[:, row:][:, ripples] += 22
    return out


def draw_neon(b: Brief) -> Image.Image:
    """Draw a glowing grid or sea under a sun, a planet, pyramids or gates."""
    n = b.n
    x, y = unit_grid(n)
    pal = b.palette
    horizon = b.near(0.36, 0.78)
    night = mix(pal.dark, (8, 4, 24), 0.6)
    skies = (
        [night, mix(night, pal.b, 0.55), mix(pal.a, pal.b, 0.3)],
        [night, mix(night, pal.c, 0.7), mix(pal.c, pal.light, 0.3)],
        [mix(night, pal.a, 0.5), pal.a, mix(pal.b, pal.light, 0.4)],
        [night, night, mix(night, pal.a, 0.6)],
    )
    sky = skies[b.pick(4, 0.85)]
    base = gradient(sky, np.clip(y[:, :1] / horizon, 0, 1) ** b.near(1.2, 2.6)) + 0 * x
    stars = (b.rng.random((n, n), dtype=np.float32) > 0.9985) & (y < horizon * 0.8)
    base[:, stars] = 240
    sx = b.near(0.2, 0.8)
    subjects = (_neon_sun, _neon_pyramid, _neon_sun, _neon_planet, _neon_gates)
    subjects[b.pick(5)](b, base, sx, horizon)
    if b.hand.random() < 0.5:  # most have hills
        top = horizon - 0.1 * np.abs(ridge_line(b.rng, n, 4, 0.6)) * (0.3 + 2 * np.abs(x[0] - sx))
        hills = (y > top) & (y < horizon)
        lay(base, night, hills)
        add_glow(base, pal.c, np.exp(-(((y - top) * n / 1.6) ** 2)) * (y < horizon))
    floor = y > horizon
    lay(base, mix(night, (0, 0, 0), 0.4), floor)
    tint = (pal.a, pal.c, pal.b)[int(b.hand.integers(3))]
    if b.hand.random() < 0.7:
        lines = _floor_lines(b, n, horizon, sx)
    else:  # a calm sea with the light on it
        depth = np.maximum(y - horizon, 0)
        streak = np.sin(np.sqrt(depth) * b.near(60, 140) + 3 * smooth_noise(b.rng, n, 8, 2))
        reach = np.abs(x - sx) / (b.near(0.06, 0.2) + depth * b.near(0.1, 0.8))
        lines = soft_step(streak - reach, 0.6) * (y > horizon)
    add_glow(base, tint, lines + blurred(lines, n / 90) * 0.9)
    add_glow(base, pal.a, np.exp(-np.abs(y - horizon) * b.near(14, 60)) * 0.7)
    if b.hand.random() < 0.4:
        lay(base, mix(night, (0, 0, 0), 0.6), _palms(b))
    return to_image(base)


def _palms(b: Brief) -> Field:
    """Stand palm trees at the sides, as silhouettes."""
    pen = Pen(b.n, 0)
    for _ in range(int(b.near(1, 5))):
        left = float(b.rng.choice((b.rng.uniform(0.0, 0.25), b.rng.uniform(0.75, 1.0))))
        top, lean = float(b.rng.uniform(0.2, 0.55)), float(b.rng.uniform(-0.1, 0.1))
        trunk = [(left + lean * t * t, 1 - (1 - top) * t) for t in np.linspace(0, 1, 12).tolist()]
        pen.line(trunk, 0.014, 255)
        x, y = trunk[-1]
        for k in range(11):
            angle = -math.pi * (k / 10) * 1.2 + 0.3
            long = float(b.rng.uniform(0.1, 0.2))
            pen.shape(leaf_outline(x, y, angle, long, 0.012), 255)
            bent = (x + math.cos(angle) * long * 0.6, y + math.sin(angle) * long * 0.6)
            pen.shape(leaf_outline(*bent, angle * 0.6 + 0.7, long * 0.6, 0.012), 255)
    return pen.mask()


def _neon_gates(b: Brief, base: Floats, sx: float, horizon: float) -> None:
    """Hang neon frames one behind the other, down to the horizon."""
    n = base.shape[1]
    pen, corners = Pen(n, 0), int(b.hand.choice((3, 4, 6, 40)))
    count, grow = int(b.near(3, 9)), b.near(1.3, 1.9)
    turn = math.pi / corners if corners == 4 else -math.pi / 2
    for k in range(count):
        r = 0.045 * grow**k
        loop = [
            (
                sx + r * math.cos(turn + TAU * c / corners),
                horizon + r * math.sin(turn + TAU * c / corners),
            )
            for c in range(corners + 1)
        ]
        pen.line(loop, 0.003 + 0.0022 * k, 255)
    lines = pen.mask()
    add_glow(base, b.palette.b, blurred(lines, n / 30) * 1.8)
    add_glow(base, mix(b.palette.b, (255, 255, 255), 0.5), lines + blurred(lines, n / 100))


def _floor_lines(b: Brief, n: int, horizon: float, sx: float) -> Field:
    """Glow of a grid on the floor, running to the horizon: (n, n), 0 to 1."""
    x, y = unit_grid(n)
    depth = np.maximum(y - horizon, 0.5 / n)
    dense, far = b.near(5, 13), b.near(0.35, 0.7)
    u = (x - sx) / depth * 0.5 * dense * far
    v = far * dense / depth * 0.35 + b.rng.random()
    du = 0.5 * dense * far / depth / n
    dv = far * dense * 0.35 / depth**2 / n
    thick = np.float32(n / 420)
    across = np.abs((u + 0.5) % 1 - 0.5) / du
    along = np.abs((v + 0.5) % 1 - 0.5) / dv
    near = np.clip(depth * 9, 0, 1) * (y > horizon)
    glow = np.exp(-((across / thick) ** 2)) + np.exp(-((along / thick) ** 2))
    return np.asarray(np.clip(glow, 0, 1) * near)


def _neon_sun(b: Brief, base: Floats, sx: float, horizon: float) -> None:
    n = base.shape[1]
    x, y = unit_grid(n)
    r, sy = b.near(0.1, 0.34), horizon - b.near(0.06, 0.22)
    reach = np.hypot(x - sx, y - sy)
    disc = soft_step(r - reach, 0.004)
    part = np.clip((y - sy + r) / (2 * r), 0, 1)
    slots = (part * b.near(9, 15)) % 1
    disc *= soft_step(slots - np.clip((part - 0.4) * 1.1, 0, 0.9), 0.1)
    add_glow(base, b.palette.a, np.exp(-np.maximum(reach - r, 0) * 9) * 0.5)
    top = mix(b.palette.b, (255, 236, 130), b.near(0.3, 1.0))
    lay(base, gradient([top, b.palette.a, mix(b.palette.a, b.palette.c, 0.5)], part), disc)


def _neon_pyramid(b: Brief, base: Floats, sx: float, horizon: float) -> None:
    n = base.shape[1]
    wide, high, layers = b.near(0.2, 0.36), b.near(0.28, 0.42), int(b.near(1, 5))
    pen = Pen(n, 0)
    turn = 0 if b.hand.random() < 0.6 else 1  # some stand on the tip
    for k in range(layers):
        s = 1 - k / (layers + 0.5)
        base_y, tip = horizon - 0.03 - high * 0.12 * k, horizon - 0.03 - high * (0.12 * k + s)
        y0, y1 = (tip, base_y) if turn else (base_y, tip)
        loop = [(sx - wide * s, y0), (sx + wide * s, y0), (sx, y1), (sx - wide * s, y0)]
        pen.line(loop, 0.009, 255)
    lines = pen.mask()
    add_glow(base, b.palette.c, blurred(lines, n / 40) * 1.6)
    add_glow(base, mix(b.palette.a, (255, 255, 255), 0.4), lines + blurred(lines, n / 120) * 0.8)


def _neon_planet(b: Brief, base: Floats, sx: float, horizon: float) -> None:
    n = base.shape[1]
    x, y = unit_grid(n)
    r, sy = b.near(0.12, 0.22), horizon * b.near(0.45, 0.6)
    reach = np.hypot(x - sx, y - sy)
    light = np.clip(0.55 + ((x - sx) * b.near(-1, 1) - (y - sy)) / r * 0.6, 0, 1)
    bands = 0.5 + 0.5 * np.sin((y - sy + 0.2 * (x - sx)) / r * b.near(6, 16))
    surface = gradient(
        [b.palette.dark, b.palette.b, b.palette.a], np.clip(light * 0.8 + 0.2 * bands, 0, 1)
    )
    add_glow(base, b.palette.a, np.exp(-np.maximum(reach - r, 0) * 14) * 0.6)
    lay(base, surface, soft_step(r - reach, 0.004))
    tilt = b.near(-0.5, 0.5)
    u, v = (x - sx) + tilt * (y - sy), (y - sy) - tilt * (x - sx)
    ring = np.hypot(u, v * b.near(3.2, 5.0)) / r
    front = np.clip(1 - np.abs(ring - 1.75) * 3, 0, 1) * ((v > 0) | (reach > r))
    add_glow(base, b.palette.c, front * (0.5 + 0.5 * np.sin(ring * 60)))


def draw_concrete(b: Brief) -> Image.Image:
    """Draw buildings of bare concrete against a flat sky."""
    pal = b.palette
    sky = (pal.light, pal.a, pal.b, mix(pal.light, pal.dark, 0.25), pal.c)[b.pick(5, 0.85)]
    stone = mix((150, 146, 138), pal.c, b.near(0.0, 0.3))
    pen = Pen(b.n, sky)
    (_isometric, _towers, _slab, _facade)[b.pick(4)](b, pen, stone)
    base = to_planes(_tilted(b, pen.done(), sky)).copy()
    wall = np.abs(base - plain(b.n, sky)).sum(axis=0) > 12  # not sky
    stain = smooth_noise(b.rng, b.n, 5, 5) * 13 + smooth_noise(b.rng, b.n, 160, 1) * 9
    stain += np.repeat(b.rng.normal(0, 4, (1, b.n)).astype(np.float32), b.n, axis=0)
    base += np.where(wall, stain, stain * 0.25)
    return to_image(base)


def _tilted(b: Brief, image: Image.Image, sky: Colour) -> Image.Image:
    """Hold the camera as this artist does: closer, askew, or as it comes."""
    if b.hand.random() < 0.4:
        return image
    angle = float(b.hand.choice((-24, -12, 0, 0, 12, 24)))
    zoom = b.near(1.0, 1.9)
    turned = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=sky)
    side = b.n / zoom
    left, top = (b.n - side) * b.near(0.0, 1.0), (b.n - side) * b.near(0.2, 1.0)
    box = (left, top, left + side, top + side)
    return turned.resize((b.n, b.n), Image.Resampling.BICUBIC, box=box)


def _facade(b: Brief, pen: Pen, stone: Colour) -> None:
    """Fill the cover with one facade of deep square or rounded openings."""
    columns, rows = int(b.near(2, 9)), int(b.near(3, 10))
    inset, fill = b.near(0.1, 0.3), b.near(0.0, 0.3)
    top = b.near(-0.02, 0.3)
    pen.box(b.near(-0.2, 0.2), top, 1.1, 1.1, mix(stone, (255, 255, 255), 0.25))
    w, h, round_ = 1 / columns, 1 / rows, b.hand.random() < 0.35
    for c in range(columns):
        for r in range(rows):
            x, y = c * w, top + 0.03 + r * h
            lamp = b.palette.b if b.rng.random() < fill * 0.4 else mix(stone, (0, 0, 0), 0.75)
            box = (x + w * inset, y + h * inset, x + w * (1 - inset), y + h * (1 - inset))
            if round_:
                radius = min(w, h) * (0.5 - inset)
                pen.disc(x + w / 2, y + h / 2, radius * 1.15, mix(stone, (255, 255, 255), 0.6))
                pen.disc(x + w / 2, y + h / 2, radius, lamp)
            else:
                pen.box(*box, lamp)
                lip = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3])]
                pen.shape([*lip, (box[2] - w * 0.1, box[1] + h * 0.12)], mix(stone, (0, 0, 0), 0.4))


def _isometric(b: Brief, pen: Pen, stone: Colour) -> None:
    """Stack boxes, back to front, lit from one side."""
    k, half = int(b.near(3, 7)), 0.0
    half = 0.46 / k
    top, left, right = mix(stone, (255, 255, 255), 0.45), stone, mix(stone, (0, 0, 0), 0.5)
    accent = b.palette.a
    tall = b.near(0.15, 0.5)
    for s in range(2 * k - 1):
        for i in range(max(0, s - k + 1), min(k, s + 1)):
            j = s - i
            if b.rng.random() < 0.14:
                continue
            high = tall * float(b.rng.random()) + 0.04
            x, y = 0.5 + (i - j) * half, 0.42 + (i + j) * half * 0.55
            lift = y - high
            w, h = half, half * 0.55
            lid = accent if b.rng.random() < 0.06 else top
            pen.shape([(x, lift - h), (x + w, lift), (x, lift + h), (x - w, lift)], lid)
            pen.shape([(x - w, lift), (x, lift + h), (x, y + h), (x - w, y)], left)
            pen.shape([(x + w, lift), (x, lift + h), (x, y + h), (x + w, y)], right)
            for f in np.arange(lift + 0.03, y - 0.01, 0.03).tolist():
                pen.line([(x - w * 0.8, f + h * 0.2), (x - w * 0.2, f + h * 0.8)], 0.006, right)


def _towers(b: Brief, pen: Pen, stone: Colour) -> None:
    """Stand blocks of flats frontally, each with its own rhythm of windows."""
    hole, x = mix(stone, (0, 0, 0), 0.72), -0.05
    while x < 1.0:  # to the right edge
        wide, top = float(b.rng.uniform(0.12, 0.42)), float(b.rng.uniform(0.24, 0.62))
        tone = mix(stone, (255, 255, 255), float(b.rng.uniform(-0.25, 0.4)))
        pen.box(x, top, x + wide, 1, tone)
        pen.box(x + wide - 0.03, top, x + wide, 1, mix(tone, (0, 0, 0), 0.35))
        columns, floors = int(b.rng.integers(2, 7)), int(b.rng.integers(7, 16))
        cw, ch = (wide - 0.05) / columns, 0.75 / floors
        slot = float(b.rng.uniform(0.35, 0.85))
        for c in range(columns):
            for f in range(int((1 - top) / ch) + 1):
                wx, wy = x + 0.01 + c * cw, top + 0.03 + f * ch
                pen.box(wx + cw * 0.1, wy, wx + cw * (0.1 + 0.8 * slot), wy + ch * 0.55, hole)
        x += wide + float(b.rng.choice((0.0, 0.03, -0.02)))


def _slab(b: Brief, pen: Pen, stone: Colour) -> None:
    """Look up at one slab: floors run to a vanishing point, with balconies thrown in shadow."""
    vx, vy = b.near(0.2, 0.8), b.near(-0.5, 0.1)
    corner, floors, spread = b.near(0.35, 0.65), int(b.near(9, 20)), b.near(0.45, 0.9)
    for side, shade in ((-1, 0.0), (1, 0.5)):
        tone = mix(stone, (0, 0, 0), shade)
        for f in range(floors):
            near, far = 1.25 - f / floors * 1.1, 1.25 - (f + 0.55) / floors * 1.1
            edge = corner + side * spread
            quad = [(corner, near), (edge, near + 0.16), (edge, far + 0.16), (corner, far)]
            squeeze = [(p + (vx - p) * (1.25 - q) * 0.45, q + (vy - q) * 0.05) for p, q in quad]
            pen.shape(squeeze, mix(tone, (255, 255, 255), 0.3 * (f % 2)))
            under = [squeeze[3], squeeze[2], (squeeze[2][0], squeeze[2][1] - 0.022)]
            pen.shape([*under, (squeeze[3][0], squeeze[3][1] - 0.022)], mix(tone, (0, 0, 0), 0.65))
