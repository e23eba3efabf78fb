"""What every sink must do, for each of the project's own and for a function."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.sinks.jsonl import JsonLinesSink
from crypto_lakehouse.sinks.lines import LinesSink
from crypto_lakehouse.sinks.log import LogSink
from crypto_lakehouse.sinks.metrics import MetricsSink
from crypto_lakehouse.sinks.progress import ProgressSink
from crypto_lakehouse.testing import SinkSuite


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


class TestMetrics(SinkSuite):
    def make_sink(self) -> AnySink:
        return MetricsSink(MetricsCollector())


class TestProgress(SinkSuite):
    def make_sink(self) -> AnySink:
        return ProgressSink(ByteMeter(), Console(file=io.StringIO()))


class TestJsonLines(SinkSuite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_sink(self) -> AnySink:
        return JsonLinesSink(self.folder / "events.jsonl")


def test_a_suite_without_a_sink_says_what_it_lacks() -> None:
    with pytest.raises(NotImplementedError, match="SinkSuite lacks `make_sink`"):
        SinkSuite().make_sink()
