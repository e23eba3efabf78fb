"""Rows of single payloads: of each kind of stream, and of rows that were fetched from the API.

Each function takes a payload and the market, and returns None where it has no row by its nature.
The fields, with their sources, are in docs/record.md#rows-of-messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.segments.live_values import (
    BadMessage,
    count,
    decimal,
    decimal_or_none,
    flag,
    levels,
    time_us,
    word,
)

__all__ = [
    "Payload",
    "agg_trade",
    "bar",
    "book_ticker",
    "depth",
    "depth_snapshot",
    "fetched_agg_trade",
    "fetched_bar",
    "fetched_trade",
    "liquidation",
    "mark_price",
    "trade",
]

_Data: TypeAlias = Mapping[str, Any]


class Payload(NamedTuple):
    """What a payload says.

    Attributes:
        symbol: Its symbol; empty if it has none.
        time_us: The time by which its day is found; None if that is when it was received.
        rows: Its rows, as `LiveEvent.rows`.
        interval: Its interval; empty if it has none.
    """

    symbol: str
    time_us: int | None
    rows: list[str]
    interval: str = ""


def agg_trade(data: _Data, market: Market) -> Payload:
    """Read an aggTrade."""
    return _agg_trade(data, market, _symbol(data))


def fetched_agg_trade(data: Any, market: Market) -> Payload:
    """Read an aggTrade as the API gives it, without a symbol."""
    return _agg_trade(_object(data), market, "")


def _agg_trade(data: _Data, market: Market, symbol: str) -> Payload:
    at = time_us(data, "T")
    flags = _flags(data, "m", "M", market)
    row = (
        f"{count(data, 'a')},{decimal(data, 'p')},{decimal(data, 'q')},{count(data, 'f')},"
        f"{count(data, 'l')},{at},{flags}"
    )
    return Payload(symbol, at, [row])


def trade(data: _Data, market: Market) -> Payload | None:
    """Read a trade, whose message lacks the quantity in the other asset.

    Futures send some with the quantity 0, which are no trades.
    """
    quantity, at = decimal(data, "q"), time_us(data, "T")
    flags = _flags(data, "m", "M", market)
    row = f"{count(data, 't')},{decimal(data, 'p')},{quantity},,{at},{flags}"
    return Payload(_symbol(data), at, [row]) if quantity.strip("0.") else None


def fetched_trade(data: Any, market: Market) -> Payload:
    """Read a trade as the API gives it, without a symbol."""
    data = _object(data)
    other = "baseQty" if market is Market.FUTURES_CM else "quoteQty"
    at = time_us(data, "time")
    flags = _flags(data, "isBuyerMaker", "isBestMatch", market)
    row = (
        f"{count(data, 'id')},{decimal(data, 'price')},{decimal(data, 'qty')},"
        f"{decimal(data, other)},{at},{flags}"
    )
    return Payload("", at, [row])


def bar(data: _Data, _market: Market) -> Payload | None:
    """Read a bar; None if it is not finished."""
    of = data.get("k")
    if not isinstance(of, dict):
        raise BadMessage("`k` is no object")
    if _symbol(of) != _symbol(data):
        raise BadMessage("`s` is not that of the bar")
    if not flag(of, "x"):
        return None
    at = time_us(of, "t")
    row = (
        f"{at},{decimal(of, 'o')},{decimal(of, 'h')},{decimal(of, 'l')},{decimal(of, 'c')},"
        f"{decimal(of, 'v')},{time_us(of, 'T')},{decimal(of, 'q')},{count(of, 'n')},"
        f"{decimal(of, 'V')},{decimal(of, 'Q')}"
    )
    return Payload(_symbol(of), at, [row], word(of, "i"))


#: The fields of a fetched bar, by place; the last one has no meaning.
_BAR = (
    "open time", "open", "high", "low", "close", "volume", "close time", "quote volume", "count",
    "taker volume", "taker quote volume", "",
)  # fmt: skip


def fetched_bar(data: Any, _market: Market) -> Payload:
    """Read a bar as the API gives it: a list, of which only finished ones are recorded."""
    if not isinstance(data, list) or len(data) != len(_BAR):
        raise BadMessage("its payload is no bar")
    of = dict(zip(_BAR, data, strict=True))
    at = time_us(of, "open time")
    prices = ",".join(decimal(of, name) for name in _BAR[1:6])
    row = (
        f"{at},{prices},{time_us(of, 'close time')},{decimal(of, 'quote volume')},"
        f"{count(of, 'count')},{decimal(of, 'taker volume')},{decimal(of, 'taker quote volume')}"
    )
    return Payload("", at, [row])


def book_ticker(data: _Data, market: Market) -> Payload:
    """Read the best bid and ask; on spot they have no time."""
    row = (
        f"{count(data, 'u')},{decimal(data, 'b')},{decimal(data, 'B')},{decimal(data, 'a')},"
        f"{decimal(data, 'A')}"
    )
    if market is Market.SPOT:
        return Payload(_symbol(data), None, [row])
    at = time_us(data, "T")
    return Payload(_symbol(data), at, [f"{row},{at},{time_us(data, 'E')}"])


def depth(data: _Data, market: Market) -> Payload:
    """Read the changes of a book: a row for each level, none if no level changed."""
    first, last, at = count(data, "U"), count(data, "u"), time_us(data, "E")
    if first > last:
        raise BadMessage("`U` is greater than `u`")
    if market is Market.SPOT:
        head = f"{first},{last},{at},"
    else:
        head = f"{first},{last},{count(data, 'pu')},{at},{time_us(data, 'T')},"
    return Payload(_symbol(data), at, _sides(head, levels(data, "b"), levels(data, "a")))


def depth_snapshot(data: _Data, market: Market) -> Payload:
    """Read a book as the API gives it; that of spot has no time."""
    update_id = count(data, "lastUpdateId")
    at = None if market is Market.SPOT else time_us(data, "E")
    head = f"{update_id}," if at is None else f"{update_id},{at},{time_us(data, 'T')},"
    symbol = word(data, "symbol") if "symbol" in data else ""
    return Payload(symbol, at, _sides(head, levels(data, "bids"), levels(data, "asks")))


def mark_price(data: _Data, market: Market) -> Payload:
    """Read mark price, index and funding; delivery contracts have no funding."""
    at = time_us(data, "E")
    index = decimal_or_none(data, "i") if market is Market.FUTURES_CM else decimal(data, "i")
    funded_at = "" if data.get("T", 0) == 0 else str(time_us(data, "T"))
    row = (
        f"{at},{decimal(data, 'p')},{index},{decimal(data, 'P')},{decimal_or_none(data, 'r')},"
        f"{funded_at}"
    )
    return Payload(_symbol(data), at, [row])


def liquidation(data: _Data, _market: Market) -> Payload:
    """Read a liquidation."""
    of = data.get("o")
    if not isinstance(of, dict):
        raise BadMessage("`o` is no object")
    at = time_us(of, "T")
    row = (
        f"{at},{word(of, 'S')},{word(of, 'o')},{word(of, 'f')},{decimal(of, 'q')},"
        f"{decimal(of, 'p')},{decimal(of, 'ap')},{word(of, 'X')},{decimal(of, 'l')},"
        f"{decimal(of, 'z')},{time_us(data, 'E')}"
    )
    return Payload(_symbol(of), at, [row])


def _sides(head: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> list[str]:
    rows = [f"{head}bid,{price},{quantity}" for price, quantity in bids]
    rows += [f"{head}ask,{price},{quantity}" for price, quantity in asks]
    return rows


def _symbol(data: _Data) -> str:
    """The symbol of a payload, in whatever script; `Series` checks it."""
    value = data.get("s")
    if not isinstance(value, str) or not value:
        raise BadMessage("`s` is not a symbol")
    return value


def _object(data: Any) -> _Data:
    if not isinstance(data, dict):
        raise BadMessage("its payload is no object")
    return data


def _flags(data: _Data, maker: str, best: str, market: Market) -> str:
    """Flags; only spot has the second one."""
    is_maker = "true" if flag(data, maker) else "false"
    if market is not Market.SPOT:
        return is_maker
    return f"{is_maker},{'true' if flag(data, best) else 'false'}"
