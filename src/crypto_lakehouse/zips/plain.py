"""Recognise a good archive of the publisher's usual shape, in memory and in few steps.

One member, no comment, no gap, no ZIP64: nearly every published archive is so. Whatever is not
exactly so is left to `check`, which reads any zip and can say what is wrong with it.
"""

from __future__ import annotations

import struct
import zipfile
from typing import cast

from crypto_lakehouse.zips.inflate import inflate

__all__ = ["is_plain_and_good"]

#: Signature, two disk numbers, entries here and in all, size and place of the directory, length
#: of the comment (APPNOTE.TXT 4.3.16).
_END = struct.Struct("<4s4H2LH")

#: Signature, flags, method, CRC-32, both sizes, lengths of name, extra field and comment, disk,
#: place of the local header (4.3.12).
_ENTRY = struct.Struct("<4s4x2H4x3L4H6xL")

#: Signature, lengths of name and extra field (4.3.7).
_LOCAL = struct.Struct("<4s22x2H")

#: Where an entry says which version of the format reading it needs.
_VERSION_AT = 6

_UTF8_NAME, _SIZES_FOLLOW = 0x800, 0x8
_RAW_DEFLATE = -15

_FAULT = cast("type[Exception]", inflate.error)


def is_plain_and_good(data: bytes, member: str, limit: int) -> bool:
    """Whether bytes are a plain zip whose one member is readable to its end.

    Args:
        data: The whole zip.
        member: The name that its one member must have.
        limit: Uncompressed size in bytes beyond which nothing is inflated.
    """
    name = member.encode()
    end_at = len(data) - _END.size
    entry_at = end_at - _ENTRY.size - len(name)
    if entry_at < 0 or not name.isascii():
        return False
    end = _END.unpack_from(data, end_at)
    if end != (b"PK\x05\x06", 0, 0, 1, 1, end_at - entry_at, entry_at, 0):
        return False
    signature, flags, method, crc, packed, size, *lengths = _ENTRY.unpack_from(data, entry_at)
    if (signature, *lengths) != (b"PK\x01\x02", len(name), 0, 0, 0, 0) or size > limit:
        return False
    if data[entry_at + _VERSION_AT] > zipfile.MAX_EXTRACT_VERSION:
        return False
    if flags & ~(_UTF8_NAME | _SIZES_FOLLOW) or data[entry_at + _ENTRY.size : end_at] != name:
        return False
    content = _content(data, name, packed, entry_at)
    if content is None:
        return False
    if method == zipfile.ZIP_DEFLATED:
        return _inflates(content, size, crc)
    is_stored = method == zipfile.ZIP_STORED and packed == size
    return is_stored and bool(inflate.crc32(content) == crc)


def _content(data: bytes, name: bytes, packed: int, entry_at: int) -> memoryview | None:
    """The member's compressed bytes; None where they are not where they should be."""
    signature, name_bytes, extra_bytes = _LOCAL.unpack_from(data)
    start = _LOCAL.size + name_bytes + extra_bytes
    if signature != b"PK\x03\x04" or start + packed > entry_at:
        return None
    if data[_LOCAL.size : _LOCAL.size + name_bytes] != name:
        return None
    return memoryview(data)[start : start + packed]


def _inflates(content: memoryview, size: int, crc: int) -> bool:
    stream = inflate.decompressobj(_RAW_DEFLATE)
    try:
        plain = stream.decompress(content, size + 1)
    except _FAULT:
        return False
    return stream.eof and len(plain) == size and inflate.crc32(plain) == crc
