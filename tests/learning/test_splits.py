"""Splits drawn by others: every way to write one down, and what of it is refused."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from albo.errors import UsageError
from albo.learning import PUBLISHED, read_split, sides_of
from albo.records import Album
from albo.sources import open_sources

if TYPE_CHECKING:
    from pathlib import Path

    from albo.records import Digest

HEX = ["ab" * 32, "CD" * 32]


def digest_of(number: int) -> Digest:
    return hashlib.sha256(str(number).encode()).digest()


def read_one(*given: Path | tuple[str, ...]) -> dict[str, Any]:
    """Read a split that puts every cover on one side."""
    return {name: side for name, (side,) in read_split(*given).items()}


def write(folder: Path, text: str, name: str = "split.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("column", ["digest", "sha256", "Digest "])
def test_covers_are_named_by_digest(tmp_path: Path, column: str) -> None:
    found = read_one(write(tmp_path, f"{column},split\n{HEX[0]},train\n{HEX[1]},TEST\n"))
    assert found == {HEX[0]: "train", HEX[1].lower(): "test"}


def test_covers_are_named_by_files_beside_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    rows = "a.jpg,train\n./b c.jpg,Training\n../d.jpg,test\n/abs/é.jpg,test\n"
    found = read_one(write(folder, f"file,split\n{rows}"))
    assert found == {
        str(folder / "a.jpg"): "train",
        str(folder / "b c.jpg"): "train",
        str(tmp_path / "d.jpg"): "test",
        "/abs/é.jpg": "test",
    }


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX links")
def test_a_table_behind_a_link_names_the_files_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real", "file,split\na.jpg,train\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    found = read_one(tmp_path / "link" / "split.csv")
    assert found == {str((tmp_path / "real").resolve() / "a.jpg"): "train"}


def test_both_columns_may_name_a_cover_and_each_may_be_blank(tmp_path: Path) -> None:
    rows = f"a.jpg,{HEX[0]},train\n,{HEX[1]},test\nb.jpg,,test\n,,train\n"
    assert read_one(write(tmp_path, f"file,digest,split\n{rows}")) == {
        str(tmp_path / "a.jpg"): "train", HEX[0]: "train",
        HEX[1].lower(): "test", str(tmp_path / "b.jpg"): "test",
    }  # fmt: skip


@pytest.mark.parametrize("column", ["fold", "split", "FOLD"])
def test_folds_are_numbers(tmp_path: Path, column: str) -> None:
    rows = "a,0\nb,1\nc,12\nd,\n"
    found = read_one(write(tmp_path, f"file,{column}\n{rows}"))
    assert sorted(found.values(), key=str) == [0, 1, 12]


def test_rows_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    found = read_one(write(tmp_path, "file,split\na,train\nb,\nc,  \n"))
    assert found == {str(tmp_path / "a"): "train"}


def test_the_first_column_that_is_there_says_it(tmp_path: Path) -> None:
    table = write(tmp_path, "file,published_split,split,fold\na,test,train,3\n")
    assert list(read_one(table).values()) == ["train"]
    assert list(read_one(table, PUBLISHED).values()) == ["test"]
    alone = write(tmp_path, "file,published_split\na,test\n", "alone.csv")
    assert list(read_one(alone).values()) == ["test"]


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    table = pa.table({"file": ["a", "b", None], "split": ["train", None, "test"]})
    parquet.write_table(table, tmp_path / "split.parquet")
    assert read_one(tmp_path / "split.parquet") == {str(tmp_path / "a"): "train"}
    numbers = pa.table({"digest": HEX, "fold": pa.array([0, 3], pa.int8()), "x": [b"\xff", b""]})
    parquet.write_table(numbers, tmp_path / "folds.PARQUET")
    assert read_one(tmp_path / "folds.PARQUET") == {HEX[0]: 0, HEX[1].lower(): 3}


@pytest.mark.parametrize(
    "word", ["validation", "-1", "1.5", "1000000", "9" * 400, "²", "tes\u202et"]
)
def test_words_that_are_no_side_are_named_with_their_row(tmp_path: Path, word: str) -> None:
    table = write(tmp_path, f"file,split\na,train\nb,test\nc,x{word}\nd,train\n")
    with pytest.raises(
        UsageError, match=r"split.csv, row 3: .* is neither train, test nor the num"
    ):
        read_split(table)
    table.write_text(f"file,split\na,{word}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"row 1: .* is neither") as refused:
        read_split(table)
    assert len(str(refused.value)) < len(str(table)) + 150


@pytest.mark.parametrize(
    "text",
    [
        "file,genre\na,Jazz\n",
        "split\ntrain\n",
        "name,split\na,train\n",
        "a\n",
        "x,y,z\n1,2,3\n",
    ],
)
def test_missing_columns_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"a split has `digest` or `file`, and `split`"):
        read_split(write(tmp_path, text))
    with pytest.raises(UsageError, match="and `published_split`"):
        read_split(write(tmp_path, "file,split\na,train\n"), PUBLISHED)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("surplus.csv", b"file,split\na,train\nb,test,more\n"),
        ("quotes.csv", b'file,split\na,train\n"b,test\n'),
        ("empty.csv", b""),
        ("zeros.csv", bytes(100)),
        ("picture.csv", b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4),
        ("latin.csv", b"file,split\n\xe9\xe8\xfa,train\n"),
        ("broken.parquet", b"PAR1 and no more"),
        ("csv.parquet", b"file,split\na,train\n"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_split(tmp_path / name)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["covers.csv", "covers.tsv"])
def test_a_manifest_that_embeds_is_a_split(tmp_path: Path, separator: str, name: str) -> None:
    rows = (
        ("file", "genre", "artist", "Published_Split"),
        ("a.jpg", "Jazz", "Simone, Nina", "train"),
        ("b.jpg", "Rock", "", "test"),
        ("c.jpg", "Rock"),
        ("d.jpg", "Rock", "x", "train", "surplus"),  # embedding leaves it out as well
    )
    text = "\n\n" + "\n".join(
        separator.join(f'"{v}"' if separator in v else v for v in r) for r in rows
    )
    table = write(tmp_path, text, name)
    [source] = open_sources([str(table)])
    files = [entry.album.uri for entry in source.entries()]
    assert files == [str(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    assert read_one(table, PUBLISHED) == {files[0]: "train", files[1]: "test"}
    assert read_one(table) == read_one(table, PUBLISHED)


def test_a_row_that_cannot_be_read_fails_a_split(tmp_path: Path) -> None:
    table = write(tmp_path, "file;split\na;train\nb;test;more\n")
    with pytest.raises(UsageError, match=r"split.csv, row 2: line 3 has 3 fields for 2 columns"):
        read_split(table)


def test_a_side_column_is_there_once(tmp_path: Path) -> None:
    table = write(tmp_path, "file,split,Split,genre,genre\na,train,test,x,y\n")
    with pytest.raises(UsageError, match="has the column `split` more than once; keep one"):
        read_split(table)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(
            UsageError, match=r"(cannot be read: .*|is no file); give grouped, random, published"
        ):
            read_split(path)


def test_every_side_of_a_cover_is_kept(tmp_path: Path) -> None:
    rows = "a,train\n./a,train\na,test\nb,3\n"
    assert read_split(write(tmp_path, f"file,split\n{rows}")) == {
        str(tmp_path / "a"): {"train", "test"},
        str(tmp_path / "b"): {3},
    }
    table = write(tmp_path, f"digest,split\n{HEX[0]},train\n{HEX[0].upper()},test\n")
    assert read_split(table) == {HEX[0]: {"train", "test"}}


# --- of which covers -----------------------------------------------------------------------------


def album(number: int, digest: int | None, uri: str) -> Album:
    known = None if digest is None else digest_of(digest)
    return Album("test", str(number), uri, digest=known)


def test_sides_are_those_of_digests_and_files() -> None:
    albums = [album(1, 1, "/a"), album(2, 2, "/b"), album(3, 3, "/c"), album(4, None, "/d")]
    sides = {digest_of(1).hex(): {"train"}, "/b": {"test"}, "/d": {"train"}, "/e": {"test"}}
    assert sides_of(albums, sides) == ({digest_of(1): "train", digest_of(2): "test"}, 0)
    assert sides_of(albums, {"/z": {"test"}}) == ({}, 0)
    assert sides_of([], sides) == ({}, 0)


def test_a_cover_on_two_sides_is_on_none_and_counted() -> None:
    twice = [album(1, 1, "/a"), album(2, 1, "/b")]
    assert sides_of(twice, {"/a": {0}, "/b": {0}}) == ({digest_of(1): 0}, 0)
    assert sides_of(twice, {"/b": {0}}) == ({digest_of(1): 0}, 0)
    assert sides_of(twice, {"/a": {0}, "/b": {1}}) == ({}, 1)
    assert sides_of(twice, {digest_of(1).hex(): {"train"}, "/a": {"test"}}) == ({}, 1)
    assert sides_of(twice[:1], {"/a": {"train", "test"}}) == ({}, 1)


def test_names_that_look_like_numbers_are_names(tmp_path: Path) -> None:
    found = read_one(write(tmp_path, "file,split\n007,train\n1e3,test\n"))
    assert found == {str(tmp_path / "007"): "train", str(tmp_path / "1e3"): "test"}
