"""The catalog: albums, where they are listed, and the digests of their covers.

A catalog is anything with the methods of `Catalog`; the default is one SQLite file.
`open_catalog` opens whichever an address names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from albo.catalog.masking import mask_address
from albo.catalog.mongo import MongoCatalog
from albo.catalog.mongo_server import SCHEMES, same_place
from albo.catalog.sqlite import SqliteCatalog
from albo.errors import EmptyCatalog, UsageError

if TYPE_CHECKING:
    from albo.catalog.catalog import Catalog

_SQLITE = "sqlite:///"
_KNOWN = frozenset({"sqlite", "mongodb", "mongodb+srv"})


def open_catalog(where: Path | str, *, write: bool = False) -> Catalog:
    """Open the catalog at a path, at `sqlite:///PATH`, `mongodb://HOST/DB` or `mongodb+srv://…`.

    A missing catalog is made for writing. The path after sqlite:/// is relative; a fourth slash
    makes it absolute.

    Raises UsageError for any other address, EmptyCatalog if there is none to read, AlboError if it
    cannot be opened.
    """
    file = _file_of(where)
    if file is None:
        return MongoCatalog(str(where), write=write)
    if file.is_dir():
        raise UsageError(f"{file} is a folder; name a file for the catalog")
    if not (write or file.is_file()):
        raise EmptyCatalog(f"there is no {file}; run `albo embed SOURCE` first")
    return SqliteCatalog(file, write=write)


def check_catalog(where: Path | str) -> None:
    """Raise UsageError if the address names no catalog. Nothing is opened."""
    _file_of(where)


def is_address(text: str) -> bool:
    """Whether a text begins with the scheme of a catalog; a bare path does not."""
    return text.startswith((_SQLITE, *SCHEMES))


def shown(where: Path | str) -> str:
    """Return where a catalog is, without user, password and options."""
    file = _file_of(where)
    return mask_address(str(where)) if file is None else str(file)


def source_name(where: str) -> str:
    """Return the name of a catalog as a source of albums, the same from any working folder."""
    file = _file_of(where)
    return mask_address(where) if file is None else f"{_SQLITE}{file.resolve()}"


def same_catalog(first: Path | str, second: Path | str) -> bool:
    """Whether two addresses name one catalog. Aliases of one server are not recognised."""
    one, other = _file_of(first), _file_of(second)
    if one is not None and other is not None:
        if one.exists() and other.exists():
            return one.samefile(other)
        return one.resolve() == other.resolve()
    return one is other and same_place(str(first), str(second))


def _file_of(where: Path | str) -> Path | None:
    """Return the SQLite file that an address names; None for a MongoDB."""
    text = str(where)
    if text.startswith(SCHEMES):
        return None
    scheme, colon, _ = text.partition(":")
    if text.startswith(_SQLITE):
        text = text.removeprefix(_SQLITE)
    elif "://" in text or (colon and scheme.lower() in _KNOWN):
        # Show only the scheme: the rest may hold a password.
        raise UsageError(
            f"{scheme}:… names no catalog that albo can open; give a path, sqlite:///FILE or"
            " mongodb://HOST/DB"
        )
    if not text or "\0" in text:
        raise UsageError("a catalog needs a name: a path, sqlite:///FILE or mongodb://HOST/DB")
    return Path(text).expanduser()
