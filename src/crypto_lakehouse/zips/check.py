"""Checks that a zip is a readable archive, which a correct digest does not guarantee.

The publisher has served broken zips whose checksums matched (docs/archive-faults.md#broken-zips).
zipfile reads the directory; ISA-L inflates the content and computes its CRC, in half the time of
zlib.
"""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Callable
from typing import BinaryIO

from anyio import from_thread, to_thread

from crypto_lakehouse.zips.inflate import inflate, is_bomb
from crypto_lakehouse.zips.member import (
    BEFORE_BEGINNING,
    UNREADABLE,
    content_of,
    directory_fault,
    open_zip,
    sizes_of,
)

__all__ = ["INLINE_BYTES", "check_zip", "zip_fault"]

#: Up to this many uncompressed bytes a check is cheaper than a switch to a thread
#: (ARCHITECTURE.md#thread-hops).
INLINE_BYTES = 4 << 20


def zip_fault(
    file: BinaryIO,
    member: str,
    *,
    step: Callable[[], None] = lambda: None,
    limit: int | None = None,
) -> str | None:
    """Read a whole zip and return what is wrong with it.

    Args:
        file: The zip, seekable.
        member: The name that its one member must have.
        step: Called after each step; may raise to abort.
        limit: The largest uncompressed size, in bytes, that is read.

    Returns:
        What is wrong; empty for a good zip. None if the member is larger than `limit`.
    """
    try:
        with open_zip(file) as archive:
            fault = directory_fault(archive, member)
            if fault:
                return fault
            size, packed = sizes_of(archive)
            if is_bomb(packed, size):
                return f"the zip is a bomb: {packed} bytes of it unpack to {size}"
            if limit is not None and size > limit:
                return None
            return _content_fault(archive, member, step)
    except UNREADABLE as error:
        return f"not a readable zip: {error}"
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return f"not a readable zip: {BEFORE_BEGINNING}"


def _content_fault(archive: zipfile.ZipFile, member: str, step: Callable[[], None]) -> str:
    """Read the whole member; its size and CRC must match the directory."""
    info = archive.infolist()[0]
    size = crc = 0
    for chunk in content_of(archive, info):
        size += len(chunk)
        crc = inflate.crc32(chunk, crc)
        if size > info.file_size:
            break
        step()
    if size != info.file_size:
        return f"the zip's member `{member}` is not {info.file_size} B long, as announced"
    return "" if crc == info.CRC else f"the CRC-32 of the zip's member `{member}` is wrong"


async def check_zip(open_file: Callable[[], BinaryIO], member: str, size_bytes: int) -> str:
    """Check a zip: inline if it is small, else in a thread.

    Args:
        open_file: Opens the zip for reading; this function closes the file.
        member: The name that its one member must have.
        size_bytes: The size of the zip.

    Returns:
        What is wrong; empty for a good zip.
    """
    if size_bytes <= INLINE_BYTES:
        with open_file() as file:
            fault = zip_fault(file, member, limit=INLINE_BYTES)
        if fault is not None:
            return fault
    return await to_thread.run_sync(_check_in_thread, open_file, member)


def _check_in_thread(open_file: Callable[[], BinaryIO], member: str) -> str:
    with open_file() as file:
        return zip_fault(file, member, step=from_thread.check_cancelled) or ""
