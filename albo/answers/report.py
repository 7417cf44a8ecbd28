"""Does this cover read as Country? All facts about covers and one genre, as records.

The same questions are asked about each draft, so that several can be compared. Each missing answer
(no collection, too few covers, no words) gives its reason; nothing is guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import PurePath
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.answers.advice import advise
from albo.answers.explaining import explain_cover
from albo.answers.pictures import jpeg_of
from albo.answers.records import Explained
from albo.answers.reference import NoReference
from albo.answers.size import judge_size
from albo.answers.thumbnails import shrink
from albo.answers.verdict import UNKNOWN, Judgement, judge
from albo.classify import Classified
from albo.errors import StaleArtifact, TooFewCovers
from albo.images import faded
from albo.neighbours import standing
from albo.texts import fold_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image

    from albo.answers.reference import Reference, Typicality, Votes
    from albo.answers.thumbnails import Thumbnail
    from albo.answers.verdict import Verdict
    from albo.classify import Consultation, CoverAnswer
    from albo.heads import Head, Reasons, ViewReason, WordReason
    from albo.images import Facts
    from albo.neighbours import Standing
    from albo.recognition import Acquaintance
    from albo.records import Digest, Doubles, Json, Line, Prediction, Prior, ShownCover, Words
    from albo.words import Given


MOST_SAME = 6
"""Covers of the same artwork that are shown."""

_MOST = 0.5
_MOST_DRAFTS = len(ascii_uppercase)
_QUALITY = 85
_TELLING = 0.1  # log-odds below which what one draft says alone sets nothing apart
_FEW_WORDS = 3
_NO_LEAD = 0.05  # log-odds below which the odds are shown as 1.0 times as high
_NOISE = 2.0  # standard deviations between fold seeds within which two drafts are not told apart


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


@dataclass(frozen=True)
class Report:
    """One genre, and the drafts compared with it."""

    genre: str
    """The name of the genre."""
    drafts: tuple[Draft, ...]
    """The drafts, in the given order."""
    ranking: tuple[Draft, ...]
    """The readable drafts: first where the genre has the best place, then by its probability."""
    apart: tuple[Apart, ...]
    """The first of the ranking compared with each other one."""
    made: str
    """The day of the report, as an ISO date."""
    head: str
    """The name of the head."""
    kind: str
    """The kind of head: "logistic" or "lightgbm"."""
    starter: bool
    """Whether the head is the one that comes with albo."""
    accuracy: float | None
    """The head's accuracy of the first genre on held-out covers; None if unknown."""
    learnt: int
    """How many covers the head was fitted on."""
    genres: int
    """How many genres the head knows."""
    prior: Prior
    """The genre frequencies behind the probabilities."""
    decide: float
    """The least probability of a decided answer, as asked for."""
    coverage: float
    """As they were asked for: `Head.answer`."""
    backbone: str
    """The name of the head's backbone."""
    corpus: int
    """How many labelled covers the drafts were compared with."""
    own: int
    """How many of these are of the genre."""
    is_partial: bool = False
    """Whether a cover could not be read, or the collection could not be used."""
    artists_known: bool = True
    """Whether most covers that the head learnt have a known artist.

    If not, one artist may be on both sides of the split on which accuracy was measured.
    """

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
        """Return a draft's place among the readable ones, from 1; equal ones share a place."""
        return 1 + sum(_standing_of(one) < _standing_of(draft) for one in self.ranking)

    def twins(self, draft: Draft) -> list[str]:
        """Return the letters of the other drafts with identical bytes."""
        return [
            one.letter
            for one in self.drafts
            if one is not draft and not one.error and one.digest == draft.digest
        ]

    @property
    def name(self) -> str:
        """The name of the report, after its first readable cover."""
        first = next((draft for draft in self.drafts if not draft.error), None)
        if first is None:
            return ""
        # Many covers are called front.jpg, and several heads may be asked about one.
        digests = [draft.digest.hex() for draft in self.ranking]
        said = [str(draft.given) for draft in self.ranking if draft.given]
        asked = "\0".join([self.head, *said, *digests])
        key = sha256(asked.encode(errors="replace")).hexdigest()[:8]
        return f"{PurePath(first.query).stem[:40]}-{key}-as-{self.genre[:24]}"


@dataclass(frozen=True)
class Reporter:
    """Asks all questions about covers and a genre."""

    consultation: Consultation
    """The consultation that asks the head."""
    reference: Reference | NoReference
    """The covers for comparison, or why there are none."""

    def report(self, covers: Sequence[str], genre: str) -> Report:
        """Make the report; an unreadable cover gets the reason. Raises as `Consultation` does."""
        asked = self.consultation.ask(covers, keep_pictures=True)
        drafts = tuple(self._draft(one, genre, _letter(number)) for number, one in enumerate(asked))
        head, asking = self.consultation.head, self.consultation.asking
        corpus, own, is_damaged = self._compared_with(genre)
        ranking = sorted((draft for draft in drafts if not draft.error), key=_standing_of)
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
            prior=asking.prior,
            decide=asking.decide,
            coverage=asking.coverage,
            backbone=head.backbone,
            corpus=corpus,
            own=own,
            artists_known=head.card.get("artists_known", 1.0) >= _MOST,
            is_partial=is_damaged or len(ranking) < len(drafts),
        )

    def _compared_with(self, genre: str) -> tuple[int, int, bool]:
        """Return how many covers are compared, of all genres and of this one.

        The third value is whether there are covers that cannot be used.
        """
        reference = self.reference
        if isinstance(reference, NoReference):
            return 0, 0, reference.is_damaged
        return reference.counts.total(), reference.counts[reference.spelling(genre)], False

    def _draft(self, asked: CoverAnswer, genre: str, letter: str) -> Draft:
        query, said = asked.query, asked.prediction
        if said is None:
            unread = Classified(query.name, given=asked.given, error=query.error)
            return Draft(letter, Explained(unread))
        head, card = self.consultation.head.name, self.consultation.card.name
        lines = _lines_on(query.words)
        given = asked.given
        classified = Classified(
            query.name,
            said,
            head,
            card,
            lines,
            asked.known,
            given=given,
            not_read=given.not_read(query.words),
        )
        why = explain_cover(self.consultation, self.reference, asked, classified, genre)
        place = said.genres.index(genre)
        own, no_standing = self._own(genre)
        probability = said.probabilities[place]
        draft = Draft(
            letter,
            replace(why, page=None),  # the draft's pictures are enough, and small
            digest=query.digest,
            judgement=judge(said, genre, own),
            probability=probability,
            rank=place + 1,
            among=None if own is None else standing(probability, own),
            no_standing=no_standing,
            no_words="" if query.words is None else query.words.error,
            **self._shown(asked, why),
        )
        return self._compared(draft, asked, genre)

    def _shown(self, asked: CoverAnswer, why: Explained) -> dict[str, Any]:
        page = asked.query.page
        assert page is not None  # noqa: S101  (asked with pictures)
        shown: dict[str, Any] = {
            "facts": asked.query.facts,
            "lines": () if asked.query.words is None else asked.query.words.lines,
            "picture": jpeg_of(page, _QUALITY),
            "thumbnail": shrink(page, asked.query.words, self._read_at, asked.given.title),
        }
        if why.reasons is not None and why.reasons.activation is not None:
            evidence = why.reasons.activation.evidence
            shown["speaks_for"] = jpeg_of(faded(page, evidence), _QUALITY)
            shown["speaks_against"] = jpeg_of(faded(page, -evidence), _QUALITY)
        return shown

    def _read_at(self, image: Image, lines: Sequence[Line]) -> tuple[str, ...]:
        listener = self.consultation.listener
        assert listener is not None  # noqa: S101  (words were read)
        return listener.read_at(image, lines)

    def _own(self, genre: str) -> tuple[Doubles | None, str]:
        """Return what the genre's own covers read as while held out; None, and why not."""
        consultation = self.consultation
        try:
            own = consultation.head.own_probabilities(genre, consultation.asking.prior)
        except StaleArtifact as error:
            return None, str(error)
        if not len(own):
            return None, f"no cover of {genre} was held out from this head"
        return own, ""

    def _compared(self, draft: Draft, asked: CoverAnswer, genre: str) -> Draft:
        """Say how typical of the genre a draft looks, and which covers show the same artwork."""
        reference, embeddings, votes = self.reference, asked.query.embeddings, draft.votes
        if isinstance(reference, NoReference):
            return replace(draft, no_typicality=reference.reason, no_votes=reference.reason)
        assert embeddings is not None  # noqa: S101  (it reads as something)
        assert votes is not None  # noqa: S101  (there are covers that vote)
        draft = replace(draft, same=reference.pictured(votes.same[:MOST_SAME]))
        copies = {draft.digest, *(one.digest for one in votes.same)}
        copies |= frozenset() if asked.known is None else asked.known.digests
        named = reference.spelling(genre)
        try:
            typicality = reference.typicality(embeddings.vector, named, copies)
        except TooFewCovers as error:
            return replace(draft, no_typicality=str(error))
        return replace(draft, typicality=typicality)


def _measured(head: Head) -> tuple[float | None, float | None]:
    """Return the deviation of a lead between folds, and the accuracy, if measured for this head.

    Without words only a part of the head answers, but its card describes the whole head.
    """
    if head.card.get("view") != "+".join(head.views):
        return None, None
    top1 = head.card.get("top1")
    found = head.card.get("seed_deviation"), top1.get("value") if isinstance(top1, dict) else None
    deviation, accuracy = (one if isinstance(one, float | int) else None for one in found)
    return deviation, accuracy


def _lines_on(words: Words | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(line.text for line in words.lines)


def _letter(number: int) -> str:
    return ascii_uppercase[number] if number < _MOST_DRAFTS else str(number + 1)


def _standing_of(draft: Draft) -> tuple[int, float]:
    """Return what drafts are ordered by, the least first: the genre's place, then its probability.

    The place says what a draft reads as; a probability of 12 % may be the first of 36, or the fifth
    behind four that say something else.
    """
    return draft.rank, -draft.probability


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
