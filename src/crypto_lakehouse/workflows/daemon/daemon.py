"""Waits for the schedules of pipelines, and runs what is due, until it is stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from crypto_lakehouse.core.config.pipelines import PIPELINES, Pipeline, Schedule
from crypto_lakehouse.core.errors import ConfigurationError, LakehouseError, Problem
from crypto_lakehouse.core.faults import logged_fault
from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait, output_lock
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.stores.state import StateFolder
from crypto_lakehouse.workflows.composition import CompositionReport, StepReport
from crypto_lakehouse.workflows.daemon.notify import Notifier
from crypto_lakehouse.workflows.daemon.times import (
    due_after,
    missed_times,
    need_schedules,
    schedule_fault,
)
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.pipelines.declared import (
    AnyFile,
    PipelineFile,
    ReadyPipeline,
    load_pipelines,
)
from crypto_lakehouse.workflows.pipelines.running import PipelineWorkflow
from crypto_lakehouse.workflows.wiring.load_config import load_config_of_output

__all__ = ["Clock", "Daemon", "ScheduledPipelines", "load_schedules"]

#: The clock is looked at again after so many seconds, as it may be set.
_LOOK_AGAIN_S = 30.0

#: How often a file of metrics is written between runs, and how many times later ledgers are read.
_REFRESH_S, _COVER_EVERY = 60.0, 15

#: What is open for as long as a daemon runs.
_OF_DAEMON = ("serve", "metrics_textfile", "otlp_endpoint")

#: If the clock was set back by more than this, times that have passed already are due again.
_SET_BACK = timedelta(hours=1)


class Clock(Protocol):
    """Where the time comes from; a parameter for tests."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        ...


@frozen
class _SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


@frozen
class ScheduledPipelines:
    """The pipelines of a file that run by themselves, checked.

    Attributes:
        file: The file.
        ready: The pipelines by name.
    """

    file: PipelineFile
    ready: Mapping[str, ReadyPipeline]

    def schedule(self, name: str) -> Schedule | None:
        """Return the schedule of a pipeline; None if there is none."""
        ready = self.ready.get(name)
        return None if ready is None else ready.declared.schedule


async def load_schedules(source: AnyFile, tenant: str | None = None) -> ScheduledPipelines:
    """Read a configuration whose pipelines have schedules.

    Args:
        source: A mapping of its keys, or the path of a JSON, TOML or YAML file.
        tenant: The tenant of its steps; by default that of the file, if it names one.

    Raises:
        ConfigurationError: The file cannot be read, no pipeline has a schedule, or something in it
            is wrong; all faults are named.
        ExtraMissing: The extra `daemon` is not installed.
    """
    need_schedules()
    file = await load_pipelines(source, tenant, faults=_schedule_faults)
    scheduled = [each for each in file.pipelines.values() if each.schedule is not None]
    problems, ready = [*_schedule_faults(scheduled)], {}
    if not scheduled:
        text = "none has a schedule; add one, as `schedule: 15 3 * * *` or `every: 1h`"
        problems.append(Problem(f"$.{PIPELINES}", text))
    for each in file.pipelines.values():  # the others run by hand, and should be right as well
        try:
            ready[each.name] = await file.ready(each)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(dict.fromkeys(problems))
    return ScheduledPipelines(file, {each.name: ready[each.name] for each in scheduled})


def _schedule_faults(pipelines: Sequence[Pipeline]) -> list[Problem]:
    return [
        Problem(f"$.{PIPELINES}.{each.name}.schedule", fault)
        for each in pipelines
        if each.schedule is not None and (fault := schedule_fault(each.schedule))
    ]


@define(eq=False)
class Daemon:
    """Runs pipelines when they are due, each one at a time, until it is stopped.

    A pipeline that fails is due again at its next time. Times that pass while it runs, or while the
    machine sleeps, are made up for by one run.

    Args:
        pipelines: What runs when.
        clock: Where the time comes from; a parameter for tests.
        sinks: Makes further sinks of the steps `collect` and `fill`, by the name of the step.
        say: Called with the name of a pipeline and a sentence about it.
        due: Called with the name of a pipeline and when it is due, as a sentence; by default `say`.
        tell: Called with the name of a pipeline and that of a step when it begins, and with its
            report when it has ended.
        done: Called with the name of a pipeline and its report.
        on_held: Makes for each run of a pipeline, by its name, what is called if another program
            holds the lock of a step. By default the step fails.
        notifier: Tells the service manager.
    """

    pipelines: ScheduledPipelines
    clock: Clock = field(factory=_SystemClock)
    sinks: Callable[[str], Sequence[AnySink]] = lambda _step: ()
    say: Callable[[str, str], None] = lambda _name, _text: None
    due: Callable[[str, str], None] | None = None
    tell: Callable[[str, str, StepReport | None], None] = lambda *_: None
    done: Callable[[str, CompositionReport], None] = lambda *_: None
    on_held: Callable[[str], OnHeld] = lambda _name: do_not_wait
    notifier: Notifier = field(factory=Notifier)
    stop_code: int | None = field(init=False, default=None)
    monitoring: Monitoring = field(init=False)
    _tasks: TaskGroup = field(init=False)
    _stopped: anyio.Event = field(init=False, factory=anyio.Event)
    _running: dict[str, PipelineWorkflow] = field(init=False, factory=dict)
    _waiting: dict[str, anyio.CancelScope] = field(init=False, factory=dict)
    _followed: set[str] = field(init=False, factory=set)
    _turns: dict[str, anyio.Lock] = field(init=False, factory=lambda: defaultdict(anyio.Lock))
    _state: StateFolder = field(init=False)

    async def run(self) -> int:
        """Work until `stop` is called; what runs then is stopped in order.

        Returns:
            The exit code of the stop.

        Raises:
            ConfigurationError: The file does not say where the output is, the port of `serve` is in
                use, or the file of the metrics cannot be written.
            LockHeldError: Another daemon works with the output.
        """
        self._state = await _state_of(self.pipelines)
        self.monitoring = Monitoring.of_steps(_step_configs(self.pipelines))
        self._watch()
        self.monitoring.say = partial(self.say, "")
        async with AsyncExitStack() as opened:
            await self._open(opened)
            with one_error():
                async with anyio.create_task_group() as beside:
                    if self.monitoring.sink is not None:
                        beside.start_soon(self._keep_metrics)
                    if (every_s := self.notifier.watchdog_s) is not None:
                        beside.start_soon(self._live, every_s)
                    async with anyio.create_task_group() as self._tasks:
                        self._follow_new()
                        self.notifier.ready(self._status())
                        await self._stopped.wait()
                    beside.cancel_scope.cancel()
        return self.stop_code or 0

    async def _open(self, opened: AsyncExitStack) -> None:
        """Take the lock, and open what watches; nothing is written if that cannot be.

        In an output in which no daemon has ever worked, none has the lock.
        """
        is_new = not await to_thread.run_sync(self._state.daemon_lock.exists)
        if is_new:
            await opened.enter_async_context(self.monitoring)
        await to_thread.run_sync(_make, self._state)
        opened.enter_context(output_lock(self._state.daemon_lock))
        if not is_new:
            await opened.enter_async_context(self.monitoring)

    def stop(self, exit_code: int = 143) -> None:
        """Stop what runs, in order, and begin nothing else. For the run's own event loop."""
        self.stop_code = exit_code
        self.notifier.stopping()
        for workflow in self._running.values():
            workflow.stop(exit_code)
        self._wake()
        self._stopped.set()

    async def reload(self, source: AnyFile) -> bool:
        """Take another configuration; what runs is finished as it began.

        Args:
            source: As of `load_schedules`.

        Returns:
            Whether it is taken. If not, the daemon goes on as it was, and has said why.
        """
        self.notifier.reloading()
        try:
            found = await load_schedules(source, self.pipelines.file.tenant)
            await self._refuse_other_places(found)
        except LakehouseError as error:
            self.say("", f"the configuration is not taken: {redact(str(error))}")
            return False
        else:
            self.pipelines = found
            self._watch()
            await self.monitoring.refresh(self.clock.now().date())
            self._wake()
            self._follow_new()
            return True
        finally:
            self.notifier.ready(self._status())

    async def _refuse_other_places(self, found: ScheduledPipelines) -> None:
        text = "is another one than before; restart the daemon to work with it"
        before, after = self.pipelines.file.values, found.file.values
        keys = [key for key in _OF_DAEMON if before.get(key) != after.get(key)]
        if await _state_of(found) != self._state:
            keys.append("output_directory")
        if keys:
            raise ConfigurationError([Problem(f"$.{key}", text) for key in keys])

    def _wake(self) -> None:
        """Let pipelines that wait look again at their schedules, and whether they are stopped."""
        for scope in self._waiting.values():
            scope.cancel()

    def _follow_new(self) -> None:
        for name in self.pipelines.ready.keys() - self._followed:
            self._followed.add(name)
            self._tasks.start_soon(self._follow, name)

    async def _follow(self, name: str) -> None:
        """Run a pipeline whenever it is due, as long as the file has it."""
        last = self.clock.now()
        while self.stop_code is None and (schedule := self.pipelines.schedule(name)) is not None:
            due = due_after(schedule, last)
            (self.due or self.say)(name, f"is due at {due:%Y-%m-%dT%H:%M:%SZ}")
            if not await self._is_due(name, due):
                now = self.clock.now()
                if now < due or self.pipelines.schedule(name) != schedule:
                    last = now  # otherwise its time has come, and has not been seen yet
                continue
            missed, last = missed_times(schedule, due, self.clock.now())
            if missed:
                text = f"{missed} more time[s] [has|have] passed; it runs once for all"
                self.say(name, agreeing(missed, text))
            await self._run(name)
            last = _after_run(last, self.clock.now())
        self._followed.discard(name)

    async def _is_due(self, name: str, due: datetime) -> bool:
        """Wait until a time; return False if something has changed meanwhile."""
        seen = self.clock.now()
        with anyio.CancelScope() as self._waiting[name]:
            while (now := self.clock.now()) < due:
                if now < seen - _SET_BACK:
                    return False
                seen = now
                await self.clock.sleep(min(_LOOK_AGAIN_S, (due - now).total_seconds()))
        return not self._waiting.pop(name).cancelled_caught

    async def _run(self, name: str) -> None:
        """Run a pipeline once; whatever happens, the others go on."""
        try:
            # Days such as `yesterday` are those of this run.
            ready = await self.pipelines.file.ready(self.pipelines.ready[name].declared)
            workflow = self._running[name] = PipelineWorkflow(
                ready,
                sinks=self.sinks,
                tell=partial(self.tell, name),
                say=lambda step, text: self.say(f"{name}.{step}", text),
                on_held=self.on_held(name),
                turns=self._turns,
                monitoring=self.monitoring.shared(),
            )
            self.notifier.status(self._status())
            report = (await workflow.run()).report
        except LakehouseError as error:
            self.say(name, f"failed: {redact(str(error))}")
        except Exception as error:  # noqa: BLE001 - a daemon outlives what it runs
            self.say(name, f"failed: {logged_fault(error, name)}")
        else:
            self.done(name, report)
        finally:
            self._running.pop(name, None)
            self.notifier.status(self._status())

    def _status(self) -> str:
        if self._running:
            return f"running {', '.join(sorted(self._running))}"
        return f"waiting for {', '.join(sorted(self.pipelines.ready))}"

    def _watch(self) -> None:
        self.monitoring.watch(_step_configs(self.pipelines), lambda: self.clock.now().timestamp())

    async def _keep_metrics(self) -> None:
        """Keep metrics true between runs: days pass, and other programs work with the outputs."""
        day, since = None, 0
        while True:
            today, since = self.clock.now().date(), since + 1
            is_due = today != day or since >= _COVER_EVERY
            await self.monitoring.refresh(today, with_coverage=is_due)
            if is_due:
                day, since = today, 0
            await self.clock.sleep(_REFRESH_S)

    async def _live(self, every_s: float) -> None:
        while True:
            self.notifier.living()
            await anyio.sleep(every_s)


def _after_run(last: datetime, now: datetime) -> datetime:
    """Return the moment after which the next time is due: none comes twice.

    If the clock was set back far, as after it was wrong, the times since then come again.
    """
    return now if now < last - _SET_BACK else last


def _step_configs(pipelines: ScheduledPipelines) -> list[tuple[str, Any]]:
    return [each for ready in pipelines.ready.values() for each in ready.configs]


async def _state_of(pipelines: ScheduledPipelines) -> StateFolder:
    config = await load_config_of_output(pipelines.file.values)
    return output_of(config).state


def _make(state: StateFolder) -> None:
    """Create the folder of the lock; blocking.

    Raises:
        ConfigurationError: It cannot be created.
    """
    try:
        state.make()
    except OSError as error:
        reason = f"`{state.path}` cannot be written: {error.strerror}"
        raise ConfigurationError([Problem("$.output_directory", reason)]) from error
