"""Files that users name to be written: none of theirs is lost, and none is refused in vain."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from albo.errors import UsageError
from albo.show import save_sheet
from albo.show.sheet import draw_grid
from albo.store import MARK, PAGES, PICTURES, check_output

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


@posix
def test_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "page.html"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is a device or a pipe; name a file with --html"):
        check_output(pipe, PAGES, "--html")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@posix
def test_neither_is_a_link_to_one_nor_a_link(tmp_path: Path) -> None:
    link = tmp_path / "null.html"
    link.symlink_to("/dev/null")
    with pytest.raises(UsageError, match="device or a pipe"):
        check_output(link, PAGES, "--html")
    page = tmp_path / "page.html"
    other = tmp_path / "other.html"
    other.symlink_to(page)
    assert check_output(other, PAGES, "--html") == page.resolve()
    page.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="did not make"):
        check_output(other, PAGES, "--html")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_a_sheet_may_take_the_place_of_a_sheet(tmp_path: Path, suffix: str) -> None:
    place = tmp_path / f"sheet{suffix}"
    assert check_output(place, PICTURES, "--sheet") == place.resolve()
    save_sheet(draw_grid([], "nothing"), place)
    assert check_output(place, PICTURES, "--sheet") == place.resolve()


def test_a_cover_is_never_replaced(tmp_path: Path) -> None:
    for name in ("cover.jpg", "cover.png"):
        cover = tmp_path / name
        Image.new("RGB", (9, 9), "red").save(cover)
        before = cover.read_bytes()
        with pytest.raises(UsageError, match=r"cover\.\w+ is a file that albo did not make; name"):
            check_output(cover, PICTURES, "--explain")
        with pytest.raises(UsageError, match="would be no page; give it a name"):
            check_output(cover, PAGES, "--html")
        assert cover.read_bytes() == before


def test_an_empty_file_and_a_page_of_ours_may_be_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.htm"
    for content in ("", f'<!DOCTYPE html><meta name="generator" content="{MARK}">'):
        page.write_text(content, encoding="utf-8")
        assert check_output(page, PAGES, "--html") == page.resolve()


def test_where_nothing_can_be_written_it_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for place in (tmp_path / "file" / "page.html", tmp_path):
        with pytest.raises(UsageError, match=r"cannot be written|is a folder; name a file in it"):
            check_output(place, PAGES, "--html")
    deep = tmp_path / "a" / "b" / "page.html"
    assert check_output(deep, PAGES, "--html") == deep.resolve()
