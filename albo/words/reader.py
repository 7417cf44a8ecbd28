"""The word reader (OCR): reads covers by the networks of RapidOCR (PP-OCRv6), on OpenVINO.

Where text is on a cover, level, slanted or vertical, is found in `boxes`, which also cuts lines out
and turns them; this module runs the networks and reads each line.

The package `rapidocr` brings the networks; nothing of its code is run. One network marks where text
is (differentiable binarization: Liao et al. 2020), another reads each line (CTC: Graves et al.
2006). What is done before and after them follows RapidOCR's settings.
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
MAX_SIDE = 640
"""Covers are read at this size, in pixels of the longer side."""

_VERSION = 1  # raised when the same networks are asked in another way
_EXPORT_VERSION = 1  # raised when they are compiled in another way
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
    # These two decide nothing of what is read. The first fingerprints held them, and with other
    # values all words that have been read would be lost.
    "TYPE_CHECKING": False,
    "_EXPORT_VERSION": 1,
}
"""What decides which words are read: with the networks' files, the reader's fingerprint."""


class Reader(Protocol):
    """A word reader (OCR)."""

    name: str
    fingerprint: str
    device: str

    def read(self, images: Iterable[Image.Image]) -> Iterator[Words]:
        """Yield what each cover says, in order, looking a little ahead.

        A cover that cannot be read gives `Words(error=…)`. Raises RuntimeFailed where the engine
        itself is broken.
        """
        ...

    def read_at(self, image: Image.Image, lines: Sequence[Line]) -> tuple[str, ...]:
        """Read an image at the places of lines that are known: a text for each, "" for none.

        Known from a larger picture of the same: people, too, know where to look. Raises as `read`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReaderCard:
    """What is known of the word reader without loading it."""

    name: str
    """As in the folder of its words: `rapidocr`."""

    fingerprint: str
    """SHA-256 (hex) of the networks' files and of every setting that decides what is read."""


def prepare(data: bytes, limits: Limits | None = None) -> Image.Image:
    """Decode a cover as the reader wants it: RGB, at most `MAX_SIDE` pixels. Raises BadCover."""
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
    device: Device = Device.AUTO,  # noqa: ARG001  (one signature for all that runs)
    *,
    single: bool = False,
    note: Note = lambda _line: None,
) -> Reader:
    """Load the reader.

    Parameters
    ----------
    device : whatever is asked for, words are read on the CPU: OpenVINO has no CUDA, and the CPU
        has little else to do while a GPU embeds.
    single : one cover is to be read soon: start fast rather than run fast.
    note : told in one line what the user may want to know.

    Raises MissingReader, RuntimeFailed.
    """
    try:
        return OpenVinoReader(reader_card(), single=single, note=note)
    except ImportError as error:
        raise MissingReader("reading words needs OpenVINO; pip install openvino") from error
    except RuntimeError as error:
        raise openvino_failed(error) from error


class OpenVinoReader:
    """Both networks on OpenVINO; covers are read one by one, as many at once as there are cores."""

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
        # The first stands for no character, the last is not in the list.
        self._characters = ("", *characters.split("\n"), " ")
        if self._recognise.output(0).partial_shape[2] != len(self._characters):
            raise MissingReader(f"the networks of this rapidocr do not fit; {_REMEDY}")

    def read(self, images: Iterable[Image.Image]) -> Iterator[Words]:
        """Yield what each cover says, in order; a few are on their way at once.

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
        except Exception as error:  # noqa: BLE001  one cover that nobody thought of
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
        except Exception:  # noqa: BLE001  a place that nobody thought of
            return ""
        return "" if found is None else found.text

    def _lines(self, image: Image.Image) -> tuple[Line, ...]:
        found = (self._line(image, place) for place in self._places(image))
        return tuple(line for line in found if line is not None)

    def _line(self, image: Image.Image, place: Corners) -> Line | None:
        """Read what stands at a place: corners (4, 2) in pixels, from where its text begins."""
        readings = [(*self._text(line), corners) for line, corners in cut_lines(image, place)]
        text, confidence, corners = max(readings, key=lambda reading: reading[1])
        if not text.strip() or confidence < _LEAST_CONFIDENCE:
            return None
        shares = (corners / image.size).clip(0.0, 1.0)
        box = tuple(round(float(share), 4) for share in shares.ravel())
        return Line(text, box, round(confidence, 4))

    def _places(self, image: Image.Image) -> list[Corners]:
        """Find where text is: corners (4, 2) in pixels of the image, in the order of reading."""
        bordered, offset = with_borders(image)
        width, height = size_to_look_at(*bordered.size)
        asked = bordered.resize((width, height), Image.Resampling.BILINEAR)
        marked: Floats = self._ask(self._detect, np.asarray(asked))[0, 0]
        scale = np.divide(bordered.size, (width, height))
        found = [place_on_image(box, scale, offset, image.size) for box in find_boxes(marked)]
        return in_order([corners for corners in found if corners is not None])

    def _text(self, line: Image.Image) -> tuple[str, float]:
        """Read one line: what it says, and the mean probability of its characters."""
        steps = self._ask(self._recognise, _line_pixels(line))[0]
        best = steps.argmax(axis=1)
        is_new = np.concatenate([[True], best[1:] != best[:-1]]) & (best != 0)
        if not is_new.any():
            return "", 0.0
        text = "".join(self._characters[number] for number in best[is_new])
        return text, float(steps[is_new, best[is_new]].mean())

    def _ask(self, network: Any, pixels: Pixels) -> Floats:  # noqa: ANN401
        """Run a network; the answer stands until this thread asks the same one again."""
        try:
            request = self._request(network)
            request.infer({0: pixels[None]}, share_inputs=True)
            answer: Floats = request.get_output_tensor(0).data
        except RuntimeError as error:
            raise openvino_failed(error) from error
        return answer

    def _request(self, network: Any) -> Any:  # noqa: ANN401
        """Return this thread's request: to make one takes a twentieth of the time of a cover."""
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
    """Load a network; returns the characters that it knows, one a line, and the compiled network.

    What was compiled is kept, which halves the next start.
    """
    # Texts come out the same in bfloat16, in little more than half the time.
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
    """Return what the recogniser's outputs stand for, a line each; "" for the detector."""
    said = model.get_rt_info()
    if "framework" not in said or "character" not in said["framework"]:
        return ""
    return str(said["framework"]["character"].value)


def _fed_with_pixels(model: Any) -> Any:  # noqa: ANN401
    """Give a network the way from RGB pixels to what it expects: BGR, channels first, -1 to 1."""
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
    """Scale a line to the recogniser's height and fill it up to one of a few widths."""
    width = min(_MOST_WIDTH, max(1, -(-_HEIGHT * line.width // line.height)))
    steps = max(_LEAST_WIDTH, -(-width // _WIDTH_STEP) * _WIDTH_STEP)
    pixels = np.full((_HEIGHT, steps, 3), _GREY, np.uint8)
    pixels[:, :width] = np.asarray(line.resize((width, _HEIGHT), Image.Resampling.BILINEAR))
    return pixels
