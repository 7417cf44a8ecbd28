"""Views: how a head looks at covers, and how to add further views.

A view turns covers into features and names the classifier that reads them. The head fuses the
classifiers' predictions. Views are independent of one another. To add one, write a class with the
members of `View`. If no existing classifier suits it, add a predictor to `PREDICTORS` of
`albo.heads.predictors` and a trainer to `TRAINERS` of `albo.learning.trainers`, under the name of
its classifier.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from albo.errors import UsageError
from albo.genres import find_genre, with_subgenres
from albo.heads.grams import Grams
from albo.texts import VERSION, fold_text, joined, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from albo.records import Digest, Doubles, Embeddings, Floats, Ints, Words


HINT_WEIGHT = 5.0
"""How many covers a genre's own name counts for, beside those of that genre."""


class Features(Protocol):
    """A view's features of n covers: n rows, indexed by an array of positions.

    They may be of any kind that the view's classifier reads: a float32 array, a sparse matrix,
    an array of texts.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape; the first axis is the covers."""
        ...

    def __getitem__(self, rows: Any, /) -> Any:  # noqa: ANN401  (its own kind, fewer rows)
        """Return the rows at these positions."""
        ...


@dataclass(frozen=True)
class Hints:
    """Knowledge of the genres before any cover is seen: k texts that name them."""

    features: Any
    """The view's features of the k texts."""

    labels: Ints
    """int64 (k,): the genre that each text names, as its position among the genres."""

    weights: Doubles
    """float64 (k,): how many covers each text counts for; HINT_WEIGHT in all for a genre."""


class View(Protocol):
    """One way to look at covers."""

    @property
    def name(self) -> str:
        """A name that is unique within a head, such as "image"."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identifies how the features were made; a head refuses those of another fingerprint."""
        ...

    @property
    def classifier(self) -> str:
        """The classifier that reads the features, by its name in `albo.learning.trainers`.

        "dense" stands for the classifier of the head's kind, on a float32 array.
        """
        ...

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many numbers each part has, where the features are several parts side by side.

        A dense classifier gives every block the same weight, however many numbers it has. () where
        the features have one part.
        """
        ...

    @property
    def always(self) -> bool:
        """Whether the view says something of every cover.

        A cover of which a view is silent is answered by the views that always speak, so a head has
        at least one of them.
        """
        ...

    def hints(self, genres: Sequence[str]) -> Hints | None:
        """Return this view's features of the genres' names; None where names tell it nothing."""
        ...

    def features(self, digests: Sequence[Digest]) -> Features:
        """Return the features of these covers, in their order."""
        ...


class StoredEmbeddings(Protocol):
    """Where the embeddings of one backbone are kept, as `albo.store.Vectors` keeps them."""

    @property
    def fingerprint(self) -> str:
        """The backbone's fingerprint."""
        ...

    @property
    def dimension(self) -> int:
        """d, how many numbers a vector has."""
        ...

    @property
    def middle_dimension(self) -> int:
        """m, how many numbers a middle has; may be 0."""
        ...

    def read(
        self, digests: Sequence[Digest] | None = None, *, middle: bool = True
    ) -> tuple[list[Digest], Embeddings]:
        """Return digests in the order asked for, and their embeddings."""
        ...


@dataclass(frozen=True, slots=True)
class ImageView:
    """The image itself: the backbone's pooled top and the statistics of its middle stages."""

    embeddings: StoredEmbeddings
    """Where the covers' embeddings are read."""

    name: ClassVar[str] = "image"
    """The view's name."""

    classifier: ClassVar[str] = "dense"
    """As `View.classifier`."""

    always: ClassVar[bool] = True
    """True: the view says something of every cover."""

    @property
    def fingerprint(self) -> str:
        """The backbone's fingerprint."""
        return self.embeddings.fingerprint

    @property
    def blocks(self) -> tuple[int, ...]:
        """The sizes of vector and middle; the latter is left out where a backbone has none."""
        sizes = (self.embeddings.dimension, self.embeddings.middle_dimension)
        return tuple(size for size in sizes if size)

    def hints(self, genres: Sequence[str]) -> None:
        """Return None: a name has no picture."""

    def features(self, digests: Sequence[Digest]) -> Floats:
        """Return float32 (n, d + m), [vector, middle]; StaleArtifact where a cover has none."""
        return self.from_embeddings(self.embeddings.read(digests, middle=True)[1])

    @staticmethod
    def from_embeddings(embeddings: Embeddings) -> Floats:
        """Return the features of covers just embedded: float32 (n, d + m)."""
        return np.concatenate([embeddings.vector, embeddings.middle], axis=1, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class CharactersView:
    """How the words are written: runs of characters, in any script, within words.

    It learns names, languages, scripts and the correct parts of words that the reader misread.
    """

    reader: str
    """The fingerprint of the word reader."""

    words: Mapping[Digest, Words] = field(default_factory=dict, repr=False)
    """The words that the reader read, by cover; covers that were not read may be missing."""

    name: ClassVar[str] = "characters"
    """The view's name."""

    classifier: ClassVar[str] = "grams"
    """As `View.classifier`."""

    blocks: ClassVar[tuple[int, ...]] = ()
    """(): the features have one part."""

    always: ClassVar[bool] = False
    """False: the view says nothing of a cover without words."""

    @property
    def fingerprint(self) -> str:
        """The reader's fingerprint, and the version of the rules that split its words."""
        return f"{self.reader}/{VERSION}"

    def hints(self, genres: Sequence[str]) -> Hints:
        """Return the grams of the genres' names and their subgenres'."""
        texts, labels, weights = _name_texts(genres)
        return Hints(Grams.of(map(fold_text, texts)), labels, weights)

    def features(self, digests: Sequence[Digest]) -> Grams:
        """Return the grams of the words on these covers."""
        return self.from_words([self.words.get(digest) for digest in digests])

    @staticmethod
    def from_words(words: Sequence[Words | None]) -> Grams:
        """Return the grams of words just read; None, for a cover that was not read, has none."""
        return Grams.of("" if said is None else joined(said) for said in words)


class Meanings(Protocol):
    """A sentence encoder: it turns texts into vectors of their meaning."""

    @property
    def fingerprint(self) -> str:
        """The encoder's fingerprint."""
        ...

    @property
    def ranks(self) -> Mapping[str, int]:
        """The lower-case words that the encoder knows, and their rank; the commonest has rank 0."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return float32 (n, d), unit rows; the zero row for a text that says nothing."""
        ...

    def of_covers(self, texts: Mapping[Digest, str]) -> Floats:
        """Return the same for the texts on covers, in that order; they may be read from a cache."""
        ...


@dataclass(frozen=True, slots=True)
class MeaningView:
    """The meaning of the words: one vector for all lines of a cover."""

    reader: str
    """The fingerprint of the word reader."""

    meanings: Meanings = field(repr=False)
    """The sentence encoder."""

    words: Mapping[Digest, Words] = field(default_factory=dict, repr=False)
    """The words that the reader read, by cover; covers that were not read may be missing."""

    name: ClassVar[str] = "meaning"
    """The view's name."""

    classifier: ClassVar[str] = "unit"
    """As `View.classifier`."""

    blocks: ClassVar[tuple[int, ...]] = ()
    """(): the features have one part."""

    always: ClassVar[bool] = False
    """False: the view says nothing of a cover without words."""

    @property
    def fingerprint(self) -> str:
        """The reader's and the encoder's fingerprints, and the version of the joining of lines."""
        return f"{self.reader}/{self.meanings.fingerprint}/{VERSION}"

    def hints(self, genres: Sequence[str]) -> Hints:
        """Return the meanings of the names of the genres and their subgenres."""
        texts, labels, weights = _name_texts(genres)
        return Hints(self.meanings.encode(texts), labels, weights)

    def features(self, digests: Sequence[Digest]) -> Floats:
        """Return the meaning of these covers' words: float32 (n, d), zero rows without words."""
        return self.meanings.of_covers(
            {
                digest: self._text_of(self.words[digest]) if digest in self.words else ""
                for digest in digests
            }
        )

    def from_words(self, words: Sequence[Words]) -> Floats:
        """Return the meaning of words just read: float32 (n, d)."""
        return self.meanings.encode([self._text_of(said) for said in words])

    def _text_of(self, words: Words) -> str:
        return listed(words, self.meanings.ranks)


def _name_texts(genres: Sequence[str]) -> tuple[list[str], Ints, Doubles]:
    """Return texts that name these genres, the genre of each, and the weight of each.

    A genre of the iTunes store brings its subgenres' names: "Blues" brings "Chicago Blues".
    """
    texts: list[str] = []
    labels: list[int] = []
    weights: list[float] = []
    for label, genre in enumerate(genres):
        names = [genre.replace("_", " ")]
        # A label that is a number is not the id of a genre. A name that two subgenres share stands
        # for itself alone.
        with suppress(UsageError):
            if not names[0].strip().isdigit():
                names += [one.name for one in with_subgenres(find_genre(names[0]))]
        named = list(dict.fromkeys(names))
        texts += named
        labels += [label] * len(named)
        weights += [HINT_WEIGHT / len(named)] * len(named)
    return texts, np.array(labels, np.int64), np.array(weights)
