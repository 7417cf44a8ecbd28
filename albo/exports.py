"""Networks in OpenVINO's own format: exported once, kept beside others, loaded from then on.

An export is kept in `$XDG_CACHE_HOME/albo/networks`, under a name made of what went in (a
fingerprint), OpenVINO's version and the processor. It is written whole or not at all, and one that
is damaged is made anew.

What was found out about weights is kept too, in `$XDG_CACHE_HOME/albo/cards`: it holds as long as
the files that it rests on have the size, time and inode they had.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.artifacts import (
    backbone_key,
    cache_folder,
    library_versions,
    plain_write_errors,
    read_json,
    sweep,
    write_atomically,
    write_json,
)
from albo.errors import AlboError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from albo.records import Json

PRECISION = "INFERENCE_PRECISION_HINT"
"""OpenVINO's name for the arithmetic: f32 or bf16."""

FLOAT32 = "float32"
"""The arithmetic of an export that computes in float32 throughout."""

_HEADER_BYTES = 4096
_ABANDONED = 3600.0  # seconds after which a temporary file is nobody's


@dataclass(frozen=True)
class Export:
    """A network compiled for this processor: a line of JSON and OpenVINO's own bytes, one file."""

    arithmetic: str
    compiled: bytes

    def write(self, file: Path) -> None:
        """Write it whole or not at all. Raises CannotWrite."""
        checksum = hashlib.sha256(self.compiled).hexdigest()
        header = json.dumps({"arithmetic": self.arithmetic, "sha256": checksum}).encode() + b"\n"
        write_atomically(
            file,
            lambda out: (out.write(header), out.write(self.compiled)),
            "set $XDG_CACHE_HOME to another folder",
        )
        sweep(file.parent, older_than=_ABANDONED)

    @classmethod
    def read(cls, file: Path) -> Export | None:
        """Read what is whole: OpenVINO would take the process down over damaged bytes."""
        try:
            with file.open("rb") as opened:
                header = json.loads(opened.readline(_HEADER_BYTES))
                compiled = opened.read()
            sound = hashlib.sha256(compiled).hexdigest() == header["sha256"]
            return cls(str(header["arithmetic"]), compiled) if sound else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def load(self, core: Any, hint: str) -> Any:  # noqa: ANN401
        """Give the compiled network to OpenVINO. Raises RuntimeError where it cannot read it.

        hint : LATENCY where one answer is waited for, THROUGHPUT where many are.
        """
        import openvino

        # A copy that OpenVINO owns: the compiled network goes on reading its weights there.
        tensor = openvino.Tensor(np.frombuffer(self.compiled, np.uint8))
        precision = "f32" if self.arithmetic == FLOAT32 else "bf16"
        return core.import_model(tensor, "CPU", {"PERFORMANCE_HINT": hint, PRECISION: precision})


def open_exported(
    name: str,
    file: Path | None,
    core: Any,  # noqa: ANN401
    hint: str,
    *,
    export: Callable[[], Export],
    note: Callable[[str], None],
) -> tuple[str, Any]:
    """Load an exported network; where there is none that loads, export it first.

    Parameters
    ----------
    name : of the network, for the notes.
    file : as of `export_file`; None where nothing can be kept.
    hint : as of `Export.load`.
    export : makes the export.

    Returns its arithmetic, and the compiled network. Raises RuntimeError, and what `export` raises.
    """
    kept = Export.read(file) if file is not None else None
    if kept is not None:
        with contextlib.suppress(RuntimeError):  # another build of OpenVINO: made anew below
            return kept.arithmetic, kept.load(core, hint)
    note(f"exporting {name} for this processor (once)")
    made = export()
    try:
        if file is None:
            raise AlboError("there is no home folder; set XDG_CACHE_HOME to a folder")  # noqa: TRY301
        made.write(file)
    except AlboError as error:
        note(f"the exported network is not kept, the next start will be as slow: {error}")
    return made.arithmetic, made.load(core, hint)


def export_file(name: str, fingerprint: str, version: object, core: Any) -> Path | None:  # noqa: ANN401
    """Name the file of an export: by what goes in, the program and the processor.

    version : whatever else decides what comes out, in JSON's types.

    Returns None where there is no home folder. Raises ValueError as `backbone_key`.
    """
    asked = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    processor = [platform.machine(), *(str(core.get_property("CPU", name)) for name in asked)]
    kind = [fingerprint, library_versions("openvino"), processor, version]
    made_by = hashlib.sha256(json.dumps(kind).encode()).hexdigest()
    try:
        folder = cache_folder() / "networks"
    except AlboError:
        return None
    return folder / f"{backbone_key(name, fingerprint)}-{made_by[:16]}.openvino"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder for what an export needs on its way. Raises CannotWrite."""
    temporary = Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108  (named in a message)
    with (
        plain_write_errors(temporary, "set $TMPDIR to another folder"),
        tempfile.TemporaryDirectory(prefix="albo-") as scratch,
    ):
        yield Path(scratch)


def has_bfloat16(core: Any) -> bool:  # noqa: ANN401
    """Whether the processor computes in bfloat16."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


# --- what was found out about weights ------------------------------------------------------------


def recall(question: str) -> Json | None:
    """Return the card that was kept as the answer to a question.

    None where there is none, it is damaged, or one of its files has changed since.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, AlboError):
        content = read_json(_memory(question))
        checksum = content.pop("checksum")
        sound = checksum == _checksum(content) and content["stamp"] == _stamps(content["files"])
        card: Json = content["card"]
        return card if sound else None
    return None


def remember(question: str, card: Json, *files: Path) -> None:
    """Keep a card as the answer to a question, until one of the files changes that it rests on."""
    # A home that is missing or read-only costs the time to find out again, nothing else.
    with contextlib.suppress(OSError, AlboError):
        names = [str(file) for file in files]
        content = {"card": card, "files": names, "stamp": _stamps(names)}
        write_json(_memory(question), {**content, "checksum": _checksum(content)})


def _memory(question: str) -> Path:
    return cache_folder() / "cards" / f"{hashlib.sha256(question.encode()).hexdigest()[:16]}.json"


def _checksum(content: Json) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stamps(files: list[str]) -> list[list[int]]:
    found = [Path(file).stat() for file in files]
    return [[stat.st_size, stat.st_mtime_ns, stat.st_ino] for stat in found]
