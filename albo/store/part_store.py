"""The common base of the stores of vectors and of words, both built on `Parts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from albo.records import Digest
    from albo.store.parts import Parts


class PartStore:
    """The rows that one backbone or reader gave for covers.

    Reading never locks: each call reads the current manifest. Between two calls a writer may add
    rows, unless the caller holds the writer lock.

    Attributes
    ----------
    parts
        The rows, in parts behind a manifest.
    """

    def __init__(self, parts: Parts[Any]) -> None:
        self.parts = parts

    @property
    def folder(self) -> Path:
        """The folder of the parts and their manifest."""
        return self.parts.folder

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the backbone or reader that made the rows."""
        fingerprint: str = self.parts.form.fingerprint
        return fingerprint

    def remove(self, digests: Iterable[Digest]) -> int:
        """Remove covers; the caller holds the writer lock. Returns how many were removed.

        Raises StaleArtifact, CannotWrite.
        """
        return self.parts.remove(digests)
