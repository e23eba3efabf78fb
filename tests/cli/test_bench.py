"""`bench`, run as a person or a script would."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.cli.conftest import KEY, Shell, Start

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Body, Fault, Stall, Status
from crypto_lakehouse.workflows.bench import bench

DAYS = [KEY.replace("2025-07-15", f"2025-07-{day}") for day in range(11, 21)]
MONTH = ["-s", "BTCUSDT", "--markets", "spot", "-t", "klines", "-i", "1h", "--partitions", "daily",
         "--start", "2025-07-11", "--end", "2025-07-20"]  # fmt: skip


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings end with a few archives, and nothing is waited for."""

    async def begin(sweep: bench.Sweep) -> None:
        sweep.sleep = _sleep
        await run(sweep)

    async def _sleep(seconds: float) -> None:
        if seconds == 5:
            await anyio.sleep_forever()

    run = bench.Sweep.run
    monkeypatch.setattr(bench.Sweep, "run", begin)
    monkeypatch.setattr(bench, "LEAST_SHARE_BYTES", 1)


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """Ten archives of 1000 bytes."""
    with ArchiveServer(generate=False) as small:
        for key in DAYS:
            small.put(key, bytes(1000))
        yield small


class Bench:
    """Runs `bench` on the ten archives, with two settings and 100 kB."""

    def __init__(self, shell: Shell, server: ArchiveServer) -> None:
        self._shell = shell
        self._url = server.url

    def __call__(self, *options: str, selection: list[str] = MONTH) -> tuple[int, str, str]:
        given = ["--source-url", self._url, "--max-bytes", "100kB"]
        if "--settings" not in options:  # they accumulate
            given += ["--settings", "1,2"]
        return self._shell("bench", *given, *selection, *options)

    def json(self, *options: str, **more: Any) -> dict[str, Any]:
        """The one object."""
        code, out, _ = self(*options, "--json", **more)
        assert code == 0
        found = json.loads(out)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def run(shell: Shell, server: ArchiveServer) -> Bench:
    return Bench(shell, server)


def words(line: str) -> list[str]:
    return line.replace(" / ", "/").replace("│", " ").split()


def test_a_table_a_plot_and_a_recommendation(run: Bench, tmp_path: Path) -> None:
    code, out, err = run()
    lines = out.splitlines()
    table = [words(line) for line in lines if line.startswith((" 1 ", " 2 "))]
    bars = [line.split() for line in lines if line.startswith(("   1 ", "   2 "))]
    assert code == 0
    assert [row[0] for row in table] == ["1", "2"]
    assert [len(row) for row in table] == [8, 8]
    assert [row[-2:] for row in table] == [["0", "-"], ["0", "-"]]
    assert [bar[0] for bar in bars] == ["1", "2"]
    assert "█" * 40 in out
    assert "archives were 1.0 kB each on average" in out
    best = lines[-2].split()[1]
    assert best in {"1", "2"}
    assert lines[-3] == f"recommended: {best} at once"
    assert lines[-2].startswith(f"  max_parallel_downloads: {best} ")
    assert lines[-1].startswith(f"  --max-parallel-downloads {best} ")
    assert ("a larger one may be better still" in out) == (best == "2")
    assert err.splitlines() == ["1 at once, for 5 s at most", "2 at once, for 5 s at most"]
    assert list(tmp_path.iterdir()) == []


def test_machines_get_one_object(run: Bench, server: ArchiveServer) -> None:
    found = run.json()
    first, second = found.pop("settings")
    assert found.pop("bytes") == first["bytes"] + second["bytes"]
    best = found.pop("recommendation")["max_parallel_downloads"]
    assert best in {1, 2}
    assert found == {
        "status": "complete",
        "source_url": server.url,
        "selected_archives": 10,
        "mean_archive_bytes": 1000,
        "stopped": None,
    }
    assert first["max_parallel_downloads"] == 1
    assert first["bytes"] == 50_000
    assert second["bytes"] in {50_000, 51_000}, "what was read at the same moment counts"
    assert set(first) == {
        "max_parallel_downloads", "measured", "seconds", "mb_per_second", "archives_per_second",
        "first_byte_ms", "whole_ms", "requests", "archives", "bytes", "mean_archive_bytes",
        "errors", "missing", "ended_by",
    }  # fmt: skip
    assert set(first["whole_ms"]) == {"p50", "p95"}
    assert {request.path for request in server.requests} == set(DAYS)


def test_errors_are_shown_by_kind(run: Bench, server: ArchiveServer) -> None:
    server.inject("*", [Fault()] * 5, Status(500), Status(403), Status(500))
    code, out, err = run()
    assert code == 0
    assert "1 403, 2 500" in out
    assert "the last failure of 1 at once: http" in err
    assert "no setting is recommended" not in out


def test_a_source_that_refuses_is_not_asked_for_more(run: Bench, server: ArchiveServer) -> None:
    server.inject("*", [Fault()] * 5, Status(503, retry_after="1"), endless=True)
    code, out, _ = run()
    assert code == 0
    assert "the source refuses requests; larger settings were not tried" in out
    assert "no setting is recommended" in out
    server.clear()
    found = run.json()
    assert (found["stopped"], found["recommendation"]) == ("refused", None)
    assert server.count() == 6


def test_the_byte_cap_ends_it_with_6(run: Bench) -> None:
    code, out, err = run("--max-bytes", "3kB", "--settings", "1,8,16", "--json")
    assert code == 6
    found = json.loads(out)
    assert (found["stopped"], found["recommendation"]) == ("byte_cap", None)
    assert "error: the byte cap was reached; see --max-bytes" in err
    code, out, _ = run("--max-bytes", "1kB", "--settings", "8")
    assert code == 6
    assert "too few" in out


def test_a_first_setting_that_uses_up_the_byte_cap_ends_it_with_6(
    run: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "LEAST_SHARE_BYTES", 8_000)
    code, out, err = run("--max-bytes", "8kB", "--json")
    assert code == 6
    assert json.loads(out)["stopped"] == "byte_cap"
    assert "it left 1 measured" in err


def test_the_byte_cap_after_two_settings_is_told(run: Bench) -> None:
    code, out, _ = run("--max-bytes", "24kB", "--settings", "1,2,128")
    assert code == 0
    assert "the byte cap was reached" in out
    assert "recommended: " in out


def test_a_source_that_is_not_there_ends_it_with_5(shell: Shell) -> None:
    with ArchiveServer(generate=False) as gone:
        url = gone.url
    code, out, err = shell("bench", "--source-url", url, "--json")
    assert (code, json.loads(out)["exit_code"]) == (5, 5)
    assert f"error: {url}: no archive came" in err


def test_nothing_selected_is_60_days_of_two_symbols(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    before = datetime.now(UTC).date()
    code, out, _ = shell("bench", "--source-url", archive_server.url, "--settings", "1,2",
                         "--max-bytes", "2MB", "--json")  # fmt: skip
    assert code == 0
    assert json.loads(out)["selected_archives"] == 120
    asked = [Archive.parse(request.path) for request in archive_server.requests]
    assert {item.symbol for item in asked[:2]} == {"BTCUSDT", "ETHUSDT"}
    assert {(item.market, item.data_type, item.interval) for item in asked} == {
        ("spot", "klines", "1m")
    }
    first: date = asked[0].period.first_day
    assert first in {before - timedelta(days=94), before - timedelta(days=93)}


def test_a_selection_by_environment_counts(
    run: Bench, server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SYMBOLS", "BTCUSDT")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_INTERVALS", "1h")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_PARTITIONS", "daily")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_MARKETS", "spot")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_DATA_TYPES", "klines")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_DEFAULT_DATE", "2025-07-15")
    assert run.json(selection=[])["selected_archives"] == 1
    assert {request.path for request in server.requests} == {KEY}


def test_a_configuration_is_taken_without_what_means_nothing_here(
    run: Bench, tmp_path: Path
) -> None:
    values = {
        "output_directory": "never", "only": "failed", "markets": ["spot"],
        "data_types": ["klines"],
        "symbols": ["BTCUSDT"], "intervals": ["1h"], "default_date": "2025-07-15",
    }  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(values))
    assert run.json("--config", "c.json", selection=[])["selected_archives"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_a_plan_may_come_from_the_listing(run: Bench, server: ArchiveServer) -> None:
    server.remove(DAYS[0])
    found = run.json("--listing-url", server.url, "--discovery", "listing")
    assert found["selected_archives"] == 9
    assert server.count(DAYS[0]) == 0


def test_a_source_without_a_listing_is_planned_by_the_calendar(
    run: Bench, server: ArchiveServer
) -> None:
    server.inject("list:*", Body(b"<html>"), endless=True)
    code, _, err = run("--listing-url", server.url, "--discovery", "listing")
    assert code == 0
    assert "warning: " in err
    assert "come from the calendar instead" in err


def test_what_could_not_be_listed_is_told(run: Bench, server: ArchiveServer) -> None:
    other = DAYS[0].replace("BTCUSDT", "ETHUSDT")
    server.put(other, bytes(1000))
    server.inject(f"list:{Archive.parse(other).folder}", Status(400), endless=True)
    _, _, err = run("-s", "BTCUSDT,ETHUSDT", "--listing-url", server.url, "--discovery", "listing")
    assert "error: not planned: " in err


@pytest.mark.parametrize(
    "options",
    [
        ("--settings", "0"),
        ("--settings", "1,257"),
        ("--settings", "1,,2"),
        ("--settings", "many"),
        ("--seconds", "0"),
        ("--seconds", "601"),
        ("--max-bytes", "0"),
        ("--max-bytes", "0.1"),
        ("--max-bytes", "-5"),
        ("--max-bytes", "1TX"),
        ("--output", "data"),
        ("--symbols", "../x"),
    ],
)
def test_bad_usage_ends_it_with_2(run: Bench, server: ArchiveServer, options: Any) -> None:
    code, out, err = run(*options)
    assert (code, out) == (2, "")
    assert "rror: " in err
    assert server.requests == []


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500MB", 500_000_000),
        ("1GB", 10**9),
        ("1.5 kb", 1500),
        ("2MiB", 2**21),
        ("7B", 7),
    ],
)
def test_sizes_have_units(text: str, size: int) -> None:
    from crypto_lakehouse.cli.bench import command

    parameter = next(item for item in command.params if item.name == "max_bytes")
    with command.make_context("bench", ["--max-bytes", text]) as context:
        assert context.params["max_bytes"] == size
    assert parameter.get_default(context) == "200MB"


def test_settings_are_sorted_and_without_repeats(run: Bench) -> None:
    found = run.json("--settings", "4, 1,4")
    assert [item["max_parallel_downloads"] for item in found["settings"]] == [1, 4]


def test_help_has_examples_and_only_what_applies(shell: Shell) -> None:
    code, out, _ = shell("bench", "--help")
    assert code == 0
    for word in ("Examples:", "--settings", "--seconds", "--max-bytes", "--json", "hashed"):
        assert word in out
    for word in ("--output", "--max-retries", "--integrity", "--force-redownload", "--only"):
        assert word not in out
    assert "bench " in shell("--help")[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_what_was_measured(
    server: ArchiveServer, start: Start, number: signal.Signals, code: int
) -> None:
    stall = Stall()
    server.put(DAYS[0], bytes(8_000_000))
    server.inject(DAYS[1], stall)
    process = start(["bench", "--source-url", server.url, *MONTH, "--settings", "1,2", "--json",
                     "--seconds", "600", "--max-bytes", "16MB"])  # fmt: skip
    assert stall.reached.wait(60)
    process.send_signal(number)
    out, err = process.communicate(timeout=200)
    assert process.returncode == code
    found = json.loads(out)
    assert (found["status"], found["recommendation"]) == ("interrupted", None)
    assert [item["max_parallel_downloads"] for item in found["settings"]] == [1]
    assert "stopping" in err
    assert "Traceback" not in err


def test_a_signal_before_anything_was_measured(server: ArchiveServer, start: Start) -> None:
    stall = Stall()
    server.inject("*", stall)
    process = start(["bench", "--source-url", server.url, *MONTH])
    assert stall.reached.wait(60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "no setting is recommended" in out
    assert "Traceback" not in err
