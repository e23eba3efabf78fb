"""Scenes in which an application collects archives, and the stage that they are played on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from attrs import define, field
from tests.faults.stepping import Application, Steps, Traces, complaints, start
from tests.workflows.conftest import BIG_KEY, KEY, make_zip, member_of, sidecar_of

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing import ArchiveServer, faults

__all__ = ["RETRY", "SCENES", "Scene", "SlowSink", "Stage"]

DAYS = ["2025-07-14", "2025-07-15", "2025-07-16"]
SMALL = {KEY.replace("2025-07-15", day): make_zip(f"BTCUSDT-1h-{day}.csv", b"1,2") for day in DAYS}
OLD, NEW = (make_zip(member_of(KEY), text * 9) for text in (b"old", b"new"))
LARGE = make_zip(member_of(BIG_KEY), os.urandom(2_200_000), compression=0)
KLINES: dict[str, Any] = {"data_types": ["klines"], "intervals": ["1h"]}
TRADES: dict[str, Any] = {"data_types": ["trades"]}
CALENDAR: dict[str, Any] = {"discovery": "calendar"}


async def _at_once(_seconds: float) -> None:
    await anyio.lowlevel.checkpoint()


#: Back-off that takes no time, but a turn of the loop.
RETRY = RetryPolicy(max_retries=3, sleep=_at_once)


class SlowSink:
    """An application's sink, which lets others go first whatever it is told."""

    name = "slow"
    required = True

    def __init__(self) -> None:
        self.closed = 0

    async def handle(self, events: Sequence[Event]) -> None:
        for _ in events:
            await anyio.lowlevel.checkpoint()

    async def flush(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed += 1


@define
class Scene:
    """A source, and what an application collects from it.

    Attributes:
        config: What is collected.
        archives: What is published, and must stand there in the end.
        older: What the first run finds published, which is cut off or replaced later.
        wrong: Whether the publisher's sidecars are wrong: nothing may stand there, ever.
        first_faults, faults: Scripted for the first run, and for the one that is cancelled.
        uses: What the application hands over beside the configuration, `session` or `sinks`; or
            `file`, where the configuration is one.
        most: How many cancellations are tried.
    """

    config: dict[str, Any]
    archives: Mapping[str, bytes] = field(factory=lambda: SMALL)
    older: Mapping[str, bytes] = field(factory=dict)
    wrong: bool = False
    first_faults: Sequence[faults.Fault] = ()
    faults: Sequence[faults.Fault] = ()
    uses: str = ""
    most: int = 25

    @property
    def verdict(self) -> str:
        """What becomes of every archive, if it is not so already."""
        return "upstream_mismatch" if self.wrong else "verified"


SCENES = {
    "listing": Scene(KLINES, most=50),
    "calendar": Scene(KLINES | CALENDAR, most=50),
    "large": Scene(TRADES | CALENDAR, {BIG_KEY: LARGE}, most=40),
    "resumed": Scene(
        TRADES | CALENDAR,
        {BIG_KEY: LARGE},
        {BIG_KEY: LARGE},
        first_faults=[faults.Truncate(1_500_000)],
    ),
    "retried": Scene(KLINES | CALENDAR, faults=faults.Status(503) * 4),
    "replaced": Scene(KLINES, {KEY: NEW}, {KEY: OLD}),
    "mismatch": Scene(KLINES, {KEY: NEW}, wrong=True),
    "session": Scene(KLINES | CALENDAR, uses="session"),
    "sink": Scene(KLINES | CALENDAR, uses="sinks"),
    "file": Scene(KLINES | CALENDAR, uses="file"),
    "processes": Scene(KLINES | CALENDAR | {"processes": 2}, most=15),
}


@define
class Stage:
    """Where a scene is played, any number of times, each in a directory of its own."""

    scene: Scene
    server: ArchiveServer
    folder: Path
    port: int
    _played: int = 0

    @property
    def first(self) -> Path:
        """The directory as an earlier run left it."""
        return self.folder / "first"

    async def set(self) -> None:
        """Publish, and let the earlier run go by."""
        self.first.mkdir()
        if self.scene.older:
            self.publish(self.scene.older)
            self.script(self.scene.first_faults)
            await self.run(self.first, retry=RetryPolicy(max_retries=0))
            left = [path.suffix for path in (self.first / "data").rglob("*.zip*")]
            assert (".part" in left) == bool(self.scene.first_faults)
        self.publish(self.scene.archives)

    def publish(self, archives: Mapping[str, bytes]) -> None:
        """Publish archives, with their sidecars or with wrong ones."""
        for key, data in archives.items():
            self.server.publish(key, data)
            if self.scene.wrong:
                self.server.put(f"{key}.CHECKSUM", sidecar_of(b"other", member_of(key)))

    def script(self, some: Sequence[faults.Fault]) -> None:
        """Let the source fail in this way, and in no other."""
        self.server.heal()
        if some:
            self.server.inject("data/*.zip", *some)

    async def run(
        self, root: Path, processes: int | None = None, **options: Any
    ) -> CollectionReport:
        """Collect into a directory; in so many processes, or as the scene has it."""
        span = {"start": DAYS[0], "end": DAYS[-1]} if len(self.scene.archives) > 1 else None
        config = {
            "output_directory": str(root),
            "source_url": self.server.url,
            "listing_url": self.server.url,
            "markets": ["spot"],
            "symbols": ["BTCUSDT"],
            "partitions": ["daily"],
            "default_date": None if span else "2025-07-15",
            "date_range": span,
            **self.scene.config,
        }
        if processes is not None:
            config["processes"] = processes
        source: Any = config
        if self.scene.uses == "file":
            source = root / "config.json"
            source.write_text(json.dumps(config))
        return await run_collection(source, **{"retry": RETRY, **options})

    async def play(self, application: Application, *at: int) -> Steps:
        """Let an application collect, and cancel; what is left then must do for the next run."""
        self._played += 1
        root = self.folder / str(self._played)
        shutil.copytree(self.first, root)
        self.script(self.scene.faults)
        with complaints() as found:
            steps = await self._perform(application, root, at)
            self.check_files(root)
            await self.check_next_run(root)
        assert found == [], f"cancelled at {at}"
        shutil.rmtree(root)
        return steps

    async def _perform(self, application: Application, root: Path, at: tuple[int, ...]) -> Steps:
        steps, before = Steps(at), Traces.now(self.port)
        async with self.own_things() as own:
            left: list[str] = []

            async def call() -> None:
                first = Traces.now(self.port)
                try:
                    await self.run(root, **own)
                finally:
                    left.extend(Traces.now(self.port).beyond(first))

            task = start(application(call, steps), steps)
            await asyncio.wait({task})
            if not (task.cancelled() and steps.cancelled > 1):  # the second came as it ended
                task.result()
            own_sockets = "session" in own
            left = [what for what in left if not (own_sockets and "socket:" in what)]
            assert left == [], f"cancelled at {at}: {left}"
        assert Traces.now(self.port).beyond(before) == []
        return steps

    @asynccontextmanager
    async def own_things(self) -> AsyncIterator[dict[str, Any]]:
        """What belongs to the application, and is well when the run is over."""
        match self.scene.uses:
            case "session":
                async with aiohttp.ClientSession(auto_decompress=False) as session:
                    yield {"session": session}
                    assert not session.closed
                    async with session.get(f"{self.server.url}/{KEY}") as answer:
                        assert await answer.read() == SMALL[KEY]
                await asyncio.sleep(0)  # its connections are closed by the loop's next step
            case "sinks":
                sink = SlowSink()
                yield {"sinks": [sink]}
                assert sink.closed <= 1
            case _:
                yield {}

    def check_files(self, root: Path) -> None:
        """Nothing stands at a final name but what is good, and proof of that."""
        scene = self.scene
        good = () if scene.wrong else [*scene.archives.values(), *scene.older.values()]
        digests = [sha256(data).hexdigest() for data in good]
        for path in (root / "data").rglob("*.zip"):
            assert sha256(path.read_bytes()).hexdigest() in digests
        for path in (root / "data").rglob("*.CHECKSUM"):
            assert path.read_text().split()[0] in digests

    async def check_next_run(self, root: Path) -> None:
        """Another run, at once, finds the directory free and completes what was begun."""
        self.script(())
        scene = self.scene
        report = await self.run(root, processes=1)  # it may do as it likes, and workers take time
        done = report.totals[scene.verdict] + report.totals["unchanged"]
        assert done == report.totals["planned"] == len(scene.archives)
        files = {path for path in (root / "data").rglob("*") if path.is_file()}
        wanted = {} if scene.wrong else scene.archives
        assert files == {root / f"{key}{end}" for key in wanted for end in ("", ".CHECKSUM")}
        assert all((root / key).read_bytes() == data for key, data in wanted.items())
        assert not list((root / ".lakehouse").glob("unfinished/*"))
