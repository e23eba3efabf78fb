"""Whether the packages of an extra are installed."""

from __future__ import annotations

from importlib.util import find_spec

from crypto_lakehouse.core.errors import ExtraMissing

__all__ = ["need_live", "need_tables"]


def need_live() -> None:
    """Fail at once if what segments are compressed with is not installed.

    Raises:
        ExtraMissing: A package of the extra `live` is missing.
    """
    if find_spec("zstandard") is None:
        raise ExtraMissing("live", "segments need zstandard")


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
