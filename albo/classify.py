"""Classify covers: open a head, ask it what each cover reads as, and why."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.errors import (
    AlboError,
    MissingReader,
    MissingWeights,
    NoActivationMap,
    StaleArtifact,
    UnknownHead,
    UsageError,
)
from albo.heads import (
    STARTER,
    Head,
    Heard,
    ImageView,
    explain,
    load_head,
    load_starter,
    open_mapper,
)
from albo.networks import card_of, check_device, find_card
from albo.queries import FEW, Listener, ask
from albo.recognition import Recogniser
from albo.store import MANIFEST, Vectors, backbone_key
from albo.words import Given

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from albo.asking import Asking
    from albo.heads import Mapper, Predictor, Reasons
    from albo.library import Library
    from albo.networks import Card
    from albo.queries import Query
    from albo.recognition import Acquaintance
    from albo.records import Digest, Json, Note, Prediction, Words
    from albo.store import Artifacts


@dataclass(frozen=True)
class Classified:
    """The genres that a query reads as, or why it could not be read."""

    query: str
    """The cover, as it was named."""
    prediction: Prediction | None = None
    """The best genres; None where the cover could not be read."""
    head: str = ""
    """The name of the head that answered."""
    backbone: str = ""
    """The name of the head's backbone."""
    words: tuple[str, ...] | None = None
    """The lines that were read on the cover; None where no words were read."""
    known: Acquaintance | None = None
    """The covers by which the head knows it; a predictor that has not learnt them answered."""
    label: str = ""
    """The genre that the collection has it under; "" where it was asked about as a file."""
    given: Given = field(default_factory=Given)
    """What the user said stands on it."""
    not_read: tuple[str, ...] = ()
    """The lines of what was given that were not read on it."""
    error: str = ""
    """Why the cover could not be read, else ""."""

    @property
    def is_held_out(self) -> bool:
        """Whether the head has learnt it, and a predictor answered that has learnt none of it."""
        return self.known is not None and self.known.is_held_out

    def given_json(self) -> Json:
        """Return what was given and which of it was not read; nothing where nothing was given."""
        if not self.given:
            return {}
        said = {"artist": self.given.artist, "title": self.given.title, "text": self.given.text}
        return {"given": {**said, "not_read": list(self.not_read)}}

    def as_json(self) -> Json:
        """Return the object that `albo classify --json` prints for one query."""
        if self.prediction is None:
            return {"query": self.query, "error": self.error}
        said = self.prediction
        labelled = {"label": self.label} if self.label else {}
        return {
            "query": self.query,
            **labelled,
            "predictions": _ranked(said.genres, said.probabilities),
            "set": list(said.conformal_set),
            "decided": said.decided,
            "unlike_learnt": said.is_unlike,
            "held_out": self.is_held_out,
            "known": self.known and self.known.as_json(),
            "views": [
                {
                    "view": view.view,
                    "weight": round(view.weight, 4),
                    "predictions": _ranked(view.genres, view.probabilities),
                }
                for view in said.views
            ],
            "words": None if self.words is None else list(self.words),
            **self.given_json(),
            "head": self.head,
            "backbone": self.backbone,
        }


def _ranked(genres: Iterable[str], probabilities: Iterable[float]) -> list[Json]:
    return [
        {"genre": genre, "probability": round(p, 6)}
        for genre, p in zip(genres, probabilities, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class CoverAnswer:
    """A head's answer for one cover."""

    query: Query
    """The cover that was asked about."""
    features: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """For each view of the head, the features of the cover; none where it could not be read."""
    prediction: Prediction | None = None
    """The prediction; None where the cover could not be read."""
    head: Head | None = field(default=None, repr=False)
    """The head that answered: of a cover that was learnt, the head of the fold without it."""
    known: Acquaintance | None = None
    """The covers by which the head knows this one; None where it does not."""
    given: Given = field(default_factory=Given)
    """What the user says stands on it."""

    @property
    def heard(self) -> Words | None:
        """The words that the head heard: those read, and those given; None where it heard none."""
        return self.given.added_to(self.query.words)


@dataclass(frozen=True)
class Consultation:
    """A head, opened to be asked about covers."""

    head: Head
    """The head that answers, but for covers that it has learnt."""
    card: Card
    """The card of the head's backbone."""
    listener: Listener | None
    """The word reader; None where words are not read."""
    asking: Asking
    """How covers are asked about."""
    note: Note
    """Called with one line whenever there is something the user may want to know."""
    is_starter: bool = False
    """Whether the head is the one that comes with albo."""
    recogniser: Recogniser | None = None
    """Recognises covers that the head has learnt; None for the starter head, which has no list."""
    _mappers: dict[int, tuple[Mapper | None, str]] = field(
        default_factory=dict, init=False, repr=False
    )

    def ask(self, covers: Sequence[str], *, keep_pictures: bool = False) -> Iterator[CoverAnswer]:
        """Say what each cover reads as, all genres, in order. Raises StaleArtifact, UsageError."""
        listener, asking = self.listener, self.asking
        given = iter(asking.given(len(covers)))
        several = ask(
            covers,
            self.card,
            asking.device,
            asking.limits,
            listener,
            keep_pictures=keep_pictures,
            note=self.note,
        )
        for queries in several:
            said = [next(given) for _ in queries]
            known = self._recognise(queries, [one.artist for one in said])
            for query, own in zip(queries, said, strict=True):
                if query.embeddings is None:
                    yield CoverAnswer(query, given=own)
                else:
                    yield self._answer(query, next(known), own)

    def _recognise(
        self, queries: Sequence[Query], artists: Sequence[str]
    ) -> Iterator[Acquaintance | None]:
        """Say of the queries that could be read, in order, how the head knows them."""
        seen = [
            (query.digest, query.embeddings.vector[0], artist, query.miniature)
            for query, artist in zip(queries, artists, strict=True)
            if query.embeddings is not None
        ]
        if self.recogniser is None or not seen:
            return iter([None] * len(seen))
        digests, vectors, names, miniatures = zip(*seen, strict=True)
        return iter(self.recogniser.recognise(digests, np.stack(vectors), names, miniatures))

    def _answer(self, query: Query, known: Acquaintance | None, given: Given) -> CoverAnswer:
        assert query.embeddings is not None  # noqa: S101  (seen by the caller)
        features: dict[str, Any] = {"image": ImageView.from_embeddings(query.embeddings)}
        words = given.added_to(query.words)
        if self.listener is not None and words is not None:
            features |= self.listener.features([words])
        asking, head = self.asking, self.head_for(None if known is None else known.fold)
        (said,) = head.answer(features, asking.prior, asking.decide, asking.coverage)
        return CoverAnswer(query, features, said, head, known, given)

    def head_for(self, fold: int | None) -> Head:
        """Return the head fitted without a fold; for None, the head itself."""
        if fold is None or self.head.crossfit is None:
            return self.head
        return self.head.crossfit.head(fold, self.head.views)

    def describe(self, answer: CoverAnswer, top: int) -> Classified:
        """Return an answer as `albo classify` gives it: the best few genres, and the words read.

        Words that could not be read are noted.
        """
        query, prediction = answer.query, answer.prediction
        if prediction is None:
            return Classified(query.name, error=query.error)
        words = None
        if query.words is not None:
            words = tuple(line.text for line in query.words.lines)
            if query.words.error:
                self.note(f"{query.name}: {query.words.error}; the image alone decides")
        return Classified(
            query.name,
            prediction.first(top),
            self.head.name,
            self.card.name,
            words,
            answer.known,
            given=answer.given,
            not_read=answer.given.not_read(query.words),
        )

    def explain(self, asked: CoverAnswer, genre: str) -> Reasons:
        """Say why a cover reads as a genre, or not; for a map, ask with `keep_pictures`."""
        query, head = asked.query, asked.head or self.head
        heard = None
        if self.listener is not None and asked.heard is not None:
            heard = Heard(asked.heard, self.listener.meanings)

        mapper, no_map = self._mapper_of(head)
        if mapper is None or query.pixels is None or query.embeddings is None:
            return explain(head, asked.features, genre, heard, no_map=no_map)
        pixels, middle = query.pixels, query.embeddings.middle[0]
        return explain(
            head,
            asked.features,
            genre,
            heard,
            locate=lambda place: mapper.map(pixels, middle, place),
        )

    def _mapper_of(self, head: Head) -> tuple[Mapper | None, str]:
        """Open the mapper of the image's evidence, once a head, else None and the reason."""
        predictor = head.predictors["image"]
        if id(predictor) not in self._mappers:
            self._mappers[id(predictor)] = self._open_mapper(predictor)
        return self._mappers[id(predictor)]

    def _open_mapper(self, predictor: Predictor) -> tuple[Mapper | None, str]:
        try:
            return open_mapper(self.card, predictor, self.note), ""
        except NoActivationMap as reason:
            return None, str(reason)
        except MissingWeights as error:
            # The error names folders of this machine, which do not belong in a report.
            self.note(str(error))
            return None, f"the weights of {self.card.name}, which its map is made of, are not here"


@dataclass(frozen=True)
class Heads:
    """The heads of a library, and the starter head where it has none of its own."""

    library: Library
    """The library that keeps the heads."""

    @property
    def artifacts(self) -> Artifacts:
        """The places of the library's files."""
        return self.library.artifacts

    def note(self, line: str) -> None:
        """Tell the user something."""
        self.library.note(line)

    def names(self) -> list[str]:
        """Return the names of the heads that have been trained. Raises StaleArtifact."""
        folder = self.artifacts.heads_folder
        if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
            raise StaleArtifact(f"{folder} may not be read; change its permissions")
        found = folder.glob(f"*/{MANIFEST}")
        return sorted(file.parent.name for file in found)

    def consult(self, asking: Asking, covers: int, *, always_read: bool = False) -> Consultation:
        """Open a head (by name, else the last trained) and, if it uses words, a word reader.

        Parameters
        ----------
        covers : how many will be asked about.
        always_read : read words even where the head does not look at them.

        Raises UnknownHead, StaleArtifact, MissingWeights, UsageError where the device is not here.
        """
        check_device(asking.device)
        head, card, is_starter = self._open(asking.head)
        listener = None
        if asking.words and (always_read or head.alone is not None):
            listener = self._listener(head, few=covers <= FEW, is_starter=is_starter)
        if listener is None:
            head = _without_words(head)
        elif head.alone is None and any((*asking.titles, *asking.texts)):
            self.note(f"head {head.name!r} does not look at words: what is given changes nothing")
        return self._consultation(head, card, listener, asking, is_starter=is_starter)

    def consult_stored(self, asking: Asking) -> Consultation:
        """Open a head to be asked about stored covers: neither backbone nor reader is opened.

        Raises UnknownHead, StaleArtifact.
        """
        head, card, is_starter = self._open(asking.head)
        if not asking.words:
            head = _without_words(head)
        return self._consultation(head, card, None, asking, is_starter=is_starter)

    def _open(self, name: str | None) -> tuple[Head, Card, bool]:
        """Open a head with the card of its backbone, and say whether it is the starter."""
        head, is_starter = self._find(name)
        card = self._starters_card(head) if is_starter else self._card_of(head)
        return head, card, is_starter

    def _consultation(
        self,
        head: Head,
        card: Card,
        listener: Listener | None,
        asking: Asking,
        *,
        is_starter: bool,
    ) -> Consultation:
        """Put a consultation together, and note what its head should forget."""
        recogniser = None if is_starter else Recogniser(self.library, head, card)
        self._note_forgotten(recogniser)
        return Consultation(head, card, listener, asking, self.note, is_starter, recogniser)

    def _note_forgotten(self, recogniser: Recogniser | None) -> None:
        forgotten = 0 if recogniser is None else recogniser.forgotten()
        if recogniser is not None and forgotten:
            name = recogniser.head.name
            covers = "1 cover that is" if forgotten == 1 else f"{forgotten} covers that are"
            self.note(
                f"head {name!r} has learnt {covers} no longer in the collection; run"
                f" `albo train --name {name}` to make it forget"
            )

    def _find(self, name: str | None) -> tuple[Head, bool]:
        """Find a head, and whether it is the starter."""
        chosen, there = name, self.names()
        if chosen is None:
            chosen = self.library.remembered_head()
        if chosen is None and len(there) == 1:
            chosen = there[0]
        if chosen in there:
            return load_head(self.artifacts.head(chosen)), False
        if chosen is not None and self.artifacts.head(chosen).is_dir():
            raise StaleArtifact(
                f"the head in {self.artifacts.head(chosen)} is incomplete ({MANIFEST} is missing);"
                f" run `albo train --name {chosen}`"
            )
        if name == STARTER or (name is None and not there):
            return self._starter(asked=name is not None), True
        if chosen is None:
            raise UnknownHead(f"which head? Name one with --head: {', '.join(there)}")
        listed = f"there are {', '.join(there)}" if there else "none has been trained"
        raise UnknownHead(f"no head {chosen!r}: {listed}; run `albo train` to fit one")

    def _starter(self, *, asked: bool) -> Head:
        head = load_starter()
        if not asked:
            right = head.card["top1"]["value"]
            self.note(
                f"no head has been trained here: albo's starter head answers, which knows"
                f" {', '.join(head.genres)} alone, and is right for {right:.0%} of such covers;"
                " `albo embed FOLDER`, `albo words` and `albo train` make one of your own genres"
            )
        return head

    def _card_of(self, head: Head) -> Card:
        fingerprint = head.fingerprints["image"]
        folder = self.artifacts.vectors(backbone_key(head.backbone, fingerprint))
        return card_of(Vectors.open(folder, fingerprint))

    def _starters_card(self, head: Head) -> Card:
        card = find_card(head.backbone, note=self.note)
        if card.fingerprint != head.fingerprints["image"]:
            raise StaleArtifact(
                f"the starter head is of other weights of {head.backbone} than are installed here;"
                " run `albo embed FOLDER` and `albo train` to make a head of your own"
            )
        return card

    def _listener(self, head: Head, *, few: bool, is_starter: bool) -> Listener | None:
        """Open the word reader; None, and a note, where it is missing."""
        try:
            return Listener(
                head.fingerprints, self.artifacts.words_folder, single=few, note=self.note
            )
        except (MissingReader, MissingWeights) as error:
            self.note(f"{error}; until then the image alone decides")
        except StaleArtifact:
            if not is_starter:
                raise
            self.note(
                "words are read here in another way than when the starter head was made; the image"
                " alone decides"
            )
        return None


def _without_words(head: Head) -> Head:
    """Return the part of a head that looks at no words; the head itself where it looks at none."""
    return head if head.alone is None else replace(head.alone, crossfit=head.crossfit)


def check_top(top: int) -> None:
    """Raise UsageError for a number of genres below 1."""
    if top < 1:
        raise UsageError(f"top={top}; give 1 or more")


def note_learnt(library: Library, consultation: Consultation, asked: Collection[Digest]) -> None:
    """Note how many covers a head may have learnt from: their answers do not test it."""
    if consultation.is_starter or consultation.head.crossfit is not None:
        return
    known: set[Digest | None] = set()
    # A head answers without a catalog too.
    with suppress(AlboError), library.reading() as catalog:
        known = {album.digest for album in catalog.albums(set(asked)) if album.genre}
    if known:
        library.note(
            f"{len(known)} of the covers asked about {'is' if len(known) == 1 else 'are'} in"
            " your collection with a genre: this head may have learnt it there, and was trained by"
            f" an older albo; run `albo train --name {consultation.head.name}`, and covers that it"
            " has learnt are answered by a predictor that has not seen them"
        )
