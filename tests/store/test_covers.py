"""Stores of covers, over the wire where they are: what comes back is what was put, or an error."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from albo.errors import AlboError, BadCover, CannotWrite, UsageError
from albo.limits import Limits, digest_of
from albo.store import CoverStore, StoredCovers, is_remote, open_covers, s3_covers
from albo.store import s3 as s3_room
from albo.store.folder_covers import FolderCovers
from albo.store.s3_covers import S3Covers
from tests.plain_user import as_plain_user
from tests.servers import S3, S3_ENV, Answer, running_s3, scripted, use_only

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits()
JPEG = "image/jpeg"
SECRET = "S3cr3tMarker"  # noqa: S105
COVER = b"\xff\xd8 a cover"
DIGEST = digest_of(COVER)


def covers_like(count: int) -> dict[bytes, bytes]:
    """Bytes by digest."""
    made = [f"cover {number}".encode() * 100 for number in range(count)]
    return {digest_of(data): data for data in made}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that are nobody's, and nothing of the machine's own configuration."""
    use_only(S3_ENV, monkeypatch)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask servers once, so that no test waits for the fifth time."""
    monkeypatch.setattr(s3_room, "ATTEMPTS", 1)


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of this test's own on the server, with the environment for it."""
    use_only(s3.env, monkeypatch)
    return f"s3://{s3.bucket}/{uuid4().hex}/covers"


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.whole)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str | None]:
    """A URI and an endpoint: every test with this holds for both stores."""
    if request.param == "folder":
        return str(tmp_path / "covers"), None
    return request.getfixturevalue("bucket"), request.getfixturevalue("s3").endpoint


@pytest.fixture
def store(place: tuple[str, str | None]) -> CoverStore:
    return open_covers(place[0], endpoint=place[1])


@pytest.fixture
def reader(place: tuple[str, str | None]) -> StoredCovers:
    return StoredCovers(place[1])


def client_of(s3: S3) -> Any:  # noqa: ANN401
    """Another hand on the server."""
    return s3_room.S3Connection(s3.endpoint).client


def key_of(uri: str) -> dict[str, str]:
    _, _, bucket, key = uri.split("/", 3)
    return {"Bucket": bucket, "Key": key}


def overwrite(uri: str, data: bytes, s3: S3) -> None:
    """Put other bytes where a cover is, as no albo does."""
    if is_remote(uri):
        client_of(s3).put_object(**key_of(uri), Body=data)
    else:
        Path(uri).write_bytes(data)


def remove(uri: str, s3: S3) -> None:
    if is_remote(uri):
        client_of(s3).delete_object(**key_of(uri))
    else:
        Path(uri).unlink()


# --- both stores ---------------------------------------------------------------------------------


def test_what_is_put_is_found_listed_and_read(store: CoverStore, reader: StoredCovers) -> None:
    store.check()
    assert list(store.digests()) == []
    assert store.find(DIGEST) is None
    uri = store.put(DIGEST, COVER, JPEG)
    assert uri.startswith(f"{store.place}/")
    assert store.find(DIGEST) == uri
    assert list(store.digests()) == [DIGEST]
    assert reader.read(uri, DIGEST, LIMITS) == COVER
    assert reader.read(uri, None, LIMITS) == COVER


def test_a_check_leaves_nothing(store: CoverStore, s3: S3, tmp_path: Path) -> None:
    store.check()
    if isinstance(store, FolderCovers):
        assert list((tmp_path / "covers").iterdir()) == []
    else:
        bucket, prefix = store.place.removeprefix("s3://").split("/", 1)
        assert "Contents" not in client_of(s3).list_objects_v2(Bucket=bucket, Prefix=prefix)


def test_a_digest_of_other_bytes_is_refused(store: CoverStore) -> None:
    with pytest.raises(ValueError, match=f"{DIGEST.hex()} is not the digest of these 5 bytes"):
        store.put(DIGEST, b"other", JPEG)
    assert store.find(DIGEST) is None


@pytest.mark.parametrize("other", [b"", COVER[:-1], COVER[::-1]])
def test_a_damaged_cover_is_named_and_put_again(
    store: CoverStore, reader: StoredCovers, s3: S3, other: bytes
) -> None:
    uri = store.put(DIGEST, COVER, JPEG)
    overwrite(uri, other, s3)
    with pytest.raises(BadCover, match=r"damaged.*`albo harvest`|empty file .*fetch it again"):
        reader.read(uri, DIGEST, LIMITS)
    assert (store.find(DIGEST) is None) == (not other)
    assert (list(store.digests()) == []) == (not other)
    assert store.put(DIGEST, COVER, JPEG) == uri
    assert reader.read(uri, DIGEST, LIMITS) == COVER


def test_a_missing_cover_is_named(store: CoverStore, reader: StoredCovers, s3: S3) -> None:
    uri = store.put(DIGEST, COVER, JPEG)
    remove(uri, s3)
    with pytest.raises(BadCover, match="not in the store any more; `albo harvest` fetches it"):
        reader.read(uri, DIGEST, LIMITS)
    assert store.find(DIGEST) is None


def test_nothing_is_read_beyond_the_limit(store: CoverStore, reader: StoredCovers) -> None:
    uri = store.put(DIGEST, COVER, JPEG)
    assert reader.read(uri, DIGEST, Limits(max_bytes=len(COVER))) == COVER
    with pytest.raises(BadCover, match=f"{len(COVER)} bytes is over the limit of 3"):
        reader.read(uri, DIGEST, Limits(max_bytes=3))


def test_threads_put_at_once(store: CoverStore, reader: StoredCovers) -> None:
    made = covers_like(40)
    with ThreadPoolExecutor(8) as pool:  # every cover three times, once beside itself
        jobs = [*made.items()] + [pair for pair in made.items() for _ in range(2)]
        uris = list(pool.map(lambda job: store.put(*job, JPEG), jobs))
        assert len(set(uris)) == len(made)
        found = list(pool.map(store.find, made))
        assert found == uris[: len(made)]
        read = list(
            pool.map(
                lambda pair: reader.read(pair[0], pair[1], LIMITS), zip(uris, made, strict=False)
            )
        )
    assert read == list(made.values())
    assert list(store.digests()) == sorted(made)


def test_one_client_serves_all_threads(
    s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = open_covers(bucket, endpoint=s3.endpoint).put(DIGEST, COVER, JPEG)
    made = []
    make = s3_room.S3Connection._make_client

    def count(connection: s3_room.S3Connection) -> object:
        made.append(connection)
        return make(connection)

    monkeypatch.setattr(s3_room.S3Connection, "_make_client", count)
    reader = StoredCovers(s3.endpoint)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: reader.read(uri, DIGEST, LIMITS), range(16)))
    assert read == [COVER] * 16
    assert len(made) == 1


# --- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        (JPEG, "jpg"), ("image/png", "png"), ("image/webp", "webp"), ("image/gif", "gif"),
        ("image/bmp", "bmp"), ("image/tiff", "tif"), ("IMAGE/JPEG; charset=binary", "jpg"),
        ("text/html", "img"), ("../../etc", "img"), ("", "img"),
    ],
)  # fmt: skip
def test_a_file_is_named_by_digest_and_kind(tmp_path: Path, kind: str, suffix: str) -> None:
    uri = FolderCovers(tmp_path).put(DIGEST, COVER, kind)
    name = DIGEST.hex()
    assert uri == str(tmp_path / name[:2] / name[2:4] / f"{name}.{suffix}")
    assert Path(uri).read_bytes() == COVER


def test_a_cover_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    store = FolderCovers(tmp_path)
    uri = store.put(DIGEST, COVER, JPEG)
    before = Path(uri).stat()
    assert store.put(DIGEST, COVER, "image/png") == uri
    after = Path(uri).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_folder_is_shown_as_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_covers("covers").place == str(tmp_path / "covers")
    assert list(open_covers("covers").digests()) == []
    assert not Path("covers").exists()


def test_foreign_names_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    store = FolderCovers(tmp_path)
    uri = Path(store.put(DIGEST, COVER, JPEG))
    name = DIGEST.hex()
    other = "00" * 32
    for foreign in [
        f"{other}.jpg", f"{name}.exe", f"{name}", f"{name.upper()}.jpg", f"{name}.jpg\n",
        f".{name}.1.00000000.tmp", "\udcff.jpg", f"{name}.jpg.jpg",
    ]:  # fmt: skip
        (uri.parent / foreign).write_bytes(b"x")
    (uri.parent / f"{name}.png").mkdir()
    (uri.parent / f"{name}.gif").symlink_to("/nowhere")
    (tmp_path / "ab").touch()
    (tmp_path / "zz").mkdir()
    (tmp_path / f"{other}.jpg").write_bytes(b"x")
    assert list(store.digests()) == [DIGEST]
    assert store.find(DIGEST) == str(uri)
    assert store.find(bytes.fromhex("ab" * 32)) is None


def test_leftovers_of_killed_runs_are_swept_after_a_day(tmp_path: Path) -> None:
    store = FolderCovers(tmp_path)
    old, new, foreign = (
        tmp_path / name
        for name in (f".{'0' * 64}.1.00000000.tmp", f".{'0' * 64}.1.00000001.tmp", "notes.tmp")
    )
    for path in (old, new, foreign):
        path.touch()
    for path in (old, foreign):
        os.utime(path, (time.time() - 90_000,) * 2)
    store.check()
    assert sorted(tmp_path.iterdir()) == sorted([new, foreign])


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CannotWrite, match=r"file is not a folder; name another place"):
            FolderCovers(place).check()
        with pytest.raises(CannotWrite, match=r"cannot write .*; mend that or name another"):
            FolderCovers(place).put(DIGEST, COVER, JPEG)


def test_a_closed_folder_is_named() -> None:
    with as_plain_user() as folder:
        store = FolderCovers(folder)
        uri = Path(store.put(DIGEST, COVER, JPEG))
        folder.chmod(0o500)
        with pytest.raises(CannotWrite, match="may not be written to; change its permissions or"):
            store.check()
        with pytest.raises(CannotWrite, match="may not be written to"):
            store.put(digest_of(b"other"), b"other", JPEG)
        folder.chmod(0)
        with pytest.raises(CannotWrite, match="may not be written to"):
            FolderCovers(folder / "below").check()
        folder.chmod(0o700)
        uri.parent.chmod(0)
        with pytest.raises(AlboError, match=r"cannot read the covers in .*: Permission denied"):
            store.find(DIGEST)
        with pytest.raises(AlboError, match=r"cannot read the covers in .*: Permission denied"):
            list(store.digests())


@contextmanager
def tiny_disk(folder: Path) -> Iterator[None]:
    """A file system of 64 KiB."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, check=False)  # noqa: S603
    except FileNotFoundError:
        pytest.skip("there is no mount program")
    if done.returncode:
        pytest.skip("a disk of one's own takes root's rights")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607


@pytest.mark.whole
def test_a_full_disk_is_named_and_nothing_stays(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk"):
        store = FolderCovers(tmp_path / "disk")
        store.check()
        store.put(DIGEST, COVER, JPEG)
        large = bytes(100_000)
        with pytest.raises(CannotWrite, match="the disk is full; free some space and run it"):
            store.put(digest_of(large), large, JPEG)
        files = [path for path in (tmp_path / "disk").rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in files] == [COVER]
        assert list(store.digests()) == [DIGEST]


def test_other_files_are_read_as_ever(tmp_path: Path) -> None:
    with pytest.raises(BadCover, match="no such file: it was moved"):
        StoredCovers().read(str(tmp_path / "x.jpg"), None, LIMITS)
    with pytest.raises(BadCover, match="a folder, not an image file"):
        StoredCovers().read(str(tmp_path), DIGEST, LIMITS)


@pytest.mark.whole
def test_folders_load_no_boto3(tmp_path: Path) -> None:
    script = (
        "import sys; from albo.store.covers import *; from albo.limits import Limits, digest_of\n"
        "store = open_covers(sys.argv[1]); store.check()\n"
        "uri = store.put(digest_of(b'x'), b'x', 'image/png')\n"
        "StoredCovers().read(uri, *store.digests(), Limits())\n"
        "open_covers('s3://bucket/prefix')\n"
        "assert not {'boto3', 'botocore', 'urllib3'}.intersection(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)  # noqa: S603


# --- buckets -------------------------------------------------------------------------------------


def test_an_object_has_its_kind_and_no_other_name(bucket: str, s3: S3) -> None:
    store = open_covers(bucket, endpoint=s3.endpoint)
    uri = store.put(DIGEST, COVER, "image/jpeg; q=1")
    assert uri == f"{bucket}/{DIGEST.hex()}"
    assert client_of(s3).head_object(**key_of(uri))["ContentType"] == "image/jpeg"
    uri = store.put(digest_of(b"x"), b"x", "text/html\r\nX-Evil: 1")
    assert client_of(s3).head_object(**key_of(uri))["ContentType"] == "application/octet-stream"


def test_an_object_that_is_there_is_not_written_again(bucket: str, s3: S3) -> None:
    store = open_covers(bucket, endpoint=s3.endpoint)
    uri = store.put(DIGEST, COVER, JPEG)
    assert store.put(DIGEST, COVER, "image/png") == uri
    assert client_of(s3).head_object(**key_of(uri))["ContentType"] == JPEG


def test_listings_have_pages(bucket: str, s3: S3) -> None:
    name, prefix = bucket.removeprefix("s3://").split("/", 1)
    store = S3Covers(name, prefix, s3.endpoint, page_size=3)
    made = covers_like(10)
    for digest, data in made.items():
        store.put(digest, data, JPEG)
    assert list(store.digests()) == sorted(made)


def test_foreign_names_in_a_bucket_are_passed_over(bucket: str, s3: S3) -> None:
    store = open_covers(bucket, endpoint=s3.endpoint)
    uri = store.put(DIGEST, COVER, JPEG)
    other = "00" * 32
    for foreign in [
        f"x/{other}", f"{other}.jpg", other.replace("0", "A"), "a&b <c>", "",
    ]:  # fmt: skip
        place = key_of(f"{bucket}/{foreign}")
        client_of(s3).put_object(**place, Body=b"x")
    client_of(s3).put_object(**key_of(f"{bucket}-2/{other}"), Body=b"x")
    assert list(store.digests()) == [DIGEST]
    assert store.find(DIGEST) == uri


def test_a_bucket_needs_no_prefix(s3: S3, bucket: str) -> None:  # noqa: ARG001
    if "ALBO_TEST_S3_BUCKET" in os.environ:
        pytest.skip("makes a bucket of its own")
    name = f"albo-tests-{uuid4().hex}"
    client_of(s3).create_bucket(Bucket=name)
    for uri in (f"s3://{name}", f"s3://{name}/", f"S3://{name}//"):
        store = open_covers(uri, endpoint=s3.endpoint)
        assert store.place == f"s3://{name}"
        store.check()
        assert store.put(DIGEST, COVER, JPEG) == f"s3://{name}/{DIGEST.hex()}"
        assert list(store.digests()) == [DIGEST]
    client_of(s3).delete_object(Bucket=name, Key=DIGEST.hex())
    client_of(s3).delete_bucket(Bucket=name)


def test_there_is_no_such_bucket(s3: S3, bucket: str) -> None:  # noqa: ARG001
    uri = f"s3://albo-none-{uuid4().hex}/covers"
    store = open_covers(uri, endpoint=s3.endpoint)
    wanted = f"{uri}: there is no such bucket; make it or name another"
    with pytest.raises(CannotWrite, match=f"cannot write to {wanted}"):
        store.check()
    with pytest.raises(CannotWrite, match=f"cannot write to {wanted}"):
        store.put(DIGEST, COVER, JPEG)
    with pytest.raises(AlboError, match=f"cannot read {wanted}"):
        list(store.digests())
    with pytest.raises(AlboError, match="no such bucket") as raised:
        StoredCovers(s3.endpoint).read(f"{uri}/{DIGEST.hex()}", DIGEST, LIMITS)
    assert not isinstance(raised.value, BadCover)


def test_the_environment_may_name_the_server(
    s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    store = open_covers(bucket)
    store.check()
    uri = store.put(DIGEST, COVER, JPEG)
    assert StoredCovers().read(uri, DIGEST, LIMITS) == COVER


# --- servers that refuse, fail, lie and go away --------------------------------------------------


@pytest.mark.whole
@pytest.mark.usefixtures("aws", "once")
def test_no_server_is_named() -> None:
    with scripted(Answer()) as server:
        pass
    store = S3Covers("bucket", "", server.endpoint)
    said = f"{re.escape(server.endpoint)} does not answer; see that it runs"
    with pytest.raises(CannotWrite, match=said):
        store.check()
    with pytest.raises(AlboError, match=said) as raised:
        StoredCovers(server.endpoint).read("s3://bucket/x", None, LIMITS)
    assert not isinstance(raised.value, BadCover)


@pytest.mark.whole
@pytest.mark.usefixtures("aws", "once")
def test_a_server_may_go_in_the_middle() -> None:
    with running_s3() as endpoint:
        store = S3Covers("going", "", endpoint)
        store._connection.client.create_bucket(Bucket="going")
        store.check()
        uri = store.put(DIGEST, COVER, JPEG)
        reader = StoredCovers(endpoint)
        reader.read(uri, DIGEST, LIMITS)
    with pytest.raises(CannotWrite, match="does not answer"):
        store.put(digest_of(b"x"), b"x", JPEG)
    with pytest.raises(AlboError, match="does not answer"):
        store.find(DIGEST)
    with pytest.raises(AlboError, match="does not answer"):
        list(store.digests())
    with pytest.raises(AlboError, match="does not answer") as raised:
        reader.read(uri, DIGEST, LIMITS)
    assert not isinstance(raised.value, BadCover)


@pytest.mark.whole
@pytest.mark.usefixtures("aws")
def test_a_busy_server_is_asked_again() -> None:
    busy = Answer.refusal(503, "SlowDown")
    with scripted(busy, Answer(404), busy, Answer()) as server:
        S3Covers("bucket", "", server.endpoint).put(DIGEST, COVER, JPEG)
    assert [request.method for request in server.requests] == ["HEAD", "HEAD", "PUT", "PUT"]


@pytest.mark.whole
@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("named", ["127.0.0.1", "localhost"])
def test_an_upload_says_its_checksum(named: str) -> None:
    with scripted(Answer(404), Answer()) as server:
        endpoint = server.endpoint.replace("127.0.0.1", named)
        S3Covers("bucket", "a/b", endpoint).put(DIGEST, COVER, JPEG)
    head, put = server.requests
    assert head.path == put.path == f"/bucket/a/b/{DIGEST.hex()}"
    assert put.headers["x-amz-checksum-sha256"] == s3_covers._base64(DIGEST)
    assert put.headers["content-type"] == JPEG
    assert "us-east-1" in put.headers["authorization"]
    assert put.headers["user-agent"].endswith("albo")
    assert put.body == COVER


@pytest.mark.whole
@pytest.mark.usefixtures("aws")
def test_the_environment_may_name_a_server_by_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(Answer(404), Answer()) as server:
        endpoint = server.endpoint.replace("127.0.0.1", "localhost")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        S3Covers("bucket", "").put(DIGEST, COVER, JPEG)
    assert server.requests[1].path == f"/bucket/{DIGEST.hex()}"


@pytest.mark.whole
@pytest.mark.usefixtures("aws")
def test_a_server_that_knows_no_sha256_gets_the_older_checksum() -> None:
    unknown = Answer.refusal(
        400, "InvalidArgument", "Unsupported header 'x-amz-checksum-sha256' received"
    )
    with scripted(Answer(404), unknown, Answer(), Answer(404), Answer()) as server:
        store = S3Covers("bucket", "", server.endpoint)
        store.put(DIGEST, COVER, JPEG)
        store.put(digest_of(b"x"), b"x", JPEG)
    puts = [request for request in server.requests if request.method == "PUT"]
    sums = [("x-amz-checksum-sha256" in put.headers, "content-md5" in put.headers) for put in puts]
    assert sums == [(True, False), (False, True), (False, True)]
    assert puts[1].headers["content-md5"] == s3_covers._base64(
        hashlib.md5(COVER, usedforsecurity=False).digest()
    )


@pytest.mark.whole
@pytest.mark.usefixtures("aws", "once")
@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, "BadDigest", "damaged on the way; run it again"),
        (400, "ExpiredToken", "does not accept these credentials; renew them"),
        (403, "AccessDenied", "access denied; allow these credentials s3:PutObject"),
        (403, "InvalidAccessKeyId", "does not accept these credentials; renew them"),
        (403, "SignatureDoesNotMatch", "does not accept these credentials; renew them"),
        (403, "SomethingNew", r"refuses \(403 SomethingNew\)"),
        (403, "", "access denied; .*, or renew them"),
        (403, "RequestTimeTooSkewed", "clock is wrong; set it"),
        (404, "NoSuchBucket", "no such bucket; make it"),
        (405, "MethodNotAllowed", r"refuses \(405 MethodNotAllowed\); see that the endpoint"),
        (409, "a&lt;b c", r"refuses \(409 abc\); see that"),
        (500, "InternalError", r"failed 1 times \(500 InternalError\); run it again later"),
        (503, "SlowDown", r"failed 1 times \(503 SlowDown\)"),
        (507, "XMinioStorageFull", "the store is full; free some space"),
    ],
)
def test_a_refusal_is_said_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, said: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with scripted(Answer.refusal(status, code, f"{SECRET} AKIAALBOTESTS")) as server:
        store = S3Covers("bucket", "p", server.endpoint)
        with pytest.raises(
            CannotWrite, match=f"^cannot write to s3://bucket/p: .*{said}"
        ) as raised:
            store.check()
    assert_keeps_secrets(raised.value)


def assert_keeps_secrets(error: Exception) -> None:
    """A message is one line, and neither it nor a traceback shows what is secret."""
    from traceback import format_exception

    assert "\n" not in str(error)
    for marker in (SECRET, "AKIA"):
        assert marker not in "".join(format_exception(error))


@pytest.mark.whole
@pytest.mark.usefixtures("aws")
def test_a_server_that_redirects_for_ever_is_named() -> None:
    with scripted(Answer(301, headers={"Location": "https://elsewhere/"})) as server:
        store = S3Covers("bucket", "", server.endpoint)
        with pytest.raises(AlboError, match="redirects every request; write the endpoint"):
            store.find(DIGEST)


@pytest.mark.whole
@pytest.mark.usefixtures("aws", "once")
@pytest.mark.parametrize("status", [301, 400, 403, 500])
def test_a_head_that_is_refused_is_no_missing_cover(status: int) -> None:
    with scripted(Answer(status)) as server:
        store = S3Covers("bucket", "", server.endpoint)
        with pytest.raises(AlboError, match="cannot read s3://bucket: "):
            store.find(DIGEST)
        with pytest.raises(CannotWrite):
            store.put(DIGEST, COVER, JPEG)


@pytest.mark.whole
@pytest.mark.usefixtures("aws", "once")
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "there are no credentials; set AWS_ACCESS_KEY_ID"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "there are no credentials|could not be had"),
        ({"AWS_PROFILE": SECRET}, "AWS_PROFILE names no profile; name one"),
        ({"AWS_SESSION_TOKEN": f"{SECRET}\nx"}, r"boto3 gives up \(\w+\); see the endpoint"),
        ({"AWS_ACCESS_KEY_ID": f"AKIA{SECRET}\n"}, r"boto3 gives up \(\w+\); see the endpoint"),
        ({"AWS_DEFAULT_REGION": "no region!"}, r"boto3 gives up \(InvalidRegionError\)"),
        ({"AWS_CA_BUNDLE": "/nowhere"}, None),
    ],
)
def test_bad_configuration_is_said_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str | None
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with scripted(Answer()) as server:
        endpoint = server.endpoint if said else server.endpoint.replace("http", "https")
        store = S3Covers("bucket", "", endpoint)
        with pytest.raises(CannotWrite, match=said) as raised:
            store.check()
    assert_keeps_secrets(raised.value)


@pytest.mark.whole
@pytest.mark.usefixtures("aws")
def test_an_endpoint_of_the_environment_is_held_to_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://user:{SECRET}@127.0.0.1:9")
    with pytest.raises(UsageError, match=r"endpoint http://127\.0\.0\.1:9 has more than") as raised:
        open_covers("s3://bucket").check()
    assert_keeps_secrets(raised.value)


@pytest.mark.whole
@pytest.mark.usefixtures("aws", "once")
@pytest.mark.parametrize("body", [b"<html>hello", b"not XML \xff"])
def test_another_server_is_no_s3_server(body: bytes) -> None:
    with scripted(Answer(200, body, {"Content-Type": "text/html"})) as server:
        store = S3Covers("bucket", "", server.endpoint)
        with pytest.raises(AlboError, match=r"\(500\); .* see that the endpoint is an S3 server's"):
            list(store.digests())


@pytest.mark.whole
@pytest.mark.usefixtures("aws")
def test_a_broken_connection_is_tried_again_then_named() -> None:
    broken = Answer(200, COVER[:3], length=len(COVER))
    with scripted(broken, broken, Answer(200, COVER)) as server:
        reader = StoredCovers(server.endpoint)
        assert reader.read("s3://bucket/x", DIGEST, LIMITS) == COVER
    with scripted(broken) as server:
        reader = StoredCovers(server.endpoint)
        with pytest.raises(AlboError, match=r"the connection to .* breaks off; run it") as raised:
            reader.read("s3://bucket/x", DIGEST, LIMITS)
    assert not isinstance(raised.value, BadCover)
    assert len(server.requests) == 3


@pytest.mark.whole
@pytest.mark.usefixtures("aws")
def test_a_huge_object_is_refused_before_its_body() -> None:
    with scripted(Answer(200, b"", length=2**40)) as server:
        with pytest.raises(BadCover, match="1,099,511,627,776 bytes is over the limit"):
            StoredCovers(server.endpoint).read("s3://bucket/x", DIGEST, LIMITS)
        assert len(server.requests) == 1


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gs://bucket/x", "not at gs:…; name a folder's path or s3://bucket/prefix"),
        ("https://host/x", "not at https:…"),
        ("file:///covers", "not at file:…"),
        ("s3:/bucket", "not at s3:…"),
        ("s3:bucket", "not at s3:…"),
        ("s3://", "'' is no bucket; write s3://bucket/prefix"),
        ("s3:///prefix", "'' is no bucket"),
        ("s3://ab", "'ab' is no bucket"),
        ("s3://a b c/x", "'a b c' is no bucket"),
        (f"s3://key:{SECRET}@bucket/x", "'bucket' is no bucket"),
        ("s3://bucket/a//b", "'a//b' .* is no prefix"),
        ("s3://bucket/../b", "'../b' .* is no prefix"),
        ("s3://bucket/a\nb", "is no prefix"),
        (
            f"s3://bucket/{'a' * 901}",
            r"\(901 bytes\) is no prefix for covers; .* 900 bytes at most",
        ),
        ("", "'' is no place for covers; name a folder"),
        ("~no-such-user/x", "names no home; write the folder's whole path"),
    ],
)
def test_other_addresses_are_refused(uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        open_covers(uri)
    assert_keeps_secrets(raised.value)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("localhost:9000", "'localhost:9000' is no endpoint; write https://host or"),
        ("ftp://host", "'ftp://host' is no endpoint"),
        ("http://", "'http://' is no endpoint"),
        ("http://host:port", "'http://host:port' is no endpoint"),
        ("", "'' is no endpoint"),
        (f"http://AKIA:{SECRET}@host:1", "the endpoint http://host:1 has more than host"),
        (f"AKIA:{SECRET}@host:1", "'host:1' is no endpoint"),
        (f"https://host/?token={SECRET}", "the endpoint https://host/ has more than host"),
    ],
)
def test_an_endpoint_is_a_plain_url(endpoint: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        open_covers("s3://bucket", endpoint=endpoint)
    assert_keeps_secrets(raised.value)
    with pytest.raises(UsageError, match=said):
        StoredCovers(endpoint)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "s3:///key", "s3://a b/c"])
def test_an_object_has_a_bucket_and_a_name(uri: str) -> None:
    with pytest.raises(BadCover, match="an address without a bucket or an object's name"):
        StoredCovers().read(uri, DIGEST, LIMITS)


def test_what_is_remote() -> None:
    assert is_remote("s3://bucket/key")
    assert not is_remote("/covers/s3://x")
