"""What commands answer, as records: each knows the object that `--json` prints of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    from albo.answers.collection import Ranked, Votes
    from albo.classify import Classified
    from albo.heads import Reasons
    from albo.journal import EmbedSummary
    from albo.neighbours import IndexSummary
    from albo.reading import ReadingSummary
    from albo.records import Album, Digest, Json
    from albo.sources import NearCover


@dataclass(frozen=True)
class EmbedResult:
    """What `embed` did: the run's summary, and the index's."""

    summary: EmbedSummary
    index: IndexSummary
    backbone: str

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
    """What `words` did: the run's summary, and who read."""

    summary: ReadingSummary
    reader: str

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
class Neighbour:
    """One near cover: how near (cosine), and the album that it belongs to, where one is known.

    mark : "same file", "near-duplicate" or "".
    """

    rank: int
    score: float
    digest: Digest
    album: Album | None
    mark: str = ""

    def as_json(self) -> Json:
        """One neighbour of `albo similar --json`."""
        return {
            "rank": self.rank,
            "score": round(self.score, 4),
            "digest": self.digest.hex(),
            **_album_json(self.album),
            "mark": self.mark,
        }


@dataclass(frozen=True)
class Similar:
    """A query's neighbours, or why there are none."""

    query: str
    neighbours: tuple[Neighbour, ...] = ()
    error: str = ""

    def as_json(self) -> Json:
        """Return the object that `albo similar --json` prints for one query."""
        if self.error:
            return {"query": self.query, "error": self.error}
        return {"query": self.query, "neighbours": [n.as_json() for n in self.neighbours]}


@dataclass(frozen=True)
class Explained:
    """What a query reads as, and why.

    reasons : None where it could not be read. votes : None where there is no collection to ask.
    own, others : the nearest covers of the genre and of others, with pictures. page : the cover.
    """

    classified: Classified
    reasons: Reasons | None = None
    votes: Votes | None = None
    own: tuple[NearCover, ...] = ()
    others: tuple[NearCover, ...] = ()
    page: Image | None = field(default=None, repr=False)

    def as_json(self) -> Json:
        """Return the object that `albo classify --explain --json` prints for one query."""
        said = self.classified.as_json()
        if self.reasons is None:
            return said
        why = self.reasons.as_json()
        if self.votes is not None:
            why["votes"] = self.votes.as_json()
            why["for"] = [one.as_json() for one in self.own]
            why["against"] = [one.as_json() for one in self.others]
        return {**said, "why": why}


@dataclass(frozen=True)
class Typical:
    """A cover of a genre: how typical of it, and what it looks most like.

    rank : from 1, the most typical or the oddest first.
    """

    rank: int
    ranked: Ranked
    thumbnail: bytes = field(default=b"", repr=False)

    @property
    def genre(self) -> str:
        """The genre that it is of."""
        return self.ranked.genre

    def as_json(self) -> Json:
        """Return the object that `albo typical --json` prints for one cover."""
        found = self.ranked
        return {
            "rank": self.rank,
            "typicality": round(found.typicality.value, 4),
            "percentile": round(found.typicality.among.percentile, 4),
            "looks_like": found.looks_like,
            "digest": found.digest.hex(),
            **_album_json(found.album),
        }


@dataclass(frozen=True)
class DuplicateMember:
    """A file of a group of near-duplicates; `score` is the cosine of its nearest one there."""

    digest: Digest
    score: float
    album: Album

    def as_json(self) -> Json:
        """One member of a group of `albo duplicates --json`."""
        return {
            "digest": self.digest.hex(),
            "score": round(self.score, 4),
            **_album_json(self.album),
        }


def _album_json(album: Album | None) -> Json:
    if album is None:
        blank: dict[str, Any] = dict.fromkeys(("uri", "genre", "artist", "album", "year"))
        return blank
    return {
        "uri": album.uri,
        "genre": album.genre or None,
        "artist": album.artist or None,
        "album": album.name or None,
        "year": album.year,
    }
