"""Reads the zstd frames of a part, which has one for each sync, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from crypto_lakehouse.segments.live_segment import WINDOW_BYTES

__all__ = ["NoFrame", "frame_pieces"]

#: Of compressed bytes; what a step becomes is in memory at once.
_STEP_BYTES = 1 << 16


class NoFrame(Exception):
    """What follows the last whole frame is not the beginning of one."""


def frame_pieces(file: BinaryIO) -> Iterator[tuple[bytes, int | None]]:
    """Yield the text of frames in pieces; blocking.

    The pieces behind the last whole frame are those of a frame that is being written.

    Args:
        file: Its bytes, from the beginning.

    Yields:
        A piece; and, with the last one of a frame, how many bytes of the file are up to its end.

    Raises:
        NoFrame: Bytes that belong to no frame follow.
    """
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    decoder = decompressor.decompressobj()
    passed = 0
    while chunk := file.read(_STEP_BYTES):
        passed += len(chunk)
        while chunk:
            try:
                text = decoder.decompress(chunk)
            except zstandard.ZstdError as error:
                raise NoFrame(str(error)) from error
            chunk = decoder.unused_data if decoder.eof else b""
            yield text, passed - len(chunk) if decoder.eof else None
            if decoder.eof:
                decoder = decompressor.decompressobj()
