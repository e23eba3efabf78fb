"""Log events with the standard library, with the context of run and archive.

Records go to the standard library's logger `crypto_lakehouse`; their fields are attributes of
the record (`run_id`, `key`, `verdict` ...), ready for any structured formatter. Nothing is
configured here: an application that configures no logging sees only warnings.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    Event,
    FillFinished,
    FolderListed,
    HoleRecorded,
    ListingRetried,
    RecordingIngested,
    RecordingSeen,
    RunFinished,
    RunNoted,
    RunStarted,
    RunWarned,
    to_record,
)
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.run_context import TENANT_OF_RUN
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    import structlog

__all__ = ["LogSink", "run_logger"]


def run_logger(run_id: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that adds the run's id to every record."""
    import structlog

    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger("crypto_lakehouse"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger.bind(run_id=run_id)


@define
class LogSink:
    """Logs the run at INFO, each archive at DEBUG, and problems at WARNING."""

    run_id: str
    name: str = "log"
    required: bool = False
    takes_unchanged = True
    _log: structlog.stdlib.BoundLogger | None = field(init=False, default=None)

    async def handle(self, events: Sequence[Event]) -> None:
        """Log each event at its level."""
        logger = logging.getLogger("crypto_lakehouse")
        for event in events:
            level = _level(event)
            if logger.isEnabledFor(level):
                # Made with the first record: many runs log none, and structlog is slow to import.
                self._log = self._log or run_logger(self.run_id)
                self._log.log(level, visible(_sentence(event)), **_context(event))

    async def flush(self) -> None:
        """Do nothing: records are not buffered."""

    async def close(self) -> None:
        """Do nothing: the application owns the handlers."""


def _level(event: Event) -> int:
    if isinstance(event, ArchiveFinished | FillFinished):
        return logging.WARNING if event.is_problem else logging.DEBUG
    if isinstance(event, ArchivesUnchanged | FolderListed | RecordingSeen):
        return logging.DEBUG
    if isinstance(event, RecordingIngested):
        return logging.WARNING if event.fault else logging.INFO
    if isinstance(event, RunWarned | HoleRecorded):
        return logging.WARNING
    return logging.INFO


def _sentence(event: Event) -> str:
    match event:
        case ArchiveFinished() | FillFinished():
            return f"{event.verdict} {event.archive.key}"
        case ArchiveRetried():
            return f"retry in {event.wait_s:.1f} s: {event.reason}"
        case RunStarted():
            return f"{event.workflow}: {plural(event.planned, 'archive')} planned"
        case RunWarned() | RunNoted():
            return event.message
        case RunFinished():
            return f"run {event.status}{': ' if event.reason else ''}{event.reason}"
        case ArchivesUnchanged():
            return f"{plural(event.count, 'archive')} unchanged in {event.folder}"
        case FolderListed():
            return f"{plural(event.archives, 'archive')} listed in {event.folder}"
        case RecordingSeen() | HoleRecorded() | RecordingIngested():
            return _of_recording(event)
        case ListingRetried():
            return f"listing {event.prefix} again in {event.wait_s:.1f} s: {event.reason}"
        case _:
            return f"large body of {event.archive.key}"


def _of_recording(event: RecordingSeen | HoleRecorded | RecordingIngested) -> str:
    if isinstance(event, HoleRecorded):
        return f"hole in {event.market} {event.stream}: {event.cause}"
    if isinstance(event, RecordingIngested):
        return event.fault or f"{plural(event.rows, 'row', form=',')} ingested"
    return f"{plural(event.messages, 'message', form=',')} recorded"


def _context(event: Event) -> dict[str, object]:
    """Return the event's fields, and the tenant; the run's id is bound to the logger."""
    record = to_record(event)
    record["event_name"] = record.pop("event")
    record.pop("message", None)
    record.pop("run_id", None)
    if tenant := TENANT_OF_RUN.get():
        record["tenant"] = tenant
    return record
