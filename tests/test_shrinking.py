"""Collections that were embedded before miniatures were kept get them once."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albo.catalog.sqlite import SqliteCatalog
from albo.images import decode, miniature_of
from albo.records import Album, Skipped
from albo.samples.covers import draw_sample
from albo.samples.plan import plan_samples
from albo.shrinking import shrink_covers
from albo.store import MiniatureStore, StoredCovers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albo.catalog import Catalog


@pytest.fixture
def covers(tmp_path: Path) -> list[Album]:
    albums = []
    for number, sample in enumerate(plan_samples(2)[:6]):
        file = tmp_path / f"{number}.png"
        draw_sample(sample, 100).save(file)
        digest = _digest(file)
        albums.append(Album("here", str(number), str(file), digest))
    return albums


@pytest.fixture
def catalog(tmp_path: Path, covers: list[Album]) -> Iterator[Catalog]:
    with SqliteCatalog(tmp_path / "catalog.sqlite", write=True) as catalog:
        catalog.upsert(covers)
        yield catalog


@pytest.fixture
def store(tmp_path: Path) -> MiniatureStore:
    return MiniatureStore.open_or_create(tmp_path / "miniatures")


def _digest(file: Path) -> bytes:
    return sha256(file.read_bytes()).digest()


def test_what_is_lacking_is_made_once(
    catalog: Catalog, covers: list[Album], store: MiniatureStore
) -> None:
    steps: list[tuple[int, int | None]] = []
    assert shrink_covers(catalog, StoredCovers(), store, progress=lambda *s: steps.append(s)) == []
    assert steps[-1] == (6, 6)
    digests = [album.digest for album in covers if album.digest]
    there, found = store.read(digests)
    assert there.tolist() == list(range(6))
    for album, miniature in zip(covers, found, strict=True):
        wanted = miniature_of(decode(Path(album.uri).read_bytes(), 224))
        np.testing.assert_array_equal(miniature, wanted)
    steps.clear()
    assert shrink_covers(catalog, StoredCovers(), store, progress=lambda *s: steps.append(s)) == []
    assert steps == []


def test_a_cover_that_is_gone_is_said_and_the_others_are_made(
    catalog: Catalog, covers: list[Album], store: MiniatureStore, tmp_path: Path
) -> None:
    (tmp_path / "2.png").unlink()
    (tmp_path / "3.png").write_bytes(b"another file now")
    skipped = shrink_covers(catalog, StoredCovers(), store)
    assert {one.uri for one in skipped} == {covers[2].uri, covers[3].uri}
    assert all(isinstance(one, Skipped) and one.reason for one in skipped)
    assert len(store) == 4


def test_a_store_that_is_damaged_is_made_anew(catalog: Catalog, store: MiniatureStore) -> None:
    shrink_covers(catalog, StoredCovers(), store)
    (part,) = store.folder.glob("part-*.parquet")
    raw = bytearray(part.read_bytes())
    raw[40] ^= 0xFF
    part.write_bytes(raw)
    fresh = MiniatureStore.open_or_create(store.folder)
    assert shrink_covers(catalog, StoredCovers(), fresh) == []
    assert len(fresh) == 6
