"""Every command that the README shows works, in its order, on a folder like a reader's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from albo.samples import write_samples
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def console_commands() -> list[str]:
    """Return the lines after `$ ` in the README's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README assumes: `covers/`, `covers.csv`, `new-cover.jpg`.

    Sixteen drawn covers a style are enough: more would be read and trained on for minutes.
    """
    folder = tmp_path_factory.mktemp("home")
    write_samples(folder, per_style=16).rename(folder / "covers.csv")
    shutil.copy(min((folder / "kept-aside").iterdir()), folder / "new-cover.jpg")
    commands = folder / "bin"
    commands.mkdir()
    albo = commands / "albo"
    albo.write_text(f"#!{sys.executable}\nfrom albo.cli import main\nmain()\n")
    albo.chmod(0o755)
    return folder


@pytest.mark.long
@pytest.mark.timeout(960)
def test_every_command_of_the_readme_works(home: Path) -> None:
    commands = console_commands()
    assert len(commands) > 15
    script = "set -e -o pipefail\n" + "\n".join(
        f"echo '## {number}' >&2\n{command}" for number, command in enumerate(commands)
    )
    done = subprocess.run(  # noqa: S603
        ["/bin/bash", "-c", script],
        cwd=home, capture_output=True, text=True, timeout=900, check=False,
        env={**os.environ, "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    reached = int(re.findall(r"## (\d+)", done.stderr)[-1])
    assert done.returncode == 0, f"{commands[reached]}\n{done.stderr[-2000:]}"
    assert (home / "albo-demo" / "sheet.png").stat().st_size > 100_000
    assert (home / "evaluation.html").stat().st_size > 100_000


def test_the_python_of_the_readme_works(home: Path, sample_artifacts: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copytree(sample_artifacts, home / "my-artifacts", dirs_exist_ok=True)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        cwd=home, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.whole
def test_make_knows_the_two_commands() -> None:
    for target in ("demo", "test"):
        assert f"make {target}" in README
        done = subprocess.run(  # noqa: S603
            ["/usr/bin/env", "make", "--dry-run", target],
            cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target
