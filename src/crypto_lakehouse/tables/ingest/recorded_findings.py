"""What checks have found in the archives of a lake, by check, from the records of the lake."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import cast

import polars as pl
from attrs import define

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, ORDER
from crypto_lakehouse.tables.quality.findings import Severity

__all__ = ["CheckFindings", "recorded_findings"]

_SEVERITIES = tuple(map(str, Severity))


@define
class CheckFindings:
    """What one check has found in the archives of one table, with one severity.

    Attributes:
        archives: How many archives have such a finding.
        rows: How many of their rows are concerned.
    """

    table: str
    check: str
    severity: str
    archives: int = 0
    rows: int = 0


def recorded_findings(catalog: LakeCatalog) -> list[CheckFindings]:
    """Sum up the findings in the newest record of each archive, worst and most frequent first.

    Args:
        catalog: The tables.

    Raises:
        LakeError: The lake cannot be read.
    """
    found: dict[tuple[str, str, str], CheckFindings] = {}
    for table, text in _newest(catalog):
        rows: dict[tuple[str, str, str], int] = defaultdict(int)
        for finding in json.loads(text):
            rows[table, finding["check"], finding["severity"]] += finding.get("rows", 0)
        for key, count in rows.items():
            one = found.setdefault(key, CheckFindings(*key))
            one.archives += 1
            one.rows += count
    return sorted(found.values(), key=lambda one: (_rank(one.severity), -one.archives, one.check))


def _newest(catalog: LakeCatalog) -> list[tuple[str, str]]:
    """The table and the findings of each archive that has some."""
    with catalog.errors():
        archives = catalog.find(ARCHIVES)
        if archives is None:
            return []
        order = [name for name in ORDER if name in archives.schema().column_names]
        fields = ("archive", "table", "findings", *order)
        records = cast(
            "pl.DataFrame", pl.from_arrow(archives.scan(selected_fields=fields).to_arrow())
        )
    newest = records.sort(order).unique("archive", keep="last", maintain_order=True)
    some = newest.filter(pl.col("findings") != "[]")
    return some.select("table", "findings").rows()


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
