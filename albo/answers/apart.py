"""What sets two drafts apart: by how much one leads, and by which parts and words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from albo.texts import fold_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albo.answers.draft import Draft
    from albo.heads import ViewReason, WordReason

_TELLING = 0.1  # log-odds below which what one draft says alone sets nothing apart
_FEW_WORDS = 3
_NO_LEAD = 0.05  # log-odds below which the odds are shown as 1.0 times as high
_NOISE = 2.0  # standard deviations between fold seeds within which two drafts are not told apart


@dataclass(frozen=True, slots=True)
class Apart:
    """The difference between the draft that reads more as the genre and another one."""

    better: Draft
    """The draft that reads more as the genre."""
    worse: Draft
    """The draft that reads less as the genre."""
    lead: float
    """The lead of the better one, in log-odds of the genre against all others together.

    It is below 0 where the genre has the better place there, and less probability.
    """
    views: tuple[tuple[str, float], ...]
    """How much more each view adds for the better one, largest first.

    Reasons are against the mean of the other genres, so these need not add up to the lead.
    """
    better_words: tuple[WordReason, ...]
    """The words that only the better one has, and what they add there."""
    worse_words: tuple[WordReason, ...]
    """The words that only the worse one has, and what they add there."""
    is_close: bool | None
    """Whether other folds could change which one leads; None if not measured."""


def set_apart(better: Draft, worse: Draft, deviation: float | None) -> Apart:
    """Compare two drafts.

    Parameters
    ----------
    deviation : of a lead, in log-odds, between draws of the folds; None if not measured.
    """
    one, other = _evidence(better), _evidence(worse)
    views = {view: one.get(view, 0.0) - other.get(view, 0.0) for view in {**one, **other}}
    lead = _log_odds(better.probability) - _log_odds(worse.probability)
    return Apart(
        better,
        worse,
        lead,
        tuple(sorted(views.items(), key=lambda item: -abs(item[1]))),
        tuple(_only(better, worse)),
        tuple(_only(worse, better)),
        _is_close(lead, deviation),
    )


def _is_close(lead: float, deviation: float | None) -> bool | None:
    """Whether a lead is almost zero, or other folds may change it; None if unknown."""
    if lead < _NO_LEAD:
        return True
    return None if deviation is None else lead <= _NOISE * deviation


def _evidence(draft: Draft) -> dict[str, float]:
    views: tuple[ViewReason, ...] = () if draft.reasons is None else draft.reasons.views
    return {one.view: one.evidence for one in views}


def _only(draft: Draft, other: Draft) -> Iterator[WordReason]:
    """Yield the words with most weight that are on one draft and not on the other."""
    there = {fold_text(word) for line in other.words or () for word in line.split()}
    lines = {fold_text(line) for line in other.words or ()}
    found = 0
    for reason in () if draft.reasons is None else draft.reasons.words:
        said = fold_text(reason.text)
        if found < _FEW_WORDS and abs(reason.evidence) >= _TELLING and said not in there | lines:
            found += 1
            yield reason


def _log_odds(probability: float) -> float:
    kept = float(np.clip(probability, 1e-9, 1 - 1e-9))
    return math.log(kept / (1 - kept))
