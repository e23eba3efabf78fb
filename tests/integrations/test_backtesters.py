"""What `export` writes, loaded by Freqtrade, NautilusTrader and vectorbt themselves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.documentation.collector import blocks
from tests.integrations.orchestrated import environment, shared
from tests.services.installed import program
from tests.tables.export.lakes import make_lake

from crypto_lakehouse.core.archive import INTERVALS
from crypto_lakehouse.tables import ExportSelection, Lake, export_lake
from crypto_lakehouse.tables.export.nautilus import step_of

PAGE = "docs/how-to/backtesters.md"


def loaded(folder: Path) -> dict[str, Any]:
    """What the programs have found; and the rows of the lake."""
    make_lake(folder)
    with Lake.open(folder / "lake") as lake:
        for target, name in (
            ("freqtrade", "user_data/data/binance"),
            ("nautilus", "catalog"),
            ("vectorbt", "bars"),
        ):
            export_lake(
                lake, target, folder / name, ExportSelection(markets=["spot", "futures_um"])
            )
        bars = lake.scan("spot.klines", symbols="BTCUSDT").polars().sort("open_time").collect()
        trades = lake.scan("futures_um.trades").polars().sort("id").collect()
        funding = lake.scan("futures_um.funding_rate").polars().sort("calc_time").collect()
    examples = [
        each.text for each in blocks() if each.place.startswith(PAGE) and each.runs_elsewhere
    ]
    assert len(examples) == 3
    ran = subprocess.run(
        [program("backtesters"), Path(__file__).with_name("backtesters_program.py"),
         json.dumps([step_of(each) for each in INTERVALS])],
        input=json.dumps(examples), cwd=folder, check=False, text=True, capture_output=True,
        env={**environment(folder), "NUMBA_DISABLE_JIT": "1"},  # to compile takes half a minute
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    rows = {
        "close": bars["close"].to_list(),
        "volume": bars["volume"].to_list(),
        "ends": (bars["open_time"].dt.epoch("ns") + 3_600_000_000_000).to_list(),
        "funding": funding["last_funding_rate"].to_list(),
        "trades": trades.select(
            "id", "price", "qty",
            side=pl.when("is_buyer_maker").then(pl.lit("SELLER")).otherwise(pl.lit("BUYER")),
        ).rows(),
    }  # fmt: skip
    return {"rows": rows, **json.loads(ran.stdout.splitlines()[-1])}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    program("backtesters")
    found: dict[str, Any] = shared(tmp_path_factory, "backtesters", loaded)
    return found


def test_freqtrade_loads_candles_and_funding_rates(found: dict[str, Any]) -> None:
    freqtrade = found["freqtrade"]
    assert freqtrade["available"] == [
        ["BTC/USDT", "1h", "spot"],
        ["BTC/USDT:USDT", "1h", "funding_rate"],
        ["BTC/USDT:USDT", "1h", "futures"],
        ["BTC/USDT:USDT", "1h", "mark"],
        ["ETH/USDT", "1h", "spot"],
    ]
    assert freqtrade["rows"] == {"spot": 72, "futures": 48, "mark": 48, "funding_rate": 93}
    assert freqtrade["close"] == found["rows"]["close"]
    assert freqtrade["first"] == "2023-12-30 00:00:00+00:00"
    assert freqtrade["funding"] == found["rows"]["funding"]


def test_nautilus_trader_reads_the_catalog_and_runs_on_its_bars(found: dict[str, Any]) -> None:
    nautilus, rows = found["nautilus"], found["rows"]
    assert (nautilus["close"], nautilus["volume"]) == (rows["close"], rows["volume"])
    assert nautilus["times"] == rows["ends"]
    assert nautilus["precision"] == [2, 5]
    assert nautilus["iterations"] == len(rows["close"]) == 72
    assert nautilus["last_year"] == 48
    assert nautilus["trades"] == rows["trades"]
    assert all(nautilus["types"])


def test_vectorbt_makes_data_of_the_frames(found: dict[str, Any]) -> None:
    vectorbt = found["vectorbt"]
    close = vectorbt["close"]
    assert vectorbt["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert close == found["rows"]["close"]
    assert vectorbt["index"].endswith("UTC]")
    assert vectorbt["returned"]["BTCUSDT"] == pytest.approx(close[-1] / close[0] - 1)
    assert vectorbt["ohlcv"] == ["Open", "High", "Low", "Close"]
