"""The kinds of files that an export writes, by the names that `--for` takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib import import_module
from typing import Protocol

import pyarrow as pa

from crypto_lakehouse.core.data_types import DataType
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.tables.export.files import HashingFile
from crypto_lakehouse.tables.export.units import Unit

__all__ = ["TARGETS", "Target", "target_named"]

#: Names, and the modules that have them in `TARGETS`.
TARGETS = {
    "freqtrade": "freqtrade",
    "vectorbt": "vectorbt",
    "csv": "plain",
    "parquet": "plain",
}


class Target(Protocol):
    """A kind of files.

    Attributes:
        name: Its name for `--for`.
        version: Raised when its files change in form, so that all of them are written again.
        data_types: The data types that it has files for; None for all.
        by_period: Whether a file has a year or a month of a series, instead of all times.
    """

    name: str
    version: int
    data_types: Collection[DataType] | None
    by_period: bool

    def refusal(self, unit: Unit) -> str | None:
        """Why there is no file of a series; None if there is one."""

    def path(self, unit: Unit) -> str:
        """The path of the file of a unit in the folder, with slashes."""

    def columns(self, unit: Unit) -> tuple[str, ...]:
        """The columns that the file is made of."""

    def write(self, unit: Unit, batches: Iterator[pa.RecordBatch], file: HashingFile) -> None:
        """Write a file of batches of these columns, in the order of the table's key."""


def target_named(name: str) -> Target:
    """Return a target.

    Raises:
        ConfigurationError: There is none of this name.
    """
    if name not in TARGETS:
        reason = f"`{shown(name)}` is no target; {allowed_values(name, TARGETS)}"
        raise ConfigurationError([Problem("--for", reason)])
    module = import_module(f"crypto_lakehouse.tables.export.{TARGETS[name]}")
    target: Target = module.TARGETS[name]
    return target
