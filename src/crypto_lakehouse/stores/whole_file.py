"""Files for a reader, such as results and pictures, that are whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file beside its place, and give it its name once it is whole.

    After an error nothing of it is left, and what had the name before is still there. The file
    is not synced: after a power loss it may be absent or empty.

    Args:
        path: Its place. Its directory exists.

    Yields:
        Where the caller writes it.

    Raises:
        OSError: It cannot be renamed.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
