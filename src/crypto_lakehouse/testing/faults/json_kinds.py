"""Faults of JSON bodies: what a client of an exchange must refuse by name.

They change responses with status 200 whose body is a list of rows, or one object; others stay.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from attrs import evolve, frozen

from crypto_lakehouse.testing.faults.kinds import Cut, Fault, Reset, Status, Truncate
from crypto_lakehouse.testing.objects.objects import BytesContent
from crypto_lakehouse.testing.objects.responses import ServerResponse

__all__ = [
    "MalformedJson",
    "MissingField",
    "PlainNumbers",
    "RepeatedId",
    "TimeBack",
    "random_json_faults",
]

_TIMES = ("T", "time", "fundingTime", "timestamp", "serverTime")
_IDS = ("a", "id", "lastUpdateId")


@frozen
class MalformedJson(Fault):
    """Leave out the last character of the body, which is announced as it is sent."""

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Shorten the body."""
        body = answer.content.read(0, answer.content.size)
        return evolve(answer, content=BytesContent(body[:-1]))


class _JsonFault(Fault):
    """Changes the value of a body."""

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Change the body if it is one of a successful request."""
        if answer.status != 200:
            return answer
        value = json.loads(answer.content.read(0, answer.content.size))
        body = json.dumps(self.changed(value), separators=(",", ":")).encode()
        return evolve(answer, content=BytesContent(body))

    def changed(self, value: Any) -> Any:
        """The value to send instead."""
        raise NotImplementedError


@frozen
class PlainNumbers(_JsonFault):
    """Send decimals as numbers and not as text."""

    def changed(self, value: Any) -> Any:
        """Turn each text that is a number into a number."""
        if isinstance(value, dict):
            return {name: self.changed(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.changed(each) for each in value]
        try:
            return float(value) if isinstance(value, str) else value
        except ValueError:
            return value


@frozen
class MissingField(_JsonFault):
    """Leave one field out of the last row.

    Attributes:
        field: A name, or the place in a row that is a list.
    """

    field: str | int

    def changed(self, value: Any) -> Any:
        """Remove the field; a row without it stays."""
        row = value[-1] if isinstance(value, list) and value else value
        if isinstance(row, list) and isinstance(self.field, int):
            del row[self.field]
        elif isinstance(row, dict):
            row.pop(self.field, None)
        return value


@frozen
class TimeBack(_JsonFault):
    """Let the time go back: the last row has the time of the first one, less one unit."""

    def changed(self, value: Any) -> Any:
        """Change the last row's time."""
        if not isinstance(value, list) or len(value) < 2:
            return value
        place = _place(value[-1], _TIMES)
        value[-1][place] = value[0][place] - 1
        return value


@frozen
class RepeatedId(_JsonFault):
    """Send two different rows with one id: the last row has that of the row before it."""

    def changed(self, value: Any) -> Any:
        """Change the last row's id."""
        if not isinstance(value, list) or len(value) < 2:
            return value
        place = _place(value[-1], (*_IDS, *_TIMES))
        value[-1][place] = value[-2][place]
        return value


def _place(row: Any, names: Sequence[str]) -> Any:
    """Where a row has a time or an id; bars have their open time first."""
    return 0 if isinstance(row, list) else next(name for name in names if name in row)


_KINDS = (
    MalformedJson(),
    PlainNumbers(),
    MissingField(0),
    MissingField("T"),
    MissingField("p"),
    TimeBack(),
    RepeatedId(),
    Status(500),
    Status(502, body=b"<html>502 Bad Gateway</html>"),
    Status(503, retry_after="1"),
    Truncate(at=1),
    Cut(),
    Reset(),
    Fault(),
)


def random_json_faults(seed: int, count: int) -> list[Fault]:
    """Draw faults for so many requests; the same seed draws the same ones.

    Some of them are none at all: a plain `Fault` changes nothing.
    """
    source = random.Random(seed)  # noqa: S311 - no secret depends on it
    return [source.choice(_KINDS) for _ in range(count)]
