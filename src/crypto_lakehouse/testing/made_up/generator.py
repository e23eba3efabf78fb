"""Archives made up from their keys, in the published format.

The same key gives the same bytes, in every process and on every day (with the same zlib). A
month's rows are its days' rows. Rows per day:

| data type                            | here                           | in the archive       |
|--------------------------------------|--------------------------------|----------------------|
| klines and the other three           | one per interval (1s: 86,400)  | the same             |
| trades, aggTrades, bookTicker        | 1000, 600, 500                 | up to millions       |
| fundingRate                          | 3                              | 3, 6 or 24           |
| metrics                              | 288                            | 288                  |
| bookDepth                            | 288 snapshots of 12 bands      | about 2,880          |
| liquidationSnapshot                  | 48                             | any                  |
| BVOLIndex                            | 1440                           | about 86,400         |
| EOHSummary                           | 24 hours of 10 contracts       | all contracts        |

Source: docs/archive-rows.md#data-types, docs/archive.md#sidecars and
docs/archive.md#publication-times.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta

from crypto_lakehouse.core.archive import Archive, Period
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.testing.made_up.rows import ROWS_OF, Day

__all__ = ["archive_bytes", "csv_chunks", "sidecar_bytes", "zip_bytes"]

#: The member's clock time on the day after its period (docs/archive.md#publication-times).
_PACKED_AT = (0, 13, 0)

#: Owner may write, all may read; as a regular file (docs/archive-rows.md#format).
_MODE = 0o100644 << 16

#: zlib's fastest level: a fifth of the time of the default, and files a fifth larger.
_LEVEL = 1


def archive_bytes(archive: Archive, row: MatrixRow) -> bytes:
    """Make the zip of `archive`, which `row` describes."""
    return zip_bytes(archive.member, archive.period, csv_chunks(archive, row))


def csv_chunks(archive: Archive, row: MatrixRow) -> Iterator[bytes]:
    """Write the CSV file: the header, if its era has one, then a chunk for each day.

    Months get their header by their last day, as the header came with the upload.
    """
    if row.has_header(archive.period.last_day):
        yield (",".join(row.columns) + "\n").encode()
    rows_of = ROWS_OF[archive.data_type]
    for day in _days(archive.period):
        yield rows_of(Day(archive.series, day, row.time_unit(day))).encode()


def _days(period: Period) -> Iterator[date]:
    day = period.first_day
    while day <= period.last_day:
        yield day
        day += timedelta(days=1)


def zip_bytes(member: str, period: Period, chunks: Iterator[bytes]) -> bytes:
    """Pack one deflated member, dated shortly after its period's end."""
    packed_on = period.last_day + timedelta(days=1)
    info = zipfile.ZipInfo(member, (packed_on.year, packed_on.month, packed_on.day, *_PACKED_AT))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = _MODE
    info.create_system = 3  # Unix, whatever system this runs on
    text = bytearray()
    for chunk in chunks:
        text += chunk
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(info, text, compresslevel=_LEVEL)
    return buffer.getvalue()


def sidecar_bytes(name: str, body: bytes, *, newline: bool) -> bytes:
    """Write the sidecar of an archive: digest, two spaces, bare file name.

    Source: docs/archive.md#sidecars.
    """
    digest = hashlib.sha256(body).hexdigest()
    end = "\n" if newline else ""
    return f"{digest}  {name}{end}".encode()
