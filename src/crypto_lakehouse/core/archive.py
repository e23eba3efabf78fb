"""One published archive, or a segment beside the archives, and its object key.

A key names market, partition, data type, symbol, interval and period; its first folder is the
origin. `Archive.parse` and `Archive.key` are inverse for every key of the publisher and of
segments. Nothing here uses a disk or a network, and keys are never percent-encoded here: that is
done when a URL is made.

Source: the layout of data.binance.vision as recorded in docs/archive.md#shape, docs/archive.md#keys
and docs/archive.md#symbols.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from datetime import date
from enum import StrEnum

from attrs import field, frozen

from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.origin import Origin

__all__ = [
    "INTERVALS",
    "SIDECAR_SUFFIX",
    "Archive",
    "DataType",
    "Market",
    "Origin",
    "Partition",
    "Period",
    "Series",
]

SIDECAR_SUFFIX = ".CHECKSUM"

#: Every interval that the archive publishes, shortest first. `1mo` and not `1M`, so that the
#: tree also fits on file systems that ignore case.
INTERVALS = (
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w",
    "1mo",
)  # fmt: skip


class Market(StrEnum):
    """A market, by its name in configurations."""

    SPOT = "spot"
    FUTURES_UM = "futures_um"
    FUTURES_CM = "futures_cm"
    OPTIONS = "options"

    @property
    def path(self) -> str:
        """The market's folder below `data/`."""
        return _MARKET_PATHS[self]


_MARKET_PATHS = {
    Market.SPOT: "spot",
    Market.FUTURES_UM: "futures/um",
    Market.FUTURES_CM: "futures/cm",
    Market.OPTIONS: "option",
}
_MARKETS_BY_PATH = {path: market for market, path in _MARKET_PATHS.items()}


class Partition(StrEnum):
    """How much time one archive holds."""

    DAILY = "daily"
    MONTHLY = "monthly"


class DataType(StrEnum):
    """A data type, spelled as in the archive's path."""

    KLINES = "klines"
    TRADES = "trades"
    AGG_TRADES = "aggTrades"
    INDEX_PRICE_KLINES = "indexPriceKlines"
    MARK_PRICE_KLINES = "markPriceKlines"
    PREMIUM_INDEX_KLINES = "premiumIndexKlines"
    FUNDING_RATE = "fundingRate"
    BOOK_DEPTH = "bookDepth"
    BOOK_TICKER = "bookTicker"
    METRICS = "metrics"
    LIQUIDATION_SNAPSHOT = "liquidationSnapshot"
    BVOL_INDEX = "BVOLIndex"
    EOH_SUMMARY = "EOHSummary"

    @property
    def has_interval(self) -> bool:
        """Whether archives of this type are in an interval folder."""
        return self in _INTERVAL_TYPES


_INTERVAL_TYPES = frozenset(
    {
        DataType.KLINES,
        DataType.INDEX_PRICE_KLINES,
        DataType.MARK_PRICE_KLINES,
        DataType.PREMIUM_INDEX_KLINES,
    }
)

_PERIOD = re.compile(r"(\d{4})-(\d{1,2})(?:-(\d{2}))?", re.ASCII)
_SYMBOL = re.compile(r"\w+")


@frozen(order=True)
class Period:
    """One concrete UTC day or month.

    Attributes:
        first_day: The day itself, or the first day of the month.
        partition: Whether this is a day or a month.
        padded: False for the stray keys whose month has one digit (`2020-8`,
            binance-public-data#469). They are separate objects beside the padded ones.
    """

    first_day: date
    partition: Partition
    padded: bool = True
    text: str = field(init=False, eq=False, order=False, repr=False)
    """The period as keys spell it; made once, as a plan repeats few periods for many series."""

    def __attrs_post_init__(self) -> None:
        if self.partition is Partition.MONTHLY and self.first_day.day != 1:
            raise ArchiveKeyError(str(self.first_day), "a month begins on day 1")
        if not self.padded and (self.partition is Partition.DAILY or self.first_day.month > 9):
            raise ArchiveKeyError(str(self.first_day), "only months 1 to 9 can lack padding")
        object.__setattr__(self, "text", self._spell())

    def _spell(self) -> str:
        day = self.first_day
        if self.partition is Partition.DAILY:
            return day.isoformat()
        return f"{day.year:04d}-{day.month:02d}" if self.padded else f"{day.year:04d}-{day.month}"

    @classmethod
    def day(cls, day: date) -> Period:
        """The daily period of `day`."""
        return cls(day, Partition.DAILY)

    @classmethod
    def month(cls, day: date) -> Period:
        """The monthly period that holds `day`."""
        return cls(day.replace(day=1), Partition.MONTHLY)

    @classmethod
    def parse(cls, text: str) -> Period:
        """Parse `YYYY-MM-DD`, `YYYY-MM` or the stray `YYYY-M`.

        Raises:
            ArchiveKeyError: `text` has another form, or is not in the calendar.
        """
        match = _PERIOD.fullmatch(text)
        if match is None:
            raise ArchiveKeyError(text, "the period must be YYYY-MM-DD or YYYY-MM")
        year, month, day = match.groups()
        if day is not None and len(month) == 1:
            raise ArchiveKeyError(text, "the period must be YYYY-MM-DD or YYYY-MM")
        try:
            first_day = date(int(year), int(month), int(day or 1))
        except ValueError as error:
            raise ArchiveKeyError(text, f"no such period: {error}") from None
        partition = Partition.MONTHLY if day is None else Partition.DAILY
        return cls(first_day, partition, padded=len(month) == 2)

    @property
    def last_day(self) -> date:
        """The last day, inclusive."""
        if self.partition is Partition.DAILY:
            return self.first_day
        days = calendar.monthrange(self.first_day.year, self.first_day.month)[1]
        return self.first_day.replace(day=days)

    def __str__(self) -> str:
        return self.text


@frozen(order=True)
class Series:
    """All archives of one symbol and data type: an archive without its period.

    Attributes:
        interval: One of `INTERVALS` for the kline types, None for all others.

    Raises:
        ArchiveKeyError: The symbol cannot be the name of a folder, or the interval does not fit
            the data type.
    """

    market: Market
    data_type: DataType
    symbol: str
    interval: str | None = None
    _folders: dict[Partition, str] = field(init=False, eq=False, order=False, repr=False)
    _stem: str = field(init=False, eq=False, order=False, repr=False)

    def __attrs_post_init__(self) -> None:
        check_symbol(self.symbol)
        if self.data_type.has_interval != (self.interval is not None):
            wanted = "needs an interval" if self.data_type.has_interval else "has no interval"
            raise ArchiveKeyError(self.symbol, f"`{self.data_type}` {wanted}")
        if self.interval is not None and self.interval not in INTERVALS:
            raise ArchiveKeyError(
                self.interval, f"unknown interval; the archive has {', '.join(INTERVALS)}"
            )
        tail = f"/{self.interval}/" if self.interval else "/"
        folders = {
            partition: f"data/{self.market.path}/{partition}/{self.data_type}/{self.symbol}{tail}"
            for partition in Partition
        }
        object.__setattr__(self, "_folders", folders)
        object.__setattr__(self, "_stem", f"{self.symbol}-{self.interval or self.data_type}-")

    def folder(self, partition: Partition) -> str:
        """The key prefix of this series' archives, with a trailing slash."""
        return self._folders[partition]

    @property
    def stem(self) -> str:
        """The beginning of every file name of the series, up to the period."""
        return self._stem

    def __str__(self) -> str:
        parts = (self.market, self.data_type, self.symbol, self.interval)
        return " ".join(part for part in parts if part)


def check_symbol(symbol: str) -> None:
    """Raise an error if a symbol cannot be the name of a folder.

    Letters and digits of any script and underscores are allowed (`币安人生USDT`,
    `BTCUSDT_240628`, `1000000MOGUSDT`), in Unicode's NFC form, so that one symbol has one
    spelling on every file system.

    Raises:
        ArchiveKeyError: The symbol is empty, too long, not NFC, or has other characters.
    """
    if _SYMBOL.fullmatch(symbol) is None:
        raise ArchiveKeyError(symbol, "a symbol consists of letters, digits and underscores")
    if len(symbol.encode()) > 128:
        raise ArchiveKeyError(symbol, "a symbol is at most 128 bytes long")
    if not unicodedata.is_normalized("NFC", symbol):
        raise ArchiveKeyError(symbol, "the symbol is not in Unicode's NFC form")


@frozen(order=True)
class Archive:
    """One published zip archive, or a segment: one day's rows from another origin.

    Attributes:
        origin: Where the rows come from. A segment holds a day, and has the series, the period and
            the stem of the archive that it stands in for.

    Raises:
        ArchiveKeyError: A segment is not of a day, or of an origin that has none.

    Example:
        >>> key = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-05-08.zip"
        >>> archive = Archive.parse(key)
        >>> archive.symbol, archive.interval, str(archive.period)
        ('BTCUSDT', '1h', '2026-05-08')
        >>> archive.key == key
        True
    """

    series: Series
    period: Period
    origin: Origin = Origin.ARCHIVE

    def __attrs_post_init__(self) -> None:
        if self.origin is not Origin.ARCHIVE:
            self._check_segment()

    def _check_segment(self) -> None:
        if self.origin is Origin.LIVE:
            raise ArchiveKeyError(f"{self.origin.folder}/", "there are no such segments")
        if self.period.partition is not Partition.DAILY:
            raise ArchiveKeyError(str(self.period), "a segment holds a day")

    @classmethod
    def parse(cls, key: str) -> Archive:
        """Parse the object key of an archive or a segment.

        Raises:
            ArchiveKeyError: `key` is neither's; the reason names the faulty part.
        """
        origin = Origin.FILL if key.startswith("rest/") else Origin.ARCHIVE
        parts = key.split("/")
        if parts[0] != origin.folder or not key.endswith(origin.suffix):
            reason = f"a key begins with `{origin.folder}/` and ends with `{origin.suffix}`"
            raise ArchiveKeyError(key, reason)
        width = 3 if parts[1:2] == ["futures"] else 2
        market = _MARKETS_BY_PATH.get("/".join(parts[1:width]))
        if market is None:
            known = ", ".join(_MARKETS_BY_PATH)
            raise ArchiveKeyError(key, f"unknown market folder; the archive has {known}")
        parts[-1] = parts[-1].removesuffix(origin.suffix)
        try:
            return cls(*cls._parse_below_market(market, parts[width:]), origin)
        except ArchiveKeyError as error:
            raise ArchiveKeyError(key, error.reason) from None

    @classmethod
    def published(cls, key: str) -> Archive:
        """Parse the object key of a published archive.

        Raises:
            ArchiveKeyError: It is none; that of a segment is none, either.
        """
        if not key.startswith("data/"):
            raise ArchiveKeyError(key, "a key begins with `data/` and ends with `.zip`")
        return cls.parse(key)

    @staticmethod
    def _parse_below_market(market: Market, parts: list[str]) -> tuple[Series, Period]:
        if not 4 <= len(parts) <= 5:
            wrong = "few" if len(parts) < 4 else "many"
            raise ArchiveKeyError("/".join(parts), f"too {wrong} folders")
        partition_text, type_text, symbol, *interval, stem = parts
        try:
            partition, data_type = Partition(partition_text), DataType(type_text)
        except ValueError as error:
            raise ArchiveKeyError("/".join(parts), str(error)) from None
        series = Series(market, data_type, symbol, interval[0] if interval else None)
        if not stem.startswith(series.stem):
            raise ArchiveKeyError(stem, f"the file name must begin with `{series.stem}`")
        period = Period.parse(stem.removeprefix(series.stem))
        if period.partition is not partition:
            raise ArchiveKeyError(stem, f"the period does not fit the `{partition}` folder")
        return series, period

    @property
    def key(self) -> str:
        """The object key, unencoded, as `data/.../NAME.zip` or `rest/.../NAME.jsonl.zst`."""
        return self.folder + self.name

    @property
    def sidecar_key(self) -> str:
        """The key of the checksum file beside it."""
        return self.key + SIDECAR_SUFFIX

    @property
    def folder(self) -> str:
        """The key up to and with the last slash."""
        folder = self.series.folder(self.period.partition)
        if self.origin is Origin.ARCHIVE:
            return folder
        return self.origin.folder + folder.removeprefix(Origin.ARCHIVE.folder)

    @property
    def name(self) -> str:
        """The file name, `NAME.zip` or `NAME.jsonl.zst`."""
        if self.origin is Origin.ARCHIVE:  # spelled out: a plan makes millions of them
            return f"{self.series.stem}{self.period.text}.zip"
        return f"{self.series.stem}{self.period.text}{self.origin.suffix}"

    @property
    def member(self) -> str:
        """The name of the one CSV file inside the zip."""
        return f"{self.series.stem}{self.period}.csv"

    @property
    def market(self) -> Market:
        """The series' market."""
        return self.series.market

    @property
    def data_type(self) -> DataType:
        """The series' data type."""
        return self.series.data_type

    @property
    def symbol(self) -> str:
        """The series' symbol."""
        return self.series.symbol

    @property
    def interval(self) -> str | None:
        """The series' interval, None where the type has none."""
        return self.series.interval

    @property
    def partition(self) -> Partition:
        """Whether the archive holds a day or a month."""
        return self.period.partition

    def __str__(self) -> str:
        return self.key
