"""Loads exported files with Freqtrade, NautilusTrader and vectorbt; prints what it found as JSON.

It is called in the folder with the exports, and knows these programs only. On its input it gets the
examples of the page.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import vectorbt as vbt
from freqtrade.data.history import load_pair_history
from freqtrade.data.history.datahandlers import get_datahandler
from freqtrade.enums import CandleType, TradingMode
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog

FUTURE = "BTC/USDT:USDT"


def freqtrade() -> dict[str, Any]:
    folder = Path("user_data/data/binance")
    handler = get_datahandler(folder, "feather")
    kinds = (CandleType.FUTURES, CandleType.MARK, CandleType.FUNDING_RATE)
    frames = {"spot": load_pair_history("BTC/USDT", "1h", folder)} | {
        str(kind): load_pair_history(FUTURE, "1h", folder, candle_type=kind, fill_up_missing=False)
        for kind in kinds
    }
    available = [
        [*map(str, each)]
        for mode in (TradingMode.SPOT, TradingMode.FUTURES)
        for each in handler.ohlcv_get_available_data(folder, mode)
    ]
    return {
        "available": sorted(available),
        "rows": {name: len(frame) for name, frame in frames.items()},
        "close": frames["spot"]["close"].tolist(),
        "first": str(frames["spot"]["date"].iloc[0]),
        "funding": frames["funding_rate"]["open"].tolist(),
    }


def instrument(catalog: ParquetDataCatalog, bar_type: str) -> CurrencyPair:
    """The pair, with the precision that its bars have."""
    bar = catalog.bars([bar_type])[0]
    price, size = bar.close.precision, bar.volume.precision
    return CurrencyPair(
        instrument_id=InstrumentId.from_str("BTCUSDT.BINANCE"), raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC, quote_currency=USDT, price_precision=price, size_precision=size,
        price_increment=Price(10**-price, price), size_increment=Quantity(10**-size, size),
        ts_event=0, ts_init=0,
    )  # fmt: skip


def nautilus() -> dict[str, Any]:
    catalog = ParquetDataCatalog("catalog")
    bar_type = "BTCUSDT.BINANCE-1-HOUR-LAST-EXTERNAL"
    bars = catalog.bars([bar_type])
    pair = instrument(catalog, bar_type)
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("BINANCE"), OmsType.NETTING, AccountType.CASH, starting_balances=[Money(1e6, USDT)]
    )
    engine.add_instrument(pair)
    engine.add_data(bars)
    engine.run()
    trades = catalog.trade_ticks(["BTCUSDT-PERP.BINANCE"])
    last_year = catalog.bars([bar_type], end="2024-01-01T00:00:00Z")
    types = [f"BTCUSDT.BINANCE-{text}-LAST-EXTERNAL" for text in json.loads(sys.argv[1])]
    return {
        "close": [float(str(bar.close)) for bar in bars],
        "volume": [float(str(bar.volume)) for bar in bars],
        "times": [bar.ts_event for bar in bars],
        "precision": [pair.price_precision, pair.size_precision],
        "iterations": engine.get_result().iterations,
        "last_year": len(last_year),
        "trades": [
            [
                int(each.trade_id.value),
                float(str(each.price)),
                float(str(each.size)),
                each.aggressor_side.name,
            ]
            for each in trades
        ],
        "types": [str(BarType.from_str(each)) == each for each in types],
    }


def vectorbt() -> dict[str, Any]:
    paths = sorted(Path("bars/spot/klines/1h").glob("*.parquet"))
    frames = {path.stem: pd.read_parquet(path) for path in paths}
    data = vbt.Data.from_data(frames, download_kwargs={})
    close = data.get("Close")
    returned = vbt.Portfolio.from_holding(close, freq="1h").total_return()
    return {
        "symbols": [*close.columns],
        "close": close["BTCUSDT"].tolist(),
        "index": str(close.index.dtype),
        "returned": returned.to_dict(),
        "ohlcv": [*frames["BTCUSDT"].vbt.ohlcv.ohlc.columns],
    }


for block in json.load(sys.stdin):
    exec(block, {"__name__": "example"})  # noqa: S102
found = {each.__name__: each() for each in (freqtrade, nautilus, vectorbt)}
sys.stdout.write(f"{json.dumps(found)}\n")
