"""One worker's share: the archives of some series, from zips to finished data files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import polars as pl
from attrs import define, evolve, field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.files.partition_writer import PartitionWriter
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

__all__ = ["SeriesWriter", "Written", "work_items"]

#: Series of small archives are worked on together up to so many bytes of zips.
_ITEM_BYTES = 4 << 20

#: Partitions of a series whose files are open at once: rows near a period's edge may belong to
#: the next one.
_OPEN_PARTITIONS = 2


@frozen
class Written:
    """How one archive fared on its way into data files."""

    source: Source
    state: str
    rows: int
    quality: ArchiveQuality


def work_items(sources: Iterable[Source]) -> Iterator[tuple[Source, ...]]:
    """Cut sorted archives into items of whole series, small ones together."""
    item: list[Source] = []
    size = 0
    for _, of_series in groupby(sources, key=lambda source: source.archive.series):
        some = list(of_series)
        bytes_here = sum(source.path.stat().st_size for source in some)
        if item and size + bytes_here > _ITEM_BYTES:
            yield tuple(item)
            item, size = [], 0
        item += some
        size += bytes_here
    if item:
        yield tuple(item)


@define(eq=False)
class SeriesWriter:
    """Reads, checks and writes the archives of some series.

    Attributes:
        stem: What the names of its files begin with.
        announce: Told of each file before it is created.
        check: Called between batches; raises to give up.
        ahead: Whether the next batch is read while one is checked and written.
    """

    schema: TableSchema
    table: Table
    sources: tuple[Source, ...]
    exact: bool
    policies: Mapping[str, Policy]
    layout: FileLayout
    stem: str
    announce: Callable[[str], None]
    check: Callable[[], None]
    ahead: bool = field(kw_only=True)
    _writers: dict[tuple[Any, ...], PartitionWriter] = field(init=False, factory=dict)
    _files: list[DataFile] = field(init=False, factory=list)
    _rows: dict[str, int] = field(init=False, factory=lambda: defaultdict(int))
    _spoiled: set[str] = field(init=False, factory=set)
    _number: int = field(init=False, default=0)

    def run(self) -> tuple[list[DataFile], list[Written]]:
        """Do the work; files of archives that turned out bad do not have their rows."""
        checker = Inspector(self.schema, self.policies, load_known_row_holes())
        maker = RowMaker(self.schema, written_schema(self.table.schema()))
        written: list[Written] = []
        batches = read_batches(self.sources, self.schema, exact=self.exact)
        try:
            with ahead_of(batches, ahead=self.ahead) as coming:
                for batch in coming:
                    self.check()
                    if isinstance(batch, Refused):
                        written.append(self._refused(batch, checker))
                    else:
                        checked = checker.check(batch)
                        written += self._judged(batch, checked)
                        self._write(maker, batch, checked)
            self._close_all_but(0)
        except BaseException:
            for writer in self._writers.values():
                writer.abandon()
            raise
        return self._without_spoiled(), [self._final(each) for each in written]

    def _final(self, written: Written) -> Written:
        """With its rows, which are counted until its last batch is written."""
        if written.state != "ingested":
            return written
        return evolve(written, rows=self._rows[written.source.archive.key])

    def _refused(self, refused: Refused, checker: Inspector) -> Written:
        key = refused.source.archive.key
        checker.forget(refused.source)
        if self._rows[key]:
            self._spoiled.add(key)
        quality = ArchiveQuality(key=key, fault=refused.error.fault)
        return Written(refused.source, "refused", 0, quality)

    def _judged(self, batch: Batch, checked: Checked) -> Iterator[Written]:
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
        for key, count in named:
            self._rows[key] += count
        for partition, rows in maker.split(series, frame, named):
            self._writer(partition).write(rows)

    def _writer(self, partition: tuple[Any, ...]) -> PartitionWriter:
        writer = self._writers.pop(partition, None)
        if writer is None:
            self._close_all_but(_OPEN_PARTITIONS)
            stem = f"{self.stem}-{self._number}"
            self._number += 1
            writer = PartitionWriter(self.table, partition, stem, self.announce, self.layout)
        self._writers[partition] = writer  # the latest used is the last one
        return writer

    def _close_all_but(self, kept: int) -> None:
        while len(self._writers) > kept:
            oldest = next(iter(self._writers))
            self._files += self._writers[oldest].close()
            del self._writers[oldest]

    def _without_spoiled(self) -> list[DataFile]:
        """Write files anew that hold rows of archives found bad only after those were written."""
        if not self._spoiled:
            return self._files
        clean: list[DataFile] = []
        for number, file in enumerate(self._files):
            if self._spoiled.isdisjoint(archives_in(self.table, file)):
                clean.append(file)
                continue
            stem = f"{self.stem}-clean{number}"
            writer = PartitionWriter(
                self.table, partition_of(file), stem, self.announce, self.layout
            )
            for rows in rows_without(self.table, file.file_path, frozenset(self._spoiled)):
                writer.write(rows)
            clean += writer.close()
            self.table.io.delete(file.file_path)
        return clean


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
