"""The files of a head: written, checked and read."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from albo.errors import StaleArtifact
from albo.store import remove_unnamed, sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from albo.heads.numbers import Array
    from albo.records import Json

MEND = "albo train"
WHAT = "head"
_MAX_MODEL_BYTES = 1 << 30
_MADE_HERE = re.compile(r"((head|fold|learnt)-[0-9a-f]{16}\.npz|[a-z]{1,32}-[0-9a-f]{16}\.txt)")
VIEW_NAME = re.compile(r"[a-z]{1,32}")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, 64 hex digits."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


def name_by_content(stem: str, suffix: str, data: bytes) -> str:
    """Name a file by its content: `stem-<16 hex digits>.suffix`."""
    return f"{stem}-{sha256(data)[:16]}.{suffix}"


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Write plain arrays as an npz file: the same arrays give the same bytes."""
    # Not np.savez: it stamps the time of day into the file, so no two checksums would agree.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, Array]:
    """Read plain arrays. Raises ValueError for compressed or oversized ones and for objects."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("a compressed array")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def remove_others(folder: Path, named: set[str]) -> None:
    """Remove files that a former manifest named or a killed writer left."""
    remove_unnamed(folder, _MADE_HERE, named)
    sweep(folder)


def refuse_head(folder: Path, reason: str) -> NoReturn:
    """Raise StaleArtifact for a head that is damaged; `reason` says how."""
    raise StaleArtifact(
        f"the head in {folder} is damaged ({reason}); run `{mending_command(folder)}`"
    )


def mending_command(folder: Path) -> str:
    """Return the command that makes the head in this folder anew."""
    return f"{MEND} --name {folder.name}"


def read_contents(folder: Path, manifest: Json, names: Iterable[str]) -> dict[str, bytes]:
    """Read files that the manifest names and check their sums. Raises ValueError, OSError."""
    for name in manifest["files"]:
        if _MADE_HERE.fullmatch(name) is None:
            raise ValueError(f"no head has a file {name[:60]!r}")
    contents = {}
    for name in names:
        checksum = manifest["files"][name]
        path = folder / name
        if path.stat().st_size > _MAX_MODEL_BYTES:
            raise ValueError(f"{name} has more than {_MAX_MODEL_BYTES >> 20} MiB")
        contents[name] = path.read_bytes()
        if sha256(contents[name]) != checksum:
            raise ValueError(f"checksum of {name}")
    return contents
