"""What the rows of a store are: the protocol `Form`, and the words that messages use for a store.

`Parts` keeps rows of any form. `VectorForm` and `WordForm` are the two forms there are.
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
"""What a writer is given for some covers: `Embeddings`, or one `Words` for each cover."""

_LONGEST_REASON = 120


@dataclass(frozen=True, slots=True)
class StoreKind:
    """The words that messages use for one kind of store, and the errors made of them."""

    name: str
    """What the store is called: "vector store"."""

    owner: str
    """Whose rows it holds: "backbone"."""

    mend: str
    """The command that fills and mends it, without quotes: "albo embed"."""

    does: str
    """What that command does with covers: "embeds"."""

    done: str
    """What the covers are then: "embedded"."""

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
        """Turn what Arrow raises for a damaged part into StaleArtifact.

        FileNotFoundError passes unchanged. Raises AlboError where the file cannot be read for a
        reason outside of it, such as its permissions.
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
    """What the rows of a store are: whose they are, their columns, how content becomes columns.

    Two stores are the same store where their `identity` is the same. A part carries the identity
    in its schema, so a part of another store is recognised even without a manifest.
    """

    kind: ClassVar[StoreKind]
    """The words for a store of this form."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the backbone or reader that the rows come from."""
        ...

    @property
    def identity(self) -> str:
        """Whose rows these are, and of what shape."""
        ...

    def described(self) -> Json:
        """Return what the manifest says beside the parts."""
        ...

    @classmethod
    def recognise(cls, manifest: Json) -> Self:
        """Read the form that a manifest describes. Raises ValueError where it describes none."""
        ...

    def fields(self) -> list[pa.Field]:
        """Return the columns beside `digest`. None of them may be null."""
        ...

    def encoding(self) -> Json:
        """Return the settings of Parquet that the columns are written with."""
        ...

    def check(self, count: int, content: Content_contra) -> None:
        """Refuse content that cannot be stored.

        Parameters
        ----------
        count : the number of covers that the content belongs to.

        Raises ValueError for other shapes, RuntimeFailed for numbers that are no result.
        """
        ...

    def columns(self, content: Content_contra, rows: Sequence[int]) -> list[pa.Array]:
        """Make the columns beside `digest` of some rows of checked content, in that order."""
        ...

    def examine(self, table: pa.Table) -> None:
        """Raise ValueError where rows read from a part can never have been written so."""
        ...

    def failed(self, part: OpenPart) -> Iterable[Digest]:
        """Return the covers of a part whose row records a failure: a later row replaces it."""
        ...
