"""Pictures of answers: why covers read as they do, and a genre's most and least typical covers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from albo.genres import as_people_write
from albo.images import faded
from albo.show.sheet import Bar, SheetRow, Tile, draw_grid, draw_sheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from albo.answers import Explained, Typical
    from albo.heads import Reasons
    from albo.records import ShownCover


_BETWEEN = " \N{MIDDLE DOT} "
MOST_ROWS = 100
"""The most covers explained in one picture."""

_NEAR = 3
_WORDS = 8
_HEADINGS = ("cover", "for its first genre, and against", "reads as")
_SUBTITLE = (
    "evidence in log-odds against the mean of the other genres: +0.7 doubles the odds, -0.7 halves"
    " them"
)


def draw_explained(answers: Sequence[Explained]) -> Image.Image:
    """Draw why covers read as they do: one row for each cover that could be read.

    A row shows the cover, the map of its evidence for its first genre, the nearest covers of that
    genre and of others, and its genres. Below is the evidence of the views and the words. Raises
    UsageError for more rows than a picture holds.
    """
    rows = [_row(one, one.reasons) for one in answers if one.reasons is not None]
    heads = ", ".join(dict.fromkeys(one.classified.head for one in answers if one.reasons))
    title = f"albo: what it reads as, and why (head {heads})"
    return draw_sheet(rows, title, _SUBTITLE, headings=_HEADINGS)


def _row(answer: Explained, reasons: Reasons) -> SheetRow:
    said = answer.classified.prediction
    bars = () if said is None else zip(said.genres, said.probabilities, strict=True)
    inside = () if said is None else said.conformal_set
    return SheetRow(
        Tile(answer.page, as_people_write(reasons.genre), _file_name(answer.classified.query)),
        tuple(_evidence(answer, reasons)),
        tuple(
            Bar(as_people_write(genre), probability, genre in inside) for genre, probability in bars
        ),
        tuple(_lines(answer, reasons)),
    )


def _file_name(query: str) -> str:
    return query.replace("\\", "/").rpartition("/")[2]


def _evidence(answer: Explained, reasons: Reasons) -> Iterator[Tile]:
    activation = reasons.activation
    if activation is not None and answer.page is not None:
        share = f"{activation.share:.0%} of what the picture says"
        yield Tile(faded(answer.page, activation.evidence), "where it speaks for it", share)
    for mark, near in (("for", answer.own), ("against", answer.others)):
        for one in near[:_NEAR]:
            yield _near_tile(one, mark)


def _near_tile(cover: ShownCover, mark: str) -> Tile:
    title = f"{cover.score:.2f}  {as_people_write(cover.genre)}"
    return Tile(_opened(cover.thumbnail), title, _name(cover), mark)


def _name(cover: ShownCover) -> str:
    """Name a cover: artist and album, else its file, without the folders."""
    if cover.album is None:
        return ""
    named = " - ".join(text for text in (cover.album.artist, cover.album.name) if text)
    return named or _file_name(cover.album.uri)


def _lines(answer: Explained, reasons: Reasons) -> Iterator[str]:
    views = [str(one) for one in reasons.views]
    if votes := answer.votes:
        views.append(
            f"{as_people_write(votes.genre)}: {votes.in_favour} of the {votes.voters} nearest"
            f" covers, {votes.by_chance:.1f} expected by chance"
        )
    yield _BETWEEN.join(views)
    if reasons.activation is None:
        yield f"no map: {reasons.no_map}"
    if reasons.words:
        yield f"words: {_BETWEEN.join(map(str, reasons.words[:_WORDS]))}"


def draw_typical(found: Sequence[Typical], title: str, *, oddest: bool) -> Image.Image:
    """Draw covers of a genre in a grid, with their rank.

    Of the oddest, the genre that each looks most like is named too.

    Raises UsageError for more than a picture holds.
    """
    tiles = []
    for one in found:
        share = f"{one.typicality.among.percentile:.0%}"
        if oddest:
            share += f"{_BETWEEN}like {as_people_write(one.looks_like)}"
        tiles.append(
            Tile(
                _opened(one.cover.thumbnail),
                f"{one.rank}. {_name(one.cover)}",
                share,
            )
        )
    return draw_grid(tiles, title, columns=6)


def _opened(picture: bytes) -> Image.Image | None:
    """Open a picture made by albo; None where there is none."""
    return Image.open(io.BytesIO(picture)) if picture else None
