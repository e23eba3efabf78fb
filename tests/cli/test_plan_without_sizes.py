"""`plan` where sizes, symbols or whole partitions are not to be had."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shell

from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Body, Status

FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"
#: Four days of which one is missing.
KEYS = [f"{FOLDER}BTCUSDT-1h-2025-07-{day}.zip" for day in ("01", "03", "04")]


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer(generate=False) as server:
        for key in KEYS:
            server.publish(key, bytes(1000))
        yield server


@pytest.fixture
def selection(server: ArchiveServer) -> list[str]:
    return [
        "plan", "--source-url", server.url, "--discovery", "listing", "--markets", "spot",
        "-s", "BTCUSDT", "-t", "klines", "-i", "1h", "--max-retries", "0",
        "--start", "2025-07-01", "--end", "2025-07-03",
    ]  # fmt: skip


def test_a_calendar_that_knows_no_sizes_adds_up_none(shell: Shell) -> None:
    """A feed that has ended is planned with nothing to fetch, which is no size of the others."""
    wanted = ["--markets", "futures_um", "-s", "BTCUSDT", "-t", "bookTicker,trades"]
    days = ["--partitions", "daily", "--date", "2025-07-15", "--discovery", "calendar"]
    code, out, _ = shell("plan", *wanted, *days)
    assert code == 0
    assert "2 archives planned, 1 to fetch (2 requests, size unknown" in out
    _, out, _ = shell("plan", *wanted, *days, "--json")
    assert json.loads(out)["totals"]["bytes"] is None


def test_json_and_its_format_are_the_same(shell: Shell, selection: list[str]) -> None:
    one, other = shell(*selection, "--json"), shell(*selection, "--format", "json")
    assert one == other
    assert json.loads(one[1])["totals"]["bytes"] == 2000


def test_keys_are_those_of_the_window_that_are_listed(shell: Shell, selection: list[str]) -> None:
    assert shell(*selection, "--format", "keys") == (0, "\n".join(KEYS[:2]) + "\n", "")


def test_a_plan_ends_as_its_collection_if_a_folder_cannot_be_read(
    shell: Shell, selection: list[str], tmp_path: Path
) -> None:
    blocked = tmp_path / "tree" / FOLDER
    blocked.parent.mkdir(parents=True)
    blocked.write_bytes(b"a file in the place of a folder")
    options = [*selection[1:], "-o", str(tmp_path / "tree")]
    for command in (["plan"], ["plan", "--json"], ["collect", "--dry-run"], ["collect"]):
        code, _, err = shell(*command, *options)
        assert code == 3, (command, err)
        assert str(blocked) in err
        if command != ["collect"]:
            assert "error: `collect` would fail for 3 archives in folders that cannot be" in err


@pytest.mark.parametrize("fault", [Status(404), Body(b"<html>Index of /</html>")])
def test_without_a_listing_names_are_planned_by_the_calendar_and_patterns_are_not(
    shell: Shell, server: ArchiveServer, selection: list[str], fault: Any
) -> None:
    server.inject("list:*", fault, endless=True)
    code, out, err = shell(*selection)
    assert code == 0
    assert "come from the calendar instead" in err
    assert "3 archives planned, 3 to fetch (6 requests, size unknown" in out
    code, out, err = shell(*selection, "-s", "BTC*")
    assert (code, out) == (5, "")
    assert "`data/` cannot be listed" in err
    assert "Traceback" not in err


def test_a_pattern_that_fits_nothing_is_named(shell: Shell, selection: list[str]) -> None:
    code, out, err = shell(*selection, "-s", "BTCUSDT,XYZ*", "--format", "keys")
    assert (code, len(out.splitlines())) == (0, 2)
    assert err == "warning: the source lists no symbol like `XYZ*`\n"


@pytest.mark.parametrize("form", ["table", "json", "keys", "urls"])
def test_a_partition_that_the_type_lacks_is_a_usage_error(
    shell: Shell, server: ArchiveServer, form: str
) -> None:
    wanted = ["--markets", "futures_um", "-t", "fundingRate", "--partitions", "daily"]
    source = ["--source-url", server.url, "--discovery", "listing", "--max-retries", "0"]
    days = ["-s", "BTCUSDT", "--start", "2025-07-01", "--end", "2025-07-03"]
    code, out, err = shell("plan", *source, *days, *wanted, "--format", form)
    assert (code, "exit_code" in out) == (2, form == "json")
    assert form == "json" or not out
    assert "--partitions: futures_um fundingRate: published only monthly, it is left out" in err
