"""The word reader (OCR): reads covers with the networks of RapidOCR (PP-OCRv6), on OpenVINO.

`boxes` finds text on a cover, level, slanted or vertical, cuts lines out and turns them. This
module runs the networks and reads each line.

The package `rapidocr` has the networks; its code is not run. One network marks where text is
(differentiable binarization: Liao et al. 2020), another reads each line (CTC: Graves et al. 2006).
The processing before and after them follows RapidOCR's settings.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from albo.ahead import look_ahead
from albo.errors import AlboError, MissingReader
from albo.images import open_image
from albo.limits import Limits
from albo.networks import (
    Export,
    cores,
    export_file,
    has_bfloat16,
    load_or_export,
    open_core,
    openvino_failed,
)
from albo.records import Device, Line, Words
from albo.words.boxes import (
    BOX_SETTINGS,
    Corners,
    cut_lines,
    find_boxes,
    in_order,
    place_on_image,
    size_to_look_at,
    with_borders,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from albo.records import Floats, Note, Pixels


NAME = "rapidocr"
SCRIPTS = "Latin, Greek, Chinese and Japanese letters"
"""The scripts of the letters that the reader's network knows, for users."""

MAX_SIDE = 640
"""Covers are read at this size, in pixels of the longer side."""

_VERSION = 1  # raised when the processing around the networks changes
_EXPORT_VERSION = 1  # raised when the export changes
_DETECTOR = "PP-OCRv6_det_small.onnx"
_RECOGNISER = "PP-OCRv6_rec_small.onnx"
_REMEDY = "pip install 'rapidocr>=3.10'"

_HEIGHT = 48  # of a line, as the recogniser was trained
_WIDTH_STEP = 32
_LEAST_WIDTH = 192
_MOST_WIDTH = 2048
_GREY = 128
_LEAST_CONFIDENCE = 0.5

_SETTINGS = {
    **BOX_SETTINGS,
    "MAX_SIDE": MAX_SIDE,
    "_VERSION": _VERSION,
    "_HEIGHT": _HEIGHT,
    "_WIDTH_STEP": _WIDTH_STEP,
    "_LEAST_WIDTH": _LEAST_WIDTH,
    "_MOST_WIDTH": _MOST_WIDTH,
    "_GREY": _GREY,
    "_LEAST_CONFIDENCE": _LEAST_CONFIDENCE,
    # These two do not affect what is read. But the first fingerprints included them, and with other
    # values all stored words would be lost.
    "TYPE_CHECKING": False,
    "_EXPORT_VERSION": 1,
}
"""The settings that affect reading: with the networks' files, the reader's fingerprint."""


class Reader(Protocol):
    """A word reader (OCR)."""

    name: str
    fingerprint: str
    device: str

    def read(self, images: Iterable[Image.Image]) -> Iterator[Words]:
        """Yield the words of each cover, in order, reading a little ahead.

        A cover that cannot be read gives `Words(error=…)`. Raises RuntimeFailed if the engine
        itself fails.
        """
        ...

    def read_at(self, image: Image.Image, lines: Sequence[Line]) -> tuple[str, ...]:
        """Read an image at the places of known lines: a text for each, "" for none.

        The lines come from a larger picture of the same cover. Raises as `read`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReaderCard:
    """The description of the word reader, known without loading it."""

    name: str
    """The name, as in the folder of its words: `rapidocr`."""

    fingerprint: str
    """SHA-256 (hex) of the networks' files and of every setting that affects reading."""


def prepare(data: bytes, limits: Limits | None = None) -> Image.Image:
    """Decode a cover for the reader: RGB, at most `MAX_SIDE` pixels a side. Raises BadCover."""
    return open_image(data, limits or Limits(), MAX_SIDE)


def reader_card() -> ReaderCard:
    """Describe the word reader of this installation without loading it. Raises MissingReader."""
    files = [_digest(str(file), _stamp(file)) for file in _find_models()]
    said = json.dumps([files, _SETTINGS], sort_keys=True).encode()
    return ReaderCard(NAME, hashlib.sha256(said).hexdigest())


def _find_models() -> tuple[Path, Path]:
    """Find the networks' files without importing the package: that would load OpenCV."""
    try:
        spec = importlib.util.find_spec("rapidocr")
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingReader(f"reading words needs the package rapidocr; {_REMEDY}")
    folder = Path(next(iter(spec.submodule_search_locations))) / "models"
    detector, recogniser = folder / _DETECTOR, folder / _RECOGNISER
    for file in (detector, recogniser):
        if not os.access(file, os.R_OK):
            raise MissingReader(
                f"this rapidocr has no {file.name} to read; {_REMEDY} --force-reinstall"
            )
    return detector, recogniser


def _stamp(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


@lru_cache(maxsize=8)
def _digest(file: str, _stamp: tuple[int, int, int]) -> str:
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def open_reader(
    device: Device = Device.AUTO,  # noqa: ARG001  (one signature for all runtimes)
    *,
    single: bool = False,
    note: Note = lambda _line: None,
) -> Reader:
    """Load the reader.

    Parameters
    ----------
    device : ignored, words are read on the CPU: OpenVINO does not support CUDA, and the CPU is
        mostly idle while a GPU embeds.
    single : only one cover is to be read: start fast rather than run fast.
    note : called with one line that the user may want to know.

    Raises MissingReader, RuntimeFailed.
    """
    try:
        return OpenVinoReader(reader_card(), single=single, note=note)
    except ImportError as error:
        raise MissingReader("reading words needs OpenVINO; pip install openvino") from error
    except RuntimeError as error:
        raise openvino_failed(error) from error


class OpenVinoReader:
    """Both networks on OpenVINO; each core reads one cover at a time."""

    name = NAME
    device = Device.CPU.value

    def __init__(self, card: ReaderCard, *, single: bool, note: Note) -> None:
        self.fingerprint = card.fingerprint
        self._workers = 1 if single else cores() + 1
        self._requests = threading.local()
        core = open_core()
        with ThreadPoolExecutor(2) as pool:
            loads = [
                pool.submit(_load, core, file, single=single, note=note) for file in _find_models()
            ]
            (_, self._detect), (characters, self._recognise) = (load.result() for load in loads)
        # The first output means no character; the last is not in the list.
        self._characters = ("", *characters.split("\n"), " ")
        if self._recognise.output(0).partial_shape[2] != len(self._characters):
            raise MissingReader(f"the networks of this rapidocr do not fit; {_REMEDY}")

    def read(self, images: Iterable[Image.Image]) -> Iterator[Words]:
        """Yield the words of each cover, in order; several are read at the same time.

        Raises RuntimeFailed.
        """
        words = look_ahead(
            self._read_one,
            images,
            threads=self._workers,
            most=2 * self._workers + 1,
            name="albo-reader",
        )
        with closing(words):
            yield from (each for each in words if each is not None)

    def _read_one(self, image: Image.Image) -> Words:
        try:
            return Words(self._lines(image.convert("RGB")))
        except AlboError:
            raise
        except Exception as error:  # noqa: BLE001  an unexpected cover
            return Words(error=f"its words could not be read ({type(error).__name__})")

    def read_at(self, image: Image.Image, lines: Sequence[Line]) -> tuple[str, ...]:
        """Read an image at the places of lines that are known. As `Reader.read_at`."""
        page = image.convert("RGB")
        return tuple(self._read_at(page, line) for line in lines)

    def _read_at(self, image: Image.Image, line: Line) -> str:
        try:
            found = self._line(image, np.reshape(line.box, (4, 2)) * image.size)
        except AlboError:
            raise
        except Exception:  # noqa: BLE001  an unexpected place
            return ""
        return "" if found is None else found.text

    def _lines(self, image: Image.Image) -> tuple[Line, ...]:
        found = (self._line(image, place) for place in self._places(image))
        return tuple(line for line in found if line is not None)

    def _line(self, image: Image.Image, place: Corners) -> Line | None:
        """Read the text at a place: corners (4, 2) in pixels, first the one where it begins."""
        readings = [(*self._text(line), corners) for line, corners in cut_lines(image, place)]
        text, confidence, corners = max(readings, key=lambda reading: reading[1])
        if not text.strip() or confidence < _LEAST_CONFIDENCE:
            return None
        shares = (corners / image.size).clip(0.0, 1.0)
        box = tuple(round(float(share), 4) for share in shares.ravel())
        return Line(text, box, round(confidence, 4))

    def _places(self, image: Image.Image) -> list[Corners]:
        """Find the places of text: corners (4, 2) in pixels of the image, in reading order."""
        bordered, offset = with_borders(image)
        width, height = size_to_look_at(*bordered.size)
        asked = bordered.resize((width, height), Image.Resampling.BILINEAR)
        marked: Floats = self._ask(self._detect, np.asarray(asked))[0, 0]
        scale = np.divide(bordered.size, (width, height))
        found = [place_on_image(box, scale, offset, image.size) for box in find_boxes(marked)]
        return in_order([corners for corners in found if corners is not None])

    def _text(self, line: Image.Image) -> tuple[str, float]:
        """Read one line: its text, and the mean probability of its characters."""
        steps = self._ask(self._recognise, _line_pixels(line))[0]
        best = steps.argmax(axis=1)
        is_new = np.concatenate([[True], best[1:] != best[:-1]]) & (best != 0)
        if not is_new.any():
            return "", 0.0
        text = "".join(self._characters[number] for number in best[is_new])
        return text, float(steps[is_new, best[is_new]].mean())

    def _ask(self, network: Any, pixels: Pixels) -> Floats:  # noqa: ANN401
        """Run a network; its output is valid until this thread runs it again."""
        try:
            request = self._request(network)
            request.infer({0: pixels[None]}, share_inputs=True)
            answer: Floats = request.get_output_tensor(0).data
        except RuntimeError as error:
            raise openvino_failed(error) from error
        return answer

    def _request(self, network: Any) -> Any:  # noqa: ANN401
        """Return this thread's request, kept: making one takes 5 % of the time of a cover."""
        own, name = self._requests.__dict__, str(id(network))
        if name not in own:
            own[name] = network.create_infer_request()
        return own[name]


def _load(
    core: Any,  # noqa: ANN401
    file: Path,
    *,
    single: bool,
    note: Note,
) -> tuple[str, Any]:
    """Load a network; return the characters that it knows, one a line, and the compiled network.

    The compiled network is kept, which halves the time of the next start.
    """
    # bfloat16 gives the same texts in little more than half the time.
    config = {
        "PERFORMANCE_HINT": "LATENCY" if single else "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "bf16" if has_bfloat16(core) else "f32",
    }

    def make() -> Export:
        note(f"compiling {file.stem} for this processor (once)")
        model = core.read_model(file)
        characters = _characters(model)
        compiled = core.compile_model(_fed_with_pixels(model), "CPU", config)
        return Export({"characters": characters}, compiled.export_model().getvalue())

    made_from = [_digest(str(file), _stamp(file)), _EXPORT_VERSION]
    kept = export_file(f"{NAME}-{file.stem}", made_from, core)
    export, compiled = load_or_export(kept, core, lambda _export: config, make, note)
    return export.about["characters"], compiled


def _characters(model: Any) -> str:  # noqa: ANN401
    """Return the characters of the recogniser's outputs, one a line; "" for the detector."""
    said = model.get_rt_info()
    if "framework" not in said or "character" not in said["framework"]:
        return ""
    return str(said["framework"]["character"].value)


def _fed_with_pixels(model: Any) -> Any:  # noqa: ANN401
    """Add to a network the conversion of RGB pixels to its input: BGR, channels first, -1 to 1."""
    import openvino
    from openvino.preprocess import ColorFormat, PrePostProcessor

    steps = PrePostProcessor(model)
    tensor = steps.input().tensor()
    tensor.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    tensor.set_color_format(ColorFormat.RGB)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    change = steps.input().preprocess()
    change.convert_color(ColorFormat.BGR).convert_element_type(openvino.Type.f32)
    change.mean(127.5).scale(127.5)
    return steps.build()


def _line_pixels(line: Image.Image) -> Pixels:
    """Scale a line to the recogniser's height and pad it to one of a few widths."""
    width = min(_MOST_WIDTH, max(1, -(-_HEIGHT * line.width // line.height)))
    steps = max(_LEAST_WIDTH, -(-width // _WIDTH_STEP) * _WIDTH_STEP)
    pixels = np.full((_HEIGHT, steps, 3), _GREY, np.uint8)
    pixels[:, :width] = np.asarray(line.resize((width, _HEIGHT), Image.Resampling.BILINEAR))
    return pixels
