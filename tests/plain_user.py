"""A user to whom modes of files mean something: to root they mean nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65_534


@contextmanager
def as_plain_user() -> Iterator[Path]:
    """Give a folder of a user without privileges, as whom the block is run where we are root."""
    folder = Path(tempfile.mkdtemp(prefix="albo-plain-user-")).resolve()
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)
        for below, folders, _ in os.walk(folder):
            for name in folders:
                Path(below, name).chmod(0o700)
        shutil.rmtree(folder)
