"""A collector, perhaps an application's own, is fed every event in order."""

from __future__ import annotations

import pytest
from tests.sinks.conftest import (
    BODY_STARTED,
    FINISHED,
    RETRIED,
    STARTED,
    WARNED,
    finished,
)

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks.metrics import MetricsSink

EVENTS: list[Event] = [
    STARTED, WARNED, BODY_STARTED, RETRIED, finished(), finished(Verdict.CORRUPT), FINISHED
]  # fmt: skip


class OwnCollector(MetricsCollector):
    """An application's own."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def record_event(self, event: object) -> None:
        self.seen.append(event)


def test_a_run_can_do_without_it() -> None:
    listener: Sink = MetricsSink(MetricsCollector())
    assert not listener.required
    assert listener.name == "metrics"


async def test_every_event_is_recorded_in_order() -> None:
    collector = OwnCollector()
    sink = MetricsSink(collector)
    await sink.handle(EVENTS[:3])
    await sink.flush()
    await sink.handle(EVENTS[3:])
    await sink.close()
    assert collector.seen == EVENTS


async def test_a_collector_counts_what_it_is_fed() -> None:
    collector = MetricsCollector()
    collector.start_workflow("test")
    await MetricsSink(collector).handle(EVENTS)
    assert collector.planned == 3
    assert collector.retries == 1
    assert collector.verdicts == {Verdict.VERIFIED: 1, Verdict.CORRUPT: 1}
    assert collector.warnings == [WARNED.message]


async def test_what_a_collector_raises_is_for_the_dispatcher_to_judge() -> None:
    class Broken(OwnCollector):
        def record_event(self, event: object) -> None:
            raise TypeError("not my kind of event")

    with pytest.raises(TypeError, match="not my kind"):
        await MetricsSink(Broken()).handle(EVENTS)
