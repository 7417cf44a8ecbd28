"""Copies that vectors miss are found by their miniatures; pictures that are plain prove nothing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from albo.images import decode, miniature_of
from albo.neighbours import (
    GROUPED_MINIATURES,
    SHOWN_MINIATURES,
    copies_in,
    near_duplicate_links,
    pairs_in,
    update_looks,
)
from albo.neighbours import miniatures as room
from albo.neighbours.looks import Looks
from albo.samples.covers import draw_sample
from albo.samples.plan import plan_samples
from albo.store import MiniatureStore
from tests.store.part_stores import digests_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from albo.records import Miniatures

CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "100 pixels": lambda image: image.resize((100, 100), Image.Resampling.LANCZOS),
    "60 pixels": lambda image: image.resize((60, 60), Image.Resampling.BILINEAR),
    "grey": lambda image: image.convert("L"),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned back": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "upside down": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "darker": lambda image: image.point(lambda level: level * 0.6),
}


@pytest.fixture(scope="module")
def covers() -> list[Image.Image]:
    """Covers of unlike artworks, of all styles."""
    return [draw_sample(one, 320) for one in plan_samples(2)[::2]]


def shrink(image: Image.Image) -> Miniatures:
    """Return the miniature of a picture that was saved as JPEG and decoded as any cover."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=75)
    return miniature_of(decode(file.getvalue(), 224))


@pytest.fixture(scope="module")
def kept(covers: list[Image.Image]) -> Miniatures:
    return np.stack([shrink(one) for one in covers])


def linked(miniatures: Miniatures, least: float, **options: int) -> set[tuple[int, int]]:
    return {
        (int(first), int(second))
        for block in room.alike_pairs(miniatures, least, **options)
        for first, second in zip(*block[:2], strict=True)
    }


def alike(asked: Miniatures, kept: Miniatures, least: float) -> set[tuple[int, int]]:
    digests = digests_of(range(len(kept)))
    found = list(Looks.of(iter([(digests, kept)])).alike(asked, least))
    assert all(likeness <= 1 for _, _, likeness in found)
    return {(at, digests.index(digest)) for at, digest, _ in found}


def sticker(image: Image.Image) -> Image.Image:
    marked = image.copy()
    ImageDraw.Draw(marked).ellipse((230, 230, 310, 310), fill="#d7263d")
    return marked


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(
    covers: list[Image.Image], kept: Miniatures, change: str
) -> None:
    changed = np.stack([shrink(CHANGES[change](one)) for one in covers])
    assert alike(changed, kept, SHOWN_MINIATURES) == {(at, at) for at in range(len(covers))}


def frame(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, 25, "#7d1c5a")


@pytest.mark.parametrize("change", [sticker, frame])
def test_stickers_and_frames_hide_nothing_from_groups(
    covers: list[Image.Image], kept: Miniatures, change: Callable[[Image.Image], Image.Image]
) -> None:
    changed = np.stack([shrink(change(one)) for one in covers])
    assert alike(changed, kept, GROUPED_MINIATURES) >= {(at, at) for at in range(len(covers))}


def test_all_pairs_are_those_of_each_with_each(covers: list[Image.Image], kept: Miniatures) -> None:
    turned = np.stack([shrink(CHANGES["turned"](one)) for one in covers])
    both = np.concatenate([kept, turned])
    count = len(covers)
    wanted = {(at, at + count) for at in range(count)}
    assert linked(both, SHOWN_MINIATURES) == wanted
    assert linked(both[::-1], SHOWN_MINIATURES) == {
        (2 * count - 1 - second, 2 * count - 1 - first) for first, second in wanted
    }
    assert linked(kept, SHOWN_MINIATURES) == set()


@pytest.mark.parametrize("block", [3, 2048])
def test_blocks_leave_no_pair_out(
    kept: Miniatures, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(room, "_BLOCK_ROWS", block)
    crowd = np.random.default_rng(0).integers(0, 256, (200, 1, 16, 16), np.uint8)
    every = np.concatenate([np.repeat(crowd, 2, axis=1), kept])
    mixed = np.concatenate([every, every[:4], np.rot90(every[2:5], 1, axes=(2, 3))])
    count = len(every)
    wanted = {
        *((at, count + at) for at in range(4)),
        *((at, count + 2 + at) for at in range(2, 5)),
        *((count + at, count + 2 + at) for at in range(2, 4)),
    }
    assert linked(mixed, SHOWN_MINIATURES) == wanted
    assert linked(mixed, SHOWN_MINIATURES, exact_until=2) == wanted


def test_plain_pictures_prove_nothing() -> None:
    plain = [Image.new("RGB", (320, 320), colour) for colour in ("white", "black", "red")]
    plain += [Image.linear_gradient("L").resize((320, 320)).rotate(turn) for turn in (0, 90)]
    for title in ("Northern Lights", "Quiet Hours", "Piano Works"):
        page = Image.new("RGB", (320, 320), "white")
        ImageDraw.Draw(page).text((60, 150), title, fill="black", font_size=30)
        plain.append(page)
    assert linked(np.stack([shrink(one) for one in plain]), GROUPED_MINIATURES) == set()


def test_near_duplicates_are_joined_by_either(kept: Miniatures, tmp_path: Path) -> None:
    store = MiniatureStore.open_or_create(tmp_path / "miniatures")
    digests = digests_of(range(6))
    with store.writer() as writer:
        writer.add(digests[:5], np.stack([kept[0], kept[1], kept[2], kept[0], kept[4]]))
    vectors = np.eye(6, dtype=np.float32)
    vectors[5] = vectors[3]
    said: list[str] = []
    also = pairs_in(store, digests, GROUPED_MINIATURES, said.append)
    links = near_duplicate_links(vectors, 0.9, also=also)
    assert links.tolist() == [[0, 3], [0, 5]]
    assert said == [
        "1 cover has no miniature yet, so small, grey and framed copies cannot be recognised; run"
        " `albo embed` to make what is missing"
    ]


@pytest.mark.parametrize("harm", ["nothing", "missing", "cut", "changed", "another's"])
def test_the_file_beside_the_store_answers_like_the_store(
    kept: Miniatures, tmp_path: Path, harm: str
) -> None:
    store = MiniatureStore.open_or_create(tmp_path / "miniatures")
    with store.writer() as writer:
        writer.add(digests_of(range(8)), kept[:8])
    update_looks(store)
    (file,) = store.folder.glob("looks-*.npz")
    raw = bytearray(file.read_bytes())
    if harm == "missing":
        file.unlink()
    elif harm == "cut":
        file.write_bytes(raw[:-30])
    elif harm == "changed":
        raw[len(raw) // 2] ^= 0xFF
        file.write_bytes(raw)
    elif harm == "another's":
        np.savez(file, digests=np.zeros(1, "V32"), owners=[5], rows=[[1]], steps=[1.0])
    found = copies_in(store, [kept[3]], SHOWN_MINIATURES)
    assert list(found[0]) == digests_of([3])
    assert found[0][digests_of([3])[0]] == pytest.approx(1, abs=0.01)


def test_the_file_follows_the_store(kept: Miniatures, tmp_path: Path) -> None:
    store = MiniatureStore.open_or_create(tmp_path / "miniatures")
    update_looks(store)
    assert copies_in(store, [kept[0]], SHOWN_MINIATURES) == [{}]
    with store.writer() as writer:
        writer.add(digests_of(range(2)), kept[:2])
    assert list(copies_in(store, [kept[1]], SHOWN_MINIATURES)[0]) == digests_of([1])
    update_looks(store)
    assert list(copies_in(store, [kept[1]], SHOWN_MINIATURES)[0]) == digests_of([1])
    assert len(list(store.folder.glob("looks-*.npz"))) == 1


def test_copies_in_a_store_that_is_missing_are_none(kept: Miniatures, tmp_path: Path) -> None:
    store = MiniatureStore.at(tmp_path / "nothing")
    assert copies_in(store, [kept[0], None], 0.9) == [{}, {}]
    store = MiniatureStore.open_or_create(tmp_path / "miniatures")
    with store.writer() as writer:
        writer.add(digests_of(range(3)), kept[:3])
    one, nothing, other = copies_in(store, [kept[1], None, kept[5]], SHOWN_MINIATURES)
    assert {digest: round(likeness, 3) for digest, likeness in one.items()} == {
        digests_of([1])[0]: 1.0
    }
    assert (nothing, other) == ({}, {})
