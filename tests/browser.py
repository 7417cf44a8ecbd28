"""Reads pages: as elements and text, and as a browser lays them out and prints them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "img", "br", "link", "input", "hr", "base"}


class Reader(HTMLParser):
    """Collects elements and text; fails where an element is closed that is not open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> with nothing open"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


WRAPPER = """<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0">
<iframe width="{width}" height="900" style="border: 0" srcdoc="{page}"></iframe>
<script>onload = () => {{
  const measured = ((page) => {{ {script} }})(document.querySelector("iframe").contentDocument);
  document.body.replaceChildren(`measured ${{JSON.stringify(measured)}} so`);
}}</script>"""
# A window of a browser cannot be as narrow as a phone; a frame in it can.


def measure(page: str, width: int, script: str, folder: Path) -> Any:  # noqa: ANN401
    """Lay a page out at a width, and return what a script makes of it, its `page`; else skip."""
    file = folder / "wrapper.html"
    file.write_text(WRAPPER.format(width=width, page=escape(page), script=script), encoding="utf-8")
    done = _browse(folder, "--dump-dom", file.as_uri())
    found = re.search(r"measured (.*) so", done.stdout, re.DOTALL)
    assert found, done.stderr[-500:]
    return json.loads(unescape(found[1]))


def count_printed(page: str, folder: Path) -> int:
    """Print a page, and return on how many sheets; else skip."""
    file, printed = folder / "printed.html", folder / "printed.pdf"
    file.write_text(page, encoding="utf-8")
    done = _browse(folder, f"--print-to-pdf={printed}", file.as_uri())
    assert printed.is_file(), done.stderr[-500:]
    return len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))


def _browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on the path; install Debian's package chromium")
    profile = f"--user-data-dir={folder / 'profile'}"
    return subprocess.run(  # noqa: S603
        [browser, "--headless", "--no-sandbox", "--disable-gpu", profile, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
