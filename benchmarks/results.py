"""Sections of RESULTS.md: what was measured, beside the peer and the target; written one by one."""

from __future__ import annotations

import datetime
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from albo import __version__
from albo.store import library_versions, write_atomically
from benchmarks.measure import cores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
NOTES = HERE / "notes"
OUTPUT = HERE / "output"

_HEADING = """# Results

Every figure here is made by the command that its section names; `make bench` makes them all. What
is compared was run in the same session, turn by turn: medians, and in brackets the smallest and
the largest. A section is replaced as a whole when its command is run again.
"""
_SECTION = re.compile(r"<!-- begin ([a-z]+) -->\n(.*?)<!-- end \1 -->\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """What was promised, in words, and whether it was met."""

    text: str
    met: bool

    def show(self) -> str:
        """Return the two last cells of a row."""
        return f"{self.text} | {'met' if self.met else '**falls short**'}"


def at_least(value: float, limit: float, text: str = "") -> Target:
    """Return the target of a value that shall reach a limit."""
    return Target(text or f"≥ {limit:g}", value >= limit)


def at_most(value: float, limit: float, text: str = "") -> Target:
    """Return the target of a value that shall not exceed a limit."""
    return Target(text or f"≤ {limit:g}", value <= limit)


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what it is, albo's value, the peer's, their ratio, and the target where one is."""

    what: str
    value: str
    peer: str = ""
    ratio: str = ""
    target: Target | None = None

    def show(self) -> str:
        """Return the line in Markdown."""
        ending = self.target.show() if self.target else " | "
        return f"| {self.what} | {self.value} | {self.peer} | {self.ratio} | {ending} |"


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark found. remarks : how it was measured, a paragraph each."""

    title: str
    rows: Sequence[Row]
    remarks: Sequence[str] = ()
    libraries: Sequence[str] = ()


class Skipped(Exception):
    """A benchmark that cannot run here; the message says why in one line."""


def show_section(name: str, section: Section, command: str) -> str:
    """Return a section in Markdown, with the hand-written notes where there are any."""
    paragraphs = [
        f"## {section.title}",
        f"`{command}` · {describe_machine(section.libraries)}",
        "\n".join(
            [
                "| what | albo | peer | ratio | target | |",
                "|---|---|---|---|---|---|",
                *(row.show() for row in section.rows),
            ]
        ),
        *section.remarks,
    ]
    notes = NOTES / f"{name}.md"
    if notes.is_file():
        paragraphs += ["### What was tried", notes.read_text(encoding="utf-8").strip()]
    return "\n\n".join(paragraphs) + "\n"


def write_section(name: str, text: str, order: Sequence[str], file: Path = RESULTS) -> None:
    """Put a section into the file in place of its former self; all others stay as they are."""
    sections = {**read_sections(file), name: text}
    # One of a benchmark that is no more would never be made anew.
    whole = _HEADING + "".join(
        f"\n<!-- begin {each} -->\n{sections[each]}<!-- end {each} -->\n"
        for each in order
        if each in sections
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, lambda stream: stream.write(whole.encode()))


def read_sections(file: Path) -> Mapping[str, str]:
    """Return the sections of the file by name; none where there is no file."""
    if not file.is_file():
        return {}
    return dict(_SECTION.findall(file.read_text(encoding="utf-8")))


def describe_machine(libraries: Sequence[str]) -> str:
    """Say when, on what, and with which versions."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    versions = {"albo": __version__, "Python": platform.python_version()}
    versions |= library_versions(*libraries)
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    count = cores()
    return f"{today} · {_processor()}, {count} core{'' if count == 1 else 's'} · {listed}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
