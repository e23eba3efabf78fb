"""What a symbol's name shows: base and quote asset, the kind of contract, leveraged tokens.

For delisted symbols the archive has only names, and the exchange's list of symbols has only those
that trade today. So the lists here are closed, and what a name does not show stays unknown.

Source: docs/archive.md#symbols; the assets that Binance spot and futures have quoted in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from attrs import field, frozen, validators

from crypto_lakehouse.core.archive import Market

__all__ = ["ContractType", "SymbolFilter", "SymbolTraits", "traits_of"]

_SETTLED = re.compile(r"_?SETTLED\d*\Z", re.ASCII)
_DELIVERY = re.compile(r"_\d{6}\Z", re.ASCII)
_PERPETUAL = re.compile(r"_PERP\Z")

_PEGGED_QUOTES = (
    "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "PAX", "USDS", "USDSB", "USD1", "RLUSD",
    "XUSD", "DAI", "UST", "U", "AEUR", "EURI", "IDRT", "BIDR", "BKRW", "BVND", "VAI",
)  # fmt: skip
_CURRENCIES = (
    "EUR", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "JPY",
    "MXN", "CZK", "COP", "USD",
)  # fmt: skip
_COIN_QUOTES = ("BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL")
_SPOT_QUOTES = frozenset((*_PEGGED_QUOTES, *_CURRENCIES, *_COIN_QUOTES))
_USD_MARGINED_QUOTES = frozenset(
    ("USDT", "USDC", "BUSD", "FDUSD", "USD1", "U", "BTC", "ETH", "BNB")
)

#: The quote assets of each market: `BNBUSD_PERP` is BNB/USD, although spot has BUSD.
_QUOTES = {
    Market.SPOT: _SPOT_QUOTES,
    Market.FUTURES_UM: _USD_MARGINED_QUOTES,
    Market.FUTURES_CM: frozenset({"USD"}),
    Market.OPTIONS: _USD_MARGINED_QUOTES,
}
_KNOWN_QUOTES = frozenset().union(*_QUOTES.values())

#: Quote assets that end in another one and were only ever used with these bases: `ADAEUR` is
#: ADA/EUR, `BTCAEUR` is BTC/AEUR.
_RARE_QUOTES = {"AEUR": frozenset({"BTC", "ETH", "EUR"})}

_STABLE_COINS = frozenset((*_PEGGED_QUOTES, "BFUSD", "USDE", "PYUSD", "GUSD", "SUSD"))

_LEVERAGED_ASSETS = (
    "1INCH", "AAVE", "ADA", "BCH", "BNB", "BTC", "DOT", "EOS", "ETH", "FIL", "LINK", "LTC", "SUSHI",
    "SXP", "TRX", "UNI", "XLM", "XRP", "XTZ", "YFI",
)  # fmt: skip
#: Ordinary assets end in UP and DOWN, too (JUP, SYRUP), so the tokens are listed.
_LEVERAGED_BASES = frozenset(
    [asset + direction for asset in _LEVERAGED_ASSETS for direction in ("UP", "DOWN")]
    + [asset + side for asset in ("", "ETH", "EOS", "BNB", "XRP") for side in ("BULL", "BEAR")]
)

_CHOICES = ("include", "exclude", "only")


class ContractType(StrEnum):
    """The kind of futures contract that a symbol names."""

    PERPETUAL = "perpetual"
    DELIVERY = "delivery"
    SETTLED = "settled"


@frozen
class SymbolTraits:
    """What a symbol's name shows.

    Attributes:
        base: The asset that is priced; empty if it is unknown.
        quote: The asset that it is priced in; empty if it is unknown.
        contract: None for spot pairs, for options' underlyings and indices, and for the pairs
            that coin-margined index prices are filed under.
        is_leveraged: Whether it is one of Binance's leveraged tokens.
        is_stable_pair: Whether base and quote are both stable coins; currencies do not count.
    """

    base: str
    quote: str
    contract: ContractType | None
    is_leveraged: bool
    is_stable_pair: bool


@lru_cache(maxsize=16_384)
def traits_of(symbol: str, market: Market) -> SymbolTraits:
    """Return what the name of a symbol shows in a market.

    Examples:
        >>> traits = traits_of("BTCUSDT_240628", Market.FUTURES_UM)
        >>> traits.base, traits.quote, str(traits.contract)
        ('BTC', 'USDT', 'delivery')
    """
    contract, pair = _contract(symbol, market)
    base, quote = _split(pair, _QUOTES[market])
    return SymbolTraits(
        base=base,
        quote=quote,
        contract=contract,
        is_leveraged=market is Market.SPOT and base in _LEVERAGED_BASES,
        is_stable_pair=base in _STABLE_COINS and quote in _STABLE_COINS,
    )


def _contract(symbol: str, market: Market) -> tuple[ContractType | None, str]:
    """Return the contract that a symbol names, and the symbol without that suffix."""
    if market not in (Market.FUTURES_UM, Market.FUTURES_CM):
        return None, symbol
    living = _SETTLED.sub("", symbol)
    undated = _DELIVERY.sub("", living)
    pair = _PERPETUAL.sub("", undated)
    if living != symbol:
        return ContractType.SETTLED, pair
    if undated != living:
        return ContractType.DELIVERY, pair
    if pair != undated or market is Market.FUTURES_UM:
        return ContractType.PERPETUAL, pair
    return None, pair


def _split(pair: str, quotes: Iterable[str]) -> tuple[str, str]:
    """Return base and quote, by the longest quote asset that leaves a base."""
    fitting = [quote for quote in quotes if _fits(pair, quote)]
    quote = max(fitting, key=len, default="")
    return (pair.removesuffix(quote), quote) if quote else ("", "")


def _fits(pair: str, quote: str) -> bool:
    base = pair.removesuffix(quote)
    return base not in ("", pair) and base in _RARE_QUOTES.get(quote, {base})


@frozen(kw_only=True)
class SymbolFilter:
    """Selects symbols by what their names show.

    Attributes:
        quote_assets: Only symbols quoted in one of these; None for all. An asset that
            is not a known quote asset is matched as a suffix.
        contracts: Only these kinds of contracts; None for all. Other symbols always pass.
        leveraged_tokens: `include`, `exclude` or `only`.
        stable_pairs: `include`, `exclude` or `only`.

    Raises:
        ValueError: Another word.

    Examples:
        >>> wanted = SymbolFilter(quote_assets=("USDT",), leveraged_tokens="exclude")
        >>> [wanted.accepts(name, Market.SPOT) for name in ("JUPUSDT", "BTCUPUSDT", "ETHBTC")]
        [True, False, False]
    """

    quote_assets: tuple[str, ...] | None = None
    contracts: tuple[ContractType, ...] | None = None
    leveraged_tokens: str = field(default="include", validator=validators.in_(_CHOICES))
    stable_pairs: str = field(default="include", validator=validators.in_(_CHOICES))

    @property
    def is_open(self) -> bool:
        """Whether every symbol passes."""
        return self == SymbolFilter()

    def accepts(self, symbol: str, market: Market) -> bool:
        """Whether a symbol of a market is wanted."""
        traits = traits_of(symbol, market)
        return (
            self._accepts_contract(traits.contract)
            and _agrees(self.leveraged_tokens, traits.is_leveraged)
            and _agrees(self.stable_pairs, traits.is_stable_pair)
            and self._accepts_quote(symbol, market, traits)
        )

    def _accepts_contract(self, contract: ContractType | None) -> bool:
        return self.contracts is None or contract is None or contract in self.contracts

    def _accepts_quote(self, symbol: str, market: Market, traits: SymbolTraits) -> bool:
        if self.quote_assets is None:
            return True
        asked = frozenset(self.quote_assets)
        quote, unknown = traits.quote, asked - _KNOWN_QUOTES - {""}
        if unknown:
            _, quote = _split(_contract(symbol, market)[1], _QUOTES[market] | unknown)
        return quote != "" and quote in asked


def _agrees(choice: str, trait: bool) -> bool:
    return choice == "include" or (choice == "only") == trait
