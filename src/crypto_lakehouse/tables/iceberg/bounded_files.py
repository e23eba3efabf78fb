"""Opens a lake's files so that none of them can block a command or take all memory.

A pipe blocks its reader, a device has no end, a sparse file takes no space on the disk, and a
compressed file may hold a thousand times its own size. A symbolic link may lead to a file that is
not the lake's. So only regular files are opened, and what is read as a whole has a largest size,
also after it is decompressed. Data files are read in parts, and may be larger.
"""

from __future__ import annotations

import os
import stat
import zlib
from typing import Any, Self

import pyarrow as pa

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.avro_file import MOST_AVRO_BYTES, AvroError, check_blocks

__all__ = [
    "MOST_BYTES",
    "PACKED",
    "LakeFile",
    "check_regular",
    "check_whole",
    "inflated",
    "read_whole",
    "regular_size",
]

#: The most bytes of a file that is read as a whole, and of metadata in JSON after decompression. A
#: snapshot takes about one kilobyte in JSON, and a data file about 300 bytes in a manifest, which
#: pyiceberg merges at 8 MiB.
MOST_BYTES = 64 << 20

#: The ending of metadata that is compressed with gzip.
PACKED = ".gz.metadata.json"

_AVRO = b"Obj\x01"
_GZIP = 31
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def regular_size(path: str) -> int:
    """The size of a file in bytes.

    Raises:
        LakeError: It is a symbolic link, or not a regular file.
        OSError: It cannot be read.
    """
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise LakeError(path, "it is a symbolic link, and is not followed")
    return _checked(path, found)


def check_regular(path: str) -> None:
    """Refuse a link, pipe, device, socket or directory; what is missing, its reader reports.

    Raises:
        LakeError: It is a symbolic link, or not a regular file.
    """
    if os.path.lexists(path):
        regular_size(path)


def read_whole(path: str) -> bytes:
    """Read a file of limited size.

    Raises:
        LakeError: It is a symbolic link, not a regular file, or too large.
        OSError: It cannot be read.
    """
    regular_size(path)  # a socket cannot even be opened
    with os.fdopen(os.open(path, _OPEN), "rb") as file:
        _checked(path, os.fstat(file.fileno()))
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _too_large(path, MOST_BYTES)
    return data


def inflated(path: str, data: bytes, *, is_partial: bool = False) -> bytes:
    """Decompress metadata that is compressed with gzip.

    Args:
        path: The file, for messages.
        data: Its bytes.
        is_partial: Whether data that ends early is decompressed as far as it goes.

    Raises:
        LakeError: It is damaged, or too large.
    """
    out, rest = bytearray(), data
    try:
        while rest:
            unpacker = zlib.decompressobj(_GZIP)
            out += unpacker.decompress(rest, MOST_BYTES + 1 - len(out))
            if len(out) > MOST_BYTES:
                raise _too_large(path, MOST_BYTES)
            if not (unpacker.eof or is_partial):
                raise LakeError(path, "it is damaged: its compressed data ends early")
            rest = unpacker.unused_data
    except zlib.error as error:
        raise LakeError(path, f"it is damaged: {error}") from error
    return bytes(out)


class LakeFile(pa.OSFile):
    """An open file of a lake, for reading."""

    path: str

    @classmethod
    def open(cls, path: str) -> Self:
        """Open a file.

        Raises:
            LakeError: It is not a regular file.
            OSError: It cannot be read.
        """
        regular_size(path)
        file = cls(path, "r")
        file.path = path
        return file

    def read(self, nbytes: Any = None) -> bytes:
        """Read some bytes, or all that are left.

        Raises:
            LakeError: All are too many.
            AvroError: All are a damaged Avro file.
        """
        if nbytes is not None and nbytes >= 0:
            return super().read(nbytes)
        return check_whole(self.path, super().read(MOST_BYTES + 1))


def check_whole(path: str, data: bytes) -> bytes:
    """Return the bytes of a file that was read as a whole.

    Raises:
        LakeError: They are too many.
        AvroError: They are a damaged Avro file.
    """
    if len(data) > MOST_BYTES:
        raise _too_large(path, MOST_BYTES)
    if data.startswith(_AVRO):
        _check_avro(path, data)
    return data


def _check_avro(path: str, data: bytes) -> None:
    try:
        if not check_blocks(data, MOST_AVRO_BYTES):
            raise _too_large(path, MOST_AVRO_BYTES)
    except AvroError as error:
        raise AvroError(f"`{path}` cannot be read: {error}") from error


def _checked(path: str, found: os.stat_result) -> int:
    if not stat.S_ISREG(found.st_mode):
        raise LakeError(path, "it is not a regular file, and is not read")
    return found.st_size


def _too_large(path: str, most: int) -> LakeError:
    return LakeError(path, f"it has more than {most >> 20} MiB, and is not read")
