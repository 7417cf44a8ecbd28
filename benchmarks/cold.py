"""Cold starts: one cover classified, one searched for, and the help, each a process of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.covers import large_covers, shared_folder, workspace
from benchmarks.measure import (
    albo_command,
    imported_modules,
    interleave,
    interpreter,
    run_command,
)
from benchmarks.results import Row, Section, Target, at_most

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Sample, Word
    from benchmarks.options import Options

MOST_OF_TORCH = 0.35
MOST_WITH_WORDS = 0.7
MOST_OF_TYPER = 3.0
_HEAVY = {"cv2", "pandas", "rapidocr", "sklearn", "torch", "torchvision", "transformers"}


def run(options: Options) -> Section:
    """Embed and train once, then time single answers beside the imports that others begin with."""
    cover = large_covers()[0]
    manifest = shared_folder() / "covers" / "itunes36" / "labels.csv"
    albo = albo_command()
    with workspace() as here:
        environment = here.environment()
        run_command([albo, "embed", manifest], environment)
        run_command([albo, "train", "--seeds", "1", "--name", "image"], environment)
        run_command([albo, "words"], environment)
        run_command([albo, "train", "--seeds", "1", "--name", "words"], environment)
        commands: dict[str, list[Word]] = {
            "classify": [albo, "classify", cover, "--json", "--head", "image"],
            "words": [albo, "classify", cover, "--json", "--head", "words"],
            "similar": [albo, "similar", cover, "--json"],
            "torch": [interpreter(), "-c", "import torch, torchvision"],
            "help": [albo, "--help"],
            "typer": [interpreter(), "-c", "import typer, rich"],
        }

        def seconds(words: Sequence[Word]) -> float:
            return run_command(words, environment).seconds

        jobs = {name: partial(seconds, words) for name, words in commands.items()}
        interleave(jobs, 1)  # files into the page cache, modules compiled, the network too
        times = interleave(jobs, options.pick(11, 3))
        rows = [
            _row_of_time("cold `albo classify cover.jpg --json`", times, "classify", "torch"),
            _row_of_imports(
                "classify --head image", imported_modules(commands["classify"], environment)
            ),
            _row_of_time(
                "the same with the words on the cover", times, "words", "torch", MOST_WITH_WORDS
            ),
            _row_of_imports(
                "classify --head words", imported_modules(commands["words"], environment)
            ),
            _row_of_time("cold `albo similar cover.jpg --json`", times, "similar", "torch"),
            _row_of_imports("similar", imported_modules(commands["similar"], environment)),
            _row_of_time("`albo --help`", times, "help", "typer", MOST_OF_TYPER),
        ]
    return Section(
        "cold: one answer from a cold start",
        rows,
        [_REMARK],
        ("torch", "torchvision", "openvino", "typer", "rich", "faiss-gpu", "faiss-cpu", "numpy"),
    )


_REMARK = (
    'Whole processes, files in the page cache. The peer is `python -c "import torch, torchvision"`'
    ' and, for the help, `python -c "import typer, rich"`. A 1000 px cover, a logistic head and an'
    " index of the 538 covers of itunes36; what is imported is seen by `python -X importtime`."
)


def _row_of_time(
    what: str, times: dict[str, Sample], ours: str, peer: str, limit: float = MOST_OF_TORCH
) -> Row:
    ratio = times[ours].over(times[peer])
    return Row(
        what,
        times[ours].show(2, " s"),
        times[peer].show(2, " s"),
        ratio.show(2, "x"),
        at_most(ratio.median, limit, f"≤ {limit:g}x"),
    )


def _row_of_imports(command: str, imported: set[str]) -> Row:
    found = sorted(imported & _HEAVY)
    return Row(
        f"of {', '.join(sorted(_HEAVY))}, loaded by `albo {command}`",
        ", ".join(found) or "none",
        target=Target("none", not found),
    )
