"""Errors of one request, and of a listing."""

from __future__ import annotations

from crypto_lakehouse.core.errors.base import LakehouseError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.redaction import redact

__all__ = [
    "BodyTooLarge",
    "ConnectionFailed",
    "ListingError",
    "ListingMalformed",
    "NoListing",
    "ObjectChanged",
    "ProxyRefused",
    "RedirectRefused",
    "ServerError",
    "TimedOut",
    "TlsRefused",
    "TransferError",
    "TruncatedBody",
]


class TransferError(LakehouseError):
    """One request failed.

    Attributes:
        transient: Whether a retry may help.
        unavailable: Whether the source could not be reached, was silent, or answered 5xx.

    Secrets in URL and reason are masked, as a traceback shows both.
    """

    transient: bool = True
    unavailable: bool = False

    def __init__(self, url: str, reason: str) -> None:
        self.url = redact(url)
        self.reason = redact(reason)
        super().__init__(f"{self.url}: {self.reason}")


class ConnectionFailed(TransferError):
    """There was no connection, or it broke before the response was complete."""

    unavailable = True


class TlsRefused(ConnectionFailed):
    """The source cannot prove its identity; a retry would not change that."""

    transient = False


class TimedOut(TransferError):
    """The source was silent for longer than `timeout_seconds`."""

    unavailable = True


class TruncatedBody(TransferError):
    """The body ended before its announced length."""

    def __init__(self, url: str, *, expected: int, received: int) -> None:
        self.expected = expected
        self.received = received
        super().__init__(url, f"body ended after {received} of {plural(expected, 'byte')}")


class BodyTooLarge(TransferError):
    """The body has more bytes than it may have; a retry would receive as many again.

    Attributes:
        most_bytes: How many bytes it may have.
    """

    transient = False

    def __init__(self, url: str, most_bytes: int, why: str) -> None:
        self.most_bytes = most_bytes
        super().__init__(
            url,
            f"the body has more than {plural(most_bytes, 'byte')} ({why}), and is not kept; ask "
            "the owner of the source",
        )


class ServerError(TransferError):
    """The source answered with a status other than success or 404.

    403, 429 and 5xx are transient, as collectors treat them (docs/archive.md#statuses), and so is
    408 (RFC 9110, section 15.5.9); any other status is final.
    """

    def __init__(self, url: str, status: int, retry_after_s: float | None = None) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        self.transient = status in {403, 408, 429} or status >= 500
        self.unavailable = status >= 500
        super().__init__(url, f"the source answered {status}")


class ProxyRefused(TransferError):
    """The proxy refused the request.

    Attributes:
        status: Its answer; 407 requires another user name or password.
    """

    unavailable = True

    def __init__(self, url: str, status: int) -> None:
        self.status = status
        self.transient = status in {403, 408, 429} or status >= 500
        what = {
            407: "give a valid user name and password, as in http://user:password@host:port",
            403: "ask its administrator to allow this host, or set another `proxy`",
        }.get(status, "ask its administrator, or set another `proxy`")
        super().__init__(url, f"the proxy answered {status}; {what}")


class RedirectRefused(TransferError):
    """A redirect leads to a host that is not configured, or to http://, or there are too many."""

    transient = False


class ObjectChanged(TransferError):
    """The object at the source changed during the transfer."""


class ListingMalformed(TransferError):
    """A page of a listing is truncated, contradictory, or not a listing."""


class ListingError(LakehouseError):
    """A prefix could not be listed; what is below it is unknown, which is not the same as empty.

    Attributes:
        prefix: The key prefix, as `data/spot/daily/klines/`.
    """

    exit_code = 5

    def __init__(self, prefix: str, reason: str) -> None:
        self.prefix = prefix
        self.reason = reason
        super().__init__(f"`{prefix}` cannot be listed: {reason}")


class NoListing(ListingError):
    """The source answers, but has no S3 listing at this address."""
