"""Tell whether bytes are a readable archive: a right digest does not say so.

The publisher has served broken zips whose checksums matched (archive-facts 4.5).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from typing import BinaryIO

from anyio import from_thread, to_thread

__all__ = ["INLINE_BYTES", "check_zip", "zip_fault"]

#: Up to this many uncompressed bytes a check is cheaper than a thread hop (design 4).
INLINE_BYTES = 4 << 20

_STEP_BYTES = 1 << 20

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

#: What zipfile raises on bytes that are no zip it can read; found by flipping every one.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def zip_fault(
    file: BinaryIO,
    member: str,
    *,
    step: Callable[[], None] = lambda: None,
    limit: int | None = None,
) -> str | None:
    """Read a zip to its end and say what is wrong with it.

    Args:
        file: The zip, seekable.
        member: The name that its one member must have.
        step: Called now and then; may raise to give up.
        limit: Uncompressed size in bytes beyond which nothing is read.

    Returns:
        What is wrong; empty for a good zip. None where the member is larger than `limit`.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            fault = _directory_fault(archive, member)
            if fault:
                return fault
            if limit is not None and archive.infolist()[0].file_size > limit:
                return None
            return _content_fault(archive, member, step)
    except _UNREADABLE as error:
        return f"not a readable zip: {error}"


def _directory_fault(archive: zipfile.ZipFile, member: str) -> str:
    entries = archive.infolist()
    if len(entries) != 1:
        return f"the zip has {len(entries)} members instead of one"
    if entries[0].filename != member:
        return f"the zip's member is {entries[0].filename!r} instead of `{member}`"
    if entries[0].flag_bits & 0x1:
        return "the zip is encrypted"
    if entries[0].compress_type not in _METHODS:
        return f"the zip is compressed by method {entries[0].compress_type}"
    return ""


def _content_fault(archive: zipfile.ZipFile, member: str, step: Callable[[], None]) -> str:
    """Read the member; zipfile compares its CRC at the end."""
    size = 0
    with archive.open(member) as content:
        while chunk := content.read(_STEP_BYTES):
            size += len(chunk)
            step()
    expected = archive.infolist()[0].file_size
    return "" if size == expected else f"the zip's member has {size} of {expected} bytes"


async def check_zip(open_file: Callable[[], BinaryIO], member: str, size_bytes: int) -> str:
    """Check a zip inline where it is small, in a thread where it is not.

    Args:
        open_file: Opens the zip for reading; called here, and the file closed here.
        member: The name that its one member must have.
        size_bytes: The zip's own size.

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
