"""Pass the events of a run to a metrics collector."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import MetricsCollector

__all__ = ["MetricsSink"]


@define
class MetricsSink:
    """Passes every event to a collector, which may be the application's."""

    collector: MetricsCollector
    required: bool = False
    name: str = "metrics"

    @property
    def takes_unchanged(self) -> bool:
        """Whether the collector is not of a subclass, which may count single archives."""
        return type(self.collector) is MetricsCollector

    async def handle(self, events: Sequence[Event]) -> None:
        """Record every event."""
        record = self.collector.record_event
        for event in events:
            record(event)

    async def flush(self) -> None:
        """Do nothing: events are not buffered."""

    async def close(self) -> None:
        """Do nothing: there are no resources to close."""
