"""How an evaluation looks in a terminal, narrow and wide."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from albo.show import scores
from tests.evaluations import FIVE, HOSTILE, make_evaluation, make_row

if TYPE_CHECKING:
    import pytest


class Screen(io.StringIO):
    """A terminal without colours."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, width: int, genres: tuple[str, ...] = FIVE) -> str:
    """Return what is printed on a terminal of so many columns."""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    found = make_evaluation(genres, mistakes=())
    extra = make_row(genres, 0.5, split="[red]my split.csv")
    scores.show_evaluation(replace(found, rows=(*found.rows, extra)), "reports/x.html")
    return screen.getvalue()


def ways(out: str) -> str:
    """The part with all ways of predicting."""
    return out[: out.index("leak        ")]


def test_wide_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    out = ways(shown(monkeypatch, 200))
    lines = [line for line in out.splitlines() if "image" in line and "right for" not in line]
    assert len(lines) == 6, "one line for each"
    assert lines[0].lstrip().startswith("* ")
    assert sum(line.lstrip().startswith("*") for line in lines) == 1
    assert "[red]my split.csv" in out
    assert all(len(line) <= 200 for line in out.splitlines())


def test_narrow_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide = (ways(shown(monkeypatch, width)) for width in (80, 200))
    assert "random split, leaky" in narrow
    lines = narrow.splitlines()[1:]
    assert max(len(line) for line in lines) <= 80, "nothing folds"
    for figure in make_evaluation(mistakes=()).rows:
        top = figure.summary.top1
        said = f"{top.value:.1%} ({100 * top.low:.1f}-{100 * top.high:.1f})"
        assert said in narrow
        assert said in wide


def test_what_else_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(monkeypatch, 200)
    for begins in ("leak        With a random split", "best read   ", "worst read  ", "surest "):
        assert f"\n{begins}" in out
    assert "\nlearning    right for " in out
    assert "covers a genre to learn from\n" in out
    assert out.endswith("the whole of it: reports/x.html\n")
    assert "Skiffle is left out: 3 groups of covers" in capsys.readouterr().err


def test_best_and_worst_share_no_genre(monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown(monkeypatch, 200)
    best, worst = (
        next(line for line in out.splitlines() if line.startswith(word)) for word in ("best", "wor")
    )
    assert not {genre for genre in FIVE if genre in best and genre in worst}


def test_names_steer_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown(monkeypatch, 80, HOSTILE)
    assert not set(out) & {"\x00", "\x1b", "\u202e", "\ud800"}
    assert "W" * 81 not in out


def test_what_was_not_measured_has_no_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = make_evaluation(mistakes=())
    scores.show_evaluation(replace(found, leak=None, learning_curve=()))
    out = capsys.readouterr().out
    assert "\nleak" not in out
    assert "\nlearning" not in out
    assert "the whole of it" not in out
