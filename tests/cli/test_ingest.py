"""`ingest`, `validate` and `collect --ingest`, as a person or a script runs them."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from attrs import evolve
from tests.cli.conftest import KEY, Shell, collect
from tests.tables.sample_data import archive_of, bars, changed_text, days, month_of, put, text_of

from crypto_lakehouse.cli.ingest import ingest_to_end, print_result
from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.tables import Lake, load_schemas
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.stored_archives import StoredZip, stored_zips

FIRST = date(2023, 7, 1)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three good days."""
    for day in days(FIRST, 3):
        put(tmp_path / "data-of-bars", bars(day))
    return tmp_path / "data-of-bars"


@pytest.mark.parametrize("command", ["ingest", "query", "validate"])
def test_every_command_has_help_with_examples(shell: Shell, command: str) -> None:
    code, out, _ = shell(command, "--help")
    assert code == 0
    assert "\\" not in out.replace("\\\n", "")
    assert f"\n    crypto-lakehouse {command} " in out
    _, overview, _ = shell("--help")
    assert f"\n  {command} " in overview


def test_an_ingestion_says_what_names_the_findings_of_its_checks(shell: Shell, tree: Path) -> None:
    faulty = bars(date(2023, 7, 4))
    put(tree, faulty, "".join(text_of(faulty).splitlines(keepends=True)[1:]))
    _, out, _ = shell("ingest", "-o", str(tree))
    assert "; `crypto-lakehouse validate` names the archives and the checks\n" in out


def test_an_ingestion_prints_its_result(shell: Shell, tree: Path) -> None:
    code, out, err = shell("ingest", "-o", str(tree))
    assert (code, err) == (0, "")
    assert "spot.klines: 3 archives, 72 rows" in out
    assert "checks: 3 good" in out
    assert "complete in" in out
    _, out, _ = shell("ingest", "-o", str(tree))
    assert "spot.klines: 0 archives, 0 rows, 3 unchanged" in out


@pytest.mark.parametrize("command", ["ingest", "validate"])
def test_a_contract_selects_what_is_stored_under_its_pair(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    """As `collect -s BTCUSD_PERP` does."""
    for data_type, symbol in (
        (DataType.INDEX_PRICE_KLINES, "BTCUSD"),
        (DataType.INDEX_PRICE_KLINES, "ETHUSD"),
        (DataType.KLINES, "BTCUSD_PERP"),
        (DataType.KLINES, "BTCUSD"),
    ):
        made = archive_of(load_schemas()[Market.FUTURES_CM, data_type])
        put(tmp_path, evolve(made, series=evolve(made.series, symbol=symbol)))
    selected = {"BTCUSD_PERP": 2, "BTCUSD_240628": 1, "ETHUSD_PERP,BTCUSD": 3, "BTCUSD_*": 2,
                "*_PERP": 3, "*_2406?8": 2}  # fmt: skip
    for symbols, count in selected.items():
        arguments = ["-o", str(tmp_path), "-s", symbols, "--json"]
        lake = ["--lake", str(tmp_path / f"lake {symbols[:-1]}")] if command == "ingest" else []
        _, out, err = shell(command, *arguments, *lake)
        found = json.loads(out)
        totals = found["totals"] if command == "ingest" else found
        assert totals["archives"] == count, (symbols, err)


@pytest.mark.parametrize("symbols", ['["BTCUSDT"]', "BTCUSDT"])
def test_a_list_may_be_json(shell: Shell, tree: Path, symbols: str) -> None:
    _, out, _ = shell("ingest", "-o", str(tree), "-s", symbols, "--json")
    assert sum(table["archives"] for table in json.loads(out)["tables"]) > 0
    assert shell("ingest", "-o", str(tree), "-s", "[BTCUSDT")[0] == 2


@pytest.mark.parametrize("command", ["ingest", "validate"])
@pytest.mark.parametrize("option", ["--symbols", "--markets", "--data-types", "--intervals"])
@pytest.mark.parametrize("text", ["", " , ", "[]"])
def test_an_empty_selection_is_refused(
    shell: Shell, tree: Path, command: str, option: str, text: str
) -> None:
    code, out, err = shell(command, "-o", str(tree), option, text)
    assert code == 2
    message = "must not be empty; leave the option out to select all"
    assert f"{option}: {message}" in out + err
    assert not (tree / ".lakehouse").exists()


@pytest.mark.parametrize("command", ["ingest", "validate"])
def test_two_policies_of_one_check_are_refused(shell: Shell, tree: Path, command: str) -> None:
    one, other = ["--policy", "order=report"], ["--policy", " order = quarantine"]
    code, out, err = shell(command, "-o", str(tree), *one, *other)
    assert (code, out) == (2, "")
    assert "--policy: `order` is given as `report` and as `quarantine`; choose one" in err
    assert shell(command, "-o", str(tree), *one, *one)[0] == 0


@pytest.mark.parametrize("command", ["ingest", "validate"])
def test_an_unknown_symbol_is_refused_by_its_option(shell: Shell, tree: Path, command: str) -> None:
    code, out, err = shell(command, "-o", str(tree), "-s", "BTC*", "-s", "BTCUSTD")
    assert (code, out) == (2, "")
    assert "--symbols: " in err
    assert "has no series of `BTCUSTD`; it has BTCUSDT; did you mean `BTCUSDT`?" in err
    assert not (tree / ".lakehouse").exists()


def test_nothing_to_ingest_is_said(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell("ingest", "-o", str(tmp_path))
    assert code == 0
    assert "nothing to ingest: there is no new recording, and no verified archive" in out


def test_refusals_are_told_and_end_with_4(shell: Shell, tree: Path) -> None:
    put(tree, bars(FIRST, "ETHUSDT"), "broken\n")
    code, out, err = shell("ingest", "-o", str(tree))
    assert code == 4
    assert "1 refused" in out
    assert err.startswith("refused: data/spot/daily/klines/ETHUSDT/1h/ETHUSDT-1h-2023-07-01.zip: ")
    told = err
    code, out, err = shell("ingest", "-o", str(tree))
    assert (code, err) == (4, told)
    assert ", 3 unchanged, 1 refused" in out
    code, out, err = shell("ingest", "-o", str(tree), "--again", "--quiet")
    assert (code, err) == (4, "")


def test_json_is_one_object(shell: Shell, tree: Path) -> None:
    code, out, _ = shell("ingest", "-o", str(tree), "--json")
    assert code == 0
    report = json.loads(out)
    assert report["workflow"] == "ingest"
    assert report["totals"]["rows"] == 72
    with output_lock(tree / ".lakehouse" / "lake" / "lock"):
        code, out, err = shell("ingest", "-o", str(tree), "--json")
    assert code == 11
    report = json.loads(out)
    assert report["status"] == "failed"
    assert report["error"]
    assert err == f"error: {report['error']}\n"


def test_selections_and_settings_are_options(shell: Shell, tree: Path, tmp_path: Path) -> None:
    put(tree, bars(FIRST, "ETHUSDT"))
    put(tree, bars(FIRST, "XRPUSDT"))
    lake = tmp_path / "lake"
    code, _, _ = shell(
        "ingest", "-o", str(tree), "--lake", str(lake), "-s", "ETH*, XRPUSDT", "--exact",
        "--workers", "1", "--compression", "zstd", "--policy", "order=quarantine",
    )  # fmt: skip
    assert code == 0
    with Lake.open(lake) as opened:
        frame = opened.scan("spot.klines").polars().collect()
        assert set(frame["symbol"]) == {"ETHUSDT", "XRPUSDT"}
        assert str(frame["close"].dtype).startswith("Decimal")


def test_plain_parquet_is_an_option(shell: Shell, tree: Path, tmp_path: Path) -> None:
    lake = tmp_path / "files"
    code, out, _ = shell("ingest", "-o", str(tree), "--lake", str(lake), "--format", "parquet")
    assert code == 0
    assert "3 archives, 72 rows" in out
    assert len([*lake.rglob("*.parquet")]) == 3
    put(tree, bars(FIRST), changed_text(bars(FIRST)))
    put(tree, month_of(bars(FIRST)))
    code, out, _ = shell("ingest", "-o", str(tree), "--lake", str(lake), "--format", "parquet")
    assert code == 0
    assert "24 rows differ between archives (see lakehouse/differences)" in out
    assert len([*(lake / "lakehouse" / "differences").rglob("*.parquet")]) == 1
    code, _, err = shell("query", "-o", str(tree), "--lake", str(lake), "SELECT 1")
    assert (code, "has plain Parquet files (in `spot/klines`), without tables" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--policy", "order"], "`order` is not CHECK=WHAT"),
        (["--policy", "ordre=drop"], "did you mean `order`"),
        (["-t", "kline"], "did you mean `klines`"),
        (["--workers", "0"], "must be at least 1, not 0"),
        (["--format", "parquet", "--catalog", "mine"], "plain Parquet files have no catalog"),
        (["--catalog", "no_such_catalog"], "no_such_catalog"),
    ],
)
def test_faults_are_told(shell: Shell, tree: Path, options: list[str], words: str) -> None:
    code, _, err = shell("ingest", "-o", str(tree), *options)
    assert code in {1, 2}
    assert words in err
    assert "Traceback" not in err


async def test_a_signal_ends_an_ingestion_in_order(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = threading.Event()

    class Ingestion(IngestWorkflow):
        def stop(self, exit_code: int = 130) -> None:
            super().stop(exit_code)
            stopped.set()

    def zips() -> Iterator[StoredZip]:
        found = stored_zips(tree, config.selects)
        yield next(found)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(60)
        yield from found

    config = LakeConfig(output_directory=str(tree))
    report, code = await ingest_to_end(Ingestion(config, zips=zips))
    print_result(report, code, as_json=True, quiet=False)
    out, err = capsys.readouterr()
    assert code == 143
    assert json.loads(out)["status"] == "interrupted"
    assert "what is committed is kept (again to stop at once)" in err


def test_a_validation_prints_its_verdicts(shell: Shell, tree: Path, tmp_path: Path) -> None:
    code, out, _ = shell("validate", "-o", str(tree))
    assert (code, out.splitlines()[-1]) == (0, "Nothing was found in 3 archives with 72 rows.")
    lines = text_of(bars(FIRST)).splitlines(keepends=True)
    put(tree, bars(FIRST, "HOLE"), "".join([*lines[:3], *lines[5:]]))
    code, out, _ = shell("validate", "-o", str(tree))
    assert code == 0
    assert "warning\tcontinuity\t1\t2\t1" in out
    assert shell("validate", "-o", str(tree), "--strict")[0] == 3
    row = lines[0].split(",")
    row[2] = "0.1"
    put(tree, bars(FIRST, "ODD"), "".join([",".join(row), *lines[1:]]))
    code, out, _ = shell("validate", "-o", str(tree), "--json")
    assert code == 3
    assert json.loads(out)["verdicts"] == {"error": 1, "good": 3, "warning": 1}
    put(tree, bars(FIRST, "CUT"), "1,2\n")
    page = tmp_path / "report.html"
    code, _, err = shell("validate", "-o", str(tree), "--html", str(page))
    assert code == 4
    assert f"written: {page}" in err
    assert "CUT-1h-2023-07-01.zip" in page.read_text()


def test_a_page_that_cannot_be_written_is_told(shell: Shell, tree: Path) -> None:
    code, _, err = shell("validate", "-o", str(tree), "--html", str(tree / "none" / "x.html"))
    assert code != 0
    assert "x.html" in err
    assert "Traceback" not in err


def test_collect_and_ingest_in_one(shell: Shell, archive_server: ArchiveServer) -> None:
    code, out, _ = shell(*collect(archive_server, "--ingest"))
    assert code == 0
    assert "complete: 13 planned, 13 verified" in out
    assert "spot.klines: 13 archives" in out
    code, out, _ = shell(*collect(archive_server, "--ingest", "--json"))
    assert code == 0
    report = json.loads(out)
    assert report["totals"]["unchanged"] == 13
    assert report["ingest"]["totals"]["unchanged"] == 13
    assert report["ingest"]["state"] == "done"
    _, alone, _ = shell(*collect(archive_server, "--json"))
    varying = {"duration_seconds": 0, "ingest": 0}
    assert {**report, **varying} == {**json.loads(alone), **varying}
    assert "ingest" not in json.loads(alone)


def test_the_report_has_one_shape_if_one_half_fails(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    assert shell(*collect(archive_server))[0] == 0
    state = tmp_path / "out" / ".lakehouse"
    with output_lock(state / "lock"):
        code, out, _ = shell(*collect(archive_server, "--ingest", "--json"))
        alone = json.loads(shell(*collect(archive_server, "--json"))[1])
    report = json.loads(out)
    assert (code, report["status"]) == (11, "failed")
    assert "another run holds the lock" in report["error"]
    assert report["ingest"]["state"] == "skipped"
    assert set(report) - set(alone) == {"ingest"}
    (state / "lake").mkdir()
    with output_lock(state / "lake" / "lock"):
        code, out, _ = shell(*collect(archive_server, "--ingest", "--json"))
    report = json.loads(out)
    assert (code, report["status"], report["totals"]["unchanged"]) == (11, "complete", 13)
    assert report["ingest"]["state"] == "failed"
    assert "another run holds the lock" in report["ingest"]["error"]


def test_a_missing_archive_is_the_collections_matter(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    archive_server.remove(KEY)
    code, out, _ = shell(*collect(archive_server, "--ingest"))
    assert code == 3
    assert "spot.klines: 12 archives" in out


def test_a_lake_in_use_is_told_after_the_collection(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / ".lakehouse" / "lake"
    folder.mkdir(parents=True)
    with output_lock(folder / "lock"):
        code, out, err = shell(*collect(archive_server, "--ingest"))
    assert code == 11
    assert "complete: 13 planned, 13 verified" in out
    assert "error: ingest: " in err


def test_a_file_says_what_and_where(shell: Shell, tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "lake.yaml"
    file.write_text(f"output_directory: {tree}\nformat: parquet\nlake: {tmp_path / 'files'}\n")
    code, _, err = shell("ingest", "--config", str(file), "--quiet")
    assert (code, err) == (0, "")
    assert list((tmp_path / "files").rglob("*.parquet"))
    assert shell("validate", "--config", str(file))[0] == 0


@pytest.mark.parametrize("command", ["ingest", "validate"])
def test_a_place_is_required(shell: Shell, command: str) -> None:
    code, _, err = shell(command)
    assert code == 2
    assert "--output: required, and missing" in err


@pytest.mark.parametrize("command", ["ingest", "validate"])
def test_a_symbol_that_is_not_published_yet_is_a_note(
    shell: Shell, archive_server: ArchiveServer, command: str
) -> None:
    archive_server.remove(KEY.replace("BTCUSDT", "NEWUSDT"))
    both = ["-i", "1h", "-s", "BTCUSDT,NEWUSDT"]
    assert shell(*collect(archive_server, *both, "--discovery", "calendar"))[0] == 3
    code, _, err = shell(command, "-o", "out", *both)
    assert code == 0
    assert err.count("note: ") == 1
    assert "has no series yet of `NEWUSDT`" in err
    code, _, err = shell(command, "-o", "out", "-s", "BTCUSDT,NEWUSTD")
    assert (code, "NEWUSTD" in err) == (2, True)
