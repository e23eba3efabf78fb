"""Reads values out of a response's JSON strictly: what is another type is refused by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

from attrs import frozen

from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.segments.fill_segment import FillResponse

__all__ = ["Answer", "Place"]

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", re.ASCII)


@frozen
class Place:
    """One row of a response, of which a value is read.

    Attributes:
        answer: The response.
        at: The number of the row, counted from 1.
        row: A list or an object.
    """

    answer: Answer
    at: int
    row: Any

    def value(self, field: str | int, name: str = "") -> Any:
        """A field.

        Raises:
            SegmentError: The row has none.
        """
        try:
            return self.row[field]
        except (KeyError, IndexError, TypeError):
            self.refuse(f"`{name or field}` is missing")

    def number(self, field: str | int, name: str = "") -> int:
        """A whole number: an id, a time or a count.

        Raises:
            SegmentError: It is none.
        """
        value = self.value(field, name)
        if type(value) is not int or value < 0:
            self.refuse(f"`{name or field}` is {_described(value)}, not a whole number")
        return value

    def decimal(self, field: str | int, name: str = "") -> str:
        """A decimal: a text, so that no digit is lost.

        Raises:
            SegmentError: It is a number, or no decimal.
        """
        value = self.value(field, name)
        if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
            self.refuse(f"`{name or field}` is {_described(value)}, not a decimal as text")
        return value

    def flag(self, field: str) -> bool:
        """A truth value.

        Raises:
            SegmentError: It is none.
        """
        value = self.value(field)
        if not isinstance(value, bool):
            self.refuse(f"`{field}` is {_described(value)}, not true or false")
        return value

    def expect(self, field: str, text: str) -> None:
        """Check that a field names what was asked for.

        Raises:
            SegmentError: It names another one.
        """
        value = self.value(field)
        if value != text:
            self.refuse(f"`{field}` is {_described(value)}, not `{text}`")

    def refuse(self, reason: str) -> NoReturn:
        """Refuse the row.

        Raises:
            SegmentError: Always.
        """
        self.answer.refuse(f"row {self.at}: {reason}")


@frozen
class Answer:
    """A response of a segment, to be read.

    Attributes:
        key: The segment's object key.
        number: Its place among the responses, counted from 1.
        response: The response.
    """

    key: str
    number: int
    response: FillResponse

    @property
    def endpoint(self) -> str:
        """The last part of its path, as `klines`."""
        return urlsplit(self.response.url).path.rpartition("/")[2]

    def rows(self) -> Sequence[Place]:
        """The rows of the body.

        Raises:
            SegmentError: It is not the body of a success, not JSON, or not a list.
        """
        if self.response.status != 200:
            self.refuse(f"its status is {self.response.status}")
        try:
            value = parse_finite(self.response.body)
        except ValueError as error:
            self.refuse(f"not JSON: {error}")
        if not isinstance(value, list):
            self.refuse("the body is not a list")
        return [Place(self, at, row) for at, row in enumerate(value, 1)]

    def asked(self, name: str, text: str | None) -> None:
        """Check a parameter of the request, if it was sent.

        Raises:
            SegmentError: Something else was asked for.
        """
        sent = self.response.params.get(name, text)
        if sent != text:
            self.refuse(f"the request's `{name}` is `{shown(str(sent))}`, not `{text}`")

    def refuse(self, reason: str) -> NoReturn:
        """Refuse the response.

        Raises:
            SegmentError: Always.
        """
        where = f"response {self.number} (`{shown(self.endpoint)}`)"
        raise SegmentError(self.key, f"{where}: {reason}")


def _described(value: object) -> str:
    if isinstance(value, str):
        return f"the text `{shown(value[:40])}`"
    if isinstance(value, bool) or value is None:
        return f"`{value}`"
    return f"the number {value}" if isinstance(value, int | float) else "a list or an object"
