"""The runs that a ledger records: what each was asked for, and where it fetched archives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.schema import LOST_RUN
from crypto_lakehouse.ledger.soundness import is_run, parse_selection
from crypto_lakehouse.ledger.sqlite_file import ledger_place

__all__ = ["FILLING", "RecordedRun", "TimedRun", "recorded_runs", "timed_runs"]

#: The selection of a run that fills days from the exchange: it asks for no archive.
FILLING = {"only": "fill"}


@frozen(kw_only=True)
class RecordedRun:
    """One run.

    Attributes:
        status: How it ended; None if it did not, as it was killed or still runs.
        selection: What it was asked for (`run_selection.selection_of`); None if it is not recorded,
            as an earlier version of the program ran it, or if the row is damaged.
        source_url, listing_url: Where it fetched archives and listings, without credentials; None
            if it is not recorded.
        is_source_lost: Whether the source was recorded, and is not known any more: the row is
            damaged, or stands for rows that were lost with a damaged ledger.
    """

    status: str | None
    selection: Mapping[str, Any] | None
    source_url: str | None
    listing_url: str | None
    is_source_lost: bool = False


def _has_source(selection: str | None) -> bool:
    """Whether a run with a selection fetched archives; one that fills days asks the exchange."""
    return selection is not None and parse_selection(selection) != FILLING


def recorded_runs(ledger: LedgerPlace | Path) -> list[RecordedRun]:
    """Return every run in a ledger, in the order in which they began; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    with ledger_place(ledger).reading() as reading:
        rows = reading.runs()
    return [_run(row) for row in rows]


@frozen(kw_only=True)
class TimedRun:
    """When a run was, and how much it had to do.

    Attributes:
        workflow: Its name.
        status: How it ended; None if it did not, as it was killed or still runs.
        planned: How many archives, or days to fill, its plan had, with those that were here.
        started_at, finished_at: The times, aware; the second is None as long as it goes on.
    """

    workflow: str
    status: str | None
    planned: int
    started_at: datetime
    finished_at: datetime | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None if that is not known, as a clock was set back meanwhile."""
        if self.finished_at is None or self.finished_at < self.started_at:
            return None
        return (self.finished_at - self.started_at).total_seconds()


def timed_runs(ledger: LedgerPlace | Path, most: int) -> list[TimedRun]:
    """Return the newest runs in a ledger, newest first, but none whose row is damaged; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    with ledger_place(ledger).reading() as reading:
        rows = reading.runs()
    found: list[TimedRun] = []
    for row in reversed(rows):
        if len(found) < most and is_run(row) and row[0] != LOST_RUN:
            with suppress(ValueError):  # a time that no clock shows
                found.append(_timed(row))
    return found


def _timed(row: Sequence[Any]) -> TimedRun:
    _, workflow, planned, started, finished, status, *_ = row
    return TimedRun(
        workflow=workflow,
        status=status,
        planned=planned,
        started_at=_moment(started),
        finished_at=None if finished is None else _moment(finished),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _run(row: Sequence[Any]) -> RecordedRun:
    if not is_run(row):
        return RecordedRun(
            status=None, selection=None, source_url=None, listing_url=None, is_source_lost=True
        )
    run_id, *_, status, selection, source_url, listing_url = row
    return RecordedRun(
        status=status,
        selection=None if selection is None else parse_selection(selection),
        source_url=source_url,
        listing_url=listing_url,
        # A run that records what it was asked for records its source, too.
        is_source_lost=source_url is None and (run_id == LOST_RUN or _has_source(selection)),
    )
