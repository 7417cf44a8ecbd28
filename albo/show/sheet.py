"""Contact sheets: covers, their neighbours and their genres in one picture.

Nothing on a sheet is said by colour alone: values are printed beside bars, and marks are words.
Whatever a tag or a file name holds, no text leaves its own box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, PngImagePlugin

from albo.errors import UsageError
from albo.show.lettering import (
    GREY,
    INK,
    PAPER,
    Colour,
    TextStyle,
    clean_text,
    prepare_line,
    write_line,
)
from albo.store import ELSEWHERE, MARK, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

_RULE: Colour = (221, 221, 214)
_BLANK: Colour = (236, 236, 230)
_BAR: Colour = (36, 76, 140)

MOST_PIXELS = 120_000_000
MOST_SIDE = 60_000
"""A sheet's longest side in pixels; JPEG ends at 65,535."""

HEADINGS = ("cover", "nearest covers", "reads as")
"""The headings of a sheet's columns."""
_PALE = 225
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


@dataclass(frozen=True, slots=True)
class Tile:
    """One cover on a sheet."""

    image: Image.Image | None
    """The picture; None where the cover could not be read."""
    title: str
    """The line below the picture."""
    caption: str = ""
    """The smaller text below the title; "" for none."""
    mark: str = ""
    """A short badge on the picture; "" for none."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A genre and its probability."""

    label: str
    """The genre."""
    value: float
    """Its probability, 0 to 1."""
    mark: bool = False
    """Whether it is in the conformal set."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One query and what was found for it."""

    query: Tile
    """The cover that was asked about."""
    neighbours: tuple[Tile, ...]
    """The covers nearest to it."""
    bars: tuple[Bar, ...] = ()
    """The genres that it reads as."""
    lines: tuple[str, ...] = ()
    """The lines of text below all of these."""


# ---------------------------------------------------------------- tiles


@dataclass(frozen=True, slots=True)
class _Scale:
    """All measures of a sheet, in pixels, from the side of its tiles."""

    tile: int

    def part(self, points: float) -> int:
        """Scale a measure given for tiles of 180 pixels."""
        return max(1, round(points * self.tile / 180))

    @property
    def margin(self) -> int:
        """Blank rim of the sheet."""
        return self.part(28)

    @property
    def gap(self) -> int:
        """Space between two tiles."""
        return self.part(14)

    @property
    def title(self) -> TextStyle:
        """Type of the sheet's title."""
        return TextStyle(self.part(26))

    @property
    def subtitle(self) -> TextStyle:
        """Type of the line below the title."""
        return TextStyle(self.part(14), GREY)

    @property
    def heading(self) -> TextStyle:
        """Type of the columns' headings."""
        return TextStyle(self.part(12.5), GREY)

    @property
    def name(self) -> TextStyle:
        """Type of a tile's title and of a bar's label."""
        return TextStyle(max(9, self.part(13.5)))

    @property
    def caption(self) -> TextStyle:
        """Type of a tile's caption."""
        return TextStyle(max(8, self.part(12)), GREY)

    @property
    def cell(self) -> int:
        """Height of a tile with its two lines."""
        return self.tile + self.part(6) + self.name.high + self.caption.high


def _flattened(image: Image.Image) -> Image.Image:
    """Bring any mode to RGB, transparency over white."""
    if image.mode == "RGB":
        return image
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, clear).convert("RGB")
    return image.convert("RGB")


def _is_drawn(page: Image.Image, at: tuple[int, int], side: int, image: Image.Image) -> bool:
    """Fit a picture into its square, whole and in its own proportions.

    False where the picture is empty, or damaged, as Pillow decodes an opened file only now.
    """
    if min(image.size) < 1:
        return False
    try:
        pixels = _flattened(image)
        pixels.load()
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files
        return False
    scale = side / max(image.size)
    width, height = (max(1, min(side, round(v * scale))) for v in image.size)
    small = pixels.resize((width, height), Image.Resampling.LANCZOS)
    if _is_pale(small):
        ImageDraw.Draw(small).rectangle((0, 0, width - 1, height - 1), outline=_RULE)
    page.paste(small, (at[0] + (side - width) // 2, at[1] + (side - height) // 2))
    return True


def _is_pale(image: Image.Image) -> bool:
    """Tell whether a picture's top or bottom edge is so light that it would run into the paper."""
    grey = image.convert("L")
    width, height = grey.size
    sides = ((0, 0, width, 1), (0, height - 1, width, height))
    edges = (grey.crop(side).resize((1, 1), Image.Resampling.BOX) for side in sides)
    return any(edge.tobytes()[0] > _PALE for edge in edges)


def _draw_missing(page: Image.Image, at: tuple[int, int], scale: _Scale) -> None:
    """Draw a crossed square with a message, for a cover that could not be read."""
    x, y = at
    side = scale.tile - 1
    pen = ImageDraw.Draw(page)
    pen.rectangle((x, y, x + side, y + side), fill=_BLANK, outline=_RULE)
    pen.line((x, y, x + side, y + side), fill=_RULE, width=scale.part(1.5))
    pen.line((x, y + side, x + side, y), fill=_RULE, width=scale.part(1.5))
    style = TextStyle(scale.name.size, GREY, 0.5)
    top = y + (scale.tile - 2 * style.high) // 2
    pad = scale.part(24)
    pen.rectangle((x + pad, top - pad // 4, x + side - pad, top + 2 * style.high), fill=_BLANK)
    for k, text in enumerate(("image could", "not be read")):
        write_line(page, (x, top + k * style.high), scale.tile, text, style)


def _draw_mark(page: Image.Image, at: tuple[int, int], mark: str, scale: _Scale) -> None:
    """Lay a badge over the upper left corner of a tile."""
    style = TextStyle(max(8, scale.part(12)))
    pad = scale.part(6)
    room = scale.tile - 2 * (scale.part(6) + pad)
    _, _, wide = prepare_line(mark, room, style)
    x, y = at[0] + scale.part(6), at[1] + scale.part(6)
    box = (x, y, x + wide + 2 * pad, y + style.high + pad // 2)
    ImageDraw.Draw(page).rounded_rectangle(box, scale.part(4), fill=PAPER, outline=INK)
    write_line(page, (x + pad, y + pad // 4), room, mark, style)


def _draw_tile(page: Image.Image, at: tuple[int, int], tile: Tile, scale: _Scale) -> None:
    if tile.image is None or not _is_drawn(page, at, scale.tile, tile.image):
        _draw_missing(page, at, scale)
    if clean_text(tile.mark):
        _draw_mark(page, at, tile.mark, scale)
    top = at[1] + scale.tile + scale.part(6)
    write_line(page, (at[0], top), scale.tile, tile.title, scale.name)
    write_line(page, (at[0], top + scale.name.high), scale.tile, tile.caption, scale.caption)


# ---------------------------------------------------------------- bars


def _percent(value: float) -> str:
    if not math.isfinite(value):
        return "n/a"
    return "< 1 %" if 0 < value < 0.005 else f"{100 * value:.0f} %"  # noqa: PLR2004 - rounds to 0


def _bar_pitch(scale: _Scale) -> int:
    return scale.name.high + scale.part(16)


def _draw_bars(
    page: Image.Image, at: tuple[int, int], width: int, bars: Sequence[Bar], scale: _Scale
) -> None:
    """Draw as many genres as fit beside a tile, and say how many more there are."""
    pitch = _bar_pitch(scale)
    fitting = max(1, scale.cell // pitch)
    shown = bars if len(bars) <= fitting else bars[: max(1, fitting - 1)]
    for k, bar in enumerate(shown):
        _draw_bar(page, (at[0], at[1] + k * pitch), width, bar, scale)
    if len(shown) < len(bars):
        rest = f"and {len(bars) - len(shown)} more"
        write_line(page, (at[0], at[1] + len(shown) * pitch), width, rest, scale.caption)


def _draw_bar(page: Image.Image, at: tuple[int, int], width: int, bar: Bar, scale: _Scale) -> None:
    """Draw one genre: its name, its value in print, and its bar, solid where it is in the set."""
    x, y = at
    value = _percent(bar.value) + (" · in the set" if bar.mark else "")
    right = TextStyle(scale.caption.size, INK if bar.mark else GREY, 1.0)
    drop = scale.name.size - right.size
    taken = write_line(page, (x + width // 2, y + drop), width - width // 2, value, right)
    write_line(page, (x, y), width - taken - scale.part(8), bar.label, scale.name)
    top, foot = y + scale.name.high, y + scale.name.high + scale.part(6)
    share = min(1.0, max(0.0, bar.value)) if math.isfinite(bar.value) else 0.0
    pen = ImageDraw.Draw(page)
    pen.rectangle((x, top, x + width - 1, foot), fill=_BLANK)
    if share > 0:
        end = x + max(1, round(share * (width - 1)))
        pen.rectangle((x, top, end, foot), fill=_BAR if bar.mark else PAPER, outline=_BAR)


# ---------------------------------------------------------------- sheets


def _check_size(tile: int, width: int, height: int, what: str) -> None:
    """Refuse a sheet that no viewer would open, before any memory is taken.

    Raises UsageError.
    """
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise UsageError(
            f"a sheet of {what} at {tile} px a tile would be {width} by {height} px, but"
            f" {MOST_SIDE} px a side and {MOST_PIXELS // 10**6} Mpx are the limits;"
            " draw fewer, or smaller tiles"
        )


def _check_tile(tile: int) -> None:
    if not 48 <= tile <= 1000:  # noqa: PLR2004 - said in the message
        raise UsageError(f"tiles of {tile} px were asked for, but 48 to 1000 px can be drawn")


def _open_page(size: tuple[int, int], title: str, subtitle: str, scale: _Scale) -> Image.Image:
    """Start a page with its title and the line below it."""
    page = Image.new("RGB", size, PAPER)
    x, room = scale.margin, size[0] - 2 * scale.margin
    write_line(page, (x, scale.margin), room, title, scale.title)
    write_line(page, (x, scale.margin + scale.title.high), room, subtitle, scale.subtitle)
    return page


def _head_height(subtitle: str, scale: _Scale) -> int:
    """Height of margin, title and subtitle, down to where the content begins."""
    below = scale.subtitle.high if clean_text(subtitle) else 0
    return scale.margin + scale.title.high + below + scale.part(16)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the columns of a sheet stand, from the left, in pixels."""

    query: int
    neighbours: int
    bars: int
    bars_width: int
    right: int

    @classmethod
    def of(cls, rows: Sequence[SheetRow], scale: _Scale) -> _Columns:
        """Lay the columns out for the row with the most neighbours."""
        most = max((len(row.neighbours) for row in rows), default=0)
        wide = scale.part(270) if any(row.bars for row in rows) else 0
        neighbours = scale.margin + scale.tile + (scale.part(40) if most else 0)
        end = neighbours + most * (scale.tile + scale.gap) - (scale.gap if most else 0)
        bars = end + (scale.part(36) if wide else 0)
        least = scale.part(1100 if any(row.lines for row in rows) else 420)
        return cls(scale.margin, neighbours, bars, wide, max(bars + wide, least))


def draw_sheet(
    rows: Sequence[SheetRow],
    title: str,
    subtitle: str = "",
    tile: int = 180,
    headings: tuple[str, str, str] = HEADINGS,
) -> Image.Image:
    """Draw queries in rows: the query at left, its neighbours, its genres at right.

    Parameters
    ----------
    rows : sequence of SheetRow
        May be empty, and so may a row's neighbours and bars. Bars that do not fit beside a tile
        are counted ("and 7 more").
    title, subtitle : str
        Any text, here as in all tiles: it is cleaned, and shortened to its width.
    tile : int
        Side of a cover in pixels, 48 to 1000; everything else scales with it.
    headings : tuple of str
        The headings above the query, the neighbours and the bars.

    Returns
    -------
    Image.Image
        RGB; its margin is `PAPER`.

    Raises
    ------
    UsageError
        When `tile` is out of range or the sheet would exceed 60,000 px a side or 120 Mpx.
    """
    _check_tile(tile)
    scale = _Scale(tile)
    columns = _Columns.of(rows, scale)
    head = _head_height(subtitle, scale)
    below = max((len(row.lines) for row in rows), default=0) * scale.name.high
    pitch = scale.cell + below + scale.part(30)
    body = scale.heading.high + scale.part(6) + max(1, len(rows)) * pitch - scale.part(30)
    size = (columns.right + scale.margin, head + body + scale.margin)
    _check_size(tile, *size, f"{len(rows)} rows")
    page = _open_page(size, title, subtitle, scale)
    if not rows:
        write_line(
            page, (scale.margin, head), columns.right - scale.margin, "no covers", scale.name
        )
        return page
    _write_headings(page, head, columns, headings, scale)
    top = head + scale.heading.high + scale.part(6)
    for k, row in enumerate(rows):
        _draw_row(page, top + k * pitch, columns, row, scale)
        if k:
            y = top + k * pitch - scale.part(15)
            ImageDraw.Draw(page).line((columns.query, y, columns.right - 1, y), fill=_RULE)
    return page


def _write_headings(
    page: Image.Image, y: int, columns: _Columns, headings: tuple[str, str, str], scale: _Scale
) -> None:
    """Say above the first row what each column holds."""
    query, neighbours, bars = headings
    write_line(page, (columns.query, y), scale.tile, query, scale.heading)
    if columns.neighbours > columns.query + scale.tile:
        end = columns.bars - scale.gap if columns.bars_width else columns.right
        at, room = (columns.neighbours, y), end - columns.neighbours
        write_line(page, at, room, neighbours, scale.heading)
    if columns.bars_width:
        write_line(page, (columns.bars, y), columns.bars_width, bars, scale.heading)


def _draw_row(page: Image.Image, top: int, columns: _Columns, row: SheetRow, scale: _Scale) -> None:
    _draw_tile(page, (columns.query, top), row.query, scale)
    if row.neighbours:
        x = (columns.query + scale.tile + columns.neighbours) // 2
        ImageDraw.Draw(page).line(
            (x, top, x, top + scale.tile - 1), fill=_RULE, width=scale.part(2)
        )
    for k, tile in enumerate(row.neighbours):
        _draw_tile(page, (columns.neighbours + k * (scale.tile + scale.gap), top), tile, scale)
    if row.bars:
        _draw_bars(page, (columns.bars, top), columns.bars_width, row.bars, scale)
    for k, text in enumerate(row.lines):
        at = columns.query, top + scale.cell + scale.part(4) + k * scale.name.high
        write_line(page, at, columns.right - columns.query, text, scale.name)


def draw_grid(tiles: Sequence[Tile], title: str, columns: int = 8, tile: int = 160) -> Image.Image:
    """Draw covers in a grid, row by row.

    Parameters
    ----------
    tiles : sequence of Tile
        May be empty.
    title : str
        Any text.
    columns : int
        Tiles in a row, at least 1; fewer are used where there are fewer tiles.
    tile : int
        Side of a cover in pixels, 48 to 1000.

    Returns
    -------
    Image.Image
        RGB; its margin is `PAPER`.

    Raises
    ------
    UsageError
        When `tile` or `columns` is out of range or the sheet would exceed 60,000 px a side or
        120 Mpx.
    """
    _check_tile(tile)
    if columns < 1:
        raise UsageError(f"{columns} columns were asked for; a grid has 1 or more")
    scale = _Scale(tile)
    across = max(1, min(columns, len(tiles)))
    down = max(1, math.ceil(len(tiles) / across))
    step, pitch = scale.tile + scale.gap, scale.cell + scale.part(18)
    head = _head_height("", scale)
    width = max(across * step - scale.gap, scale.part(420)) + 2 * scale.margin
    size = (width, head + down * pitch - scale.part(18) + scale.margin)
    _check_size(tile, *size, f"{len(tiles)} covers")
    page = _open_page(size, title, "", scale)
    if not tiles:
        write_line(page, (scale.margin, head), width - 2 * scale.margin, "no covers", scale.name)
    for k, one in enumerate(tiles):
        at = scale.margin + (k % across) * step, head + (k // across) * pitch
        _draw_tile(page, at, one, scale)
    return page


def save_sheet(image: Image.Image, path: Path, option: str = "") -> None:
    """Save a sheet as PNG or JPEG, by the suffix; it is there whole or not at all.

    Parameters
    ----------
    option : the option that names another place, for the message where it cannot be written.

    Raises
    ------
    UsageError
        When the suffix is none of .png, .jpg, .jpeg.
    CannotWrite
        When the file cannot be written.
    """
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{path} would be no PNG or JPEG; give it a name that ends in .png or .jpg"
        )
    options: dict[str, Any] = {"quality": 92, "comment": MARK}
    if kind == "PNG":
        options = {"compress_level": 4, "pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_text("Software", MARK)

    def save(file: BinaryIO) -> None:
        image.save(file, kind, **options)

    write_atomically(path, save, f"give {option} another place" if option else ELSEWHERE)
