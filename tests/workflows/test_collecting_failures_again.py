"""A run may collect again only what failed, narrowed by a selection."""

from __future__ import annotations

from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing.faults import Status


async def test_only_what_failed_is_tried_again(collection: Collection) -> None:
    failing = KEY.replace("/1h/BTCUSDT-1h", "/4h/BTCUSDT-4h")
    collection.server.inject(failing, Status(500), endless=True)
    report = await collection.run(intervals=["1h", "4h", "1d"])
    assert report.totals[Verdict.FAILED] == 1
    collection.server.heal()
    collection.server.clear()
    again = {"output_directory": str(collection.root), "source_url": collection.server.url}
    report = await run_collection({**again, "only": "failed"})
    assert report.totals[Verdict.VERIFIED] == report.totals["planned"] == 1
    assert collection.requested() == [failing, f"{failing}.CHECKSUM"]
    report = await run_collection({**again, "only": "failed"})
    assert any("the ledger has nothing of that kind" in note for note in report.warnings)


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ({}, True),
        ({"markets": ["spot"]}, True),
        ({"markets": ["futures_um"]}, False),
        ({"data_types": ["klines"]}, True),
        ({"data_types": ["trades"]}, False),
        ({"symbols": ["BTC*"]}, True),
        ({"symbols": {"spot": ["ETHUSDT"]}}, False),
        ({"symbols": {"futures_um": ["BTCUSDT"]}}, False),
        ({"quote_assets": ["BTC"]}, False),
        ({"intervals": ["1h"]}, True),
        ({"intervals": {"klines": ["4h"]}}, False),
        ({"partitions": ["monthly"]}, False),
        ({"default_date": "2025-07-15"}, True),
        ({"default_date": "2025-07-16"}, False),
        ({"date_range": {"start": "2025-07-01", "end": "2025-07-31"}}, True),
        ({"date_range": {"start": "2025-08-01", "end": "2025-08-31"}}, False),
    ],
)
async def test_a_selection_narrows_what_is_tried_again(
    collection: Collection, selection: dict[str, Any], *, chosen: bool
) -> None:
    collection.server.remove(KEY)
    await collection.run()
    report = await run_collection(
        {
            "output_directory": str(collection.root),
            "source_url": collection.server.url,
            "only": "failed",
            **selection,
        }
    )
    assert report.totals["planned"] == chosen
