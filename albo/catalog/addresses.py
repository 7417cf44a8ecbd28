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

    For writing it is made where there is none. After sqlite:/// stands the path as it is written
    elsewhere: a fourth slash begins one from the root.

    Raises UsageError for any other address, EmptyCatalog where there is none to read, AlboError
    where it cannot be opened.
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
    """Raise UsageError where that is no address of a catalog; nothing is opened."""
    _file_of(where)


def is_address(text: str) -> bool:
    """Whether a text names a catalog by a scheme: a bare path may be anything."""
    return text.startswith((_SQLITE, *SCHEMES))


def shown(where: Path | str) -> str:
    """Return where a catalog is, without user, password and options."""
    file = _file_of(where)
    return mask_address(str(where)) if file is None else str(file)


def source_name(where: str) -> str:
    """Return what a catalog goes by as a source of albums, from whatever folder it was named."""
    file = _file_of(where)
    return mask_address(where) if file is None else f"{_SQLITE}{file.resolve()}"


def same_catalog(first: Path | str, second: Path | str) -> bool:
    """Say whether two addresses name one catalog; a server may go by names that nobody can tell."""
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
        # Only how it begins: the rest may have a password.
        raise UsageError(
            f"{scheme}:… names no catalog that albo can open; give a path, sqlite:///FILE or"
            " mongodb://HOST/DB"
        )
    if not text or "\0" in text:
        raise UsageError("a catalog needs a name: a path, sqlite:///FILE or mongodb://HOST/DB")
    return Path(text).expanduser()
