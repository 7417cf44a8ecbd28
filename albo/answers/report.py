"""Does this cover read as Country? All facts about covers and one genre, as records.

The same questions are asked about each draft, so that several can be compared. Each missing answer
(no collection, too few covers, no words) gives its reason; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import PurePath
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from albo.answers.apart import Apart, set_apart
from albo.answers.draft import MOST_SAME, Draft, standing_of
from albo.answers.explaining import explain_cover
from albo.answers.pictures import jpeg_of
from albo.answers.records import Explained
from albo.answers.reference import NoReference
from albo.answers.thumbnails import shrink
from albo.answers.verdict import judge
from albo.classify import Classified
from albo.errors import StaleArtifact, TooFewCovers
from albo.images import faded
from albo.neighbours import standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from albo.answers.reference import Reference
    from albo.classify import Consultation, CoverAnswer
    from albo.heads import Head
    from albo.records import Doubles, Json, Line, Prior, Words


_MOST = 0.5
_MOST_DRAFTS = len(ascii_uppercase)
_QUALITY = 85


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
        return 1 + sum(standing_of(one) < standing_of(draft) for one in self.ranking)

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
        ranking = sorted((draft for draft in drafts if not draft.error), key=standing_of)
        deviation, accuracy = _measured(head)
        return Report(
            genre=genre,
            drafts=drafts,
            ranking=tuple(ranking),
            apart=tuple(set_apart(ranking[0], other, deviation) for other in ranking[1:]),
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
