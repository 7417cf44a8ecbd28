"""A cache of facts about large files (digests and cards), which take long to compute.

One JSON file for each question, in `$XDG_CACHE_HOME/albo/cards`. An answer is valid while its files
keep their size, modification time and inode.
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
    """Return the card that was kept as the answer to a question.

    None if there is none, it is damaged, or one of its files has changed.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, AlboError):
        content = read_json(_file(question))
        checksum = content.pop("checksum")
        sound = checksum == _checksum(content) and content["stamp"] == _stamps(content["files"])
        card: Json = content["card"]
        return card if sound else None
    return None


def remember(question: str, card: Json, *files: Path) -> None:
    """Keep a card as the answer to a question, until one of these files changes."""
    # If the home is missing or read-only, the facts are only computed again.
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
