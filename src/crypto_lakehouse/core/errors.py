"""The one tree of errors: each says what happened, to which key or file, and what to do.

::

    LakehouseError                        one except clause catches all of ours
    ├─ ConfigurationError   problems      before anything runs                       exit 2
    ├─ MatrixError          origin, problems                                         exit 2
    ├─ ArchiveKeyError      key, reason   not a key of the archive                   exit 2
    ├─ RunningLoopError                   a synchronous call inside a running loop
    ├─ LockHeldError        path          another run owns the output directory      exit 11
    ├─ LedgerError          path, reason
    ├─ StoreError           path, reason  the disk said no; the run stops
    ├─ SinkError            name, reason  a sink the run cannot do without has failed
    ├─ WorkerError          reason        worker processes end as soon as they are started
    ├─ TransferError        url, reason, transient    one archive; the run goes on
    │  ├─ ConnectionFailed · TimedOut · TruncatedBody
    │  │  └─ TlsRefused                   a certificate that is not good, TLS that is too old
    │  ├─ ServerError(status, retry_after_s)
    │  ├─ ProxyRefused(status)            the proxy on the way let the request not pass
    │  ├─ RedirectRefused
    │  ├─ ObjectChanged                   the source replaced the object between two requests
    │  └─ ListingMalformed                a listing's page that cannot be one
    ├─ SidecarMalformed     key, reason
    ├─ ArchiveRefused       key, reason, line, column   its rows cannot be read as its type's
    ├─ LakeError            lake, reason  the tables or their catalog cannot be read or written
    │  ├─ OvertakenError                  another writer has changed a table meanwhile
    │  └─ QueryError                       a question that cannot be answered           exit 2
    ├─ ExtraMissing         extra, reason  a package of an extra is not installed       exit 2
    ├─ ListingError         prefix, reason  a listing that failed is never an empty one exit 5
    │  └─ NoListing                        the source answers, and lists nothing at all
    └─ CollectionFailed     report        in `report`, beside the method that raises it
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from attrs import field, frozen

from crypto_lakehouse.core.redaction import redact

__all__ = [
    "ArchiveKeyError",
    "ArchiveRefused",
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
    "ObjectChanged",
    "OvertakenError",
    "Problem",
    "ProxyRefused",
    "QueryError",
    "RedirectRefused",
    "RunningLoopError",
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
    """The root of the tree; `exit_code` is what the command line ends with.

    Source: ARCHITECTURE.md#exit-codes.
    """

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy by fields: what an `__init__` takes is not what its message says."""
        return _restored, (type(self), self.args), vars(self)


def _restored(kind: type[LakehouseError], arguments: tuple[object, ...]) -> LakehouseError:
    return kind.__new__(kind, *arguments)


@frozen
class Problem:
    """One fault of an input: where it is and what to do about it.

    Attributes:
        path: The place, as `$.date_range.start`, `$.availability_matrix[3].market`, or the
            name of an environment variable or option.
        message: What is wrong and which values are allowed.

    Secrets in either are masked.
    """

    path: str = field(converter=redact)
    message: str = field(converter=redact)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigurationWarning(UserWarning):
    """A configuration that works, but does not mean what its author may think."""


class ConfigurationError(LakehouseError):
    """The configuration cannot be run; every fault is in `problems`, none is left out."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"invalid configuration, {count} problem{'s'[: count != 1]}:{lines}")


class MatrixError(LakehouseError):
    """A matrix file cannot be used; every fault is in `problems`, none is left out."""

    exit_code = 2

    def __init__(self, origin: str, problems: Iterable[Problem]) -> None:
        self.origin = origin
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"invalid matrix `{origin}`, {count} problem{'s'[: count != 1]}:{lines}")


class ArchiveKeyError(LakehouseError, ValueError):
    """A key, or a part of one, that the archive cannot hold."""

    exit_code = 2

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key!r} is not an archive key: {reason}")


class RunningLoopError(LakehouseError, RuntimeError):
    """`execute()` was called where an event loop already runs."""

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
    """What went wrong with one file or directory of ours."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"`{path}`: {reason}")


class LedgerError(_PathError):
    """The ledger cannot be read or written."""


class StoreError(_PathError):
    """The store refused one file: a directory in its place, a name too long, a path that leaves.

    Attributes:
        stops_run: Whether every other file would fare the same: the disk is full, or read-only.
    """

    def __init__(self, path: str, reason: str, *, stops_run: bool = False) -> None:
        self.stops_run = stops_run
        super().__init__(path, reason)


class WorkerError(LakehouseError):
    """Worker processes end before they settle anything."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"worker processes end as soon as they are started ({reason}); what they wrote to "
            "standard error says why; `processes: 1` needs none"
        )


class SinkError(LakehouseError):
    """A sink that the run cannot do without has failed."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"the {name} sink failed: {redact(reason)}")


class TransferError(LakehouseError):
    """One request failed; `transient` says whether trying again can help.

    Secrets in URL and reason are masked, as a traceback shows both.
    """

    transient: bool = True

    def __init__(self, url: str, reason: str) -> None:
        self.url = redact(url)
        self.reason = redact(reason)
        super().__init__(f"{self.url}: {self.reason}")


class ConnectionFailed(TransferError):
    """No connection, or it broke before the response was whole."""


class TlsRefused(ConnectionFailed):
    """The source cannot prove who it is; asking again would not make its certificate good."""

    transient = False


class TimedOut(TransferError):
    """The source was silent for longer than `timeout_seconds`."""


class TruncatedBody(TransferError):
    """The body ended before its announced length."""

    def __init__(self, url: str, *, expected: int, received: int) -> None:
        self.expected = expected
        self.received = received
        super().__init__(url, f"body ended after {received} of {expected} bytes")


class ServerError(TransferError):
    """A status that is neither a success nor a plain absence.

    403, 408, 429 and 5xx are transient (docs/archive.md#statuses); any other status is final.
    """

    def __init__(self, url: str, status: int, retry_after_s: float | None = None) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        self.transient = status in {403, 408, 429} or status >= 500
        super().__init__(url, f"the source answered {status}")


class ProxyRefused(TransferError):
    """The proxy on the way let the request not pass.

    Attributes:
        status: What it answered; 407 asks for another user name or password.
    """

    def __init__(self, url: str, status: int) -> None:
        self.status = status
        self.transient = status in {403, 408, 429} or status >= 500
        what = {
            407: "name a user and a password that it knows, as in http://user:password@host:port",
            403: "ask its owner to let this host pass, or choose another with `proxy`",
        }.get(status, "ask its owner, or choose another with `proxy`")
        super().__init__(url, f"the proxy answered {status}; {what}")


class RedirectRefused(TransferError):
    """A redirect to a host that the configuration does not name, without TLS, or to no end."""

    transient = False


class ObjectChanged(TransferError):
    """The object at the source is no longer the one that the transfer began with."""


class ListingMalformed(TransferError):
    """A page of a listing that is cut off, is no listing, or contradicts itself."""


class ListingError(LakehouseError):
    """A prefix could not be listed; what lies below it is not known, which is not the same as none.

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
    """A sidecar that holds no digest of its archive."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key}: malformed sidecar: {reason}")


class ArchiveRefused(LakehouseError):
    """An archive whose content is not what its data type publishes; it is never guessed at.

    Attributes:
        line: The line of its member, counted from 1; None where no line is at fault.
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
    """The tables, or the catalog that names them, cannot be read or written."""

    def __init__(self, lake: str, reason: str) -> None:
        self.lake = redact(lake)
        self.reason = redact(reason)
        super().__init__(f"lake `{self.lake}`: {self.reason}")


class OvertakenError(LakeError):
    """Another writer has changed a table between a look at it and the commit; nothing was done."""


class QueryError(LakeError):
    """A question that cannot be answered as it was asked.

    Attributes:
        lake: What was asked: the query, or the table's name.
    """

    exit_code = 2

    def __str__(self) -> str:
        return f"{self.lake}: {self.reason}"


class ExtraMissing(LakehouseError):
    """Packages that an extra of this project brings are not installed."""

    exit_code = 2

    def __init__(self, extra: str, reason: str) -> None:
        self.extra = extra
        super().__init__(f"{reason}; install them with `pip install 'crypto-lakehouse[{extra}]'`")
