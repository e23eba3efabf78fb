"""Check what is passed as a sink before a run begins, and make whole sinks of it."""

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
    """A function as a sink that the run can do without.

    Args:
        function: Takes each batch of events; may be async.
        name: What messages call it.
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
        """A function holds nothing back."""

    async def close(self) -> None:
        """A function has nothing open."""


@frozen
class EachArchive:
    """A layer around a sink that does not say `takes_unchanged`: each archive is an event to it."""

    inner: PlainSink
    takes_unchanged = False

    @property
    def name(self) -> str:
        """That of the inner sink."""
        return self.inner.name

    @property
    def required(self) -> bool:
        """That of the inner sink."""
        return self.inner.required

    async def handle(self, events: Sequence[Event]) -> None:
        """Hand a batch on."""
        await self.inner.handle(events)

    async def flush(self) -> None:
        """Let the inner sink flush."""
        await self.inner.flush()

    async def close(self) -> None:
        """Let the inner sink close."""
        await self.inner.close()


def checked_sinks(given: Iterable[AnySink]) -> tuple[Sink, ...]:
    """Make whole sinks of what an application passes.

    Raises:
        ConfigurationError: Something of it is no sink; every such thing is named.
    """
    try:
        sinks: tuple[Any, ...] = tuple(given)
    except TypeError:
        reason = f"{_named(given)} is no list of sinks: pass `[sink]`"
        raise ConfigurationError([Problem("sinks", reason)]) from None
    faults = [(place, _fault(sink)) for place, sink in enumerate(sinks)]
    problems = [Problem(f"sinks[{place}]", fault) for place, fault in faults if fault]
    if problems:
        raise ConfigurationError(problems)
    return tuple(_whole(sink) for sink in sinks)


def _fault(sink: object) -> str:
    """Why something is no sink, empty where it is one."""
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
        return f"`{method}` of {_named(sink)} is {getattr(sink, method)!r}, no method; {_WANTED}"
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
