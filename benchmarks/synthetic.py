"""Vectors like a network's, drawn: clustered, unit length, of fewer dimensions than they have."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from albo.records import Embeddings
from albo.store import Vectors

if TYPE_CHECKING:
    from pathlib import Path

    from albo.records import Digest, Floats, Ints

_LATENT = 48
_CLUSTERS = 400
_BATCH = 20_000
_SPREAD = 0.5
_NOISE = 0.2


def draw_vectors(count: int, dimension: int, seed: int) -> tuple[Floats, Ints]:
    """Draw float32 (n, d), unit rows, and the cluster of each.

    Points of 400 clusters in 48 latent dimensions, turned into d, with noise in all of them: the
    same clusters whatever the seed.
    """
    fixed = np.random.default_rng(99)
    basis = fixed.standard_normal((_LATENT, dimension), dtype=np.float32) / np.float32(_LATENT**0.5)
    centres = fixed.standard_normal((_CLUSTERS, _LATENT), dtype=np.float32)
    random = np.random.default_rng(seed)
    clusters = random.integers(0, _CLUSTERS, count)
    points = centres[clusters] + np.float32(_SPREAD) * random.standard_normal(
        (count, _LATENT), dtype=np.float32
    )
    rows = points @ basis
    rows += np.float32(_NOISE) * random.standard_normal((count, dimension), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, clusters


def store_vectors(folder: Path, count: int, dimension: int) -> tuple[Vectors, dict[Digest, int]]:
    """Write drawn vectors into a store as `albo embed` does; return it and each one's cluster."""
    store = Vectors.open_or_create(folder, "drawn", "d" * 64, dimension, 0)
    clusters: dict[Digest, int] = {}
    with store.writer() as writer:
        for start in range(0, count, _BATCH):
            rows, own = draw_vectors(min(_BATCH, count - start), dimension, seed=start + 1)
            digests = [
                hashlib.sha256(b"%d" % number).digest()
                for number in range(start, start + len(rows))
            ]
            writer.add(digests, Embeddings(rows, np.empty((len(rows), 0), np.float32)))
            writer.commit()
            clusters.update(zip(digests, own.tolist(), strict=True))
    return store, clusters
