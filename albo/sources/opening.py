"""Open the source that the user names: a folder, an image, a manifest, a catalog."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from albo.catalog import mask_text
from albo.errors import UnknownSource, UsageError
from albo.records import Album, Skipped
from albo.sources.folders import Folder
from albo.sources.listing import (
    ABSENCE,
    FILES,
    FROM_FOLDERS,
    NO_GENRE,
    NOT_UTF8,
    Entry,
    Remarks,
    Source,
    genre_from_folder,
    is_gone,
    is_utf8,
    printable_path,
    stamp_file,
)
from albo.sources.manifests import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")


def open_sources(
    texts: Sequence[str],
    genre: str | None = None,
    lines: Iterable[str] = (),
    was_source: Callable[[str], bool] = lambda _name: False,
) -> list[Source]:
    """Make sources of the texts that the user wrote.

    All files named one by one, on the command line or in `lines`, are one source. A folder or
    manifest that is named twice counts once.

    Parameters
    ----------
    texts : folders, images, manifests (.csv, .tsv, .parquet), or `-` for the paths in `lines`.
    genre : `folder`, `none`, or the genre of every cover. By default folders name the genres of
        their images and manifests those of their rows; files named one by one have none.
    was_source : whether the catalog has albums of a source, by its name. Such a source that no
        longer exists becomes a `VanishedSource`.

    Raises UnknownSource for a text that names nothing, UsageError for a blank genre.
    """
    if genre is not None and not genre.strip():
        raise UsageError("the genre is blank; give a name, `none` or `folder`")
    opened: dict[str, Source] = {}
    files: list[str] = []
    for text in texts:
        source = None if text == "-" else _open(text, genre, was_source)
        if source is not None:
            opened.setdefault(source.name, source)
        else:
            files.extend(_paths(lines) if text == "-" else (text,))
            opened.setdefault(FILES, ListedFiles(files, genre or NO_GENRE))
    return list(opened.values())


def _open(text: str, genre: str | None, was_source: Callable[[str], bool]) -> Source | None:
    """Open a folder or a manifest; None for anything else, which is treated as an image file."""
    path = os.path.expanduser(text)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        vanished = [
            name
            for name in (possible_names(text) if isinstance(error, ABSENCE) else ())
            if is_gone(name) and was_source(name)
        ]
        if vanished:
            return VanishedSource(vanished[0])
        if os.path.islink(path):
            return None  # a broken link is an unreadable file, not a mistyped name
        raise UnknownSource(_unknown(text, error)) from error
    is_manifest = stat.S_ISREG(mode) and path.lower().endswith(_MANIFEST_SUFFIXES)
    if not (is_manifest or stat.S_ISDIR(mode)):
        return None
    if not is_utf8(os.path.realpath(path)):
        raise UnknownSource(f"{printable_path(text)}: {NOT_UTF8}")
    return Manifest(path, genre) if is_manifest else Folder(path, genre or FROM_FOLDERS)


def _paths(lines: Iterable[str]) -> list[str]:
    try:
        return [line.rstrip("\r\n") for line in lines if line.strip()]
    except UnicodeDecodeError as error:
        raise UsageError("standard input is not UTF-8 text; rename the files") from error


def possible_names(text: str) -> tuple[str, ...]:
    """Return the possible keys and paths of a source that may no longer exist.

    These are the path as written, the path with its links resolved, and the path with only the
    links of its folder resolved: images are listed below the folder's real path, but may be links.
    """
    path = os.path.abspath(os.path.expanduser(text))
    folder, name = os.path.split(path)
    beside = os.path.join(os.path.realpath(folder), name)
    return tuple(dict.fromkeys((os.path.realpath(path), beside, path)))


def _unknown(text: str, error: Exception) -> str:
    name = mask_text(printable_path(text))
    kinds = "a folder, an image, a manifest (.csv, .parquet), or - for paths on standard input"
    if "://" in text:
        return f"{name} is not a source that albo reads; name {kinds}"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{name!r}: {reason.lower()}; a SOURCE is {kinds}"


class VanishedSource:
    """A folder or manifest that once listed albums and no longer exists.

    It lists nothing, so its albums are marked missing. That happens only if the user names it,
    since a disk that is not mounted looks the same. Vectors are kept, so a mistake costs only a
    reading: once the source is back, naming it again brings the albums back.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        note = f"{name} is no longer there: its albums are missing until it is back and named again"
        self.remarks = Remarks(notes=[note])

    def entries(self) -> Iterator[Entry]:
        """List nothing."""
        return iter(())

    def is_gone(self, album_id: str) -> bool:  # noqa: ARG002
        """Return True."""
        return True


# --- files ---------------------------------------------------------------------------------------


class ListedFiles:
    """Files named one by one, on the command line or on standard input."""

    name = FILES

    def __init__(self, paths: Sequence[str], genre: str) -> None:
        self.remarks = Remarks()
        self._paths = paths
        self._genre = genre

    def entries(self) -> Iterator[Entry]:
        """Yield the files as they were named, each as an album of its own."""
        for path in dict.fromkeys(os.path.abspath(os.path.expanduser(p)) for p in self._paths):
            if not is_utf8(path):
                self.remarks.failures.append(Skipped(printable_path(path), NOT_UTF8))
                continue
            genre = genre_from_folder(os.path.dirname(path), self._genre)
            yield Entry(Album(FILES, path, path, genre=genre), stamp_file(path))

    def is_gone(self, album_id: str) -> bool:
        """Return whether the file no longer exists; not being named this time does not count."""
        return is_gone(album_id)
