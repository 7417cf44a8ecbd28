"""Backbones: unit vectors, cards kept from one run to the next, thresholds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch

from albo import Albo
from albo.errors import UnknownBackbone, UsageError
from albo.networks import (
    FrozenBackbone,
    backbones,
    find_card,
    near_duplicate_thresholds,
    open_backbone,
)
from albo.networks import weights as networks
from albo.records import Device
from albo.store import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from albo.networks import Card
    from albo.records import Floats, Json, Note, Pixels

TINY = "timm/test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A state dict of a random network of 0.4 million numbers."""
    return write_weights(tmp_path / "tiny.pth", seed=1)


def write_weights(file: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    return file


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count how often torch is asked."""
    asked: list[str] = []
    describe = networks.describe

    def counting(name: str, *words: object, **more: object) -> Card:
        asked.append(name)
        return describe(name, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(networks, "describe", counting)
    return asked


# --- embedding -----------------------------------------------------------------------------------


class FixedRuntime:
    """Gives what it was told to."""

    device = Device.MPS
    arithmetic = "float16"
    batch_size = 5

    def __init__(self, top: Floats) -> None:
        self.top = top

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        for pixels in batches:
            yield self.top[: len(pixels)], np.full((len(pixels), 2), 7, np.float32)


def embed(card: Card, top: Floats) -> Floats:
    backbone = FrozenBackbone(card, FixedRuntime(top))
    pixels = np.zeros((len(top), 4, 4, 3), np.uint8)
    [found] = backbone.encode([pixels])
    np.testing.assert_array_equal(found.middle, np.full((len(top), 2), 7))  # raw
    return found.vector


def test_vectors_have_unit_length_whatever_the_networks_scale() -> None:
    card = find_card("efficientnet-lite0")
    top = np.random.default_rng(2).normal(size=(4, 1280)).astype(np.float32)
    scaled = top * np.array([[1e-18], [1.0], [1e3], [1e18]], np.float32)
    vector = embed(card, scaled)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vector, embed(card, top), atol=1e-6)


def test_a_network_that_says_nothing_of_a_cover_gives_nan_for_it_alone() -> None:
    top = np.ones((3, 4), np.float32)
    top[1] = 0
    vector = embed(find_card("efficientnet-lite0"), top)
    assert np.isnan(vector[1]).all()
    np.testing.assert_allclose(vector[[0, 2]], 0.5)


def test_a_backbone_says_where_and_how_it_runs() -> None:
    runtime = FixedRuntime(np.ones((1, 2), np.float32))
    backbone = FrozenBackbone(find_card("efficientnet-lite0"), runtime)
    assert (backbone.device, backbone.arithmetic, backbone.batch_size) == ("mps", "float16", 5)


# --- open backbones ------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Device, int | None, bool]]:
    """Count what is opened; nothing is open at first."""
    asked: list[tuple[str, Device, int | None, bool]] = []

    def open_runtime(
        card: Card, device: Device, batch_size: int | None, *, single: bool, note: Note
    ) -> FixedRuntime:
        asked.append((card.name, device, batch_size, single))
        note("opened")
        return FixedRuntime(np.ones((1, 2), np.float32))

    monkeypatch.setattr(backbones, "open_runtime", open_runtime)
    monkeypatch.setattr(backbones, "_open_backbones", backbones._OpenBackbones())
    return asked


def test_a_backbone_is_opened_once_for_all_who_ask_for_the_same(
    opened: list[tuple[str, Device, int | None, bool]],
) -> None:
    card = find_card("efficientnet-lite0")
    said: list[str] = []
    first = open_backbone(card, Device.CPU, single=True, note=said.append)
    assert open_backbone(card, Device.CPU, single=True, note=said.append) is first
    assert open_backbone(replace(card), Device.CPU, single=True) is first
    assert (said, len(opened)) == (["opened"], 1)
    others = [
        open_backbone(card, Device.CPU),
        open_backbone(card, Device.CPU, 4, single=True),
        open_backbone(replace(card, fingerprint="0" * 64), Device.CPU, single=True),
    ]
    assert len({id(each) for each in [first, *others]}) == len(opened) == 4


def test_of_many_backbones_the_last_few_stay_open(
    opened: list[tuple[str, Device, int | None, bool]],
) -> None:
    card = find_card("efficientnet-lite0")
    first = open_backbone(card, batch_size=1)
    for size in (2, 3, 1, 4, 5):  # the first is asked for between
        open_backbone(card, batch_size=size)
    assert open_backbone(card, batch_size=1) is first
    assert [size for _, _, size, _ in opened] == [1, 2, 3, 4, 5]
    open_backbone(card, batch_size=2)
    assert [size for _, _, size, _ in opened][5:] == [2]


def test_threads_that_ask_at_once_open_one(
    opened: list[tuple[str, Device, int | None, bool]],
) -> None:
    card = find_card("efficientnet-lite0")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _number: open_backbone(card, single=True), range(8)))
    assert len({id(each) for each in found}) == len(opened) == 1


def test_another_process_opens_its_own(
    opened: list[tuple[str, Device, int | None, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a forked process the threads are missing that the parent's network runs in."""
    card = find_card("efficientnet-lite0")
    first = open_backbone(card)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert open_backbone(card) is not first
    assert len(opened) == 2


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells its pages")
def test_a_process_that_asks_again_and_again_keeps_its_size(
    sample_artifacts: Path, kept_aside: list[str]
) -> None:
    albo = Albo(sample_artifacts)

    def ask(times: int) -> int:
        for _ in range(times):
            list(albo.similar(kept_aside[:1]))
            list(albo.classify(kept_aside[:1]))
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    before = ask(10)
    assert ask(100) - before < 20 << 20  # one network kept a call would be 3,700 MB


# --- cards ---------------------------------------------------------------------------------------


def test_a_card_is_asked_for_once(described: list[str], weights: Path) -> None:
    first = find_card(TINY, weights)
    assert find_card(TINY, weights) == first
    assert find_card(TINY, weights.parent / "." / weights.name) == first
    assert described == [TINY]
    assert find_card("efficientnet-lite0") != first
    assert described == [TINY, "efficientnet-lite0"]


@pytest.mark.whole
def test_a_card_that_is_known_needs_no_torch() -> None:
    card = find_card("efficientnet-lite0")
    script = (
        "import sys; from albo.networks import find_card;"
        "print(find_card('efficientnet-lite0').fingerprint);"
        "print(sorted({'torch', 'timm', 'openvino', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603  (this test's own words)
        [sys.executable, "-c", script],
        env=dict(os.environ), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [card.fingerprint, "[]"]
    assert done.stderr == ""


def test_weights_that_changed_or_went_are_noticed(described: list[str], weights: Path) -> None:
    first = find_card(TINY, weights)
    write_weights(weights, seed=2)
    second = find_card(TINY, weights)
    assert second.fingerprint != first.fingerprint
    assert described == [TINY] * 2
    weights.unlink()
    with pytest.raises(UsageError, match="no file"):
        find_card(TINY, weights)


def memory() -> Path:
    [file] = (cache_folder() / "cards").iterdir()
    return file


def changed(content: Json, **fields: object) -> str:
    return json.dumps({**content, "card": {**content["card"], **fields}})


@pytest.mark.parametrize(
    "damage",
    ["empty", "cut short", "no JSON", "a list", "a number off", "no stamp", "a folder", "binary"],
)
def test_a_damaged_memory_is_ignored_and_replaced(
    described: list[str], weights: Path, damage: str
) -> None:
    card = find_card(TINY, weights)
    file = memory()
    text = file.read_text(encoding="utf-8")
    content = json.loads(text)
    damaged = {
        "empty": "",
        "cut short": text[: len(text) // 2],
        "no JSON": "oops",
        "a list": "[1, 2]",
        "a number off": changed(content, dimension=card.dimension + 1),
        "no stamp": json.dumps({"card": content["card"]}),
    }
    if damage == "a folder":
        file.unlink()
        file.mkdir()
    elif damage == "binary":
        file.write_bytes(b"\xff\x00" * 50)
    else:
        file.write_text(damaged[damage], encoding="utf-8")
    assert find_card(TINY, weights) == card
    assert described == [TINY] * 2
    if damage != "a folder":
        assert find_card(TINY, weights) == card
        assert described == [TINY] * 2


@pytest.mark.usefixtures("no_cache")
def test_where_nothing_can_be_kept_torch_is_asked_again(
    described: list[str], weights: Path
) -> None:
    assert find_card(TINY, weights) == find_card(TINY, weights)
    assert described == [TINY] * 2


@pytest.mark.whole
def test_another_version_of_the_libraries_asks_again(
    described: list[str], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_card(TINY, weights)
    monkeypatch.setattr("albo.networks.backbones.library_versions", lambda *_names: {"timm": "2.0"})
    find_card(TINY, weights)
    assert described == [TINY] * 2


def test_errors_are_not_remembered(described: list[str], weights: Path) -> None:
    with pytest.raises(UnknownBackbone, match="did you mean"):
        find_card("resnet5O", weights)
    with pytest.raises(UnknownBackbone):
        find_card("resnet5O", weights)
    assert described == ["resnet5O"] * 2
    assert not (cache_folder() / "cards").exists()


# --- thresholds ----------------------------------------------------------------------------------


def test_thresholds_are_the_measured_ones_for_the_default_and_stricter_elsewhere(
    weights: Path,
) -> None:
    grouped, shown, measured = near_duplicate_thresholds(find_card("efficientnet-lite0"))
    assert 0.83 == grouped < shown < 0.9
    assert measured
    grouped, shown, measured = near_duplicate_thresholds(find_card(TINY, weights))
    assert 0.9 < grouped < shown < 1
    assert not measured


def test_the_measured_thresholds_are_not_those_of_other_weights() -> None:
    published = find_card("efficientnet-lite0")
    own = find_card("efficientnet-lite0", Path(published.weights))
    assert near_duplicate_thresholds(own) == (0.95, 0.96, False)
