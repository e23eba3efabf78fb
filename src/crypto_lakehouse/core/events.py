"""The facts of a run, in the order in which they become true.

Workers emit events, one consumer hands them to the sinks in batches. Promised: every archive of
the plan has exactly one `ArchiveFinished`, unless the run was stopped. Not promised: any order
between different archives. Texts are free of secrets.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import fields, frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.verdicts import Verdict

__all__ = [
    "ArchiveFinished",
    "ArchiveRetried",
    "BodyStarted",
    "Event",
    "RunFinished",
    "RunStarted",
    "RunWarned",
    "to_record",
]


@frozen(kw_only=True)
class RunStarted:
    """A run begins; its plan holds `planned` archives."""

    run_id: str
    workflow: str
    planned: int
    at: datetime


@frozen(kw_only=True)
class RunWarned:
    """Something about the whole run that its owner should know."""

    message: str


@frozen(kw_only=True)
class BodyStarted:
    """A large body begins to arrive; the validators allow it to be resumed later.

    Attributes:
        size_bytes: The whole object's size, None where the source does not say.
    """

    archive: Archive
    etag: str | None
    last_modified: str | None
    size_bytes: int | None


@frozen(kw_only=True)
class ArchiveRetried:
    """One request failed and will be tried again after `wait_s` seconds."""

    archive: Archive
    attempt: int
    wait_s: float
    reason: str


@frozen(kw_only=True)
class ArchiveFinished:
    """The verdict on one archive.

    Attributes:
        reason: Why, in a sentence; empty for plain successes.
        size_bytes: The zip's size on disk or at the source, None where neither is known.
        mtime_ns: The stored file's modification time, None where none is stored.
        sha256: Digest of the bytes seen, 64 lower-case hex characters.
        published_sha256: Digest that the sidecar names.
        etag, last_modified: As the source sent them.
        fetched_bytes: Body bytes received, over all tries, sidecars included.
        requests: Requests made, over all tries.
        elapsed_s: From the decision to fetch until the verdict, in seconds.
    """

    archive: Archive
    verdict: Verdict
    reason: str = ""
    size_bytes: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
    published_sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    fetched_bytes: int = 0
    requests: int = 0
    elapsed_s: float = 0.0


@frozen(kw_only=True)
class RunFinished:
    """A run ends with `status` (complete, partial, failed or interrupted)."""

    run_id: str
    status: str
    at: datetime


Event = RunStarted | RunWarned | BodyStarted | ArchiveRetried | ArchiveFinished | RunFinished


def to_record(event: Event) -> dict[str, Any]:
    """Return an event as JSON types: its name, then its fields that say something."""
    record: dict[str, Any] = {"event": type(event).__name__}
    for field in fields(type(event)):
        value = getattr(event, field.name)
        if isinstance(value, Archive):
            record["key"] = value.key
        elif isinstance(value, datetime):
            record[field.name] = value.isoformat()
        elif value not in (None, ""):
            record[field.name] = value
    return record
