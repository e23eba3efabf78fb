"""The telemetry of a run for OpenTelemetry: the spans of its workflows, and what sends it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.table_events import TableEvent
from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.sinks.otel.span_above import SpanAbove
from crypto_lakehouse.sinks.otel.telemetry import OpenTelemetry, need_otel

if TYPE_CHECKING:
    from crypto_lakehouse.sinks.otel.otlp import OtlpSender
    from crypto_lakehouse.sinks.otel.spans import RunSpans

__all__ = ["Traces"]

_log = logging.getLogger("crypto_lakehouse")

#: How long the receiver may take at the end of a run, in seconds.
_LAST_SEND_S = 3.0


@define(eq=False)
class _Connection:
    """What all workflows of a run have in common.

    Attributes:
        telemetry: Where metrics and spans go; None until the run has begun.
        sender: What sends them; None if an application does.
    """

    telemetry: OpenTelemetry | None = None
    sender: OtlpSender | None = None


@define(eq=False)
class Traces:
    """Makes the spans of a workflow, and sends the telemetry of a run.

    Args:
        endpoint: The receiver, as the key `otlp_endpoint`; empty if an application sends.
        counted: Counts the events.
        last_send_s: How long the receiver may take at the end, in seconds.
    """

    endpoint: str
    counted: CountingSink
    last_send_s: float = _LAST_SEND_S
    _connection: _Connection = field(factory=_Connection)
    _above: SpanAbove | None = None
    _has_above: bool = False
    _spans: RunSpans | None = field(init=False, default=None)
    _has_failed: bool = field(init=False, default=False)

    @classmethod
    def of(cls, endpoint: str, counted: CountingSink) -> Traces:
        """Make what sends to a receiver; nothing is sent before `problems` is called.

        Raises:
            ExtraMissing: The extra `otel` is not installed.
        """
        need_otel()
        return cls(endpoint, counted)

    @classmethod
    def of_application(cls, telemetry: OpenTelemetry) -> Traces:
        """Make what gives all to an application."""
        return cls("", telemetry.counted, connection=_Connection(telemetry))

    def of_step(self) -> Traces:
        """Return the same for a step of the run."""
        return evolve(self, has_above=False)

    def below(self, name: str) -> Traces:
        """Return the same for a run of several workflows, with a span of that name above theirs."""
        return evolve(self, above=SpanAbove(name, self._above), has_above=True)

    def problems(self) -> list[Problem]:
        """Begin to send; return why that cannot be. Blocking."""
        from crypto_lakehouse.sinks.otel.endpoints import endpoint_faults
        from crypto_lakehouse.sinks.otel.otlp import open_sender

        if not self.endpoint:
            return []
        faults = [*endpoint_faults(self.endpoint, os.environ)]
        if not faults:
            try:
                sender = open_sender(self.endpoint, self.counted)
            except ValueError as error:
                faults = [f"a variable of OpenTelemetry is not valid: {error}"]
            else:
                self._connection.sender, self._connection.telemetry = sender, sender.telemetry
        return [Problem("$.otlp_endpoint", fault) for fault in dict.fromkeys(faults)]

    @property
    def spans(self) -> RunSpans | None:
        """What makes the spans of the workflow; None before its run has begun."""
        telemetry = self._connection.telemetry
        if self._spans is None and telemetry is not None and not self._has_failed:
            self._spans = telemetry.spans(None if self._above is None else self._above.context)
        return self._spans

    def begin(self) -> None:
        """Begin the span above those of several workflows, if there is one."""
        telemetry = self._connection.telemetry
        if self._has_above and self._above is not None and telemetry is not None:
            with self._giving_up():
                self._above.begin(telemetry.tracer)

    def begin_run(self, workflow: str, run_id: str) -> None:
        """Begin the span of a run before its first event."""
        with self._giving_up():
            if self.spans is not None:
                self.spans.begin(workflow, run_id)

    def take(self, events: Iterable[Event | TableEvent]) -> None:
        """Take events of a run that has no event queue; in any thread."""
        with self._giving_up():
            if self.spans is not None:
                self.spans.take(events)

    async def end(self) -> None:
        """End the spans that have not ended."""
        with self._giving_up():
            if self._spans is not None:
                await self._spans.close()
            if self._has_above and self._above is not None:
                self._above.end()

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Make no more spans after an error, which may be that of an application's code."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - telemetry ends no run
            self._spans, self._has_failed = None, True
            _log.warning("spans are given up: %s", redact(repr(error)))

    def send_last(self) -> str:
        """Send the rest, and end; return what was not received, empty if all was. Blocking."""
        sender, self._connection.sender = self._connection.sender, None
        problem = "" if sender is None else sender.close(self.last_send_s)
        if problem:
            _log.warning(problem)
        return problem
