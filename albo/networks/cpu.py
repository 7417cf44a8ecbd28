"""Run a network on the CPU with OpenVINO."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.networks import weights as networks
from albo.networks.engines import (
    Export,
    export_file,
    import_openvino,
    load_or_export,
    open_core,
    openvino_failed,
)
from albo.networks.precision import (
    PRECISION,
    agrees,
    mixtures,
    probe_images,
    run_compiled,
    run_eager,
)
from albo.records import Device
from albo.store import backbone_key, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from torch import nn

    from albo.networks.cards import Card
    from albo.records import Floats, Note, Pixels

CPU_BATCH = 16
_LOOK_AHEAD = 3
_PATIENCE = 10.0  # seconds without an answer until OpenVINO is asked what it is doing
_EXPORT_VERSION = 2  # raised when exports are made in another way


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

    def __init__(self, card: Card, batch_size: int | None, *, single: bool, note: Note) -> None:
        openvino = import_openvino()
        core = open_core()
        # One request takes all cores where one answer is waited for; else each has its own few.
        hint = "LATENCY" if single else "THROUGHPUT"
        self.arithmetic, compiled = _compiled(card, core, hint, note)
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(self._land)
        self._widths = (card.dimension, card.middle_dimension)
        self.batch_size = batch_size or max(CPU_BATCH, len(self._queue))

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


# --- the exported network ------------------------------------------------------------------------


def _compiled(
    card: Card,
    core: Any,  # noqa: ANN401
    hint: str,
    note: Note,
) -> tuple[str, Any]:
    """Load the exported network; where there is none that loads, export it first."""

    def config(export: Export) -> dict[str, str]:
        precision = "f32" if export.about["arithmetic"] == "float32" else "bf16"
        return {"PERFORMANCE_HINT": hint, PRECISION: precision}

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
    expected = run_eager(network, probes)
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for arithmetic, marked in mixtures(plain) if has_bfloat16 else ():
        file.write_bytes(marked)
        with contextlib.suppress(RuntimeError):  # OpenVINO cannot fuse every mixture
            compiled = core.compile_model(file, "CPU", {PRECISION: "bf16"})
            if agrees(run_compiled(compiled, probes), expected):
                return arithmetic, compiled
    file.write_bytes(plain)
    compiled = core.compile_model(file, "CPU", {PRECISION: "f32"})
    if not agrees(run_compiled(compiled, probes), expected):
        raise RuntimeError("its answers are not torch's")
    return "float32", compiled
