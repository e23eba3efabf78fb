"""The kinds of files that an export writes, by the names that `--for` takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import import_module

import pyarrow as pa
from attrs import frozen

from crypto_lakehouse.core.data_types import DataType
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.tables.export.files import HashingFile
from crypto_lakehouse.tables.export.units import Unit

__all__ = ["TARGETS", "Target", "target_named"]

#: Names, and the modules that have them in `TARGETS`.
TARGETS = {
    "freqtrade": "freqtrade",
    "nautilus": "nautilus",
    "vectorbt": "vectorbt",
    "csv": "plain",
    "parquet": "plain",
}


@frozen(kw_only=True)
class Target:
    """A kind of files.

    Attributes:
        name: Its name for `--for`.
        version: Raised when its files change in form, so that all of them are written again.
        data_types: The data types that it has files for; None for all.
        by_period: Whether a file has a year or a month of a series, instead of all times.
    """

    name: str
    version: int = 1
    data_types: Collection[DataType] | None = None
    by_period: bool = False

    def refusal(self, unit: Unit) -> str | None:
        """Why there is no file of a series; None if there is one."""
        return None

    def path(self, unit: Unit) -> str:
        """The path of the file of a unit in the folder, with slashes."""
        raise NotImplementedError

    def columns(self, unit: Unit) -> tuple[str, ...]:
        """The columns that the file is made of."""
        raise NotImplementedError

    def measure(self, unit: Unit, batches: Iterable[pa.RecordBatch]) -> str:
        """What must be known of the rows of a unit before a file is written; they may be left."""
        return ""

    def forms(self, measured: Mapping[str, str], units: Iterable[Unit]) -> Mapping[str, str]:
        """How each file is written, by the names of units.

        Args:
            measured: What `measure` has returned, by the names of units.
            units: All units of the export.
        """
        return measured

    def write(
        self, unit: Unit, form: str, batches: Iterator[pa.RecordBatch], file: HashingFile
    ) -> None:
        """Write a file of batches of these columns, in the order of the table's key.

        Args:
            unit: What the rows are.
            form: How the file is written.
            batches: The rows; one batch or more.
            file: The file.
        """
        raise NotImplementedError


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
