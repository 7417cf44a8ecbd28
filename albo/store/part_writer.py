"""Add rows to a store of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from albo.errors import AlboError, CannotWrite, StaleArtifact
from albo.store.digests import digests_of
from albo.store.merging import are_many, merge_parts
from albo.store.part_files import next_number, table_of
from albo.store.writing import sweep

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import pyarrow as pa

    from albo.records import Digest
    from albo.store.forms import Form
    from albo.store.parts import Parts


Content = TypeVar("Content")


class PartWriter(Generic[Content]):
    """Adds rows to a store, for one thread that holds the writer lock.

    Entering removes damaged parts and the files that killed runs left. Leaving commits and merges
    small parts; leaving by an exception commits the rows that can be committed.

    A row that records a failure does not count: its cover is not `known`, and when the cover is
    added again, the new row replaces the old one.

    Attributes
    ----------
    parts
        The store that it adds to.
    notes
        One line for each damaged part that was removed, and one if parts could not be merged.
    """

    def __init__(self, parts: Parts[Form[Content]]) -> None:
        self.parts: Parts[Any] = parts
        self.notes: list[str] = []
        self._known: set[Digest] = set()
        self._failed: set[Digest] = set()
        self._added: list[pa.Table] = []
        self._in_doubt = ""  # the part with all added rows that a commit is about to name
        self._fresh = 0  # how many of the last parts this writer has written

    def __enter__(self) -> Self:
        """Clean the store and read its digests. Raises AlboError, CannotWrite."""
        sweep(self.parts.folder)
        self.notes += self.parts.drop_damaged()
        self.parts.remove_unnamed(self.parts.listed())
        with self.parts.opened() as opened:
            for part in opened:
                self._known.update(part.digests())
                self._failed.update(self.parts.form.failed(part))
        self._known -= self._failed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit; after an exception too, if possible. The exception goes on."""
        if error is None:
            self.commit()
            self._merge(self._fresh)
            return
        try:
            self._leave_out_stored()
            self.commit()
        except AlboError as second:
            done = self.parts.form.kind.done
            error.add_note(f"{self.pending} {done} covers were lost: {second}")

    @property
    def known(self) -> set[Digest]:
        """The stored and added digests: the live set, which grows. Do not change it."""
        return self._known

    @property
    def failed(self) -> set[Digest]:
        """The covers whose stored row records a failure, to be tried again."""
        return self._failed

    @property
    def pending(self) -> int:
        """The number of rows added and not yet committed."""
        return sum(table.num_rows for table in self._added)

    def add(self, digests: Sequence[Digest], content: Content) -> None:
        """Add n covers; known and repeated ones are ignored.

        Parameters
        ----------
        digests
            n of 32 bytes.
        content
            The content of these covers, in the same order: for vectors `Embeddings`,
            vector float32 (n, d) with unit rows and middle (n, m); for words n `Words`, without
            lines if there is an error.

        Raises ValueError for wrong shapes and lengths, RuntimeFailed if vectors are not finite or
        not of unit length (within 0.001). Then no cover is added.
        """
        form = self.parts.form
        form.check(len(digests), content)
        row_of: dict[Digest, int] = {}
        for row, digest in enumerate(digests):
            if digest not in self._known:
                row_of.setdefault(digest, row)
        if row_of:
            columns = form.columns(content, list(row_of.values()))
            self._added.append(table_of(form, list(row_of), columns))
            self._known.update(row_of)

    def commit(self) -> int:
        """Write the added rows to the disk as a new part, in place of earlier failures.

        Returns the number of its rows. Raises CannotWrite; then the rows are still pending.
        """
        if not self._added:
            return 0
        self._remove_replaced()
        parts = self.parts.listed()
        part = self.parts.write(next_number(parts), self._added)
        self._in_doubt = part.file
        self.parts.save([*parts, part])
        self._added = []
        self._in_doubt = ""
        self._fresh += 1
        if are_many(parts):
            self._merge(1)
        return part.rows

    def _remove_replaced(self) -> None:
        """Remove the failures whose covers have been added again.

        If the run is killed after this, the failures are lost; the next run tries those covers
        again anyway.
        """
        if not self._failed:
            return
        again = {digest for table in self._added for digest in digests_of(table)} & self._failed
        if again:
            self.parts.remove(again)
            self._failed -= again

    def _leave_out_stored(self) -> None:
        """Forget the added rows if an interrupted commit has already written them to the disk."""
        if self._added and any(part.file == self._in_doubt for part in self.parts.listed()):
            self._added = []

    def _merge(self, fresh: int) -> None:
        """Merge if possible: committed rows are safe without it."""
        before = len(self.parts.listed())
        try:
            merge_parts(self.parts, fresh)
        except (CannotWrite, StaleArtifact) as error:
            self.notes.append(f"the parts were not merged: {error}")
            return
        self._fresh = max(self._fresh - before + len(self.parts.listed()), 1)
