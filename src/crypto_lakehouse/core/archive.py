"""One published archive, or other rows of a day beside the archives, and its object key.

A key names market, partition, data type, symbol, interval and period; its first folder is the
origin. `Archive.parse` and `Archive.key` are inverse for every key of the publisher, of segments
and of excerpts. Nothing here uses a disk or a network, and keys are never percent-encoded here:
that is done when a URL is made.

Source: the layout of data.binance.vision as recorded in docs/archive.md#shape, docs/archive.md#keys
and docs/archive.md#symbols.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from datetime import date

from attrs import field, frozen

from crypto_lakehouse.core.data_types import DataType, Market, Partition, kind_of
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.live_keys import check_live_name, live_key
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


_MARKETS_BY_PATH = {market.path: market for market in Market}

_PERIOD = re.compile(r"(\d{4})-(\d{1,2})(?:-(\d{2}))?", re.ASCII)
_SYMBOL = re.compile(r"\w+")

_ORIGINS = {f"{each.folder}/": each for each in (Origin.FILL, Origin.LIVE)}


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
    is_published: bool = field(init=False, eq=False, order=False, repr=False)
    """Whether there are archives of it; kept here, as a plan makes millions of archives."""
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
        object.__setattr__(self, "is_published", self.data_type.is_published)
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
    """One published zip archive, or one day's rows from another origin.

    Such rows have the series, the period and the stem of the archive that they stand in for. Those
    of a fill are a segment of their own. Those of a recording are an excerpt: what one segment has
    of the series and the day. It is no object of a store, and its key only names it.

    Attributes:
        origin: Where the rows come from.
        segment: Of an excerpt, the name of its segment, as `2026-05-08T12-0003-9f3c01ab`.

    Raises:
        ArchiveKeyError: Rows of another origin are not of a day; an excerpt has no segment, or no
            stream has its data type; a data type has no archives.

    Examples:
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
    segment: str = ""

    def __attrs_post_init__(self) -> None:
        if self.origin is not Origin.ARCHIVE or self.segment or not self.series.is_published:
            self._check_origin()

    def _check_origin(self) -> None:
        if self.origin is not Origin.ARCHIVE and self.period.partition is not Partition.DAILY:
            raise ArchiveKeyError(str(self.period), "a segment holds a day")
        if self.origin is Origin.LIVE:
            self._check_excerpt()
            return
        if self.segment:
            raise ArchiveKeyError(self.segment, "only an excerpt of a recording has a segment")
        if not self.series.is_published:
            reason = f"`{self.data_type}` is only recorded, in keys that begin with `live/`"
            raise ArchiveKeyError(self.data_type, reason)

    def _check_excerpt(self) -> None:
        if kind_of(self.market, self.data_type) is None:
            raise ArchiveKeyError(str(self.series), "no stream has such rows")
        check_live_name(self.segment)

    @classmethod
    def parse(cls, key: str) -> Archive:
        """Parse the key of an archive, a segment of a fill, or an excerpt.

        Raises:
            ArchiveKeyError: `key` is none of these; the reason names the faulty part.
        """
        origin = _ORIGINS.get(key[:5], Origin.ARCHIVE)
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
        segment = ""
        if origin is Origin.LIVE:
            parts[-1], _, segment = parts[-1].partition(".")
        try:
            return cls(*cls._parse_below_market(market, parts[width:]), origin, segment)
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
        """The object key, unencoded, as `data/.../NAME.zip` or `rest/.../NAME.jsonl.zst`.

        That of an excerpt is `live/.../NAME.SEGMENT.jsonl.zst`.
        """
        return self.folder + self.name

    @property
    def sidecar_key(self) -> str:
        """The key of the checksum file beside it."""
        return self.key + SIDECAR_SUFFIX

    @property
    def segment_key(self) -> str:
        """The key of the segment whose excerpt this is, or of the archive itself.

        Examples:
            >>> key = "live/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2026-05-08"
            >>> Archive.parse(f"{key}.2026-05-08T12-0003-9f3c01ab.jsonl.zst").segment_key
            'live/spot/trade/2026-05-08/trade-2026-05-08T12-0003-9f3c01ab.jsonl.zst'
        """
        kind = kind_of(self.market, self.data_type)
        if self.origin is not Origin.LIVE or kind is None:
            return self.key
        return live_key(self.market, kind, self.segment)

    @property
    def folder(self) -> str:
        """The key up to and with the last slash."""
        folder = self.series.folder(self.period.partition)
        if self.origin is Origin.ARCHIVE:
            return folder
        return self.origin.folder + folder.removeprefix(Origin.ARCHIVE.folder)

    @property
    def name(self) -> str:
        """The last part of the key, `NAME.zip` or `NAME.jsonl.zst`."""
        if self.origin is Origin.ARCHIVE:  # spelled out: a plan makes millions of them
            return f"{self.series.stem}{self.period.text}.zip"
        segment = f".{self.segment}" if self.segment else ""
        return f"{self.series.stem}{self.period.text}{segment}{self.origin.suffix}"

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
