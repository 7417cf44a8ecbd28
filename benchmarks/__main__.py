"""Run benchmarks by name, or all, each in a process of its own, and write their sections."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import CommandFailed, interpreter
from benchmarks.options import Options
from benchmarks.results import OUTPUT, RESULTS, Skipped, show_section, write_section

BENCHMARKS = (
    "embed",
    "reembed",
    "harvest",
    "cold",
    "search",
    "heads",
    "accuracy",
    "neighbours",
    "runtimes",
    "agreement",
    "words",
    "evaluate",
    "known",
    "claims",
    "unlike",
    "report",
)
QUICK_RESULTS = OUTPUT / "quick.md"


def main() -> int:
    """Run what the command line names; return 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few covers and runs, to see that it works; written to benchmarks/output/quick.md",
    )
    parser.add_argument("--full", action="store_true", help="the largest sizes too")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    options = Options(quick=asked.quick, full=asked.full)
    names = asked.names or list(BENCHMARKS)
    if len(names) == 1:
        return run_one(names[0], options)
    # A process each: what one holds in memory, or how it set its threads, must not touch the next.
    flags = [f"--{name}" for name in ("quick", "full") if getattr(options, name)]
    here = [interpreter(), "-m", "benchmarks"]
    codes = [subprocess.call([*here, name, *flags]) for name in names]  # noqa: S603  ourselves
    return int(any(codes))


def run_one(name: str, options: Options) -> int:
    """Run one benchmark, print its section and write it in its place."""
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"{name} …", file=sys.stderr, flush=True)
    try:
        section = module.run(options)
    except Skipped as reason:
        print(f"{name} is skipped: {reason}", file=sys.stderr)
        return 0
    except CommandFailed as failure:
        print(f"{name} failed: {failure}", file=sys.stderr)
        return 1
    flags = "".join(f" --{flag}" for flag in ("quick", "full") if getattr(options, flag))
    text = show_section(name, section, f"python -m benchmarks {name}{flags}")
    file = QUICK_RESULTS if options.quick else RESULTS
    write_section(name, text, BENCHMARKS, file)
    print(text)
    print(f"written to {_from_here(file)}", file=sys.stderr)
    return 0


def _from_here(file: Path) -> Path:
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


if __name__ == "__main__":
    sys.exit(main())
