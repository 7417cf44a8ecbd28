"""The common base of runtimes: devices, and OpenVINO with networks compiled once and kept.

Compiled networks are in `$XDG_CACHE_HOME/albo/networks`, named after their input, OpenVINO's
version and the processor.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from albo.errors import AlboError, RuntimeFailed
from albo.store import cache_folder, library_versions, sweep, write_atomically
from albo.texts import in_one_line, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from albo.records import Note


_MAX_REASON = 160
_HEADER_BYTES = 1 << 20
_WITHOUT_BFLOAT16 = frozenset(
    {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}
)
"""Values of $ONEDNN_MAX_CPU_ISA for instructions without bfloat16."""
_ABANDONED = 3600.0  # seconds after which a temporary file counts as abandoned


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def import_openvino() -> Any:  # noqa: ANN401
    """Import OpenVINO without its telemetry, which would report each conversion to Intel."""
    missing = object()
    before = sys.modules.get("openvino_telemetry", missing)
    # With None the import fails, and OpenVINO uses a stub instead.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if before is missing:
            del sys.modules["openvino_telemetry"]
        else:
            sys.modules["openvino_telemetry"] = cast("ModuleType", before)
    return openvino


def open_core() -> Any:  # noqa: ANN401
    """Open OpenVINO with its CPU plugin. Raises ImportError, RuntimeError.

    Loading the plugin gives this thread an alternate signal stack of the smallest size that the
    processor allows. Python's handlers run on it, so Ctrl-C caused a segmentation fault. The
    earlier signal stack is restored.
    """
    core = import_openvino().Core()
    with _same_signal_stack():
        core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return core


@contextlib.contextmanager
def _same_signal_stack() -> Iterator[None]:
    """Restore this thread's alternate signal stack, on systems that have one."""
    if not sys.platform.startswith("linux"):
        yield
        return
    libc = ctypes.CDLL(None)
    before = _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


class _SignalStack(ctypes.Structure):
    """The system's `stack_t`."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def has_bfloat16(core: Any) -> bool:  # noqa: ANN401
    """Whether this processor computes in bfloat16, and OpenVINO may use it.

    OpenVINO looks only at the processor, and then fails to compile if $ONEDNN_MAX_CPU_ISA forbids
    the instructions (see oneDNN's documentation of that variable).
    """
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    listed = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in listed and allowed not in _WITHOUT_BFLOAT16


def requests_at_once(compiled: Any) -> int:  # noqa: ANN401
    """Return how many requests keep the processor busy, by the network's compile-time hint."""
    return int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))


def run_in_order(
    compiled: Any,  # noqa: ANN401
    inputs: Iterable[NDArray[Any]],
) -> Iterator[list[NDArray[Any]]]:
    """Run a compiled network on one input after another, several at once.

    It waits for the requests in turn, without callbacks: OpenVINO's threads call those, and to
    delete a network while such a thread waits for Python's lock can hang for ever.

    Parameters
    ----------
    inputs : drawn as requests become free; at most one more than there are requests.

    Yields the outputs for each input, in order. They are in OpenVINO's memory: copy them before
    taking the next ones. Raises RuntimeFailed.
    """
    most = requests_at_once(compiled)
    idle: list[Any] = []
    busy: deque[Any] = deque()
    try:
        for each in inputs:
            if len(busy) == most:
                yield _outputs(busy[0])
                idle.append(busy.popleft())
            busy.append(_started(compiled, idle, each))
        while busy:
            yield _outputs(busy[0])
            busy.popleft()
    finally:
        # If the caller stops early, requests are still running; none may run when the process ends.
        for request in busy:
            with contextlib.suppress(RuntimeError):
                request.wait()


def _started(compiled: Any, idle: list[Any], inputs: NDArray[Any]) -> Any:  # noqa: ANN401
    """Start an idle request, or a new one if all are busy."""
    try:
        request = idle.pop() if idle else compiled.create_infer_request()
        request.start_async({0: inputs})
    except RuntimeError as error:
        raise openvino_failed(error) from error
    return request


def _outputs(request: Any) -> list[NDArray[Any]]:  # noqa: ANN401
    try:
        request.wait()
        return [tensor.data for tensor in request.output_tensors]
    except RuntimeError as error:
        raise openvino_failed(error) from error


def openvino_failed(error: object) -> RuntimeFailed:
    """Make the error for a failure of OpenVINO."""
    return RuntimeFailed(f"OpenVINO failed ({last_line(error)}); free some memory and try again")


def last_line(error: object) -> str:
    """Return the last line of an error, where OpenVINO writes the reason."""
    return in_one_line(lines_of(error)[-1], _MAX_REASON)


@dataclass(frozen=True)
class Export:
    """A network compiled for this processor: a line of JSON and OpenVINO's own bytes, one file."""

    about: Mapping[str, str]
    """Facts about the network for the loader, such as its arithmetic."""

    compiled: bytes
    """The compiled network, as OpenVINO exports it."""

    def write(self, file: Path) -> None:
        """Write it whole or not at all. Raises CannotWrite."""
        header = json.dumps({**self.about, "sha256": self._checksum()}).encode() + b"\n"
        write_atomically(
            file,
            lambda out: (out.write(header), out.write(self.compiled)),
            "set $XDG_CACHE_HOME to another folder",
        )
        sweep(file.parent, older_than=_ABANDONED)

    @classmethod
    def read(cls, file: Path) -> Export | None:
        """Read an undamaged file, else return None: damaged bytes would crash OpenVINO."""
        try:
            # Without a buffer, which would copy everything once more and take longer than reading.
            with file.open("rb", buffering=0) as opened:
                header = json.loads(opened.readline(_HEADER_BYTES))
                compiled = opened.read()
            checksum = header.pop("sha256")
            export = cls(header, compiled)
            return export if export._checksum() == checksum else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _checksum(self) -> str:
        said = hashlib.sha256(json.dumps(self.about, sort_keys=True).encode() + b"\n")
        said.update(self.compiled)  # not concatenated: that would copy it
        return said.hexdigest()

    def load(self, core: Any, config: Mapping[str, str]) -> Any:  # noqa: ANN401
        """Return the compiled network. Raises RuntimeError for another build of OpenVINO."""
        import openvino

        # OpenVINO must own a copy: the compiled network keeps reading its weights there.
        tensor = openvino.Tensor(np.frombuffer(self.compiled, np.uint8))
        return core.import_model(tensor, "CPU", dict(config))


def export_file(name: str, made_from: object, core: Any) -> Path | None:  # noqa: ANN401
    """Name the file of an export: by its input, OpenVINO's version and the processor.

    Parameters
    ----------
    made_from : the whole input of the export, as JSON.

    Returns None if there is no folder for the export.
    """
    asked = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    processor = [platform.machine(), *(str(core.get_property("CPU", name)) for name in asked)]
    kind = json.dumps([made_from, library_versions("openvino"), processor]).encode()
    try:
        folder = cache_folder() / "networks"
    except AlboError:
        return None
    return folder / f"{name}-{hashlib.sha256(kind).hexdigest()[:16]}.openvino"


def load_or_export(
    file: Path | None,
    core: Any,  # noqa: ANN401
    config: Callable[[Export], Mapping[str, str]],
    make: Callable[[], Export],
    note: Note,
) -> tuple[Export, Any]:
    """Load an export; if there is none that loads, make it first and keep it.

    Parameters
    ----------
    file : as `export_file` returns it.
    config : returns the settings with which OpenVINO runs an export.
    make : makes the export.
    note : called with one line if the export cannot be kept.

    Returns the export and the compiled network.
    """
    export = Export.read(file) if file is not None else None
    if export is not None:
        with contextlib.suppress(
            RuntimeError, KeyError
        ):  # another build of OpenVINO: exported again below
            return export, export.load(core, config(export))
    export = make()
    try:
        if file is None:
            raise AlboError("there is no home folder; set XDG_CACHE_HOME to a folder")  # noqa: TRY301
        export.write(file)
    except AlboError as error:
        note(f"the exported network is not kept, the next start will be as slow: {error}")
    return export, export.load(core, config(export))
