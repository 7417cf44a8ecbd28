"""Output in a terminal: safe streams, lines, tables and progress.

Text from outside (file names, tags) is made printable first, so that nothing breaks a line or
steers the terminal. Addresses are masked in all output. Lines, tables and JSON all pass through
this module, so no command can show a password.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO, TypeAlias

import typer

from albo.catalog import mask_text, mask_values
from albo.errors import CannotWrite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from albo.records import Note, StageProgress


PIPE_WIDTH = 400
"""The width of lines in a pipe, where they are not folded."""

# --- streams -------------------------------------------------------------------------------------


def open_streams() -> None:
    """Make the standard streams accept any text, and give standard output its own errors."""
    _fill_streams()
    # Names may hold anything, and a terminal may know ASCII alone: show what it can.
    _set_errors(sys.stdin, "surrogateescape")
    _set_errors(sys.stdout, "backslashreplace")
    _set_errors(sys.stderr, "backslashreplace")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = _Answer.around(sys.stdout)


def _fill_streams() -> None:
    """Open missing standard streams on the null device."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _set_errors(stream: TextIO | None, errors: str) -> None:
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors=errors)


class ReaderGone(Exception):
    """The reader of standard output has closed it."""


class _Answer(TextIOWrapper):
    """Standard output, with errors of its own, unlike all other files."""

    @classmethod
    def around(cls, stream: TextIOWrapper) -> Self:
        """Take over a stream, which cannot be used any more."""
        encoding, errors = stream.encoding, stream.errors
        by_line, at_once = stream.line_buffering, stream.write_through
        below = stream.detach()
        return cls(below, encoding, errors, line_buffering=by_line, write_through=at_once)

    def write(self, text: str, /) -> int:
        """Write as any stream does. Raises CannotWrite, ReaderGone."""
        with self._plain_errors():
            return super().write(text)

    def flush(self) -> None:
        """Flush as any stream does. Raises CannotWrite, ReaderGone."""
        with self._plain_errors():
            super().flush()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise ReaderGone from error
            raise CannotWrite(f"cannot write the answer: {error.strerror or error}") from error


def drop_lost_answer() -> None:
    """Discard output that could not be written: Python would complain of it at exit."""
    try:
        sys.stdout.flush()
    except (CannotWrite, ReaderGone):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- lines and tables ----------------------------------------------------------------------------


def console(*, stderr: bool = False) -> Console:
    """Open rich's console on standard output or standard error."""
    from rich.console import Console

    # A pipe has no width: lines stay whole there, for grep and other programs.
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PIPE_WIDTH)


def table(title: str) -> Table:
    """Begin a table in albo's style."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # The title holds file names: as Text, so that brackets in them are not taken for markup.
    return Table(title=Text(printable(title)), box=box.SIMPLE, title_justify="left")


def printable(value: object) -> str:
    """Replace characters that break lines or steer terminals, and mask addresses; None gives ""."""
    text = "" if value is None else mask_text(str(value))
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def many(count: int, noun: str) -> str:
    """Say how many there are of something."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def short(path: str) -> str:
    """Return a path relative to the current folder where that is shorter."""
    relative = os.path.relpath(path) if path.startswith(os.sep) else path
    return relative if len(relative) < len(path) else path


def say(line: str) -> None:
    """Print a line of the answer as it is, with the logins of addresses masked."""
    typer.echo(mask_text(line))


def note(line: str, *, quiet: bool) -> None:
    """Print a note on standard error."""
    if not quiet:
        typer.echo(printable(line), err=True)


def complain(line: str) -> None:
    """Print an error on standard error."""
    typer.echo(f"albo: {printable(line)}", err=True)


def print_json(content: object) -> None:
    """Print one object of an answer in JSON, on a line of its own, with its addresses masked."""
    typer.echo(json.dumps(mask_values(content), ensure_ascii=False))


# --- progress ------------------------------------------------------------------------------------

Tell: TypeAlias = "StageProgress"


@contextmanager
def progress(*, quiet: bool) -> Iterator[tuple[Tell, Note]]:
    """Show progress on stderr if it is a terminal; yield the functions for steps and notes."""
    if quiet or not sys.stderr.isatty():
        yield (lambda _stage, _done, _total: None), (lambda line: note(line, quiet=quiet))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:

        def note_above(line: str) -> None:
            bars.console.print(mask_text(line), markup=False, highlight=False)

        yield _Bars(bars).tell, note_above


class _Bars:
    """One bar for each stage, shown from its first step on."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def tell(self, stage: str, done: int, total: int | None) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)
