"""Archives as the publisher makes them, and zips that are invalid archives."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping

from crypto_lakehouse.core.archive import Archive

__all__ = ["SPOILED", "good_zip", "spoiled_zip"]

#: A fixed time, so that the same content gives the same bytes; the earliest in a zip.
_TIME = (1980, 1, 1, 0, 0, 0)

#: Bit 0 of a member's flags (APPNOTE 4.4.4).
_ENCRYPTED = 0x1

_BOMB_BYTES = 64 << 20


def good_zip(key: str, content: bytes) -> bytes:
    """Pack content as the archive of a key.

    Raises:
        ArchiveKeyError: The key is not one of the archive.
    """
    return _packed({_member(key): content})


def spoiled_zip(kind: str, key: str, content: bytes) -> bytes:
    """Pack content in a way that is invalid for an archive of this key.

    Args:
        kind: One of `SPOILED`.
        key: The archive's key.
        content: The content of a valid member.

    Raises:
        ArchiveKeyError: The key is not one of the archive.
        KeyError: There is no such kind.
    """
    return _KINDS[kind](_member(key), content)


def _member(key: str) -> str:
    return Archive.published(key).member


def _packed(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _with_bad_sum(member: str, content: bytes) -> bytes:
    """The member's CRC is wrong in both places where a zip has it."""
    data = bytearray(_packed({member: content}))
    central = data.rindex(b"PK\x01\x02")
    for place in (14, central + 16):
        (crc,) = struct.unpack_from("<I", data, place)
        struct.pack_into("<I", data, place, crc ^ 0xFFFFFFFF)
    return bytes(data)


def _encrypted(member: str, content: bytes) -> bytes:
    data = bytearray(_packed({member: content}))
    central = data.rindex(b"PK\x01\x02")
    for place in (6, central + 8):
        (flags,) = struct.unpack_from("<H", data, place)
        struct.pack_into("<H", data, place, flags | _ENCRYPTED)
    return bytes(data)


_KINDS: Mapping[str, Callable[[str, bytes], bytes]] = {
    "page": lambda _member, _content: b"<html><body>busy</body></html>",
    "nothing": lambda _member, _content: b"",
    "no member": lambda _member, _content: _packed({}),
    "other member": lambda _member, content: _packed({"OTHER-1h-2020-01-01.csv": content}),
    "two members": lambda member, content: _packed({member: content, "notes.txt": b"x"}),
    "climbing member": lambda member, content: _packed({f"../{member}": content}),
    "encrypted": _encrypted,
    "wrong sum": _with_bad_sum,
    "cut": lambda member, content: _packed({member: content})[:-30],
    "bomb": lambda member, _content: _packed({member: bytes(_BOMB_BYTES)}),
}

SPOILED = tuple(_KINDS)
"""Kinds of zips that are invalid archives, even with a correct digest."""
