"""The artifacts folder: its paths, its one lock, and files that are whole or not there."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from albo.errors import (
    AlboError,
    CannotWrite,
    ForeignArtifact,
    StaleArtifact,
    UsageError,
    WriterAtWork,
)
from albo.store import (
    MANIFEST,
    Artifacts,
    backbone_key,
    cache_folder,
    file_checksum,
    library_versions,
    read_json,
    read_manifest,
    sweep,
    write_atomically,
    write_json,
    write_manifest,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
PROCESSES = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")


def hold_lock(root: Path, purpose: str, line: Connection) -> None:
    """Hold the lock of a folder in another process until told to let go, or left alone."""
    with Artifacts(root).lock(purpose):
        line.send("held")
        line.poll(60)


class Holder:
    """Another process that holds the writer lock."""

    def __init__(self, root: Path) -> None:
        self.line, theirs = PROCESSES.Pipe()
        self.process = PROCESSES.Process(
            target=hold_lock, args=(root, "albo embed", theirs), daemon=True
        )
        self.process.start()
        assert self.line.poll(60)

    def release(self) -> None:
        self.line.send("release")

    def end(self) -> None:
        with suppress(OSError):
            self.release()
        self.process.join(60)
        self.process.close()
        self.line.close()


def run_python(code: str, *arguments: object) -> str:
    """Run a piece of code in a process of its own; what it printed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    process = Holder(tmp_path)
    yield process
    process.end()


def test_folder_is_argument_then_environment_then_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALBO_ARTIFACTS", "/elsewhere")
    assert Artifacts.locate(Path("given")).root == Path("given")
    assert Artifacts.locate(None).root == Path("/elsewhere")
    monkeypatch.setenv("ALBO_ARTIFACTS", "")
    assert Artifacts.locate(None).root == Path("artifacts")


def test_a_file_is_no_artifacts_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="is not a folder; name another with --artifacts"):
        Artifacts.locate(file)


def test_paths_are_those_of_the_contract(tmp_path: Path) -> None:
    key = backbone_key("efficientnet-lite0", "0123456789abcdef")
    kept = Artifacts(tmp_path)
    assert key == "efficientnet-lite0-01234567"
    assert kept.catalog_file == tmp_path / "catalog.sqlite"
    assert kept.files_file == tmp_path / "files.sqlite"
    assert kept.vectors(key) == tmp_path / "vectors" / key
    assert kept.index(key) == tmp_path / "index" / key
    assert kept.head("genre-1") == tmp_path / "heads" / "genre-1"
    assert kept.reports_folder == tmp_path / "reports"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("timm/vit_small.dino", "timm-vit_small.dino-01234567"),
        ("resnet50:IMAGENET1K_V2", "resnet50-IMAGENET1K_V2-01234567"),
        ("../../etc", "etc-01234567"),
        ("…", "backbone-01234567"),
    ],
)
def test_backbone_keys_are_plain_names(name: str, key: str) -> None:
    assert backbone_key(name, "0123456789") == key


def test_backbone_key_wants_a_fingerprint() -> None:
    with pytest.raises(ValueError, match="does not begin with 8"):
        backbone_key("lite0", "../..")


@settings(deadline=None)
@given(st.text(max_size=200), st.text("0123456789abcdef", min_size=8))
def test_no_backbone_leads_out_of_the_folder(name: str, fingerprint: str) -> None:
    kept = Artifacts(Path("root"))
    assert kept.vectors(backbone_key(name, fingerprint)).parent == kept.vectors_folder


@settings(deadline=None)
@given(st.text(max_size=80))
@example("..")
@example("a/b")
@example("a\n")
@example("a" * 64)
@example("a" * 65)
@example("é")
@example("\x00")
def test_a_head_name_is_refused_or_stands_in_the_folder(name: str) -> None:
    kept = Artifacts(Path("root"))
    good = re.fullmatch(r"(?!\.)[A-Za-z0-9._-]{1,64}", name) is not None
    if good:
        assert kept.head(name) == Path("root/heads") / name
    else:
        with pytest.raises(UsageError, match="letters, digits"):
            kept.head(name)


@pytest.mark.whole
def test_second_writer_waits_and_is_told_once_for_whom(tmp_path: Path, holder: Holder) -> None:
    said: list[str] = []

    def on_wait(line: str) -> None:
        said.append(line)
        threading.Timer(0.5, holder.release).start()

    began = time.monotonic()
    with Artifacts(tmp_path).lock("albo words", on_wait):
        waited = time.monotonic() - began
        assert re.search(f"^albo words .process {os.getpid()}", str(at_work(tmp_path)))
    assert waited > 0.4
    assert len(said) == 1
    assert re.fullmatch(
        rf"waiting for albo embed \(process {holder.process.pid}, since \d\d:\d\d:\d\d\)", said[0]
    )


def at_work(root: Path) -> str | None:
    return Artifacts(root).writer_at_work()


@pytest.mark.whole
def test_waiting_has_an_end(tmp_path: Path, holder: Holder) -> None:
    del holder
    with pytest.raises(
        WriterAtWork, match=r"^albo embed \(process \d+, since .* after 0.3 s; wait"
    ):
        Artifacts(tmp_path).lock("x", timeout=0.3).__enter__()


@pytest.mark.whole
@posix
def test_killed_writer_leaves_no_lock(tmp_path: Path, holder: Holder) -> None:
    assert "albo embed" in str(at_work(tmp_path))
    holder.process.kill()
    holder.process.join(60)
    assert (tmp_path / "writer.json").exists()
    assert at_work(tmp_path) is None
    said: list[str] = []
    with Artifacts(tmp_path).lock("albo train", said.append, timeout=5):
        assert "albo train" in str(at_work(tmp_path))
    assert said == []


@posix
@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"purpose": "p", "process": -1, "host": "h", "since": "2020-01-01T00:00:00"}',
        b'{"purpose": "p", "process": "1", "host": "h", "since": "2020-01-01T00:00:00"}',
        b'{"purpose": "p", "process": 1, "host": "h", "since": 7}',
    ],
)
def test_what_lies_beside_the_lock_is_not_trusted(tmp_path: Path, left: bytes) -> None:
    with Artifacts(tmp_path).lock("albo embed"):
        (tmp_path / "writer.json").write_bytes(left)
        assert at_work(tmp_path) == "another albo"


@pytest.mark.whole
@posix
def test_a_dead_process_is_not_named(tmp_path: Path) -> None:
    gone = int(run_python("import os; print(os.getpid())"))
    with Artifacts(tmp_path).lock("albo embed"):
        holder = read_json(tmp_path / "writer.json")
        write_json(tmp_path / "writer.json", holder | {"process": gone})
        assert at_work(tmp_path) == "another albo"


@pytest.mark.whole
def test_holder_elsewhere_and_of_yesterday_is_described(tmp_path: Path) -> None:
    with Artifacts(tmp_path).lock("albo embed"):
        holder = read_json(tmp_path / "writer.json")
        since = datetime.now().astimezone() - timedelta(days=2)
        holder |= {"host": "far\x1b[2J", "since": since.isoformat(), "process": 7}
        write_json(tmp_path / "writer.json", holder)
        assert at_work(tmp_path) == (
            f"albo embed (process 7 on far [2J, since {since:%Y-%m-%d %H:%M:%S})"
        )


@pytest.mark.whole
def test_lock_is_reentrant_and_released_by_the_outermost(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path / "new" / "folder")
    with kept.lock("outer"):
        with kept.lock("inner"):
            pass
        assert str(kept.writer_at_work()).startswith("outer")
    assert kept.writer_at_work() is None
    assert not (kept.root / "writer.json").exists()


def test_threads_take_turns(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        with Artifacts(tmp_path).lock("albo"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_errors_pass_through_the_lock_and_release_it(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path)
    with pytest.raises(FileNotFoundError), kept.lock("albo"):
        (tmp_path / "none").read_bytes()
    assert kept.writer_at_work() is None


@pytest.mark.whole
@posix
def test_looking_keeps_no_writer_waiting(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path)
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            kept.writer_at_work()

    thread = threading.Thread(target=look)
    thread.start()
    said: list[str] = []
    try:
        for _ in range(10):
            with kept.lock("albo", said.append, timeout=10):
                pass
    finally:
        stop.set()
        thread.join()
    assert said == []


READ_ONLY = """
import os, sys
from pathlib import Path
from albo.store import Artifacts, write_atomically
from albo.errors import CannotWrite
import filelock
if os.geteuid() == 0:
    os.setuid(65534)
kept = Artifacts(Path(sys.argv[1]))
print(kept.writer_at_work())
for act in (lambda: kept.lock("x").__enter__(), lambda: write_atomically(kept.root / "f", print)):
    try:
        act()
    except CannotWrite as error:
        print(error)
"""


@pytest.mark.whole
@posix
def test_read_only_folder_can_be_looked_at_and_says_why_it_is_not_written() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own is closed to other users
        folder = Path(name)
        folder.chmod(0o755)
        with Artifacts(folder).lock("albo embed"):
            said = read_only(folder)
        assert said[0].startswith("albo embed (process")
        assert read_only(folder)[0] == "None"
        assert len(said) == 3
        for line in said[1:]:
            assert line.startswith(f"cannot write {folder}")
            assert line.endswith(
                "may not be written to; change its permissions"
                " or name another folder with --artifacts"
            )


def read_only(folder: Path) -> list[str]:
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(0o555)
    try:
        return run_python(READ_ONLY, folder).splitlines()
    finally:
        folder.chmod(mode)


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file: object) -> None:
        file.write(b"new")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


TOO_LARGE = """
import resource, sys
from pathlib import Path
from albo.store import write_atomically
from albo.errors import CannotWrite
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_atomically(Path(sys.argv[1]), lambda file: file.write(bytes(100_000)))
except CannotWrite as error:
    print(error)
"""


@pytest.mark.whole
@posix
def test_a_write_that_the_system_refuses_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert run_python(TOO_LARGE, path) == (
        f"cannot write {path}: it would exceed the limit on file sizes; raise it (ulimit -f)\n"
    )
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="the disk is full; free some space"):
        write_json(tmp_path / "file", {})
    with pytest.raises(CannotWrite, match="the disk is full"):
        Artifacts(tmp_path).lock("albo").__enter__()
    assert at_work(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["writer.lock"]


def test_sweep_takes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    old, young = tmp_path / ".a.json.12.0123abcd.tmp", tmp_path / ".b.12.0123abcd.tmp"
    others = [tmp_path / name for name in ("a.json", ".hidden", "b.tmp", ".c.x.0123abcd.tmp")]
    for path in (old, young, *others):
        path.touch()
    os.utime(old, (1, 1))
    assert sweep(tmp_path, older_than=3600) == 1
    assert young.exists()
    assert sweep(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted(others)
    assert sweep(tmp_path / "none") == 0


def test_what_write_atomically_leaves_when_killed_is_swept(tmp_path: Path) -> None:
    names: list[str] = []
    write_atomically(tmp_path / "file", lambda file: names.append(file.name))
    Path(names[0]).touch()
    assert sweep(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_json_comes_back_as_it_was(content: dict[str, float | str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_json(Path(name) / "file", content)
        assert read_json(Path(name) / "file") == content


def test_json_is_refused_where_it_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, float("nan"))
    path.write_bytes(b"[" * 1_000_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(path)
    monkeypatch.setattr(writing, "MAX_JSON_BYTES", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read_json(path)
    with pytest.raises(ValueError, match="limit 10"):
        write_json(path, "x" * 20)


def test_manifest_comes_back_with_what_was_added(tmp_path: Path) -> None:
    versions = library_versions("numpy", "no-such-distribution")
    assert list(versions) == ["numpy"]
    write_manifest(tmp_path, {"rows": {9: 1, 10: 2}, "pair": (1, 2), "libraries": versions})
    manifest = read_manifest(tmp_path, "index", "albo index")
    assert manifest == {
        "format": 1,
        "albo": library_versions("albo")["albo"],
        "libraries": versions,
        "rows": {"9": 1, "10": 2},
        "pair": [1, 2],
    }


def test_missing_manifest_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(StaleArtifact, match=r"there is no index in .*; run `albo index`$"):
        read_manifest(tmp_path / "none", "index", "albo index")


def test_newer_format_is_not_read(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"format": 3})
    with pytest.raises(ForeignArtifact, match=r"newer albo \(format 3, .* up to 2.*`albo index`$"):
        read_manifest(tmp_path, "index", "albo index", newest=2)
    assert read_manifest(tmp_path, "index", "albo index", newest=3)["format"] == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"format": true}', b'{"format": 1}', b"\xff\xfe", b"[" * 100_000,
     b'{"format": 1, "deep": ' + b"[" * 900 + b"]" * 900 + b"}",
     b'{"format": 1, "checksum": NaN}'],
)  # fmt: skip
def test_damaged_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(StaleArtifact, match=r"is damaged \(.*manifest.json.*\); run `albo index`$"):
        read_manifest(tmp_path, "index", "albo index")


def test_no_changed_byte_goes_unnoticed(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"rows": 12, "name": "x"})
    sound = (tmp_path / MANIFEST).read_bytes()
    before = read_manifest(tmp_path, "index", "albo index")
    for at in range(len(sound)):
        changed = bytearray(sound)
        changed[at] ^= 1
        (tmp_path / MANIFEST).write_bytes(changed)
        try:
            assert read_manifest(tmp_path, "index", "albo index") == before
        except StaleArtifact:
            continue
        assert sound[at : at + 1].isspace()


def test_checksum_is_that_of_the_canonical_rest(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"rows": 12})
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    given_checksum = manifest.pop("checksum")
    plain = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    (tmp_path / "plain").write_text(plain)
    assert file_checksum(tmp_path / "plain") == given_checksum


def test_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "albo"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "albo"

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(AlboError, match="set XDG_CACHE_HOME"):
        cache_folder()


def test_reports_have_plain_names_of_their_own(tmp_path: Path) -> None:
    artifacts = Artifacts.locate(tmp_path)
    assert artifacts.report("typical-Torn collage", "png").name == "typical-Torn-collage.png"
    named = {artifacts.report(f"typical-{genre}", "png").name for genre in ("演歌", "歌謡曲")}
    assert len(named) == 2
    assert all(name.isascii() and name.startswith("typical-") for name in named)
    hostile = artifacts.report("../../x\x00\n/etc", "html")
    assert hostile.parent == artifacts.reports_folder
    assert hostile.name == "x-etc.html"
    assert artifacts.report("///", "html").name == "report.html"
    assert artifacts.report("\udcff", "html").name.startswith("report-")
