"""Servers that tests talk to over the wire: processes of their own on free loopback ports."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PATIENCE_SECONDS = 60

S3_ENV = {
    "AWS_ACCESS_KEY_ID": "AKIAALBOTESTS",
    "AWS_SECRET_ACCESS_KEY": "albo-tests-secret",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The environment for a server that takes any credentials, and nothing of the machine's own."""


def _without_aws(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith("AWS_")}


def use_only(env: Mapping[str, str], patch: pytest.MonkeyPatch) -> None:
    """Make this all that boto3 finds in the environment."""
    for name in os.environ.keys() - _without_aws(os.environ):
        patch.delenv(name)
    for name, value in env.items():
        patch.setenv(name, value)


@dataclass(frozen=True)
class S3:
    """An S3 server with a bucket to write to; `env` is for processes that shall talk to it."""

    endpoint: str
    bucket: str
    env: dict[str, str]


@contextmanager
def running_s3() -> Iterator[str]:
    """Give the endpoint of an S3 server that begins empty and is killed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        # A log in a file never fills up, as a pipe that nobody reads would.
        log = Path(folder) / "log"
        with log.open("wb") as file:
            server = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
                stdout=file,
                stderr=file,
                env={**_without_aws(os.environ), **S3_ENV},
            )
        try:
            yield _wait_for_address(server, log)
        finally:
            server.kill()
            server.wait()


def _wait_for_address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Read the port that the system chose from the log, and wait until it answers."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(errors="replace"))
        if found is not None:
            with urlopen(f"{found[0]}/moto-api/", timeout=PATIENCE_SECONDS):  # noqa: S310
                return found[0]
        time.sleep(0.05)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text(errors='replace')}")


def make_bucket(endpoint: str, name: str, env: Mapping[str, str] = S3_ENV) -> None:
    """Make a bucket, with the credentials of an environment."""
    from boto3.session import Session

    with pytest.MonkeyPatch.context() as patch:
        use_only(env, patch)
        client = Session().client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket=name)


@dataclass
class Request:
    """What a client asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What a server shall say; `length` is what it claims, `body` what comes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    @classmethod
    def refusal(cls, status: int, code: str, message: str = "") -> Answer:
        """Answer as S3 servers refuse."""
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return cls(status, text.encode(), {"Content-Type": "application/xml"})


@dataclass
class Scripted:
    """A server that says what it is told: the answers in turn, the last one for ever."""

    endpoint: str
    answers: list[Answer]
    requests: list[Request] = field(default_factory=list)


@contextmanager
def scripted(*answers: Answer) -> Iterator[Scripted]:
    """Run a server that gives these answers, for what real servers say too rarely."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.requests.append(
                Request(
                    self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body
                )
            )
            said = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            claimed = len(said.body) if said.length is None else said.length
            self.send_header("Content-Length", str(claimed))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)
            self.close_connection = claimed != len(said.body)

        do_GET = do_HEAD = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        script = Scripted(f"http://127.0.0.1:{server.server_port}", list(answers))
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


# --- MongoDB -------------------------------------------------------------------------------------


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
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and server.process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"no MongoDB server: {output.read_text(errors='replace')[-2_000:]}")


# --- S3, in a mood -------------------------------------------------------------------------------


@contextmanager
def moody(endpoint: str, refuses: Callable[[str, str], bool]) -> Iterator[str]:
    """Give the endpoint of a server that passes all on to another, but what it refuses.

    refuses : told the method and the path of each request.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if refuses(self.command, self.path):
                said = Answer.refusal(403, "AccessDenied")
                self.say(said.status, said.headers, said.body)
                return
            line = HTTPConnection(endpoint.removeprefix("http://"), timeout=PATIENCE_SECONDS)
            with closing(line):
                line.request(self.command, self.path, body, dict(self.headers))
                answer = line.getresponse()
                self.say(answer.status, dict(answer.getheaders()), answer.read())

        def say(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            length = headers.get("Content-Length", str(len(body)))
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on  # noqa: N815  (http.server's)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
