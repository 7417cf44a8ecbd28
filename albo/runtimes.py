"""Runs a frozen network on what the machine has: OpenVINO or torch on a CPU, torch on CUDA and MPS.

Every runtime takes batches of uint8 pixels (n, size, size, 3) and gives, in the same order, the raw
outputs of the network: top float32 (n, d) and middle float32 (n, m). All agree with eager float32:
where a processor offers a faster, coarser arithmetic, it is used as far as probe images show that
the cosine stays above `AGREEMENT`, and no further.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import shutil
import sys
import tempfile
import threading
import warnings
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from xml.etree import ElementTree

import numpy as np

from albo import networks
from albo.artifacts import cache_folder, library_versions, read_json, write_json
from albo.errors import RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch
    from torch import nn

    from albo.networks import Card
    from albo.records import Floats, Pixels

AGREEMENT = 0.9997
"""Least cosine to eager float32 on the probe images; real covers then stay above 0.999."""

# What share of a network's first layers stays in float32 when the rest runs in bfloat16. Rounding
# hurts most in the first, thin layers, where few terms are summed and all later layers inherit the
# error: of EfficientNet-Lite0's 49 convolutions, three cause nine tenths of it.
_SHARES_IN_FULL = (0.0, 0.15, 0.25, 0.4, 0.6)
_HEAVY_LAYERS = frozenset({"Convolution", "GroupConvolution", "MatMul"})
_PROBES = 12
_CPU_BATCH = 16
_GPU_BATCH = 256


class Device(Enum):
    """Where a network runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Runtime(Protocol):
    """A network, ready to run."""

    device: Device
    arithmetic: str
    batch_size: int

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        """Yield (top (n, d), middle (n, m)) for each batch, in order, looking a little ahead."""
        ...


def open_runtime(
    card: Card,
    device: Device = Device.AUTO,
    batch_size: int | None = None,
    *,
    single: bool = False,
    note: Callable[[str], None] = lambda _line: None,
) -> Runtime:
    """Load a network on a device.

    Parameters
    ----------
    batch_size : covers a batch; chosen by the runtime where None.
    single : one cover is to be answered soon: start fast rather than run fast.
    note : told in one line what the user may want to know (a fall-back, an export).

    Raises RuntimeFailed, MissingWeights.
    """
    chosen = _choose_device(device, single=single)
    if chosen is Device.CPU:
        return _open_cpu(card, batch_size, single=single, note=note)
    return _open_torch(card, chosen, batch_size, note)


def _choose_device(device: Device, *, single: bool) -> Device:
    # For one cover the import of torch alone costs ten times the CPU's answer.
    if device is Device.CPU or (device is Device.AUTO and (single or not _may_have_gpu())):
        return Device.CPU
    import torch

    if device is Device.AUTO:
        if torch.cuda.is_available():
            return Device.CUDA
        return Device.MPS if torch.backends.mps.is_available() else Device.CPU
    if device is Device.CUDA and not torch.cuda.is_available():
        raise RuntimeFailed("no CUDA device here; use --device auto or --device cpu")
    if device is Device.MPS and not torch.backends.mps.is_available():
        raise RuntimeFailed("no Apple GPU here; use --device auto or --device cpu")
    return device


def _may_have_gpu() -> bool:
    """Whether importing torch to ask is worth two seconds."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return (
        apple
        or any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd"))
        or platform.system() == "Windows"
    )


# --- probes --------------------------------------------------------------------------------------


def probe_images(size: int, count: int = _PROBES) -> Pixels:
    """Draw images that tax an arithmetic: flats, gradients, noise, hard edges and fine lines.

    Returns uint8 (count, size, size, 3), the same on every machine.
    """
    rng = np.random.default_rng(20)
    across = np.linspace(0.0, 1.0, size)[None, :, None]
    down = np.linspace(0.0, 1.0, size)[:, None, None]
    images = []
    for i in range(count):
        low, high = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
        turn = rng.uniform(0, 2 * np.pi)
        ramp = (np.cos(turn) * across + np.sin(turn) * down) % 1.0
        image = low + (high - low) * ramp
        if i % 4 == 1:
            image = image + rng.normal(0, 40, (size, size, 1))
        if i % 4 == 2:  # noqa: PLR2004  each fourth image is of one kind
            image = np.where((ramp * rng.integers(4, 40)) % 1.0 > 0.5, high, low)  # noqa: PLR2004
        for _ in range(int(rng.integers(0, 6))):
            top, left = rng.integers(0, size * 3 // 4, 2)
            height, width = rng.integers(size // 32 + 1, size // 2, 2)
            image = np.broadcast_to(image, (size, size, 3)).copy()
            image[top : top + height, left : left + width] = rng.uniform(0, 255, 3)
        images.append(np.broadcast_to(image, (size, size, 3)).clip(0, 255).astype(np.uint8))
    return np.stack(images)


def _least_cosine(ours: Floats, theirs: Floats) -> float:
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (ours * theirs).sum(1) / norms
    return float(np.nan_to_num(cosines, nan=0.0).min())


# --- CPU -----------------------------------------------------------------------------------------


def _open_cpu(
    card: Card, batch_size: int | None, *, single: bool, note: Callable[[str], None]
) -> Runtime:
    try:
        return OpenVinoRuntime(card, batch_size, single=single, note=note)
    except ImportError:
        note("OpenVINO is not installed; running eager torch, which is several times slower")
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][:160]
        note(f"OpenVINO cannot run {card.name} ({reason}); running eager torch, which is slower")
    return TorchRuntime(card, Device.CPU, batch_size or _CPU_BATCH)


@dataclass
class _Job:
    """One batch in the queue: its rows land in any order, the batch leaves in its own."""

    top: Floats
    middle: Floats
    left: int
    done: threading.Event = field(default_factory=threading.Event)
    failure: str = ""


class OpenVinoRuntime:
    """A network exported once, then run by OpenVINO, one cover a request, several at once."""

    device = Device.CPU

    def __init__(
        self, card: Card, batch_size: int | None, *, single: bool, note: Callable[[str], None]
    ) -> None:
        import openvino

        self.batch_size = batch_size or _CPU_BATCH
        core = openvino.Core()
        folder = _exported(card, core, note)
        self.arithmetic = str(read_json(folder / "export.json")["arithmetic"])
        # The compiled network lies beside the exported one; for a single answer another is kept,
        # whose one request takes all cores.
        core.set_property({"CACHE_DIR": str(folder / ("single" if single else "many"))})
        self._compiled = core.compile_model(
            folder / "network.xml",
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY" if single else "THROUGHPUT",
                "INFERENCE_PRECISION_HINT": "f32" if self.arithmetic == "float32" else "bf16",
            },
        )
        self._queue = openvino.AsyncInferQueue(self._compiled)
        self._queue.set_callback(self._land)
        self._widths = (card.dimension, card.middle_dimension)

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        """Yield (top, middle) for each batch, in order; at most three batches are on their way."""
        jobs: deque[_Job] = deque()
        for pixels in batches:
            jobs.append(self._start(pixels))
            if len(jobs) > 2:  # noqa: PLR2004  two wait while a third is filled
                yield self._finish(jobs.popleft())
        while jobs:
            yield self._finish(jobs.popleft())

    def _start(self, pixels: Pixels) -> _Job:
        n = len(pixels)
        top, middle = (np.empty((n, width), np.float32) for width in self._widths)
        job = _Job(top, middle, n)
        for row in range(n):
            self._queue.start_async({0: pixels[row : row + 1]}, (job, row))
        if n == 0:
            job.done.set()
        return job

    def _land(self, request: Any, place: tuple[_Job, int]) -> None:  # noqa: ANN401
        job, row = place
        try:
            job.top[row] = request.get_output_tensor(0).data[0]
            if job.middle.shape[1]:
                job.middle[row] = request.get_output_tensor(1).data[0]
        except Exception as error:  # noqa: BLE001  a callback's error would be lost in its thread
            job.failure = str(error)
        # Callbacks hold the GIL but may interleave: the count is only ever lowered under it.
        job.left -= 1
        if job.left == 0:
            job.done.set()

    def _finish(self, job: _Job) -> tuple[Floats, Floats]:
        job.done.wait()
        if job.failure:
            raise RuntimeFailed(
                f"OpenVINO failed: {job.failure}; try --device cpu again or report it"
            )
        return job.top, job.middle


def _exported(card: Card, core: Any, note: Callable[[str], None]) -> Path:  # noqa: ANN401
    """Return the folder of the exported network, made first where it is not there."""
    processor = f"{platform.machine()} {core.get_property('CPU', 'FULL_DEVICE_NAME')}"
    kind = json.dumps([library_versions("openvino"), processor, networks.OUTPUTS_VERSION, 1])
    key = f"{card.fingerprint[:16]}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"
    folder = cache_folder() / "networks" / key
    if not (folder / "export.json").is_file():  # written last
        note(f"exporting {card.name} for this processor (once)")
        _export(card, core, folder)
    return folder


def _export(card: Card, core: Any, folder: Path) -> None:  # noqa: ANN401
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        network = networks.build(card)
        _convert(network, card, scratch / "network.xml")
        probes = probe_images(card.size)
        arithmetic = _choose_arithmetic(
            core, scratch / "network.xml", _eager(network, probes), probes
        )
        write_json(scratch / "export.json", {"name": card.name, "arithmetic": arithmetic})
        # Another process may have been faster; its export is as good as ours.
        with contextlib.suppress(OSError):
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _convert(network: nn.Module, card: Card, file: Path) -> None:
    """Write the network in OpenVINO's format, for one cover at a time."""
    # Its converter reports each use to its maker unless told not to; without this package it
    # cannot. Set before the converter is first imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import torch
    from openvino._offline_transformations import apply_moc_transformations

    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated; OpenVINO still uses it
        example = torch.zeros(2, card.size, card.size, 3, dtype=torch.uint8)
        model = openvino.convert_model(network, example_input=example)
    model.reshape([1, card.size, card.size, 3])
    # Folds shapes and fuses padding now, so that a layer marked below is the layer that runs.
    apply_moc_transformations(model, cf=True, smart_reshape=False)
    openvino.save_model(model, file, compress_to_fp16=False)


def _eager(network: nn.Module, pixels: Pixels) -> Floats:
    import torch

    with torch.inference_mode():
        rows = [network(torch.from_numpy(pixels[i : i + 1]))[0].numpy() for i in range(len(pixels))]
    return np.concatenate(rows)


def _choose_arithmetic(core: Any, file: Path, expected: Floats, probes: Pixels) -> str:  # noqa: ANN401
    """Mark as few first layers for float32 as agreement needs; say which arithmetic came out."""
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "float32"
    plain = file.read_bytes()
    for share in _SHARES_IN_FULL:
        file.write_bytes(_keep_precise(plain, share))
        try:
            compiled = core.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
        except RuntimeError:  # OpenVINO cannot fuse every mixture of the two
            continue
        got = np.concatenate([compiled(p[None])[0] for p in probes])
        if _least_cosine(got, expected) >= AGREEMENT:
            return f"bfloat16, the first {share:.0%} of layers float32" if share else "bfloat16"
    file.write_bytes(plain)
    return "float32"


def _keep_precise(plain: bytes, share: float) -> bytes:
    """Mark the first share of the heavy layers, and all before them, to stay in float32.

    OpenVINO reads the mark as `DisableFP16Compression`, which its CPU plugin honours for bf16 too.
    """
    tree = ElementTree.fromstring(plain)  # noqa: S314  written by OpenVINO a moment ago
    layers = tree.find("layers")
    assert layers is not None  # noqa: S101
    heavy = sum(layer.get("type") in _HEAVY_LAYERS for layer in layers)
    budget = round(heavy * share)
    for layer in layers:
        if budget <= 0:
            break
        info = layer.find("rt_info")
        info = ElementTree.SubElement(layer, "rt_info") if info is None else info
        ElementTree.SubElement(info, "attribute", name="precise", version="0")
        budget -= layer.get("type") in _HEAVY_LAYERS
    return ElementTree.tostring(tree)


# --- torch ---------------------------------------------------------------------------------------


def _open_torch(
    card: Card, device: Device, batch_size: int | None, note: Callable[[str], None]
) -> Runtime:
    runtime = TorchRuntime(card, device, batch_size or _GPU_BATCH)
    note(
        f"{card.name} on {device.value}, {runtime.arithmetic}, {runtime.batch_size} covers a batch"
    )
    return runtime


class TorchRuntime:
    """A network run by torch: graph-captured on CUDA, eager elsewhere."""

    def __init__(self, card: Card, device: Device, batch_size: int) -> None:
        import torch

        self.device = device
        self.batch_size = batch_size
        self._where = torch.device(device.value)
        self._size = card.size
        network = networks.build(card).to(memory_format=torch.channels_last).to(self._where)
        self.arithmetic, self._network = _fastest_that_agrees(network, card, self._where)
        self._graphs: dict[int, _Graph] = {}

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        """Yield (top, middle) for each batch, in order; one too big for the memory is halved."""
        for pixels in batches:
            parts = [self._run(pixels[i : i + self.batch_size]) for i in self._starts(len(pixels))]
            yield (
                np.concatenate([top for top, _ in parts]),
                np.concatenate([middle for _, middle in parts]),
            )

    def _starts(self, n: int) -> Iterator[int]:
        start = 0
        while start < n or (n == 0 and start == 0):
            yield start
            start += max(1, self.batch_size)

    def _run(self, pixels: Pixels) -> tuple[Floats, Floats]:
        import torch

        try:
            return self._forward(pixels)
        except torch.OutOfMemoryError as error:
            half = len(pixels) // 2
            if half == 0:
                raise RuntimeFailed(
                    "one cover does not fit into the GPU's memory; use --device cpu"
                ) from error
            self._graphs.clear()
            if self._where.type == "cuda":
                torch.cuda.empty_cache()
            # Later batches are cut to this size in `encode`; this one is finished in two.
            self.batch_size = min(self.batch_size, half)
            one, two = self._run(pixels[:half]), self._run(pixels[half:])
            return np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]])

    def _forward(self, pixels: Pixels) -> tuple[Floats, Floats]:
        import torch

        n = len(pixels)
        with torch.inference_mode():
            if self._where.type == "cuda" and n:
                top, middle = self._graph(n).replay(pixels)
            else:
                top, middle = self._network(torch.from_numpy(pixels).to(self._where))
            return top[:n].float().cpu().numpy(), middle[:n].float().cpu().numpy()

    def _graph(self, n: int) -> _Graph:
        """Return a captured graph for up to n covers; one size serves all batches but the last."""
        size = self.batch_size if n > self.batch_size // 2 else n
        if size not in self._graphs:
            self._graphs = {size: _Graph(self._network, size, self._size, self._where)}
        return self._graphs[size]


class _Graph:
    """One forward pass captured as a CUDA graph: replayed without Python or launch overhead."""

    def __init__(self, network: nn.Module, batch: int, size: int, where: torch.device) -> None:
        import torch

        shape = (batch, size, size, 3)
        self._staging = torch.zeros(shape, dtype=torch.uint8).pin_memory()
        self._input = torch.zeros(shape, dtype=torch.uint8, device=where)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # warm up outside the capture, as PyTorch asks
            for _ in range(3):
                network(self._input)
        torch.cuda.current_stream().wait_stream(side)
        self._captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._captured):
            self._outputs = network(self._input)

    def replay(self, pixels: Pixels) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        n = len(pixels)
        self._staging[:n] = torch.from_numpy(pixels)
        self._input.copy_(self._staging, non_blocking=True)
        self._captured.replay()
        return self._outputs[0], self._outputs[1]


def _fastest_that_agrees(
    network: nn.Module, card: Card, where: torch.device
) -> tuple[str, nn.Module]:
    """Choose bfloat16, else float16, else float32, by the cosine to float32 on probe images."""
    import copy

    import torch

    if where.type != "cuda":
        return "float32", network
    pixels = torch.from_numpy(probe_images(card.size)).to(where)
    with torch.inference_mode():
        expected = network(pixels)[0].float().cpu().numpy()
        for kind in (torch.bfloat16, torch.float16):
            candidate = copy.deepcopy(network)
            candidate.get_submodule("trunk").to(kind)
            got = candidate(pixels)[0].float().cpu().numpy()
            if np.isfinite(got).all() and _least_cosine(got, expected) >= AGREEMENT:
                return str(kind).removeprefix("torch."), candidate
    return "float32", network
