"""The span of a run of several workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

__all__ = ["SpanAbove"]


@define(eq=False)
class SpanAbove:
    """A span above those of several workflows, while their run lasts.

    Args:
        name: Its name.
        parent: The one above it; None if there is none.

    Attributes:
        context: The context of spans below it; None before it has begun.
    """

    name: str
    parent: SpanAbove | None = None
    context: Context | None = field(init=False, default=None)
    _span: Span | None = field(init=False, default=None)

    def begin(self, tracer: Tracer) -> None:
        """Begin it."""
        from opentelemetry.trace import set_span_in_context

        over = None if self.parent is None else self.parent.context
        self._span = tracer.start_span(self.name, over)
        self.context = set_span_in_context(self._span, over)

    def end(self) -> None:
        """End it, if it has begun."""
        span, self._span = self._span, None
        if span is not None:
            span.end()
