"""Write text on pictures: no text leaves its box."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Colour = (250, 250, 247)
"""The ground of every sheet; its outer margin is always this colour."""

INK: Colour = (24, 24, 27)
GREY: Colour = (92, 92, 98)

_LONGEST_TEXT = 400
_MOST_MARKS = 2
_ELLIPSIS = "…"
_FALLBACK_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "Arial Unicode.ttf",
    "AppleSDGothicNeo.ttc",
    "Hiragino Sans GB.ttc",
    "arial.ttf",
    "malgun.ttf",
    "msyh.ttc",
    "YuGothM.ttc",
    "unifont.otf",
)
"""Fonts of the system, tried in this order for characters that Pillow's own font lacks."""


# ---------------------------------------------------------------- text


def clean_text(text: str) -> str:
    """Make any string fit for one line of a picture.

    Line breaks and tabs become spaces. Control characters, direction overrides, surrogates and
    unassigned code points are removed. At most two combining marks stay on a letter, and at most
    400 characters stay in all.
    """
    kept: list[str] = []
    marks = 0
    for letter in text[: 4 * _LONGEST_TEXT]:
        kind = unicodedata.category(letter)
        marks = marks + 1 if kind in {"Mn", "Me"} else 0
        if kind in {"Zs", "Zl", "Zp"} or letter in "\t\n\r\v\f":
            kept.append(" ")
        elif kind[0] != "C" and marks <= _MOST_MARKS and not _is_selector(letter):
            kept.append(letter)
    line = " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
    return line[:_LONGEST_TEXT].rstrip()


def _is_selector(letter: str) -> bool:
    """Tell whether a character is a variation selector, which changes the letter before it."""
    return "\ufe00" <= letter <= "\ufe0f"


@lru_cache(maxsize=256)
def _font(name: str, size: int) -> Font | None:
    """Load Pillow's own font (the empty name) or one of the system; None where it is missing."""
    try:
        return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None


@lru_cache(maxsize=8192)
def _has_glyph(name: str, letter: str) -> bool:
    """Tell whether a font draws this letter as anything but its box for missing glyphs."""
    font = _font(name, 24)
    if font is None:
        return False
    if letter == " ":
        return True
    mask = font.getmask(letter)
    missing = font.getmask("\uffff")
    return mask.size != missing.size or bytes(mask) != bytes(missing)


def _plain(letter: str) -> str:
    """Remove a letter's accents, for fonts that lack the accented letter."""
    parts = unicodedata.normalize("NFKD", letter)
    return "".join(part for part in parts if not unicodedata.combining(part))


@lru_cache(maxsize=4096)
def _set_in_font(text: str) -> tuple[str, str]:
    """Choose the first font that has the whole text, else the one that lacks fewest letters.

    Returns the font's name and the text to draw: letters lose the accents that the font lacks, and
    letters that it lacks become an ellipsis.
    """
    letters = set(text)
    best, fewest = "", len(letters) + 1
    for name in ("", *_FALLBACK_FONTS):
        lacking = sum(not _has_glyph(name, letter) for letter in letters)
        if lacking < fewest:
            best, fewest = name, lacking
        if not fewest:
            return best, text
    shown = ""
    for letter in text:
        if unicodedata.combining(letter) and not _has_glyph(best, letter):
            continue
        plain = letter if _has_glyph(best, letter) else _plain(letter)
        if not plain or not all(_has_glyph(best, part) for part in plain):
            plain = "" if shown.endswith(_ELLIPSIS) else _ELLIPSIS
        shown += plain
    return best, re.sub(rf"{_ELLIPSIS}( {_ELLIPSIS})+", _ELLIPSIS, shown)


def _fitted(text: str, font: Font, width: int) -> str:
    """Shorten a text with an ellipsis until it is at most `width` pixels wide."""
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + _ELLIPSIS) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + _ELLIPSIS if low else ""


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a line of text looks."""

    size: int
    """The size in pixels."""
    colour: Colour = INK
    """The colour."""
    side: float = 0.0
    """The share of the slack that is left of the text: 0 puts it at the left, 1 at the right."""

    @property
    def high(self) -> int:
        """Height of the line's box."""
        return math.ceil(self.size * 1.35)


def prepare_line(text: str, width: int, style: TextStyle) -> tuple[str, Font, int]:
    """Prepare one line: what to draw, in which font, and how wide it will be."""
    name, shown = _set_in_font(clean_text(text))
    font = _font(name, style.size) or ImageFont.load_default(style.size)
    shown = _fitted(shown, font, width)
    return shown, font, min(width, math.ceil(font.getlength(shown)))


def write_line(
    page: Image.Image, at: tuple[int, int], width: int, text: str, style: TextStyle
) -> int:
    """Write one line into its box (nothing is drawn outside it); return how wide it is."""
    shown, font, wide = prepare_line(text, width, style)
    if not shown or width < 1:
        return 0
    box = Image.new("L", (width, style.high))
    baseline = round(style.size * 1.02)
    left = round((width - wide) * style.side)
    ImageDraw.Draw(box).text((left, baseline), shown, fill=255, font=font, anchor="ls")
    page.paste(style.colour, at, box)
    return wide
