"""A compressed copy of a ledger in SQLite, consistent while a run goes on writing."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import IO

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.ledger.read_only import connect_read_only
from crypto_lakehouse.ledger.refusals import unreadable
from crypto_lakehouse.ledger.schema import SCHEMA_VERSION

__all__ = ["LEAST_LIMIT", "CopyDamaged", "pack", "unpack"]

#: Of 38.5 MB for 100,000 archives it makes 10.9 MB in 0.3 s; level 6 saves 6 % in twice the time.
_LEVEL = 1

_STEP_BYTES = 1 << 20

#: A ledger is a few times as large as its copy, but zeros a thousand times: more than both of these
#: is not decompressed, so that a small object cannot fill the disk.
LEAST_LIMIT = 256 << 20
_MOST_GROWTH = 64

_MAGIC = b"SQLite format 3\x00"

#: Where SQLite has `user_version` in a file (sqlite.org/fileformat2.html#user_version_number).
_VERSION = slice(60, 64)


class CopyDamaged(Exception):
    """A copy cannot be decompressed, or is no ledger."""


def pack(ledger: Path, folder: Path) -> Path:
    """Write a compressed copy of a ledger that may be in use; blocking.

    Args:
        ledger: The ledger.
        folder: An empty folder for the copy, and for what is needed on the way.

    Returns:
        The path of the copy.

    Raises:
        LedgerError: The ledger cannot be read.
        OSError: The copy cannot be written.
    """
    plain, packed = folder / "ledger.sqlite", folder / "ledger.sqlite.gz"
    try:
        with closing(connect_read_only(ledger)) as source, closing(sqlite3.connect(plain)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        raise unreadable(ledger, error) from error
    with plain.open("rb") as file, gzip.open(packed, "wb", _LEVEL) as target:
        shutil.copyfileobj(file, target, _STEP_BYTES)
    plain.unlink()
    return packed


def unpack(packed: Path, place: str) -> Path:
    """Decompress a copy beside itself; blocking.

    Args:
        packed: The copy; it is removed.
        place: Where it comes from, for messages.

    Returns:
        The path of the ledger. Damage of its content is found when it is opened.

    Raises:
        CopyDamaged: It cannot be decompressed, is far larger than its copy, or is no ledger.
        LedgerError: It was written by a later version of this program.
        OSError: The ledger cannot be written.
    """
    plain = packed.with_suffix("")
    with plain.open("wb") as file:
        try:
            with gzip.open(packed) as source:
                _copy_ledger(source, file, max(LEAST_LIMIT, packed.stat().st_size * _MOST_GROWTH))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CopyDamaged(str(error)) from error
    packed.unlink()
    with plain.open("rb") as file:
        header = file.read(100)
    version = int.from_bytes(header[_VERSION], "big")
    if version > SCHEMA_VERSION:
        raise LedgerError(
            place,
            f"it was written by a later version of this program (schema {version}, this one "
            f"knows {SCHEMA_VERSION}); upgrade the program",
        )
    return plain


def _copy_ledger(source: gzip.GzipFile, file: IO[bytes], limit: int) -> None:
    """Copy a SQLite file of at most `limit` bytes; CopyDamaged if it is none."""
    chunk = source.read(_STEP_BYTES)
    if not chunk.startswith(_MAGIC):
        raise CopyDamaged("it is no SQLite file")
    size_bytes = 0
    while chunk:
        size_bytes += len(chunk)
        if size_bytes > limit:
            raise CopyDamaged(f"it has more than {limit >> 20:,} MiB when it is decompressed")
        file.write(chunk)
        chunk = source.read(_STEP_BYTES)
