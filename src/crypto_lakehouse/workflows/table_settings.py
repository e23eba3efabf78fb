"""How archives are ingested, as a configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.lake_config import LakeConfig

if TYPE_CHECKING:
    from crypto_lakehouse.tables.ingest.ingest_settings import IngestSettings

__all__ = ["table_settings"]


def table_settings(config: LakeConfig) -> IngestSettings:
    """Return the settings of an ingestion; the extra `tables` must be there."""
    from crypto_lakehouse.tables.files.parquet_options import FileLayout
    from crypto_lakehouse.tables.ingest.ingest_settings import IngestSettings
    from crypto_lakehouse.tables.quality.checks import checked_policies

    return IngestSettings(
        exact=config.exact,
        policies=checked_policies(config.policies),
        workers=config.worker_count,
        layout=FileLayout(compression=config.compression),
        again=config.again,
        tool_version=__version__,
    )
