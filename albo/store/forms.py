"""The form of a store's rows: the protocol `Form`, and the words of messages about a store.

`Parts` keeps rows of any form. The two forms are `VectorForm` and `WordForm`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from errno import EIO
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeVar

from albo.errors import AlboError, ForeignArtifact, StaleArtifact
from albo.store.writing import MANIFEST
from albo.texts import in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from albo.records import Digest, Json
    from albo.store.part_files import OpenPart


Content_contra = TypeVar("Content_contra", contravariant=True)
"""The content that a writer gets for covers: `Embeddings`, or one `Words` for each cover."""

_LONGEST_REASON = 120


@dataclass(frozen=True, slots=True)
class StoreKind:
    """The words of messages about one kind of store, and the errors made of them."""

    name: str
    """The name of the store: "vector store"."""

    owner: str
    """The owner of its rows: "backbone"."""

    mend: str
    """The command that fills and repairs it, without quotes: "albo embed"."""

    does: str
    """The verb for what that command does with covers: "embeds"."""

    done: str
    """The participle of that verb: "embedded"."""

    def foreign(self, folder: Path, mismatch: str) -> ForeignArtifact:
        """Make the error for a folder that holds another owner's rows."""
        return ForeignArtifact(
            f"the {self.name} in {folder} is another {self.owner}'s ({mismatch});"
            f" move that folder away and run `{self.mend}`"
        )

    def damaged_manifest(self, folder: Path) -> StaleArtifact:
        """Make the error for a manifest that describes no store of this kind."""
        return StaleArtifact(
            f"the {self.name} in {folder} is damaged ({MANIFEST} describes none); run `{self.mend}`"
        )

    def damaged_part(self, path: Path | str, reason: str) -> StaleArtifact:
        """Make the error for a missing or damaged part: its path, the reason, the remedy."""
        return StaleArtifact(
            f"{path} is {reason}; run `{self.mend}`, which {self.does} the covers that it"
            " held again"
        )

    @contextmanager
    def plain_read_errors(self, path: Path) -> Iterator[None]:
        """Turn Arrow's errors for a damaged part into StaleArtifact.

        FileNotFoundError passes unchanged. Raises AlboError if the file cannot be read for another
        reason, such as its permissions.
        """
        import pyarrow as pa

        try:
            yield
        except (FileNotFoundError, MemoryError):
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            code = getattr(error, "errno", None)
            if isinstance(error, OSError) and code not in {None, EIO}:
                raise AlboError(f"cannot read {path}: {error.strerror}; mend that") from error
            reason = in_one_line(error, _LONGEST_REASON)
            raise StaleArtifact(
                f"{path} is damaged ({reason}); run `{self.mend}`, which {self.does} its"
                " covers again"
            ) from error


class Form(Protocol[Content_contra]):
    """The form of a store's rows: their owner, their columns, how content becomes columns.

    Two stores with the same `identity` are the same store. A part carries the identity in its
    schema, so a part of another store is recognised even without a manifest.
    """

    kind: ClassVar[StoreKind]
    """The words for a store of this form."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the backbone or reader that made the rows."""
        ...

    @property
    def identity(self) -> str:
        """The owner of these rows, and their shape."""
        ...

    def described(self) -> Json:
        """Return the content of the manifest other than the parts."""
        ...

    @classmethod
    def recognise(cls, manifest: Json) -> Self:
        """Read the form that a manifest describes. Raises ValueError if it describes none."""
        ...

    def fields(self) -> list[pa.Field]:
        """Return the columns beside `digest`. None of them may be null."""
        ...

    def encoding(self) -> Json:
        """Return the Parquet settings of the columns."""
        ...

    def check(self, count: int, content: Content_contra) -> None:
        """Refuse content that cannot be stored.

        Parameters
        ----------
        count : the number of covers that the content belongs to.

        Raises ValueError for wrong shapes, RuntimeFailed for invalid numbers.
        """
        ...

    def columns(self, content: Content_contra, rows: Sequence[int]) -> list[pa.Array]:
        """Make the columns beside `digest` from some rows of checked content, in that order."""
        ...

    def examine(self, table: pa.Table) -> None:
        """Raise ValueError if rows read from a part cannot have been written by albo."""
        ...

    def failed(self, part: OpenPart) -> Iterable[Digest]:
        """Return the covers of a part whose row records a failure; a later row replaces it."""
        ...
