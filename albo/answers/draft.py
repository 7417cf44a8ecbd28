"""One cover, held against one genre: all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from albo.answers.advice import advise
from albo.answers.size import judge_size
from albo.answers.verdict import UNKNOWN, Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.answers.records import Explained
    from albo.answers.reference import Typicality, Votes
    from albo.answers.thumbnails import Thumbnail
    from albo.answers.verdict import Verdict
    from albo.heads import Reasons
    from albo.images import Facts
    from albo.neighbours import Standing
    from albo.recognition import Acquaintance
    from albo.records import Digest, Json, Line, Prediction, ShownCover
    from albo.words import Given

MOST_SAME = 6
"""Covers of the same artwork that are shown."""


@dataclass(frozen=True)
class Draft:
    """One cover, held against one genre."""

    letter: str
    """ "A", "B" and so on, in the order in which the covers were given."""
    why: Explained
    """What it reads as, all genres, and why; of one that could not be read, only why not."""
    digest: Digest = b""
    """The digest of the cover; b"" where it could not be read."""
    judgement: Judgement = UNKNOWN
    """Whether the cover reads as the genre, and the test behind that."""
    probability: float = 0.0
    """The genre's probability."""
    rank: int = 0
    """The genre's place among all genres, from 1."""
    among: Standing | None = None
    """The rank of that probability among the genre's own covers, each held out."""
    no_standing: str = ""
    """Why `among` is None."""
    typicality: Typicality | None = None
    """How typical the cover is of the genre; None if unknown."""
    no_typicality: str = ""
    """Why `typicality` is None."""
    no_votes: str = ""
    """Why `votes` is None."""
    same: tuple[ShownCover, ...] = ()
    """The nearest covers of the same artwork, at most MOST_SAME, with pictures."""
    no_words: str = ""
    """Why its words could not be read; "" where they were, or nobody tried."""
    thumbnail: Thumbnail | None = None
    """The cover at 55 pixels; None where it could not be read."""
    facts: Facts | None = None
    """The kind, size and colours of its file; None where it could not be read."""
    lines: tuple[Line, ...] = ()
    """The lines that were read on it, with their places."""
    picture: bytes = field(default=b"", repr=False)
    """The cover, JPEG."""
    speaks_for: bytes = field(default=b"", repr=False)
    """The same with the places that speak for the genre in colour; b"" where there is no map."""
    speaks_against: bytes = field(default=b"", repr=False)
    """The same with the places that speak against it."""

    @property
    def query(self) -> str:
        """The cover as it was named."""
        return self.why.classified.query

    @property
    def error(self) -> str:
        """Why it could not be read; "" where it could."""
        return self.why.classified.error

    @property
    def verdict(self) -> Verdict:
        """Whether the cover reads as the genre."""
        return self.judgement.verdict

    @property
    def prediction(self) -> Prediction | None:
        """What it reads as, all genres; None where it could not be read."""
        return self.why.classified.prediction

    @property
    def known(self) -> Acquaintance | None:
        """The covers by which the head knows it; None where it has learnt none of its groups."""
        return self.why.classified.known

    @property
    def words(self) -> tuple[str, ...] | None:
        """The lines on it; None where they were not read, or could not be."""
        return None if self.no_words else self.why.classified.words

    @property
    def given(self) -> Given:
        """What the user says stands on it."""
        return self.why.classified.given

    @property
    def not_read(self) -> tuple[str, ...]:
        """The lines of what was given that were not read on it."""
        return self.why.classified.not_read

    @property
    def reasons(self) -> Reasons | None:
        """Why it is held to be of the genre, or not."""
        return self.why.reasons

    @property
    def votes(self) -> Votes | None:
        """What the covers nearest to it are."""
        return self.why.votes

    @property
    def own(self) -> tuple[ShownCover, ...]:
        """The nearest covers of the genre, with pictures."""
        return self.why.own

    @property
    def others(self) -> tuple[ShownCover, ...]:
        """The nearest covers of other genres, with pictures."""
        return self.why.others

    @property
    def size(self) -> str:
        """How large its file is, and what shops want otherwise; "" if unknown."""
        return judge_size(self.facts)

    def advice(self, genre: str) -> str:
        """Say in one sentence what its picture, its words and its nearest covers are like."""
        return advise(genre, self.prediction, self.votes)

    @property
    def copies(self) -> int:
        """How many covers here have the same artwork; `same` holds the nearest few."""
        return max(len(self.same), 0 if self.votes is None else len(self.votes.same))

    def as_json(self, genre: str) -> Json:
        """Return the object that `albo report --json` prints for one cover."""
        said = self.prediction
        if said is None:
            return {"query": self.query, "error": self.error}
        title = self.thumbnail.title if self.thumbnail else None
        return {
            "query": self.query,
            "draft": self.letter,
            "genre": genre,
            "verdict": self.verdict.value,
            "p_value": self.judgement.p_value and round(self.judgement.p_value, 4),
            "no_from": round(self.judgement.level, 4),
            "advice": self.advice(genre),
            "size": self.facts
            and {
                "width": self.facts.width,
                "height": self.facts.height,
                "cmyk": self.facts.is_cmyk,
                "remark": self.size,
            },
            "probability": round(self.probability, 6),
            "rank": self.rank,
            "percentile": self.among and round(self.among.percentile, 4),
            "typicality": self.typicality and round(self.typicality.value, 4),
            "typicality_percentile": self.typicality and round(self.typicality.among.percentile, 4),
            "predictions": [
                {"genre": name, "probability": round(p, 6)}
                for name, p in zip(said.genres, said.probabilities, strict=True)
            ],
            "set": list(said.conformal_set),
            "decided": said.decided,
            "unlike_learnt": said.is_unlike,
            "held_out": self.why.classified.is_held_out,
            "known": self.known and self.known.as_json(),
            "votes": self.votes and self.votes.as_json(),
            "why": self.reasons and self.reasons.as_json(),
            "words": None if self.words is None else list(self.words),
            **self.why.classified.given_json(),
            "title": title and title.text,
            "title_found": title and title.is_found,
            "title_legible": title and title.legible,
            "title_share": title and round(title.share, 4),
            "same_as": _addresses(self.same),
            "nearest": _addresses(self.own),
            "nearest_others": _addresses(self.others),
        }


def _addresses(covers: Sequence[ShownCover]) -> list[str]:
    return [one.album.uri if one.album else "" for one in covers]


def standing_of(draft: Draft) -> tuple[int, float]:
    """Return what drafts are ordered by, the least first: the genre's place, then its probability.

    The place says what a draft reads as; a probability of 12 % may be the first of 36, or the fifth
    behind four that say something else.
    """
    return draft.rank, -draft.probability
