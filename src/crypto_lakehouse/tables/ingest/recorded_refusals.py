"""The archives that earlier runs read and did not take, each with the reason that is recorded."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from attrs import frozen

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.key_ranges import KeyRanges
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, newest_between

__all__ = ["Refusal", "recorded_refusals"]

_COLUMNS = ("archive", "state", "findings")


@frozen
class Refusal:
    """An archive whose rows are not in its table.

    Attributes:
        key: Its key.
        state: `refused` or `quarantined`.
        reason: Why, as the run said that read it.
    """

    key: str
    state: str
    reason: str


def recorded_refusals(catalog: LakeCatalog, keys: Collection[str]) -> Iterator[Refusal]:
    """Read why archives were not taken, in the order of their keys.

    Args:
        catalog: The lake's tables.
        keys: Archives that `lakehouse.archives` has as refused or quarantined.

    Raises:
        LakeError: `lakehouse.archives` cannot be read.
    """
    if not keys:
        return
    with catalog.errors():
        wanted = KeyRanges.exactly(keys)
        rows = newest_between(catalog.find(ARCHIVES), wanted, columns=_COLUMNS)
    for key, row in sorted(rows.items()):
        yield Refusal(key, row["state"], _reason(row))


def _reason(row: Mapping[str, Any]) -> str:
    findings = json.loads(row["findings"])
    faults = [each for each in findings if each["check"] == "readable"]
    return "; ".join(each["sentence"] for each in faults or findings)
