"""What is served: small archives, archives of 4 MB, and archives of 256 MiB of two kinds."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.testing.made_up.generator import archive_bytes, sidecar_bytes

__all__ = ["Mirror", "large_mirror", "small_mirror"]

FIRST_DAY = date(2020, 1, 1)
DAYS = 1000
_MIB = 1 << 20
#: How many months a series of large archives has; a multiple of a year.
_MONTHS = 48


@frozen
class Mirror:
    """A tree in the published layout.

    Attributes:
        root: Where it lies.
        archives: What is in it, in order.
        size_bytes: The zips' sizes together.
        selection: The configuration that selects just these.
    """

    root: Path
    archives: tuple[Archive, ...]
    size_bytes: int
    selection: Mapping[str, object]

    @property
    def keys(self) -> list[str]:
        """Every object's key, zip and sidecar in turn."""
        return [key for archive in self.archives for key in (archive.key, archive.sidecar_key)]


def small_mirror(root: Path, count: int) -> Mirror:
    """Daily 5m klines, as a real day has: about 17 kB each."""
    archives = tuple(islice(_days(), count))
    row = load_matrix().row(Market.SPOT, DataType.KLINES)
    if row is None:
        raise LookupError("spot klines")
    size = 0
    for archive in archives:
        body = archive_bytes(archive, row)
        sidecar = sidecar_bytes(archive.name, body, newline=row.sidecar_newline)
        _write(root, archive, body, sidecar)
        size += len(body)
    selection = {
        "symbols": sorted({archive.symbol for archive in archives}),
        "data_types": ["klines"],
        "intervals": ["5m"],
        "partitions": ["daily"],
        "date_range": {
            "start": FIRST_DAY.isoformat(),
            "end": archives[-1].period.last_day.isoformat()
            if count < DAYS
            else (FIRST_DAY + timedelta(days=DAYS - 1)).isoformat(),
        },
    }
    return Mirror(root, archives, size, selection)


def _days() -> Iterator[Archive]:
    number = 0
    while True:
        series = Series(Market.SPOT, DataType.KLINES, f"S{number:02}USDT", "5m")
        for day in range(DAYS):
            yield Archive(series, Period.day(FIRST_DAY + timedelta(days=day)))
        number += 1


def large_mirror(root: Path, count: int, mebibytes: int, kind: str) -> Mirror:
    """Monthly trades of a given size: `stored` random bytes, or `csv` that is deflated."""
    archives = tuple(
        Archive(
            Series(Market.SPOT, DataType.TRADES, f"S{number // _MONTHS:02}USDT", None),
            Period.parse(f"{2018 + number % _MONTHS // 12}-{number % 12 + 1:02}"),
        )
        for number in range(count)
    )
    content = os.urandom(_MIB) * mebibytes if kind == "stored" else b""
    packed = _Packed.csv(mebibytes * _MIB) if kind == "csv" else None
    size = 0
    for archive in archives:
        path = root / archive.key
        path.parent.mkdir(parents=True, exist_ok=True)
        if packed is None:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
                file.writestr(archive.member, content)
        else:
            packed.write(path, archive.member)
        digest = hashlib.file_digest(path.open("rb"), "sha256").hexdigest()
        (root / archive.sidecar_key).write_text(f"{digest}  {archive.name}\n")
        size += path.stat().st_size
    selection = {
        "symbols": sorted({archive.symbol for archive in archives}),
        "data_types": ["trades"],
        "partitions": ["monthly"],
        "date_range": {
            "start": "2018-01-01",
            "end": archives[min(count, _MONTHS) - 1].period.last_day.isoformat(),
        },
    }
    return Mirror(root, archives, size, selection)


@frozen
class _Packed:
    """A deflated member that is written under many names without deflating it again."""

    data: bytes
    crc: int
    size_bytes: int

    @classmethod
    def csv(cls, wanted_bytes: int) -> _Packed:
        """Lines of trades, until so many compressed bytes are there."""
        lines = "".join(
            f"{3_000_000_000 + number},{60_000 + number * 7919 % 9000 / 100:.2f},"
            f"{number * 104_729 % 10**7 / 1e5:.5f},{1_700_000_000_000 + number * 37},True,True\n"
            for number in range(200_000)
        ).encode()
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        block = deflater.compress(lines) + deflater.flush(zlib.Z_FULL_FLUSH)
        times = max(1, wanted_bytes // len(block))
        crc = 0
        for _ in range(times):
            crc = zlib.crc32(lines, crc)
        return cls(block * times + deflater.flush(), crc, len(lines) * times)

    def write(self, path: Path, member: str) -> None:
        """Write a zip with this content under one name."""
        info = zipfile.ZipInfo(member)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.header_offset = 0
        info.CRC, info.compress_size, info.file_size = self.crc, len(self.data), self.size_bytes
        with path.open("wb") as file:
            file.write(info.FileHeader(zip64=False))
            file.write(self.data)
            with zipfile.ZipFile(file, "a") as archive:
                archive.filelist.append(info)
                archive.NameToInfo[member] = info
                archive.start_dir = file.tell()
                archive._didModify = True  # type: ignore[attr-defined]  # noqa: SLF001


def _write(root: Path, archive: Archive, body: bytes, sidecar: bytes) -> None:
    path = root / archive.key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    (root / archive.sidecar_key).write_bytes(sidecar)
