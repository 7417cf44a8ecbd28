"""The folder that holds all that albo makes, and how files are written safely there.

Whatever is written gets a temporary name first and is renamed when it is whole and on the disk,
so a reader never sees half a file and needs no lock. Writers take turns by one lock, which the
kernel gives back when a process is killed. Each built thing has a `manifest.json` that says what
it was built from; it is written last and checked before anything beside it is believed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

from albo.errors import (
    AlboError,
    CannotWrite,
    ForeignArtifact,
    StaleArtifact,
    UsageError,
    WriterAtWork,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import BaseFileLock

    from albo.records import Json

FORMAT = 1
"""The newest manifest format that is written and read, where an artifact names none of its own."""

MANIFEST = "manifest.json"
ELSEWHERE = "name another folder with --artifacts"
MAX_JSON_BYTES = 64 << 20

_LOCK = "writer.lock"
_HOLDER = "writer.json"
_GRACE_SECONDS = 0.2
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp")
_MAX_HEAD_NAME = 64
_MAX_KEY = 128
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@dataclass(frozen=True)
class Artifacts:
    """The artifacts folder: where everything in it stands, and the lock that its writers share."""

    root: Path

    @classmethod
    def locate(cls, path: Path | None) -> Artifacts:
        """Take the folder given, else `$ALBO_ARTIFACTS`, else `./artifacts`; nothing is made yet.

        Raises UsageError where something stands there, or above it, that is no folder.
        """
        root = (path or Path(os.environ.get("ALBO_ARTIFACTS") or "artifacts")).expanduser()
        check_can_be_folder(root, "name another with --artifacts")
        return cls(root)

    # What is of the wrong kind is refused where it is asked for, so that all else goes on.

    @property
    def catalog_file(self) -> Path:
        """The SQLite file of albums and covers. Raises StaleArtifact where a folder is there."""
        return _no_folder(self.root / "catalog.sqlite", "run `albo embed SOURCE`")

    @property
    def files_file(self) -> Path:
        """The SQLite file that remembers path, size, mtime_ns and inode of each file read.

        Raises StaleArtifact where a folder is there.
        """
        return _no_folder(self.root / "files.sqlite", "run `albo embed SOURCE`")

    @property
    def vectors_folder(self) -> Path:
        """The folder of all backbones' vectors. Raises StaleArtifact where a file is there."""
        return _no_file(self.root / "vectors", "run `albo embed`")

    @property
    def words_folder(self) -> Path:
        """The folder of all readers' words. Raises StaleArtifact where a file is there."""
        return _no_file(self.root / "words", "run `albo words`")

    @property
    def index_folder(self) -> Path:
        """The folder of all backbones' indexes. Raises StaleArtifact where a file is there."""
        return _no_file(self.root / "index", "run `albo index`")

    @property
    def heads_folder(self) -> Path:
        """The folder of all heads. Raises StaleArtifact where a file is there."""
        return _no_file(self.root / "heads", "run `albo train`")

    @property
    def reports_folder(self) -> Path:
        """The folder of reports."""
        return self.root / "reports"

    def report(self, name: str, suffix: str) -> Path:
        """Return the file of a report; the name may hold anything, and is made a plain one."""
        plain = _plain(name).rstrip(".-") or "report"
        if not name.isascii():  # what is lost of it keeps others apart
            plain += f"-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        return self.reports_folder / f"{plain}.{suffix}"

    @property
    def lock_file(self) -> Path:
        """The file whose lock the one writer holds; it stays when the writer has gone."""
        return self.root / _LOCK

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

        Raises UsageError where the name is more than a plain file name of at most 64 characters.
        """
        return self.heads_folder / _checked_name(name, "head name", _MAX_HEAD_NAME)

    @contextmanager
    def lock(
        self,
        purpose: str,
        on_wait: Callable[[str], None] | None = None,
        timeout: float | None = None,
    ) -> Iterator[None]:
        """Hold the writer lock; the folder is made where it is missing.

        Parameters
        ----------
        purpose : the command that writes ("albo embed"), told to whoever waits.
        on_wait : called once, with one line that says for whom, where the lock is not free.
        timeout : seconds to wait at most; None waits for as long as it takes.

        A thread that holds the lock may take it again. The kernel releases it when the process
        ends, however it ends. Raises WriterAtWork after `timeout`, CannotWrite where the folder
        cannot be written to, StaleArtifact where a folder has the lock's name.
        """
        from filelock import FileLock

        _no_folder(self.lock_file, "run it again")
        with plain_write_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root.resolve() / _LOCK, is_singleton=True)
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

    def _acquire(
        self, lock: BaseFileLock, on_wait: Callable[[str], None] | None, timeout: float | None
    ) -> None:
        from filelock import Timeout

        patience = float("inf") if timeout is None else max(timeout, 0.0)
        began = time.monotonic()
        # The short first wait lets a passing `writer_at_work` go by, and a new holder sign.
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
        """Say who holds the writer lock now ("albo embed (process 1234, since …)"), if anyone does.

        Nothing is written, so it works on a read-only folder, and no writer is kept waiting.
        """
        return self._holder() if _is_held(self.lock_file) else None

    def _holder(self) -> str:
        """Describe the holder from the file beside the lock; only where the lock is held."""
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
            return anonymous  # left behind by a writer that was killed; the new one has not signed
        today = since.date() == datetime.now().astimezone().date()
        return (
            f"{_one_line(purpose)} (process {process}{'' if here else ' on ' + _one_line(host)},"
            f" since {since:{'%H:%M:%S' if today else '%Y-%m-%d %H:%M:%S'}})"
        )


def check_can_be_folder(path: Path, remedy: str) -> None:
    """Raise UsageError where something that is no folder stands at a path or above it."""
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

    Two names may become one here ("timm/x", "timm:x"); the fingerprint keeps them apart.
    Raises ValueError where the fingerprint has no eight letters or digits to begin with.
    """
    return _key(name, fingerprint, "backbone")


def reader_key(name: str, fingerprint: str) -> str:
    """Make the folder name of a reader of words, as `backbone_key` does for a backbone."""
    return _key(name, fingerprint, "reader")


def _key(name: str, fingerprint: str, otherwise: str) -> str:
    if re.match(r"[0-9A-Za-z]{8}", fingerprint) is None:
        raise ValueError(f"the fingerprint {fingerprint!r} does not begin with 8 letters or digits")
    return f"{_plain(name) or otherwise}-{fingerprint[:8]}"


def _plain(name: str) -> str:
    """Keep of a name what every file system takes; "" where that is nothing."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")[:80]


def cache_folder() -> Path:
    """Return where exported networks are kept: `$XDG_CACHE_HOME/albo`, or `~/.cache/albo`.

    The same on every system. A relative `$XDG_CACHE_HOME` is ignored, as the XDG base directory
    specification demands. Raises AlboError where there is neither that nor a home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given and Path(given).is_absolute():
        return Path(given) / "albo"
    try:
        return Path.home() / ".cache" / "albo"
    except RuntimeError:
        raise AlboError(
            "there is no home folder to keep exported networks in; set XDG_CACHE_HOME to a folder"
        ) from None


@contextmanager
def plain_write_errors(path: Path, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Turn an OSError met while writing `path` into a CannotWrite that says what to do.

    elsewhere : how to have it written to another folder.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {_say_why(error, elsewhere)}") from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder for what is needed on the way, and remove it. Raises CannotWrite."""
    temporary = Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108  (named in a message)
    with (
        plain_write_errors(temporary, "set $TMPDIR to another folder"),
        TemporaryDirectory(prefix="albo-") as scratch,
    ):
        yield Path(scratch)


def _say_why(error: OSError, elsewhere: str) -> str:
    if error.errno in _FULL:
        return "the disk is full; free some space and run it again"
    if error.errno in _FORBIDDEN:
        return f"it may not be written to; change its permissions or {elsewhere}"
    if error.errno == errno.EFBIG:
        return "it would exceed the limit on file sizes; raise it (ulimit -f)"
    return f"{error.strerror or error}; mend that or {elsewhere}"


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], elsewhere: str = ELSEWHERE
) -> None:
    """Write a file so that it is there whole or not at all, even after a power cut.

    Parameters
    ----------
    path : the final name; what stood there is replaced, missing folders are made.
    write : puts the content into the open binary file that it gets.
    elsewhere : how to have it written to another folder, for the message.

    Raises CannotWrite (a full disk, a read-only folder, …). Whatever is raised, nothing stays
    behind; a killed process may leave its temporary file, see `sweep`.
    """
    name = f".{path.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    temporary = path.with_name(name)
    with plain_write_errors(path, elsewhere):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put a rename itself on the disk; where folders cannot be opened (Windows) it is there."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path, older_than: float = 0.0) -> int:
    """Remove temporary files that killed runs left in a folder; the number removed.

    Where the writer lock is held, none of them can be in use. Where no lock guards the folder
    (the shared cache), `older_than`, in seconds, spares those of a process at work.
    """
    removed = 0
    oldest = time.time() - older_than
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _TEMPORARY.fullmatch(path.name) is None:
                continue
            with suppress(OSError):
                if path.lstat().st_mtime <= oldest:
                    path.unlink()
                    removed += 1
    return removed


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically. Raises ValueError for what JSON does not have (NaN), CannotWrite."""
    text = json.dumps(content, indent=1, allow_nan=False).encode() + b"\n"
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{path} would have {len(text)} bytes of JSON, limit {MAX_JSON_BYTES}")
    write_atomically(path, lambda file: file.write(text))


def read_json(path: Path) -> Any:  # noqa: ANN401  (whatever the file holds)
    """Read a JSON file. Raises OSError, or ValueError for what is none or exceeds 64 MiB."""
    with path.open("rb") as file:
        text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{path} has more than {MAX_JSON_BYTES} bytes")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None


def library_versions(*names: str) -> dict[str, str]:
    """Return the versions of the distributions that are installed among those named."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, content: Json) -> None:
    """Write `manifest.json`, the last file of an artifact.

    To the content come `format` (unless given), `albo` (its version), `libraries` (unless given)
    and `checksum`: SHA-256 over the rest as JSON with sorted keys and no blanks.
    Raises CannotWrite.
    """
    manifest = {"format": FORMAT, "libraries": {}, **content}
    manifest["albo"] = library_versions("albo").get("albo", "")
    write_json(folder / MANIFEST, {**manifest, "checksum": _checksum(manifest)})


def read_manifest(folder: Path, what: str, mend: str, newest: int = FORMAT) -> Json:
    """Read and check the manifest of an artifact.

    Parameters
    ----------
    what : what it is, for the message: "index".
    mend : the command that makes it anew, without quotes: "albo index".
    newest : the newest format that the caller reads.

    Raises StaleArtifact where the manifest is missing or damaged; ForeignArtifact, which is one
    too, where it may not be read or is of a newer format: then nothing should be put in its place.
    The message ends with the mending command.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        raise StaleArtifact(f"there is no {what} in {folder}; run `{mend}`") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ForeignArtifact(
            f"the {what} in {folder} cannot be read ({MANIFEST}: {reason});"
            f" mend that, or run `{mend}`"
        ) from error
    except ValueError:
        raise _damaged(what, folder, f"{MANIFEST} is not JSON", mend) from None
    if not isinstance(manifest, dict) or type(manifest.get("format")) is not int:
        raise _damaged(what, folder, f"{MANIFEST} names no format", mend)
    if manifest["format"] > newest:
        raise ForeignArtifact(
            f"the {what} in {folder} was made by a newer albo (format {manifest['format']},"
            f" this one reads up to {newest}); install that albo, or move that"
            f" folder away and run `{mend}`"
        )
    if not _is_sound(manifest):
        raise _damaged(what, folder, f"checksum of {MANIFEST}", mend)
    return manifest


def _damaged(what: str, folder: Path, reason: str, mend: str) -> StaleArtifact:
    return StaleArtifact(f"the {what} in {folder} is damaged ({reason}); run `{mend}`")


def _is_sound(manifest: Json) -> bool:
    """Take the checksum out of a manifest and compare it with the rest."""
    try:
        return bool(manifest.pop("checksum", None) == _checksum(manifest))
    except RecursionError:
        return False


def _checksum(manifest: Json) -> str:
    # Once through JSON first: keys that are numbers sort differently before they become text.
    plain = json.loads(json.dumps(manifest))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


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
    return "".join(letter for letter in str(text)[:80] if letter.isprintable()) or "another albo"


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":
        return True  # os.kill would end it there
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it is another user's
    return True


def _is_held(lock_file: Path) -> bool:
    """Try the lock shared and without waiting, on a descriptor that need not be writable."""
    if sys.platform == "win32":
        return _is_held_on_windows(lock_file)
    import fcntl

    try:
        descriptor = os.open(lock_file, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False  # nobody has ever written here, or nobody can tell
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
