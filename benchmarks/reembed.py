"""A second `albo embed` of an unchanged folder: nothing is decoded, no network runs."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from benchmarks.covers import workspace
from benchmarks.measure import (
    albo_command,
    imported_modules,
    interleave,
    interpreter,
    run_command,
)
from benchmarks.results import Row, Section, Target, at_most

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.covers import Workspace
    from benchmarks.options import Options

MOST_SECONDS = 3.0
_SIDE = 64
_FOLDERS = 50
_PICTURES = 500
_DECODERS_AND_RUNTIMES = {"PIL", "simplejpeg", "openvino", "torch", "torchvision", "onnxruntime"}
_WALK = """
import os, sys
folders = [sys.argv[1]]
for folder in folders:
    with os.scandir(folder) as entries:
        for entry in entries:
            folders.append(entry.path) if entry.is_dir() else entry.stat()
"""


def run(options: Options) -> Section:
    """Embed a folder once for real, then time how long it takes to see that nothing changed."""
    count = options.pick(50_000, 600)
    with workspace() as here:
        folder = here.folder / "covers"
        draw_covers(folder, count)
        first = run_command([albo_command(), "embed", folder, "--json"], here.environment())
        _check(first.stdout, "embedded", count)
        imported = imported_modules([albo_command(), "embed", folder], here.environment())
        times = interleave(
            {
                "albo": lambda: _embed_again(here, folder, count),
                "walk": lambda: run_command([interpreter(), "-c", _WALK, folder]).seconds,
            },
            options.pick(5, 2),
        )
    forbidden = sorted(imported & _DECODERS_AND_RUNTIMES)
    again = times["albo"]
    rows = [
        Row(
            f"second `albo embed` of {count:,} unchanged files, whole command; beside it"
            " a Python script that only asks the system for every file's size and time",
            again.show(2, " s"),
            times["walk"].show(2, " s"),
            again.over(times["walk"]).show(1, "x"),
            at_most(again.median, MOST_SECONDS, f"≤ {MOST_SECONDS:g} s"),
        ),
        Row(
            "decoders and runtimes imported meanwhile",
            ", ".join(forbidden) or "none",
            target=Target("no decode, no forward pass", not forbidden),
        ),
        Row("the first run, for comparison", f"{first.seconds:.0f} s"),
    ]
    remark = (
        f"{count:,} JPEG files of {_SIDE} px, drawn and embedded for real before. Each second run"
        f" reported 0 embedded and {count:,} known."
    )
    return Section(
        "reembed: an unchanged folder",
        rows,
        [remark],
        ("openvino", "faiss-gpu", "faiss-cpu", "numpy", "pyarrow"),
    )


def draw_covers(folder: Path, count: int) -> None:
    """Fill a folder with small distinct JPEG files: pictures, and bytes after their end marker."""
    pictures = [_draw(number) for number in range(min(count, _PICTURES))]
    for number in range(count):
        place = folder / f"{number % _FOLDERS:02d}" / f"{number:06d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pictures[number % len(pictures)] + b"%d" % number)


def _draw(seed: int) -> bytes:
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((_SIDE, _SIDE)).save(out, "JPEG", quality=85)
    return out.getvalue()


def _embed_again(here: Workspace, folder: Path, count: int) -> float:
    done = run_command([albo_command(), "embed", folder, "--json"], here.environment())
    _check(done.stdout, "embedded", 0)
    _check(done.stdout, "known", count)
    return done.seconds


def _check(said: str, key: str, expected: int) -> None:
    found = json.loads(said)[key]
    if found != expected:
        raise ValueError(f"{key} is {found}, expected {expected}")
