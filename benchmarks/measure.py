"""Times, memory and counts: several interleaved runs, medians, and no run left out."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Word: TypeAlias = str | Path
"""One word of a command line."""

_KIB_PER_MAXRSS = 1 / 1024 if sys.platform == "darwin" else 1
"""`ru_maxrss` counts bytes on macOS, KiB elsewhere."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The same thing measured several times."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median: one disturbed run does not move it far."""
        return statistics.median(self.values)

    def show(self, digits: int = 2, unit: str = "") -> str:
        """Say median, smallest and largest."""
        low, high = min(self.values), max(self.values)
        if len(self.values) == 1:
            return f"{low:.{digits}f}{unit}"
        return f"{self.median:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"

    def over(self, other: Sample) -> Sample:
        """Divide run by run: runs of one round met the same state of the machine."""
        return Sample(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def scaled(self, factor: float) -> Sample:
        """Multiply every value."""
        return Sample(tuple(value * factor for value in self.values))

    def inverse(self, amount: float = 1.0) -> Sample:
        """Return amount / value: seconds become things a second."""
        return Sample(tuple(amount / value for value in self.values))


def interleave(jobs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Sample]:
    """Run every job once a round, in turn; every other round backwards, so that drift cancels.

    A job returns what it measured.
    """
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds):
        names = list(jobs)[:: 1 if number % 2 == 0 else -1]
        for name in names:
            found[name].append(jobs[name]())
    return {name: Sample(tuple(values)) for name, values in found.items()}


def seconds_of(work: Callable[[], object], repeats: int = 1) -> float:
    """Return the mean seconds of `repeats` calls in a row."""
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - started) / repeats


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended: wall seconds, peak resident memory in MiB, and what it wrote."""

    seconds: float
    peak_mib: float
    stdout: str
    stderr: str


class CommandFailed(Exception):
    """A command that was to be measured ended with another exit code than 0."""


def run_command(words: Sequence[Word], extra: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end. Raises CommandFailed.

    extra : added to this process's environment.

    The peak is that of the command and of the largest process it waited for. It is never less
    than what this process holds while it starts the command, so this one must stay small.
    """
    environment = {**os.environ, **(extra or {})}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  the benchmarks' own commands
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if process.returncode != 0:
        last = (texts[1].strip() or texts[0].strip()).splitlines()[-3:]
        raise CommandFailed(f"{words[0]} ended with {process.returncode}: {' / '.join(last)}")
    return Finished(seconds, usage.ru_maxrss * _KIB_PER_MAXRSS / 1024, *texts)


def interpreter() -> str:
    """Return the Python that runs this."""
    return sys.executable


def albo_command() -> Path:
    """Return the `albo` command that is installed beside this Python. Raises FileNotFoundError."""
    found = Path(sys.executable).with_name("albo")
    if not found.is_file():
        raise FileNotFoundError(f"no {found.name} beside {sys.executable}; run `make bench`")
    return found


def imported_modules(words: Sequence[Word], extra: Mapping[str, str]) -> set[str]:
    """Run a Python command and return the top-level names of every module that it imported."""
    done = run_command([interpreter(), "-X", "importtime", *words], extra)
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
