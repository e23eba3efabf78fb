"""Write one JSON object per line and archive to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiofiles
from aiofiles.threadpool.text import AsyncTextIOWrapper
from attrs import define, field

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    Event,
    FillFinished,
    HoleRecorded,
    RecordingIngested,
    RecordingSeen,
    to_record,
)
from crypto_lakehouse.core.visible import json_text
from crypto_lakehouse.stores.os_errors import as_store_errors

__all__ = ["JsonLinesSink"]

_WRITTEN = (ArchiveFinished, FillFinished, RecordingSeen, HoleRecorded, RecordingIngested)


@define
class JsonLinesSink:
    """Writes the verdict on each archive, in the order of the verdicts.

    Args:
        path: The file, which is overwritten. `-` has no special meaning.
    """

    path: Path = field(converter=Path)
    name: str = "events file"
    required: bool = True
    takes_unchanged = False
    _file: AsyncTextIOWrapper | None = field(init=False, default=None)

    async def handle(self, events: Sequence[Event]) -> None:
        """Append a line for each finished archive, and for each filled day."""
        lines = [json_text(to_record(each)) + "\n" for each in events if isinstance(each, _WRITTEN)]
        with as_store_errors(str(self.path)):
            await self._open()
            if lines and self._file is not None:
                await self._file.write("".join(lines))

    async def _open(self) -> None:
        if self._file is None:
            self._file = await aiofiles.open(
                self.path, "w", encoding="utf-8", errors="backslashreplace"
            )

    async def flush(self) -> None:
        """Flush the file, so that readers see every line."""
        if self._file is not None:
            with as_store_errors(str(self.path)):
                await self._file.flush()

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            file, self._file = self._file, None
            with as_store_errors(str(self.path)):
                await file.close()
