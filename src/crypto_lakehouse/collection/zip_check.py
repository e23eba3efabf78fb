"""Tell whether bytes are a readable archive: a right digest does not say so.

The publisher has served broken zips whose checksums matched (archive-facts 4.5). The directory is
zipfile's to read; the content is inflated and summed by ISA-L, in half the time of zlib.
"""

from __future__ import annotations

import errno
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO, cast

from anyio import from_thread, to_thread

from crypto_lakehouse.collection.inflating import inflate, is_bomb
from crypto_lakehouse.collection.plain_zip import is_plain_and_good

__all__ = ["INLINE_BYTES", "check_zip", "zip_fault"]

#: Up to this many uncompressed bytes a check is cheaper than a thread hop (design 4).
INLINE_BYTES = 4 << 20

_STEP_BYTES = 1 << 20

#: Signature, then after 22 bytes the lengths of name and extra field (APPNOTE.TXT 4.3.7).
_LOCAL_HEADER = struct.Struct("<4s22xHH")

_RAW_DEFLATE = -15

#: Compressed patched data, and strong encryption.
_UNREADABLE_FLAGS = 0x20 | 0x40

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

#: What is raised on bytes that are no zip; found by flipping every one.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    cast("type[Exception]", inflate.error),
    struct.error,
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
            size, packed = _sizes(archive)
            if is_bomb(packed, size):
                return f"the zip is a bomb: {packed} bytes of it unpack to {size}"
            if limit is not None and size > limit:
                return None
            return _content_fault(archive, member, step)
    except _UNREADABLE as error:
        return f"not a readable zip: {error}"
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return "not a readable zip: it says that something lies before its beginning"


def _directory_fault(archive: zipfile.ZipFile, member: str) -> str:
    entries = archive.infolist()
    if len(entries) != 1:
        return f"the zip has {len(entries)} members instead of one"
    if entries[0].filename != member:
        return f"the zip's member is {entries[0].filename!r} instead of `{member}`"
    if entries[0].flag_bits & 0x1:
        return "the zip is encrypted"
    if entries[0].flag_bits & _UNREADABLE_FLAGS:
        return f"the zip's member has flags ({entries[0].flag_bits:#x}) that cannot be read"
    if entries[0].compress_type not in _METHODS:
        return f"the zip is compressed by method {entries[0].compress_type}"
    return ""


def _sizes(archive: zipfile.ZipFile) -> tuple[int, int]:
    """What the member unpacks to and from, in bytes; the latter may be no more than is there."""
    info, file = archive.infolist()[0], archive.fp
    there = file.seek(0, os.SEEK_END) if file is not None else 0
    return info.file_size, min(info.compress_size, there)


def _content_fault(archive: zipfile.ZipFile, member: str, step: Callable[[], None]) -> str:
    """Read the member to its end; its size and its CRC must be those of the directory."""
    info = archive.infolist()[0]
    size = crc = 0
    for chunk in _content(archive, info):
        size += len(chunk)
        crc = inflate.crc32(chunk, crc)
        if size > info.file_size:
            break
        step()
    if size != info.file_size:
        return f"the zip's member `{member}` does not have the {info.file_size} bytes announced"
    return "" if crc == info.CRC else f"the CRC-32 of the zip's member `{member}` is wrong"


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Inflate a member, a step at a time."""
    file = archive.fp
    if file is None:  # pragma: no cover - only a closed ZipFile has none
        return
    file.seek(info.header_offset)
    signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile("no local header where the directory says")
    name = file.read(name_bytes)
    file.read(extra_bytes)
    if name != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
        raise zipfile.BadZipFile("the local header has another name than the directory")
    pieces = _compressed(file, info.compress_size)
    if info.compress_type == zipfile.ZIP_STORED:
        yield from pieces
        return
    stream = inflate.decompressobj(_RAW_DEFLATE)
    for piece in pieces:
        data = piece
        while data and not stream.eof:
            yield stream.decompress(data, _STEP_BYTES)
            data = stream.unconsumed_tail
    while not stream.eof:
        rest = stream.decompress(b"", _STEP_BYTES)
        if not rest:
            raise EOFError("the compressed data breaks off")
        yield rest


def _compressed(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0:
        piece = file.read(min(size, _STEP_BYTES))
        if not piece:
            raise EOFError("the file is shorter than its directory says")
        size -= len(piece)
        yield piece


async def check_zip(
    open_file: Callable[[], BinaryIO], member: str, size_bytes: int, held: bytes | None = None
) -> str:
    """Check a zip inline where it is small, in a thread where it is not.

    Args:
        open_file: Opens the zip for reading; called here, and the file closed here.
        member: The name that its one member must have.
        size_bytes: The zip's own size.
        held: Its bytes, where they are in memory.

    Returns:
        What is wrong; empty for a good zip.
    """
    if held is not None and is_plain_and_good(held, member, INLINE_BYTES):
        return ""
    if size_bytes <= INLINE_BYTES:
        with open_file() as file:
            fault = zip_fault(file, member, limit=INLINE_BYTES)
        if fault is not None:
            return fault
    return await to_thread.run_sync(_check_in_thread, open_file, member)


def _check_in_thread(open_file: Callable[[], BinaryIO], member: str) -> str:
    with open_file() as file:
        return zip_fault(file, member, step=from_thread.check_cancelled) or ""
