"""Covers in a bucket of an S3 server, by digest."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from albo.errors import AlboError, BadCover, CannotWrite, UsageError
from albo.limits import digest_of
from albo.store.cover_kinds import OTHER_KIND, SUFFIXES, check_digest, plain_kind
from albo.store.s3 import BUCKET, S3Connection, code_of, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from albo.records import Digest


PAGE_SIZE = 1000
"""Names in one request when a bucket is listed: the most that S3 allows."""

_KEY = re.compile(r"[0-9a-f]{64}")
_MAX_PREFIX = 900  # bytes; S3 allows 1,024 for the whole key
_NOT_FOUND = 404


class S3Covers:
    """Covers as objects `prefix/<64 hex digits>` of a bucket, on Amazon's or any other S3 server.

    The digest is sent as the checksum, so the server refuses bytes that were damaged in transit.
    boto3 finds the credentials.

    Parameters
    ----------
    bucket
        The bucket's name.
    prefix
        Names, separated by slashes, before each digest; "" for none.
    endpoint
        URL of an S3 server other than Amazon's; None for boto3's configured one.
    page_size
        Names in one request when the bucket is listed.

    Attributes
    ----------
    place
        The address, `s3://bucket/prefix`.

    Raises UsageError for an invalid bucket name, a prefix that servers read differently, and an
    endpoint that is not a plain http(s) URL.
    """

    def __init__(
        self, bucket: str, prefix: str, endpoint: str | None = None, page_size: int = PAGE_SIZE
    ) -> None:
        _check_bucket(bucket)
        _check_prefix(prefix)
        self._bucket = bucket
        self._start = f"{prefix}/" if prefix else ""
        self._connection = S3Connection(endpoint)
        self._page_size = page_size
        self._takes_sha256 = True
        self.place = f"s3://{bucket}/{prefix}".rstrip("/")

    def check(self) -> None:
        """Write, look for, list and remove an object. See `CoverStore.check`.

        If removing is not allowed, `albo-check` stays; that is no error.
        """
        name = f"{self._start}albo-check"
        with self._writing():
            self._upload(name, b"albo", digest_of(b"albo"), "text/plain")
            self._head(name)
            self._connection.client.list_objects_v2(
                Bucket=self._bucket, Prefix=self._start, MaxKeys=1
            )
        with suppress(AlboError), self._writing():
            self._connection.client.delete_object(Bucket=self._bucket, Key=name)

    def put(self, digest: Digest, data: bytes, kind: str) -> str:
        """Store a cover under its digest. See `CoverStore.put`."""
        check_digest(digest, data)
        plain = plain_kind(kind)
        with self._writing():
            if not self._is_there(self._key(digest), data):
                stored_as = plain if plain in SUFFIXES else OTHER_KIND
                self._upload(self._key(digest), data, digest, stored_as)
        return self._uri(digest)

    def find(self, digest: Digest) -> str | None:
        """Return the URI of a stored cover. See `CoverStore.find`."""
        with self._reading():
            head = self._head(self._key(digest))
        return self._uri(digest) if head and head.get("ContentLength") else None

    def digests(self) -> Iterator[Digest]:
        """Yield all stored digests, in order. See `CoverStore.digests`."""
        with self._reading():
            # With a delimiter, objects in deeper folders are not listed.
            pages = self._connection.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket,
                Prefix=self._start,
                Delimiter="/",
                PaginationConfig={"PageSize": self._page_size},
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    name = item["Key"].removeprefix(self._start)
                    if item.get("Size") and _KEY.fullmatch(name):
                        yield bytes.fromhex(name)

    def _key(self, digest: Digest) -> str:
        return f"{self._start}{digest.hex()}"

    def _uri(self, digest: Digest) -> str:
        return f"s3://{self._bucket}/{self._key(digest)}"

    def _head(self, key: str) -> dict[str, Any] | None:
        """Ask about an object; None if it or its bucket is missing: a HEAD does not tell which."""
        from botocore.exceptions import ClientError

        try:
            head: dict[str, Any] = self._connection.client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if status_of(error) == _NOT_FOUND:
                return None
            raise
        return head

    def _is_there(self, key: str, data: bytes) -> bool:
        """Compare an object with its data: by its MD5 if the server gives it, else byte by byte."""
        head = self._head(key)
        if head is None or head.get("ContentLength") != len(data):
            return False
        if str(head.get("ETag", "")).strip('"') == _md5(data).hex():
            return True
        try:
            return self._connection.read(self._bucket, key, len(data)) == data
        except BadCover:
            return False

    def _upload(self, key: str, data: bytes, digest: Digest, kind: str) -> None:
        from botocore.exceptions import ClientError

        put = self._connection.client.put_object
        given = {"Bucket": self._bucket, "Key": key, "Body": data, "ContentType": kind}
        if self._takes_sha256:
            try:
                put(**given, ChecksumSHA256=_base64(digest))
            except ClientError as error:
                if not _knows_no_sha256(error):
                    raise
                self._takes_sha256 = False
            else:
                return
        put(**given, ContentMD5=_base64(_md5(data)))  # supported by all servers

    def _writing(self) -> AbstractContextManager[None]:
        return self._connection.plain_errors(f"cannot write to {self.place}", CannotWrite)

    def _reading(self) -> AbstractContextManager[None]:
        return self._connection.plain_errors(f"cannot read {self.place}", AlboError)


def _knows_no_sha256(error: Any) -> bool:  # noqa: ANN401
    """Whether a server refuses the checksum header, as some do, rather than the bytes."""
    message = str(error.response.get("Error", {}).get("Message", "")).lower()
    return code_of(error) in {"InvalidArgument", "NotImplemented"} and "x-amz-checksum" in message


def _check_bucket(bucket: str) -> None:
    if BUCKET.fullmatch(bucket) is None:
        shown = bucket.rpartition("@")[2][:80]  # the part before an @ may be a password
        raise UsageError(
            f"{shown!r} is no bucket; write s3://bucket/prefix, with 3 to 63 letters, digits, dots,"
            " hyphens and underscores for the bucket"
        )


def _check_prefix(prefix: str) -> None:
    length = len(prefix.encode(errors="replace"))
    parts = prefix.split("/") if prefix else []
    if length > _MAX_PREFIX or not prefix.isprintable() or {"", ".", ".."}.intersection(parts):
        raise UsageError(
            f"{prefix[:80]!r} ({length} bytes) is no prefix for covers; use names with slashes"
            f" between them, {_MAX_PREFIX} bytes at most, no . or .. among them"
        )


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
