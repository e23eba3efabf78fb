"""One contestant's work on one set of archives, as a process of its own.

    python -m benchmarks.tables.contestants NAME ROOT OUTPUT WORKERS FILE-WITH-KEYS

prints what it did as one JSON object: rows, seconds (imports left out, for all), peak RSS in MB.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.archive import Archive, DataType

__all__ = ["CONTESTANTS"]

_KLINES = ["open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume",
           "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"]  # fmt: skip
_TRADES = ["id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"]


def _names(archive: Archive) -> list[str]:
    return _TRADES if archive.data_type is DataType.TRADES else _KLINES


def lakehouse(root: Path, output: Path, archives: list[Archive], workers: int) -> Any:
    """Ours: read, checked, sorted, with provenance, committed to Iceberg."""
    import pyiceberg.catalog.sql  # noqa: F401 - so that its import is not timed, as pandas' is not

    from crypto_lakehouse.stores.local_files import LocalFiles
    from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
    from crypto_lakehouse.tables.ingest.ingestion import Ingestion, IngestSettings
    from crypto_lakehouse.tables.reading.batch import Source
    from crypto_lakehouse.tables.schema.schemas import schema_of

    def work() -> int:
        digest = hashlib.sha256(b"").hexdigest()
        sources = [Source(archive, LocalFiles(root), digest) for archive in archives]
        catalog = LakeCatalog(output / "lake", create=True)
        rows: list[int] = []
        ingestion = Ingestion(
            catalog, IngestSettings(workers=workers), lambda told: rows.append(told.rows)
        )
        schema = schema_of(archives[0])
        ingestion.run(schema, ingestion.plan(schema, sources))
        return sum(rows)

    return work


def pandas(root: Path, output: Path, archives: list[Archive], _workers: int) -> Any:
    """`read_csv` of each zip, `to_parquet`: nothing typed, nothing checked."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401 - so that its import is not timed

    def work() -> int:
        rows = 0
        for archive in archives:
            frame = pd.read_csv(root / archive.key, header=None, names=_names(archive))
            frame.to_parquet(output / f"{archive.name}.parquet")
            rows += len(frame)
        return rows

    return work


def binance_vision(root: Path, output: Path, archives: list[Archive], _workers: int) -> Any:
    """The parsing, joining and writing of PyPI's binance-vision, on files that are there."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401
    from binance_vision import _core as core

    def work() -> int:
        spec = core._REGISTRY["spot", str(archives[0].data_type)]  # noqa: SLF001
        rows = 0
        for symbol, some in groupby(archives, key=lambda archive: archive.symbol):
            frames = [
                core._normalize_time_columns(  # noqa: SLF001
                    core._parse_zip_to_df((root / archive.key).read_bytes(), spec),  # noqa: SLF001
                    spec,
                )
                for archive in some
            ]
            joined = pd.concat(frames, ignore_index=True)
            column = core._primary_time_col(spec)  # noqa: SLF001
            joined = joined.sort_values(column).reset_index(drop=True)
            core._write_output(joined, str(output / f"{symbol}.parquet"), "parquet")  # noqa: SLF001
            rows += len(joined)
        return rows

    return work


CONTESTANTS: dict[str, Callable[[Path, Path, list[Archive], int], Any]] = {
    "crypto-lakehouse": lakehouse,
    "pandas": pandas,
    "binance-vision": binance_vision,
}


def main(arguments: list[str]) -> None:
    """Run one contestant."""
    name, root, output, workers, listed = arguments
    archives = [Archive.parse(key) for key in Path(listed).read_text().split()]
    work = CONTESTANTS[name](Path(root), Path(output), archives, int(workers))
    begin = time.perf_counter()
    rows = work()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1:])
