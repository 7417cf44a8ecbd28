"""Sources of covers: folders, image files, CSV and Parquet manifests, paths on standard input.

A source only lists: nothing is decoded here, and only manifests are read.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from albo.records import Album, Skipped, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator


# Paths are plain strings here, parsed by os.path: that is several times faster than Path, and
# takes most of the time of a listing.

FROM_FOLDERS = "folder"
NO_GENRE = "none"
FILES = "files"
"""The name of the source for covers named one by one."""
ABSENCE = (FileNotFoundError, NotADirectoryError)
_INT63 = (1 << 63) - 1
NOT_UTF8 = "its name is not valid UTF-8; rename it"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that a source lists."""

    album: Album
    """The album's row; its digest is known only if it comes from another catalog."""
    stamp: Stamp | None
    """The file's size, time and inode; None if they cannot be read."""
    sniff: bool = False
    """Whether only the file's first bytes can show that it is an image."""


@dataclass(slots=True)
class Remarks:
    """A listing's remarks beside its entries, complete after the last entry."""

    ignored: int = 0
    """Files that are not images."""
    notes: list[str] = field(default_factory=list)
    """Lines for the user."""
    failures: list[Skipped] = field(default_factory=list)
    """Files, folders and rows that could not be listed, each with the reason."""
    names_genres: bool = False
    """Whether folders' names are taken as genres, so that `genre_notes` are needed."""


class Source(Protocol):
    """A source that lists covers."""

    name: str
    """The `source` of its albums in the catalog: an absolute path, or `FILES`."""

    remarks: Remarks
    """The remarks of the listing beside its entries."""

    def entries(self) -> Iterator[Entry]:
        """Yield the covers, each album id once, in a fixed order. To be iterated once."""
        ...

    def is_gone(self, album_id: str) -> bool:
        """Return, after the listing, whether an album that it did not list is gone."""
        ...


def stamp_file(path: str) -> Stamp | None:
    """Return the stamp that shows whether a file has changed; None if it cannot be read."""
    try:
        return stamp_of(os.stat(path))
    except (OSError, ValueError):
        return None


def is_gone(path: str) -> bool:
    """Whether nothing is at a path; False if that is unknown, as on a failing disk."""
    try:
        os.lstat(path)
    except (*ABSENCE, ValueError):  # ValueError: the text cannot be a path
        return True
    except OSError:
        return False
    return False


def stamp_of(found: os.stat_result) -> Stamp | None:
    """Return the stamp of a regular file from its status; None for anything else."""
    if not stat.S_ISREG(found.st_mode):
        return None
    # Some file systems have 64-bit inodes and times after 2262; SQLite's integers end at 2^63.
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
    """Whether a text, such as a path, can be written as UTF-8."""
    # Python gives file names that are not UTF-8 as lone surrogates, which no table can hold.
    return path.isascii() or not any("\ud800" <= c <= "\udfff" for c in path)


def printable_path(path: str) -> str:
    """Return a path that can be printed: bytes that are not UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()
