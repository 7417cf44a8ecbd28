"""How often the genre is right: grouped cross-validation, and discogs5's own published split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.api import Albo
from albo.learning import SEEDS, Interval
from albo.records import HeadKind
from benchmarks.corpora import FOREST_PIXELS, TREES, Corpus, forest_by_folds, store_of
from benchmarks.covers import SETS, some_labels, workspace
from benchmarks.published import PUBLISHED, score_published, show
from benchmarks.results import Row, Section, Target, at_least

if TYPE_CHECKING:
    from pathlib import Path

    from albo.records import Json
    from benchmarks.options import Options

TOP1 = {"discogs5": 0.41, "itunes36": 0.155}
TOP3 = {"itunes36": 0.295}
KINDS = tuple(HeadKind)


def run(options: Options) -> Section:
    """Score both kinds of head on both sets, then the split that discogs5 was published with."""
    rows: list[Row] = []
    with workspace() as here:
        for name in SETS:
            rows += _score_set(name, here.folder, options)
        rows += score_published(Albo(here.folder / "discogs5"), KINDS)
    return Section(
        "accuracy: the image alone",
        rows,
        [_REMARK_GROUPED, _REMARK_PUBLISHED],
        ("openvino", "scikit-learn", "lightgbm", "scipy", "numpy"),
    )


_REMARK_GROUPED = (
    "Grouped: `albo embed labels.csv`, then what `albo train` reports: nested 5-fold"
    " cross-validation that keeps groups (artist, `dup_group`, near-duplicates) together, settings"
    " and calibration fitted inside the training part, mean over the fold seeds that the row"
    f" names, 95 % intervals by resampling groups. The peer is a random forest of {TREES} trees on"
    f" the raw pixels ({FOREST_PIXELS} x {FOREST_PIXELS}), the same covers and groups, folds drawn"
    " in the same way with seed 0. Beside the calibration error stands what a perfectly calibrated"
    " predictor would still show: on average, and in 95 of 100 cases at most."
)
_REMARK_PUBLISHED = (
    "Published: the rows of `all_source_files.csv` with a `published_split`, and that file's own"
    " genres; settings chosen by grouped cross-validation inside its training part. The"
    f" {PUBLISHED:.1%} are the published figure of a random forest on raw pixels, not run here; the"
    " forest beside it was."
)


def _score_set(name: str, folder: Path, options: Options) -> list[Row]:
    manifest = some_labels(name, folder, options)
    albo = Albo(folder / name)
    albo.embed([str(manifest)])
    corpus = Corpus.read(manifest, store_of(albo))
    seeds = SEEDS[: options.pick(len(SEEDS), 1)]
    reports = [albo.train(kind, kind=kind, seeds=seeds) for kind in KINDS]
    forest = forest_by_folds(corpus, reports[0]["folds"])
    return [row for report in reports for row in _rows_of(name, report, forest)]


def _rows_of(name: str, report: Json, forest: float) -> list[Row]:
    seeds = ", ".join(str(seed) for seed in report["seeds"])
    what = (
        f"{name}, {report['covers']:,} covers, {report['genres']} genres, {report['head']},"
        f" seeds {seeds}"
    )
    # The targets are of the default kind of head; the other is shown beside it.
    is_default = report["head"] == KINDS[0]
    top1 = _interval(report["top1"])
    return [
        Row(
            f"{what}: top-1",
            show(top1),
            f"{forest:.1%} (always the commonest genre: {report['majority']:.1%})",
            f"{top1.value / forest:.2f}x",
            _reach(top1, TOP1.get(name)) if is_default else None,
        ),
        Row(
            f"{what}: top-3",
            show(_interval(report["top3"])),
            target=_reach(_interval(report["top3"]), TOP3.get(name)) if is_default else None,
        ),
        Row(f"{what}: macro-F1", show(_interval(report["macro_f1"]))),
        Row(
            f"{what}: calibration error",
            show(_interval(report["ece"])),
            f"{report['ece_noise']:.1%}; {report['ece_noise95']:.1%}",
        ),
        Row(
            f"{what}: sets of {report['coverage_asked']:.0%} that hold the genre",
            f"{show(_interval(report['coverage']))}, {report['set_size']:.1f} genres a set",
        ),
    ]


def _interval(figure: Json) -> Interval:
    return Interval(figure["value"], figure["low"], figure["high"])


def _reach(figure: Interval, limit: float | None) -> Target | None:
    return None if limit is None else at_least(figure.value, limit, f"≥ {limit:.1%}")
