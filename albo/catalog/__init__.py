"""Albums, kept in a SQLite file or in MongoDB, and the table of the files that were read.

Bytes of covers are kept elsewhere (`albo.store`).
"""

from __future__ import annotations

from albo.catalog.addresses import (
    check_catalog,
    is_address,
    open_catalog,
    same_catalog,
    shown,
    source_name,
)
from albo.catalog.copying import copy_catalog
from albo.catalog.files import NOT_AN_IMAGE, Files, KnownFile
from albo.catalog.protocol import Catalog

__all__ = [
    "NOT_AN_IMAGE",
    "Catalog",
    "Files",
    "KnownFile",
    "check_catalog",
    "copy_catalog",
    "is_address",
    "open_catalog",
    "same_catalog",
    "shown",
    "source_name",
]
