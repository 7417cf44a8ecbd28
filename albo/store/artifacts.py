"""The folder of everything that albo makes: the place of each thing in it, and its one lock.

Every file gets a temporary name first and is renamed when it is complete on the disk, so a reader
sees complete files only and needs no lock. Writers take turns with one lock, which the kernel
releases when a process is killed. Each artifact has a `manifest.json` that says what it was built
from. The manifest is written last, and a reader checks it before it uses the files beside it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from albo.errors import StaleArtifact, UsageError, WriterAtWork
from albo.store.writing import plain_write_errors, read_json, write_json
from albo.texts import in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from filelock import BaseFileLock

    from albo.records import Json, Note


WRITER_LOCK = "writer.lock"
"""A file in every artifacts folder: a writer makes it before anything else."""
REPORTS = "reports"
"""The folder of reports in an artifacts folder."""
_KEPT = frozenset(
    (
        "catalog.sqlite",
        "files.sqlite",
        "vectors",
        "miniatures",
        "words",
        "index",
        "heads",
        "covers",
        REPORTS,
    )
)
_HOLDER = "writer.json"
_GRACE_SECONDS = 0.2
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_MAX_HEAD_NAME = 64
_MAX_KEY = 128


@dataclass(frozen=True)
class Artifacts:
    """The artifacts folder: the place of everything in it, and the lock that its writers share."""

    root: Path
    """The folder itself; it may not exist yet."""

    @classmethod
    def locate(cls, path: Path | None) -> Artifacts:
        """Take the folder given, else `$ALBO_ARTIFACTS`, else `./artifacts`; nothing is made yet.

        Raises UsageError if that path or one above it is not a folder.
        """
        root = (path or Path(os.environ.get("ALBO_ARTIFACTS") or "artifacts")).expanduser()
        check_can_be_folder(root, "name another with --artifacts")
        return cls(root)

    # A file in the place of a folder, or the reverse, is refused by the property of that path, so
    # commands that do not need the path still work.

    @property
    def catalog_file(self) -> Path:
        """The SQLite file of albums and covers. Raises StaleArtifact if it is a folder."""
        return _no_folder(self.root / "catalog.sqlite", "run `albo embed SOURCE`")

    @property
    def files_file(self) -> Path:
        """The SQLite file that remembers path, size, mtime_ns and inode of each file read.

        Raises StaleArtifact if it is a folder.
        """
        return _no_folder(self.root / "files.sqlite", "run `albo embed SOURCE`")

    @property
    def vectors_folder(self) -> Path:
        """The folder of all backbones' vectors. Raises StaleArtifact if it is a file."""
        return _no_file(self.root / "vectors", "run `albo embed`")

    @property
    def miniatures_folder(self) -> Path:
        """The folder of the covers' miniatures. Raises StaleArtifact if it is a file."""
        return _no_file(self.root / "miniatures", "run `albo embed`")

    @property
    def words_folder(self) -> Path:
        """The folder of all readers' words. Raises StaleArtifact if it is a file."""
        return _no_file(self.root / "words", "run `albo words`")

    @property
    def index_folder(self) -> Path:
        """The folder of all backbones' indexes. Raises StaleArtifact if it is a file."""
        return _no_file(self.root / "index", "run `albo index`")

    @property
    def heads_folder(self) -> Path:
        """The folder of all heads. Raises StaleArtifact if it is a file."""
        return _no_file(self.root / "heads", "run `albo train`")

    @property
    def reports_folder(self) -> Path:
        """The folder of reports."""
        return self.root / REPORTS

    def report(self, name: str, suffix: str) -> Path:
        """Return the file of a report; any `name` is made a plain file name."""
        plain = _plain(name).rstrip(".-") or "report"
        if not name.isascii():  # the hash distinguishes names that become the same plain name
            plain += f"-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        return self.reports_folder / f"{plain}.{suffix}"

    @property
    def lock_file(self) -> Path:
        """The file that the one writer locks; it stays afterwards."""
        return self.root / WRITER_LOCK

    def vectors(self, key: str) -> Path:
        """Return the folder of one backbone's vectors; `key` as from `backbone_key`."""
        return self.vectors_folder / _checked_name(key, "backbone key", _MAX_KEY)

    def words(self, key: str) -> Path:
        """Return the folder of one reader's words; `key` as from `reader_key`."""
        return self.words_folder / _checked_name(key, "reader key", _MAX_KEY)

    def index(self, key: str) -> Path:
        """Return the folder of one backbone's index; `key` as from `backbone_key`."""
        return self.index_folder / _checked_name(key, "backbone key", _MAX_KEY)

    def head(self, name: str) -> Path:
        """Return the folder of one head.

        Raises UsageError if the name is not a plain file name of at most 64 characters.
        """
        return self.heads_folder / _checked_name(name, "head name", _MAX_HEAD_NAME)

    @contextmanager
    def lock(
        self,
        purpose: str,
        on_wait: Note | None = None,
        timeout: float | None = None,
    ) -> Iterator[None]:
        """Hold the writer lock; a missing folder is made.

        Parameters
        ----------
        purpose
            The command that writes ("albo embed"); other writers that wait show it.
        on_wait
            Called once if the lock is not free, with one line that names the holder.
        timeout
            Seconds to wait at most; None waits without limit.

        A thread that holds the lock may take it again. The kernel releases it when the process
        ends for any reason. Raises WriterAtWork after `timeout`, CannotWrite if the folder cannot
        be written to, StaleArtifact if a folder has the lock's name.
        """
        from filelock import FileLock

        _no_folder(self.lock_file, "run it again")
        with plain_write_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root.resolve() / WRITER_LOCK, is_singleton=True)
            self._acquire(lock, on_wait, timeout)
        try:
            outermost = lock.lock_counter == 1
            if outermost:
                write_json(self.root / _HOLDER, _describe_self(purpose))
            try:
                yield
            finally:
                if outermost:
                    with suppress(OSError):
                        (self.root / _HOLDER).unlink(missing_ok=True)
        finally:
            lock.release()

    def _acquire(self, lock: BaseFileLock, on_wait: Note | None, timeout: float | None) -> None:
        from filelock import Timeout

        patience = float("inf") if timeout is None else max(timeout, 0.0)
        began = time.monotonic()
        # A short first wait: `writer_at_work` may hold the lock briefly; a new holder must sign.
        with suppress(Timeout):
            lock.acquire(timeout=min(_GRACE_SECONDS, patience))
            return
        if on_wait is not None and patience > _GRACE_SECONDS:
            on_wait(f"waiting for {self._holder()}")
        left = -1.0 if timeout is None else max(0.0, patience - (time.monotonic() - began))
        try:
            lock.acquire(timeout=left)
        except Timeout:
            raise WriterAtWork(
                f"{self._holder()} still writes to {self.root} after {timeout:g} s;"
                " wait until it is done, or end it"
            ) from None

    def writer_at_work(self) -> str | None:
        """Return who holds the writer lock now ("albo embed (process 1234, since …)"), or None.

        It writes nothing, so it works on a read-only folder, and it does not delay writers.
        """
        return self._holder() if _is_held(self.lock_file) else None

    def _holder(self) -> str:
        """Describe the holder from the file beside the lock, which must be held."""
        anonymous = "another albo"
        try:
            holder = read_json(self.root / _HOLDER)
            purpose, process, host = (holder[key] for key in ("purpose", "process", "host"))
            since = datetime.fromisoformat(holder["since"]).astimezone()
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return anonymous
        if not isinstance(process, int) or process < 1:
            return anonymous
        here = host == _host()
        if here and not _is_alive(process):
            return anonymous  # signed by a killed writer; the new one has not signed yet
        today = since.date() == datetime.now().astimezone().date()
        return (
            f"{_one_line(purpose)} (process {process}{'' if here else ' on ' + _one_line(host)},"
            f" since {since:{'%H:%M:%S' if today else '%Y-%m-%d %H:%M:%S'}})"
        )


def are_artifacts(names: Iterable[str]) -> bool:
    """Whether a folder with these names is an artifacts folder: it has a lock and contents."""
    there = set(names)
    return WRITER_LOCK in there and not there.isdisjoint(_KEPT)


def check_can_be_folder(path: Path, remedy: str) -> None:
    """Raise UsageError if a path, or one above it, exists and is not a folder."""
    there = next((found for found in (path, *path.parents) if found.exists()), None)
    if there is not None and not there.is_dir():
        raise UsageError(f"{there} is not a folder; {remedy}")


def _no_folder(file: Path, then: str) -> Path:
    if file.is_dir():
        raise StaleArtifact(f"{file} is a folder where albo keeps a file; move it away and {then}")
    return file


def _no_file(folder: Path, then: str) -> Path:
    if folder.exists() and not folder.is_dir():
        raise StaleArtifact(
            f"{folder} is a file where albo keeps a folder; move it away and {then}"
        )
    return folder


def backbone_key(name: str, fingerprint: str) -> str:
    """Make the folder name of a backbone: `<name>-<fingerprint8>`, safe on every file system.

    Two names may become the same ("timm/x", "timm:x"); the fingerprint distinguishes them.
    Raises ValueError if the fingerprint does not begin with eight letters or digits.
    """
    return _key(name, fingerprint, "backbone")


def reader_key(name: str, fingerprint: str) -> str:
    """Make the folder name of a word reader, as `backbone_key` does for a backbone."""
    return _key(name, fingerprint, "reader")


def _key(name: str, fingerprint: str, otherwise: str) -> str:
    if re.match(r"[0-9A-Za-z]{8}", fingerprint) is None:
        raise ValueError(f"the fingerprint {fingerprint!r} does not begin with 8 letters or digits")
    return f"{_plain(name) or otherwise}-{fingerprint[:8]}"


def _plain(name: str) -> str:
    """Return the characters of a name that every file system allows; may be ""."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")[:80]


def _checked_name(name: str, what: str, limit: int) -> str:
    if len(name) > limit or _SAFE_NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name[: limit + 1]!r} is no {what}; use letters, digits, dot, underscore and hyphen,"
            f" no dot first, {limit} characters at most"
        )
    return name


def _host() -> str:
    from platform import node

    return node()


def _describe_self(purpose: str) -> Json:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"purpose": purpose, "process": os.getpid(), "host": _host(), "since": now}


def _one_line(text: object) -> str:
    return in_one_line(text, 80) or "another albo"


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":
        return True  # os.kill would end the process on Windows
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # a process of another user
    return True


def _is_held(lock_file: Path) -> bool:
    """Try a shared lock without waiting; a read-only descriptor is enough."""
    if sys.platform == "win32":
        return _is_held_on_windows(lock_file)
    import fcntl

    try:
        descriptor = os.open(lock_file, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False  # nobody has ever written here, or the file cannot be read
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        return error.errno in {errno.EAGAIN, errno.EACCES}
    finally:
        os.close(descriptor)
    return False


def _is_held_on_windows(lock_file: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock_file, blocking=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False
