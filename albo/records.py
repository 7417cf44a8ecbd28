"""The words that every room of albo shares, as small immutable records."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from albo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

Digest: TypeAlias = bytes
"""SHA-256 of a cover's bytes, 32 bytes; printed as 64 lower-case hex digits."""

Floats: TypeAlias = "NDArray[np.float32]"
Halves: TypeAlias = "NDArray[np.float16]"
Doubles: TypeAlias = "NDArray[np.float64]"
Ints: TypeAlias = "NDArray[np.int64]"
Bools: TypeAlias = "NDArray[np.bool_]"
Pixels: TypeAlias = "NDArray[np.uint8]"
"""One decoded cover: uint8 (height, width, 3), RGB; or a batch of them: (n, height, width, 3)."""

Json: TypeAlias = dict[str, Any]

Note: TypeAlias = "Callable[[str], None]"
"""Called with one line whenever there is something that the user may want to know."""

Progress: TypeAlias = "Callable[[int, int | None], None]"
"""Called while long work goes on: steps done, and steps in all (None: not known)."""

StageProgress: TypeAlias = "Callable[[str, int, int | None], None]"
"""The same with the name of the stage first: one for work of several stages."""


class Device(StrEnum):
    """Where a network runs."""

    AUTO = "auto"
    """A GPU where one is worth its start, else the CPU."""
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class IndexKind(StrEnum):
    """How an index searches."""

    AUTO = "auto"
    """Flat for a small collection, inverted lists for a large one."""
    FLAT = "flat"
    IVF = "ivf"


class HeadKind(StrEnum):
    """What is fitted on the features of an image."""

    LOGISTIC = "logistic"
    LIGHTGBM = "lightgbm"


class Level(StrEnum):
    """Which label of an album a head learns; each is the name of a field of `Album`."""

    GENRE = "genre"
    SUBGENRE = "subgenre"


class Prior(StrEnum):
    """Which genre frequencies probabilities refer to."""

    CORPUS = "corpus"
    """Those of the covers that the head was fitted on."""
    UNIFORM = "uniform"
    """Every genre is as frequent as any other."""


Choice = TypeVar("Choice", bound=StrEnum)


def choose(choices: type[Choice], value: str, name: str) -> Choice:
    """Return the choice of that value.

    Parameters
    ----------
    value : a choice, or its plain text.
    name : of the setting, for the message.

    Raises UsageError, which names the choices, where there is none of that value.
    """
    try:
        return choices(value)
    except ValueError:
        raise UsageError(f"{name} {value!r}; give one of {', '.join(choices)}") from None


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
class Listing:
    """What charts say of one album, and what has become of its artwork.

    genre_id, genre_name : the album's own, as the chart wrote them; None and "" where it did not.
    charts : the rank in every chart that it was seen in, by `storefront/genre id`.
    storefront : where it was seen first; names and links are from there. released : ISO date, ""
    where unknown. first_seen, last_seen : ISO times, UTC.
    art_url : as the chart gives it, "" where it gives none. art_kept : where the cover in the store
    came from, "" while there is none, and art_width and art_height its pixels. art_arriving : the
    cover while it is on its way into the store. art_error : why there is none.
    """

    charts: dict[str, int]
    genre_id: int | None = None
    genre_name: str = ""
    storefront: str = ""
    released: str = ""
    link: str = ""
    first_seen: str = ""
    last_seen: str = ""
    art_url: str = ""
    art_kept: str = ""
    art_width: int | None = None
    art_height: int | None = None
    art_arriving: Digest | None = None
    art_error: str = ""


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """All that a catalog knows of one album; `listing` is None for what was in no chart."""

    album: Album
    listing: Listing | None = None
    missing: bool = False

    @property
    def awaits_cover(self) -> bool:
        """Whether there is artwork to be had that is not, or not surely, in the store."""
        said = self.listing
        if said is None or not said.art_url:
            return False
        return not said.art_kept or said.art_arriving is not None or self.album.digest is None


@dataclass(frozen=True, slots=True)
class Feed:
    """A chart as it was fetched last: what to ask with next time, and what it listed, in order.

    etag, modified : the validators that came with it, "" for none. fetched : ISO time, UTC.
    """

    url: str
    fetched: str
    album_ids: tuple[str, ...]
    etag: str = ""
    modified: str = ""


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
class ShownCover:
    """A cover as an answer shows it: one that is near to another, a copy, a typical one."""

    digest: Digest

    album: Album | None = None
    """The album it belongs to; None where the catalog no longer holds one."""

    genre: str = ""
    """The label that it is compared under; "" where it has none, or none is asked for."""

    score: float = 0.0
    """Its cosine to the cover that it is near to; 0.0 where nothing is compared."""

    rank: int = 0
    """Its place among the covers of the answer, from 1; 0 where they are in no order."""

    mark: str = ""
    """"same file", "near-duplicate" or ""."""

    thumbnail: bytes = field(default=b"", repr=False)
    """A small picture, JPEG; b"" where none was asked for, or its file is gone."""

    def as_json(self) -> Json:
        """Return it as a neighbour of `albo similar`; without a rank, as one of some copies."""
        digest, score = self.digest.hex(), round(self.score, 4)
        if not self.rank:
            return {"digest": digest, "score": score, **self.album_json()}
        ranked = {"rank": self.rank, "score": score, "digest": digest}
        return {**ranked, **self.album_json(), "mark": self.mark}

    def album_json(self) -> Json:
        """Return what is known of its album, None for what is not."""
        album = self.album
        return {
            "uri": album and album.uri,
            "genre": (album and album.genre) or None,
            "artist": (album and album.artist) or None,
            "album": (album and album.name) or None,
            "year": album and album.year,
        }

    def labelled_json(self) -> Json:
        """Return it under its label, "" for what is not known of its album."""
        album = self.album
        return {
            "digest": self.digest.hex(),
            "genre": self.genre,
            "artist": album.artist if album else "",
            "album": album.name if album else "",
            "year": album.year if album else None,
            "uri": album.uri if album else "",
        }

    def near_json(self) -> Json:
        """Return it under its label, with its cosine."""
        return {"score": round(self.score, 4), **self.labelled_json()}


@dataclass(frozen=True, slots=True)
class Said:
    """What one view says of one cover by itself, best genre first; () where it says nothing.

    weight : what that counted for among the views.
    """

    view: str
    weight: float
    genres: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head says of one cover: every genre with its probability, best first.

    views : what each view said, before fusion and calibration.
    """

    genres: tuple[str, ...]
    probabilities: tuple[float, ...]
    conformal_set: tuple[str, ...]
    decided: bool
    views: tuple[Said, ...] = ()

    def first(self, top: int) -> Prediction:
        """Return the same with the best few genres alone; the set is never cut short."""
        return replace(
            self,
            genres=self.genres[:top],
            probabilities=self.probabilities[:top],
            views=tuple(
                replace(view, genres=view.genres[:top], probabilities=view.probabilities[:top])
                for view in self.views
            ),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text on a cover.

    box : its corners x0, y0, x1, y1, x2, y2, x3, y3 as shares of the cover's width and height,
    clockwise as the text is read, from where it begins at its top. confidence : 0 to 1.
    """

    text: str
    box: tuple[float, ...]
    confidence: float

    def height(self, wide: float = 1.0, high: float = 1.0) -> float:
        """Return how high the text is on a picture of that size, in its unit."""
        x0, y0, *_, x3, y3 = self.box
        return math.hypot((x3 - x0) * wide, (y3 - y0) * high)


@dataclass(frozen=True, slots=True)
class Words:
    """What a cover says, from top to bottom; `error` is why it could not be read, "" where it was.

    No lines and no error: there is no text on it that a reader finds.
    """

    lines: tuple[Line, ...] = ()
    error: str = ""
