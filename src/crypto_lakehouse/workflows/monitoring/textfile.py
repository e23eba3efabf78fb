"""The file of metrics that node_exporter's textfile collector reads.

It is replaced as a whole, so that no half of it is read. What a run may not find out for itself is
kept from the file before (`earlier_file`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.sinks.prometheus import PrometheusSink
from crypto_lakehouse.stores.os_errors import as_store_errors
from crypto_lakehouse.stores.whole_file import part_file, whole_file
from crypto_lakehouse.workflows.monitoring.earlier_file import take_over

__all__ = ["MetricsTextfile"]

#: How often it is written while a run goes on, in seconds: about as often as it is read.
_WRITE_EVERY_S = 15.0

#: More than all metrics without symbols take; of a larger file only the beginning is read.
_MOST_BYTES = 16 << 20


@define(eq=False)
class MetricsTextfile:
    """A sink that writes what another one has counted, every 15 seconds.

    Args:
        path: The file; its directory must exist.
        counted: Counts the events.
        clock: Returns seconds, monotonic.
    """

    path: Path
    counted: PrometheusSink
    clock: Callable[[], float] = time.monotonic
    name: str = field(default="metrics file", init=False)
    required: bool = field(default=False, init=False)
    takes_unchanged: bool = field(default=True, init=False)
    _next_at: float = field(default=0.0, init=False)

    def check(self) -> None:
        """Check that it can be written, and take over what the last run's file has; blocking.

        Raises:
            OSError: It cannot be written.
        """
        target = Path(os.path.realpath(self.path))
        if target.is_dir():
            raise IsADirectoryError(None, "it is a directory; name a file")
        with part_file(target):
            pass  # it could be created
        if target.is_file():
            with target.open("rb") as file:
                text = file.read(_MOST_BYTES)
            take_over(text, self.counted.figures, self.counted.tenant)
        self._next_at = self.clock() + _WRITE_EVERY_S

    async def handle(self, _: Sequence[Event]) -> None:
        """Write the file if it is due; the other sink has counted the events."""
        await self.flush()

    async def flush(self) -> None:
        """Write the file if it is due.

        Raises:
            StoreError: It cannot be written.
        """
        if self.is_due:
            await to_thread.run_sync(self.write)

    async def close(self) -> None:
        """Do nothing: the run writes it once more at its end."""

    @property
    def is_due(self) -> bool:
        """Whether it was written long enough ago."""
        return self.clock() >= self._next_at

    def write(self) -> None:
        """Write the file; blocking.

        Raises:
            StoreError: It cannot be written; an earlier file is unchanged.
        """
        self._next_at = self.clock() + _WRITE_EVERY_S
        with as_store_errors(str(self.path)), whole_file(self.path) as file:
            file.write(self.counted.text())
