"""Outputs that have recordings or filled days, and no ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import cast

from crypto_lakehouse.core.archive import Archive, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ArchiveKeyError, StoreError
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import KeepsSegments
from crypto_lakehouse.segments.live_open import HasSegments, RecordedFiles
from crypto_lakehouse.stores.output import Output, output_of

__all__ = ["filled_days", "has_segments", "recorded_files"]


def recorded_files(output: Output) -> RecordedFiles:
    """The segments of recordings of an output, also of one that is being written."""
    return RecordedFiles(output.stage, cast("HasSegments", output.store) if output.is_url else None)


def has_segments(output: Output) -> bool:
    """Whether an output has recordings or filled days; blocking.

    Raises:
        StoreError: A store failed.
    """
    return bool(recorded_files(output).keys()) or next(_filled(output), None) is not None


def filled_days(
    config: WorkflowConfig, wanted: Callable[[Series], bool]
) -> dict[Series, list[date]]:
    """The days of which an output has segments below `rest/`, by series and in order; blocking.

    They are listed, and not read.

    Args:
        config: Names the output.
        wanted: Selects series.

    Raises:
        StoreError: A store failed.
    """
    days: dict[Series, list[date]] = {}
    for archive in _filled(output_of(config)):
        if wanted(archive.series):
            days.setdefault(archive.series, []).append(archive.period.first_day)
    return {series: sorted(some) for series, some in days.items()}


def _filled(output: Output) -> Iterator[Archive]:
    """The segments below `rest/`; other files there are left out."""
    store = output.store
    if not isinstance(store, KeepsSegments):
        return
    for key, _ in store.segments(_refuse, Origin.FILL):
        try:
            yield Archive.parse(key)
        except ArchiveKeyError:
            continue


def _refuse(folder: str, reason: str) -> None:
    raise StoreError(folder, reason)
