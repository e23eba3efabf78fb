"""Plain Parquet files in folders named after partitions, without a catalog.

One archive is one file: `spot/klines/interval=1m/symbol=BTCUSDT/BTCUSDT-1m-2024-01.parquet`. It
gets its final name when it is complete, so a reader sees either the old or the new rows. A month
and its days are merged (`merging`) into the month's file, and the days' files are removed. A day
and its segment are merged into the day's file.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import define, evolve, field

from crypto_lakehouse.core.archive import Archive, Partition, Period, Series
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.stores.user_path import absolute_path
from crypto_lakehouse.stores.whole_file import PartFile, part_file, remove_stale_parts
from crypto_lakehouse.tables.files.parquet_options import parquet_options
from crypto_lakehouse.tables.files.row_groups import RowGroups
from crypto_lakehouse.tables.files.series_writer import Written
from crypto_lakehouse.tables.files.table_rows import RowMaker
from crypto_lakehouse.tables.iceberg.data_files import written_schema
from crypto_lakehouse.tables.iceberg.local_io import DISK, check_inside, delete_below
from crypto_lakehouse.tables.ingest.differences import differences_in
from crypto_lakehouse.tables.ingest.in_threads import in_threads
from crypto_lakehouse.tables.ingest.ingest_plan import IngestPlan, Rebuild, plan_ingestion
from crypto_lakehouse.tables.ingest.ingest_settings import IngestSettings
from crypto_lakehouse.tables.ingest.ingested import Ingested, merged_result
from crypto_lakehouse.tables.ingest.merge_settings import MergeSettings
from crypto_lakehouse.tables.ingest.merging import ArchiveMerge
from crypto_lakehouse.tables.ingest.parquet_folder import (
    FileRows,
    MonthFiles,
    ParquetFolder,
    notes_of,
)
from crypto_lakehouse.tables.ingest.parquet_seams import ParquetSeams
from crypto_lakehouse.tables.ingest.parquet_works import (
    archives_in,
    by_day,
    has_month,
    is_merged,
    works_of,
)
from crypto_lakehouse.tables.ingest.provenance import PRESENT, Standing
from crypto_lakehouse.tables.ingest.recorded_seams import Reviewed
from crypto_lakehouse.tables.ingest.zip_at_hand import zip_at_hand
from crypto_lakehouse.tables.quality.findings import ArchiveQuality
from crypto_lakehouse.tables.quality.inspector import Inspector
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.schemas import TableSchema
from crypto_lakehouse.tables.schema.table_types import iceberg_schema

__all__ = ["PlainParquet"]

_Month = tuple[Series, int, int]


@define
class PlainParquet:
    """Writes archives as Parquet files below a folder.

    Attributes:
        root: The folder.
        settings: How to ingest.
        tell: Called with each archive's result.
        check: Called regularly; may raise to cancel.
        on_read: Called with the number of archives that were written since the last call.
        on_review: Called with each archive of earlier runs whose findings have changed.
    """

    root: Path = field(converter=absolute_path)
    settings: IngestSettings
    tell: Callable[[Ingested], None]
    check: Callable[[], None]
    on_read: Callable[[int], None] = ignore
    on_review: Callable[[Reviewed], None] = ignore

    def write(self, schema: TableSchema, sources: list[Source]) -> tuple[int, int]:
        """Write archives of one table.

        Returns:
            How many archives are unchanged, and how many more are, whose rows are in their month's
            file under its name.

        Raises:
            LakeError: A symbolic link leads out of the folder.
            OSError: A file cannot be read or written.
        """
        return _TableFiles(self, ParquetFolder(self.root, schema)).write(sources)


@define(eq=False)
class _TableFiles:
    run: PlainParquet
    folder: ParquetFolder
    _months: dict[_Month, MonthFiles] = field(init=False, factory=dict)
    _commit_name: str = field(init=False, factory=lambda: uuid.uuid4().hex)

    @property
    def schema(self) -> TableSchema:
        return self.folder.schema

    def write(self, sources: list[Source]) -> tuple[int, int]:
        plans = self._plans(sources)
        works = [each for plan in plans for work in plan.ingest for each in works_of(work)]
        for path in {self._target(each).parent for each in works}:
            self._prepare(path)
        jobs = (partial(self._write, each) for each in works)
        archives = tuple(each for work in works for each in archives_in(work))
        seams = ParquetSeams(self.folder, archives, self.run.tell, self.run.on_review)
        try:
            with closing(in_threads(jobs, self.run.settings.workers, self.run.check)) as done:
                for results in done:
                    self.run.on_read(len(results))
                    for ingested in results:
                        seams.take(ingested)
        finally:
            seams.finish()
        return sum(plan.unchanged for plan in plans), sum(plan.covered for plan in plans)

    def _plans(self, sources: list[Source]) -> list[IngestPlan]:
        settings = self.run.settings
        by_month: dict[_Month, list[Source]] = defaultdict(list)
        for source in sources:
            by_month[_month(source)].append(source)
        sorted_out: dict[bool, list[Source]] = {False: [], True: []}
        for name, some in by_month.items():
            month = self._months[name] = self.folder.month(some[0].archive)
            keys = {each.archive.key for each in some}
            sorted_out[month.must_be_written(keys, exact=settings.exact)] += some
        standings = {
            key: one for each in self._months.values() for key, one in each.standings.items()
        }
        return [
            plan_ingestion(some, standings, zip_at_hand, again=again or settings.again)
            for again, some in sorted_out.items()
        ]

    def _prepare(self, folder: Path) -> None:
        check_inside(str(folder), str(self.folder.root))
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale_parts(folder)

    def _target(self, work: Source | Rebuild) -> Path:
        if isinstance(work, Source):
            return self.folder.path(work.archive)
        archive = work.changed[0].archive
        is_whole = is_merged(work) and has_month(work)
        return self.folder.whole_path(archive) if is_whole else self.folder.path(archive)

    def _write(self, work: Source | Rebuild, check: Callable[[], None]) -> list[Ingested]:
        check()
        if isinstance(work, Rebuild):
            return self._merge(work, check)
        return [self._copy(work, check)]

    # -- one archive

    def _copy(self, source: Source, check: Callable[[], None]) -> Ingested:
        archive = source.archive
        with self._part(self._target(source)) as part:
            written = self._guarded_copy(source, part, check)
            if written.state == "ingested":
                self._commit(part)
        replaced = int(written.state == "ingested" and archive.key in self._of(source).standings)
        return _ingested(self.schema.name, written, replaced=replaced)

    def _guarded_copy(self, source: Source, part: PartFile, check: Callable[[], None]) -> Written:
        """Copy an archive; one that raises an unforeseen error is held back alone."""
        try:
            return self._copy_rows(source, part, check)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001
            key = source.archive.key
            fault = ArchiveQuality(key=key, fault=unforeseen(error, key))
            return Written(source, "held_back", 0, fault)

    def _copy_rows(self, source: Source, part: PartFile, check: Callable[[], None]) -> Written:
        settings, key = self.run.settings, source.archive.key
        checker = Inspector(self.schema, settings.policies, load_known_row_holes())
        rows = 0
        quality = ArchiveQuality(key=key)
        with _OpenFile.at(part, self.schema, settings) as file:
            for batch in read_batches([source], self.schema, exact=settings.exact):
                check()
                if isinstance(batch, Refused):
                    fault = ArchiveQuality(key=key, fault=batch.error.fault)
                    return Written(source, batch.state, 0, fault)
                checked = checker.check(batch)
                rows += checked.frame.height
                for table in file.maker.split(
                    source.series, checked.frame, [(key, sum(checked.rows))]
                ):
                    file.groups.add(table[1])
                quality = next(iter(checked.qualities), quality)
            if quality.verdict == "quarantined":
                return Written(source, "quarantined", 0, quality)
            written = Written(source, "ingested", rows, quality)
            file.note({key: _standing(written, {})})
        return written

    # -- archives that are merged

    def _merge(self, rebuild: Rebuild, check: Callable[[], None]) -> list[Ingested]:
        source = rebuild.changed[0]
        merge = ArchiveMerge(rebuild, self._merge_settings(source))
        is_whole = is_merged(rebuild)
        with self._part(self._target(rebuild)) as part:
            try:
                written = self._merge_rows(merge, part, check)
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001
                written = [*merge.held_back(error)]
                return [_ingested(self.schema.name, each) for each in written]
            if is_whole and has_month(rebuild) and not merge.has_month:
                return self._without_month(rebuild, written, check)
            if merge.is_done:
                if is_whole:
                    self._write_differences(merge)
                self._commit(part)
                self._remove_merged(rebuild, part.target)
        return [*_results(self.schema.name, merge, written)]

    def _merge_settings(self, source: Source) -> MergeSettings:
        settings = self.run.settings
        return MergeSettings(
            schema=self.schema,
            exact=settings.exact,
            policies=settings.policies,
            stored=FileRows(self.schema, settings.exact, self._of(source)),
            folder=self.folder.root,
        )

    def _merge_rows(
        self, merge: ArchiveMerge, part: PartFile, check: Callable[[], None]
    ) -> list[Written]:
        counts: Counter[str] = Counter()
        with _OpenFile.at(part, self.schema, self.run.settings) as file:
            for frame, counted in merge.rows(check):
                for key, count in counted:
                    counts[key] += count
                for _, rows in file.maker.split(merge.series, frame, counted):
                    file.groups.add(rows)
            written = [*merge.written(counts)]
            known = merge.rebuild.standings
            stand = (each for each in written if each.state in PRESENT)
            file.note({each.source.archive.key: _standing(each, known) for each in stand})
        return written

    def _without_month(
        self, rebuild: Rebuild, written: Iterable[Written], check: Callable[[], None]
    ) -> list[Ingested]:
        """No month can be read: the days are not merged, and have files of their own."""
        months = [each for each in written if each.source.archive.partition is Partition.MONTHLY]
        results = [_ingested(self.schema.name, each) for each in months]
        for work in by_day(rebuild):
            results += self._write(work, check)
        return results

    def _write_differences(self, merge: ArchiveMerge) -> None:
        """Write what differs; it is true even if the run is killed before the rows are there."""
        path = self._differences_path(merge.rebuild)
        if not merge.differences:
            delete_below(str(self.folder.root), str(path))
            return
        rows = differences_in(self.schema.name, merge.differences, commit=self._commit_name)
        self._prepare(path.parent)
        with part_file(path) as part:
            pq.write_table(rows, part.file)
            self._commit(part)

    def _differences_path(self, rebuild: Rebuild) -> Path:
        period = rebuild.changed[0].archive.period
        if has_month(rebuild):
            period = Period.month(period.first_day)
        return self.folder.differences_path(Archive(rebuild.series, period))

    def _remove_merged(self, rebuild: Rebuild, target: Path) -> None:
        """Remove the files of the archives that are in the target now."""
        if has_month(rebuild):  # the month's file has the differences of its days
            for archive in rebuild.archives:
                if archive.partition is Partition.DAILY:
                    path = self.folder.differences_path(archive)
                    delete_below(str(self.folder.root), str(path))
        for file in self._of(rebuild.changed[0]).files:
            keys = {archive.key for archive in rebuild.archives}
            if file.path != target and file.standings.keys() <= keys:
                delete_below(str(self.folder.root), str(file.path))

    def _of(self, source: Source) -> MonthFiles:
        return self._months[_month(source)]

    @contextmanager
    def _part(self, path: Path) -> Iterator[PartFile]:
        # Earlier versions wrote to this name, and a killed run left it.
        delete_below(str(self.folder.root), f"{path}.part")
        with part_file(path) as part:
            yield part

    def _commit(self, part: PartFile) -> None:
        part.file.flush()
        DISK.sync(str(self.folder.root.resolve()), [str(part.path.resolve())])
        part.commit()
        DISK.sync_each([str(part.target.parent.resolve())])


@define(eq=False)
class _OpenFile:
    """A Parquet file that is being written.

    Attributes:
        groups: Takes its rows.
        maker: Makes them of frames.
    """

    _writer: pq.ParquetWriter
    _exact: bool
    groups: RowGroups
    maker: RowMaker

    @classmethod
    @contextmanager
    def at(
        cls, part: PartFile, schema: TableSchema, settings: IngestSettings
    ) -> Iterator[_OpenFile]:
        arrow = written_schema(iceberg_schema(schema, exact=settings.exact))
        size = settings.layout.row_group_rows
        options = parquet_options(arrow, settings.layout)
        with pq.ParquetWriter(part.file, arrow, **options) as writer:

            def write(group: pa.Table) -> None:
                writer.write_table(group, row_group_size=size)

            yield cls(writer, settings.exact, RowGroups(size, write), RowMaker(schema, arrow))

    def note(self, standings: Mapping[str, Standing]) -> None:
        """Write the last rows, and name the archives of the file."""
        self.groups.finish()
        self._writer.add_key_value_metadata(notes_of(standings, exact=self._exact))


def _month(source: Source) -> _Month:
    day = source.archive.period.first_day
    return source.archive.series, day.year, day.month


def _standing(written: Written, known: Mapping[str, Standing]) -> Standing:
    key, quality = written.source.archive.key, written.quality
    if quality is None:
        return evolve(known[key], state=written.state, rows=written.rows)
    return Standing(
        written.state, written.source.sha256, written.rows,
        quality.first_at, quality.last_at, quality.rows,
        quality.first_id, quality.last_id, quality.first_trade_id, quality.last_trade_id,
        quality.verdict,
    )  # fmt: skip


def _ingested(table: str, written: Written, *, replaced: int = 0) -> Ingested:
    assert written.quality is not None  # noqa: S101 - it was read, or the reason is in it
    return Ingested(
        written.source.archive, table, written.state, written.rows, replaced, written.quality
    )


def _results(table: str, merge: ArchiveMerge, written: Iterable[Written]) -> Iterator[Ingested]:
    all_of_them = [*written]
    states = {each.source.archive.key: each.state for each in all_of_them}
    new = [each for each in all_of_them if each.is_new]
    present = {each.source.archive.key for each in new if each.state in PRESENT}
    for each in new:
        ingested = _ingested(table, each)
        stands = each.state in PRESENT
        yield merged_result(ingested, merge.outcome, states, present) if stands else ingested
