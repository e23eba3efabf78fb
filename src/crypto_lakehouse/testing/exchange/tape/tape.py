"""Everything that happens on the exchange, by symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.testing.exchange.clock import microseconds
from crypto_lakehouse.testing.exchange.tape.bars import Bars, PriceBars, TradeBars
from crypto_lakehouse.testing.exchange.tape.book import Book
from crypto_lakehouse.testing.exchange.tape.derivatives import Derivatives
from crypto_lakehouse.testing.exchange.tape.instruments import DEFAULT_INSTRUMENTS, Instrument
from crypto_lakehouse.testing.exchange.tape.prices import SecondPrices
from crypto_lakehouse.testing.exchange.tape.trades import RandomTrades, Trades

__all__ = ["Listed", "Tape"]


class Listed:
    """What happened to one instrument.

    Args:
        instrument: The symbol.
        start_us: When it was listed.
        seed: The seed of the tape.
        trades: Its trades; None to make them up.
    """

    def __init__(
        self, instrument: Instrument, start_us: int, seed: int, trades: Trades | None
    ) -> None:
        self.instrument = instrument
        self.start_us = start_us
        self._seed = seed
        self._given = trades

    @cached_property
    def trades(self) -> Trades:
        """Its trades."""
        return self._given or RandomTrades(self.instrument, self.start_us, self._seed)

    @cached_property
    def book(self) -> Book:
        """Its order book."""
        return Book(self.instrument, self.trades, self.start_us)

    @cached_property
    def derivatives(self) -> Derivatives:
        """Its funding, open interest and ratios."""
        return Derivatives(self.instrument, self.start_us, self._seed)

    @cached_property
    def mark(self) -> SecondPrices:
        """Its mark price."""
        return self._prices(DataType.MARK_PRICE_KLINES)

    @cached_property
    def index(self) -> SecondPrices:
        """The index of its pair."""
        return self._prices(DataType.INDEX_PRICE_KLINES)

    @cached_property
    def premium(self) -> SecondPrices:
        """Its premium."""
        return self._prices(DataType.PREMIUM_INDEX_KLINES)

    def bars(self, kind: DataType) -> Bars:
        """Its bars of one of the four kinds."""
        if kind is DataType.KLINES:
            return TradeBars(self.instrument, self.trades, self.trades.trade(0).time_us)
        price = {
            DataType.MARK_PRICE_KLINES: self.mark,
            DataType.INDEX_PRICE_KLINES: self.index,
            DataType.PREMIUM_INDEX_KLINES: self.premium,
        }[kind]
        return PriceBars(price, self.start_us)

    def _prices(self, kind: DataType) -> SecondPrices:
        return SecondPrices(self.instrument, kind, self._seed)


class Tape:
    """Everything that happens, from a start on.

    Args:
        instruments: The symbols.
        start: When all of them were listed; aware.
        seed: The seed of what is made up.
        trades: Trades to use instead of made-up ones, by market and symbol: at least one each.

    Raises:
        ValueError: Trades are given of a symbol that is not among the instruments.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument] = DEFAULT_INSTRUMENTS,
        *,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        seed: int = 0,
        trades: Mapping[tuple[Market, str], Trades] | None = None,
    ) -> None:
        given = dict(trades or {})
        self.start_us = microseconds(start)
        self._listed = {
            (each.market, each.symbol): Listed(
                each, self.start_us, seed, given.pop((each.market, each.symbol), None)
            )
            for each in instruments
        }
        if given:
            market, symbol = next(iter(given))
            raise ValueError(f"{market} {symbol} has trades, but is not among the instruments")

    def get(self, market: Market, symbol: str) -> Listed | None:
        """What happened to a symbol; None if it is unknown."""
        return self._listed.get((market, symbol))

    def of_pair(self, market: Market, pair: str, contract_type: str = "ALL") -> list[Listed]:
        """What happened to the contracts of a pair."""
        return [
            each
            for each in self.listed(market)
            if each.instrument.pair == pair
            and contract_type in {"ALL", each.instrument.contract_type}
        ]

    def listed(self, market: Market) -> list[Listed]:
        """What happened to all symbols of a market."""
        return [each for (where, _), each in self._listed.items() if where is market]
