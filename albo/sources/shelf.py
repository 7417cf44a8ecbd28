"""Small pictures of the covers of albums, for pages."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from albo.errors import AlboError, BadCover
from albo.images import open_image
from albo.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from albo.learning import LabelledCover
    from albo.records import Album, Digest, Json, Note
    from albo.store import StoredCovers


@dataclass(frozen=True, slots=True)
class ShownCover:
    """A cover as the page shows it: its label, what is known of its album, and a small picture.

    digest : 64 hex digits. thumbnail : JPEG, some 160 px, b"" where it could not be read.
    """

    digest: str
    genre: str
    artist: str = ""
    album: str = ""
    year: int | None = None
    uri: str = ""
    thumbnail: bytes = field(default=b"", repr=False)

    def as_json(self) -> Json:
        """Return all but the picture."""
        return {
            "digest": self.digest,
            "genre": self.genre,
            "artist": self.artist,
            "album": self.album,
            "year": self.year,
            "uri": self.uri,
        }


@dataclass(frozen=True, slots=True)
class NearCover:
    """A cover that looks like another, and how like it is: their cosine."""

    cover: ShownCover
    score: float

    def as_json(self) -> Json:
        """Return the cover's object with the score."""
        return {"score": round(self.score, 4), **self.cover.as_json()}


_SIDE = 160  # pixels of a picture's longer side
_QUALITY = 80


@dataclass
class Shelf:
    """Where covers are looked up: an album for each digest, and what reads their bytes.

    covers : None where no pictures are wanted. note : told once of a store that does not answer;
    it is not asked again.
    """

    albums: Mapping[Digest, Album]
    covers: StoredCovers | None = None
    note: Note = lambda _line: None

    def show(self, cover: LabelledCover) -> ShownCover:
        """Return what is known of a cover, with a small picture where one can be had."""
        album = self.albums.get(cover.digest)
        if album is None:
            return ShownCover(cover.digest.hex(), cover.genre)
        return self.show_album(album, cover.genre)

    def show_album(self, album: Album, genre: str) -> ShownCover:
        """Return what is known of an album's cover, with a small picture as `show` does."""
        return ShownCover(
            (album.digest or b"").hex(),
            genre,
            artist=album.artist,
            album=album.name,
            year=album.year,
            uri=album.uri,
            thumbnail=self.picture(album),
        )

    def near(self, album: Album, genre: str, score: float) -> NearCover:
        """Return a cover as one that is near to another."""
        return NearCover(self.show_album(album, genre), score)

    def picture(self, album: Album) -> bytes:
        """Return a small JPEG; b"" for a cover that is gone, broken, or another one by now."""
        if self.covers is None or album.digest is None:
            return b""
        try:
            data = self.covers.read_again(album.uri, album.digest, Limits())
            written = io.BytesIO()
            open_image(data, max_side=_SIDE).save(written, "JPEG", quality=_QUALITY)
        except BadCover:
            return b""
        except AlboError as error:
            self.note(f"{error}; covers are shown without pictures")
            self.covers = None
            return b""
        return written.getvalue()
