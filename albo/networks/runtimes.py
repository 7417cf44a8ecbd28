"""Runs a frozen network on this machine: OpenVINO or torch on a CPU, torch on CUDA and MPS.

Every runtime takes batches of uint8 pixels (n, size, size, 3) and returns, in the same order, the
raw outputs of the network: top float32 (n, d) and middle float32 (n, m). All agree with eager
float32: a faster, coarser arithmetic is used only if the cosines on probe images stay above
`AGREEMENT` and `LEAST_AGREEMENT`.
"""

from __future__ import annotations

import platform
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from albo.errors import RuntimeFailed, UsageError
from albo.networks.engines import last_line
from albo.networks.openvino_runtime import CPU_BATCH, OpenVinoRuntime
from albo.networks.torch_runtime import GPU_BATCH, TorchRuntime, first_line
from albo.records import Device

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from albo.networks.cards import Card
    from albo.records import Floats, Note, Pixels


class Runtime(Protocol):
    """A network, ready to run."""

    device: Device
    arithmetic: str
    batch_size: int

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        """Yield (top (n, d), middle (n, m)) for each batch, in order, reading a little ahead."""
        ...


def open_runtime(
    card: Card,
    device: Device = Device.AUTO,
    batch_size: int | None = None,
    *,
    single: bool = False,
    note: Note = lambda _line: None,
) -> Runtime:
    """Load a network on a device.

    Parameters
    ----------
    batch_size : covers a batch; None lets the runtime choose.
    single : only one cover is asked about: start fast rather than run fast.
    note : called with one line that the user may want to know (a fall-back, an export).

    Raises RuntimeFailed, MissingWeights, UsageError if the device is not available.
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
    """Raise UsageError if a device is not available, before any work."""
    if device is not Device.AUTO:
        _choose_device(device, single=False)


def _choose_device(device: Device, *, single: bool) -> Device:
    # For one cover, importing torch takes ten times as long as the CPU's answer.
    if device is Device.CPU or (device is Device.AUTO and (single or not _may_have_gpu())):
        return Device.CPU
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of unknown drivers; so does albo, later
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
    """Whether this machine may have a GPU: importing torch to find out takes two seconds."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return (
        apple
        or any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd"))
        or platform.system() == "Windows"
    )


# --- CPU -----------------------------------------------------------------------------------------


def _open_cpu(card: Card, batch_size: int | None, *, single: bool, note: Note) -> Runtime:
    try:
        return OpenVinoRuntime(card, batch_size, single=single, note=note)
    except ImportError:
        note("OpenVINO is not installed; running eager torch, which is several times slower")
    except RuntimeError as error:
        note(f"OpenVINO cannot run {card.name} ({last_line(error)}); running eager torch: slower")
    return TorchRuntime(card, Device.CPU, batch_size or CPU_BATCH)


# --- torch ---------------------------------------------------------------------------------------


def _open_torch(card: Card, device: Device, batch_size: int | None, note: Note) -> Runtime:
    try:
        runtime = TorchRuntime(card, device, batch_size or GPU_BATCH)
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        raise RuntimeFailed(
            f"{card.name} cannot be loaded on {device.value} ({first_line(error)});"
            " use --device cpu"
        ) from error
    note(
        f"{card.name} on {device.value}, {runtime.arithmetic}, {runtime.batch_size} covers a batch"
    )
    return runtime
