"""Requests on a connection: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS and properties."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

__all__ = ["Subscriptions", "answer"]

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class Subscriptions(Protocol):
    """What a request reads and changes.

    Attributes:
        combined: Whether messages are wrapped with the name of their stream.
    """

    combined: bool

    @property
    def names(self) -> list[str]:
        """The streams, in the order of their subscription."""
        ...

    def subscribe(self, name: str) -> None:
        """Add a stream; a known one stays."""
        ...

    def unsubscribe(self, name: str) -> None:
        """Remove a stream; an unknown one is ignored."""
        ...


def answer(text: str, held: Subscriptions) -> dict[str, Any]:
    """Carry out a request, and return what is answered."""
    try:
        request = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        return {"code": 3, "msg": f"Invalid JSON: expected value at {place}"}
    if not isinstance(request, dict) or "method" not in request:
        return _refused("missing field `method`")
    if not _is_id(request.get("id")):
        return _refused("request ID must be an unsigned integer")
    method = request["method"]
    if method not in _METHODS:
        known = ", ".join(f"`{name}`" for name in _METHODS)
        return _refused(f"unknown variant `{method}`, expected one of {known}")
    values = request.get("params", [])
    if not isinstance(values, list):
        return _refused("params must be a list")
    return _carried_out(method, values, held) | {"id": request.get("id")}


def _carried_out(method: str, values: list[Any], held: Subscriptions) -> dict[str, Any]:
    if method == "LIST_SUBSCRIPTIONS":
        return {"result": held.names}
    if method.endswith("PROPERTY"):
        return _property(method, values, held)
    if not all(isinstance(name, str) for name in values):
        return _refused("stream names must be strings")
    for name in values:
        if method == "SUBSCRIBE":
            held.subscribe(name)
        else:
            held.unsubscribe(name)
    return {"result": None}


def _property(method: str, values: list[Any], held: Subscriptions) -> dict[str, Any]:
    if not values or values[0] != "combined":
        return {"code": 0, "msg": "Unknown property"}
    if method == "GET_PROPERTY":
        return {"result": held.combined}
    if len(values) != 2 or not isinstance(values[1], bool):
        return {"code": 1, "msg": "Invalid value type: expected Boolean"}
    held.combined = values[1]
    return {"result": None}


def _refused(reason: str) -> dict[str, Any]:
    return {"code": 2, "msg": f"Invalid request: {reason}"}


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"\w{1,36}", value, re.ASCII) is not None
    return value is None or (type(value) is int and abs(value) < 2**63)
