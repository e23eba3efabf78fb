"""Bars: of trades, and of prices that are not traded."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.testing.exchange.clock import SECOND_US
from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.exchange.tape.intervals import Interval
from crypto_lakehouse.testing.exchange.tape.prices import SecondPrices
from crypto_lakehouse.testing.exchange.tape.trades import Trades

__all__ = ["Bar", "Bars", "PriceBars", "TradeBars"]


@frozen(kw_only=True)
class Bar:
    """One bar, written as the market writes it.

    Attributes:
        open_us: Its first microsecond.
        end_us: The first microsecond of the next one.
        count: The number of trades; of a price that is not traded, the number of its values.
        first_id: The id of its first trade, -1 if it has none.
        last_id: The id of its last trade, -1 if it has none.
    """

    open_us: int
    end_us: int
    open: str
    high: str
    low: str
    close: str
    volume: str = "0"
    other_volume: str = "0"
    count: int
    taker_volume: str = "0"
    taker_other_volume: str = "0"
    first_id: int = -1
    last_id: int = -1


class Bars:
    """The bars of one symbol, from the one in which it began.

    Args:
        first_us: A moment in the first bar.
    """

    def __init__(self, first_us: int) -> None:
        self._first_us = first_us

    def first_number(self, interval: Interval) -> int:
        """The number of the first bar."""
        return interval.number(self._first_us)

    def bar(self, interval: Interval, number: int, now_us: int) -> Bar:
        """The bar of a number, as far as it is known at a time.

        Args:
            interval: Its length.
            number: Its number: not before the first one.
            now_us: Not before the bar's open, nor before the first moment of the tape.
        """
        raise NotImplementedError


class TradeBars(Bars):
    """The bars of a symbol's trades.

    Args:
        instrument: The symbol.
        trades: Its trades.
        first_us: The time of its first trade.
    """

    def __init__(self, instrument: Instrument, trades: Trades, first_us: int) -> None:
        super().__init__(first_us)
        self._instrument = instrument
        self._trades = trades

    def bar(self, interval: Interval, number: int, now_us: int) -> Bar:
        """Aggregate the trades of a bar up to a time; without a trade, the last price stands."""
        open_us, end_us = interval.opens(number), interval.opens(number + 1)
        first = self._trades.count_before(open_us)
        end = max(first, self._trades.count_before(min(end_us, now_us + 1)))
        text = self._instrument.price_text
        if first == end:
            last = text(self._trades.trade(max(0, first - 1)).price)
            zero, other = self._instrument.quantity_text(0), self._instrument.other_text(0)
            return Bar(
                open_us=open_us, end_us=end_us, open=last, high=last, low=last, close=last,
                volume=zero, other_volume=other, count=0, taker_volume=zero,
                taker_other_volume=other,
            )  # fmt: skip
        totals = self._trades.totals(first, end)
        low, high = self._trades.price_range(first, end)
        begun, ended = self._trades.trade(first), self._trades.trade(end - 1)
        return Bar(
            open_us=open_us,
            end_us=end_us,
            open=text(begun.price),
            high=text(high),
            low=text(low),
            close=text(ended.price),
            volume=self._instrument.quantity_text(totals.quantity),
            other_volume=self._instrument.other_text(totals.other),
            count=end - first,
            taker_volume=self._instrument.quantity_text(totals.taker_buy_quantity),
            taker_other_volume=self._instrument.other_text(totals.taker_buy_other),
            first_id=begun.id,
            last_id=ended.id,
        )


class PriceBars(Bars):
    """The bars of a price that is not traded.

    Args:
        prices: The price.
        first_us: When it begins.
    """

    def __init__(self, prices: SecondPrices, first_us: int) -> None:
        super().__init__(first_us)
        self._prices = prices

    def bar(self, interval: Interval, number: int, now_us: int) -> Bar:
        """Aggregate the values of a bar up to a time."""
        open_us, end_us = interval.opens(number), interval.opens(number + 1)
        last_us = min(end_us - 1, now_us)
        first_s, end_s = open_us // SECOND_US, last_us // SECOND_US + 1
        values = self._prices.values(first_s, end_s)
        text = self._prices.text
        return Bar(
            open_us=open_us,
            end_us=end_us,
            open=text(values[0]),
            high=text(max(values)),
            low=text(min(values)),
            close=text(self._prices.at(last_us)),
            count=end_s - first_s,
        )
