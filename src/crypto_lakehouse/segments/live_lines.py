"""Lines of a segment of a recording: messages, and marks of what happened."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.segments.json_lines import LineValues, json_object

__all__ = ["END", "LiveLine", "LiveLines", "LiveMark", "LiveMessage", "check_end", "parse_line"]

#: The mark of a segment that was ended in order.
END = "end"

_MESSAGE = re.compile(rb"\[([0-9]{1,18}),([0-9]{1,18}),(.+)\]", re.DOTALL)


class LiveMessage(NamedTuple):
    """A message.

    Attributes:
        received_at_us: When it was received, in microseconds since 1970, by this machine's clock.
        connection: The number of the connection that it came over; 0 for responses of REST
            endpoints.
        body: Its bytes as they came; they may be no JSON.
    """

    received_at_us: int
    connection: int
    body: bytes


class LiveMark(NamedTuple):
    """An event of the recording.

    Attributes:
        at_us: Its time, in microseconds since 1970, by this machine's clock.
        name: What happened, as `connected`.
        facts: What else is known of it.
    """

    at_us: int
    name: str
    facts: dict[str, Any]


LiveLine = LiveMessage | LiveMark
"""A line of a segment, after its header."""


class LiveLines(Iterator[LiveLine]):
    """The lines of a segment behind its header: one after another, or many at a time.

    Args:
        blocks: The number of the first line of a block, counted from 1, and its lines, each with
            its end.
        key: The segment's object key, for errors.

    Attributes:
        blocks: The same, for a reader that takes all of them itself: it reads each line with
            `parse_line`, and checks the end with `check_end`.
        key: The segment's object key.
    """

    def __init__(self, blocks: Iterator[tuple[int, bytes]], key: str) -> None:
        self.blocks = blocks
        self.key = key
        self._lines = self._read()

    def __next__(self) -> LiveLine:
        """Return the next line; the errors are those of `read_live`."""
        return next(self._lines)

    def _read(self) -> Iterator[LiveLine]:
        messages = 0
        for first, block in self.blocks:
            for at, text in enumerate(block[:-1].split(b"\n"), first):
                line = parse_line(text, self.key, at)
                messages += isinstance(line, LiveMessage)
                check_end(line, messages, self.key, at)
                yield line


def parse_line(line: bytes, key: str, at: int) -> LiveLine:
    """Read a line behind the header.

    Args:
        line: The line, without its end.
        key: The segment's object key, for errors.
        at: The number of the line, counted from 1.

    Raises:
        SegmentError: It is neither a message nor a mark.
    """
    if match := _MESSAGE.fullmatch(line):
        received, connection, text = match.groups()
        body = _unquoted(text, key, at) if text.startswith(b'"') else text
        return LiveMessage(int(received), int(connection), body)
    return _mark(json_object(line, key, at), key, at)


def check_end(line: LiveLine, messages: int, key: str, at: int) -> None:
    """Check the number of messages that a segment's end names.

    Args:
        line: A line.
        messages: How many messages there are up to it.
        key: The segment's object key, for errors.
        at: The number of the line, counted from 1.

    Raises:
        SegmentError: It is the end, and names another number.
    """
    if isinstance(line, LiveMark) and line.name == END:
        named = line.facts.get("messages")
        if named != messages:
            reason = f"it has {plural(messages, 'message')}, and its end names {named}"
            raise SegmentError(key, f"line {at}: {reason}")


def _unquoted(text: bytes, key: str, at: int) -> bytes:
    try:
        value: str = json.loads(text)
        return value.encode(errors="surrogateescape")
    except ValueError as error:  # that of an encoding is one, too
        raise SegmentError(key, f"line {at}: the message is no JSON string: {error}") from error


def _mark(value: dict[str, Any], key: str, at: int) -> LiveMark:
    read = LineValues(value, key, at)
    name, time = read.take("mark", str), read.take("at", int)
    return LiveMark(time, name, {each: value[each] for each in value.keys() - {"mark", "at"}})
