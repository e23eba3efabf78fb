"""Planning millions of archives: seconds, and peak memory.

    python benchmarks/planning.py                     # more than 5,000,000 archives
    python benchmarks/planning.py --symbols 10

The plan is enumerated archive by archive in a fresh process; nothing is requested.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from datetime import date

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.planning.calendar_plan import plan_collection

TODAY = date(2026, 11, 1)


def peak_mb() -> int:
    """Peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--symbols", type=int, default=120)
    symbols = [f"S{number:05}USDT" for number in range(parser.parse_args().symbols)]
    config = WorkflowConfig(
        {
            "output_directory": "unused",
            "discovery": "calendar",
            "markets": ["spot"],
            "symbols": symbols,
            "data_types": ["klines"],
            "partitions": ["daily"],
            "date_range": {"start": "2017-08-17", "end": "2026-10-31"},
        },
        environ={},
    )
    plan = plan_collection(config, load_matrix(), TODAY)
    before = peak_mb()
    started = time.perf_counter()
    totals = plan.totals()
    counted = time.perf_counter() - started
    started = time.perf_counter()
    keys = sum(1 for planned in plan if planned.archive.key)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "archives": totals.archives,
                "keys_made": keys,
                "count_s": round(counted, 3),
                "enumerate_s": round(seconds, 2),
                "keys_per_s": round(keys / seconds),
                "rss_before_mb": before,
                "rss_peak_mb": peak_mb(),
            }
        )
    )


if __name__ == "__main__":
    main()
