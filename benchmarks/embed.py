"""`albo embed` from cold, whole command, beside the loop that most people write."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from benchmarks.covers import large_covers, make_variants, shared_folder, workspace
from benchmarks.measure import (
    Finished,
    Sample,
    albo_command,
    cores,
    interleave,
    interpreter,
    run_command,
)
from benchmarks.results import Row, Section, at_least, at_most

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.covers import Workspace
    from benchmarks.measure import Word
    from benchmarks.options import Options

LEAST_RATIO = 6.0
MOST_MIB = 1.5 * 1024
MOST_GROWTH = 1.2
_BYTES_A_COVER = 300_000
_LOOP = re.compile(r": ([0-9.]+) covers/s")


def run(options: Options) -> Section:
    """Measure speed against the reference loop, and peak memory as covers grow."""
    sources = large_covers()
    few, count, many = options.pick(1000, 60), options.pick(5000, 150), options.pick(20_000, 300)
    with workspace() as here:
        first, second, memory = _measure_few(here, sources, few)
        make_variants(sources, here.folder / "covers", count)
        speed, peaks = _compare(here, count, limit=few, rounds=options.pick(3, 2))
        memory[count] = peaks.median
        if _has_room(here, many - count):
            make_variants(sources, here.folder / "covers", many)
            memory[many] = _embed(here, many).peak_mib
    rows = [
        _row_of_speed(speed, count, few),
        Row(
            f"the very first run, nothing exported yet, {few:,} covers",
            f"{first:.1f} s",
            f"{second:.1f} s the second time",
        ),
        *_rows_of_memory(memory),
    ]
    return Section(
        "embed: `albo embed` from cold",
        rows,
        _remarks(count, few, has_many=many in memory),
        ("torch", "torchvision", "timm", "openvino", "pillow", "simplejpeg"),
    )


def _measure_few(
    here: Workspace, sources: list[Path], few: int
) -> tuple[float, float, dict[int, float]]:
    """Embed a few covers with an empty cache and again with the network exported."""
    make_variants(sources, here.folder / "covers", few)
    first, second = _embed(here, few), _embed(here, few)
    return first.seconds, second.seconds, {few: second.peak_mib}


def _compare(
    here: Workspace, count: int, limit: int, rounds: int
) -> tuple[dict[str, Sample], Sample]:
    """Return covers a second of both, and albo's peak memory."""
    peaks = []

    def albo() -> float:
        done = _embed(here, count)
        peaks.append(done.peak_mib)
        return count / done.seconds

    def reference() -> float:
        script = shared_folder() / "bench" / "reference_embed.py"
        words: list[Word] = [
            script,
            here.folder / "covers",
            "--limit",
            str(limit),
            "--workers",
            str(cores()),
        ]
        said = run_command([interpreter(), *words]).stdout
        found = _LOOP.search(said)
        if found is None:
            raise ValueError(f"the reference loop said {said!r}")
        return float(found[1])

    speed = interleave({"albo": albo, "reference": reference}, rounds)
    return speed, Sample(tuple(peaks))


def _embed(here: Workspace, count: int) -> Finished:
    """Run the whole command into artifacts of its own; see that it embedded every cover."""
    shutil.rmtree(here.folder / "artifacts", ignore_errors=True)
    words: list[Word] = [albo_command(), "embed", here.folder / "covers", "--json"]
    done = run_command(words, here.environment())
    embedded = json.loads(done.stdout)["embedded"]
    if embedded != count:
        raise ValueError(f"{embedded} of {count} covers were embedded")
    return done


def _has_room(here: Workspace, covers: int) -> bool:
    return shutil.disk_usage(here.folder).free > 2 * covers * _BYTES_A_COVER


def _row_of_speed(speed: dict[str, Sample], count: int, limit: int) -> Row:
    ratio = speed["albo"].over(speed["reference"])
    return Row(
        f"covers a second: albo's whole command, {count:,} covers; the reference's loop alone,"
        f" {limit:,} of them",
        speed["albo"].show(0),
        speed["reference"].show(1),
        ratio.show(1, "x"),
        at_least(ratio.median, LEAST_RATIO, f"≥ {LEAST_RATIO:g}x"),
    )


def _rows_of_memory(memory: dict[int, float]) -> list[Row]:
    rows = [
        Row(
            f"peak memory, {count:,} covers",
            f"{peak:.0f} MiB",
            target=at_most(peak, MOST_MIB, f"≤ {MOST_MIB:.0f} MiB"),
        )
        for count, peak in sorted(memory.items())
    ]
    few, many = min(memory), max(memory)
    growth = memory[many] / memory[few]
    limit = f"flat: ≤ {MOST_GROWTH:g}x"
    rows.append(
        Row(
            f"peak memory, {many:,} covers against {few:,}",
            f"{memory[many] - memory[few]:+.0f} MiB",
            ratio=f"{growth:.2f}x",
            target=at_most(growth, MOST_GROWTH, limit),
        )
    )
    return rows


def _remarks(count: int, limit: int, *, has_many: bool) -> list[str]:
    remarks = [
        f"{count:,} distinct files made of the 1000 px covers of itunes36 by bytes after the"
        " end-of-image marker, all in the page cache. albo's time is that of the process, from its"
        " start to its end, with registering, writing vectors and building the index; a fresh"
        " artifacts folder each time, the network exported before, as after any first use. The"
        f" reference is `bench/reference_embed.py` with as many workers as there are cores, on the"
        f" first {limit:,} of the same files; its figure leaves out imports and loading."
    ]
    if not has_many:
        remarks.append(
            "The largest size was left out: there was no room on the disk for its files."
        )
    return remarks
