"""Where covers come from: folders, image files, CSV and Parquet manifests, paths on standard input.

A source only lists: nothing is decoded here, and no file's content is read but a manifest's.
"""

from __future__ import annotations

import csv
import errno
import os
import re
import stat
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Protocol, TypeAlias

from albo.errors import UnknownSource, UsageError
from albo.images import IMAGE_SUFFIXES
from albo.records import Album, Skipped, Stamp

if TYPE_CHECKING:
    from _csv import Reader as CsvReader
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TextIO

    import pyarrow as pa

# Paths are plain strings here, taken apart by os.path: several times faster than Path, and a
# listing has nothing else to do.
# ruff: noqa: PTH100, PTH111, PTH114, PTH116, PTH118, PTH119, PTH120, PTH122, PTH123

FROM_FOLDERS = "folder"
NO_GENRE = "none"
FILES = "files"
"""The source of covers that were named one by one."""

_COLUMNS = frozenset(
    ("file", "genre", "subgenre", "artist", "artist_id", "album", "album_id", "year", "dup_group")
)
_MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")
_LONGEST_FIELD = 1 << 20
_LONGEST_LINE = 1 << 24
_LONGEST_TEXT = 1 << 16
_SHOWN_GENRES = 8
_ABSENCE = (FileNotFoundError, NotADirectoryError)
_INT63 = (1 << 63) - 1
_NO_TEXT = "not UTF-8 text; save it as UTF-8"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_NOT_UTF8 = "its name is not valid UTF-8; rename it"

Row: TypeAlias = "dict[str, str] | str"
"""The columns of a row that albo knows, or why the row cannot be read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that a source lists: its album row (the digest is not known yet) and its stamp.

    `stamp` is None where the file could not be looked at; `sniff` where its name does not say that
    it is an image, so that its first bytes must.
    """

    album: Album
    stamp: Stamp | None
    sniff: bool = False


@dataclass(slots=True)
class Report:
    """What a listing met beside its entries; complete once the entries are used up.

    ignored : files that are no images. notes : lines for the user. failures : what should have been
    listed and could not be. names_genres : whether folders' names are taken for genres, so that
    `genre_notes` are due.
    """

    ignored: int = 0
    notes: list[str] = field(default_factory=list)
    failures: list[Skipped] = field(default_factory=list)
    names_genres: bool = False


class Source(Protocol):
    """Something that lists covers."""

    name: str
    """The key under which its albums are kept: an absolute path, or `FILES`."""

    report: Report

    def entries(self) -> Iterator[Entry]:
        """List the covers, each album id once, in a fixed order. May be gone through once."""
        ...

    def is_gone(self, album_id: str) -> bool:
        """Say, after the listing, whether an album that it did not list has vanished."""
        ...


def open_sources(
    texts: Sequence[str],
    genre: str | None = None,
    lines: Iterable[str] = (),
    was_source: Callable[[str], bool] = lambda _name: False,
) -> list[Source]:
    """Make sources of what the user wrote.

    Files named one by one, on the command line or in `lines`, are one source together. A folder or
    manifest that is named twice counts once.

    Parameters
    ----------
    texts : folders, images, manifests (.csv, .tsv, .parquet), or `-` for the paths in `lines`.
    genre : `folder`, `none`, or the genre of every cover. By default folders name the genres of
        what is below them and manifests those of their rows; files named one by one have none.
    was_source : says whether albums are kept under a source's name; where nothing is there any
        more, it is then taken for a `VanishedSource`.

    Raises UnknownSource for what is not there, UsageError for a blank genre.
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
    """Open a folder or a manifest; None for anything else, which is taken for an image file."""
    path = os.path.expanduser(text)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        vanished = [
            name
            for name in (possible_names(text) if isinstance(error, _ABSENCE) else ())
            if is_gone(name) and was_source(name)
        ]
        if vanished:
            return VanishedSource(vanished[0])
        if os.path.islink(path):
            return None  # a link to nowhere is a file that cannot be read, no mistyped name
        raise UnknownSource(_unknown(text, error)) from error
    is_manifest = stat.S_ISREG(mode) and path.lower().endswith(_MANIFEST_SUFFIXES)
    if not (is_manifest or stat.S_ISDIR(mode)):
        return None
    if not _is_text(os.path.realpath(path)):
        raise UnknownSource(f"{_shown(text)}: {_NOT_UTF8}")
    return Manifest(path, genre) if is_manifest else Folder(path, genre or FROM_FOLDERS)


def _paths(lines: Iterable[str]) -> list[str]:
    try:
        return [line.rstrip("\r\n") for line in lines if line.strip()]
    except UnicodeDecodeError as error:
        raise UsageError("standard input is not UTF-8 text; rename the files") from error


def possible_names(text: str) -> tuple[str, ...]:
    """Return the keys and paths that may be meant by a source that may no longer be there.

    As a path is written, with the links in it resolved, and with those of its folder alone: a
    folder's images are listed below the folder's real path, but may be links themselves.
    """
    path = os.path.abspath(os.path.expanduser(text))
    folder, name = os.path.split(path)
    beside = os.path.join(os.path.realpath(folder), name)
    return tuple(dict.fromkeys((os.path.realpath(path), beside, path)))


def _unknown(text: str, error: Exception) -> str:
    kinds = "a folder, an image, a manifest (.csv, .parquet), or - for paths on standard input"
    if "://" in text:
        return f"{_shown(text)} is not a source that albo reads; name {kinds}"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{_shown(text)!r}: {reason.lower()}; a SOURCE is {kinds}"


def stamp_file(path: str) -> Stamp | None:
    """Return what tells whether a file has changed; None where it cannot be looked at."""
    try:
        return _stamp_of(os.stat(path))
    except (OSError, ValueError):
        return None


def is_gone(path: str) -> bool:
    """Whether nothing is at a path; not where that cannot be told, as on a disk that fails."""
    try:
        os.lstat(path)
    except (*_ABSENCE, ValueError):  # the last for what is no path at all
        return True
    except OSError:
        return False
    return False


def _stamp_of(found: os.stat_result) -> Stamp | None:
    if not stat.S_ISREG(found.st_mode):
        return None
    # Some file systems have inodes of 64 bits and times after 2262; SQLite counts to 2^63.
    return Stamp(found.st_size, found.st_mtime_ns & _INT63, found.st_ino & _INT63)


def _genre_of(folder: str, genre: str) -> str:
    if genre == FROM_FOLDERS:
        return os.path.basename(folder)
    return "" if genre == NO_GENRE else genre


def _is_text(path: str) -> bool:
    # What is not UTF-8 on the disk comes as lone surrogates, which no table can hold.
    return path.isascii() or not any("\ud800" <= c <= "\udfff" for c in path)


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


class VanishedSource:
    """A folder or manifest that albums were listed in and that is no longer there.

    It lists nothing, so that its albums are marked missing. Only one that the user names is taken
    so: a disk that is not mounted looks the same, and takes no covers along when it is not asked
    about. Vectors are kept, so a wrong guess costs a reading: naming the source again, when it is
    back, brings the albums back.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        note = f"{name} is no longer there: its albums are missing until it is back and named again"
        self.report = Report(notes=[note])

    def entries(self) -> Iterator[Entry]:
        """List nothing."""
        return iter(())

    def is_gone(self, album_id: str) -> bool:  # noqa: ARG002
        """Say yes."""
        return True


# --- folders -------------------------------------------------------------------------------------


class Folder:
    """A folder, read recursively; the folder that holds an image names its genre.

    Links to folders are followed after all else and each folder is gone through once, so that a
    link more or less changes no path by which a cover is known.
    """

    def __init__(self, path: str, genre: str) -> None:
        self.name = os.path.realpath(path)
        self.report = Report(names_genres=genre == FROM_FOLDERS)
        self._genre = genre
        self._unread: list[str] = []  # how ids begin below the folders that could not be read

    def entries(self) -> Iterator[Entry]:
        """List the images below the folder, folder by folder, by name."""
        seen: dict[tuple[int, int], str] = {}
        waiting = [self.name]
        links: deque[str] = deque()
        while waiting or links:
            folder = waiting.pop() if waiting else links.popleft()
            subfolders: list[str] = []
            genre = _genre_of(folder, self._genre)
            for item in self._items(folder, seen):
                if item.name.startswith("."):  # .git, AppleDouble's ._cover.jpg, thumbnails
                    self.report.ignored += 1
                elif not self._is_folder(item):
                    yield from self._entry(item, genre)
                elif item.is_symlink():
                    links.append(item.path)
                else:
                    subfolders.append(item.path)
            waiting.extend(reversed(subfolders))

    def is_gone(self, album_id: str) -> bool:
        """Say that it has vanished, unless it is below what could not be read."""
        return not album_id.startswith(tuple(self._unread))

    def _items(self, folder: str, seen: dict[tuple[int, int], str]) -> list[os.DirEntry[str]]:
        """Return what is in a folder, by name; nothing where it was gone through, or cannot be."""
        if not _is_text(folder):
            self.report.failures.append(Skipped(_shown(folder), _NOT_UTF8))
            return []
        try:
            if not self._is_new(folder, seen):
                return []
            with os.scandir(folder) as items:
                return sorted(items, key=lambda item: item.name)
        except OSError as error:
            # What was known below it has not vanished: it cannot be seen.
            below = self._relative(folder)
            self._unread.append(below + os.sep if below else "")
            reason = f"cannot be read: {error.strerror or error}"
            self.report.failures.append(Skipped(folder, reason))
            return []

    def _is_new(self, folder: str, seen: dict[tuple[int, int], str]) -> bool:
        found = os.stat(folder)
        first = seen.setdefault((found.st_dev, found.st_ino), folder)
        real = os.path.realpath(folder) if os.path.islink(folder) else ""
        if real and _is_below(self.name, real):
            first = real  # above the source: following it would list whatever else is there
        elif first == folder:
            return True
        kind = "a symbolic link back to" if _is_below(folder, first) else "the same folder as"
        self.report.notes.append(f"{folder}: {kind} {first}, left out")
        return False

    def _is_folder(self, item: os.DirEntry[str]) -> bool:
        try:
            return item.is_dir()
        except OSError as error:
            # An image's name gets a line of its own, when it cannot be read.
            suffix = os.path.splitext(item.name)[1].lower()
            if error.errno == errno.ELOOP and suffix not in IMAGE_SUFFIXES:
                self.report.notes.append(
                    f"{_shown(item.path)}: a symbolic link that leads back to itself, left out"
                )
            return False

    def _entry(self, item: os.DirEntry[str], genre: str) -> Iterator[Entry]:
        has_suffix = os.path.splitext(item.name)[1].lower() in IMAGE_SUFFIXES
        try:
            stamp = _stamp_of(item.stat())
        except OSError:
            stamp = None
        is_text = _is_text(item.name)
        if not has_suffix and (stamp is None or not is_text):  # sockets, pipes, links to nowhere
            self.report.ignored += 1
        elif not is_text:
            self.report.failures.append(Skipped(_shown(item.path), _NOT_UTF8))
        else:
            relative = self._relative(item.path)
            yield Entry(Album(self.name, relative, item.path, genre=genre), stamp, not has_suffix)

    def _relative(self, path: str) -> str:
        return path[len(self.name) :].lstrip(os.sep)


def genre_notes(genres: Counter[str]) -> list[str]:
    """Say which genres were taken from folders' names, and where they look wrong.

    genres : how many covers each has, of those that could be read.
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
            " tree: their names are hardly genres; use --genre none"
        )
    elif len(genres) == 1 and genres.total() > 1:
        notes.append(
            f"all covers are in one folder, so all are of the genre {next(iter(genres))!r};"
            " use --genre none, --genre NAME or a manifest if that is not so"
        )
    return notes


def _is_below(path: str, folder: str) -> bool:
    """Whether a path is that of a folder or of something in it."""
    return os.path.commonpath([path, folder]) == folder


# --- files ---------------------------------------------------------------------------------------


class ListedFiles:
    """Files named one by one, on the command line or on standard input."""

    name = FILES

    def __init__(self, paths: Sequence[str], genre: str) -> None:
        self.report = Report()
        self._paths = paths
        self._genre = genre

    def entries(self) -> Iterator[Entry]:
        """List the files as they were named; each stands for an album of its own."""
        for path in dict.fromkeys(os.path.abspath(os.path.expanduser(p)) for p in self._paths):
            if not _is_text(path):
                self.report.failures.append(Skipped(_shown(path), _NOT_UTF8))
                continue
            genre = _genre_of(os.path.dirname(path), self._genre)
            yield Entry(Album(FILES, path, path, genre=genre), stamp_file(path))

    def is_gone(self, album_id: str) -> bool:
        """Say whether the file is still there: one that is not named this time is only unnamed."""
        return is_gone(album_id)


# --- manifests -----------------------------------------------------------------------------------


class Manifest:
    """A CSV or Parquet table of covers: `file`; where known `genre`, `artist`, `album` and more.

    Raises UsageError for what is no such table, as far as its beginning tells.
    """

    def __init__(self, path: str, genre: str | None) -> None:
        self.name = os.path.realpath(path)
        self.report = Report()
        self._genre = genre
        self._folder = os.path.dirname(self.name)
        self._is_whole = True
        next(self._rows(), None)

    def entries(self) -> Iterator[Entry]:
        """List the table's rows in order; those that cannot be read, and why, are reported."""
        times: Counter[str] = Counter()
        repeated = 0
        for row in self._readable_rows():
            file = row["file"]
            key = row.get("album_id") or file
            repeated += key in times
            album = self._album(row, file, _own_id(key, times))
            yield Entry(album, stamp_file(album.uri))
        if repeated:
            self.report.notes.append(
                f"{self.name}: {repeated} rows have the file or album_id of an earlier row;"
                " each counts as an album of its own"
            )

    def is_gone(self, album_id: str) -> bool:  # noqa: ARG002
        """Say yes, unless it may be what could not be read."""
        return self._is_whole

    def _readable_rows(self) -> Iterator[dict[str, str]]:
        failures = self.report.failures
        try:
            for number, row in enumerate(self._rows(), start=1):
                where = f"{self.name}, row {number}"
                if isinstance(row, str):
                    self._is_whole = False
                    failures.append(Skipped(where, row))
                elif problem := _unusable(row["file"]):
                    failures.append(Skipped(where, problem))
                else:
                    yield row
        except UsageError as error:
            self._is_whole = False
            failures.append(Skipped(self.name, str(error).removeprefix(f"{self.name} ")))

    def _rows(self) -> Iterator[Row]:
        is_parquet = self.name.lower().endswith(".parquet")
        return map(_sound, _parquet_rows(self.name) if is_parquet else _csv_rows(self.name))

    def _album(self, row: dict[str, str], file: str, album_id: str) -> Album:
        uri = os.path.normpath(os.path.join(self._folder, file))
        if self._genre is None:
            genre = row.get("genre", "")
        else:
            genre = _genre_of(os.path.dirname(uri), self._genre)
        return Album(
            source=self.name,
            album_id=album_id,
            uri=uri,
            name=row.get("album", ""),
            year=_year(row.get("year", "")),
            genre=genre,
            subgenre=row.get("subgenre", ""),
            artist=row.get("artist", ""),
            artist_id=row.get("artist_id", ""),
            dup_group=row.get("dup_group", ""),
        )


def _sound(row: Row) -> Row:
    """Return a row, or what is wrong with its text."""
    for name, text in () if isinstance(row, str) else row.items():
        if not _is_text(text):
            return f"column `{name}` is {_NO_TEXT}"
        if len(text) > _LONGEST_TEXT:
            return f"column `{name}` has {len(text):,} characters, more than {_LONGEST_TEXT:,}"
    return row


def _unusable(file: str) -> str:
    """Say why a row's file cannot be one; "" where it can."""
    if not file or "\0" in file:
        return "no usable file name in column `file`"
    if _URL.match(file):
        return f"{file} is a URL; albo reads files only: download it and name the file"
    return ""


def _own_id(key: str, times: Counter[str]) -> str:
    """Tell rows of one key apart, by a number that stays the same while their order does."""
    wanted = key
    while times[wanted]:
        times[key] += 1
        wanted = f"{key}#{times[key]}"
    times[wanted] += 1
    return wanted


def _csv_rows(path: str) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    try:
        # What is not UTF-8 spoils its row alone: it comes as lone surrogates.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
            lines = _csv_lines(opened)
            header, blank = next(lines, ""), 0
            while header.isspace():
                header, blank = next(lines, ""), blank + 1
            if not _is_text(header):
                raise UsageError(f"{path} is {_NO_TEXT}")
            separator = max(",;\t", key=header.count)
            reader = csv.reader(chain([header], lines), delimiter=separator, strict=True)
            names = next(reader, [])
            _check_columns(path, names)
            yield from _csv_table(reader, [_column(name) for name in names], blank)
    except (csv.Error, OSError) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}") from error


def _csv_table(reader: CsvReader, names: Sequence[str], before: int) -> Iterator[Row]:
    """Go on after a row that cannot be read: the reader then begins with the next line.

    before : lines above those that the reader counts.
    """
    while True:
        first = before + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {first} is not CSV: {error}; check its quotes"
            continue
        if any(map(str.strip, values[len(names) :])):
            surplus = f"{len(values)} fields for {len(names)} columns"
            yield f"line {first} has {surplus}; put quotes around what holds a separator"
        elif any(map(str.strip, values)):
            columns = zip_longest(names, values[: len(names)], fillvalue="")
            yield {name: value.strip() for name, value in columns if name in _COLUMNS}


def _csv_lines(opened: TextIO) -> Iterator[str]:
    while line := opened.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(
                f"a line of {_LONGEST_LINE:,} characters or more, where reading has ended"
            )
        yield line


def _parquet_rows(path: str) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        _check_columns(path, schema.names)
        # Only these: what else there is may be the images themselves.
        wanted = [name for name in schema.names if _column(name) in _COLUMNS]
        # A few bytes may stand for one long text in millions of rows: it is kept once.
        flat = [f.name for f in schema if f.name in wanted and not pa.types.is_nested(f.type)]
        with parquet.ParquetFile(path, read_dictionary=flat) as table:
            for batch in table.iter_batches(batch_size=4_096, columns=wanted):
                known = [_column(name) for name in batch.schema.names]
                for texts in zip(*map(_column_texts, batch.columns), strict=True):
                    yield dict(zip(known, texts, strict=True))
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path} cannot be read as Parquet: {reason}") from error


def _column_texts(column: pa.Array) -> list[str]:
    """Return a column's values as text; equal ones of a dictionary are one object."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        numbers = column.indices.unique()
        texts = _column_texts(column.dictionary.take(numbers))
        text_of = dict(zip(numbers.to_pylist(), texts, strict=True))
        return [text_of[number] for number in column.indices.to_pylist()]
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp(kind.unit))  # its time zone may be one that nobody knows
    if pa.types.is_temporal(kind):
        column = column.cast(pa.string())  # Arrow knows more times than Python
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = column.cast(pa.large_binary())  # it need not be valid UTF-8
    return [_text(value) for value in column.to_pylist()]


def _column(name: str) -> str:
    return name.strip().lower()


def _check_columns(path: str, names: Iterable[str]) -> None:
    there = [_column(name) for name in names]
    if "file" not in there:
        listed = ", ".join(there[:8]) or "none"
        raise UsageError(f"{path} has no column `file` (its columns: {listed}); add one with paths")
    twice = [name for name, times in Counter(there).items() if times > 1 and name in _COLUMNS]
    if twice:
        raise UsageError(f"{path} has the column `{twice[0]}` more than once; keep one of them")


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124  NaN
        return ""
    if isinstance(value, bytes):  # older writers of Parquet do not say that a column is text
        value = value.decode(errors="surrogateescape")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _year(text: str) -> int | None:
    """Read a year from `2015`, `2015.0`, a date or `2015-03-01`; None where there is none."""
    found = re.match(r"\d{4}(?!\d)", text)
    return int(found[0]) if found else None
