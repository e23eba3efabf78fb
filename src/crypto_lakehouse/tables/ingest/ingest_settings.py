"""How an ingestion reads, checks and writes."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.quality.findings import Policy

__all__ = ["IngestSettings"]


@frozen(kw_only=True)
class IngestSettings:
    """How archives are ingested.

    Attributes:
        exact: Whether numbers become decimal(38, 18) instead of float64.
        policies: What to do about findings, by check, if not the check's default.
        workers: Threads that read and write; the number of cores is a good choice.
        layout: How data files are written.
        again: Whether to ingest archives again whose current version was ingested or refused.
        tool_version: Recorded with each archive.
    """

    exact: bool = False
    policies: Mapping[str, Policy] = field(factory=dict)
    workers: int = 1
    layout: FileLayout = field(factory=FileLayout)
    again: bool = False
    tool_version: str = ""
