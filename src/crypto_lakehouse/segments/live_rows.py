"""Makes rows of recorded messages: the columns of the message's table, as CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from attrs import define, field

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_payloads import (
    Payload,
    agg_trade,
    bar,
    book_ticker,
    depth,
    depth_snapshot,
    fetched_agg_trade,
    fetched_bar,
    fetched_trade,
    liquidation,
    mark_price,
    trade,
)
from crypto_lakehouse.segments.live_segment import LiveHeader, LiveMessage
from crypto_lakehouse.segments.live_values import BadMessage, is_time_us

__all__ = ["BadMessage", "LiveEvent", "LiveRows"]

_Reader: TypeAlias = Callable[[Any, Market], Payload | None]

#: What reads the payload of a stream, and its name in the payload; empty if it has none.
_READERS: Mapping[StreamKind, tuple[str, _Reader]] = {
    StreamKind.AGG_TRADE: ("aggTrade", agg_trade),
    StreamKind.TRADE: ("trade", trade),
    StreamKind.KLINE: ("kline", bar),
    StreamKind.BOOK_TICKER: ("bookTicker", book_ticker),
    StreamKind.DEPTH: ("depthUpdate", depth),
    StreamKind.DEPTH_SNAPSHOT: ("", depth_snapshot),
    StreamKind.MARK_PRICE: ("markPriceUpdate", mark_price),
    StreamKind.FORCE_ORDER: ("forceOrder", liquidation),
}

#: What reads a row that was fetched, as the API gives it.
_FETCHED: Mapping[StreamKind, _Reader] = {
    StreamKind.AGG_TRADE: fetched_agg_trade,
    StreamKind.TRADE: fetched_trade,
    StreamKind.KLINE: fetched_bar,
}

_SHUTDOWN = "serverShutdown"


class LiveEvent(NamedTuple):
    """The rows of one message.

    Attributes:
        series: Their series.
        time_us: The time by which their UTC day is found, in microseconds since 1970: that of the
            column by which the table is partitioned.
        rows: For each row the columns of its table but `received_at`, separated by commas, in the
            order of the table. Decimals are the texts that came, times are in microseconds, and
            what the message lacks is empty. All rows of an event have its id.
    """

    series: Series
    time_us: int
    rows: list[str]


@define
class LiveRows:
    """Reads the messages of one segment.

    Args:
        header: The segment's.
    """

    header: LiveHeader
    _data_type: DataType = field(init=False)
    _streams: dict[object, tuple[str, str]] = field(init=False, factory=dict)
    _series: dict[tuple[str, str], Series] = field(init=False, factory=dict)

    @_data_type.default
    def _type_of_kind(self) -> DataType:
        return data_type_of(self.header.kind)

    def event_of(self, message: LiveMessage) -> LiveEvent | None:
        """Read a message.

        Returns:
            Its rows; None if it has none by its nature: a bar that is not finished, a trade of
            nothing, or a message about the connection.

        Raises:
            BadMessage: It is not as it must be: no JSON, of another stream or symbol, or with a
                field that is missing or of another type.
        """
        try:
            value = parse_finite(message.body)
        except ValueError:
            raise BadMessage("it is no JSON") from None
        if not isinstance(value, dict):
            raise BadMessage("it is no object")
        data = value.get("data", value)
        if _is_about_connection(value, data):
            return None
        symbol, interval = self._stream(value.get("stream"))
        payload = self._read(data, is_fetched=message.connection == 0)
        if payload is None:
            return None
        if payload.interval and interval != payload.interval:
            raise BadMessage("it is of another interval than its stream")
        if not is_time_us(message.received_at_us):
            raise BadMessage("it was received at no possible time")
        series = self.series_of(symbol, interval, payload.symbol or symbol.upper())
        time_us = message.received_at_us if payload.time_us is None else payload.time_us
        return LiveEvent(series, time_us, payload.rows)

    def _stream(self, name: object) -> tuple[str, str]:
        """Symbol and interval of a stream, as its name spells them."""
        found = self._streams.get(name) if isinstance(name, str) else None
        if found is None:
            if not isinstance(name, str):
                raise BadMessage("it names no stream")
            symbol, _, rest = name.partition("@")
            kind, _, interval = rest.partition("@")[0].partition("_")
            if self.header.kind is StreamKind.DEPTH_SNAPSHOT:
                kind, interval = rest, ""
            if kind != self.header.kind or bool(interval) != self._data_type.has_interval:
                raise BadMessage("it is of another stream")
            found = self._streams[name] = symbol, interval
        return found

    def _read(self, data: object, *, is_fetched: bool) -> Payload | None:
        name, read = _READERS[self.header.kind]
        is_event = isinstance(data, dict) and "e" in data
        if is_fetched and not is_event and self.header.kind in _FETCHED:
            return _FETCHED[self.header.kind](data, self.header.market)
        if not isinstance(data, dict):
            raise BadMessage("its payload is no object")
        is_spot_ticker = name == "bookTicker" and self.header.market is Market.SPOT
        if name and not is_spot_ticker and data.get("e") != name:
            raise BadMessage("`e` is not that of its stream")
        return read(data, self.header.market)

    def series_of(self, of_stream: str, interval: str, symbol: str) -> Series:
        """The series of a message.

        Args:
            of_stream: The symbol as the stream's name spells it.
            interval: The interval as the stream's name spells it; empty if it has none.
            symbol: The symbol as the message spells it.

        Raises:
            BadMessage: The symbol is not that of the stream, or one of them is not possible.
        """
        if symbol.lower() != of_stream:
            raise BadMessage("it is of another symbol than its stream")
        found = self._series.get((symbol, interval))
        if found is None:
            given = "1mo" if interval == "1M" else interval or None
            try:
                found = Series(self.header.market, self._data_type, symbol, given)
            except ArchiveKeyError:
                raise BadMessage("its symbol or interval is unknown in form") from None
            self._series[symbol, interval] = found
        return found


def _is_about_connection(value: Mapping[str, Any], data: object) -> bool:
    """Whether a message is the answer to a request, or says that the server shuts down."""
    if "result" in value and "stream" not in value:
        return True
    return isinstance(data, dict) and data.get("e") == _SHUTDOWN
