"""What a tool answers: JSON of a bounded size, or one sentence about a failure."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from attrs import define, field

from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.redaction import redact_environment
from crypto_lakehouse.core.task_groups import first_leaf
from crypto_lakehouse.core.visible import json_text, visible
from crypto_lakehouse.stores.os_errors import REFUSALS, what_to_do

__all__ = [
    "MOST_BYTES",
    "BoundedList",
    "RefusedError",
    "answer_text",
    "failure_text",
    "known_failure",
    "some_notes",
]

#: The most that an answer has, in bytes of UTF-8: about 16,000 tokens of a language model.
MOST_BYTES = 64 * 1024

#: What the other parts of an answer may take beside its list.
_REST_BYTES = 16 * 1024

#: How many remarks an answer has, and how many characters of each.
_MOST_NOTES, _NOTE_CHARACTERS = 10, 500

#: How many characters a failure has.
_FAILURE_CHARACTERS = 1_000

_LOG = logging.getLogger(__name__)


class RefusedError(Exception):
    """A tool cannot answer; the message is the sentence that its caller gets."""


@define
class BoundedList:
    """A list of an answer, which takes entries up to a number and a size.

    Attributes:
        most: How many entries it takes.
        items: The entries.
        left_out: How many it did not take.
    """

    most: int
    items: list[Any] = field(factory=list)
    left_out: int = 0
    _bytes: int = 0

    def add(self, item: Any) -> None:
        """Take an entry, or count it; after the first that is left out, all are."""
        size = len(json_text(item).encode()) + 2
        if self.left_out or not self.has_room or self._bytes + size > MOST_BYTES - _REST_BYTES:
            self.left_out += 1
            return
        self.items.append(item)
        self._bytes += size

    @property
    def has_room(self) -> bool:
        """Whether the number of entries is below the bound."""
        return len(self.items) < self.most


def answer_text(answer: dict[str, Any]) -> str:
    """Return an answer as JSON on one line, in which invisible characters are escaped.

    Raises:
        RefusedError: It is longer than an answer may be.
    """
    text = json_text(answer)
    size = len(text.encode(errors="surrogatepass"))
    if size > MOST_BYTES:
        has = plural(size, "byte", form=",")
        reason = f"the answer has {has}, and {MOST_BYTES:,} are allowed; ask for less"
        raise RefusedError(reason)
    return text


def some_notes(notes: Iterable[str]) -> list[str]:
    """Return the first remarks, shortened."""
    found = [*notes]
    more = len(found) - _MOST_NOTES
    kept = [_cut(redact_environment(each), _NOTE_CHARACTERS) for each in found[:_MOST_NOTES]]
    return [*kept, f"and {more} more"] if more > 0 else kept


def failure_text(error: Exception) -> str:
    """Return one line about why a tool failed, without secrets.

    What is not foreseen goes to the log with its traceback.
    """
    text = known_failure(error)
    if text is None:
        _LOG.error("a tool failed", exc_info=error)
        text = "this is a fault in crypto-lakehouse; the log of the server has details"
    return _cut(redact_environment(text), _FAILURE_CHARACTERS)


def known_failure(error: Exception) -> str | None:
    """Return why a tool failed, in any length; None if it is not foreseen."""
    cause = first_leaf(error)
    if isinstance(cause, LakehouseError | RefusedError):
        return str(cause)
    if isinstance(cause, OSError) and cause.errno in REFUSALS:
        return what_to_do(cause, "")
    return None


def _cut(text: str, most: int) -> str:
    line = visible(" ".join(text.split()))
    return line if len(line) <= most else f"{line[:most]}…"
