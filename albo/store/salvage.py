"""Find the parts of a store whose manifest is lost."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from albo.errors import StaleArtifact
from albo.store.part_files import PART_NAME, OpenPart, Part

if TYPE_CHECKING:
    from pathlib import Path

    from albo.records import Digest
    from albo.store.part_files import AnyForm


def salvage(folder: Path, form: AnyForm) -> list[Part]:
    """Return the undamaged parts of this store, in the order of their numbers.

    If a run was killed between writing the manifest and removing the parts that a compaction had
    replaced, covers are in two parts. Then the larger part is kept.
    """
    found: list[tuple[Part, list[Digest]]] = []
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in files:
        if PART_NAME.fullmatch(path.name):
            with suppress(StaleArtifact, FileNotFoundError):
                unknown = Part(path.name, 0, 0, "")
                with OpenPart(folder, unknown, form) as source:
                    found.append(source.describe())
    taken: set[Digest] = set()
    parts = []
    for part, digests in sorted(found, key=lambda item: -item[0].rows):
        if len(set(digests)) == part.rows and taken.isdisjoint(digests):
            taken.update(digests)
            parts.append(part)
    return sorted(parts, key=lambda part: part.number)
