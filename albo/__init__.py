"""albo reads an album cover: what it looks like, and what genre it reads as.

`Albo` opens an artifacts folder and does what the command line does; `AlboError` is what it raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from albo.errors import AlboError

if TYPE_CHECKING:
    from albo.api import Albo

__version__ = "0.1.0"

__all__ = ["Albo", "AlboError", "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (module attributes are of any type)
    """Import the API when it is first asked for, so that `import albo` costs nothing."""
    if name == "Albo":
        from albo.api import Albo

        return Albo
    raise AttributeError(f"module 'albo' has no attribute {name!r}")
