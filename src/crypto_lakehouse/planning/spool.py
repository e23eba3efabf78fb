"""Keeps the series of a listed plan on disk, so that memory does not grow with the plan."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, partial
from typing import IO, Any

from attrs import define, field

from crypto_lakehouse.core.archive import DataType, Market, Period, Series
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.core.temporary_files import temporary_errors

__all__ = ["Place", "SeriesSpool"]

#: Where a series belongs in the plan: row, symbol, interval.
Place = tuple[int, str, int]

_disk = partial(temporary_errors, "the plan")


def _temporary_file() -> IO[bytes]:
    with _disk():
        return tempfile.TemporaryFile()


@define
class SeriesSpool:
    """Series as lines of JSON in an anonymous temporary file, which goes with the process.

    Series may be added in any order; they are read back in the order of their places. The owner
    closes it.

    Args:
        file: Where they are kept; by default a new temporary file.

    Raises:
        StoreError: The folder of temporary files cannot be written; from each method.
    """

    _file: IO[bytes] = field(factory=_temporary_file, repr=False)
    _index: list[tuple[Place, int]] = field(factory=list, init=False, repr=False)

    def add(self, place: Place, planned: PlannedSeries) -> None:
        """Add one series."""
        series = planned.series
        record = [
            [series.market, series.data_type, series.symbol, series.interval],
            [_packed(item) for item in planned.periods],
        ]
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with _disk():
            self._index.append((place, self._file.seek(0, 2)))
            self._file.write(line)

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[PlannedSeries]:
        self._index.sort()
        for _, offset in self._index:
            with _disk():
                self._file.seek(offset)
                line = self._file.readline()
            yield _unpacked(json.loads(line))

    def close(self) -> None:
        """Free the disk space."""
        with suppress(OSError):  # data that a full disk refused is discarded anyway
            self._file.close()


def _packed(item: PlannedPeriod) -> list[Any]:
    listed = item.listed
    facts = (
        (
            *(listed.size_bytes, listed.etag, listed.last_modified),
            *(listed.sidecar_etag, listed.sidecar_bytes),
        )
        if listed
        else ()
    )
    return [item.period.text, item.not_published, item.lag_days, item.unlisted, *facts]


def _unpacked(record: list[Any]) -> PlannedSeries:
    (market, data_type, symbol, interval), items = record
    series = Series(Market(market), DataType(data_type), symbol, interval)
    return PlannedSeries(series, tuple(_period(*item) for item in items))


def _period(
    text: str,
    why: str,
    lag_days: int,
    unlisted: bool,
    *facts: Any,
) -> PlannedPeriod:
    listed = None
    if facts:
        size, etag, last_modified, sidecar_etag, sidecar_bytes = facts
        listed = ListedArchive(
            size_bytes=size,
            etag=etag,
            last_modified=last_modified,
            sidecar_etag=sidecar_etag,
            sidecar_bytes=sidecar_bytes,
        )
    return PlannedPeriod(_parsed(text), why, lag_days, listed, unlisted)


@lru_cache(maxsize=65_536)
def _parsed(text: str) -> Period:
    return Period.parse(text)
