"""What a notebook shows of lakes, scans and reports."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse import CollectionReport
from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.report import ArchiveProblem
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow, run_status

DAY = date(2023, 7, 1)


def test_a_lake_is_its_tables_and_a_scan_what_it_selects(tmp_path: Path) -> None:
    catalog = LakeCatalog(tmp_path, create=True)
    ingest(catalog, [put(tmp_path, bars(DAY))])
    catalog.close()
    with Lake.open(tmp_path) as lake:
        assert repr(lake) == f"<Lake {tmp_path}>"
        assert "<td>spot.klines</td><td>24</td><td>1</td><td>0.0</td>" in lake._repr_html_()
        scan = lake.scan("spot.klines", symbols="BTC*", start="2023-07-01", columns=["close"])
        assert repr(scan) == "<Scan of spot.klines: 1 of 1 file, 24 of 24 rows, 0.0 MB>"
        html = scan._repr_html_()
        for row in ("<th>symbols</th><td>BTCUSDT</td>", "<th>interval</th><td>all</td>",
                    "<th>from</th><td>2023-07-01 00:00:00+00:00</td>",
                    "<th>before</th><td>the end</td>",
                    "<th>columns</th><td>close</td>"):  # fmt: skip
            assert row in html
        assert "<th>from</th><td>the first row</td>" in lake.scan("spot.klines")._repr_html_()


def test_a_report_is_its_counts_and_problems() -> None:
    problem = ArchiveProblem(key="data/<b>.zip", verdict=Verdict.CORRUPT, reason="a & b")
    report = CollectionReport(
        workflow="archive_collection", status="partial", success_rate=99.9, bytes=1,
        duration_seconds=1.0, problems=(problem,),
        totals={"planned": 1500, Verdict.VERIFIED: 1499, Verdict.MISSING: 0, Verdict.CORRUPT: 1},
    )  # fmt: skip
    wanted = "<CollectionReport: partial, 1,500 planned, 1,499 verified, 1 corrupt>"
    assert repr(report) == wanted
    html = report._repr_html_()
    assert "<caption>archive_collection: partial, 99.9 %</caption>" in html
    assert "<th>planned</th><td>1,500</td>" in html
    assert "missing" not in html
    assert "<td>data/&lt;b&gt;.zip</td><td>corrupt</td><td>a &amp; b</td>" in html


def test_a_status_is_a_line_for_each_series(tmp_path: Path) -> None:
    with ArchiveServer() as server:
        config = WorkflowConfig({
            "output_directory": str(tmp_path), "source_url": server.url, "markets": ["spot"],
            "symbols": ["ETHUSDT"], "data_types": ["trades"], "default_date": "2023-07-01",
        })  # fmt: skip
        report = ArchiveCollectionWorkflow(config).execute().report
    assert repr(report) == "<CollectionReport: complete, 1 planned, 1 verified>"
    assert "problems" not in report._repr_html_()
    status = asyncio.run(run_status({"output_directory": str(tmp_path)}))
    assert repr(status).startswith("<StatusReport: 1 series, 1 of 1 day verified, as of 20")
    wanted = "<td>spot trades ETHUSDT</td><td>1</td><td>1</td><td></td>"
    assert wanted in status._repr_html_()
