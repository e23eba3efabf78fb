"""The same tape as archives: equal to what comes over REST."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.testing.exchange.conftest import Client

from crypto_lakehouse.core.archive import Archive, Market
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.testing import ArchiveServer, ExchangeServer, Tape

DAY = 86_400_000
START = 1778112000000  # 2026-05-07, the day before the clock's
NAME = "2026-05-07"
MICROSECONDS = {"X-MBX-TIME-UNIT": "MICROSECOND"}

UM, CM = "data/futures/um", "data/futures/cm"


def rows(server: ExchangeServer, key: str) -> list[list[str]]:
    """The rows of a published archive, without the header if it has one."""
    archives = ArchiveServer(generate=False)
    server.publish(archives, key)
    assert archives.read(key + ".CHECKSUM")
    parsed = Archive.parse(key)
    with zipfile.ZipFile(io.BytesIO(archives.read(key))) as packed:
        lines = packed.read(parsed.member).decode().splitlines()
    row = load_matrix().row(parsed.market, parsed.data_type)
    assert row is not None
    if lines[0] == ",".join(row.columns):
        lines = lines[1:]
    made = [line.split(",") for line in lines]
    assert {len(each) for each in made} == {len(row.columns)}
    return made


async def pages(
    client: Client, market: str, path: str, unit: int = 1, **values: Any
) -> list[list[Any]]:
    """Bars of the day, a page after the other."""
    found: list[list[Any]] = []
    start = START * unit
    while start < (START + DAY) * unit:
        headers = MICROSECONDS if unit == 1000 else {}
        end = (START + DAY) * unit - 1
        page = await client.get(
            market, path, headers, **values, startTime=start, endTime=end, limit=1000
        )
        found += page
        start = page[-1][6] + 1
    return found


def as_text(found: list[list[Any]]) -> list[list[str]]:
    return [[str(value) for value in row] for row in found]


async def test_bars_are_the_same(client: Client) -> None:
    server = client.server
    key = f"data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-{NAME}.zip"
    values = {"symbol": "BTCUSDT", "interval": "1m"}
    found = await pages(client, "spot", "/api/v3/klines", 1000, **values)
    assert as_text(found) == rows(server, key)
    assert len(found) == 1440
    for kind in ("klines", "markPriceKlines", "premiumIndexKlines", "indexPriceKlines"):
        subject: dict[str, Any] = {"pair" if kind.startswith("index") else "symbol": "BTCUSDT"}
        found = await pages(client, "futures_um", f"/fapi/v1/{kind}", **subject, interval="5m")
        key = f"{UM}/daily/{kind}/BTCUSDT/5m/BTCUSDT-5m-{NAME}.zip"
        assert as_text(found) == rows(server, key)
    span = {"startTime": START, "endTime": START + DAY - 1}
    found = await client.get(
        "futures_cm", "/dapi/v1/indexPriceKlines", pair="BTCUSD", interval="1h", **span
    )
    key = f"{CM}/daily/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-{NAME}.zip"
    assert as_text(found) == rows(server, key)


async def test_long_bars_are_in_monthly_archives(client: Client) -> None:
    found = await client.get(
        "spot", "/api/v3/klines", MICROSECONDS, symbol="BTCUSDT", interval="1M", limit=3
    )
    key = "data/spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2026-04.zip"
    assert rows(client.server, key) == as_text([found[1]])
    found = await client.get(
        "futures_um", "/fapi/v1/klines", symbol="BTCUSDT", interval="1w", limit=8
    )
    key = f"{UM}/monthly/klines/BTCUSDT/1w/BTCUSDT-1w-2026-04.zip"
    april = [row for row in found if datetime.fromtimestamp(row[0] / 1000, UTC).month == 4]
    assert len(april) == 4
    assert rows(client.server, key) == as_text(april)


@pytest.mark.parametrize(
    ("market", "path", "folder", "symbol"),
    [
        ("spot", "/api/v3", "data/spot", "ETHUSDT"),
        ("futures_um", "/fapi/v1", UM, "ETHUSDT"),
        ("futures_cm", "/dapi/v1", CM, "ETHUSD_PERP"),
    ],
)
async def test_trades_are_the_same(
    client: Client, market: str, path: str, folder: str, symbol: str
) -> None:
    headers = MICROSECONDS if market == "spot" else {}
    made = rows(client.server, f"{folder}/daily/aggTrades/{symbol}/{symbol}-aggTrades-{NAME}.zip")
    found = await client.get(
        market, f"{path}/aggTrades", headers, symbol=symbol, fromId=made[0][0], limit=1000
    )
    found = found[: len(made)]
    assert len(found) > 800
    assert [[str(row[name]) for name in "apqflT"] for row in found] == [row[:6] for row in made]
    assert [str(row["m"]).lower() for row in found] == [row[6].lower() for row in made]
    made = rows(client.server, f"{folder}/daily/trades/{symbol}/{symbol}-trades-{NAME}.zip")
    old = await client.get(
        market,
        f"{path}/historicalTrades",
        {**headers, "X-MBX-APIKEY": "any"},
        symbol=symbol,
        fromId=made[0][0],
        limit=500,
    )
    assert [[str(value) for value in row.values()][:5] for row in old] == [
        row[:5] for row in made[:500]
    ]
    spelled = "True" if market == "spot" else "true"
    assert any(row[5] == spelled for row in made)


async def test_funding_and_metrics_are_the_same(client: Client) -> None:
    server = client.server
    made = rows(server, f"{UM}/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2026-04.zip")
    found = await client.get(
        "futures_um", "/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=made[0][0], limit=90
    )
    assert [[str(row["fundingTime"]), row["fundingRate"]] for row in found] == [
        [row[0], row[2]] for row in made
    ]
    made = rows(server, f"{UM}/daily/metrics/BTCUSDT/BTCUSDT-metrics-{NAME}.zip")
    span = {"startTime": START + 1, "endTime": START + DAY, "period": "5m", "limit": 500}
    found = await client.get(
        "futures_um", "/futures/data/openInterestHist", symbol="BTCUSDT", **span
    )
    assert len(found) == len(made) == 288
    for row, line in zip(found, made, strict=True):
        moment = datetime.fromtimestamp(row["timestamp"] / 1000, UTC)
        assert f"{moment:%Y-%m-%d %H:%M:%S}" == line[0]
        assert line[2:4] == [
            row["sumOpenInterest"] + "0" * 8, row["sumOpenInterestValue"] + "0" * 8,
        ]  # fmt: skip
    ratios = await client.get(
        "futures_um", "/futures/data/globalLongShortAccountRatio", symbol="BTCUSDT", **span
    )
    assert [row["longShortRatio"] for row in ratios] == [line[6][:-4] for line in made]
    cm = rows(server, f"{CM}/daily/metrics/BTCUSD_PERP/BTCUSD_PERP-metrics-{NAME}.zip")
    assert cm[0][0] == f"{NAME} 00:00:00"


def test_a_tape_has_not_everything() -> None:
    server, archives = ExchangeServer(Tape()), ArchiveServer(generate=False)
    for name in ("bookDepth/BTCUSDT/BTCUSDT-bookDepth", "trades/NOPEUSDT/NOPEUSDT-trades"):
        with pytest.raises(ArchiveKeyError, match="the tape has no such symbol or data type"):
            server.publish(archives, f"{UM}/daily/{name}-{NAME}.zip")
    assert server.tape.get(Market.SPOT, "NOPEUSDT") is None
