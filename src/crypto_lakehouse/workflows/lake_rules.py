"""Combinations of a lake's keys that cannot work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crypto_lakehouse.core.config.database_url import database_url_fault, is_database_url
from crypto_lakehouse.core.config.monitoring_settings import textfile_fault
from crypto_lakehouse.core.config.own_folder import own_folder_fault
from crypto_lakehouse.core.config.rules import otlp_faults, scheduler_fault
from crypto_lakehouse.core.config.storage import is_url, state_directory_fault, store_url_fault
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.stores.user_path import absolute_path

__all__ = ["lake_faults"]


def lake_faults(fields: Mapping[str, Any]) -> Iterator[Problem]:
    """Find combinations of values that cannot work.

    Args:
        fields: The values that are valid alone, by key.
    """
    catalog = fields.get("catalog")
    if fields.get("format") == "parquet" and catalog is not None:
        yield Problem("$.catalog", "plain Parquet files have no catalog")
    yield from _place_faults(fields)
    if is_database_url(catalog) and (fault := database_url_fault(str(catalog))):
        yield Problem("$.catalog", fault)
    yield from _sharing_faults(fields)
    if fault := textfile_fault(fields.get("metrics_textfile")):
        yield Problem("$.metrics_textfile", fault)
    yield from otlp_faults(fields.get("otlp_endpoint"))


def _place_faults(fields: Mapping[str, Any]) -> Iterator[Problem]:
    """Find faults of places; plain Parquet files cannot be in an object store."""
    output, lake = fields.get("output_directory"), fields.get("lake")
    if output is not None and (fault := _place_fault(output, is_lake=False)):
        yield Problem("$.output_directory", fault)
    if lake is not None and (fault := _place_fault(lake, is_lake=True)):
        yield Problem("$.lake", fault)
    if fault := state_directory_fault(fields.get("state_directory")):
        yield Problem("$.state_directory", fault)
    if not is_url(output if lake is None else lake):
        return
    if fields.get("format") == "parquet":
        reason = "plain Parquet files need a local directory; name one, or use the format iceberg"
        yield Problem("$.lake", reason)


def _place_fault(place: str, *, is_lake: bool) -> str | None:
    if is_url(place):
        return store_url_fault(place) or own_folder_fault(place, is_lake=is_lake)
    return own_folder_fault(str(absolute_path(place)), is_lake=is_lake)


def _sharing_faults(fields: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what hinders other processes from writing the data files."""
    is_dask = fields.get("executor") == "dask"
    if fields.get("format") == "parquet" and is_dask:
        reason = "plain Parquet files are written by one process, and not by workers of a cluster"
        yield Problem("$.format", reason)
    scheduler = fields.get("dask_scheduler")
    if scheduler is None:
        return
    if fault := scheduler_fault(scheduler):
        yield Problem("$.dask_scheduler", fault)
    elif is_dask and not fields.get("shared_directory") and (places := _directories(fields)):
        reason = (
            "the workers of a cluster do not see the directories of this machine; set "
            f"`shared_directory: true` if all of them mount {' and '.join(places)}"
        )
        yield Problem("$.shared_directory", reason)


def _directories(fields: Mapping[str, Any]) -> list[str]:
    """Return what is in a directory: the archives, the lake, or both."""
    output, lake = fields.get("output_directory"), fields.get("lake")
    places = {"the output directory": output, "the lake": output if lake is None else lake}
    return [name for name, place in places.items() if not is_url(place)]
