"""Feed a metrics collector from the event stream."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import MetricsCollector

__all__ = ["MetricsSink"]


@define
class MetricsSink:
    """Hands every event to a collector, which may be an application's own."""

    collector: MetricsCollector
    required: bool = False
    name: str = "metrics"

    @property
    def takes_unchanged(self) -> bool:
        """Whether the collector is ours; one that was made from it may count single archives."""
        return type(self.collector) is MetricsCollector

    async def handle(self, events: Sequence[Event]) -> None:
        """Record every event."""
        record = self.collector.record_event
        for event in events:
            record(event)

    async def flush(self) -> None:
        """Nothing is held back."""

    async def close(self) -> None:
        """Nothing is open."""
