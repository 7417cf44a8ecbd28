"""Listings: folders, files, manifests, and everything strange that may lie about in them."""

from __future__ import annotations

import csv
import io
import os
import socket
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from albo.catalog import Files
from albo.errors import UnknownSource, UsageError
from albo.records import Album
from albo.sources import FILES, genre_notes, open_sources, possible_names
from albo.sources.folders import Folder
from albo.sources.manifests import Manifest
from albo.sources.opening import ListedFiles
from albo.store import Artifacts
from tests.plain_user import as_plain_user

if TYPE_CHECKING:
    from albo.sources import Entry, Source

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"an image, for all that a listing knows")


def listed(source: Source) -> list[Entry]:
    return list(source.entries())


def ids(source: Source) -> list[str]:
    return [entry.album.album_id for entry in source.entries()]


def genres(source: Source) -> dict[str, str]:
    return {entry.album.album_id: entry.album.genre for entry in source.entries()}


def opened(path: Path, genre: str | None = None) -> Source:
    [source] = open_sources([str(path)], genre)
    return source


def notes_on_genres(path: Path) -> list[str]:
    return genre_notes(Counter(genres(opened(path)).values()))


def one_note(source: Source, part: str) -> str:
    [found] = [note for note in source.remarks.notes if part in note]
    return found


# --- folders -------------------------------------------------------------------------------------


def test_a_folder_is_listed_to_its_depths_by_name(tmp_path: Path) -> None:
    names = ["Jazz/b.png", "Jazz/a.jpg", "Rock/live/c.WEBP", "Rock/z.jpeg", "own.gif"]
    touch(*(tmp_path / name for name in names))
    entries = listed(opened(tmp_path))
    assert [entry.album.album_id for entry in entries] == [
        "own.gif", "Jazz/a.jpg", "Jazz/b.png", "Rock/z.jpeg", "Rock/live/c.WEBP",
    ]  # fmt: skip
    first = entries[1]
    found = (tmp_path / "Jazz/a.jpg").stat()
    assert first.album == Album(
        str(tmp_path.resolve()), "Jazz/a.jpg", str(tmp_path.resolve() / "Jazz/a.jpg"), genre="Jazz"
    )
    assert first.stamp is not None
    assert (first.stamp.size, first.stamp.mtime_ns, first.stamp.inode) == (
        found.st_size, found.st_mtime_ns, found.st_ino,
    )  # fmt: skip
    assert not any(entry.sniff for entry in entries)


def test_the_parent_folder_names_the_genre_unless_told_otherwise(tmp_path: Path) -> None:
    touch(tmp_path / "Jazz" / "a.jpg", tmp_path / "Rock" / "live" / "b.jpg")
    by_folder = {"Jazz/a.jpg": "Jazz", "Rock/live/b.jpg": "live"}
    assert genres(opened(tmp_path)) == by_folder
    assert genres(opened(tmp_path, "folder")) == by_folder
    assert set(genres(opened(tmp_path, "none")).values()) == {""}
    assert set(genres(opened(tmp_path, "Art Pop")).values()) == {"Art Pop"}


def test_files_named_one_by_one_have_no_genre_unless_told(tmp_path: Path) -> None:
    file = tmp_path / "Jazz" / "a.jpg"
    touch(file)
    assert genres(opened(file)) == {str(file): ""}
    assert genres(opened(file, "none")) == {str(file): ""}
    assert genres(opened(file, "folder")) == {str(file): "Jazz"}
    assert genres(opened(file, "Funk")) == {str(file): "Funk"}


def test_a_manifest_names_genres_in_its_rows_unless_told(tmp_path: Path) -> None:
    touch(tmp_path / "Jazz" / "a.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("file,genre\nJazz/a.jpg,Bebop\n")
    assert genres(opened(table)) == {"Jazz/a.jpg": "Bebop"}
    assert genres(opened(table, "folder")) == {"Jazz/a.jpg": "Jazz"}
    assert genres(opened(table, "none")) == {"Jazz/a.jpg": ""}
    assert genres(opened(table, "Funk")) == {"Jazz/a.jpg": "Funk"}


def test_a_blank_genre_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="genre is blank"):
        open_sources([str(tmp_path)], "  ")


def test_genres_from_folders_are_named(tmp_path: Path) -> None:
    touch(*(tmp_path / f"Genre {i}" / f"{j}.jpg" for i in range(10) for j in range(i + 2)))
    [note] = notes_on_genres(tmp_path)
    assert note.startswith("10 genres from the folders' names: Genre 9 11, Genre 8 10")
    assert note.endswith(" and 2 more")


@pytest.mark.parametrize("genre", ["none", "Jazz"])
def test_nothing_is_said_of_genres_that_were_not_taken_from_folders(
    tmp_path: Path, genre: str
) -> None:
    touch(*(tmp_path / f"Artist {i}" / "Album" / "cover.jpg" for i in range(9)))
    source = opened(tmp_path, genre)
    listed(source)
    assert not source.remarks.notes
    assert not source.remarks.names_genres
    assert opened(tmp_path).remarks.names_genres


def test_an_artist_album_tree_is_warned_of(tmp_path: Path) -> None:
    touch(*(tmp_path / f"Artist {i}" / f"Album {i}{j}" / "x.jpg" for i in range(3) for j in "ab"))
    _, note = notes_on_genres(tmp_path)
    assert note.startswith("6 of 6 folders hold one cover each")
    assert "--genre none" in note


def test_genres_with_a_few_single_covers_are_not_warned_of(tmp_path: Path) -> None:
    touch(*(tmp_path / g / f"{i}.jpg" for g, n in (("A", 4), ("B", 3), ("C", 1)) for i in range(n)))
    assert len(notes_on_genres(tmp_path)) == 1


def test_a_flat_folder_is_warned_of(tmp_path: Path) -> None:
    touch(*(tmp_path / "covers" / f"{i}.jpg" for i in range(3)))
    _, note = notes_on_genres(tmp_path / "covers")
    assert note.startswith("all covers are in one folder, so all are of the genre 'covers'")
    assert not opened(tmp_path / "covers" / "0.jpg").remarks.names_genres


def make_artifacts(root: Path) -> Artifacts:
    """Make the files that albo leaves behind, as far as a listing sees them."""
    artifacts = Artifacts(root)
    with artifacts.lock("albo embed"), Files(artifacts.files_file, write=True):
        touch(artifacts.report("cover", "png"), root / "covers" / "ab" / "abcdef.jpg")
    return artifacts


@pytest.mark.parametrize("place", ["artifacts", "Jazz/kept by albo"])
def test_artifacts_below_a_folder_are_left_out(tmp_path: Path, place: str) -> None:
    touch(tmp_path / "Jazz" / "a.jpg", tmp_path / "reports" / "b.png", tmp_path / "z.jpg")
    make_artifacts(tmp_path / place)
    source = opened(tmp_path)
    assert sorted(ids(source)) == ["Jazz/a.jpg", "reports/b.png", "z.jpg"]
    assert one_note(source, "artifacts").startswith(f"{tmp_path / place}: ")
    assert source.remarks.ignored == 0
    assert not source.remarks.failures
    assert source.is_gone(f"{place}/reports/cover.png"), "an earlier listing may have had it"


def test_artifacts_that_are_only_begun_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "Jazz" / "a.jpg")
    artifacts = Artifacts(tmp_path / "artifacts")
    with artifacts.lock("albo embed"), Files(artifacts.files_file, write=True):
        assert ids(opened(tmp_path)) == ["Jazz/a.jpg"]


def test_a_lock_alone_makes_no_artifacts(tmp_path: Path) -> None:
    touch(tmp_path / "Jazz" / "a.jpg", tmp_path / "Jazz" / "writer.lock")
    assert ids(opened(tmp_path)) == ["Jazz/a.jpg", "Jazz/writer.lock"]


@posix
def test_artifacts_behind_a_link_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "music" / "Jazz" / "a.jpg")
    make_artifacts(tmp_path / "artifacts")
    (tmp_path / "music" / "link").symlink_to(tmp_path / "artifacts")
    assert ids(opened(tmp_path / "music")) == ["Jazz/a.jpg"]


def test_covers_among_artifacts_are_listed_where_they_are_named(tmp_path: Path) -> None:
    root = make_artifacts(tmp_path / "artifacts").root
    source = opened(root / "covers")
    assert ids(source) == ["ab/abcdef.jpg"]
    assert not source.remarks.notes
    assert ids(opened(root / "reports")) == ["cover.png"]


def test_covers_in_a_folder_that_holds_artifacts_itself_are_listed(tmp_path: Path) -> None:
    touch(tmp_path / "Jazz" / "a.jpg")
    make_artifacts(tmp_path)
    source = opened(tmp_path)
    listed_ids = [name for name in ids(source) if name.endswith((".jpg", ".png"))]
    assert listed_ids == ["Jazz/a.jpg", "covers/ab/abcdef.jpg"]
    assert "albo's own reports, left out" in one_note(source, f"{tmp_path / 'reports'}: ")


@posix
def test_symbolic_link_loops_are_reported_and_skipped(tmp_path: Path) -> None:
    home = tmp_path / "music"
    touch(home / "Rock" / "a.jpg")
    (home / "Rock" / "again").symlink_to(home, target_is_directory=True)
    (home / "here").symlink_to(".")
    (home / "itself").symlink_to("itself")
    (home / "itself.jpg").symlink_to("itself.jpg")
    (home / "one").symlink_to("other")
    (home / "other").symlink_to("one")
    (home / "up").symlink_to(tmp_path)
    (home / "top").symlink_to("/")
    source = opened(home)
    assert ids(source) == ["itself.jpg", "Rock/a.jpg"]
    for name, kind in {
        "Rock/again": "link back to",
        "here": "link back to",
        "up": "link back to",
        "top": "link back to",
        "itself": "leads back to itself",
        "one": "leads back to itself",
        "other": "leads back to itself",
    }.items():
        assert kind in one_note(source, f"{home / name}: ")
    assert not source.remarks.failures


@posix
def test_links_are_followed_once_and_after_all_else(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "music", tmp_path / "elsewhere"
    touch(home / "Rock" / "a.jpg", elsewhere / "deep" / "b.jpg")
    (home / "Aaa").symlink_to(home / "Rock")
    (home / "Bbb").symlink_to(elsewhere)
    (home / "Ccc").symlink_to(elsewhere / "deep")
    source = opened(home)
    # The folder itself keeps its name: a link more changes no path that is known.
    assert ids(source) == ["Rock/a.jpg", "Bbb/deep/b.jpg"]
    assert f"the same folder as {home / 'Rock'}" in one_note(source, "Aaa")
    assert f"the same folder as {home / 'Bbb' / 'deep'}" in one_note(source, "Ccc")


@posix
def test_a_linked_image_is_listed_under_its_own_name(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "x")
    (tmp_path / "Jazz").mkdir()
    (tmp_path / "Jazz" / "a.jpg").symlink_to(tmp_path / "store" / "x")
    [entry] = listed(opened(tmp_path / "Jazz"))
    assert entry.album.album_id == "a.jpg"
    assert entry.stamp is not None


@posix
def test_an_unreadable_folder_is_reported_and_what_is_below_is_not_gone() -> None:
    with as_plain_user() as home:
        touch(home / "Jazz" / "a.jpg", home / "Rock" / "b.jpg", home / "Rockabilly" / "c.jpg")
        (home / "Rock").chmod(0)
        source = opened(home)
        assert ids(source) == ["Jazz/a.jpg", "Rockabilly/c.jpg"]
    [failure] = source.remarks.failures
    assert failure.uri == str(home / "Rock")
    assert failure.reason == "cannot be read: Permission denied"
    assert not source.is_gone("Rock/b.jpg")
    assert source.is_gone("Rockabilly/d.jpg")
    assert source.is_gone("Jazz/b.jpg")


@posix
def test_a_source_that_cannot_be_read_loses_nothing() -> None:
    with as_plain_user() as home:
        source = opened(home)
        home.chmod(0)
        assert ids(source) == []
        home.chmod(0o700)
    assert len(source.remarks.failures) == 1
    assert not source.is_gone("a.jpg")


@posix
def test_a_path_too_long_to_open_is_reported(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(18):
            os.mkdir("x" * 250)  # noqa: PTH102  (a path of its own would be too long)
            os.chdir("x" * 250)
    finally:
        os.chdir(before)
    source = opened(tmp_path)
    assert ids(source) == ["a.jpg"]
    [failure] = source.remarks.failures
    assert "too long" in failure.reason


@pytest.mark.whole
@posix
def test_pipes_sockets_and_links_to_nowhere(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "nowhere.jpg").symlink_to("gone.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(tmp_path)  # a socket's path may have a hundred letters
        server.bind("socket")
        os.chdir(before)
        source = opened(tmp_path)
        entries = listed(source)
    # What is named like an image is listed without a stamp: reading it will say what is wrong.
    assert [(e.album.album_id, e.stamp) for e in entries] == [
        ("nowhere.jpg", None), ("pipe.jpg", None),
    ]  # fmt: skip
    assert source.remarks.ignored == 3


@posix
def test_names_that_no_table_can_hold_are_reported(tmp_path: Path) -> None:
    names = (b"caf\xe9.jpg", b"caf\xe9.txt", b"caf\xe9/a.jpg", "caf\u00e9.jpg".encode())
    try:
        touch(*(tmp_path / os.fsdecode(name) for name in names))
    except OSError:
        pytest.skip("this file system has no such names")
    source = opened(tmp_path)
    assert ids(source) == ["caf\u00e9.jpg"]
    assert [f.uri for f in source.remarks.failures] == [
        f"{tmp_path}/caf\\udce9.jpg", f"{tmp_path}/caf\\udce9",
    ]  # fmt: skip
    assert all("not valid UTF-8" in f.reason for f in source.remarks.failures)
    assert source.remarks.ignored == 1
    with pytest.raises(UnknownSource, match=r"caf\\udce9: its name is not valid UTF-8"):
        open_sources([str(tmp_path / os.fsdecode(b"caf\xe9"))])


@posix
def test_names_with_newlines_quotes_and_brackets_are_names(tmp_path: Path) -> None:
    names = ["a\nb.jpg", "'; DROP TABLE albums; --.jpg", "[bold]x[/bold].jpg", " .jpg", "*.jpg"]
    touch(*(tmp_path / name for name in names))
    assert sorted(ids(opened(tmp_path))) == sorted(names)


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    touch(tmp_path / ".hidden.jpg", tmp_path / "._a.jpg", tmp_path / ".git" / "b.jpg")
    touch(tmp_path / "c.jpg")
    source = opened(tmp_path)
    assert ids(source) == ["c.jpg"]
    assert source.remarks.ignored == 3


def test_what_has_no_image_suffix_is_to_be_looked_into(tmp_path: Path) -> None:
    touch(tmp_path / "cover", tmp_path / "song.mp3", tmp_path / "a.jpg")
    entries = listed(opened(tmp_path))
    assert {e.album.album_id: e.sniff for e in entries} == {
        "a.jpg": False, "cover": True, "song.mp3": True,
    }  # fmt: skip


@pytest.mark.parametrize("seconds", [-3, 0, 253_402_300_799])
def test_times_before_1970_and_after_2262_fit(tmp_path: Path, seconds: int) -> None:
    file = tmp_path / "a.jpg"
    touch(file)
    try:
        os.utime(file, (seconds, seconds))
    except (OSError, OverflowError):
        pytest.skip("this file system has no such time")
    [entry] = listed(opened(tmp_path))
    assert entry.stamp is not None
    assert 0 <= entry.stamp.mtime_ns < 1 << 63


def test_an_empty_folder_is_empty(tmp_path: Path) -> None:
    source = opened(tmp_path)
    assert not listed(source)
    assert not source.remarks.notes


# --- what the user wrote -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no-such-folder", "no such file"),
        ("", "no such file"),
        ("a\0b", "null"),
        ("~no-such-user-here/x", "no such file"),
        ("mongodb://host/albums", "not a source that albo reads"),
        ("https://host/cover.jpg", "not a source that albo reads"),
    ],
)
def test_what_is_no_source_is_refused(text: str, says: str) -> None:
    with pytest.raises(UnknownSource, match=says):
        open_sources([text])


@posix
def test_a_link_to_nowhere_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("gone")
    [entry] = listed(opened(tmp_path / "a.jpg"))
    assert entry.stamp is None


def test_files_are_one_source_and_named_twice_count_once(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")))
    a, b, c = (str(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg"))
    again = f"{tmp_path}/./{tmp_path.name}/../b.jpg".replace(f"/{tmp_path.name}/..", "")
    [source] = open_sources([a, b, "-", a], lines=[f"{c}\n", "\n", f"{again}\r\n"])
    assert source.name == FILES
    assert ids(source) == [a, b, c]


def test_a_folder_or_manifest_named_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path / "covers" / "a.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("file\ncovers/a.jpg\n")
    folder = tmp_path / "covers"
    sources = open_sources([str(p) for p in (folder, table, f"{folder}/", folder / ".", table)])
    assert [type(source) for source in sources] == [Folder, Manifest]


def test_standard_input_may_be_empty(tmp_path: Path) -> None:
    [source] = open_sources(["-"])
    assert not listed(source)
    assert isinstance(source, ListedFiles)
    missing = str(tmp_path / "gone.jpg")
    [source] = open_sources(["-"], lines=[missing])
    assert [(e.album.uri, e.stamp) for e in listed(source)] == [(missing, None)]


@posix
def test_a_name_on_standard_input_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    [source] = open_sources(["-"], lines=[os.fsdecode(b"/caf\xe9.jpg"), str(tmp_path / "a.jpg")])
    assert ids(source) == [str(tmp_path / "a.jpg")]
    assert [f.uri for f in source.remarks.failures] == ["/caf\\udce9.jpg"]
    strict = io.TextIOWrapper(io.BytesIO(b"caf\xe9.jpg\n"), encoding="utf-8")
    with pytest.raises(UsageError, match="standard input is not UTF-8"):
        open_sources(["-"], lines=strict)


def test_only_a_file_that_is_not_there_is_gone_from_the_files_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    [source] = open_sources(["-"])
    assert not source.is_gone(str(tmp_path / "a.jpg"))
    assert source.is_gone(str(tmp_path / "b.jpg"))


@posix
def test_what_is_forgotten_may_be_named_by_any_of_its_paths(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    touch(real / "store.jpg")
    link.symlink_to(real)
    (real / "a.jpg").symlink_to("store.jpg")
    names = possible_names(str(link / "a.jpg"))
    assert set(names) == {str(real / "store.jpg"), str(real / "a.jpg"), str(link / "a.jpg")}


# --- manifests: CSV ------------------------------------------------------------------------------


def manifest(folder: Path, content: str | bytes, name: str = "labels.csv") -> Manifest:
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(raw)
    return Manifest(str(folder / name), None)


def test_all_columns_of_a_manifest(tmp_path: Path) -> None:
    source = manifest(
        tmp_path,
        "file,genre,subgenre,artist,artist_id,album,album_id,year,dup_group,more\n"
        "x/a.jpg, Jazz ,Bebop,Monk,m1,Solo,id7,1965-03-01,d1,ignored\n",
    )
    assert [e.album for e in listed(source)] == [
        Album(
            source=str((tmp_path / "labels.csv").resolve()),
            album_id="id7",
            uri=str(tmp_path.resolve() / "x" / "a.jpg"),
            genre="Jazz",
            subgenre="Bebop",
            name="Solo",
            artist="Monk",
            artist_id="m1",
            year=1965,
            dup_group="d1",
        )
    ]


@pytest.mark.parametrize(
    "content",
    [
        "file,genre\na.jpg,Hip-Hop\n",
        "\ufefffile,genre\na.jpg,Hip-Hop\n",
        "file;genre\na.jpg;Hip-Hop\n",
        "file\tgenre\na.jpg\tHip-Hop\n",
        "FILE , Genre\na.jpg,Hip-Hop",
        '"genre","file"\r\n"Hip-Hop","a.jpg"\r\n',
        "file,genre\ra.jpg,Hip-Hop\r",
        "\n\nfile,genre\n\n\na.jpg,Hip-Hop\n,\n  ,  \n\n",
        "file,genre\na.jpg,Hip-Hop,, ,\n",
        "file,genre,other\na.jpg,Hip-Hop\n",
        'file,note,genre\na.jpg,"two\nlines, and ""quotes""",Hip-Hop\n',
    ],
    ids=[
        "plain", "byte order mark", "semicolons", "tabs", "other case", "quoted", "old Mac",
        "blank rows", "blank fields too many", "short row", "newline in a field",
    ],
)  # fmt: skip
def test_csv_in_every_dress(tmp_path: Path, content: str) -> None:
    source = manifest(tmp_path, content)
    assert [(e.album.uri, e.album.genre) for e in listed(source)] == [
        (str(tmp_path.resolve() / "a.jpg"), "Hip-Hop")
    ]
    assert not source.remarks.failures
    assert not source.remarks.notes


def test_tsv_is_a_manifest_too(tmp_path: Path) -> None:
    (tmp_path / "labels.TSV").write_text("file\tgenre\na, b.jpg\tJazz\n")
    assert genres(opened(tmp_path / "labels.TSV")) == {"a, b.jpg": "Jazz"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("path,genre\na.jpg,Jazz\n", r"no column `file` \(its columns: path, genre\)"),
        ("", r"no column `file` \(its columns: none\)"),
        ("\n\n\n", r"no column `file` \(its columns: none\)"),
        ("\0\0\0\0", "no column `file`"),
        ("file,caf\xe9\na.jpg,\n".encode("latin-1"), "not UTF-8 text; save it as UTF-8"),
        ("file,genre\na.jpg,Jazz\n".encode("utf-16"), "not UTF-8 text"),
        ("file," + "x" * 1_100_000 + "\n", "field larger than field limit"),
        ('file,"' + "x\n" * 600_000, "field larger than field limit"),
        ("x" * 17_000_000, "a line of 16,777,216 characters or more"),
    ],
    ids=[
        "missing column", "empty", "blank", "NULs", "Latin-1", "UTF-16", "long field",
        "open quote", "no end of line",
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_at_the_door(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    raw = content.encode() if isinstance(content, str) else content
    (tmp_path / "labels.csv").write_bytes(raw)
    with pytest.raises(UsageError, match=says):
        open_sources([str(tmp_path / "labels.csv")])


def test_a_field_of_a_million_letters_is_read(tmp_path: Path) -> None:
    source = manifest(tmp_path, "file,lyrics\na.jpg," + "x" * 1_000_000 + "\n")
    assert ids(source) == ["a.jpg"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('"b.jpg"x,Jazz', "line 5 is not CSV: ',' expected after '\"'; check its quotes"),
        ("Artist, Album.jpg,Jazz", "line 5 has 3 fields for 2 columns; put quotes around"),
        (b"b.jpg,caf\xe9", "column `genre` is not UTF-8 text; save it as UTF-8"),
        (b"caf\xe9.jpg,Jazz", "column `file` is not UTF-8 text; save it as UTF-8"),
        ("b.jpg," + "x" * 70_000, "column `genre` has 70,000 characters, more than 65,536"),
        ("b.jpg," + "x" * 1_100_000, "line 5 is not CSV: field larger than field limit"),
        ('"b.jpg,Jazz\n' + "x" * 1_100_000, "line 5 is not CSV: field larger than field limit"),
    ],
    ids=[
        "quotes", "unquoted separator", "genre not UTF-8", "file not UTF-8", "long text",
        "long field", "open quote",
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_skipped_and_nothing_is_gone(
    tmp_path: Path, row: str | bytes, says: str
) -> None:
    raw = row.encode() if isinstance(row, str) else row
    source = manifest(tmp_path, b"\nfile,genre\n\na.jpg,Jazz\n" + raw + b"\nc.jpg,Rock\n")
    assert ids(source) == ["a.jpg", "c.jpg"]
    [failure] = source.remarks.failures
    assert failure.uri.endswith("labels.csv, row 2")
    assert failure.reason.startswith(says)
    assert not source.is_gone("b.jpg")  # it may be the one that cannot be read


@pytest.mark.parametrize("end", ['"b.jpg', "x" * (1 << 24)], ids=["open quote", "no end of line"])
def test_what_comes_before_the_end_of_a_broken_manifest_is_listed(tmp_path: Path, end: str) -> None:
    source = manifest(tmp_path, "file\n" + "a.jpg\n" * 5_000 + end)
    assert len(ids(source)) == 5_000
    [failure] = source.remarks.failures
    assert failure.reason.startswith("line 5002 is not CSV")
    assert not source.is_gone("a.jpg")


def test_rows_without_a_usable_file_are_reported(tmp_path: Path) -> None:
    source = manifest(tmp_path, "file,genre\n,Jazz\na\0b.jpg,Jazz\nc.jpg,Jazz\n   ,Rock\n")
    assert ids(source) == ["c.jpg"]
    where = str((tmp_path / "labels.csv").resolve())
    assert [f.uri for f in source.remarks.failures] == [f"{where}, row {n}" for n in (1, 2, 4)]


def test_rows_of_one_file_or_album_are_all_kept(tmp_path: Path) -> None:
    source = manifest(
        tmp_path,
        "file,genre,album_id\na.jpg,Jazz,\na.jpg,Soul,\nb.jpg,Pop,7\nc.jpg,Pop,7\na.jpg#2,Pop,\n"
        "a.jpg,Funk,\n",
    )
    entries = listed(source)
    assert len({e.album.album_id for e in entries}) == 6
    assert [e.album.album_id for e in entries[:4]] == ["a.jpg", "a.jpg#2", "7", "7#2"]
    assert [Path(e.album.uri).name for e in entries] == [
        "a.jpg", "a.jpg", "b.jpg", "c.jpg", "a.jpg#2", "a.jpg",
    ]  # fmt: skip
    assert "4 rows" in one_note(source, "each counts as an album of its own")


def test_files_are_relative_to_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    source = manifest(tmp_path / "lists", f"file\n../a.jpg\n{tmp_path}/b.jpg\n")
    there = [e.album.uri for e in listed(source)]
    assert there == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("2015", 2015), ("2015.0", 2015), ("2015-03-01T00:00:00Z", 2015), ("", None),
        ("nineteen", None), ("20150301", None), ("'99", None), ("n/a", None),
    ],
)  # fmt: skip
def test_years(tmp_path: Path, text: str, year: int | None) -> None:
    [entry] = listed(manifest(tmp_path, f"file,year\na.jpg,{text}\n"))
    assert entry.album.year == year


@posix
def test_a_folder_or_pipe_named_like_a_manifest_is_none(tmp_path: Path) -> None:
    touch(tmp_path / "covers.csv" / "a.jpg")
    assert isinstance(opened(tmp_path / "covers.csv"), Folder)
    os.mkfifo(tmp_path / "pipe.csv")
    [entry] = listed(opened(tmp_path / "pipe.csv"))  # and it does not wait for a writer
    assert entry.stamp is None


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
).filter(lambda text: text.strip() == text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6),
    separator=st.sampled_from(",;\t"),
)
def test_what_a_csv_writer_writes_is_read_back(
    rows: list[tuple[str, str, str]], separator: str
) -> None:
    stream = io.StringIO(newline="")
    table = csv.writer(stream, delimiter=separator)
    table.writerow(["file", "genre", "artist"])
    table.writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        source = manifest(Path(folder), stream.getvalue())
        albums = [entry.album for entry in source.entries()]
    assert [(a.genre, a.artist) for a in albums] == [(genre, artist) for _, genre, artist in rows]


# --- manifests: Parquet --------------------------------------------------------------------------


def written(folder: Path, columns: dict[str, pa.Array], name: str = "labels.parquet") -> Path:
    parquet.write_table(pa.table(columns), folder / name)
    return folder / name


def test_lists_in_parquet_are_one_value_or_refused(tmp_path: Path) -> None:
    columns = {
        "file": pa.array(["a.png", "b.png", "c.png"]),
        "genre": pa.array([["Rock"], [], ["Rock", "Pop"]]),
        "artist": pa.array([["One", "Two"], ["One"], None], pa.list_(pa.string())),
    }
    source = opened(written(tmp_path, columns))
    albums = [entry.album for entry in listed(source)]
    assert [(album.genre, album.artist) for album in albums] == [("Rock", "One, Two"), ("", "One")]
    (failure,) = source.remarks.failures
    assert "column `genre` has 2 values (Rock, Pop); give one for each cover" in failure.reason


def test_a_parquet_manifest(tmp_path: Path) -> None:
    table = written(
        tmp_path,
        {
            "File": pa.array(["a.jpg", "b.jpg", None, "c.jpg"]),
            "genre": pa.array(["Jazz", None, "Rock", ""]).dictionary_encode(),
            "year": pa.array([1965.0, float("nan"), 1.0, None]),
            "album_id": pa.array([7, 8, 9, 10], pa.int64()),
            "dup_group": pa.array([["x"], None, [], ["y"]]),
            "artist": pa.array([b"Monk", b"caf\xc3\xa9", None, b""], pa.binary()),
        },
    )
    source = opened(table)
    assert [(a.album_id, a.genre, a.year, a.artist) for a in (e.album for e in listed(source))] == [
        ("7", "Jazz", 1965, "Monk"), ("8", "", None, "caf\xe9"), ("10", "", None, ""),
    ]  # fmt: skip
    [failure] = source.remarks.failures
    assert failure.uri.endswith("row 3")


def test_only_the_columns_that_albo_knows_are_read(tmp_path: Path) -> None:
    table = written(
        tmp_path,
        {"file": pa.array(["a.jpg"] * 100), "image": pa.array([os.urandom(20_000)] * 100)},
    )
    start = parquet.read_metadata(table).row_group(0).column(1).dictionary_page_offset
    raw = bytearray(table.read_bytes())
    raw[start : start + 5_000] = bytes(5_000)  # in the images: they may be damaged
    table.write_bytes(raw)
    assert len(listed(opened(table))) == 100


@pytest.mark.parametrize("harm", ["cut", "text", "empty", "overwritten"])
def test_damaged_parquet_is_refused_in_one_line(tmp_path: Path, harm: str) -> None:
    table = written(tmp_path, {"file": pa.array([f"{i}.jpg" for i in range(2_000)])})
    raw = table.read_bytes()
    changed = {
        "cut": raw[: len(raw) // 2],
        "text": b"file,genre\na.jpg,Jazz\n",
        "empty": b"",
        "overwritten": raw[:40] + bytes(len(raw) // 2) + raw[40 + len(raw) // 2 :],
    }
    table.write_bytes(changed[harm])
    with pytest.raises(UsageError, match="cannot be read as Parquet") as caught:
        open_sources([str(table)])
    assert "\n" not in str(caught.value)


def test_parquet_that_is_damaged_later_lists_what_comes_before(tmp_path: Path) -> None:
    table = pa.table({"file": [f"{i:06}.jpg" for i in range(20_000)]})
    parquet.write_table(table, tmp_path / "labels.parquet", row_group_size=10_000)
    source = opened(tmp_path / "labels.parquet")
    raw = bytearray((tmp_path / "labels.parquet").read_bytes())
    raw[len(raw) // 2 + 100 : len(raw) // 2 + 5_000] = bytes(4_900)
    (tmp_path / "labels.parquet").write_bytes(raw)
    assert 8_000 < len(ids(source)) < 20_000
    [failure] = source.remarks.failures
    assert failure.uri == source.name
    assert failure.reason.startswith("cannot be read as Parquet: ")
    assert not source.is_gone("000001.jpg")


def test_times_that_python_does_not_know_spoil_no_row(tmp_path: Path) -> None:
    for kind, value, year in (
        (pa.timestamp("us", tz="Foo/Bar"), 10**15, 2001),
        (pa.timestamp("ns"), 10**18 + 1, 2001),
        (pa.timestamp("s", tz="UTC"), 2**40, None),
        (pa.duration("s"), 2**62, None),
        (pa.date32(), 10_000, 1997),
    ):
        columns = {"file": pa.array(["a.jpg"]), "year": pa.array([value], kind)}
        [entry] = listed(opened(written(tmp_path, columns)))
        assert entry.album.year == year


def test_text_that_many_rows_share_is_kept_once(tmp_path: Path) -> None:
    def shared(length: int) -> Source:
        genre = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), ["x" * length])
        columns = {"file": pa.array([f"{i}.jpg" for i in range(2_000)]), "genre": genre}
        return opened(written(tmp_path, columns))

    entries = listed(shared(65_536))
    assert len({id(entry.album.genre) for entry in entries}) == 1
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    try:
        source = shared(1_000_000)
        assert not listed(source)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert pa.default_memory_pool().max_memory() < before + 50_000_000
    assert len(source.remarks.failures) == 2_000
    assert "has 1,000,000 characters, more than 65,536" in source.remarks.failures[0].reason


def test_parquet_without_a_file_column(tmp_path: Path) -> None:
    table = written(tmp_path, {"path": pa.array(["a.jpg"])})
    with pytest.raises(UsageError, match="no column `file`"):
        open_sources([str(table)])


@pytest.mark.parametrize("kind", [pa.binary(), pa.string(), pa.large_string()])
def test_a_row_of_parquet_that_is_not_utf8_is_skipped(tmp_path: Path, kind: pa.DataType) -> None:
    files = pa.array([b"caf\xe9.jpg", b"caf\xc3\xa9.jpg"], pa.large_binary())
    offset = pa.large_binary() if kind == pa.large_string() else pa.binary()
    source = opened(written(tmp_path, {"file": files.cast(offset).view(kind)}))
    assert ids(source) == ["caf\xe9.jpg"]
    assert [f.reason for f in source.remarks.failures] == [
        "column `file` is not UTF-8 text; save it as UTF-8"
    ]


@pytest.mark.parametrize("header", ["file,genre,genre", "file,Genre , genre"])
def test_a_column_given_twice_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "labels.csv").write_text(f"{header}\na.jpg,Jazz,Rock\n")
    with pytest.raises(UsageError, match="has the column `genre` more than once; keep one"):
        opened(tmp_path / "labels.csv")


def test_columns_that_albo_does_not_know_may_come_twice(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,note,note\na.jpg,x,y\n")
    assert ids(opened(tmp_path / "labels.csv")) == ["a.jpg"]


@pytest.mark.parametrize("address", ["http://example.org/a.jpg", "https://x/a.png", "s3://b/a.jpg"])
def test_a_row_with_a_url_is_skipped_with_the_reason(tmp_path: Path, address: str) -> None:
    (tmp_path / "labels.csv").write_text(f"file\n{address}\na.jpg\n")
    source = opened(tmp_path / "labels.csv")
    assert ids(source) == ["a.jpg"]
    (failure,) = source.remarks.failures
    assert failure.uri.endswith("labels.csv, row 1")
    assert failure.reason.startswith(f"{address} is a URL; albo reads files only")
