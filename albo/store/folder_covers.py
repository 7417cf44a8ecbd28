"""Covers in a folder of this machine, by digest."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from albo.errors import AlboError, CannotWrite, UsageError
from albo.store.artifacts import check_can_be_folder
from albo.store.cover_kinds import ALL_SUFFIXES, OTHER_SUFFIX, SUFFIXES, check_digest, plain_kind
from albo.store.writing import plain_write_errors, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albo.records import Digest


_ELSEWHERE = "name another place for the covers"
_DAY_SECONDS = 86_400.0

_DIGITS = 64
_FILE = re.compile(rf"([0-9a-f]{{64}})\.(?:{'|'.join(ALL_SUFFIXES)})")
_TWO_DIGITS = re.compile(r"[0-9a-f]{2}")


class FolderCovers:
    """Covers as files: `ab/cd/abcd….jpg`, 65,536 folders in two levels.

    A file gets its name when it is complete, but the system decides when its bytes reach the disk:
    after a power cut a file may be empty or wrong. Reading by digest notices that, `find` ignores
    empty files, and `put` compares an existing file. So such a cover is fetched and written again.
    Forcing each file to the disk would cost ten milliseconds a cover.

    Attributes
    ----------
    place
        The folder's absolute path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.place = str(self._folder)

    def check(self) -> None:
        """Write a file and remove it; sweep temporary files of killed runs, a day old or older."""
        with plain_write_errors(self._folder, _ELSEWHERE):
            try:
                check_can_be_folder(self._folder, _ELSEWHERE)
            except UsageError as error:
                raise CannotWrite(str(error)) from error
            self._folder.mkdir(parents=True, exist_ok=True)
            probe = self._temporary("check")
            try:
                probe.write_bytes(b"albo")
            finally:
                probe.unlink(missing_ok=True)
        sweep(self._folder, older_than=_DAY_SECONDS)

    def put(self, digest: Digest, data: bytes, kind: str) -> str:
        """Store a cover under its digest. See `CoverStore.put`."""
        check_digest(digest, data)
        suffix = SUFFIXES.get(plain_kind(kind), OTHER_SUFFIX)
        path = self._path(digest, suffix)
        with plain_write_errors(path, _ELSEWHERE):
            there = self._find(digest)
            if there is None:
                self._write(path, data)
                return str(path)
            if there.read_bytes() != data:
                self._write(there, data)
            return str(there)

    def find(self, digest: Digest) -> str | None:
        """Return the path of a stored cover. See `CoverStore.find`."""
        with self._plain_read_errors():
            there = self._find(digest)
        return None if there is None else str(there)

    def digests(self) -> Iterator[Digest]:
        """Yield all stored digests, in order. See `CoverStore.digests`."""
        with self._plain_read_errors():
            for one in _folders_of_two_digits(self._folder):
                for two in _folders_of_two_digits(one):
                    yield from self._digests_in(two, one.name + two.name)

    def _digests_in(self, folder: Path, start: str) -> Iterator[Digest]:
        with os.scandir(folder) as entries:
            names = {
                entry.name[:_DIGITS]
                for entry in entries
                if entry.name.startswith(start) and _is_cover(entry)
            }
        yield from map(bytes.fromhex, sorted(names))

    def _path(self, digest: Digest, suffix: str) -> Path:
        name = digest.hex()
        return Path(f"{self._folder}/{name[:2]}/{name[2:4]}/{name}.{suffix}")

    def _find(self, digest: Digest) -> Path | None:
        """Look for a cover with any suffix, which comes from the MIME type that a server gave."""
        name = digest.hex()
        folder = f"{self._folder}/{name[:2]}/{name[2:4]}"
        # One listing (a dozen names in a million covers) costs less than a look-up for each suffix.
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            there = [e.path for e in entries if e.name.startswith(name) and _is_cover(e)]
            return Path(min(there)) if there else None
        return None

    def _temporary(self, name: str) -> Path:
        # All in one folder, so that sweeping them does not walk through 65,536 folders.
        return self._folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"

    def _write(self, path: Path, data: bytes) -> None:
        temporary = self._temporary(path.stem)
        try:
            with suppress(FileNotFoundError):
                temporary.write_bytes(data)
            try:
                temporary.replace(path)
            except FileNotFoundError:  # the first cover of this folder, or of the store
                path.parent.mkdir(parents=True, exist_ok=True)
                if not temporary.exists():
                    temporary.write_bytes(data)
                temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    @contextmanager
    def _plain_read_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AlboError(
                f"cannot read the covers in {self.place}: {error.strerror or error};"
                " mend that and run it again"
            ) from error


def _is_cover(entry: os.DirEntry[str]) -> bool:
    return _FILE.fullmatch(entry.name) is not None and entry.is_file() and entry.stat().st_size > 0


def _folders_of_two_digits(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if _TWO_DIGITS.fullmatch(name)]


def expanded(folder: str) -> Path:
    """Return a path with `~` replaced by the home folder. Raises UsageError if there is none."""
    try:
        return Path(folder).expanduser()
    except RuntimeError:
        raise UsageError(f"{folder!r} names no home; write the folder's whole path") from None
