"""Does this cover read as Country? All that albo can say of covers and one genre, as records.

What is asked of one draft is asked of each, so that several stand side by side. Whatever cannot be
said (no collection, too few covers, no words) says itself why; nothing is guessed in its place.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import PurePath
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.answers.thumbnails import shrink
from albo.errors import StaleArtifact, TooFewCovers
from albo.images import faded
from albo.neighbours import standing
from albo.texts import fold_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from albo.answers.collection import Collection, Near, Typicality, Votes
    from albo.answers.thumbnails import Thumbnail
    from albo.classify import Asked, Consultation
    from albo.heads import Head, Reasons, ViewReason, WordReason
    from albo.neighbours import Standing
    from albo.records import Digest, Json, Line, Prediction, Prior, Words
    from albo.sources import NearCover, Shelf


_MOST = 0.5
_SAME = 6  # copies of a cover that are shown
_MOST_DRAFTS = len(ascii_uppercase)
_QUALITY = 85
_TELLING = 0.1  # log-odds below which what one draft says alone sets nothing apart
_FEW_WORDS = 3
_NO_LEAD = 0.05  # log-odds below which the odds are shown as 1.0 times as high
_NOISE = 2.0  # standard deviations between fold seeds within which two drafts are not told apart


class Verdict(StrEnum):
    """What can be said of a cover and a genre.

    reads : that genre, surely enough. other : surely enough another one. unlikely : albo cannot
    tell which, but that genre is not in the set. unsure : nor can it rule that genre out.
    """

    READS = "reads"
    OTHER = "other"
    UNLIKELY = "unlikely"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Draft:
    """One cover, held against one genre.

    letter : "A", "B"… in the order given. error : why it could not be read; nothing else then.
    probability, rank : of the genre, and its place among all. among : where that probability stands
    among the genre's own covers, as they read while held out; None, and `no_standing` says why.
    words : its lines; None where it was not read, or could not be, and `no_words` says why then.
    typicality : None, and `no_typicality` says why. votes, own, others, same : as of `Votes`, with
    pictures; `no_votes` says why there are none. picture : JPEG; speaks_for, speaks_against : the
    same with the places of the image that do, b"" where there is no map.
    """

    letter: str
    query: str
    error: str = ""
    digest: Digest = b""
    verdict: Verdict = Verdict.UNSURE
    prediction: Prediction | None = None
    probability: float = 0.0
    rank: int = 0
    among: Standing | None = None
    no_standing: str = ""
    typicality: Typicality | None = None
    no_typicality: str = ""
    reasons: Reasons | None = None
    votes: Votes | None = None
    no_votes: str = ""
    own: tuple[NearCover, ...] = ()
    others: tuple[NearCover, ...] = ()
    same: tuple[NearCover, ...] = ()
    words: tuple[str, ...] | None = None
    no_words: str = ""
    thumbnail: Thumbnail | None = None
    picture: bytes = field(default=b"", repr=False)
    speaks_for: bytes = field(default=b"", repr=False)
    speaks_against: bytes = field(default=b"", repr=False)

    @property
    def copies(self) -> int:
        """How many covers here show the same artwork; `same` has the nearest few."""
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
            "votes": self.votes and self.votes.as_json(),
            "why": self.reasons and self.reasons.as_json(),
            "words": None if self.words is None else list(self.words),
            "title": title and title.text,
            "title_found": title and title.is_found,
            "title_legible": title and title.legible,
            "title_share": title and round(title.share, 4),
            "same_as": [one.cover.uri for one in self.same],
            "nearest": [one.cover.uri for one in self.own],
            "nearest_others": [one.cover.uri for one in self.others],
        }


@dataclass(frozen=True, slots=True)
class Apart:
    """What sets the draft that reads more as the genre apart from one that does so less.

    lead : in log-odds, against all other genres together. views : how much more each view adds for
    the better one, strongest first; as reasons are against the mean of the others, they need not
    add up to the lead. better_words, worse_words : what only one of them says, and what that adds
    there. is_close : whether the lead is within what another draw of the folds would change; None
    where that was not measured.
    """

    better: Draft
    worse: Draft
    lead: float
    views: tuple[tuple[str, float], ...]
    better_words: tuple[WordReason, ...]
    worse_words: tuple[WordReason, ...]
    is_close: bool | None


@dataclass(frozen=True)
class Report:
    """One genre, and the drafts that are to read as it.

    ranking : the drafts that could be read, the one most of the genre first. apart : the first of
    them beside each other one. head, starter : what answered, and if it is the one that comes with
    albo. accuracy : of that head on covers held out, None where it is not known. learnt : covers it
    was fitted on. genres : it knows. prior, decide, coverage : as it was asked. corpus : labelled
    covers that drafts were compared with, own : those of the genre. is_partial : whether a cover
    could not be read, or a collection that is there could not be asked. artists_known : of most of
    the covers learnt from; else some stood on both sides where accuracy was measured. title : that
    all drafts are to bear, "" where nobody named it.
    """

    genre: str
    drafts: tuple[Draft, ...]
    ranking: tuple[Draft, ...]
    apart: tuple[Apart, ...]
    made: str
    head: str
    kind: str
    starter: bool
    accuracy: float | None
    learnt: int
    genres: int
    prior: Prior
    decide: float
    coverage: float
    backbone: str
    corpus: int
    own: int
    is_partial: bool = False
    artists_known: bool = True
    title: str = ""

    def as_json(self, draft: Draft) -> Json:
        """Return the object that `albo report --json` prints for one of its drafts."""
        said = draft.as_json(self.genre)
        if draft.error:
            return said
        close = next((one.is_close for one in self.apart if one.worse is draft), None)
        return said | {
            "place": self.place(draft),
            "same_file_as": self.twins(draft),
            "too_close_to_first": close,
            "head": self.head,
        }

    def place(self, draft: Draft) -> int:
        """Return a draft's place among those that could be read; equals share one, from 1."""
        return 1 + sum(one.probability > draft.probability for one in self.ranking)

    def twins(self, draft: Draft) -> list[str]:
        """Return the letters of the other drafts that are the very same file."""
        return [
            one.letter
            for one in self.drafts
            if one is not draft and not one.error and one.digest == draft.digest
        ]

    @property
    def name(self) -> str:
        """What the report is to be called: after its first cover that could be read."""
        first = next((draft for draft in self.drafts if not draft.error), None)
        if first is None:
            return ""
        # Many covers are called front.jpg, and several heads may be asked about one.
        digests = [draft.digest.hex() for draft in self.ranking]
        asked = "\0".join([self.head, self.title, *digests])
        key = sha256(asked.encode(errors="replace")).hexdigest()[:8]
        return f"{PurePath(first.query).stem[:40]}-{key}-as-{self.genre[:24]}"


@dataclass(frozen=True)
class Reporter:
    """Asks all there is to ask of covers and a genre.

    collection : None, and `no_collection` says why, where there are no covers to compare with;
    is_damaged : where there are some, but they cannot be asked. shelf : where their pictures are.
    title : that all covers are to bear; "" where nobody named it.
    """

    consultation: Consultation
    collection: Collection | None
    no_collection: str
    shelf: Shelf
    is_damaged: bool = False
    title: str = ""

    def report(self, covers: Sequence[str], genre: str) -> Report:
        """Make the report; a cover that cannot be read says why. Raises as `Consultation` does."""
        asked = self.consultation.ask(covers, keep_pictures=True)
        drafts = tuple(self._draft(one, genre, _letter(number)) for number, one in enumerate(asked))
        head, manner = self.consultation.head, self.consultation.manner
        collection = self.collection
        ranking = sorted(
            (draft for draft in drafts if not draft.error), key=lambda draft: -draft.probability
        )
        deviation, accuracy = _measured(head)
        return Report(
            genre=genre,
            drafts=drafts,
            ranking=tuple(ranking),
            apart=tuple(_apart(ranking[0], other, deviation) for other in ranking[1:]),
            made=datetime.now(UTC).date().isoformat(),
            head=head.name,
            kind=head.kind,
            starter=self.consultation.is_starter,
            accuracy=accuracy,
            learnt=int(head.counts.get("covers", 0)),
            genres=len(head.genres),
            prior=manner.prior,
            decide=manner.decide,
            coverage=manner.coverage,
            backbone=head.backbone,
            corpus=0 if collection is None else collection.counts.total(),
            artists_known=head.card.get("artists_known", 1.0) >= _MOST,
            is_partial=self.is_damaged or len(ranking) < len(drafts),
            title=self.title,
            own=0 if collection is None else collection.counts[collection.spelling(genre)],
        )

    def _draft(self, asked: Asked, genre: str, letter: str) -> Draft:
        query, said = asked.query, asked.prediction
        if said is None:
            return Draft(letter, query.name, error=query.error)
        place = said.genres.index(genre)
        reasons = self.consultation.explain(asked, genre)
        draft = Draft(
            letter,
            query.name,
            digest=query.digest,
            verdict=_verdict(said, genre),
            prediction=said,
            probability=said.probabilities[place],
            rank=place + 1,
            reasons=reasons,
            **_heard(query.words),
            **self._shown(asked, reasons),
        )
        return self._compared(self._stood(draft, genre), asked, genre)

    def _shown(self, asked: Asked, reasons: Reasons) -> dict[str, Any]:
        page = asked.query.page
        assert page is not None  # noqa: S101  (asked with pictures)
        shown: dict[str, Any] = {
            "picture": _jpeg(page),
            "thumbnail": shrink(page, asked.query.words, self._read_at, self.title),
        }
        if reasons.activation is not None:
            evidence = reasons.activation.evidence
            shown["speaks_for"] = _jpeg(faded(page, evidence))
            shown["speaks_against"] = _jpeg(faded(page, -evidence))
        return shown

    def _read_at(self, image: Image.Image, lines: Sequence[Line]) -> tuple[str, ...]:
        listener = self.consultation.listener
        assert listener is not None  # noqa: S101  (words were read)
        return listener.read_at(image, lines)

    def _stood(self, draft: Draft, genre: str) -> Draft:
        """Say where the probability stands among those of the genre's own covers."""
        consultation = self.consultation
        try:
            own = consultation.head.own_probabilities(genre, consultation.manner.prior)
        except StaleArtifact as error:
            return replace(draft, no_standing=str(error))
        if not len(own):
            return replace(draft, no_standing=f"no cover of {genre} was held out from this head")
        return replace(draft, among=standing(draft.probability, own))

    def _compared(self, draft: Draft, asked: Asked, genre: str) -> Draft:
        """Hold a draft against the covers of the collection."""
        collection, embeddings = self.collection, asked.query.embeddings
        if collection is None or embeddings is None:
            return replace(draft, no_typicality=self.no_collection, no_votes=self.no_collection)
        named = collection.spelling(genre)
        votes = collection.votes(embeddings.vector, draft.digest, named)
        copies = {draft.digest, *(one.digest for one in votes.same)}
        try:
            typicality = collection.typicality(embeddings.vector, named, copies)
            draft = replace(draft, typicality=typicality)
        except TooFewCovers as error:
            draft = replace(draft, no_typicality=str(error))
        return replace(
            draft,
            votes=votes,
            own=self._pictured(votes.own),
            others=self._pictured(votes.others),
            same=self._pictured(votes.same[:_SAME]),
        )

    def _pictured(self, near: Sequence[Near]) -> tuple[NearCover, ...]:
        return tuple(self.shelf.near(one.album, one.genre, one.score) for one in near)


def _measured(head: Head) -> tuple[float | None, float | None]:
    """Return how far other folds move a lead, and the accuracy, where they are of this very head.

    Without words a part of the head answers, and its card is the whole head's.
    """
    if head.card.get("view") != "+".join(head.views):
        return None, None
    top1 = head.card.get("top1")
    found = head.card.get("seed_deviation"), top1.get("value") if isinstance(top1, dict) else None
    deviation, accuracy = (one if isinstance(one, float | int) else None for one in found)
    return deviation, accuracy


def _heard(words: Words | None) -> dict[str, Any]:
    """Return a draft's lines, or why there are none."""
    if words is None or words.error:
        return {"no_words": "" if words is None else words.error}
    return {"words": tuple(line.text for line in words.lines)}


def _letter(number: int) -> str:
    return ascii_uppercase[number] if number < _MOST_DRAFTS else str(number + 1)


def _verdict(said: Prediction, genre: str) -> Verdict:
    if said.decided:
        return Verdict.READS if said.genres[0] == genre else Verdict.OTHER
    return Verdict.UNSURE if genre in said.conformal_set else Verdict.UNLIKELY


def _apart(better: Draft, worse: Draft, deviation: float | None) -> Apart:
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
    """Tell whether a lead is next to none, or what other folds may change; None if not known."""
    if lead < _NO_LEAD:
        return True
    return None if deviation is None else lead <= _NOISE * deviation


def _evidence(draft: Draft) -> dict[str, float]:
    views: tuple[ViewReason, ...] = () if draft.reasons is None else draft.reasons.views
    return {one.view: one.evidence for one in views}


def _only(draft: Draft, other: Draft) -> Iterator[WordReason]:
    """Yield the words that weigh most of those that one draft says and the other does not."""
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


def _jpeg(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()
