"""Fixtures of the stores' tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from albo.store import merging, part_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet, nor the one above it."""
    return tmp_path / "kept" / "store-01234567"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups and parts so small that a handful of covers makes many."""
    monkeypatch.setattr(part_files, "GROUP_ROWS", 7)
    monkeypatch.setattr(merging, "LARGE_PART", 40)
    monkeypatch.setattr(merging, "MAX_SMALL_PARTS", 4)
