"""Which archives of the ledger a configuration selects, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.planning.explicit_plan import is_selected

DAY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"
NEXT_DAY = DAY.replace("07-15", "07-16")
MONTH = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-06.zip"
ETHER = "data/spot/daily/trades/ETHUSDT/ETHUSDT-trades-2025-07-15.zip"
COIN = "data/futures/cm/daily/klines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-2025-07-15.zip"


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


def selected(**config: Any) -> list[str]:
    """Which of the archives above a configuration selects."""
    wanted = WorkflowConfig({"output_directory": "o", "only": "failed", **config}, environ={})
    keys = (DAY, NEXT_DAY, MONTH, ETHER, COIN)
    return [key for key in keys if is_selected(wanted, Archive.parse(key))]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, [DAY, NEXT_DAY, MONTH, ETHER, COIN]),
        ({"markets": ["spot"]}, [DAY, NEXT_DAY, MONTH, ETHER]),
        ({"markets": ["futures_cm", "options"]}, [COIN]),
        ({"data_types": ["trades"]}, [ETHER]),
        ({"data_types": ["klines", "trades"], "markets": ["spot"]}, [DAY, NEXT_DAY, MONTH, ETHER]),
        ({"symbols": ["ETHUSDT"]}, [ETHER]),
        ({"symbols": ["BTC*"]}, [DAY, NEXT_DAY, MONTH, COIN]),
        ({"symbols": ["*USDT"]}, [DAY, NEXT_DAY, MONTH, ETHER]),
        ({"symbols": {"futures_cm": ["*"]}}, [COIN]),
        ({"symbols": {"spot": ["ETHUSDT"], "futures_cm": ["BTCUSD_PERP"]}}, [ETHER, COIN]),
        ({"intervals": ["1h"]}, [DAY, NEXT_DAY, MONTH, ETHER, COIN]),
        ({"intervals": ["4h"]}, [ETHER]),
        ({"intervals": {"klines": ["4h"]}}, [ETHER]),
        ({"intervals": {"markPriceKlines": ["4h"]}}, [DAY, NEXT_DAY, MONTH, ETHER, COIN]),
        ({"partitions": ["daily"]}, [DAY, NEXT_DAY, ETHER, COIN]),
        ({"partitions": ["monthly"]}, [MONTH]),
        ({"partitions": ["daily", "monthly"]}, [DAY, NEXT_DAY, MONTH, ETHER, COIN]),
        ({"default_date": "2025-07-15"}, [DAY, ETHER, COIN]),
        ({"default_date": "2025-06-30"}, [MONTH]),
        ({"default_date": "2025-05-31"}, []),
        ({"date_range": {"start": "2025-06-30", "end": "2025-07-15"}}, [DAY, MONTH, ETHER, COIN]),
        ({"date_range": {"start": "2025-07-16", "end": "2025-08-01"}}, [NEXT_DAY]),
        ({"quote_assets": ["USDT"]}, [DAY, NEXT_DAY, MONTH, ETHER]),
        ({"quote_assets": ["USD"]}, [COIN]),
        ({"leveraged_tokens": "only"}, []),
        ({"stable_pairs": "exclude"}, [DAY, NEXT_DAY, MONTH, ETHER, COIN]),
        ({"contracts": ["perpetual"]}, [DAY, NEXT_DAY, MONTH, ETHER, COIN]),
        ({"contracts": ["delivery"]}, [DAY, NEXT_DAY, MONTH, ETHER]),
    ],
)
def test_each_key_narrows_what_is_selected(config: dict[str, Any], expected: list[str]) -> None:
    assert selected(**config) == expected


EVERYTHING = {
    "markets": ["spot"],
    "data_types": ["klines"],
    "symbols": ["BTC*"],
    "intervals": ["1h"],
    "partitions": ["daily"],
    "default_date": "2025-07-15",
}


def test_all_keys_together_are_one_selection() -> None:
    assert selected(**EVERYTHING) == [DAY]


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("markets", ["options"]),
        ("data_types", ["trades"]),
        ("symbols", ["ETH*"]),
        ("intervals", ["1d"]),
        ("partitions", ["monthly"]),
        ("default_date", "2025-07-14"),
    ],
)
def test_one_key_that_does_not_fit_is_enough(key: str, other: Any) -> None:
    assert selected(**{**EVERYTHING, key: other}) == []


INDEX = COIN.replace("BTCUSD_PERP", "BTCUSD").replace("/klines/", "/indexPriceKlines/")


@pytest.mark.parametrize(
    ("symbol", "key", "chosen"),
    [
        ("BTCUSD_PERP", INDEX, True),
        ("BTCUSD_240628", INDEX, True),
        ("BTCUSD", INDEX, True),
        ("ETHUSD_PERP", INDEX, False),
        ("BTCUSD_240628", COIN, False),
    ],
)
def test_a_contract_selects_what_is_filed_under_its_pair(
    matrix: Matrix, symbol: str, key: str, *, chosen: bool
) -> None:
    values = {"output_directory": "o", "only": "failed", "symbols": [symbol]}
    config = WorkflowConfig(values, environ={})
    assert is_selected(config, Archive.parse(key), matrix) is chosen
