"""Segments of recorded messages: compressed lines of JSON, read in bounded memory.

A segment holds a market, a kind of stream and at most an hour, of all symbols together. Its first
line is the header; then comes a line for each message, and for each event of the recording::

    {"format": 1, "market": "spot", "kind": "aggTrade", "recording": "9f3c01ab...",
     "tool_version": "0.1.0", "begun_at": "2026-05-08T12:00:00.123456+00:00",
     "clock_skew_us": -1520}
    [1778241600123456,1,{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade", ...}}]
    {"mark": "connected", "at": 1778241600123456, ...}
    {"mark": "end", "at": 1778245200000000, "messages": 1}

A message's line has the time when it was received, in microseconds since 1970 by this machine's
clock, the number of its connection, and the message. No byte of a message is changed: what may be
no JSON, and what is more than one line, is written as a JSON string.

The lines are compressed in independent zstd frames, one for each time that the segment was synced.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, BinaryIO, cast

from attrs import frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Market
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.live_keys import live_key, live_name
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.json_lines import (
    LineValues,
    json_object,
    moment_text,
    whole_blocks,
)
from crypto_lakehouse.segments.live_lines import (
    END,
    LiveLine,
    LiveLines,
    LiveMark,
    LiveMessage,
)

__all__ = [
    "END",
    "LINE_BYTES",
    "WINDOW_BYTES",
    "LiveHeader",
    "LiveLine",
    "LiveLines",
    "LiveMark",
    "LiveMessage",
    "header_line",
    "lines_of",
    "live_sidecar",
    "mark_line",
    "message_text",
    "moment_of",
    "read_live",
    "read_live_from",
]

FORMAT = 1

#: The longest line that is read.
LINE_BYTES = 64 << 20

#: Memory that a decoder may use; the compressor's windows are smaller.
WINDOW_BYTES = 1 << 27

_STEP_BYTES = 1 << 20

_SIDECAR_BYTES = 4096

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_RECORDING = re.compile(r"[0-9a-f]{8,64}")


_DIGEST = re.compile(r"[0-9a-f]{64}")


@frozen(kw_only=True)
class LiveHeader:
    """What a segment holds.

    Attributes:
        market: The market.
        kind: The kind of stream.
        recording: Identifies the recording: 8 to 64 hexadecimal digits.
        tool_version: The version of this package that wrote it.
        begun_at: The time of its first line, by this machine's clock; UTC.
        clock_skew_us: How far this machine's clock is ahead of the exchange's; None if unknown.
    """

    market: Market
    kind: StreamKind
    recording: str
    tool_version: str
    begun_at: datetime
    clock_skew_us: int | None = None
    format: int = FORMAT

    def __attrs_post_init__(self) -> None:
        if not _RECORDING.fullmatch(self.recording):
            raise ValueError(f"`{self.recording}` is not 8 to 64 lower-case hexadecimal digits")

    @property
    def key(self) -> str:
        """The object key of the segment."""
        return live_key(self.market, self.kind, live_name(self.begun_at, self.recording))


def moment_of(time_us: int) -> datetime:
    """The moment of a time in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=time_us)


def live_sidecar(key: str, sha256: str) -> bytes:
    """The sidecar of a segment, as that of an archive."""
    return f"{sha256}  {key.rpartition('/')[2]}\n".encode()


def header_line(header: LiveHeader) -> bytes:
    """The first line of a segment."""
    value = {
        "format": header.format,
        "market": header.market,
        "kind": header.kind,
        "recording": header.recording,
        "tool_version": header.tool_version,
        "begun_at": moment_text(header.begun_at),
        "clock_skew_us": header.clock_skew_us,
    }
    return json.dumps(value).encode() + b"\n"


def mark_line(mark: LiveMark) -> bytes:
    """The line of an event.

    Raises:
        TypeError, ValueError: A fact is no JSON.
    """
    value = {"mark": mark.name, "at": mark.at_us, **mark.facts}
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def message_text(body: bytes) -> bytes:
    r"""A message as it stands in its line: as it is if it looks like a JSON object or list.

    Examples:
        >>> message_text(b'{"e": "trade"}'), message_text(b"a\nb")
        (b'{"e": "trade"}', b'"a\\nb"')
    """
    is_closed = body.startswith((b"{", b"[")) and body.endswith((b"}", b"]"))
    if is_closed and b"\n" not in body and (body.isascii() or _is_text(body)):
        return body
    # Bytes that are no UTF-8 become single surrogates, which are no characters of any text.
    return json.dumps(body.decode(errors="surrogateescape")).encode()


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_live(file: BinaryIO, key: str, sidecar: bytes) -> tuple[LiveHeader, LiveLines]:
    """Read a segment in bounded memory.

    Lines are yielded before the end of the file is checked: if the iterator raises, the caller must
    discard the results of earlier ones.

    Args:
        file: Its bytes.
        key: Its object key, which must be that of its header.
        sidecar: The bytes of its sidecar.

    Returns:
        The header, and the other lines one after another.

    Raises:
        SegmentError: It is damaged, of another format or key, or not the one that its sidecar
            names; or has another number of messages than its end says.
    """
    expected, _, name = sidecar.decode("ascii", "replace").rstrip("\n").partition("  ")
    if not _DIGEST.fullmatch(expected) or name != key.rpartition("/")[2]:
        raise SegmentError(key, "its sidecar does not name it and its SHA-256")
    hashing = _Hashing(file)
    header, lines = lines_of(_decompressed(hashing, key), key)

    def rest() -> Iterator[tuple[int, bytes]]:
        yield from lines.blocks
        if hashing.sha256() != expected:
            raise SegmentError(key, "its bytes do not have the SHA-256 of its sidecar")

    return header, LiveLines(rest(), key)


def lines_of(text: Iterable[bytes], key: str) -> tuple[LiveHeader, LiveLines]:
    """Read the decompressed text of a segment.

    Args:
        text: Its parts, one after another.
        key: Its object key, which must be that of its header.

    Returns:
        The header, and the other lines one after another.

    Raises:
        SegmentError: It is damaged, of another format or key, or has another number of messages
            than its end says.
    """
    blocks = whole_blocks(text, key, LINE_BYTES)
    begin, _, behind = next(blocks, b"").partition(b"\n")
    header = _header(json_object(begin, key, 1), key)

    def numbered() -> Iterator[tuple[int, bytes]]:
        at = 2
        for block in chain([behind], blocks):
            if block:
                yield at, block
                at += block.count(b"\n")

    return header, LiveLines(numbered(), key)


def read_live_from(store: Store, key: str) -> tuple[LiveHeader, LiveLines]:
    """Read a stored segment; blocking. The file is closed at its end, and with the iterator.

    Raises:
        SegmentError: As `read_live`.
        StoreError: It or its sidecar cannot be read.
    """
    with store.reader(key + SIDECAR_SUFFIX) as opened:
        sidecar = opened.read(_SIDECAR_BYTES)
    file = store.reader(key)
    try:
        header, lines = read_live(file, key, sidecar)
    except BaseException:
        file.close()
        raise

    def closing() -> Iterator[tuple[int, bytes]]:
        with file:
            yield from lines.blocks

    return header, LiveLines(closing(), key)


def _header(value: dict[str, Any], key: str) -> LiveHeader:
    read = LineValues(value, key, 1)
    read.check_format(FORMAT)
    try:
        header = LiveHeader(
            market=Market(read.take("market", str)),
            kind=StreamKind(read.take("kind", str)),
            recording=read.take("recording", str),
            tool_version=read.take("tool_version", str),
            begun_at=read.moment("begun_at"),
            clock_skew_us=(
                None if value.get("clock_skew_us") is None else read.take("clock_skew_us", int)
            ),
        )
    except ValueError as error:
        raise SegmentError(key, f"line 1: {error}") from error
    if header.key != key:
        raise SegmentError(key, f"line 1: it is that of `{header.key}`")
    return header


class _Hashing:
    """Hashes a file as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def sha256(self) -> str:
        return self._digest.hexdigest()


def _decompressed(file: _Hashing, key: str) -> Iterator[bytes]:
    import zstandard

    try:
        decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
        reader = decoder.stream_reader(
            cast("BinaryIO", file), read_across_frames=True, closefd=False
        )
        while chunk := reader.read(_STEP_BYTES):
            yield chunk
    except zstandard.ZstdError as error:
        raise SegmentError(key, f"it cannot be decompressed: {error}") from error
