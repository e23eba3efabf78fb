"""Check the sinks that an application passes before a run begins, and wrap them if necessary."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from inspect import isawaitable
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.sink import AnySink, PlainSink, Sink, SinkFunction

__all__ = ["EachArchive", "FunctionSink", "checked_sinks"]

_METHODS = ("handle", "flush", "close")

_WANTED = (
    "a sink has `name`, `required`, and the async methods `handle`, `flush` and `close`, "
    "or is a function that takes a list of events"
)


@frozen
class FunctionSink:
    """Wraps a function as an optional sink.

    Args:
        function: Takes each batch of events; may be async.
        name: The name in messages.
    """

    function: SinkFunction
    name: str
    required: bool = False
    takes_unchanged = False

    async def handle(self, events: Sequence[Event]) -> None:
        """Call the function."""
        answer: Awaitable[None] | None = self.function(events)
        if isawaitable(answer):
            await answer

    async def flush(self) -> None:
        """Do nothing: a function buffers no events."""

    async def close(self) -> None:
        """Do nothing: a function has no resources to close."""


@frozen
class EachArchive:
    """Wraps a sink without `takes_unchanged`, which gets one event for each archive."""

    inner: PlainSink
    takes_unchanged = False

    @property
    def name(self) -> str:
        """The name of the inner sink."""
        return self.inner.name

    @property
    def required(self) -> bool:
        """Whether the inner sink is required."""
        return self.inner.required

    async def handle(self, events: Sequence[Event]) -> None:
        """Pass a batch on."""
        await self.inner.handle(events)

    async def flush(self) -> None:
        """Flush the inner sink."""
        await self.inner.flush()

    async def close(self) -> None:
        """Close the inner sink."""
        await self.inner.close()


def checked_sinks(given: Iterable[AnySink]) -> tuple[Sink, ...]:
    """Check what an application passes as sinks, and wrap functions and plain sinks.

    Raises:
        ConfigurationError: Some of the values are not sinks; the error names each of them.
    """
    try:
        sinks: tuple[Any, ...] = tuple(given)
    except TypeError:
        reason = f"{_named(given)} is not a list of sinks: pass `[sink]`"
        raise ConfigurationError([Problem("sinks", reason)]) from None
    faults = [(place, _fault(sink)) for place, sink in enumerate(sinks)]
    problems = [Problem(f"sinks[{place}]", fault) for place, fault in faults if fault]
    if problems:
        raise ConfigurationError(problems)
    return tuple(_whole(sink) for sink in sinks)


def _fault(sink: object) -> str:
    """Return why a value is not a sink; empty if it is one."""
    if isinstance(sink, type):
        return f"{_named(sink)} is a class: pass an instance, `{sink.__name__}()`"
    if _is_function(sink):
        return ""
    missing = [member for member in ("name", "required", *_METHODS) if not hasattr(sink, member)]
    if missing:
        names = ", ".join(f"`{member}`" for member in missing)
        return f"{_named(sink)} has no {names}; {_WANTED}"
    uncallable = [method for method in _METHODS if not callable(getattr(sink, method))]
    if uncallable:
        method = uncallable[0]
        return f"`{method}` of {_named(sink)} is {getattr(sink, method)!r}, not a method; {_WANTED}"
    return ""


def _is_function(sink: object) -> bool:
    return callable(sink) and not any(hasattr(sink, method) for method in _METHODS)


def _named(thing: object) -> str:
    name = getattr(thing, "name", None)
    kind = thing.__name__ if isinstance(thing, type) else type(thing).__name__
    return f"`{kind}` (`{name}`)" if isinstance(name, str) else f"`{kind}`"


def _whole(sink: Any) -> Sink:
    if _is_function(sink):
        return FunctionSink(sink, getattr(sink, "__qualname__", type(sink).__name__))
    whole: Sink = sink if hasattr(sink, "takes_unchanged") else EachArchive(sink)
    return whole
