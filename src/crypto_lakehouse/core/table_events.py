"""What ingestions and verifications tell the metrics; no sink of a run gets these events."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.core.archive import Archive

__all__ = ["ArchiveIngested", "FileChecked", "TableCommitted", "TableEvent"]


@frozen(kw_only=True)
class ArchiveIngested:
    """What became of an archive that was ingested.

    Attributes:
        table: The table, as `spot.klines`.
        state: `ingested`, `superseded`, `refused`, `quarantined`, `held_back` or `arriving`.
        rows: How many rows it has in the table now.
    """

    archive: Archive
    table: str
    state: str
    rows: int = 0


@frozen(kw_only=True)
class TableCommitted:
    """A commit to a table.

    Attributes:
        table: The table, as `spot.klines`.
        scored_rows: Of the days that it compared with recordings, the rows of the archives.
        recorded_rows: Those of them that were recorded as they are.
    """

    table: str
    scored_rows: int = 0
    recorded_rows: int = 0


@frozen(kw_only=True)
class FileChecked:
    """What a verification found of a stored file, or of a folder that cannot be read.

    Attributes:
        state: As in the report, such as `good`, `damaged` or `missing`.
    """

    state: str


TableEvent = ArchiveIngested | TableCommitted | FileChecked
