"""The kinds of streams that are recorded."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["StreamKind"]


class StreamKind(StrEnum):
    """A kind of stream, by its name in the exchange's messages."""

    AGG_TRADE = "aggTrade"
    TRADE = "trade"
    KLINE = "kline"
    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"
    """Changes of an order book."""

    DEPTH_SNAPSHOT = "depth_snapshot"
    """Order books as the REST endpoint gives them; it is no stream."""

    MARK_PRICE = "markPrice"
    FORCE_ORDER = "forceOrder"
    """Liquidations."""
