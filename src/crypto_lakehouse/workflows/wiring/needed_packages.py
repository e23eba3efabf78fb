"""Whether the packages of an extra are installed."""

from __future__ import annotations

from importlib.util import find_spec

from crypto_lakehouse.core.errors import ExtraMissing

__all__ = ["need_tables"]


def need_tables() -> None:
    """Fail at once if the extra is not installed.

    Raises:
        ExtraMissing: A package of the extra `tables` is missing.
    """
    missing = [
        name
        for name in ("duckdb", "polars", "pyarrow", "pyiceberg", "sqlalchemy")
        if find_spec(name) is None
    ]
    if missing:
        raise ExtraMissing("tables", f"tables need {', '.join(missing)}")
