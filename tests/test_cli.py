"""The command line: answers, exit codes, messages, signals, and what a cold start loads."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from albo import __version__
from tests.broken_covers import write_broken_covers
from tests.conftest import Answer

Run = Callable[..., Answer]

COMMANDS = (
    "embed", "words", "index", "forget", "similar", "duplicates",
    "train", "classify", "backbones", "genres", "harvest", "status", "demo", "catalog",
)  # fmt: skip
MAIN = "from albo.cli import main; main()"
HEAVY = ("torch", "sklearn", "pandas", "pyarrow", "lightgbm", "scipy", "matplotlib", "timm")


def modules_after(*words: str | Path) -> set[str]:
    """Run a command in a process and return the top-level modules that it loaded."""
    code = (
        "import sys\n"
        "from albo.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        "    print('MODULES', end.code, *sorted({m.partition('.')[0] for m in sys.modules}))\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    last = done.stdout.splitlines()[-1].split()
    assert last[:2] in (["MODULES", "0"], ["MODULES", "None"]), done.stderr
    return set(last[2:])


def one_line(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


# --- help and versions ---------------------------------------------------------------------------


def test_help_names_every_command_and_loads_nothing_heavy(run_albo: Run) -> None:
    answer = run_albo("--help")
    assert answer.code == 0
    assert all(command in answer.out for command in COMMANDS)
    assert not modules_after("--help") & {*HEAVY, "numpy", "openvino", "faiss", "PIL"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(albo_line: Run, command: str) -> None:
    answer = albo_line(command, "--help")
    assert answer.code == 0
    assert command in answer.out


def test_version(albo_line: Run) -> None:
    assert albo_line("--version").out.strip() == f"albo {__version__}"


def test_unknown_option_is_wrong_usage(albo_line: Run) -> None:
    assert albo_line("similar", "--nonsense").code == 2


# --- nothing there -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["similar", "x.jpg"], ["duplicates"], ["train"], ["index"]])
def test_an_empty_folder_says_what_to_do_first(albo_line: Run, command: list[str]) -> None:
    answer = albo_line(*command)
    assert answer.code == 1
    assert "albo embed" in one_line(answer.err)


def test_a_head_that_is_not_there_names_the_command(albo_line: Run) -> None:
    answer = albo_line("classify", "x.jpg", "--head", "mine")
    assert answer.code == 2
    assert "albo train" in one_line(answer.err)


def test_status_of_nothing(albo_line: Run) -> None:
    answer = albo_line("status")
    assert answer.code == 0
    assert "albo embed" in answer.out


def test_an_unknown_source_is_wrong_usage(albo_line: Run) -> None:
    answer = albo_line("embed", "no-such-folder")
    assert answer.code == 2
    assert "no-such-folder" in one_line(answer.err)


# --- embed ---------------------------------------------------------------------------------------


@pytest.mark.whole
def test_embed_reports_what_it_did_and_knows_it_again(albo_line: Run, samples: Path) -> None:
    folder = samples / "covers" / "Op art"
    first = albo_line("embed", folder, "--json")
    assert first.code == 0
    said = first.objects[0]
    assert said["seen"] == said["embedded"] == said["indexed"] == 25
    assert {"known", "skipped", "seconds", "covers_per_second", "backbone", "device"} <= set(said)
    assert "Op art" in first.err  # the genre taken from the folder, as a note
    again = albo_line("embed", folder, "--json").objects[0]
    assert (again["seen"], again["embedded"], again["known"]) == (25, 0, 25)


def test_a_second_embed_loads_no_network(samples: Path, sample_artifacts: Path) -> None:
    labels = samples / "labels.csv"
    loaded = modules_after("embed", labels, "--artifacts", sample_artifacts, "--quiet")
    assert not loaded & {"torch", "openvino", "timm", "sklearn"}


@pytest.mark.whole
def test_broken_covers_get_a_line_each_and_the_rest_is_done(
    albo_line: Run, samples: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(samples / "covers" / "Neon grid", folder / "Neon grid")
    (folder / "broken").mkdir()
    expected = write_broken_covers(folder / "broken")
    answer = albo_line("embed", folder, "--json")
    assert answer.code == 1
    said = answer.objects[0]
    assert said["embedded"] == 25
    assert said["skipped"] == len(expected)
    complaints = [line for line in answer.err.splitlines() if line.startswith("albo: ")]
    assert len(complaints) == len(expected)
    for name, reason in expected.items():
        (line,) = (c for c in complaints if f"{name}: " in c)
        assert re.search(reason, line.partition(f"{name}: ")[2]), line
    assert "Traceback" not in answer.err
    again = albo_line("embed", folder, "--json")
    assert again.code == 1, "what failed is tried again"
    assert again.objects[0]["skipped"] == len(expected)
    status = albo_line("status", "--json").objects[0]
    assert len(status["skipped"]) == len(expected)


@pytest.mark.whole
def test_limits_can_be_lowered(albo_line: Run, tmp_path: Path) -> None:
    Image.new("RGB", (1200, 1000), "teal").save(tmp_path / "large.png")
    answer = albo_line("embed", "large.png", "--max-mpx", "1")
    assert answer.code == 1
    assert "large.png" in answer.err
    assert albo_line("embed", "large.png").code == 0
    answer = albo_line("similar", "large.png", "-k", "1", "--max-mpx", "1")
    assert answer.code == 1


@pytest.mark.whole
def test_paths_on_standard_input(albo_line: Run, kept_aside: list[str]) -> None:
    answer = albo_line("embed", "-", "--genre", "Aside", "--json", stdin="\n".join(kept_aside[:3]))
    assert answer.code == 0
    assert answer.objects[0]["embedded"] == 3
    assert albo_line("status", "--json").objects[0]["genres"] == {"Aside": 3}


# --- similar -------------------------------------------------------------------------------------


def test_similar_finds_the_file_itself_first_unless_left_out(
    albo_line: Run, samples: Path, sample_artifacts: Path
) -> None:
    cover = next((samples / "covers" / "Woodcut").iterdir())
    words = ("similar", cover, "-k", "4", "--json", "--artifacts", sample_artifacts)
    found = albo_line(*words).objects[0]
    assert found["query"] == str(cover)
    first = found["neighbours"][0]
    assert {"rank", "score", "digest", "uri", "genre", "artist", "album", "year"} <= set(first)
    assert (first["rank"], first["mark"], first["uri"]) == (1, "same file", str(cover))
    assert first["score"] > 0.9999
    scores = [n["score"] for n in found["neighbours"]]
    assert scores == sorted(scores, reverse=True)
    others = albo_line(*words, "--without-self").objects[0]["neighbours"]
    assert first["digest"] not in {n["digest"] for n in others}
    assert [n["digest"] for n in others[:3]] == [n["digest"] for n in found["neighbours"][1:]]


def test_similar_within_a_genre(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path
) -> None:
    words = ("similar", kept_aside[0], "--json", "--artifacts", sample_artifacts)
    found = albo_line(*words, "--genre", "op ART").objects[0]["neighbours"]
    assert {n["genre"] for n in found} == {"Op art"}
    answer = albo_line(*words, "--genre", "Op arts")
    assert answer.code == 2
    assert "Op art" in one_line(answer.err)


def test_similar_answers_the_readable_queries(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path
) -> None:
    answer = albo_line(
        "similar", kept_aside[0], "gone.jpg", kept_aside[1],
        "--json", "--artifacts", sample_artifacts,
    )  # fmt: skip
    assert answer.code == 1
    assert [set(o) for o in answer.objects] == [
        {"query", "neighbours"}, {"query", "error"}, {"query", "neighbours"},
    ]  # fmt: skip


def test_where_more_neighbours_are_asked_for_than_there_are_all_come(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path
) -> None:
    words = ("similar", kept_aside[0], "-k", "301", "--json", "--artifacts", sample_artifacts)
    assert len(albo_line(*words).objects[0]["neighbours"]) == 300


def in_a_terminal(columns: int, *words: str | Path) -> str:
    """Run a command in a terminal so many columns wide; return what that shows, uncoloured."""
    reading, writing = os.openpty()
    termios.tcsetwinsize(writing, (40, columns))
    environment = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", MAIN, *map(str, words)],
        stdin=writing, stdout=writing, stderr=writing, env=environment,
    )  # fmt: skip
    os.close(writing)
    shown = b""
    # The terminal's other end is gone (EIO) when the process has ended.
    with suppress(OSError):
        while piece := os.read(reading, 65_536):
            shown += piece
    os.close(reading)
    assert process.wait(60) == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", shown.decode())


@pytest.mark.parametrize("columns", [60, 80, 400])
def test_similar_never_folds_or_cuts_a_path(
    kept_aside: list[str], sample_artifacts: Path, columns: int
) -> None:
    common = (kept_aside[0], "-k", "5", "--artifacts", sample_artifacts)
    answers = in_a_terminal(80, "similar", "--json", "--quiet", *common)
    shown = in_a_terminal(columns, "similar", *common).splitlines()
    for near in json.loads(answers)["neighbours"]:
        line = next(
            i for i, text in enumerate(shown) if text.rstrip().endswith(Path(near["uri"]).name)
        )
        about = shown[line if columns == 400 else line - 1]
        assert all(about.count(str(near[key])) for key in ("artist", "album", "year", "genre"))


def test_similar_prints_a_table(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path
) -> None:
    answer = albo_line("similar", kept_aside[0], "-k", "2", "--artifacts", sample_artifacts)
    assert answer.err == ""
    header = next(line for line in answer.out.splitlines() if "score" in line)
    assert header.split() == ["score", "genre", "artist", "album", "year", "path"]


# --- train and classify --------------------------------------------------------------------------


def test_train_says_how_good_the_head_is(
    albo_line: Run, samples: Path, sample_artifacts: Path, tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(sample_artifacts, artifacts)
    answer = albo_line(
        "train", "--seeds", "1", "--name", "second", "--json", ALBO_ARTIFACTS=str(artifacts)
    )
    report = answer.objects[0]
    assert report["covers"] == 300
    assert report["genres"] == 12
    for key in ("top1", "top3", "top5", "macro_f1", "ece", "coverage"):
        assert report[key]["low"] <= report[key]["value"] <= report[key]["high"]
    assert report["split"] == "grouped"
    assert report["selected"] is True
    assert report["top1"]["value"] > 0.8 > report["majority"]
    assert report["artists_known"] == 1.0
    assert {"view", "head", "ece_noise95", "set_size", "per_genre", "saved"} <= set(report)
    assert Path(report["saved"]).name == "second"
    said = albo_line(
        "classify",
        next((samples / "kept-aside").iterdir()),
        "--json",
        ALBO_ARTIFACTS=str(artifacts),
    )
    assert said.objects[0]["head"] == "second", "the last trained is the default"


def test_classify_is_calibrated_and_says_its_set(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path
) -> None:
    answer = albo_line("classify", *kept_aside, "--json", "--artifacts", sample_artifacts)
    assert answer.code == 0
    assert len(answer.objects) == 24
    for said in answer.objects:
        assert set(said) == {
            "query",
            "predictions",
            "set",
            "decided",
            "unlike_learnt",
            "held_out",
            "known",
            "views",
            "words",
            "head",
            "backbone",
        }
        probabilities = [p["probability"] for p in said["predictions"]]
        assert len(probabilities) == 5
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1 + 1e-4
        assert said["set"][0] == said["predictions"][0]["genre"]
        assert said["decided"] == (probabilities[0] >= 0.5)


def test_classify_decides_as_asked(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path
) -> None:
    words = ("classify", kept_aside[0], "--artifacts", sample_artifacts)
    assert "can't tell" in albo_line(*words, "--decide", "1").out
    assert "reads as" in albo_line(*words, "--decide", "0").out
    assert albo_line(*words, "--decide", "2").code == 2
    assert albo_line(*words, "--coverage", "1").code == 2
    assert albo_line(*words, "--head", "nobody").code == 2


def test_a_cold_answer_loads_nothing_heavy(kept_aside: list[str], sample_artifacts: Path) -> None:
    common = (kept_aside[0], "--artifacts", sample_artifacts, "--json", "--device", "cpu")
    assert not modules_after("classify", *common) & {*HEAVY, "faiss", "rich"}
    assert not modules_after("similar", *common) & {*HEAVY, "rich"}


# --- damage --------------------------------------------------------------------------------------


def test_a_damaged_index_is_refused_and_mended(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path, tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(sample_artifacts, artifacts)
    for file in artifacts.glob("index/*/*"):
        if file.name != "manifest.json":
            file.write_bytes(file.read_bytes()[:-7])
    answer = albo_line("similar", kept_aside[0], "--artifacts", artifacts)
    assert answer.code == 1
    assert "albo index" in one_line(answer.err)
    assert albo_line("index", "--artifacts", artifacts).code == 0
    assert albo_line("similar", kept_aside[0], "--artifacts", artifacts).code == 0


def test_a_stale_index_is_refused(
    albo_line: Run, samples: Path, kept_aside: list[str], sample_artifacts: Path, tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(sample_artifacts, artifacts)
    shutil.copytree(artifacts / "index", tmp_path / "old")
    assert albo_line("embed", samples / "kept-aside", "--artifacts", artifacts).code == 0
    shutil.rmtree(artifacts / "index")
    shutil.copytree(tmp_path / "old", artifacts / "index")
    answer = albo_line("similar", kept_aside[0], "--artifacts", artifacts)
    assert answer.code == 1
    assert "albo index" in one_line(answer.err)


@pytest.mark.parametrize("damage", ["", "{}", "junk"])
def test_a_damaged_store_is_mended_by_the_command_it_names(
    albo_line: Run, samples: Path, sample_artifacts: Path, tmp_path: Path, damage: str
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(sample_artifacts, artifacts)
    (manifest,) = artifacts.glob("vectors/*/manifest.json")
    manifest.unlink()
    if damage:
        manifest.write_text(damage)
    cover = min((samples / "covers" / "Op art").iterdir())
    answer = albo_line("similar", cover, "--artifacts", artifacts)
    assert answer.code == 1
    assert "albo embed" in one_line(answer.err)
    mended = albo_line("embed", samples / "labels.csv", "--artifacts", artifacts, "--json")
    assert mended.code == 0
    assert mended.objects[0]["known"] == 300, "the parts are sound: nothing is embedded again"
    assert albo_line("similar", cover, "--artifacts", artifacts).code == 0


def test_a_damaged_store_of_another_backbone_is_in_nobodys_way(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path, tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(sample_artifacts, artifacts)
    (artifacts / "vectors" / "other-12345678").mkdir()
    (artifacts / "vectors" / "other-12345678" / "manifest.json").write_text("junk")
    assert albo_line("similar", kept_aside[0], "--artifacts", artifacts).code == 0
    status = albo_line("status", "--artifacts", artifacts, "--json")
    assert [b["vectors"] for b in status.objects[0]["backbones"]] == [300]


@pytest.mark.whole
def test_what_can_be_forgotten_is(albo_line: Run, samples: Path) -> None:
    albo_line("embed", samples / "covers" / "Op art")
    answer = albo_line("forget", "nonsense", samples / "covers" / "Op art", "--json")
    assert answer.code == 1
    assert [set(o) for o in answer.objects] == [{"forgotten", "error"}, {"forgotten", "albums"}]


def test_a_damaged_head_is_refused(
    albo_line: Run, kept_aside: list[str], sample_artifacts: Path, tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(sample_artifacts, artifacts)
    (arrays,) = (artifacts / "heads" / "default").glob("head-*.npz")
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    answer = albo_line("classify", kept_aside[0], "--artifacts", artifacts)
    assert answer.code == 1
    assert "albo train" in one_line(answer.err)


# --- duplicates, forget, quiet, debug ------------------------------------------------------------


@pytest.mark.whole
def test_duplicates_finds_another_scan(albo_line: Run, samples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    covers = sorted((samples / "covers" / "Torn collage").iterdir())[:4]
    for cover in covers:
        shutil.copy(cover, folder)
    with Image.open(covers[0]) as image:
        image.resize((300, 300)).save(folder / "scan.jpg", quality=60)
    albo_line("embed", folder)
    groups = albo_line("duplicates", "--json").objects
    names = [{Path(c["uri"]).name for c in group["covers"]} for group in groups]
    assert {covers[0].name, "scan.jpg"} in [n & {covers[0].name, "scan.jpg"} for n in names]


@pytest.mark.whole
def test_forget_takes_a_source_out(albo_line: Run, samples: Path) -> None:
    albo_line("embed", samples / "covers" / "Op art", samples / "covers" / "One line")
    answer = albo_line("forget", samples / "covers" / "Op art", "--json")
    assert answer.objects == [{"forgotten": str(samples / "covers" / "Op art"), "albums": 25}]
    status = albo_line("status", "--json").objects[0]
    assert status["genres"] == {"One line": 25}
    assert status["backbones"][0]["vectors"] == status["backbones"][0]["indexed"] == 25
    assert albo_line("forget", "nonsense").code == 2


@pytest.mark.whole
def test_quiet_says_nothing(albo_line: Run, samples: Path) -> None:
    answer = albo_line("embed", samples / "covers" / "Op art", "--quiet")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_keeps_what_is_done(
    run_albo: Run, samples: Path, tmp_path: Path, signal_number: int
) -> None:
    started = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", MAIN, "embed", samples / "covers", "--quiet"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("artifacts/vectors/*/manifest.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    started.send_signal(signal_number)
    err = started.communicate(timeout=60)[1]
    assert started.returncode == 1
    assert "the same command goes on from there" in one_line(err)
    again = run_albo("embed", samples / "covers", "--json").objects[0]
    assert again["embedded"] + again["known"] == 300


def test_names_are_printed_safely(run_albo: Run, samples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "[red]ünï"
    folder.mkdir()
    shutil.copy(min((samples / "kept-aside").iterdir()), folder / "a\nb.jpg")
    (folder / "bad\nname.jpg").write_bytes(b"")
    answer = run_albo("embed", folder, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert answer.code == 1
    assert len([line for line in answer.err.splitlines() if "name.jpg" in line]) == 1
    found = run_albo("similar", folder / "a\nb.jpg", "-k", "1", PYTHONIOENCODING="ascii")
    assert found.code == 0
    assert "[red]" in found.out


def test_only_debug_shows_a_traceback(run_albo: Run) -> None:
    assert "Traceback" not in run_albo("duplicates").err
    answer = run_albo("duplicates", "--debug")
    assert "Traceback" in answer.err
    assert answer.code == 1


def test_a_reader_that_has_read_enough_is_no_error(sample_artifacts: Path) -> None:
    words = f"duplicates --artifacts '{sample_artifacts}'"
    command = f"'{sys.executable}' -c 'from albo.cli import main; main()' {words}"
    done = subprocess.run(  # noqa: S602
        f"{command} | true", shell=True, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stderr == ""


@pytest.mark.whole
def test_backbones_lists_the_default_first(albo_line: Run) -> None:
    answer = albo_line("backbones", "--json")
    first = answer.objects[0]
    assert first == {
        "name": "efficientnet-lite0", "dimension": 1280, "size": 224,
        "licence": "Apache-2.0", "commercial": True, "weights_here": True,
    }  # fmt: skip
    assert any(not offer["commercial"] for offer in answer.objects)


# --- real covers ---------------------------------------------------------------------------------


@pytest.mark.long
def test_the_main_job_on_real_covers(run_albo: Run, itunes36: Path) -> None:
    embedded = run_albo("embed", itunes36 / "labels.csv", "--json")
    assert embedded.code == 0
    assert embedded.objects[0]["embedded"] == 538
    report = run_albo("train", "--seeds", "1", "--json").objects[0]
    assert (report["covers"], report["genres"]) == (538, 36)
    assert report["top1"]["value"] > 0.12 > 3 * report["majority"]
    cover = next((itunes36 / "images" / "Jazz").iterdir())
    near = run_albo("similar", cover, "--json").objects[0]["neighbours"]
    assert len(near) == 10
    assert near[0]["mark"] == "same file"
    said = run_albo("classify", cover, "--json").objects[0]
    assert len(said["predictions"]) == 5


@pytest.mark.whole
def test_a_long_name_leaves_room_for_the_rest(
    albo_line: Run, samples: Path, tmp_path: Path
) -> None:
    cover = min((samples / "covers").rglob("*.jpg"))
    rows = f'"{cover}",Jazz,{"A very long name " * 60},An album\n'
    (tmp_path / "covers.csv").write_text(f"file,genre,artist,album\n{rows}", encoding="utf-8")
    albo_line("embed", "covers.csv")
    said = albo_line("similar", cover).out
    assert "…" in said
    for part in ("1.000", "Jazz", "An album", cover.name):
        assert part in said
