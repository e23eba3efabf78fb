"""The streams: what each sends, and when."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.testing.exchange.tape.book import BOOK_STEP_US
from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.exchange.tape.intervals import Interval
from crypto_lakehouse.testing.exchange.tape.tape import Listed
from crypto_lakehouse.testing.made_up.rows.values import decimal

__all__ = [
    "AggTradeStream",
    "BarStream",
    "BookTickerStream",
    "DepthStream",
    "ForceOrderStream",
    "JoinedStream",
    "MarkPriceStream",
    "Message",
    "PartialDepthStream",
    "Stream",
    "TradeStream",
]


@frozen
class Message:
    """One event: when it happens, and its payload with times in microseconds."""

    time_us: int
    payload: Mapping[str, Any]

    def in_unit(self, us_per_unit: int) -> dict[str, Any]:
        """The payload with its times in another unit."""
        made = dict(self.payload)
        for name in made.keys() & {"E", "T"}:
            made[name] //= us_per_unit
        if "k" in made:
            bar = made["k"]
            ends = {"t": bar["t"] // us_per_unit, "T": bar["T"] // us_per_unit - 1}
            made["k"] = {**bar, **ends}
        if "o" in made:
            made["o"] = {**made["o"], "T": made["o"]["T"] // us_per_unit}
        return made


class Stream(Protocol):
    """The events of one stream."""

    def messages(self, after_us: int, until_us: int) -> Iterator[Message]:
        """The events after a time and up to another, oldest first."""
        ...

    def next_us(self, after_us: int) -> int | None:
        """A time not later than the next event after a time; None if there is no more."""
        ...


def _head(event: str, time_us: int, one: Instrument) -> dict[str, Any]:
    return {"e": event, "E": time_us, "s": one.symbol}


@frozen
class TradeStream:
    """`<symbol>@trade`: every trade, when it happens."""

    listed: Listed

    def messages(self, after_us: int, until_us: int) -> Iterator[Message]:
        """The trades of a span."""
        one, trades = self.listed.instrument, self.listed.trades
        end = {"M": True} if one.market is Market.SPOT else {"X": "MARKET"}
        for index in range(trades.count_before(after_us + 1), trades.count_before(until_us + 1)):
            trade = trades.trade(index)
            yield Message(
                trade.time_us,
                {
                    **_head("trade", trade.time_us, one),
                    "t": trade.id,
                    "p": one.price_text(trade.price),
                    "q": one.quantity_text(trade.quantity),
                    "T": trade.time_us,
                    "m": trade.is_buyer_maker,
                    **end,
                },
            )

    def next_us(self, after_us: int) -> int | None:
        """When the next trade is."""
        trades = self.listed.trades
        index = trades.count_before(after_us + 1)
        return trades.trade(index).time_us if trades.has(index) else None


@frozen
class AggTradeStream:
    """`<symbol>@aggTrade`: every aggTrade, when it happens."""

    listed: Listed

    def messages(self, after_us: int, until_us: int) -> Iterator[Message]:
        """The aggTrades of a span."""
        one, trades = self.listed.instrument, self.listed.trades
        first, end = trades.agg_count_before(after_us + 1), trades.agg_count_before(until_us + 1)
        for index in range(first, end):
            agg = trades.agg(index)
            quantity = one.quantity_text(agg.quantity)
            payload = {
                **_head("aggTrade", agg.time_us, one),
                "a": agg.id,
                "p": one.price_text(agg.price),
                "q": quantity,
                "f": agg.first_id,
                "l": agg.last_id,
                "T": agg.time_us,
                "m": agg.is_buyer_maker,
            }
            if one.market is Market.SPOT:
                payload["M"] = True
            elif one.market is Market.FUTURES_UM:
                payload["nq"] = quantity
            yield Message(agg.time_us, payload)

    def next_us(self, after_us: int) -> int | None:
        """When the next trade is, which begins an aggTrade."""
        return TradeStream(self.listed).next_us(after_us)


@frozen
class _Ticking:
    """A stream that sends at multiples of a time."""

    listed: Listed
    every_us: int

    def messages(self, after_us: int, until_us: int) -> Iterator[Message]:
        """The events of a span."""
        for tick in range(after_us // self.every_us + 1, until_us // self.every_us + 1):
            message = self._at(tick * self.every_us)
            if message is not None:
                yield message

    def next_us(self, after_us: int) -> int:
        """The next multiple."""
        return (after_us // self.every_us + 1) * self.every_us

    def _at(self, time_us: int) -> Message | None:
        raise NotImplementedError


@frozen
class BarStream(_Ticking):
    """`<symbol>@kline_<interval>`: the bar that is not finished, and each one when it is."""

    interval: Interval

    def _at(self, time_us: int) -> Message | None:
        one, bars = self.listed.instrument, self.listed.bars(DataType.KLINES)
        number = self.interval.number(time_us - 1)
        if number < bars.first_number(self.interval):
            return None
        bar = bars.bar(self.interval, number, time_us)
        k = {
            "t": bar.open_us,
            "T": bar.end_us,
            "s": one.symbol,
            "i": self.interval.name,
            "f": bar.first_id,
            "L": bar.last_id,
            "o": bar.open,
            "c": bar.close,
            "h": bar.high,
            "l": bar.low,
            "v": bar.volume,
            "n": bar.count,
            "x": bar.end_us <= time_us,
            "q": bar.other_volume,
            "V": bar.taker_volume,
            "Q": bar.taker_other_volume,
            "B": "0",
        }
        return Message(time_us, {**_head("kline", time_us, one), "k": k})


@frozen
class BookTickerStream(_Ticking):
    """`<symbol>@bookTicker`: the best bid and ask, when one of them changes."""

    def _at(self, time_us: int) -> Message | None:
        book, one = self.listed.book, self.listed.instrument
        step = book.step_at(time_us)
        if step == 0 or book.best(step - 1) == book.best(step):
            return None
        (bid, bids), (ask, asks) = book.best(step)
        update_id = book.ids_of(step)[1]
        body = {
            "s": one.symbol,
            **_pair(one),
            "b": one.price_text(bid),
            "B": one.quantity_text(bids),
            "a": one.price_text(ask),
            "A": one.quantity_text(asks),
        }
        if one.market is Market.SPOT:
            return Message(time_us, {"u": update_id, **body})
        head = {"e": "bookTicker", "u": update_id, "E": time_us, "T": book.time_of(step)}
        return Message(time_us, {**head, **body})


@frozen
class DepthStream(_Ticking):
    """`<symbol>@depth`: what changed in the book since the event before."""

    def _at(self, time_us: int) -> Message | None:
        book, one = self.listed.book, self.listed.instrument
        before, after = book.step_at(time_us - self.every_us), book.step_at(time_us)
        if before == after:
            return None
        bids, asks = book.changes(before, after)
        last = book.ids_of(before)[1]
        payload = _head("depthUpdate", time_us, one)
        if one.market is not Market.SPOT:
            payload |= {"T": book.time_of(after), **_pair(one)}
        payload |= {"U": last + 1, "u": book.ids_of(after)[1]}
        if one.market is not Market.SPOT:
            payload["pu"] = last
        return Message(time_us, payload | {"b": _levels(one, bids), "a": _levels(one, asks)})


@frozen
class PartialDepthStream(_Ticking):
    """`<symbol>@depth<levels>`: the best levels of the book."""

    levels: int

    def _at(self, time_us: int) -> Message | None:
        book, one = self.listed.book, self.listed.instrument
        step = book.step_at(time_us)
        state = book.state(step)
        bids = _levels(one, state.bids)[: self.levels]
        asks = _levels(one, state.asks)[: self.levels]
        if one.market is Market.SPOT:
            payload: dict[str, Any] = {"lastUpdateId": state.update_id, "bids": bids, "asks": asks}
            return Message(time_us, payload)
        first, last = book.ids_of(step)
        return Message(
            time_us,
            {
                **_head("depthUpdate", time_us, one),
                "T": state.time_us,
                **_pair(one),
                "U": first,
                "u": last,
                "pu": first - 1,
                "b": bids,
                "a": asks,
            },
        )


def _levels(one: Instrument, levels: Mapping[int, int]) -> list[list[str]]:
    return [[one.price_text(price), one.quantity_text(amount)] for price, amount in levels.items()]


def _pair(one: Instrument) -> dict[str, str]:
    """COIN-M names the pair, too."""
    return {"ps": one.pair} if one.market is Market.FUTURES_CM else {}


@frozen
class MarkPriceStream(_Ticking):
    """`<symbol>@markPrice`: mark price, index, and the next funding."""

    def _at(self, time_us: int) -> Message | None:
        listed, one = self.listed, self.listed.instrument
        mark = listed.mark.text(listed.mark.at(time_us))
        index = listed.index.text(listed.index.at(time_us))
        payload = {**_head("markPriceUpdate", time_us, one), "p": mark}
        if one.market is Market.FUTURES_UM:
            payload |= {"ap": mark, "i": index}
        if one.contract_type == "PERPETUAL":
            funding = listed.derivatives.next_funding(time_us)
            rate, next_us = decimal(funding.rate, 8), funding.time_us
        else:
            rate, next_us = "", 0
        return Message(time_us, {**payload, "P": index, "r": rate, "T": next_us})


@frozen
class ForceOrderStream:
    """`<symbol>@forceOrder`: liquidations."""

    listed: Listed

    def messages(self, after_us: int, until_us: int) -> Iterator[Message]:
        """The liquidations of a span."""
        one = self.listed.instrument
        each = self.listed.derivatives.liquidation_after(after_us)
        while each.time_us <= until_us:
            price = self.listed.mark.text(self.listed.mark.at(each.time_us))
            quantity = one.quantity_text(each.quantity)
            order = {
                "s": one.symbol,
                **_pair(one),
                "S": "SELL" if each.is_sell else "BUY",
                "o": "LIMIT",
                "f": "IOC",
                "q": quantity,
                "p": price,
                "ap": price,
                "X": "FILLED",
                "l": quantity,
                "z": quantity,
                "T": each.time_us,
            }
            yield Message(each.time_us, {"e": "forceOrder", "E": each.time_us, "o": order})
            each = self.listed.derivatives.liquidation_after(each.time_us)

    def next_us(self, after_us: int) -> int:
        """When the next liquidation is."""
        return self.listed.derivatives.liquidation_after(after_us).time_us


@frozen
class JoinedStream:
    """`!forceOrder@arr`: the events of several streams, one at a time."""

    streams: tuple[Stream, ...]

    def messages(self, after_us: int, until_us: int) -> Iterator[Message]:
        """The events of a span."""
        parts = [stream.messages(after_us, until_us) for stream in self.streams]
        return heapq.merge(*parts, key=lambda message: message.time_us)

    def next_us(self, after_us: int) -> int | None:
        """When the next event of any stream is."""
        moments = [stream.next_us(after_us) for stream in self.streams]
        return min((moment for moment in moments if moment is not None), default=None)


#: How often the book is looked at for a change of its best levels.
BOOK_TICK_US = BOOK_STEP_US
