"""The work of one worker: the archives of some series, from zips to finished data files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import groupby
from typing import Any, Protocol, TypeVar, cast

import polars as pl
from attrs import define, evolve, field, frozen
from pyiceberg.manifest import DataFile

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.core.faults import ends_run, unforeseen
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.tables.files.partition_writer import PartitionWriter, WriterFactory
from crypto_lakehouse.tables.files.table_rows import RowMaker
from crypto_lakehouse.tables.iceberg.data_files import (
    archives_in,
    partition_of,
    rows_without,
    written_schema,
)
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Policy
from crypto_lakehouse.tables.quality.inspector import Checked, Inspector
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.reading.batch import Batch, Piece, Source
from crypto_lakehouse.tables.reading.read_ahead import ahead_of
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["Merge", "SeriesWriter", "Work", "Written", "work_items"]

#: Series of small archives share one item of work up to this many bytes of zips.
_ITEM_BYTES = 4 << 20

#: Partitions of a series whose files are open at once: rows near a period's edge may belong to
#: the next one.
_OPEN_PARTITIONS = 2


@frozen
class Written:
    """The result of writing one archive to data files.

    Attributes:
        source: The archive.
        state: How it stands now, as in `lakehouse.archives`.
        rows: Its rows that were written.
        quality: What was read and found; None if its rows were taken from the table.
        is_new: Whether this version was not in the lake.
        not_in_archive: Whether it is a segment with rows that the archives of its time lack.
    """

    source: Source
    state: str
    rows: int
    quality: ArchiveQuality | None
    is_new: bool = True
    not_in_archive: bool = False


class Work(Protocol):
    """Something to read and write: an archive, or several that are merged."""

    @property
    def series(self) -> Series:
        """The series of its rows."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes to read."""
        ...


class Merge(Work, Protocol):
    """Archives with the same rows, which are merged before they are written."""

    def rows(
        self, check: Callable[[], None]
    ) -> Iterator[tuple[pl.DataFrame, list[tuple[str, int]]]]:
        """Yield the rows in order, and the keys of their archives with their numbers of rows."""
        ...

    def written(self, rows: Mapping[str, int]) -> Iterable[Written]:
        """The results, once all rows are written.

        Args:
            rows: How many rows of each archive were written, by key.
        """
        ...

    def held_back(self, error: Exception) -> Iterable[Written]:
        """The results if an unforeseen error was raised and nothing remains written."""
        ...


_Work = TypeVar("_Work", bound=Work)


def work_items(works: Iterable[_Work]) -> Iterator[tuple[_Work, ...]]:
    """Split sorted work into items of whole series, and group small series."""
    item: list[_Work] = []
    size = 0
    for _, of_series in groupby(works, key=lambda work: work.series):
        some = list(of_series)
        bytes_here = sum(work.size_bytes for work in some)
        if item and size + bytes_here > _ITEM_BYTES:
            yield tuple(item)
            item, size = [], 0
        item += some
        size += bytes_here
    if item:
        yield tuple(item)


@define(eq=False, kw_only=True)
class SeriesWriter:
    """Reads, checks and writes the archives of some series.

    Attributes:
        schema: The columns of the table.
        works: The archives and merges, sorted by series and period.
        exact: Whether numbers become decimal(38, 18) instead of float64.
        policies: What to do about findings, by check, if not the check's default.
        files: Opens the data files.
        check: Called between batches; may raise to cancel.
        ahead: Whether the next batch is read while one is checked and written.
        on_read: Called with the number of new archives that were read since the last call.
    """

    schema: TableSchema
    works: tuple[Source | Merge, ...]
    exact: bool
    policies: Mapping[str, Policy]
    files: WriterFactory
    check: Callable[[], None]
    ahead: bool
    on_read: Callable[[int], None] = ignore
    _writers: dict[tuple[Any, ...], PartitionWriter] = field(init=False, factory=dict)
    _done: list[DataFile] = field(init=False, factory=list)
    _rows: dict[str, int] = field(init=False, factory=lambda: defaultdict(int))
    _spoiled: set[str] = field(init=False, factory=set)
    _number: int = field(init=False, default=0)
    _announced: WriterFactory = field(init=False)
    _locations: list[str] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._announced = evolve(self.files, announce=self._announce)

    def _announce(self, location: str) -> None:
        self.files.announce(location)
        self._locations.append(location)

    def run(self) -> tuple[list[DataFile], list[Written]]:
        """Write all archives; no file holds rows of an archive that was refused or quarantined.

        If an archive raises an error that no code foresaw, the archives and merges are written one
        by one, and that one alone is held back: it is not recorded, and the next run tries it
        again.

        Raises:
            LakehouseError: The error concerns every archive.
            OSError: A file cannot be written.
        """
        try:
            return self._run()
        except OSError:
            raise
        except Exception as error:
            if ends_run(error):
                raise
            for location in self._locations:
                with suppress(FileNotFoundError):
                    self.files.table.io.delete(location)
            if len(self.works) == 1:
                work = self.works[0]
                if isinstance(work, Source):
                    return [], [_held_back(work, error)]
                return [], [*work.held_back(error)]
        files: list[DataFile] = []
        written: list[Written] = []
        for number, work in enumerate(self.works):
            named = self.files.named(f"alone{number}")
            some, of_one = evolve(self, works=(work,), files=named).run()
            files += some
            written += of_one
        return files, written

    def _run(self) -> tuple[list[DataFile], list[Written]]:
        checker = Inspector(self.schema, self.policies, load_known_row_holes())
        maker = RowMaker(self.schema, written_schema(self.files.table.schema()))
        written: list[Written] = []
        try:
            for is_archive, some in groupby(self.works, lambda work: isinstance(work, Source)):
                if is_archive:
                    sources = [work for work in some if isinstance(work, Source)]
                    written += [*map(self._final, self._archives(sources, checker, maker))]
                else:
                    for work in some:
                        written += self._merge(cast("Merge", work), maker)
            self._close_all_but(0)
        except BaseException:
            for writer in self._writers.values():
                writer.abandon()
            raise
        return self._without_spoiled(), written

    def _archives(
        self, sources: Iterable[Source], checker: Inspector, maker: RowMaker
    ) -> list[Written]:
        written: list[Written] = []
        batches = read_batches(sources, self.schema, exact=self.exact)
        with ahead_of(batches, ahead=self.ahead) as coming:
            for batch in coming:
                self.check()
                before = len(written)
                if isinstance(batch, Refused):
                    written.append(self._refused(batch, checker))
                else:
                    checked = checker.check(batch)
                    written += self._checked(batch, checked)
                    self._write(maker, batch, checked)
                self.on_read(len(written) - before)
        return written

    def _merge(self, merge: Merge, maker: RowMaker) -> Iterable[Written]:
        for frame, counted in merge.rows(self.check):
            self._write_counted(maker, merge.series, frame, counted)
        written = [*merge.written(self._rows)]
        self.on_read(sum(each.is_new for each in written))
        return written

    def _final(self, written: Written) -> Written:
        """Add the number of rows, which is known once the last batch is written."""
        if written.state != "ingested":
            return written
        return evolve(written, rows=self._rows[written.source.archive.key])

    def _refused(self, refused: Refused, checker: Inspector) -> Written:
        key = refused.source.archive.key
        checker.forget(refused.source)
        if self._rows[key]:
            self._spoiled.add(key)
        quality = ArchiveQuality(key=key, fault=refused.error.fault)
        return Written(refused.source, refused.state, 0, quality)

    def _checked(self, batch: Batch, checked: Checked) -> Iterator[Written]:
        sources = {piece.source.archive.key: piece.source for piece in batch.pieces}
        for quality in checked.qualities:
            bad = quality.verdict == "quarantined"
            if bad and self._rows[quality.key]:
                self._spoiled.add(quality.key)
            state = "quarantined" if bad else "ingested"
            yield Written(sources[quality.key], state, 0, quality)

    def _write(self, maker: RowMaker, batch: Batch, checked: Checked) -> None:
        bad = {each.key for each in checked.qualities if each.verdict == "quarantined"}
        begin = 0
        pieces = zip(batch.pieces, checked.rows, strict=True)
        for series, run in groupby(pieces, key=lambda pair: pair[0].source.archive.series):
            counted = list(run)
            rows = sum(count for _, count in counted)
            frame = checked.frame.slice(begin, rows)
            begin += rows
            if any(piece.source.archive.key in bad for piece, _ in counted):
                frame, counted = _without(frame, counted, bad)
            self._write_series(maker, series, frame, counted)

    def _write_series(
        self, maker: RowMaker, series: Series, frame: pl.DataFrame, counted: list[tuple[Piece, int]]
    ) -> None:
        named = [(piece.source.archive.key, count) for piece, count in counted]
        self._write_counted(maker, series, frame, named)

    def _write_counted(
        self, maker: RowMaker, series: Series, frame: pl.DataFrame, named: list[tuple[str, int]]
    ) -> None:
        for key, count in named:
            self._rows[key] += count
        for partition, rows in maker.split(series, frame, named):
            self._writer(partition).write(rows)

    def _writer(self, partition: tuple[Any, ...]) -> PartitionWriter:
        writer = self._writers.pop(partition, None)
        if writer is None:
            self._close_all_but(_OPEN_PARTITIONS)
            writer = self._announced.open(partition, self._number)
            self._number += 1
        self._writers[partition] = writer  # most recently used last
        return writer

    def _close_all_but(self, kept: int) -> None:
        while len(self._writers) > kept:
            oldest = next(iter(self._writers))
            self._done += self._writers[oldest].close()
            del self._writers[oldest]

    def _without_spoiled(self) -> list[DataFile]:
        """Rewrite the files that hold rows of archives whose faults were found too late."""
        if not self._spoiled:
            return self._done
        clean: list[DataFile] = []
        for number, file in enumerate(self._done):
            if self._spoiled.isdisjoint(archives_in(self.files.table, file)):
                clean.append(file)
                continue
            writer = self._announced.open(partition_of(file), f"clean{number}")
            for rows in rows_without(self.files.table, file.file_path, frozenset(self._spoiled)):
                writer.write(rows)
            clean += writer.close()
            self.files.table.io.delete(file.file_path)
        return clean


def _held_back(source: Source, error: Exception) -> Written:
    key = source.archive.key
    return Written(source, "held_back", 0, ArchiveQuality(key=key, fault=unforeseen(error, key)))


def _without(
    frame: pl.DataFrame, counted: list[tuple[Piece, int]], bad: set[str]
) -> tuple[pl.DataFrame, list[tuple[Piece, int]]]:
    kept, parts, begin = [], [frame.clear()], 0
    for piece, count in counted:
        if piece.source.archive.key not in bad:
            kept.append((piece, count))
            parts.append(frame.slice(begin, count))
        begin += count
    return pl.concat(parts), kept
