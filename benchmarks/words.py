"""Reading words: albo's reader beside RapidOCR, which brings the networks, on the same covers."""

from __future__ import annotations

import resource
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from albo.texts import edits
from albo.words import open_reader, prepare
from benchmarks.covers import large_covers, shared_folder, workspace
from benchmarks.measure import Sample, interleave
from benchmarks.results import Row, Section, Skipped, at_least, at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from PIL import Image

    from albo.words import Reader
    from benchmarks.options import Options

LEAST_COVERS_A_SECOND = 10.0
MOST_CPU_SECONDS = 0.2
MOST_MEMORY = 1024.0
LEAST_AGREEMENT = 0.95
_ALIKE = 0.8  # 1 less edits over letters
_LETTERS = 3
_SURE = 0.9

Found: TypeAlias = list[tuple[str, float]]
"""The lines of one cover with their confidences."""


def run(options: Options) -> Section:
    """Read the same covers with both, turn by turn; then compare what they read."""
    covers = large_covers()[: options.pick(40, 6)]
    with workspace():
        before = _peak_mib()
        ours = open_reader()
        _read(ours, covers[:4])
        _read(ours, covers)
        growth = _peak_mib() - before
        peer = _peer()
        _ask_peer(peer, covers[:4])
        rows = [
            *_speed(ours, peer, covers, options.pick(3, 1)),
            Row(
                "memory, from before it is loaded to the peak, MiB",
                f"{growth:.0f}",
                target=at_most(growth, MOST_MEMORY),
            ),
        ]
        for name in ("itunes36", "discogs5"):
            rows += _agreement(ours, peer, name, options.pick(100, 6))
    return Section("words: reading the words on covers", rows, [_REMARK], _LIBRARIES)


_LIBRARIES = ("rapidocr", "openvino", "opencv-python", "numpy", "pillow")
_REMARK = (
    "The peer is RapidOCR on its OpenVINO engine, settings as it comes, cover by cover; both read"
    " the same images of at most 640 px, and decoding is part of the time. Speed: 1000 px covers of"
    " itunes36. Agreement: the share of one's lines (confidence 0.5 or more, three letters or more)"
    " that the other has with an edit similarity of 0.8 or more. RapidOCR asks a third network"
    " whether a line is upside down; albo does not, and reads upright text both ways instead. So"
    " the peer is compared without that network too, and for the lines that it is sure of (0.9)."
)


def _peer() -> Any:  # noqa: ANN401  (untyped)
    """Open RapidOCR. Raises Skipped where it cannot be imported."""
    try:
        from rapidocr import EngineType, RapidOCR
    except ImportError as error:
        raise Skipped(f"RapidOCR itself cannot be imported here ({error})") from error
    engines = {f"{stage}.engine_type": EngineType.OPENVINO for stage in ("Det", "Cls", "Rec")}
    return RapidOCR(params={**engines, "Global.log_level": "critical"})


def _speed(ours: Reader, peer: Any, covers: Sequence[Path], rounds: int) -> list[Row]:  # noqa: ANN401
    spent: dict[str, list[float]] = {"ours": [], "peer": []}

    def timed(name: str, work: Callable[[], object]) -> float:
        started, used = time.perf_counter(), _cpu_seconds()
        work()
        spent[name].append((_cpu_seconds() - used) / len(covers))
        return time.perf_counter() - started

    jobs = {
        "ours": partial(timed, "ours", lambda: _read(ours, covers)),
        "peer": partial(timed, "peer", lambda: _ask_peer(peer, covers)),
    }
    speed = {name: sample.inverse(len(covers)) for name, sample in interleave(jobs, rounds).items()}
    cpu = {name: Sample(tuple(values)) for name, values in spent.items()}
    return [
        Row(
            "covers a second",
            speed["ours"].show(1),
            speed["peer"].show(1),
            speed["ours"].over(speed["peer"]).show(1, "x"),
            at_least(speed["ours"].median, LEAST_COVERS_A_SECOND),
        ),
        Row(
            "CPU seconds a cover",
            cpu["ours"].show(3),
            cpu["peer"].show(3),
            cpu["ours"].over(cpu["peer"]).show(2, "x"),
            at_most(cpu["ours"].median, MOST_CPU_SECONDS),
        ),
    ]


def _agreement(ours: Reader, peer: Any, name: str, count: int) -> list[Row]:  # noqa: ANN401
    files = sorted(
        file for file in (shared_folder() / "covers" / name / "images").rglob("*") if file.is_file()
    )
    covers = files[:: max(1, len(files) // count)][:count]
    said = _read(ours, covers)
    rows = []
    for kind, asks in (("as it comes", {}), ("without its classifier", {"use_cls": False})):
        theirs = _ask_peer(peer, covers, **asks)
        for least in (0.5, _SURE):
            one, other = _share(theirs, said, least), _share(said, theirs, least)
            rows.append(
                Row(
                    f"{name}, {len(covers)} covers: lines of RapidOCR's ({kind}, confidence"
                    f" {least}) that albo has; of albo's that RapidOCR has",
                    f"{one:.3f}; {other:.3f}",
                    target=at_least(min(one, other), LEAST_AGREEMENT),
                )
            )
    return rows


def _read(reader: Reader, covers: Sequence[Path]) -> list[Found]:
    images = (prepare(cover.read_bytes()) for cover in covers)
    return [[(line.text, line.confidence) for line in words.lines] for words in reader.read(images)]


def _ask_peer(peer: Any, covers: Sequence[Path], **asks: object) -> list[Found]:  # noqa: ANN401
    return [_ask(peer, prepare(cover.read_bytes()), asks) for cover in covers]


def _ask(peer: Any, image: Image.Image, asks: dict[str, object]) -> Found:  # noqa: ANN401
    said = peer(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]), **{"use_cls": True, **asks})
    if said.txts is None:
        return []
    return list(zip(said.txts, map(float, said.scores), strict=True))


def _share(those: Iterable[Found], these: Iterable[Found], least: float) -> float:
    """Return the share of those lines, sure enough and long enough, that are among these."""
    found = [
        any(alike(text, other) >= _ALIKE for other, _ in there)
        for here, there in zip(those, these, strict=True)
        for text, confidence in here
        if confidence >= least and sum(map(str.isalpha, text)) >= _LETTERS
    ]
    return sum(found) / max(1, len(found))


def alike(one: str, other: str) -> float:
    """Return 1 less the edits that make one text of the other, over letters."""
    return 1 - edits(one, other) / max(len(one), len(other), 1)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mib() -> float:
    unit = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit / 1024
