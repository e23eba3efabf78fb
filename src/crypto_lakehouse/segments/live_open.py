"""Reads what a recording has so far: its segments, and of the one that is written what was synced.

A part is read while another process appends to it. It ends behind its last whole frame: what
follows was not synced yet. Once the segment is finished, it has its final name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO, Protocol

from attrs import frozen

from crypto_lakehouse.core.errors import SegmentError, StoreError
from crypto_lakehouse.core.live_keys import live_stream_of
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import PART_SUFFIX, KeepsSegments, Store
from crypto_lakehouse.segments.live_frames import NoFrame, frame_pieces
from crypto_lakehouse.segments.live_segment import (
    LiveHeader,
    LiveLines,
    lines_of,
    read_live_from,
)

__all__ = ["HasLiveParts", "HasSegments", "RecordedFiles"]

#: The most text of a frame, which is in memory at once: what came between two syncs.
FRAME_BYTES = 256 << 20


class HasSegments(KeepsSegments, Store, Protocol):
    """A store that has segments of recordings."""


class HasLiveParts(HasSegments, Protocol):
    """A store that recordings write to."""

    def live_parts(self) -> Iterable[str]:
        """Yield the key of each segment that has a part, in the order of keys; blocking."""
        ...


@frozen
class RecordedFiles:
    """The segments of an output, where they are at the moment.

    Attributes:
        written: Where a recording writes them: the output, or its state folder.
        stored: The output, if they are moved there once they are finished; else None.
    """

    written: HasLiveParts
    stored: HasSegments | None = None

    def keys(self, prefix: str = "") -> list[str]:
        """The segments that can be read, sorted; blocking. Files with other names are left out.

        Args:
            prefix: Only keys that begin so.

        Raises:
            StoreError: A store failed, or a folder cannot be read.
        """
        # A segment is renamed or moved in this order, so none is missed meanwhile.
        found = {*self.written.live_parts()}
        for store in self._stores():
            found.update(key for key, _ in store.segments(_refuse, Origin.LIVE))
        return sorted(key for key in found if key.startswith(prefix) and live_stream_of(key))

    def open(self, key: str) -> tuple[LiveHeader, LiveLines] | None:
        """Read a segment as `read_live_from` does, or what was synced of its part; blocking.

        Returns:
            Its header and lines; None if nothing of it was synced.

        Raises:
            SegmentError: It is damaged.
            StoreError: It cannot be read.
        """
        try:
            part = self.written.reader(key + PART_SUFFIX)
        except StoreError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            return self._finished(key)
        frames = _whole_frames(part, key)
        first = next(frames, None)
        if first is None:
            return None
        return lines_of(_chained(first, frames), key)

    def _stores(self) -> Sequence[HasSegments]:
        return [self.written] if self.stored is None else [self.written, self.stored]

    def _finished(self, key: str) -> tuple[LiveHeader, LiveLines]:
        if self.stored is None:
            return read_live_from(self.written, key)
        try:
            return read_live_from(self.written, key)
        except StoreError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            return read_live_from(self.stored, key)


def _refuse(folder: str, reason: str) -> None:
    raise StoreError(folder, reason)


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _whole_frames(file: BinaryIO, key: str) -> Iterator[bytes]:
    """Yield the text of each frame up to the first that is not whole, and close the file."""
    held: list[bytes] = []
    size = 0
    with file, suppress(NoFrame):  # the recovery cuts it there
        for text, behind in frame_pieces(file):
            held.append(text)
            size += len(text)
            if size > FRAME_BYTES:
                most = plural(FRAME_BYTES, "byte", form=",")
                raise SegmentError(key, f"a frame of its part has more than {most}")
            if behind is not None:
                yield b"".join(held)
                held, size = [], 0
