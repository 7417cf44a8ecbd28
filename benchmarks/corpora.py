"""Covers with their labels, groups and pixels, and the raw-pixel forest that heads stand beside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from albo.images import decode
from albo.learning import group_covers, label_covers
from albo.neighbours import near_duplicate_links
from albo.networks import DEFAULT, find_card, near_duplicate_thresholds
from albo.records import Album
from albo.store import Vectors
from benchmarks.covers import read_csv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from albo.api import Albo
    from albo.learning.groups import Artist
    from albo.records import Digest, Floats, Ints

FOREST_PIXELS = 32
TREES = 100


def store_of(albo: Albo) -> Vectors:
    """Open the only vectors of an artifacts folder."""
    return Vectors.open(next(albo.artifacts.vectors_folder.glob("*/manifest.json")).parent)


def group_by_artwork(
    vector: Floats, artists: Sequence[Sequence[Artist]], dup_groups: Sequence[Sequence[str]]
) -> Ints:
    """Group covers as `albo train` does: by artist, `dup_group` and near-duplicates."""
    links = near_duplicate_links(vector, grouping_threshold())
    return group_covers(artists, dup_groups, links)


def grouping_threshold() -> float:
    """Return the cosine from which covers of the default backbone are grouped."""
    return near_duplicate_thresholds(find_card(DEFAULT))[0]


@dataclass(frozen=True)
class Corpus:
    """Labelled covers by row. labels, groups : int (n,)."""

    files: tuple[Path, ...]
    labels: Ints
    groups: Ints

    @classmethod
    def read(cls, manifest: Path, store: Vectors) -> Corpus:
        """Read a manifest by the rules of `albo train`."""
        files: dict[Digest, Path] = {}
        albums = []
        for row in read_csv(manifest):
            digest = bytes.fromhex(row["sha256"])
            files[digest] = manifest.parent / row["file"]
            albums.append(
                Album(
                    "manifest",
                    row["file"],
                    row["file"],
                    digest,
                    genre=row["genre"],
                    artist=row["artist"],
                    dup_group=row["dup_group"],
                )
            )
        covers = label_covers(albums).covers
        groups = group_by_artwork(
            store.read([cover.digest for cover in covers], middle=False)[1].vector,
            [cover.artists for cover in covers],
            [cover.dup_groups for cover in covers],
        )
        labels = np.unique([cover.genre for cover in covers], return_inverse=True)[1]
        return cls(tuple(files[cover.digest] for cover in covers), labels, groups)

    @cached_property
    def pixels(self) -> Floats:
        """Every cover small and flat: float32 (n, 3 · 32 · 32)."""
        return small_pixels(self.files)


def small_pixels(files: Sequence[Path]) -> Floats:
    """Decode covers small and flat: float32 (n, 3 · 32 · 32)."""
    small = [decode(file.read_bytes(), FOREST_PIXELS).ravel() for file in files]
    return np.stack(small).astype(np.float32)


def forest_by_folds(corpus: Corpus, folds: int) -> float:
    """Return the accuracy of a raw-pixel forest, each fold by what was fitted without it."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    hits = 0
    for inside, outside in splitter.split(corpus.pixels, corpus.labels, corpus.groups):
        said = ask_forest(corpus.pixels[inside], corpus.labels[inside], corpus.pixels[outside])
        hits += int((said == corpus.labels[outside]).sum())
    return hits / len(corpus.labels)


def ask_forest(pixels: Floats, labels: Ints, asked: Floats) -> Ints:
    """Fit a random forest on raw pixels; return what it says of others: int (m,)."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(TREES, n_jobs=-1, random_state=0)
    said: Ints = forest.fit(pixels, labels).predict(asked)
    return said
