"""What all that runs networks shares: the devices, and OpenVINO without its telemetry."""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from albo.errors import RuntimeFailed

if TYPE_CHECKING:
    from types import ModuleType

_MAX_REASON = 160


class Device(Enum):
    """Where a network runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


def import_openvino() -> Any:  # noqa: ANN401
    """Import OpenVINO without its telemetry: it would tell its maker of each conversion."""
    missing = object()
    before = sys.modules.get("openvino_telemetry", missing)
    # With None in its place an import fails, and OpenVINO puts a stub there.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if before is missing:
            del sys.modules["openvino_telemetry"]
        else:
            sys.modules["openvino_telemetry"] = cast("ModuleType", before)
    return openvino


def openvino_failed(error: object) -> RuntimeFailed:
    """Say in albo's words that OpenVINO failed."""
    return RuntimeFailed(f"OpenVINO failed ({last_line(error)}); free some memory and try again")


def last_line(error: object) -> str:
    """Return the line of an error that says what happened, as OpenVINO writes them."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:_MAX_REASON]
