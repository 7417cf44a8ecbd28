"""What a head looks at: the plug for further ones.

A view turns covers into features and says which classifier reads them; the head fuses what the
views' classifiers say. One view knows nothing of another. To add one: a class with the members of
`View` and, where no classifier there is suits it, a predictor in `albo.predictors` and a trainer in
`albo.trainers` under its classifier's name.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from albo.errors import UsageError
from albo.genres import find_genre, with_subgenres
from albo.heads.grams import Grams
from albo.texts import VERSION, fold_text, joined, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from albo.records import Digest, Embeddings, Floats, Ints, Words


HINT_WEIGHT = 5.0
"""How many covers a genre's own name counts for, beside those of that genre."""


class Features(Protocol):
    """What a view says of n covers: n rows of anything, picked by an array of positions.

    A float32 array, a sparse matrix, an array of texts: what the view's classifier reads.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Covers first."""
        ...

    def __getitem__(self, rows: Any, /) -> Any:  # noqa: ANN401  (its own kind, fewer rows)
        """Return the rows at these positions."""
        ...


@dataclass(frozen=True)
class Hints:
    """What is known of genres before any cover: texts that name them.

    features : of k texts, as the view's. labels : int64 (k,), the genre that each names. weights :
    float64 (k,), how many covers each counts for; HINT_WEIGHT for all of one genre.
    """

    features: Any
    labels: Ints
    weights: NDArray[np.float64]


class View(Protocol):
    """One way to look at covers.

    name : unique within a head: "image". fingerprint : names exactly what made the features; a
    head refuses features of another. classifier : which classifier reads them, by its name in
    `albo.classify`; "dense" is the one of the head's kind on a float32 array. blocks : where the
    features are several things side by side, how many numbers each has; a dense classifier lets
    every block weigh alike, however many numbers it has. () where they are one thing. always :
    whether it says something of every cover. A cover that a view is silent of is answered by those
    that always speak, so there must be one. hints : what it makes of the genres' own names.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def classifier(self) -> str: ...  # noqa: D102

    @property
    def blocks(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def always(self) -> bool: ...  # noqa: D102

    def hints(self, genres: Sequence[str]) -> Hints | None:
        """Return what the names of these genres say, None where that is nothing to this view."""
        ...

    def features(self, digests: Sequence[Digest]) -> Features:
        """Return the features of these covers, in their order."""
        ...


class StoredEmbeddings(Protocol):
    """Where the embeddings of one backbone are kept, as `albo.vectors.Vectors` keeps them."""

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def dimension(self) -> int: ...  # noqa: D102

    @property
    def middle_dimension(self) -> int: ...  # noqa: D102

    def read(
        self, digests: Sequence[Digest] | None = None, *, middle: bool = True
    ) -> tuple[list[Digest], Embeddings]:
        """Return digests in the order asked for, and their embeddings."""
        ...


@dataclass(frozen=True, slots=True)
class ImageView:
    """The image itself: the backbone's pooled top and the statistics of its middle stages."""

    embeddings: StoredEmbeddings
    name: ClassVar[str] = "image"
    classifier: ClassVar[str] = "dense"
    always: ClassVar[bool] = True

    @property
    def fingerprint(self) -> str:
        """The backbone's."""
        return self.embeddings.fingerprint

    @property
    def blocks(self) -> tuple[int, ...]:
        """Vector and middle; a backbone may have no middle."""
        sizes = (self.embeddings.dimension, self.embeddings.middle_dimension)
        return tuple(size for size in sizes if size)

    def hints(self, genres: Sequence[str]) -> None:
        """Return None: a name has no look."""

    def features(self, digests: Sequence[Digest]) -> Floats:
        """Return float32 (n, d + m), [vector, middle]; StaleArtifact where a cover has none."""
        return self.from_embeddings(self.embeddings.read(digests, middle=True)[1])

    @staticmethod
    def from_embeddings(embeddings: Embeddings) -> Floats:
        """Return the features of covers just embedded: float32 (n, d + m)."""
        return np.concatenate([embeddings.vector, embeddings.middle], axis=1, dtype=np.float32)


class StoredWords(Protocol):
    """Where the words that one reader found are kept, as `albo.words.WordStore` keeps them."""

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def read(self, digests: Sequence[Digest]) -> list[Words | None]:
        """Return what covers say, in the order asked; None for one that was never read."""
        ...


@dataclass(frozen=True, slots=True)
class CharactersView:
    """How the words are written: runs of characters, in any script, within words.

    It knows names, languages, scripts and parts of words that the reader got half right.
    """

    words: StoredWords

    name: ClassVar[str] = "characters"
    classifier: ClassVar[str] = "grams"
    blocks: ClassVar[tuple[int, ...]] = ()
    always: ClassVar[bool] = False

    @property
    def fingerprint(self) -> str:
        """The reader's, and of how its words are taken to pieces."""
        return f"{self.words.fingerprint}/{VERSION}"

    def hints(self, genres: Sequence[str]) -> Hints:
        """Return the grams of the genres' names and their subgenres'."""
        texts, labels, weights = _name_texts(genres)
        return Hints(Grams.of(map(fold_text, texts)), labels, weights)

    def features(self, digests: Sequence[Digest]) -> Grams:
        """Return the grams of what these covers say."""
        return self.from_words(self.words.read(digests))

    @staticmethod
    def from_words(words: Sequence[Words | None]) -> Grams:
        """Return the grams of what was just read."""
        return Grams.of("" if said is None else joined(said) for said in words)


class Meanings(Protocol):
    """What turns texts into vectors of what they mean."""

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def ranks(self) -> Mapping[str, int]:
        """The words it knows, lower-case, the commonest 0."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return float32 (n, d), unit rows; the zero row for a text that says nothing."""
        ...

    def of_covers(self, texts: Mapping[Digest, str]) -> Floats:
        """Return the same for what covers say, in that order; it may have been kept."""
        ...


@dataclass(frozen=True, slots=True)
class MeaningView:
    """What the words mean, whatever words they are: one vector for all lines of a cover."""

    words: StoredWords
    meanings: Meanings

    name: ClassVar[str] = "meaning"
    classifier: ClassVar[str] = "unit"
    blocks: ClassVar[tuple[int, ...]] = ()
    always: ClassVar[bool] = False

    @property
    def fingerprint(self) -> str:
        """The reader's, the sentence encoder's, and of how lines are put together."""
        return f"{self.words.fingerprint}/{self.meanings.fingerprint}/{VERSION}"

    def hints(self, genres: Sequence[str]) -> Hints:
        """Return what the genres' names and their subgenres' mean."""
        texts, labels, weights = _name_texts(genres)
        return Hints(self.meanings.encode(texts), labels, weights)

    def features(self, digests: Sequence[Digest]) -> Floats:
        """Return float32 (n, d): what these covers' words mean, zero rows where there are none."""
        said = zip(digests, self.words.read(digests), strict=True)
        return self.meanings.of_covers(
            {digest: "" if words is None else self._text_of(words) for digest, words in said}
        )

    def from_words(self, words: Sequence[Words]) -> Floats:
        """Return what was just read means: float32 (n, d)."""
        return self.meanings.encode([self._text_of(said) for said in words])

    def _text_of(self, words: Words) -> str:
        return listed(words, self.meanings.ranks)


def _name_texts(genres: Sequence[str]) -> tuple[list[str], Ints, NDArray[np.float64]]:
    """Return texts that name these genres, the genre of each, and what each counts for.

    A genre of the iTunes store brings its subgenres' names: "Blues" brings "Chicago Blues".
    """
    texts: list[str] = []
    labels: list[int] = []
    weights: list[float] = []
    for label, genre in enumerate(genres):
        names = [genre.replace("_", " ")]
        # A label that is a number is no id; one that two subgenres go by says itself alone.
        with suppress(UsageError):
            if not names[0].strip().isdigit():
                names += [one.name for one in with_subgenres(find_genre(names[0]))]
        named = list(dict.fromkeys(names))
        texts += named
        labels += [label] * len(named)
        weights += [HINT_WEIGHT / len(named)] * len(named)
    return texts, np.array(labels, np.int64), np.array(weights)
