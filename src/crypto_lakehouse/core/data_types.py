"""Markets and data types, spelled as in keys and configurations."""

from __future__ import annotations

from enum import StrEnum

from crypto_lakehouse.core.stream_kinds import StreamKind

__all__ = ["PUBLISHED_TYPES", "DataType", "Market", "Partition", "data_type_of", "kind_of"]


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


class Partition(StrEnum):
    """How much time one archive holds."""

    DAILY = "daily"
    MONTHLY = "monthly"


class DataType(StrEnum):
    """A data type, spelled as in the archive's path; the last ones are only recorded."""

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
    DEPTH_UPDATES = "depth_updates"
    """Changes of order books."""
    DEPTH_SNAPSHOTS = "depth_snapshots"
    """Order books."""
    MARK_PRICE = "mark_price"
    LIQUIDATIONS = "liquidations"

    @property
    def has_interval(self) -> bool:
        """Whether archives of this type are in an interval folder."""
        return self in _INTERVAL_TYPES

    @property
    def is_published(self) -> bool:
        """Whether there are archives of this type; the others come from recordings alone."""
        return self not in _RECORDED_TYPES


_INTERVAL_TYPES = frozenset(
    {
        DataType.KLINES,
        DataType.INDEX_PRICE_KLINES,
        DataType.MARK_PRICE_KLINES,
        DataType.PREMIUM_INDEX_KLINES,
    }
)

_RECORDED_TYPES = frozenset(
    {
        DataType.DEPTH_UPDATES,
        DataType.DEPTH_SNAPSHOTS,
        DataType.MARK_PRICE,
        DataType.LIQUIDATIONS,
    }
)

#: The data types of archives, which can be collected.
PUBLISHED_TYPES = tuple(each for each in DataType if each.is_published)

_KINDS = {
    DataType.AGG_TRADES: StreamKind.AGG_TRADE,
    DataType.TRADES: StreamKind.TRADE,
    DataType.KLINES: StreamKind.KLINE,
    DataType.BOOK_TICKER: StreamKind.BOOK_TICKER,
    DataType.DEPTH_UPDATES: StreamKind.DEPTH,
    DataType.DEPTH_SNAPSHOTS: StreamKind.DEPTH_SNAPSHOT,
    DataType.MARK_PRICE: StreamKind.MARK_PRICE,
    DataType.LIQUIDATIONS: StreamKind.FORCE_ORDER,
}

_TYPES = {kind: data_type for data_type, kind in _KINDS.items()}

_FUTURES_ONLY = frozenset({StreamKind.MARK_PRICE, StreamKind.FORCE_ORDER})


def kind_of(market: Market, data_type: DataType) -> StreamKind | None:
    """The kind of stream whose messages are rows of a data type; None if there is none.

    Examples:
        >>> kind_of(Market.SPOT, DataType.AGG_TRADES)
        <StreamKind.AGG_TRADE: 'aggTrade'>
        >>> kind_of(Market.SPOT, DataType.MARK_PRICE)
    """
    kind = _KINDS.get(data_type)
    is_absent = market is Market.OPTIONS or (market is Market.SPOT and kind in _FUTURES_ONLY)
    return None if is_absent else kind


def data_type_of(kind: StreamKind) -> DataType:
    """The data type whose rows the messages of a kind of stream are."""
    return _TYPES[kind]
