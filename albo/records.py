"""The common types of all albo's modules, as small immutable records."""

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
"""Called with one line of information for the user."""

Progress: TypeAlias = "Callable[[int, int | None], None]"
"""Called during long work: steps done, and all steps (None: not known)."""

StageProgress: TypeAlias = "Callable[[str, int, int | None], None]"
"""The same with the name of the stage first, for work of several stages."""


class Device(StrEnum):
    """The device of a network."""

    AUTO = "auto"
    """A GPU if there is one and its start is worth it, else the CPU."""
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
    """The classifier that is fitted on the features of an image."""

    LOGISTIC = "logistic"
    LIGHTGBM = "lightgbm"


class Level(StrEnum):
    """The label of an album that a head learns; each is the name of a field of `Album`."""

    GENRE = "genre"
    SUBGENRE = "subgenre"


class Prior(StrEnum):
    """The genre frequencies that probabilities refer to."""

    CORPUS = "corpus"
    """The frequencies among the covers that the head was fitted on."""
    UNIFORM = "uniform"
    """Equal frequencies of all genres."""


Choice = TypeVar("Choice", bound=StrEnum)


def choose(choices: type[Choice], value: str, name: str) -> Choice:
    """Return the choice with that value.

    Parameters
    ----------
    value : a choice, or its plain text.
    name : the name of the setting, for the message.

    Raises UsageError, which lists the choices, if there is none with that value.
    """
    try:
        return choices(value)
    except ValueError:
        raise UsageError(f"{name} {value!r}; give one of {', '.join(choices)}") from None


@dataclass(frozen=True, slots=True)
class Album:
    """One row of metadata: the source of an album, its description, and its cover's digest."""

    source: str
    """The source that lists it: a folder, a manifest, another catalog or the charts."""
    album_id: str
    """The album's id within its source; `source` and `album_id` together are the key."""
    uri: str
    """The cover's place: a path, or `s3://bucket/key`; "" if it has none."""
    digest: Digest | None = None
    """The cover's digest; None if no cover has been read."""
    genre: str = ""
    """The label as it was written; "" if unknown."""
    subgenre: str = ""
    """The finer label as it was written; "" if unknown."""
    name: str = ""
    """The album's name; "" if unknown."""
    artist: str = ""
    """The artist's name; "" if unknown."""
    artist_id: str = ""
    """The artist's id within the source; "" if unknown."""
    year: int | None = None
    """The year of release; None if unknown."""
    dup_group: str = ""
    """A mark shared by albums with the same artwork; "" if there is none."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The chart data of one album, and the state of its artwork."""

    charts: dict[str, int]
    """The album's rank in each chart that listed it, by `storefront/genre id`."""
    genre_id: int | None = None
    """The id of the album's own genre in the chart; None if there is none."""
    genre_name: str = ""
    """The name of that genre in the chart; "" if there is none."""
    storefront: str = ""
    """The storefront that listed it first; names and links come from there."""
    released: str = ""
    """The day of release, as an ISO date; "" if unknown."""
    link: str = ""
    """The album's page in the store; "" if unknown."""
    first_seen: str = ""
    """The time when a chart first listed it, as an ISO time in UTC."""
    last_seen: str = ""
    """The time when a chart last listed it, as an ISO time in UTC."""
    art_url: str = ""
    """The address of the artwork in the chart; "" if there is none."""
    art_kept: str = ""
    """The source address of the cover in the store; "" while there is no cover."""
    art_width: int | None = None
    """The width of that cover in pixels; None while there is no cover."""
    art_height: int | None = None
    """The height of that cover in pixels; None while there is no cover."""
    art_arriving: Digest | None = None
    """The cover that is being stored; None if there is none."""
    art_error: str = ""
    """Why there is no cover; "" if nothing failed."""


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """All data of a catalog about one album."""

    album: Album
    """The album's metadata."""
    listing: Listing | None = None
    """Its chart data; None if no chart listed it."""
    missing: bool = False
    """Whether its source no longer lists it; such an album is kept but is in no answer."""

    @property
    def awaits_cover(self) -> bool:
        """Whether there is artwork that is not, or not certainly, in the store."""
        said = self.listing
        if said is None or not said.art_url:
            return False
        return not said.art_kept or said.art_arriving is not None or self.album.digest is None


@dataclass(frozen=True, slots=True)
class Feed:
    """A chart at its last fetch: its albums, and the validators for the next request."""

    url: str
    """The chart's address."""
    fetched: str
    """The time of the fetch, as an ISO time in UTC."""
    album_ids: tuple[str, ...]
    """Its albums, in its order."""
    etag: str = ""
    """The validator `ETag` from the answer; "" for none."""
    modified: str = ""
    """The validator `Last-Modified` from the answer; "" for none."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The facts that show whether a file has changed."""

    size: int
    """The size in bytes."""
    mtime_ns: int
    """The time of the last modification in nanoseconds."""
    inode: int
    """The number of the inode."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A cover that could not be read."""

    uri: str
    """The cover's place: a path, or `s3://bucket/key`."""
    reason: str
    """Why it could not be read, in one line."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A backbone's output for n covers."""

    vector: Floats
    """float32 (n, d), rows of unit length."""
    middle: Floats
    """float32 (n, m), raw; m may be 0."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest covers of one query: digests and cosines together."""

    digests: tuple[Digest, ...]
    """The digests of the nearest covers, best first."""
    scores: tuple[float, ...]
    """The cosine of each of them to the query."""


@dataclass(frozen=True, slots=True)
class ShownCover:
    """A cover in an answer: a neighbour, a copy, or a typical one."""

    digest: Digest
    """The digest of the cover."""

    album: Album | None = None
    """Its album; None if the catalog no longer has one."""

    genre: str = ""
    """Its label for the comparison; "" if it has none, or none is needed."""

    score: float = 0.0
    """Its cosine to the cover in question; 0.0 if there is no comparison."""

    rank: int = 0
    """Its rank among the covers of the answer, from 1; 0 if they have no order."""

    mark: str = ""
    """"same file", "near-duplicate" or ""."""

    thumbnail: bytes = field(default=b"", repr=False)
    """A small picture, JPEG; b"" if none was requested, or its file is gone."""

    def as_json(self) -> Json:
        """Return it as a neighbour of `albo similar`; without a rank, as one of a copy group."""
        digest, score = self.digest.hex(), round(self.score, 4)
        if not self.rank:
            return {"digest": digest, "score": score, **self.album_json()}
        ranked = {"rank": self.rank, "score": score, "digest": digest}
        return {**ranked, **self.album_json(), "mark": self.mark}

    def album_json(self) -> Json:
        """Return the known data of its album, None for unknown fields."""
        album = self.album
        return {
            "uri": album and album.uri,
            "genre": (album and album.genre) or None,
            "artist": (album and album.artist) or None,
            "album": (album and album.name) or None,
            "year": album and album.year,
        }

    def labelled_json(self) -> Json:
        """Return it with its label. Unknown fields of its album are "", but None for the year."""
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
        """Return it with its label and its cosine."""
        return {"score": round(self.score, 4), **self.labelled_json()}


@dataclass(frozen=True, slots=True)
class Said:
    """The output of one view alone for one cover."""

    view: str
    """The name of the view."""
    weight: float
    """The weight of the view among all views."""
    genres: tuple[str, ...] = ()
    """The genres, the most probable first; () if the view has no output."""
    probabilities: tuple[float, ...] = ()
    """The probability of each of these genres; () if the view has no output."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A head's output for one cover."""

    genres: tuple[str, ...]
    """Every genre that the head knows, the most probable first."""
    probabilities: tuple[float, ...]
    """The probability of each of these genres."""
    conformal_set: tuple[str, ...]
    """The prediction set; it contains the true genre as often as the requested coverage."""
    decided: bool
    """Whether the first probability is high enough for an answer."""
    views: tuple[Said, ...] = ()
    """The output of each view, before fusion and calibration."""

    def first(self, top: int) -> Prediction:
        """Return the same with only the best few genres; the set is never cut."""
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
    """One line of text on a cover."""

    text: str
    """The text that was read."""
    box: tuple[float, ...]
    """The corners x0, y0, x1, y1, x2, y2, x3, y3, as shares of the cover's width and height.

    They go clockwise in the direction of reading, from the top corner at which the text begins.
    """
    confidence: float
    """The reader's confidence, 0 to 1."""

    def height(self, wide: float = 1.0, high: float = 1.0) -> float:
        """Return the height of the text on a picture of that size, in its unit."""
        x0, y0, *_, x3, y3 = self.box
        return math.hypot((x3 - x0) * wide, (y3 - y0) * high)


@dataclass(frozen=True, slots=True)
class Words:
    """The words on a cover."""

    lines: tuple[Line, ...] = ()
    """The lines of text, from top to bottom; () if the reader finds no text."""
    error: str = ""
    """Why the cover could not be read; "" if it could."""
