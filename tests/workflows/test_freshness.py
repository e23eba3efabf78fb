"""`status --strict` and `--max-lag`: which exit code says what; no silence is a success."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.workflows.conftest import Collection

from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.testing.faults import Status
from crypto_lakehouse.workflows import run_status
from crypto_lakehouse.workflows.reports import StatusReport

#: A day and a half after the collected day has ended.
NOW = datetime(2025, 7, 17, 12, tzinfo=UTC)


@pytest.fixture
def collected(collection: Collection) -> Collection:
    collection.config["max_retries"] = 0
    return collection


async def status(collection: Collection, hours: float | None = None, **given: Any) -> StatusReport:
    place = {"output_directory": str(collection.root), **given}
    lag = None if hours is None else hours * 3600
    return await run_status(place, max_lag_s=lag, now=NOW)


async def test_a_day_may_be_as_old_as_is_allowed(collected: Collection) -> None:
    await collected.run()
    assert (await status(collected)).strict_exit_code == 0
    assert (await status(collected)).to_mapping().get("stale") is None
    fresh = await status(collected, 36)
    assert (fresh.strict_exit_code, fresh.to_mapping()["stale"]) == (0, [])
    stale = await status(collected, 35)
    assert stale.strict_exit_code == 7
    assert stale.to_mapping()["stale"] == [
        {"market": "spot", "data_type": "klines", "newest": "2025-07-15",
         "age_seconds": 36 * 3600, "max_lag_seconds": 35 * 3600}
    ]  # fmt: skip
    assert stale.stale is not None
    assert str(stale.stale[0]) == (
        "spot klines: the newest verified day, 2025-07-15, ended 36.0 h ago; "
        "at most 35.0 h are allowed"
    )
    long = evolve(stale.stale[0], age_s=100 * 86_400.0, max_lag_s=7 * 86_400.0)
    assert str(long).endswith("ended 100.0 d ago; at most 7.0 d are allowed")


async def test_each_group_has_an_objective_of_its_own(collected: Collection) -> None:
    await collected.run()
    ages = {"spot/klines": "36h", "*": "1h"}
    assert (await status(collected, freshness=ages)).to_mapping()["stale"] == []
    assert (await status(collected, 35, freshness=ages)).strict_exit_code == 7, (
        "the stricter counts"
    )
    assert (await status(collected, freshness={"*/klines": "35h"})).strict_exit_code == 7
    absent = {"futures_um/klines": "9d", "options/*": "1s"}
    found = await status(collected, freshness=absent)
    assert found.strict_exit_code == 7, "what is named must have a day"
    assert [str(each) for each in found.stale or ()] == [
        "futures_um klines: no day is verified; at most 9.0 d are allowed since one ended"
    ]
    assert (await status(collected, freshness=absent, markets=["spot"])).stale == ()


async def test_what_is_missing_or_damaged_counts_more_and_what_is_acknowledged_not(
    collected: Collection,
) -> None:
    await collected.run()
    key = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-14.zip"
    collected.server.inject(f"{key}*", Status(404), endless=True)
    await collected.run(default_date="2025-07-14")
    assert (await status(collected, 1)).strict_exit_code == 3
    assert (await status(collected, 1, acknowledge=[key])).strict_exit_code == 7
    wrong = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-13.zip"
    collected.publish(wrong, b"no zip")
    await collected.run(default_date="2025-07-13")
    assert (await status(collected, 1)).strict_exit_code == 4


async def test_a_source_that_fails_and_an_output_without_anything_are_no_success(
    collected: Collection, tmp_path: Path
) -> None:
    collected.server.inject("*", Status(503), endless=True)
    await collected.run()
    failed = await status(collected, 36)
    assert failed.strict_exit_code == 3
    assert failed.stale is not None
    assert "no day is verified; at most 36.0 h are allowed since one ended" in str(failed.stale[0])
    folder = tmp_path / "empty" / ".lakehouse"
    folder.mkdir(parents=True)
    SqliteLedger.open(folder / "ledger.sqlite")[0].close()
    empty = await run_status({"output_directory": str(folder.parent)}, max_lag_s=1)
    assert empty.strict_exit_code == 7
    assert empty.stale is not None
    assert str(empty.stale[0]).startswith("all series: no day is verified")
