"""Fills the templates of pages: how texts, numbers and pictures are written in HTML.

Text from covers and labels is escaped, made fit for HTML, and kept from changing the direction of
the text around it. The policy of the pages forbids scripts and any address but pictures inside the
file.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from albo.answers import THUMBNAIL, VOTERS, Seen, Verdict
from albo.genres import as_people_write
from albo.texts import cut_short, ordinal, signed, times_the_odds

if TYPE_CHECKING:
    from jinja2 import Environment

    from albo.records import Json, ShownCover

VIEWS = {
    "image": "the picture",
    "characters": "the letters of the words on it",
    "meaning": "what these words mean",
}
"""How pages call the views of a head."""

_BRIEF = 80
_DIGITS = 12
_ARTISTS = 48  # letters of a cover's artists
_JPEG = b"\xff\xd8"
# Controls, overrides of direction, halves of surrogate pairs, and code points that stand for no
# character.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)


def fill(template: str, values: Json) -> str:
    """Fill a template of the folder `templates` with values by their names."""
    return _environment().get_template(template).render(**values)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("albo.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_fit_for_html,
    )
    environment.filters.update(
        percent=_percent,
        chance=_chance,
        coverage=coverage,
        signed=_signed,
        brief=brief,
        named=_name,
        isolated=_isolated,
        data_uri=_data_uri,
        ordinal=ordinal,
        written=as_people_write,
        times=times_the_odds,
    )
    environment.globals.update(Seen=Seen, Verdict=Verdict, thumbnail_side=THUMBNAIL, voters=VOTERS)
    return environment


def _fit_for_html(value: Any) -> Any:  # noqa: ANN401  (whatever a template shows)
    """Replace the characters that HTML forbids."""
    from markupsafe import Markup

    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)


def _percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}"


def _chance(probability: float) -> str:
    """Write a probability with two digits, but never as 0% or 100%."""
    if probability < 0.001:  # noqa: PLR2004
        return "under 0.1%"
    if probability > 0.995:  # noqa: PLR2004
        return "over 99%"
    return f"{probability:.1%}" if probability < 0.0995 else f"{probability:.0%}"  # noqa: PLR2004


def coverage(share: float) -> str:
    """Write the coverage that was asked for, in per cent, with no more digits than it has."""
    return f"{100 * share:g}%"


def _signed(evidence: float) -> str:
    """Write log-odds with their sign, a true minus, and no sign where they round to nothing."""
    said = signed(evidence)
    return "0.00" if said == "+0.00" else said.replace("-", "\N{MINUS SIGN}")


def brief(text: str, length: int = _BRIEF) -> str:
    """Cut a text that would leave no room for others, and make runs of blanks one."""
    return cut_short(" ".join(text.split()), length)


def _name(cover: ShownCover) -> str:
    """Name a cover: artist, album, year; else its file, without the folders; else its digest."""
    digits, album = cover.digest.hex()[:_DIGITS], cover.album
    if album is None:
        return digits
    # Some albums name the artists of each part of an opera; the album's name has to stay visible.
    named = brief(album.artist, _ARTISTS), album.name.strip()
    if said := " - ".join(text for text in named if text):
        return f"{said} ({album.year})" if album.year is not None else said
    return file_name(album.uri) or digits


def file_name(place: str) -> str:
    """Return the last part of a path or an address, of any system."""
    return re.split(r"[/\\]", place.rstrip("/\\"))[-1]


def _isolated(text: str) -> str:
    """Keep a text from changing the direction of its surroundings, where <bdi> is not allowed."""
    return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"


def _data_uri(picture: bytes) -> str:
    """Return a JPEG or a PNG as a data URI."""
    kind = "jpeg" if picture.startswith(_JPEG) else "png"
    return f"data:image/{kind};base64,{b64encode(picture).decode('ascii')}"
