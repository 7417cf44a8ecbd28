"""Run a network with torch, on CUDA, MPS or, as a fall-back, the CPU."""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import RuntimeFailed
from albo.networks import weights as networks
from albo.networks.precision import agrees, probe_images
from albo.records import Device
from albo.texts import in_one_line, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch
    from torch import nn

    from albo.networks.cards import Card
    from albo.records import Floats, Pixels

GPU_BATCH = 256
_MAX_REASON = 160
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def first_line(error: object) -> str:
    """Return the first line of an error, where torch writes the reason."""
    return in_one_line(lines_of(error)[0], _MAX_REASON)


class TorchRuntime:
    """A network run by torch: graph-captured on CUDA, eager elsewhere.

    Threads may call `encode` at the same time: one forward pass runs at a time.

    Attributes
    ----------
    device : where it runs.
    arithmetic : the network's arithmetic: bfloat16, float16 or float32.
    batch_size : the most covers in a batch; halved if they do not fit into memory.
    """

    def __init__(self, card: Card, device: Device, batch_size: int) -> None:
        import torch

        self.device = device
        self.batch_size = batch_size
        self._where = torch.device(device.value)
        network = networks.build(card).to(self._where)
        if device is not Device.MPS:  # its convolutions are made for channels first
            network = network.to(memory_format=torch.channels_last)
        self.arithmetic, self._network = _fastest_that_agrees(network, card, self._where)
        self._graphs = _Graphs(card.size, self._where)
        self._turn = threading.Lock()

    def encode(self, batches: Iterable[Pixels]) -> Iterator[tuple[Floats, Floats]]:
        """Yield (top, middle) for each batch, in order; one too big for memory is halved.

        Raises RuntimeFailed if not even one cover fits.
        """
        for pixels in batches:
            parts = list(self._parts(pixels))
            yield (
                np.concatenate([top for top, _ in parts]),
                np.concatenate([middle for _, middle in parts]),
            )

    def _parts(self, pixels: Pixels) -> Iterator[tuple[Floats, Floats]]:
        """Run a batch in as many parts as needed; a size that was too big is not tried again."""
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
        # The caller frees the memory: while the error exists, it keeps its tensors alive.
        try:
            with self._turn, self._float32():
                return self._forward(pixels)
        except RuntimeError as error:
            if _is_out_of_memory(error):
                return None
            if self.device is Device.CPU:
                raise
            raise RuntimeFailed(
                f"{self.device.value} failed ({first_line(error)}); use --device cpu"
            ) from error

    def _make_room(self, n: int) -> None:
        import torch

        if n <= 1:
            raise RuntimeFailed("one cover does not fit into the memory there; use --device cpu")
        self.batch_size = n // 2
        with self._turn:
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
            graph = self._graphs.find(self._network, n, self.batch_size)
            if graph is not None:
                top, middle = graph.replay(pixels)
            else:
                top, middle = self._network(torch.from_numpy(pixels).to(self._where))
            return top[:n].float().cpu().numpy(), middle[:n].float().cpu().numpy()


class _Graphs:
    """The captured graph of a network, made when first needed; one at a time is kept.

    Attributes
    ----------
    captures : whether graphs are captured: on CUDA, except for networks that do not allow it.
    """

    def __init__(self, size: int, where: torch.device) -> None:
        self.captures = where.type == "cuda"
        self._size = size
        self._where = where
        self._kept: dict[int, _Graph] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Drop the captured graph and its memory."""
        self._kept.clear()

    def find(self, network: nn.Module, n: int, batch_size: int) -> _Graph | None:
        """Return a captured graph for up to n covers; one size serves all batches except the last.

        None if the network has to run eagerly.
        """
        if not self.captures or not n:
            return None
        size = batch_size if n > batch_size // 2 else n
        if size not in self._kept:
            self.clear()  # before the next capture: two would take twice the memory
            try:
                self._kept[size] = _Graph(network, size, self._size, self._where)
            except RuntimeError as error:
                if _is_out_of_memory(error):
                    raise
                self.captures = False  # some networks cannot be captured
        return self._kept.get(size)


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
    """Whether an error means too little memory; only CUDA has its own type for that."""
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(x in text for x in _NO_MEMORY)


def _true_float32() -> contextlib.AbstractContextManager[None]:
    """Keep cuDNN from rounding float32 to TF32, its default, with only ten bits of mantissa."""
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
            if agrees(candidate(pixels)[0].float().cpu().numpy(), expected):
                return str(kind).removeprefix("torch."), candidate
    return "float32", network
