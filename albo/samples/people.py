"""Heads in profile, each a little different."""

# ruff: noqa: PLR2004
# A drawing is made of numbers; a name for each would hide it.

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from albo.samples.paint import Brief, Pen, Points, blurred, placed, smooth_noise, spline

if TYPE_CHECKING:
    from albo.records import Floats


def profile(b: Brief) -> Points:
    """Outline a head and shoulders in profile, facing right; no two noses alike."""
    nose, chin, jaw = b.near(-0.02, 0.03), b.near(-0.02, 0.02), b.near(-0.02, 0.02)
    skull, neck = b.near(-0.04, 0.05), b.near(-0.02, 0.03)
    points = [
        (0.05, 1.1), (0.09, 0.97), (0.2, 0.88), (0.34 - neck, 0.81), (0.385 - neck, 0.7),
        (0.33, 0.57), (0.285 - skull, 0.42), (0.33 - skull, 0.26), (0.46, 0.165 - skull / 2),
        (0.59, 0.19 - skull / 2), (0.665, 0.28), (0.682, 0.36), (0.668, 0.405),
        (0.7 + nose / 2, 0.455), (0.748 + nose, 0.51), (0.735 + nose, 0.53), (0.69, 0.54),
        (0.712, 0.572), (0.688, 0.598), (0.706, 0.622), (0.682, 0.65), (0.7 + chin, 0.69),
        (0.672 + chin, 0.735), (0.6, 0.752 + jaw), (0.555, 0.8), (0.575, 0.87), (0.7, 0.93),
        (0.84, 0.99), (0.88, 1.1),
    ]  # fmt: skip
    return spline(points)


def _hair(b: Brief) -> list[tuple[float, float, float]]:
    """List discs (x, y, r) that make up a head of hair for `profile`."""
    kind = b.pick(5)
    if kind == 0:
        return [(0.45, 0.33, b.near(0.26, 0.31)), (0.36, 0.42, 0.22)]
    if kind == 1:
        return [(0.46, 0.33, 0.2), (0.3, 0.2, b.near(0.08, 0.14)), (0.37, 0.42, 0.15)]
    if kind == 2:
        return [(0.45, 0.34, 0.2)] + [(0.36 - 0.012 * k, 0.36 + 0.055 * k, 0.13) for k in range(9)]
    if kind == 3:
        crest = np.linspace(0.32, 0.64, 9)
        return [(float(v), 0.15 + (float(v) - 0.5) ** 2, 0.075) for v in crest]
    return []


def bust(b: Brief) -> tuple[Floats, Floats]:
    """Shade a bust: its silhouette and its darkness, both (n, n), 0 to 1."""
    mirrored, scale = b.hand.random() < 0.4, b.near(0.82, 1.12)  # some face left
    move = 0.5 - 0.5 * scale + b.near(-0.08, 0.08)
    pen, hair = Pen(b.n, 0), Pen(b.n, 0)
    low = 1.02 - scale
    pen.shape([(move + x * scale, low + y * scale) for x, y in profile(b)], 255)
    for x, y, r in _hair(b):
        hair.disc(move + x * scale, low + y * scale, r * scale, 255)
    face, locks = pen.mask(), hair.mask()
    height = blurred(face, b.n * 0.05) + 0.5 * blurred(face, b.n * 0.015)
    down, across = np.gradient(height)
    light = b.near(-0.6, 2.2)
    shade = 0.52 - (across * np.cos(light) + down * np.sin(light)) * np.float32(b.n * 0.1)
    shade += 0.12 * smooth_noise(b.rng, b.n, 6, 3)
    curls = 0.86 + 0.22 * smooth_noise(b.rng, b.n, 14, 2)
    shade = np.where(locks > 0.5, curls, shade)  # inside the hair
    if b.hand.random() < 0.35:  # some wear dark glasses
        glasses = Pen(b.n, 0)
        spot = placed([(0.0, 0.0), (0.16, -0.02), (0.15, 0.08), (0.05, 0.1)], 0.05, 0.54, 0.37)
        glasses.shape([(move + p * scale, low + q * scale) for p, q in spot], 255)
        shade = shade + glasses.mask()
    whole = np.maximum(face, locks)
    if mirrored:
        whole, shade = whole[:, ::-1], shade[:, ::-1]
    return whole, np.clip(shade, 0.06, 1.0).astype(np.float32)
