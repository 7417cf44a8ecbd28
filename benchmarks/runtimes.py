"""The parts of `albo embed` alone: decoding the same files, the network on the same pixels."""

from __future__ import annotations

import copy
import io
import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.images import decode
from albo.networks import DEFAULT, find_card
from albo.networks.runtimes import open_runtime
from albo.networks.weights import build
from albo.records import Device
from benchmarks.covers import large_covers, workspace
from benchmarks.measure import interleave, seconds_of
from benchmarks.results import Row, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from torch import nn

    from albo.networks import Card
    from albo.networks.runtimes import Runtime
    from albo.records import Pixels
    from benchmarks.options import Options

_TORCH_BATCH = 64


def run(options: Options) -> Section:
    """Measure each runtime and each decoder on the same covers, turn by turn."""
    rounds = options.pick(5, 2)
    covers = large_covers()[: options.pick(200, 16)]
    with workspace():
        card = find_card(DEFAULT)
        files = [path.read_bytes() for path in covers]
        pixels = np.stack([decode(data, card.size, card.resample) for data in files])
        rows = _rows("decode alone, one thread: ", _decoders(files, card), len(files), rounds)
        decoded = len(files)
        if len(pixels) < options.pick(512, 16):
            pixels = np.concatenate([pixels] * 3)[: options.pick(512, 16)]
        network = build(card)
        ours = open_runtime(card, Device.CPU)
        rows += _rows("network alone, CPU: ", _cpu(network, ours, pixels), len(pixels), rounds)
        rows += _rows_on_cuda(card, network, pixels, rounds)
    remark = (
        f"Covers a second: {decoded} covers of 1000 px decoded; {len(pixels)} covers of {card.size}"
        f" px, uint8, through the network, {card.name}. Each ratio is to the first way of its kind."
        f" Torch runs batches of {_TORCH_BATCH}. On this CPU albo chose: {ours.arithmetic}."
    )
    return Section(
        "runtimes: the network alone, decoding alone",
        rows,
        [remark],
        ("torch", "torchvision", "timm", "openvino", "pillow", "simplejpeg"),
    )


def _rows(
    what: str, ways: Mapping[str, Callable[[], object]], covers: int, rounds: int
) -> list[Row]:
    """Time every way; the last is albo's, the first the most usual one."""
    for way in ways.values():
        way()
    jobs = {name: partial(seconds_of, way) for name, way in ways.items()}
    speeds = {n: sample.inverse(covers) for n, sample in interleave(jobs, rounds).items()}
    *peers, ours = speeds
    usual = speeds[peers[0]]
    rows = [
        Row(what + name, "", speeds[name].show(0), speeds[name].over(usual).show(1, "x"))
        for name in peers
    ]
    return [
        *rows,
        Row(what + ours, speeds[ours].show(0), "", speeds[ours].over(usual).show(1, "x")),
    ]


def _decoders(files: Sequence[bytes], card: Card) -> dict[str, Callable[[], object]]:
    from PIL import Image

    square = (card.size, card.size)

    def pillow(data: bytes, *, draft: bool) -> object:
        with Image.open(io.BytesIO(data)) as image:
            if draft:
                image.draft("RGB", square)
            return np.asarray(image.convert("RGB").resize(square, Image.Resampling.BICUBIC))

    return {
        "Pillow, full and resized": lambda: [pillow(data, draft=False) for data in files],
        "Pillow with `draft`": lambda: [pillow(data, draft=True) for data in files],
        "albo's": lambda: [decode(data, card.size, card.resample) for data in files],
    }


def _cpu(network: nn.Module, ours: Runtime, pixels: Pixels) -> dict[str, Callable[[], object]]:
    import torch

    half = _in_bfloat16(network)
    queue = _openvino_float32(network, pixels[:1])
    return {
        "eager torch float32": lambda: _run_torch(network, pixels, torch.device("cpu")),
        "eager torch bfloat16": lambda: _run_torch(half, pixels, torch.device("cpu")),
        "OpenVINO float32, async queue": lambda: _run_queue(queue, pixels),
        "albo's choice": lambda: _run_ours(ours, pixels),
    }


def _rows_on_cuda(card: Card, network: nn.Module, pixels: Pixels, rounds: int) -> list[Row]:
    import torch

    if not torch.cuda.is_available():
        return [Row("network alone, CUDA", "no such device here")]
    where = torch.device("cuda")
    ours = open_runtime(card, Device.CUDA)
    # A GPU is through with what a CPU takes seconds for before a clock can tell.
    pixels = np.concatenate([pixels] * 16)
    ways: dict[str, Callable[[], object]] = {
        "eager float32": partial(_run_torch, copy.deepcopy(network).to(where), pixels, where),
        "eager bfloat16": partial(_run_torch, _in_bfloat16(network).to(where), pixels, where),
        f"albo's ({ours.arithmetic})": lambda: _run_ours(ours, pixels),
    }
    return _rows(f"network alone, {torch.cuda.get_device_name()}: ", ways, len(pixels), rounds)


def _in_bfloat16(network: nn.Module) -> nn.Module:
    import torch

    half = copy.deepcopy(network)
    half.get_submodule("trunk").to(torch.bfloat16)
    return half


def _run_torch(network: nn.Module, pixels: Pixels, where: torch.device) -> None:
    import torch

    with torch.inference_mode():
        for start in range(0, len(pixels), _TORCH_BATCH):
            batch = torch.from_numpy(pixels[start : start + _TORCH_BATCH]).to(where)
            network(batch)[0].float().cpu()


def _openvino_float32(network: nn.Module, example: Pixels) -> Any:  # noqa: ANN401  (untyped)
    """Convert the network as OpenVINO's manual does, every layer in float32."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # keep it silent
    import openvino
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, torch.from_numpy(example), check_trace=False)
        model = openvino.convert_model(traced, example_input=torch.from_numpy(example))
    model.reshape(list(example.shape))
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    return openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", settings))


def _run_queue(queue: Any, pixels: Pixels) -> None:  # noqa: ANN401  (untyped)
    for row in range(len(pixels)):
        queue.start_async({0: pixels[row : row + 1]})
    queue.wait_all()


def _run_ours(runtime: Runtime, pixels: Pixels) -> None:
    step = runtime.batch_size

    def batches() -> Iterator[Pixels]:
        for start in range(0, len(pixels), step):
            yield pixels[start : start + step]

    for _ in runtime.encode(batches()):
        pass
