"""Read a zip's member while its bytes pass by, so that a large archive is not read back.

The member of a published archive begins at the first byte. What passes is inflated and summed in
the thread hop that hashes and stores it; afterwards only the zip's directory is read, and must
say the same. Anything unusual, and every fault, is left to `check`, which reads the file.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO, cast

from attrs import define, field

from crypto_lakehouse.zips.inflate import inflate, is_bomb

__all__ = ["StreamedZip"]

#: Signature, flags, method, compressed size, lengths of name and extra field (APPNOTE.TXT 4.3.7).
_LOCAL = struct.Struct("<4s2x2H8xL4x2H")

_SIZES_FOLLOW = 0x8
_UNKNOWN_SIZE = 0xFFFF_FFFF
_RAW_DEFLATE = -15
_STEP_BYTES = 1 << 20

_FAULT = cast("type[Exception]", inflate.error)


@define
class StreamedZip:
    """What passed of one zip; its bytes are fed in order, in pieces of any size."""

    _head: bytearray = field(init=False, factory=bytearray)
    _name: bytes | None = field(init=False, default=None)
    _method: int = field(init=False, default=-1)
    _stored_left: int = field(init=False, default=0)
    _stream: Any = field(init=False, default=None)
    _packed_bytes: int = field(init=False, default=0)
    _size_bytes: int = field(init=False, default=0)
    _crc: int = field(init=False, default=0)
    _is_over: bool = field(init=False, default=False)
    _is_unusual: bool = field(init=False, default=False)

    def feed(self, data: bytes | bytearray) -> None:
        """Take the next bytes; never raises, as faults are told by whoever reads the file."""
        if self._is_unusual or self._is_over:
            return
        if self._name is None:
            self._head += data
            rest = self._begin()
            if rest is None:
                return
            self._take(rest)
        else:
            self._take(memoryview(data))

    def _begin(self) -> memoryview | None:
        """Read the local header once it is whole; return what follows it."""
        if len(self._head) < _LOCAL.size:
            return None
        signature, flags, method, packed, name_bytes, extra_bytes = _LOCAL.unpack_from(self._head)
        start = _LOCAL.size + name_bytes + extra_bytes
        is_stored = method == zipfile.ZIP_STORED
        is_open = bool(flags & _SIZES_FOLLOW) or packed == _UNKNOWN_SIZE
        known = method in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        if signature != b"PK\x03\x04" or not known or (is_stored and is_open):
            self._is_unusual = True
            return None
        if len(self._head) < start:
            return None
        self._name = bytes(self._head[_LOCAL.size : _LOCAL.size + name_bytes])
        self._method = method
        self._stored_left = packed
        if not is_stored:
            self._stream = inflate.decompressobj(_RAW_DEFLATE)
        rest, self._head = memoryview(self._head)[start:], bytearray()
        return rest

    def _take(self, data: memoryview) -> None:
        if self._stream is not None:
            self._inflate(data)
            return
        content = data[: self._stored_left]
        self._stored_left -= len(content)
        self._packed_bytes += len(content)
        self._add(content)
        self._is_over = self._stored_left == 0

    def _inflate(self, data: memoryview | bytes) -> None:
        self._packed_bytes += len(data)
        try:
            for piece in self._inflated(data):
                self._add(piece)
                if is_bomb(self._packed_bytes, self._size_bytes):
                    self._is_unusual = True
                    return
        except _FAULT:
            self._is_unusual = True
            return
        if self._stream.eof:
            self._packed_bytes -= len(self._stream.unused_data)
            self._is_over = True

    def _inflated(self, data: memoryview | bytes) -> Iterator[bytes]:
        while data:
            yield self._stream.decompress(data, _STEP_BYTES)
            data = self._stream.unconsumed_tail
        # What is held back although all input is taken.
        yield from iter(partial(self._stream.decompress, b"", _STEP_BYTES), b"")

    def _add(self, content: bytes | memoryview) -> None:
        self._size_bytes += len(content)
        self._crc = inflate.crc32(content, self._crc)

    def is_good(self, file: BinaryIO, member: str) -> bool:
        """Whether the member was read to its end, and is what the zip's directory says.

        Args:
            file: The whole zip; only its directory is read.
            member: The name that its one member must have.
        """
        if not self._is_over or self._is_unusual:
            return False
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError):
            return False
        return len(entries) == 1 and self._is_of(entries[0], member)

    def _is_of(self, entry: zipfile.ZipInfo, member: str) -> bool:
        seen = (self._name, self._method, self._packed_bytes, self._size_bytes, self._crc)
        told = (
            member.encode(),
            entry.compress_type,
            entry.compress_size,
            entry.file_size,
            entry.CRC,
        )
        plain = not entry.flag_bits & ~(_SIZES_FOLLOW | 0x800)
        return entry.filename == member and entry.header_offset == 0 and plain and seen == told
