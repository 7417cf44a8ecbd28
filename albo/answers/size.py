"""Is a draft's file what shops take? Its size, its shape, its colours.

Shops and distributors ask for square covers of 3,000 x 3,000 pixels in RGB: Apple Music takes
3,000 and more ("Album artwork", Apple Music Provider Support), Spotify recommends 3,000 and takes
640 and more ("Cover art requirements", Spotify for Artists). They scale covers down, never up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from albo.images import Facts

WANTED_SIDE = 3000
"""The pixels on a side that shops want."""


def judge_size(facts: Facts | None) -> str:
    """Say in a line how large a draft is, and what shops want otherwise; "" if that is unknown."""
    if facts is None:
        return ""
    size = f"{facts.width:,} x {facts.height:,} pixels"
    wanted = []
    if min(facts.width, facts.height) < WANTED_SIDE:
        wanted.append(f"{WANTED_SIDE:,} x {WANTED_SIDE:,}")
    if facts.width != facts.height:
        wanted.append("a square")
    if facts.is_cmyk:
        wanted.append("RGB (this file has the colours of print, CMYK, and screens change them)")
    if not wanted:
        return f"{size}: large enough for shops"
    return f"{size}: shops want {' and '.join(wanted)}"
