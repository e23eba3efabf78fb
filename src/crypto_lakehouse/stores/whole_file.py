"""Write files for a reader, such as results and charts, that are complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Let the caller write a temporary file, and rename it once it is complete.

    After an error the temporary file is removed, and an earlier file at `path` is unchanged. The
    file is not synced: after a power loss it may be absent or empty.

    Args:
        path: The final path; its directory must exist.

    Yields:
        The path that the caller writes to.

    Raises:
        OSError: The file cannot be renamed.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
