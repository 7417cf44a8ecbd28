"""The words that every room of albo shares, as small immutable records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Digest: TypeAlias = bytes
"""SHA-256 of a cover's bytes, 32 bytes; printed as 64 lower-case hex digits."""

Floats: TypeAlias = "NDArray[np.float32]"
Halves: TypeAlias = "NDArray[np.float16]"
Ints: TypeAlias = "NDArray[np.int64]"
Bools: TypeAlias = "NDArray[np.bool_]"
Pixels: TypeAlias = "NDArray[np.uint8]"
"""One decoded cover: uint8 (height, width, 3), RGB; or a batch of them: (n, height, width, 3)."""

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Album:
    """One row of metadata: where it was listed, what it is, and the digest of its cover.

    `source` and `album_id` together are the key. `genre` is the label as written, "" where unknown.
    """

    source: str
    album_id: str
    uri: str
    digest: Digest | None = None
    genre: str = ""
    subgenre: str = ""
    name: str = ""
    artist: str = ""
    artist_id: str = ""
    year: int | None = None
    dup_group: str = ""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells whether a file has changed: size in bytes, modification time in ns, inode."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A cover that could not be read: where it is, and the one-line reason."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What a backbone says of n covers.

    vector : float32 (n, d), rows of unit length. middle : float32 (n, m), raw; m may be 0.
    """

    vector: Floats
    middle: Floats


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest covers of one query, best first: digests and their cosines, together."""

    digests: tuple[Digest, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head says of one cover: every genre with its probability, best first."""

    genres: tuple[str, ...]
    probabilities: tuple[float, ...]
    conformal_set: tuple[str, ...]
    decided: bool
