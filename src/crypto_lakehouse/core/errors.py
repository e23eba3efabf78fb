"""All errors: each says what happened, to which key or file, and what to do.

::

    LakehouseError                        the base class of all errors of this package
    ├─ ConfigurationError   problems      before anything runs                       exit 2
    │  └─ SelectionError                  what is selected does not exist            exit 2
    ├─ MatrixError          origin, problems                                         exit 2
    ├─ ArchiveKeyError      key, reason   not a key of the archive                   exit 2
    ├─ RunningLoopError                   a synchronous call inside a running loop
    ├─ LockHeldError        path          another run owns the output directory      exit 11
    ├─ LedgerError          path, reason
    ├─ StoreError           path, reason  the store failed, as on a full disk
    ├─ SinkError            name, reason  a required sink has failed
    ├─ WorkerError          reason        worker processes end as soon as they are started
    ├─ TransferError        url, reason, transient    one archive; the run goes on
    │  ├─ ConnectionFailed · TimedOut · TruncatedBody
    │  │  └─ TlsRefused                   an invalid certificate, or TLS that is too old
    │  ├─ ServerError(status, retry_after_s)
    │  ├─ ProxyRefused(status)            the proxy refused the request
    │  ├─ RedirectRefused
    │  ├─ BodyTooLarge(most_bytes)        the body is larger than it may be
    │  ├─ ObjectChanged                   the source replaced the object between two requests
    │  └─ ListingMalformed                an invalid page of a listing
    ├─ SidecarMalformed     key, reason
    ├─ ArchiveRefused       key, reason, line, column   its rows do not fit its data type
    ├─ LakeError            lake, reason  the tables or their catalog cannot be read or written
    │  ├─ OvertakenError                  another writer has changed a table in the meantime
    │  ├─ NotRestoredError     key          rows of a damaged file cannot be ingested again exit 4
    │  └─ QueryError                       a query that cannot be answered              exit 2
    ├─ ExtraMissing         extra, reason  a package of an extra is not installed       exit 2
    ├─ ListingError         prefix, reason  a listing that failed is never an empty one exit 5
    │  └─ NoListing                        the source answers, but has no listing
    └─ CollectionFailed     report        in `report`, beside the method that raises it
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from attrs import field, frozen

from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.redaction import redact

__all__ = [
    "ArchiveKeyError",
    "ArchiveRefused",
    "BodyTooLarge",
    "ConfigurationError",
    "ConfigurationWarning",
    "ConnectionFailed",
    "ExtraMissing",
    "LakeError",
    "LakehouseError",
    "LedgerError",
    "ListingError",
    "ListingMalformed",
    "LockHeldError",
    "MatrixError",
    "NoListing",
    "NotRestoredError",
    "ObjectChanged",
    "OvertakenError",
    "Problem",
    "ProxyRefused",
    "QueryError",
    "RedirectRefused",
    "RunningLoopError",
    "SelectionError",
    "ServerError",
    "SidecarMalformed",
    "SinkError",
    "StoreError",
    "TimedOut",
    "TlsRefused",
    "TransferError",
    "TruncatedBody",
    "WorkerError",
]


class LakehouseError(Exception):
    """The base class of all errors; `exit_code` is the exit code of the command line.

    Source: ARCHITECTURE.md#exit-codes.
    """

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy by fields, as `__init__` takes other arguments than the message."""
        return _restored, (type(self), self.args), vars(self)


def _restored(kind: type[LakehouseError], arguments: tuple[object, ...]) -> LakehouseError:
    return kind.__new__(kind, *arguments)


@frozen
class Problem:
    """One fault of an input: where it is and what to do about it.

    Attributes:
        path: The position, as `$.date_range.start`, `$.availability_matrix[3].market`, or the
            name of an environment variable or option.
        message: What is wrong and which values are allowed.
        origin: `override` if the value was given as an override, so that a command can name the
            option; else empty.

    Secrets in path and message are masked.
    """

    path: str = field(converter=redact)
    message: str = field(converter=redact)
    origin: str = field(default="", eq=False)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigurationWarning(UserWarning):
    """A configuration is valid, but may not mean what its author expects."""


class ConfigurationError(LakehouseError):
    """The configuration is invalid; `problems` lists every fault."""

    exit_code = 2
    _subject: ClassVar[str] = "invalid configuration"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"{self._subject}, {plural(count, 'problem')}:{lines}")


class SelectionError(ConfigurationError):
    """The selection names symbols that do not exist, or nothing fits it; nothing was fetched."""

    _subject = "invalid selection"


class MatrixError(LakehouseError):
    """A matrix file is invalid; `problems` lists every fault."""

    exit_code = 2

    def __init__(self, origin: str, problems: Iterable[Problem]) -> None:
        self.origin = origin
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"invalid matrix `{origin}`, {plural(count, 'problem')}:{lines}")


class ArchiveKeyError(LakehouseError, ValueError):
    """A key, or a part of one, cannot be an archive's."""

    exit_code = 2

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key!r} is not an archive key: {reason}")


class RunningLoopError(LakehouseError, RuntimeError):
    """`execute()` was called while an event loop was running."""

    def __init__(self, workflow: str) -> None:
        super().__init__(
            f"{workflow}.execute() is synchronous and an event loop is already running here; "
            f"use `await {workflow}.run()` instead"
        )


class LockHeldError(LakehouseError):
    """Another run works on the same output directory."""

    exit_code = 11

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"another run holds the lock `{path}`; wait for it to end, "
            "or choose another output directory"
        )


class _PathError(LakehouseError):
    """An error that concerns one file or directory."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"`{path}`: {reason}")


class LedgerError(_PathError):
    """The ledger cannot be read or written."""


class StoreError(_PathError):
    """The store refused one file: a directory in its place, a name too long, a path outside.

    Attributes:
        stops_run: Whether every other file would fail, too: the disk is full or read-only.
    """

    def __init__(self, path: str, reason: str, *, stops_run: bool = False) -> None:
        self.stops_run = stops_run
        super().__init__(path, reason)


class WorkerError(LakehouseError):
    """Worker processes end before they settle anything."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"worker processes end as soon as they are started ({reason}); see their output on "
            "standard error, or set `processes: 1` to run without them"
        )


class SinkError(LakehouseError):
    """A required sink has failed."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"the {name} sink failed: {redact(reason)}")


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


class SidecarMalformed(LakehouseError):
    """A sidecar has no digest of its archive."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key}: malformed sidecar: {reason}")


class ArchiveRefused(LakehouseError):
    """The content of an archive does not fit its data type; nothing is guessed.

    Attributes:
        line: The line of its member, counted from 1; None if the fault is not in a line.
        column: The column's published name, or empty.
    """

    exit_code = 4

    def __init__(self, key: str, reason: str, line: int | None = None, column: str = "") -> None:
        self.key = key
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(f"{key}: {self.fault}")

    @property
    def fault(self) -> str:
        """The reason with its place, without the key."""
        where = "" if self.line is None else f"line {self.line}"
        if self.column:
            where += f", column `{self.column}`"
        return f"{where}: {self.reason}" if where else self.reason


class LakeError(LakehouseError):
    """The tables or their catalog cannot be read or written."""

    def __init__(self, lake: str, reason: str) -> None:
        self.lake = redact(lake)
        self.reason = redact(reason)
        super().__init__(f"lake `{self.lake}`: {self.reason}")


class OvertakenError(LakeError):
    """Another writer changed a table before the commit; nothing was changed."""


class NotRestoredError(LakeError):
    """Rows of an archive were in a damaged data file, and it is refused now; nothing was changed.

    Attributes:
        key: The archive.
    """

    def __init__(self, lake: str, key: str, reason: str) -> None:
        super().__init__(lake, reason)
        self.key = key


class QueryError(LakeError):
    """A query cannot be answered.

    Attributes:
        lake: The query, or the table's name.
    """

    exit_code = 2

    def __str__(self) -> str:
        return f"{self.lake}: {self.reason}"


class ExtraMissing(LakehouseError):
    """Packages of an optional extra are not installed."""

    exit_code = 2

    def __init__(self, extra: str, reason: str) -> None:
        self.extra = extra
        super().__init__(f"{reason}; install them with `pip install 'crypto-lakehouse[{extra}]'`")
