"""discogs5's own split, as it was published: fit on its training part, score on its test part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from albo.heads import ImageView
from albo.learning import TrainingSettings, summarise
from albo.learning.fitting import fit_head
from benchmarks.corpora import (
    ask_forest,
    group_by_artwork,
    grouping_threshold,
    small_pixels,
    store_of,
)
from benchmarks.covers import read_csv, shared_folder
from benchmarks.results import Row, at_least

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from albo.api import Albo
    from albo.learning import Interval, ScoreSummary
    from albo.records import Bools, Digest, Floats, HeadKind, Ints
    from albo.store import Vectors

PUBLISHED = 0.232
LEAST_OVER_PUBLISHED = 1.7


@dataclass(frozen=True)
class _Part:
    """Rows of one part of the split, as published: a file may stand in several rows."""

    files: tuple[Path, ...]
    genres: tuple[str, ...]
    features: Floats
    vector: Floats
    groups: Ints

    @classmethod
    def read(cls, part: str, store: Vectors) -> _Part:
        """Read a part, as far as its covers have been embedded."""
        folder = shared_folder() / "covers" / "discogs5"
        known = {row["file"]: row for row in read_csv(folder / "labels.csv")}
        stored = set(store.digests())
        rows = [
            row
            for row in read_csv(folder / "all_source_files.csv")
            if row["published_split"] == part and _digest(known[row["file"]]) in stored
        ]
        digests = [_digest(known[row["file"]]) for row in rows]
        vector = store.read(digests, middle=False)[1].vector
        marks = [[known[row["file"]]["dup_group"] or row["file"]] for row in rows]
        return cls(
            tuple(folder / row["file"] for row in rows),
            tuple(row["genre"] for row in rows),
            ImageView(store).features(digests),
            vector,
            group_by_artwork(vector, [()] * len(rows), marks),
        )

    def labels(self, genres: Sequence[str]) -> Ints:
        """Return the place of each row's genre: int (n,)."""
        return np.array([genres.index(genre) for genre in self.genres])


def _digest(row: dict[str, str]) -> Digest:
    return bytes.fromhex(row["sha256"])


def score_published(albo: Albo, kinds: Sequence[HeadKind]) -> list[Row]:
    """Score each kind of head beside a raw-pixel forest on the same rows."""
    store = store_of(albo)
    train, test = _Part.read("train", store), _Part.read("test", store)
    genres = sorted(set(train.genres))
    labels = train.labels(genres), test.labels(genres)
    asked = ask_forest(small_pixels(train.files), labels[0], small_pixels(test.files))
    forest = float((asked == labels[1]).mean())
    is_new = (test.vector @ train.vector.T).max(axis=1) < grouping_threshold()
    rows: list[Row] = []
    for kind in kinds:
        head = fit_head(
            {"image": train.features},
            labels[0],
            train.groups,
            genres,
            views=[ImageView(store)],
            settings=TrainingSettings(kind=kind),
        )
        probabilities = head.predict({"image": test.features})
        sets = head.conformal_set(probabilities)
        every = np.ones(len(is_new), np.bool_)
        scores = [
            summarise(labels[1][these], probabilities[these], sets[these], test.groups[these])
            for these in (every, is_new)
        ]
        rows += _rows(kind, len(train.files), scores, (every, is_new), forest)
    return rows


def _rows(
    kind: HeadKind,
    fitted_on: int,
    scores: Sequence[ScoreSummary],
    among: Sequence[Bools],
    forest: float,
) -> list[Row]:
    what = f"discogs5's published split, {kind}, fitted on {fitted_on:,} rows"
    as_published, unseen = scores
    promised = LEAST_OVER_PUBLISHED * PUBLISHED
    text = f"≥ {LEAST_OVER_PUBLISHED:g} x {PUBLISHED:.1%} = {promised:.1%}"
    return [
        Row(
            f"{what}: top-1 of its {int(among[0].sum()):,} test rows",
            show(as_published.top1),
            f"{forest:.1%}",
            f"{as_published.top1.value / forest:.2f}x"
            f" ({as_published.top1.value / PUBLISHED:.2f} x the published)",
            at_least(as_published.top1.value, promised, text) if kind == "logistic" else None,
        ),
        Row(
            f"{what}: top-1 of the {int(among[1].sum()):,} test rows whose artwork is not in the"
            " training part too",
            show(unseen.top1),
        ),
    ]


def show(figure: Interval) -> str:
    """Say a share and its 95 % interval."""
    return f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"
