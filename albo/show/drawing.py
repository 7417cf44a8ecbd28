"""One drawing of an evaluation, as SVG to be put into a page: its style, axes, marks and texts.

Ink and colours are CSS variables (`--ink`, `--muted`, `--line`, `--paper`, `--accent`, `--second`)
with their values as fall-back, so that a page can turn dark. The same input gives the same bytes.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from io import StringIO
from threading import Lock
from typing import TYPE_CHECKING, Any

from albo.genres import as_people_write
from albo.show.terminal import printable
from albo.texts import cut_short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from albo.learning import Interval


INK, MUTED, LINE, PAPER = "#1c2127", "#5f6b7a", "#dfe3e8", "#ffffff"
ACCENT, SECOND = "#0a5fb4", "#c2410c"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    PAPER: "--paper",
    ACCENT: "--accent",
    SECOND: "--second",
}

WIDTH = 4.4
"""The width of a drawing in inches."""

NARROWEST = 300
"""The least width, in CSS pixels, at which a drawing's text can be read."""

_LONGEST = 26  # characters of a genre's name
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # for the measures; comes with matplotlib
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "patch.linewidth": 0.6,
}
_one_at_a_time = Lock()


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, ready for a page."""

    title: str
    """What it shows, in plain words."""

    alt: str
    """The same in words, for people who cannot see it."""

    note: str
    """What its marks mean."""

    svg: str
    """The drawing, an SVG element."""

    width: int
    """The least width, in CSS pixels, at which its text can be read; below it the page scrolls."""


class Drawing:
    """A matplotlib figure that is being drawn."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    def axes(self) -> Axes:
        """Return the only axes."""
        found: Axes = self.figure.subplots()
        return found

    def finish(self) -> str:
        """Return the SVG element."""
        out = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self.figure.savefig(out, format="svg", transparent=True, metadata=nothing)
        return _for_a_page(out.getvalue())

    def plot(self, title: str, alt: str, note: str, svg: str, width: int = NARROWEST) -> Plot:
        """Make a plot of the drawing and its texts."""
        told = escape(printable(f"{title}. {alt}."))
        svg = svg.replace("<svg ", f'<svg role="img" aria-label="{told}" ', 1)
        return Plot(title, alt, note, svg, width)


@contextmanager
def open_drawing(name: str, height: float, width: float = WIDTH) -> Iterator[Drawing]:
    """Open a drawing of this size in inches.

    Until it is closed, matplotlib has the settings of these drawings, and not the user's.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    # The whole process shares the settings, and a web server draws in several threads.
    with (
        _one_at_a_time,
        warnings.catch_warnings(),
        style.context({**_STYLE, "svg.hashsalt": f"albo-{name}"}, after_reset=True),
    ):
        # The browser has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", ".*(Glyph|natively support)", UserWarning)
        yield Drawing(Figure((width, height), layout="constrained"))


def _for_a_page(svg: str) -> str:
    """Remove the parts for a separate file, and the styles and ids that affect the whole page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    head, rest = svg.split(">", 1)
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)  # every drawing has the same ids
    head = re.sub(r' (?:width|height|version)="[^"]*"', "", head)
    for value, variable in _VARIABLES.items():
        rest = rest.replace(f": {value}", f": var({variable}, {value})")
    rest = rest.replace("'DejaVu Sans'", "system-ui, sans-serif")
    return f'{head} style="stroke-linejoin: round">{rest}'.strip()


def draw_mark(
    axes: Axes, figure: Interval, place: float, mark: str, colour: str, *, hollow: bool = False
) -> None:
    """Draw a figure with its interval as a horizontal line."""
    axes.plot([figure.low, figure.high], [place, place], color=colour, linewidth=1.2)
    face = PAPER if hollow else colour
    axes.plot(figure.value, place, mark, color=colour, markerfacecolor=face)


def draw_legend(axes: Axes, marks: dict[str, tuple[str, str]]) -> None:
    """Say above the axes what the marks are; squares are hollow."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker=mark, color=colour, markerfacecolor=PAPER if mark == "s" else colour)
        for mark, colour in marks.values()
    ]
    axes.legend(
        handles,
        list(marks),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(handles),
        borderaxespad=0.3,
        handlelength=1.6,
    )


def write_text(
    axes: Axes,
    across: float,
    up: float,
    said: str,
    transform: str = "",
    **style: Any,  # noqa: ANN401
) -> None:
    """Write text as it is, never as mathematics."""
    if transform == "y":
        style["transform"] = axes.get_yaxis_transform()
    axes.text(across, up, said, parse_math=False, **style)


def scale_in_percent(axes: Axes, name: str, highest: float, *, limit: bool = True) -> None:
    """Write an axis in per cent, from 0 to the highest."""
    from matplotlib.ticker import PercentFormatter

    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if limit:
        axes.set_xlim(0, min(1.0, highest * 1.05))


def in_words(figure: Interval) -> str:
    """Say a share with its interval, in per cent."""
    return f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"


def short_name(text: str, longest: int = _LONGEST) -> str:
    """Make a name safe and short enough for a drawing; tables say it in full."""
    return cut_short(printable(as_people_write(text)), longest)
