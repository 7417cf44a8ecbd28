"""One sentence of advice for a draft, made from its evidence and nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from albo.answers.reference import Votes
    from albo.heads import Reasons

_TELLING = math.log(2)
"""Log-odds below which a part of a cover says little: it does not even double or halve the odds."""

_PICTURE = "image"


def advise(genre: str, reasons: Reasons | None, votes: Votes | None) -> str:
    """Say in one sentence what speaks for a genre and what against it; "" where nothing is known.

    Parameters
    ----------
    genre : the genre that is asked about.
    reasons : the evidence of the picture and of the words.
    votes : what the nearest covers are.
    """
    parts = [part for part in (_evidence(genre, reasons), _nearest(genre, votes)) if part]
    sentence = "; ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""


def disagree(reasons: Reasons | None) -> bool:
    """Tell whether the picture and the words speak for opposite answers."""
    picture, words = _sums(reasons)
    return picture is not None and words is not None and _side(picture) * _side(words) < 0


def _evidence(genre: str, reasons: Reasons | None) -> str:
    picture, words = _sums(reasons)
    if picture is None:
        return ""
    own = _side(picture)
    if words is None:
        return f"the picture {_speaks(own, genre)}, and no words on it count"
    other = _side(words)
    if own == other:
        return f"the picture and the words {_speaks(own, genre, many=True)}"
    first, second = f"the words {_speaks(other, genre, many=True)}", _speaks(own, "it")
    joint = "but the picture" if own * other < 0 else "the picture"
    return f"{first}, {joint} {second}"


def _speaks(side: int, genre: str, *, many: bool = False) -> str:
    if not side:
        return f"{'say' if many else 'says'} little of {genre}"
    return f"{'speak' if many else 'speaks'} {'for' if side > 0 else 'against'} {genre}"


def _nearest(genre: str, votes: Votes | None) -> str:
    if votes is None or not votes.voters:
        return ""
    if votes.commonest == genre:
        return (
            f"{genre} is the commonest genre of its nearest covers ({_of(votes.in_favour, votes)})"
        )
    if not votes.commonest:
        return f"{votes.in_favour or 'none'} of its {votes.voters} nearest covers are {genre}"
    return (
        f"the commonest genre of its nearest covers is {votes.commonest}"
        f" ({_of(votes.commonest_count, votes)}; {genre} {votes.in_favour})"
    )


def _of(count: int, votes: Votes) -> str:
    return f"{count} of {votes.voters}"


def _sums(reasons: Reasons | None) -> tuple[float | None, float | None]:
    """Return the evidence of the picture and that of the words; None where one says nothing."""
    if reasons is None:
        return None, None
    picture = [one.evidence for one in reasons.views if one.view == _PICTURE]
    words = [one.evidence for one in reasons.views if one.view != _PICTURE]
    return sum(picture) if picture else None, sum(words) if words else None


def _side(evidence: float) -> int:
    return 0 if abs(evidence) < _TELLING else (1 if evidence > 0 else -1)
