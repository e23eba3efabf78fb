"""Objects as files that can be read and sought: small ones in memory, large ones by ranges."""

from __future__ import annotations

import io
from concurrent.futures import Future, ThreadPoolExecutor
from tempfile import TemporaryFile
from typing import IO, Any

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import RangesIgnored
from crypto_lakehouse.stores.objects.object_info import ObjectInfo

__all__ = ["open_object"]

#: Objects up to this size are read by one request; larger ones in ranges of this size.
_ONE_READ_BYTES = 8 << 20


def open_object(
    client: ObjectClient,
    key: str,
    size_bytes: int = 0,
    *,
    ahead: bool = False,
    buffer_bytes: int = _ONE_READ_BYTES,
) -> tuple[ObjectInfo, io.BufferedIOBase]:
    """Open an object for reading; every read is of the same version.

    Args:
        client: The objects.
        key: The key.
        size_bytes: The size, if it is known: that of a large object saves a request.
        ahead: Whether the next range is requested before it is read; for a reader that takes all
            ranges in order.
        buffer_bytes: How much of a large object is read at least.

    Returns:
        The version, and its bytes.

    Raises:
        StoreError: There is no such object.
    """
    info: ObjectInfo | None
    data: bytes | None = None
    if size_bytes > _ONE_READ_BYTES:
        info = client.head(key)
    else:
        info, data = client.read_small(key, _ONE_READ_BYTES) or (None, None)
    if info is None:
        raise StoreError(client.place(key), "there is no such object")
    if data is not None:
        return info, io.BytesIO(data)
    return info, io.BufferedReader(_ObjectReader(client, info, ahead=ahead), buffer_bytes)


class _Ahead:
    """Reads the range that follows the one that was read, in a thread."""

    def __init__(self, client: ObjectClient, info: ObjectInfo) -> None:
        self._client, self._info = client, info
        self._pool = ThreadPoolExecutor(1, "object-ahead")
        self._range: tuple[int, int] | None = None
        self._coming: Future[bytes] | None = None

    def read(self, start: int, stop: int) -> bytes:
        """Return a range, and request the next one of the same length."""
        if self._coming is not None and self._range == (start, stop):
            data = self._coming.result()
        else:
            data = self._client.read_range(self._info, start, stop)
        following = stop, min(2 * stop - start, self._info.size_bytes)
        self._coming = self._range = None
        if following[0] < following[1]:
            self._range = following
            self._coming = self._pool.submit(self._client.read_range, self._info, *following)
        return data

    def close(self) -> None:
        """Wait for the request that is under way."""
        self._pool.shutdown(cancel_futures=True)


class _ObjectReader(io.RawIOBase):
    """Reads one version of an object by ranges; wrapped in a buffer, which makes them large.

    If the store cannot send ranges, the object is copied to a temporary file and read there.
    """

    def __init__(self, client: ObjectClient, info: ObjectInfo, *, ahead: bool) -> None:
        self._client, self._info, self._position = client, info, 0
        self._copy: IO[bytes] | None = None
        self._ahead = _Ahead(client, info) if ahead else None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size_bytes}
        self._position = max(0, base[whence] + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        stop = min(self._position + len(buffer), self._info.size_bytes)
        data = self._read_to(stop)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read_to(self, stop: int) -> bytes:
        if self._copy is None:
            try:
                if self._ahead is not None:
                    return self._ahead.read(self._position, stop)
                return self._client.read_range(self._info, self._position, stop)
            except RangesIgnored:
                self._copy = TemporaryFile()  # noqa: SIM115 - closed with the reader
                self._client.copy_to(self._copy, self._info)
        self._copy.seek(self._position)
        return self._copy.read(max(0, stop - self._position))

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        if self._copy is not None:
            self._copy.close()
        super().close()
