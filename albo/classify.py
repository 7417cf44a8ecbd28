"""One head, opened, and the covers that it is asked about: what each reads as, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from albo.errors import MissingReader, MissingWeights, NoActivationMap, StaleArtifact, UnknownHead
from albo.heads import (
    STARTER,
    ActivationMap,
    Head,
    Heard,
    ImageView,
    LogisticPredictor,
    explain,
    load_starter,
    spread,
)
from albo.networks import (
    card_of,
    compile_map_network,
    find_card,
    open_core,
    openvino_failed,
)
from albo.queries import FEW, Listener, ask
from albo.records import Device, Prior
from albo.store import MANIFEST, Vectors, backbone_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from albo.heads import Predictor, Reasons
    from albo.limits import Limits
    from albo.networks import Card
    from albo.queries import Query
    from albo.records import Floats, Json, Note, Pixels, Prediction
    from albo.store import Artifacts


class Mapper:
    """Maps what a linear classifier of the image says of covers onto them; see `open_mapper`."""

    def __init__(self, predictor: LogisticPredictor, compiled: Any) -> None:  # noqa: ANN401
        self.predictor = predictor
        self._compiled = compiled

    def map(self, pixels: Pixels, middle: Floats, genre: int) -> ActivationMap:
        """Map the evidence for a genre: pixels uint8 (size, size, 3), middle float32 (m,).

        Raises RuntimeFailed.
        """
        try:
            pooled: Floats = self._compiled(pixels[None])[0][0]
        except RuntimeError as error:
            raise openvino_failed(error) from error
        return spread(self.predictor, genre, pooled, middle)


def open_mapper(card: Card, predictor: Predictor, note: Note = lambda _line: None) -> Mapper:
    """Load what gives the maps of a backbone and a head's image classifier.

    note : told in one line of an export, made where there never was one.
    Raises NoActivationMap where there can be none, MissingWeights, RuntimeFailed.
    """
    if not isinstance(predictor, LogisticPredictor):
        raise NoActivationMap("a head of trees has no map: only a linear one is a sum over places")
    try:
        core = open_core()
        return Mapper(predictor, compile_map_network(card, core, note))
    except ImportError as error:
        raise NoActivationMap("maps need OpenVINO; pip install openvino") from error
    except RuntimeError as error:
        raise openvino_failed(error) from error


@dataclass(frozen=True)
class Classified:
    """What genre a query reads as, or why that cannot be said.

    words : the lines that were read on it; None where nobody read.
    """

    query: str
    prediction: Prediction | None = None
    head: str = ""
    backbone: str = ""
    words: tuple[str, ...] | None = None
    error: str = ""

    def as_json(self) -> Json:
        """Return the object that `albo classify --json` prints for one query."""
        if self.prediction is None:
            return {"query": self.query, "error": self.error}
        said = self.prediction
        return {
            "query": self.query,
            "predictions": _ranked(said.genres, said.probabilities),
            "set": list(said.conformal_set),
            "decided": said.decided,
            "views": [
                {
                    "view": view.view,
                    "weight": round(view.weight, 4),
                    "predictions": _ranked(view.genres, view.probabilities),
                }
                for view in said.views
            ],
            "words": None if self.words is None else list(self.words),
            "head": self.head,
            "backbone": self.backbone,
        }


def _ranked(genres: Iterable[str], probabilities: Iterable[float]) -> list[Json]:
    return [
        {"genre": genre, "probability": round(p, 6)}
        for genre, p in zip(genres, probabilities, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Manner:
    """How covers are asked about.

    prior, decide, coverage : as of `Head.answer`. device, limits : as of `albo.queries.ask`.
    """

    prior: Prior = Prior.CORPUS
    decide: float = 0.5
    coverage: float = 0.9
    device: Device = Device.AUTO
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A cover that was asked about, and what it reads as; neither where it could not be read."""

    query: Query
    features: Mapping[str, Any] = field(default_factory=dict, repr=False)
    prediction: Prediction | None = None


@dataclass(frozen=True)
class Consultation:
    """A head, the card of its backbone, and what reads words for it (None for nobody).

    is_starter : whether the head is the one that comes with albo.
    """

    head: Head
    card: Card
    listener: Listener | None
    manner: Manner
    note: Note
    is_starter: bool = False

    def ask(self, covers: Sequence[str], *, keep_pictures: bool = False) -> Iterator[Asked]:
        """Say what each cover reads as, all genres, in order. Raises StaleArtifact, UsageError."""
        listener, manner = self.listener, self.manner
        several = ask(
            covers,
            self.card,
            manner.device,
            manner.limits,
            listener,
            keep_pictures=keep_pictures,
            note=self.note,
        )
        for queries in several:
            for query in queries:
                yield Asked(query) if query.embeddings is None else self._answer(query)

    def _answer(self, query: Query) -> Asked:
        assert query.embeddings is not None  # noqa: S101  (seen by the caller)
        features: dict[str, Any] = {"image": ImageView.from_embeddings(query.embeddings)}
        if self.listener is not None and query.words is not None:
            features |= self.listener.features([query.words])
        manner = self.manner
        (said,) = self.head.answer(features, manner.prior, manner.decide, manner.coverage)
        return Asked(query, features, said)

    def explain(self, asked: Asked, genre: str) -> Reasons:
        """Say why a cover is held to be of a genre, or not; it was asked with pictures."""
        query = asked.query
        heard = None
        if self.listener is not None and query.words is not None:
            heard = Heard(query.words, self.listener.meanings)

        mapper, no_map = self._mapper
        if mapper is None or query.pixels is None or query.embeddings is None:
            return explain(self.head, asked.features, genre, heard, no_map=no_map)
        pixels, middle = query.pixels, query.embeddings.middle[0]
        return explain(
            self.head,
            asked.features,
            genre,
            heard,
            locate=lambda place: mapper.map(pixels, middle, place),
        )

    @cached_property
    def _mapper(self) -> tuple[Mapper | None, str]:
        """Open what maps the image's evidence; why there is none, where there is none."""
        try:
            return open_mapper(self.card, self.head.predictors["image"], self.note), ""
        except NoActivationMap as reason:
            return None, str(reason)
        except MissingWeights as error:
            # It names folders of this machine, which are nobody's business in a report.
            self.note(str(error))
            return None, f"the weights of {self.card.name}, which its map is made of, are not here"


@dataclass(frozen=True)
class Heads:
    """The heads of an artifacts folder, and the starter head where it has none of its own.

    default : the name of the head that was trained last, None where none is remembered.
    """

    artifacts: Artifacts
    default: str | None
    note: Note

    def names(self) -> list[str]:
        """Return the names of the heads that have been trained. Raises StaleArtifact."""
        folder = self.artifacts.heads_folder
        if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
            raise StaleArtifact(f"{folder} may not be read; change its permissions")
        found = folder.glob(f"*/{MANIFEST}")
        return sorted(file.parent.name for file in found)

    def consult(
        self,
        name: str | None,
        manner: Manner,
        *,
        covers: int,
        words: bool = True,
        always_read: bool = False,
    ) -> Consultation:
        """Open a head, by name or the last trained, and what reads words where it wants them.

        covers : how many will be asked about. words : False leaves them unread, and the image alone
        decides. always_read : read them even where the head does not look at them.

        Raises UnknownHead, StaleArtifact, MissingWeights.
        """
        head, is_starter = self._find(name)
        card = self._starters_card(head) if is_starter else self._card_of(head)
        listener = None
        if words and (always_read or head.alone is not None):
            listener = self._listener(head, few=covers <= FEW, is_starter=is_starter)
        if head.alone is not None and listener is None:
            head = head.alone
        return Consultation(head, card, listener, manner, self.note, is_starter)

    def _find(self, name: str | None) -> tuple[Head, bool]:
        """Find a head, and whether it is the starter."""
        chosen, there = name if name is not None else self.default, self.names()
        if chosen is None and len(there) == 1:
            chosen = there[0]
        if chosen in there:
            return Head.load(self.artifacts.head(chosen)), False
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
        """Open what reads words; None, and a note, where it is missing."""
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
