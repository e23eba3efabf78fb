"""The runs that a ledger records: what each was asked for, and where it fetched archives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.schema import LOST_RUN
from crypto_lakehouse.ledger.soundness import is_run, parse_selection
from crypto_lakehouse.ledger.sqlite_file import ledger_place

__all__ = ["RecordedRun", "recorded_runs"]


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


def recorded_runs(ledger: LedgerPlace | Path) -> list[RecordedRun]:
    """Return every run in a ledger, in the order in which they began; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    with ledger_place(ledger).reading() as reading:
        rows = reading.runs()
    return [_run(row) for row in rows]


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
        is_source_lost=source_url is None and (run_id == LOST_RUN or selection is not None),
    )
