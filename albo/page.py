"""The page that shows an evaluation: one HTML file that loads nothing, and runs nothing.

Whatever comes from covers and labels is escaped, made fit for HTML and kept from steering the text
around it; its policy forbids scripts and any address but pictures inside the file.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from albo.artifacts import write_atomically
from albo.errors import UsageError
from albo.evaluation import INTENDED_USE, LIMITS, MAJORITY
from albo.plots import draw_all

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment

    from albo.evaluation import Evaluation, ModelCard, ShownCover
    from albo.records import Json

_VIEWS = {
    "image": "the picture",
    "characters": "the letters of the words on it",
    "meaning": "what these words mean",
}
_BRIEF = 80
_DIGITS = 12
# Controls, halves of surrogate pairs, and code points that stand for no character.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)


def check_place(path: Path) -> None:
    """See, before the work is done, that a page can be written there. Raises UsageError."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it, as {path / 'evaluation.html'}")
    if path.exists() and not path.is_file():
        # A page takes the place of what has its name: nothing would be /dev/null any more.
        raise UsageError(f"{path} is a device or a pipe, which a page would replace; name a file")
    there = next((folder for folder in path.absolute().parents if folder.exists()), None)
    if there is None or not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(
            f"{path} cannot be written: {there} is no folder to write to; name another"
        )


def write(evaluation: Evaluation, path: Path) -> None:
    """Write the page of an evaluation, whole or not at all. Raises CannotWrite."""
    content = render(evaluation).encode()
    write_atomically(path, lambda file: file.write(content), "give --html another place")


def render(evaluation: Evaluation) -> str:
    """Return the page of an evaluation: HTML5, to be written as UTF-8.

    The same evaluation gives the same text.
    """
    card = evaluation.card
    template = _environment().get_template("evaluate.html")
    return template.render(
        rows=evaluation.rows,
        selected=evaluation.selected,
        genres=evaluation.genres,
        card=card,
        lede=_lede(evaluation),
        leak=evaluation.leak,
        plots=draw_all(evaluation),
        per_genre=_per_genre(evaluation),
        mistakes=evaluation.mistakes,
        facts=_facts(card),
        caveats=card.caveats(),
        intended_use=INTENDED_USE,
        limits=LIMITS,
    )


def _lede(evaluation: Evaluation) -> str:
    """Say in a sentence or two what was looked at, and how it compares."""
    best = evaluation.selected
    looked_at = ", ".join(_VIEWS.get(view, view) for view in best.view.split("+"))
    said = (
        f"albo looked at {best.covers} covers ({looked_at}) and named one of {len(best.genres)}"
        " genres for each"
        + ("." if best.leaky else ", having learned from none known to be of the same artist or")
        + ("" if best.leaky else " artwork.")
    )
    for row in evaluation.rows:
        if row.view == MAJORITY and row.split == best.split:
            said += (
                f" Always naming the commonest genre would be right for"
                f" {row.summary.top1.value:.1%}."
            )
    return said


def _per_genre(evaluation: Evaluation) -> list[Json]:
    """Return a row for each genre: its scores, and what it is most often read as instead."""
    best, found = evaluation.selected, []
    for place, genre in enumerate(evaluation.genres):
        wrong = evaluation.confusion[place].copy()
        covers = float(wrong.sum())
        wrong[place] = 0
        other = int(wrong.argmax())
        found.append(
            {
                "genre": genre,
                "groups": best.groups[place],
                "score": best.summary.per_genre[place],
                "instead": evaluation.genres[other] if wrong[other] else "",
                "share": float(wrong[other]) / covers if covers else 0.0,
            }
        )
    return found


def _facts(card: ModelCard) -> list[tuple[str, str]]:
    """Return what the card's table says, names and values; what is not known has no row."""
    years = [str(year) for year in (card.first_year, card.last_year) if year is not None]
    facts = [
        (
            "covers",
            f"{card.covers} of {card.genres} genres (level: {card.level}), in {card.groups} groups"
            " that share no artist or artwork",
        ),
        ("sources", ", ".join(f"{name} ({count})" for name, count in card.sources)),
        ("released", " to ".join(dict.fromkeys(years))),
        ("artist known", f"{card.artists_known:.1%} of covers"),
        ("evaluated", card.evaluated),
        (
            "split",
            f"{card.split}, {card.folds} folds, fold seeds {', '.join(map(str, card.seeds))}",
        ),
        ("backbone", f"{card.backbone}, {card.licence}" if card.licence else card.backbone),
        ("views", ", ".join(f"{name} ({fingerprint})" for name, fingerprint in card.views)),
        ("head", card.head),
        ("settings", ", ".join(f"{name} {value}" for name, value in card.settings)),
        ("sets", f"split conformal, {card.coverage:.0%} coverage asked for"),
        ("made with", ", ".join(f"{name} {version}" for name, version in card.libraries)),
    ]
    return [(name, said) for name, said in facts if said]


# --- the template's words ------------------------------------------------------------------------


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("albo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_fit_for_html,
    )
    environment.filters.update(percent=_percent, brief=_brief, named=_name, data_uri=_data_uri)
    return environment


def _fit_for_html(value: Any) -> Any:  # noqa: ANN401  (whatever a template shows)
    """Replace what no HTML file may hold."""
    from markupsafe import Markup

    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)


def _percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}"


def _brief(text: str, length: int = _BRIEF) -> str:
    """Cut a text that would leave no room for others, and fold its blanks."""
    folded = " ".join(text.split())
    return folded if len(folded) <= length else f"{folded[: length - 1]}…"


def _name(cover: ShownCover) -> str:
    """Name a cover: artist, album, year; else its file, without the folders; else its digest."""
    album = " - ".join(text for text in (cover.artist.strip(), cover.album.strip()) if text)
    if album:
        return f"{album} ({cover.year})" if cover.year is not None else album
    file = re.split(r"[/\\]", cover.uri)[-1]
    return file or cover.digest[:_DIGITS]


def _data_uri(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{b64encode(picture).decode('ascii')}"
