"""Check the output files that users name, before the work begins.

If a word is missing from a command line, a cover may be taken for the output page. So albo
replaces a file only if it is empty or has the mark of albo's own files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from albo.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


MARK = "made by albo"
"""The mark near the beginning of every page and picture."""

PAGES = (".html", ".htm")
"""The suffixes of pages."""

PICTURES = (".png", ".jpg", ".jpeg")
"""The suffixes of pictures."""

_MARKED_WITHIN = 4096


def check_output(path: Path, suffixes: tuple[str, ...], option: str) -> Path:
    """Return the file to be written, links followed.

    Parameters
    ----------
    path
        The path that the user named.
    suffixes
        The allowed suffixes: `PAGES` or `PICTURES`.
    option
        The option that named it, for the message.

    Raises UsageError if it cannot be written, or is a file that albo did not make.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it, as {path / f'albo{suffixes[0]}'}")
    if path.suffix.lower() not in suffixes:
        kind = "page" if suffixes is PAGES else "PNG or JPEG"
        ends = " or ".join(suffixes[:2])
        raise UsageError(f"{path} would be no {kind}; give it a name that ends in {ends}")
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise UsageError(f"{path} is a device or a pipe; name a file with {option}")
    _check_folder(path, target, option)
    if target.is_file() and not _is_ours(target):
        raise UsageError(f"{path} is a file that albo did not make; name another with {option}")
    return target


def _check_folder(path: Path, target: Path, option: str) -> None:
    there = next((folder for folder in target.parents if folder.exists()), None)
    if there is None or not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(
            f"{path} cannot be written: {there} is no folder to write to; name another with"
            f" {option}"
        )


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            begins = opened.read(_MARKED_WITHIN)
    except OSError:
        return False
    return not begins or MARK.encode() in begins
