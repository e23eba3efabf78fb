"""`crypto-lakehouse record`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.cli.conftest import Shell
from tests.documentation.collector import Line, lines

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing import ExchangeServer


@pytest.fixture
def place(
    exchange_server: ExchangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The arguments of a recording of the exchange server."""
    urls = {"spot": exchange_server.url("spot")}
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_FILL", json.dumps({"urls": urls}))
    urls = {"spot": exchange_server.ws_url("spot")}
    record = json.dumps({"urls": urls, "rotate": "5m"})
    return ["record", "-o", str(tmp_path / "out"), "--record", record, "--markets", "spot"]


DOCUMENTED = [each for each in lines() if each.text.startswith("crypto-lakehouse record ")]


@pytest.mark.parametrize("line", DOCUMENTED, ids=lambda line: line.name)
def test_a_documented_recording_runs(
    line: Line,
    shell: Shell,
    exchange_server: ExchangeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop() -> None:
        asyncio.run(exchange_server.connected())
        os.kill(os.getpid(), signal.SIGTERM)

    markets = ("spot", "futures_um", "futures_cm")
    fill = {"urls": {market: exchange_server.url(market) for market in markets}}
    record = {"urls": {market: exchange_server.ws_url(market) for market in markets}}
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_FILL", json.dumps(fill))
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_RECORD", json.dumps(record))
    monkeypatch.chdir(tmp_path)
    stopping = threading.Thread(target=stop)
    stopping.start()
    code, out, _ = shell(*line.words[1:])
    stopping.join()
    assert code == 143
    assert out.startswith("interrupted: ")
    assert (tmp_path / "data/.lakehouse").is_dir()


def test_a_signal_ends_a_recording_in_order(
    shell: Shell, place: list[str], exchange_server: ExchangeServer, tmp_path: Path
) -> None:
    def stop() -> None:
        asyncio.run(exchange_server.connected())
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop)
    stopping.start()
    streams = ("--streams", "trade", "--streams", "depth")
    watched = ("--metrics-textfile", str(tmp_path / "live.prom"), "--serve", "0")
    code, out, err = shell(*place, "-s", "BTCUSDT,ETHUSDT", *streams, "--json", *watched)
    stopping.join()
    assert code == 143
    assert "note: metrics are at http://127.0.0.1:" in err
    assert "crypto_lakehouse_live_streams 4.0" in (tmp_path / "live.prom").read_text()
    assert "the segments are finished first" in err
    report = json.loads(out)
    assert (report["status"], report["streams"]) == ("interrupted", 4)
    assert not list(tmp_path.rglob("*.part"))


def test_a_recording_that_is_killed_is_in_the_tables_after_the_next(
    shell: Shell, place: list[str], exchange_server: ExchangeServer, tmp_path: Path
) -> None:
    from crypto_lakehouse.tables import Lake

    arguments = [*place, "-s", "BTCUSDT", "--streams", "trade", "--ingest"]
    command = [sys.executable, "-m", "crypto_lakehouse", *arguments, "-q"]
    with subprocess.Popen(command) as process:
        asyncio.run(exchange_server.connected())
        exchange_server.clock.advance(20)
        while not [each for each in tmp_path.rglob("*.part") if each.stat().st_size]:
            assert process.poll() is None
        process.kill()  # its first ingestion may run
    before = len(exchange_server.connections)

    def stop() -> None:
        asyncio.run(exchange_server.connected(before + 1))
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop)
    stopping.start()
    code, text, err = shell(*arguments, "--json")
    stopping.join()
    report = json.loads(text)
    assert (code, report["ingested"].get("fault")) == (143, None)
    assert "the segments are finished and ingested first" in err
    assert any(each.startswith("a killed recording left") for each in report["warnings"])
    with Lake.open(tmp_path / "out") as lake:
        query = "SELECT sum(messages), sum(rows), sum(copies) FROM lakehouse.recordings"
        [(messages, rows, copies)] = lake.sql(query).fetchall()
        assert messages == rows + copies > 0
        assert lake.sql("SELECT count(*) FROM spot.trades").fetchall() == [(rows,)]
    assert not list(tmp_path.rglob("*.part"))


def test_a_hangup_reads_the_file_again(
    shell: Shell, place: list[str], exchange_server: ExchangeServer, tmp_path: Path
) -> None:
    file = tmp_path / "record.yaml"
    file.write_text("symbols: [BTCUSDT]")
    exchange = exchange_server

    def change() -> None:
        asyncio.run(exchange.connected())
        asked = exchange.count("spot/api/v3/exchangeInfo")
        file.write_text("symbols: [BTCUSDT, ETHUSTD]")
        os.kill(os.getpid(), signal.SIGHUP)
        while exchange.count("spot/api/v3/exchangeInfo") == asked:
            pass
        file.write_text("symbols: [BTCUSDT, ETHUSDT]")
        os.kill(os.getpid(), signal.SIGHUP)
        asyncio.run(exchange.connected(2))
        os.kill(os.getpid(), signal.SIGTERM)

    changing = threading.Thread(target=change)
    changing.start()
    code, _, err = shell(*place, "--config", str(file))
    changing.join()
    assert code == 143
    assert "the exchange does not list `ETHUSTD`; did you mean `ETHUSDT`?" in err
    assert "the recording goes on as it was" in err
    assert exchange.connections[1].streams == ("btcusdt@aggTrade", "ethusdt@aggTrade")


def test_an_unknown_symbol_is_named_by_its_option(shell: Shell, place: list[str]) -> None:
    code, _, err = shell(*place, "-s", "BTCUSTD")
    assert code == 2
    assert "--symbols: the exchange does not list `BTCUSTD`; did you mean `BTCUSDT`?" in err


def test_a_refusal_ends_it_with_5(
    shell: Shell, place: list[str], exchange_server: ExchangeServer
) -> None:
    exchange_server.refuse(Market.SPOT, 451)
    code, out, err = shell(*place, "-s", "BTCUSDT")
    assert code == 5
    assert "it does not serve the place" in err
    assert out.startswith("interrupted: 0 messages of 0 streams")


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--streams", "trades", "unknown stream `trades`; did you mean `trade`?"),
        ("--rotate", "7m", "'7m' is not one of '5m'"),
        ("--for", "0s", "`0s` is not a duration above zero; write `30s`"),
        ("--for", "inf", "`inf` is not a duration above zero"),
    ],
)
def test_a_wrong_option_is_refused(shell: Shell, option: str, value: str, reason: str) -> None:
    code, _, err = shell("record", "-o", "out", "-s", "BTCUSDT", option, value)
    assert code == 2
    assert f"'{option}': {reason}" in err.replace("`streams`: ", "")
