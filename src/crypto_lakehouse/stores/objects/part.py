"""A large body on its way to an object, which exists once the body has its verdict.

1. Bytes go to the final key by a multipart upload, in a thread of their own. Until the upload is
   completed there is no object.
2. The verdict decides: `commit` ends the chunks, which completes the upload; anything else raises
   an exception in them, which aborts it.
3. A body that is doubtful, as an earlier download of it was not clearly good, goes to its key in
   quarantine instead. If its verdict is good, the store copies it to the final key.

Bytes under way cannot be read back, or resumed by a later run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import Watch
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.memory import return_large_blocks
from crypto_lakehouse.stores.objects.object_info import ObjectInfo

__all__ = ["ObjectPart"]

#: How many buffers wait for the upload.
_WAITING_BUFFERS = 2

#: How often a waiting thread looks whether the other one has ended.
_LOOK_S = 0.5


class _Discarded(Exception):
    """Raised in the chunks of an upload to abort it."""


@define(eq=False)
class ObjectPart:
    """A large body whose bytes are being uploaded.

    Args:
        client: The objects of the store.
        key: The final key.
        upload_key: The key that the bytes are uploaded to: the final one, or that in quarantine.
        write_note: Writes the note of quarantined bytes.
        watch: Is called with the bytes in the order in which they are stored.
        confirm: Called before the object appears at its final key, when no more than the last two
            parts are to be sent. An error aborts the upload.
    """

    client: ObjectClient
    key: str
    upload_key: str
    write_note: Callable[[str, Mapping[str, object]], None]
    watch: Watch | None = None
    confirm: Callable[[], None] = lambda: None
    size_bytes: int = field(init=False, default=0)
    _digest: Any = field(init=False, factory=hashlib.sha256)
    _queue: Queue[bytes | _Discarded | None] = field(
        init=False, factory=lambda: Queue(_WAITING_BUFFERS)
    )
    _thread: Thread | None = field(init=False, default=None)
    _has_ended: Event = field(init=False, factory=Event)
    _failure: BaseException | None = field(init=False, default=None)

    async def append(self, data: bytes | bytearray) -> None:
        """Hash a buffer, and hand it to the upload, in one thread hop."""
        await to_thread.run_sync(self._append, data)

    def _append(self, data: bytes | bytearray) -> None:
        if self._thread is None:
            return_large_blocks()
            self._thread = Thread(target=self._upload, name=f"upload {self.key}", daemon=True)
            self._thread.start()
        self._offer(bytes(data))
        self._digest.update(data)
        self.size_bytes += len(data)
        if self.watch is not None:
            self.watch(data)

    def _offer(self, item: bytes | _Discarded | None) -> None:
        """Wait until the upload can take an item.

        Raises:
            StoreError: The upload has failed.
        """
        while True:
            if self._has_ended.is_set():
                ended = StoreError(self.client.place(self.upload_key), "its upload has ended")
                raise self._failure or ended
            try:
                self._queue.put(item, timeout=_LOOK_S)
            except Full:
                continue
            return

    def _upload(self) -> None:
        try:
            self.client.upload(self.upload_key, self._chunks())
        except _Discarded:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where the body is appended to
            self._failure = error
        finally:
            self._has_ended.set()

    def _chunks(self) -> Iterator[bytes]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Discarded):
                raise item
            yield item

    def sha256(self) -> str:
        """Return the digest of all bytes so far."""
        return str(self._digest.hexdigest())

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Complete the upload; the object then exists at its final key."""
        info = await to_thread.run_sync(self._commit)
        return FileStat(info.size_bytes, info.mark)

    def _commit(self) -> ObjectInfo:
        self._complete()
        if self.upload_key != self.key:
            self.confirm()
            self.client.copy(self.upload_key, self.key)
            self.client.delete(self.upload_key)
        # Some servers answer an upload with another ETag than that which the object then has.
        info = self.client.head(self.key)
        if info is None or info.size_bytes != self.size_bytes:
            reason = f"the store has other bytes than the {self.size_bytes} that it was sent"
            raise StoreError(self.client.place(self.key), reason)
        return info

    def _complete(self) -> None:
        if self._thread is None and self.size_bytes:
            raise StoreError(self.client.place(self.upload_key), "its upload is not under way")
        if self.upload_key == self.key:
            self.confirm()  # not in the chunks: the client cannot be called while it takes one
        thread, self._thread = self._thread, None
        if thread is None:
            self.client.put(self.upload_key, b"")
            return
        self._offer(None)
        thread.join()
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Abort the upload, if it is under way."""
        if self._thread is not None:
            await to_thread.run_sync(self._abort)

    async def discard(self) -> None:
        """Abort the upload."""
        await self.close()

    def _abort(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        while not self._has_ended.is_set():
            try:
                self._queue.put(_Discarded(), timeout=_LOOK_S)
            except Full:
                self._drop_one()
                continue
            break
        thread.join()

    def _drop_one(self) -> None:
        try:
            self._queue.get_nowait()
        except Empty:
            return

    async def quarantine(self, note: Mapping[str, object]) -> bool:
        """Complete the upload of a doubtful body, which is in quarantine then; abort any other."""
        if self.upload_key == self.key:
            await self.close()
            return False
        await to_thread.run_sync(self._quarantine, note)
        return True

    def _quarantine(self, note: Mapping[str, object]) -> None:
        self._complete()
        self.write_note(self.key, note)
