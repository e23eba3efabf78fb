"""Check who imports whom: `python -m tests.architecture`, a part of `make lint`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.architecture.imports import faults, layers_of

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Print every fault; the exit code says whether there is one."""
    found = faults(_ROOT / "src" / "crypto_lakehouse", layers_of(_ROOT / "pyproject.toml"))
    sys.stdout.write("\n".join(found or ["Imports: no circle, and none that runs up."]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
