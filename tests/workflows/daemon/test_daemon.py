"""The daemon against a real server, with a clock that tests move."""

from __future__ import annotations

import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field
from tests.workflows.conftest import Collection
from tests.workflows.test_monitoring import GROUP, value_of

from crypto_lakehouse.core.errors import ConfigurationError, LockHeldError
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows.daemon.daemon import Daemon, load_schedules
from crypto_lakehouse.workflows.daemon.notify import Notifier
from crypto_lakehouse.workflows.monitoring import monitoring

pytest.importorskip("cronsim", reason="the extra `daemon` is not installed")

BEGIN = datetime(2026, 11, 28, 12, 0, 30, tzinfo=UTC)


@define(eq=False)
class MovedClock:
    """A clock that stands still until it is moved."""

    time: datetime = BEGIN
    _moved: anyio.Event = field(init=False, factory=anyio.Event)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        wanted = self.time + timedelta(seconds=seconds)
        moved = self._moved
        while self.time < wanted and moved is self._moved:
            await moved.wait()

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)
        moved, self._moved = self._moved, anyio.Event()
        moved.set()


@define(eq=False)
class World:
    """A daemon, what it said, and what it did."""

    clock: MovedClock = field(factory=MovedClock)
    said: list[str] = field(factory=list)
    done: list[str] = field(factory=list)
    due: Callable[[str, str], None] | None = None
    sinks: Callable[[str], list[Any]] = lambda _step: []
    begun: Callable[[str], None] = lambda _step: None
    notifier: Notifier = field(factory=lambda: Notifier({}))
    waits: list[str] = field(factory=list)
    daemon: Daemon = field(init=False)
    _news: anyio.Event = field(init=False, factory=anyio.Event)

    def _note(self, to: list[str], text: str) -> None:
        to.append(text)
        news, self._news = self._news, anyio.Event()
        news.set()

    def wait_of(self, name: str) -> OnHeld:
        self.waits.append(name)
        return do_not_wait

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await self._news.wait()

    async def until_said(self, text: str, times: int = 1) -> None:
        await self.until(lambda: sum(text in each for each in self.said) >= times)

    @asynccontextmanager
    async def works(self, values: dict[str, Any]) -> AsyncIterator[Daemon]:
        """Let a daemon work until the block ends."""
        self.daemon = Daemon(
            await load_schedules(values),
            clock=self.clock,
            sinks=self.sinks,
            say=lambda name, text: self._note(self.said, f"{name}: {text}"),
            due=self.due,
            tell=lambda _name, step, report: self.begun(step) if report is None else None,
            done=lambda name, report: self._note(self.done, f"{name} {report.status}"),
            on_held=self.wait_of,
            notifier=self.notifier,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.daemon.run)
            yield self.daemon
            self.daemon.stop()


@pytest.fixture
def declared(with_pipelines: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Returns the mapping of a file with a pipeline that collects every five minutes."""

    def make(**pipeline: Any) -> dict[str, Any]:
        if not {"schedule", "every"} & pipeline.keys():
            pipeline["every"] = "5m"
        return with_pipelines(often={"steps": {"collect": {}}, **pipeline})

    return make


Declared = Callable[..., dict[str, Any]]


async def test_a_pipeline_runs_each_time_that_it_is_due(
    collection: Collection, declared: Declared
) -> None:
    world = World()
    async with world.works(declared()):
        for number, due in enumerate(("12:05", "12:10", "12:15"), 1):
            await world.until_said(f"often: is due at 2026-11-28T{due}:00Z")
            world.clock.move(minutes=5)
            await world.until(lambda: len(world.done) == number)  # noqa: B023
    assert world.done == ["often complete"] * 3
    assert world.waits == ["often"] * 3, "no run waits for less time, as one before has waited"
    assert len(collection.requested()) == 2, "a second run requests nothing"
    assert not [each for each in world.said if "passed" in each]


async def test_a_file_that_is_read_again_skips_no_time_that_has_come(
    collection: Collection, declared: Declared
) -> None:
    """The time passes while the machine sleeps, and the file is read before the daemon looks."""
    world = World()
    async with world.works(declared()) as daemon:
        await world.until_said("is due at 2026-11-28T12:05:00Z")
        world.clock.time += timedelta(minutes=5)
        assert await daemon.reload(declared())
        await world.until_said("is due at 2026-11-28T12:10:00Z")
    assert world.done == ["often complete"]
    assert len(collection.requested()) == 2


async def test_when_pipelines_are_due_may_be_told_apart_from_the_rest(declared: Declared) -> None:
    due: list[str] = []
    world = World()
    world.due = lambda name, text: world._note(due, f"{name} {text}")
    async with world.works(declared(steps={"compact": {}})):
        await world.until(lambda: bool(due))
        world.clock.move(minutes=15)
        await world.until_said("passed")
    assert due[0] == "often is due at 2026-11-28T12:05:00Z"
    assert not [each for each in world.said if "is due" in each]


async def test_its_metrics_stay_true_while_the_source_is_silent(
    collection: Collection, declared: Declared, tmp_path: Path
) -> None:
    world, file = World(clock=MovedClock(datetime.now(UTC))), tmp_path / "lake.prom"
    mirror = {
        "run": "collect",
        "needs": "collect",
        "with": {"output_directory": str(tmp_path / "mirror")},
    }
    values = declared(steps={"collect": {}, "mirror": mirror})
    values |= {"default_date": None, "date_range": {"start": "2d"}}
    values |= {"metrics_textfile": str(file), "freshness": {"*": "36h"}}

    async def until(name: str, is_so: Callable[[float], bool]) -> float:
        while True:
            found = value_of(file.read_text(), name) if file.exists() else None
            if found is not None and is_so(found):
                return found
            await anyio.sleep(0.01)

    async with world.works(values):
        await until("daemon_alive_timestamp_seconds", bool)
        world.clock.move(minutes=5)
        await world.until(lambda: len(world.done) == 1)
        world.clock.move(minutes=1)
        assert await until(f"source_lag_seconds{{{GROUP}}}", lambda _: True) == 0
        received = await until("received_bytes_total", bool)
        newest = await until(f"newest_verified_timestamp_seconds{{{GROUP}}}", bool)
        assert await until(f"freshness_objective_seconds{{{GROUP}}}", bool) == 36 * 3600
        collection.server.inject("*", faults.Status(503), endless=True)
        world.clock.move(days=9)
        lag = await until(f"source_lag_seconds{{{GROUP}}}", bool)
        assert lag >= 5 * 86_400
        await world.until(lambda: len(world.done) == 2)
        world.clock.move(days=1)
        assert await until(f"source_lag_seconds{{{GROUP}}}", lambda now: now > lag) == lag + 86_400
        text = file.read_text()
        assert value_of(text, f"newest_verified_timestamp_seconds{{{GROUP}}}") == newest
        assert value_of(text, "received_bytes_total") == received, "of both steps, and all runs"


async def test_metrics_that_cannot_be_kept_end_no_run(
    declared: Declared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("an error that no code foresaw")

    monkeypatch.setattr(monitoring, "group_coverage", broken)
    world = World()
    async with world.works(declared() | {"metrics_textfile": str(tmp_path / "lake.prom")}):
        await world.until_said("is due at")
        world.clock.move(minutes=5)
        await world.until_said("is due at", 2)
    assert world.done == ["often complete"]


async def test_times_that_pass_while_it_runs_are_made_up_for_by_one_run(
    declared: Declared,
) -> None:
    world = World()
    late = [22, 0]
    world.begun = lambda _step: world.clock.move(minutes=late.pop(0))
    async with world.works(declared()):
        await world.until_said("is due at")
        world.clock.move(minutes=5)
        await world.until(lambda: len(world.done) == 2)
        await world.until_said("is due at 2026-11-28T12:30:00Z")
    assert [each for each in world.said if "passed" in each] == [
        "often: 3 more times have passed; it runs once for all"
    ]
    assert world.said[1] == "often: is due at 2026-11-28T12:10:00Z"


async def test_what_fails_is_due_again_and_ends_nothing(
    collection: Collection, declared: Declared
) -> None:
    def broken(_step: str) -> list[Any]:
        raise RuntimeError("the sink of an application")

    world = World(sinks=broken)
    async with world.works(declared()):
        for number in (1, 2):
            await world.until_said("is due at", number)
            world.clock.move(minutes=5)
            await world.until_said("often: failed: unforeseen", number)
        world.daemon.sinks = lambda _step: []
        await world.until_said("is due at", 3)
        world.clock.move(minutes=5)
        await world.until(lambda: world.done == ["often complete"])
    assert len(collection.requested()) == 2


async def test_a_stop_ends_what_runs_in_order_and_releases_the_lock(
    collection: Collection, declared: Declared
) -> None:
    stall = faults.Stall(at=0)
    collection.server.inject("*.zip", stall)
    world = World()
    async with world.works(declared()) as daemon:
        await world.until_said("is due at")
        with pytest.raises(LockHeldError, match=r"daemon\.lock"):
            await Daemon(await load_schedules(declared())).run()
        world.clock.move(minutes=5)
        await anyio.to_thread.run_sync(stall.reached.wait, 60)
        daemon.stop(143)
    assert world.done == ["often interrupted"]
    assert daemon.stop_code == 143
    again = World()
    async with again.works(declared()):
        await again.until_said("is due at")


async def test_another_configuration_is_taken_while_it_works(
    collection: Collection, declared: Declared, tmp_path: Path
) -> None:
    world = World()
    async with world.works(declared()) as daemon:
        await world.until_said("is due at 2026-11-28T12:05:00Z")
        for values, reason in [
            (declared(schedule="0 0 31 2 *"), "names a day that never comes"),
            (declared(steps={"colect": {}}), "unknown step `colect`"),
            (declared() | {"output_directory": str(tmp_path / "other")}, "another one than before"),
            ({"pipelines": {"often": {"steps": {"collect": {}}}}}, "none has a schedule"),
        ]:
            assert not await daemon.reload(values)
            assert reason in world.said[-1]
            assert "the configuration is not taken" in world.said[-1]
        assert await daemon.reload(declared(schedule="30 12 * * *"))
        await world.until_said("is due at 2026-11-28T12:30:00Z")
        more = declared()
        more["pipelines"] = {"new": more["pipelines"]["often"]}
        assert await daemon.reload(more)
        await world.until_said("new: is due at 2026-11-28T12:05:00Z")
        world.clock.move(minutes=40)
        await world.until(lambda: bool(world.done))
    assert world.done == ["new complete"]


@pytest.mark.parametrize(
    ("back", "due"), [({"minutes": -10}, "12:10:00"), ({"days": -30}, "12:05:00")]
)
async def test_no_time_comes_twice_unless_the_clock_was_wrong(
    declared: Declared, back: dict[str, float], due: str
) -> None:
    world = World()
    world.begun = lambda _step: world.clock.move(**back)
    async with world.works(declared()):
        await world.until_said("is due at")
        world.clock.move(minutes=5)
        await world.until(lambda: bool(world.done))
        await world.until_said("is due at", 2)
    assert world.said[-1].endswith(f"{due}Z") == ("minutes" in back)
    assert ("2026-10-29" in world.said[-1]) == ("days" in back)


async def test_a_clock_that_is_set_back_far_while_it_waits_is_noticed(declared: Declared) -> None:
    world = World()
    async with world.works(declared(schedule="0 3 * * *")):
        await world.until_said("is due at 2026-11-29T03:00:00Z")
        world.clock.move(days=-7)
        await world.until_said("is due at 2026-11-22T03:00:00Z")


async def test_all_faults_of_a_file_are_found_at_once(declared: Declared) -> None:
    values = declared(schedule="0 0 31 2 *", steps={"collect": {"with": {"max_retries": 99}}})
    values["pipelines"]["by_hand"] = {"steps": {"expire": {"with": {"older_than": -1}}}}
    with pytest.raises(ConfigurationError) as caught:
        await load_schedules(values)
    assert [each.path for each in caught.value.problems] == [
        "$.pipelines.often.schedule",
        "$.pipelines.often.steps.collect.with.max_retries",
        "$.pipelines.by_hand.steps.expire.with.older_than",
    ]


async def test_nothing_is_written_if_its_port_is_in_use(
    collection: Collection, declared: Declared, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = declared() | {"metrics_textfile": str(tmp_path / "none" / "lake.prom")}
        values["serve"] = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as raised:
            await Daemon(await load_schedules(values)).run()
    assert [each.path for each in raised.value.problems] == ["$.metrics_textfile", "$.serve"]
    assert not collection.root.exists()


async def test_the_service_manager_knows_how_it_is(declared: Declared, tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "60000000"}
        world = World(notifier=Notifier(environ))
        async with world.works(declared()) as daemon:
            await world.until_said("is due at")
            world.clock.move(minutes=5)
            await world.until(lambda: bool(world.done))
            await daemon.reload(declared())
        manager.setblocking(False)
        received = []
        while True:
            try:
                received.append(manager.recv(1000).decode())
            except BlockingIOError:
                break
    first, *rest = received
    assert first.partition("\n")[0] == "READY=1"
    assert "WATCHDOG=1" in rest
    assert "STATUS=running often" in rest
    assert any(each.startswith("RELOADING=1\nMONOTONIC_USEC=") for each in rest)
    assert rest[-1] == "STOPPING=1" or rest[-2] == "STOPPING=1"


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "no"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_as_the_manager_says(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Notifier(environ).watchdog_s == seconds
    Notifier({"NOTIFY_SOCKET": "relative"}).living()
    Notifier({"NOTIFY_SOCKET": "/none/of/these"}).living()
    Notifier({"NOTIFY_SOCKET": "@crypto-lakehouse-none"}).living()


def held_bytes() -> int:
    """What is allocated, without the table of interned strings, which doubles once in a while."""
    interning = tracemalloc.Filter(inclusive=False, filename_pattern="*/pathlib.py")
    traces = tracemalloc.take_snapshot().filter_traces([interning]).traces
    return sum(trace.size for trace in traces)


@pytest.mark.timeout(900)
async def test_memory_is_flat_over_a_thousand_runs(
    collection: Collection, declared: Declared
) -> None:
    values = declared(steps={"collect": {}, "check": {"run": "verify", "needs": "collect"}})
    world, sizes = World(), list[int]()
    async with world.works(values):
        for number in range(1, 1001):
            await world.until_said("is due at")
            world.said.clear()
            world.clock.move(minutes=5)
            await world.until(lambda: bool(world.done))
            assert world.done.pop() == "often complete"
            if number == 700:  # it slows runs down
                tracemalloc.start()
            if number in {800, 1000}:
                gc.collect()
                sizes.append(held_bytes())
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 50_000
