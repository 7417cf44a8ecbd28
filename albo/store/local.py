"""Read a file of this machine within limits."""

from __future__ import annotations

import errno
import os
import re
import stat

from albo.errors import BadCover
from albo.limits import DEFAULT_LIMITS, Limits, check_bytes
from albo.texts import in_one_line

_URL_IN_PATH = re.compile(r"(^|/)[A-Za-z][A-Za-z0-9+.-]+:/")  # joining paths makes // one


def read_file(path: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """
    Read a whole file, never more than the limit, and never waiting for a pipe or a device.

    Raises
    ------
    BadCover
        No such file, no permission, not a regular file, empty, or larger than `limits.max_bytes`.
    """
    # O_NONBLOCK: otherwise a pipe without a writer blocks `open`. It has no effect on files.
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise BadCover(_reason_unreadable(error)) from error
    try:
        data = _read_descriptor(descriptor, limits.max_bytes)
    except OSError as error:
        raise BadCover(_reason_unreadable(error)) from error
    finally:
        os.close(descriptor)
    if not data:
        raise BadCover("empty file (0 bytes): fetch it again")
    return data


def _read_descriptor(descriptor: int, max_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise BadCover("a folder, not an image file")
    if not stat.S_ISREG(status.st_mode):
        raise BadCover("a pipe, socket or device, not an image file")
    check_bytes(status.st_size, max_bytes)
    # The file may have grown, or have a false size like files under /proc.
    parts = [os.read(descriptor, status.st_size + 1)]
    length = len(parts[0])
    while length <= max_bytes and parts[-1]:
        parts.append(os.read(descriptor, min(max_bytes + 1 - length, 2**20)))
        length += len(parts[-1])
    check_bytes(length, max_bytes)
    return b"".join(part for part in parts if part)  # a single part is returned without a copy


def _reason_unreadable(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "no such file: the name holds characters that no file name can"
    if error.errno == errno.ENOENT and _URL_IN_PATH.search(str(error.filename)):
        return "a URL; albo reads files only: download it and name the file"
    if error.errno == errno.ENOENT:
        return "no such file: it was moved or deleted, or the link points nowhere"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "no permission to read it: change the file's mode or owner"
    return f"cannot be read: {in_one_line(error.strerror or error, 160)}"
