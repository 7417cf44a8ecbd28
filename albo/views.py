"""What a head looks at: the plug for further ones.

A view turns covers into features and says which classifier reads them; the head fuses what the
views' classifiers say. One view knows nothing of another. To add one: a class with the members of
`View` and, where no classifier there is suits it, a predictor in `albo.heads` and a trainer in
`albo.classify` under its classifier's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.records import Digest, Embeddings, Floats


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


class View(Protocol):
    """One way to look at covers.

    name : unique within a head: "image". fingerprint : names exactly what made the features; a
    head refuses features of another. classifier : which classifier reads them, by its name in
    `albo.classify`; "dense" is the one of the head's kind on a float32 array. blocks : where the
    features are several things side by side, how many numbers each has; a dense classifier lets
    every block weigh alike, however many numbers it has. () where they are one thing.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def classifier(self) -> str: ...  # noqa: D102

    @property
    def blocks(self) -> tuple[int, ...]: ...  # noqa: D102

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
    name: str = "image"
    classifier: str = "dense"

    @property
    def fingerprint(self) -> str:
        """The backbone's."""
        return self.embeddings.fingerprint

    @property
    def blocks(self) -> tuple[int, ...]:
        """Vector and middle; a backbone may have no middle."""
        sizes = (self.embeddings.dimension, self.embeddings.middle_dimension)
        return tuple(size for size in sizes if size)

    def features(self, digests: Sequence[Digest]) -> Floats:
        """Return float32 (n, d + m), [vector, middle]; StaleArtifact where a cover has none."""
        return self.from_embeddings(self.embeddings.read(digests, middle=True)[1])

    @staticmethod
    def from_embeddings(embeddings: Embeddings) -> Floats:
        """Return the features of covers just embedded: float32 (n, d + m)."""
        return np.concatenate([embeddings.vector, embeddings.middle], axis=1, dtype=np.float32)
