"""Where the bytes of harvested covers are kept, by digest: a folder, or a bucket of an S3 server.

`CoverStore` is the protocol, `FolderCovers` and `S3Covers` are its two implementations, and
`open_covers` chooses between them by the address. `StoredCovers` reads covers of either kind.

The digest is the name. So a stored cover need not be written again, two writers of one cover write
the same bytes, and a reader compares the bytes with the name. All stores ignore names that albo
does not write.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from albo.errors import AlboError, BadCover, LostCover, UsageError
from albo.limits import digest_of
from albo.store.cover_kinds import DAMAGED, GONE
from albo.store.folder_covers import FolderCovers, expanded
from albo.store.local import read_file
from albo.store.s3 import BUCKET, S3Connection, check_endpoint
from albo.store.s3_covers import S3Covers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albo.limits import Limits
    from albo.records import Album, Digest

_SCHEME = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]+):/|(s3):)", re.IGNORECASE)
_S3_PLACE = re.compile(r"s3://([^/]*)(?:/(.*))?", re.IGNORECASE | re.DOTALL)


class CoverStore(Protocol):
    """A place for covers. `put` and `find` may be called by several threads at once."""

    place: str
    """The place to show: a folder's absolute path, or `s3://bucket/prefix`."""

    def check(self) -> None:
        """Try the operations of a run before it begins. Raises CannotWrite with the remedy."""
        ...

    def put(self, digest: Digest, data: bytes, kind: str) -> str:
        """Store a cover, unless it is there undamaged, and return its URI.

        Parameters
        ----------
        digest
            SHA-256 of the data.
        data
            The cover's bytes.
        kind
            MIME type from a server; one that is not an image's is stored as unknown.

        Raises CannotWrite, and ValueError if the digest is not that of the data.
        """
        ...

    def find(self, digest: Digest) -> str | None:
        """Return the URI of a stored cover, else None. Raises AlboError."""
        ...

    def digests(self) -> Iterator[Digest]:
        """Yield all stored digests, each once, in order; foreign names are ignored.

        Raises AlboError.
        """
        ...


def is_remote(uri: str) -> bool:
    """Whether a cover's URI names an object on an S3 server rather than a local file."""
    return uri.startswith("s3://")


def is_stored(uri: str, digest: Digest) -> bool:
    """Whether a cover lies in a store of covers, where the digest is the name.

    Only the name decides: in a catalog that others write to, any file may have a digest.
    """
    name = os.path.basename(uri).partition(".")[0]  # noqa: PTH119  (or of a URL)
    return name == digest.hex()


def open_covers(uri: str, *, endpoint: str | None = None) -> CoverStore:
    """Open the store at a folder's path or at `s3://bucket/prefix`; nothing is touched yet.

    Parameters
    ----------
    endpoint : URL of an S3 server other than Amazon's; None for boto3's configured one.

    Raises UsageError for any other address, and for an endpoint that is not a plain http(s) URL.
    """
    if endpoint is not None:
        check_endpoint(endpoint)
    scheme = _SCHEME.match(uri)
    if scheme is None:
        if not uri or "\0" in uri:
            raise UsageError(f"{uri!r} is no place for covers; name a folder or s3://bucket/prefix")
        return FolderCovers(expanded(uri))
    place = _S3_PLACE.fullmatch(uri)
    if place is None:
        name = scheme[1] or scheme[2]
        raise UsageError(
            f"covers are kept in folders and on S3 servers, not at {name}:…;"
            " name a folder's path or s3://bucket/prefix"
        )
    return S3Covers(place[1], (place[2] or "").strip("/"), endpoint)


class StoredCovers:
    """Reads covers by URI, from files and S3; all threads share it and its one S3 client.

    Parameters
    ----------
    endpoint : as for `open_covers`.

    Raises UsageError if the endpoint is not a plain http(s) URL.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._connection = S3Connection(endpoint)

    def read(self, uri: str, digest: Digest | None, limits: Limits) -> bytes:
        """
        Read a whole cover, never more than the limit.

        Parameters
        ----------
        uri
            A local path, or `s3://bucket/key`.
        digest
            The digest that the bytes must have; None for a file that was never read.
        limits
            The limits of the file; the size of an S3 object is checked first.

        Raises
        ------
        BadCover
            It is gone, damaged or too large, or unreadable as in `read_file`.
        AlboError
            The S3 server, or the whole folder, cannot be reached: the cover may be there.
        """
        if is_remote(uri):
            data = self._read_object(uri, limits)
        else:
            data = _read_local(uri, digest, limits)
        if digest is not None and digest_of(data) != digest:
            raise LostCover(DAMAGED, is_gone=False)
        if not data:
            raise BadCover("empty object (0 bytes): fetch it again")
        return data

    def read_again(self, uri: str, digest: Digest, limits: Limits) -> bytes:
        """Read a cover that was read before, from any place: exactly these bytes.

        Raises BadCover, also if the file has changed, and AlboError as `read` does.
        """
        if is_stored(uri, digest):
            return self.read(uri, digest, limits)
        data = self.read(uri, None, limits)
        if digest_of(data) != digest:
            raise BadCover("it has changed since it was embedded; run `albo embed` on its source")
        return data

    def _read_object(self, uri: str, limits: Limits) -> bytes:
        place = _S3_PLACE.fullmatch(uri)
        if place is None or not place[2] or BUCKET.fullmatch(place[1]) is None:
            raise BadCover("an address without a bucket or an object's name: s3://bucket/name")
        with self._connection.plain_errors(f"cannot read s3://{place[1]}", AlboError):
            return self._connection.read(place[1], place[2], limits.max_bytes)


def _read_local(path: str, digest: Digest | None, limits: Limits) -> bytes:
    try:
        return read_file(path, limits)
    except BadCover as error:
        if digest is None or not isinstance(error.__cause__, FileNotFoundError):
            raise
        # If the whole store is missing (not mounted), its covers are not lost.
        root = Path(path).parents[2] if len(Path(path).parents) > 2 else Path(path)  # noqa: PLR2004
        if not root.is_dir():
            raise AlboError(
                f"the covers' folder {root} is not there; mount it, or let `albo harvest` look for"
                " its covers elsewhere"
            ) from error
        raise LostCover(GONE, is_gone=True) from error


def lies_in_store(album: Album) -> bool:
    """Whether an album's cover lies in a store of covers, see `is_stored`."""
    return album.digest is not None and is_stored(album.uri, album.digest)
