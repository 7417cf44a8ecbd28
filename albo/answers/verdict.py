"""The three answers to "does it read as G?": yes, no, and cannot tell.

No is a test. The probability of G is held against those of G's own covers, each read while it was
held out: a conformal p-value within the class (Vovk, Gammerman and Shafer 2005, "Algorithmic
Learning in a Random World", section 4.5, label-conditional predictors). Of covers of G, no is said
of at most one in twenty, whatever the head is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from albo.records import Doubles, Prediction

LEVEL = 0.05
"""The share of a genre's own covers of which no may be said."""


class Verdict(StrEnum):
    """What is answered of a cover and a genre."""

    YES = "yes"
    """It is decided for that genre."""

    NO = "no"
    """It reads less as that genre than nearly all of the genre's own covers do."""

    UNSURE = "cannot tell"
    """Neither can be said."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer for one cover and one genre, and the test behind it."""

    verdict: Verdict = Verdict.UNSURE
    """The answer."""

    p_value: float | None = None
    """The share of the genre's own covers that read as weakly as this one or weaker.

    The cover itself counts as one of them. None where these covers' probabilities were not kept.
    """

    as_weak: int = 0
    """How many of the genre's own covers read as weakly as this one or weaker."""

    level: float = LEVEL
    """The p-value up to which no is said: LEVEL, or the least that so few covers allow."""

    count: int = 0
    """The number of the genre's own covers."""

    @property
    def is_coarse(self) -> bool:
        """Whether the genre has too few covers for a test at LEVEL."""
        return self.level > LEVEL


UNKNOWN = Judgement()
"""Of a cover that was not judged, or of which nothing can be told."""


def judge(said: Prediction, genre: str, own: Doubles | None) -> Judgement:
    """Answer whether a cover reads as a genre.

    Of a cover that is unlike all that the head has learnt, nothing can be told.

    Parameters
    ----------
    said : what the cover reads as, all genres.
    genre : the genre that is asked about; one of them.
    own : float64 (n,), p(genre) of the genre's own covers while they were held out; None where
        they were not kept.
    """
    if said.is_unlike:
        return UNKNOWN
    is_named = said.decided and said.genres[0] == genre
    if own is None or not len(own):
        return Judgement(Verdict.YES if is_named else Verdict.UNSURE)
    probability = said.probabilities[said.genres.index(genre)]
    as_weak = int((own <= probability).sum())
    p_value = (as_weak + 1) / (len(own) + 1)
    level = max(LEVEL, 1 / (len(own) + 1))
    verdict = Verdict.UNSURE
    if is_named:
        verdict = Verdict.YES
    elif p_value <= level:
        verdict = Verdict.NO
    return Judgement(verdict, p_value, as_weak, level, len(own))
