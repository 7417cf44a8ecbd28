"""Nearest covers: exact and compressed indexes, near-duplicates, typicality.

It knows vectors and digests, no albums.
"""

from __future__ import annotations

from albo.neighbours.duplicates import duplicate_groups, near_duplicate_links
from albo.neighbours.lists import Lists
from albo.neighbours.manifest import (
    MEND,
    IndexKind,
    IndexManifest,
    OpenedIndex,
    Tuning,
    VectorStore,
    damaged_index,
    load_index_files,
    next_generation,
    open_if_whole,
    read_if_there,
    read_index_manifest,
)
from albo.neighbours.rows import ROUNDING
from albo.neighbours.typicality import LEAST_COVERS, GenreMeans, Standing, standing
from albo.neighbours.updates import IVF_LEAST, TOLERANCE, IndexSummary, IndexUpdate, choose_kind

__all__ = [
    "IVF_LEAST",
    "LEAST_COVERS",
    "MEND",
    "ROUNDING",
    "TOLERANCE",
    "GenreMeans",
    "IndexKind",
    "IndexManifest",
    "IndexSummary",
    "IndexUpdate",
    "Lists",
    "OpenedIndex",
    "Standing",
    "Tuning",
    "VectorStore",
    "choose_kind",
    "damaged_index",
    "duplicate_groups",
    "load_index_files",
    "near_duplicate_links",
    "next_generation",
    "open_if_whole",
    "read_if_there",
    "read_index_manifest",
    "standing",
]
