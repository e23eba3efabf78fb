"""Write the segment of a filled day, and store it with its sidecar."""

from __future__ import annotations

import hashlib
from typing import IO

import anyio
from anyio import to_thread

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import PutsArchives, Store
from crypto_lakehouse.segments.fill_lines import FillHeader, FillResponse, response_line
from crypto_lakehouse.segments.fill_segment import write_lines
from crypto_lakehouse.segments.kept_responses import KeptResponses, on_disk

__all__ = ["store_segment", "write_segment"]

#: What is smaller is stored at once.
_SMALL_BYTES = 8 << 20

_STEP_BYTES = 1 << 20


def write_segment(
    file: IO[bytes], header: FillHeader, responses: list[FillResponse] | KeptResponses
) -> tuple[int, str]:
    """Write a segment into an empty temporary file; blocking.

    Returns:
        Its size and digest.

    Raises:
        SegmentError: It would be too large to be read.
        StoreError: The folder of temporary files cannot be written.
    """
    with on_disk():
        if isinstance(responses, KeptResponses):
            write_lines(file, header, responses.text(), responses.text_bytes)
        else:
            lines = list(map(response_line, responses))
            write_lines(file, header, lines, sum(map(len, lines)))
        digest = hashlib.sha256()
        file.seek(0)
        while part := file.read(_STEP_BYTES):
            digest.update(part)
        return file.tell(), digest.hexdigest()


async def store_segment(
    store: Store, segment: Archive, file: IO[bytes], size_bytes: int, sha256: str
) -> FileStat:
    """Store a segment and its sidecar.

    The sidecar is first, so that a segment always has one. That of an earlier version is replaced
    last: if it never is, the ledger does not describe the segment, and the next run asks again.

    Returns:
        The size and mark of the segment.

    Raises:
        StoreError: It cannot be stored.
    """
    sidecar = f"{sha256}  {segment.name}\n".encode()
    file.seek(0)
    is_new = await store.read(segment.sidecar_key, 1) is None
    is_small = size_bytes <= _SMALL_BYTES
    if is_new and is_small and isinstance(store, PutsArchives):
        return await store.put_archive(segment.key, file.read(), sidecar, sha256=sha256)
    if is_new:
        await store.put(segment.sidecar_key, sidecar)
    if is_small:
        stat = await store.put(segment.key, file.read())
    else:
        stat = await _store_in_parts(store, segment.key, file)
    if not is_new:
        await store.put(segment.sidecar_key, sidecar)
    return stat


async def _store_in_parts(store: Store, key: str, file: IO[bytes]) -> FileStat:
    part = await store.open_part(key, resume=False)
    try:
        while data := await to_thread.run_sync(file.read, _STEP_BYTES):
            await part.append(data)
        return await part.commit()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await part.discard()
        raise
