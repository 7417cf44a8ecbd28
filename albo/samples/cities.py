"""The style that shows a city at night: from afar, up close, down an avenue, or from above."""

# ruff: noqa: PLR2004
# A drawing is made of numbers; a name for each would hide it.

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from albo.samples.paint import (
    Brief,
    Colour,
    Pen,
    add_glow,
    blurred,
    fill,
    gradient,
    lay,
    mix,
    plain,
    smooth_noise,
    soft_step,
    to_image,
    to_planes,
    unit_grid,
)

if TYPE_CHECKING:
    from albo.records import Floats


def draw_city(b: Brief) -> Image.Image:
    """Draw a city at night: its skyline, windows, an avenue, or its lamps from above."""
    base = (_city_skyline, _city_windows, _city_street, _city_skyline, _city_above)[b.pick(5)](b)
    if b.hand.random() < 0.4:
        _bokeh(b, base)
    return to_image(base + smooth_noise(b.rng, b.n, 200, 1) * 3)


def _night(b: Brief) -> tuple[Colour, Colour]:
    """Choose the sky of this artist's night, above and at the horizon."""
    pal = b.palette
    night = mix(pal.dark, (6, 8, 22), 0.45)
    haze = (pal.a, pal.b, pal.c, (240, 170, 90))[int(b.hand.integers(4))]
    return night, mix(night, haze, b.near(0.3, 1.0))


def _city_skyline(b: Brief) -> Floats:
    """Look at the city from afar: rows of buildings before a hazy sky, some over water."""
    n = b.n
    x, y = unit_grid(n)
    night, haze = _night(b)
    base = gradient([night, mix(night, haze, 0.4), haze], y[:, :1] / 0.75) + 0 * x
    if b.pick(2):
        mx, my, r = b.near(0.15, 0.85), b.near(0.12, 0.3), b.near(0.03, 0.13)
        reach = np.hypot(x - mx, y - my)
        light = np.exp(-np.maximum(reach - r, 0) * 12) * 0.35 + soft_step(r - reach, 0.004)
        add_glow(base, b.palette.light, light)
    top, rows = b.near(0.18, 0.6), 1 + b.pick(3)
    for row in range(rows):
        share = (row + 1) / rows
        tone = mix(mix(haze, night, 0.3 + 0.35 * share), (4, 5, 10), 0.15 + 0.5 * share)
        _skyline(b, base, tone, top + 0.12 * row, row + 3 - rows)
    if b.pick(2):
        base = _wet(b, base, b.near(0.62, 0.85))
    return base


def _city_windows(b: Brief) -> Floats:
    """Stand in front of one block at night: large windows, some lit, blinds half drawn."""
    n = b.n
    night, haze = _night(b)
    base = plain(n, mix(night, haze, b.near(0.0, 0.35)))
    columns, rows = int(b.near(3, 10)), int(b.near(3, 11))
    w, h, lit = n / columns, n / rows, b.near(0.15, 0.6)
    lamps = [(255, 214, 138), (255, 176, 86), b.palette.light, b.palette.a, b.palette.b]
    slim, tall = b.near(0.45, 0.85), b.near(0.45, 0.8)
    for c in range(columns):
        for r in range(rows):
            left, top = int((c + 0.5 - slim / 2) * w), int((r + 0.5 - tall / 2) * h)
            pane = base[:, top : top + int(h * tall), left : left + int(w * slim)]
            fill(pane, mix(night, (70, 90, 120), 0.22))
            if b.rng.random() < lit:
                fill(pane, mix(lamps[int(b.rng.integers(len(lamps)))], night, 0.15))
                blind = int(pane.shape[1] * float(b.rng.choice((0, 0, 0.3, 0.6))))
                pane[:, :blind] *= 0.7
            middle = pane.shape[2] // 2
            pane[:, :, middle : middle + max(1, n // 160)] *= 0.3
    glow = np.stack([blurred(plane / 255, n / 36) for plane in base])
    return base + glow * 70


def _city_street(b: Brief) -> Floats:
    """Look down an avenue between dark towers, with the trails of passing cars."""
    n = b.n
    x, y = unit_grid(n)
    night, haze = _night(b)
    vx, vy = b.near(0.3, 0.7), b.near(0.4, 0.65)
    away = np.hypot(x - vx, (y - vy) * 0.8)
    base = gradient([mix(haze, (255, 240, 210), 0.35), haze, night], np.clip(away * 1.6, 0, 1))
    gap = b.near(0.08, 0.22)
    steps = b.rng.uniform(0.2, 1.6, 13).astype(np.float32)
    for side in (-1, 1):
        out = (x - vx) * side
        depth = np.maximum(out, 0.004) / gap
        block = np.clip(np.log2(np.maximum(depth, 0.01)) * 3 + 6, 0, 12).astype(np.int64)
        wall = (
            (out > 0.03) & (y > vy - depth * gap * steps[block] * 2.4) & (y < vy + out / gap * 0.2)
        )
        lay(base, mix(night, (4, 4, 10), 0.5), wall * np.clip(0.55 + depth * 0.2, 0, 0.97))
        u, v = np.log2(np.maximum(depth, 0.01)) * 14, (y - vy) / np.maximum(out, 0.01) * 16
        pane = (u % 1 < 0.55) & (v % 1 < 0.5)
        lit = (np.floor(u) * 12.9898 + np.floor(v) * 78.233 + steps[0]) * 43.7585 % 1
        lay(base, (255, 206, 128), wall & pane & (lit < b.near(0.15, 0.5)))
    road = y > vy + np.abs(x - vx) / gap * 0.2
    lay(base, mix(night, (10, 10, 16), 0.5), road * np.clip((y - vy) * 6, 0, 0.9))
    lane = (x - vx) / np.maximum(y - vy, 0.004)
    for at in b.rng.uniform(-2.4, 2.4, int(b.near(4, 14))).tolist():
        trail = np.exp(-(((lane - at) / 0.035) ** 2)) * (y > vy + 0.01)
        add_glow(base, b.palette.a if at > 0 else (255, 236, 196), trail * 0.9)
    return base


def _city_above(b: Brief) -> Floats:
    """Fly over a city at night: a turned grid of streets, strung with lamps, fading out."""
    n = b.n
    x, y = unit_grid(n)
    night, haze = _night(b)
    angle, dense = b.near(0, math.pi), b.near(6, 20)
    horizon = b.near(-0.4, 0.3)
    depth = 1 / np.maximum(y - horizon, 0.02) * b.near(0.5, 1.0)
    px, py = (x - 0.5) * depth, depth
    u = (px * math.cos(angle) + py * math.sin(angle)) * dense + 0.4 * smooth_noise(b.rng, n, 3, 2)
    v = (py * math.cos(angle) - px * math.sin(angle)) * dense + 0.4 * smooth_noise(b.rng, n, 3, 2)
    du, dv = np.abs(u - np.round(u)), np.abs(v - np.round(v))
    near = np.clip((y - horizon) * 3, 0, 1)
    streets = np.exp(-((du / 0.06) ** 2)) + np.exp(-((dv / 0.06) ** 2))
    lamps = np.exp(-((du**2 + (((v * 4) % 1 - 0.5) / 4) ** 2) / 0.003)) * 1.2
    district = np.clip(0.6 + smooth_noise(b.rng, n, 4, 3), 0.05, 1.2)
    base = gradient([night, mix(night, haze, 0.4)], np.clip(y, 0, 1))
    add_glow(base, haze, np.exp(-np.abs(y - horizon) * 12) * 0.8)
    light = streets * district * near * 0.7
    add_glow(base, (255, 190, 104), light)
    add_glow(base, (255, 236, 200), lamps * district * near)
    add_glow(base, b.palette.a, blurred(light, n / 30) * 0.6)
    return base


def _skyline(b: Brief, base: Floats, tone: Colour, top: float, layer: int) -> None:
    """Stand one row of buildings with some of their windows lit."""
    n = b.n
    lamps = [(255, 214, 138), (255, 186, 96), b.palette.light, b.palette.a, b.palette.b]
    broad = b.near(0.06, 0.16)
    dense, x = b.near(0.2, 0.75), -int(b.rng.integers(0, n // 12))
    cell = max(2, n // (125 - 33 * layer))
    while x < n:
        wide = int(float(b.rng.uniform(0.5, 1.5)) * broad * n)
        roof = int((top + float(b.rng.uniform(0, 0.32))) * n)
        left, right = max(0, x), min(n, x + wide)
        if right - left > cell:
            fill(base[:, roof:, left:right], tone)
            _windows(
                b, base[:, roof + cell :, left + cell // 2 : right - cell // 2], cell, dense, lamps
            )
            mast = min(n - 1, left + (right - left) // 2)
            if b.rng.random() < 0.3:
                fill(base[:, max(0, roof - n // 16) : roof, mast : mast + max(1, n // 350)], tone)
        x += wide + int(b.rng.uniform(-0.01, 0.012) * n)


def _windows(b: Brief, wall: Floats, cell: int, dense: float, lamps: list[Colour]) -> None:
    """Light some windows of one wall, in place."""
    rows, columns = wall.shape[1] // (2 * cell), wall.shape[2] // (2 * cell)
    if rows < 1 or columns < 1:
        return
    lit = b.rng.random((rows, columns)) < dense * b.rng.uniform(0.5, 1.5)
    lamp = lamps[int(b.rng.integers(len(lamps)))]
    dim = b.rng.uniform(0.45, 1.0, (rows, columns)).astype(np.float32)
    pane = np.zeros((rows, 2 * cell, columns, 2 * cell), bool)
    pane[:, : cell + cell // 2, :, :cell] = lit[:, None, :, None]
    pane = pane.reshape(rows * 2 * cell, columns * 2 * cell)
    shade = np.repeat(np.repeat(dim, 2 * cell, axis=0), 2 * cell, axis=1)
    lay(wall[:, : pane.shape[0], : pane.shape[1]], lamp, pane * shade)


def _wet(b: Brief, base: Floats, shore: float) -> Floats:
    """Mirror the city in water or on a wet street, drawn out downwards."""
    n = b.n
    row = int(n * shore)
    below = np.arange(n - row)
    shift = (np.sin(below * b.near(0.4, 1.0)) * below * 0.03).astype(np.int64)
    out = base.copy()
    columns = (np.arange(n)[None, :] + shift[:, None]) % n
    out[:, row:] = base[:, np.clip(row - 1 - below * 2, 0, n - 1)[:, None], columns] * 0.6
    smear = to_image(out[:, row:])
    small = smear.resize((n // 3, max(1, (n - row) // 10)), Image.Resampling.BOX)
    drawn = to_planes(small.resize((n, n - row), Image.Resampling.BICUBIC))
    out[:, row:] = 0.45 * out[:, row:] + 0.55 * drawn
    return out


def _bokeh(b: Brief, base: Floats) -> None:
    """Scatter out-of-focus lamps over the lower part."""
    n = b.n
    lamps = [(255, 200, 120), b.palette.a, b.palette.b, b.palette.light, (255, 120, 90)]
    for tint in lamps:
        pen = Pen(n, 0)
        for _ in range(int(b.rng.integers(2, 9))):
            x, y = float(b.rng.random()), float(b.rng.uniform(0.45, 1.0))
            r = float(b.rng.uniform(0.012, 0.055))
            pen.disc(x, y, r, 120)
            pen.disc(x, y, r * 0.88, 84)
        add_glow(base, tint, pen.mask())
