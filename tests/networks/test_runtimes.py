"""Runtimes: all agree with eager float32; exports that survive damage, races and lone folders."""

from __future__ import annotations

import csv
import gc
import json
import os
import subprocess
import sys
import threading
import weakref
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from albo.errors import RuntimeFailed, UsageError
from albo.images import decode
from albo.networks import engines, openvino_runtime, precision, runtimes, torch_runtime
from albo.networks.engines import requests_at_once, run_in_order
from albo.networks.openvino_runtime import OpenVinoRuntime
from albo.networks.precision import probe_images
from albo.networks.runtimes import open_runtime
from albo.networks.torch_runtime import TorchRuntime
from albo.networks.weights import build, describe
from albo.records import Device
from albo.store import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from albo.networks import Card
    from albo.networks.runtimes import Runtime
    from albo.records import Floats, Pixels

MARGIN = 0.002
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
mps = pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no Apple GPU")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep exports of this module's networks apart from the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def card() -> Card:
    return describe("efficientnet-lite0")


@pytest.fixture(scope="module")
def lite0(card: Card) -> Runtime:
    return open_runtime(card, Device.CPU)


def covers(folder: Path, count: int) -> list[Path]:
    """Choose covers spread over a set's genres."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        names = sorted(row["file"] for row in csv.DictReader(file))
    return [folder / name for name in names[:: len(names) // count]][:count]


@pytest.fixture(scope="module")
def real(itunes36: Path, discogs5: Path) -> list[bytes]:
    """The bytes of 150 real covers."""
    return [read_file(str(f)) for f in covers(itunes36, 75) + covers(discogs5, 75)]


def decoded(real: list[bytes], card: Card) -> Pixels:
    return np.stack([decode(data, card.size, card.resample) for data in real])


@pytest.fixture(scope="module")
def pixels(real: list[bytes], card: Card) -> Pixels:
    return decoded(real, card)


@pytest.fixture(scope="module")
def eager(card: Card, pixels: Pixels) -> tuple[Floats, Floats]:
    return eager_float32(card, pixels)


def eager_float32(card: Card, pixels: Pixels) -> tuple[Floats, Floats]:
    """What all runtimes must agree with: the network as it was built, a few covers at a time."""
    network = build(card)
    with torch.inference_mode():
        parts = [network(torch.from_numpy(pixels[i : i + 10])) for i in range(0, len(pixels), 10)]
    top, middle = (torch.cat(outputs).numpy() for outputs in zip(*parts, strict=True))
    return top, middle


def run(runtime: Runtime, pixels: Pixels, size: int = 16) -> tuple[Floats, Floats]:
    batches = (pixels[i : i + size] for i in range(0, len(pixels), size))
    top, middle = zip(*runtime.encode(batches), strict=True)
    return np.concatenate(top), np.concatenate(middle)


def unit(rows: Floats) -> np.ndarray[Any, np.dtype[np.float64]]:
    exact = rows.astype(np.float64)
    return exact / np.linalg.norm(exact, axis=1, keepdims=True)


def check_agreement(ours: tuple[Floats, Floats], eager: tuple[Floats, Floats]) -> None:
    """Cosines at least 0.999, and the same first neighbour wherever float32 is clear about it."""
    x, y = unit(ours[0]), unit(eager[0])
    assert ours[0].dtype == ours[1].dtype == np.float32
    assert (x * y).sum(1).min() >= 0.999
    if eager[1].shape[1]:
        assert (unit(ours[1]) * unit(eager[1])).sum(1).min() >= 0.999
    theirs = first_neighbours(y)[0][clear := first_neighbours(y)[1] > MARGIN]
    assert (first_neighbours(x)[0][clear] == theirs).all()


def first_neighbours(unit_rows: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return each row's first neighbour, and by how much its cosine leads the second's."""
    cosines = unit_rows @ unit_rows.T
    np.fill_diagonal(cosines, -2)
    second, first = np.partition(cosines, -2, axis=1)[:, -2:].T
    return cosines.argmax(1), first - second


# --- agreement -----------------------------------------------------------------------------------


@pytest.mark.whole
def test_openvino_agrees_with_eager_float32_on_real_covers(
    lite0: Runtime, pixels: Pixels, eager: tuple[Floats, Floats]
) -> None:
    assert isinstance(lite0, OpenVinoRuntime)
    assert (first_neighbours(unit(eager[0]))[1] > MARGIN).sum() > 100
    check_agreement(run(lite0, pixels), eager)


@pytest.mark.whole
def test_one_cover_at_once_gets_the_same_answer(
    card: Card, pixels: Pixels, eager: tuple[Floats, Floats]
) -> None:
    single = open_runtime(card, Device.CPU, single=True)
    some = slice(None, None, 5)
    check_agreement(run(single, pixels[some], 1), (eager[0][some], eager[1][some]))


@pytest.mark.whole
def test_eager_torch_agrees_with_itself(
    card: Card, pixels: Pixels, eager: tuple[Floats, Floats]
) -> None:
    runtime = TorchRuntime(card, Device.CPU, 7)
    some = slice(None, None, 5)
    check_agreement(run(runtime, pixels[some]), (eager[0][some], eager[1][some]))
    assert runtime.arithmetic == "float32"


def resnet(depth: int) -> nn.Module:
    return torchvision.models.get_model(f"resnet{depth}")


def inception() -> nn.Module:
    return torchvision.models.inception_v3(init_weights=False)


def convnext() -> nn.Module:
    network = torchvision.models.convnext_tiny()
    for name, parameter in network.named_parameters():
        if name.endswith("layer_scale"):  # 1e-6 at first: its branches would say nothing
            nn.init.uniform_(parameter, 0.1, 0.5)
    return network


def vit() -> nn.Module:
    network = timm.create_model("vit_tiny_patch16_224")
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.05)  # 0.02 at first: all patches look alike
    return network


STRUCTURES = {
    "resnet18": (lambda: resnet(18), (512, 768)),
    "resnet50": (lambda: resnet(50), (2048, 3072)),
    "inception_v3": (inception, (2048, 2112)),
    "convnext_tiny": (convnext, (768, 1152)),
    "timm/vit_tiny_patch16_224": (vit, (192, 0)),
}


def random_weights(name: str, file: Path) -> None:
    """Save a random network whose batch statistics fit its weights."""
    torch.manual_seed(7)
    network = STRUCTURES[name][0]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # average all batches
    side = 299 if name == "inception_v3" else 224
    images = torch.from_numpy(probe_images(side, 4)).permute(0, 3, 1, 2).float() / 64 - 2
    with torch.no_grad():
        network.train()(images)
    torch.save(network.state_dict(), file)


@pytest.mark.whole
@pytest.mark.parametrize("name", STRUCTURES)
def test_other_structures_agree_too(
    real: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(
        openvino_runtime, "probe_images", lambda size: probe_images(size, 4)
    )  # (faster)
    file = tmp_path / "random.pth"
    random_weights(name, file)
    card = describe(name, file)
    assert (card.dimension, card.middle_dimension) == STRUCTURES[name][1]
    some = decoded(real[::15], card)
    expected = eager_float32(card, some)
    said: list[str] = []
    runtime = open_runtime(card, Device.CPU, note=said.append)
    file.unlink()
    assert isinstance(runtime, OpenVinoRuntime), said
    assert np.ptp(unit(expected[0]) @ unit(expected[0]).T) > 0.003  # it tells covers apart
    check_agreement(run(runtime, some), expected)


def test_probes_are_the_same_everywhere() -> None:
    probes = probe_images(64)
    assert probes.shape == (12, 64, 64, 3)
    assert probes.dtype == np.uint8
    np.testing.assert_array_equal(probes, probe_images(64))
    assert probes.reshape(12, -1).std(1).min() > 1


def test_agreement_is_asked_of_the_many_and_of_each() -> None:
    rng = np.random.default_rng(1)
    exact = rng.normal(size=(12, 400)).astype(np.float32)

    def off_by(sizes: Any) -> Floats:  # noqa: ANN401  (one for all, or one for each)
        return (exact + rng.normal(size=exact.shape) * np.reshape(sizes, (-1, 1))).astype("f4")

    assert precision.agrees(off_by(0.003), exact)
    assert not precision.agrees(off_by(0.015), exact)  # a median cosine of 0.9999
    assert not precision.agrees(off_by([0.05] + [0.003] * 11), exact)
    broken = exact.copy()
    for nothing in (np.nan, np.inf, 0.0):
        broken[3] = nothing
        assert not precision.agrees(broken, exact)


# --- mixing arithmetics --------------------------------------------------------------------------

GRAPH = """<net><layers>
<layer id="0" type="Parameter"/><layer id="1" type="Const"/><layer id="2" type="Convolution"/>
<layer id="3" type="Convolution"/><layer id="4" type="Clamp"/>
<layer id="5" type="GroupConvolution"/><layer id="6" type="Clamp"/>
<layer id="7" type="Convolution"/><layer id="8" type="Add"/><layer id="9" type="Add"/>
<layer id="10" type="Convolution"/><layer id="11" type="Convolution"/><layer id="12" type="Add"/>
</layers><edges>
<edge from-layer="0" to-layer="2"/><edge from-layer="2" to-layer="3"/>
<edge from-layer="3" to-layer="4"/><edge from-layer="4" to-layer="5"/>
<edge from-layer="5" to-layer="6"/><edge from-layer="6" to-layer="7"/>
<edge from-layer="7" to-layer="8"/><edge from-layer="1" to-layer="8"/>
<edge from-layer="2" to-layer="9"/><edge from-layer="8" to-layer="9"/>
<edge from-layer="9" to-layer="10"/><edge from-layer="0" to-layer="11"/>
<edge from-layer="10" to-layer="12"/><edge from-layer="11" to-layer="12"/>
</edges></net>"""


def coarse_in(marked: bytes) -> list[str]:
    layers = ElementTree.fromstring(marked).iterfind("layers/layer")  # noqa: S314
    return [layer.get("id", "") for layer in layers if layer.find("rt_info") is None]


def test_dense_layers_of_residual_branches_may_be_coarse_and_no_others() -> None:
    mixtures = dict(precision.mixtures(GRAPH.encode()))
    assert mixtures.pop("bfloat16") == GRAPH.encode()
    chosen = [coarse_in(marked) for marked in mixtures.values()]
    assert chosen[0] == ["3", "4", "7", "8"]  # 10 and 11 meet, but neither adds to its own input
    assert chosen[-1] == ["7", "8"]
    assert all("but for the first" in name for name in list(mixtures)[1:])


def test_a_network_without_branches_has_only_both_extremes() -> None:
    plain = GRAPH.replace('type="Add"', 'type="Concat"').encode()
    assert [name for name, _ in precision.mixtures(plain)] == ["bfloat16"]


@pytest.mark.whole
def test_an_export_that_is_not_the_network_is_not_run(
    card: Card, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(openvino_runtime, "mixtures", lambda _plain: [])
    monkeypatch.setattr(
        openvino_runtime, "run_eager", lambda _network, pixels: rng_rows(len(pixels))
    )
    said: list[str] = []
    assert isinstance(open_runtime(card, Device.CPU, note=said.append), TorchRuntime)
    assert "OpenVINO cannot run efficientnet-lite0 (its answers are not torch's)" in said[-1]
    assert not list(tmp_path.rglob("*.openvino"))


def rng_rows(n: int) -> Floats:
    return np.random.default_rng(4).normal(size=(n, 1280)).astype(np.float32)


# --- batches -------------------------------------------------------------------------------------


@pytest.fixture(params=["openvino", "torch"])
def small(request: pytest.FixtureRequest, card: Card, lite0: Runtime) -> Runtime:
    return lite0 if request.param == "openvino" else TorchRuntime(card, Device.CPU, 4)


@pytest.mark.whole
def test_batches_of_any_size_come_back_in_order(small: Runtime, card: Card) -> None:
    images = probe_images(card.size)
    alone = [next(small.encode([image[None]])) for image in images[:6]]
    sizes = [0, 1, 3, 0, 2]
    starts = np.cumsum([0, *sizes])
    batches = [images[a:b] for a, b in pairwise(starts)]
    found = list(small.encode(batches))
    assert [(len(top), len(middle)) for top, middle in found] == [(n, n) for n in sizes]
    assert {top.shape[1] for top, _ in found} == {card.dimension}
    for rows in (0, 1):
        np.testing.assert_allclose(
            np.concatenate([outputs[rows] for outputs in found]),
            np.concatenate([outputs[rows] for outputs in alone]),
            atol=2e-4,
        )
    assert list(small.encode([])) == []


@pytest.mark.whole
def test_a_batch_larger_than_asked_for_is_whole(small: Runtime, card: Card) -> None:
    many = np.repeat(probe_images(card.size, 3), 7, axis=0)
    top, _ = next(small.encode([many]))
    np.testing.assert_allclose(top, np.repeat(top[::7], 7, axis=0), atol=2e-4)


@pytest.mark.whole
def test_looking_ahead_is_bounded(lite0: Runtime, card: Card) -> None:
    assert isinstance(lite0, OpenVinoRuntime)
    drawn = 0

    def batches() -> Iterator[Pixels]:
        nonlocal drawn
        for _ in range(9):
            drawn += 1
            yield probe_images(card.size, 1)

    stream = lite0.encode(batches())
    next(stream)
    assert drawn == min(9, requests_at_once(lite0._compiled) + 1)
    assert len(list(stream)) == 8


@pytest.mark.whole
def test_who_stops_early_leaves_nothing_running(
    lite0: Runtime, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(lite0, OpenVinoRuntime)
    made: list[Any] = []

    class Network:
        """The same network, which tells of the requests that are made."""

        compiled = lite0._compiled

        def get_property(self, name: str) -> object:
            return self.compiled.get_property(name)

        def create_infer_request(self) -> object:
            made.append(self.compiled.create_infer_request())
            return made[-1]

    monkeypatch.setattr(lite0, "_compiled", Network())
    images = probe_images(card.size)
    stream = lite0.encode(images[i : i + 4] for i in (0, 4, 8))
    expected = next(stream)[0]
    stream.close()  # type: ignore[attr-defined]
    assert made
    assert all(request.wait_for(0) for request in made)
    np.testing.assert_array_equal(next(lite0.encode([images[:4]]))[0], expected)


@pytest.mark.whole
def test_threads_share_a_runtime(small: Runtime, card: Card) -> None:
    images = probe_images(card.size)
    expected = [top for top, _ in small.encode([images[:4], images[4:8], images[8:]])]
    found: dict[int, list[Floats]] = {}

    def encode(number: int) -> None:
        batches = [images[:4], images[4:8], images[8:]]
        found[number] = [top for top, _ in small.encode(batches)]

    threads = [threading.Thread(target=encode, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        np.testing.assert_allclose(np.concatenate(found[number]), np.concatenate(expected), 1e-6)


@pytest.mark.whole
def test_a_runtime_that_nobody_holds_is_gone(card: Card) -> None:
    """No cycle keeps a compiled network: its tens of megabytes are free at once."""
    runtime = open_runtime(card, Device.CPU, single=True)
    assert isinstance(runtime, OpenVinoRuntime)
    next(runtime.encode([probe_images(card.size, 1)]))
    held = weakref.ref(runtime)
    gc.disable()
    try:
        del runtime
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.whole
def test_an_error_of_the_source_is_its_own(small: Runtime, card: Card) -> None:
    def batches() -> Iterator[Pixels]:
        yield probe_images(card.size, 2)
        raise LookupError("the disk went away")

    with pytest.raises(LookupError, match="went away"):
        list(small.encode(batches()))
    assert len(list(small.encode([probe_images(card.size, 1)]))) == 1


class FailingNetwork:
    """A compiled network as OpenVINO's: a request that fails says so when it is waited for."""

    def get_property(self, _name: str) -> int:
        return 2

    def create_infer_request(self) -> FailingNetwork:
        return self

    def start_async(self, _inputs: object) -> None:
        pass

    def wait(self) -> None:
        raise RuntimeError("Exception from src/inference:\n\nbad allocation\n")


@pytest.mark.whole
def test_a_request_that_fails_ends_the_run(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = OpenVinoRuntime(card, None, single=False, note=lambda _line: None)
    images = probe_images(card.size, 1)
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "_compiled", FailingNetwork())
        with pytest.raises(RuntimeFailed, match=r"OpenVINO failed \(bad allocation\); free some"):
            list(runtime.encode([images]))
    assert len(list(runtime.encode([images]))) == 1  # the next call is a new one


class Echo:
    """A compiled network that gives back what it is asked, and counts its requests."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.made = 0
        self.running = 0
        self.most = 0

    def get_property(self, _name: str) -> int:
        return self.at_once

    def create_infer_request(self) -> EchoRequest:
        self.made += 1
        return EchoRequest(self)


class EchoRequest:
    def __init__(self, network: Echo) -> None:
        self.network = network
        self.is_running = False

    def start_async(self, inputs: dict[int, Any]) -> None:
        assert not self.is_running
        self.is_running = True
        self.data = inputs[0]
        self.network.running += 1
        self.network.most = max(self.network.most, self.network.running)

    def wait(self) -> None:
        self.network.running -= self.is_running
        self.is_running = False

    @property
    def output_tensors(self) -> list[EchoRequest]:
        assert not self.is_running
        return [self]


@pytest.mark.parametrize(("at_once", "count"), [(1, 5), (3, 0), (3, 2), (3, 3), (3, 20)])
def test_requests_are_answered_in_order_so_many_at_once(at_once: int, count: int) -> None:
    network = Echo(at_once)
    inputs = [np.full((1, 2), number) for number in range(count)]
    found = [output.tolist() for [output] in run_in_order(network, iter(inputs))]
    assert found == [each.tolist() for each in inputs]
    assert network.most == network.made == min(at_once, count)
    assert network.running == 0


# --- too little memory ---------------------------------------------------------------------------


class Attempt:
    """What a failed forward pass leaves in memory."""


class Cramped:
    """A network that runs out of memory above so many covers."""

    def __init__(self, limit: int, error: RuntimeError) -> None:
        self.limit = limit
        self.error = type(error), str(error)
        self.sizes: list[int] = []
        self.last: weakref.ref[Attempt] | None = None

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.last is None or self.last() is None  # the failed attempt's memory is free again
        attempt = Attempt()
        self.last = weakref.ref(attempt)
        self.sizes.append(len(pixels))
        if len(pixels) > self.limit:
            kind, text = self.error
            raise kind(text)
        marks = pixels[:, 0, 0, :1].float()
        return marks, marks + 0.5


def cramped(card: Card, limit: int, error: RuntimeError, batch_size: int = 8) -> TorchRuntime:
    runtime = TorchRuntime(card, Device.CPU, batch_size)
    runtime._network = Cramped(limit, error)  # type: ignore[assignment]
    return runtime


def numbered(n: int, size: int = 4) -> Pixels:
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, size, size, 3))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 4 bytes"),
    ],
)
def test_out_of_memory_halves_this_batch_and_all_that_follow(
    card: Card, error: RuntimeError
) -> None:
    runtime = cramped(card, 3, error)
    images = numbered(20).copy()
    found = list(runtime.encode([images[:8], images[8:16], images[16:]]))
    assert [len(top) for top, _ in found] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate([top for top, _ in found])[:, 0], np.arange(20))
    np.testing.assert_array_equal(found[1][1][:, 0], np.arange(8, 16) + 0.5)
    assert runtime._network.sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    assert runtime.batch_size == 2


def test_one_cover_that_does_not_fit_is_said(card: Card) -> None:
    runtime = cramped(card, 0, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(RuntimeFailed, match=r"one cover does not fit .* --device cpu"):
        list(runtime.encode([numbered(3).copy()]))


def test_other_errors_are_not_taken_for_a_lack_of_memory(card: Card) -> None:
    runtime = cramped(card, 0, RuntimeError("expected 3 channels"))
    with pytest.raises(RuntimeError, match="expected 3 channels"):
        list(runtime.encode([numbered(3).copy()]))
    assert runtime.batch_size == 8
    runtime.device = Device.CUDA
    with pytest.raises(RuntimeFailed, match=r"cuda failed \(expected 3 channels\); use --device"):
        list(runtime.encode([numbered(3).copy()]))


# --- devices -------------------------------------------------------------------------------------


@pytest.mark.whole
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")
def test_a_device_that_is_not_there_is_said(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no CUDA device here; use --device auto or"):
        open_runtime(card, Device.CUDA)
    with pytest.raises(UsageError, match="no Apple GPU here; use --device auto or"):
        open_runtime(card, Device.MPS)
    monkeypatch.setattr(runtimes, "_may_have_gpu", lambda: True)
    assert open_runtime(card).device is Device.CPU


def test_one_cover_never_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_may_have_gpu", lambda: pytest.fail("asked"))
    assert runtimes._choose_device(Device.AUTO, single=True) is Device.CPU


@pytest.mark.whole
def test_a_gpu_that_cannot_load_the_network_is_left_unless_it_was_asked_for(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_small(*_words: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nMore of it.")

    monkeypatch.setattr(runtimes, "_choose_device", lambda _device, **_more: Device.CUDA)
    monkeypatch.setattr(runtimes, "TorchRuntime", too_small)
    said: list[str] = []
    assert open_runtime(card, note=said.append).device is Device.CPU
    assert said == [
        "efficientnet-lite0 cannot be loaded on cuda (CUDA out of memory.); use --device cpu;"
        " running on the CPU"
    ]
    with pytest.raises(RuntimeFailed, match="cannot be loaded on cuda"):
        open_runtime(card, Device.CUDA)


@pytest.mark.whole
@pytest.mark.parametrize("error", [ImportError("no openvino"), RuntimeError("a\nno such layer")])
def test_without_openvino_eager_torch_runs_and_says_so(
    card: Card, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_words: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(runtimes, "OpenVinoRuntime", fail)
    said: list[str] = []
    runtime = open_runtime(card, Device.CPU, note=said.append)
    assert isinstance(runtime, TorchRuntime)
    assert len(said) == 1
    assert "running eager torch" in said[0]
    assert "\n" not in said[0]


# --- exports -------------------------------------------------------------------------------------

FRESH = """
import socket, sys
import numpy as np

asked = []

def blocked(*words, **_more):
    asked.append(words)
    raise OSError("no network here")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = blocked
from albo.networks import find_card, open_backbone

card = find_card("efficientnet-lite0")
backbone = open_backbone(card, single=True, note=print)
found = next(backbone.encode([np.full((1, 224, 224, 3), 90, np.uint8)]))
heavy = {"torch", "torchvision", "timm", "sklearn", "pandas", "openvino_telemetry"}
print(sorted(heavy & set(sys.modules)), asked, found.vector[0, :40].sum(), backbone.arithmetic)
"""


def fresh(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  (this test's own words)
        [sys.executable, "-c", FRESH],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.whole
def test_two_processes_export_at_once_and_a_third_loads_no_torch(tmp_path: Path) -> None:
    """None of them asks for the network, or says a word on stderr."""
    ended = [process.communicate(timeout=240) for process in [fresh(tmp_path), fresh(tmp_path)]]
    ended += [fresh(tmp_path).communicate(timeout=60)]
    assert [errors for _, errors in ended] == [""] * 3
    said = [output.splitlines() for output, _ in ended]
    assert said[0][0] == said[1][0] == "exporting efficientnet-lite0 for this processor (once)"
    exported, _, loaded = (lines[-1] for lines in said)
    assert loaded.startswith("[] [] ")
    assert exported.replace("['timm', 'torch', 'torchvision'] ", "[] ") == loaded
    assert said[0] == said[1]
    kept = list((tmp_path / "albo" / "networks").iterdir())
    assert len(kept) == 1
    assert engines.Export.read(kept[0]) is not None


@pytest.fixture
def exported(card: Card, lite0: Runtime, cache: Path) -> Path:
    """The file of lite0's export."""
    assert lite0.device is Device.CPU
    [file] = (cache / "albo" / "networks").glob(f"efficientnet-lite0-{card.fingerprint[:8]}-*")
    return file


@pytest.mark.whole
@pytest.mark.parametrize(
    "damage",
    [
        "empty",
        "no header",
        "half a header",
        "cut short",
        "one bit",
        "no checksum",
        "other header",
        "nested",
    ],
)
def test_a_damaged_export_is_never_given_to_openvino(
    exported: Path, tmp_path: Path, damage: str
) -> None:
    whole = exported.read_bytes()
    assert engines.Export.read(exported) is not None
    header, _, rest = whole.partition(b"\n")
    content = {
        "empty": b"",
        "no header": rest,
        "half a header": header[: len(header) // 2],
        "cut short": whole[:-1],
        "one bit": whole[:-100_000] + bytes([whole[-100_000] ^ 4]) + whole[-99_999:],
        "no checksum": json.dumps({"arithmetic": "float32"}).encode() + b"\n" + rest,
        "other header": whole.replace(b'"arithmetic": "', b'"arithmetic": "un', 1),
        "nested": b"[" * 4000 + b"\n" + rest,
    }[damage]
    (tmp_path / "damaged").write_bytes(content)
    assert engines.Export.read(tmp_path / "damaged") is None
    assert engines.Export.read(tmp_path) is None
    assert engines.Export.read(tmp_path / "none") is None


@pytest.fixture
def counted(exported: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the exports; each gives what was exported before."""
    made: list[str] = []
    export = engines.Export.read(exported)

    def export_again(card: Card, _core: object) -> object:
        made.append(card.name)
        return export

    monkeypatch.setattr(openvino_runtime, "_export", export_again)
    return made


@pytest.mark.whole
@pytest.mark.parametrize("damage", ["cut short", "checksum holds"])
def test_a_damaged_export_is_made_anew(
    card: Card, exported: Path, counted: list[str], damage: str
) -> None:
    whole = exported.read_bytes()
    if damage == "cut short":
        exported.write_bytes(whole[: len(whole) // 2])
    else:  # another build of OpenVINO wrote what this one cannot read
        engines.Export({"arithmetic": "float32"}, b"no network of mine").write(exported)
    for _ in range(2):
        runtime = open_runtime(card, Device.CPU)
        assert len(list(runtime.encode([probe_images(card.size, 1)]))) == 1
    assert counted == [card.name]
    assert exported.read_bytes() == whole


@pytest.mark.whole
@pytest.mark.usefixtures("no_cache")
def test_where_nothing_can_be_kept_it_runs_and_says_so(card: Card, counted: list[str]) -> None:
    said: list[str] = []
    runtime = open_runtime(card, Device.CPU, note=said.append)
    assert isinstance(runtime, OpenVinoRuntime)
    assert len(list(runtime.encode([probe_images(card.size, 1)]))) == 1
    assert counted == [card.name]
    assert [line.partition(":")[0] for line in said] == [
        "exporting efficientnet-lite0 for this processor (once)",
        "the exported network is not kept, the next start will be as slow",
    ]
    assert not any("\n" in line for line in said)


def test_whoever_reads_while_others_write_finds_a_whole_export(tmp_path: Path) -> None:
    file = tmp_path / "network.openvino"
    exports = [engines.Export({"arithmetic": "float32"}, bytes([n]) * 300_000) for n in range(4)]
    exports[0].write(file)
    found: list[Any] = []
    writers = [
        threading.Thread(target=lambda e=e: [e.write(file) for _ in range(10)]) for e in exports
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found.append(engines.Export.read(file))
    assert found
    assert all(export in exports for export in found)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.whole
def test_an_export_is_named_for_network_program_and_processor(
    card: Card, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Core:
        def __init__(self, processor: str) -> None:
            self.processor = processor

        def get_property(self, _device: str, name: str) -> str:
            return f"{name} of {self.processor}"

    names = {openvino_runtime._export_file(card, Core(kind)) for kind in ("one", "other")}
    monkeypatch.setattr(engines, "library_versions", lambda _name: {"openvino": "1.0"})
    names.add(openvino_runtime._export_file(card, Core("one")))
    assert len(names) == 3
    assert exported not in names


@pytest.mark.whole
def test_the_telemetrys_place_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    engines.import_openvino()
    assert "openvino_telemetry" not in sys.modules
    monkeypatch.setitem(sys.modules, "openvino_telemetry", json)
    engines.import_openvino()
    assert sys.modules["openvino_telemetry"] is json


# --- GPUs ----------------------------------------------------------------------------------------


@pytest.mark.gpu
@gpu
def test_cuda_agrees_with_eager_float32_on_real_covers(
    card: Card, pixels: Pixels, eager: tuple[Floats, Floats]
) -> None:
    runtime = TorchRuntime(card, Device.CUDA, 64)
    check_agreement(run(runtime, pixels, 64), eager)  # the last batch is not whole
    assert runtime._graphs.captures


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("name", STRUCTURES)
def test_other_structures_agree_on_cuda(real: list[bytes], tmp_path: Path, name: str) -> None:
    random_weights(name, tmp_path / "random.pth")
    card = describe(name, tmp_path / "random.pth")
    some = decoded(real[::8], card)
    runtime = open_runtime(card, Device.CUDA)
    check_agreement(run(runtime, some), eager_float32(card, some))


@pytest.mark.gpu
@gpu
def test_a_captured_graph_serves_batches_of_every_size(
    card: Card, pixels: Pixels, eager: tuple[Floats, Floats]
) -> None:
    runtime = TorchRuntime(card, Device.CUDA, 16)
    starts = [0, 16, 32, 41, 42, 58, 100]  # whole, more than half, one, whole, too many
    found = list(runtime.encode(pixels[a:b] for a, b in pairwise(starts)))
    ours = tuple(np.concatenate(outputs) for outputs in zip(*found, strict=True))
    check_agreement(ours, (eager[0][:100], eager[1][:100]))  # type: ignore[arg-type]
    assert runtime._graphs.captures
    assert len(runtime._graphs) == 1


@pytest.mark.gpu
@gpu
def test_a_full_gpu_halves_the_batch(
    card: Card, pixels: Pixels, eager: tuple[Floats, Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = TorchRuntime(card, Device.CUDA, 64)
    graph = torch_runtime._Graph

    def small(network: nn.Module, batch: int, size: int, where: torch.device) -> object:
        if batch > 20:
            torch.empty(1 << 50, device=where)
        return graph(network, batch, size, where)

    monkeypatch.setattr(torch_runtime, "_Graph", small)
    check_agreement(run(runtime, pixels[:100], 64), (eager[0][:100], eager[1][:100]))
    assert runtime.batch_size == 16


@pytest.mark.gpu
@mps
def test_mps_agrees_with_eager_float32_on_real_covers(
    card: Card, pixels: Pixels, eager: tuple[Floats, Floats]
) -> None:
    check_agreement(run(open_runtime(card, Device.MPS), pixels, 64), eager)


@pytest.mark.whole
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has that stack")
def test_openvino_leaves_signals_the_stack_they_had() -> None:
    """Its plugin sets one so small that Ctrl-C could end in a segmentation fault."""
    program = (
        "import ctypes\n"
        "from albo.networks.engines import _SignalStack, open_core\n"
        "def stack():\n"
        "    found = _SignalStack()\n"
        "    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))\n"
        "    return found.flags, found.size\n"
        "before = stack()\n"
        "open_core()\n"
        "assert stack() == before, stack()\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
