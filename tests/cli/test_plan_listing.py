"""`plan` where the source has a listing: tables, JSON, keys, URLs, and what is incomplete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import KEY, SELECTION, Shell

from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Body, Status

HOURS = ["--intervals", "1h"]
FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """Two months of a few symbols."""
    symbols = ["BTCUSDT", "ETHUSDT", "币安人生USDT"]
    with ArchiveServer(start=date(2025, 6, 1), end=date(2025, 7, 20), symbols=symbols) as served:
        yield served


class Planner:
    """Runs `plan` with a listing, without retries."""

    def __init__(self, shell: Shell, server: ArchiveServer) -> None:
        self._shell = shell
        self.server = server

    def __call__(self, *options: str, selection: list[str] = SELECTION) -> tuple[int, str, str]:
        address = ["--listing-url", self.server.url, "--source-url", self.server.url]
        given = [*address, "--discovery", "listing", "--max-retries", "0", *selection, *options]
        return self._shell("plan", *given)


@pytest.fixture
def plan(shell: Shell, server: ArchiveServer) -> Planner:
    return Planner(shell, server)


def words(line: str) -> str:
    return " ".join(line.replace("│", " ").replace("|", " ").split())


def rows(out: str) -> list[str]:
    """The lines of a table that speak of a market, with single blanks."""
    found = [words(line) for line in out.splitlines()]
    return [line for line in found if line.startswith(("spot ", "futures"))]


def length(server: ArchiveServer, *keys: str) -> int:
    return sum(len(server.read(key)) for key in keys)


# Tables -----------------------------------------------------------------------------------------


def test_a_table_has_a_line_for_each_series_with_its_size(plan: Planner) -> None:
    code, out, err = plan(*HOURS, "-s", "BTCUSDT,ETHUSDT")
    assert (code, err) == (0, "")
    btc, eth = rows(out)
    assert btc.startswith("spot klines BTCUSDT 1h 1 0 0 0 ")
    assert eth.startswith("spot klines ETHUSDT 1h 1 0 0 0 ")
    assert "2 archives planned, 2 to fetch (4 requests, " in words(out)
    assert "kB" in btc
    assert "?" not in btc


def test_types_are_counted_with_their_symbols(plan: Planner) -> None:
    code, out, _ = plan(*HOURS, "-s", "BTCUSDT,ETHUSDT", "-t", "klines,trades", "--by", "type")
    assert code == 0
    klines, trades = rows(out)
    assert klines.startswith("spot klines 2 2 0 0 0 ")
    assert trades.startswith("spot trades 2 2 0 0 0 ")


@pytest.fixture
def many(server: ArchiveServer) -> list[str]:
    """More symbols than a table has lines for."""
    symbols = [f"COIN{number}USDT" for number in range(41)]
    for symbol in symbols:
        server.publish(KEY.replace("BTCUSDT", symbol), b"archive")
    return ["-s", "COIN*USDT", *SELECTION[2:], *HOURS]


def test_more_than_40_series_are_a_line_for_each_type(plan: Planner, many: list[str]) -> None:
    _, out, _ = plan(selection=many)
    (line,) = rows(out)
    assert line.startswith("spot klines 41 41 0 0 0 287 B 82 ")


def test_more_than_40_series_are_all_there_where_series_are_asked_for(
    plan: Planner, many: list[str]
) -> None:
    _, out, _ = plan("--by", "series", selection=many)
    assert len(rows(out)) == 41


def test_40_series_are_a_line_each(plan: Planner, many: list[str]) -> None:
    last = KEY.replace("BTCUSDT", "COIN40USDT")
    for key in (last, f"{last}.CHECKSUM"):
        plan.server.remove(key)
    _, out, _ = plan(selection=many)
    assert len(rows(out)) == 40


def test_what_the_source_lacks_is_a_column_and_in_the_sum(plan: Planner) -> None:
    plan.server.remove(KEY)
    code, out, _ = plan(*HOURS, "-s", "BTCUSDT,ETHUSDT")
    assert code == 0
    assert rows(out)[0].startswith("spot klines BTCUSDT 1h 0 0 0 1 0 B 0 ")
    assert "1 to fetch" in words(out)
    assert "1 missing at the source" in words(out)


def test_symbols_and_days_may_come_from_the_source(plan: Planner) -> None:
    code, out, _ = plan("--markets", "spot", "-t", "trades", selection=[])
    assert code == 0
    assert [line.split()[2:5] for line in rows(out)] == [
        ["BTCUSDT", "-", "0"], ["ETHUSDT", "-", "0"], ["币安人生USDT", "-", "0"],
    ]  # fmt: skip
    assert "plan, 2025-06-01 to 2025-07-31, as of" in words(out)


def test_a_selection_that_nothing_fits_is_a_usage_error(plan: Planner) -> None:
    code, out, err = plan(selection=["-s", "XYZ*", *SELECTION[2:]])
    assert (code, out) == (2, "")
    assert "invalid selection, 1 problem:" in err
    assert "--symbols: the source lists no symbol like `XYZ*`" in err


# JSON -------------------------------------------------------------------------------------------


def as_json(plan: Planner, *options: str) -> dict[str, Any]:
    code, out, _ = plan("--json", *options)
    assert code == 0
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_json_has_bytes_and_requests(plan: Planner) -> None:
    found = as_json(plan, *HOURS, "-s", "BTCUSDT,币安人生USDT")
    first, second = found["series"]
    assert (first["symbol"], second["symbol"]) == ("BTCUSDT", "币安人生USDT")
    assert first["bytes"] == length(plan.server, KEY)
    assert found["totals"]["bytes"] == first["bytes"] + second["bytes"]
    assert (found["totals"]["requests"], found["complete"]) == (4, True)
    assert "unlisted" not in found


def test_json_tells_what_is_missing_and_what_is_not_published(plan: Planner) -> None:
    plan.server.remove(KEY)
    days = ["--start", "2025-07-14", "--end", "2025-07-22"]
    code, out, _ = plan("--json", *HOURS, *days, selection=SELECTION[:-2])
    (only,) = json.loads(out)["series"]
    assert code == 0
    assert [only[name] for name in ("planned", "daily", "missing", "not_published")] == [9, 6, 1, 2]
    assert (only["first"], only["last"]) == ("2025-07-14", "2025-07-22")


def test_zips_alone_are_requested_where_the_listing_proves_them(plan: Planner) -> None:
    alone = ["--integrity", "listing", "--no-download-checksum"]
    assert as_json(plan, *HOURS, *alone)["totals"]["requests"] == 1
    assert as_json(plan, *HOURS, "--integrity", "listing")["totals"]["requests"] == 2


def test_a_sidecar_is_requested_where_the_etag_is_no_md5(plan: Planner) -> None:
    plan.server.put(KEY, b"in two parts", etag=f"{'0' * 32}-2")
    alone = ["--integrity", "listing", "--no-download-checksum"]
    assert as_json(plan, *HOURS, *alone)["totals"]["requests"] == 2


# Keys and URLs ----------------------------------------------------------------------------------


def test_keys_are_those_that_are_listed(plan: Planner) -> None:
    plan.server.remove(KEY)
    days = ["--start", "2025-07-14", "--end", "2025-07-22"]
    code, out, _ = plan("--format", "keys", *HOURS, *days, selection=SELECTION[:-2])
    assert code == 0
    assert out.splitlines() == [
        f"{FOLDER}BTCUSDT-1h-2025-07-{day}.zip" for day in (14, 16, 17, 18, 19, 20)
    ]


def test_urls_are_encoded(plan: Planner) -> None:
    selection = ["-s", "币安*", *SELECTION[2:], *HOURS]
    code, out, _ = plan("--format", "urls", selection=selection)
    assert code == 0
    (url,) = out.splitlines()
    assert url.startswith(f"{plan.server.url}/data/spot/daily/klines/%E5%B8%81")


# What could not be listed -----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "json", "keys", "urls"])
def test_an_incomplete_plan_ends_with_5_and_shows_the_rest(plan: Planner, form: str) -> None:
    plan.server.inject(f"list:{FOLDER}", Status(503), endless=True)
    code, out, err = plan("--format", form, *HOURS, "-s", "BTCUSDT,ETHUSDT")
    assert code == 5
    assert f"error: not planned: `{FOLDER}` cannot be listed" in err
    assert "ETHUSDT" in out
    assert KEY not in out


def test_json_names_what_could_not_be_listed(plan: Planner) -> None:
    plan.server.inject(f"list:{FOLDER}", Status(503), endless=True)
    _, out, _ = plan("--json", *HOURS)
    found = json.loads(out)
    assert (found["complete"], found["series"]) == (False, [])
    assert found["totals"]["bytes"] is None
    (reason,) = found["unlisted"]
    assert reason.startswith(f"`{FOLDER}` cannot be listed")


def test_a_listing_that_is_down_ends_with_5_and_no_plan(plan: Planner) -> None:
    plan.server.inject("list:*", Status(503), endless=True)
    code, out, err = plan(*HOURS)
    assert (code, out) == (5, "")
    assert "`data/` cannot be listed" in err


def test_a_source_without_a_listing_is_planned_by_the_calendar(plan: Planner) -> None:
    plan.server.inject("list:*", Body(b"<html>"), endless=True)
    code, out, err = plan(*HOURS)
    assert code == 0
    assert "come from the calendar instead" in err
    assert "size unknown" in words(out)


def test_a_plan_writes_nothing(plan: Planner, tmp_path: Path) -> None:
    plan(*HOURS)
    assert list(tmp_path.iterdir()) == []


# Only what failed -------------------------------------------------------------------------------


def test_what_failed_is_collected_again_without_naming_it(
    shell: Shell, server: ArchiveServer
) -> None:
    address = ["-o", "out", "--source-url", server.url, "--max-retries", "0"]
    server.inject(KEY, Status(500), endless=True)
    code, _, _ = shell("collect", *address, *SELECTION, "--intervals", "1h", "-q")
    assert code == 3
    server.heal()
    server.clear()
    code, out, _ = shell("collect", *address, "--retry-failed")
    assert code == 0
    assert "1 planned, 1 verified" in words(out)
    assert [request.path for request in server.requests] == [KEY, f"{KEY}.CHECKSUM"]
    _, _, err = shell("collect", *address, "--retry-failed")
    assert "the ledger has nothing of that kind" in err


# What is here already ---------------------------------------------------------------------------


def test_what_is_verified_is_counted_and_not_fetched(plan: Planner, shell: Shell) -> None:
    address = ["--listing-url", plan.server.url, "--source-url", plan.server.url]
    many = ["-o", "out", *SELECTION[2:], *HOURS, "--discovery", "listing"]
    assert shell("collect", *address, *many, "-s", "BTCUSDT", "-q")[0] == 0
    code, out, err = plan("-o", "out", *HOURS, "-s", "BTCUSDT,ETHUSDT")
    assert (code, err) == (0, "")
    btc, eth = rows(out)
    assert btc.startswith("spot klines BTCUSDT 1h 1 0 0 0 1 0 0 B 0 ")
    assert eth.startswith("spot klines ETHUSDT 1h 1 0 0 0 0 1 ")
    assert "2 archives planned, 1 already verified, 1 to fetch (2 requests, " in words(out)
    _, out, _ = plan("-o", "out", *HOURS)
    assert "1 archive planned, 1 already verified, 0 to fetch (0 requests, 0 B), " in words(out)
    assert [row for row in rows(out) if row.endswith(" 0 -")], "nothing takes no time"
    _, out, _ = plan("-o", "out", *HOURS, "-s", "BTCUSDT,ETHUSDT", "--format", "keys")
    assert out.splitlines() == [KEY.replace("BTCUSDT", "ETHUSDT")]
    both = ["-o", "out", *HOURS, "-s", "BTCUSDT,ETHUSDT", "--format", "keys", "--all"]
    assert plan(*both)[1].splitlines() == [KEY, KEY.replace("BTCUSDT", "ETHUSDT")]


def test_all_is_for_lines(plan: Planner) -> None:
    code, out, err = plan(*HOURS, "--all")
    assert (code, out) == (2, "")
    assert "--all needs --format urls or --format keys" in err


def test_files_that_are_not_proven_are_in_the_sum(plan: Planner, shell: Shell) -> None:
    address = ["--listing-url", plan.server.url, "--source-url", plan.server.url]
    code, _, _ = shell("collect", "-o", "out", *address, *SELECTION, *HOURS, "-q")
    assert code == 0
    Path("out", f"{KEY}.CHECKSUM").unlink()
    assert "1 without the present sidecar" in words(plan("-o", "out", *HOURS)[1])
    Path("out/.lakehouse/ledger.sqlite").unlink()
    code, out, err = plan("-o", "out", *HOURS)
    assert "0 to fetch (0 requests, 0 B" in words(out)
    assert "1 to check first" in words(out)
    assert "warning: 1 file here is not proven by the ledger" in err


def test_a_relative_directory_of_a_file_is_named(plan: Planner, tmp_path: Path) -> None:
    Path("c.toml").write_text('output_directory = "out"\n')
    code, _, err = plan("--config", "c.toml", *HOURS)
    assert (code, err) == (0, f"note: the output directory is {tmp_path}/out, relative to the "
                              "working directory\n")  # fmt: skip


# collect --dry-run ------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_dry_run_prints_the_same_plan_and_writes_nothing(
    plan: Planner, shell: Shell, tmp_path: Path, more: list[str]
) -> None:
    address = ["--listing-url", plan.server.url, "--source-url", plan.server.url]
    given = ["-o", "out", *address, *SELECTION, *HOURS, "--discovery", "listing", *more]
    dry = ["--dry-run"]

    def files() -> list[Path]:
        return sorted(tmp_path.rglob("*"))

    for _ in range(2):
        before = files()
        plan.server.clear()
        shown = shell("collect", *given, *dry)
        assert shown == shell("plan", *given)
        assert {request.path[:5] for request in plan.server.requests} == {"list:"}
        assert files() == before
        assert shell("collect", *given, "-q")[0] == 0


def test_a_dry_run_ends_as_a_plan_does(plan: Planner, shell: Shell, tmp_path: Path) -> None:
    address = ["--listing-url", plan.server.url, "--source-url", plan.server.url]
    given = [*address, *SELECTION, *HOURS, "--discovery", "listing", "--max-retries", "0"]
    code, _, err = shell("collect", *given, "--dry-run")
    assert code == 2
    assert "output" in err
    plan.server.inject(f"list:{FOLDER}", Status(503), endless=True)
    assert shell("collect", "-o", "out", *given, "--dry-run")[0] == 5
    assert list(tmp_path.iterdir()) == []
