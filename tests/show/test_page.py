"""The page of an evaluation: whole, safe with anything in it, always the same, fit for a phone."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.font_manager  # now: on a new machine it starts a process to list the fonts
import numpy as np
import pytest

from albo.learning import Leak, LeftOut, ReviewedEvaluation, metrics
from albo.learning import bootstrap as bootstrap_room
from albo.records import Album, ShownCover
from albo.show import plots
from albo.show.page import render
from tests.browser import Reader, measure
from tests.evaluations import (
    FIVE,
    HOSTILE,
    genres_of,
    make_card,
    make_evaluation,
    make_mistakes,
    make_row,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def five() -> str:
    return render(make_evaluation())


@pytest.fixture(scope="module")
def thirty_six() -> str:
    return render(make_evaluation(genres_of(36)))


def shown(bad: str, year: int | None, uri: str, thumbnail: bytes = b"") -> ShownCover:
    """A cover all of whose texts mean harm."""
    album = Album("somewhere", "1", uri, bytes(32), name=bad, artist=bad, year=year)
    return ShownCover(bytes(32), album, bad, thumbnail=thumbnail)


@pytest.fixture(scope="module")
def hostile() -> str:
    """Genres, artists, albums, words, addresses and settings that mean harm."""
    mistakes = tuple(
        replace(
            mistake,
            cover=shown(bad, 1999, f"/x/{bad}", b"\xff\xd8"),
            guess=bad,
            conformal_set=HOSTILE,
            words=(bad, bad),
            neighbours=(replace(shown(bad, None, bad), score=0.9),),
        )
        for mistake, bad in zip(make_mistakes(FIVE, len(HOSTILE)), HOSTILE, strict=True)
    )
    found = make_evaluation(HOSTILE, mistakes)
    left_out = tuple(LeftOut(bad, 1, 1) for bad in HOSTILE)
    pairs = tuple((bad, bad) for bad in HOSTILE)
    sources = tuple((bad, 1) for bad in HOSTILE)
    card = make_card(HOSTILE, left_out=left_out, settings=pairs, views=pairs)
    card = replace(card, sources=sources, backbone=HOSTILE[0], licence=HOSTILE[1], head=HOSTILE[2])
    extra = make_row(HOSTILE, 1.0, split=HOSTILE[0], view=HOSTILE[1], leaky=True)
    return render(replace(found, card=card, rows=(*found.rows, extra)))


def pages(request: pytest.FixtureRequest) -> list[str]:
    return [request.getfixturevalue(name) for name in ("five", "thirty_six", "hostile")]


@pytest.mark.whole
def test_elements_are_closed_and_ids_unique(request: pytest.FixtureRequest) -> None:
    for page in pages(request):
        assert page.startswith("<!DOCTYPE html>\n<html lang=")
        read = Reader(page)
        assert read.open == []
        ids = Counter(attributes["id"] for _, attributes in read.elements if "id" in attributes)
        assert [name for name, count in ids.items() if count > 1] == []
        assert len(read.all("h1")) == 1
        assert len(read.all("title")) == 1


@pytest.mark.whole
def test_nothing_is_loaded_and_nothing_runs(request: pytest.FixtureRequest) -> None:
    for page in pages(request):
        read = Reader(page)
        names = {name for name, _ in read.elements}
        assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "a"}
        for name, attributes in read.elements:
            for key, value in attributes.items():
                assert not key.startswith("on"), (name, key)
                if key in {"src", "href", "xlink:href", "srcset", "action", "poster"}:
                    assert value.startswith(("data:image/jpeg;base64,", "#")), (name, value)
                if key in {"style", "clip-path", "fill", "filter"}:
                    assert "url(" not in value.replace("url(#", ""), (name, value)
        (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        assert "url(" not in style
        assert "@import" not in style
        policy = [meta["content"] for meta in read.all("meta") if "http-equiv" in meta]
        assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_picture_says_what_it_is(request: pytest.FixtureRequest) -> None:
    for page in pages(request):
        read = Reader(page)
        assert read.all("img")
        assert all(image["alt"].startswith("Cover: ") for image in read.all("img"))
        drawings = read.all("svg")
        assert len(drawings) == 6
        assert all(one["role"] == "img" and len(one["aria-label"]) > 40 for one in drawings)
        for cell in read.all("th"):
            assert cell["scope"] in {"row", "col"}
        levels = [int(name[1]) for name, _ in read.elements if re.fullmatch("h[1-6]", name)]
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_what_means_harm_is_shown_as_text(hostile: str) -> None:
    read = Reader(hostile)
    assert "<script" not in hostile
    assert "<img src=x" not in hostile
    assert "<script>alert(1)</script>" in read.words
    assert "\"'><img src=x onerror=alert(1)>" in read.words
    assert "{{ 7*7 }}" in read.words
    assert hostile.count("$x^2$</text>") == 3, "no mathematics in drawings"
    assert "<!--" not in hostile, "nor comments, which a genre could end"
    assert "49" not in "".join(re.findall(r"\{\{.*?\}\}", read.words))
    assert "موسيقى عربية" in read.words
    assert "W" * 300 in read.words, "the table says it in full"
    hostile.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\uffff]", hostile)
    assert not re.search("<svg[^§]*?\u202e[^§]*?</svg>", hostile), "nothing turns a drawing round"


def test_no_folder_of_the_machine_is_told(five: str) -> None:
    assert "/home/somebody" not in five
    assert "6.jpg" in five


def test_the_figures_are_there(five: str) -> None:
    found, read = make_evaluation(), Reader(five)
    top = found.selected.summary.top1
    assert f"{top.value:.1%} of covers are read as their genre" in read.words
    assert f"{100 * top.low:.1f} to {100 * top.high:.1f}" in read.words
    assert found.leak is not None
    assert found.leak.describe() in read.words
    assert "used by albo" in read.words
    assert read.words.count("leaky") >= 1
    assert "labelled Electronic , read as Hip-Hop/Rap (97%)" in read.words
    assert "LATE LIGHT / the long winters" in read.words
    assert "ab12cd34" in read.words
    assert "Skiffle is left out: 3 groups" in read.words
    for score in found.selected.summary.per_genre:
        assert f"{score.precision:.1%} {score.recall:.1%} {score.f1:.2f}" in read.words


def test_leaky_splits_are_marked_wherever_they_are_shown(five: str) -> None:
    read = Reader(five)
    shown = [text for text in read.text if "random split" in text and "With a" not in text]
    assert len(shown) == 2, "in the table and in the plot"
    assert all("leaky" in text for text in shown)


@pytest.mark.whole
def test_a_selected_row_that_leaks_is_warned_of() -> None:
    found = make_evaluation(mistakes=())
    row = make_row(FIVE, 2.0, split="random", leaky=True, selected=True)
    page = Reader(render(replace(found, rows=(row,), leak=None)))
    assert "these figures are better than what new covers will see" in page.words
    assert "known to be of the same artist" not in page.words


def test_a_leak_that_is_not_sure_is_not_claimed() -> None:
    one = bootstrap_room.Interval(0.5, 0.4, 0.6)
    unsure = Leak(one, one, bootstrap_room.Interval(0.01, -0.02, 0.04))
    assert unsure.describe().endswith("On these covers that is no sure difference.")
    assert "+1.0 points (-2.0 to +4.0)" in unsure.describe()
    sure = Leak(one, one, bootstrap_room.Interval(0.05, 0.02, 0.08))
    assert "That is no skill" in sure.describe()


def test_what_was_not_measured_is_left_out() -> None:
    found = make_evaluation(mistakes=())
    bare = replace(found, learning_curve=(), leak=None, rows=found.rows[:1])
    read = Reader(render(bare))
    assert "careless split" not in read.words
    assert "mistake" not in read.words.replace("The commonest mistake", "")
    assert len(read.all("svg")) == 5
    assert read.all("img") == []


def test_perfect_predictions_are_drawn() -> None:
    labels = np.arange(60) % 3
    sure = np.eye(3)[labels]
    genres = ("a", "b", "c")
    found = make_evaluation(mistakes=())
    row = make_row(genres, 9.0, selected=True)
    perfect = replace(
        found,
        rows=(row,),
        corpus=replace(found.corpus, genres=genres),
        reliability=metrics.reliability(labels, sure, labels),
        risk_coverage=metrics.risk_coverage(labels, sure, labels),
        confusion=metrics.confusion(labels, sure),
    )
    assert "No cover is read as another genre" in Reader(render(perfect)).words


def test_one_mistake_is_one() -> None:
    words = Reader(render(make_evaluation(mistakes=make_mistakes(FIVE, 1)))).words
    assert "The surest mistake " in words
    assert "1 surest" not in words


@pytest.mark.whole
def test_the_page_is_small() -> None:
    page = render(make_evaluation(genres_of(36), make_mistakes(FIVE, 20, near=5)))
    assert page.count("data:image/jpeg") >= 100
    assert len(page.encode()) < 3_000_000


@pytest.mark.whole
def test_the_same_evaluation_gives_the_same_page(five: str, tmp_path: Path) -> None:
    assert render(make_evaluation()) == five
    code = (
        "import hashlib; from albo.show.page import render;"
        " from tests.evaluations import make_evaluation;"
        "print(hashlib.sha256(render(make_evaluation()).encode()).hexdigest());"
        "import sys; print('matplotlib.pyplot' in sys.modules)"
    )
    # Nor does it depend on the user's own settings.
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linestyle: --\n")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path)},
    )
    digest, has_state = done.stdout.split()
    assert digest == hashlib.sha256(five.encode()).hexdigest()
    assert has_state == "False"


def test_drawing_leaves_settings_alone() -> None:
    before = dict(mpl.rcParams)
    drawn = plots.draw_all(make_evaluation(mistakes=()))
    assert dict(mpl.rcParams) == before
    assert list(drawn)[-1] == "confusion"
    for plot in drawn.values():
        assert plot.svg.startswith("<svg ")
        assert plot.svg.endswith("</svg>")
        assert "<style" not in plot.svg, "it would reach all of the page"


def test_titles_say_what_was_found() -> None:
    found = make_evaluation(mistakes=())
    rising, flat = found.learning_curve[-2:], (found.learning_curve[-1],) * 2
    assert (
        "more covers would help"
        in plots.draw_learning_curve(replace(found, learning_curve=rising)).title
    )
    assert (
        "has no certain gain (+0.0 points)"
        in plots.draw_learning_curve(replace(found, learning_curve=flat)).title
    )
    counts = np.array([[8.0, 2, 0], [5, 5, 0], [0, 0, 1]])
    corpus = replace(found.corpus, genres=("a", "b", "c"))
    confused = replace(found, corpus=corpus, confusion=counts)
    title = plots.draw_confusion(confused).title
    assert title == "The commonest mistake: b read as a (50% of 10 covers)"


@pytest.mark.whole
@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("name", ["five", "thirty_six", "hostile"])
def test_no_page_scrolls_sideways(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, width: int
) -> None:
    needed, there = measure(
        request.getfixturevalue(name),
        width,
        "return [page.documentElement.scrollWidth, page.documentElement.clientWidth]",
        tmp_path,
    )
    assert width - 20 <= there <= width
    assert needed <= there


def test_the_records_in_json() -> None:
    found = make_evaluation()
    said = found.as_json()
    assert [row["selected"] for row in said["rows"]] == [True] + [False] * 6
    best, leaky = said["rows"][:2]
    assert set(best["leak"]) == {"value", "low", "high"}
    assert "leak" not in leaky
    assert (best["leaky"], leaky["leaky"]) == (False, True)
    assert best["genres"] == 5
    assert best["covers"] == 400
    assert best["per_genre"][0]["genre"] == "Electronic"
    assert {"split", "view", "head", "top1", "top3", "top5", "macro_f1", "ece", "ece_noise95"} <= (
        set(best)
    )
    assert {"coverage", "set_size", "artists_known", "brier", "set_size_interval"} <= set(best)
    assert said["mistakes"][0]["neighbours"][0]["score"] == 0.93
    assert "thumbnail" not in str(said)
    assert said["card"]["caveats"] == list(found.card.caveats())
    assert isinstance(found, ReviewedEvaluation)


def test_nothing_to_warn_of_is_no_caveat() -> None:
    card = make_card(
        FIVE,
        artists_known=1.0,
        from_charts=0,
        conflicting=0,
        unlabelled=0,
        left_out=(),
        near_duplicates_measured=True,
    )
    assert card.caveats() == ()
