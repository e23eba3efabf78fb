"""One command on one tree, timed without imports; run as a script by any version's interpreter.

    PYTHON operation.py COMMAND ARGUMENT...

prints processor time of all threads and wall time as one JSON object on the last line.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Import all that the commands need, run one, and print its times."""
    import polars as pl  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import crypto_lakehouse.tables
    import crypto_lakehouse.workflows.validation  # noqa: F401
    from crypto_lakehouse.cli.main import main as run

    wall, processor = time.perf_counter(), time.process_time()
    code: object = 0
    try:
        run(sys.argv[1:])
    except SystemExit as ended:
        code = ended.code
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print("\n" + json.dumps({"code": code, "wall_s": wall, "processor_s": processor}))


if __name__ == "__main__":
    main()
