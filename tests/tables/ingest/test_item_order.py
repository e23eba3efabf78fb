"""Results of items, which come as they end, have the order of the plan."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tests.tables.sample_data import bars, days, month_of, put

from crypto_lakehouse.tables.ingest.ingest_plan import plan_ingestion
from crypto_lakehouse.tables.ingest.item_jobs import held_back_item
from crypto_lakehouse.tables.ingest.items import ItemResult, in_order
from crypto_lakehouse.tables.ingest.zip_at_hand import zip_at_hand

FIRST = date(2023, 7, 1)


def test_results_are_in_the_order_of_their_items(tmp_path: Path) -> None:
    alone = [put(tmp_path, bars(day, "ADAUSDT")) for day in days(FIRST, 2)]
    merged = [put(tmp_path, each) for each in (bars(FIRST), month_of(bars(FIRST)))]
    plan = plan_ingestion([*alone, *merged], {}, zip_at_hand, again=False)
    items = [(each,) for each in plan.ingest]
    assert len(items) == 3
    results = [held_back_item(item, "") for item in items]
    assert in_order(reversed(results), items) == results
    assert in_order([ItemResult()], items) == [ItemResult()]
