"""How answers look: in the terminal, as pages, as pictures.

It decides nothing.
"""

from __future__ import annotations

from albo.show.poster import MOST_ROWS, draw_explained, draw_typical
from albo.show.sheet import Bar, SheetRow, Tile, draw_sheet, save_sheet
from albo.show.terminal import many, printable

__all__ = [
    "MOST_ROWS",
    "Bar",
    "SheetRow",
    "Tile",
    "draw_explained",
    "draw_sheet",
    "draw_typical",
    "many",
    "printable",
    "save_sheet",
]
