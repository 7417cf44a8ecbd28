"""The head that comes with albo, for a first answer before anything is trained.

It holds only fitted numbers, and neither images nor their vectors. CARD.md says what it was fitted
on and how good it is; `make starter` makes all of it again from the same covers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from albo.errors import StaleArtifact
from albo.heads.saved import load_head

if TYPE_CHECKING:
    from albo.heads.head import Head

STARTER = "starter"
FOLDER = Path(__file__).resolve().parent


def load_starter() -> Head:
    """Read the starter head. Raises StaleArtifact where the installed one is damaged."""
    try:
        return load_head(FOLDER)
    except StaleArtifact as error:
        raise StaleArtifact(
            "the starter head of this installation is damaged; install albo again, or run `albo"
            " embed FOLDER` and `albo train` to make a head of your own"
        ) from error
