"""The symbols of an exchange and the units of their prices and quantities."""

from __future__ import annotations

import re

from attrs import frozen

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing.made_up.rows.values import decimal

__all__ = ["DEFAULT_INSTRUMENTS", "Instrument"]

_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY")


@frozen(kw_only=True)
class Instrument:
    """One symbol of one market.

    Attributes:
        price_places: Prices are whole numbers of `10**-price_places`.
        quantity_places: Quantities are whole numbers of `10**-quantity_places`; on COIN-M they are
            contracts.
        contract_size: Dollars of a COIN-M contract; 0 in the other markets.
        agg_every_us: The mean time between two made-up aggTrades.
    """

    market: Market
    symbol: str
    base: str
    quote: str
    price_places: int = 2
    quantity_places: int
    contract_size: int = 0
    agg_every_us: int = 10_000_000

    @classmethod
    def of(cls, market: Market, symbol: str, *, agg_every_us: int = 10_000_000) -> Instrument:
        """Derive an instrument from its symbol.

        Raises:
            ValueError: The symbol ends with no quote asset that is known here.
        """
        pair = symbol.partition("_")[0]
        quote = next((name for name in _QUOTES if pair.endswith(name) and pair != name), None)
        if quote is None:
            raise ValueError(
                f"the end of {symbol} is none of {', '.join(_QUOTES)}; give an Instrument"
            )
        base = pair.removesuffix(quote)
        is_coin = market is Market.FUTURES_CM
        return cls(
            market=market,
            symbol=symbol,
            base=base,
            quote=quote,
            price_places=1 if is_coin else 2,
            quantity_places=0 if is_coin else (5 if market is Market.SPOT else 3),
            contract_size=0 if not is_coin else (100 if base == "BTC" else 10),
            agg_every_us=agg_every_us,
        )

    @property
    def pair(self) -> str:
        """The pair: the symbol without its contract."""
        return self.symbol.partition("_")[0]

    @property
    def contract_type(self) -> str:
        """`PERPETUAL`, or `CURRENT_QUARTER` if the symbol has a delivery date."""
        dated = re.search(r"_\d{6}$", self.symbol)
        return "CURRENT_QUARTER" if dated else "PERPETUAL"

    @property
    def other_places(self) -> int:
        """Amounts in the other asset are whole numbers of `10**-other_places`."""
        return 8 if self.contract_size else self.price_places + self.quantity_places

    def other_amount(self, price: int, quantity: int) -> int:
        """The amount in the other asset: quote, or base on COIN-M, rounded down there."""
        if self.contract_size:
            units: int = 10 ** (8 + self.price_places)
            return quantity * self.contract_size * units // price
        return price * quantity

    def price_text(self, price: int) -> str:
        """Write a price as the market does: spot pads to 8 places."""
        return decimal(price, self.price_places, self._width)

    def quantity_text(self, quantity: int) -> str:
        """Write a quantity as the market does."""
        return decimal(quantity, self.quantity_places, self._width)

    def other_text(self, amount: int) -> str:
        """Write an amount in the other asset as the market does."""
        return decimal(amount, self.other_places, self._width)

    @property
    def _width(self) -> int | None:
        return 8 if self.market is Market.SPOT else None


#: The second of each market trades so rarely that some minutes have no trade.
DEFAULT_INSTRUMENTS = tuple(
    Instrument.of(market, symbol, agg_every_us=every_s * 1_000_000)
    for market, symbol, every_s in (
        (Market.SPOT, "BTCUSDT", 10),
        (Market.SPOT, "ETHUSDT", 97),
        (Market.FUTURES_UM, "BTCUSDT", 10),
        (Market.FUTURES_UM, "ETHUSDT", 97),
        (Market.FUTURES_CM, "BTCUSD_PERP", 10),
        (Market.FUTURES_CM, "ETHUSD_PERP", 97),
    )
)
