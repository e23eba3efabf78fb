"""Lines of JSON in a segment: split in bounded memory, and read strictly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.messages import plural

__all__ = ["LineValues", "json_object", "moment_text", "whole_blocks", "whole_lines"]


def whole_lines(chunks: Iterable[bytes], key: str, most_bytes: int) -> Iterator[bytes]:
    """Split text into lines, without their ends; the errors are those of `whole_blocks`."""
    for block in whole_blocks(chunks, key, most_bytes):
        yield from block[:-1].split(b"\n")


def whole_blocks(chunks: Iterable[bytes], key: str, most_bytes: int) -> Iterator[bytes]:
    """Cut text at ends of lines: each block has some whole lines.

    Raises:
        SegmentError: A line is longer than `most_bytes`, or the last one has no end.
    """
    held = bytearray()
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            held += chunk[:end]
            yield bytes(held)
            held.clear()
        held += chunk[end:]
        if len(held) > most_bytes:
            raise SegmentError(key, f"a line has more than {plural(most_bytes, 'byte', form=',')}")
    if held:
        raise SegmentError(key, "its last line has no end")


def json_object(line: bytes, key: str, at: int) -> dict[str, Any]:
    """Parse a line.

    Args:
        line: The line.
        key: The segment's object key, for errors.
        at: The number of the line, counted from 1.

    Raises:
        SegmentError: It is not JSON, or no object.
    """
    try:
        value = parse_finite(line)
    except ValueError as error:
        raise SegmentError(key, f"line {at}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise SegmentError(key, f"line {at}: not an object")
    return value


def moment_text(moment: datetime) -> str:
    """A moment in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


@frozen
class LineValues:
    """The values of one line.

    Attributes:
        line: The line.
        key: The segment's object key, for errors.
        at: The number of the line, counted from 1.
    """

    line: dict[str, Any]
    key: str
    at: int

    def take(self, name: str, kind: type[Any]) -> Any:
        """A value of a type.

        Raises:
            SegmentError: It is missing or of another type.
        """
        value = self.line.get(name)
        if type(value) is not kind:  # a flag is no number
            raise SegmentError(self.key, f"line {self.at}: `{name}` is missing or of another type")
        return value

    def check_format(self, known: int) -> None:
        """Check the version of a header's form.

        Raises:
            SegmentError: It is missing, or another one.
        """
        if (found := self.take("format", int)) != known:
            reason = f"line {self.at}: `format` is {found}; this version reads {known}"
            raise SegmentError(self.key, reason)

    def moment(self, name: str) -> datetime:
        """A moment, in UTC.

        Raises:
            SegmentError: It is missing, or no time with an offset.
        """
        text = self.take(name, str)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise SegmentError(self.key, f"line {self.at}: `{name}` is not a time with an offset")
        return moment.astimezone(UTC)
