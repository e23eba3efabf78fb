"""Checks a zip while it is received, so that a large archive is never read back.

1. The member of a published archive starts at the first byte. The thread that hashes and stores the
   data also inflates it and computes the CRC.
2. The last bytes, which contain the zip's directory, stay in memory.
3. At the end the directory must match the received data: one member, its name, sizes and CRC-32.

Every zip that is good here is good for `check`, which reads a file. The reverse has exceptions that
are never published: `check` also accepts extra bytes between the member and the directory, and a
directory entry that takes more than 68 KiB together with its comments.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from attrs import define, field

from crypto_lakehouse.zips.inflate import inflate, is_bomb
from crypto_lakehouse.zips.member import (
    LOCAL_HEADER,
    LOCAL_SIGNATURE,
    UNREADABLE,
    check_local_header,
    directory_fault,
)

__all__ = ["StreamedZip"]

#: Enough for an end record with the longest comment, a zip64 record, and a directory entry.
_TAIL_BYTES = 68 << 10

_RAW_DEFLATE = -15
_STEP_BYTES = 1 << 20

_InflateError = cast("type[Exception]", inflate.error)


@define
class StreamedZip:
    """The received part of one zip; its bytes are fed in order, in pieces of any size.

    Args:
        expected_bytes: The size of the whole zip; 0 if it is not known. A beginning that unpacks to
            a lot is not a bomb if the rest is large.
    """

    expected_bytes: int = 0
    _left_bytes: int = field(init=False, default=0)  # bytes that are no longer in the tail
    _tail: bytes = field(init=False, default=b"")
    _head: bytearray = field(init=False, factory=bytearray)
    _start: int = field(init=False, default=0)
    _name: bytes | None = field(init=False, default=None)
    _method: int = field(init=False, default=-1)
    _stream: Any = field(init=False, default=None)
    _packed_bytes: int = field(init=False, default=0)
    _unpacked_bytes: int = field(init=False, default=0)
    _crc: int = field(init=False, default=0)
    _fault: str = field(init=False, default="")

    @property
    def unpacked_bytes(self) -> int:
        """The number of bytes of the member that were inflated so far."""
        return self._unpacked_bytes

    def feed(self, data: bytes | bytearray) -> None:
        """Process the next bytes; never raises, because `fault` reports the errors."""
        for piece in self._leaving_the_tail(data):
            if self._name is not None and self._stream is None:
                self._add_stored(piece)
            self._left_bytes += len(piece)
        if self._name is not None:
            self._inflate(memoryview(data))
        elif not self._fault:
            self._head += data
            self._begin()

    def _leaving_the_tail(self, data: bytes | bytearray) -> Iterator[memoryview]:
        """Add bytes to the tail; yield those that drop out of it."""
        view, tail = memoryview(data), memoryview(self._tail)
        if len(view) >= _TAIL_BYTES:
            self._tail = bytes(view[-_TAIL_BYTES:])
            yield tail
            yield view[:-_TAIL_BYTES]
            return
        surplus = max(0, len(tail) + len(view) - _TAIL_BYTES)
        self._tail = b"".join((tail[surplus:], view))
        yield tail[:surplus]

    def _begin(self) -> None:
        """Read the local header when it is complete, and process the bytes after it."""
        if len(self._head) < LOCAL_HEADER.size:
            return
        head = LOCAL_HEADER.unpack_from(self._head)
        signature, self._method, name_bytes, extra_bytes = head
        self._start = LOCAL_HEADER.size + name_bytes + extra_bytes
        if signature != LOCAL_SIGNATURE:
            self._fault = "no local header at the first byte"
        if self._fault or len(self._head) < self._start:
            return
        self._name = bytes(self._head[LOCAL_HEADER.size : LOCAL_HEADER.size + name_bytes])
        passed, self._head = self._head, bytearray()
        if self._method == zipfile.ZIP_DEFLATED:
            self._stream = inflate.decompressobj(_RAW_DEFLATE)
            self._inflate(memoryview(passed)[self._start :])
        else:
            self._add(memoryview(passed)[self._start : self._left_bytes])

    def _inflate(self, data: memoryview) -> None:
        if self._stream is None or self._stream.eof or self._fault:
            return
        self._packed_bytes += len(data)
        try:
            for piece in self._inflated(data):
                self._add(piece)
                if is_bomb(max(self._packed_bytes, self.expected_bytes), self._unpacked_bytes):
                    self._fault = "its content is a bomb"
                    return
        except _InflateError as error:
            self._fault = str(error)
            return
        if self._stream.eof:
            self._packed_bytes -= len(self._stream.unused_data)

    def _inflated(self, data: memoryview | bytes) -> Iterator[bytes]:
        while data:
            yield self._stream.decompress(data, _STEP_BYTES)
            data = self._stream.unconsumed_tail
        # Output that is still buffered after all input was consumed.
        yield from iter(partial(self._stream.decompress, b"", _STEP_BYTES), b"")

    def _add(self, content: bytes | memoryview) -> None:
        self._unpacked_bytes += len(content)
        self._crc = inflate.crc32(content, self._crc)

    def fault(self, member: str) -> str:
        """Return what is wrong with the received zip; empty for a good one.

        Args:
            member: The name that its one member must have.
        """
        try:
            with zipfile.ZipFile(_TailOfFile(self._left_bytes, self._tail)) as archive:
                fault = directory_fault(archive, member)
                return fault or self._member_fault(archive.infolist()[0])
        except UNREADABLE as error:
            return f"not a readable zip: {error}"

    def _member_fault(self, entry: zipfile.ZipInfo) -> str:
        packed = min(entry.compress_size, self._left_bytes + len(self._tail))
        if is_bomb(packed, entry.file_size):
            return f"the zip is a bomb: {packed} bytes of it unpack to {entry.file_size}"
        if self._fault or self._name is None:
            raise zipfile.BadZipFile(self._fault or "its local header breaks off")
        check_local_header(entry, self._name, self._method)
        size, crc = self._unpacked_bytes, self._crc
        if self._stream is None and entry.compress_size != entry.file_size:
            raise zipfile.BadZipFile("its member is not compressed, and has two sizes")
        if self._stream is None:
            rest = self._stored_rest(entry.compress_size)
            size, crc = size + len(rest), inflate.crc32(rest, crc)
        elif not self._stream.eof:
            raise EOFError("the compressed data breaks off")
        elif self._packed_bytes != entry.compress_size:
            raise zipfile.BadZipFile(f"its data is not {entry.compress_size} B long, as announced")
        if size != entry.file_size:
            announced = f"is not {entry.file_size} B long, as announced"
            return f"the zip's member `{entry.filename}` {announced}"
        if crc != entry.CRC:
            return f"the CRC-32 of the zip's member `{entry.filename}` is wrong"
        return ""

    def _add_stored(self, data: memoryview) -> None:
        """Add bytes that left the tail to the CRC; all bytes after the local header are content."""
        self._add(data[max(0, self._start - self._left_bytes) :])

    def _stored_rest(self, size_bytes: int) -> memoryview:
        """Return the part of uncompressed content that is still in the tail."""
        start = max(0, self._start - self._left_bytes)
        end = self._start + size_bytes - self._left_bytes
        return memoryview(self._tail)[start : max(start, end)]


class _TailOfFile(io.RawIOBase):
    """A file with only its last bytes, which are all that zipfile reads for a directory."""

    def __init__(self, missing_bytes: int, tail: bytes) -> None:
        self._missing_bytes = missing_bytes
        self._tail = io.BytesIO(tail)

    def tell(self) -> int:
        return self._missing_bytes + self._tail.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            if offset < self._missing_bytes:
                raise zipfile.BadZipFile("its directory is larger than that of one member")
            offset -= self._missing_bytes
        return self._missing_bytes + self._tail.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        return self._tail.read(size)
