"""Faults of a WebSocket connection, each at one of its messages.

`ExchangeServer.script_connection` gives them to the next connection. Messages are counted from 1:
events, not answers to requests.
"""

from __future__ import annotations

import json
import random
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, instance_of, optional

from crypto_lakehouse.testing.faults.json_kinds import MalformedJson, MissingField, PlainNumbers

__all__ = [
    "AlterMessage",
    "CloseConnection",
    "ConnectionFault",
    "DropConnection",
    "GoSilent",
    "RepeatMessage",
    "ShutDown",
    "SkipMessages",
    "StopPings",
    "SwapMessages",
    "random_connection_script",
]


@frozen
class ConnectionFault:
    """What goes wrong at the message `at` of a connection."""

    at: int = field(validator=ge(1))


@frozen
class DropConnection(ConnectionFault):
    """End the connection in place of the message, without a close frame: 1006."""


@frozen
class CloseConnection(ConnectionFault):
    """Close the connection in place of the message, in order, as at the end of its 24 hours."""

    code: int = 1001


@frozen
class ShutDown(ConnectionFault):
    """Announce a `serverShutdown` before the message, and close after some more messages."""

    more: int = 3


@frozen
class SkipMessages(ConnectionFault):
    """Never send the message and some after it."""

    count: int = 1


@frozen
class RepeatMessage(ConnectionFault):
    """Send the message twice."""


@frozen
class SwapMessages(ConnectionFault):
    """Send the message after the next one."""


@frozen
class GoSilent(ConnectionFault):
    """Send neither this message nor any later one; pings go on."""


@frozen
class StopPings(ConnectionFault):
    """Send no ping from this message on."""


@frozen
class AlterMessage(ConnectionFault):
    """Send the message with another text.

    Attributes:
        fault: `PlainNumbers`, or `MissingField` with a name, of the payload; `MalformedJson` or
            None for JSON without its last character.
    """

    fault: PlainNumbers | MissingField | MalformedJson | None = field(
        default=None,
        validator=optional(instance_of((PlainNumbers, MissingField, MalformedJson))),
    )

    def altered(self, text: str) -> str:
        """The text to send instead."""
        if self.fault is None or isinstance(self.fault, MalformedJson):
            return text[:-1]
        value: Any = json.loads(text)
        if set(value) == {"stream", "data"}:
            value["data"] = self.fault.changed(value["data"])
        else:
            value = self.fault.changed(value)
        return json.dumps(value, separators=(",", ":"))


_ENDS = (DropConnection, CloseConnection, ShutDown, GoSilent)
_PASSING = (SkipMessages, RepeatMessage, SwapMessages, StopPings)


def random_connection_script(seed: int, messages: int) -> list[ConnectionFault]:
    """Draw faults for a connection of about so many messages; the same seed draws the same ones.

    They lose, repeat and reorder messages, stop pings, and mostly end the connection.
    """
    source = random.Random(seed)  # noqa: S311 - no secret depends on it
    count = min(source.randrange(5), messages - 1)
    places = sorted(source.sample(range(1, messages), count))
    script: list[ConnectionFault] = [source.choice(_PASSING)(at) for at in places]
    if source.random() < 0.8:
        script.append(source.choice(_ENDS)(messages))
    return script
