"""Record archives again whose records were in data files that are gone or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.ingest_outcome import IngestOutcome

if TYPE_CHECKING:
    from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
    from crypto_lakehouse.tables.live.excerpt_files import ExcerptFiles

__all__ = ["mend_what_is_recorded"]

_NO_RECORD = (
    "its record in `lakehouse.archives` was in a data file that is damaged or gone, and so is its "
    "zip: its rows stay in the table; collect it again, then run `crypto-lakehouse ingest`"
)

_NOT_COMPARED = (
    "what it differs in from others of its month was in a data file of `{table}` that is damaged "
    "or gone, and so are their zips: the rows stay in the table; collect them again, then run "
    "`crypto-lakehouse ingest`"
)


def mend_what_is_recorded(
    catalog: LakeCatalog, files: ExcerptFiles, outcome: IngestOutcome
) -> None:
    """Write lost records and differences again; `outcome` names those whose zip is gone as well.

    Raises:
        LakeError: A table cannot be read or written.
    """
    from crypto_lakehouse.tables.ingest.difference_mending import mend_differences
    from crypto_lakehouse.tables.ingest.differences import DIFFERENCES
    from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
    from crypto_lakehouse.tables.ingest.record_mending import mend_records
    from crypto_lakehouse.tables.ingest.recorded_days import RECORDED_DAYS
    from crypto_lakehouse.tables.ingest.recordings import mend_recordings

    def is_there(key: str) -> bool:
        return files.identity(key) is not None

    for key in mend_records(catalog, __version__):
        if not is_there(key):
            outcome.add_unrecorded(ARCHIVES, key, _NO_RECORD)
    for table in (DIFFERENCES, RECORDED_DAYS):
        for key in mend_differences(catalog, table, __version__, is_there):
            outcome.add_unrecorded(table, key, _NOT_COMPARED.format(table=table))
    mend_recordings(catalog, __version__)
