"""What is no sink is named before a run begins; what is one becomes a whole one."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.events import Event, RunWarned
from crypto_lakehouse.sinks.checked import EachArchive, checked_sinks

BATCH = [RunWarned(message="one"), RunWarned(message="two")]


class Plain:
    """All that a sink needs, and no more."""

    name = "plain"
    required = True

    def __init__(self) -> None:
        self.calls: list[object] = []

    async def handle(self, events: Sequence[Event]) -> None:
        self.calls.append(events)

    async def flush(self) -> None:
        self.calls.append("flush")

    async def close(self) -> None:
        self.calls.append("close")


class Whole(Plain):
    """A sink that says what it takes."""

    takes_unchanged = True


async def test_a_plain_sink_gets_a_layer_that_hands_everything_on() -> None:
    plain = Plain()
    (sink,) = checked_sinks([plain])
    assert isinstance(sink, EachArchive)
    assert (sink.name, sink.required, sink.takes_unchanged) == ("plain", True, False)
    await sink.handle(BATCH)
    await sink.flush()
    await sink.close()
    assert plain.calls == [BATCH, "flush", "close"]


def test_a_whole_sink_is_taken_as_it_is() -> None:
    whole = Whole()
    assert checked_sinks([whole]) == (whole,)


async def test_functions_are_sinks() -> None:
    seen: list[object] = []

    async def later(events: Sequence[Event]) -> None:
        seen.append(("later", events))

    sinks = checked_sinks([seen.append, later])
    for sink in sinks:
        await sink.handle(BATCH)
        await sink.flush()
        await sink.close()
    assert seen == [BATCH, ("later", BATCH)]
    assert [(sink.required, sink.takes_unchanged) for sink in sinks] == [(False, False)] * 2
    assert "append" in sinks[0].name
    assert "later" in sinks[1].name


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, r"sinks\[0\]: `int` has no `name`, `required`, `handle`, `flush`, `close`; a sink has"),
        (Plain, r"sinks\[0\]: `Plain` \(`plain`\) is a class: pass an instance, `Plain\(\)`"),
        (
            SimpleNamespace(name="mine", required=False, handle=print, flush=print),
            r"sinks\[0\]: `SimpleNamespace` \(`mine`\) has no `close`; a sink has",
        ),
        (
            SimpleNamespace(name="mine", required=False, handle=print, flush=3, close=print),
            r"`flush` of `SimpleNamespace` \(`mine`\) is 3, not a method; a sink has",
        ),
    ],
)
def test_what_is_no_sink_is_named_with_what_it_lacks(thing: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        checked_sinks([thing])
    assert caught.value.exit_code == 2


def test_every_fault_is_named() -> None:
    things: list[Any] = [3, Plain(), None]
    with pytest.raises(ConfigurationError) as caught:
        checked_sinks(things)
    assert [problem.path for problem in caught.value.problems] == ["sinks[0]", "sinks[2]"]


def test_a_sink_in_the_place_of_the_list_is_named() -> None:
    alone: Any = Plain()
    reason = r"sinks: `Plain` \(`plain`\) is not a list of sinks"
    with pytest.raises(ConfigurationError, match=reason):
        checked_sinks(alone)
