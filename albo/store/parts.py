"""Rows by digest in Parquet parts with a manifest: the storage of vectors and words.

A part is written under a temporary name, flushed to the disk and renamed. Only then does the next
manifest name it, and parts that it no longer names are removed. So a reader needs no lock, and a
killed writer loses only the rows that it had not committed.

This module reads and removes rows. `part_writer` adds rows, `merging` merges small parts,
`salvage` finds the parts of a lost manifest, and `part_files` handles one part.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from errno import EIO
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from albo.errors import AlboError, ForeignArtifact, StaleArtifact
from albo.store.digests import MODULUS, digests_of
from albo.store.part_files import PART_NAME, OpenPart, Part, next_number, write_part
from albo.store.salvage import salvage
from albo.store.writing import (
    file_checksum,
    library_versions,
    read_manifest,
    remove_unnamed,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from albo.records import Digest
    from albo.store.forms import Form


FormT = TypeVar("FormT", bound="Form[Any]")
FormT_co = TypeVar("FormT_co", bound="Form[Any]", covariant=True)


class Parts(Generic[FormT_co]):
    """Rows of covers, one for each digest, in the parts of one folder.

    Reading never locks: each call reads the current manifest. Between two calls a writer may add
    rows, unless the caller holds the writer lock.

    Attributes
    ----------
    folder
        The folder of the parts and their manifest.
    form
        The form of the rows.
    """

    def __init__(self, folder: Path, form: FormT_co) -> None:
        self.folder = folder
        self.form = form
        self._sound: set[str] = set()  # names of the parts with a verified checksum

    # --- reading ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of covers."""
        return sum(part.rows for part in self.listed())

    def digests(self) -> list[Digest]:
        """Return all digests, in stored order. Raises StaleArtifact."""
        with self.opened() as parts:
            return [digest for part in parts for digest in part.digests()]

    def size_and_sum(self) -> tuple[int, int]:
        """Return the number of covers and the sum of their digests, from the manifest alone."""
        parts = self.listed()
        return sum(part.rows for part in parts), sum(part.digest_sum for part in parts) % MODULUS

    def listed(self) -> list[Part]:
        """Return the current parts, from the manifest.

        Raises StaleArtifact if there is no valid manifest, ForeignArtifact if the folder now
        belongs to another owner.
        """
        kind = self.form.kind
        manifest = read_manifest(self.folder, kind.name, kind.mend)
        try:
            now = self.form.recognise(manifest)
        except ValueError:
            raise kind.damaged_manifest(self.folder) from None
        if now.identity != self.form.identity:
            mismatch = f"{now.identity}, not {self.form.identity}"
            raise kind.foreign(self.folder, mismatch)
        try:
            return [Part.from_json(part) for part in manifest["parts"]]
        except (KeyError, TypeError, ValueError):
            raise kind.damaged_manifest(self.folder) from None

    @contextmanager
    def opened(self) -> Iterator[list[OpenPart]]:
        """Hold all parts of one manifest open, so that a compaction cannot remove them.

        Raises StaleArtifact if one of them is missing or damaged.
        """
        parts = self.listed()
        with ExitStack() as stack:
            while True:
                try:
                    opened = [stack.enter_context(self._open(part)) for part in parts]
                    break
                except FileNotFoundError as error:
                    stack.close()
                    before, parts = parts, self.listed()
                    if parts == before:
                        raise self._missing(error) from None
            yield opened

    @contextmanager
    def open_one(self, part: Part) -> Iterator[OpenPart]:
        """Open one part for a writer: no other process can remove it. Raises StaleArtifact."""
        with ExitStack() as stack:
            try:
                opened = stack.enter_context(self._open(part))
            except FileNotFoundError as error:
                raise self._missing(error) from None
            yield opened

    def _open(self, part: Part) -> OpenPart:
        return OpenPart(self.folder, part, self.form)

    def _missing(self, error: FileNotFoundError) -> StaleArtifact:
        return self.form.kind.damaged_part(error.filename, "missing")

    # --- writing: the caller holds the writer lock -----------------------------------------------

    def remove(self, digests: Iterable[Digest]) -> int:
        """Remove covers. Returns how many were removed.

        Only the parts that hold them are rewritten. Raises StaleArtifact, CannotWrite.
        """
        unwanted = set(digests)
        parts = self.listed()
        kept: list[Part] = []
        removed = 0
        number = next_number(parts)
        for part in parts:
            with self.open_one(part) as source:
                held = unwanted.intersection(source.digests())
                removed += len(held)
                if not held:
                    kept.append(part)
                elif len(held) < part.rows:
                    kept.append(self.write(number, _without(source.tables(), held)))
                    number += 1
        if removed:
            self.save(kept)
        return removed

    def drop_damaged(self) -> list[str]:
        """Remove parts that are missing or damaged.

        Every part is read completely, about a second for each GB, and compared with its checksum
        in the manifest, once for each `Parts` object. The covers of a removed part count as
        missing, so they are processed again. Returns one line for each such part. Raises AlboError
        if a part cannot be read (no permission), CannotWrite.
        """
        parts = self.listed()
        reasons = {part.file: self._find_damage(part) for part in parts}
        lost = [part for part in parts if reasons[part.file]]
        if lost:
            self.save([part for part in parts if not reasons[part.file]])
        return [
            f"{self.folder / part.file} is {reasons[part.file]}: its covers, {part.rows:,} of them,"
            f" have to be {self.form.kind.done} again"
            for part in lost
        ]

    def _find_damage(self, part: Part) -> str:
        """Return what is wrong with a part; "" if nothing is."""
        if part.file in self._sound:
            return ""
        path = self.folder / part.file
        try:
            if file_checksum(path) != part.checksum:
                return "damaged (checksum)"
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            if error.errno != EIO:
                raise AlboError(f"cannot read {path}: {error.strerror}; mend that") from error
            return "damaged (the disk cannot read it)"
        self._sound.add(part.file)
        return ""

    def write(self, number: int, tables: Iterable[pa.Table]) -> Part:
        """Write rows as a new part; no manifest names it yet. Raises CannotWrite."""
        part = write_part(self.folder, number, self.form, tables)
        self._sound.add(part.file)
        return part

    def save(self, parts: list[Part]) -> None:
        """Write a manifest that names these parts; then remove the others. Raises CannotWrite."""
        content = {
            **self.form.described(),
            "rows": sum(part.rows for part in parts),
            "parts": [part.as_json() for part in parts],
            "libraries": library_versions("numpy", "pyarrow"),
        }
        write_manifest(self.folder, content)
        self.remove_unnamed(parts)

    def remove_unnamed(self, parts: list[Part]) -> None:
        """Remove the files of all parts except these."""
        remove_unnamed(self.folder, PART_NAME, {part.file for part in parts})


def open_parts(folder: Path, form: type[FormT], fingerprint: str | None = None) -> Parts[FormT]:
    """Open a store by its manifest.

    Parameters
    ----------
    folder
        The folder of the store.
    form
        The class of its form, which reads the other properties from the manifest.
    fingerprint
        The fingerprint of the wanted owner; None accepts any.

    Raises StaleArtifact if there is no store or its manifest is damaged, ForeignArtifact if it
    belongs to another owner.
    """
    kind = form.kind
    try:
        found = form.recognise(read_manifest(folder, kind.name, kind.mend))
    except ValueError:
        raise kind.damaged_manifest(folder) from None
    if fingerprint is not None and found.fingerprint != fingerprint:
        mismatch = f"fingerprint {found.fingerprint}, not {fingerprint}"
        raise kind.foreign(folder, mismatch)
    return Parts(folder, found)


def open_or_create_parts(folder: Path, wanted: FormT) -> Parts[FormT]:
    """Open or create the store of this form; the caller holds the writer lock.

    A missing or damaged manifest is rebuilt from the undamaged parts; the others are removed.
    Raises ForeignArtifact if the store belongs to another owner, CannotWrite.
    """
    parts = Parts(folder, wanted)
    try:
        parts.listed()
    except ForeignArtifact:
        raise
    except StaleArtifact:
        parts.save(salvage(folder, wanted))
        return parts
    return open_parts(folder, type(wanted))


def _without(tables: Iterable[pa.Table], unwanted: set[Digest]) -> Iterator[pa.Table]:
    """Yield tables without the rows of some covers."""
    import pyarrow as pa

    for table in tables:
        kept = [digest not in unwanted for digest in digests_of(table)]
        yield table.filter(pa.array(kept, pa.bool_()))
