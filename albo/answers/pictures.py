"""Small pictures of the covers of albums, for pages and sheets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from albo.errors import AlboError, BadCover
from albo.images import open_image
from albo.limits import Limits

if TYPE_CHECKING:
    from PIL.Image import Image

    from albo.records import Album, Note
    from albo.store import StoredCovers

_SIDE = 160  # pixels of a picture's longer side
_QUALITY = 80


class CoverPictures:
    """Makes a small picture of an album's cover, if its file still exists.

    A store that fails (a server that does not answer) is reported once and not asked again:
    otherwise a page of a hundred covers would wait a hundred times.

    Parameters
    ----------
    covers : reads the files of covers; None for no pictures.
    note : called with one line if a store fails.
    """

    def __init__(self, covers: StoredCovers | None = None, note: Note = lambda _line: None) -> None:
        self._covers = covers
        self._note = note
        self._has_failed = False

    def picture(self, album: Album) -> bytes:
        """Return a JPEG of at most 160 pixels a side; b"" for a cover that is gone or changed."""
        if self._covers is None or self._has_failed or album.digest is None:
            return b""
        try:
            data = self._covers.read_again(album.uri, album.digest, Limits())
            return jpeg_of(open_image(data, max_side=_SIDE), _QUALITY)
        except BadCover:
            return b""
        except AlboError as error:
            self._note(f"{error}; covers are shown without pictures")
            self._has_failed = True
            return b""


def jpeg_of(image: Image, quality: int) -> bytes:
    """Write an image as JPEG.

    Parameters
    ----------
    quality : Pillow's quality, 1 to 95.
    """
    written = io.BytesIO()
    image.save(written, "JPEG", quality=quality)
    return written.getvalue()
