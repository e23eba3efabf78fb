"""Writing one file of an export: whole or not at all, inside the folder, with its digest."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from attrs import define, field

__all__ = ["HashingFile", "make_folders"]


@define(eq=False)
class HashingFile:
    """A file, open for writing, that hashes what is written to it.

    Attributes:
        file: The file.
        sha256: The digest so far.
        size: How many bytes were written.
        closed: False: the caller closes the file.
    """

    file: BinaryIO
    sha256: Any = field(factory=hashlib.sha256)
    size: int = 0
    closed: bool = False

    def write(self, data: Any) -> int:
        """Write bytes, or what has them in one buffer."""
        view = memoryview(data)
        self.file.write(view)
        self.sha256.update(view)
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Write what is buffered."""
        self.file.flush()

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size

    def close(self) -> None:
        """Do nothing: the caller closes the file."""


def make_folders(folder: Path, path: str) -> Path:
    """Make the folders of a path below a folder; return the place of the file.

    Raises:
        OSError: They cannot be made, or one of them is a symbolic link, which may lead elsewhere.
    """
    *parents, name = path.split("/")
    for parent in parents:
        folder /= parent
        folder.mkdir(exist_ok=True)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
    return folder / name
