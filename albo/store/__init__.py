"""The artifacts folder: one writer, atomic writes; vectors, words and covers by digest.

It computes nothing of what it keeps.
"""

from __future__ import annotations

from albo.store.artifacts import Artifacts, backbone_key, check_can_be_folder, reader_key
from albo.store.covers import CoverStore, StoredCovers, is_remote, lies_in_store, open_covers
from albo.store.local import read_file
from albo.store.outputs import MARK, PAGES, PICTURES, check_output
from albo.store.vectors import Vectors, round_as_stored
from albo.store.words import WordStore, WordWriter, as_kept
from albo.store.writing import (
    ELSEWHERE,
    MANIFEST,
    cache_folder,
    file_checksum,
    library_versions,
    plain_write_errors,
    read_json,
    read_manifest,
    scratch_folder,
    sweep,
    write_atomically,
    write_json,
    write_manifest,
)

__all__ = [
    "ELSEWHERE",
    "MANIFEST",
    "MARK",
    "PAGES",
    "PICTURES",
    "Artifacts",
    "CoverStore",
    "StoredCovers",
    "Vectors",
    "WordStore",
    "WordWriter",
    "as_kept",
    "backbone_key",
    "cache_folder",
    "check_can_be_folder",
    "check_output",
    "file_checksum",
    "is_remote",
    "library_versions",
    "lies_in_store",
    "open_covers",
    "plain_write_errors",
    "read_file",
    "read_json",
    "read_manifest",
    "reader_key",
    "round_as_stored",
    "scratch_folder",
    "sweep",
    "write_atomically",
    "write_json",
    "write_manifest",
]
