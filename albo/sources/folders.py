"""A folder of covers as a source: its subfolders may name genres."""

from __future__ import annotations

import errno
import os
from bisect import bisect_left
from collections import Counter, deque
from operator import attrgetter
from typing import TYPE_CHECKING

from albo.images import IMAGE_SUFFIXES
from albo.records import Album, Skipped
from albo.sources.listing import (
    FROM_FOLDERS,
    NOT_UTF8,
    Entry,
    Remarks,
    genre_from_folder,
    is_utf8,
    printable_path,
    stamp_of,
)
from albo.store import REPORTS, WRITER_LOCK, are_artifacts

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN_GENRES = 8
_NAME = attrgetter("name")


# --- folders -------------------------------------------------------------------------------------


class Folder:
    """A folder, read recursively; the folder that holds an image names its genre.

    Links to folders are followed last, and each folder is listed once. So when the user adds or
    removes a link, the other covers keep their known paths.

    An artifacts folder below it is left out: its pictures are albo's reports, and covers that the
    catalog has already. If the user names an artifacts folder itself, it is listed without its
    reports, since it may hold the user's own covers too. A folder inside artifacts that the user
    names, such as `artifacts/covers`, is listed like any other.

    Parameters
    ----------
    path : the folder; albums are kept under its real path.
    genre : `folder`, `none`, or the genre of every cover, as for `open_sources`.
    """

    def __init__(self, path: str, genre: str) -> None:
        self.name = os.path.realpath(path)
        self.remarks = Remarks(names_genres=genre == FROM_FOLDERS)
        self._genre = genre
        self._unread: list[str] = []  # the prefixes of ids below unreadable folders

    def entries(self) -> Iterator[Entry]:
        """List the images below the folder, folder by folder, by name."""
        seen: dict[tuple[int, int], str] = {}
        waiting = [self.name]
        links: deque[str] = deque()
        while waiting or links:
            folder = waiting.pop() if waiting else links.popleft()
            subfolders: list[str] = []
            genre = genre_from_folder(folder, self._genre)
            for item in self._items(folder, seen):
                if item.name.startswith("."):  # .git, AppleDouble's ._cover.jpg, thumbnails
                    self.remarks.ignored += 1
                elif not self._is_folder(item):
                    yield from self._entry(item, genre)
                elif item.is_symlink():
                    links.append(item.path)
                else:
                    subfolders.append(item.path)
            waiting.extend(reversed(subfolders))

    def is_gone(self, album_id: str) -> bool:
        """Return True, unless the album is below a folder that could not be read."""
        return not album_id.startswith(tuple(self._unread))

    def _items(self, folder: str, seen: dict[tuple[int, int], str]) -> list[os.DirEntry[str]]:
        """Return a folder's items by name; none if it was listed before, or cannot be read."""
        if not is_utf8(folder):
            self.remarks.failures.append(Skipped(printable_path(folder), NOT_UTF8))
            return []
        try:
            if not self._is_new(folder, seen):
                return []
            with os.scandir(folder) as items:
                return self._without_artifacts(folder, sorted(items, key=_NAME))
        except OSError as error:
            # Known covers below it may still be there, so they do not count as gone.
            below = self._relative(folder)
            self._unread.append(below + os.sep if below else "")
            reason = f"cannot be read: {error.strerror or error}"
            self.remarks.failures.append(Skipped(folder, reason))
            return []

    def _without_artifacts(
        self, folder: str, items: list[os.DirEntry[str]]
    ) -> list[os.DirEntry[str]]:
        """Return the items of a folder without albo's own files."""
        # A search in the sorted names: looking for the lock on the disk would slow each folder.
        place = bisect_left(items, WRITER_LOCK, key=_NAME)
        is_locked = place < len(items) and items[place].name == WRITER_LOCK
        if not (is_locked and are_artifacts(map(_NAME, items))):
            return items
        if folder != self.name:
            self.remarks.notes.append(f"{folder}: albo's own artifacts, left out")
            return []
        others = [item for item in items if item.name != REPORTS]
        if len(others) < len(items):
            reports = os.path.join(folder, REPORTS)
            self.remarks.notes.append(f"{reports}: albo's own reports, left out")
        return others

    def _is_new(self, folder: str, seen: dict[tuple[int, int], str]) -> bool:
        found = os.stat(folder)
        first = seen.setdefault((found.st_dev, found.st_ino), folder)
        real = os.path.realpath(folder) if os.path.islink(folder) else ""
        if real and _is_below(self.name, real):
            first = real  # a link above the source: following it would list other files
        elif first == folder:
            return True
        kind = "a symbolic link back to" if _is_below(folder, first) else "the same folder as"
        self.remarks.notes.append(f"{folder}: {kind} {first}, left out")
        return False

    def _is_folder(self, item: os.DirEntry[str]) -> bool:
        try:
            return item.is_dir()
        except OSError as error:
            # An item with an image suffix is reported when it cannot be read.
            suffix = os.path.splitext(item.name)[1].lower()
            if error.errno == errno.ELOOP and suffix not in IMAGE_SUFFIXES:
                self.remarks.notes.append(
                    f"{printable_path(item.path)}: a symbolic link that leads back to itself,"
                    " left out"
                )
            return False

    def _entry(self, item: os.DirEntry[str], genre: str) -> Iterator[Entry]:
        has_suffix = os.path.splitext(item.name)[1].lower() in IMAGE_SUFFIXES
        try:
            stamp = stamp_of(item.stat())
        except OSError:
            stamp = None
        is_text = is_utf8(item.name)
        if not has_suffix and (stamp is None or not is_text):  # sockets, pipes, broken links
            self.remarks.ignored += 1
        elif not is_text:
            self.remarks.failures.append(Skipped(printable_path(item.path), NOT_UTF8))
        else:
            relative = self._relative(item.path)
            yield Entry(Album(self.name, relative, item.path, genre=genre), stamp, not has_suffix)

    def _relative(self, path: str) -> str:
        return path[len(self.name) :].lstrip(os.sep)


def genre_notes(genres: Counter[str]) -> list[str]:
    """Return which genres were taken from folders' names, and warn of names that look wrong.

    Parameters
    ----------
    genres : the number of readable covers of each genre, by name.
    """
    if not genres:
        return []
    ranked = sorted(genres.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_GENRES]
    shown = ", ".join(f"{name} {n}" for name, n in ranked)
    more = f" and {len(genres) - _SHOWN_GENRES} more" if len(genres) > _SHOWN_GENRES else ""
    plural = "s" if len(genres) > 1 else ""
    notes = [f"{len(genres)} genre{plural} from the folders' names: {shown}{more}"]
    single = sum(n == 1 for n in genres.values())
    if 1 < len(genres) < 2 * single:
        notes.append(
            f"{single} of {len(genres)} folders hold one cover each, as in an Artist/Album"
            " tree: their names are probably not genres; use --genre none"
        )
    elif len(genres) == 1 and genres.total() > 1:
        notes.append(
            f"all covers are in one folder, so all are of the genre {next(iter(genres))!r};"
            " use --genre none, --genre NAME or a manifest if that is not so"
        )
    return notes


def _is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return os.path.commonpath([path, folder]) == folder
