"""Moves finished segments of a recording from the state folder to an output in an object store."""

from __future__ import annotations

from anyio import CancelScope, to_thread

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.segments.live_segment import live_sidecar

__all__ = ["deliver_segment"]

_STEP_BYTES = 8 << 20

_SIDECAR_BYTES = 4096


async def deliver_segment(stage: Store, store: Store, key: str) -> None:
    """Store a finished segment and its sidecar, and remove them from where they were written.

    After a failure or a kill it can be repeated; until it is done, the segment stays in the stage.

    Args:
        stage: Has the segment.
        store: The output.
        key: The segment.

    Raises:
        SegmentError: The segment is not the one that its sidecar names; it stays where it is.
        StoreError: A store failed, or the segment is absent.
    """
    sidecar = await stage.read(key + SIDECAR_SUFFIX, _SIDECAR_BYTES)
    sha256 = await stage.sha256(key)
    if sha256 is None or sidecar != live_sidecar(key, sha256):
        raise SegmentError(key, "its sidecar does not name it and its SHA-256")
    await store.put(key + SIDECAR_SUFFIX, sidecar)
    part = await store.open_part(key, resume=False)
    try:
        with stage.reader(key) as file:
            while chunk := await to_thread.run_sync(file.read, _STEP_BYTES):
                await part.append(chunk)
        if part.sha256() != sha256:
            raise SegmentError(key, "it was changed while it was being stored")
        await part.commit(sync=True)
    finally:
        await part.close()
    with CancelScope(shield=True):  # a sidecar alone would be a damaged segment
        await stage.remove(key)
        await stage.remove(key + SIDECAR_SUFFIX)
