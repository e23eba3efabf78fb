"""Zips that are made byte by byte, so that any of their fields may lie (APPNOTE.TXT 4.3)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Self

__all__ = ["Fields", "raw_deflate", "raw_zip"]

_LOCAL = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")


@dataclass(frozen=True, kw_only=True)
class Fields:
    """What a zip of one member says; None is what is true.

    Attributes:
        packed: The compressed content.
        size, crc: Of the content.
        method: 8 is deflate.
        entry_size, entry_packed: The sizes in the directory.
        extra: The extra field of the directory's entry.
        times: How often the directory lists the member.
        before, between, after: Further bytes: at the beginning, before the directory, at the end.
        end64: The record of the directory's end in zip64, if the zip has one.
    """

    name: bytes
    packed: bytes
    size: int
    crc: int
    method: int = 8
    flags: int = 0
    local_name: bytes | None = None
    local_method: int | None = None
    local_size: int | None = None
    entry_size: int | None = None
    entry_packed: int | None = None
    offset: int = 0
    extra: bytes = b""
    comment: bytes = b""
    times: int = 1
    listed: int | None = None
    disk: int = 0
    directory_bytes: int | None = None
    directory_offset: int | None = None
    before: bytes = b""
    between: bytes = b""
    after: bytes = b""
    end64: bytes = b""

    @classmethod
    def of(cls, name: str, content: bytes, **others: object) -> Self:
        """The fields of a good zip."""
        made = cls(
            name=name.encode(), packed=raw_deflate(content), size=len(content),
            crc=zlib.crc32(content),
        )  # fmt: skip
        return replace(made, **others)  # type: ignore[arg-type]


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _or(value: int | None, true: int) -> int:
    return true if value is None else value


def raw_zip(it: Fields) -> bytes:
    """The bytes of a zip."""
    name = it.name if it.local_name is None else it.local_name
    local = _LOCAL.pack(
        b"PK\3\4", 20, it.flags, _or(it.local_method, it.method), 0, 0x5821, it.crc,
        len(it.packed), _or(it.local_size, min(it.size, 0xFFFFFFFF)), len(name), 0,
    )  # fmt: skip
    entry = _ENTRY.pack(
        b"PK\1\2", 20, 20, it.flags, it.method, 0, 0x5821, it.crc,
        _or(it.entry_packed, len(it.packed)), _or(it.entry_size, min(it.size, 0xFFFFFFFF)),
        len(it.name), len(it.extra), len(it.comment), 0, 0, 0, it.offset,
    )  # fmt: skip
    directory = (entry + it.name + it.extra + it.comment) * it.times
    begin = it.before + local + name + it.packed + it.between
    end = _END.pack(
        b"PK\5\6", it.disk, it.disk, _or(it.listed, min(it.times, 0xFFFF)),
        _or(it.listed, min(it.times, 0xFFFF)), _or(it.directory_bytes, len(directory)),
        _or(it.directory_offset, len(begin)), 0,
    )  # fmt: skip
    return begin + directory + it.end64 + end + it.after


def end64(entries: int, size: int, offset: int, place: int) -> bytes:
    """The record of a directory's end in zip64, and its locator."""
    record = _END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, size, offset)
    return record + _LOCATOR64.pack(b"PK\6\7", 0, place, 1)
