"""Four real archives, two eras: into tables, and asked what they are known to hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shell

from crypto_lakehouse.tables import Lake
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig, ValidationWorkflow

REAL = Path(__file__).parents[3] / "shared" / "real"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real archives at {REAL}")


@pytest.fixture(scope="module", params=[False, True], ids=["floats", "decimals"])
def lake(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lake]:
    root = tmp_path_factory.mktemp("real") / "lake"
    config = LakeConfig(output_directory=str(REAL), lake=str(root), exact=request.param)
    report = IngestWorkflow(config).execute().report
    assert (report.status, report.archives) == ("complete", 4)
    with Lake.open(root) as opened:
        yield opened


def asked(lake: Lake, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake.sql(sql).to_arrow_table().to_pylist()
    return found


def test_every_row_is_there(lake: Lake) -> None:
    bars = "SELECT interval, count(*) n, count(DISTINCT open_time) d FROM spot.klines GROUP BY 1"
    assert sorted(map(str, asked(lake, bars))) == sorted(
        map(str, [{"interval": "1m", "n": 2880, "d": 2880}, {"interval": "1h", "n": 24, "d": 24}])
    )
    assert asked(lake, "SELECT count(*) n FROM futures_um.funding_rate") == [{"n": 90}]


def test_two_eras_are_of_one_clock(lake: Lake) -> None:
    units = "SELECT split_part(archive, '/', -1) a, time_unit, header, rows, verdict"
    found = asked(lake, f"{units} FROM lakehouse.archives ORDER BY archive")
    assert [(each["time_unit"], each["header"], each["rows"]) for each in found] == [
        ("ms", True, 90),
        ("us", False, 24),
        ("ms", False, 1440),
        ("ms", False, 1440),
    ]
    assert {each["verdict"] for each in found} == {"good"}
    spans = asked(
        lake,
        "SELECT interval, min(open_time)::VARCHAR first, max(close_time)::VARCHAR AS last "
        "FROM spot.klines GROUP BY 1 ORDER BY 1",
    )
    assert spans == [
        {
            "interval": "1h",
            "first": "2026-05-08 00:00:00+00",
            "last": "2026-05-08 23:59:59.999999+00",
        },
        {
            "interval": "1m",
            "first": "2020-01-01 00:00:00+00",
            "last": "2020-01-02 23:59:59.999+00",
        },
    ]


def test_rows_agree_with_themselves(lake: Lake) -> None:
    [found] = asked(
        lake,
        "SELECT count(*) FILTER (high < greatest(open, close) OR low > least(open, close)) odd, "
        "count(*) FILTER (volume > 0 AND quote_volume / volume NOT BETWEEN low AND high) off, "
        "sum(count) trades FROM spot.klines WHERE interval = '1m'",
    )
    assert (found["odd"], found["off"]) == (0, 0)
    assert found["trades"] > 100_000


def test_they_are_found_good(tmp_path: Path) -> None:
    workflow = ValidationWorkflow(LakeConfig(output_directory=str(REAL)))
    report = workflow.execute().report
    assert dict(report.verdicts) == {"good": 4}
    assert report.rows == 2994


def test_a_person_asks_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell = Shell(capsys)
    root = tmp_path / "mirror"
    shutil.copytree(REAL, root)
    code, out, _ = shell("ingest", "-o", str(root))
    assert code == 0
    assert "futures_um.funding_rate: 1 archive, 90 rows" in out
    assert "spot.klines: 3 archives, 2,904 rows" in out
    sql = "SELECT max(high) - min(low) > 0 AS moved FROM spot.klines WHERE interval = '1h'"
    code, out, _ = shell("query", "-o", str(root), "-f", "csv", sql)
    assert (code, out) == (0, '"moved"\ntrue\n')
