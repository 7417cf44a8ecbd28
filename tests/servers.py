"""Servers that tests talk to over the wire, as processes of their own on the loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MONGODB_SECONDS = 60.0


@dataclass(frozen=True)
class MongoServer:
    """A server that speaks MongoDB's protocol: its address, and its process."""

    uri: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it without a word, as a power cut does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def mongodb_server(folder: Path) -> Iterator[MongoServer]:
    """Start a server that keeps its databases in the folder; it is killed in the end."""
    port = _port_nobody_has()
    command = [
        str(Path(sys.executable).parent / "nx-27017"), "--data-dir", str(folder / "databases"),
        "--host", "127.0.0.1", "--port", str(port), "--log-file", str(folder / "log"),
        "--pid-file", str(folder / "pid"),
    ]  # fmt: skip
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603
        server = MongoServer(f"mongodb://127.0.0.1:{port}", process)
        try:
            _wait_for_mongodb(server, port, folder / "output")
            yield server
        finally:
            server.kill()


def _port_nobody_has() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_mongodb(server: MongoServer, port: int, output: Path) -> None:
    until = time.monotonic() + _MONGODB_SECONDS
    while time.monotonic() < until and server.process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"no MongoDB server: {output.read_text(errors='replace')[-2_000:]}")
