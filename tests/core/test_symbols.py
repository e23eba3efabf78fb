"""Symbols tell what they are, and filters take what they are asked for."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import symbols

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.symbols import ContractType, SymbolFilter, SymbolTraits, traits_of

SPOT, UM, CM, OPTIONS = Market
PERPETUAL, DELIVERY, SETTLED = ContractType

CHOICES = ("include", "exclude", "only")
QUOTES = ("USDT", "USDC", "BTC", "USD", "TUSD", "EUR", "AEUR", "NOVEL", "T")

filters = st.builds(
    SymbolFilter,
    quote_assets=st.none() | st.lists(st.sampled_from(QUOTES), max_size=3).map(tuple),
    contracts=st.none() | st.lists(st.sampled_from(ContractType), max_size=2).map(tuple),
    leveraged_tokens=st.sampled_from(CHOICES),
    stable_pairs=st.sampled_from(CHOICES),
)
markets = st.sampled_from(Market)


def pair_of(symbol: str, market: Market) -> tuple[str, str]:
    traits = traits_of(symbol, market)
    return traits.base, traits.quote


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("BTCUSDT", "BTC", "USDT"),
        ("1INCHBTC", "1INCH", "BTC"),
        ("0GUSDT", "0G", "USDT"),
        ("1000000MOGUSDT", "1000000MOG", "USDT"),
        ("币安人生USDT", "币安人生", "USDT"),
        ("BTCTUSD", "BTC", "TUSD"),
        ("BNBBUSD", "BNB", "BUSD"),
        ("BNBFDUSD", "BNB", "FDUSD"),
        ("BTCUSD1", "BTC", "USD1"),
        ("USDTBKRW", "USDT", "BKRW"),
        ("USDTTRY", "USDT", "TRY"),
        ("BETHETH", "BETH", "ETH"),
        ("WBTCBTC", "WBTC", "BTC"),
        ("DOGEBTC", "DOGE", "BTC"),
        ("BNBUSDS", "BNB", "USDS"),
        ("BTCU", "BTC", "U"),
        ("ADAEUR", "ADA", "EUR"),
        ("BTCAEUR", "BTC", "AEUR"),
        ("EURAEUR", "EUR", "AEUR"),
        ("AEURUSDT", "AEUR", "USDT"),
        ("USDT", "", ""),
        ("TUSD", "T", "USD"),
        ("123456", "", ""),
    ],
)
def test_spot_pairs_are_split_at_the_longest_quote_asset(
    symbol: str, base: str, quote: str
) -> None:
    traits = traits_of(symbol, SPOT)
    assert (traits.base, traits.quote, traits.contract) == (base, quote, None)


@pytest.mark.parametrize(
    ("market", "symbol", "base", "quote", "contract"),
    [
        (UM, "BTCUSDT", "BTC", "USDT", PERPETUAL),
        (UM, "ETHBTC", "ETH", "BTC", PERPETUAL),
        (UM, "BTCUSDT_240628", "BTC", "USDT", DELIVERY),
        (UM, "CVCUSDTSETTLED", "CVC", "USDT", SETTLED),
        (UM, "ICPUSDT_SETTLED", "ICP", "USDT", SETTLED),
        (UM, "ICPUSDTSETTLED1", "ICP", "USDT", SETTLED),
        (UM, "BTCUSDT_240628_SETTLED", "BTC", "USDT", SETTLED),
        (UM, "SETTLEDUSDT", "SETTLED", "USDT", PERPETUAL),
        (UM, "_240628", "", "", DELIVERY),
        (UM, "SETTLED", "", "", SETTLED),
        (CM, "BTCUSD_PERP", "BTC", "USD", PERPETUAL),
        (CM, "BTCUSD_200925", "BTC", "USD", DELIVERY),
        (CM, "BTCUSD", "BTC", "USD", None),
        (CM, "BNBUSD_PERP", "BNB", "USD", PERPETUAL),
        (CM, "AVAXUSD_PERP", "AVAX", "USD", PERPETUAL),
        (CM, "DOTUSD_210326", "DOT", "USD", DELIVERY),
        (CM, "FTTUSD_PERP_SETTLED", "FTT", "USD", SETTLED),
        (CM, "BTCUSDT", "", "", None),
        (OPTIONS, "BTCUSDT", "BTC", "USDT", None),
        (OPTIONS, "BTCBVOLUSDT", "BTCBVOL", "USDT", None),
        (SPOT, "BTCUSDT_240628", "", "", None),
    ],
)
def test_contracts_are_told_by_suffix_and_market(
    market: Market, symbol: str, base: str, quote: str, contract: ContractType | None
) -> None:
    traits = traits_of(symbol, market)
    assert (traits.base, traits.quote, traits.contract) == (base, quote, contract)


@pytest.mark.parametrize(
    "symbol", ["BTCUPUSDT", "1INCHDOWNUSDT", "SXPUPUSDT", "BULLUSDT", "BEARBUSD", "XRPBULLUSDT"]
)
def test_leveraged_tokens_are_known_by_name(symbol: str) -> None:
    assert traits_of(symbol, SPOT).is_leveraged


@pytest.mark.parametrize(
    "symbol", ["JUPUSDT", "SYRUPUSDT", "UPUSDT", "DOWNUSDT", "BTCBULLUSDT", "BTCUP", "BNBBTC"]
)
def test_ordinary_assets_end_like_them(symbol: str) -> None:
    assert not traits_of(symbol, SPOT).is_leveraged


def test_futures_have_no_leveraged_tokens() -> None:
    assert not traits_of("BULLUSDT", UM).is_leveraged


@pytest.mark.parametrize(
    ("symbol", "is_stable"),
    [
        ("USDCUSDT", True),
        ("FDUSDUSDT", True),
        ("TUSDBUSD", True),
        ("AEURUSDT", True),
        ("EURUSDT", False),
        ("USDTTRY", False),
        ("BTCUSDT", False),
        ("USTCUSDT", False),
    ],
)
def test_a_stable_pair_is_of_two_stable_coins(symbol: str, is_stable: bool) -> None:
    assert traits_of(symbol, SPOT).is_stable_pair is is_stable


@given(symbols, markets)
def test_a_split_symbol_is_base_and_quote_again(symbol: str, market: Market) -> None:
    traits = traits_of(symbol, market)
    assert bool(traits.base) == bool(traits.quote)
    assert symbol.startswith(traits.base + traits.quote)
    if market in (SPOT, OPTIONS):
        assert traits.contract is None
        assert traits.base + traits.quote in ("", symbol)


@given(st.sampled_from(["BTC", "1INCH", "币安人生", "JUP", "T"]), st.dates(), st.integers(0, 99))
def test_suffixes_hide_no_pair(base: str, day: date, number: int) -> None:
    delivered = f"{base}USDT_{day:%y%m%d}"
    assert traits_of(delivered, UM) == SymbolTraits(
        base, "USDT", DELIVERY, is_leveraged=False, is_stable_pair=False
    )
    for settled in (f"{base}USDTSETTLED{number}", f"{base}USDT_SETTLED{number}"):
        assert pair_of(settled, UM) == (base, "USDT")
        assert traits_of(settled, UM).contract is SETTLED


def accepted(wanted: SymbolFilter, market: Market, *names: str) -> list[str]:
    return [name for name in names if wanted.accepts(name, market)]


def test_a_filter_takes_quote_assets() -> None:
    wanted = SymbolFilter(quote_assets=("USDT", "BTC"))
    names = ("BTCUSDT", "ETHBTC", "BTCUSDC", "USDTTRY", "123456")
    assert accepted(wanted, SPOT, *names) == ["BTCUSDT", "ETHBTC"]
    assert accepted(wanted, UM, "BTCUSDT_240628", "BTCUSDC") == ["BTCUSDT_240628"]
    assert accepted(SymbolFilter(quote_assets=("USD",)), SPOT, "BTCTUSD", "BTCUSD") == ["BTCUSD"]
    assert accepted(SymbolFilter(quote_assets=()), SPOT, *names) == []


def test_a_quote_asset_that_nobody_knows_is_a_suffix() -> None:
    assert accepted(SymbolFilter(quote_assets=("NOVEL",)), UM, "BTCNOVEL_240628", "NOVELUSDT") == [
        "BTCNOVEL_240628"
    ]
    longest = SymbolFilter(quote_assets=("XUSDT", "USDT"))
    assert accepted(longest, SPOT, "BTCXUSDT", "BTCUSDT", "XUSDT") == [
        "BTCXUSDT", "BTCUSDT", "XUSDT",
    ]  # fmt: skip
    assert accepted(SymbolFilter(quote_assets=("XUSDT",)), SPOT, "BTCXUSDT", "XUSDT") == [
        "BTCXUSDT"
    ]
    assert accepted(SymbolFilter(quote_assets=("SDT", "")), SPOT, "BTCUSDT", "123456") == []


def test_a_quote_asset_of_another_market_takes_none_away() -> None:
    wanted = SymbolFilter(quote_assets=("BUSD", "USD"))
    assert accepted(wanted, CM, "BNBUSD_PERP") == ["BNBUSD_PERP"]
    assert accepted(SymbolFilter(quote_assets=("BUSD",)), CM, "BNBUSD_PERP") == []


def test_a_filter_takes_contracts_where_there_are_some() -> None:
    wanted = SymbolFilter(contracts=(PERPETUAL,))
    assert accepted(wanted, UM, "BTCUSDT", "BTCUSDT_240628", "ICPUSDT_SETTLED") == ["BTCUSDT"]
    assert accepted(wanted, CM, "BTCUSD", "BTCUSD_PERP", "BTCUSD_200925") == [
        "BTCUSD", "BTCUSD_PERP",
    ]  # fmt: skip
    assert accepted(wanted, SPOT, "BTCUSDT") == ["BTCUSDT"]
    assert accepted(wanted, OPTIONS, "BTCBVOLUSDT") == ["BTCBVOLUSDT"]
    both = SymbolFilter(contracts=(DELIVERY, SETTLED))
    assert accepted(both, UM, "BTCUSDT", "BTCUSDT_240628", "ICPUSDT_SETTLED") == [
        "BTCUSDT_240628", "ICPUSDT_SETTLED",
    ]  # fmt: skip


def test_a_filter_leaves_out_or_takes_alone() -> None:
    names = ("BTCUSDT", "BTCUPUSDT", "USDCUSDT")
    assert accepted(SymbolFilter(), SPOT, *names) == list(names)
    assert accepted(SymbolFilter(leveraged_tokens="exclude"), SPOT, *names) == [
        "BTCUSDT", "USDCUSDT",
    ]  # fmt: skip
    assert accepted(SymbolFilter(leveraged_tokens="only"), SPOT, *names) == ["BTCUPUSDT"]
    assert accepted(SymbolFilter(stable_pairs="exclude"), SPOT, *names) == ["BTCUSDT", "BTCUPUSDT"]
    assert accepted(SymbolFilter(stable_pairs="only"), SPOT, *names) == ["USDCUSDT"]


def test_a_filter_of_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="leveraged_tokens"):
        SymbolFilter(leveraged_tokens="all")


def test_an_open_filter_knows_that_it_is_one() -> None:
    assert SymbolFilter().is_open
    assert not SymbolFilter(quote_assets=()).is_open
    assert not SymbolFilter(contracts=()).is_open
    assert not SymbolFilter(stable_pairs="only").is_open


@given(symbols, markets)
def test_an_open_filter_takes_all(symbol: str, market: Market) -> None:
    assert SymbolFilter().accepts(symbol, market)


@given(symbols, markets, filters)
def test_every_condition_must_hold(symbol: str, market: Market, wanted: SymbolFilter) -> None:
    single = [
        SymbolFilter(quote_assets=wanted.quote_assets),
        SymbolFilter(contracts=wanted.contracts),
        SymbolFilter(leveraged_tokens=wanted.leveraged_tokens),
        SymbolFilter(stable_pairs=wanted.stable_pairs),
    ]
    expected = all(part.accepts(symbol, market) for part in single)
    assert wanted.accepts(symbol, market) is expected


@given(symbols, markets)
def test_exclude_and_only_share_the_symbols_between_them(symbol: str, market: Market) -> None:
    for out, alone in (
        (SymbolFilter(leveraged_tokens="exclude"), SymbolFilter(leveraged_tokens="only")),
        (SymbolFilter(stable_pairs="exclude"), SymbolFilter(stable_pairs="only")),
    ):
        assert out.accepts(symbol, market) != alone.accepts(symbol, market)


@given(symbols, markets, st.sampled_from(QUOTES), st.sampled_from(QUOTES))
def test_what_one_quote_asset_takes_two_take_unless_the_other_is_longer(
    symbol: str, market: Market, quote: str, other: str
) -> None:
    one = SymbolFilter(quote_assets=(quote,)).accepts(symbol, market)
    both = SymbolFilter(quote_assets=(quote, other)).accepts(symbol, market)
    assert both or not one
