"""Sources of covers: folders, image files, CSV and Parquet manifests, paths on standard input.

A source only lists: nothing is decoded here, and only a manifest's content is read.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from albo.records import Album, Skipped, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator


# Paths are plain strings here, split by os.path: that is several times faster than Path, and a
# listing does nothing else.

FROM_FOLDERS = "folder"
NO_GENRE = "none"
FILES = "files"
"""The source of individually named covers."""
ABSENCE = (FileNotFoundError, NotADirectoryError)
_INT63 = (1 << 63) - 1
NOT_UTF8 = "its name is not valid UTF-8; rename it"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that a source lists."""

    album: Album
    """The album's row; its digest is known only if another catalog has it."""
    stamp: Stamp | None
    """The file's size, time and inode; None if its status cannot be read."""
    sniff: bool = False
    """Whether the file's first bytes decide if it is an image, since its name does not."""


@dataclass(slots=True)
class Remarks:
    """A listing's remarks beside its entries; complete after the last entry."""

    ignored: int = 0
    """Files that are not images."""
    notes: list[str] = field(default_factory=list)
    """Lines for the user."""
    failures: list[Skipped] = field(default_factory=list)
    """Files, folders and rows that could not be listed, each with the reason."""
    names_genres: bool = False
    """Whether folders' names are used as genres, so that `genre_notes` are due."""


class Source(Protocol):
    """An object that lists covers."""

    name: str
    """The source name of its albums: an absolute path, or `FILES`."""

    remarks: Remarks
    """The remarks of the listing beside its entries."""

    def entries(self) -> Iterator[Entry]:
        """List the covers, each album id once, in a fixed order. Use the iterator once."""
        ...

    def is_gone(self, album_id: str) -> bool:
        """After the listing, return whether an album that it did not list has vanished."""
        ...


def stamp_file(path: str) -> Stamp | None:
    """Return the stamp that reveals a changed file; None if its status cannot be read."""
    try:
        return stamp_of(os.stat(path))
    except (OSError, ValueError):
        return None


def is_gone(path: str) -> bool:
    """Whether nothing is at a path; False if that is unknown, as on a failing disk."""
    try:
        os.lstat(path)
    except (*ABSENCE, ValueError):  # ValueError: the text is not a valid path
        return True
    except OSError:
        return False
    return False


def stamp_of(found: os.stat_result) -> Stamp | None:
    """Return the stamp of a regular file from its status; None for any other type of file."""
    if not stat.S_ISREG(found.st_mode):
        return None
    # Some file systems have inodes of 64 bits and times after 2262; SQLite counts to 2^63.
    return Stamp(found.st_size, found.st_mtime_ns & _INT63, found.st_ino & _INT63)


def genre_from_folder(folder: str, genre: str) -> str:
    """Return the genre of a cover in a folder; "" for none.

    Parameters
    ----------
    folder : the path of the folder that the cover is in.
    genre : `folder`, `none`, or the genre of every cover, as for `open_sources`.
    """
    if genre == FROM_FOLDERS:
        return os.path.basename(folder)
    return "" if genre == NO_GENRE else genre


def is_utf8(path: str) -> bool:
    """Whether a text, such as a path, can be encoded as UTF-8."""
    # Names on the disk that are not UTF-8 have lone surrogates, which no table can hold.
    return path.isascii() or not any("\ud800" <= c <= "\udfff" for c in path)


def printable_path(path: str) -> str:
    """Return a printable path: bytes that are not UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()
