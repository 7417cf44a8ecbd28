"""Styles that come from the printing press: Swiss grid, woodcut, halftone portrait, op art."""

# ruff: noqa: PLR2004
# A drawing is made of numbers; a name for each would hide it.

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from albo.samples.paint import (
    TAU,
    Brief,
    Colour,
    Field,
    Pen,
    blurred,
    halftone_dots,
    lay,
    leaf_outline,
    lettering,
    luminance,
    mix,
    placed,
    plain,
    ridge_line,
    smooth_noise,
    soft_step,
    tinted,
    to_image,
    unit_grid,
)
from albo.samples.people import bust

if TYPE_CHECKING:
    from albo.records import Floats

BORROWED = 0.13
"""The share of covers, in some styles, whose motif comes from another style."""


def draw_swiss(b: Brief) -> Image.Image:
    """Set plain shapes on a grid."""
    dark, light, *tints = b.palette
    ground = (light, tints[0], dark)[int(b.hand.choice(3, p=(0.6, 0.25, 0.15)))]
    inks = [c for c in (dark, *tints, light) if c != ground]
    b.hand.shuffle(inks)
    pen = Pen(b.n, ground)
    kinds = (_swiss_modules, _swiss_bars, _swiss_arcs, _swiss_letter, _swiss_columns)
    kinds[b.pick(5)](b, pen, inks)
    return pen.done()


def _swiss_modules(b: Brief, pen: Pen, inks: list[Colour]) -> None:
    """Fill a grid of squares, below the text, with quarter circles, discs and triangles."""
    k = int(b.hand.integers(2, 8))
    side = 0.9 / k
    kinds = b.hand.dirichlet((0.6, 0.4, 0.3, 0.4))
    gaps, inks = b.near(0.0, 0.6), inks[: int(b.hand.integers(1, len(inks) + 1))]
    for row in range(1 if k > 2 else 0, k):
        for column in range(k):
            if b.rng.random() < gaps:
                continue
            x, y = 0.05 + column * side, 0.05 + row * side
            ink, corner = inks[int(b.rng.integers(len(inks)))], int(b.rng.integers(4))
            kind = int(b.rng.choice(4, p=kinds))
            cx, cy = x + side * (corner % 2), y + side * (corner // 2)
            turn = {0: 0.0, 1: 90.0, 3: 180.0, 2: 270.0}[corner]
            if kind == 0:
                pen.slice(cx, cy, side, (turn, turn + 90), ink)
            elif kind == 1:
                pen.disc(x + side / 2, y + side / 2, side / 2, ink)
            elif kind == 2:
                pen.box(x, y, x + side, y + side, ink)
            else:
                pen.shape([(x, y + side), (x + side, y + side), (cx, y)], ink)


def _swiss_bars(b: Brief, pen: Pen, inks: list[Colour]) -> None:
    """Set one disc against parallel bars of growing width, tilted."""
    angle = b.near(-0.9, 0.9)
    pen.disc(b.near(0.25, 0.75), b.near(0.45, 0.7), b.near(0.16, 0.34), inks[1])
    x, width, growth = -0.7, 0.012, 1.0 + b.near(0.08, 0.4)
    while x < 1.0:  # past the edge
        bar = [(x, -1.2), (x + width, -1.2), (x + width, 1.2), (x, 1.2)]
        pen.shape(placed(bar, angle, 0.6, 0.6), inks[0])
        x += width * 2.6
        width *= growth
    pen.box(0, 0, 1, 0.24, pen.image.getpixel((0, 0)))  # type: ignore[arg-type]


def _swiss_arcs(b: Brief, pen: Pen, inks: list[Colour]) -> None:
    """Draw concentric arcs from a corner or the middle of an edge, as on a concert poster."""
    x, y = ((1.0, 1.0), (0.0, 1.0), (0.5, 1.0), (0.5, 0.62))[int(b.hand.integers(4))]
    rings = int(b.near(4, 11))
    ground = pen.image.getpixel((0, 0))
    turn = float(b.rng.integers(0, 4)) * 45
    for k in range(rings, 0, -1):
        r = 0.72 * k / rings * (1.0 if y == 1.0 else 0.5)
        end = turn + 360 - (55 if k % 3 == 0 else 0)
        pen.slice(x, y, r, (turn, end), inks[(k // 2) % len(inks)] if k % 2 else ground)  # type: ignore[arg-type]


def _swiss_columns(b: Brief, pen: Pen, inks: list[Colour]) -> None:
    """Let columns of one ink rise and fall like a bar chart, or hang from above."""
    count = int(b.near(4, 30))
    wide, fill = 1.0 / count, b.near(0.4, 1.0)
    heights = 0.35 + 0.3 * np.sin(np.arange(count) * b.near(0.1, 1.2) + b.rng.random() * TAU)
    heights = np.maximum(heights + b.rng.uniform(-0.08, 0.08, count), 0.02)
    hang = b.hand.random() < 0.3
    for k, high in enumerate(heights.tolist()):
        y0, y1 = (0.25, 0.25 + high) if hang else (1 - high, 1)
        ink = inks[0] if k % 5 else inks[1]
        pen.box(k * wide, y0, (k + fill) * wide, y1, ink)


def _swiss_letter(b: Brief, pen: Pen, inks: list[Colour]) -> None:
    """Blow the first letter of the title up and turn it, beside a block of colour."""
    side = pen.side
    word = b.title.removeprefix("The ")[: 1 + int(b.hand.integers(3))]
    word = word.lower() if b.hand.random() < 0.5 else word.upper()
    mask = lettering(word, int(side * 0.9), wide=1.0, bold=0.02, gap=-0.05)
    mask = mask.resize((int(side * 0.9), int(side * b.near(0.55, 0.72))))
    mask = mask.rotate((0, 90, -12, 20)[b.pick(4)], expand=True, resample=Image.Resampling.BILINEAR)
    pen.box(0, b.near(0.5, 0.8), b.near(0.3, 1.0), 1, inks[1])
    pen.image.paste(inks[0], (int(side * b.near(-0.1, 0.15)), int(side * 0.27)), mask)


def draw_woodcut(b: Brief) -> Image.Image:
    """Carve a scene in lines whose width is its darkness."""
    n, pal = b.n, b.palette
    x, y = unit_grid(n)
    subjects = (_carved_land, _carved_tree, _carved_peak, _carved_head, _carved_leaves)
    dark, phase = (_carved_guest if b.rng.random() < BORROWED else subjects[b.pick(5)])(b)
    wobble = smooth_noise(b.rng, n, 40, 1) * np.float32(0.13)
    lines = np.abs((phase + wobble) % 1 - np.float32(0.5)) * 2
    ink = soft_step(dark - lines, 0.28)
    ragged = b.near(0.02, 0.09) + 0.006 * smooth_noise(b.rng, n, 24, 2)
    inside = soft_step(np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) - ragged, 0.003)
    if b.hand.random() < 0.25:  # some print white lines on black
        ink = 1 - ink
    ink = ink * inside * soft_step(smooth_noise(b.rng, n, 120, 1) + 1.25, 0.4)
    papers = ((236, 222, 196), pal.light, mix(pal.light, pal.b, 0.6), (206, 178, 138))
    base = plain(n, mix(pal.light, papers[b.pick(4, 0.9)], 0.7))
    if b.hand.random() < 0.6:  # most use a second block
        edge = (1 - y) - b.near(0.0, 0.75) + b.near(-0.6, 0.6) * (x - 0.5)
        block = soft_step(edge * (1 if b.pick(2) else -1), 0.01) * inside
        lay(base, pal[2 + int(b.hand.integers(3))], block * np.float32(0.85))
    inks = (mix(pal.dark, (16, 14, 14), 0.6), pal.dark, mix(pal.a, pal.dark, 0.4))
    lay(base, inks[b.pick(3, 0.9)], ink)
    return to_image(base)


def _carved_guest(b: Brief) -> tuple[Field, Field]:
    """Cut another style's artwork into wood, in level lines."""
    guest = b.guest(("Halftone portrait", "Night city", "One line", "Botanical ornament"))
    dark = 1.0 - 0.95 * blurred(luminance(ImageOps.autocontrast(guest)), b.n / 200)
    return dark, (unit_grid(b.n)[1] + 0.04 * smooth_noise(b.rng, b.n, 3, 2)) * 60


def _carved_sky(b: Brief) -> tuple[Field, Field]:
    """Carve rays, rings or level lines around a sun or moon."""
    x, y = unit_grid(b.n)
    sx, sy, r = b.near(0.15, 0.85), b.near(0.15, 0.45), b.near(0.05, 0.2)
    reach = np.hypot(x - sx, y - sy)
    kind = b.pick(3)
    if kind == 0:
        phase = np.arctan2(y - sy, x - sx) / np.float32(TAU) * round(b.near(36, 90))
    else:
        phase = (reach if kind == 1 else y) * b.near(20, 46) + 0.3 * smooth_noise(b.rng, b.n, 3, 1)
    dark = np.clip(b.near(-0.1, 0.5) + reach * b.near(0.2, 1.0), 0.05, 0.9)
    dark = np.where(reach < r, np.float32(1.4 if b.hand.random() < 0.3 else -0.3), dark)
    return np.where(np.abs(reach - r) < 0.007, np.float32(1.3), dark), phase


def _carved_tree(b: Brief) -> tuple[Field, Field]:
    """Set a bare tree in front of the sky."""
    dark, phase = _carved_sky(b)
    pen = Pen(b.n, 0)
    ground, x = b.near(0.8, 0.95), b.near(0.3, 0.7)
    pen.box(0, ground, 1, 1, 255)
    spread, shrink = b.near(0.25, 0.6), b.near(0.7, 0.8)
    boughs = [(x, ground, -math.pi / 2, b.near(0.13, 0.24), b.near(0.02, 0.05))]
    for _ in range(8):
        grown = []
        for bx, by, angle, long, thick in boughs:
            tx, ty = bx + math.cos(angle) * long, by + math.sin(angle) * long
            pen.line([(bx, by), (tx, ty)], thick, 255)
            for side in (-spread, spread):
                bent = angle + side * float(b.rng.uniform(0.4, 1.5))
                grown.append((tx, ty, bent, long * shrink, thick * 0.68))
        boughs = grown
    return dark + pen.mask() * 2, phase


def _carved_peak(b: Brief) -> tuple[Field, Field]:
    """Raise one great mountain, snow on its top, over water."""
    dark, phase = _carved_sky(b)
    x, y = unit_grid(b.n)
    px, top, wide = b.near(0.3, 0.7), b.near(0.15, 0.4), b.near(0.5, 1.3)
    rough = 0.03 * smooth_noise(b.rng, b.n, 8, 3)
    flank = top + np.abs(x - px) ** b.near(0.8, 1.3) * np.float32(1.4 / wide) + 0.3 * rough
    inside = y > flank
    snow = y - top - b.near(0.08, 0.25) + rough + 0.05 * np.sin(x * 60)
    shade = np.where(x > px, 0.75, 0.3) + rough * 6
    dark = np.where(inside, np.where(snow < 0, np.float32(0.06), shade), dark)
    down = np.arctan2(x - px, y - top + 0.2) * b.near(20, 44)
    phase = np.where(inside, down, phase)
    shore = b.near(0.68, 0.9)
    dark = np.where(y > shore, b.near(0.3, 0.7), dark)
    waves = np.sqrt(np.maximum(y - shore, 0)) * 22 + 0.4 * np.sin((x * b.near(1, 5) + y) * TAU)
    return dark, np.where(y > shore, waves, phase)


def _carved_head(b: Brief) -> tuple[Field, Field]:
    """Cut a head out of lines that run round it."""
    whole, tone = bust(b)
    x, y = unit_grid(b.n)
    halo = np.hypot(x - b.near(0.4, 0.6), y - b.near(0.3, 0.5)) * b.near(18, 36)
    dark = np.where(whole > 0.5, 1.15 * tone, b.near(0.0, 0.6))
    slant = (y + x * b.near(-1, 1)) * b.near(36, 52)
    return dark, np.where(whole > 0.5, slant, halo)


def _carved_leaves(b: Brief) -> tuple[Field, Field]:
    """Cut a spray of great leaves, black on a lined ground."""
    pen = Pen(b.n, 0)
    count, x, y = int(b.near(5, 15)), b.near(0.3, 0.7), b.near(0.5, 1.0)
    for k in range(count):
        angle = -math.pi * (k + 0.5) / count * b.near(0.8, 2.0) + b.near(-0.4, 0.4)
        long, wide = b.near(0.35, 0.75, 0.6), b.near(0.03, 0.11)
        pen.shape(leaf_outline(x, y, angle, long, wide), 255)
        tip = (x + math.cos(angle) * long * 0.9, y + math.sin(angle) * long * 0.9)
        pen.line([(x, y), tip], 0.006, 0)
    across, down = unit_grid(b.n)
    phase = (across * b.near(-1, 1) + down * b.near(0.3, 1)) * b.near(24, 50)
    return b.near(0.0, 0.55) + pen.mask() * 1.5, phase


def _carved_land(b: Brief) -> tuple[Field, Field]:
    """Sun or moon over hills and water, as darkness and as the phase of the carved lines."""
    n = b.n
    x, y = unit_grid(n)
    dark, phase = _carved_sky(b)
    side, lean = b.near(-2.4, 2.4), b.near(-16, 16)
    for k in range(2 + b.pick(3)):
        top = b.near(0.4, 0.5) + 0.13 * k + 0.12 * ridge_line(b.rng, n, 2 + k, 0.42)
        slope = np.gradient(ridge_line(b.rng, n, 3 + k, 0.4) * 0.06 + top) * n
        below = y > top
        shade = 0.5 + 0.42 * np.tanh(slope * side) - 0.5 * np.clip(y - top - 0.05, 0, 0.5)
        cut = (y - top) * b.near(30, 48) + x * lean * (1 - 2 * (k % 2))
        dark, phase = np.where(below, shade, dark), np.where(below, cut, phase)
        dark = np.where(np.abs(y - top) < 0.006, np.float32(1.4), dark)  # outline
    shore = b.near(0.74, 0.95)
    water = y > shore
    waves = 0.35 * np.sin((x * b.near(2, 7) + y * 3) * TAU)
    dark = np.where(water, b.near(0.3, 0.7), dark)
    phase = np.where(water, np.sqrt(np.maximum(y - shore + 0.02, 0)) * 26 + waves, phase)
    return _pines(b, dark.astype(np.float32), shore), phase.astype(np.float32)


def _pines(b: Brief, dark: Floats, shore: float) -> Field:
    """Stand a row of black pines along the shore, where the artist likes them."""
    if b.hand.random() < 0.4:  # some like none
        return dark
    pen = Pen(b.n, 0)
    for _ in range(int(b.rng.integers(3, 12))):
        x, high = float(b.rng.random()), float(b.rng.uniform(0.12, 0.34))
        for k in range(5):
            y, half = shore - high * (1 - k / 5), high * 0.06 * (k + 1.2)
            pen.shape([(x, y), (x - half, y + high * 0.26), (x + half, y + high * 0.26)], 255)
    return dark + pen.mask() * 2


def draw_halftone(b: Brief) -> Image.Image:
    """Print a head in dots, in one or two inks."""
    dark, light, *tints = b.palette
    ground = (light, tints[0], tints[1], tints[2])[b.pick(4)]
    base = plain(b.n, ground)
    _backdrop(b, base, tints[(tints.index(ground) + 1) % 3] if ground in tints else tints[0])
    if b.rng.random() < BORROWED:
        tone = 1 - luminance(b.guest(("Botanical ornament", "Night city", "Woodcut")))
        whole = np.ones_like(tone)
    else:
        whole, tone = bust(b)
    frequency = b.near(34, 75)
    second = tints[int(b.hand.integers(3))]
    shift = int(b.n * b.near(-0.03, 0.03))
    if b.hand.random() < 0.7:  # most print two colours
        under = np.roll(whole * (0.3 + 0.7 * tone), shift, axis=1)
        lay(
            base,
            second,
            soft_step(under - halftone_dots(b.n, frequency, 0.26), 0.25) * np.float32(0.9),
        )
    else:
        lay(base, light, whole)
    ink = soft_step(tone * 0.95 - halftone_dots(b.n, frequency, 0.79), 0.22) * whole
    lay(base, dark, ink)
    return to_image(base)


def _backdrop(b: Brief, base: Floats, colour: Colour) -> None:
    """Put a disc, rays, a band or nothing behind a portrait."""
    x, y = unit_grid(b.n)
    kind = b.pick(4)
    dx, dy = x - np.float32(b.near(0.4, 0.6)), y - np.float32(0.42)
    if kind == 0:
        lay(base, colour, soft_step(b.near(0.28, 0.42) - np.hypot(dx, dy), 0.004))
    elif kind == 1:
        rays = np.sin(np.arctan2(dy, dx) * int(b.near(7, 16)))
        lay(base, colour, soft_step(rays, 0.08))
    elif kind == 2:
        lay(base, colour, soft_step(dx * b.near(-1, 1) + dy, 0.004))


def draw_op(b: Brief) -> Image.Image:
    """Draw a pattern that seems to move."""
    n = b.n
    pal = b.palette
    field = (_op_checker, _op_rings, _op_waves, _op_bulge, _op_squares)[b.pick(5)](b)
    if b.rng.random() < BORROWED:
        field = _op_relief(b)
    cover = soft_step(field, 0.16)
    kind = int(b.hand.choice(5, p=(0.36, 0.16, 0.16, 0.16, 0.16)))
    white, black = mix(pal.light, (252, 252, 252), 0.5), mix(pal.dark, (10, 10, 10), 0.6)
    pairs = ((white, black), (pal.b, black), (white, pal.a), (pal.b, pal.a), (pal.c, white))
    base = plain(n, pairs[kind][0])
    lay(base, pairs[kind][1], cover)
    if b.hand.random() < 0.3:  # some swap the colours inside a disc
        x, y = unit_grid(n)
        inside = soft_step(b.near(0.2, 0.36) - np.hypot(x - 0.5, y - 0.5), 0.003)
        lay(base, tinted(n, white, pal.a, cover), inside)
    return to_image(base)


def _op_checker(b: Brief) -> Field:
    x, y = unit_grid(b.n)
    k, fold = int(b.near(4, 22)), b.near(0.05, 0.95)
    near = np.abs(x - fold)
    u = np.sign(x - fold) * near ** b.near(0.5, 0.8) * k
    wave = b.near(0.0, 0.08) * np.sin(x * TAU * b.near(0.5, 2))
    return np.asarray(np.sin(u * np.pi) * np.sin((y + wave) * k * np.pi) * 2)


def _op_rings(b: Brief) -> Field:
    x, y = unit_grid(b.n)
    shift, k = b.near(0.0, 0.3), b.near(6, 26)
    left = np.hypot(x - 0.5 + shift, y - 0.5)
    right = np.hypot(x - 0.5 - shift, y - 0.5)
    one, two = np.sin(left * k * TAU), np.sin(right * k * TAU)
    if b.pick(2):
        sector = np.arctan2(y - 0.5, x - 0.5) * int(b.near(2, 6)) / np.pi
        one = np.where(sector % 2 < 1, one, -one)
        return np.asarray(one)
    return np.asarray(one * two * 2)


def _op_waves(b: Brief) -> Field:
    x, y = unit_grid(b.n)
    angle = b.near(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    swing = b.near(0.03, 0.1) * np.sin(v * TAU * b.near(0.8, 2.6) + 2 * np.sin(u * b.near(1, 4)))
    return np.asarray(np.sin((u + swing) * TAU * b.near(6, 28)))


def _op_bulge(b: Brief) -> Field:
    """Swell a grid of dots in the middle, after Vasarely."""
    x, y = unit_grid(b.n)
    dx, dy = x - np.float32(b.near(0.2, 0.8)), y - np.float32(b.near(0.2, 0.8))
    reach = np.hypot(dx, dy)
    swell = 1 - b.near(0.35, 0.75) * np.exp(-((reach / b.near(0.12, 0.45)) ** 2))
    k = b.near(4, 20)
    u, v = dx * swell * k, dy * swell * k
    if b.pick(2):
        return np.asarray(np.sin(u * TAU) * np.sin(v * TAU) * 2)
    dot = np.hypot((u + 0.5) % 1 - 0.5, (v + 0.5) % 1 - 0.5)
    return np.asarray((b.near(0.28, 0.44) - dot) * 3)


def _op_squares(b: Brief) -> Field:
    """Nest squares that turn and drift as they shrink."""
    x, y = unit_grid(b.n)
    twist, drift = b.near(-1.6, 1.6), b.near(-0.1, 0.1)
    dx, dy = x - 0.5, y - 0.5
    reach = np.hypot(dx, dy)
    angle = twist * (0.7 - reach)
    u = dx * np.cos(angle) - dy * np.sin(angle) + drift * (0.5 - reach)
    v = dx * np.sin(angle) + dy * np.cos(angle)
    return np.asarray(np.sin(np.maximum(np.abs(u), np.abs(v)) * TAU * b.near(5, 22)))


def _op_relief(b: Brief) -> Field:
    """Bend straight stripes over a head or a hill, so that the lines alone draw it."""
    guest = b.guest(("Halftone portrait", "Woodcut", "Watercolour landscape"))
    bump = blurred(1 - luminance(guest), b.n / 28)
    _, y = unit_grid(b.n)
    return np.sin((y + bump * np.float32(0.09)) * np.float32(TAU * b.near(26, 40)))
