"""The options that nearly every command has, and the collection that they open."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from albo.commands import options
from albo.show import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from albo.api import Albo

_SHARED = {
    "artifacts": (options.Artifacts, None),
    "catalog": (options.Catalog, None),
    "as_json": (options.AsJson, False),
    "quiet": (options.Quiet, False),
}
"""The shared options as parameters, each with its default, in the order of the help."""


@dataclass(frozen=True, slots=True)
class Session:
    """The shared options of one run of a command."""

    artifacts: Path | None = None
    """The artifacts folder; None for the usual one."""
    catalog: str | None = None
    """The address of the catalog; None for the usual one."""
    as_json: bool = False
    """Whether the answer is given in JSON, one object a line."""
    quiet: bool = False
    """Whether results and errors alone are printed."""

    @contextmanager
    def opened(self, s3_endpoint: str | None = None) -> Iterator[Albo]:
        """Open the collection, with a bar of progress and notes on standard error."""
        from albo.api import Albo

        with terminal.progress(quiet=self.quiet) as (tell, note):
            yield Albo(
                self.artifacts, self.catalog, note=note, progress=tell, s3_endpoint=s3_endpoint
            )

    def note(self, line: str) -> None:
        """Tell the user something, but for --quiet."""
        terminal.note(line, quiet=self.quiet)

    def say(self, line: str) -> None:
        """Print a line of the answer where it is not JSON, but for --quiet."""
        if not self.as_json and not self.quiet:
            terminal.say(line)


def with_session(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options; its first parameter is the session that they make."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _SHARED.items()
    ]

    @wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401  (each option has a type of its own)
        session = Session(**{name: given.pop(name) for name in _SHARED})
        command(session, **given)

    parameters = [*own, *shared]
    # Typer reads the options from these.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def exit_with(*, failed: bool) -> None:
    """End the command with exit code 1 where something could not be done."""
    if failed:
        raise typer.Exit(1)
