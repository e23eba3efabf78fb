"""What every sink must do, for each of the project's own and for a function."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from crypto_lakehouse import sinks
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.sinks.jsonl import JsonLinesSink
from crypto_lakehouse.sinks.ledger import LedgerSink
from crypto_lakehouse.sinks.lines import LinesSink
from crypto_lakehouse.sinks.log import LogSink
from crypto_lakehouse.sinks.metrics import MetricsSink
from crypto_lakehouse.sinks.otel.telemetry import OpenTelemetry
from crypto_lakehouse.sinks.progress import ProgressSink
from crypto_lakehouse.sinks.prometheus import PrometheusSink
from crypto_lakehouse.testing import SinkSuite


class PlainListener:
    """The least that a sink has."""

    name = "plain"
    required = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def handle(self, events: Sequence[Event]) -> None:
        self.events += events

    async def flush(self) -> None:
        pass

    async def close(self) -> None:
        pass


class TestFunction(SinkSuite):
    def make_sink(self) -> AnySink:
        seen: list[Event] = []
        return seen.extend


class TestLines(SinkSuite):
    def make_sink(self) -> AnySink:
        return LinesSink(ByteMeter(), stream=io.StringIO())


class TestLog(SinkSuite):
    def make_sink(self) -> AnySink:
        return LogSink("one")


class TestLedger(SinkSuite):
    @pytest.fixture(autouse=True)
    def _ledger(self, tmp_path: Path) -> Iterator[None]:
        self.ledger, _ = SqliteLedger.open(tmp_path / "ledger.sqlite")
        with closing(self.ledger):
            yield

    def make_sink(self) -> AnySink:
        durable: list[str] = []
        return LedgerSink(self.ledger, durable.extend)


class TestPlain(SinkSuite):
    """A sink that does not say `takes_unchanged`, and so comes in a layer."""

    def make_sink(self) -> AnySink:
        return PlainListener()


class TestMetrics(SinkSuite):
    def make_sink(self) -> AnySink:
        return MetricsSink(MetricsCollector())


class TestOpenTelemetry(SinkSuite):
    def make_sink(self) -> AnySink:
        return OpenTelemetry().sink()


class TestPrometheus(SinkSuite):
    def make_sink(self) -> AnySink:
        return PrometheusSink()


class TestProgress(SinkSuite):
    def make_sink(self) -> AnySink:
        return ProgressSink(ByteMeter(), Console(file=io.StringIO()))


class TestJsonLines(SinkSuite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_sink(self) -> AnySink:
        return JsonLinesSink(self.folder / "events.jsonl")


def test_every_sink_that_ships_is_tested() -> None:
    tested = {name for name in globals() if name.startswith("Test")}
    shipped = {f"Test{name.removesuffix('Sink')}" for name in sinks.__all__}
    assert shipped <= tested


def test_a_suite_without_a_sink_says_what_it_lacks() -> None:
    with pytest.raises(NotImplementedError, match="SinkSuite lacks `make_sink`"):
        SinkSuite().make_sink()
