"""The runs that a ledger records: what each was asked for, and where it fetched archives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from crypto_lakehouse.ledger.read_only import reading
from crypto_lakehouse.ledger.schema import SCHEMA_VERSION, version_of
from crypto_lakehouse.ledger.soundness import is_run, parse_selection

__all__ = ["RecordedRun", "recorded_runs"]

_COLUMNS = "run_id, workflow, planned, started_at, finished_at, status"

#: What earlier versions did not record.
_NEW_COLUMNS = "selection, source_url, listing_url"


@frozen(kw_only=True)
class RecordedRun:
    """One run.

    Attributes:
        status: How it ended; None if it did not, as it was killed or still runs.
        selection: What it was asked for (`run_selection.selection_of`); None if it is not recorded,
            as an earlier version of the program ran it, or if the row is damaged.
        source_url, listing_url: Where it fetched archives and listings, without credentials; None
            if it is not recorded.
    """

    status: str | None
    selection: Mapping[str, Any] | None
    source_url: str | None
    listing_url: str | None


def recorded_runs(path: Path) -> list[RecordedRun]:
    """Return every run in a ledger, in the order in which they began; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    with reading(path) as connection:
        has_all = version_of(connection, path) == SCHEMA_VERSION
        more = _NEW_COLUMNS if has_all else "NULL, NULL, NULL"
        # Numbers of rows only grow, whatever the clock says.
        rows = connection.fetch(f"SELECT {_COLUMNS}, {more} FROM runs ORDER BY rowid")  # noqa: S608
    return [_run(row) for row in rows]


def _run(row: tuple[Any, ...]) -> RecordedRun:
    if not is_run(row):
        return RecordedRun(status=None, selection=None, source_url=None, listing_url=None)
    *_, status, selection, source_url, listing_url = row
    return RecordedRun(
        status=status,
        selection=None if selection is None else parse_selection(selection),
        source_url=source_url,
        listing_url=listing_url,
    )
