"""Checks the ids at the seams between archives in plain Parquet files.

A file's metadata has the ids of its archives. A finding belongs to the later of two archives; the
run that writes either of them last tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial

from attrs import define, evolve, field

from crypto_lakehouse.core.archive import Archive, Period
from crypto_lakehouse.tables.ingest.ingested import Ingested
from crypto_lakehouse.tables.ingest.parquet_folder import ParquetFolder
from crypto_lakehouse.tables.ingest.provenance import PRESENT, Standing
from crypto_lakehouse.tables.ingest.recorded_seams import Reviewed, sentence_of
from crypto_lakehouse.tables.quality.findings import Finding, verdict_of
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.quality.seams import ID_TYPES, ids_of, seam_findings

__all__ = ["ParquetSeams"]

_Found = Mapping[str, tuple[Finding, ...]]


@define(eq=False)
class ParquetSeams:
    """Holds the results of a run on one table back until all its files are written.

    Tables without consecutive ids have no seams: their results are passed on at once.

    Attributes:
        folder: The files of the table.
        archives: The archives that the run writes.
        tell: Called with each archive's result.
        on_review: Called with each other archive whose findings change.
    """

    folder: ParquetFolder
    archives: tuple[Archive, ...]
    tell: Callable[[Ingested], None]
    on_review: Callable[[Reviewed], None]
    _before: _Found = field(init=False, factory=dict)
    _results: list[Ingested] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        if self.folder.schema.data_type in ID_TYPES:
            self._before = self._found(self._standings())

    def take(self, ingested: Ingested) -> None:
        """Take the result of an archive."""
        if self.folder.schema.data_type in ID_TYPES:
            self._results.append(ingested)
        else:
            self.tell(ingested)

    def finish(self) -> None:
        """Pass the results on, with what is found at the seams of the files that are there now."""
        if not self._results:
            return
        standings = self._standings()
        found = self._found(standings)
        written = set()
        for each in self._results:
            key, quality = each.archive.key, each.quality
            if each.state in PRESENT:
                written.add(key)
                quality = evolve(quality, findings=(*quality.findings, *found.get(key, ())))
            self.tell(evolve(each, quality=quality))
        for key in sorted(standings.keys() - written):
            now = found.get(key, ())
            if now != self._before.get(key, ()):
                own = standings[key].verdict
                verdict = verdict_of([own, *(each.severity for each in now)])
                self.on_review(Reviewed(Archive.parse(key), verdict, sentence_of(now)))

    def _found(self, standings: Mapping[str, Standing]) -> _Found:
        ids = (
            each
            for key, standing in standings.items()
            for each in ids_of(Archive.parse(key), partial(getattr, standing))
        )
        return seam_findings(ids, load_known_row_holes())

    def _standings(self) -> dict[str, Standing]:
        """The archives of the months that the run writes, and of the months before and after."""
        folder = ParquetFolder(self.folder.root, self.folder.schema)
        months = {month for archive in self.archives for month in _months_around(archive)}
        return {
            key: standing
            for month in months
            for key, standing in folder.month(month).standings.items()
        }


def _months_around(archive: Archive) -> Iterable[Archive]:
    month = Period.month(archive.period.first_day)
    day = timedelta(days=1)
    for one in (month.first_day - day, month.first_day, month.last_day + day):
        yield evolve(archive, period=Period.month(one))
