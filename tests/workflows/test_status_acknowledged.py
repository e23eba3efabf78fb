"""Holes that the user knows, in `status`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection, make_zip, member_of

from crypto_lakehouse.core import Archive, ConfigurationError
from crypto_lakehouse.coverage.coverage import HoleCause
from crypto_lakehouse.testing.faults import Status
from crypto_lakehouse.workflows import StatusReport, run_status

#: What becomes of each day.
DAYS = {14: "good", 15: "missing", 16: "corrupt", 17: "failed", 18: "missing"}
KEYS = {day: KEY.replace("07-15", f"07-{day}") for day in DAYS}


@pytest.fixture
async def collected(collection: Collection) -> Collection:
    """Five days, of which only the first is good."""
    del collection.config["default_date"]
    collection.config |= {
        "date_range": {"start": "2025-07-14", "end": "2025-07-18"},
        "partitions": ["daily"],
        "max_retries": 0,
    }
    for day, state in DAYS.items():
        key = KEYS[day]
        collection.publish(key, make_zip(member_of(key), b"1,2,3\n"))
        if state == "missing":
            collection.server.remove(key)
        elif state == "corrupt":
            collection.publish(key, b"no zip")
        elif state == "failed":
            collection.server.inject(key, Status(503), endless=True)
    await collection.run()
    return collection


async def status(collected: Collection, **known: Any) -> tuple[StatusReport, list[str]]:
    archives: list[Archive] = []
    config = {"output_directory": str(collected.root), **known}
    report = await run_status(config, of="asked", on_hole=archives.append)
    return report, [archive.key for archive in archives]


def causes(report: StatusReport) -> dict[HoleCause, int]:
    return {cause: days for cause, days in report.totals.holes.items() if days}


async def test_what_can_be_acknowledged_is_named(collected: Collection) -> None:
    report, keys = await status(collected)
    assert keys == [KEYS[15], KEYS[16], KEYS[18]]
    assert causes(report) == {
        HoleCause.MISSING: 2,
        HoleCause.QUARANTINED: 1,
        HoleCause.FAILED: 1,
    }
    assert report.totals.expected_days == 5


async def test_what_is_acknowledged_does_not_count_against_coverage(
    collected: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "holes.txt"
    path.write_text(f"{KEYS[15]}\n{KEYS[16]}\n{KEYS[17]}\n{KEYS[14]}\n")
    report, keys = await status(collected, holes_path=str(path))
    assert causes(report) == {
        HoleCause.ACKNOWLEDGED: 2,
        HoleCause.MISSING: 1,
        HoleCause.FAILED: 1,
    }
    assert (report.totals.verified_days, report.totals.expected_days) == (1, 3)
    assert keys == [KEYS[18]]
    (series,) = report.series
    assert [(hole.cause, hole.days) for hole in series.holes] == [
        (HoleCause.ACKNOWLEDGED, 2),
        (HoleCause.FAILED, 1),
        (HoleCause.MISSING, 1),
    ]
    _, keys = await status(collected, acknowledge=["data/*2025-07-1[5-8].zip"])
    assert keys == []


async def test_what_status_names_is_all_that_must_be_acknowledged(
    collected: Collection, tmp_path: Path
) -> None:
    _, keys = await status(collected)
    path = tmp_path / "holes.txt"
    path.write_text("\n".join(keys))
    whole = {"start": "2025-07-14", "end": "2025-07-16"}
    report = await collected.run(holes_path=str(path), date_range=whole)
    assert (report.exit_code, report.strict_exit_code) == (0, 0)
    assert (await collected.run(holes_path=str(path))).exit_code == 3  # one failed


async def test_days_that_another_archive_covers_are_no_holes(collected: Collection) -> None:
    month = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07.zip"
    collected.publish(month, make_zip(member_of(month), b"1,2,3\n"))
    await collected.run(
        partitions=["monthly"], date_range={"start": "2025-07-01", "end": "2025-07-31"}
    )
    _, keys = await status(collected)
    assert keys == []


async def test_faults_of_the_file_are_raised(collected: Collection, tmp_path: Path) -> None:
    path = tmp_path / "holes.txt"
    path.write_text("BTCUSDT\n")
    with pytest.raises(ConfigurationError, match="line 1: `BTCUSDT` is not an archive key"):
        await status(collected, holes_path=str(path))
