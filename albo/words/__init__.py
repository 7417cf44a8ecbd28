"""The words on covers: reading them (OCR), which lines are a title, what they mean.

What was read is kept elsewhere (`albo.store`).
"""

from __future__ import annotations

from albo.words.meanings import CoverMeanings
from albo.words.reader import Reader, card, open_reader, prepare
from albo.words.titles import MOST, is_read, largest_text, lines_with, share_read

__all__ = [
    "MOST",
    "CoverMeanings",
    "Reader",
    "card",
    "is_read",
    "largest_text",
    "lines_with",
    "open_reader",
    "prepare",
    "share_read",
]
