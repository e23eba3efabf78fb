"""Verifies that the data files of a lake are those that were written; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import asdict, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.file_check import check_file
from crypto_lakehouse.tables.iceberg.inner_names import path_of
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.ingest.journal import leftovers
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, Standing, standings
from crypto_lakehouse.tables.schema.schemas import load_schemas

__all__ = ["DamagedArchive", "DamagedFile", "VerifiedTable", "verify_tables"]

#: How often a table is verified again because a run has changed it meanwhile.
_TRIES = 5


@frozen
class DamagedFile:
    """A data file that is not as it was written.

    Attributes:
        path: Where it is, or was.
        reason: What is wrong with it.
        is_current: Whether the newest snapshot has it.
    """

    path: str
    reason: str
    is_current: bool


@frozen
class DamagedArchive:
    """An archive whose rows are not as many as were ingested.

    Attributes:
        key: Its key.
        rows: Its rows in the files that are whole.
        recorded: Its rows by `lakehouse.archives`.
    """

    key: str
    rows: int
    recorded: int


@frozen(kw_only=True)
class VerifiedTable:
    """The result for one table.

    Attributes:
        table: Its full name.
        files: How many data files were read.
        bytes: Their size, by the metadata.
        rows: The rows of the newest snapshot, by the metadata.
        damaged: The files that are not as they were written.
        archives: The archives whose rows are not as many as were ingested.
        without_checksums: How many whole files have no page checksums, so that a flipped bit in
            a value would not be noticed: earlier versions, and other programs, wrote them.
        is_compared: Whether the rows of each archive were compared with `lakehouse.archives`. They
            are not while a run writes to the table, or if one was killed.
    """

    table: str
    files: int
    bytes: int
    rows: int
    damaged: tuple[DamagedFile, ...] = ()
    archives: tuple[DamagedArchive, ...] = ()
    without_checksums: int = 0
    is_compared: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.damaged or self.archives)

    def to_mapping(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: value for name, value in asdict(self).items() if name != "table"}


def verify_tables(
    catalog: LakeCatalog,
    names: Iterable[str],
    *,
    with_older: bool = False,
) -> Iterator[VerifiedTable]:
    """Read all data files of some tables, and yield the result of each.

    Args:
        catalog: The lake's tables.
        names: Full names of tables.
        with_older: Whether to read the files of older snapshots, too.

    Raises:
        LakeError: The catalog, the metadata or `lakehouse.archives` cannot be read.
    """
    for name in names:
        with catalog.errors():
            yield _Verification(catalog, name, with_older).run()


@frozen
class _Verification:
    catalog: LakeCatalog
    name: str
    with_older: bool

    def run(self) -> VerifiedTable:
        """Verify the table; again if a run changed it meanwhile, and may have removed files."""
        for _ in range(_TRIES):
            before = self._state()
            result = self._verify(self.catalog.catalog.load_table(self.name))
            if result.is_whole or self._state() == before:
                break
        return result

    def _state(self) -> tuple[str | None, ...]:
        found = (self.catalog.find(name) for name in (self.name, ARCHIVES))
        return tuple(None if table is None else table.metadata_location for table in found)

    def _verify(self, table: Table) -> VerifiedTable:
        known = self._standings()
        current = {file.file_path: file for file in live_files(table)}
        files = {**self._older(table), **current} if self.with_older else current
        rows: Counter[str] = Counter()
        damaged: list[DamagedFile] = []
        without, has_archives = 0, self._has_archives()
        for location, file in files.items():
            found = check_file(table, file)
            if found.fault:
                path = path_of(location, table.io)
                damaged.append(DamagedFile(path, found.fault, location in current))
            without += not found.has_checksums
            if location in current and has_archives:
                rows.update(found.archives)
        return VerifiedTable(
            table=self.name,
            files=len(files),
            bytes=sum(file.file_size_in_bytes for file in files.values()),
            rows=sum(file.record_count for file in current.values()),
            damaged=tuple(sorted(damaged, key=lambda each: each.path)),
            archives=() if known is None else tuple(_differing(known, rows)),
            without_checksums=without,
            is_compared=known is not None,
        )

    def _standings(self) -> Mapping[str, Standing] | None:
        """How the archives of the table stand; None if a run may be about to record it."""
        if any(each.table == self.name for each in leftovers(self.catalog.place.journals)):
            return None
        return standings(self.catalog.find(ARCHIVES), self.name)

    def _has_archives(self) -> bool:
        """Whether the table has the rows of archives, and not rows about them."""
        return self.name in {schema.name for schema in load_schemas().values()}

    def _older(self, table: Table) -> dict[str, DataFile]:
        return {
            file.file_path: file
            for snapshot in table.metadata.snapshots
            for file in live_files(table, snapshot_id=snapshot.snapshot_id)
        }


def _differing(known: Mapping[str, Standing], rows: Mapping[str, int]) -> Iterator[DamagedArchive]:
    """The archives whose rows are not as many as recorded; those not recorded have none."""
    for key in sorted({*known, *rows}):
        recorded = known[key].rows if key in known else 0
        if recorded != rows.get(key, 0):
            yield DamagedArchive(key, rows.get(key, 0), recorded)
