"""The connection to an S3 server: one client for all threads, and its errors in plain words.

boto3's own messages are never quoted: they may hold headers, and headers hold credentials.
"""

from __future__ import annotations

import re
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from albo.errors import AlboError, LostCover, UsageError
from albo.limits import check_bytes
from albo.store.cover_kinds import GONE

if TYPE_CHECKING:
    from collections.abc import Iterator


ATTEMPTS = 5
"""How many times a request is sent to an S3 server that does not answer or is busy."""

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")
"""The pattern of bucket names."""

_READS = 3


class S3Connection:
    """An S3 server and its one client, made when first needed; thread-safe.

    Parameters
    ----------
    endpoint : URL of a server other than Amazon's; None for boto3's configured one.

    Raises UsageError if the endpoint is not a plain http(s) URL.
    """

    def __init__(self, endpoint: str | None) -> None:
        if endpoint is not None:
            check_endpoint(endpoint)
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._client: Any = None

    @property
    def client(self) -> Any:  # noqa: ANN401  (boto3 makes its classes at run time)
        """The client; any thread may call its methods."""
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    @property
    def name(self) -> str:
        """The name of the server in messages."""
        endpoint = self._endpoint or (self._client and self._client.meta.endpoint_url)
        return _shown_url(endpoint) if endpoint else "the S3 server"

    @contextmanager
    def plain_errors(self, what: str, kind: type[AlboError]) -> Iterator[None]:
        """Turn any error of boto3 into one line: `what`, the reason, and the remedy."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ClientError as error:
            raise kind(f"{what}: {_say_refusal(error)}") from None
        except RecursionError:  # boto3 looks up the bucket's region at each redirection
            raise kind(
                f"{what}: {self.name} redirects every request; write the endpoint that it leads to"
            ) from None
        # boto3 raises ValueError and OSError for errors in its configuration.
        except (BotoCoreError, ResponseParserError, HTTPError, ValueError, OSError) as error:
            raise kind(f"{what}: {_say_failure(error, self.name)}") from None

    def read(self, bucket: str, key: str, max_bytes: int) -> bytes:
        """Read a whole object. Raises BadCover if it is gone or too large, and boto3's errors."""
        for left in reversed(range(_READS)):
            answer = self._ask_for(bucket, key)
            try:
                return _read_body(answer, max_bytes)
            except _broken_streams():  # in the middle of the body, where boto3 does not retry
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _ask_for(self, bucket: str, key: str) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        try:
            answer: dict[str, Any] = self.client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                raise LostCover(GONE, is_gone=True) from None
            raise
        return answer

    def _make_client(self) -> Any:  # noqa: ANN401
        from boto3.session import Session
        from botocore.config import Config

        session = Session()
        # For endpoints other than Amazon's, boto3 puts the bucket into the path, as servers with
        # plain host names need; the user's AWS configuration may change that.
        client = session.client(
            "s3",
            endpoint_url=self._endpoint,
            # Asked in the wrong region, Amazon names the right one; other servers have no regions.
            region_name=session.region_name or "us-east-1",
            config=Config(
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                connect_timeout=10,
                read_timeout=30,
                max_pool_connections=32,
                user_agent_extra="albo",
                # Uploads carry a checksum, and reads compare the digest. Some servers do not
                # support further checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        check_endpoint(client.meta.endpoint_url)  # it may come from the environment
        return client


def _read_body(answer: dict[str, Any], max_bytes: int) -> bytes:
    with closing(answer["Body"]) as body:
        check_bytes(answer.get("ContentLength") or 0, max_bytes)
        parts: list[bytes] = []
        length = 0
        while length <= max_bytes and (part := body.read(min(2**20, max_bytes + 1 - length))):
            parts.append(part)
            length += len(part)
    check_bytes(length, max_bytes)
    return b"".join(parts)


# Errors of servers and of boto3

_ACCESS = (
    "access denied; allow these credentials s3:PutObject, s3:GetObject and s3:ListBucket on it"
)
_DENIED_KEYS = "the server does not accept these credentials; renew them"
_REGION = "the bucket is in another region; set AWS_DEFAULT_REGION to that"
_WAY = "the bytes were damaged on the way; run it again"
_FULL = "the store is full; free some space and run it again"
_NO_KEYS = (
    "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
)

_REFUSALS = {
    "NoSuchBucket": "there is no such bucket; make it or name another",
    "InvalidBucketName": "the server takes no bucket of that name; name another",
    "AccessDenied": _ACCESS,
    "AllAccessDisabled": _ACCESS,
    "Forbidden": _ACCESS,
    "403": f"{_ACCESS}, or renew them",  # a HEAD has no code, so this may be either
    "InvalidAccessKeyId": _DENIED_KEYS,
    "SignatureDoesNotMatch": _DENIED_KEYS,
    "ExpiredToken": _DENIED_KEYS,
    "InvalidToken": _DENIED_KEYS,
    "401": _DENIED_KEYS,
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "301": _REGION,
    "400": f"{_DENIED_KEYS}, or set AWS_DEFAULT_REGION",
    "InvalidObjectState": "a cover is in an archive; restore it from there",
    "BadDigest": _WAY,
    "XAmzContentSHA256Mismatch": _WAY,
    "XAmzContentChecksumMismatch": _WAY,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "507": _FULL,
}
"""The message for a server's error code, or for its HTTP status if it gives no code."""


def _say_refusal(error: Any) -> str:  # noqa: ANN401  (botocore is not typed)
    code, status = code_of(error), status_of(error)
    if found := _REFUSALS.get(code or str(status)):
        return found
    shown = re.sub(r"[^A-Za-z0-9.]", "", code)[:40]
    named = f"{status}" if code == str(status) else f"{status} {shown}"
    doubt = "see that the endpoint is an S3 server's"
    if status >= 500:  # noqa: PLR2004  (a server's own errors)
        return f"the server failed {ATTEMPTS} times ({named}); run it again later, or {doubt}"
    return f"the server refuses ({named}); {doubt}"


def _say_failure(error: Exception, server: str) -> str:
    from botocore import exceptions as known

    said: list[tuple[tuple[type[Exception], ...], str]] = [
        ((known.NoCredentialsError, known.PartialCredentialsError), _NO_KEYS),
        (
            (known.CredentialRetrievalError, known.SSOError, known.TokenRetrievalError),
            "the credentials could not be had; renew them, or log in again",
        ),
        ((known.ProfileNotFound,), "AWS_PROFILE names no profile; name one that is in ~/.aws"),
        (
            (known.SSLError,),
            f"{server} shows no certificate that is trusted; set AWS_CA_BUNDLE to its authority's,"
            " or write http:// where it has none",
        ),
        (_broken_streams()[:2], f"the connection to {server} breaks off; run it again"),
        (
            (known.HTTPClientError, known.ConnectionError),
            f"{server} does not answer; see that it runs and that the endpoint is right",
        ),
    ]
    for kinds, reason in said:
        if isinstance(error, kinds) and type(error) is not known.HTTPClientError:
            return reason
    return f"boto3 gives up ({type(error).__name__}); see the endpoint, AWS_* variables and ~/.aws"


def _broken_streams() -> tuple[type[Exception], ...]:
    from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

    return (IncompleteReadError, ResponseStreamingError, ReadTimeoutError)


def code_of(error: Any) -> str:  # noqa: ANN401
    """Return the server's error code in a ClientError of boto3; "" if there is none."""
    return str(error.response.get("Error", {}).get("Code") or "")


def status_of(error: Any) -> int:  # noqa: ANN401
    """Return the HTTP status in a ClientError of boto3; 0 if there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def check_endpoint(endpoint: str) -> None:
    """Raise UsageError if an endpoint is not a plain http(s) URL."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise UsageError(
            f"{_shown_url(endpoint)!r} is no endpoint; write https://host or http://host:port"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"the endpoint {_shown_url(endpoint)} has more than host, port and path; leave the rest"
            " out, credentials come from AWS_ACCESS_KEY_ID or AWS_PROFILE"
        )


def _shown_url(url: str) -> str:
    """Remove the parts of a URL that may be secret: all before an @, query, fragment."""
    start, mark, rest = url.rpartition("@")
    scheme = f"{start.partition('://')[0]}://" if "://" in start else ""
    return re.split(r"[?#]", f"{scheme}{rest}" if mark else url)[0][:120]
