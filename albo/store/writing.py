"""Write files safely (temporary name first, with a checksum), with plain errors."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

from albo.errors import AlboError, CannotWrite, ForeignArtifact, StaleArtifact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from albo.records import Json


FORMAT = 1
"""The manifest format, for artifacts without a format number of their own."""

MANIFEST = "manifest.json"
"""The file that tells from what an artifact was built."""

ELSEWHERE = "name another folder with --artifacts"
"""The remedy in messages about a folder that cannot be written to."""

MAX_JSON_BYTES = 64 << 20
"""The largest JSON file that is written or read."""

_TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp")
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def cache_folder() -> Path:
    """Return the folder of exported networks: `$XDG_CACHE_HOME/albo`, or `~/.cache/albo`.

    It is the same on every system. A relative `$XDG_CACHE_HOME` is ignored, as the XDG base
    directory specification demands. Raises AlboError if there is neither that nor a home.
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
    """Turn an OSError from writing `path` into a CannotWrite that says what to do.

    Parameters
    ----------
    elsewhere : the remedy that names another folder, for the message.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {_say_why(error, elsewhere)}") from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder for temporary files, and remove it afterwards. Raises CannotWrite."""
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
    """Write a file completely or not at all, even after a power cut.

    Parameters
    ----------
    path
        The final name. An existing file is replaced, missing folders are made.
    write
        A function that writes the content into the given open binary file.
    elsewhere
        The remedy that names another folder, for the message.

    Raises CannotWrite (a full disk, a read-only folder, …). After any error the temporary file is
    removed; only a killed process may leave one, see `sweep`.
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
    """Flush a rename to the disk. Windows cannot open folders, but its renames are safe."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path, older_than: float = 0.0) -> int:
    """Remove temporary files that killed runs left in a folder. Returns the number removed.

    Under the writer lock none of them can be in use.

    Parameters
    ----------
    folder
        The folder to clean; folders in it are left alone.
    older_than
        Seconds: younger files stay, since a running process may use them. For folders without a
        lock, such as the shared cache.
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


def remove_unnamed(folder: Path, pattern: re.Pattern[str], named: Collection[str]) -> None:
    """Remove the files of an artifact that its manifest does not name, or no longer names.

    Parameters
    ----------
    folder
        The artifact's folder; its writer holds the writer lock.
    pattern
        The pattern of the whole name of this artifact's files; other files stay.
    named
        The names in the manifest.
    """
    for path in list(folder.iterdir()):
        if path.name not in named and pattern.fullmatch(path.name):
            # Windows cannot remove a file that a reader has open; the next writer does.
            with suppress(OSError):
                path.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically. Raises ValueError for values that JSON lacks (NaN), CannotWrite."""
    text = json.dumps(content, indent=1, allow_nan=False).encode() + b"\n"
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{path} would have {len(text)} bytes of JSON, limit {MAX_JSON_BYTES}")
    write_atomically(path, lambda file: file.write(text))


def read_json(path: Path) -> Any:  # noqa: ANN401  (any JSON)
    """Read a JSON file. Raises OSError, and ValueError for other content or more than 64 MiB."""
    with path.open("rb") as file:
        text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{path} has more than {MAX_JSON_BYTES} bytes")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None


def library_versions(*names: str) -> dict[str, str]:
    """Return the versions of those named distributions that are installed."""
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

    It adds `format` (if not given), `albo` (its version), `libraries` (if not given) and
    `checksum`: SHA-256 over the rest as JSON with sorted keys and no blanks.
    Raises CannotWrite.
    """
    manifest = {"format": FORMAT, "libraries": {}, **content}
    manifest["albo"] = library_versions("albo").get("albo", "")
    write_json(folder / MANIFEST, {**manifest, "checksum": _checksum(manifest)})


def read_manifest(folder: Path, what: str, mend: str, newest: int = FORMAT) -> Json:
    """Read and check the manifest of an artifact.

    Parameters
    ----------
    folder
        The artifact's folder.
    what
        The kind of artifact, for the message: "index".
    mend
        The command that rebuilds it, without quotes: "albo index".
    newest
        The newest format that the caller can read.

    Raises StaleArtifact if the manifest is missing or damaged. Raises ForeignArtifact, which is a
    StaleArtifact too, if it may not be read or has a newer format: then the caller must not
    replace it. The message ends with the `mend` command.
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
    """Remove the checksum from a manifest and compare it with the rest."""
    try:
        return bool(manifest.pop("checksum", None) == _checksum(manifest))
    except RecursionError:
        return False


def _checksum(manifest: Json) -> str:
    # Converted to JSON and back first: keys that are numbers sort differently than as text.
    plain = json.loads(json.dumps(manifest))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
