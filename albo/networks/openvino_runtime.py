"""Run a network on the CPU with OpenVINO."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.networks import weights as networks
from albo.networks.engines import (
    Export,
    export_file,
    has_bfloat16,
    load_or_export,
    open_core,
    requests_at_once,
    run_in_order,
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
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import nn

    from albo.networks.cards import Card
    from albo.records import Floats, Note, Pixels

CPU_BATCH = 16
_EXPORT_VERSION = 2  # raised when the export changes


class OpenVinoRuntime:
    """A network exported once, then run by OpenVINO, one cover a request, in parallel.

    Threads may call `encode` at the same time: each call has its own requests.

    Attributes
    ----------
    device : always `Device.CPU`.
    arithmetic : the network's arithmetic in words: float32, or which part is coarser.
    batch_size : the most covers in a batch.
    """

    device = Device.CPU

    def __init__(self, card: Card, batch_size: int | None, *, single: bool, note: Note) -> None:
        # For a single answer, one request uses all cores; else each request uses a few.
        hint = "LATENCY" if single else "THROUGHPUT"
        self.arithmetic, self._compiled = _compiled(card, open_core(), hint, note)
        self._widths = (card.dimension, card.middle_dimension)
        self.batch_size = batch_size or max(CPU_BATCH, requests_at_once(self._compiled))

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        """Yield (top, middle) for each batch, in order; a few covers run ahead.

        Raises RuntimeFailed.
        """
        waiting: deque[_Batch] = deque()

        def covers() -> Iterator[Pixels]:
            for pixels in batches:
                waiting.append(_Batch.of(len(pixels), self._widths))
                for row in range(len(pixels)):
                    yield pixels[row : row + 1]

        for outputs in run_in_order(self._compiled, covers()):
            while waiting[0].is_whole:  # batches of no covers
                yield waiting.popleft().outputs
            waiting[0].add(outputs)
            if waiting[0].is_whole:
                yield waiting.popleft().outputs
        for batch in waiting:
            yield batch.outputs


@dataclass(slots=True)
class _Batch:
    """The outputs of one batch, filled row by row."""

    outputs: tuple[Floats, Floats]
    """Top (n, d) and middle (n, m)."""

    filled: int = 0
    """How many rows are filled."""

    @classmethod
    def of(cls, n: int, widths: tuple[int, int]) -> _Batch:
        top, middle = (np.empty((n, width), np.float32) for width in widths)
        return cls((top, middle))

    @property
    def is_whole(self) -> bool:
        return self.filled == len(self.outputs[0])

    def add(self, found: Sequence[Floats]) -> None:
        top, middle = self.outputs
        top[self.filled] = found[0][0]
        if middle.shape[1]:
            middle[self.filled] = found[1][0]
        self.filled += 1


# --- the exported network ------------------------------------------------------------------------


def _compiled(
    card: Card,
    core: Any,  # noqa: ANN401
    hint: str,
    note: Note,
) -> tuple[str, Any]:
    """Load the exported network; if there is none that loads, export it first."""

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
        # The traced network is compared with eager torch later, on real images.
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, example_input=example)
    model.reshape([1, size, size, 3])
    # Fold shapes and fuse padding now, so that the layers marked later are the ones that run.
    apply_moc_transformations(model, cf=True, smart_reshape=False)
    openvino.save_model(model, file, compress_to_fp16=False)


def _compile(
    network: nn.Module,
    card: Card,
    core: Any,  # noqa: ANN401
    file: Path,
) -> tuple[str, Any]:
    """Compile with the coarsest arithmetic that agrees; return its name too.

    Raises RuntimeError if not even float32 agrees: then tracing changed the network.
    """
    plain = file.read_bytes()
    probes = probe_images(card.size)
    expected = run_eager(network, probes)
    for arithmetic, marked in mixtures(plain) if has_bfloat16(core) else ():
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
