"""Known holes on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, SELECTION, Shell

from crypto_lakehouse.testing import ArchiveServer

OTHER = KEY.replace("07-15", "07-16")


@pytest.fixture
def command() -> Iterator[list[str]]:
    """A collection of three days, of which the source lacks two."""
    first, last = date(2025, 7, 15), date(2025, 7, 17)
    with ArchiveServer(start=first, end=last, symbols=["BTCUSDT"]) as server:
        for key in (KEY, OTHER):
            server.remove(key)
            server.remove(f"{key}.CHECKSUM")
        yield [
            "collect", "-o", "out", *SELECTION[:-2], "-i", "1h", "--start", "2025-07-15", "--end",
            "2025-07-17", "--partitions", "daily", "--source-url", server.url, "-q",
        ]  # fmt: skip


def test_options_accumulate_and_are_added_to_the_file(command: list[str], shell: Shell) -> None:
    assert shell(*command)[0] == 3
    assert shell(*command, "--acknowledge", KEY)[0] == 3
    code, out, err = shell(*command, "--acknowledge", KEY, "--acknowledge", OTHER, "--strict")
    assert (code, err) == (0, "")
    assert "3 planned, 1 unchanged, 2 missing; 2 of these acknowledged" in out
    assert KEY not in out
    Path("holes.txt").write_text(f"{KEY}\n")
    code, out, _ = shell(
        *command, "--holes-path", "holes.txt", "--acknowledge", "data/*16.zip", "--json"
    )
    report = json.loads(out)
    assert (code, report["acknowledged"], report["problems"]) == (0, 2, [])


def test_a_wrong_line_is_a_usage_error_with_its_number(command: list[str], shell: Shell) -> None:
    Path("holes.txt").write_text(f"# two days\n{KEY}.zip\n")
    code, out, err = shell(*command, "--holes-path", "holes.txt")
    assert (code, out) == (2, "")
    assert f"`holes.txt`, line 2: `{KEY}.zip` is not an archive key" in err
    code, _, err = shell(*command, "--acknowledge", "BTCUSDT")
    assert code == 2
    assert "--acknowledge: `BTCUSDT` is not an archive key" in err
    assert not Path("out").exists()


def test_a_note_names_what_is_selected_and_not_planned(command: list[str], shell: Shell) -> None:
    monthly = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07.zip"
    elsewhere = KEY.replace("BTCUSDT", "ETHUSDT")
    by_default = [text for text in command if text not in {"-q", "--partitions", "daily"}]
    code, _, err = shell(*by_default, "--acknowledge", f"{monthly},{elsewhere},{KEY},{OTHER}")
    assert code == 0
    assert f"note: acknowledged, but not part of the plan: {monthly}\n" in err


def test_status_prints_the_file_that_the_next_collection_reads(
    command: list[str], shell: Shell
) -> None:
    assert shell(*command)[0] == 3
    code, out, err = shell("status", "-o", "out", "--format", "keys")
    assert (code, out, err) == (0, f"{KEY}\n{OTHER}\n", "")
    Path("holes.txt").write_text(out)
    assert shell(*command, "--holes-path", "holes.txt", "--strict")[0] == 0
    assert shell("status", "-o", "out", "--format", "keys", "--holes-path", "holes.txt")[1] == ""
    _, out, _ = shell("status", "-o", "out", "--acknowledge", KEY, "--acknowledge", OTHER)
    assert "2 acknowledged" in out
    assert "(100.0 %)" in out
    _, out, _ = shell("status", "-o", "out", "--format", "json", "--acknowledge", KEY)
    assert json.loads(out)["totals"]["holes"]["acknowledged"] == 1
    code, _, err = shell("status", "-o", "out", "--format", "keys", "--by", "type")
    assert code == 2
    assert "leave out --json, --format and --holes" in err
