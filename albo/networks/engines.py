"""Common parts of all runtimes: devices, and OpenVINO with compiled networks kept on the disk.

Compiled networks are kept in `$XDG_CACHE_HOME/albo/networks`, under a name made of their inputs,
OpenVINO's version and the processor.
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
"""Values of $ONEDNN_MAX_CPU_ISA below the first instruction set with bfloat16."""
_ABANDONED = 3600.0  # seconds after which a temporary file counts as abandoned


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def import_openvino() -> Any:  # noqa: ANN401
    """Import OpenVINO without its telemetry, which would report each conversion to its maker."""
    missing = object()
    before = sys.modules.get("openvino_telemetry", missing)
    # With None in its place the import fails, and OpenVINO uses a stub instead.
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
    processor allows. Python's handlers run on it, and Ctrl-C then ended in a segmentation fault.
    So the former stack is restored.
    """
    core = import_openvino().Core()
    with _same_signal_stack():
        core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return core


@contextlib.contextmanager
def _same_signal_stack() -> Iterator[None]:
    """Restore this thread's alternate signal stack afterwards, on systems that have one."""
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

    OpenVINO reports only the processor's abilities. It fails to compile if $ONEDNN_MAX_CPU_ISA
    forbids the instructions (as oneDNN documents that variable).
    """
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    listed = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in listed and allowed not in _WITHOUT_BFLOAT16


def requests_at_once(compiled: Any) -> int:  # noqa: ANN401
    """Return the number of requests that keep the processor busy, by a compiled network's hint."""
    return int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))


def run_in_order(
    compiled: Any,  # noqa: ANN401
    inputs: Iterable[NDArray[Any]],
) -> Iterator[list[NDArray[Any]]]:
    """Run a compiled network on one input after another, several at once.

    Requests are waited for in turn, without callbacks. A callback runs in OpenVINO's threads, and
    destroying a network while such a thread waits for Python's lock can hang forever.

    Parameters
    ----------
    inputs : read as requests become free; at most one more than there are requests.

    Yields the outputs for each input, in order. They are in OpenVINO's own memory: copy them before
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
        # If the caller stops early, requests remain; none may run on while the process ends.
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
    """Make albo's error for a failure of OpenVINO."""
    return RuntimeFailed(f"OpenVINO failed ({last_line(error)}); free some memory and try again")


def last_line(error: object) -> str:
    """Return the informative line of an error in OpenVINO's format."""
    return in_one_line(lines_of(error)[-1], _MAX_REASON)


@dataclass(frozen=True)
class Export:
    """A network compiled for this processor: a line of JSON and OpenVINO's bytes, in one file."""

    about: Mapping[str, str]
    """Facts for the loader about the compiled network, such as its arithmetic."""

    compiled: bytes
    """The compiled network, as OpenVINO exports it."""

    def write(self, file: Path) -> None:
        """Write the whole file or nothing. Raises CannotWrite."""
        header = json.dumps({**self.about, "sha256": self._checksum()}).encode() + b"\n"
        write_atomically(
            file,
            lambda out: (out.write(header), out.write(self.compiled)),
            "set $XDG_CACHE_HOME to another folder",
        )
        sweep(file.parent, older_than=_ABANDONED)

    @classmethod
    def read(cls, file: Path) -> Export | None:
        """Read it if it is undamaged: damaged bytes would crash OpenVINO and the process."""
        try:
            # A buffer would copy all bytes once more, which takes longer than reading them.
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
        said.update(self.compiled)  # not concatenated: that would copy the bytes once more
        return said.hexdigest()

    def load(self, core: Any, config: Mapping[str, str]) -> Any:  # noqa: ANN401
        """Return the compiled network. Raises RuntimeError for another build of OpenVINO."""
        import openvino

        # A copy that OpenVINO owns: the compiled network keeps reading its weights there.
        tensor = openvino.Tensor(np.frombuffer(self.compiled, np.uint8))
        return core.import_model(tensor, "CPU", dict(config))


def export_file(name: str, made_from: object, core: Any) -> Path | None:  # noqa: ANN401
    """Return the path of an export, made of its inputs, the program and the processor.

    Parameters
    ----------
    made_from : all inputs of the export, as JSON types.

    Returns None if there is no folder for exports.
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
    """Load an export; if none can be loaded, export first and keep the result.

    Parameters
    ----------
    file : as `export_file` returns it.
    config : returns OpenVINO's settings for an export.
    make : makes the export.
    note : called with one line if the export cannot be kept.

    Returns the export and the compiled network.
    """
    export = Export.read(file) if file is not None else None
    if export is not None:
        with contextlib.suppress(
            RuntimeError, KeyError
        ):  # fails for another build of OpenVINO; then it is exported again below
            return export, export.load(core, config(export))
    export = make()
    try:
        if file is None:
            raise AlboError("there is no home folder; set XDG_CACHE_HOME to a folder")  # noqa: TRY301
        export.write(file)
    except AlboError as error:
        note(f"the exported network is not kept, the next start will be as slow: {error}")
    return export, export.load(core, config(export))
