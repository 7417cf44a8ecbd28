"""Facts about large files, such as digests and cards, kept so that a start need not compute them.

There is one JSON file for each question, in `$XDG_CACHE_HOME/albo/cards`. An answer is valid while
its files have the same size, modification time and inode.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from albo.errors import AlboError
from albo.store import cache_folder, read_json, write_json

if TYPE_CHECKING:
    from albo.records import Json


def recall(question: str) -> Json | None:
    """Return the stored card that answers a question.

    Returns None if there is none, if it is damaged, or if one of its files has changed.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, AlboError):
        content = read_json(_file(question))
        checksum = content.pop("checksum")
        sound = checksum == _checksum(content) and content["stamp"] == _stamps(content["files"])
        card: Json = content["card"]
        return card if sound else None
    return None


def remember(question: str, card: Json, *files: Path) -> None:
    """Store a card as the answer to a question; it is valid until one of its files changes."""
    # A missing or read-only home only costs the time to compute the card again.
    with suppress(OSError, AlboError):
        names = [str(file) for file in files]
        content = {"card": card, "files": names, "stamp": _stamps(names)}
        write_json(_file(question), {**content, "checksum": _checksum(content)})


def _file(question: str) -> Path:
    return cache_folder() / "cards" / f"{hashlib.sha256(question.encode()).hexdigest()[:16]}.json"


def _checksum(content: Json) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stamps(files: list[str]) -> list[list[int]]:
    found = [Path(file).stat() for file in files]
    return [[stat.st_size, stat.st_mtime_ns, stat.st_ino] for stat in found]
