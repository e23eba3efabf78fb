"""Errors of the place where a run works: lock, ledger, store, worker processes, sinks."""

from __future__ import annotations

from crypto_lakehouse.core.errors.base import LakehouseError
from crypto_lakehouse.core.redaction import redact

__all__ = [
    "ClusterError",
    "LedgerError",
    "LockHeldError",
    "LostLockError",
    "ProcessEndedError",
    "SinkError",
    "StoreError",
    "WorkerError",
]


class LockHeldError(LakehouseError):
    """Another run works on the same output.

    Attributes:
        path: The lock, or the URL of the lease.
        holder: Who holds it; empty if only the lock itself says so.
        remark: When the lease of a run that was killed is free; empty for a lock.
        instead: What can be done without it; empty if nothing.
    """

    exit_code = 11

    def __init__(
        self,
        path: str,
        holder: str = "",
        remark: str = "",
        *,
        how_to_wait: str = "",
        instead: str = "choose another output directory",
    ) -> None:
        self.path = path
        self.holder = holder
        self.remark = remark
        self.instead = instead
        what = "lease" if remark else "lock"
        by = f", {holder}" if holder else ""
        after = f" ({remark})" if remark else ""
        other = f", or {instead}" if instead else ""
        super().__init__(
            f"another run holds the {what} `{path}`{by}; wait for it to end{after}{how_to_wait}"
            f"{other}"
        )


class _PathError(LakehouseError):
    """An error that concerns one file or directory."""

    def __init__(self, path: str, reason: str, *, exit_code: int = 1) -> None:
        self.path = path
        self.reason = reason
        self.exit_code = exit_code
        super().__init__(f"`{path}`: {reason}")


class LedgerError(_PathError):
    """The ledger cannot be read or written.

    Attributes:
        exit_code: 2 if this user may not use its file or its database, or the file system has no
            locks; 5 if the server of its database cannot be reached. Otherwise 1.
    """


class StoreError(_PathError):
    """The store refused one file: a directory in its place, a name too long, a path outside.

    Attributes:
        stops_run: Whether every other file would fail, too: the disk is full or read-only.
        exit_code: 2 if the user must correct what names the store or gives access to it: a bucket
            that does not exist, another region, credentials, permissions; 5 if the store cannot be
            reached, or is not available. Otherwise 1.
    """

    def __init__(
        self, path: str, reason: str, *, stops_run: bool = False, exit_code: int = 1
    ) -> None:
        self.stops_run = stops_run
        super().__init__(path, reason, exit_code=exit_code)


class LostLockError(StoreError, LedgerError):
    """Another run has taken over the lease or the lock of this one, or may have; it must end.

    The lease or lock is that of an object store, or of a ledger in a database.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason, stops_run=True, exit_code=LockHeldError.exit_code)


class WorkerError(LakehouseError):
    """Worker processes end before they settle anything."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"worker processes end as soon as they are started ({reason}); see their output on "
            "standard error, or set `processes: 1` to run without them"
        )


class ProcessEndedError(WorkerError):
    """A process that does a part of the run's work ended without an answer, or cannot be started.

    Attributes:
        reason: How it ended, and the end of what it wrote on standard error.
    """

    def __init__(self, reason: str) -> None:
        self.reason = redact(reason)
        LakehouseError.__init__(self, f"a process of this run gave no answer: {self.reason}")


class ClusterError(WorkerError):
    """A Dask cluster cannot work for a run: its scheduler is gone, or no worker can take part.

    Attributes:
        exit_code: 5 if the scheduler cannot be reached. Otherwise 1.
    """

    def __init__(self, reason: str, *, exit_code: int = 1) -> None:
        self.reason = redact(reason)
        self.exit_code = exit_code
        LakehouseError.__init__(self, f"{self.reason}; the next run goes on with what is missing")


class SinkError(LakehouseError):
    """A required sink has failed."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"the {name} sink failed: {redact(reason)}")
