"""Merges archives of one series and month that hold the same rows, and may contradict each other.

A row stands as the day has it if a day has it, else as the month has it, else as the month under
its irregular second name has it, else as the fill of the day has it, else as the recording has it
that received it first. No row is lost that any of them has. A row on which the archives agree is
the month's, so that a month without contradictions is in the table as a whole.

The months are read first and held (`row_spool`); then the days are compared with them, batch by
batch, then the fills with both, and then the excerpts of recordings with all. The outcome follows
from the contents of the archives alone, and so is the same in whatever order they arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl
from attrs import define, field

from crypto_lakehouse.core.archive import Archive, Origin, Partition, Series
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.tables.files.series_writer import Written
from crypto_lakehouse.tables.ingest.archive_parts import ArchivePart, archive_parts
from crypto_lakehouse.tables.ingest.comparison import Comparison, RowComparer
from crypto_lakehouse.tables.ingest.differences import Difference, differences_of
from crypto_lakehouse.tables.ingest.held_rows import HeldRows
from crypto_lakehouse.tables.ingest.ingest_plan import Rebuild
from crypto_lakehouse.tables.ingest.merge_outcome import MergeOutcome
from crypto_lakehouse.tables.ingest.merge_reading import Reading
from crypto_lakehouse.tables.ingest.merge_settings import MergeSettings
from crypto_lakehouse.tables.ingest.overlaps import above, rank
from crypto_lakehouse.tables.ingest.row_changes import ChangeCounter
from crypto_lakehouse.tables.ingest.row_spool import RowSpool
from crypto_lakehouse.tables.ingest.stored_rows import ARCHIVE, StoredDay, UnclearRows
from crypto_lakehouse.tables.quality.findings import ArchiveQuality
from crypto_lakehouse.tables.reading.batch import Source

__all__ = ["ArchiveMerge"]


@define(eq=False)
class ArchiveMerge:
    """Reads, compares and merges the archives of one rebuild.

    Attributes:
        rebuild: The archives.
        settings: How they are read.
        differences: The values that differ between archives, once the rows are read.
        differing: How many rows differ between archives.
        is_done: Whether the rows are to be written; not if every new version was refused.
    """

    rebuild: Rebuild
    settings: MergeSettings
    differences: list[Difference] = field(init=False, factory=list)
    differing: int = field(init=False, default=0)
    is_done: bool = field(init=False, default=False)
    _held: HeldRows = field(init=False)
    _qualities: dict[str, ArchiveQuality] = field(init=False, factory=dict)
    _not_read: dict[str, str] = field(init=False, factory=dict)
    _unclear: dict[str, str] = field(init=False, factory=dict)
    _read: dict[str, int] = field(init=False, factory=dict)
    _counter: ChangeCounter = field(init=False)
    _comparer: RowComparer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        """Forget what was read: the rows are read again if another archive raises an error."""
        self._comparer = self.settings.comparer
        self._counter = ChangeCounter(self._comparer, self._spool())
        self.differing, self.is_done = 0, False
        self.differences = []
        self._held = HeldRows.of(self.settings)
        self._qualities, self._not_read, self._unclear, self._read = {}, {}, {}, {}

    @property
    def series(self) -> Series:
        """The series of the archives."""
        return self.rebuild.series

    @property
    def size_bytes(self) -> int:
        """Bytes of the zips to read."""
        return self.rebuild.size_bytes

    @property
    def has_month(self) -> bool:
        """Whether a monthly archive is among those whose rows were read."""
        return bool(self._held.months)

    @property
    def outcome(self) -> MergeOutcome:
        """What the merge came to, once its rows are written."""
        return MergeOutcome(
            rebuild=self.rebuild, is_done=self.is_done, differences=tuple(self.differences),
            differing=self.differing, changes=self._counter.changes,
            scores=tuple(self._held.scores.results()),
        )  # fmt: skip

    def rows(
        self, check: Callable[[], None]
    ) -> Iterator[tuple[pl.DataFrame, list[tuple[str, int]]]]:
        """Yield the rows in order, and the keys of their archives with their numbers of rows."""
        self._begin()
        try:
            for archive in sorted(self._archives(Partition.MONTHLY), key=rank):
                self._read_month(archive, check)
            self._read_days(Origin.ARCHIVE, check)
            self._read_days(Origin.FILL, check)
            self._read_days(Origin.LIVE, check)
            good = (self._is_good(source.archive.key) for source in self.rebuild.changed)
            self.is_done = self._unread_other() is None and any(good)
            if self.is_done:
                yield from self._write(check)
        finally:
            self._held.close()
            self._counter.old.close()

    def written(self, rows: Mapping[str, int]) -> Iterator[Written]:
        """The results, once all rows are written."""
        other = self._unread_other()
        for source in self.rebuild.changed:
            key = source.archive.key
            quality = self._qualities[key]
            if not self._is_good(key):
                failed = self._not_read.get(key, "refused")
                yield Written(source, failed if quality.fault else "quarantined", 0, quality)
            elif other is not None:
                quality = ArchiveQuality(key=key, fault=other)
                yield Written(source, self._waiting_state(), 0, quality)
            else:
                yield self._standing(source, rows, quality, is_new=True)
        if not self.is_done:
            return
        for source in self.rebuild.others:
            if self._is_good(source.archive.key):
                quality = self._qualities[source.archive.key]
                yield self._standing(source, rows, quality, is_new=False)
        for archive in self._from_table():
            digest = self.rebuild.standings[archive.key].sha256
            old = Source(archive, self.rebuild.changed[0].files, digest)
            yield self._standing(old, rows, None, is_new=False)

    def held_back(self, error: Exception) -> Iterator[Written]:
        """The results if an unforeseen error was raised: no row of the new versions is written."""
        self._begin()
        keys = " ".join(source.archive.key for source in self.rebuild.changed)
        fault = unforeseen(error, keys)
        for source in self.rebuild.changed:
            quality = ArchiveQuality(key=source.archive.key, fault=fault)
            yield Written(source, "held_back", 0, quality)

    def _unread_other(self) -> str | None:
        """Why the merge must wait: an archive that has not changed cannot be read at present."""
        for key, reason in self._unclear.items():
            return f"must be merged with {key}: {reason}"
        for source in self.rebuild.others:
            key = source.archive.key
            if key in self._not_read:
                return f"must be merged with {key}: {self._qualities[key].fault}"
        return None

    def _waiting_state(self) -> str:
        """The state of new versions that wait for another archive: a replaced one is no fault."""
        others = {self._not_read.get(each.archive.key) for each in self.rebuild.others}
        is_fault = "held_back" in others or bool(self._unclear)
        return "held_back" if is_fault else "arriving"

    def _standing(
        self,
        source: Source,
        rows: Mapping[str, int],
        quality: ArchiveQuality | None,
        *,
        is_new: bool,
    ) -> Written:
        key = source.archive.key
        has = rows.get(key, 0)
        known = self.rebuild.standings.get(key)
        was_empty = quality is None and known is not None and known.state == "superseded"
        state = "superseded" if not has and (was_empty or self._read.get(key)) else "ingested"
        is_provisional = source.archive.origin is not Origin.ARCHIVE
        lacking = is_provisional and has > 0 and self._is_covered(source.archive)
        return Written(source, state, has, quality, is_new, not_in_archive=lacking)

    def _is_covered(self, archive: Archive) -> bool:
        """Whether an archive of its time was read."""
        preferred = (each for each in above(archive) if each.origin is Origin.ARCHIVE)
        return any(each.key in self._read for each in preferred)

    def _is_good(self, key: str) -> bool:
        quality = self._qualities.get(key)
        return quality is not None and quality.verdict not in {"unreadable", "quarantined"}

    def _from_table(self) -> list[Archive]:
        """Archives whose rows are taken from the table: no zip of that version can be read."""
        failed = [
            source.archive
            for source in (*self.rebuild.changed, *self.rebuild.others)
            if source.archive.key in self.rebuild.standings
            and source.archive.key in self._qualities
            and not self._is_good(source.archive.key)
        ]
        return [*self.rebuild.stored, *failed]

    def _archives(self, partition: Partition) -> list[Archive]:
        return [each for each in self.rebuild.archives if each.partition is partition]

    def _spool(self) -> RowSpool:
        return RowSpool(self.settings.folder, self.settings.schema.key[0])

    def _sources(self, partition: Partition, origin: Origin = Origin.ARCHIVE) -> list[Source]:
        found = (*self.rebuild.changed, *self.rebuild.others)
        of_kind = (
            each
            for each in found
            if each.archive.partition is partition and each.archive.origin is origin
        )
        return sorted(of_kind, key=lambda source: source.archive.period.first_day)

    # -- reading

    def _parts(self, sources: list[Source]) -> Iterator[ArchivePart]:
        for part in archive_parts(sources, self.settings):
            if part.state != "refused":
                self._not_read[part.source.archive.key] = part.state
            yield part

    def _read_month(self, archive: Archive, check: Callable[[], None]) -> None:
        """Hold the rows of a month; of an irregular second month only those that are missing."""
        spool = self._spool()
        month = Reading(spool)
        sources = [each for each in self._sources(Partition.MONTHLY) if each.archive == archive]
        for part in self._parts(sources):
            check()
            if part.rows is not None:
                self._take_month(month, part.rows)
            if part.quality is not None:
                self._qualities[archive.key] = part.quality
        if not self._is_good(archive.key):
            spool.close()
            if archive not in self._from_table():
                return
            month = Reading(self._spool())
            for rows in self.settings.stored.rows([archive]):
                check()
                self._take_month(month, rows)
        self._finish(archive.key, month)
        self._held.months.append(month.rows)

    def _take_month(self, month: Reading, rows: pl.DataFrame) -> None:
        month.read += rows.height
        if self._held.months:
            compared = self._compared(rows)
            for found, others in compared:
                self._note(month, found, others, stands=False)
                rows = found.missing
        month.rows.add(rows)

    def _read_days(self, origin: Origin, check: Callable[[], None]) -> None:
        """Compare the rows of days, of fills, or of excerpts, with those before them."""
        take = self._takes[origin]
        open_days: dict[str, Reading] = {}
        for part in self._parts(self._sources(Partition.DAILY, origin)):
            check()
            key = part.source.archive.key
            day = open_days.setdefault(key, Reading(self._spool()))
            if part.rows is not None:
                take(day, part.rows)
            if part.quality is not None:
                self._qualities[key] = part.quality
                del open_days[key]
                self._end_day(part.source.archive, day)
        for archive in self._from_table():
            if archive.partition is Partition.DAILY and archive.origin is origin:
                day = Reading(self._spool())
                # Provisional rows that are its own are enough.
                is_day = origin is Origin.ARCHIVE
                stored = self.settings.stored
                for rows in self._stored_day(archive) if is_day else stored.rows([archive]):
                    check()
                    take(day, rows)
                self._hold(archive, day)
                self._held.scores.leave_out(archive)

    @property
    def _takes(self) -> Mapping[Origin, Callable[[Reading, pl.DataFrame], None]]:
        return {
            Origin.ARCHIVE: self._take_day,
            Origin.FILL: self._take_fill,
            Origin.LIVE: self._take_excerpt,
        }

    def _hold(self, archive: Archive, day: Reading) -> None:
        self._finish(archive.key, day)
        if archive.origin is Origin.LIVE:
            self._held.recorded.add(day.rows)
            if self._is_covered(archive):
                self._held.scores.expect(archive)
        else:
            is_fill = archive.origin is Origin.FILL
            (self._held.fills if is_fill else self._held.days).append(day.rows)

    def _end_day(self, archive: Archive, day: Reading) -> None:
        if self._is_good(archive.key):
            self._hold(archive, day)
        else:
            day.rows.close()

    def _stored_day(self, archive: Archive) -> Iterator[pl.DataFrame]:
        """The rows of a day from the table: under its name, and those on which its months agreed.

        The months' rows are needed only if a month has changed.
        """
        months = [
            each for each in self._archives(Partition.MONTHLY) if each.key in self.rebuild.standings
        ]
        new = {source.archive for source in self.rebuild.changed}
        day = StoredDay(
            archive=archive,
            standing=self.rebuild.standings[archive.key],
            changed=[each for each in months if each in new],
            months=months,
            time=self.settings.schema.time,
        )
        try:
            yield from day.rows(self.settings.stored)
        except UnclearRows as error:
            self._unclear[archive.key] = str(error)

    def _take_day(self, day: Reading, rows: pl.DataFrame) -> None:
        day.read += rows.height
        for found, others in self._compared(rows):
            self._note(day, found, others, stands=True)
            day.gone.append(found.different_keys)
            rows = pl.concat([found.missing, found.differing])
        day.rows.add(rows.sort(self.settings.schema.key, maintain_order=True))

    def _take_fill(self, fill: Reading, rows: pl.DataFrame) -> None:
        """Hold the rows whose keys no archive has; the archives' values stand."""
        fill.read += rows.height
        for found, others in self._compared(rows, self._held.days):
            self._note(fill, found, others, stands=False)
            rows = found.missing
        fill.rows.add(rows.sort(self.settings.schema.key, maintain_order=True))

    def _take_excerpt(self, excerpt: Reading, rows: pl.DataFrame) -> None:
        """Hold the rows whose keys no archive and no fill has; the others' values stand."""
        excerpt.read += rows.height
        others = self._held.near(rows, self._held.days, self._held.fills)
        if others is not None:
            found = self._comparer.compare_known(rows, others)
            self._note(excerpt, found, others, stands=False)
            self._held.scores.take(rows, found.differing)
            rows = found.missing
        excerpt.rows.add(rows.sort(self.settings.schema.key, maintain_order=True))

    # -- comparing

    def _compared(
        self, rows: pl.DataFrame, *spools: list[RowSpool]
    ) -> Iterator[tuple[Comparison, pl.DataFrame]]:
        """Compare rows with those that months, and days, have at their keys, if there are any."""
        others = self._held.near(rows, *spools)
        if others is not None:
            yield self._comparer.compare(rows, others), others

    def _note(self, day: Reading, found: Comparison, others: pl.DataFrame, *, stands: bool) -> None:
        """Note the values that differ; the days' stand, and the month's with the regular name."""
        day.differing += found.different_keys.height
        day.differences += differences_of(self._comparer, found, others, stands=stands)

    def _finish(self, key: str, day: Reading) -> None:
        self._read[key] = day.read
        self.differences += day.differences
        self.differing += day.differing
        for keys in day.gone:
            self._held.give_way(keys)

    # -- writing

    def _write(
        self, check: Callable[[], None]
    ) -> Iterator[tuple[pl.DataFrame, list[tuple[str, int]]]]:
        replaced = self.rebuild.replaced
        if replaced:
            for rows in self.settings.stored.rows(replaced):
                check()
                self._counter.add_old(rows)
        for rows in self._held.rows():
            check()
            self._counter.add_new(rows)
            self._held.scores.see(rows)
            runs = rows[ARCHIVE].rle().struct.unnest()
            yield rows, [(str(name), int(count)) for count, name in runs.iter_rows()]
        self._counter.finish()
        self.differing += self._held.recorded.differing
