"""Runs a frozen network on what the machine has: OpenVINO or torch on a CPU, torch on CUDA and MPS.

Every runtime takes batches of uint8 pixels (n, size, size, 3) and gives, in the same order, the raw
outputs of the network: top float32 (n, d) and middle float32 (n, m). All agree with eager float32:
where a processor offers a faster, coarser arithmetic, it is used as far as probe images show that
the cosines stay above `AGREEMENT` and `LEAST_AGREEMENT`, and no further.
"""

from __future__ import annotations

import contextlib
import copy
import platform
import threading
import warnings
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from xml.etree import ElementTree

import numpy as np

from albo import networks
from albo.artifacts import backbone_key, scratch_folder
from albo.engines import (
    Device,
    Export,
    export_file,
    import_openvino,
    last_line,
    load_or_export,
    open_core,
    openvino_failed,
)
from albo.errors import RuntimeFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch
    from torch import nn

    from albo.networks import Card
    from albo.records import Floats, Pixels

AGREEMENT = 0.99996
"""Least median cosine to eager float32 on the probe images.

Of 5,239 real covers none then had another first neighbour whose lead in float32 exceeded 0.0017;
at 0.99994 some did whose lead exceeded 0.002.
"""
LEAST_AGREEMENT = 0.9995
"""Least cosine on any probe image; the probes are harder than covers, which stay above 0.999."""

_PRECISION = "INFERENCE_PRECISION_HINT"
_DEPTHWISE = "GroupConvolution"
_HEAVY_LAYERS = frozenset({"Convolution", _DEPTHWISE, "MatMul"})
_SHARES_PRECISE = (0.0, 0.125, 0.25, 0.5)
_PROBES = 12
_CPU_BATCH = 16
_GPU_BATCH = 256
_LOOK_AHEAD = 3
_PATIENCE = 10.0  # seconds without an answer until OpenVINO is asked what it is doing
_EXPORT_VERSION = 2  # raised when exports are made in another way
_MAX_REASON = 160
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


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

    Raises RuntimeFailed, MissingWeights, UsageError where the device asked for is not here.
    """
    chosen = _choose_device(device, single=single)
    if chosen is Device.CPU:
        return _open_cpu(card, batch_size, single=single, note=note)
    try:
        return _open_torch(card, chosen, batch_size, note)
    except RuntimeFailed as error:
        if device is not Device.AUTO:
            raise
        note(f"{error}; running on the CPU")
    return _open_cpu(card, batch_size, single=single, note=note)


def check_device(device: Device) -> None:
    """Refuse a device that is not here, before any work. Raises UsageError."""
    if device is not Device.AUTO:
        _choose_device(device, single=False)


def _choose_device(device: Device, *, single: bool) -> Device:
    # For one cover the import of torch alone costs ten times the CPU's answer.
    if device is Device.CPU or (device is Device.AUTO and (single or not _may_have_gpu())):
        return Device.CPU
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of drivers it does not know; so will we
        there = {
            Device.CUDA: torch.cuda.is_available(),
            Device.MPS: torch.backends.mps.is_available(),
        }
    if device is Device.AUTO:
        return next((found for found, is_there in there.items() if is_there), Device.CPU)
    if not there[device]:
        kind = "CUDA device" if device is Device.CUDA else "Apple GPU"
        raise UsageError(f"no {kind} here; use --device auto or --device cpu")
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


def _agrees(ours: Floats, theirs: Floats) -> bool:
    """Whether two networks say the same of the probe images. Anything not finite disagrees."""
    x, y = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        cosines = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
    cosines = np.nan_to_num(cosines, nan=0.0, posinf=0.0, neginf=0.0)
    return bool(np.median(cosines) >= AGREEMENT and cosines.min() >= LEAST_AGREEMENT)


# --- CPU -----------------------------------------------------------------------------------------


def _open_cpu(
    card: Card, batch_size: int | None, *, single: bool, note: Callable[[str], None]
) -> Runtime:
    try:
        return OpenVinoRuntime(card, batch_size, single=single, note=note)
    except ImportError:
        note("OpenVINO is not installed; running eager torch, which is several times slower")
    except RuntimeError as error:
        note(f"OpenVINO cannot run {card.name} ({last_line(error)}); running eager torch: slower")
    return TorchRuntime(card, Device.CPU, batch_size or _CPU_BATCH)


@dataclass
class _Job:
    """One batch in the queue: its rows land in any order, the batch leaves in its own."""

    top: Floats
    middle: Floats
    left: int
    done: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    failure: str = ""

    def land(self) -> None:
        """Count one row as landed. Callbacks come from several threads."""
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self.done.set()


class OpenVinoRuntime:
    """A network exported once, then run by OpenVINO, one cover a request, several at once."""

    device = Device.CPU

    def __init__(
        self, card: Card, batch_size: int | None, *, single: bool, note: Callable[[str], None]
    ) -> None:
        openvino = import_openvino()
        core = open_core()
        # One request takes all cores where one answer is waited for; else each has its own few.
        hint = "LATENCY" if single else "THROUGHPUT"
        self.arithmetic, compiled = _compiled(card, core, hint, note)
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(self._land)
        self._widths = (card.dimension, card.middle_dimension)
        self.batch_size = batch_size or max(_CPU_BATCH, len(self._queue))

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        """Yield (top, middle) for each batch, in order; at most three batches are on their way.

        Raises RuntimeFailed.
        """
        jobs: deque[_Job] = deque()
        try:
            for pixels in batches:
                jobs.append(self._start(pixels))
                if len(jobs) >= _LOOK_AHEAD:
                    yield self._finish(jobs.popleft())
            while jobs:
                yield self._finish(jobs.popleft())
        finally:
            # Whoever stops early leaves requests behind; none may land in a process that ends.
            with contextlib.suppress(RuntimeError):
                self._queue.wait_all()

    def _start(self, pixels: Pixels) -> _Job:
        n = len(pixels)
        top, middle = (np.empty((n, width), np.float32) for width in self._widths)
        job = _Job(top, middle, n)
        try:
            for row in range(n):
                self._queue.start_async({0: pixels[row : row + 1]}, (job, row))
        except RuntimeError as error:
            raise openvino_failed(error) from error
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
            job.failure = str(error) or type(error).__name__
        job.land()

    def _finish(self, job: _Job) -> tuple[Floats, Floats]:
        # A request that fails never calls back; the queue tells of it only when it is waited for.
        while not job.done.wait(_PATIENCE):
            try:
                self._queue.wait_all()
            except RuntimeError as error:
                raise openvino_failed(error) from error
        if job.failure:
            raise openvino_failed(job.failure)
        return job.top, job.middle


def _first_line(error: object) -> str:
    """Return the line of an error that says what happened, as torch writes them."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_MAX_REASON]


# --- the exported network ------------------------------------------------------------------------


def _compiled(
    card: Card,
    core: Any,  # noqa: ANN401
    hint: str,
    note: Callable[[str], None],
) -> tuple[str, Any]:
    """Load the exported network; where there is none that loads, export it first."""

    def config(export: Export) -> dict[str, str]:
        precision = "f32" if export.about["arithmetic"] == "float32" else "bf16"
        return {"PERFORMANCE_HINT": hint, _PRECISION: precision}

    def make() -> Export:
        note(f"exporting {card.name} for this processor (once)")
        return _export(card, core)

    export, compiled = load_or_export(_export_file(card, core), core, config, make, note)
    return export.about["arithmetic"], compiled


def _export_file(card: Card, core: Any) -> Path | None:  # noqa: ANN401
    made_from = [card.fingerprint, networks.OUTPUTS_VERSION, _EXPORT_VERSION]
    return export_file(backbone_key(card.name, card.fingerprint), made_from, core)


def _export(card: Card, core: Any) -> Export:  # noqa: ANN401
    network = networks.build(card)
    with scratch_folder() as scratch:
        file = scratch / "network.xml"
        convert(network, card.size, file)
        arithmetic, compiled = _compile(network, card, core, file)
        exported = compiled.export_model().getvalue()
    return Export({"arithmetic": arithmetic}, exported)


def convert(network: nn.Module, size: int, file: Path) -> None:
    """Write a network in OpenVINO's format, for one cover of size x size pixels at a time."""
    import openvino
    import torch
    from openvino._offline_transformations import apply_moc_transformations

    example = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), contextlib.redirect_stdout(None), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated; OpenVINO still uses it
        # What was traced is compared with eager torch later, on more than this blank.
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, example_input=example)
    model.reshape([1, size, size, 3])
    # Folds shapes and fuses padding now, so that a layer marked below is the layer that runs.
    apply_moc_transformations(model, cf=True, smart_reshape=False)
    openvino.save_model(model, file, compress_to_fp16=False)


def _compile(
    network: nn.Module,
    card: Card,
    core: Any,  # noqa: ANN401
    file: Path,
) -> tuple[str, Any]:
    """Compile with the coarsest arithmetic that agrees; say which one that was.

    Raises RuntimeError where not even float32 does: then tracing lost what the network does.
    """
    plain = file.read_bytes()
    probes = probe_images(card.size)
    expected = _eager(network, probes)
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for arithmetic, marked in _mixtures(plain) if has_bfloat16 else ():
        file.write_bytes(marked)
        with contextlib.suppress(RuntimeError):  # OpenVINO cannot fuse every mixture
            compiled = core.compile_model(file, "CPU", {_PRECISION: "bf16"})
            if _agrees(_answers(compiled, probes), expected):
                return arithmetic, compiled
    file.write_bytes(plain)
    compiled = core.compile_model(file, "CPU", {_PRECISION: "f32"})
    if not _agrees(_answers(compiled, probes), expected):
        raise RuntimeError("its answers are not torch's")
    return "float32", compiled


def _answers(compiled: Any, pixels: Pixels) -> Floats:  # noqa: ANN401
    return np.concatenate([compiled(pixels[i : i + 1])[0] for i in range(len(pixels))])


def _eager(network: nn.Module, pixels: Pixels) -> Floats:
    import torch

    with torch.inference_mode():
        rows = [network(torch.from_numpy(pixels[i : i + 1]))[0].numpy() for i in range(len(pixels))]
    return np.concatenate(rows)


def _mixtures(plain: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield ways to mix bfloat16 and float32, the fastest first, each with the marked network.

    A rounding error inside a residual branch is added to a sum that is exact; one outside goes
    through all that follows. Of EfficientNet-Lite0's 49 convolutions the 22 outside make 93 % of
    the error; the depthwise ones, with few terms to a sum, and the first branches most of the rest.
    """
    yield "bfloat16", plain
    graph = ElementTree.fromstring(plain)  # noqa: S314  written by OpenVINO a moment ago
    kinds = {layer.get("id", ""): layer.get("type", "") for layer in graph.iterfind("layers/layer")}
    residual = _residual_layers(graph, kinds)
    dense = sum(kinds[layer] in _HEAVY_LAYERS - {_DEPTHWISE} for layer in residual)
    for share in _SHARES_PRECISE if dense else ():
        coarse = _dense_layers(residual, kinds, round(dense * share))
        but = f" but for the first {share:.0%}" if share else ""
        yield f"bfloat16 in residual branches{but}, else float32", _keep_precise(graph, coarse)


def _residual_layers(graph: ElementTree.Element, kinds: dict[str, str]) -> set[str]:
    """Find the ids of the layers that lie between a tensor and the sum that adds it again."""
    sources: dict[str, list[str]] = {layer: [] for layer in kinds}
    for edge in graph.iterfind("edges/edge"):
        if kinds[edge.get("from-layer", "")] != "Const":
            sources[edge.get("to-layer", "")].append(edge.get("from-layer", ""))
    found: set[str] = set()
    for layer, kind in kinds.items():
        if kind == "Add" and len(sources[layer]) == 2:  # noqa: PLR2004  (no bias: both computed)
            one, other = sources[layer]
            found |= _between(one, other, sources) | _between(other, one, sources)
    return found


def _between(start: str, end: str, sources: dict[str, list[str]]) -> set[str]:
    """Return what leads from `start` to `end`, `end` included; nothing if all does not."""
    found: set[str] = set()
    waiting = [end]
    while waiting:
        layer = waiting.pop()
        if layer == start or layer in found:
            continue
        if not sources[layer]:
            return set()  # the network's input: there is a way round `start`
        found.add(layer)
        waiting += sources[layer]
    return found


def _dense_layers(residual: set[str], kinds: dict[str, str], skipped: int) -> set[str]:
    """Choose the dense layers, but for the first few, each with what follows it in the file."""
    chosen, taking, seen = set(), False, 0
    for layer, kind in kinds.items():
        if kind in _HEAVY_LAYERS:
            dense = layer in residual and kind != _DEPTHWISE
            seen += dense
            taking = dense and seen > skipped
        if taking and layer in residual:
            chosen.add(layer)
    return chosen


def _keep_precise(graph: ElementTree.Element, coarse: set[str]) -> bytes:
    """Mark all other layers to stay in float32.

    OpenVINO reads the mark as `DisableFP16Compression`, which its CPU plugin honours for bf16 too.
    """
    marked = copy.deepcopy(graph)
    for layer in marked.iterfind("layers/layer"):
        if layer.get("id") not in coarse:
            info = layer.find("rt_info")
            info = ElementTree.SubElement(layer, "rt_info") if info is None else info
            ElementTree.SubElement(info, "attribute", name="precise", version="0")
    return ElementTree.tostring(marked)


# --- torch ---------------------------------------------------------------------------------------


def _open_torch(
    card: Card, device: Device, batch_size: int | None, note: Callable[[str], None]
) -> Runtime:
    try:
        runtime = TorchRuntime(card, device, batch_size or _GPU_BATCH)
    except RuntimeError as error:  # of which torch.OutOfMemoryError is one
        raise RuntimeFailed(
            f"{card.name} cannot be loaded on {device.value} ({_first_line(error)});"
            " use --device cpu"
        ) from error
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
        network = networks.build(card).to(self._where)
        if device is not Device.MPS:  # whose convolutions are written for channels first
            network = network.to(memory_format=torch.channels_last)
        self.arithmetic, self._network = _fastest_that_agrees(network, card, self._where)
        self._graphs: dict[int, _Graph] = {}
        self._captures = self._where.type == "cuda"

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        """Yield (top, middle) for each batch, in order; one too big for the memory is halved.

        Raises RuntimeFailed where not even one cover fits.
        """
        for pixels in batches:
            parts = list(self._parts(pixels))
            yield (
                np.concatenate([top for top, _ in parts]),
                np.concatenate([middle for _, middle in parts]),
            )

    def _parts(self, pixels: Pixels) -> Iterator[tuple[Floats, Floats]]:
        """Run a batch in as many parts as it takes; what was too big once is not tried again."""
        start = 0
        while start == 0 or start < len(pixels):
            part = pixels[start : start + self.batch_size]
            found = self._forward_if_it_fits(part)
            if found is None:
                self._make_room(len(part))
            else:
                yield found
                start += max(1, len(part))

    def _forward_if_it_fits(self, pixels: Pixels) -> tuple[Floats, Floats] | None:
        # The room is made by the caller: as long as the error lives, so does what it ran out over.
        try:
            with self._float32():
                return self._forward(pixels)
        except RuntimeError as error:
            if _is_out_of_memory(error):
                return None
            if self.device is Device.CPU:
                raise
            raise RuntimeFailed(
                f"{self.device.value} failed ({_first_line(error)}); use --device cpu"
            ) from error

    def _make_room(self, n: int) -> None:
        import torch

        if n <= 1:
            raise RuntimeFailed("one cover does not fit into the memory there; use --device cpu")
        self.batch_size = n // 2
        self._graphs.clear()
        if self._where.type == "cuda":
            torch.cuda.empty_cache()

    def _float32(self) -> contextlib.AbstractContextManager[object]:
        coarse = self.arithmetic != "float32" or self._where.type != "cuda"
        return contextlib.nullcontext() if coarse else _true_float32()

    def _forward(self, pixels: Pixels) -> tuple[Floats, Floats]:
        import torch

        n = len(pixels)
        with torch.inference_mode():
            graph = self._graph(n) if self._captures and n else None
            if graph is not None:
                top, middle = graph.replay(pixels)
            else:
                top, middle = self._network(torch.from_numpy(pixels).to(self._where))
            return top[:n].float().cpu().numpy(), middle[:n].float().cpu().numpy()

    def _graph(self, n: int) -> _Graph | None:
        """Return a captured graph for up to n covers; one size serves all batches but the last."""
        size = self.batch_size if n > self.batch_size // 2 else n
        if size not in self._graphs:
            self._graphs.clear()  # before the next: two would take twice the memory
            try:
                self._graphs[size] = _Graph(self._network, size, self._size, self._where)
            except RuntimeError as error:
                if _is_out_of_memory(error):
                    raise
                self._captures = False  # some networks do what no graph can hold
        return self._graphs.get(size)


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


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means too little memory; only CUDA has a type for it."""
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(x in text for x in _NO_MEMORY)


def _true_float32() -> contextlib.AbstractContextManager[None]:
    """Keep cuDNN from rounding float32 to TF32, its default, which has float16's ten bits."""
    import torch

    before = torch.backends.cudnn
    return torch.backends.cudnn.flags(
        enabled=before.enabled,
        benchmark=before.benchmark,
        deterministic=before.deterministic,
        allow_tf32=False,
        fp32_precision="ieee",
    )


def _fastest_that_agrees(
    network: nn.Module, card: Card, where: torch.device
) -> tuple[str, nn.Module]:
    """Choose bfloat16, else float16, else float32, by the cosine to float32 on probe images."""
    import torch

    if where.type != "cuda":
        return "float32", network
    pixels = torch.from_numpy(probe_images(card.size)).to(where)
    with torch.inference_mode(), _true_float32():
        expected = network(pixels)[0].float().cpu().numpy()
        for kind in (torch.bfloat16, torch.float16):
            candidate = copy.deepcopy(network)
            candidate.get_submodule("trunk").to(kind)
            if _agrees(candidate(pixels)[0].float().cpu().numpy(), expected):
                return str(kind).removeprefix("torch."), candidate
    return "float32", network
