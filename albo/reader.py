"""Reads the words on covers: the networks of RapidOCR (PP-OCRv6), run by OpenVINO.

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
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from PIL import Image

from albo.engines import (
    Device,
    Export,
    cores,
    export_file,
    load_or_export,
    open_core,
    openvino_failed,
)
from albo.errors import AlboError, MissingReader
from albo.images import Limits, open_image
from albo.records import Line, Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from albo.records import Bools, Floats, Ints, Pixels

    Doubles: TypeAlias = NDArray[np.float64]
    Corners: TypeAlias = Doubles
    """The corners of a rectangle, (4, 2): x and y."""

NAME = "rapidocr"
MAX_SIDE = 640
"""Covers are read at this size, in pixels of the longer side."""
MAX_LINES = 200
"""Most places on one cover that are read: a sheet of noise must not take minutes."""

_VERSION = 1  # raised when the same networks are asked in another way
_EXPORT_VERSION = 1  # raised when they are compiled in another way
_DETECTOR = "PP-OCRv6_det_small.onnx"
_RECOGNISER = "PP-OCRv6_rec_small.onnx"
_REMEDY = "pip install 'rapidocr>=3.10'"

_GRID = 32  # the detector halves its image five times
# An image is scaled to the area of a square of this side. RapidOCR's 736 takes a fifth longer and
# reads no more of the artists' and albums' names; below 576, names are lost.
_SIDE = 640
_LONGEST = 8  # times the shorter side; what is longer gets borders
_IS_TEXT = 0.3  # of the detector's map
_BOX_SCORE = 0.5
_UNCLIP = 1.6
_SHORTEST_SIDE = 3.0  # of a place, in pixels of the map
_SHORTEST_GROWN = 5.0
_SAME_ROW = 10.0  # pixels between the tops of two boxes side by side
_UPRIGHT = 1.5  # times as high as wide: text that runs upwards or downwards

_HEIGHT = 48  # of a line, as the recogniser was trained
_WIDTH_STEP = 32
_LEAST_WIDTH = 192
_MOST_WIDTH = 2048
_GREY = 128
_LEAST_CONFIDENCE = 0.5


class Reader(Protocol):
    """What reads the words on covers."""

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
    """What is known of the reader without loading it; the fingerprint names all that it does."""

    name: str
    fingerprint: str


def prepare(data: bytes, limits: Limits | None = None) -> Image.Image:
    """Decode a cover as the reader wants it: RGB, at most `MAX_SIDE` pixels. Raises BadCover."""
    return open_image(data, limits or Limits(), MAX_SIDE)


def card() -> ReaderCard:
    """Say what reads words here, without loading it. Raises MissingReader."""
    files = [_digest(str(file), _stamp(file)) for file in _find_models()]
    settings = {name: value for name, value in globals().items() if _is_setting(name, value)}
    said = json.dumps([files, settings], sort_keys=True).encode()
    return ReaderCard(NAME, hashlib.sha256(said).hexdigest())


def _is_setting(name: str, value: object) -> bool:
    return name.lstrip("_").isupper() and isinstance(value, int | float)


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
    note: Callable[[str], None] = lambda _line: None,
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
        return OpenVinoReader(card(), single=single, note=note)
    except ImportError as error:
        raise MissingReader("reading words needs OpenVINO; pip install openvino") from error
    except RuntimeError as error:
        raise openvino_failed(error) from error


class OpenVinoReader:
    """Both networks on OpenVINO; covers are read one by one, as many at once as there are cores."""

    name = NAME
    device = Device.CPU.value

    def __init__(self, card: ReaderCard, *, single: bool, note: Callable[[str], None]) -> None:
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
        waiting: deque[Future[Words]] = deque()
        with ThreadPoolExecutor(self._workers, "albo-reader") as pool:
            try:
                for image in images:
                    waiting.append(pool.submit(self._read_one, image))
                    if len(waiting) > 2 * self._workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for each in waiting:
                    each.cancel()

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
        readings = [(*self._text(line), corners) for line, corners in _cuts(image, place)]
        text, confidence, corners = max(readings, key=lambda reading: reading[1])
        if not text.strip() or confidence < _LEAST_CONFIDENCE:
            return None
        shares = (corners / image.size).clip(0.0, 1.0)
        box = tuple(round(float(share), 4) for share in shares.ravel())
        return Line(text, box, round(confidence, 4))

    def _places(self, image: Image.Image) -> list[Corners]:
        """Find where text is: corners (4, 2) in pixels of the image, in the order of reading."""
        bordered, offset = _with_borders(image)
        width, height = _size_to_look_at(*bordered.size)
        asked = bordered.resize((width, height), Image.Resampling.BILINEAR)
        marked: Floats = self._ask(self._detect, np.asarray(asked))[0, 0]
        scale = np.divide(bordered.size, (width, height))
        found = [_on_image(box, scale, offset, image.size) for box in _boxes(marked)]
        return _in_order([corners for corners in found if corners is not None])

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
    note: Callable[[str], None],
) -> tuple[str, Any]:
    """Load a network; returns the characters that it knows, one a line, and the compiled network.

    What was compiled is kept, which halves the next start.
    """
    # Texts come out the same in bfloat16, in little more than half the time.
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    config = {
        "PERFORMANCE_HINT": "LATENCY" if single else "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "bf16" if has_bfloat16 else "f32",
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


# --- where text is -------------------------------------------------------------------------------


def _with_borders(image: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """Put an image that is far longer than wide between black borders; say how wide they are."""
    width, height = image.size
    least = -(-max(width, height) // _LONGEST)
    if min(width, height) >= least:
        return image, (0, 0)
    size = max(width, least), max(height, least)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    bordered = Image.new("RGB", size)
    bordered.paste(image, (left, top))
    return bordered, (left, top)


def _size_to_look_at(width: int, height: int) -> tuple[int, int]:
    """Scale to the area that the detector looks at, in whole steps of its grid."""
    scale = _SIDE / (width * height) ** 0.5
    wide, high = (max(1, round(side * scale / _GRID)) * _GRID for side in (width, height))
    return wide, high


@dataclass(frozen=True, slots=True)
class _Box:
    """A rectangle: centre, unit vector along it, length along and across. Pixels of the map."""

    centre: Doubles
    along: Doubles
    size: Doubles

    def corners(self, more: float = 0.0) -> Corners:
        """Return its corners (4, 2), going round; `more` is added on each side."""
        x, y = self.along
        half = self.size / 2 + more
        one, other = half[0] * np.array([x, y]), half[1] * np.array([-y, x])
        corners: Corners = self.centre + np.stack(
            [-one - other, one - other, one + other, other - one]
        )
        return corners


def _boxes(marked: Floats) -> Iterator[Corners]:
    """Find the rectangles of text in the detector's map: corners (4, 2), grown to hold the text."""
    for ends in _blobs(_spread(marked > _IS_TEXT))[:MAX_LINES]:
        box = _smallest_box(ends)
        if box.size.min() < _SHORTEST_SIDE or _score(marked, box.corners()) < _BOX_SCORE:
            continue
        # The detector was taught shrunken text: area over girth says how much is missing.
        more = _UNCLIP * box.size.prod() / (2 * box.size.sum())
        if box.size.min() + 2 * more >= _SHORTEST_GROWN:
            yield box.corners(more)


def _spread(mask: Bools) -> Bools:
    """Widen by a pixel to the right and below, so that what touches at a corner hangs together."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[1:] |= wide[:-1].copy()
    return wide


def _blobs(mask: Bools) -> list[Ints]:
    """Find what hangs together, corners included: the ends of its runs as points (n, 2), x and y.

    The largest come first.
    """
    height, width = mask.shape
    stride = width + 2  # a row never touches the next
    flat = np.zeros((height, stride), np.int8)
    flat[:, 1:-1] = mask
    edges = np.flatnonzero(np.diff(flat.ravel(), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return []
    owner = _joined(starts, ends, stride)
    order = np.argsort(owner, kind="stable")
    cuts = np.flatnonzero(np.diff(owner[order])) + 1
    groups = np.split(order, cuts)
    areas = np.add.reduceat(ends[order] - starts[order], np.concatenate([[0], cuts]))
    found = []
    for number in np.argsort(-areas, kind="stable"):
        runs = groups[number]
        y, first = np.divmod(starts[runs], stride)
        last = (ends[runs] - 1) % stride
        found.append(np.stack([np.concatenate([first, last]) - 1, np.concatenate([y, y])], axis=1))
    return found


def _joined(starts: Ints, ends: Ints, stride: int) -> Ints:
    """Give each run of pixels the number of the first run that it hangs together with."""
    first = np.searchsorted(ends, starts + stride, side="left")
    last = np.searchsorted(starts, ends + stride, side="right")
    parent = list(range(len(starts)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for run, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for below in range(low, high):
            one, other = root(run), root(below)
            parent[max(one, other)] = min(one, other)
    return np.array([root(run) for run in range(len(parent))])


def _smallest_box(points: Ints) -> _Box:
    """Return the rectangle of least area round points (n, 2): one side lies on their hull."""
    hull = _hull(points)
    sides = np.roll(hull, -1, axis=0) - hull
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    along = np.array([[1.0, 0.0]])
    if (lengths > 0).any():
        along = sides[lengths > 0] / lengths[lengths > 0, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    u, v = hull @ along.T, hull @ across.T
    low = np.stack([u.min(axis=0), v.min(axis=0)], axis=1)
    high = np.stack([u.max(axis=0), v.max(axis=0)], axis=1)
    best = int((high - low).prod(axis=1).argmin())
    middle = (low[best] + high[best]) / 2
    centre = middle[0] * along[best] + middle[1] * across[best]
    return _Box(centre, along[best], high[best] - low[best])


def _hull(points: Ints) -> Doubles:
    """Return the convex hull of points (n, 2), going round (Andrew 1979)."""
    ordered = sorted(set(map(tuple, points.tolist())))
    if len(ordered) < 3:  # noqa: PLR2004  a point or a line
        return np.array(ordered, np.float64)
    lower, upper = _chain(ordered), _chain(ordered[::-1])
    return np.array(lower[:-1] + upper[:-1], np.float64)


def _chain(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    chain: list[tuple[int, int]] = []
    for x, y in points:
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2:]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def _score(marked: Floats, corners: Corners) -> float:
    """Return the mean of the map within a rectangle."""
    height, width = marked.shape
    left, top = np.floor(corners.min(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    right, bottom = np.ceil(corners.max(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    part = marked[top : bottom + 1, left : right + 1]
    y, x = np.ogrid[top : bottom + 1, left : right + 1]
    inside = np.ones(part.shape, np.bool_)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = max(np.hypot(bx - ax, by - ay), 1e-9)
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= -0.5 * length
    return float(part[inside].mean()) if inside.any() else 0.0


def _on_image(
    corners: Corners, scale: Doubles, offset: tuple[int, int], size: tuple[int, int]
) -> Corners | None:
    """Put a box of the map onto the image, from where its text begins; None if it is too small."""
    placed = (np.round(corners * scale) - offset).clip(0, np.subtract(size, 1))
    left, right = np.split(placed[np.argsort(placed[:, 0], kind="stable")], 2)
    (top_left, bottom_left), (top_right, bottom_right) = (
        side[np.argsort(side[:, 1], kind="stable")] for side in (left, right)
    )
    if min(_distance(top_left, top_right), _distance(top_left, bottom_left)) < _SHORTEST_SIDE + 1:
        return None
    return np.stack([top_left, top_right, bottom_right, bottom_left])


def _distance(one: Doubles, other: Doubles) -> float:
    return float(np.hypot(*(one - other)))


def _in_order(boxes: list[Corners]) -> list[Corners]:
    """Sort from top to bottom, and from left to right what begins at about the same height."""
    boxes = sorted(boxes, key=lambda corners: float(corners[0, 1]))
    rows: list[list[Corners]] = []
    for corners in boxes:
        if rows and corners[0, 1] - rows[-1][-1][0, 1] < _SAME_ROW:
            rows[-1].append(corners)
        else:
            rows.append([corners])
    return [each for row in rows for each in sorted(row, key=lambda corners: float(corners[0, 0]))]


# --- one line ------------------------------------------------------------------------------------


def _cuts(image: Image.Image, corners: Corners) -> Iterator[tuple[Image.Image, Corners]]:
    """Cut a line out and lay it flat, with its corners from where it begins.

    What is far higher than wide may run downwards or upwards, and comes both ways.
    """
    a, b, c, d = corners
    width = max(1, int(max(_distance(a, b), _distance(c, d))))
    height = max(1, int(max(_distance(a, d), _distance(b, c))))
    if _is_level(corners):
        (left, top), (right, bottom) = a.astype(int), c.astype(int)
        line = image.crop((left, top, right, bottom))
    else:
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        line = image.transform(
            (width, height),
            Image.Transform.PERSPECTIVE,
            _perspective(flat, corners),
            Image.Resampling.BICUBIC,
        )
    if height < _UPRIGHT * width:
        yield line, corners
        return
    yield line.transpose(Image.Transpose.ROTATE_90), np.roll(corners, -1, axis=0)
    yield line.transpose(Image.Transpose.ROTATE_270), np.roll(corners, 1, axis=0)


def _is_level(corners: Corners) -> bool:
    a, b, c, d = corners
    return bool(a[1] == b[1] and c[1] == d[1] and a[0] == d[0] and b[0] == c[0])


def _perspective(source: Corners, target: Corners) -> list[float]:
    """Return the eight numbers that map corners (4, 2) to others, as Pillow takes them."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solved = np.linalg.solve(np.array(rows), target.ravel())
    return [float(number) for number in solved]


def _line_pixels(line: Image.Image) -> Pixels:
    """Scale a line to the recogniser's height and fill it up to one of a few widths."""
    width = min(_MOST_WIDTH, max(1, -(-_HEIGHT * line.width // line.height)))
    steps = max(_LEAST_WIDTH, -(-width // _WIDTH_STEP) * _WIDTH_STEP)
    pixels = np.full((_HEIGHT, steps, 3), _GREY, np.uint8)
    pixels[:, :width] = np.asarray(line.resize((width, _HEIGHT), Image.Resampling.BILINEAR))
    return pixels
