"""From bytes to pixels, within limits; every byte is hostile.

Nothing here opens a file or knows a network.
"""

from __future__ import annotations

from albo.images.decoding import Facts, decode, examine, open_image
from albo.images.formats import IMAGE_SUFFIXES, has_image_signature, in_one_line
from albo.images.overlay import faded

__all__ = [
    "IMAGE_SUFFIXES",
    "Facts",
    "decode",
    "examine",
    "faded",
    "has_image_signature",
    "in_one_line",
    "open_image",
]
