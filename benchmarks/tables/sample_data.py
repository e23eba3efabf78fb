"""Archives with random prices, made once and written under many names.

Digits compress as in real ones: 1m bars of a month are 6.7 MB of text and 2.2 MB of zip (real
ones 0.6 to 2.3 MB), trades 75 bytes of text each (docs/archive.md#file-sizes).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import polars as pl
from attrs import frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series

__all__ = [
    "Packed",
    "agg_trades_text",
    "kline_archives",
    "klines_text",
    "trades_text",
    "write_all",
]


@frozen
class Packed:
    """A deflated member that is written under many names without deflating it again."""

    data: bytes
    crc: int
    size_bytes: int

    @classmethod
    def of(cls, text: bytes) -> Packed:
        """Deflate a text, at zlib's usual level."""
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        return cls(deflater.compress(text) + deflater.flush(), zlib.crc32(text), len(text))

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


def _first_ms(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000


def klines_text(period: Period, step_ms: int = 60_000) -> bytes:
    """Bars of a whole period, in milliseconds, as spot had them until 2024."""
    chance = np.random.default_rng(zlib.crc32(f"klines {period}".encode()))
    begin, end = _first_ms(period.first_day), _first_ms(period.last_day) + 86_400_000
    opened = np.arange(begin, end, step_ms)
    count = len(opened)
    close = np.round(40_000 + np.cumsum(chance.normal(0, 8, count)), 2)
    first = np.concatenate([[40_000.0], close[:-1]])
    high = np.round(np.maximum(first, close) + chance.random(count) * 5, 2)
    low = np.round(np.minimum(first, close) - chance.random(count) * 5, 2)
    volume = np.round(chance.exponential(20, count), 5)
    bought = np.round(volume * chance.random(count), 5)
    return _csv(
        opened, first, high, low, close, volume, opened + step_ms - 1, volume * close,
        chance.integers(1, 3000, count), bought, bought * close, np.zeros(count, int),
    )  # fmt: skip


def trades_text(period: Period, count: int, first_id: int = 3_000_000_000) -> bytes:
    """So many spot trades, spread over a period."""
    chance = np.random.default_rng(zlib.crc32(f"trades {period}".encode()))
    begin, end = _first_ms(period.first_day), _first_ms(period.last_day) + 86_400_000
    price = np.round(40_000 + np.cumsum(chance.normal(0, 0.05, count)), 2)
    quantity = np.round(chance.exponential(0.02, count) + 0.00001, 5)
    when = begin + (end - begin) * np.arange(count) // count
    sold = np.where(chance.random(count) < 0.5, "True", "False")
    return _csv(
        first_id + np.arange(count), price, quantity, price * quantity, when, sold,
        np.full(count, "True"),
    )  # fmt: skip


def agg_trades_text(period: Period, count: int, first_id: int = 3_000_000_000) -> bytes:
    """So many spot aggTrades, spread over a period; each is of one to three trades."""
    chance = np.random.default_rng(zlib.crc32(f"aggTrades {period}".encode()))
    begin, end = _first_ms(period.first_day), _first_ms(period.last_day) + 86_400_000
    price = np.round(40_000 + np.cumsum(chance.normal(0, 0.05, count)), 2)
    quantity = np.round(chance.exponential(0.02, count) + 0.00001, 5)
    when = begin + (end - begin) * np.arange(count) // count
    sold = np.where(chance.random(count) < 0.5, "True", "False")
    last = first_id + np.cumsum(chance.integers(1, 4, count))
    return _csv(
        first_id + np.arange(count), price, quantity,
        np.concatenate([[first_id], last[:-1] + 1]), last, when, sold, np.full(count, "True"),
    )  # fmt: skip


def _csv(*columns: np.ndarray) -> bytes:
    """Lines as they are published: eight digits behind the point, no header."""
    frame = pl.DataFrame({str(place): values for place, values in enumerate(columns)})
    text = frame.write_csv(include_header=False, float_precision=8)
    return text.encode()


def kline_archives(symbols: int, periods: list[Period], interval: str) -> list[Archive]:
    """The same periods of so many spot symbols."""
    return [
        Archive(Series(Market.SPOT, DataType.KLINES, f"S{number:04}USDT", interval), period)
        for number in range(symbols)
        for period in periods
    ]


def write_all(
    root: Path, archives: list[Archive], text_of: Callable[[Period], bytes]
) -> Iterator[Path]:
    """Write archives below a root, each period's text deflated once."""
    packed: dict[Period, Packed] = {}
    for archive in archives:
        if archive.period not in packed:
            packed[archive.period] = Packed.of(text_of(archive.period))
        path = root / archive.key
        path.parent.mkdir(parents=True, exist_ok=True)
        packed[archive.period].write(path, archive.member)
        yield path
