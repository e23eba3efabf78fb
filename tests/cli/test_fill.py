"""`fill`, and `collect --ingest --fill`: one command brings everything up to now."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shell

from crypto_lakehouse.testing import ArchiveServer, ExchangeServer, faults
from crypto_lakehouse.workflows.wiring.opened_output import OpenedOutput

BARS = ("--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h", "--partitions", "daily")
FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"


class World:
    """A source that lacks a day, and the exchange that has it."""

    def __init__(self, archives: ArchiveServer, exchange: ExchangeServer, folder: Path) -> None:
        self.archives, self.exchange = archives, exchange
        urls = {market: exchange.url(market) for market in ("spot", "futures_um", "futures_cm")}
        values = {
            "output_directory": "out", "source_url": archives.url, "discovery": "calendar",
            "markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"],
            "intervals": ["1h"], "partitions": ["daily"], "max_retries": 0,
            "date_range": {"start": "2026-05-05", "end": "2026-05-07"}, "fill": {"urls": urls},
        }  # fmt: skip
        self.file = folder / "world.json"
        self.file.write_text(json.dumps(values))
        self.fill = ("fill", "--config", str(self.file))
        self.collect = ("collect", "--config", str(self.file))

    def publish(self, *days: int) -> None:
        for day in days:
            self.exchange.publish(self.archives, f"{FOLDER}BTCUSDT-1h-2026-05-0{day}.zip")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    with ArchiveServer(generate=False) as archives, ExchangeServer() as exchange:
        made = World(archives, exchange, tmp_path)
        made.publish(5, 7)
        yield made


def test_a_dry_run_says_the_cost_and_asks_nothing(world: World, shell: Shell) -> None:
    assert shell(*world.collect, "-q")[0] == 3
    code, out, _ = shell(*world.fill, "--dry-run")
    assert code == 0
    assert "1 day to fill, 1 request of weight 2" in out
    code, out, _ = shell(*world.fill, "--dry-run", "--json")
    assert json.loads(out)["totals"]["days"] == 1
    assert not world.exchange.requests
    code, _, err = shell(*world.fill, "--dry-run", "--events", "e.jsonl")
    assert code == 2
    assert "--events has no effect with --dry-run" in " ".join(err.split())


def test_a_hole_is_filled_and_told(
    world: World, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell(*world.collect, "-q")[0] == 3
    code, out, _ = shell(*world.fill, "--events", "events.jsonl")
    assert code == 0
    assert out.startswith("complete: 1 planned, 1 filled, in days of series\n24 rows, 1 request")
    (line,) = Path("events.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert (event["event"], event["verdict"], event["rows"]) == ("FillFinished", "filled", 24)
    assert event["key"] == f"rest/{FOLDER[5:]}BTCUSDT-1h-2026-05-06.jsonl.zst"
    # No sink is open any more when the copy of the ledger fails.
    reason = "the ledger could not be copied to the store"

    async def copy(*_: object, **__: object) -> str:
        return reason

    with monkeypatch.context() as patch:
        patch.setattr(OpenedOutput, "copy_ledger", copy)
        code, out, _ = shell(*world.fill, "--json")
        found = json.loads(out)
        assert (code, found["totals"]["unchanged"], found["warnings"]) == (0, 1, [reason])
        assert f"warning: {reason}\n" in shell(*world.fill)[2]
    code, out, _ = shell("status", "-o", "out", "--holes")
    assert code == 0
    assert "missing, filled" in out
    assert "1 day of these filled from the exchange" in out
    assert "filled from" in out
    assert "2026-05-06 │ 2026-05-06" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--until", "soon"], "until: `soon` is neither `now` nor a calendar day"),
        (["--fill-settings", '{"until": 7}'], "`until` must be `now` or a day"),
        (["--processes", "2"], "no such option: `--processes`"),
    ],
)
def test_what_cannot_be_filled_is_said(
    world: World, shell: Shell, options: list[str], words: str
) -> None:
    assert shell(*world.collect, "-q")[0] == 3
    code, _, err = shell(*world.fill, *options)
    assert code == 2
    assert words in err


def test_a_refusal_is_one_sentence(world: World, shell: Shell) -> None:
    assert shell(*world.collect, "-q")[0] == 3
    world.exchange.refuse("spot", 451)
    code, out, err = shell(*world.fill, "--json")
    assert code == 5
    assert json.loads(out)["exit_code"] == 5
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "does not serve the place" in line


def test_fill_needs_the_ingestion_beside_a_collection(world: World, shell: Shell) -> None:
    code, _, err = shell(*world.collect, "--fill")
    assert code == 2
    assert "--fill has no effect without --ingest" in " ".join(err.split())


def test_one_command_collects_fills_and_ingests(world: World, shell: Shell) -> None:
    pytest.importorskip("polars", reason="the extra `tables` is not installed")
    both = ("--ingest", "--fill", "--json", "-q")
    code, out, _ = shell(*world.collect, *both)
    found: dict[str, Any] = json.loads(out)
    assert code == 0
    assert found["totals"]["missing"] == 1
    assert (found["fill"]["state"], found["fill"]["totals"]["filled"]) == ("done", 1)
    query = "SELECT count(*) AS bars, count(DISTINCT archive) AS archives FROM spot.klines"
    code, out, _ = shell("query", "-o", "out", "--format", "json", query)
    assert code == 0
    assert json.loads(out) == {"bars": 72, "archives": 3}

    code, out, _ = shell(*world.collect, *both, "--strict")
    assert code == 3  # the archive is not there
    world.publish(6)
    code, out, _ = shell(*world.collect, *both)
    assert (code, json.loads(out)["totals"]["verified"]) == (0, 1)
    query = "SELECT count(*) AS bars FROM spot.klines WHERE archive LIKE 'rest/%'"
    code, out, _ = shell("query", "-o", "out", "--format", "json", query)
    assert json.loads(out) == {"bars": 0}


def test_a_hole_that_is_not_filled_stays_a_failure(world: World, shell: Shell) -> None:
    pytest.importorskip("polars", reason="the extra `tables` is not installed")
    world.exchange.inject("spot/api/v3/klines", faults.MalformedJson(), endless=True)
    code, out, _ = shell(*world.collect, "--ingest", "--fill", "-q")
    assert code == 3
    assert "partial: 3 planned, 2 verified, 1 missing" in out
    assert "failed: 1 planned, 1 failed, in days of series" in out
    world.exchange.heal()
    world.exchange.refuse("spot", 403)
    code, out, err = shell(*world.collect, "--ingest", "--fill", "-q")
    assert code == 5
    assert "error: fill: " in err
    assert "spot.klines: " in out  # what was collected is ingested nevertheless


def test_a_signal_ends_a_fill_in_order(world: World, shell: Shell, tmp_path: Path) -> None:
    assert shell(*world.collect, "-q")[0] == 3
    world.exchange.inject("spot/api/v3/klines", faults.Stall(), endless=True)
    command = [sys.executable, "-m", "crypto_lakehouse", *world.fill, "--json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        while not world.exchange.count("spot/api/v3/klines"):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=200)
    assert process.returncode == 143, err
    assert json.loads(out)["status"] == "interrupted"
    assert not list(tmp_path.rglob("*.zst"))


def test_a_fill_that_is_killed_leaves_only_whole_days(
    world: World, shell: Shell, tmp_path: Path
) -> None:
    days = ("-i", "1m", "--start", "2026-04-01", "--end", "2026-04-20")
    command = [sys.executable, "-m", "crypto_lakehouse", *world.fill, *days, "-q"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        while world.exchange.count("spot/api/v3/klines") < 10:
            assert process.poll() is None
        process.kill()
    segments = list(tmp_path.rglob("*.zst"))
    for segment in segments:
        sidecar = segment.with_name(f"{segment.name}.CHECKSUM").read_text()
        assert sidecar.split() == [hashlib.sha256(segment.read_bytes()).hexdigest(), segment.name]
    code, out, _ = shell(*world.fill, *days, "--json")
    totals = json.loads(out)["totals"]
    assert (code, totals["filled"] + totals["unchanged"]) == (0, 20)
    assert totals["unchanged"] >= len(segments)
