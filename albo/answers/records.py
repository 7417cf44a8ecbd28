"""The answers of commands, as records; each makes the object that `--json` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from albo.answers.reference import Typicality, Votes
    from albo.classify import Classified
    from albo.heads import Reasons
    from albo.intake import EmbedSummary
    from albo.neighbours import IndexSummary
    from albo.reading import ReadingSummary
    from albo.records import Json, ShownCover
    from albo.sources import Plan


@dataclass(frozen=True)
class PlannedHarvest:
    """The requests that a harvest would send; nothing was sent."""

    plan: Plan
    """The charts."""
    rate: float
    """Charts a minute; 0 for no limit."""
    art_rate: float
    """Artworks a second; 0 for no limit."""
    catalog: str
    """The catalog's place, without secrets."""
    covers: str
    """The place of covers, without secrets."""
    user_agent: str
    """The User-Agent that servers see."""

    def as_json(self) -> Json:
        """Return the last object that `albo harvest --dry-run --json` prints: the total."""
        return {
            "genre": "total",
            **self.plan.describe(self.rate, self.art_rate),
            "catalog": self.catalog,
            "covers": self.covers,
            "user_agent": self.user_agent,
        }


@dataclass(frozen=True)
class EmbedResult:
    """The result of `embed`."""

    summary: EmbedSummary
    """The outcome of the covers that the run saw."""

    index: IndexSummary
    """The state of the index afterwards."""

    backbone: str
    """The name of the backbone that embedded them."""

    reading: ReadingResult | None = None
    """The result of reading the words afterwards; None if that was not asked for."""

    def as_json(self) -> Json:
        """Return the object that `albo embed --json` prints."""
        s = self.summary
        return {
            "seen": s.seen,
            "embedded": s.embedded,
            "known": s.known,
            "skipped": len(s.skipped),
            "unlisted": s.unlisted,
            "moved": s.moved,
            "missing": s.missing,
            "ignored": s.ignored,
            "seconds": round(s.seconds, 3),
            "covers_per_second": round(s.embedded / s.seconds, 1) if s.seconds else 0.0,
            "backbone": self.backbone,
            "device": s.device or None,
            "indexed": self.index.count,
        }


@dataclass(frozen=True)
class ReadingResult:
    """The result of `words`."""

    summary: ReadingSummary
    """The outcome of the covers that the run saw."""

    reader: str
    """The name of the word reader."""

    def as_json(self) -> Json:
        """Return the object that `albo words --json` prints."""
        s = self.summary
        return {
            "covers": s.covers,
            "read": s.read,
            "known": s.known,
            "failed": len(s.failed),
            "skipped": len(s.skipped),
            "lines": s.lines,
            "with_words": s.with_words,
            "seconds": round(s.seconds, 3),
            "covers_per_second": round(s.read / s.seconds, 1) if s.seconds else 0.0,
            "reader": self.reader,
            "device": s.device or None,
        }


@dataclass(frozen=True)
class Similar:
    """A query's neighbours, or why there are none."""

    query: str
    """The cover, as the caller named it."""

    neighbours: tuple[ShownCover, ...] = ()
    """The nearest first, with rank, score and mark."""

    error: str = ""
    """Why the query could not be read; "" if it could."""

    def as_json(self) -> Json:
        """Return the object that `albo similar --json` prints for one query."""
        if self.error:
            return {"query": self.query, "error": self.error}
        return {"query": self.query, "neighbours": [n.as_json() for n in self.neighbours]}


@dataclass(frozen=True)
class Explained:
    """A query's genres, and the reasons."""

    classified: Classified
    """The query's genres."""

    reasons: Reasons | None = None
    """The head's reasons; None if the query could not be read."""

    votes: Votes | None = None
    """The votes of the nearest covers; None without a collection."""

    own: tuple[ShownCover, ...] = ()
    """The nearest covers of the genre that is explained, with pictures."""

    others: tuple[ShownCover, ...] = ()
    """The nearest covers of other genres, with pictures."""

    page: Image | None = field(default=None, repr=False)
    """The query's own cover, RGB; None if it could not be read, or was not kept."""

    def as_json(self) -> Json:
        """Return the object that `albo classify --explain --json` prints for one query."""
        said = self.classified.as_json()
        if self.reasons is None:
            return said
        why = self.reasons.as_json()
        if self.votes is not None:
            why["votes"] = self.votes.as_json()
            why["for"] = [one.near_json() for one in self.own]
            why["against"] = [one.near_json() for one in self.others]
        return {**said, "why": why}


@dataclass(frozen=True)
class Typical:
    """A cover of a genre: how typical it is of that genre, and the genre that fits it best."""

    cover: ShownCover
    """The cover, with its rank: the most typical or the oddest first, as asked."""

    typicality: Typicality
    """How typical the cover is of its genre."""

    looks_like: str
    """The genre of which it is most typical, which may be its own."""

    @property
    def rank(self) -> int:
        """Its place in the answer, from 1."""
        return self.cover.rank

    @property
    def genre(self) -> str:
        """Its genre."""
        return self.cover.genre

    def as_json(self) -> Json:
        """Return the object that `albo typical --json` prints for one cover."""
        return {
            "rank": self.rank,
            "typicality": round(self.typicality.value, 4),
            "percentile": round(self.typicality.among.percentile, 4),
            "looks_like": self.looks_like,
            "digest": self.cover.digest.hex(),
            **self.cover.album_json(),
        }
