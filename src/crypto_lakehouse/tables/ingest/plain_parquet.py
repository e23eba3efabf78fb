"""Plain Parquet files in folders named after partitions, without a catalog.

One archive is one file: `spot/klines/interval=1m/symbol=BTCUSDT/BTCUSDT-1m-2024-01.parquet`. It
gets its final name when it is complete, so a reader sees either the old or the new rows. The
file's metadata names the version of the archive, and a month's file replaces those of its days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import define, field
from pyarrow.fs import LocalFileSystem

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.stores.whole_file import part_file, remove_stale_parts
from crypto_lakehouse.tables.files.parquet_options import parquet_options
from crypto_lakehouse.tables.files.table_rows import RowMaker
from crypto_lakehouse.tables.iceberg.data_files import written_schema
from crypto_lakehouse.tables.iceberg.local_io import DISK, check_inside, delete_below
from crypto_lakehouse.tables.ingest.ingestion import Ingested, IngestSettings
from crypto_lakehouse.tables.ingest.overlaps import above, below, rank
from crypto_lakehouse.tables.quality.findings import ArchiveQuality
from crypto_lakehouse.tables.quality.inspector import Checked, Inspector
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.schemas import TableSchema
from crypto_lakehouse.tables.schema.table_types import iceberg_schema

__all__ = ["PlainParquet"]

_SHA256 = "crypto-lakehouse.sha256"
_EXACT = "crypto-lakehouse.exact"

#: Given with an absolute path, so that Arrow never takes a path like `s3:x` for a URL.
_LOCAL = LocalFileSystem()


def _absolute(path: Path) -> Path:
    return path.absolute()


@define
class PlainParquet:
    """Writes archives as Parquet files below a folder.

    Attributes:
        root: The folder.
        settings: How to ingest.
        tell: Called with each archive's result.
        check: Called between archives; may raise to cancel.
    """

    root: Path = field(converter=_absolute)
    settings: IngestSettings
    tell: Callable[[Ingested], None]
    check: Callable[[], None]

    def write(self, schema: TableSchema, sources: list[Source]) -> tuple[int, int]:
        """Write archives of one table.

        Returns:
            How many archives are unchanged, and how many are covered by their month's file.
        """
        unchanged = covered = 0
        # Months first: if a month is refused, its days are needed.
        for _, wave in groupby(sorted(sources, key=_rank), key=_rank):
            same_rank = list(wave)
            wanted = [each for each in same_rank if not self._is_covered(schema, each.archive)]
            covered += len(same_rank) - len(wanted)
            unchanged += self._write_all(schema, wanted)
        return unchanged, covered

    def _write_all(self, schema: TableSchema, sources: list[Source]) -> int:
        wanted = [
            each for each in sources if self.settings.again or not self._is_there(schema, each)
        ]
        for folder in {self.path(schema, each.archive).parent for each in wanted}:
            check_inside(str(folder), str(self.root))
            folder.mkdir(parents=True, exist_ok=True)
            remove_stale_parts(folder)
        with ThreadPoolExecutor(self.settings.workers, "parquet") as pool:
            for ingested in pool.map(lambda source: self._write_one(schema, source), wanted):
                self.check()
                self.tell(ingested)
        return len(sources) - len(wanted)

    def path(self, schema: TableSchema, archive: Archive) -> Path:
        """The path of an archive's file."""
        folder = self.root / schema.namespace / schema.table
        if archive.interval:
            folder /= f"interval={archive.interval}"
        return folder / f"symbol={archive.symbol}" / f"{archive.name.removesuffix('.zip')}.parquet"

    def _is_covered(self, schema: TableSchema, archive: Archive) -> bool:
        return any(self.path(schema, each).is_file() for each in above(archive))

    def _is_there(self, schema: TableSchema, source: Source) -> bool:
        try:
            path = self.path(schema, source.archive)
            known = pq.read_metadata(path, filesystem=_LOCAL).metadata or {}
        except (OSError, pa.ArrowException):
            return False
        wanted = {_SHA256: source.sha256, _EXACT: str(self.settings.exact).lower()}
        return all(known.get(key.encode()) == value.encode() for key, value in wanted.items())

    def _write_one(self, schema: TableSchema, source: Source) -> Ingested:
        path = self.path(schema, source.archive)
        # Earlier versions wrote to this name, and a killed run left it.
        delete_below(str(self.root), f"{path}.part")
        with part_file(path) as part:
            state, rows, quality = self._guarded_copy(schema, source, part.file)
            replaced = 0
            if state == "ingested":
                part.file.flush()
                DISK.sync(str(self.root.resolve()), [str(part.path.resolve())])
                part.commit()
                DISK.sync_each([str(path.parent.resolve())])
                replaced = self._remove_covered(schema, source.archive)
            else:
                rows = 0
        return Ingested(source.archive, schema.name, state, rows, replaced, quality)

    def _guarded_copy(
        self, schema: TableSchema, source: Source, part: BinaryIO
    ) -> tuple[str, int, ArchiveQuality]:
        """Copy an archive; one that raises an unforeseen error is held back alone."""
        try:
            return self._copy(schema, source, part)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001
            key = source.archive.key
            return "held_back", 0, ArchiveQuality(key=key, fault=unforeseen(error, key))

    def _copy(
        self, schema: TableSchema, source: Source, part: BinaryIO
    ) -> tuple[str, int, ArchiveQuality]:
        arrow = written_schema(iceberg_schema(schema, exact=self.settings.exact))
        notes = {_SHA256: source.sha256, _EXACT: str(self.settings.exact).lower()}
        checker = Inspector(schema, self.settings.policies, load_known_row_holes())
        maker = RowMaker(schema, arrow)
        rows = 0
        quality = ArchiveQuality(key=source.archive.key)
        options = parquet_options(arrow, self.settings.layout)
        with pq.ParquetWriter(part, arrow, **options) as file:
            file.add_key_value_metadata(notes)
            for batch in read_batches([source], schema, exact=self.settings.exact):
                if isinstance(batch, Refused):
                    fault = ArchiveQuality(key=source.archive.key, fault=batch.error.fault)
                    return "refused" if batch.is_lasting else "held_back", 0, fault
                checked: Checked = checker.check(batch)
                rows += checked.frame.height
                for table in _tables(maker, source, checked):
                    file.write_table(table, row_group_size=self.settings.layout.row_group_rows)
                quality = next(iter(checked.qualities), quality)
        state = "quarantined" if quality.verdict == "quarantined" else "ingested"
        return state, rows, quality

    def _remove_covered(self, schema: TableSchema, archive: Archive) -> int:
        covered = [self.path(schema, each) for each in below(archive)]
        there = [path for path in covered if path.is_file()]
        for path in there:
            path.unlink(missing_ok=True)
        return len(there)


def _rank(source: Source) -> int:
    return rank(source.archive)


def _tables(maker: RowMaker, source: Source, checked: Checked) -> Iterable[pa.Table]:
    pieces = [(source.archive.key, sum(checked.rows))]
    for _, rows in maker.split(source.archive.series, checked.frame, pieces):
        yield rows
