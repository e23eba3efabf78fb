"""A receiver of OTLP on loopback, which parses the real protobuf."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from aiohttp import web
from attrs import define, field
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Receiver", "otlp_receiver"]


@define
class Receiver:
    """What has arrived, and how it is answered.

    Attributes:
        status: Of every answer.
        held: While it is set, requests are kept without an answer.
    """

    url: str = ""
    status: int = 200
    held: anyio.Event | None = None
    requests: Counter[str] = field(factory=Counter)
    headers: list[Any] = field(factory=list)
    metrics: list[Any] = field(factory=list)
    traces: list[Any] = field(factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        self.headers.append(dict(request.headers))
        body = await request.read()
        if self.held is not None:
            await self.held.wait()
        if self.status == 200 and request.path.endswith("/v1/metrics"):
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
        elif self.status == 200:
            self.traces.append(ExportTraceServiceRequest.FromString(body))
        return web.Response(status=self.status)

    @property
    def spans(self) -> list[Any]:
        """All spans, in the order of their beginnings; one that is around others before them."""
        found = [
            span
            for each in self.traces
            for of_resource in each.resource_spans
            for scope in of_resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: (span.start_time_unix_nano, -span.end_time_unix_nano))

    def values(self) -> dict[str, float]:
        """The newest value of each series, with the names that Prometheus gives its samples."""
        found: dict[str, float] = {}
        for of_resource in self.metrics[-1].resource_metrics:
            for scope in of_resource.scope_metrics:
                for metric in scope.metrics:
                    found |= _samples(metric)
        return found


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span, a point, a resource or an event."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def _samples(metric: Any) -> Iterable[tuple[str, float]]:
    kind = metric.WhichOneof("data")
    if kind == "histogram":
        for point in metric.histogram.data_points:
            yield _name(f"{metric.name}_count", point), point.count
            yield _name(f"{metric.name}_sum", point), point.sum
            running = 0
            for bound, count in zip(
                [*point.explicit_bounds, "+Inf"], point.bucket_counts, strict=True
            ):
                running += count
                yield _name(f"{metric.name}_bucket", point, le=str(bound)), running
        return
    suffix = "_total" if kind == "sum" else ""
    for point in getattr(metric, kind).data_points:
        value = getattr(point, point.WhichOneof("value"))
        yield _name(metric.name + suffix, point), value


def _name(name: str, point: Any, **more: str) -> str:
    labels = attributes(point) | more
    texts = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
    return f"{name}{{{texts}}}" if texts else name


@asynccontextmanager
async def otlp_receiver() -> AsyncIterator[Receiver]:
    """Receive until the block ends."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/v1/metrics", receiver.take)
    application.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        if receiver.held is not None:
            receiver.held.set()
        await runner.cleanup()
