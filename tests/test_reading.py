"""From the catalog to words: what has been read is not read again, and what failed is tried again.

The reader is replaced by one that counts where it is not the reader that is tested; catalog, covers
and words are real. The last part runs whole commands as processes of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from albo import ahead as ahead_room
from albo import reading as room
from albo import refetching as refetching_room
from albo.api import Albo
from albo.catalog import open_catalog
from albo.errors import AlboError, EmptyCatalog, MissingReader, RuntimeFailed
from albo.limits import digest_of
from albo.records import Album, Digest, Line, Words
from albo.sources import SOURCE as CHARTS
from albo.store import Artifacts, StoredCovers, WordStore, open_covers
from albo.words import reader as reader_room
from tests.servers import S3, use_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from albo.catalog import Catalog
    from albo.reading import ReadingSummary
    from tests.conftest import Answer

REPOSITORY = Path(__file__).resolve().parent.parent
FINGERPRINT = "c0" * 32
BOX = (0.0, 0.0, 1.0, 0.0, 1.0, 0.5, 0.0, 0.5)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


# --- the bench -----------------------------------------------------------------------------------


def says(image: Image.Image) -> Words:
    """Read as a reader would: the same pixels always say the same, nothing where all are dark."""
    pixels = np.asarray(image)
    return Words((Line(f"{pixels.tobytes()[:6].hex()}", BOX, 0.5),) if pixels.max() > 9 else ())


@dataclass
class CountingReader:
    """A reader that counts, and like a real one takes some covers before it gives one back."""

    name: str = "counting"
    fingerprint: str = FINGERPRINT
    device: str = "cpu"
    ahead: int = 2
    during: Callable[[int], None] = lambda _count: None
    says: Callable[[Image.Image], Words] = says
    opened: int = 0
    read_count: int = 0

    def open(self, *_: object, **__: object) -> CountingReader:
        self.opened += 1
        return self

    def read(self, images: Iterable[Image.Image]) -> Iterator[Words]:
        waiting: deque[Words] = deque()
        for image in images:
            self.read_count += 1
            waiting.append(self.says(image))
            self.during(self.read_count)
            if len(waiting) > self.ahead:
                yield waiting.popleft()
        yield from waiting


@dataclass
class Desk:
    """An artifacts folder, and what is done with it."""

    root: Path
    reader: CountingReader = field(default_factory=CountingReader)

    @property
    def folder(self) -> Path:
        return Artifacts(self.root).words("counting-c0c0c0c0")

    @property
    def store(self) -> WordStore:
        return WordStore.open(self.folder, FINGERPRINT)

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        with open_catalog(self.root / "catalog.sqlite", write=True) as catalog:
            yield catalog

    def list(self, folder: Path) -> None:
        """Put all files of a folder into the catalog, as embedding them would."""
        with self.catalog() as catalog:
            catalog.upsert(
                Album("folder", str(file), str(file), digest_of(file.read_bytes()))
                for file in sorted(folder.iterdir())
            )

    def read(self, **options: Any) -> ReadingSummary:  # noqa: ANN401
        store = WordStore.open_or_create(self.folder, "counting", FINGERPRINT)
        with self.catalog() as catalog:
            done = room.read_words(
                catalog, StoredCovers(), store, self.reader.open, workers=2, **options
            )
        assert done.covers == done.read + done.known + len(done.failed) + len(done.skipped)
        return done


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "artifacts").mkdir()
    return Desk(tmp_path / "artifacts")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Nine covers, one of them black."""
    for number in range(9):
        draw(tmp_path / "music" / f"{number}.png", number)
    return tmp_path / "music"


def draw(file: Path, number: int, side: int = 24) -> Digest:
    """Write a cover of its own for each number; that of number 0 is black."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels * (number > 0)).save(file)
    return digest_of(file.read_bytes())


def digests_in(folder: Path) -> list[Digest]:
    return [digest_of(file.read_bytes()) for file in sorted(folder.iterdir())]


def reasons(summary: ReadingSummary) -> dict[str, str]:
    return {Path(skipped.uri).name: skipped.reason for skipped in summary.skipped}


# --- what is read, and what is not ---------------------------------------------------------------


def test_what_covers_say_is_kept(desk: Desk, music: Path) -> None:
    desk.list(music)
    done = desk.read()
    assert (done.covers, done.read, done.known, done.lines, done.with_words) == (9, 9, 0, 8, 8)
    assert done.device == "cpu"
    found = desk.store.read(digests_in(music))
    assert found == [says(Image.open(file)) for file in sorted(music.iterdir())]
    assert found[0] == Words()


def test_a_second_run_reads_nothing_and_opens_no_reader(desk: Desk, music: Path) -> None:
    desk.list(music)
    desk.read()
    desk.reader = CountingReader()
    done = desk.read()
    assert (desk.reader.opened, desk.reader.read_count) == (0, 0)
    assert (done.covers, done.read, done.known, done.device) == (9, 0, 9, "")
    draw(music / "new.png", 20)
    desk.list(music)
    assert (desk.read().read, desk.reader.read_count) == (1, 1)


def test_one_cover_in_several_files_is_read_once_from_any_of_them(desk: Desk, music: Path) -> None:
    (music / "copy.png").write_bytes((music / "1.png").read_bytes())
    (music / "other.png").write_bytes((music / "1.png").read_bytes())
    desk.list(music)
    (music / "1.png").unlink()
    (music / "copy.png").write_bytes(b"not an image")
    done = desk.read()
    assert (done.covers, done.read, desk.reader.read_count) == (9, 9, 9)
    assert desk.read().known == 9


def test_covers_that_are_gone_broken_or_others_now_are_told_and_tried_again(
    desk: Desk, music: Path
) -> None:
    (music / "broken.png").write_bytes((music / "1.png").read_bytes()[:100])
    desk.list(music)
    there = {name: (music / name).read_bytes() for name in ("3.png", "4.png")}
    (music / "3.png").unlink()
    draw(music / "4.png", 40)
    done = desk.read()
    assert done.read == 7
    said = reasons(done)
    assert set(said) == {"3.png", "4.png", "broken.png"}
    assert "no such file" in said["3.png"]
    assert "it has changed since it was embedded; run `albo embed`" in said["4.png"]
    assert "PNG" in said["broken.png"]
    assert digest_of((music / "4.png").read_bytes()) not in desk.store.digests()
    assert desk.store.failed() == {}
    for name, content in there.items():
        (music / name).write_bytes(content)
    done = desk.read()
    assert (done.read, done.known, list(reasons(done))) == (2, 7, ["broken.png"])


def test_where_nothing_can_be_fetched_no_reader_is_opened(desk: Desk, music: Path) -> None:
    desk.list(music)
    for file in music.iterdir():
        file.unlink()
    assert len(desk.read().skipped) == 9
    assert desk.reader.opened == 0


def test_a_failed_reading_stops_nothing_and_is_tried_again_last(desk: Desk, music: Path) -> None:
    def moody(image: Image.Image) -> Words:
        return Words(error="gave up") if says(image) == Words() else says(image)

    desk.list(music)
    black = digests_in(music)[0]
    desk.reader.says = moody
    done = desk.read()
    assert (done.read, [Path(one.uri).name for one in done.failed]) == (8, ["0.png"])
    assert desk.store.failed() == {black: "gave up"}
    draw(music / "a new one.png", 30)
    desk.list(music)
    seen: list[Words] = []
    desk.reader = CountingReader(says=lambda image: seen.append(says(image)) or seen[-1])
    done = desk.read()
    assert (done.read, done.known, desk.reader.read_count) == (2, 8, 2)
    assert [bool(words.lines) for words in seen] == [True, False]
    assert desk.store.failed() == {}
    assert desk.store.read([black]) == [Words()]


def test_numbers_that_are_none_count_as_failed(desk: Desk, music: Path) -> None:
    desk.reader.says = lambda _: Words((Line("a", BOX, float("nan")),))
    desk.list(music)
    done = desk.read()
    assert (done.read, done.lines, len(done.failed)) == (0, 0, 9)


def test_missing_albums_are_not_read(desk: Desk, music: Path) -> None:
    desk.list(music)
    with desk.catalog() as catalog:
        catalog.mark_missing("folder", [str(music / "3.png")])
    assert desk.read().covers == 8


def test_progress_counts_up_to_the_total(desk: Desk, music: Path) -> None:
    desk.list(music)
    (music / "3.png").unlink()
    steps: list[tuple[int, int]] = []
    desk.read(progress=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 9) for done in range(1, 10)]


def test_a_bounded_number_of_covers_is_ahead_of_the_reader(
    desk: Desk, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    prepare = room.prepare
    monkeypatch.setattr(
        room, "prepare", lambda data, limits: fetched.append(1) or prepare(data, limits)
    )
    for number in range(10, 60):
        draw(music / f"{number}.png", number)
    desk.list(music)
    most = 0

    def watch(count: int) -> None:
        nonlocal most
        time.sleep(0.005)
        most = max(most, len(fetched) - count)

    desk.reader.during = watch
    assert desk.read().read == 59
    assert most <= 2 * refetching_room._AHEAD


# --- what is kept --------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit after a fifth of a second."""
    monkeypatch.setattr(room, "COMMIT_SECONDS", 0.2)
    monkeypatch.setattr(ahead_room, "POLL_SECONDS", 0.02)


@pytest.mark.usefixtures("hasty")
def test_words_are_committed_while_the_reader_goes_on(desk: Desk, music: Path) -> None:
    desk.list(music)
    stored: list[int] = []

    def slow(_: int) -> None:
        time.sleep(0.08)
        stored.append(len(desk.store))

    desk.reader.during = slow
    desk.read()
    # Two are held back by the reader, and three are read in the time.
    assert all(there >= count - 6 for count, there in enumerate(stored, 1))
    assert len(set(stored)) > 2


@pytest.mark.usefixtures("hasty")
def test_a_slow_reader_has_each_cover_committed(desk: Desk, music: Path) -> None:
    desk.list(music)
    stored: list[int] = []

    def slow(_: int) -> None:
        stored.append(len(desk.store))
        time.sleep(0.15)

    desk.reader.during = slow
    desk.reader.ahead = 0
    desk.read()
    assert stored == list(range(9))


@pytest.mark.usefixtures("hasty")
def test_words_do_not_wait_for_a_slow_disk(
    desk: Desk, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.list(music)
    WordStore.open_or_create(desk.folder, "counting", FINGERPRINT)
    go_on = threading.Event()
    prepare = room.prepare
    at_once = [file.read_bytes() for file in sorted(music.iterdir())[:5]]

    def stuck(data: bytes, limits: Any) -> Image.Image:  # noqa: ANN401
        if data not in at_once:
            assert go_on.wait(20)
        return prepare(data, limits)

    monkeypatch.setattr(room, "prepare", stuck)
    running = threading.Thread(target=desk.read)
    running.start()
    until = time.monotonic() + 10
    while time.monotonic() < until and len(desk.store) < 5:
        time.sleep(0.02)
    held = len(desk.store)
    go_on.set()
    running.join()
    assert held == 5
    assert len(desk.store) == 9


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeFailed("broken"), MemoryError()])
def test_what_was_read_before_an_error_is_kept(
    desk: Desk, music: Path, error: BaseException
) -> None:
    def fail(count: int) -> None:
        if count == 7:
            raise error

    desk.list(music)
    desk.reader.during = fail
    with pytest.raises(type(error)):
        desk.read()
    assert len(desk.store) == 4  # the reader had the last ones
    desk.reader = CountingReader()
    assert (desk.read().read, desk.reader.read_count) == (5, 5)


@pytest.mark.whole
def test_a_server_that_cannot_be_asked_stops_the_run(desk: Desk, music: Path) -> None:
    desk.list(music)
    store = WordStore.open_or_create(desk.folder, "counting", FINGERPRINT)
    with desk.catalog() as catalog:
        uri = f"s3://bucket-of-mine/{'ab' * 32}"
        catalog.upsert([Album(CHARTS, "1", uri, bytes.fromhex("ab" * 32))])
        covers = StoredCovers("http://127.0.0.1:9")
        with pytest.raises(AlboError, match="cannot read s3://bucket-of-mine"):
            room.read_words(catalog, covers, store, desk.reader.open)
    assert set(store.digests()) <= set(digests_in(music))


# --- harvested covers, and catalogs elsewhere ----------------------------------------------------


def test_harvested_covers_are_read_where_they_are_kept(
    desk: Desk, music: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_only(s3.env, monkeypatch)
    place = f"s3://{s3.bucket}/words-{os.getpid()}-{time.monotonic_ns()}"
    bucket = open_covers(place, endpoint=s3.endpoint)
    folder = open_covers(str(desk.root / "covers"))
    files = sorted(music.iterdir())
    with desk.catalog() as catalog:
        for number, file in enumerate(files):
            data = file.read_bytes()
            uri = (bucket if number % 2 else folder).put(digest_of(data), data, "image/png")
            catalog.upsert([Album(CHARTS, str(number), uri, digest_of(data))])
        catalog.upsert([Album(CHARTS, "no cover yet", "", None)])
        gone = digest_of(b"gone")
        catalog.upsert([Album(CHARTS, "gone", f"{place}/{gone.hex()}", gone)])
        damaged = Path(folder.find(digest_of(files[0].read_bytes())) or "")
        damaged.write_bytes(b"damaged")
        store = WordStore.open_or_create(desk.folder, "counting", FINGERPRINT)
        done = room.read_words(catalog, StoredCovers(s3.endpoint), store, desk.reader.open)
    assert (done.covers, done.read) == (10, 8)
    assert sorted(one.reason.split(";")[0] for one in done.skipped) == [
        "damaged: its bytes are not those of its digest",
        "not in the store any more",
    ]
    assert set(desk.store.digests()) == set(digests_in(music)[1:])


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingReader:
    """Put a reader that counts in the place of the real one."""
    reader = CountingReader()
    card = reader_room.ReaderCard(reader.name, reader.fingerprint)
    monkeypatch.setattr("albo.words.reader_card", lambda: card)
    monkeypatch.setattr("albo.words.open_reader", reader.open)
    return reader


def test_the_words_of_a_catalog_in_mongodb(
    tmp_path: Path, music: Path, mongodb: str, counting: CountingReader
) -> None:
    albo = Albo(tmp_path / "artifacts", mongodb)
    albo.embed([str(music)])
    answer = albo.words()
    assert answer.as_json() | {"seconds": 0, "covers_per_second": 0} == {
        "covers": 9, "read": 9, "known": 0, "failed": 0, "skipped": 0, "lines": 8, "with_words": 8,
        "seconds": 0, "covers_per_second": 0, "reader": "counting", "device": "cpu",
    }  # fmt: skip
    assert albo.words().as_json()["known"] == counting.read_count == 9
    assert albo.status()["words"] == [{"reader": "counting", "read": 9, "failed": 0, "unread": 0}]


# --- forgetting, status --------------------------------------------------------------------------


@pytest.mark.whole
def test_forgotten_covers_leave_no_words(
    tmp_path: Path, music: Path, counting: CountingReader
) -> None:
    counting.says = lambda image: says(image) if says(image).lines else Words(error="gave up")
    albo = Albo(tmp_path / "artifacts")
    albo.embed([str(music)])
    assert albo.status()["words"] == []
    albo.words()
    [store] = albo.library.all_words()
    assert (len(store), len(store.failed())) == (8, 1)
    draw(music / "new.png", 50)
    albo.embed([str(music)])
    assert albo.status()["words"] == [{"reader": "counting", "read": 8, "failed": 1, "unread": 1}]
    forgotten = digests_in(music)[:2]
    for digest in forgotten:
        albo.forget(digest.hex())
    assert set(store.digests()) == set(digests_in(music)[2:-1])
    assert store.failed() == {}
    (store.folder / "manifest.json").write_text("{}")
    assert Albo(tmp_path / "artifacts").status()["words"] == []


@pytest.mark.whole
def test_words_that_are_damaged_are_read_again(
    tmp_path: Path, music: Path, counting: CountingReader
) -> None:
    albo = Albo(tmp_path / "artifacts")
    albo.embed([str(music)])
    albo.words()
    [store] = albo.library.all_words()
    [part] = store.folder.glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    [said] = albo.status()["words"]
    assert f"{part} is damaged" in said["problem"]
    assert "run `albo words`" in said["problem"]
    done = albo.words().summary
    assert (done.read, counting.read_count) == (9, 18)
    assert done.notes == [
        f"{part} is damaged (checksum): its covers, 9 of them, have to be read again"
    ]


def test_nothing_embedded_yet_is_said(tmp_path: Path, counting: CountingReader) -> None:
    with pytest.raises(EmptyCatalog, match="run `albo embed SOURCE`"):
        Albo(tmp_path / "artifacts").words()
    assert not (tmp_path / "artifacts").exists()
    assert counting.opened == 0


@pytest.mark.whole
def test_embed_with_words_embeds_though_there_is_no_reader(
    tmp_path: Path, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingReader("reading words needs a reader")

    monkeypatch.setattr("albo.words.reader_card", missing)
    albo = Albo(tmp_path / "artifacts")
    albo.embed([str(music)])
    with pytest.raises(MissingReader):
        albo.words()
    assert not (tmp_path / "artifacts" / "words").exists()


# --- whole commands ------------------------------------------------------------------------------


def write_cover(file: Path, *lines: str) -> None:
    """Draw a cover that says something."""
    image = Image.new("RGB", (400, 400), "white")
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        pen.text((40, 60 + 90 * row), line, "black", ImageFont.load_default(36))
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Three covers, one of which says nothing."""
    write_cover(tmp_path / "shelf" / "one.png", "BLUE TRAIN", "JOHN COLTRANE")
    write_cover(tmp_path / "shelf" / "two.png", "KIND OF BLUE")
    write_cover(tmp_path / "shelf" / "white.png")
    return tmp_path / "shelf"


def read_texts(root: Path, file: Path) -> list[str]:
    [store] = Albo(root).library.all_words()
    [said] = store.read([digest_of(file.read_bytes())])
    assert said is not None
    return [line.text for line in said.lines]


@pytest.mark.whole
def test_the_command_reads_what_has_been_embedded(
    albo_line: Callable[..., Answer], shelf: Path, tmp_path: Path
) -> None:
    assert albo_line("embed", shelf).code == 0
    first = albo_line("words")
    assert (first.code, first.err) == (0, "")
    assert "3 covers: 3 read with rapidocr on cpu in " in first.out
    assert "3 lines on 2 of them" in first.out
    again = albo_line("words", "--json")
    assert again.code == 0
    [said] = again.objects
    assert (said["covers"], said["read"], said["known"], said["device"]) == (3, 0, 3, None)
    assert read_texts(tmp_path / "artifacts", shelf / "one.png") == ["BLUE TRAIN", "JOHN COLTRANE"]
    assert read_texts(tmp_path / "artifacts", shelf / "white.png") == []
    assert "words     rapidocr: 3 covers read\n" in albo_line("status").out


@pytest.mark.whole
def test_embed_with_words_answers_for_both_and_names_what_cannot_be_read(
    albo_line: Callable[..., Answer], shelf: Path
) -> None:
    both = albo_line("embed", shelf, "--words", "--json")
    assert both.code == 0, both.err
    embedded, read = both.objects
    assert (embedded["embedded"], embedded["indexed"]) == (3, 3)
    assert (read["covers"], read["read"], read["lines"], read["with_words"]) == (3, 3, 3, 2)
    draw(shelf / "new.png", 3)
    assert albo_line("embed", shelf).code == 0
    draw(shelf / "new.png", 4)
    assert "1 not read yet; run `albo words`" in albo_line("status").out
    failed = albo_line("words")
    assert failed.code == 1
    assert failed.err.count("\n") == 1
    assert failed.err.startswith(f"albo: {shelf / 'new.png'}: it has changed since")
    assert "3 known, 1 without words" in failed.out


def test_without_a_reader_one_line_says_what_to_install(
    run_albo: Callable[..., Answer], shelf: Path, tmp_path: Path
) -> None:
    (tmp_path / "no" / "rapidocr").mkdir(parents=True)
    (tmp_path / "no" / "rapidocr" / "__init__.py").touch()
    path = os.pathsep.join([str(tmp_path / "no"), os.environ.get("PYTHONPATH", str(REPOSITORY))])
    answer = run_albo("embed", shelf, "--words", "--json", PYTHONPATH=path)
    assert answer.code == 1
    assert [said["indexed"] for said in answer.objects] == [3]
    *_, line = answer.err.splitlines()
    assert line.startswith("albo: ")
    assert "pip install" in line
    answer = run_albo("words", PYTHONPATH=path)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
    answer = run_albo("similar", shelf / "one.png", "--json")
    assert (answer.code, len(answer.objects)) == (0, 1)


@pytest.mark.whole
def test_hostile_words_reach_no_terminal(desk: Desk, music: Path) -> None:
    desk.list(music)
    code = (
        "from tests.test_reading import *; import albo.cli;"
        "reader = CountingReader(says=lambda _: Words(error='\\x1b[2Jgone\\nalbo: all is well'));"
        "reader_room.reader_card = lambda: reader_room.ReaderCard('counting', FINGERPRINT);"
        "reader_room.open_reader = reader.open; albo.cli.main()"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, "words", "--artifacts", str(desk.root)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 9
    assert all(line.startswith("albo: /") for line in done.stderr.splitlines())


@pytest.mark.whole
def test_embedding_alone_loads_nothing_that_reads(tmp_path: Path, music: Path) -> None:
    code = (
        "import sys, albo.cli\n"
        "try:\n    albo.cli.main()\n"
        "finally:\n"
        "    print({'albo.words.reader', 'albo.reading', 'rapidocr', 'cv2'} & set(sys.modules))\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, "embed", str(music), "--artifacts", str(tmp_path / "made")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()"


SLOW_COMMAND = """
import sys, time
from tests.test_reading import *
import albo.cli
log = open(sys.argv.pop(1), "a", buffering=1)
def read(image):
    time.sleep(0.1)
    words = says(image)
    print(time.monotonic(), words.lines[0].text if words.lines else "-", file=log)
    return words
reader = CountingReader(says=read)
reader_room.reader_card = lambda: reader_room.ReaderCard("counting", FINGERPRINT)
reader_room.open_reader = reader.open
albo.cli.main()
"""


def start_slowly(root: Path, log: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", SLOW_COMMAND, str(log), "words", "--artifacts", str(root), "--json"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def logged(log: Path) -> list[tuple[float, str]]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [(float(line.split()[0]), line.split()[1]) for line in lines]


def texts(root: Path) -> list[str]:
    [store] = Albo(root).library.all_words()
    found = store.read(store.digests())
    return [words.lines[0].text if words.lines else "-" for words in found if words]


@posix
@pytest.mark.long
def test_a_killed_command_loses_no_more_than_five_seconds_and_goes_on(
    desk: Desk, music: Path, tmp_path: Path
) -> None:
    for number in range(10, 90):
        draw(music / f"{number}.png", number)
    desk.list(music)
    log = tmp_path / "log"
    process = start_slowly(desk.root, log)
    while len(logged(log)) < 57:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    killed = time.monotonic()
    process.communicate()
    read, kept = logged(log), texts(desk.root)
    assert {text for when, text in read if when < killed - 5} <= set(kept)
    assert len(kept) >= 20

    log.unlink()
    process = start_slowly(desk.root, log)
    while len(logged(log)) < 8:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err == (
        "albo: stopped; what was done is kept, and the same command goes on from there\n"
    )
    again = [text for _, text in logged(log)]
    assert not set(again) & set(kept)
    assert set(again[:-3]) <= set(texts(desk.root))

    kept = texts(desk.root)
    log.unlink()
    process = start_slowly(desk.root, log)
    process.communicate(timeout=60)
    assert process.returncode == 0
    rest = [text for _, text in logged(log)]
    assert sorted(rest + kept) == sorted(texts(desk.root))
    assert len(rest) + len(kept) == len(set(rest) | set(kept)) == 89


@pytest.mark.whole
def test_real_covers(albo_line: Callable[..., Answer], itunes36: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for file in sorted(itunes36.rglob("*.jpg"))[:8]:
        (few / file.name).symlink_to(file)
    answer = albo_line("embed", few, "--words", "--json")
    assert answer.code == 0, answer.err
    read = answer.objects[1]
    assert (read["read"], read["failed"]) == (8, 0)
    assert read["with_words"] >= 4
    assert albo_line("words", "--json").objects[0]["known"] == 8
