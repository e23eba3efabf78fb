"""Ends the segments that a killed recording left: what was synced is kept, and nothing is guessed.

A part is cut behind its last whole frame. What follows is a frame that was being written, and came
after the last sync. If the bytes there are something else, as after a fault of the disk, they go to
quarantine.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import BinaryIO, Protocol

from anyio import to_thread
from attrs import frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.protocols import PART_SUFFIX, Store
from crypto_lakehouse.segments.live_frames import NoFrame, frame_pieces
from crypto_lakehouse.segments.live_segment import (
    END,
    LiveMark,
    live_sidecar,
    mark_line,
)
from crypto_lakehouse.segments.live_writer import frame

__all__ = ["KILLED", "KeepsLiveParts", "RecoveredSegment", "recover_segments"]

#: The mark of a segment whose recording was killed.
KILLED = "killed"

_ENDS = tuple(f'{{"mark": "{name}"'.encode() for name in (END, KILLED))

_STEP_BYTES = 1 << 16

#: The last line is looked at if it is no longer than this: the marks that end a segment are short.
_LAST_BYTES = 4096

#: Up to this much of a damaged part goes to quarantine by itself, otherwise the whole part.
_MOST_DAMAGED_BYTES = 64 << 20


class KeepsLiveParts(Store, Protocol):
    """A store that can resume the parts of recordings, and list them."""

    def live_parts(self) -> Iterable[str]:
        """Yield the key of each segment that has a part, in the order of keys; blocking."""
        ...

    def cut_part(self, key: str, size_bytes: int) -> None:
        """Cut what follows the first `size_bytes` off a part; blocking."""
        ...


@frozen(kw_only=True)
class RecoveredSegment:
    """A segment that a killed recording left.

    Attributes:
        key: Its object key.
        is_stored: Whether it has a line, and is stored now.
        cut_bytes: How many bytes of its part, compressed, were cut off.
        is_damaged: Whether these bytes were not the beginning of a frame; they are in quarantine.
    """

    key: str
    is_stored: bool
    cut_bytes: int
    is_damaged: bool


async def recover_segments(store: KeepsLiveParts, now_us: int) -> list[RecoveredSegment]:
    """End every segment that a killed recording left.

    No recording may be writing to the store. A recovery that is killed can be repeated.

    Args:
        store: Keeps the parts.
        now_us: The time, in microseconds since 1970.

    Returns:
        The segments, in the order of keys.

    Raises:
        StoreError: The store failed.
    """
    keys = await to_thread.run_sync(lambda: list(store.live_parts()))
    return [await _recover(store, key, now_us) for key in keys]


async def _recover(store: KeepsLiveParts, key: str, now_us: int) -> RecoveredSegment:
    found = await to_thread.run_sync(_whole_frames_of, store, key)
    is_damaged = found.is_damaged
    is_moved = is_damaged and found.rest_bytes > _MOST_DAMAGED_BYTES
    note = {"reason": f"a damaged frame begins at byte {found.whole_bytes}"}
    if is_moved:
        part = await store.open_part(key, resume=True)
        await part.quarantine(note)
    elif is_damaged:
        rest = await to_thread.run_sync(_rest, store, key, found)
        await store.quarantine(f"{key}.damaged", rest, note)
    is_stored = bool(found.whole_bytes) and not is_moved
    if is_stored:
        await _end(store, key, found, now_us)
    else:
        await store.remove(key + PART_SUFFIX)
        # A recovery that was killed may have stored it.
        await store.remove(key + SIDECAR_SUFFIX)
    return RecoveredSegment(
        key=key, is_stored=is_stored, cut_bytes=found.rest_bytes, is_damaged=is_damaged
    )


async def _end(store: KeepsLiveParts, key: str, found: _WholeFrames, now_us: int) -> None:
    await to_thread.run_sync(store.cut_part, key, found.whole_bytes)
    part = await store.open_part(key, resume=True)
    if not found.has_end:
        mark = LiveMark(now_us, KILLED, {"cut_bytes": found.rest_bytes})
        await part.append(frame(mark_line(mark)))
    await store.put(key + SIDECAR_SUFFIX, live_sidecar(key, part.sha256()), sync=True)
    await part.commit(sync=True)
    await to_thread.run_sync(store.make_durable, [key])


@frozen
class _WholeFrames:
    """What a part has.

    Attributes:
        whole_bytes: The size of its whole frames.
        rest_bytes: The size of what follows them.
        is_damaged: Whether that is not the beginning of a frame.
        has_end: Whether the last line is a mark that ends a segment.
    """

    whole_bytes: int
    rest_bytes: int
    is_damaged: bool
    has_end: bool


def _whole_frames_of(store: Store, key: str) -> _WholeFrames:
    with store.reader(key + PART_SUFFIX) as file:
        return _whole_frames(file)


def _whole_frames(file: BinaryIO) -> _WholeFrames:
    whole, is_damaged = 0, False
    end = last = b""
    try:
        for text, behind in frame_pieces(file):
            last = (last + text)[-_LAST_BYTES:]
            if behind is not None:
                whole, end = behind, last
    except NoFrame:
        # If the file grew, but its bytes did not reach the disk, they are zeros.
        is_damaged = _has_more_than_zeros(file, whole)
    size = file.seek(0, io.SEEK_END)
    return _WholeFrames(whole, size - whole, is_damaged, _has_end(end))


def _has_more_than_zeros(file: BinaryIO, begin: int) -> bool:
    file.seek(begin)
    while chunk := file.read(_STEP_BYTES):
        if chunk.strip(b"\0"):
            return True
    return False


def _has_end(text: bytes) -> bool:
    _, before, line = text.rstrip(b"\n").rpartition(b"\n")
    return bool(before) and line.startswith(_ENDS)


def _rest(store: Store, key: str, found: _WholeFrames) -> bytes:
    with store.reader(key + PART_SUFFIX) as file:
        file.seek(found.whole_bytes)
        return file.read(found.rest_bytes)
