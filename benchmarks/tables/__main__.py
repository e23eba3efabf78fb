"""`python -m benchmarks.tables`: ingestion, scans, and how files should be laid out."""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.tables import ingest, layouts, panels, scans

_PARTS = {"ingest": ingest.run, "scans": scans.run, "panels": panels.run, "layouts": layouts.run}
_RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    """Run the parts named, or all but `layouts`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    known = [*_PARTS, []]
    parser.add_argument("parts", nargs="*", choices=known, help="[default: all but layouts]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="whether it works; no figures")
    parser.add_argument("--root", type=Path, help="keep archives and tables here for next time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.root or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        found = {
            part: _PARTS[part](root, rounds=given.rounds, quick=given.quick)
            for part in given.parts or ("ingest", "scans", "panels")
        }
    if not given.quick:
        at = datetime.now(UTC)
        names = ("polars", "pyarrow", "duckdb", "pyiceberg", "pandas", "binance-vision")
        result = {
            "at": at.isoformat(),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "versions": {name: version(name) for name in names},
            "found": found,
        }
        path = _RESULTS / f"tables-{at:%Y%m%dT%H%M%SZ}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
