"""Keeps tables that are filled every few minutes in bounds: small files, snapshots, metadata.

A recording adds a small file to the partition of each symbol, and a snapshot to each table, every
few minutes. Small files of about one size are merged once there are several: the new file is
larger, and is merged with others of its size only. So a row is written few times, and a large file
never again. Of the snapshots that recordings made, one of each hour stays, then one of each day;
all others stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from attrs import frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table.snapshots import Snapshot

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.orphans import refuse_foreign, sweep_table
from crypto_lakehouse.tables.ingest.commits import PURPOSE
from crypto_lakehouse.tables.lake.maintenance import compact, sweep_before

__all__ = ["RECORDING", "Bounds", "Kept", "keep_in_bounds", "spare_snapshots"]

#: The purpose of the commits of a recording.
RECORDING = "recording"


@frozen(kw_only=True)
class Bounds:
    """How small files and snapshots are kept in bounds.

    Attributes:
        least_files: Files of about one size are merged once a partition has so many of them.
        smallest_bytes: Files below this size count as of one size.
        large_bytes: A file of this size, or a larger one, is not merged.
        sorted_rows: Up to so many rows of a new file are sorted in memory.
        recent: A snapshot stays for so long after the next one was made.
        hourly: For so long the last snapshot of each hour stays.
        daily: For so long the last snapshot of each UTC day stays.
        least_spare: Snapshots expire once there are so many that may.
    """

    least_files: int = 8
    smallest_bytes: int = 64 << 10
    large_bytes: int = 16 << 20
    sorted_rows: int = 1_000_000
    recent: timedelta = timedelta(hours=1)
    hourly: timedelta = timedelta(hours=48)
    daily: timedelta = timedelta(days=30)
    least_spare: int = 12

    def crowded(self, files: list[DataFile]) -> Iterator[list[DataFile]]:
        """Yield the files of a partition that are merged, a list for each new file."""
        sizes: dict[int, list[DataFile]] = defaultdict(list)
        for file in files:
            if file.file_size_in_bytes < self.large_bytes:
                sizes[self._class_of(file.file_size_in_bytes)].append(file)
        for _, some in sorted(sizes.items()):
            if len(some) >= self.least_files:
                yield some

    def _class_of(self, size_bytes: int) -> int:
        """The class of a size: each is for files `least_files` times as large as the one before."""
        number, end = 0, self.smallest_bytes
        while size_bytes >= end:
            number, end = number + 1, end * self.least_files
        return number


@frozen
class Kept:
    """What was done to keep a table in bounds.

    Attributes:
        table: Its name.
        files_before: How many data files it had.
        files_after: How many it has.
        snapshots_expired: How many snapshots expired.
    """

    table: str
    files_before: int
    files_after: int
    snapshots_expired: int


def keep_in_bounds(
    catalog: LakeCatalog, name: str, bounds: Bounds, *, now: datetime, tool_version: str
) -> Kept:
    """Merge small files of a table, and expire snapshots of recordings; blocking.

    The caller must hold the lake's lock.

    Args:
        catalog: The lake's tables; the purpose of its commits is `RECORDING`.
        name: The table.
        bounds: What stays.
        now: The time.
        tool_version: Recorded in the snapshot.

    Raises:
        LakeError: The table cannot be read or written, or another table is in its folder.
        StoreError: The object store fails.
    """
    merged = compact(
        catalog, name, tool_version=tool_version, choose=bounds.crowded,
        sorted_rows=bounds.sorted_rows,
    )  # fmt: skip
    expired = _expire(catalog, name, bounds, now)
    return Kept(name, merged.files_before, merged.files_after, expired)


def _expire(catalog: LakeCatalog, name: str, bounds: Bounds, now: datetime) -> int:
    """Expire snapshots that may, and delete the files that only they refer to."""
    with catalog.errors():
        table = catalog.catalog.load_table(name)
        kept = {ref.snapshot_id for ref in table.metadata.refs.values()}
        spare = spare_snapshots(table.metadata.snapshots, kept, bounds, now)
        if len(spare) < bounds.least_spare:
            return 0
        refuse_foreign(table)
        table.maintenance.expire_snapshots().by_ids(spare).commit()
        # Where other machines may write, files of a commit under way are in no snapshot.
        sweep_table(catalog.catalog.load_table(name), before=sweep_before(catalog))
        return len(spare)


def spare_snapshots(
    snapshots: Iterable[Snapshot], kept: Container[int], bounds: Bounds, now: datetime
) -> list[int]:
    """Those snapshots of a table that may expire: of those of recordings, all but a few.

    Args:
        snapshots: All snapshots of the table.
        kept: Those that have a name, as the current one and tagged ones.
        bounds: What stays.
        now: The time.
    """
    ordered = sorted(snapshots, key=lambda each: each.timestamp_ms)
    return [
        each.snapshot_id
        for each, following in pairwise(ordered)
        if each.snapshot_id not in kept
        and _is_of_recording(each)
        and _is_spare(_time_of(each), _time_of(following), bounds, now)
    ]


def _is_of_recording(snapshot: Snapshot) -> bool:
    summary = snapshot.summary
    return summary is not None and summary.additional_properties.get(PURPOSE) == RECORDING


def _time_of(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)


def _is_spare(made: datetime, following: datetime, bounds: Bounds, now: datetime) -> bool:
    """Whether a snapshot is spare, given when it and the next one were made."""
    if now - following < bounds.recent:
        return False  # a query that began before that may read it still
    if now - made < bounds.hourly:
        return _hour(made) == _hour(following)
    return now - made >= bounds.daily or made.date() == following.date()


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
