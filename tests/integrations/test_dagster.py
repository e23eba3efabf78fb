"""The assets, materialised by Dagster itself, in a process with its packages."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from tests.integrations.orchestrated import CORRUPT, REFUSED, STALLED, SYMBOLS, orchestrated, shared

from crypto_lakehouse.testing import ArchiveServer, faults

#: Is not published.
MONTH = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07.zip"


@frozen
class Ran:
    """What the program found, and what the source was asked for.

    Attributes:
        found: By the name of the run.
        zips: How often each zip was asked for.
        left: The files in the output.
    """

    found: dict[str, Any]
    zips: dict[str, int]
    left: list[str]


def run(folder: Path) -> dict[str, Any]:
    with ArchiveServer() as server, ArchiveServer() as unborn:
        unborn.inject("*", faults.NotFound(), endless=True)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(REFUSED.rpartition("/")[2].replace(".zip", ".csv"), "no,rows\n")
        server.publish(REFUSED, packed.getvalue())
        server.inject(MONTH, faults.NotFound(), endless=True)
        found = orchestrated("dagster_program.py", folder, server, ",".join(SYMBOLS), unborn.url)
        zips = Counter(each.path.lstrip("/") for each in server.requests)
        out = folder / "out"
        left = [path.relative_to(out).as_posix() for path in out.rglob("*.zip*")]
        return {"found": found, "zips": zips, "left": left}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(**shared(tmp_path_factory, "dagster", run))


def test_a_day_is_materialised_once_with_metadata_and_a_check(ran: Ran) -> None:
    day, again = ran.found["day"], ran.found["again"]
    assert (day["success"], day["steps"], day["failure"]) == (True, 1, [])
    assert day["materialized"] == [
        ["spot", "klines", "2025-07-15"],
        ["spot", "trades", "2025-07-15"],
    ]
    for each in day["metadata"]:
        assert (each["verified"], each["bytes"] > 0, each["seconds"] > 0) == (1, True, True)
    assert len({each["run_id"] for each in day["metadata"]}) == 1
    assert len({each["plan_sha256"] for each in day["metadata"]}) == 1
    assert {passed for passed, *_ in day["checks"].values()} == {True}
    assert [each["unchanged"] for each in again["metadata"]] == [1, 1]
    assert [each["bytes"] for each in again["metadata"]] == [0, 0]
    assert {count for path, count in ran.zips.items() if "2025-07-15.zip" in path} == {1}


def test_a_quarantined_archive_fails_the_check_with_its_key(ran: Ran) -> None:
    for name in ("corrupt", "range"):
        passed, severity, metadata = ran.found[name]["checks"]["spot/klines"]
        assert (passed, severity, metadata["problems"]) == (False, "ERROR", 1)
        assert [*metadata["archives"]] == [CORRUPT]
    assert ran.found["corrupt"]["materialized"] == []
    assert "nothing was collected" in ran.found["corrupt"]["failure"][0]
    assert ran.found["corrupt"]["success"] is False


def test_what_the_tables_refuse_fails_a_check_of_its_own(ran: Ran) -> None:
    assert [passed for passed, _ in ran.found["day"]["ingested"].values()] == [True, True]
    found = ran.found["refused"]
    passed, metadata = found["ingested"]["spot/klines"]
    assert (passed, metadata["problems"], [*metadata["archives"]]) == (False, 1, [REFUSED])
    assert (found["success"], len(found["materialized"])) == (True, 1)


def test_a_range_is_one_run_and_days_without_an_archive_are_left_out(ran: Ran) -> None:
    found = ran.found["range"]
    assert (found["success"], found["steps"]) == (True, 1)
    assert [day for *_, day in found["materialized"]] == [f"2025-07-{day}" for day in range(12, 16)]
    assert len({each["run_id"] for each in found["metadata"]}) == 1
    assert ran.found["partitions"] == [f"2025-07-{day}" for day in (12, 13, 14, 15, 17)]


def test_a_day_that_is_stored_is_materialised_though_its_month_is_missing(ran: Ran) -> None:
    found = ran.found["both"]
    assert (found["success"], [day for *_, day in found["materialized"]]) == (True, ["2025-07-15"])
    passed, _, metadata = found["checks"]["spot/klines"]
    assert (passed, [*metadata["archives"]]) == (False, [MONTH])


def test_assets_of_a_tenant_have_its_name(ran: Ran) -> None:
    found = ran.found["tenants"]
    keys = [["desk-a", "spot", kind] for kind in ("klines", "trades")]
    assert [each[:-1] for each in found["materialized"]] == keys
    assert [*found["checks"]] == ["/".join(key) for key in keys]


def test_nothing_is_added_for_an_archive(ran: Ran) -> None:
    one, many = ran.found["one"], ran.found["many"]
    assert many["metadata"][0]["verified"] == len(SYMBOLS) - 1
    assert many["metadata"][0]["unchanged"] == 1
    assert many["events"] == one["events"]


def test_what_is_not_published_yet_is_neither_materialised_nor_a_problem(ran: Ran) -> None:
    found = ran.found["unpublished"]
    assert (found["success"], found["materialized"]) == (True, [])
    assert found["checks"]["spot/klines"][0] is True


def test_a_source_that_is_down_is_a_failure(ran: Ran) -> None:
    found = ran.found["down"]
    assert (found["success"], found["materialized"]) == (False, [])
    assert found["failure"][0].startswith("collect: ")


def test_the_rows_are_checked_on_their_own(ran: Ran) -> None:
    checks = ran.found["rows"]["checks"]
    assert checks["spot/trades"][0] is True
    passed, _, metadata = checks["spot/klines"]
    assert (passed, metadata["archives_read"], metadata["rows"]) == (False, 6, 24 * 5)
    assert [*metadata["archives"]] == [REFUSED]


def test_partitions_have_a_first_day_that_stays_and_assets_a_freshness_policy(ran: Ran) -> None:
    assert "a first day that stays the same" in ran.found["start 7d"]
    assert "start" in ran.found["start None"]
    assert ran.found["fail_window_s"] == [36 * 3600, None]


def test_sigterm_ends_a_run_in_order(ran: Ran) -> None:
    found = ran.found["stopped"]
    assert (found["success"], found["materialized"], found["checks"]) == (False, [], {})
    assert "DagsterExecutionInterruptedError" in found["failure"][0]
    assert not [path for path in ran.left if path.startswith(STALLED)]
