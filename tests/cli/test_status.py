"""`status`: what is there, what is not, and whose fault that is."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, Shell, collect

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.testing import ArchiveServer

WINDOW = ["--start", "2025-07-14", "--end", "2025-07-15"]


def fill(ledger: Path, count: int) -> None:
    """Write a ledger with one archive of each of many series."""
    ledger.parent.mkdir(parents=True)
    opened, _ = SqliteLedger.open(ledger)
    with closing(opened):
        opened.write(
            ArchiveFinished(
                archive=Archive(
                    Series(Market.SPOT, DataType.TRADES, f"X{number:04d}USDT"),
                    Period.parse("2025-07-14"),
                ),
                verdict=Verdict.VERIFIED,
                facts=ObjectFacts(size_bytes=1000),
            )
            for number in range(count)
        )


def test_a_table_has_a_line_for_each_series_and_a_summary(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    shell(*collect(archive_server, "-i", "1h,4h"))
    code, out, err = shell("status", "-o", "out", *WINDOW)
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if "BTCUSDT" in line]
    assert len(lines) == 2
    for word in ("spot", "klines", "1h", "2025-07-15", "1/2", "50.0", "1 not_collected",
                 "not_collected 2025-07-14"):  # fmt: skip
        assert word in lines[0]
    assert "2 series, 2 of 4 days verified (50.0 %)" in out
    assert "days in holes: 2 not_collected" in out
    assert "newer version" not in out


def test_by_type_has_a_line_for_each_market_and_data_type(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    shell(*collect(archive_server, "-i", "1h,4h"))
    code, out, err = shell("status", "-o", "out", *WINDOW, "--by", "type")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if "klines" in line]
    assert [cell.strip() for cell in line.split("│")][:5] == ["spot", "klines", "2", "2/4", "50.0"]
    assert line.rstrip().endswith("2 not_collected")
    assert "2 series, 2 of 4 days verified (50.0 %)" in out
    code, out, _ = shell("status", "-o", "out", "--by", "type", "-t", "trades")
    assert (code, out) == (2, "")


@pytest.mark.parametrize("option", ["--json", "--holes"])
def test_by_type_is_for_the_table(shell: Shell, option: str) -> None:
    code, out, err = shell("status", "-o", "out", "--by", "type", option)
    assert (code, "series" in out) == (2, False)
    assert "--by type prints a table" in err


def test_holes_are_listed_with_their_reasons(shell: Shell, archive_server: ArchiveServer) -> None:
    archive_server.remove(KEY)
    shell(*collect(archive_server, "-i", "1h,4h"))
    _, out, _ = shell("status", "-o", "out", *WINDOW)
    assert "must exist" not in out
    code, out, _ = shell("status", "-o", "out", *WINDOW, "--holes", "-i", "1h")
    assert code == 0
    words = " ".join(out.replace("│", " ").split())
    assert "2025-07-14 2025-07-14 1 not_collected no run has settled it" in words
    assert "2025-07-15 2025-07-15 1 missing the source has no such archive" in words
    assert "4h" not in out


def test_json_is_one_object(shell: Shell, archive_server: ArchiveServer) -> None:
    shell(*collect(archive_server, "-i", "1h,4h"))
    code, out, err = shell("status", "-o", "out", *WINDOW, "--json")
    assert (code, err) == (0, "")
    status = json.loads(out)
    assert set(status) == {"today", "of", "totals", "series"}
    assert status["totals"]["series"] == 2
    assert status["totals"]["holes"]["not_collected"] == 2
    assert [item["interval"] for item in status["series"]] == ["1h", "4h"]
    assert status["series"][0]["holes"] == [
        {"first": "2025-07-14", "last": "2025-07-14", "days": 1, "cause": "not_collected",
         "filled": 0,
         "reason": "no run has settled it"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["-s", "BTCUSTD"],
            "--symbols: {} has no series of `BTCUSTD`; it has BTCUSDT; did you mean",
        ),
        (["-s", "BTCUSDT", "-s", "ETH*"], "--symbols: {} has no series of `ETH*`; it has BTCUSDT"),
        (["-t", "trades"], "--data-types: {} has no series of `trades`; it has klines"),
        (["--markets", "options"], "--markets: {} has no series of `options`; it has spot"),
        (["-s", ""], "--symbols: must not be empty"),
        (["-i", "1h", "-i", ""], "must not be empty"),
    ],
)
def test_what_the_ledger_does_not_have_is_named(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path, arguments: list[str], words: str
) -> None:
    shell(*collect(archive_server))
    code, out, err = shell("status", "-o", "out", *arguments)
    assert (code, out) == (2, "")
    assert words.format(f"the ledger of `{tmp_path / 'out'}`") in err


def test_an_empty_ledger_fits_every_selection(shell: Shell, tmp_path: Path) -> None:
    ledger = tmp_path / "out" / ".lakehouse" / "ledger.sqlite"
    ledger.parent.mkdir(parents=True)
    SqliteLedger.open(ledger)[0].close()
    assert shell("status", "-o", "out", "-s", "X*")[:2] == (0, "the ledger has no such series\n")
    code, out, _ = shell("status", "-o", "out", "-s", "X*", "--json")
    assert (code, json.loads(out)["series"]) == (0, [])


def test_the_default_window_is_what_was_asked_for_or_what_should_be_there_by_now(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    shell(*collect(archive_server, "-i", "1h"))
    _, out, _ = shell("status", "-o", "out", "--json")
    assert json.loads(out)["of"] == "asked"
    assert json.loads(out)["series"][0]["end"] == "2025-07-15"
    _, out, _ = shell("status", "-o", "out", "--of", "published", "--json")
    assert json.loads(out)["of"] == "published"
    (series,) = json.loads(out)["series"]
    today = datetime.fromisoformat(json.loads(out)["today"]).replace(tzinfo=UTC)
    assert (series["start"], series["first"], series["last"]) == ("2025-07-15",) * 3
    assert series["end"] == str((today - timedelta(days=4)).date())
    assert series["expected_days"] == series["verified_days"] + series["holes"][0]["days"]


def test_a_refused_newer_version_is_told(shell: Shell, archive_server: ArchiveServer) -> None:
    shell(*collect(archive_server, "-i", "1h"))
    archive_server.put(KEY, b"junk")
    shell(*collect(archive_server, "-i", "1h", "--force-redownload"))
    _, out, _ = shell("status", "-o", "out", "--start", "2025-07-15", "--end", "2025-07-15")
    assert "1 series, 1 of 1 day verified (100.0 %)" in out
    assert "days in holes: -" in out
    assert "1 verified archive has a newer version at the source" in out


def test_many_series_are_printed_line_by_line(shell: Shell, tmp_path: Path) -> None:
    fill(tmp_path / "out" / ".lakehouse" / "ledger.sqlite", 1001)
    code, out, _ = shell("status", "-o", "out", *WINDOW)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 1003
    assert lines[0].split() == [
        "spot", "trades", "X0000USDT", "-", "2025-07-14", "2025-07-14", "1/2", "50.0", "1.0", "kB",
        "1", "not_collected;", "newest:", "not_collected", "2025-07-15",
    ]  # fmt: skip
    assert lines[-2] == "1001 series, 1001 of 2002 days verified (50.0 %), 1.0 MB"
    _, out, _ = shell("status", "-o", "out", "--start", "2025-07-14", "--end", "2025-07-14")
    assert out.splitlines()[0].endswith(" 1.0 kB  -")


def test_many_holes_are_printed_line_by_line(shell: Shell, tmp_path: Path) -> None:
    fill(tmp_path / "out" / ".lakehouse" / "ledger.sqlite", 600)
    _, out, _ = shell("status", "-o", "out", *WINDOW, "--holes")
    lines = out.splitlines()
    assert len(lines) == 1202
    assert lines[1] == ("    2025-07-15 to 2025-07-15, 1 day not_collected: no run has settled it")


def test_corrections_of_an_older_matrix_are_told(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    shell(*collect(archive_server, "-i", "1h"))
    older = Path(__file__).parents[1] / "data" / "matrices" / "format-2.json"
    code, out, err = shell("status", "-o", "out", *WINDOW, "--matrix", str(older))
    assert code == 0
    assert "1 series" in out
    assert err.startswith("warning: ")


def test_every_fault_is_told_at_once(shell: Shell) -> None:
    code, out, err = shell("status", "-o", "absent", "--markets", "spott", "--start", "2025-02-30")
    assert (code, out) == (2, "")
    for text in ("is not a directory", "did you mean `spot`?", "`2025-02-30` is not a day"):
        assert text in err
    code, _, err = shell("status", "-o", "absent", "-s", '{"spot": [')
    assert code == 2
    assert "--symbols: not valid JSON" in err


def test_strict_says_by_the_exit_code_what_is_wrong(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    shell(*collect(archive_server))
    code, out, err = shell("status", "-o", "out", "--max-lag", "1.5d")
    assert (code, "verified" in out) == (0, True)
    assert "stale: spot klines: the newest verified day, 2025-07-15, ended " in err
    strict = ("status", "-o", "out", "--strict")
    assert shell(*strict, "--max-lag", "36h", "--json")[0] == 7
    assert shell(*strict, "--max-lag", "1000000h")[0] == shell(*strict)[0] == 0
    for wrong, reason in (("soon", "is not a duration"), ("1h", "leave out --end")):
        code, _, err = shell(*strict, "--max-lag", wrong, "--end", "2025-07-15")
        assert code == 2
        assert reason in err


def test_a_configuration_says_where_the_output_is_and_how_old_days_may_be(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    shell(*collect(archive_server))
    file = Path("lake.json")
    values = {"output_directory": "out", "symbols": ["NONE"], "default_date": "2020-01-01"}

    def write(**freshness: str) -> None:
        file.write_text(json.dumps({**values, "freshness": freshness}))

    write(**{"spot/klines": "1h"})
    strict = ("status", "--config", str(file), "--strict")
    code, out, err = shell(*strict)
    assert (code, "BTCUSDT" in out) == (7, True), "its selection does not count"
    assert "stale: spot klines: the newest verified day, 2025-07-15, ended " in err
    assert shell(*strict[:-1])[0] == 0
    assert shell(*strict, "-o", "absent")[0] == 2
    assert "leave out --end" in shell(*strict, "--end", "2025-07-15")[2]
    write(**{"spot/kline": "1h", "spot/metrics": "soon", "spot/klines/1h": "1h"})
    for command in (strict, ("collect", "--config", str(file))):
        code, out, err = shell(*command)
        assert (code, out) == (2, "")
        assert "`spot/kline` names no series; did you mean spot/klines" in err
        assert "did you mean futures_um/metrics, futures_cm/metrics?" in err
        assert "`soon` is not a duration above 0" in err
        assert "`spot/klines/1h` has too many parts" in err


def test_the_directory_is_required(shell: Shell) -> None:
    code, _, err = shell("status")
    assert (code, "--output: required, and missing" in err) == (2, True)


def test_help_explains_every_cause(shell: Shell) -> None:
    from crypto_lakehouse.coverage.coverage import HoleCause

    code, out, _ = shell("status", "--help")
    assert code == 0
    for cause in HoleCause:
        assert cause in out


def test_an_unknown_kind_of_picture_is_told_before_the_work(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    shell(*collect(archive_server, "-i", "1h"))
    code, out, err = shell("status", "-o", "out", "--plot", "coverage.pdf")
    assert (code, out) == (2, "")
    assert "coverage.pdf: unknown kind of picture; allowed: .svg, .png" in err


def test_a_picture_is_drawn_beside_the_table(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `plot`")
    shell(*collect(archive_server, "-i", "1h"))
    code, out, err = shell("status", "-o", "out", *WINDOW, "--plot", "coverage.svg")
    assert code == 0
    assert "1 series" in out
    assert err == "drawn: coverage.svg\n"
    assert b"BTCUSDT 1h" in (tmp_path / "coverage.svg").read_bytes()


def test_more_series_than_a_picture_takes_are_left_out_with_a_word(
    shell: Shell, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `plot`")
    fill(tmp_path / "out" / ".lakehouse" / "ledger.sqlite", 1201)
    code, _, err = shell("status", "-o", "out", *WINDOW, "--json", "--plot", "c.svg")
    assert code == 0
    assert err.splitlines()[-1].startswith("warning: 1 series is not in the picture")
    assert len(list(tmp_path.glob("c-*.svg"))) == 20
