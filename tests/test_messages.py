"""What goes wrong around the covers: one line each, the remedy in it, and the right exit code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from albo import Albo, cli
from tests.conftest import Answer

Run = Callable[..., Answer]

MAIN = f"'{sys.executable}' -c 'from albo.cli import main; main()'"


def the_line(answer: Answer) -> str:
    """The one line on standard error."""
    lines = answer.err.splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("albo: ")
    assert "Errno" not in lines[0]
    return lines[0]


def in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `albo` stands for the program."""
    return subprocess.run(  # noqa: S603
        ["/bin/bash", "-c", command.replace("albo", MAIN)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


# --- wrong usage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said", "remedy"),
    [
        ("similar x.jpg --nonsense", "--nonsense", "`albo similar --help`"),
        ("similar x.jpg --artefacts y", "--artifacts", "`albo similar --help`"),
        ("embed x --device tpu", "'cpu', 'cuda', 'mps'", "`albo embed --help`"),
        ("embed x --genre", "--genre", "`albo embed --help`"),
        ("similar x.jpg -k 0", "-k", "`albo similar --help`"),
        ("similar", "COVER", "`albo similar --help`"),
        ("simlar x.jpg", "'similar'", "`albo --help`"),
    ],
)
def test_wrong_usage_is_one_line_with_the_remedy(
    run_albo: Run, words: str, said: str, remedy: str
) -> None:
    answer = run_albo(*words.split())
    assert answer.code == 2
    assert said in the_line(answer)
    assert remedy in answer.err
    assert answer.out == ""


def test_no_word_at_all_shows_the_help(run_albo: Run) -> None:
    answer = run_albo()
    assert answer.code == 2
    assert "similar" in answer.out


def test_shells_can_complete(run_albo: Run) -> None:
    answer = run_albo(
        _ALBO_COMPLETE="complete_bash", COMP_WORDS="albo sim", COMP_CWORD="1",
        _TYPER_COMPLETE_ARGS="albo sim",
    )  # fmt: skip
    assert answer.out.split() == ["similar"]


@pytest.mark.parametrize("command", ["embed", "similar", "classify"])
def test_a_device_that_is_not_here_is_refused_before_any_work(
    run_albo: Run, tmp_path: Path, command: str
) -> None:
    missing = "cuda" if sys.platform == "darwin" else "mps"
    answer = run_albo(command, tmp_path, "--device", missing)
    assert answer.code == 2
    assert "use --device auto or --device cpu" in the_line(answer)
    assert not (tmp_path / "artifacts").exists()


# --- stopping, and answers that nobody takes -----------------------------------------------------


@pytest.mark.parametrize(("command", "goes_on"), [("similar", False), ("embed", True)])
def test_only_what_writes_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    goes_on: bool,
) -> None:
    def stop(*_words: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Albo, command, stop)
    assert cli._run([command, "x.jpg"], debug=False) == 1
    said = capsys.readouterr().err
    assert said.startswith("albo: stopped")
    assert ("the same command goes on from there" in said) is goes_on


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", ["status", "status --json", "backbones", "--help", "--version"])
def test_an_answer_that_cannot_be_written_is_said(words: str, tmp_path: Path) -> None:
    done = in_shell(f"albo {words} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "albo: cannot write the answer: No space left on device\n"


@pytest.mark.parametrize("words", ["backbones", "backbones --json"])
def test_whoever_has_read_enough_ends_it_in_silence(words: str, tmp_path: Path) -> None:
    done = in_shell(f"albo {words} | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout == "141\n", "as for every program that its reader leaves"
    assert done.stderr == ""
