"""The basic records of all packages of albo, small and immutable."""

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
Miniatures: TypeAlias = "NDArray[np.uint8]"
"""One cover's tiny grey picture, whole and without a frame: uint8 (2, 16, 16); or of n covers:
(n, 2, 16, 16)."""

Json: TypeAlias = dict[str, Any]

Note: TypeAlias = "Callable[[str], None]"
"""Called with one line that the user may want to know."""

Progress: TypeAlias = "Callable[[int, int | None], None]"
"""Called during long work: steps done, and steps in all (None if not known)."""

StageProgress: TypeAlias = "Callable[[str, int, int | None], None]"
"""The same with the name of the stage first, for work of several stages."""


class Device(StrEnum):
    """Where a network runs."""

    AUTO = "auto"
    """A GPU if it is worth its start-up time, else the CPU."""
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
    """The classifier that is fitted on the features of covers."""

    LOGISTIC = "logistic"
    LIGHTGBM = "lightgbm"


class Level(StrEnum):
    """Which label of an album a head learns; each is the name of a field of `Album`."""

    GENRE = "genre"
    SUBGENRE = "subgenre"


class Prior(StrEnum):
    """The genre frequencies behind the probabilities."""

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

    Raises UsageError, which lists the choices, for any other value.
    """
    try:
        return choices(value)
    except ValueError:
        raise UsageError(f"{name} {value!r}; give one of {', '.join(choices)}") from None


@dataclass(frozen=True, slots=True)
class Album:
    """One row of metadata: an album's source, its names, and the digest of its cover."""

    source: str
    """The source that lists it: a folder, a manifest, another catalog or the charts."""
    album_id: str
    """The album's id within its source; `source` and `album_id` together are the key."""
    uri: str
    """The place of the cover: a path, or `s3://bucket/key`; "" if it has none."""
    digest: Digest | None = None
    """The cover's digest; None if no cover has been read."""
    genre: str = ""
    """The label as it was written; "" where unknown."""
    subgenre: str = ""
    """The finer label as it was written; "" where unknown."""
    name: str = ""
    """The album's name; "" where unknown."""
    artist: str = ""
    """The artist's name; "" where unknown."""
    artist_id: str = ""
    """The artist's id within the source; "" where unknown."""
    year: int | None = None
    """The year of release; None where unknown."""
    dup_group: str = ""
    """A mark that albums with the same artwork share; "" for no mark."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The chart data of one album, and the state of its artwork."""

    charts: dict[str, int]
    """The album's rank in each chart that listed it, by `storefront/genre id`."""
    genre_id: int | None = None
    """The id of the album's own genre, as the chart wrote it; None if it wrote none."""
    genre_name: str = ""
    """The name of that genre, as the chart wrote it; "" if it wrote none."""
    storefront: str = ""
    """The storefront that listed it first; names and links are from there."""
    released: str = ""
    """The day of release, as an ISO date; "" where unknown."""
    link: str = ""
    """The album's page in the store; "" where unknown."""
    first_seen: str = ""
    """When a chart listed it first, as an ISO time in UTC."""
    last_seen: str = ""
    """When a chart listed it last, as an ISO time in UTC."""
    art_url: str = ""
    """The address of the artwork in the chart; "" for none."""
    art_kept: str = ""
    """The address that the cover in the store came from; "" while there is no cover."""
    art_width: int | None = None
    """The width of that cover in pixels; None while there is no cover."""
    art_height: int | None = None
    """The height of that cover in pixels; None while there is no cover."""
    art_arriving: Digest | None = None
    """The cover that is being stored; None for none."""
    art_error: str = ""
    """Why there is no cover; "" if nothing failed."""


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """All that a catalog knows of one album."""

    album: Album
    """The album's metadata."""
    listing: Listing | None = None
    """Its chart data; None if no chart listed it."""
    missing: bool = False
    """Whether its source no longer lists it; it is kept, but no answer shows it."""

    @property
    def awaits_cover(self) -> bool:
        """Whether it has artwork that is not, or perhaps not, in the store."""
        said = self.listing
        if said is None or not said.art_url:
            return False
        return not said.art_kept or said.art_arriving is not None or self.album.digest is None


@dataclass(frozen=True, slots=True)
class Feed:
    """A chart as fetched last: its list, and the validators for the next request."""

    url: str
    """The chart's address."""
    fetched: str
    """When it was fetched, as an ISO time in UTC."""
    album_ids: tuple[str, ...]
    """The albums that it listed, in its order."""
    etag: str = ""
    """The validator `ETag` that came with it; "" for none."""
    modified: str = ""
    """The validator `Last-Modified` that came with it; "" for none."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The facts about a file that show whether it has changed."""

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
    """The place of the cover: a path, or `s3://bucket/key`."""
    reason: str
    """Why it could not be read, in one line."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The outputs of a backbone for n covers."""

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
    """The album it belongs to; None where the catalog no longer holds one."""

    genre: str = ""
    """The label for the comparison; "" if it has none, or none is asked for."""

    score: float = 0.0
    """Its cosine to the query; 0.0 if nothing is compared."""

    rank: int = 0
    """Its place among the covers of the answer, from 1; 0 if they have no order."""

    mark: str = ""
    """"same file", "near-duplicate" or ""."""

    thumbnail: bytes = field(default=b"", repr=False)
    """A small picture, JPEG; b"" if none was asked for, or its file is gone."""

    def as_json(self) -> Json:
        """Return the JSON of a neighbour in `albo similar`; without a rank, that of a copy."""
        digest, score = self.digest.hex(), round(self.score, 4)
        if not self.rank:
            return {"digest": digest, "score": score, **self.album_json()}
        ranked = {"rank": self.rank, "score": score, "digest": digest}
        return {**ranked, **self.album_json(), "mark": self.mark}

    def album_json(self) -> Json:
        """Return the fields of its album, None for unknown ones."""
        album = self.album
        return {
            "uri": album and album.uri,
            "genre": (album and album.genre) or None,
            "artist": (album and album.artist) or None,
            "album": (album and album.name) or None,
            "year": album and album.year,
        }

    def labelled_json(self) -> Json:
        """Return its JSON with its label, "" for unknown fields of its album."""
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
        """Return its JSON with its label and its cosine."""
        return {"score": round(self.score, 4), **self.labelled_json()}


@dataclass(frozen=True, slots=True)
class Said:
    """The prediction of one view alone for one cover."""

    view: str
    """The name of the view."""
    weight: float
    """The weight of the view among the views."""
    genres: tuple[str, ...] = ()
    """The genres, the most probable first; () if the view has nothing to say."""
    probabilities: tuple[float, ...] = ()
    """The probability of each of these genres; () if the view has nothing to say."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A head's prediction for one cover."""

    genres: tuple[str, ...]
    """Every genre that the head knows, the most probable first."""
    probabilities: tuple[float, ...]
    """The probability of each of these genres."""
    conformal_set: tuple[str, ...]
    """The genres in the set, which holds the true one as often as was asked for."""
    decided: bool
    """Whether the first probability is high enough for an answer."""
    views: tuple[Said, ...] = ()
    """The prediction of each view, before fusion and calibration."""
    is_unlike: bool = False
    """Whether the picture is unlike all that the head has learnt, as a blank page is.

    Then it is not decided, and the probabilities mean little.
    """

    def unlike_learnt(self, is_unlike: bool) -> Prediction:
        """Return the same, undecided where the picture is unlike all that the head has learnt."""
        if not is_unlike:
            return self
        return replace(self, decided=False, is_unlike=True)

    def first(self, top: int) -> Prediction:
        """Return the same with only the first genres; the set is never cut."""
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

    They go clockwise as the text is read, from the top corner at which it begins.
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
