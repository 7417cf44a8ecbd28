"""The command line: words in, tables or JSON out, errors as one line and an exit code.

Exit codes: 0 all done; 1 something could not be done (the rest was); 2 wrong usage. When the reader
of a pipe leaves before the end of the answer, the exit code is 1 and nothing is printed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from albo import __version__, commands
from albo.errors import AlboError, UsageError
from albo.show import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="albo",
    help="albo reads an album cover: what it looks like, and what genre it reads as.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help: twice as soon there, and as wide as the terminal
    pretty_exceptions_enable=False,
)

catalogs = typer.Typer(rich_markup_mode=None)
app.add_typer(catalogs, name="catalog")

_INTERRUPTED = 130  # what Typer makes of Ctrl-C
_READERS = frozenset(
    {
        "similar",
        "duplicates",
        "classify",
        "report",
        "typical",
        "oddities",
        "evaluate",
        "backbones",
        "genres",
        "status",
    }
)
# click's UsageError, which Typer takes from click or from a copy of its own, by version, and
# offers under no name.
_WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]


# In the order of `albo --help`.
for _each in (
    commands.harvest,
    commands.embed,
    commands.words,
    commands.index,
    commands.forget,
    commands.similar,
    commands.duplicates,
    commands.train,
    commands.evaluate,
    commands.classify,
    commands.report,
    commands.typical,
    commands.oddities,
    commands.backbones,
    commands.genres,
    commands.status,
    commands.demo,
):
    app.command()(_each)
catalogs.command()(commands.copy)


@catalogs.callback()
def _about_catalogs() -> None:
    """Copy catalogs, between files and servers."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"albo {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere in the line.")
    ] = False,
) -> None:
    """Read album covers: what they look like, and what genre they read as."""


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    terminal.open_streams()
    # Arrow's own allocator keeps what it once had: memory would grow with each compaction.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # An end that was asked for is an interruption: what is done is committed first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = run(sys.argv[1:])
    finally:
        terminal.drop_lost_answer()
    sys.exit(code)


def run(line: Sequence[str]) -> int:
    """Run one command in this process, and return its exit code.

    Parameters
    ----------
    line : the command and its options.

    Where --debug is among the options, every error is raised as it is.
    """
    debug = "--debug" in line
    # Taken out here, so that it may follow the command as people write it.
    words = [word for word in line if word != "--debug"]
    try:
        return _call(words)
    except (AlboError, OSError, MemoryError, KeyboardInterrupt) as error:
        if debug:
            raise
        return _tell_error(error, words)
    except terminal.ReaderGone:
        return 1
    except Exception as error:
        if debug:
            raise
        if isinstance(error.__context__, KeyboardInterrupt):  # it struck while a lock was let go
            return _tell_error(error.__context__, words)
        terminal.complain(
            f"something unforeseen failed ({type(error).__name__}: {_first_line(error)});"
        )
        terminal.complain("what was done is kept; run it again with --debug for the details")
        return 1


def _call(words: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        code = app(words or ["--help"], prog_name="albo", standalone_mode=False) or 0
        sys.stdout.flush()
    except _WrongUsage as error:
        terminal.complain(_describe_wrong_usage(error, words))
        return 2
    except SystemExit as end:  # shell completion
        code = end.code if isinstance(end.code, int) else 1
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    return code if words else 2


def _describe_wrong_usage(error: Any, words: list[str]) -> str:  # noqa: ANN401  (`_WrongUsage`)
    said = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    command = error.ctx.command_path if error.ctx else f"albo {_command(words)}".strip()
    return f"{said[:1].lower()}{said[1:]} (see `{command} --help`)"


def _tell_error(error: BaseException, words: list[str]) -> int:
    if isinstance(error, KeyboardInterrupt):
        kept = "; what was done is kept, and the same command goes on from there"
        terminal.complain("stopped" + ("" if _command(words) in _READERS else kept))
        return 1
    terminal.complain(_first_line(error))
    return 2 if isinstance(error, UsageError) else 1


def _command(words: list[str]) -> str:
    """Return the command in a line; no option before it takes a value."""
    return next((word for word in words if not word.startswith("-")), "")


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:  # without its number
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
