"""The metrics of a run: counted, served and written to a file, as its configuration says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from typing import Any, Protocol, Self

from anyio import to_thread
from attrs import define, evolve, field

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, LakehouseError, Problem, StoreError
from crypto_lakehouse.core.events import Event, RunFinished, RunStarted
from crypto_lakehouse.core.faults import logged_fault
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.table_events import TableEvent
from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.sinks.otel.telemetry import OpenTelemetry
from crypto_lakehouse.sinks.prometheus import PrometheusSink
from crypto_lakehouse.stores.output import Output, output_of
from crypto_lakehouse.stores.user_path import absolute_path
from crypto_lakehouse.workflows.monitoring.group_coverage import group_coverage
from crypto_lakehouse.workflows.monitoring.listener import MetricsListener
from crypto_lakehouse.workflows.monitoring.live_page import LivePage
from crypto_lakehouse.workflows.monitoring.live_pages import LivePages
from crypto_lakehouse.workflows.monitoring.opening import file_problems, port_problems
from crypto_lakehouse.workflows.monitoring.textfile import MetricsTextfile
from crypto_lakehouse.workflows.monitoring.traces import Traces
from crypto_lakehouse.workflows.wiring.holes_file import load_acknowledged

__all__ = ["Monitoring"]


class _Monitored(Protocol):
    """The keys that a configuration has for it."""

    @property
    def serve(self) -> Mapping[str, Any] | None: ...

    @property
    def metrics_textfile(self) -> str | None: ...

    @property
    def otlp_endpoint(self) -> str | None: ...


@define(eq=False)
class Monitoring:
    """What watches a run; nothing does unless the configuration says so.

    Use: `sinks` get the events of the run, which ends while it is open; `finish` once all is done.

    Attributes:
        sink: Counts the events; None if nothing watches.
        traces: Makes spans, and sends telemetry; None without OpenTelemetry.
        textfile: Writes them to a file; None without one.
        listener: Serves them; None if it does not listen.
        page: Shows the output of the run; None without one, and for a run of several workflows.
        is_owner: Whether it opens and closes these, and does not only use those of another run.
        say: Called with the address once it listens.
    """

    sink: CountingSink | None = None
    traces: Traces | None = None
    textfile: MetricsTextfile | None = None
    listener: MetricsListener | None = None
    page: LivePage | None = None
    is_owner: bool = True
    say: Callable[[str], None] = ignore
    _meter: ByteMeter | None = field(init=False, default=None)
    _watched: dict[str, tuple[Any, Output | None]] = field(init=False, factory=dict)
    _is_open: bool = field(init=False, default=False)
    _has_ended: bool = field(init=False, default=False)

    @classmethod
    def of(cls, config: _Monitored, meter: ByteMeter | None = None) -> Monitoring:
        """Make what a configuration says; nothing is opened yet.

        Args:
            config: The configuration.
            meter: The byte counter of a collection.

        Raises:
            ExtraMissing: It is needed, and the extra `metrics` or `otel` is not installed.
        """
        is_for_prometheus = config.serve is not None or config.metrics_textfile is not None
        if not is_for_prometheus and config.otlp_endpoint is None:
            return cls()
        kind = PrometheusSink if is_for_prometheus else CountingSink
        sink = kind(
            meter,
            by_symbol=getattr(config, "metrics_by_symbol", False),
            tenant=getattr(config, "tenant", None) or "",
        )
        sink.figures.objectives = getattr(config, "freshness", None) or {}
        made = cls(sink)
        if config.otlp_endpoint is not None:
            made.traces = Traces.of(config.otlp_endpoint, sink)
        if isinstance(sink, PrometheusSink) and config.metrics_textfile is not None:
            made.textfile = MetricsTextfile(absolute_path(config.metrics_textfile), sink)
        if isinstance(sink, PrometheusSink) and config.serve is not None:
            address, port = config.serve["address"], config.serve["port"]
            made.page = LivePage(sink, config)
            pages = LivePages("outputs", {"": made.page})
            made.listener = MetricsListener(address, port, sink.text, pages)
        return made

    @classmethod
    def of_application(cls, telemetry: OpenTelemetry) -> Monitoring:
        """Make what gives metrics and spans to the providers of an application."""
        return cls(telemetry.counted, Traces.of_application(telemetry))

    def shared(self, config: Any = None) -> Monitoring:
        """Return the same for a step of a run: it uses what the run has opened.

        With the `config` of a step it has the page of the step's output; outputs have one each.
        """
        page, traces = self.page, self.traces and self.traces.of_step()
        if config is not None and page is None and self._pages is not None:
            page = self._pages.of(config)
        return evolve(self, is_owner=False, traces=traces, page=page)

    @property
    def _pages(self) -> LivePages | None:
        return None if self.listener is None else self.listener.pages

    def of_several(self, name: str) -> Monitoring:
        """Return the same for a run of several workflows: their spans are below one of its own."""
        return evolve(self, traces=self.traces and self.traces.below(name))

    @classmethod
    def of_steps(cls, configs: Sequence[tuple[str, Any]]) -> Monitoring:
        """Make what the first configuration says that says something, for a run of several.

        Args:
            configs: The name and the configuration of each step.

        Raises:
            ExtraMissing: It is needed, and the extra `metrics` or `otel` is not installed.
        """
        steps = [each for _, each in configs]
        watched = (
            each for each in steps if each.serve or each.metrics_textfile or each.otlp_endpoint
        )
        config = next(watched, None)
        made = cls() if config is None else cls.of(config)
        if made.sink is not None:  # steps that only read tables do not have the key
            by_symbol = any(getattr(each, "metrics_by_symbol", False) for each in steps)
            made.sink.figures.by_symbol = by_symbol
            made.take_objectives(steps)
        made.show(configs)
        return made

    def show(self, configs: Sequence[tuple[str, Any]]) -> None:
        """Have a page for each output of steps."""
        if self.listener is not None:
            self.page = None
            self.listener.pages = LivePages.of_steps(configs, self.listener.pages)

    def take_objectives(self, configs: Iterable[Any]) -> None:
        """Show the objectives of configurations, the first of which come first."""
        if self.sink is not None:
            found = dict[str, float]()
            for each in configs:
                found = {**(getattr(each, "freshness", None) or {}), **found}
            self.sink.figures.objectives = found

    def watch(
        self, configs: Sequence[tuple[str, Any]], time_s: Callable[[], float] = time.time
    ) -> None:
        """Show for as long as a daemon runs what is known of the outputs of its steps.

        Args:
            configs: Of all its steps, with their names; those that only read tables have no ledger.
            time_s: Returns the daemon's time, in seconds since 1970.
        """
        if self.sink is not None:
            steps = [each for _, each in configs if isinstance(each, WorkflowConfig)]
            self._watched = {output_of(each).identity: (each, None) for each in steps}
            self.sink.figures.only_of(self._watched)
            self.sink.figures.daemon_time = time_s
            self.take_objectives(steps)
            self.show(configs)

    def of_meter(self, meter: ByteMeter) -> Monitoring:
        """Count what a meter shows, too, and return itself; that of a step, until it is closed."""
        self._meter = meter
        for each in self._counting:
            each.meters.add(meter)
        return self

    @property
    def _counting(self) -> Iterable[CountingSink]:
        """What counts the run: for the metrics, and for the page of its output alone."""
        page = None if self.page is None else self.page.sink
        return dict.fromkeys(each for each in (self.sink, page) if each is not None)

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """What takes the events of a run."""
        spans = None if self.traces is None else self.traces.spans
        others = (each for each in (self.textfile, spans) if each is not None)
        return (*self._counting, *others)

    async def open(self) -> None:
        """Listen, check the file, and begin to send.

        Raises:
            ConfigurationError: The port is in use, the file cannot be written, or the variables of
                OpenTelemetry do not say where to send; all faults.
        """
        if self.is_owner:
            if problems := await self._opened_with():
                await self._undo()
                raise ConfigurationError(problems)
            self._is_open = True
            if self.listener is not None:
                self.say(self.listener.where)
        if self.traces is not None:
            self.traces.begin()

    async def problems(self) -> list[Problem]:
        """Return what `open` would refuse; nothing stays open."""
        found = await self._opened_with()
        await self._undo()
        return found

    async def _opened_with(self) -> list[Problem]:
        problems = [*await file_problems(self.textfile), *await port_problems(self.listener)]
        if self.traces is not None:
            problems += await to_thread.run_sync(self.traces.problems)
        return problems

    async def _undo(self) -> None:
        await self._stop_listening()
        await self._send_last()

    async def close(self) -> None:
        """Write the file of a run that has not come to its end, and stop listening.

        A run that has not begun, as another one holds the lock, leaves the file of that one alone.
        """
        if not self.is_owner and self._meter is not None:
            for each in self._counting:
                each.meters.end(self._meter)
        if self.traces is not None:
            await self.traces.end()
        if self._is_open:
            self._is_open = False
            has_begun = self.sink is not None and bool(self.sink.figures.started)
            if has_begun and not self._has_ended:
                await self.refresh()
            await self._stop_listening()
            if problem := await self._send_last():
                self.say(problem)

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def _stop_listening(self) -> None:
        if self.listener is not None:
            await self.listener.close()

    def tell(self, *events: Event | TableEvent) -> None:
        """Count events of a run that has no event queue; in any thread.

        A file that cannot be written is tried again later, and at the end.
        """
        for each in self._counting:
            each.figures.count(events)
        if self.traces is not None:
            self.traces.take(events)
        if self.textfile is not None and self.textfile.is_due:
            with suppress(StoreError):
                self.textfile.write()

    @contextmanager
    def run_of(self, workflow: str, status: Callable[[], str]) -> Iterator[None]:
        """Count a run that has no event queue, until the block ends.

        Args:
            workflow: Its name, which is its id, too.
            status: Returns how it has ended, if no error has ended it.
        """
        started = RunStarted(run_id=workflow, workflow=workflow, planned=0, at=datetime.now(UTC))
        self.tell(started)
        ended = "failed"
        try:
            yield
            ended = status()
        finally:
            self.tell(RunFinished(run_id=workflow, status=ended, at=datetime.now(UTC)))

    def answered(self, status: int | None, seconds: float) -> None:
        """Count a request that is none for an archive; `RunFigures.answer` says what is given."""
        if self.sink is not None:
            self.sink.figures.answer(status, seconds)

    async def begin(self, config: Any, output: Output, workflow: str, run_id: str) -> None:
        """Count a run from now on, and take what is known of its output if that is served.

        Args:
            config: That of a collection or a fill.
            output: Where its ledger is; the run has it for itself.
            workflow: Its name.
            run_id: Its id.
        """
        if self.sink is not None:
            for each in self._counting:
                each.figures.begin(workflow, run_id, datetime.now(UTC))
            self._watched[output.identity] = (config, output)
            if self.traces is not None:
                self.traces.begin_run(workflow, run_id)
            if self.listener is not None or self.page is not None or self.traces is not None:
                await self.cover(config, output)

    async def cover(self, config: Any, output: Output, today: date | None = None) -> None:
        """Take holes, lag and the newest days from the ledger.

        A ledger that cannot be read has none: the run itself says what is wrong with it.

        Args:
            config: That of a collection or a fill.
            output: Where the ledger is.
            today: The UTC day; the current one by default.
        """
        if self.sink is None:
            return
        figures = self.sink.figures

        def read() -> None:
            acknowledged = load_acknowledged(config)
            matrix = config.matrix_path
            found = group_coverage(output, acknowledged, matrix, figures.labels_of, today)
            figures.cover(found, output.identity)

        try:
            await to_thread.run_sync(read)
        except LakehouseError:
            pass
        except Exception as error:  # noqa: BLE001 - what shows metrics never ends what runs
            logged_fault(error, "metrics")
        pages = {} if self._pages is None else self._pages.by_output
        if page := self.page or pages.get(output.identity):
            page.forget()

    async def refresh(self, today: date | None = None, *, with_coverage: bool = True) -> None:
        """Take from the ledgers again what time alone has changed, and write the file.

        The lag grows while the source is silent, and while runs fail.

        Args:
            today: The UTC day; the current one by default.
            with_coverage: Whether the ledgers are read, which takes seconds if they are large.
        """
        if with_coverage:
            for config, output in [*self._watched.values()]:
                await self.cover(config, output or output_of(config), today)
        if self.textfile is not None:
            with suppress(StoreError):
                await to_thread.run_sync(self.textfile.write)

    async def finish(self) -> str:
        """Write the file as it stays, and send the rest; return why not, empty if all went well."""
        self._has_ended = True
        problems = [await self._write_last(), await self._send_last() if self.is_owner else ""]
        return "; ".join(filter(None, problems))

    async def _write_last(self) -> str:
        if self.textfile is None:
            return ""
        try:
            await to_thread.run_sync(self.textfile.write)
        except StoreError as error:
            return f"the metrics of this run are not in their file: {error}"
        return ""

    async def _send_last(self) -> str:
        return "" if self.traces is None else await to_thread.run_sync(self.traces.send_last)
