"""Reads the single member of a published zip in steps, and checks what it must be.

zipfile reads the directory; ISA-L inflates the content, in half the time of zlib.
"""

from __future__ import annotations

import errno
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from attrs import frozen

from crypto_lakehouse.zips.inflate import inflate, is_bomb

__all__ = [
    "BEFORE_BEGINNING",
    "LOCAL_HEADER",
    "LOCAL_SIGNATURE",
    "UNREADABLE",
    "BadMember",
    "check_local_header",
    "content_of",
    "directory_fault",
    "member_chunks",
    "open_zip",
    "sizes_of",
]

_STEP_BYTES = 1 << 20

#: Signature, method, lengths of name and extra field (APPNOTE.TXT 4.3.7).
LOCAL_HEADER = struct.Struct("<4s4xH16x2H")

LOCAL_SIGNATURE = b"PK\x03\x04"

_RAW_DEFLATE = -15

#: Compressed patched data, and strong encryption.
_UNREADABLE_FLAGS = 0x20 | 0x40

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

BEFORE_BEGINNING = "it says that something lies before its beginning"

#: The exceptions raised for invalid zips; found by flipping every byte of one.
UNREADABLE = (
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


class BadMember(ValueError):
    """The zip cannot be read; the message says why."""


def member_chunks(file: BinaryIO, member: str) -> Iterator[bytes]:
    """Inflate the single member of a zip in chunks of at most one mebibyte, and check it.

    Chunks are yielded before the CRC is checked: if this raises, the caller must discard the
    results of earlier chunks.

    Args:
        file: The zip, seekable.
        member: The name that its one member must have.

    Raises:
        BadMember: It is not a zip, is a decompression bomb, has another member or several, or its
            size or CRC-32 does not match its directory.
    """
    try:
        with open_zip(file) as archive:
            fault = directory_fault(archive, member)
            if fault:
                raise BadMember(fault)
            size, packed = sizes_of(archive)
            if is_bomb(packed, size):
                raise BadMember(f"the zip is a bomb: {packed} bytes of it unpack to {size}")
            yield from _checked(archive, member)
    except BadMember:
        raise
    except UNREADABLE as error:
        raise BadMember(f"not a readable zip: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise BadMember(f"not a readable zip: {BEFORE_BEGINNING}") from error


def _checked(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    info = archive.infolist()[0]
    size = crc = 0
    for chunk in content_of(archive, info):
        size += len(chunk)
        crc = inflate.crc32(chunk, crc)
        if size > info.file_size:
            break
        yield chunk
    if size != info.file_size:
        announced = f"is not {info.file_size} B long, as announced"
        raise BadMember(f"the zip's member `{member}` {announced}")
    if crc != info.CRC:
        raise BadMember(f"the CRC-32 of the zip's member `{member}` is wrong")


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """Read the directory of a zip.

    Raises:
        BadZipFile: It has none, or one of more than a mebibyte.
    """
    return zipfile.ZipFile(cast("BinaryIO", _InSteps(file)))


@frozen
class _InSteps:
    """A file that is read in steps; for zipfile, which reads a directory whole.

    It also makes an object for each member. Without a limit, a zip of 70 MB that lists a million
    members would take 700 MB of memory, although it is refused.
    """

    _file: BinaryIO

    def read(self, size: int = -1) -> bytes:
        if size > _STEP_BYTES:
            raise zipfile.BadZipFile(f"its directory has more than {_STEP_BYTES} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def directory_fault(archive: zipfile.ZipFile, member: str) -> str:
    """Return what is wrong with a directory; empty for one readable member of that name."""
    entries = archive.infolist()
    if len(entries) != 1:
        return f"the zip has {len(entries)} members instead of one"
    # Not `filename`, from which zipfile removes everything from a NUL on.
    if entries[0].orig_filename != member:
        return f"the zip's member is {entries[0].orig_filename!r} instead of `{member}`"
    if entries[0].header_offset > 0:
        return f"the zip's member begins at byte {entries[0].header_offset}, not at 0"
    if entries[0].header_offset < 0:
        return f"not a readable zip: {BEFORE_BEGINNING}"
    if entries[0].flag_bits & 0x1:
        return "the zip is encrypted"
    if entries[0].flag_bits & _UNREADABLE_FLAGS:
        return f"the zip's member has flags ({entries[0].flag_bits:#x}) that cannot be read"
    if entries[0].compress_type not in _METHODS:
        return f"the zip is compressed by method {entries[0].compress_type}"
    return ""


def sizes_of(archive: zipfile.ZipFile) -> tuple[int, int]:
    """Return the uncompressed and the compressed size; the latter at most the size of the file."""
    info, file = archive.infolist()[0], archive.fp
    there = file.seek(0, os.SEEK_END) if file is not None else 0
    return info.file_size, min(info.compress_size, there)


def content_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Inflate a member in steps."""
    file = archive.fp
    if file is None:  # pragma: no cover - only a closed ZipFile has none
        return
    file.seek(info.header_offset)
    head = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    signature, method, name_bytes, extra_bytes = head
    if signature != LOCAL_SIGNATURE:
        raise zipfile.BadZipFile("no local header where the directory says")
    name = file.read(name_bytes)
    file.read(extra_bytes)
    check_local_header(info, name, method)
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


def check_local_header(info: zipfile.ZipInfo, name: bytes, method: int) -> None:
    """Check that the local header of a member matches the directory.

    Raises:
        BadZipFile: The name or the method differs.
    """
    if name != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
        raise zipfile.BadZipFile("the local header has another name than the directory")
    if method != info.compress_type:
        raise zipfile.BadZipFile("the local header has another method than the directory")


def _compressed(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0:
        piece = file.read(min(size, _STEP_BYTES))
        if not piece:
            raise EOFError("the file is shorter than its directory says")
        size -= len(piece)
        yield piece
