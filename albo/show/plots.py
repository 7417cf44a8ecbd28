"""The plots of an evaluation, one function for each.

Each is readable without colour: marks differ in shape, cells and bars have their numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from albo.show.drawing import (
    ACCENT,
    LINE,
    MUTED,
    NARROWEST,
    PAPER,
    SECOND,
    WIDTH,
    Plot,
    draw_legend,
    draw_mark,
    in_words,
    open_drawing,
    scale_in_percent,
    short_name,
    write_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from albo.learning import Interval, ReviewedEvaluation
    from albo.records import Doubles

FEW = 10
"""A bin with fewer covers gets a hollow mark and no interval: resampling says little there."""

_DENSE = 105  # CSS pixels for an inch of a plot with much small text
_LONGEST_WAY = 64  # characters of a way of predicting
_READ_CELL = 0.05  # least share of a genre's covers that a small cell shows as a number
_FEW_GENRES = 10
_LIGHTEST, _DARKEST = 0.04, 0.62  # alpha of a cell, so that its number can be read


def draw_all(evaluation: ReviewedEvaluation) -> dict[str, Plot]:
    """Draw every plot that has figures, by name, in the order of the page."""
    drawn = {
        "views": draw_views(evaluation),
        "reliability": draw_reliability(evaluation),
        "risk-coverage": draw_risk_coverage(evaluation),
    }
    if len(evaluation.learning_curve) > 1:
        drawn["learning"] = draw_learning_curve(evaluation)
    drawn["genres"] = draw_genres(evaluation)
    drawn["confusion"] = draw_confusion(evaluation)
    return drawn


# --- one function for each -----------------------------------------------------------------------


def draw_views(evaluation: ReviewedEvaluation) -> Plot:
    """Compare all ways of predicting: top-1 and top-3 with their intervals, the best first."""
    rows = sorted(evaluation.rows, key=lambda row: -row.summary.top1.value)
    best = evaluation.selected
    way = short_name(best.describe(), _LONGEST_WAY)
    title = f"albo uses {way}: right for {best.summary.top1.value:.1%} of covers"
    with open_drawing("views", 0.55 + 0.44 * len(rows)) as drawing:
        axes = drawing.axes()
        for place, row in enumerate(rows):
            axes.axhline(place, color=LINE, linewidth=0.7, zorder=0)
            draw_mark(axes, row.summary.top1, place, "D" if row.leaky else "o", ACCENT)
            draw_mark(axes, row.summary.top3, place, "s", SECOND, hollow=True)
            weight = "bold" if row.selected else "normal"
            said = short_name(row.describe(), _LONGEST_WAY)
            write_text(axes, 0.0, place - 0.3, said, weight=weight, transform="y")
        axes.set_ylim(len(rows) - 0.5, -0.75)
        draw_legend(axes, {"right at first": ("o", ACCENT), "among the first three": ("s", SECOND)})
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        scale_in_percent(axes, "x", max(row.summary.top3.high for row in rows))
        svg = drawing.finish()
    listed = "; ".join(
        f"{row.describe()}: {in_words(row.summary.top1)} at first,"
        f" {in_words(row.summary.top3)} among the first three"
        for row in rows
    )
    note = "Lines are 95% intervals. A diamond is a split that leaks."
    return drawing.plot(title, listed, note, svg)


def draw_confusion(evaluation: ReviewedEvaluation) -> Plot:
    """Show how often covers of each genre (rows) are read as each (columns)."""
    counts, names = evaluation.confusion, [short_name(genre) for genre in evaluation.genres]
    size = len(names)
    few = size <= _FEW_GENRES
    shares = _share_of_rows(counts)
    title, alt = _describe_confusion(evaluation.genres, counts)
    side = (0.52 if few else 0.2) * size + (0.09 if few else 0.07) * max(map(len, names))
    with open_drawing("confusion", max(side, 3.0), max(side, WIDTH)) as drawing:
        axes = drawing.axes()
        axes.set_aspect("equal")
        for row, column in np.argwhere(shares > (0.0 if few else 0.005)).tolist():
            _cell(axes, row, column, float(shares[row, column]), few=few)
        small = 8.5 if few else 6.5
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_yticks(range(size), names, parse_math=False, fontsize=small)
        axes.set_xticks(
            range(size),
            names,
            parse_math=False,
            fontsize=small,
            rotation=35 if few else 90,
            ha="right" if few else "center",
            rotation_mode="anchor" if few else "default",
        )
        axes.tick_params(length=0)
        axes.set_xlabel("read as")
        axes.set_ylabel("labelled")
        for spine in axes.spines.values():
            spine.set_visible(False)
        svg = drawing.finish()
    note = "Each row adds up to 100: of the covers with this label, so many in a hundred are read"
    note += " as the genre below." + ("" if few else " Cells under 5 show no number.")
    return drawing.plot(title, alt, note, svg, NARROWEST if few else round(side * _DENSE))


def draw_reliability(evaluation: ReviewedEvaluation) -> Plot:
    """Show how often guesses are right against how sure they are, and how many there are."""
    bins, summary = evaluation.reliability, evaluation.selected.summary
    error, noise = summary.ece.value, summary.noise.percentile95
    title = (
        f"Its percentages can be trusted: off by {error:.1%}, no more than chance"
        f" alone would show ({noise:.1%})"
        if error <= noise
        else f"Its percentages are off by {error:.1%} on average; chance alone would show up to"
        f" {noise:.1%}"
    )
    with open_drawing("reliability", 4.3) as drawing:
        axes, below = drawing.figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]}
        )
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
        for one in bins:
            enough = one.covers >= FEW
            if enough:
                ends = [one.accuracy.low, one.accuracy.high]
                axes.plot([one.confidence] * 2, ends, color=ACCENT, linewidth=1.1)
            face = ACCENT if enough else PAPER
            axes.plot(one.confidence, one.accuracy.value, "o", color=ACCENT, markerfacecolor=face)
            below.bar(
                (one.low + one.high) / 2,
                one.covers,
                0.86 * (one.high - one.low),
                color=ACCENT,
            )
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(0, 1)
        axes.grid(visible=True)
        axes.set_ylabel("right")
        scale_in_percent(axes, "y", 1.0, limit=False)
        below.set_ylabel("covers")
        below.set_xlabel("how sure it is of its first guess")
        scale_in_percent(below, "x", 1.0)
        svg = drawing.finish()
    alt = "; ".join(
        f"sure to {one.confidence:.0%}: {in_words(one.accuracy)} right of {one.covers:.0f} covers"
        for one in bins
    )
    note = (
        "On the dashed line it is right as often as it says. Lines are 95% intervals; hollow:"
        f" fewer than {FEW} covers, too few for one."
    )
    return drawing.plot(title, alt, note, svg)


def draw_risk_coverage(evaluation: ReviewedEvaluation) -> Plot:
    """Show the accuracy where only the surest covers are answered."""
    points = evaluation.risk_coverage
    few = min(points, key=lambda point: abs(point.share - 0.2))
    title = (
        f"Asked about the surest {few.share:.0%} of covers alone, it is right for"
        f" {few.accuracy.value:.0%}; asked about all, for {points[-1].accuracy.value:.0%}"
    )
    shares = [point.share for point in points]
    with open_drawing("risk-coverage", 3.2) as drawing:
        axes = drawing.axes()
        axes.fill_between(
            shares,
            [point.accuracy.low for point in points],
            [point.accuracy.high for point in points],
            color=ACCENT,
            alpha=0.16,
            linewidth=0,
        )
        axes.plot(shares, [point.accuracy.value for point in points], "-o", color=ACCENT, ms=3)
        for point in points:
            if round(point.share, 2) in {0.1, 0.3, 0.5, 0.75, 1.0}:
                place = (point.share, min(point.accuracy.high + 0.06, 1.05))
                said = f"sure to {point.threshold:.0%}"
                side = "right" if point.share > 0.9 else "center"  # noqa: PLR2004
                write_text(axes, *place, said, ha=side, color=MUTED, size=8)
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
        axes.grid(visible=True, axis="y")
        axes.set_ylabel("right")
        axes.set_xlabel("share of covers answered, the surest first")
        scale_in_percent(axes, "y", 1.0, limit=False)
        scale_in_percent(axes, "x", 1.0)
        svg = drawing.finish()
    alt = "; ".join(
        f"{point.share:.0%} answered (sure to {point.threshold:.0%} or more): "
        f"{in_words(point.accuracy)} right"
        for point in points
    )
    return drawing.plot(title, alt, "The band is the 95% interval.", svg)


def draw_genres(evaluation: ReviewedEvaluation) -> Plot:
    """Show each genre's F1 with its covers, the best first."""
    pairs = zip(evaluation.genres, evaluation.selected.summary.per_genre, strict=True)
    scored = sorted((pair for pair in pairs if pair[1].covers), key=lambda pair: -pair[1].f1)
    (best, top), (worst, last) = scored[0], scored[-1]
    longest = max(len(f"{score.covers}") for _, score in scored)
    title = (
        f"{short_name(best)} is read best (F1 {top.f1:.2f}),"
        f" {short_name(worst)} worst (F1 {last.f1:.2f})"
    )
    places = range(len(scored))
    with open_drawing("genres", 0.5 + 0.2 * len(scored)) as drawing:
        axes = drawing.axes()
        for place, (_, score) in zip(places, scored, strict=True):
            axes.barh(place, score.f1, 0.62, color=ACCENT)
            said = f"{score.f1:.2f}, {score.covers}"
            write_text(axes, score.f1 + 0.01 * top.f1, place, said, va="center", size=8)
        names = [short_name(genre) for genre, _ in scored]
        axes.set_yticks(places, names, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(scored) - 0.4, -0.6)
        axes.set_xlim(0, max(top.f1 * (1.16 + 0.03 * longest), 0.1))
        axes.set_xlabel("F1 of the first guess; then the number of covers", loc="right")
        svg = drawing.finish()
    alt = "; ".join(f"{genre}: {score.f1:.2f} of {score.covers} covers" for genre, score in scored)
    note = (
        "F1 combines recall (how many of a genre's covers are named so) and precision (how many"
        " covers that are named so belong to it)."
    )
    return drawing.plot(title, alt, note, svg)


def draw_learning_curve(evaluation: ReviewedEvaluation) -> Plot:
    """Show the accuracy by the number of covers learned from; at least two points."""
    points = evaluation.learning_curve
    before, last = points[-2], points[-1]
    gain = 100 * (last.top1.value - before.top1.value)
    title = (
        f"From {before.covers_per_genre:.0f} to {last.covers_per_genre:.0f} covers a genre it gains"
        f" {gain:.1f} points: more covers would help"
        if last.top1.low > before.top1.value
        else f"From {before.covers_per_genre:.0f} to {last.covers_per_genre:.0f} covers a genre it"
        f" has no certain gain ({gain:+.1f} points)"
    )
    with open_drawing("learning", 3.2) as drawing:
        axes = drawing.axes()
        across = [point.covers_per_genre for point in points]
        for name, mark, colour in (("top3", "s", SECOND), ("top1", "o", ACCENT)):
            figures: list[Interval] = [getattr(point, name) for point in points]
            face = PAPER if name == "top3" else colour
            axes.vlines(across, [f.low for f in figures], [f.high for f in figures], color=colour)
            axes.plot(
                across, [f.value for f in figures], f"-{mark}", color=colour, markerfacecolor=face
            )
            for place, figure in zip(across, figures, strict=True):
                said = f"{figure.value:.0%}"
                write_text(
                    axes, place, figure.high + 0.015, said, ha="center", color=colour, size=8
                )
        draw_legend(axes, {"right at first": ("o", ACCENT), "among the first three": ("s", SECOND)})
        axes.set_xscale("log")
        axes.set_xticks(across, [f"{value:.0f}" for value in across])
        axes.set_xticks([], minor=True)
        axes.margins(x=0.06)
        axes.set_ylim(0, min(1.0, max(point.top3.high for point in points) + 0.12))
        axes.grid(visible=True, axis="y")
        axes.set_xlabel("covers of a genre to learn from")
        scale_in_percent(axes, "y", 1.0, limit=False)
        svg = drawing.finish()
    alt = "; ".join(
        f"{point.covers_per_genre:.0f} covers a genre: {in_words(point.top1)} at first,"
        f" {in_words(point.top3)} among the first three"
        for point in points
    )
    return drawing.plot(title, alt, "Lines are 95% intervals.", svg)


# --- the cells of the confusion ------------------------------------------------------------------


def _cell(axes: Axes, row: int, column: int, share: float, *, few: bool) -> None:
    """Draw a cell of a confusion matrix with its percentage; a larger share is darker."""
    from matplotlib.patches import Rectangle

    own = row == column
    axes.add_patch(
        Rectangle(
            (column - 0.47, row - 0.47),
            0.94,
            0.94,
            facecolor=ACCENT,
            alpha=_LIGHTEST + (_DARKEST - _LIGHTEST) * share,
            linewidth=0,
        )
    )
    if own:
        axes.add_patch(
            Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=ACCENT)
        )
    if few or share >= _READ_CELL:
        size = 9.0 if few else 5.8
        said = f"{share:.0%}"[:-1]
        write_text(axes, column, row, said, ha="center", va="center", size=size)


def _describe_confusion(genres: Sequence[str], counts: Doubles) -> tuple[str, str]:
    """Describe the commonest mistake, and each genre's commonest one."""
    wrong = counts * (1 - np.eye(len(genres)))
    row, column = divmod(int(wrong.argmax()), len(genres))
    if wrong[row, column] == 0:
        return "No cover is read as another genre than its own", "All are on the diagonal"
    shares = _share_of_rows(counts)
    title = (
        f"The commonest mistake: {short_name(genres[row])} read as {short_name(genres[column])}"
        f" ({shares[row, column]:.0%} of {counts[row].sum():.0f} covers)"
    )
    alt = "; ".join(
        f"{genre}: {shares[place, place]:.0%} read as such, {shares[place, other]:.0%} as"
        f" {genres[other]}"
        for place, (genre, other) in enumerate(zip(genres, wrong.argmax(1).tolist(), strict=True))
    )
    return title, alt


def _share_of_rows(counts: Doubles) -> Doubles:
    shares: Doubles = counts / np.maximum(counts.sum(1, keepdims=True), 1e-9)
    return shares
