"""Trainings and evaluations as tables in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.show import terminal
from albo.show.tables import cut_cell, genre_cell, print_if_it_fits
from albo.show.terminal import many, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.learning import Answered, Interval, LearningPoint, ReviewedEvaluation, Row
    from albo.records import Json

_NAMED_GENRES = 3
_FIGURES = ("top-1", "top-3", "top-5", "macro-F1", "ECE", "in set", "set size")


# --- train and classify ---------------------------------------------------------------------------


def show_training(report: Json) -> None:
    """Print how good a head is, and what was left out."""

    def interval(key: str) -> str:
        of = report[key]
        return f"{of['value']:7.1%}   ({of['low']:.1%} to {of['high']:.1%})"

    table = terminal.table(
        f"{report['covers']} covers of {report['genres']} genres, held out by artist and artwork"
    )
    table.add_column("")
    table.add_column("value   (95 % interval)")
    table.add_row("accuracy", interval("top1"))
    table.add_row("right genre among the first 3", interval("top3"))
    table.add_row("macro-F1", interval("macro_f1"))
    table.add_row(
        "calibration error", f"{interval('ece')}, noise up to {report['ece_noise95']:.1%}"
    )
    table.add_row(
        "sets that hold the genre", f"{interval('coverage')}, {report['set_size']:.1f} genres a set"
    )
    table.add_row("always the commonest genre", f"{report['majority']:7.1%}")
    table.add_row("covers whose artist is known", f"{report['artists_known']:7.1%}")
    terminal.console().print(table)
    for genre in report.get("left_out", ()):
        terminal.note(
            f"{genre_cell(genre['genre'])} is left out: {genre['groups']} groups of covers, 5 are"
            " needed",
            quiet=False,
        )
    if report.get("conflicting"):
        terminal.note(
            f"{report['conflicting']} covers with several labels are left out", quiet=False
        )
    looks = report["view"].replace("+", ", ")
    terminal.say(f"looks at {looks}")
    terminal.say(f"saved in {report['saved']}; `albo classify` uses it from now on")


# --- evaluate -------------------------------------------------------------------------------------


def show_evaluation(found: ReviewedEvaluation, page: str = "") -> None:
    """Print what an evaluation found.

    Parameters
    ----------
    page : the file of the page that shows all of it; "" where no page was written.
    """
    best, card = found.selected, found.card
    terminal.say(
        f"{printable(best.describe())}: right for {_with_interval(best.summary.top1)} of"
        f" {many(best.covers, 'cover')}, {len(best.genres)} genres\n"
    )
    _show_ways(found.rows)
    if found.leak is not None:
        terminal.say(f"leak        {found.leak.describe()}")
    for name, said in (
        ("best read", _name_genres(found, worst=False)),
        ("worst read", _name_genres(found, worst=True)),
        ("surest", _name_shares(found.risk_coverage)),
        ("learning", _name_points(found.learning_curve)),
    ):
        if said:
            terminal.say(f"{name:12}{said}")
    for line in card.caveats():
        terminal.note(line, quiet=False)
    if page:
        terminal.say(f"the whole of it: {printable(terminal.short(page))}")


def _show_ways(rows: Sequence[Row]) -> None:
    """Print a table of all ways of predicting; where that is too wide, five lines for each."""
    from rich.markup import escape

    title = "* is what albo uses. In brackets 95 % intervals; for ECE, what chance shows"
    table = terminal.table(title)
    table.add_column("")
    table.add_column("view and head", no_wrap=True)
    for name in _FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        style = "bold" if row.selected else None
        table.add_row(_star(row), escape(_way(row)), *_figures(row), style=style)
    if print_if_it_fits(table):
        return
    terminal.say(title)
    for row in rows:
        terminal.say(f"\n{_star(row):2}{_way(row)}")
        named = [f"{name:10}{said}" for name, said in zip(_FIGURES, _figures(row), strict=True)]
        *pairs, size = named
        for left, right in zip(pairs[:3], pairs[3:], strict=True):
            terminal.say(f"    {left:36}{right}")
        terminal.say(f"    {'':36}{size}")
    terminal.say("")


def _way(row: Row) -> str:
    return cut_cell(printable(row.describe()))


def _figures(row: Row) -> tuple[str, ...]:
    """Return a row's figures as text, in the order of _FIGURES."""
    said = row.summary
    exact = (said.top1, said.top3, said.top5, said.macro_f1)
    return (
        *map(_with_interval, exact),
        f"{said.ece.value:.1%} ({said.noise.percentile95:.1%})",
        _with_interval(said.coverage),
        f"{said.set_size:.1f} genres",
    )


def _star(row: Row) -> str:
    return "*" if row.selected else ""


def _with_interval(figure: Interval) -> str:
    return f"{figure.value:.1%} ({100 * figure.low:.1f}-{100 * figure.high:.1f})"


def _name_genres(found: ReviewedEvaluation, *, worst: bool) -> str:
    """Name the few genres that fare best, or worst, by their F1."""
    pairs = zip(found.genres, found.selected.summary.per_genre, strict=True)
    ranked = sorted((score.f1, score.covers, genre) for genre, score in pairs if score.covers)
    few = min(_NAMED_GENRES, len(ranked) // 2)
    chosen = ranked[:few] if worst else ranked[::-1][:few]
    return ", ".join(
        f"{genre_cell(genre)} {f1:.2f} ({many(covers, 'cover')})" for f1, covers, genre in chosen
    )


def _name_shares(points: Sequence[Answered]) -> str:
    """Say how often it is right for the surest covers alone."""
    wanted = [point for point in points if round(point.share, 2) in {0.1, 0.25, 0.5, 1.0}]
    said = ", ".join(f"{point.accuracy.value:.1%} of {point.share:.0%}" for point in wanted)
    return f"right for {said} of the covers, the surest first"


def _name_points(points: Sequence[LearningPoint]) -> str:
    """Say how good it is with fewer covers to learn from."""
    said = ", ".join(f"{one.top1.value:.1%} from {one.covers_per_genre:.0f}" for one in points)
    return f"right for {said} covers a genre to learn from" if said else ""
